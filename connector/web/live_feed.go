package web

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector/control"
)

const (
	secondsKept = 15 * 60
	minutesKept = 24 * 60
	marksKept   = 200
	tickEvery   = time.Second
	idleUnseen  = 30 * time.Second // after the last page that was shown nobody looks at the files any more
	idleEvery   = 5                // ticks between two looks at the files while no process runs
	askWithin   = 2 * tickEvery
	oldestEvery = 30               // ticks between two looks at the oldest entry
	rateOver    = 10               // seconds over which a rate is told as a number
	notesEvery  = 5 * 60           // ticks between two counts that are kept for the shares of the last hour
	notesKept   = 13               // of them
	applyTakes  = 15 * time.Second // in which one change of the configuration shows as one mark
	shakyAfter  = 3 * time.Second
)

// feed looks at the process once a second and keeps what the charts and the list of what needs someone are made of. It only reads what the process
// publishes; its memory is bounded, and nothing ever waits for it but pages.
type feed struct {
	views LiveViews
	now   func() time.Time
	log   *slog.Logger
	past  past  // of the minutes, on disk
	saved int64 // the newest minute that is there

	applied func() []time.Time // when a configuration was applied, as the versions tell; nil where there are none

	alerts *alerter // nil where nobody is told

	asked atomic.Int64 // when a page was shown last, in nanoseconds

	mu       sync.RWMutex
	seconds  *ring
	minutes  *ring
	minute   []point // the seconds of the minute under way
	began    *counts // at its beginning
	status   *control.Status
	at       time.Time // of status
	fault    error     // why there is none of late
	broken   time.Time // since when
	recent   []*counts // the last seconds
	hourly   []hourly
	days     dayCounts
	accepted map[string]time.Time // by model
	marks    []mark
	oldest   time.Time            // of the entries held back
	first    map[string]time.Time // of what needs someone, when it was seen first
	needs    []need               // what needs someone
	ticks    int
	changed  chan struct{}
}

// hourly is what is kept every few minutes for shares of the last hour.
type hourly struct {
	counts *counts
	notes  map[string]map[string]uint64 // by model, "field: reason"
}

func newFeed(views LiveViews, now func() time.Time) *feed {
	return &feed{views: views, now: now, log: slog.New(slog.DiscardHandler), seconds: newRing(tickEvery, secondsKept), minutes: newRing(time.Minute, minutesKept), accepted: map[string]time.Time{},
		changed: make(chan struct{})}
}

// recall begins with what an earlier run kept of the charts.
func (f *feed) recall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	marks, err := f.past.read(now, f.minutes)
	if err != nil {
		f.log.Warn("the charts begin anew", "component", "web", "err", err)
	}
	f.marks = marks
	if f.applied != nil {
		for _, at := range f.applied() {
			if now.Sub(at) < minutesKept*time.Minute && !f.near(markApply, at) {
				f.marks = append(f.marks, mark{at, markApply, ""})
			}
		}
	}
	f.sortMarks()
	if f.saved = f.minutes.newest; f.minutes.filled > 0 {
		spread(f.minutes, f.seconds, now)
	}
}

// keep writes the minutes once there is another one.
func (f *feed) keep() {
	f.mu.RLock()
	newest := f.minutes.newest
	if newest == f.saved || f.past.file == "" || !known(f.minutes.at(newest)[mHeldBack]) { // nothing is known of a minute in which nothing answered
		f.mu.RUnlock()
		return
	}
	minutes := *f.minutes
	minutes.points = slices.Clone(f.minutes.points)
	marks := slices.Clone(f.marks)
	f.mu.RUnlock()
	f.saved = newest
	if err := f.past.keep(f.now(), &minutes, marks); err != nil {
		f.log.Warn("the charts are not kept over a restart", "component", "web", "err", err)
	}
}

// run looks once a second until ctx ends.
func (f *feed) run(ctx context.Context) {
	f.recall()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		f.look(ctx)
		f.keep()
		f.alert()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look takes one sample. While no process runs the files are not read every second, and not at all while nobody looks.
func (f *feed) look(ctx context.Context) {
	f.mu.RLock()
	ticks, idle := f.ticks, f.status != nil && !works(f.status) || f.status == nil && f.fault != nil
	unseen := f.now().Sub(time.Unix(0, f.asked.Load())) > idleUnseen
	f.mu.RUnlock()
	if idle && (unseen || ticks%idleEvery != 0) {
		f.announce()
		return
	}
	f.ask(ctx, ticks%oldestEvery == 0)
}

// wake has the files looked at although no page shows the charts: somebody has just started the process, and they are to begin with it.
func (f *feed) wake() { f.asked.Store(f.now().UnixNano()) }

// ask takes one sample now.
func (f *feed) ask(ctx context.Context, oldest bool) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	st, err := f.views.Status(ctx)
	f.mu.RLock()
	told := !f.oldest.IsZero()
	f.mu.RUnlock()
	if err == nil && (oldest || told != (st.Quarantine > 0)) {
		at, oerr := f.views.OldestHeld(ctx)
		f.mu.Lock()
		if f.oldest = at; oerr != nil {
			f.oldest = time.Time{}
		}
		f.mu.Unlock()
	}
	f.take(f.now(), st, err)
}

// take adds a sample and wakes the streams.
func (f *feed) take(now time.Time, st *control.Status, err error) {
	defer f.announce()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if f.fault == nil {
			f.broken = now
		}
		f.fault = err
		f.add(now, noPoint())
		return
	}
	before := f.status
	f.fault, f.status, f.at = nil, st, now
	if works(st) {
		f.days.add(now, st)
	}
	c := count(st, now)
	if !works(st) {
		c = nil
	}
	f.compare(now, before, st, c)
	f.add(now, f.point(st, c))
	f.remember(st, c)
	first := map[string]time.Time{}
	list := f.present(now).needs()
	for i := range list {
		name := list[i].name()
		if first[name] = now; !f.first[name].IsZero() {
			first[name] = f.first[name]
		}
	}
	f.first, f.needs = first, list
}

// alert has a new state told to who looks at no page. Of a process that does not answer nothing is known.
func (f *feed) alert() {
	if f.alerts == nil {
		return
	}
	f.mu.RLock()
	st, fault, list := f.status, f.fault, f.needs
	f.mu.RUnlock()
	if st != nil && fault == nil {
		f.alerts.look(f.now(), works(st), list)
	}
}

// point makes the newest point of a status and of what the counters did since the last one.
func (f *feed) point(st *control.Status, c *counts) point {
	p := noPoint()
	p[mHeldBack] = float32(st.Quarantine)
	if c == nil {
		return p
	}
	p[mLag] = float32(st.LagSeconds)
	p[mLagBytes], p[mRetained], p[mSafe] = orUnknown(st.Source.LagBytes), orUnknown(st.Source.RetainedBytes), orUnknown(st.Source.SafeBytes)
	p[mBudget] = budget(&st.Sink, c.at)
	if len(f.recent) == 0 {
		return p
	}
	last := f.recent[len(f.recent)-1]
	d := c.at.Sub(last.at).Seconds()
	if !c.follows(last) || d <= 0 {
		return p
	}
	rate := func(before, now uint64) float32 {
		if now < before {
			return unknown
		}
		return float32(float64(now-before) / d)
	}
	p[mIn], p[mOut] = rate(last.in, c.in), rate(last.out, c.out)
	p[mSpent], p[mSaved], p[mNotes] = rate(last.spent, c.spent), rate(last.saved, c.saved), rate(last.notes, c.notes)
	p[mCallsOK], p[mCallsBrake], p[mCallsFailed] = rate(last.ok, c.ok), rate(last.brake, c.brake), rate(last.failed, c.failed)
	p[mHeldAdded] = rate(last.held, c.held)
	p[mThrottled] = float32((c.throttled - last.throttled).Seconds() / d)
	p[mP50], p[mP99] = quantiles(f.recent[0].hist, c.hist)
	return p
}

// add puts a point into the seconds, and a finished minute into the minutes. The lock is held.
func (f *feed) add(now time.Time, p point) {
	if n := f.seconds.newest; f.seconds.filled > 0 && len(f.minute) > 0 {
		if last := time.Unix(n, 0); now.Truncate(time.Minute).After(last) {
			m := condense(f.minute)
			if f.began != nil && len(f.recent) > 0 {
				newest := f.recent[len(f.recent)-1]
				if newest.follows(f.began) {
					m[mP50], m[mP99] = quantiles(f.began.hist, newest.hist)
				}
			}
			f.minutes.put(last, m)
			f.minute, f.began = f.minute[:0], nil
		}
	}
	f.seconds.put(now, p)
	f.minute = append(f.minute, p)
}

// remember keeps the counters for the rates to come. The lock is held.
func (f *feed) remember(st *control.Status, c *counts) {
	if c == nil {
		f.recent, f.hourly, f.began = nil, nil, nil
		return
	}
	if len(f.recent) > 0 {
		last := f.recent[len(f.recent)-1]
		if !c.follows(last) {
			f.recent, f.hourly, f.began = nil, nil, nil
			clear(f.accepted)
		} else {
			for name, m := range c.models {
				if m.out > last.models[name].out {
					f.accepted[name] = c.at
				}
			}
		}
	}
	if f.recent = append(f.recent, c); len(f.recent) > rateOver+1 {
		f.recent = f.recent[1:]
	}
	if f.began == nil {
		f.began = c
	}
	if n := len(f.hourly); n == 0 || c.at.Sub(f.hourly[n-1].counts.at) >= notesEvery*tickEvery {
		h := hourly{counts: c, notes: map[string]map[string]uint64{}}
		for i := range st.Models {
			if len(st.Models[i].Notes) > 0 {
				h.notes[st.Models[i].Name] = maps.Clone(st.Models[i].Notes)
			}
		}
		if f.hourly = append(f.hourly, h); len(f.hourly) > notesKept {
			f.hourly = f.hourly[1:]
		}
	}
}

// announce wakes who waits for the next sample.
func (f *feed) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ticks++
	close(f.changed)
	f.changed = make(chan struct{})
}

// tick is the number of the newest sample.
func (f *feed) tick() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.ticks
}

// next gives what is closed at the next sample.
func (f *feed) next() <-chan struct{} {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.changed
}

// view is what pages are made of: one moment of a feed, which nobody changes any more.
type view struct {
	now      time.Time
	status   *control.Status // nil: nothing was heard yet
	at       time.Time
	fault    error
	broken   time.Time
	seconds  []point // the last quarter of an hour
	minutes  []point // the last day
	recent   []*counts
	hourly   []hourly
	accepted map[string]time.Time
	marks    []mark
	first    map[string]time.Time
	oldest   time.Time
}

// view gives the present moment.
func (f *feed) view() *view {
	f.wake()
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.present(f.now())
}

// present is view under the lock.
func (f *feed) present(now time.Time) *view {
	return &view{now: now, status: f.status, at: f.at, fault: f.fault, broken: f.broken, seconds: f.seconds.window(now, secondsKept),
		minutes: f.minutes.window(now.Add(-time.Minute), minutesKept), recent: f.recent[:len(f.recent):len(f.recent)], hourly: f.hourly[:len(f.hourly):len(f.hourly)],
		accepted: maps.Clone(f.accepted), marks: f.marks[:len(f.marks):len(f.marks)], first: f.first, oldest: f.oldest}
}

// shaky tells that the newest status is no longer the present one.
func (v *view) shaky() bool { return v.fault != nil && v.now.Sub(v.at) > shakyAfter }

// stale tells that nobody asked of late: before the first second is over, or while no process runs.
func (v *view) stale() bool {
	switch {
	case v.status == nil && v.fault == nil:
		return true
	case v.status == nil:
		return v.now.Sub(v.broken) > idleEvery*tickEvery
	}
	return !works(v.status) && v.now.Sub(v.at) > idleEvery*tickEvery
}

// running tells that a process answered.
func (v *view) running() bool { return v.status != nil && works(v.status) && !v.shaky() }

// rate gives what a counter did a second over the last seconds.
func (v *view) rate(of func(*counts) uint64) (float64, bool) {
	if len(v.recent) < 2 {
		return 0, false
	}
	first, last := v.recent[0], v.recent[len(v.recent)-1]
	d := last.at.Sub(first.at).Seconds()
	if d <= 0 || of(last) < of(first) {
		return 0, false
	}
	return float64(of(last)-of(first)) / d, true
}

// sum adds a rate over the last seconds, at most a quarter of an hour.
func (v *view) sum(m metric, over time.Duration) float64 {
	t, _ := v.knownSum(m, over)
	return t
}

// quarter is the sum of the last 15 minutes as a text takes it: a dash where nothing is known of them.
func (v *view) quarter(m metric) any {
	if t, ok := v.knownSum(m, growingOver); ok {
		return whole(t)
	}
	return "–"
}

// knownSum is sum, and tells whether any of it is known.
func (v *view) knownSum(m metric, over time.Duration) (t float64, ok bool) {
	n := min(len(v.seconds), int(over/tickEvery))
	for _, p := range v.seconds[len(v.seconds)-n:] {
		if known(p[m]) {
			t += float64(p[m])
			ok = true
		}
	}
	return t, ok
}
