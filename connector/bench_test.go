//go:build unix

package connector

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// benchSource hands out batches that are made when they are asked for, as a decoder makes them, and ends nothing.
type benchSource struct {
	script
	left  int // changes
	users int
	n     int
	per   int
	end   chan struct{} // closed when the last batch is committed
	last  uint64
}

func (s *benchSource) Next(ctx context.Context) (Batch, error) {
	if s.left == 0 {
		<-ctx.Done()
		return Batch{}, ctx.Err()
	}
	n := min(s.left, s.per)
	s.left -= n
	changes := make([]Change, n)
	cells := make([]Cell, 12*n)
	for i := range changes {
		id := strconv.Itoa(s.n % s.users)
		r := Row{Table: benchTable, Cells: cells[12*i : 12*(i+1) : 12*(i+1)]}
		for c := range r.Cells {
			r.Cells[c] = Cell{Set, id}
		}
		changes[i] = Change{Op: Update, Key: Key{benchTable.Name, id}, After: r, Time: benchTime, ID: ChangeID{Commit: uint64(s.n), N: uint32(i)}}
		s.n++
	}
	s.last = uint64(s.n)
	return Batch{Position: Position{"slot", s.last}, Changes: changes}, nil
}

func (s *benchSource) Commit(p Position) {
	if s.left == 0 && p.Offset == s.last {
		close(s.end)
	}
}

var benchTime = time.Now()

var benchTable = func() *Table {
	t := &Table{Name: "public.bench"}
	for i := range 12 {
		t.Columns = append(t.Columns, Column{Name: fmt.Sprint("c", i), Kind: KindText, Key: i == 0, Decode: text})
	}
	return t
}()

// benchMapper gives ten fields a row, whose encoding is made once: what is measured is the pipeline.
type benchMapper struct {
	info   []ModelInfo
	fields []Field
}

func newBenchMapper() *benchMapper {
	m := &benchMapper{}
	var defs []*FieldDef
	for i := range 10 {
		d := &FieldDef{Name: fmt.Sprint("f", i), JSON: fmt.Appendf(nil, `"f%d":`, i), Order: i + 1, Hash: uint64(i)}
		defs = append(defs, d)
		m.fields = append(m.fields, Field{Def: d, JSON: []byte(`"some text"`)})
	}
	m.info = []ModelInfo{{Name: "bench", Table: benchTable.Name, Owner: true, ProofAllowed: true, IDFromKey: true, IDColumn: "c0", IDUnique: true, Fields: defs}}
	return m
}

func (m *benchMapper) Models() []ModelInfo { return m.info }

func (m *benchMapper) Map(dst []Effect, c *Change, _ IDs) ([]Effect, error) {
	fields := append(make([]Field, 0, len(m.fields)), m.fields...)
	return append(dst, Effect{User: User{ID: c.Key.ID}, Key: c.Key, Owner: true, Whole: true, Fields: fields, Change: c}), nil
}

func (m *benchMapper) MapRow(dst []Effect, _ int, _ Row, _ time.Time) ([]Effect, error) {
	return dst, nil
}

func (m *benchMapper) MapLoad(dst []Effect, _ int, _ Row, _ time.Time) ([]Effect, error) {
	return dst, nil
}

// benchSink accepts everything at once.
type benchSink struct{}

func (benchSink) Limits(Kind) Limits                           { return Limits{Objects: 75, Bytes: 3 << 20} }
func (benchSink) Wait(context.Context, Kind) error             { return nil }
func (benchSink) Size(*Effect) int                             { return 250 }
func (benchSink) Health() SinkHealth                           { return SinkHealth{} }
func (benchSink) Gone(context.Context, []User) ([]User, error) { return nil, nil }
func (benchSink) Send(context.Context, Kind, []Effect) error   { return nil }

// BenchmarkPipeline is one row's way from the source's hand to its confirmed position, without decoding, encoding and network. An operation is a row.
func BenchmarkPipeline(b *testing.B) {
	for _, c := range []struct {
		name       string
		users, per int
		gap        time.Duration
		ended      func(*Ending)
	}{
		{"each user once", 1 << 40, 1000, 200 * time.Millisecond, nil},
		{"each user once, somebody hears how it ended", 1 << 40, 1000, 200 * time.Millisecond, func(*Ending) {}},
		{"each user once, one row a transaction", 1 << 40, 1, 200 * time.Millisecond, nil},
		{"5000 users in turn", 5000, 1000, 10 * time.Millisecond, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			src := &benchSource{left: b.N, users: c.users, per: c.per, end: make(chan struct{})}
			src.fresh = true
			p, err := New(Config{Source: src, Sink: benchSink{}, Mapper: newBenchMapper(), Journal: &memJournal{state: State{New: true}}, UserGap: c.gap, Ended: c.ended,
				Settle: time.Minute, Drain: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 1)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			go func() { ended <- p.Run(ctx) }()
			<-src.end
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpuTime is the processor time of this process: on a busy machine it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFold folds ten waiting fields with ten newer ones.
func BenchmarkFold(b *testing.B) {
	m := newBenchMapper()
	s := newStep(&Effect{User: User{ID: "1"}, Key: Key{benchTable.Name, "1"}, Fields: append([]Field(nil), m.fields...)})
	newer := newStep(&Effect{User: User{ID: "1"}, Key: Key{benchTable.Name, "1"}, Fields: m.fields})
	b.ReportAllocs()
	for b.Loop() {
		fold(s, newer)
	}
}

// BenchmarkTracker takes in and completes batches of 75 changes, the last one first.
func BenchmarkTracker(b *testing.B) {
	t := newTracker(1<<30, 1<<50, func() {})
	batch := Batch{Changes: make([]Change, 75)}
	var tickets [16]*ticket
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		for i := range tickets {
			n++
			batch.Position = Position{"slot", n}
			tickets[i], _ = t.add(context.Background(), &batch)
		}
		for i := range tickets {
			k := tickets[len(tickets)-1-i]
			t.finish(k)
			t.done([]share{{k, 75}})
		}
		t.advance()
	}
}
