package brazesim

import (
	"encoding/json"
	"maps"
	"time"
	"unicode/utf8"
)

// Counters are the sums over all endpoints since the start or the last Reset.
type Counters struct {
	// Requests counts calls that reached the API, refused ones too; Objects the accepted track objects, ids and pairs; Refused the
	// objects that got an entry of errors.
	Requests int `json:"requests"`
	Objects  int `json:"objects"`
	Refused  int `json:"refused"`
	// DataPoints is what the applied changes cost under the legacy metric (Braze docs, Data points).
	DataPoints int `json:"data_points"`
	// Overlaps counts, per user, requests that arrived while another one with the same user was open.
	Overlaps int `json:"overlaps"`
	// Reordered counts, per user, requests that were applied after a later one.
	Reordered int `json:"reordered"`
	// Duplicates counts events and purchases of a user that equal one recorded before, time and properties included.
	Duplicates int `json:"duplicates"`
	// Missed counts update-only objects whose user did not exist.
	Missed int `json:"missed"`
	// Created, Deleted and Renamed count profiles.
	Created int `json:"created"`
	Deleted int `json:"deleted"`
	Renamed int `json:"renamed"`
}

// EndpointStats are the sums of one endpoint.
type EndpointStats struct {
	Requests   int         `json:"requests"`
	Objects    int         `json:"objects"`
	Refused    int         `json:"refused"`
	DataPoints int         `json:"data_points"`
	Overlaps   int         `json:"overlaps"`
	Reordered  int         `json:"reordered"`
	Bytes      int64       `json:"bytes"`
	Statuses   map[int]int `json:"statuses"` // 0 is a cut connection
}

// Stats is a snapshot of the counters.
type Stats struct {
	Counters
	// Profiles is how many exist now; Open how many requests have no answer yet; Pending how many answered ones are not applied yet.
	Profiles int `json:"profiles"`
	Open     int `json:"open"`
	Pending  int `json:"pending"`
	// Ignored counts values that were dropped without a word, by reason: attribute_name, string_too_long, array_value, nested_discarded,
	// too_large, type_mismatch, preset_value, inc_value, event_property, unknown_user.
	Ignored map[string]int `json:"ignored"`
	// Endpoints is by path; where one has several methods, by both ("PUT /catalogs/{catalog}/items").
	Endpoints map[string]EndpointStats `json:"endpoints"`
}

// Kind says what rule a Violation broke.
type Kind string

const (
	// KindOverlap is a request that arrived while another one of the same user was open.
	KindOverlap Kind = "overlap"
	// KindReordered is a request that was applied after a later one of the same user.
	KindReordered Kind = "reordered"
)

// Violation is one user in two requests that should have been apart. Earlier and Later are the Seq of the requests, by arrival.
type Violation struct {
	Kind       Kind      `json:"kind"`
	ExternalID string    `json:"external_id"`
	Earlier    uint64    `json:"earlier"`
	Later      uint64    `json:"later"`
	Time       time.Time `json:"time"`
}

// keyOf gives what statistics call a request.
func keyOf(method, path string) string {
	if e := endpointOf(method, path); e != nil {
		return e.key
	}
	if all := endpointsAt(path); all != nil {
		return all[0].path
	}
	return "other"
}

// endpoint returns the sums under a key of keyOf.
func (s *Server) endpoint(key string) *EndpointStats {
	e := s.perPath[key]
	if e == nil {
		e = &EndpointStats{Statuses: make(map[int]int)}
		s.perPath[key] = e
	}
	return e
}

func (s *Server) count(c *call, status int) {
	s.counters.Requests++
	s.counters.Objects += c.objects
	s.counters.Refused += c.refused
	e := s.endpoint(keyOf(c.method, c.path))
	e.Requests++
	e.Objects += c.objects
	e.Refused += c.refused
	e.Bytes += int64(len(c.body))
	e.Statuses[status]++
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	out := Stats{Counters: s.counters, Profiles: len(s.all), Open: s.inflight, Pending: len(s.queue),
		Ignored: map[string]int{}, Endpoints: map[string]EndpointStats{}}
	for why, n := range s.ignored {
		if n > 0 {
			out.Ignored[reasonNames[why]] = n
		}
	}
	for path, e := range s.perPath {
		copied := *e
		copied.Statuses = maps.Clone(e.Statuses)
		out.Endpoints[path] = copied
	}
	return out
}

// Violations returns the first 1,000 overlaps and reorderings, oldest first.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	return append([]Violation(nil), s.violations...)
}

// IgnoredValue is one value that was dropped without a word. The value itself is not kept.
type IgnoredValue struct {
	ExternalID string `json:"external_id,omitempty"`
	Name       string `json:"name"` // of the attribute; "properties" for one of an event
	Reason     string `json:"reason"`
}

const keepIgnored = 1000

// ignore counts a value that has no effect, and notes whose it was.
func (s *Server) ignore(p *profile, name nameID, why reason) {
	s.ignored[why]++
	v := IgnoredValue{Name: s.names.text(name), Reason: reasonNames[why]}
	if p.rec != nil {
		v.ExternalID = p.rec.id
	}
	s.dropped = keep(append(s.dropped, v), keepIgnored)
	if why != reasonUnknownUser {
		s.note("%s of %q has no effect: %s", v.Name, v.ExternalID, v.Reason)
	}
}

// Ignored returns the newest 1,000 values that were dropped without a word, newest last; Stats.Ignored counts all.
func (s *Server) Ignored() []IgnoredValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	return append([]IgnoredValue{}, s.dropped...)
}

// Request is one logged call. Its headers, and so the key, are not kept; the Answer of a 401 may echo a wrong key, as Braze's does.
type Request struct {
	Seq    uint64    // order of arrival
	Time   time.Time // of arrival
	Method string
	Path   string
	Status int    // 0 when the connection was cut
	Body   []byte // as received; nil when the log's bound on bytes has let it go
	Answer []byte
	Note   string // why the connection was cut
}

// MarshalJSON shows bodies as JSON where they are JSON, else as text.
func (r Request) MarshalJSON() ([]byte, error) {
	raw := func(b []byte) any {
		switch {
		case len(b) == 0:
			return nil
		case utf8.Valid(b) && validJSON(b):
			return json.RawMessage(b)
		}
		return string(b)
	}
	return json.Marshal(struct {
		Seq    uint64    `json:"seq"`
		Time   time.Time `json:"time"`
		Method string    `json:"method"`
		Path   string    `json:"path"`
		Status int       `json:"status"`
		Body   any       `json:"body"`
		Answer any       `json:"answer"`
		Note   string    `json:"note,omitempty"`
	}{r.Seq, r.Time, r.Method, r.Path, r.Status, raw(r.Body), raw(r.Answer), r.Note})
}

func (r *Request) size() int { return len(r.Body) + len(r.Answer) }

// requestLog keeps the newest requests in a ring.
type requestLog struct {
	ring   []Request
	next   int // where the next one goes once the ring is full
	bytes  int
	oldest int // how many of the oldest have lost their body
}

func (l *requestLog) add(r Request, most, bytes int) {
	if len(l.ring) < most {
		l.ring = append(l.ring, r)
	} else {
		l.bytes -= l.ring[l.next].size()
		l.oldest = max(0, l.oldest-1)
		l.ring[l.next] = r
		l.next = (l.next + 1) % most
	}
	l.bytes += r.size()
	for l.bytes > bytes && l.oldest < len(l.ring) {
		old := &l.ring[(l.next+l.oldest)%len(l.ring)]
		l.bytes -= old.size()
		old.Body, old.Answer = nil, nil
		l.oldest++
	}
}

// Requests returns the newest n logged requests, newest last; n <= 0 returns all that are kept. The bodies must not be changed.
func (s *Server) Requests(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.log
	if n <= 0 || n > len(l.ring) {
		n = len(l.ring)
	}
	out := make([]Request, 0, n)
	for i := len(l.ring) - n; i < len(l.ring); i++ {
		out = append(out, l.ring[(l.next+i)%len(l.ring)])
	}
	return out
}
