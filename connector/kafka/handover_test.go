package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// ledger remembers up to where each partition was acknowledged, by whomever.
type ledger struct {
	mu    sync.Mutex
	acked map[int32]uint64
}

// acknowledge commits what a member takes, each stream's batches in order, after random whiles: also those of streams that it has lost meanwhile.
func (l *ledger) acknowledge(ctx context.Context, m *member, random *rand.Rand) {
	for n := 0; ; n++ {
		m.mu.Lock()
		for n == len(m.batches) {
			cond := m.cond
			m.mu.Unlock()
			select {
			case <-cond:
			case <-ctx.Done():
				return
			}
			m.mu.Lock()
		}
		pos := m.batches[n].Position
		m.mu.Unlock()
		select {
		case <-time.After(time.Duration(random.IntN(4)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
		_, p, _, _ := ParseStream(pos.Stream)
		l.mu.Lock()
		l.acked[p] = max(l.acked[p], pos.Offset)
		l.mu.Unlock()
		m.src.Commit(pos)
	}
}

func TestHandOver(t *testing.T) {
	t.Run("cdc 77, 82: members that acknowledge late come and go under load; no offset runs ahead, and no assignment has a hole", func(t *testing.T) {
		const parts, each, rounds = 8, 60, 12
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		b := newBed(t)
		b.topic("users", parts)
		l := &ledger{acked: map[int32]uint64{}}
		ctx, cancel := context.WithCancel(t.Context())
		var acks sync.WaitGroup
		defer func() { cancel(); acks.Wait() }()
		var all, live []*member
		join := func() {
			cfg := b.config("users")
			cfg.Drain, cfg.BatchChanges = 30*time.Millisecond, 5
			m := start(t, cfg, nil, true)
			own := rand.New(rand.NewPCG(seed, uint64(len(all)+1)))
			acks.Go(func() { l.acknowledge(ctx, m, own) })
			all, live = append(all, m), append(live, m)
		}
		// behind tells how much of the topic the group has not committed, and that it has nothing that nobody acknowledged.
		behind := func(total int64) (n int64) {
			for p := range int32(parts) {
				c, _ := b.committed("g", "users", p)
				l.mu.Lock()
				acked := l.acked[p]
				l.mu.Unlock()
				if c.Offset > int64(acked) {
					t.Errorf("partition %d: %d is committed, and %d was acknowledged", p, c.Offset, acked)
				}
				n += total - max(c.Offset, 0)
			}
			return n
		}
		join()
		for round := range rounds {
			for p := range int32(parts) {
				b.write("users", p, round*each, each)
			}
			switch i := random.IntN(len(live)); {
			case len(live) < 2 || len(live) < 4 && random.IntN(2) == 0:
				join()
			case random.IntN(3) == 0:
				live[i].kill()
				live = slices.Delete(live, i, i+1)
			default:
				live[i].close()
				live = slices.Delete(live, i, i+1)
			}
			behind(int64((round + 1) * each))
		}
		if len(live) == 0 {
			join()
		}
		eventually(t, "all is committed", func() bool { return behind(rounds*each) == 0 })
		streams := 0
		for _, m := range all {
			streams += m.withoutHoles(l)
		}
		t.Logf("%d assignments of %d partitions", streams, parts)
	})
}

// withoutHoles checks that each stream's values follow each other without a gap, from where somebody had acknowledged.
func (m *member) withoutHoles(l *ledger) (streams int) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[string]int{}
	for _, batch := range m.batches {
		stream := batch.Position.Stream
		_, p, _, _ := ParseStream(stream)
		for _, c := range batch.Changes {
			at, known := next[stream]
			if want := fmt.Sprintf("%d:%d", p, at); known && c.After.Cells[1].Raw != want {
				m.t.Errorf("stream %s: %s came, want %s", stream, c.After.Cells[1].Raw, want)
			}
			i, err := strconv.Atoi(c.Key.ID)
			if err != nil {
				m.t.Fatal(err)
			}
			if !known && uint64(i) > l.acked[p] {
				m.t.Errorf("stream %s begins at %d, and %d was acknowledged", stream, i, l.acked[p])
			}
			next[stream] = i + 1
		}
	}
	return len(next)
}
