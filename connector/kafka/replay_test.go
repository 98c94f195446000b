package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

func reader(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	return s
}

// drain reads a replay and writes each record as "value", with "+" in front where it lies beyond the range.
func drain(t *testing.T, r *Replay, limit int) []string {
	t.Helper()
	var got []string
	for limit < 0 || len(got) < limit {
		x, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		v := x.Changes[0].After.Cells[1].Raw
		if x.Beyond {
			v = "+" + v
		}
		got = append(got, v)
	}
	return got
}

func TestReplay(t *testing.T) {
	b := newBed(t)
	b.topic("users", 2)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for p := range int32(2) {
		for i := range 10 {
			b.produce(&kgo.Record{Topic: "users", Partition: p, Key: []byte("k"), Value: fmt.Appendf(nil, "%d:%d", p, i), Timestamp: at.Add(time.Duration(i) * time.Hour)})
		}
	}
	src := reader(t, b.config("users"))
	open := func(r Range) *Replay {
		t.Helper()
		r.Topic = "users"
		rep, err := src.Replay(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(rep.Close)
		return rep
	}
	t.Run("by offset, one partition: what follows the range is told apart", func(t *testing.T) {
		got := drain(t, open(Range{From: At(3), To: At(5), Partitions: []int32{1}}), -1)
		if want := []string{"1:3", "1:4", "+1:5", "+1:6", "+1:7", "+1:8", "+1:9"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("by time, all partitions", func(t *testing.T) {
		got := drain(t, open(Range{From: Place{Time: at.Add(150 * time.Minute)}, To: Place{Time: at.Add(4 * time.Hour)}}), -1)
		in := slices.DeleteFunc(slices.Clone(got), func(v string) bool { return v[0] == '+' })
		slices.Sort(in)
		if want := []string{"0:3", "1:3"}; !slices.Equal(in, want) || len(got) != 14 {
			t.Errorf("got %q", got)
		}
	})
	t.Run("all of it, with progress, and without touching the group", func(t *testing.T) {
		rep := open(Range{})
		if p := rep.Progress(); p.Done != 0 || p.Total != 20 || p.ETA != 0 {
			t.Errorf("at the beginning %+v", p)
		}
		if got := drain(t, rep, -1); len(got) != 20 {
			t.Errorf("got %q", got)
		}
		if p := rep.Progress(); p.Done != 20 || p.Next[0] != 10 {
			t.Errorf("at the end %+v", p)
		}
		if b.cluster.GroupInfo("g") != nil {
			t.Error("there is a group now")
		}
	})
	t.Run("goes on where an earlier run stopped", func(t *testing.T) {
		rep := open(Range{Partitions: []int32{0}})
		first := drain(t, rep, 4)
		next := rep.Progress().Next
		rep.Close()
		rep = open(Range{Partitions: []int32{0}, Resume: next})
		if p := rep.Progress(); p.Done != 4 || p.Total != 10 {
			t.Errorf("progress %+v", p)
		}
		if got := append(first, drain(t, rep, -1)...); len(got) != 10 || got[4] != "0:4" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a range that is empty, and one behind the end", func(t *testing.T) {
		for _, r := range []Range{{From: At(5), To: At(5)}, {From: At(10)}, {From: Place{Time: at.Add(1000 * time.Hour)}}} {
			if got := drain(t, open(r), -1); len(got) != 0 {
				t.Errorf("%+v gave %q", r, got)
			}
		}
	})
	t.Run("what it cannot do it says", func(t *testing.T) {
		for want, r := range map[string]Range{"no partition 7": {Topic: "users", Partitions: []int32{7}}, `nearest name is "users"`: {Topic: "user"},
			"behind the end of every partition": {Topic: "users", From: At(99)}, "it begins behind its end": {Topic: "users", From: At(7), To: At(3)},
			"users: it begins behind its end": {Topic: "users", From: Place{Time: at.Add(3 * time.Hour)}, To: Place{Time: at}}} {
			if _, err := src.Replay(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		if err := b.cluster.DeleteRecords("users", 0, 2); err != nil {
			t.Fatal(err)
		}
		if _, err := src.Replay(t.Context(), Range{Topic: "users", From: At(1), Partitions: []int32{0}}); err == nil || !strings.Contains(err.Error(), "begins at offset 2") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("poison is counted and passed over, a waiting record waits", func(t *testing.T) {
		b.topic("odd", 1)
		d := &decoder{}
		d.down.Store(true)
		cfg := b.config("odd")
		cfg.Decode = d.decode
		src := reader(t, cfg)
		b.produce(value("odd", 0, "bad"), value("odd", 0, "wait"), &kgo.Record{Topic: "odd", Key: []byte("k")}, value("odd", 0, "last"))
		rep, err := src.Replay(t.Context(), Range{Topic: "odd"})
		if err != nil {
			t.Fatal(err)
		}
		defer rep.Close()
		done := make(chan []string)
		go func() { done <- drain(t, rep, -1) }()
		eventually(t, "the decoder was asked again", func() bool { return d.asked.Load() > 2 })
		d.down.Store(false)
		if got := <-done; !slices.Equal(got, []string{"wait", "last"}) {
			t.Errorf("got %q", got)
		}
		if p := rep.Progress(); p.Poison != 1 || p.Done != 4 {
			t.Errorf("progress %+v", p)
		}
	})
	t.Run("places as they are written", func(t *testing.T) {
		for text, want := range map[string]Place{"": {}, "12": At(12), "2026-11-01": {Time: at}, "2026-11-01T00:00:00Z": {Time: at}} {
			if got, err := ParsePlace(text); err != nil || !got.Time.Equal(want.Time) || got.Offset != want.Offset || got.exact != want.exact {
				t.Errorf("%q gave %+v, %v", text, got, err)
			}
		}
		if _, err := ParsePlace("yesterday"); err == nil {
			t.Error("yesterday was taken")
		}
	})
}

func TestAfterEmpty(t *testing.T) {
	batch := func(base int64, delta, records uint32) []byte {
		b := make([]byte, 61)
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[8:], 49)
		b[16] = 2
		binary.BigEndian.PutUint32(b[23:], delta)
		binary.BigEndian.PutUint32(b[57:], records)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		from int64
		want int64
	}{
		{"nothing", nil, 5, 5},
		{"two empty batches", append(batch(5, 4, 0), batch(10, 0, 0)...), 5, 11},
		{"records ahead", append(batch(5, 4, 0), batch(10, 0, 1)...), 5, 10},
		{"records behind only", append(batch(0, 4, 5), batch(5, 9, 0)...), 5, 15},
		{"a batch that is cut", append(batch(5, 4, 0), 1, 2, 3), 5, 10},
		{"a length that lies", func() []byte { b := batch(5, 4, 0); binary.BigEndian.PutUint32(b[8:], 1<<31); return b }(), 5, 10},
	} {
		if got := afterEmpty(c.b, c.from); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSample(t *testing.T) {
	b := newBed(t)
	b.topic("users", 2)
	b.topic("empty", 1)
	src := reader(t, b.config("users"))
	b.write("users", 0, 0, 5)
	b.write("users", 1, 0, 5)
	bad, tombstone := value("users", 0, "bad"), &kgo.Record{Topic: "users", Key: []byte("k")}
	bad.Timestamp, tombstone.Timestamp = time.Now().Add(time.Second), time.Now().Add(2*time.Second)
	b.produce(bad, tombstone)
	recs, err := src.Sample(t.Context(), "users", 4)
	if err != nil || len(recs) != 4 || recs[3].Value != nil || string(recs[2].Value) != "bad" {
		t.Errorf("sample %v, %v", recs, err)
	}
	table, err := src.Describe(t.Context(), "users")
	if err != nil || table.Column("v") != 1 {
		t.Errorf("described as %+v, %v", table, err)
	}
	if _, err := src.Describe(t.Context(), "empty"); err == nil || !strings.Contains(err.Error(), "carry no row") {
		t.Errorf("got %v", err)
	}
	if _, err := src.Describe(t.Context(), "usres"); err == nil || !strings.Contains(err.Error(), `"users"`) {
		t.Errorf("got %v", err)
	}
	if _, err := src.Rows(t.Context(), connector.Query{Table: "users"}); !errors.Is(err, ErrNotReadable) {
		t.Errorf("got %v", err)
	}
	if err := src.StartLoad(t.Context(), connector.Load{}); !errors.Is(err, ErrNoLoads) {
		t.Errorf("got %v", err)
	}
	if b.cluster.GroupInfo("g") != nil {
		t.Error("there is a group now")
	}
}
