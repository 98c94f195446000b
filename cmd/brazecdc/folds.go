package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// foldWithin is how long a warning or fault that was logged is only counted when it comes again.
	foldWithin = time.Minute
	// maxFolds bounds the lines that are remembered for that; beyond it, lines are written as they come.
	maxFolds = 1000
)

// folds writes a warning or fault once a minute, however often it comes: the next line tells how many there were. It may be used concurrently.
type folds struct {
	now   func() time.Time
	after func(time.Duration, func()) // calls once, later

	mu    sync.Mutex
	lines map[string]*fold
	swept time.Time
}

// fold is one line, and how often it came after it was written.
type fold struct {
	h     leveled
	r     slog.Record
	since time.Time
	more  int
}

func newFolds() *folds {
	return &folds{now: time.Now, after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }, lines: map[string]*fold{}}
}

func (f *folds) handle(ctx context.Context, h leveled, r slog.Record) error {
	f.tell(ctx, f.due(time.Second))
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	key := foldKey(h, r)
	f.mu.Lock()
	if line := f.lines[key]; line != nil {
		if line.more++; line.more == 1 { // told when its minute is over, also where nothing else is logged then
			f.after(line.since.Add(foldWithin).Sub(f.now()), func() { f.tell(context.WithoutCancel(ctx), f.due(0)) })
		}
		f.mu.Unlock()
		return nil
	}
	if len(f.lines) < maxFolds {
		f.lines[key] = &fold{h: h, r: r.Clone(), since: f.now()}
	}
	f.mu.Unlock()
	return h.next.Handle(ctx, r)
}

// tell writes lines once more, each with how often it came again.
func (f *folds) tell(ctx context.Context, lines []*fold) {
	for _, line := range lines {
		_ = line.h.next.Handle(ctx, line.told()) // as good as the log itself
	}
}

// due takes out the lines whose minute is over, and gives those that came again within it. It looks once in a time.
func (f *folds) due(every time.Duration) (out []*fold) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.swept) < every {
		return nil
	}
	f.swept = now
	for key, line := range f.lines {
		if now.Sub(line.since) < foldWithin {
			continue
		}
		delete(f.lines, key)
		if line.more > 0 {
			out = append(out, line)
		}
	}
	return out
}

// flush writes what is counted, at the end of a process.
func (f *folds) flush(ctx context.Context) {
	f.mu.Lock()
	lines := f.lines
	f.lines = map[string]*fold{}
	f.mu.Unlock()
	for _, line := range lines {
		if line.more > 0 {
			_ = line.h.next.Handle(ctx, line.told())
		}
	}
}

// told is the line once more, with how often it came again.
func (l *fold) told() slog.Record {
	r := l.r.Clone()
	r.Time = time.Now()
	r.AddAttrs(slog.String("repeated", fmt.Sprintf("and %d more in %d s", l.more, int(foldWithin.Seconds()))))
	return r
}

// foldKey tells lines apart that are not repeats of each other: by everything they say but measured values.
func foldKey(h leveled, r slog.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", r.Level, r.Message, h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Value.Kind() {
		case slog.KindString, slog.KindAny:
			if a.Key != "request_id" {
				b.WriteString(" " + requestID.ReplaceAllString(a.String(), ""))
			}
		}
		return true
	})
	return b.String()
}

// requestID is what makes each of Braze's errors another text.
var requestID = regexp.MustCompile(` \(request id [^)]*\)`)
