package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// life is one run of one member's process, from its start to its end.
type life struct {
	member, run int
	p           *process
	// cuts are when it got SIGKILL, lost partitions without being asked, or gave some away with work unfinished. What it had sent and not
	// recorded by then is sent again.
	cuts   []time.Time
	killed time.Time // what arrives of it later was on its way before
}

func (l *life) String() string { return fmt.Sprintf("member %d, run %d", l.member, l.run) }

// send is one object that reached Braze.
type send struct {
	by     *life
	at     time.Time
	v      int64 // 0: a delete
	status int
}

// witness stands between the members and the simulator, with an address for each member, and writes down who sent what in which order.
type witness struct {
	mu    sync.Mutex
	lives []*life // the present one of each member
	all   []*life
	users map[string][]*send
	calls map[*life]int
}

// serve gives a member an address of its own, whose requests go on to the simulator.
func (w *witness) serve(t *testing.T, member int, sim http.Handler) (endpoint string) {
	t.Helper()
	present := func() *life {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.lives[member]
	}
	return serveWitnessed(t, sim, present, func(by *life, path string, body []byte) (answered func(status int)) {
		sent := w.note(by, path, body)
		return func(status int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range sent {
				s.status = status
			}
		}
	})
}

type runKey struct{}

// serveWitnessed serves the simulator with a witness before it, who hears of each request which run it is of, and what it is answered. The run is the one that
// was present when the connection came, so that what a killed process left behind is not taken for its successor's.
func serveWitnessed[R any](t *testing.T, sim http.Handler, present func() R, note func(by R, path string, body []byte) (answered func(status int))) (endpoint string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: patience,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, runKey{}, present())
		},
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			by, _ := r.Context().Value(runKey{}).(R)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // the process was killed while it wrote: the request never reached Braze
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			answered := note(by, r.URL.Path, body)
			out := &statusOf{ResponseWriter: rw, status: http.StatusOK}
			sim.ServeHTTP(out, r)
			answered(out.status)
		}),
	}
	go func() { _ = srv.Serve(ln) }() // ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + ln.Addr().String()
}

// statusOf remembers the status that goes out.
type statusOf struct {
	http.ResponseWriter
	status int
}

func (s *statusOf) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusOf) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// note writes a request down before it takes effect.
func (w *witness) note(by *life, path string, body []byte) (sent []*send) {
	var of sentUsers
	if path != "/users/track" && path != "/users/delete" || json.Unmarshal(body, &of) != nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	add := func(id string, v int64) {
		s := &send{by: by, at: time.Now(), v: v}
		w.users[id] = append(w.users[id], s)
		sent = append(sent, s)
	}
	for _, a := range of.Attributes {
		v, err := strconv.ParseInt(string(a.V), 10, 64)
		if err != nil {
			v = -1 // every change has another v, so none may lack it
		}
		add(a.ID, v)
	}
	for _, id := range of.IDs {
		add(id, 0)
	}
	w.calls[by]++
	return sent
}

// begin gives a member its next life.
func (w *witness) begin(member int) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lives) <= member {
		w.lives = append(w.lives, nil)
	}
	l := &life{member: member, run: 1}
	if old := w.lives[member]; old != nil {
		l.run = old.run + 1
	}
	w.lives[member] = l
	w.all = append(w.all, l)
	return l
}

// kill writes down that a life is over.
func (w *witness) kill(l *life) {
	w.mu.Lock()
	l.killed = time.Now()
	l.cuts = append(l.cuts, l.killed)
	w.mu.Unlock()
}

// cut writes down that what a life had sent may be sent again.
func (w *witness) cut(l *life, at time.Time) {
	w.mu.Lock()
	l.cuts = append(l.cuts, at)
	w.mu.Unlock()
}

// cutBetween gives the first cut from one moment to another.
func (l *life) cutBetween(from, to time.Time) (at time.Time, ok bool) {
	if !l.killed.IsZero() && from.After(l.killed) {
		from = l.killed
	}
	for _, c := range l.cuts {
		if !c.Before(from) && c.Before(to) && (!ok || c.Before(at)) {
			at, ok = c, true
		}
	}
	return at, ok
}

// repeats are what was sent more than once, and how long before the kill that excuses it it had been sent first.
type repeats struct {
	attributes, deletes []time.Duration
}

func (r *repeats) add(isDelete bool, before time.Duration) {
	if isDelete {
		r.deletes = append(r.deletes, before)
	} else {
		r.attributes = append(r.attributes, before)
	}
}

// spread gives how many repeats there are, and how long before the cut what they repeat was sent: in the middle, and at most.
func spread(windows []time.Duration) string {
	if len(windows) == 0 {
		return "none"
	}
	w := slices.Sorted(slices.Values(windows))
	return fmt.Sprintf("%d (sent %s before the kill, %s at most)", len(w), w[len(w)/2].Round(time.Millisecond), w[len(w)-1].Round(time.Millisecond))
}

// reached is one accepted send with the change of the history that it was for.
type reached struct {
	*send
	pos int64
}

// judge goes through what reached Braze of each user, in order. A send goes forward in the user's history, or it repeats: then whoever had sent as much
// or more before must have been killed since, or lost the partition.
func (w *witness) judge(t *testing.T, world *world) repeats {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var total repeats
	faults := 0
	for id, sends := range w.users {
		if err := w.judgeUser(world.history(id), sends, &total); err != nil {
			if faults++; faults <= 5 {
				t.Errorf("%s: %v\n%s", id, err, story(world.history(id), sends))
			}
		}
	}
	if faults > 5 {
		t.Errorf("the same of %d users", faults)
	}
	return total
}

func (w *witness) judgeUser(past []happened, sends []*send, total *repeats) error {
	var before []reached
	at := int64(0) // how far in the history Braze was brought
	for _, s := range sends {
		if s.status != http.StatusCreated && s.status != http.StatusOK {
			continue
		}
		pos := s.v
		if s.v == 0 {
			pos = deleteAfter(past, at, s.at)
		}
		if !slices.ContainsFunc(past, func(h happened) bool { return h.v == pos && h.delete == (s.v == 0) }) {
			return fmt.Errorf("%s sent v %d, which the row never had", s.by, s.v)
		}
		if pos > at {
			before, at = append(before, reached{s, pos}), pos
			continue
		}
		window := time.Duration(-1)
		for _, b := range before {
			if b.pos < pos {
				continue
			}
			cut, ok := b.by.cutBetween(b.at, s.at)
			if !ok && s.v != 0 && b.by == s.by && b.pos == pos {
				// What waited for a deleted user lay in the state topic, and was sent from there; then its record was read again.
				cut, ok = w.cutSince(past, pos, b.at)
			}
			if !ok && s.v == 0 && b.by == s.by && b.pos == pos {
				cut, ok = earlierDelete(past, before, b)
			}
			if !ok {
				return fmt.Errorf("%s sent change %d at %s, though %s had sent %d at %s and was not killed between", s.by, pos, clock(s.at), b.by, b.pos, clock(b.at))
			}
			window = max(window, cut.Sub(b.at), 0)
		}
		total.add(s.v == 0, window)
		before = append(before, reached{s, pos})
	}
	return nil
}

// earlierDelete gives the cut that excuses a delete which was taken for the next one of the history, because calls do not say which they are for, and was
// an earlier one again: the one that came after it is the next one.
func earlierDelete(past []happened, before []reached, again reached) (at time.Time, ok bool) {
	for _, h := range past {
		if !h.delete || h.v >= again.pos {
			continue
		}
		for _, b := range before {
			if b.pos < h.v || !b.at.Before(again.at) {
				continue
			}
			if c, is := b.by.cutBetween(b.at, again.at); is && (!ok || c.Before(at)) {
				at, ok = c, true
			}
		}
	}
	return at, ok
}

// cutSince gives the first cut of anybody between a change and a later moment.
func (w *witness) cutSince(past []happened, pos int64, to time.Time) (at time.Time, ok bool) {
	i := slices.IndexFunc(past, func(h happened) bool { return h.v == pos })
	for _, l := range w.all {
		if c, is := l.cutBetween(past[i].at, to); is && (!ok || c.Before(at)) {
			at, ok = c, true
		}
	}
	return at, ok
}

// deleteAfter finds which delete of a history a call was for: the next one, where it had happened by then, else the last one, again.
func deleteAfter(past []happened, at int64, by time.Time) int64 {
	pos := int64(0)
	for _, h := range past {
		switch {
		case !h.delete:
		case h.v <= at:
			pos = h.v
		case h.at.Before(by):
			return h.v
		}
	}
	return pos
}

func clock(at time.Time) string { return at.Format("15:04:05.000") }

// story tells a user's history and what was sent, for a failed test.
func story(past []happened, sends []*send) string {
	var b bytes.Buffer
	for _, h := range past {
		what := "row"
		if h.delete {
			what = "delete"
		}
		fmt.Fprintf(&b, "  %s %s %d\n", clock(h.at), what, h.v)
	}
	for _, s := range sends {
		fmt.Fprintf(&b, "  %s %s sent v %d (0: delete), status %d", clock(s.at), s.by, s.v, s.status)
		for _, c := range s.by.cuts {
			fmt.Fprintf(&b, ", cut at %s", clock(c))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
