package brazesim

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Server is one simulated workspace. It is an http.Handler; its methods may be called concurrently.
type Server struct {
	cfg   Config
	names *names
	// broken is what is wrong with cfg.
	broken     error
	poolLimits map[string]Limit

	mu          sync.Mutex
	recs        map[string]*record
	handles     map[handle]*record
	all         map[*profile]struct{}
	addresses   map[address][]*profile
	types       []attrType
	catalogs    map[string]*catalog
	waiting     map[address][]waitingState
	lastProfile uint64
	lastEvent   uint64
	writer      writer
	random      *rand.Rand

	clock      uint64 // counts arrivals and answers, so that their order is known
	epoch      uint64 // counts Resets
	inflight   int
	queue      pendingHeap
	timer      *time.Timer
	idle       []chan struct{}
	counters   Counters
	ignored    [reasonCount]int
	perPath    map[string]*EndpointStats
	violations []Violation
	dropped    []IgnoredValue
	unasked    []string
	log        requestLog
	faults     []*armed
	windows    map[string]*window

	http *http.Server
	done chan struct{}
}

// New returns a workspace without users. If cfg.Validate complains, Start returns its error and every request is answered with it.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults(), names: newNames(), broken: cfg.Validate()}
	s.poolLimits = make(map[string]Limit, len(cfg.Limits))
	for path, l := range cfg.Limits {
		for _, ep := range endpointsAt(path) {
			s.poolLimits[ep.pool] = l
		}
	}
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s.random = rand.New(rand.NewPCG(seed, 0x6272617a65))
	s.clear()
	return s
}

// clear empties the workspace; the caller holds mu or is alone.
func (s *Server) clear() {
	s.recs, s.handles, s.all = make(map[string]*record), make(map[handle]*record), make(map[*profile]struct{})
	s.addresses, s.violations, s.faults, s.dropped, s.unasked = nil, nil, nil, nil, nil
	s.waiting = make(map[address][]waitingState)
	s.catalogs = make(map[string]*catalog, len(s.cfg.Catalogs))
	for _, c := range s.cfg.Catalogs {
		s.addCatalog(c)
	}
	s.types = make([]attrType, len(s.cfg.Types)+int(nameDynamic))
	s.counters, s.ignored = Counters{}, [reasonCount]int{}
	s.perPath, s.windows = make(map[string]*EndpointStats), make(map[string]*window)
	s.log = requestLog{}
	s.queue = nil
	s.epoch++
	for name, typ := range s.cfg.Types {
		m := member{name: s.names.id([]byte(name)), typ: typeNames[typ]}
		s.accepts(&m)
	}
}

// Reset forgets users, types, statistics, the log, faults and what is not yet applied.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.wakeIdle()
}

// Start serves on a TCP address (port 0 picks one) and returns the base URL. Close ends it.
func (s *Server) Start(listen string) (url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return "", s.broken
	}
	if s.http != nil {
		return "", errors.New("start brazesim: it is serving already")
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return "", fmt.Errorf("start brazesim on %q: %w", listen, err)
	}
	server, done := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})
	s.http, s.done = server, done
	go func() {
		defer close(done)
		// Serve ends with ErrServerClosed on Close; any other end shows to clients as refused connections.
		_ = server.Serve(ln)
	}()
	return "http://" + ln.Addr().String(), nil
}

// Shutdown stops taking requests, waits for the open ones until ctx ends, then closes. Effects not applied yet are dropped.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	server, done := s.http, s.done
	s.http = nil
	s.mu.Unlock()
	var err error
	if server != nil {
		if err = server.Shutdown(ctx); err != nil {
			err = errors.Join(err, server.Close())
		}
		<-done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	return err
}

// Close stops serving at once, cutting open requests.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close brazesim: %w", err)
	}
	return nil
}

// call is one request on its way.
type call struct {
	seq     uint64 // order of arrival
	epoch   uint64
	began   time.Time
	method  string
	path    string
	body    []byte
	recs    []*record
	objects int
	refused int
	note    string
}

// is tells whether a call is what a fault names: its path, or method and path, of this catalog or any.
func (c *call) is(name string) bool {
	return name == c.path || name == c.method+" "+c.path || name == keyOf(c.method, c.path) || name == itemsPath && catalogIn(c.path) != ""
}

// reply is what a client gets.
type reply struct {
	status int
	body   []byte
	header map[string]string
}

func refusal(status int, message string) *reply {
	return &reply{status: status, body: append(appendQuoted([]byte(`{"message":`), []byte(message)), '}')}
}

var invalidJSON = refusal(400, "Invalid JSON: the request body could not be parsed")

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.broken != nil {
		http.Error(w, s.broken.Error(), http.StatusInternalServerError)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/_sim/") {
		s.control(w, r)
		return
	}
	s.mu.Lock()
	s.clock++
	s.inflight++
	c := &call{seq: s.clock, epoch: s.epoch, began: s.cfg.Now(), method: r.Method, path: r.URL.Path}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inflight--
		s.wakeIdle()
		s.mu.Unlock()
	}()
	s.serve(w, r, c)
}

// serve takes one request through authorisation, rate limit, faults and effect.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, c *call) {
	ep := endpointOf(c.method, c.path)
	bad := s.read(w, r, c)
	if bad == nil {
		bad = s.admit(ep, r)
	}
	headers, limited := s.limit(ep, bad == nil)
	if bad == nil {
		bad = limited
	}
	if bad != nil {
		s.finish(w, c, bad, headers)
		return
	}
	f := s.takeFault(c)
	eff, bad := s.parse(ep, r, c)
	if bad != nil {
		s.noteBody(c, bad)
	}
	s.register(c, eff, f)
	if !f.wait(r.Context()) {
		s.drop(w, c, "client gone")
		return
	}
	if f.Cut == CutBefore {
		s.drop(w, c, "cut before taking effect")
		return
	}
	if f.Status != 0 && !f.Effect {
		s.finish(w, c, f.reply(), headers)
		return
	}
	if bad == nil {
		bad = s.take(c, eff)
	}
	switch {
	case f.Cut == CutAfter:
		s.drop(w, c, "cut after taking effect")
	case f.Status != 0:
		s.finish(w, c, f.reply(), headers)
	default:
		for k, v := range f.Headers {
			headers[k] = v
		}
		s.finish(w, c, bad, headers)
	}
}

// read takes the body in; above the limit the answer is 413 (Braze docs, Create and update users).
func (s *Server) read(w http.ResponseWriter, r *http.Request, c *call) *reply {
	if r.Body == nil {
		return nil
	}
	tooBig := refusal(413, "Request body is larger than "+strconv.FormatInt(s.cfg.MaxBody, 10)+" bytes")
	if r.ContentLength > s.cfg.MaxBody {
		w.Header().Set("Connection", "close")
		// Taking some of it in lets the client read the answer instead of a broken pipe.
		_, _ = io.CopyN(io.Discard, r.Body, 4*s.cfg.MaxBody)
		return tooBig
	}
	var err error
	if r.ContentLength > 0 {
		c.body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, c.body)
	} else {
		c.body, err = io.ReadAll(io.LimitReader(r.Body, s.cfg.MaxBody+1))
	}
	switch {
	case err != nil:
		return refusal(400, "The request body ended early")
	case int64(len(c.body)) > s.cfg.MaxBody:
		w.Header().Set("Connection", "close")
		return tooBig
	}
	return nil
}

// admit checks URL, key and content type (Braze docs, API overview; Errors and responses).
func (s *Server) admit(ep *endpoint, r *http.Request) *reply {
	if ep == nil {
		return refusal(404, "Not found")
	}
	key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !bearer:
		return refusal(401, "Error authenticating credentials")
	case s.cfg.APIKey != "" && subtle.ConstantTimeCompare([]byte(key), []byte(s.cfg.APIKey)) != 1, key == "":
		return refusal(401, "Invalid API key: "+key) // real answers were seen to echo the key
	}
	if ep.method != http.MethodGet {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "application/json" {
			return refusal(415, "Content-Type must be application/json")
		}
	}
	return nil
}

func (s *Server) parse(ep *endpoint, r *http.Request, c *call) (effect, *reply) {
	if ep.method != http.MethodGet && (len(c.body) == 0 || !utf8.Valid(c.body)) {
		return nil, invalidJSON
	}
	switch {
	case ep.query != nil:
		return ep.query(s, r.URL.Query())
	case ep.items != nil:
		return ep.items(s, catalogIn(c.path), c.body)
	}
	return ep.parse(s, c.body)
}

// finish logs the answer and sends it. The log comes first, so that a client that has its answer finds it there.
func (s *Server) finish(w http.ResponseWriter, c *call, r *reply, headers map[string]string) {
	s.close(c, r.status, r.body)
	h := w.Header()
	for _, set := range []map[string]string{headers, r.header} {
		for k, v := range set {
			h.Set(k, v)
		}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
	// A client that left has no use for the answer.
	_, _ = w.Write(r.body)
}

// drop closes the connection without an answer.
func (s *Server) drop(w http.ResponseWriter, c *call, note string) {
	c.note = note
	s.close(c, 0, nil)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to cut an answer short
	}
	_ = conn.Close()
}
