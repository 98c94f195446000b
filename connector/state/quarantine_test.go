package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"brazecdc/connector"
)

func TestQuarantine(t *testing.T) {
	ctx := context.Background()
	t.Run("keeps every member of an entry over a restart", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir, func(c *DataConfig) { c.Now = func() time.Time { return testTime } })
		want := entry(1)
		want.Key.ID, want.Field, want.Before = "1\x00\xff", "email", []byte(`{"id":null}`)
		want.Original = &connector.Original{Topic: "t", Partition: 3, Offset: 9, Time: time.Unix(7, 8).UTC(), Key: []byte{}, Value: []byte{0, 255},
			Headers: []connector.OriginalHeader{{Key: "h", Value: []byte("v")}, {Key: "null"}}, Size: 2, Kept: "q", KeptAt: 4, Gone: true}
		want.Effect = &connector.StoredEffect{Kind: connector.Rename, User: user(1), To: user(2), Rows: []connector.StoredRow{{Model: "m", Whole: true}}}
		want.ID = put(t, d.Quarantine(), want)
		want.At = testTime
		d = reopen(t, d, dir)
		got, err := d.Quarantine().Entry(want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(&want, got); diff != "" {
			t.Error(diff)
		}
		if diff := gocmp.Diff(map[[2]string]int64{{"customers", "rejected"}: 1}, d.Quarantine().Counts()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("entries of one model and row replace each other, and the old number closes nothing", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		first := put(t, q, entry(1))
		other := entry(1)
		other.Model = "addresses"
		otherID := put(t, q, other)
		second := entry(1)
		second.Class, second.User = "attempts", user(7)
		secondID := put(t, q, second)
		if got := ids(listed(t, q, connector.EntryFilter{})); !slices.Equal(got, []uint64{otherID, secondID}) {
			t.Errorf("got entries %v", got)
		}
		if got := ids(listed(t, q, connector.EntryFilter{User: user(1)})); !slices.Equal(got, []uint64{otherID}) {
			t.Errorf("the replaced entry's user still has %v", got)
		}
		if err := q.Close(ctx, first, Delivered); err != nil {
			t.Error(err)
		}
		if _, err := q.Entry(first); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		want := map[[2]string]int64{{"customers", "attempts"}: 1, {"addresses", "rejected"}: 1}
		if diff := gocmp.Diff(want, q.Counts()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("what has no key is told apart by its change", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		for i := range 3 {
			for range 2 {
				put(t, q, connector.Entry{Stream: "t/0", Offset: uint64(i), Class: "undecodable", Original: &connector.Original{Value: []byte("?")}})
			}
		}
		if n := len(listed(t, q, connector.EntryFilter{})); n != 3 {
			t.Errorf("got %d entries of 3 changes", n)
		}
	})
	t.Run("a closed entry is kept but counts no more", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		id := put(t, d.Quarantine(), entry(1))
		if err := d.Quarantine().Close(ctx, id, "discarded"); err != nil {
			t.Fatal(err)
		}
		if err := d.Quarantine().Close(ctx, id, Delivered); err != nil {
			t.Fatal(err)
		}
		next := put(t, d.Quarantine(), entry(1))
		d = reopen(t, d, dir)
		q := d.Quarantine()
		for _, f := range []connector.EntryFilter{{}, {User: user(1)}, {Row: entry(1).Key}, {Model: "customers"}, {Class: "rejected"}, {Model: "customers", Class: "rejected"}} {
			if got := ids(listed(t, q, f)); !slices.Equal(got, []uint64{next}) {
				t.Errorf("open entries by %+v: %v", f, got)
			}
			f.Closed = true
			if got := ids(listed(t, q, f)); !slices.Equal(got, []uint64{id, next}) {
				t.Errorf("all entries by %+v: %v", f, got)
			}
		}
		if e, err := q.Entry(id); err != nil || e.Closed != "discarded" || e.ClosedAt.IsZero() {
			t.Errorf("got %+v, %v", e, err)
		}
		if q.Counts()[[2]string{"customers", "rejected"}] != 1 {
			t.Errorf("got counts %v", q.Counts())
		}
	})
	t.Run("a number never given is an error", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		put(t, q, entry(1))
		for _, id := range []uint64{0, 2, 1 << 63} {
			if err := q.Close(ctx, id, Delivered); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Close(%d) gave %v", id, err)
			}
		}
	})
	t.Run("ends without delivery leave a mark, for the table where the user is not known", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		q := d.quarantine
		nobody := entry(9)
		nobody.User = connector.User{}
		for id, how := range map[uint64]string{
			put(t, q, entry(1)): "discarded", put(t, q, entry(2)): "delivered with a later change", put(t, q, entry(3)): Retried,
			put(t, q, entry(4)): "expired", put(t, q, nobody): "discarded",
		} {
			if err := q.Close(ctx, id, how); err != nil {
				t.Fatal(err)
			}
		}
		d = reopen(t, d, dir)
		q = d.quarantine
		users, err := q.NoProof()
		if err != nil || !slices.Equal(sortedBy(users), []connector.User{user(1), user(4)}) {
			t.Errorf("got %v, %v", users, err)
		}
		tables, err := q.NoProofTables()
		if err != nil || !slices.Equal(tables, []string{"public.users"}) {
			t.Errorf("got %v, %v", tables, err)
		}
		if err := errors.Join(q.ClearProof(ctx, user(1)), q.ClearProof(ctx, user(99)), q.ClearTable(ctx, "public.users")); err != nil {
			t.Fatal(err)
		}
		users, _ = q.NoProof()
		if tables, _ = q.NoProofTables(); len(tables) != 0 || !slices.Equal(users, []connector.User{user(4)}) {
			t.Errorf("got %v and %v after clearing", users, tables)
		}
	})
	t.Run("List goes on behind an entry, as far as its limit", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		for i := range 10 {
			put(t, q, entry(i))
		}
		for _, f := range []connector.EntryFilter{{}, {Closed: true}, {Model: "customers"}} {
			f.After, f.Limit = 3, 4
			if got := ids(listed(t, q, f)); !slices.Equal(got, []uint64{4, 5, 6, 7}) {
				t.Errorf("%+v gave %v", f, got)
			}
		}
	})
	t.Run("Dump writes a line an entry", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		for i := range 2*dumpPage + 1 {
			put(t, q, entry(i))
		}
		for limit, want := range map[int]int{0: 2*dumpPage + 1, 3: 3, dumpPage: dumpPage, dumpPage + 1: dumpPage + 1} {
			var out bytes.Buffer
			n, err := Dump(ctx, &out, q, connector.EntryFilter{Limit: limit})
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if err != nil || n != want || len(lines) != want {
				t.Fatalf("limit %d: got %d, %d lines, %v", limit, n, len(lines), err)
			}
			var e connector.Entry
			if err := json.Unmarshal([]byte(lines[2]), &e); err != nil || e.User != user(2) {
				t.Errorf("got %s, %v", lines[2], err)
			}
		}
	})
	t.Run("cdc 119: what is never retried ends by age, and the store stays flat", func(t *testing.T) {
		now := testTime
		d := openData(t, t.TempDir(), func(c *DataConfig) { c.Now = func() time.Time { return now } })
		q := d.Quarantine()
		var size int64
		total := 0
		for day := range 40 {
			for i := range 20 {
				put(t, q, entry(day*20+i))
			}
			n, err := q.Expire(ctx, now.Add(-7*24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			total += n
			now = now.Add(24 * time.Hour)
			if day == 20 {
				size = d.Size()
			}
		}
		if d.Size() > size+size/4 {
			t.Errorf("the store grew from %d to %d bytes", size, d.Size())
		}
		if open := len(listed(t, q, connector.EntryFilter{})); open != 160 || total != 640 {
			t.Errorf("%d entries are open and %d expired, want 160 and 640", open, total)
		}
		if kept := len(listed(t, q, connector.EntryFilter{Closed: true})); kept != 160+160 {
			t.Errorf("%d entries are kept, want those of 16 days", kept)
		}
		if n := q.Counts()[[2]string{"customers", "rejected"}]; n != 160 {
			t.Errorf("counted %d", n)
		}
	})
	t.Run("cdc 115: a value of 100 MB keeps its beginning and its size", func(t *testing.T) {
		q := openData(t, t.TempDir()).Quarantine()
		huge := strings.Repeat("ü", 50<<20)
		image, err := json.Marshal(map[string]any{"id": "1", "bio": huge, "gone": nil})
		if err != nil {
			t.Fatal(err)
		}
		e := entry(1)
		e.After, e.Original = image, &connector.Original{Value: []byte(huge), Size: len(huge)}
		e.Effect = &connector.StoredEffect{
			Rows:   []connector.StoredRow{{Whole: true}},
			Fields: []connector.StoredField{{Name: "bio", JSON: []byte(`"` + huge + `"`)}, {Name: "plan", JSON: []byte(`"x"`)}},
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		id := put(t, q, e)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("keeping it took %d bytes of memory", n)
		}
		got, err := q.Entry(id)
		if err != nil {
			t.Fatal(err)
		}
		text, cut, err := Columns(got.After)
		if err != nil || !slices.Equal(cut, []string{"bio"}) || len(text) != 2 || *text["id"] != "1" || text["gone"] != nil {
			t.Errorf("got %v, %v, %v", text, cut, err)
		}
		var columns map[string]json.RawMessage
		var c Cut
		if err := errors.Join(json.Unmarshal(got.After, &columns), json.Unmarshal(columns["bio"], &c)); err != nil {
			t.Fatal(err)
		}
		if !c.Cut || c.Bytes != 100<<20+2 || !strings.HasPrefix(huge, c.Begins) || len(c.Begins) < maxValue-8 {
			t.Errorf("got cut %v, %d bytes, %d kept", c.Cut, c.Bytes, len(c.Begins))
		}
		if len(got.Original.Value) != maxRaw || !got.Original.Cut || got.Original.Size != len(huge) || len(got.Effect.Fields) != 1 || got.Effect.Fields[0].Name != "plan" || got.Effect.Rows[0].Whole {
			t.Errorf("got %d raw bytes, fields %v, rows %v", len(got.Original.Value), len(got.Effect.Fields), got.Effect.Rows)
		}
		for _, note := range []string{"no e-mail address; ", `"bio"`, "104857602", "104857600"} {
			if !strings.Contains(got.Reason, note) {
				t.Errorf("the reason does not say %s: %s", note, got.Reason)
			}
		}
		if len(e.Effect.Fields) != 2 || !e.Effect.Rows[0].Whole {
			t.Error("the caller's entry was changed")
		}
	})
}

func TestQuarantineConcurrently(t *testing.T) {
	const workers, each = 32, 50
	dir := t.TempDir()
	d := openData(t, dir)
	q := d.Quarantine()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := put(t, q, entry(w*each+i))
				if i%2 == 0 {
					if err := q.Close(context.Background(), id, Delivered); err != nil {
						t.Error(err)
					}
				}
				if _, err := q.List(connector.EntryFilter{User: user(w*each + i)}); err != nil {
					t.Error(err)
				}
				q.Counts()
			}
		})
	}
	wg.Wait()
	want := map[[2]string]int64{{"customers", "rejected"}: workers * each / 2}
	if diff := gocmp.Diff(want, q.Counts()); diff != "" {
		t.Error(diff)
	}
	d = reopen(t, d, dir)
	if diff := gocmp.Diff(want, d.Quarantine().Counts()); diff != "" {
		t.Error(diff)
	}
	if n := len(listed(t, d.Quarantine(), connector.EntryFilter{})); n != workers*each/2 {
		t.Errorf("%d are open", n)
	}
}

// TestQuarantineAgainstModel compares with a map of entries, by random puts, closes, expiries and restarts.
func TestQuarantineAgainstModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		now := testTime
		clock := func(c *DataConfig) { c.Now = func() time.Time { return now } }
		d := openData(t, dir, clock)
		want := map[uint64]connector.Entry{}
		check := func(f connector.EntryFilter) {
			var wantIDs []uint64
			for _, id := range slices.Sorted(maps.Keys(want)) {
				e := want[id]
				if id > f.After && matches(&e, &f) && (f.Limit == 0 || len(wantIDs) < f.Limit) {
					wantIDs = append(wantIDs, id)
				}
			}
			if got := ids(listed(t, d.Quarantine(), f)); !slices.Equal(got, wantIDs) {
				rt.Fatalf("%+v gave %v, want %v", f, got, wantIDs)
			}
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			now = now.Add(time.Hour)
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default:
				e := entry(rapid.IntRange(0, 3).Draw(rt, "row"))
				e.At = now
				e.Model = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "model")
				e.Class = rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "class")
				e.ID = put(t, d.Quarantine(), e)
				maps.DeleteFunc(want, func(_ uint64, o connector.Entry) bool { return o.Closed == "" && o.Key == e.Key && o.Model == e.Model })
				want[e.ID] = e
			case 5, 6:
				if len(want) == 0 {
					continue
				}
				id := rapid.SampledFrom(slices.Sorted(maps.Keys(want))).Draw(rt, "id")
				if err := d.Quarantine().Close(ctx, id, "discarded"); err != nil {
					rt.Fatal(err)
				}
				if e := want[id]; e.Closed == "" {
					e.Closed, e.ClosedAt = "discarded", now
					want[id] = e
				}
			case 7:
				before := now.Add(-time.Duration(rapid.IntRange(0, 12).Draw(rt, "hours")) * time.Hour)
				n, err := d.Quarantine().Expire(ctx, before)
				if err != nil {
					rt.Fatal(err)
				}
				for id, e := range want {
					switch {
					case e.Closed == "" && e.At.Before(before):
						n--
						e.Closed, e.ClosedAt = expired, now
						want[id] = e
					case e.Closed != "" && e.ClosedAt.Before(before):
						delete(want, id)
					}
				}
				if n != 0 {
					rt.Fatalf("Expire counted %d too many", n)
				}
			case 8:
				if err := d.Close(); err != nil {
					rt.Fatal(err)
				}
				d = openData(t, dir, clock)
			}
			check(connector.EntryFilter{
				Model: rapid.SampledFrom([]string{"", "a"}).Draw(rt, "by model"), Class: rapid.SampledFrom([]string{"", "x"}).Draw(rt, "by class"),
				User:   rapid.SampledFrom([]connector.User{{}, user(1)}).Draw(rt, "by user"),
				Row:    rapid.SampledFrom([]connector.Key{{}, entry(1).Key}).Draw(rt, "by row"),
				Closed: rapid.Bool().Draw(rt, "closed"), After: rapid.Uint64Range(0, 5).Draw(rt, "after"), Limit: rapid.IntRange(0, 3).Draw(rt, "limit"),
			})
			counts := map[[2]string]int64{}
			for _, e := range want {
				if e.Closed == "" {
					counts[[2]string{e.Model, e.Class}]++
				}
			}
			if diff := gocmp.Diff(counts, d.Quarantine().Counts()); diff != "" {
				rt.Fatal(diff)
			}
		}
		if err := d.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	q := openData(b, b.TempDir()).Quarantine()
	var n sync.Mutex
	i := 0
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Lock()
			i++
			e := entry(i)
			n.Unlock()
			put(b, q, e)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkListOfUser looks for the entry of one user among a million, which takes a minute to fill; -short takes fewer.
func BenchmarkListOfUser(b *testing.B) {
	total := 1_000_000
	if testing.Short() {
		total = 50_000
	}
	d := openData(b, b.TempDir())
	q := d.Quarantine()
	var wg sync.WaitGroup
	const workers = 200
	for w := range workers {
		wg.Go(func() {
			for i := w; i < total; i += workers {
				put(b, q, entry(i))
			}
		})
	}
	wg.Wait()
	i := 0
	for b.Loop() {
		i = (i + 7919) % total
		if es := listed(b, q, connector.EntryFilter{User: user(i)}); len(es) != 1 {
			b.Fatal(fmt.Sprint(es))
		}
	}
	b.ReportMetric(float64(d.Size())/float64(total), "B/entry")
}
