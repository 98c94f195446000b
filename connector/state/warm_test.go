package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"brazecdc/connector"
)

// TestWarm: what is kept is always what was put last, all that fits is kept, and the index leads to what there is and to nothing else.
func TestWarm(t *testing.T) {
	const size, chunks = 128, 4
	rapid.Check(t, func(rt *rapid.T) {
		w := warmOf(chunks, size)
		want := map[string]string{}
		var since []string // keys in the order in which they were put
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			key := fmt.Sprint("k", rapid.IntRange(0, 40).Draw(rt, "key"))
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				w.remove([]byte(key))
				delete(want, key)
			case 1:
				if rapid.IntRange(0, 20).Draw(rt, "clears") == 0 {
					w.clear()
					clear(want)
				}
			default:
				value := strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(rt, "letter"))), rapid.IntRange(0, size+8).Draw(rt, "length")*rapid.IntRange(0, 1).Draw(rt, "long"))
				w.put([]byte(key), []byte(value))
				want[key] = value
				since = append(since, key)
			}
			checkWarm(rt, w, want)
		}
		// The last one that fits is always there.
		if n := len(since); n > 0 {
			key := since[n-1]
			if v, ok := want[key]; ok && 2*warmLength+len(key)+len(v) <= size {
				if _, ok := w.get(nil, []byte(key)); !ok {
					rt.Fatalf("%q was put last and is not there", key)
				}
			}
		}
	})
}

func checkWarm(t *rapid.T, w *warm, want map[string]string) {
	found := 0
	for i := range 41 {
		key := fmt.Sprint("k", i)
		got, ok := w.get([]byte("x"), []byte(key))
		if !ok {
			if string(got) != "x" {
				t.Fatalf("of %q, which is not there, it gave %q", key, got)
			}
			continue
		}
		found++
		if v, there := want[key]; !there || string(got) != "x"+v {
			t.Fatalf("%q has %q, wanted %q (%v)", key, got, v, there)
		}
	}
	used := 0
	for _, s := range w.slots {
		if s.at != 0 {
			used++
		}
	}
	if used != found || w.count != found {
		t.Fatalf("%d slots are used, %d counted, %d keys found", used, w.count, found)
	}
}

// TestWarmKeepsAll: as long as there is room nothing is lost, however the index grows; beyond it the oldest goes first.
func TestWarmKeepsAll(t *testing.T) {
	key := func(i int) []byte { return fmt.Appendf(nil, "user-%07d", i) }
	const record = 2*warmLength + 12 + 4
	const perChunk = warmChunk / record
	w := newWarm(3 * warmChunk)
	for i := range 3 * perChunk {
		w.put(key(i), fmt.Appendf(nil, "%04d", i%10_000))
	}
	has := func(i int) bool {
		v, ok := w.get(nil, key(i))
		if ok && !bytes.Equal(v, fmt.Appendf(nil, "%04d", i%10_000)) {
			t.Fatalf("%d has %q", i, v)
		}
		return ok
	}
	for i := range 3 * perChunk {
		if !has(i) {
			t.Fatalf("%d of %d is lost", i, 3*perChunk)
		}
	}
	w.put(key(3*perChunk), fmt.Appendf(nil, "%04d", 3*perChunk%10_000))
	if has(0) || has(perChunk-1) || !has(perChunk) || !has(3*perChunk) {
		t.Fatal("the oldest chunk did not make room for the newest record")
	}
	if len(w.chunks) != 3 || w.count != 2*perChunk+1 {
		t.Fatalf("%d chunks hold %d records", len(w.chunks), w.count)
	}
}

// TestCacheMemory: what is held in memory is no other than what the files hold.
func TestCacheMemory(t *testing.T) {
	warmed := func(c *CacheConfig) { c.Memory = warmChunk }
	held := func(c *Cache, u connector.User, model string) bool {
		_, ok := c.warm.get(nil, appendPrintKey(nil, c.pairs[pair{model: model}], &u))
		return ok
	}
	t.Run("a write that is refused leaves nothing", func(t *testing.T) {
		c := openCache(t, t.TempDir(), warmed)
		old := some(3)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: old})
		err := c.Write(nil, []connector.PrintPut{{Model: "m", User: user(1), Prints: some(3)}, {Model: "m", User: user(2), Prints: []connector.Print{{Leaf: 2}, {Leaf: 1}}}})
		if err == nil {
			t.Fatal("unsorted fingerprints were taken")
		}
		wantPrints(t, c, user(1), "m", old)
	})
	t.Run("a restart begins without", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir, warmed)
		p := some(3)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: p})
		if !held(c, user(1), "m") {
			t.Fatal("what was written is not held")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir, warmed)
		if held(c, user(1), "m") {
			t.Fatal("it is held before anything was written")
		}
		wantPrints(t, c, user(1), "m", p)
	})
	t.Run("who is forgotten is in neither", func(t *testing.T) {
		c := openCache(t, t.TempDir(), warmed)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: some(3)})
		if _, err := c.Forget(t.Context(), user(1)); err != nil {
			t.Fatal(err)
		}
		if held(c, user(1), "m") {
			t.Fatal("memory still holds it")
		}
		wantPrints(t, c, user(1), "m", nil)
	})
	t.Run("a partition that went is unknown in memory too", func(t *testing.T) {
		c := openCache(t, t.TempDir(), warmed)
		writePrints(t, c, connector.PrintPut{Model: "m", User: user(1), Prints: some(3), Part: "t/1"})
		if err := c.DropPart("t/1"); err != nil {
			t.Fatal(err)
		}
		wantPrints(t, c, user(1), "m", nil)
		found := 0
		if err := c.PrintsOf("m", []connector.User{user(1)}, func(int, []connector.Print) { found++ }); err != nil || found > 0 {
			t.Fatal(found, err)
		}
	})
}

// TestShapes: users of one model share their leaves; beyond the bound of shapes each has its own, and all can be read, after a start too.
func TestShapes(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir)
	want := map[connector.User][]connector.Print{}
	for i := range maxShapes + 50 {
		p := some(2)
		p[1].Leaf += uint32(i)
		want[user(i)] = p
	}
	long := some(maxLeaves + 1)
	want[user(-1)], want[user(-2)] = long, []connector.Print{}
	var puts []connector.PrintPut
	for u, p := range want {
		puts = append(puts, connector.PrintPut{Model: "m", User: u, Prints: p})
	}
	writePrints(t, c, puts...)
	same := some(2)
	same[1].Leaf++
	want[user(-3)] = same
	writePrints(t, c, connector.PrintPut{Model: "m", User: user(-3), Prints: same})
	for range 2 {
		if n := len(c.shapes.leaves); n != maxShapes {
			t.Errorf("there are %d shapes", n)
		}
		for u, p := range want {
			wantPrints(t, c, u, "m", p)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir)
	}
}
