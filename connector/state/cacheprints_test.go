package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"brazecdc/connector"
)

// some gives n fingerprints, sorted.
func some(n int) []connector.Print {
	out := make([]connector.Print, n)
	for i := range out {
		out[i] = connector.Print{Leaf: uint32(i)<<20 | uint32(i), Sum: rand.Uint64()}
	}
	return out
}

func writePrints(t testing.TB, c *Cache, puts ...connector.PrintPut) {
	t.Helper()
	if err := c.Write(nil, puts); err != nil {
		t.Fatal(err)
	}
}

// wantPrints compares what is known of a user; nil is "nothing".
func wantPrints(t testing.TB, c *Cache, u connector.User, model string, want []connector.Print) {
	t.Helper()
	got, ok, err := c.Prints(nil, u, model)
	if err != nil || ok != (want != nil) || !slices.Equal(got, want) {
		t.Errorf("%+v of %s has %v, %v, %v; want %v", u, model, got, ok, err, want)
	}
}

func TestCachePrints(t *testing.T) {
	t.Run("gives each user's of each model, over a restart too", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		long := strings.Repeat("u", 3000)
		want := map[connector.User][]connector.Print{
			{ID: "1"}: some(10), {Kind: connector.Email, ID: "1"}: some(1), {Kind: connector.Alias, ID: "1"}: some(2), {Kind: connector.Alias, ID: "1", Label: "1"}: some(3),
			{Kind: connector.Alias, ID: "", Label: "11"}: some(4), {}: {}, {ID: long}: some(700), {ID: long + "x"}: {{Leaf: 1<<32 - 1, Sum: 1<<64 - 1}},
		}
		for u, p := range want {
			// The row's key and number are as close to those of the fingerprints as can be.
			err := c.Write([]connector.RowPut{{Model: "m", Key: connector.Key{ID: u.ID}, User: user(1)}}, []connector.PrintPut{{Model: "m", User: u, Prints: p}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			for u, p := range want {
				wantPrints(t, c, u, "m", p)
				wantPrints(t, c, u, "other", nil)
				wantRow(t, c, "m", connector.Key{ID: u.ID}, user(1))
			}
			wantPrints(t, c, connector.User{ID: "2"}, "m", nil)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = openCache(t, dir)
		}
	})
	t.Run("a put replaces all that was known, nil ends it", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1)}) // never there
		first, second := some(10), some(2)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: first}, connector.PrintPut{Model: "m", User: user(1), Prints: second})
		wantPrints(t, c, user(1), "m", second)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1)})
		wantPrints(t, c, user(1), "m", nil)
	})
	t.Run("appends to what it is given", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		p := some(3)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: p})
		before := connector.Print{Leaf: 1<<32 - 1, Sum: 5}
		got, ok, err := c.Prints([]connector.Print{before}, user(1), "m")
		if !ok || err != nil || !slices.Equal(got, append([]connector.Print{before}, p...)) {
			t.Errorf("got %v, %v, %v", got, ok, err)
		}
		if got, ok, err = c.Prints(got[:1], user(2), "m"); ok || err != nil || len(got) != 1 || got[0] != before {
			t.Errorf("of an unknown user got %v, %v, %v", got, ok, err)
		}
	})
	t.Run("Drop forgets the fingerprints of one model", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		a, b := some(4), some(4)
		writePrints(t, c, connector.PrintPut{Model: "a", User: user(1), Prints: a}, connector.PrintPut{Model: "b", User: user(1), Prints: b})
		if err := errors.Join(c.Drop("a"), c.Close()); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir)
		wantPrints(t, c, user(1), "a", nil)
		wantPrints(t, c, user(1), "b", b)
		writePrints(t, c, connector.PrintPut{Model: "a", User: user(1), Prints: b})
		wantPrints(t, c, user(1), "a", b)
		if err := c.Drop(""); err != nil {
			t.Fatal(err)
		}
		wantPrints(t, c, user(1), "b", nil)
	})
	t.Run("what is not sorted is refused, with all of its Write", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		for _, p := range [][]connector.Print{{{Leaf: 2}, {Leaf: 1}}, {{Leaf: 2}, {Leaf: 2}}} {
			err := c.Write([]connector.RowPut{{Model: "m", Key: row("1"), User: user(1)}},
				[]connector.PrintPut{{Model: "m", User: user(2), Prints: some(1)}, {Model: "m", User: user(1), Prints: p}})
			if err == nil || !strings.Contains(err.Error(), "leaf") {
				t.Errorf("got %v", err)
			}
		}
		wantRow(t, c, "m", row("1"), connector.User{})
		wantPrints(t, c, user(2), "m", nil)
	})
	t.Run("what cannot be read is an error, and the cache is begun anew", func(t *testing.T) {
		for name, v := range map[string][]byte{
			"empty": {}, "cut": appendPrints(nil, &connector.User{}, some(2), 0, 0)[:14], "unsorted": appendPrints(nil, &connector.User{}, []connector.Print{{Leaf: 2}, {Leaf: 1}}, 0, 0),
			"a user's": appendUser(nil, &connector.User{Kind: connector.Email, ID: "elevenchars"}, "", 0),
		} {
			var log bytes.Buffer
			c := openCache(t, t.TempDir(), func(c *CacheConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: some(1)}, connector.PrintPut{Model: "m", User: user(2), Prints: some(1)})
			u, other := user(1), some(1)
			if err := c.db.Set(appendPrintKey(nil, c.pairs[pair{model: "m"}], &u), v, nil); err != nil {
				t.Fatal(err)
			}
			got, ok, err := c.Prints(other, u, "m")
			if _, damage := errors.AsType[*DamageError](err); !damage || ok || !slices.Equal(got, other) {
				t.Errorf("%s: got %v, %v, %v", name, got, ok, err)
			}
			wantPrints(t, c, user(2), "m", nil)
			if !strings.Contains(log.String(), "begun anew") {
				t.Errorf("%s: logged %q", name, log.String())
			}
			writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: other})
			wantPrints(t, c, user(1), "m", other)
		}
	})
}

func TestCacheParts(t *testing.T) {
	both := func(t *testing.T, c *Cache, id int, part string, p []connector.Print) {
		t.Helper()
		err := c.Write([]connector.RowPut{{Model: "m", Key: row(fmt.Sprint(id)), User: user(id), Part: part}},
			[]connector.PrintPut{{Model: "m", User: user(id), Prints: p, Part: part}})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(t *testing.T, c *Cache, id int, p []connector.Print) {
		t.Helper()
		u := user(id)
		if p == nil {
			u = connector.User{}
		}
		wantRow(t, c, "m", row(fmt.Sprint(id)), u)
		wantPrints(t, c, user(id), "m", p)
	}
	drop := func(t *testing.T, c *Cache, part string) {
		t.Helper()
		if err := c.DropPart(part); err != nil {
			t.Fatal(err)
		}
	}
	p, q := some(5), some(6)
	t.Run("what was written under a part is forgotten with it, and what comes later counts", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		both(t, c, 1, "t/1", p)
		both(t, c, 2, "t/2", p)
		both(t, c, 3, "", p)
		for _, part := range []string{"t/1", "", "never there"} {
			drop(t, c, part)
		}
		want(t, c, 1, nil)
		want(t, c, 2, p)
		want(t, c, 3, p)
		both(t, c, 1, "t/1", q)
		both(t, c, 4, "t/1", q)
		for range 2 {
			want(t, c, 1, q)
			want(t, c, 4, q)
			want(t, c, 2, p)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = openCache(t, dir)
		}
		drop(t, c, "t/1")
		want(t, c, 1, nil)
		want(t, c, 4, nil)
	})
	t.Run("a value belongs to the part that it was last written under", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		both(t, c, 1, "t/1", p)
		both(t, c, 1, "t/2", q)
		both(t, c, 2, "t/1", p)
		both(t, c, 2, "", q)
		drop(t, c, "t/1")
		want(t, c, 1, q)
		want(t, c, 2, q)
		drop(t, c, "t/2")
		want(t, c, 1, nil)
	})
	t.Run("a number of a part is not given again, over restarts and all parts gone", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		for i := range 300 {
			both(t, c, i, fmt.Sprint("t/", i%3), p)
			drop(t, c, fmt.Sprint("t/", i%3))
			if i%100 == 0 {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				c = openCache(t, dir)
			}
			for _, j := range []int{0, i / 2, i} {
				want(t, c, j, nil)
			}
		}
	})
	t.Run("it is durable when DropPart returns", func(t *testing.T) {
		dir := t.TempDir()
		disk, err := powered(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := openCacheOn(disk, dir, testCache)
		if err != nil {
			t.Fatal(err)
		}
		both(t, c, 1, "t/1", p)
		both(t, c, 2, "t/2", p)
		if err = c.Sync(nil); err != nil {
			t.Fatal(err)
		}
		drop(t, c, "t/1")
		left := disk.CrashClone(vfs.CrashCloneCfg{})
		both(t, c, 1, "t/1", q) // after the power went
		if err = c.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err = openCacheOn(left, dir, testCache); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want(t, c, 1, nil)
		want(t, c, 2, p)
		both(t, c, 3, "t/1", q) // takes the number that was lost with the power
		want(t, c, 1, nil)
		want(t, c, 3, q)
	})
	t.Run("numbers that contradict each other begin the cache anew", func(t *testing.T) {
		for name, v := range map[string][]byte{"given twice": {1}, "never given": {9}, "none": {}} {
			dir := t.TempDir()
			c := openCache(t, dir)
			both(t, c, 1, "t/1", p)
			if err := errors.Join(c.db.Set(partKey("t/2"), v, nil), c.Close()); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			c = openCache(t, dir, func(c *CacheConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			want(t, c, 1, nil)
			if !strings.Contains(log.String(), "begun anew") {
				t.Errorf("%s: logged %q", name, log.String())
			}
		}
	})
	t.Run("without a part a value has no byte more", func(t *testing.T) {
		u := user(1)
		if n := len(appendUser(nil, &u, u.ID, 0)); n != 1 {
			t.Errorf("a row takes %d bytes", n)
		}
		if n := len(appendPrints(nil, &connector.User{}, some(10), 0, 0)); n != 1+10*printSize {
			t.Errorf("ten fingerprints take %d bytes", n)
		}
		if n := len(appendPrints(nil, &connector.User{}, some(10), 1<<14-1, 0)); n != 3+10*printSize {
			t.Errorf("with a part, ten fingerprints take %d bytes", n)
		}
	})
}

// FuzzPrintKey: a user is read back from what is written for it, no two users share a key, and no bytes panic.
func FuzzPrintKey(f *testing.F) {
	f.Add(uint8(2), "crm", "u1", []byte{0, 1, keyPrints, 0, 0}, []byte{0})
	f.Add(uint8(0), "", strings.Repeat("x", 65), []byte{0, 1, keyPrints, 2, 0xff}, []byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, kind uint8, label, id string, key, value []byte) {
		u := connector.User{Kind: connector.IDKind(kind % uint8(connector.Item+1)), Label: label, ID: id}
		k := appendPrintKey(nil, 7, &u)
		got, tag, err := printUser(k, appendPrints(nil, &u, some(2), 9, 0))
		if err != nil || got != u || tag != 9 {
			t.Fatalf("%+v under %d became %+v under %d, %v", u, 9, got, tag, err)
		}
		if from, end := printKeys(7); bytes.Compare(k, from) < 0 || bytes.Compare(k, end) >= 0 {
			t.Fatalf("the key %x is not between %x and %x", k, from, end)
		}
		if other, _, err := printUser(key, value); err == nil && len(key) > prefixSize && key[prefixSize] == keyPrints {
			if again := appendPrintKey(nil, binary.BigEndian.Uint16(key), &other); !longUser(&other) && len(again) == len(key) && !bytes.Equal(again, key) {
				t.Fatalf("%x names %+v, whose key is %x", key, other, again)
			}
		}
	})
}

// FuzzCachedValue: no bytes panic, and what can be read is what would be written.
func FuzzCachedValue(f *testing.F) {
	u := connector.User{Kind: connector.Alias, ID: "u", Label: "crm"}
	f.Add(appendPrints(nil, &connector.User{}, some(3), 0, 0), "1")
	f.Add(appendPrints(nil, &connector.User{}, some(1), 70_000, 0), "1")
	f.Add(appendUser(nil, &u, "1", 3), "1")
	f.Add(appendUser(nil, &u, "u", 0), "u")
	f.Add(appendPrints(nil, &connector.User{}, some(3), 5, 3), "1")
	f.Add([]byte{shaped, 0, 4}, "")
	f.Add([]byte{tagged}, "")
	leavesOf := func(number uint16) []uint32 { // the first n leaves of some, for number n up to 3
		if number == 0 || number > 3 {
			return nil
		}
		return []uint32{0, 1<<20 | 1, 2<<20 | 2}[:number]
	}
	f.Fuzz(func(t *testing.T, v []byte, rowID string) {
		before := []connector.Print{{Leaf: 7, Sum: 7}}
		prints, tag, err := readPrints(before, v, leavesOf)
		if err != nil && (tag != 0 || len(prints) != 1) || prints[0] != before[0] {
			t.Fatalf("%v, %d, %v", prints, tag, err)
		}
		if err == nil {
			shape := uint16(0)
			if n := uint16(len(prints) - 1); n > 0 && slices.EqualFunc(prints[1:], leavesOf(n), func(p connector.Print, leaf uint32) bool { return p.Leaf == leaf }) {
				shape = n
			}
			again, sameTag, err := readPrints(nil, appendPrints(nil, &connector.User{}, prints[1:], tag, shape), leavesOf)
			if err != nil || sameTag != tag || !slices.Equal(again, prints[1:]) {
				t.Fatalf("%v under %d became %v under %d, %v", prints[1:], tag, again, sameTag, err)
			}
		}
		if u, tag, err := readUser(v, rowID); err == nil {
			again, sameTag, err := readUser(appendUser(nil, &u, rowID, tag), rowID)
			if err != nil || sameTag != tag || again != u {
				t.Fatalf("%v under %d became %v under %d, %v", u, tag, again, sameTag, err)
			}
		}
	})
}

func TestPrintsOf(t *testing.T) {
	c := openCache(t, t.TempDir())
	var users []connector.User
	for n := range 200 {
		u := user(n)
		users = append(users, u)
		if n%3 == 0 {
			continue
		}
		put := connector.PrintPut{Model: "users", User: u, Prints: []connector.Print{{Leaf: 1, Sum: uint64(n)}, {Leaf: 2, Sum: uint64(n) + 1}}}
		if n%5 == 0 {
			put.Part = "users/0"
		}
		if err := c.Write(nil, []connector.PrintPut{put}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.DropPart("users/0"); err != nil {
		t.Fatal(err)
	}
	got := map[int][]connector.Print{}
	if err := c.PrintsOf("users", users, func(i int, prints []connector.Print) { got[i] = prints }); err != nil {
		t.Fatal(err)
	}
	for n, u := range users {
		want, ok, err := c.Prints(nil, u, "users")
		if err != nil {
			t.Fatal(err)
		}
		if have, found := got[n]; found != ok || !slices.Equal(have, want) {
			t.Errorf("user %d: %v %v, one by one %v %v", n, have, found, want, ok)
		}
	}
	if err := c.PrintsOf("nobody", users, func(int, []connector.Print) { t.Error("found") }); err != nil {
		t.Error(err)
	}
}
