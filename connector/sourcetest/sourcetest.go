// Package sourcetest is the conformance suite that every connector.Source runs: order, positions, what comes again after a stop, back-pressure,
// and one table of values that must decode the same from each source.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"brazecdc/connector"
)

// Subject is a source under test, over a table or topic of its own with the columns id (the key, an integer) and v (text).
type Subject struct {
	// Table is the name Start.Tables gets and Change.Key.Table must carry.
	Table string
	// New makes a run over the same slot or group. It is not opened. At most one is open at a time.
	New func(t testing.TB) connector.Source
	// Write commits rows in their order: one transaction, or one record each.
	Write func(t testing.TB, rows ...Row)
	// Large is how many rows the test of back-pressure writes; 0 takes 20,000.
	Large int
	// WriteValues writes every row of the table of values, each into the table or topic that ValueTable names. Nil leaves the values out. Loses names what
	// the encoding of a table loses, as Value.Lossy does; nil is nothing.
	WriteValues func(t testing.TB, all Values)
	ValueTable  func(name string) string
	Loses       func(table string) string
	// Reads: Rows and Describe read living rows. A topic has none.
	Reads bool
}

// Row is one row to write. Op is Insert, Update or Delete.
type Row struct {
	Op connector.Op
	ID int
	V  string
}

// Factory makes a Subject whose table is empty; the test's end removes it.
type Factory func(t *testing.T) Subject

// wait bounds everything a source must do soon.
const wait = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		fn   func(*testing.T, Subject)
	}{
		{"changes of a row come in the order they were made", order},
		{"positions of a stream never go back, and commit in order", positions},
		{"what was not recorded comes again after a stop, what was recorded does not", replay},
		{"a late or foreign commit changes nothing", foreign},
		{"nothing is lost while nobody calls Next", pressure},
		{"Next ends with its context and loses nothing by it", canceled},
		{"a batch stays as it was after later ones", stable},
		{"Close ends a source at rest and may be repeated", closing},
		{"a look-up is not older than what was handed out", reader},
		{"one table of values decodes the same everywhere", values},
	} {
		t.Run(c.name, func(t *testing.T) { c.fn(t, f(t)) })
	}
}

// session is one open run with what it recorded.
type session struct {
	t        *testing.T
	src      connector.Source
	table    string
	recorded map[string]connector.Recorded
	changes  []connector.Change
	hold     bool // commits nothing
	seen     map[string]uint64
}

func open(t *testing.T, s Subject, recorded map[string]connector.Recorded, tables ...string) *session {
	t.Helper()
	if recorded == nil {
		recorded = map[string]connector.Recorded{}
	}
	if len(tables) == 0 {
		tables = []string{s.Table}
	}
	r := &session{t: t, src: s.New(t), table: s.Table, recorded: maps.Clone(recorded), seen: map[string]uint64{}}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if _, err := r.src.Open(ctx, connector.Start{Recorded: slices.Collect(maps.Values(recorded)), Tables: tables}); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := r.src.Close(ctx); err != nil {
		r.t.Errorf("close: %v", err)
	}
}

// batch takes one batch, checks its position, and records and commits it unless hold is set.
func (r *session) batch(within time.Duration) (connector.Batch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	b, err := r.src.Next(ctx)
	if err != nil {
		return b, err
	}
	p := b.Position
	if p.Stream == "" {
		r.t.Fatalf("a batch of %d changes has no stream", len(b.Changes))
	}
	if last, ok := r.seen[p.Stream]; ok && p.Offset < last {
		r.t.Fatalf("the position of %s went back from %d to %d", p.Stream, last, p.Offset)
	}
	r.seen[p.Stream] = p.Offset
	r.changes = append(r.changes, b.Changes...)
	if r.hold {
		return b, nil
	}
	rec := connector.Recorded{Position: p, Memo: b.Memo}
	if rec.Memo == nil {
		rec.Memo = r.recorded[p.Stream].Memo
	}
	r.recorded[p.Stream] = rec
	r.src.Commit(p)
	return b, nil
}

// until takes batches until n changes came since the session began.
func (r *session) until(n int) []connector.Change {
	r.t.Helper()
	deadline := time.Now().Add(wait)
	for len(r.changes) < n {
		if _, err := r.batch(time.Until(deadline)); err != nil {
			r.t.Fatalf("%d of %d changes came, then: %v", len(r.changes), n, err)
		}
	}
	return r.changes
}

// text gives a column's text, or "-" where it is not set.
func text(r connector.Row, column string) string {
	if !r.Exists() {
		return "-"
	}
	i := r.Table.Column(column)
	if i < 0 || r.Cells[i].State != connector.Set {
		return "-"
	}
	v, _, err := r.Value(i)
	switch {
	case err != nil:
		return "error: " + err.Error()
	case v.Kind == connector.KindInt:
		return strconv.FormatInt(v.Int, 10)
	}
	return v.Str
}

func show(c connector.Change) string {
	if c.Op == connector.Delete {
		return c.Op.String() + " " + text(c.Before, "id")
	}
	return c.Op.String() + " " + text(c.After, "id") + " " + text(c.After, "v")
}

func order(t *testing.T, s Subject) {
	r := open(t, s, nil)
	want := map[string][]string{}
	var all []Row
	for i := range 20 {
		id := i % 4
		row := Row{Op: connector.Update, ID: id, V: fmt.Sprint(i)}
		if i < 4 {
			row.Op = connector.Insert
		}
		all = append(all, row)
	}
	for id := range 4 {
		all = append(all, Row{Op: connector.Delete, ID: id})
	}
	for _, row := range all {
		s.Write(t, row)
		line := fmt.Sprintf("%s %d", row.Op, row.ID)
		if row.Op != connector.Delete {
			line += " " + row.V
		}
		want[fmt.Sprint(row.ID)] = append(want[fmt.Sprint(row.ID)], line)
	}
	got := map[string][]string{}
	keys := map[string]connector.Key{}
	for _, c := range r.until(len(all)) {
		id := text(c.After, "id")
		if c.Op == connector.Delete {
			id = text(c.Before, "id")
		}
		if k, ok := keys[id]; ok && k != c.Key || c.Key.Table != s.Table || c.Key.ID == "" {
			t.Errorf("row %s has the keys %+v and %+v", id, keys[id], c.Key)
		}
		if c.Time.IsZero() || time.Since(c.Time).Abs() > time.Hour {
			t.Errorf("change %s has the time %s", show(c), c.Time)
		}
		keys[id] = c.Key
		got[id] = append(got[id], show(c))
	}
	for id, lines := range want {
		if !slices.Equal(lines, got[id]) {
			t.Errorf("row %s\n got %q\nwant %q", id, got[id], lines)
		}
	}
}

func inserts(from, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Op: connector.Insert, ID: from + i, V: fmt.Sprint("v", from+i)}
	}
	return rows
}

func positions(t *testing.T, s Subject) {
	r := open(t, s, nil)
	ids := map[connector.ChangeID]bool{}
	for i := range 10 {
		s.Write(t, inserts(i*10, 10)...)
		for _, c := range r.until((i + 1) * 10)[i*10:] {
			if ids[c.ID] {
				t.Errorf("two changes have the ID %+v", c.ID)
			}
			ids[c.ID] = true
		}
	}
	if h := r.src.Health(); !h.Connected {
		t.Errorf("not connected: %+v", h)
	}
}

func replay(t *testing.T, s Subject) {
	r := open(t, s, nil)
	s.Write(t, inserts(0, 10)...)
	r.until(10)
	deadline := time.Now().Add(wait)
	for moved := false; !moved && time.Now().Before(deadline); { // the last part of a commit may move the position without changes
		_, err := r.batch(200 * time.Millisecond)
		moved = errors.Is(err, context.DeadlineExceeded)
	}
	recorded := maps.Clone(r.recorded)
	r.hold = true
	s.Write(t, inserts(10, 10)...)
	open1 := slices.Clone(r.until(20)[10:])
	r.close()
	r = open(t, s, recorded)
	again := r.until(10)
	for i, c := range again[:10] {
		if show(c) != show(open1[i]) || c.ID != open1[i].ID {
			t.Errorf("change %d came first as %s %+v, then as %s %+v", i, show(open1[i]), open1[i].ID, show(c), c.ID)
		}
	}
	s.Write(t, Row{Op: connector.Insert, ID: 99, V: "end"})
	if last := r.until(11)[10]; show(last) != "insert 99 end" {
		t.Errorf("after what was open came %s", show(last))
	}
}

func foreign(t *testing.T, s Subject) {
	r := open(t, s, nil)
	s.Write(t, inserts(0, 5)...)
	r.until(5)
	for stream, p := range r.recorded {
		if p.Position.Offset > 0 {
			r.src.Commit(connector.Position{Stream: stream, Offset: p.Position.Offset - 1})
		}
	}
	r.src.Commit(connector.Position{Stream: "no such stream", Offset: 1 << 60})
	s.Write(t, inserts(5, 5)...)
	r.until(10)
	recorded := r.recorded
	r.close()
	r = open(t, s, recorded)
	s.Write(t, Row{Op: connector.Insert, ID: 99, V: "end"})
	if c := r.until(1)[0]; show(c) != "insert 99 end" {
		t.Errorf("got %s, want only what was written last", show(c))
	}
}

func pressure(t *testing.T, s Subject) {
	n := s.Large
	if n == 0 {
		n = 20_000
	}
	r := open(t, s, nil)
	for at := 0; at < n; at += 5000 {
		s.Write(t, inserts(at, min(5000, n-at))...)
	}
	time.Sleep(500 * time.Millisecond) // the point of this test is that nothing is taken for a while
	seen := map[string]bool{}
	for _, c := range r.until(n) {
		id := text(c.After, "id")
		if seen[id] {
			t.Fatalf("row %s came twice", id)
		}
		seen[id] = true
	}
}

func canceled(t *testing.T, s Subject) {
	r := open(t, s, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 {
		if b, err := r.src.Next(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		} else if err == nil {
			r.changes = append(r.changes, b.Changes...)
		}
	}
	s.Write(t, inserts(0, 3)...)
	r.until(3)
}

func stable(t *testing.T, s Subject) {
	r := open(t, s, nil)
	var before []string
	for i := range 20 {
		s.Write(t, inserts(i*50, 50)...)
		r.until((i + 1) * 50)
	}
	for _, c := range r.changes {
		before = append(before, show(c))
	}
	for i, line := range before {
		if want := fmt.Sprintf("insert %d v%d", i, i); line != want {
			t.Fatalf("change %d reads %q, want %q", i, line, want)
		}
	}
}

func closing(t *testing.T, s Subject) {
	r := open(t, s, nil)
	began := time.Now()
	r.close()
	r.close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func reader(t *testing.T, s Subject) {
	if !s.Reads {
		t.Skip("this source has no living rows")
	}
	r := open(t, s, nil)
	s.Write(t, Row{Op: connector.Insert, ID: 1, V: "a"}, Row{Op: connector.Insert, ID: 2, V: "b"})
	r.until(2)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	for i := range 20 {
		v := fmt.Sprint("n", i)
		s.Write(t, Row{Op: connector.Update, ID: 1, V: v})
		r.until(3 + i)
		rows, err := r.src.Rows(ctx, connector.Query{Table: s.Table, Where: []connector.Equal{{Column: "id", Text: "1"}}})
		if err != nil || len(rows) != 1 || text(rows[0], "v") != v {
			t.Fatalf("look-up after %s: %d rows, %v", v, len(rows), err)
		}
	}
	if rows, err := r.src.Rows(ctx, connector.Query{Table: s.Table, Limit: 1}); err != nil || len(rows) != 1 {
		t.Errorf("one row of two: %d, %v", len(rows), err)
	}
	table, err := r.src.Describe(ctx, s.Table)
	if err != nil || table.Column("v") < 0 || !table.Columns[table.Column("id")].Key {
		t.Errorf("description %+v (%v)", table, err)
	}
	if _, err := r.src.Describe(ctx, s.Table+"x"); err == nil {
		t.Error("an unknown table was described")
	}
}
