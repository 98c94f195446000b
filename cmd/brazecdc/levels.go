package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector/control"
)

// logComponents are the values of component in the log, each of which can have a level of its own for a while.
var logComponents = []string{"audit", "braze", "control", "envelope", "history", "kafka", "mapping", "ops", "outcome", "pipeline", "postgres", processComponent, "reload", "replay", "state", "trace", "web"}

// processComponent is of lines that name no other.
const processComponent = "process"

// logLevels are the levels of log_messages_total, lowest first.
var logLevels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// leveler decides what is logged while the process runs, and counts it. It may be used concurrently.
type leveler struct {
	lowest atomic.Int64 // that any component has: below, nothing is looked at
	counts [4]atomic.Uint64

	mu   sync.RWMutex
	base slog.Level
	by   map[string]levelFor // of components; "" stands for all
	fold *folds
	tail *logTail // nil where the last lines are not kept
}

// levelFor is a level until a time.
type levelFor struct {
	level slog.Level
	until time.Time
}

func newLeveler(base slog.Level) *leveler {
	l := &leveler{base: base, by: map[string]levelFor{}, fold: newFolds()}
	l.lowest.Store(int64(base))
	return l
}

// setBase sets the level that log.level says.
func (l *leveler) setBase(base slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base = base
	l.refresh()
}

// set gives a component, or with "" all, a level for a while.
func (l *leveler) set(component string, level slog.Level, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[component] = levelFor{level, until}
	l.refresh()
}

// refresh finds the lowest level again. The lock is held.
func (l *leveler) refresh() {
	low := l.base
	for component, o := range l.by {
		if !time.Now().Before(o.until) {
			delete(l.by, component)
			continue
		}
		low = min(low, o.level)
	}
	l.lowest.Store(int64(low))
}

// of is the level of a component at this moment.
func (l *leveler) of(component string) slog.Level {
	l.mu.RLock()
	level, over := l.base, false
	for _, name := range []string{"", component} {
		if o, ok := l.by[name]; ok {
			if over = !time.Now().Before(o.until); over {
				break
			}
			level = o.level
		}
	}
	l.mu.RUnlock()
	if !over {
		return level
	}
	l.mu.Lock()
	l.refresh()
	l.mu.Unlock()
	return l.of(component)
}

// counted gives how many lines were logged, by the index of logLevels.
func (l *leveler) counted(i int) uint64 { return l.counts[i].Load() }

// SetLogLevel implements control.Logs.
func (l *leveler) SetLogLevel(_ context.Context, q control.LogLevel) (string, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(q.Level)); err != nil || !slices.Contains(logLevels, level) {
		return "", usagef("%q is no level; choose debug, info, warn or error", q.Level)
	}
	if q.Component != "" && !slices.Contains(logComponents, q.Component) {
		return "", usagef("%q is no component of the log; choose one of %v", q.Component, logComponents)
	}
	if q.For <= 0 || q.For > maxLevelFor {
		return "", usagef("--for %s: write a time up to %s", q.For, maxLevelFor)
	}
	until := time.Now().Add(q.For)
	l.set(q.Component, level, until)
	whose := "the log is"
	if q.Component != "" {
		whose = "the log of " + q.Component + " is"
	}
	return fmt.Sprintf("%s at %s until %s", whose, q.Level, until.Local().Format(time.TimeOnly)), nil
}

// maxLevelFor bounds a level of its own, so that nobody forgets one.
const maxLevelFor = 24 * time.Hour

// leveled is a log's handler that asks a leveler.
type leveled struct {
	l         *leveler
	next      slog.Handler // takes every level
	component string       // of what With added
	attrs     string       // what With added, to tell repeats
}

// Enabled implements slog.Handler.
func (h leveled) Enabled(_ context.Context, level slog.Level) bool {
	if int64(level) < h.l.lowest.Load() {
		return false
	}
	return h.component == "" || level >= h.l.of(h.component)
}

// Handle implements slog.Handler.
func (h leveled) Handle(ctx context.Context, r slog.Record) error {
	component := h.component
	if component == "" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "component" {
				component = a.Value.String()
			}
			return true
		})
	}
	if component == "" {
		component = processComponent
		r = r.Clone()
		r.AddAttrs(slog.String("component", component))
	}
	if r.Level < h.l.of(component) {
		return nil
	}
	for i := len(logLevels) - 1; i >= 0; i-- {
		if r.Level >= logLevels[i] {
			h.l.counts[i].Add(1)
			break
		}
	}
	return h.l.fold.handle(ctx, h, r)
}

// WithAttrs implements slog.Handler.
func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "component" {
			h.component = a.Value.String()
		}
		h.attrs += a.String() + " "
	}
	h.next = h.next.WithAttrs(attrs)
	return h
}

// WithGroup implements slog.Handler.
func (h leveled) WithGroup(name string) slog.Handler {
	h.attrs += name + "."
	h.next = h.next.WithGroup(name)
	return h
}
