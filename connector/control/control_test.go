package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process answers like a running one and notes what it was asked.
type process struct {
	asked []string
	fail  error
}

func (p *process) note(format string, args ...any) error {
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
	return p.fail
}

func (p *process) Status(context.Context) (*control.Status, error) {
	return &control.Status{Version: "1.2.3", PID: 7, Status: connector.Status{State: "running", LagSeconds: 1.5}}, p.note("status")
}

func (p *process) Pending(context.Context) ([]connector.Confirmation, error) {
	return []connector.Confirmation{{Model: "customers", Kind: "truncate", Count: 3}}, p.note("pending")
}

func (p *process) Confirm(_ context.Context, model string, drop bool) (string, error) {
	return "loaded again", p.note("confirm %s %v", model, drop)
}

func (p *process) Entries(_ context.Context, f connector.EntryFilter) ([]connector.Entry, error) {
	return []connector.Entry{{ID: 17, Model: "customers"}}, p.note("entries %+v", f)
}

func (p *process) Entry(_ context.Context, id uint64) (*connector.Entry, error) {
	return &connector.Entry{ID: id, After: []byte(`{"plan":"pro"}`)}, p.note("entry %d", id)
}

func (p *process) Retry(_ context.Context, id uint64) (string, error) {
	return "on its way", p.note("retry %d", id)
}

func (p *process) RetryLate(_ context.Context, id uint64) (string, error) {
	return "on its way", p.note("retry %d late", id)
}

func (p *process) Discard(_ context.Context, id uint64, why string) error {
	return p.note("discard %d %s", id, why)
}

func (p *process) Send(_ context.Context, model, key string, _ ...string) (string, error) {
	return "sent", p.note("send %s %s", model, key)
}

func serve(t *testing.T, data string, api control.API) *control.Server {
	t.Helper()
	s, err := control.Serve(data, api, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, data string) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocket(t *testing.T) {
	t.Run("carries every question and its answer", func(t *testing.T) {
		api, data := &process{}, shortDir(t)
		serve(t, data, api)
		c, ctx := dial(t, data), t.Context()

		status, err := c.Status(ctx)
		if err != nil || status.Version != "1.2.3" || status.State != "running" || status.LagSeconds != 1.5 || status.PID != 7 {
			t.Errorf("status: %+v, %v", status, err)
		}
		if list, err := c.Pending(ctx); err != nil || len(list) != 1 || list[0].Count != 3 {
			t.Errorf("pending: %+v, %v", list, err)
		}
		if said, err := c.Confirm(ctx, "customers", true); err != nil || said != "loaded again" {
			t.Errorf("confirm: %q, %v", said, err)
		}
		f := connector.EntryFilter{Model: "customers", Class: "rejected", User: connector.User{Kind: connector.Alias, ID: "a b", Label: "crm"},
			Row: connector.Key{Table: "public.t", ID: "5&x"}, After: 4, Limit: 9, Closed: true,
			Group: "00ff", Since: time.Unix(5, 6).UTC(), Until: time.Unix(7, 0).UTC(), UpTo: 12}
		if list, err := c.Entries(ctx, f); err != nil || len(list) != 1 || list[0].ID != 17 {
			t.Errorf("entries: %+v, %v", list, err)
		}
		if e, err := c.Entry(ctx, 17); err != nil || e.ID != 17 || string(e.After) != `{"plan":"pro"}` {
			t.Errorf("entry: %+v, %v", e, err)
		}
		if said, err := c.Retry(ctx, 17); err != nil || said != "on its way" {
			t.Errorf("retry: %q, %v", said, err)
		}
		if said, err := c.RetryLate(ctx, 17); err != nil || said != "on its way" {
			t.Errorf("retry late: %q, %v", said, err)
		}
		if err := c.Discard(ctx, 17, "a test account"); err != nil {
			t.Errorf("discard: %v", err)
		}
		if said, err := c.Send(ctx, "customers", "1042"); err != nil || said != "sent" {
			t.Errorf("send: %q, %v", said, err)
		}
		want := []string{"status", "pending", "confirm customers true", fmt.Sprintf("entries %+v", f), "entry 17", "retry 17", "retry 17 late",
			"discard 17 a test account", "send customers 1042"}
		if d := cmp.Diff(want, api.asked); d != "" {
			t.Errorf("the process was asked (-want +got):\n%s", d)
		}
	})
	t.Run("carries a fault with its fix and exit code", func(t *testing.T) {
		data := shortDir(t)
		serve(t, data, &process{fail: fmt.Errorf("in between: %w", &connector.StopError{Code: connector.ExitRights, What: "no right", Fix: "GRANT it", Err: errors.New("42501")})})
		_, err := dial(t, data).Retry(t.Context(), 1)
		if connector.ExitCode(err) != connector.ExitRights || err.Error() != "no right: 42501\n  fix: GRANT it" {
			t.Errorf("got code %d, %v", connector.ExitCode(err), err)
		}
	})
	t.Run("carries a plain fault", func(t *testing.T) {
		data := shortDir(t)
		serve(t, data, &process{fail: errors.New("entry 1 is closed")})
		_, err := dial(t, data).Entry(t.Context(), 1)
		if err == nil || err.Error() != "entry 1 is closed" || connector.ExitCode(err) != 1 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is open to its own user alone", func(t *testing.T) {
		s := serve(t, shortDir(t), &process{})
		info, err := os.Stat(s.Path())
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
	t.Run("is gone after the end", func(t *testing.T) {
		data := shortDir(t)
		s, err := control.Serve(data, &process{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Dial(t.Context(), data); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("dial after the end: %v", err)
		}
		if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

func TestPlace(t *testing.T) {
	t.Run("takes over the socket that a killed process left", func(t *testing.T) {
		data := shortDir(t)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(data, control.SocketName)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Dial(t.Context(), data); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("dial of a stale socket: %v", err)
		}
		serve(t, data, &process{})
		if _, err := dial(t, data).Status(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("does not take a socket away from a living process", func(t *testing.T) {
		data := shortDir(t)
		serve(t, data, &process{})
		if _, err := control.Serve(data, &process{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process answers") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("does not remove a file that is no socket", func(t *testing.T) {
		data := shortDir(t)
		path := filepath.Join(data, control.SocketName)
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Serve(data, &process{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("got %v", err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
			t.Errorf("the file became %q, %v", b, err)
		}
	})
	t.Run("finds another place where the path is too long", func(t *testing.T) {
		data := filepath.Join(shortDir(t), strings.Repeat("long", 30))
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := control.Serve(data, &process{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := filepath.Dir(s.Path())
		if _, err := dial(t, data).Status(t.Context()); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the other folder: %v, %v", info, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(elsewhere); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the other folder is still there: %v", err)
		}
		if _, err := control.Dial(t.Context(), data); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("dial after the end: %v", err)
		}
	})
	t.Run("says not running where there is no folder", func(t *testing.T) {
		if _, err := control.Dial(t.Context(), filepath.Join(shortDir(t), "none")); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBadRequests(t *testing.T) {
	data := shortDir(t)
	api := &process{}
	s := serve(t, data, api)
	raw := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Path())
	}}}
	t.Cleanup(raw.CloseIdleConnections)
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/nothing", "", "not known to this version"},
		{"GET", "/v1/confirm", "", "not known to this version"},
		{"POST", "/v1/confirm", "{", "read the request"},
		{"POST", "/v1/confirm", `{"modell": "x"}`, `unknown field`},
		{"POST", "/v1/send", strings.Repeat(" ", 2<<20), "too large"},
		{"POST", "/v1/quarantine/x/retry", "", "not a number"},
		{"GET", "/v1/quarantine/-1", "", "not a number"},
		{"GET", "/v1/quarantine?limit=many", "", "not a number of entries"},
		{"GET", "/v1/quarantine?after=-3", "", "not an entry's number"},
		{"GET", "/v1/quarantine?user_kind=900", "", "not a number"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://x"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := raw.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			var b bytes.Buffer
			if _, err := b.ReadFrom(resp.Body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode < 400 || !strings.Contains(b.String(), c.want) {
				t.Errorf("status %d, %s; want %q", resp.StatusCode, b.String(), c.want)
			}
		})
	}
	if len(api.asked) > 0 {
		t.Errorf("bad requests reached the process: %v", api.asked)
	}
}

func TestStop(t *testing.T) {
	data := t.TempDir()
	if s := control.ReadStop(data); s != nil {
		t.Errorf("a note before any run: %+v", s)
	}
	want := control.Stop{At: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), Code: 20, Reason: "Braze refuses the key"}
	for range 2 { // the second replaces the first
		if err := control.WriteStop(data, want); err != nil {
			t.Fatal(err)
		}
	}
	if got := control.ReadStop(data); got == nil || *got != want {
		t.Errorf("got %+v", got)
	}
	if left, err := os.ReadDir(data); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
	for range 2 {
		if err := control.ClearStop(data); err != nil {
			t.Fatal(err)
		}
	}
	if s := control.ReadStop(data); s != nil {
		t.Errorf("a note after it was cleared: %+v", s)
	}
	if err := control.WriteStop(filepath.Join(data, "none"), want); err == nil {
		t.Error("a missing folder is no fault")
	}
}
