package web

import (
	"maps"
	"net/http"
	"sync"
)

// Figures are what the server has counted since its start.
type Figures struct {
	// Requests by route and status. The route is a pattern of the table, "/assets/", or "other".
	Requests map[RouteCode]int64
	// FailedSignIns are passwords that were wrong.
	FailedSignIns int64
	// Alerts is how telling people went who look at no page.
	Alerts AlertSent
}

// RouteCode is one kind of answer.
type RouteCode struct {
	Route string
	Code  int
}

// Figures gives what was counted.
func (s *Server) Figures() Figures {
	s.answers.mu.Lock()
	defer s.answers.mu.Unlock()
	f := Figures{Requests: maps.Clone(s.answers.of), FailedSignIns: s.failedSignIns.Load()}
	if s.cfg.Alerts != nil {
		f.Alerts = s.cfg.Alerts.Last()
	}
	return f
}

// answers counts by route and status.
type answers struct {
	mu sync.Mutex
	of map[RouteCode]int64
}

// counted notes how a handler's requests were answered.
func (a *answers) counted(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &coded{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.of == nil {
				a.of = map[RouteCode]int64{}
			}
			a.of[RouteCode{route, seen.code}]++
		}()
		next.ServeHTTP(seen, r)
	})
}

// coded remembers the status of an answer.
type coded struct {
	http.ResponseWriter
	code  int
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (c *coded) WriteHeader(code int) {
	if !c.begun && code >= http.StatusOK {
		c.code, c.begun = code, true
	}
	c.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (c *coded) Write(b []byte) (int, error) {
	c.begun = true
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach what streams need.
func (c *coded) Unwrap() http.ResponseWriter { return c.ResponseWriter }
