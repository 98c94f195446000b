package web

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"brazecdc/connector/control"
)

// reader is a browser's end of a stream.
type reader struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

// stream opens a stream of topics; since is the id of the last event, or empty.
func (s *site) stream(topics, since string) *reader {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/events?topics="+topics, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", s.lang)
	if since != "" {
		req.Header.Set("Last-Event-ID", since)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return &reader{s.t, resp, in}
}

// event gives the next event, over comments and the like.
func (r *reader) event() patch {
	r.t.Helper()
	for r.in.Scan() {
		if data, ok := strings.CutPrefix(r.in.Text(), "data: "); ok {
			var p patch
			if err := json.Unmarshal([]byte(data), &p); err != nil {
				r.t.Fatal(err)
			}
			return p
		}
	}
	r.t.Fatalf("the stream ended: %v", r.in.Err())
	return patch{}
}

// tickNow adds a second to the process.
func tickNow(s *site, c *clock, sec int, change func(*control.Status)) {
	now := c.add(time.Second)
	st := running(now.Add(-time.Duration(sec)*time.Second), sec)
	if change != nil {
		change(st)
	}
	s.server.live.take(now, st, nil)
}

func TestEvents(t *testing.T) {
	t.Run("sends everything at first, then what changed", func(t *testing.T) {
		s, _, c := livePast(t, 5, nil)
		r := s.stream("live", "")
		if h := r.resp.Header; h.Get("Content-Type") != "text/event-stream; charset=utf-8" || h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", h)
		}
		first := r.event()
		if first.Text["sentence"] != "Running, on time." || first.Text["in"] != "10" || !strings.Contains(first.HTML["state"], "Running") || first.ID == "" {
			t.Errorf("%+v", first)
		}
		tickNow(s, c, 6, func(st *control.Status) { st.LagSeconds = 30 })
		second := r.event()
		if _, ok := second.HTML["budgets"]; ok || second.Text["sentence"] != "Running, 30 s behind." || second.ID == first.ID {
			t.Errorf("%+v", second)
		}
	})
	t.Run("goes on behind the last event, and begins anew after a restart of the process", func(t *testing.T) {
		s, _, c := livePast(t, 5, nil)
		first := s.stream("live", "").event()
		tickNow(s, c, 6, func(st *control.Status) { st.LagSeconds = 30 })
		again := s.stream("live", first.ID).event()
		if _, ok := again.Text["kept"]; ok || again.Text["sentence"] != "Running, 30 s behind." {
			t.Errorf("%+v", again)
		}
		for _, id := range []string{"other-3", "", "x", s.server.events.boot + "-999999999999999999999", s.server.events.boot + "--4"} {
			if p := s.stream("live", id).event(); p.Text["kept"] == "" {
				t.Errorf("behind %q: %+v", id, p)
			}
		}
	})
	t.Run("answers once who can't have a stream", func(t *testing.T) {
		s, _, _ := livePast(t, 5, nil)
		a := s.get("/events/now?topics=live,charts")
		a.wants(t, http.StatusOK, `"sentence":"Running, on time."`, `"chart.flow":"`)
		var p patch
		if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
			t.Fatal(err)
		}
		a = s.get("/events/now?topics=live,charts&since=" + p.ID)
		a.wants(t, http.StatusOK, p.ID)
		a.lacks(t, "sentence")
	})
	t.Run("draws charts every five ticks", func(t *testing.T) {
		s, _, c := livePast(t, 5, nil)
		first := s.stream("charts", "").event()
		if !strings.Contains(first.HTML["chart.flow"], "<svg") || !strings.Contains(first.HTML["chart.flow.rows"], "<table") {
			t.Errorf("%+v", first)
		}
		tick := func(id string) int { return s.server.events.tick(id) }
		r := s.stream("charts", first.ID)
		for i := range 6 {
			tickNow(s, c, 6+i, nil)
		}
		if next := r.event(); tick(next.ID)-tick(first.ID) < 5 {
			t.Errorf("charts again after %d ticks", tick(next.ID)-tick(first.ID))
		}
	})
	t.Run("refuses topics that there are not", func(t *testing.T) {
		s, _, _ := livePast(t, 1, nil)
		for _, path := range []string{"/events", "/events?topics=", "/events?topics=nothing", "/events/now?topics=,,"} {
			if a := s.get(path); a.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", path, a.Code)
			}
		}
		if a := newSite(t, Config{}).get("/events?topics=live"); a.Code != http.StatusServiceUnavailable {
			t.Errorf("without a process: %d", a.Code)
		}
	})
	t.Run("has room for fifty and sends the others away", func(t *testing.T) {
		s, _, _ := livePast(t, 1, nil)
		s.server.events.maximum = 2
		for range 2 {
			s.stream("live", "").event()
		}
		if n := s.server.Streams(); n != 2 {
			t.Errorf("%d streams are open", n)
		}
		if r := s.stream("live", ""); r.resp.StatusCode != http.StatusServiceUnavailable || r.resp.Header.Get("Retry-After") == "" {
			t.Errorf("the third: %d", r.resp.StatusCode)
		}
	})
	t.Run("says that it is there while nothing changes", func(t *testing.T) {
		s, _, _ := livePast(t, 1, nil)
		s.server.events.remind = time.Millisecond
		r := s.stream("live", "")
		for r.in.Scan() {
			if r.in.Text() == ": still here" {
				return
			}
		}
		t.Error("the stream ended without a comment")
	})
}

func TestEventsEnd(t *testing.T) {
	t.Run("ends streams first, so that an open page holds no stop up", func(t *testing.T) {
		f := &fakeLive{st: running(time.Now(), 1)}
		server, err := New(Config{Live: f})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(server)
		srv.Config.RegisterOnShutdown(server.Stop)
		sampled := make(chan struct{})
		go func() { defer close(sampled); server.Sample() }()
		s := &site{t: t, server: server, url: srv.URL, client: newBrowser(t), lang: "en"}
		r := s.stream("live", "")
		r.event()
		if err := srv.Config.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		for r.in.Scan() { // to its end
		}
		<-sampled
		srv.Close()
		if n := server.Streams(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
	t.Run("lets a reader go that does not read, and nobody waits for it", func(t *testing.T) {
		s, _, c := livePast(t, 5, nil)
		s.server.events.write = 50 * time.Millisecond
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if err := conn.(*net.TCPConn).SetReadBuffer(2048); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /events?topics=live,charts HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		for s.server.Streams() == 0 {
			<-time.After(time.Millisecond)
		}
		deadline := time.After(30 * time.Second)
		for i := 0; s.server.Streams() > 0; i++ {
			select {
			case <-deadline:
				t.Fatal("the reader is still there")
			default:
				s.server.board.forget() // everything is new, so that the reader's buffers fill
				tickNow(s, c, 6+i, func(st *control.Status) { st.LagSeconds = float64(3 + i%100) })
			}
		}
	})
}

// forget makes everything new to everybody.
func (b *board) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frames = nil
}
