package connector

import (
	"slices"
	"sync/atomic"
	"time"
)

// Metrics counts what the pipeline did since it was made. All members may be read at any time; /metrics shows them under the names in the README.
type Metrics struct {
	Models  []ModelMetrics // in the order of the configuration
	retries [Kinds][retryReasons]atomic.Uint64
	unknown atomic.Uint64
	skipped atomic.Uint64
	known   atomic.Uint64 // lookups in the cache that found the user
	strange atomic.Uint64 // and those that did not
	dropped [dropReasons]atomic.Uint64
	Points  *Meter // data points spent and saved
}

// ModelMetrics counts one model's changes and what became of them.
type ModelMetrics struct {
	Name       string
	Changes    [Snapshot + 1]atomic.Uint64 // by Op
	Sent       [Kinds]atomic.Uint64        // accepted objects by Kind
	Refused    [Kinds]atomic.Uint64        // objects that Braze will never accept as they are
	GivenUp    [Kinds]atomic.Uint64        // objects whose attempts were used up
	Suppressed atomic.Uint64
	Coalesced  atomic.Uint64
	Late       atomic.Uint64 // events held back, since they are older than max_age
	Deliveries Histogram     // commit at the source to accepted by Braze, live changes only
	held       [len(EntryClasses)]atomic.Uint64
	retried    [retryEnds]atomic.Uint64
}

// EntryClasses are the reason classes of quarantine entries.
var EntryClasses = [...]string{"rejected", "attempts", "mapping", "undecodable", "identity", "rename", "unknown"}

// CountHeld counts a change that was held back, by the class of its entry.
func (m *ModelMetrics) CountHeld(class string) {
	if i := slices.Index(EntryClasses[:], class); i >= 0 {
		m.held[i].Add(1)
	}
}

// Held is how many changes were held back, by the index of EntryClasses.
func (m *ModelMetrics) Held() (counts [len(EntryClasses)]uint64) {
	for i := range counts {
		counts[i] = m.held[i].Load()
	}
	return counts
}

// RetryEnd is how the retry of a quarantine entry ended.
type RetryEnd uint8

// The ends of a retry.
const (
	RetryAccepted   RetryEnd = iota
	RetryHeldAgain           // Braze, or the mapping, will not have it this time either
	RetryNeedless            // something newer had brought what the entry stands for
	RetryImpossible          // nothing could be sent: its row or record is gone, or it fits the configuration no more
	retryEnds
)

// String names the end in metrics.
func (r RetryEnd) String() string {
	return [...]string{"accepted", "held_again", "needless", "impossible"}[r]
}

// CountRetried counts the end of a retry.
func (m *ModelMetrics) CountRetried(how RetryEnd) { m.retried[how].Add(1) }

// Retried is how often retries ended so.
func (m *ModelMetrics) Retried(how RetryEnd) uint64 { return m.retried[how].Load() }

// RetryEnds is how many ends of a retry there are.
const RetryEnds = retryEnds

// RetriesOf is how many objects of a kind were put back to be sent again for a reason.
func (m *Metrics) RetriesOf(k Kind, why RetryReason) uint64 { return m.retries[k][why].Load() }

// Retries is how many objects were sent again, and Unknown how many of these may have been accepted before.
func (m *Metrics) Retries() (again, unknown uint64) {
	for k := range m.retries {
		for why := range m.retries[k] {
			again += m.retries[k][why].Load()
		}
	}
	return again, m.unknown.Load()
}

// DropReason is why the pipeline had the cache forget what it knew.
type DropReason uint8

// The reasons for which the pipeline drops the cache, or a part of it.
const (
	DropStale     DropReason = iota // it covers less than the record, or there is none
	DropGap                         // changes were never seen here
	DropPartition                   // others went on with a partition
	DropFailed                      // it could not be written or read, and is not used any more
	dropReasons
)

// DropReasons is how many reasons there are.
const DropReasons = dropReasons

// String names the reason in metrics.
func (r DropReason) String() string { return [...]string{"stale", "gap", "partition", "failed"}[r] }

// Dropped is how often the cache, or a part of it, was forgotten for a reason.
func (m *Metrics) Dropped(why DropReason) uint64 { return m.dropped[why].Load() }

// Skipped is how many effects were passed over because data/ remembers that they were done, or newer ones.
func (m *Metrics) Skipped() uint64 { return m.skipped.Load() }

func (m *Metrics) looked(known, strange int) {
	m.known.Add(uint64(known))
	m.strange.Add(uint64(strange))
}

// Lookups is how often the cache was asked what Braze holds of a user, and knew it, or did not.
func (m *Metrics) Lookups() (known, unknown uint64) { return m.known.Load(), m.strange.Load() }

// DeliveryBuckets are the upper bounds in seconds of ModelMetrics.Deliveries; the last bucket has none.
var DeliveryBuckets = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// Histogram counts durations by DeliveryBuckets.
type Histogram struct {
	counts [len(DeliveryBuckets) + 1]atomic.Uint64
	nanos  atomic.Int64
}

// Observe adds one duration. It may be called concurrently.
func (h *Histogram) Observe(d time.Duration) {
	s := d.Seconds()
	i := 0
	for i < len(DeliveryBuckets) && s > DeliveryBuckets[i] {
		i++
	}
	h.counts[i].Add(1)
	h.nanos.Add(int64(d))
}

// Read gives the counts by bucket, not cumulated, and the sum in seconds.
func (h *Histogram) Read() (counts [len(DeliveryBuckets) + 1]uint64, sum float64) {
	for i := range h.counts {
		counts[i] = h.counts[i].Load()
	}
	return counts, time.Duration(h.nanos.Load()).Seconds()
}

func newMetrics(models []ModelInfo) *Metrics {
	m := &Metrics{Models: make([]ModelMetrics, len(models)), Points: newMeter(models)}
	for i := range models {
		m.Models[i].Name = models[i].Name
	}
	return m
}

// Metrics gives the pipeline's counters; they live as long as it does.
func (p *Pipeline) Metrics() *Metrics { return p.metrics }

// change counts a change for the models of its table, or for the one model of a load or a fault.
func (p *Pipeline) countChange(c *Change, model int) {
	for i := range p.models {
		if model == i || model < 0 && p.models[i].On(c.Key.Table) {
			p.metrics.Models[i].Changes[c.Op].Add(1)
		}
	}
}

func (m *Metrics) sent(s *step, now time.Time) {
	timed := !s.load && !s.initial && !s.maybeSent && !s.at.IsZero()
	for i, r := range s.rows {
		mm := &m.Models[r.model]
		mm.Sent[s.kind].Add(1)
		if timed && (i == 0 || r.model != s.rows[i-1].model) {
			mm.Deliveries.Observe(now.Sub(s.at))
		}
	}
}

// lost counts a step that Braze did not take: refused, or after all its attempts.
func (m *Metrics) lost(s *step, k Kind, refused bool) {
	for _, r := range s.rows {
		if refused {
			m.Models[r.model].Refused[k].Add(1)
		} else {
			m.Models[r.model].GivenUp[k].Add(1)
		}
	}
}

func (m *Metrics) suppressed(s *step) {
	for _, r := range s.rows {
		m.Models[r.model].Suppressed.Add(1)
	}
}

// watched tells whether Watch is to be called.
func (p *Pipeline) watched() bool {
	return p.cfg.Watch != nil && (p.cfg.Watching == nil || p.cfg.Watching())
}

// seen tells a watcher how a step ended. call is what was sent of it.
func (p *Pipeline) seen(s *step, call *Effect, outcome, reason string) {
	if len(s.waiters) > 0 { // hardly ever: the row path makes no sentence for nobody
		if reason != "" {
			s.answer(outcome + ": " + reason)
		} else {
			s.answer(outcome)
		}
	}
	p.tell(s, call, outcome, reason)
	if !p.watched() {
		return
	}
	now := time.Now()
	for i, r := range s.rows {
		e := &Effect{User: s.user, To: s.to, Kind: s.kind, Model: r.model, Key: r.key, UpdateOnly: s.updateOnly}
		if call != nil {
			e.User, e.To, e.Kind, e.UpdateOnly = call.User, call.To, call.Kind, call.UpdateOnly
			e.Fields = slices.Clone(call.Fields) // the sender reuses its own
		}
		if i > 0 {
			e.Fields = nil
		}
		seen := Seen{At: now, Change: r.change, Effect: e, Stream: r.stream, Outcome: outcome, Reason: reason}
		if !s.at.IsZero() {
			seen.Latency = now.Sub(s.at)
		}
		p.cfg.Watch(seen)
	}
}

// answer tells those who wait for a step how it ended.
func (s *step) answer(how string) {
	for _, w := range s.waiters {
		w <- how
	}
	s.waiters = nil
}
