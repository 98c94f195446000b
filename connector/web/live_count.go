package web

import (
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// counts are the counters of a Status that rates are made of.
type counts struct {
	at        time.Time
	process   time.Time // when it started
	pid       int
	in, out   uint64
	spent     uint64
	saved     uint64
	notes     uint64
	ok        uint64
	brake     uint64
	failed    uint64
	refused   uint64        // of the failed: 401 and 403
	throttled time.Duration // the most of an endpoint
	reconnect uint64
	held      uint64
	hist      []uint64
	models    map[string]modelCounts
}

type modelCounts struct{ in, out uint64 }

// works tells that a process reads and sends, or is about to; else the status is what files tell, or a process of which only the pages stay.
func works(st *control.Status) bool { return st.PID != 0 && st.State != "stopped" }

func count(st *control.Status, at time.Time) *counts {
	c := &counts{at: at, process: st.Started, pid: st.PID, reconnect: st.Source.Reconnects, models: make(map[string]modelCounts, len(st.Models))}
	for i := range st.Models {
		m := &st.Models[i]
		mc := modelCounts{in: total(m.Changes), out: total(m.Sent)}
		c.models[m.Name] = mc
		c.in += mc.in
		c.out += mc.out
		c.spent += m.Points.Start.Spent
		c.saved += m.Points.Start.Saved
		c.notes += total(m.Notes)
	}
	for i := range st.Sink.Endpoints {
		e := &st.Sink.Endpoints[i]
		for code, n := range e.Codes {
			switch class(code) {
			case classOK:
				c.ok += n
			case classBrake:
				c.brake += n
			default:
				c.failed += n
				if code == "401" || code == "403" {
					c.refused += n
				}
			}
		}
		c.throttled = max(c.throttled, e.Throttled)
	}
	if st.Figures != nil {
		c.held, c.hist = st.Figures.Quarantined, st.Figures.Deliveries
	}
	return c
}

// The classes of Braze's answers.
const (
	classOK = iota
	classBrake
	classRefused // 4xx
	classBroken  // 5xx, and calls that got no answer
)

func class(code string) int {
	switch {
	case code == "429":
		return classBrake
	case len(code) == 3 && code[0] == '2':
		return classOK
	case len(code) == 3 && code[0] == '4':
		return classRefused
	}
	return classBroken
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// follows tells whether two counts are of one pipeline, so that their difference means something.
func (c *counts) follows(before *counts) bool {
	return c.pid == before.pid && c.process.Equal(before.process) && c.in >= before.in && c.out >= before.out && c.spent >= before.spent && c.ok >= before.ok
}

// quantiles gives how long the changes between two counts took from commit to accepted: half of them at most p50, all but one of a hundred at most p99,
// in seconds. They are unknown where none was delivered.
func quantiles(before, now []uint64) (p50, p99 float32) {
	if len(now) != len(connector.DeliveryBuckets)+1 || len(before) != len(now) {
		return unknown, unknown
	}
	var n uint64
	diff := make([]uint64, len(now))
	for i := range now {
		if now[i] < before[i] {
			return unknown, unknown
		}
		diff[i] = now[i] - before[i]
		n += diff[i]
	}
	if n == 0 {
		return unknown, unknown
	}
	return quantile(diff, n, .5), quantile(diff, n, .99)
}

// quantile takes the values of a bucket as spread evenly over it. Of the last bucket only its lower bound is known.
func quantile(diff []uint64, n uint64, q float64) float32 {
	rank, before := q*float64(n), 0.0
	for i, k := range diff {
		if float64(k)+before < rank || k == 0 {
			before += float64(k)
			continue
		}
		low := 0.0
		if i > 0 {
			low = connector.DeliveryBuckets[i-1]
		}
		if i == len(connector.DeliveryBuckets) {
			return float32(low)
		}
		return float32(low + (connector.DeliveryBuckets[i]-low)*(rank-before)/float64(k))
	}
	return unknown
}

// budget is the share that is left of the tightest known budget.
func budget(h *connector.SinkHealth, now time.Time) float32 {
	least := unknown
	for i := range h.Endpoints {
		if v := budgetOf(&h.Endpoints[i], now); known(v) && (!known(least) || v < least) {
			least = v
		}
	}
	return least
}

// budgetOf is the share left of one endpoint's budget: all of it again when its reset has passed.
func budgetOf(e *connector.EndpointHealth, now time.Time) float32 {
	switch {
	case e.Limit <= 0:
		return unknown
	case !e.Reset.IsZero() && now.After(e.Reset):
		return 1
	}
	return float32(min(1, max(0, float64(e.Remaining)/float64(e.Limit))))
}

func orUnknown(n int64) float32 {
	if n < 0 {
		return unknown
	}
	return float32(n)
}
