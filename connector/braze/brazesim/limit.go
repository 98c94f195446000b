package brazesim

import (
	"net/http"
	"strconv"
	"time"
)

// everything is the pool of all other endpoints (Braze docs, Rate limits).
var everything = endpoint{pool: "everything", limit: Limit{250000, time.Hour}}

// window counts the requests of one pool in its present window.
type window struct {
	start time.Time
	used  int
}

// limitOf returns a pool's limit, or false if it has none.
func (s *Server) limitOf(ep *endpoint) (Limit, bool) {
	if ep.path == "/users/track" && s.cfg.Limit.Requests > 0 {
		return s.cfg.Limit, true
	}
	if l, ok := s.poolLimits[ep.pool]; ok {
		return l, true
	}
	return ep.limit, s.cfg.RateStyle != RateNone
}

// limit counts a request and returns the rate headers, and a 429 when the window is used up.
func (s *Server) limit(ep *endpoint, counts bool) (map[string]string, *reply) {
	headers := make(map[string]string, 4)
	if ep == nil {
		ep = &everything
	}
	l, limited := s.limitOf(ep)
	if !limited {
		return headers, nil
	}
	now := s.cfg.Now()
	start := now.Truncate(l.Window) // windows keep to the clock, they do not roll
	s.mu.Lock()
	w := s.windows[ep.pool]
	if w == nil || !w.start.Equal(start) {
		w = &window{start: start}
		s.windows[ep.pool] = w
	}
	over := counts && w.used >= l.Requests
	if counts && !over {
		w.used++
	}
	left := max(0, l.Requests-w.used)
	s.mu.Unlock()

	end := start.Add(l.Window)
	seconds := strconv.Itoa(int((end.Sub(now) + time.Second - 1) / time.Second))
	if over && s.cfg.RateStyle == RateMAU {
		headers["X-Ratelimit-Retry-After"] = seconds
	} else if s.cfg.RateStyle != RateNone {
		headers["X-RateLimit-Limit"] = strconv.Itoa(l.Requests)
		headers["X-RateLimit-Remaining"] = strconv.Itoa(left)
		headers["X-RateLimit-Reset"] = seconds
		if s.cfg.RateStyle == RateEpoch || s.cfg.RateStyle == RateDate {
			headers["X-RateLimit-Reset"] = strconv.FormatInt(end.Add(time.Second-1).Unix(), 10)
		}
		if over && s.cfg.RateStyle == RateDate {
			headers["Retry-After"] = end.Add(time.Second - 1).UTC().Format(http.TimeFormat)
		}
	}
	if over {
		return headers, refusal(429, "Rate limit exceeded")
	}
	return headers, nil
}
