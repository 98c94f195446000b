package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
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
				w.apply([]warmRecord{{key: []byte(key), gone: true}})
				delete(want, key)
			case 1:
				if rapid.IntRange(0, 20).Draw(rt, "clears") == 0 {
					w.clear()
					clear(want)
				}
			default:
				value := strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(rt, "letter"))), rapid.IntRange(0, size+8).Draw(rt, "length")*rapid.IntRange(0, 1).Draw(rt, "long"))
				w.apply([]warmRecord{{key: []byte(key), value: []byte(value)}})
				want[key] = value
				since = append(since, key)
			}
			checkWarm(rt, w, want)
		}
		// The last one that fits is always there.
		if n := len(since); n > 0 {
			key := since[n-1]
			if v, ok := want[key]; ok && 2*warmLength+len(key)+len(v) <= size {
				if _, ok := w.of([]byte(key)); !ok {
					rt.Fatalf("%q was put last and is not there", key)
				}
			}
		}
	})
}

// TestWarmFill: what is read from the files while others write, however late it comes, never takes the place of what they wrote.
func TestWarmFill(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := warmOf(rapid.IntRange(2, 8).Draw(rt, "chunks"), 128)
		files := map[string]string{}
		key := func() string { return fmt.Sprint("k", rapid.IntRange(0, 20).Draw(rt, "key")) }
		value := func() string {
			return strings.Repeat(string(rune('a'+rapid.IntRange(0, 25).Draw(rt, "letter"))), 1+rapid.IntRange(0, 2).Draw(rt, "length")*rapid.SampledFrom([]int{4, 30}).Draw(rt, "of"))
		}
		for range rapid.IntRange(0, 20).Draw(rt, "in the files") {
			files[key()] = value()
		}
		w.begin()
		var read []warmRecord // from the files, and not yet given to memory
		filled := 0
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			switch rapid.IntRange(0, 19).Draw(rt, "step") {
			case 0:
				for k, v := range files {
					read = append(read, warmRecord{key: []byte(k), value: []byte(v)})
				}
			case 1, 2:
				if w.fill(read) {
					filled++
				}
				read = nil
			case 3:
				k := key()
				w.apply([]warmRecord{{key: []byte(k), gone: true}})
				delete(files, k)
			case 4:
				if rapid.IntRange(0, 9).Draw(rt, "clears") == 0 {
					w.clear()
				}
			case 5:
				if rapid.IntRange(0, 9).Draw(rt, "stops") == 0 {
					w.stop()
				}
			default:
				k, v := key(), value()
				w.apply([]warmRecord{{key: []byte(k), value: []byte(v)}})
				files[k] = v
			}
			for i := range 21 {
				k := fmt.Sprint("k", i)
				if got, ok := w.of([]byte(k)); ok && (string(got) != files[k] || files[k] == "") {
					rt.Fatalf("memory has %q of %s, the files %q", got, k, files[k])
				}
			}
		}
	})
}

// of looks a key up among others that are not there.
func (w *warm) of(key []byte) ([]byte, bool) {
	records := []warmRecord{{key: []byte("nobody")}, {key: key}, {key: []byte("none")}}
	if w.get([]byte("x"), records); records[0].value != nil || records[2].value != nil {
		panic("it found what nobody put")
	}
	return records[1].value, records[1].value != nil
}

func checkWarm(t *rapid.T, w *warm, want map[string]string) {
	found := 0
	for i := range 41 {
		key := fmt.Sprint("k", i)
		got, ok := w.of([]byte(key))
		if !ok {
			continue
		}
		found++
		if v, there := want[key]; !there || string(got) != v {
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
		w.apply([]warmRecord{{key: key(i), value: fmt.Appendf(nil, "%04d", i%10_000)}})
	}
	has := func(i int) bool {
		v, ok := w.of(key(i))
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
	w.apply([]warmRecord{{key: key(3 * perChunk), value: fmt.Appendf(nil, "%04d", 3*perChunk%10_000)}})
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
		_, ok := c.warm.of(appendPrintKey(nil, c.pairs[pair{model: model}], &u))
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
	t.Run("a restart reads it again", func(t *testing.T) {
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
		if c.fills.Wait(); !held(c, user(1), "m") {
			t.Fatal("it is not held")
		}
		wantPrints(t, c, user(1), "m", p)
	})
	t.Run("after a start all that fits is read, but for what partitions left behind and what was written since", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir, warmed)
		const users = 3*fillStep + 7
		puts := make([]connector.PrintPut, 0, users)
		for i := range users {
			part := ""
			if i%10 == 0 {
				part = "t/1"
			}
			puts = append(puts, connector.PrintPut{Model: []string{"m", "n"}[i%2], User: user(i), Prints: some(2), Part: part})
		}
		writePrints(t, c, puts...)
		if err := errors.Join(c.DropPart("t/1"), c.Close()); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir, warmed)
		now := some(3)
		writePrints(t, c, connector.PrintPut{Model: "n", User: user(1), Prints: now}, connector.PrintPut{Model: "m", User: user(2)})
		c.fills.Wait()
		for i := range users {
			if want := i%10 != 0 && i != 2; held(c, user(i), []string{"m", "n"}[i%2]) != want {
				t.Fatalf("user %d is held: %v", i, !want)
			}
		}
		wantPrints(t, c, user(1), "n", now)
		wantPrints(t, c, user(2), "m", nil)
	})
	t.Run("of more than fits the first are read", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir, warmed)
		const users = 12_000
		puts := make([]connector.PrintPut, 0, users)
		for i := range users {
			puts = append(puts, connector.PrintPut{Model: "m", User: user(i), Prints: some(12)})
		}
		writePrints(t, c, puts...)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir, warmed)
		if c.fills.Wait(); c.warm.count < users/2 || c.warm.count >= users {
			t.Errorf("%d of %d are held", c.warm.count, users)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("filling lets others to the files after each step, also where nothing of it is kept", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir, warmed)
		const users = 2*fillStep + 7
		puts := make([]connector.PrintPut, 0, users)
		for i := range users {
			puts = append(puts, connector.PrintPut{Model: "m", User: user(i), Prints: some(2), Part: "t/1"})
		}
		for i := range 6 {
			puts = append(puts, connector.PrintPut{Model: "long", User: user(i), Prints: some(warmMost / printSize)})
		}
		writePrints(t, c, puts...)
		if err := errors.Join(c.DropPart("t/1"), c.Close()); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir, warmed)
		c.fills.Wait()
		for model, steps := range map[string]int{"m": 3, "long": 1} {
			c.warm.begin()
			from, end := printKeys(c.pairs[pair{model: model}])
			for n := 1; from != nil; n++ {
				var on bool
				if from, on = c.fillFrom(c.warm, from, end); !on || n > steps || (n == steps) != (from == nil) {
					t.Fatalf("step %d of %d of %s: it goes on from %x, %v", n, steps, model, from, on)
				}
			}
			if c.warm.stop(); c.warm.count != 0 {
				t.Fatalf("%d records are held", c.warm.count)
			}
		}
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
// TestFillAmongWriters: while a start reads the files into memory, and others write and forget a user, each finds what it wrote last of its users.
func TestFillAmongWriters(t *testing.T) {
	const users, writers = 4 * fillStep, 4
	dir := t.TempDir()
	warmed := func(c *CacheConfig) { c.Memory = 8 * warmChunk }
	c := openCache(t, dir, warmed)
	puts := make([]connector.PrintPut, users)
	last := make([][]connector.Print, users)
	for i := range users {
		last[i] = some(2)
		puts[i] = connector.PrintPut{Model: "m", User: user(i), Prints: last[i]}
	}
	writePrints(t, c, puts...)
	for round := range 4 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir, warmed)
		var all sync.WaitGroup
		for w := range writers {
			rnd := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			all.Go(func() {
				for range 400 {
					i := rnd.IntN(users/writers)*writers + w
					last[i] = [][]connector.Print{nil, {}, some(2), some(3), some(warmMost / printSize)}[rnd.IntN(5)]
					if err := c.Write(nil, []connector.PrintPut{{Model: "m", User: user(i), Prints: last[i]}}); err != nil {
						t.Error(err)
						return
					}
					wantPrints(t, c, user(i), "m", last[i])
				}
				if w == 0 && round == 2 { // the files are closed and opened under the others
					if _, err := c.Forget(t.Context(), user(0)); err != nil {
						t.Error(err)
					}
					last[0] = nil
				}
			})
		}
		all.Wait()
		if round == 1 {
			c.fills.Wait()
		}
		for i := range users {
			if wantPrints(t, c, user(i), "m", last[i]); t.Failed() {
				t.Fatalf("round %d, user %d", round, i)
			}
		}
	}
}

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

// BenchmarkWarm puts and gets records of many users at random, one by one and as a call does.
func BenchmarkWarm(b *testing.B) {
	const total = 800_000
	w, value := newWarm(96<<20), make([]byte, 84)
	keys := make([][]byte, total)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "1234%d", i)
		w.apply([]warmRecord{{key: keys[i], value: value}})
	}
	for _, n := range []int{1, 75} {
		records := make([]warmRecord, n)
		var room []byte
		for what, do := range map[string]func(){"put": func() { w.apply(records) }, "get": func() { room = w.get(room[:0], records) }} {
			b.Run(fmt.Sprintf("%s %d", what, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for i := range records {
						records[i] = warmRecord{key: keys[rand.IntN(total)], value: value}
					}
					do()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
			})
		}
	}
}

// BenchmarkWarmFill reads a million users into memory, as a start does.
func BenchmarkWarmFill(b *testing.B) {
	who, dir := crowd{1}, b.TempDir()
	c := openCache(b, dir, func(c *CacheConfig) { c.Memory = 96 << 20 })
	prints := make([]connector.PrintPut, 1000)
	for i := 0; i < 1_000_000; i += len(prints) {
		for j := range prints {
			_, prints[j] = who.of(i+j, prints[j].Prints[:0])
			prints[j].User.ID = fmt.Sprint(i + j)
		}
		writePrints(b, c, prints...)
	}
	for b.Loop() {
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		c = openCache(b, dir, func(c *CacheConfig) { c.Memory = 96 << 20 })
		c.fills.Wait()
	}
	b.ReportMetric(float64(c.warm.count), "users")
}
