package web

import (
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// mark is an event on the time axis of the charts.
type mark struct {
	At   time.Time
	Kind string // of the closed list below
	What string // name of a model, or empty
}

// The kinds of marks, which the catalogue words as live.mark.KIND.
const (
	markStart     = "start"
	markStop      = "stop"
	markApply     = "apply"
	markReconnect = "reconnect"
	markBrake     = "brake"
	markPause     = "pause"
)

var markKinds = []string{markStart, markStop, markApply, markReconnect, markBrake, markPause}

// compare notes what happened between two samples as marks. The lock is held.
func (f *feed) compare(now time.Time, before, st *control.Status, c *counts) {
	if before == nil {
		f.begun(now, st)
		return
	}
	switch {
	case works(before) && !works(st):
		f.mark(now, markStop, "")
		return
	case !works(st):
		return
	case before.PID != st.PID || !before.Started.Equal(st.Started):
		f.mark(now, markStart, "")
		return
	}
	if len(f.recent) > 0 {
		last := f.recent[len(f.recent)-1]
		switch {
		case !c.follows(last), before.ConfigHash != st.ConfigHash:
			if !f.marked(markApply, now.Add(-applyTakes)) {
				f.mark(now, markApply, "")
			}
		case c.reconnect > last.reconnect:
			f.mark(now, markReconnect, "")
		}
		if c.throttled > last.throttled && !f.marked(markBrake, now.Add(-time.Minute)) {
			f.mark(now, markBrake, "")
		}
	}
	for _, p := range st.Pending {
		if !pendingHas(before.Pending, p.Model, p.Kind) {
			f.mark(now, markPause, p.Model)
		}
	}
}

// begun notes the end of the process before and the start of this one, which nobody here has seen. The lock is held.
func (f *feed) begun(now time.Time, st *control.Status) {
	recent := func(at time.Time) bool {
		return !at.IsZero() && !at.After(now) && now.Sub(at) < minutesKept*time.Minute
	}
	if st.LastStop != nil && recent(st.LastStop.At) && !f.near(markStop, st.LastStop.At) {
		f.mark(st.LastStop.At, markStop, "")
	}
	if works(st) && recent(st.Started) && !f.near(markStart, st.Started) && (st.LastStop != nil || len(f.marks) > 0) {
		f.mark(st.Started, markStart, "")
	}
	f.sortMarks()
}

// near tells whether there is a mark of a kind about a moment.
func (f *feed) near(kind string, at time.Time) bool {
	return slices.ContainsFunc(f.marks, func(m mark) bool { return m.Kind == kind && m.At.Sub(at).Abs() < applyTakes })
}

func (f *feed) sortMarks() {
	slices.SortStableFunc(f.marks, func(a, b mark) int { return a.At.Compare(b.At) })
}

func pendingHas(list []connector.Confirmation, model, kind string) bool {
	for i := range list {
		if list[i].Model == model && list[i].Kind == kind {
			return true
		}
	}
	return false
}

func (f *feed) mark(at time.Time, kind, what string) {
	if f.marks = append(f.marks, mark{at, kind, what}); len(f.marks) > marksKept {
		f.marks = f.marks[1:]
	}
}

// marked tells whether there is a mark of a kind since a moment.
func (f *feed) marked(kind string, since time.Time) bool {
	for i := len(f.marks) - 1; i >= 0 && f.marks[i].At.After(since); i-- {
		if f.marks[i].Kind == kind {
			return true
		}
	}
	return false
}
