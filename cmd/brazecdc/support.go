package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/web"
)

func newOpsSupport(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "support",
		Short: "Print what somebody who helps needs to see",
		Long: `support prints versions, state, metrics, the last lines of the log, and the configuration without secrets, comments and values. It asks the running process;
where none runs there are no metrics and no log. Values of rows are in none of it; users stand in the log as keyed hashes. Read it before you hand it on.`,
		Example: "  brazecdc ops support > support.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			text, err := p.supportText(ctx)
			if err != nil {
				return err
			}
			p.printf("%s", text)
			return nil
		},
	}
}

// supportText asks the running process, and tells what the files tell where none runs.
func (p *program) supportText(ctx context.Context) (string, error) {
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	switch {
	case err == nil:
		defer client.Close()
		return client.Support(ctx)
	case !errors.Is(err, control.ErrNotRunning):
		return "", err
	}
	var s supportFile
	s.versions()
	s.status(p.askStatus(ctx))
	text, err := config.ReadFile(p.config)
	if err != nil {
		text = nil // that it can't be read is in the state
	}
	s.configuration(text)
	return s.String(), nil
}

// supportFile gathers the parts, each under a heading.
type supportFile struct{ strings.Builder }

func (s *supportFile) part(name, text string) {
	fmt.Fprintf(s, "==== %s ====\n%s\n", name, strings.TrimRight(text, "\n")+"\n")
}

func (s *supportFile) versions() {
	v, revision := buildVersion()
	s.part("versions", fmt.Sprintf("brazecdc %s\nrevision %s\n%s %s/%s\nwritten %s", v, orElse(revision, "not known"), runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().UTC().Format(time.RFC3339)))
}

func (s *supportFile) status(st *control.Status, err error) {
	if err != nil {
		s.part("state", err.Error())
		return
	}
	b, err := json.MarshalIndent(withoutRules(st), "", "  ")
	if err != nil {
		b = []byte(err.Error())
	}
	s.part("state", string(b))
}

func (s *supportFile) configuration(text []byte) {
	if text == nil {
		s.part("configuration, without secrets and values", "there is none")
		return
	}
	s.part("configuration, without secrets and values", config.Outline(text))
}

// Support implements control.Supports: of the process, also where no app works.
func (f *face) Support(ctx context.Context) (string, error) {
	var s supportFile
	s.versions()
	s.status(f.Status(ctx))
	m := &plainAnswer{head: http.Header{}}
	if req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil); err == nil {
		f.ServeHTTP(m, req)
	}
	s.part("metrics", m.body.String())
	s.part(fmt.Sprintf("log, the last %d lines at most", tailLines), f.levels.tail.text())
	s.configuration(f.content())
	return s.String(), nil
}

// Support implements control.Supports.
func (s served) Support(ctx context.Context) (string, error) { return s.f.Support(ctx) }

// Support implements control.Supports.
func (s away) Support(ctx context.Context) (string, error) { return s.f.Support(ctx) }

// supportViews is web.SupportViews.
type supportViews struct {
	p *program
	x *pageParts
}

// Support implements web.SupportViews.
func (v supportViews) Support(ctx context.Context) ([]byte, error) {
	if f := v.x.inside(); f != nil {
		text, err := f.Support(ctx)
		return []byte(text), err
	}
	text, err := v.p.supportText(ctx)
	return []byte(text), err
}

// Stores implements web.SupportViews.
func (v supportViews) Stores() *web.Stores {
	text, err := config.ReadFile(v.p.config)
	if err != nil {
		return nil
	}
	cfg, _ := config.Partial(v.p.config, text, v.p.env, nil)
	if cfg == nil {
		return nil
	}
	s := &web.Stores{Path: v.p.beside(cfg.Data.Path), Cache: v.p.beside(cfg.Cache.Path)}
	s.Size, s.CacheSize = bytesIn(s.Path), bytesIn(s.Cache)
	return s
}

// bytesIn adds up the files of a folder; what can't be looked at counts for nothing.
func bytesIn(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the rest still counts
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Built implements web.SupportViews.
func (v supportViews) Built() (out []string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, m := range info.Deps {
		out = append(out, m.Path+" "+m.Version)
	}
	return out
}

// plainAnswer takes an answer of a handler of this process.
type plainAnswer struct {
	head http.Header
	body bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *plainAnswer) Header() http.Header { return a.head }

// WriteHeader implements http.ResponseWriter.
func (a *plainAnswer) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *plainAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

const (
	tailLines = 300
	tailLine  = 2 << 10 // bytes that are kept of a line
)

// logTail writes a log on and keeps its last lines. Those of who did what are left out: they name people.
type logTail struct {
	to io.Writer

	mu    sync.Mutex
	lines [][]byte // a ring
	next  int
}

// Write implements io.Writer; a handler of slog writes a line at a time.
func (t *logTail) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte(`component=audit`)) && !bytes.Contains(b, []byte(`"component":"audit"`)) {
		t.mu.Lock()
		if len(t.lines) < tailLines {
			t.lines = append(t.lines, nil)
		}
		t.lines[t.next] = append(t.lines[t.next][:0], b[:min(len(b), tailLine)]...)
		t.next = (t.next + 1) % tailLines
		t.mu.Unlock()
	}
	return t.to.Write(b)
}

// text gives the lines, the oldest first; of a log that is not kept, nothing.
func (t *logTail) text() string {
	if t == nil {
		return "it is not kept"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	for i := range t.lines {
		line := t.lines[(t.next%len(t.lines)+i)%len(t.lines)]
		out.Write(line)
		if !bytes.HasSuffix(line, []byte("\n")) {
			out.WriteString("…\n")
		}
	}
	return out.String()
}
