package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// SocketName is the socket's name in data/; PathName is the file that names another place where the path of data/ is too long for a socket.
const (
	SocketName = "control.sock"
	PathName   = "control.path"
)

// maxSocketPath is the shortest limit among the supported systems: 104 bytes with the closing zero on macOS and the BSDs, 108 on Linux
// (unix(7), sun_path).
const maxSocketPath = 103

// Server answers on the socket until it is closed.
type Server struct {
	http *http.Server
	path string
	note string // the file that names path, "" where path is in data/
	done chan struct{}
}

// Serve opens the socket in the folder data and answers with api. Only one process may serve a folder; the caller holds the folder's lock, so a
// socket file found there is a leftover and is replaced. The socket is open to the process' own user alone (mode 0600).
func Serve(data string, api API, log *slog.Logger) (*Server, error) {
	return ServeEach(data, func(context.Context, bool) (API, func(), error) { return api, func() {}, nil }, log)
}

// Lend gives the API that answers one request, and done ends its use. wait asks it to wait a little where nobody can answer now. With an error, which says why
// not everything can be answered, the API is only asked for its status, or to reload.
type Lend func(ctx context.Context, wait bool) (api API, done func(), why error)

// ServeEach is Serve with an API of its own for each request.
func ServeEach(data string, lend Lend, log *slog.Logger) (*Server, error) {
	path, note, err := placeSocket(data)
	if err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket %s: %w", path, err)
	}
	s := &Server{path: path, note: note, done: make(chan struct{})}
	s.http = &http.Server{
		Handler: lent(lend), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the control socket ended", "component", "control", "err", err)
		}
	}()
	return s, nil
}

// Close ends the server, waits for requests under way until ctx ends, and removes the socket.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	if rm := os.Remove(s.path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	if s.note != "" {
		err = errors.Join(err, os.Remove(s.note), os.Remove(filepath.Dir(s.path)))
	}
	if err != nil {
		return fmt.Errorf("close the control socket: %w", err)
	}
	return nil
}

// placeSocket gives the socket's path, and the file that names it where it can't be in data.
func placeSocket(data string) (path, note string, err error) {
	note = filepath.Join(data, PathName)
	if path = filepath.Join(data, SocketName); len(path) <= maxSocketPath {
		if err := os.Remove(note); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", "", fmt.Errorf("remove the old note of the control socket: %w", err)
		}
		return path, "", nil
	}
	removeNoted(note)
	dir, err := os.MkdirTemp("", "brazecdc-")
	if err != nil {
		return "", "", fmt.Errorf("make a folder for the control socket: %w", err)
	}
	path = filepath.Join(dir, SocketName)
	if len(path) > maxSocketPath {
		return "", "", errors.Join(
			fmt.Errorf("open the control socket: the paths %s and %s are both longer than the %d bytes a socket may have; set TMPDIR or data.path to a shorter one",
				filepath.Join(data, SocketName), path, maxSocketPath),
			os.Remove(dir))
	}
	if err := os.WriteFile(note, []byte(path+"\n"), 0o600); err != nil {
		return "", "", fmt.Errorf("note where the control socket is: %w", err)
	}
	return path, note, nil
}

// removeNoted takes away what a killed process left in the temporary folder; that it may be gone already is no fault.
func removeNoted(note string) {
	old, err := os.ReadFile(note)
	if err != nil {
		return
	}
	path := string(trimLine(old))
	if filepath.Base(path) == SocketName && clearStale(path) == nil {
		_ = os.Remove(filepath.Dir(path))
	}
}

// clearStale removes a socket file that nobody answers on.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the control socket: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("open the control socket %s: a file that is no socket is in its place; remove it", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("open the control socket %s: another process answers on it", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the control socket a killed process left: %w", err)
	}
	return nil
}

// lent answers each request with the API that is lent for it.
func lent(lend Lend) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		always := r.URL.Path == pathStatus || r.URL.Path == pathReload || r.URL.Path == pathLogLevel || r.URL.Path == pathSupport
		api, done, why := lend(r.Context(), !always)
		defer func() { done() }()
		if why != nil && !always {
			refuse(w, http.StatusServiceUnavailable, why)
			return
		}
		if r.URL.Path == pathReload {
			done() // it is what is exchanged
			done = func() {}
		}
		routes(api).ServeHTTP(w, r)
	})
}

func routes(api API) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, r *http.Request) {
		answer(w)(api.Status(r.Context()))
	})
	mux.HandleFunc("GET "+pathPending, func(w http.ResponseWriter, r *http.Request) {
		answer(w)(api.Pending(r.Context()))
	})
	mux.HandleFunc("POST "+pathConfirm, func(w http.ResponseWriter, r *http.Request) {
		var q confirmRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		said, err := api.Confirm(r.Context(), q.Model, q.Drop)
		answer(w)(sentence{said}, err)
	})
	mux.HandleFunc("GET "+pathEntries, func(w http.ResponseWriter, r *http.Request) {
		f, err := parseFilter(r.URL.Query())
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(api.Entries(r.Context(), f))
	})
	mux.HandleFunc("GET "+pathEntries+"/{id}", withID(func(w http.ResponseWriter, r *http.Request, id uint64) {
		answer(w)(api.Entry(r.Context(), id))
	}))
	mux.HandleFunc("POST "+pathEntries+"/{id}/retry", withID(func(w http.ResponseWriter, r *http.Request, id uint64) {
		retry := api.Retry
		if r.URL.Query().Has("late") {
			retry = api.RetryLate
		}
		said, err := retry(r.Context(), id)
		answer(w)(sentence{said}, err)
	}))
	mux.HandleFunc("POST "+pathEntries+"/{id}/discard", withID(func(w http.ResponseWriter, r *http.Request, id uint64) {
		var q discardRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w)(struct{}{}, api.Discard(r.Context(), id, q.Why))
	}))
	mux.HandleFunc("POST "+pathSend, func(w http.ResponseWriter, r *http.Request) {
		var q sendRequest
		if err := readRequest(w, r, &q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		said, err := api.Send(r.Context(), q.Model, q.Key, q.Only...)
		answer(w)(sentence{said}, err)
	})
	if replays, ok := api.(Replays); ok {
		replayRoutes(mux, replays)
	}
	if repairs, ok := api.(Repairs); ok {
		repairRoutes(mux, repairs)
	}
	if resyncs, ok := api.(Resyncs); ok {
		resyncRoutes(mux, resyncs)
	}
	if logs, ok := api.(Logs); ok {
		logRoutes(mux, logs)
	}
	if reloads, ok := api.(Reloads); ok {
		reloadRoutes(mux, reloads)
	}
	if forgets, ok := api.(Forgets); ok {
		forgetRoutes(mux, forgets)
	}
	if supports, ok := api.(Supports); ok {
		supportRoutes(mux, supports)
	}
	if watches, ok := api.(Watches); ok {
		watchRoutes(mux, watches)
	}
	if compares, ok := api.(Comparisons); ok {
		compareRoutes(mux, compares)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("%s %s is not known to this version; use the brazecdc program that also runs", r.Method, r.URL.Path))
	})
	return mux
}

func withID(do func(http.ResponseWriter, *http.Request, uint64)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("read the entry's number %q: not a number", r.PathValue("id")))
			return
		}
		do(w, r, id)
	}
}

func answer(w http.ResponseWriter) func(any, error) {
	return func(v any, err error) {
		if err != nil {
			refuse(w, http.StatusConflict, err)
			return
		}
		body, err := json.Marshal(v)
		if err != nil {
			refuse(w, http.StatusInternalServerError, fmt.Errorf("encode the answer: %w", err))
			return
		}
		write(w, http.StatusOK, body)
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	body, merr := json.Marshal(faultOf(err))
	if merr != nil {
		body = []byte(`{"error":"the fault itself can't be encoded"}`)
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that went away can't be told.
	_, _ = w.Write(body)
}
