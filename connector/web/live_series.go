package web

import (
	"math"
	"time"
)

// metric is one line of the series that the Live page draws.
type metric int

const (
	mIn          metric = iota // changes read, a second
	mOut                       // objects that Braze accepted, a second
	mP50                       // seconds from commit to accepted, half of the changes were faster
	mP99                       // the same, all but one of a hundred
	mLag                       // seconds, age of the oldest change that is not done
	mLagBytes                  // log not yet read
	mRetained                  // log that the server keeps for us
	mSafe                      // log until the slot is lost
	mCallsOK                   // calls that Braze accepted, a second
	mCallsBrake                // calls answered with 429, a second
	mCallsFailed               // all other calls, a second
	mBudget                    // share of the tightest budget that is left
	mThrottled                 // share of the time that calls waited for the budget
	mSpent                     // values sent, a second
	mSaved                     // values saved, a second
	mHeldBack                  // entries held back
	mHeldAdded                 // entries that came, a second
	mNotes                     // fields left out, a second
	metrics
)

// highest are the metrics of which a minute shows the highest second; of the others it shows the mean.
var highest = [metrics]bool{mLag: true, mLagBytes: true, mRetained: true, mHeldBack: true}

// lowest are the metrics of which a minute shows the lowest second.
var lowest = [metrics]bool{mSafe: true, mBudget: true}

// unknown is the value of a metric that nobody knows: it is drawn as a gap and shown as a dash.
var unknown = float32(math.NaN())

func known(v float32) bool { return v == v }

// point is every metric at one moment.
type point [metrics]float32

func noPoint() (p point) {
	for i := range p {
		p[i] = unknown
	}
	return p
}

// ring holds the newest points, one for each step of time. A step without a point is unknown.
type ring struct {
	step   time.Duration
	points []point
	newest int64 // number of the step, counted from 1970
	filled int   // steps that were reached, at most all
}

func newRing(step time.Duration, n int) *ring { return &ring{step: step, points: make([]point, n)} }

func (r *ring) slot(t time.Time) int64 { return t.UnixNano() / int64(r.step) }

func (r *ring) at(slot int64) *point { return &r.points[slot%int64(len(r.points))] }

// put sets the point of a moment. Where the clock went back the newest one is replaced, so that the series never runs backwards.
func (r *ring) put(t time.Time, p point) {
	slot := r.slot(t)
	switch {
	case r.filled == 0:
		r.newest, r.filled = slot, 1
	case slot <= r.newest:
		slot = r.newest
	default:
		missed := min(slot-r.newest-1, int64(len(r.points)))
		for i := slot - missed; i < slot; i++ {
			*r.at(i) = noPoint()
		}
		r.filled = int(min(int64(len(r.points)), int64(r.filled)+slot-r.newest))
		r.newest = slot
	}
	*r.at(slot) = p
}

// window gives the last n points up to a moment, the oldest first. What was not recorded is unknown.
func (r *ring) window(now time.Time, n int) []point {
	n = min(n, len(r.points))
	out := make([]point, n)
	last := max(r.slot(now), r.newest)
	if r.filled > 0 && last-r.newest <= 1 {
		last = r.newest // the point of this step is still to come
	}
	for i := range out {
		slot := last - int64(n-1-i)
		if r.filled == 0 || slot > r.newest || slot <= r.newest-int64(r.filled) {
			out[i] = noPoint()
			continue
		}
		out[i] = *r.at(slot)
	}
	return out
}

// mean is the mean of what is known of a metric.
func mean(points []point, m metric) (float64, bool) {
	total, n := 0.0, 0
	for i := range points {
		if v := points[i][m]; known(v) {
			total += float64(v)
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return total / float64(n), true
}

// condense makes one point of several.
func condense(points []point) point {
	out := noPoint()
	for m := range metrics {
		total, n := float32(0), 0
		for i := range points {
			v := points[i][m]
			switch {
			case !known(v):
				continue
			case highest[m] && n > 0:
				total = max(total, v)
			case lowest[m] && n > 0:
				total = min(total, v)
			case highest[m], lowest[m]:
				total = v
			default:
				total += v
			}
			n++
		}
		if n == 0 {
			continue
		}
		if out[m] = total; !highest[m] && !lowest[m] {
			out[m] = total / float32(n)
		}
	}
	return out
}

// thin makes at most n points of many, each of a run of them.
func thin(points []point, n int) []point {
	each := (len(points) + n - 1) / n
	if each <= 1 {
		return points
	}
	var out []point
	for len(points) > 0 {
		k := min(each, len(points))
		out = append(out, condense(points[:k]))
		points = points[k:]
	}
	return out
}
