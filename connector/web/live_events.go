package web

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	streamsMost  = 50
	streamWrite  = 10 * time.Second // for one write: a reader that takes longer is let go
	streamRemind = 15 * time.Second // between comments that keep proxies from closing a silent stream
	streamAsk    = 5 * time.Second  // between two looks whether who reads is still signed in
	streamAge    = 10 * time.Minute // then the browser connects anew, and who may look is asked again
	retryMillis  = 3000             // after which the browser connects anew
)

// events are the open streams of live figures.
type events struct {
	boot    string // of this process: the number of a tick means nothing to another one
	open    atomic.Int64
	remind  time.Duration
	write   time.Duration
	maximum int64
}

func newEvents() *events {
	return &events{boot: rand.Text()[:8], remind: streamRemind, write: streamWrite, maximum: streamsMost}
}

// id names a tick to a browser.
func (e *events) id(tick int) string { return e.boot + "-" + strconv.Itoa(tick) }

// tick is the number in an id of this process; 0 for any other text.
func (e *events) tick(id string) int {
	boot, num, _ := strings.Cut(id, "-")
	n, err := strconv.Atoi(num)
	if err != nil || boot != e.boot || n < 0 {
		return 0
	}
	return n
}

// Streams is how many pages are live at this moment.
func (s *Server) Streams() int { return int(s.events.open.Load()) }

// since is the tick up to which a browser has everything.
func (r *request) since() int {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("since")
	}
	return r.s.events.tick(id)
}

// eventsNow answers with what changed, once: for browsers that can't have a stream.
func (s *Server) eventsNow(r *request) error {
	names := s.asked(r.URL.Query().Get("topics"))
	if s.live == nil {
		return errUnavailable()
	}
	if len(names) == 0 {
		return errPage(http.StatusBadRequest, "live.error.topics")
	}
	p, _, err := s.patch(r, names, r.since())
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, p)
}

// eventStream sends what changed at each tick, until the browser or the process goes, or a write takes too long.
func (s *Server) eventStream(r *request) error {
	names := s.asked(r.URL.Query().Get("topics"))
	if s.live == nil {
		return errUnavailable()
	}
	if len(names) == 0 {
		return errPage(http.StatusBadRequest, "live.error.topics")
	}
	e := s.events
	if e.open.Add(1) > e.maximum {
		e.open.Add(-1)
		r.W.Header().Set("Retry-After", "5")
		return errPage(http.StatusServiceUnavailable, "live.error.streams")
	}
	defer e.open.Add(-1)
	h := r.W.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	r.W.WriteHeader(http.StatusOK)
	st := stream{r: r, names: names, ctl: http.NewResponseController(r.W)}
	if err := st.send(fmt.Appendf(nil, "retry: %d\n\n", retryMillis)); err != nil {
		return nil //nolint:nilerr // the browser is gone, and nobody can be told
	}
	if err := st.run(); err != nil {
		s.log.Debug("a stream of live figures ended", "component", "web", "err", err)
	}
	return nil
}

// stream is one open page.
type stream struct {
	r     *request
	names []string
	ctl   *http.ResponseController
}

func (st *stream) run() error {
	s, since := st.r.s, st.r.since()
	remind := time.NewTicker(s.events.remind)
	defer remind.Stop()
	over := time.NewTimer(streamAge)
	defer over.Stop()
	ask := time.NewTicker(streamAsk)
	defer ask.Stop()
	for {
		select {
		case <-ask.C:
			if !st.r.stillIn() {
				return nil // the browser connects anew, and is sent to the sign-in
			}
		default:
		}
		next := s.live.next() // before looking, so that no tick is missed
		p, tick, err := s.patch(st.r, st.names, since)
		if err != nil {
			return err
		}
		if since = tick; !p.empty() {
			if err := st.event(p); err != nil {
				return err
			}
			remind.Reset(s.events.remind)
		}
		if more, err := st.wait(next, remind.C, over.C); !more {
			return err
		}
	}
}

// wait waits for the next tick; more is false where the stream is over.
func (st *stream) wait(next <-chan struct{}, remind, over <-chan time.Time) (more bool, err error) {
	for {
		select {
		case <-next:
			return true, nil
		case <-remind:
			if !st.r.stillIn() { // the session is over, or its user was taken out
				return false, nil
			}
			if err := st.send([]byte(": still here\n\n")); err != nil {
				return false, err
			}
		case <-over:
			return false, nil
		case <-st.r.s.stopping:
			return false, nil
		case <-st.r.Context().Done():
			return false, nil
		}
	}
}

// event writes a patch.
func (st *stream) event(p *patch) error {
	b, err := json.Marshal(p) // on one line, since JSON escapes line ends
	if err != nil {
		return fmt.Errorf("encode what changed: %w", err)
	}
	return st.send(fmt.Appendf(nil, "id: %s\nevent: patch\ndata: %s\n\n", p.ID, b))
}

// send writes and flushes within the time a reader has.
func (st *stream) send(b []byte) error {
	if err := st.ctl.SetWriteDeadline(time.Now().Add(st.r.s.events.write)); err != nil {
		return fmt.Errorf("give the write a deadline: %w", err)
	}
	if _, err := st.r.W.Write(b); err != nil {
		return fmt.Errorf("write to the browser: %w", err)
	}
	if err := st.ctl.Flush(); err != nil {
		return fmt.Errorf("write to the browser: %w", err)
	}
	return nil
}
