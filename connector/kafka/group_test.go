package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"brazecdc/connector"
)

// assigned waits until the members together hold n partitions, and gives each member's share.
func assigned(t testing.TB, n int, members ...*member) []int {
	t.Helper()
	var shares []int
	eventually(t, fmt.Sprintf("%d partitions are assigned", n), func() bool {
		shares = shares[:0]
		sum := 0
		for _, m := range members {
			k := len(m.src.Lags())
			shares = append(shares, k)
			sum += k
		}
		return sum == n && !slices.Contains(shares, 0)
	})
	return shares
}

func TestRevocation(t *testing.T) {
	t.Run("cdc 79: a revocation under back-pressure ends by its deadline, and the group is stable", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 4)
		cfg := b.config("users")
		cfg.Drain = 300 * time.Millisecond
		m := start(t, cfg, nil, true)
		for p := range int32(4) {
			b.write("users", p, 0, 2000)
		}
		m.wait(1)
		m.stopReading() // the pipeline is full: nobody calls Next, nothing is committed
		began := time.Now()
		other := start(t, b.config("users"), nil, false)
		assigned(t, 4, m, other)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the rebalance took %s", took)
		}
		other.wait(2 * 2000)
	})
	t.Run("cdc 80: a partition that leaves and comes back twice is a new stream, and loses nothing", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		m := start(t, b.config("users"), nil, false)
		all := []*member{m}
		n := 0
		write := func() {
			for p := range int32(2) {
				b.write("users", p, n, 50)
			}
			n += 50
		}
		write()
		for range 2 {
			other := start(t, b.config("users"), nil, false)
			all = append(all, other)
			assigned(t, 2, m, other)
			write()
			other.until("a value", func() bool { return len(other.values) > 0 })
			other.close()
			eventually(t, "all are back", func() bool { return len(m.src.Lags()) == 2 })
			write()
		}
		eventually(t, "all values", func() bool {
			var got []string
			for _, x := range all {
				x.mu.Lock()
				got = append(got, x.values...)
				x.mu.Unlock()
			}
			return len(unique(got)) == 2*n
		})
		streams := map[string]map[string]bool{}
		m.mu.Lock()
		for _, batch := range m.batches {
			topic, p, _, ok := ParseStream(batch.Position.Stream)
			if !ok {
				t.Errorf("stream %q", batch.Position.Stream)
			}
			key := fmt.Sprint(topic, p)
			if streams[key] == nil {
				streams[key] = map[string]bool{}
			}
			streams[key][batch.Position.Stream] = true
		}
		m.mu.Unlock()
		most := 0
		for _, s := range streams {
			most = max(most, len(s))
		}
		if most < 2 {
			t.Errorf("no partition that came back got a new stream: %v", streams)
		}
	})
	t.Run("a pause that came as a partition was taken away does not outlive its return", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		m := start(t, b.config("users"), nil, false)
		assigned(t, 2, m)
		other := start(t, b.config("users"), nil, false)
		assigned(t, 2, m, other)
		away := other.src.Lags()[0].Partition
		m.src.group.PauseFetchPartitions(map[string][]int32{"users": {away}})
		other.close()
		assigned(t, 2, m)
		b.write("users", away, 0, 1)
		m.wait(1)
	})
	t.Run("cdc 82: what was read and not acknowledged is not committed at a revocation", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		cfg := b.config("users")
		cfg.Drain = 100 * time.Millisecond
		cfg.BatchChanges = 1
		m := start(t, cfg, nil, true)
		for p := range int32(2) {
			b.write("users", p, 0, 500)
		}
		m.wait(1000)
		for _, l := range m.src.Lags() {
			m.src.Commit(connector.Position{Stream: l.Stream, Offset: 10})
		}
		other := start(t, b.config("users"), nil, true)
		assigned(t, 2, m, other)
		moved := other.src.Lags()[0].Partition
		if c, _ := b.committed("g", "users", moved); c.Offset != 10 {
			t.Errorf("committed %+v, want 10", c)
		}
		got := other.wait(490)
		if want := fmt.Sprintf("%d:10", moved); got[0] != want {
			t.Errorf("the new owner begins with %s, want %s", got[0], want)
		}
	})
	t.Run("a revocation waits for what the pipeline has taken, commits it, and ignores later commits", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		cfg := b.config("users")
		asked := make(chan []string, 4)
		goOn := make(chan struct{})
		cfg.Drain = within
		cfg.Revoke = func(ctx context.Context, streams []string) {
			asked <- streams
			select {
			case <-goOn:
			case <-ctx.Done():
			}
		}
		m := start(t, cfg, nil, true)
		b.write("users", 0, 0, 20)
		b.write("users", 1, 0, 20)
		m.wait(40)
		other := start(t, b.config("users"), nil, true)
		streams := <-asked
		if len(streams) != 1 {
			t.Fatalf("revoked %q", streams)
		}
		_, p, _, _ := ParseStream(streams[0])
		b.write("users", p, 20, 5)
		m.src.Commit(connector.Position{Stream: streams[0], Offset: 15})
		close(goOn)
		assigned(t, 2, m, other)
		got := other.wait(10)
		if want := fmt.Sprintf("%d:15", p); got[0] != want {
			t.Errorf("the new owner begins with %s, want %s", got[0], want)
		}
		m.src.Commit(connector.Position{Stream: streams[0], Offset: 20})
		time.Sleep(150 * time.Millisecond) // three times the interval of commits: nothing may happen
		if c, _ := b.committed("g", "users", p); c.Offset != 15 {
			t.Errorf("after a late commit the group has %+v", c)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if n := len(m.values); n != 40 {
			t.Errorf("the old owner got %d values, none may come after the revocation", n)
		}
	})
	t.Run("a revocation without a hook waits for the commits itself", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		cfg := b.config("users")
		cfg.Drain = within
		m := start(t, cfg, nil, true)
		b.write("users", 0, 0, 20)
		b.write("users", 1, 0, 20)
		m.wait(40)
		all := m.src.Lags()
		other := start(t, b.config("users"), nil, true)
		eventually(t, "the revocation begins", func() bool { return len(m.src.Lags()) == 1 })
		for _, l := range all { // the pipeline comes to its end only now
			m.src.Commit(connector.Position{Stream: l.Stream, Offset: 15})
		}
		time.Sleep(100 * time.Millisecond) // it waits for all, not for some
		for _, l := range all {
			m.src.Commit(connector.Position{Stream: l.Stream, Offset: 20})
		}
		assigned(t, 2, m, other)
		p := other.src.Lags()[0].Partition
		b.write("users", p, 20, 1)
		if got, want := other.wait(1), fmt.Sprintf("%d:20", p); got[0] != want {
			t.Errorf("the new owner begins with %s, want %s", got[0], want)
		}
	})
	t.Run("a drain that takes longer than the session keeps the place in the group", func(t *testing.T) {
		b := newBed(t, kfake.GroupMinSessionTimeout(100*time.Millisecond))
		b.topic("users", 2)
		cfg := b.config("users")
		cfg.SessionTimeout, cfg.Drain = time.Second, within
		var m *member
		cfg.Revoke = func(_ context.Context, streams []string) {
			time.Sleep(2500 * time.Millisecond) // as Braze does when it is slow
			for _, s := range streams {
				m.src.Commit(connector.Position{Stream: s, Offset: 20})
			}
		}
		m = start(t, cfg, nil, true)
		b.write("users", 0, 0, 20)
		b.write("users", 1, 0, 20)
		m.wait(40)
		kept := map[string]bool{}
		for _, l := range m.src.Lags() {
			kept[l.Stream] = true
		}
		cfg.Revoke = nil
		other := start(t, cfg, nil, true)
		assigned(t, 2, m, other)
		if l := m.src.Lags()[0]; !kept[l.Stream] {
			t.Errorf("the partition that stayed is %s now: the member was thrown out", l.Stream)
		}
		if c, _ := b.committed("g", "users", other.src.Lags()[0].Partition); c.Offset != 20 {
			t.Errorf("committed %+v", c)
		}
	})
	t.Run("closing revokes nothing", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		cfg := b.config("users")
		cfg.Revoke = func(_ context.Context, streams []string) { t.Errorf("asked to give back %q", streams) }
		m := start(t, cfg, nil, false)
		assigned(t, 2, m)
		m.close()
	})
	t.Run("no goroutine is left behind", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		b.write("users", 0, 0, 1)
		before := goleak.IgnoreCurrent()
		m := start(t, b.config("users"), nil, false)
		m.wait(1)
		m.close()
		ignored := []goleak.Option{before}
		for _, of := range []string{"read", "read.func1", "write"} { // the broker's side of a connection ends when it likes
			ignored = append(ignored, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn)."+of))
		}
		goleak.VerifyNone(t, ignored...)
	})
	t.Run("cdc 87: a pipeline that takes nothing for longer than the session keeps its partitions", func(t *testing.T) {
		b := newBed(t, kfake.GroupMinSessionTimeout(100*time.Millisecond))
		b.topic("users", 1)
		cfg := b.config("users")
		cfg.SessionTimeout = time.Second
		m := start(t, cfg, nil, true)
		b.write("users", 0, 0, 100)
		m.wait(1)
		stream := m.src.Lags()[0].Stream
		m.stopReading()
		time.Sleep(cfg.SessionTimeout + time.Second) // the case is about time passing
		if l := m.src.Lags(); len(l) != 1 || l[0].Stream != stream {
			t.Errorf("after %s the member has %+v", cfg.SessionTimeout+time.Second, l)
		}
	})
	t.Run("cdc 83: a killed member's records are all read again", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, true)
		b.write("users", 0, 0, 1000)
		m.wait(1000)
		m.kill()
		m = start(t, b.config("users"), nil, false)
		m.wait(1000)
	})
}

func TestAssignment(t *testing.T) {
	fresh := func() *assignment {
		a := &assignment{partition: partition{"users", 0}, stream: "users/0@1", more: make(chan struct{}, 1), moved: make(chan struct{}, 1), committed: -1}
		a.ctx, a.cancel = context.WithCancel(t.Context())
		return a
	}
	t.Run("a batch on its way to Next when its partition is revoked does not go out", func(t *testing.T) {
		a := fresh()
		if !a.hand(5) || !a.push([]*kgo.Record{{}}, 1) {
			t.Fatal("a live assignment takes nothing")
		}
		a.retire(draining)
		if a.hand(6) || a.push([]*kgo.Record{{}}, 1) || a.take() != nil {
			t.Error("a revoked one does")
		}
	})
	t.Run("commits count while it drains, and not after", func(t *testing.T) {
		a := fresh()
		a.hand(5)
		a.retire(draining)
		if !a.ack(3) || a.ack(6) || a.ack(3) {
			t.Error("an ack of what was handed out counts once")
		}
		if eo, ok := a.due(); !ok || eo.Offset != 3 {
			t.Errorf("due %+v %v", eo, ok)
		}
		a.retire(ended)
		if _, ok := a.due(); ok || a.ack(4) {
			t.Error("after its end it still counts")
		}
	})
	t.Run("the epoch of a commit is that of the last record before it", func(t *testing.T) {
		a := fresh()
		a.begin.epoch = 7
		a.hand(100)
		for _, m := range []epochMark{{0, 7}, {9, 7}, {10, 8}, {20, 9}} {
			a.mark(m.offset, m.epoch)
		}
		for _, c := range []struct {
			ack   int64
			epoch int32
		}{{5, 7}, {10, 7}, {11, 8}, {20, 8}, {21, 9}, {90, 9}} {
			a.ack(c.ack)
			if eo, _ := a.due(); eo.Epoch != c.epoch {
				t.Errorf("at %d the epoch is %d, want %d", c.ack, eo.Epoch, c.epoch)
			}
			a.told(c.ack)
		}
	})
}

func TestCommit(t *testing.T) {
	t.Run("cdc 81: an open record holds the committed offset, and what follows comes again", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		cfg := b.config("users")
		cfg.BatchChanges = 1
		m := start(t, cfg, nil, true)
		b.write("users", 0, 0, 10)
		m.wait(10)
		stream := m.src.Lags()[0].Stream
		// The pipeline commits the unbroken run only: offsets 0 to 5 are done, 6 is held.
		m.src.Commit(connector.Position{Stream: stream, Offset: 6})
		eventually(t, "the commit", func() bool { c, _ := b.committed("g", "users", 0); return c.Offset == 6 })
		m.src.Commit(connector.Position{Stream: stream, Offset: 3})       // never back
		m.src.Commit(connector.Position{Stream: stream, Offset: 11})      // never beyond what was handed out
		m.src.Commit(connector.Position{Stream: "users/0@77", Offset: 9}) // of nobody
		time.Sleep(150 * time.Millisecond)                                // three times the interval of commits: nothing may happen
		m.kill()
		if c, _ := b.committed("g", "users", 0); c.Offset != 6 {
			t.Errorf("committed %+v", c)
		}
		m = start(t, b.config("users"), nil, false)
		if got := m.wait(4); got[0] != "0:6" || len(got) != 4 {
			t.Errorf("came again: %q", got)
		}
	})
	t.Run("cdc 86: a commit carries the leader's epoch", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 3)
		m.wait(3)
		if err := b.cluster.MoveTopicPartition("users", 0, 0); err != nil { // a new epoch
			t.Fatal(err)
		}
		b.write("users", 0, 3, 3)
		m.wait(6)
		m.close()
		want := b.cluster.PartitionInfo("users", 0).Epoch
		c, _ := b.committed("g", "users", 0)
		if c.LeaderEpoch != want || want < 1 || c.Offset != 6 {
			t.Errorf("committed %+v, the leader's epoch is %d", c, want)
		}
		if n, ok := parseNote(c.Metadata); !ok || n.parts != 1 || n.topicID == [16]byte{} {
			t.Errorf("the note is %q", c.Metadata)
		}
	})
	t.Run("recorded in data/ and not committed to the group: goes on from the record", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		b.write("users", 0, 0, 10)
		m := start(t, b.config("users"), nil, true)
		m.wait(10)
		rec := map[string]connector.Recorded{}
		for _, batch := range m.batches {
			rec[batch.Position.Stream] = connector.Recorded{Position: connector.Position{Stream: batch.Position.Stream, Offset: 7}, Memo: batch.Memo}
		}
		m.kill()
		m = start(t, b.config("users"), rec, false)
		if got := m.wait(3); got[0] != "0:7" {
			t.Errorf("begins with %s", got[0])
		}
		if len(m.opened.Gaps) > 0 {
			t.Errorf("gaps %q", m.opened.Gaps)
		}
	})
	t.Run("committed by another process: a gap, told at the start and with the assignment", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 1)
		m := start(t, b.config("users"), nil, false)
		b.write("users", 0, 0, 5)
		m.wait(5)
		m.close()
		old := m.positions()
		b.write("users", 0, 5, 5)
		m = start(t, b.config("users"), nil, false)
		m.wait(5)
		m.close()
		b.write("users", 0, 10, 1)
		cfg := b.config("users")
		told := make(chan Assignment, 1)
		cfg.Assigned = func(_ context.Context, a Assignment) error { told <- a; return nil }
		m = start(t, cfg, old, false)
		if got := m.wait(1); got[0] != "0:10" {
			t.Errorf("begins with %s", got[0])
		}
		if a := <-told; !a.Gap || a.First || a.From != 10 || a.End != 11 {
			t.Errorf("assignment %+v", a)
		}
		if len(m.opened.Gaps) != 1 {
			t.Errorf("gaps %q", m.opened.Gaps)
		}
	})
}
