package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

// receiver takes messages and answers as a test wants.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   [][]byte
	signed   []string
	statuses []int // of the answers to come; then 200
	wait     chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body) // a cut one fails the test where it is read
		r.mu.Lock()
		r.bodies, r.signed = append(r.bodies, body), append(r.signed, req.Header.Get("X-Brazecdc-Signature"))
		status, wait := http.StatusOK, r.wait
		if len(r.statuses) > 0 {
			status, r.statuses = r.statuses[0], r.statuses[1:]
		}
		r.mu.Unlock()
		if wait != nil {
			select {
			case <-wait:
			case <-req.Context().Done():
			}
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got(t *testing.T) []message {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]message, len(r.bodies))
	for i, b := range r.bodies {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
	}
	return out
}

func newTestWebhook(t *testing.T, url string) *webhook {
	t.Helper()
	w := &webhook{file: filepath.Join(t.TempDir(), "pages", "alert.json"), log: slog.New(slog.DiscardHandler), client: &http.Client{}, first: time.Millisecond, pages: "http://127.0.0.1:8080",
		workspace: func() string { return "shop" }}
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.to = func() (config.Webhook, bool) {
		return config.Webhook{URL: config.Secret(url + "/services/T0/secret-path"), Secret: "sixteen characters"}, true
	}
	t.Cleanup(w.close)
	return w
}

func lateAlert() *web.Alert {
	return &web.Alert{State: web.AlertUrgent, Was: web.AlertWell, Since: time.Now(), Over: []string{}, Reasons: []web.AlertReason{{Kind: "late", Level: web.AlertUrgent, What: "The oldest change has waited for 10 min.", Do: "Look.", Page: "/loads"}}}
}

func TestWebhook(t *testing.T) {
	flush := func(t *testing.T, w *webhook) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if w.Flush(ctx); ctx.Err() != nil {
			t.Fatal("nothing came to an end")
		}
	}
	t.Run("a message says what is so, signed, and without the page's path twice", func(t *testing.T) {
		r := newReceiver(t)
		w := newTestWebhook(t, r.URL)
		w.Changed(lateAlert())
		flush(t, w)
		got := r.got(t)
		if len(got) != 1 || got[0].State != "urgent" || got[0].Was != "well" || got[0].Workspace != "shop" || got[0].Link != "http://127.0.0.1:8080/" || got[0].Reasons[0].Link != "http://127.0.0.1:8080/loads" ||
			!strings.HasPrefix(got[0].Text, "brazecdc shop: urgent. The oldest change") || strings.Contains(string(r.bodies[0]), `"page"`) {
			t.Errorf("got %s", r.bodies[0])
		}
		mac := hmac.New(sha256.New, []byte("sixteen characters"))
		mac.Write(r.bodies[0])
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.signed[0] != want {
			t.Errorf("signed %s, want %s", r.signed[0], want)
		}
		if s := w.Last(); s.Accepted != 1 || s.GivenUp != 0 || s.Sent.IsZero() || !s.On {
			t.Errorf("%+v", s)
		}
		if told := newTestWebhook(t, r.URL); func() bool { told.file = w.file; return told.Told() == nil }() || told.Told().State != "urgent" {
			t.Error("what was told is not known after a restart")
		}
	})
	t.Run("what fails for a while is tried again", func(t *testing.T) {
		r := newReceiver(t)
		r.statuses = []int{503, 429, 500}
		w := newTestWebhook(t, r.URL)
		w.Changed(lateAlert())
		flush(t, w)
		if s := w.Last(); len(r.got(t)) != 4 || s.Accepted != 1 || s.GivenUp != 0 {
			t.Errorf("%d tries, %+v", len(r.got(t)), s)
		}
	})
	t.Run("it is tried so often and no more, and the fault does not show the address", func(t *testing.T) {
		r := newReceiver(t)
		r.statuses = []int{500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500}
		w := newTestWebhook(t, r.URL)
		w.Changed(lateAlert())
		flush(t, w)
		if s := w.Last(); len(r.got(t)) != webhookTries || s.GivenUp != 1 || s.Why == "" || strings.Contains(s.Why, "secret-path") {
			t.Errorf("%d tries, %+v", len(r.got(t)), s)
		}
		r.Close()
		if again, err := w.send(t.Context(), config.Webhook{URL: config.Secret(r.URL + "/secret-path")}, lateAlert(), true); err == nil || !again || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("again %v, %v", again, err)
		}
	})
	t.Run("a refusal and a redirect are final", func(t *testing.T) {
		for _, status := range []int{404, 302} {
			r := newReceiver(t)
			r.statuses = []int{status}
			w := newTestWebhook(t, r.URL)
			w.Changed(lateAlert())
			flush(t, w)
			if s := w.Last(); len(r.got(t)) != 1 || s.GivenUp != 1 {
				t.Errorf("%d: %d tries, %+v", status, len(r.got(t)), s)
			}
		}
	})
	t.Run("telling does not wait for a receiver, and a newer state takes the place of an older one", func(t *testing.T) {
		r := newReceiver(t)
		r.wait = make(chan struct{})
		w := newTestWebhook(t, r.URL)
		w.Changed(lateAlert())
		eventually(t, "the first is on its way", func() bool { return len(r.got(t)) == 1 })
		well := &web.Alert{State: web.AlertWell, Was: web.AlertUrgent, Since: time.Now(), Over: []string{"late"}}
		w.Changed(well)
		eventually(t, "the second is on its way", func() bool { return len(r.got(t)) == 2 })
		close(r.wait)
		flush(t, w)
		if s := w.Last(); s.Accepted != 1 || s.GivenUp != 0 || r.got(t)[1].State != "well" {
			t.Errorf("%+v", s)
		}
	})
}

// TestWebhookOfARun has a process that Braze refuses tell that it stopped, without pages.
func TestWebhookOfARun(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, plainModel)
	text := strings.Replace(b.text, `web: { listen: "127.0.0.1:0" }`, `web: { listen: "" }`+"\nops: { webhook: { url: \""+r.URL+"\", pages: \"https://cdc.example.com\" } }", 1)
	b.write(strings.Replace(text, "${BRAZE_API_KEY}", "another-key-0815", 1))
	b.exec(`INSERT INTO users (id, email) VALUES ('u-1', 'a@example.com')`)
	p := b.runUnready()
	b.until("it ends", p.ended)
	if code := p.cmd.ProcessState.ExitCode(); code != connector.ExitKeyRefused {
		t.Fatalf("it ended with exit code %d\n%s", code, p.err.String())
	}
	got := r.got(t)
	if len(got) != 1 || got[0].State != web.AlertStopped || got[0].Reasons[0].Kind != "stop_key" || got[0].Link != "https://cdc.example.com/" || got[0].Instance == "" {
		t.Fatalf("told %+v", got)
	}
}

// TestWebhookTellsWhatNeedsSomebody has a running process tell that deletes wait, and that they no longer do.
func TestWebhookTellsWhatNeedsSomebody(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, plainModel+"\ndeletes: { max: 1, window: 10m }")
	b.edit("limits: {", "ops: { webhook: { url: \""+r.URL+"/hook\" } }\nlimits: {")
	b.exec(`INSERT INTO users (id, email, plan) SELECT 'u-' || i, 'u' || i || '@example.com', 'pro' FROM generate_series(1, 9) i`)
	b.run()
	b.arrives("u-9", "plan", `"pro"`)
	b.exec(`DELETE FROM users WHERE id IN ('u-1', 'u-2', 'u-3', 'u-4')`)
	b.until("it is told that deletes wait", func() bool { return len(r.got(t)) == 1 })
	m := r.got(t)[0]
	if m.State != web.AlertWarn || m.Was != web.AlertWell || len(m.Reasons) != 1 || m.Reasons[0].Kind != "deletes_held" || m.Reasons[0].Model != "users" || m.Reasons[0].Link != "http://"+b.listen+"/quarantine/decide/users" {
		t.Errorf("told %+v", m)
	}
	if strings.Contains(string(r.bodies[0]), "u-1") || strings.Contains(string(r.bodies[0]), "@example.com") {
		t.Errorf("values of rows are told: %s", r.bodies[0])
	}
	_, metrics := b.get("/metrics")
	wantIn(t, metrics, `brazecdc_webhook_messages_total{outcome="accepted"} 1`, `brazecdc_webhook_messages_total{outcome="given_up"} 0`)
	b.must("confirm", "users", "--drop", "--yes")
	b.until("it is told that all is well", func() bool { return len(r.got(t)) == 2 })
	if m = r.got(t)[1]; m.State != web.AlertWell || len(m.Over) != 1 || m.Over[0] != "deletes_held" {
		t.Errorf("told %+v", m)
	}
}

// TestWebhookOfAStreamStartedInThePages has a stream that "brazecdc ui" started end by a fault, while the pages go on.
func TestWebhookOfAStreamStartedInThePages(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := newBench(t, strings.Replace(plainModel, "load: all", "load: none", 1))
	b.write(b.text + "\nops: { webhook: { url: \"" + r.URL + "\" } }\n")
	_, base := startUI(t, b.env, b.config())
	g := newGerman(t, base)
	g.post("/setup/start", "how", "now")
	b.until("the stream works", func() bool { return strings.Contains(g.get("/"), "Nichts wartet auf Sie") })
	b.fault(brazesim.Fault{Endpoint: "/users/track", Status: http.StatusUnauthorized})
	b.exec(`INSERT INTO users (id, email) VALUES ('u-1', 'a@example.com')`)
	b.until("somebody is told", func() bool { return len(r.got(t)) > 0 })
	if got := r.got(t)[0]; got.State != web.AlertStopped || got.Reasons[0].Kind != "stop_key" || got.Link != base+"/" {
		t.Errorf("told %+v", got)
	}
}
