package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// maxForm bounds a request's body: a whole configuration file, written out for a form, fits.
const maxForm = 4 << 20

// maxPublicForm is that of who has not signed in.
const maxPublicForm = 16 << 10

// Config is what the pages are made of. Every interface may be nil.
type Config struct {
	// File is the path of the configuration, as pages show it.
	File string
	// Version is brazecdc's own.
	Version string
	// Demo puts the mark "demo" on every page.
	Demo bool
	// Workspace gives the label of the Braze workspace, empty while there is none.
	Workspace func() string
	// API gives the running process, or the files where none runs. The function it returns ends the use.
	API func(context.Context) (control.API, func(), error)
	// Change is API for a request that changes something: on the files alone it takes their lock. Default: API.
	Change func(context.Context) (control.API, func(), error)
	// Access says who may use the pages. Default: everybody who reaches the listener by a loopback name.
	Access func() Access
	// Draft is the one draft that all edits go into.
	Draft *draft.Store
	// Parse reads a configuration's text as the process would, secrets expanded. The error is config.Faults where the text is at fault.
	Parse func(text []byte) (*config.Config, error)
	// Ref gives the keyed hash that stands for a user in URLs and in the log. Default, also where it gives nothing: one by a key of this process.
	Ref func(id string) string
	// Charts is the file in which the past of the charts is kept over restarts; empty: it is not.
	Charts string
	// Log takes faults. Default: none.
	Log *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// What the families show and do; each is declared in the family's file.
	Live        LiveViews
	Connections ConnectionsViews
	Models      ModelsViews
	Drafts      DraftViews
	Users       UsersViews
	Quarantine  QuarantineViews
	Alerts      AlertViews
	Support     SupportViews
}

// Server answers for the pages. It is an http.Handler and may be used concurrently.
type Server struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	words *words
	said  said
	pages *pageSets
	files *assetFiles
	mux   *http.ServeMux
	guard http.Handler // the way in
	key   []byte       // of this process, for what a browser keeps for us
	state stateCache

	sessions      sessions
	throttle      throttle
	locked        atomic.Bool // somebody has to sign in, from now on
	answers       answers
	failedSignIns atomic.Int64 // since the start

	live   *feed // nil where Config.Live is
	board  board
	events *events

	named     namedReferences
	heldUsers userRefs
	jobs      heldJobs

	stopping chan struct{} // closed by Stop: streams end
}

// New makes the server. An error is a fault of the program's own files, templates or words.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, now: cfg.Now, key: make([]byte, 32), stopping: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	_, _ = rand.Read(s.key) // it never fails
	s.events = newEvents()
	if cfg.Live != nil {
		s.live = newFeed(cfg.Live, s.now)
		s.live.log, s.live.past.file = s.log, cfg.Charts
		s.live.applied = s.appliedAt
		if cfg.Alerts != nil {
			s.live.alerts = &alerter{s: s, to: cfg.Alerts}
		}
	}
	var err error
	if s.words, err = loadWords(); err != nil {
		return nil, err
	}
	if s.files, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = newPageSets(s); err != nil {
		return nil, err
	}
	s.mux = http.NewServeMux()
	for _, r := range s.routes() {
		s.mux.Handle(r.Method+" "+r.Pattern, s.answers.counted(r.Pattern, s.handle(r)))
	}
	s.mux.Handle("GET "+s.files.prefix, s.answers.counted("/assets/", s.files))
	s.mux.Handle("/", s.answers.counted("other", http.HandlerFunc(s.unknown)))
	s.guard = s.guarded(s.mux)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.guard.ServeHTTP(w, r) }

// handle is one route: session, role, token, and the handler's error as a page.
func (s *Server) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		most := int64(maxForm)
		if rt.Role == Public {
			most = maxPublicForm
		}
		hr.Body = http.MaxBytesReader(w, hr.Body, most)
		r := s.request(w, hr, rt)
		if err := r.answer(); err != nil {
			r.fail(err)
		}
	})
}

// answer asks for what the route wants and calls its handler. A handler's panic ends its own request as a fault, not the connector.
func (r *request) answer() (err error) {
	defer func() {
		if x := recover(); x != nil {
			if x == http.ErrAbortHandler { //nolint:errorlint // that is the value net/http names
				panic(x)
			}
			err = fmt.Errorf("the page %s broke off: %v", r.URL.Path, x)
		}
	}()
	if err := r.admit(); err != nil {
		return err
	}
	return r.route.Handler(r)
}

// unknown answers what no route knows: a method that the path does not take, or no such page.
func (s *Server) unknown(w http.ResponseWriter, hr *http.Request) {
	r := s.request(w, hr, route{Role: Public, family: "core"})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := hr.Clone(hr.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			w.Header().Set("Allow", method)
			r.fail(&pageError{status: http.StatusMethodNotAllowed, key: "core.error.method"})
			return
		}
	}
	r.fail(errNoPage())
}

// stateCache keeps the process' state for a moment, so that many open pages ask it once.
type stateCache struct {
	mu   sync.Mutex
	at   time.Time
	last *control.Status
	err  error
}

const stateFresh = time.Second

// status is the process' status, at most a second old. It waits at most two seconds.
func (s *Server) status(ctx context.Context) (*control.Status, error) {
	if s.cfg.API == nil {
		return nil, errors.New("nothing is known of the process here")
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if now := s.now(); s.state.at.IsZero() || now.Sub(s.state.at) >= stateFresh || now.Before(s.state.at) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		s.state.last, s.state.err = s.askStatus(ctx)
		s.state.at = s.now() // not before it was asked: who waited here meanwhile takes this answer, also where it took long
	}
	return s.state.last, s.state.err
}

func (s *Server) askStatus(ctx context.Context) (*control.Status, error) {
	api, done, err := s.cfg.API(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return api.Status(ctx)
}
