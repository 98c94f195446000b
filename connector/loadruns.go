package connector

import (
	"sync"
	"sync/atomic"
	"time"
)

// loadRun is a load under way, as the reader, the senders and its end see it. Its members do not change but for the counters.
type loadRun struct {
	id    string
	model int
	nulls bool // the profiles may exist, so NULLs are sent
	all   bool // also what Braze is known to have
	again bool // it brings again what was brought before: no events, nobody's consent
	// remembered: its rows are those that the store remembers.
	remembered bool
	keep       map[*FieldDef]bool // only these fields; nil: all
	match      func(Row) (bool, error)
	mark       *FieldDef // nil: users are not marked
	list       UserList  // whom it marked; nil without mark
	census     Census    // whom it met; nil: nobody is counted

	sent, same, unsure, held atomic.Int64

	began atomic.Int64 // when this process began with it, in nanoseconds, with so many rows
	from  atomic.Int64
	marks []loadMark // how far it was in the last minutes, oldest first; guarded by care.mu
}

// loadMark is how many rows of a load were read at a time.
type loadMark struct {
	at   time.Time
	rows int64
}

const (
	paceWindow = 2 * time.Minute // the speed of a load is that of so long
	paceStep   = time.Second
)

// passed notes how far it is. The lock of care is held.
func (run *loadRun) passed(now time.Time, rows int64) {
	if n := len(run.marks); n > 0 && now.Sub(run.marks[n-1].at) < paceStep {
		return
	}
	run.marks = append(run.marks, loadMark{now, rows})
	old := 0
	for old+1 < len(run.marks) && now.Sub(run.marks[old+1].at) >= paceWindow {
		old++
	}
	run.marks = run.marks[old:]
}

// pace is how many rows a second were read in the last minutes; ok is false where it began a moment ago. The lock of care is held.
func (run *loadRun) pace(now time.Time, rows int64) (rate float64, ok bool) {
	since := loadMark{time.Unix(0, run.began.Load()), run.from.Load()}
	for _, m := range run.marks {
		if m.at.After(since.at) && now.Sub(m.at) >= paceWindow {
			since = m
		}
	}
	took := now.Sub(since.at).Seconds()
	return float64(rows-since.rows) / took, took >= 0.2
}

// restart begins to measure its speed.
func (run *loadRun) restart(rows int64) {
	run.began.Store(time.Now().UnixNano())
	run.from.Store(rows)
}

// loadRuns are the loads under way by their id. It may be used concurrently.
type loadRuns struct {
	mu      sync.Mutex
	by      map[string]*loadRun
	closing []string      // whose rows are done, and whose end is still to be made
	wake    chan struct{} // there are more of them
	over    chan struct{} // closed and replaced when one is over
	counted atomic.Int32  // how many of by take a census
}

func newLoadRuns() *loadRuns {
	return &loadRuns{by: map[string]*loadRun{}, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// ended gives what is closed when the next load is over.
func (l *loadRuns) ended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *loadRuns) get(id string) *loadRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[id]
}

func (l *loadRuns) put(run *loadRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[run.id] = run
	if run.census != nil {
		l.counted.Add(1)
	}
}

// drop forgets a load and closes its files.
func (l *loadRuns) drop(id string) {
	l.mu.Lock()
	run := l.by[id]
	delete(l.by, id)
	close(l.over)
	l.over = make(chan struct{})
	l.mu.Unlock()
	if run == nil {
		return
	}
	if run.census != nil {
		l.counted.Add(-1)
	}
	run.close()
}

func (run *loadRun) close() {
	if run.census != nil {
		_ = run.census.Close() // what was synced counts; the rest is noted again
	}
	if run.list != nil {
		_ = run.list.Close()
	}
}

func (l *loadRuns) all() []*loadRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*loadRun, 0, len(l.by))
	for _, run := range l.by {
		out = append(out, run)
	}
	return out
}

// ends hands a load whose rows are done to the closer.
func (l *loadRuns) ends(id string) {
	l.mu.Lock()
	l.closing = append(l.closing, id)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loadRuns) next() (id string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.closing) == 0 {
		return "", false
	}
	id, l.closing = l.closing[0], l.closing[1:]
	return id, true
}
