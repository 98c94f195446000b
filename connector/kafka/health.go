package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// health collects what is known of the connection. The client's hooks write it too.
type health struct {
	mu         sync.Mutex
	up         bool
	everUp     bool
	since      time.Time
	err        string
	lastChange time.Time
	beat       time.Time
	reconnects map[string]uint64 // by why the connection was lost
	lostBy     string
	bytes      atomic.Uint64
	poison     atomic.Uint64
	skips      map[string]uint64
	member     int // of members of the group, from 1; 0: not known
	members    int
}

var (
	_ kgo.HookBrokerConnect = (*health)(nil)
	_ kgo.HookBrokerRead    = (*health)(nil)
)

func (h *health) connected(up bool, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() || h.up != up {
		h.since = time.Now()
		if up && h.everUp {
			if h.reconnects == nil {
				h.reconnects = map[string]uint64{}
			}
			h.reconnects[cmp.Or(h.lostBy, lostNetwork)]++
		}
	}
	h.up, h.err, h.everUp = up, why, h.everUp || up
	if up {
		h.beat = time.Now()
	}
}

// Why the brokers were lost, as SourceHealth.ReconnectsBy names it.
const (
	lostNetwork = "network" // none was reached
	lostServer  = "server"  // one answered with an error
)

// ReconnectReasons are the reasons of SourceHealth.ReconnectsBy.
var ReconnectReasons = []string{lostNetwork, lostServer}

// trouble notes an error that the client tries to overcome.
func (h *health) trouble(err error) {
	h.connected(false, err.Error())
	why := lostNetwork
	if _, told := errors.AsType[*kerr.Error](err); told {
		why = lostServer
	}
	h.mu.Lock()
	h.lostBy = why
	h.mu.Unlock()
}

func (h *health) gave(changes []connector.Change) {
	if len(changes) == 0 {
		return
	}
	h.mu.Lock()
	h.lastChange = changes[len(changes)-1].Time
	h.mu.Unlock()
}

func (h *health) poisoned() { h.poison.Add(1) }

func (h *health) skipped(why string) {
	h.mu.Lock()
	if h.skips == nil {
		h.skips = map[string]uint64{}
	}
	h.skips[why]++
	h.mu.Unlock()
}

// OnBrokerConnect is the client's word on a new connection. One broker of several that cannot be reached is no outage: whether there is one, watch finds
// out by asking.
func (h *health) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && !h.up {
		h.err = err.Error()
	}
}

// OnBrokerRead is the client's word on an answer.
func (h *health) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, err error) {
	if err == nil {
		h.bytes.Add(uint64(n))
	}
}

const (
	// watchEvery is how often the brokers are asked for the log's ends and the topics' ids.
	watchEvery = 5 * time.Second
	// membersEvery is after how many of these times the members of the group are counted.
	membersEvery = 3
)

// watch keeps the log's ends and the connection's state for Health, and sees to it that a topic created anew is noticed even while it is idle.
func (s *Source) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var topics []string
		s.mu.Lock()
		for p := range s.assigned {
			topics = append(topics, p.topic)
		}
		s.mu.Unlock()
		slices.Sort(topics)
		s.look(ctx, slices.Compact(topics))
		if n%membersEvery == 0 {
			s.countMembers(ctx)
		}
	}
}

func (s *Source) look(ctx context.Context, topics []string) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	if len(topics) == 0 {
		s.reached(ctx, s.admin.Ping(ctx))
		return
	}
	ends, err := s.adm.ListEndOffsets(ctx, topics...)
	s.reached(ctx, err)
	if err != nil {
		return
	}
	s.mu.Lock()
	for p, a := range s.assigned {
		if end, ok := ends.Lookup(p.topic, p.num); ok && end.Err == nil {
			a.mu.Lock()
			a.top = max(a.top, end.Offset)
			a.mu.Unlock()
		}
	}
	s.mu.Unlock()
	for _, topic := range topics {
		s.checkTopic(ctx, topic)
	}
}

func (s *Source) reached(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.health.connected(true, "")
	case ctx.Err() == nil || s.ctx.Err() == nil:
		s.health.trouble(err)
		if stop := refused(err, "ask the brokers"); stop != nil {
			s.fail(stop)
		}
	}
}

// Health implements connector.Source. Its sizes in bytes are not known of topics; Lags tells the records.
func (s *Source) Health() connector.SourceHealth {
	h := &s.health
	h.mu.Lock()
	v := connector.SourceHealth{Connected: h.up, Since: h.since, Err: h.err, LastChange: h.lastChange, LastHeartbeat: h.beat,
		ReconnectsBy: maps.Clone(h.reconnects), Bytes: h.bytes.Load(), LagBytes: -1, RetainedBytes: -1, SafeBytes: -1,
		Member: h.member, Members: h.members, PassedOver: maps.Clone(h.skips)}
	for _, n := range h.reconnects {
		v.Reconnects += n
	}
	h.mu.Unlock()
	var waits []string
	s.mu.Lock()
	for topic, gone := range s.missing {
		if gone {
			waits = append(waits, fmt.Sprintf("topic %s was deleted", topic))
		}
	}
	for _, a := range s.assigned {
		a.mu.Lock()
		if a.waiting != "" {
			waits = append(waits, a.waiting)
		}
		a.mu.Unlock()
	}
	if len(s.assigned) == 0 && len(waits) == 0 {
		waits = append(waits, "the group has given this process no partition")
	}
	s.mu.Unlock()
	slices.Sort(waits)
	v.Waiting = strings.Join(waits, "; ")
	return v
}

// PartitionLag is how far one partition of this process is.
type PartitionLag struct {
	Stream    string `json:"stream"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	End       int64  `json:"end"`               // of the log, as last heard (at most some seconds ago)
	Began     int64  `json:"began"`             // offset at which this assignment began
	Handed    int64  `json:"handed"`            // offset behind what Next gave out
	Committed int64  `json:"committed"`         // offset that the group has from this assignment; -1 before the first
	Waiting   string `json:"waiting,omitempty"` // why the partition stands still
}

// Records is how many offsets lie between what is committed and the log's end. Compaction and transactions leave offsets without a record.
func (l PartitionLag) Records() int64 { return max(0, l.End-max(l.Committed, 0)) }

// Lags gives the partitions of this process, by topic and number. It may be called by any goroutine.
func (s *Source) Lags() []PartitionLag {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lags []PartitionLag
	for p, a := range s.assigned {
		a.mu.Lock()
		lags = append(lags, PartitionLag{Stream: a.stream, Topic: p.topic, Partition: p.num, End: max(a.top, a.handed), Began: a.begin.offset, Handed: a.handed, Committed: a.committed, Waiting: a.waiting})
		a.mu.Unlock()
	}
	slices.SortFunc(lags, func(a, b PartitionLag) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	return lags
}

// Poisoned counts records that went to quarantine.
func (s *Source) Poisoned() uint64 { return s.health.poison.Load() }
