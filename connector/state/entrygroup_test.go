package state

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

func groups(t testing.TB, d *Data, since time.Time) []connector.EntryGroup {
	t.Helper()
	gs, err := connector.Groups(d.Quarantine(), since)
	if err != nil {
		t.Fatal(err)
	}
	return gs
}

// told are groups in short: what they are, with how many.
func told(gs []connector.EntryGroup) map[string]int64 {
	out := map[string]int64{}
	for _, g := range gs {
		out[g.Model+"/"+g.Class+"/"+g.Field+"/"+g.Kind] = g.Count
	}
	return out
}

func TestEntryGroups(t *testing.T) {
	ctx := context.Background()
	fill := func(t *testing.T, d *Data) []uint64 {
		t.Helper()
		var ids []uint64
		for i := range 10 {
			e := entry(i)
			e.Class, e.Field, e.Reason = "mapping", "email", fmt.Sprintf("%q is no e-mail address", fmt.Sprint("x", i))
			if i >= 7 {
				e.Reason = "longer than 255 characters"
			}
			e.At = testTime.Add(time.Duration(i) * time.Minute)
			ids = append(ids, put(t, d.Quarantine(), e))
		}
		return ids
	}
	const bad, long = `customers/mapping/email/"…" is no e-mail address`, "customers/mapping/email/longer than … characters"
	t.Run("count by reason, with the first and the last, over a restart", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		ids := fill(t, d)
		for range 2 {
			gs := groups(t, d, testTime.Add(5*time.Minute))
			if diff := gocmp.Diff(map[string]int64{bad: 7, long: 3}, told(gs)); diff != "" {
				t.Fatal(diff)
			}
			g := gs[0]
			if !g.Oldest.Equal(testTime) || !g.Newest.Equal(testTime.Add(6*time.Minute)) || g.Sample != ids[6] || g.Recent != 2 {
				t.Errorf("got %+v", g)
			}
			list := listed(t, d.Quarantine(), connector.EntryFilter{Group: g.ID, After: ids[2], Limit: 2})
			if len(list) != 2 || list[0].ID != ids[3] || list[1].ID != ids[4] {
				t.Errorf("got %+v", list)
			}
			d = reopen(t, d, dir)
		}
	})
	t.Run("follow entries that end, are replaced and are erased", func(t *testing.T) {
		d := openData(t, t.TempDir())
		ids := fill(t, d)
		if err := d.Quarantine().Close(ctx, ids[0], Delivered); err != nil {
			t.Fatal(err)
		}
		again := entry(1)
		again.Class, again.Reason = "rejected", "not liked"
		put(t, d.Quarantine(), again)
		if _, err := d.Purge(ctx, user(9), nil); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(map[string]int64{bad: 5, long: 2, "customers/rejected//not liked": 1}, told(groups(t, d, testTime))); diff != "" {
			t.Fatal(diff)
		}
		if _, err := d.Quarantine().Expire(ctx, testTime.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(map[string]int64{"customers/rejected//not liked": 1}, told(groups(t, d, testTime))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("count what a filter means", func(t *testing.T) {
		d := openData(t, t.TempDir())
		ids := fill(t, d)
		g := groups(t, d, testTime)[0].ID
		for _, c := range []struct {
			f    connector.EntryFilter
			want int64
		}{
			{connector.EntryFilter{}, 10},
			{connector.EntryFilter{Group: g}, 7},
			{connector.EntryFilter{Group: "no group"}, 0},
			{connector.EntryFilter{Model: "customers", Class: "rejected"}, 0},
			{connector.EntryFilter{Class: "mapping", After: 5, Limit: 1}, 10},
			{connector.EntryFilter{Since: testTime.Add(5 * time.Minute)}, 5},
			{connector.EntryFilter{Group: g, Since: testTime.Add(5 * time.Minute)}, 2},
			{connector.EntryFilter{Group: g, Until: testTime.Add(5 * time.Minute)}, 5},
			{connector.EntryFilter{Group: g, UpTo: ids[2]}, 3},
			{connector.EntryFilter{UpTo: ids[2]}, 3},
			{connector.EntryFilter{User: user(3)}, 1},
			{connector.EntryFilter{User: user(3), Since: testTime.Add(time.Hour)}, 0},
		} {
			n, err := connector.CountEntries(d.Quarantine(), c.f)
			if err != nil || n != c.want {
				t.Errorf("%+v: %d, %v; want %d", c.f, n, err, c.want)
			}
			c.f.After, c.f.Limit = 0, 0
			if got := len(listed(t, d.Quarantine(), c.f)); got != int(c.want) {
				t.Errorf("%+v: the list has %d; want %d", c.f, got, c.want)
			}
		}
	})
	t.Run("are bounded, whatever the reasons say", func(t *testing.T) {
		d := openData(t, t.TempDir())
		var last uint64
		for i := range maxGroups + 50 {
			e := entry(i)
			e.Reason = "refused for " + strconv.FormatInt(int64(i)+1000, 26) + string(rune('a'+i%26)) + string(rune('a'+i/26))
			for _, digit := range "0123456789" {
				e.Reason = replaceRune(e.Reason, digit, 'q'+(digit-'0'))
			}
			last = put(t, d.Quarantine(), e)
		}
		gs := groups(t, d, testTime)
		if len(gs) > maxGroups+1 {
			t.Fatalf("%d groups", len(gs))
		}
		if gs[0].Kind != "" || gs[0].Count < 40 || gs[0].Sample != last {
			t.Errorf("the rest is %+v", gs[0])
		}
		if n := len(listed(t, d.Quarantine(), connector.EntryFilter{Group: gs[0].ID})); int64(n) != gs[0].Count {
			t.Errorf("its list has %d", n)
		}
		if err := d.Quarantine().Close(ctx, last, "discarded"); err != nil {
			t.Fatal(err)
		}
		if now := groups(t, d, testTime); now[0].Count != gs[0].Count-1 {
			t.Errorf("got %+v", now[0])
		}
	})
	t.Run("are made anew where another version wrote the file", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		fill(t, d)
		for name, spoil := range map[string]func(tx *bbolt.Tx) error{
			"without groups": func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketGroup)) },
			"fewer": func(tx *bbolt.Tx) error {
				bk := tx.Bucket([]byte(bucketGroup))
				k, _ := bk.Cursor().First()
				return bk.Delete(k)
			},
			"damaged": func(tx *bbolt.Tx) error {
				bk := tx.Bucket([]byte(bucketGroup))
				k, _ := bk.Cursor().First()
				return bk.Put(k, []byte("nonsense"))
			},
		} {
			if err := d.quarantine.file.update(spoil); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			look := openData(t, dir, func(c *DataConfig) { c.ReadOnly = true })
			if diff := gocmp.Diff(map[string]int64{bad: 7, long: 3}, told(groups(t, look, testTime))); diff != "" {
				t.Error(name, "read only: ", diff)
			}
			if n := len(listed(t, look.Quarantine(), connector.EntryFilter{Group: groups(t, look, testTime)[0].ID})); n != 7 {
				t.Errorf("%s, read only: the list has %d", name, n)
			}
			d = reopen(t, look, dir)
			if diff := gocmp.Diff(map[string]int64{bad: 7, long: 3}, told(groups(t, d, testTime))); diff != "" || !d.quarantine.grouped {
				t.Error(name, diff)
			}
		}
	})
}

func replaceRune(s string, old, to rune) string {
	out := []rune(s)
	for i := range out {
		if out[i] == old {
			out[i] = to
		}
	}
	return string(out)
}

// TestEntryGroupsMany asks a full quarantine what a page asks. BRAZECDC_HELD sets how many entries it has.
func TestEntryGroupsMany(t *testing.T) {
	n := 20_000
	if s := os.Getenv("BRAZECDC_HELD"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	d := openData(t, dir)
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < n; i += 64 {
				e := entry(i)
				e.Reason = fmt.Sprintf("%q is refused for the %dth time", fmt.Sprint("x", i), i)
				e.Field = []string{"email", "phone", "plan", ""}[i%4]
				e.User = user(i / 2)
				if _, err := d.Quarantine().Put(context.Background(), &e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		var took []time.Duration
		for range 20 {
			from := time.Now()
			gs := groups(t, d, time.Now().Add(-time.Hour))
			g := gs[1]
			if g.Count != int64(n/4) || len(gs) != 4 {
				t.Fatalf("got %+v", gs)
			}
			if l := listed(t, d.Quarantine(), connector.EntryFilter{Group: g.ID, After: g.Sample / 2, Limit: 50}); len(l) != 50 {
				t.Fatalf("%d entries", len(l))
			}
			if n, err := connector.CountEntries(d.Quarantine(), connector.EntryFilter{Group: g.ID}); err != nil || n != g.Count {
				t.Fatalf("%d, %v", n, err)
			}
			took = append(took, time.Since(from))
		}
		slowest := took[0]
		for _, x := range took[1:] {
			slowest = max(slowest, x)
		}
		t.Logf("%d entries: first %s, slowest %s", n, took[0], slowest)
		if slowest > 250*time.Millisecond { // a loaded machine is given five times what a page may take
			t.Errorf("%d entries take %s", n, slowest)
		}
		from := time.Now()
		d = reopen(t, d, dir)
		t.Logf("opened in %s", time.Since(from))
	}
}
