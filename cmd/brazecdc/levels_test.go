package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// testLog gives a log whose lines land in out.
func testLog(level slog.Level) (log *slog.Logger, l *leveler, out *bytes.Buffer) {
	l, out = newLeveler(level), &bytes.Buffer{}
	return slog.New(leveled{l: l, next: slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})}), l, out
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	t.Run("one component says more for a while, the others do not", func(t *testing.T) {
		t.Parallel()
		log, l, out := testLog(slog.LevelInfo)
		braze := log.With("component", "braze")
		braze.Debug("before")
		l.set("braze", slog.LevelDebug, time.Now().Add(time.Hour))
		braze.Debug("within")
		log.Debug("by attribute", "component", "braze")
		log.Debug("another", "component", "web")
		log.Info("as ever")
		l.set("braze", slog.LevelDebug, time.Now())
		braze.Debug("after")
		for word, want := range map[string]bool{"before": false, "within": true, "by attribute": true, "another": false, "as ever": true, "after": false} {
			if strings.Contains(out.String(), word) != want {
				t.Errorf("%q is logged: %v", word, !want)
			}
		}
		if l.counted(0) != 2 || l.counted(1) != 1 {
			t.Errorf("counted %d and %d", l.counted(0), l.counted(1))
		}
	})
	t.Run("all say less for a while", func(t *testing.T) {
		t.Parallel()
		log, l, out := testLog(slog.LevelInfo)
		l.set("", slog.LevelWarn, time.Now().Add(time.Hour))
		log.Info("quiet")
		log.Warn("loud")
		if strings.Contains(out.String(), "quiet") || !strings.Contains(out.String(), "loud") {
			t.Error(out.String())
		}
	})
	t.Run("a new configuration sets the level", func(t *testing.T) {
		t.Parallel()
		log, l, out := testLog(slog.LevelInfo)
		l.setBase(slog.LevelDebug)
		log.Debug("shown")
		if !strings.Contains(out.String(), "shown") {
			t.Error("it is not logged")
		}
	})
	t.Run("what is no level, component or time is refused", func(t *testing.T) {
		t.Parallel()
		for _, q := range []control.LogLevel{{Level: "loud", For: time.Minute}, {Level: "info+1", For: time.Minute}, {Component: "nobody", Level: "debug", For: time.Minute},
			{Level: "debug"}, {Level: "debug", For: 48 * time.Hour}} {
			if _, err := newLeveler(0).SetLogLevel(context.Background(), q); err == nil {
				t.Errorf("%+v is taken", q)
			}
		}
	})
}

func TestLogFolds(t *testing.T) {
	t.Parallel()
	log, l, out := testLog(slog.LevelInfo)
	now := time.Now()
	l.fold.now = func() time.Time { return now }
	for i := range 5 {
		log.Warn("reconnect", "err", errors.New("refused"), "attempt", i)
	}
	log.Warn("reconnect", "err", errors.New("timeout"))
	log.Info("info"+" is not folded", "n", 1)
	log.Info("info"+" is not folded", "n", 2)
	if n := strings.Count(out.String(), "reconnect"); n != 2 {
		t.Errorf("%d lines within the minute:\n%s", n, out)
	}
	if n := strings.Count(out.String(), "is not folded"); n != 2 {
		t.Errorf("%d lines of info:\n%s", n, out)
	}
	now = now.Add(foldWithin + time.Second)
	log.Info("later")
	if !strings.Contains(out.String(), `repeated="and 4 more in 60 s"`) {
		t.Errorf("it does not tell how many there were:\n%s", out)
	}
	log.Warn("reconnect", "err", errors.New("refused"))
	log.Warn("reconnect", "err", errors.New("refused"))
	l.fold.flush(context.Background())
	if !strings.Contains(out.String(), "and 1 more in 60 s") {
		t.Errorf("the end does not tell what was counted:\n%s", out)
	}
	if l.counted(2) != 8 {
		t.Errorf("%d warnings counted", l.counted(2))
	}
}

func TestReadyAnswer(t *testing.T) {
	t.Parallel()
	ask := func(checks []connector.Check, exclude []string, verbose bool) (int, string) {
		w := httptest.NewRecorder()
		answerReady(w, checks, exclude, verbose)
		return w.Code, w.Body.String()
	}
	fine := connector.Check{Name: "process", OK: true, Text: "running"}
	bad := connector.Check{Name: "position", Text: "slot/x has not moved for 95 s"}
	for _, c := range []struct {
		name    string
		checks  []connector.Check
		exclude []string
		verbose bool
		code    int
		body    string
	}{
		{"all is well", []connector.Check{fine}, nil, false, 200, "ok\n"},
		{"all is well, at length", []connector.Check{fine}, nil, true, 200, "[+] process: running\nok\n"},
		{"one is not", []connector.Check{fine, bad}, nil, false, 503, "[-] position: slot/x has not moved for 95 s\nnot ok\n"},
		{"what is not is left out", []connector.Check{fine, bad}, []string{"position"}, true, 200, "[+] process: running\n[ ] position: left out on request\nok\n"},
		{"it stands by", []connector.Check{{Name: "process", OK: true, Text: "standby"}}, nil, false, 200, "standby\n"},
	} {
		if code, body := ask(c.checks, c.exclude, c.verbose); code != c.code || body != c.body {
			t.Errorf("%s: %d %q", c.name, code, body)
		}
	}
}
