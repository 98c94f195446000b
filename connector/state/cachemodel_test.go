package state

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"brazecdc/connector"
)

// known is what a cache ought to know, and under which part it came to know it.
type known struct {
	rows    map[rowAt]rowKnown
	prints  map[printsAt]printsKnown
	covered map[string]uint64
	parts   map[string]bool // that something was written under
	models  map[string]bool // likewise
}

type rowAt struct {
	model string
	key   connector.Key
}

type rowKnown struct {
	user connector.User
	part string
}

type printsAt struct {
	model string
	user  connector.User
}

type printsKnown struct {
	prints string
	part   string
}

func (k known) clone() known {
	return known{maps.Clone(k.rows), maps.Clone(k.prints), maps.Clone(k.covered), maps.Clone(k.parts), maps.Clone(k.models)}
}

func nothing() known {
	return known{map[rowAt]rowKnown{}, map[printsAt]printsKnown{}, map[string]uint64{}, map[string]bool{}, map[string]bool{}}
}

func (k known) write(rows []connector.RowPut, prints []connector.PrintPut) {
	for _, p := range rows {
		if p.Gone {
			delete(k.rows, rowAt{p.Model, p.Key})
			continue
		}
		k.rows[rowAt{p.Model, p.Key}] = rowKnown{p.User, p.Part}
		k.parts[p.Part], k.models[p.Model] = true, true
	}
	for _, p := range prints {
		if p.Prints == nil {
			delete(k.prints, printsAt{p.Model, p.User})
			continue
		}
		k.prints[printsAt{p.Model, p.User}] = printsKnown{fmt.Sprint(p.Prints), p.Part}
		k.parts[p.Part], k.models[p.Model] = true, true
	}
}

func (k known) dropPart(part string) {
	if part == "" {
		return
	}
	delete(k.parts, part)
	maps.DeleteFunc(k.rows, func(_ rowAt, r rowKnown) bool { return r.part == part })
	maps.DeleteFunc(k.prints, func(_ printsAt, p printsKnown) bool { return p.part == part })
}

func (k known) drop(model string) {
	delete(k.models, model)
	maps.DeleteFunc(k.rows, func(at rowAt, _ rowKnown) bool { return at.model == model })
	maps.DeleteFunc(k.prints, func(at printsAt, _ printsKnown) bool { return at.model == model })
}

// The small world of the test: few names, so that steps meet.
var (
	modelIDs = []string{"", "1", "1\x00", strings.Repeat("z", maxPlainID), strings.Repeat("z", maxPlainID+1)}
	models   = []string{"a", "b"}
	tables   = []string{"", "t"}
	partsOf  = []string{"", "t/0", "t/1"}
)

func modelUsers() (out []connector.User) {
	for _, id := range modelIDs {
		out = append(out, connector.User{ID: id}, connector.User{Kind: connector.Alias, ID: id, Label: "1"})
	}
	return append(out, connector.User{Kind: connector.Email, ID: "1"}, connector.User{Kind: connector.Alias, ID: "1"})
}

// cacheWorld runs a cache on a disk that can lose its power beside what it ought to know.
type cacheWorld struct {
	t    *rapid.T
	dir  string
	disk *vfs.MemFS
	log  bytes.Buffer
	c    *Cache
	// memory is CacheConfig's.
	memory int64
	now    known
	maybe  []known // what a power cut may leave: the state that is durable, and each one that was written since
}

// powered gives a disk that has the folders around the cache's own.
func powered(dir string) (*vfs.MemFS, error) {
	own, lock, err := openFolder(dir, testCache.Workspace, testCache.Endpoint, false)
	if err != nil {
		return nil, err
	}
	lock.release()
	disk := vfs.NewCrashableMem()
	if err = disk.MkdirAll(own, 0o700); err != nil {
		return nil, err
	}
	for ; err == nil; own = filepath.Dir(own) {
		f, openErr := disk.OpenDir(own)
		if openErr != nil {
			return nil, openErr
		}
		if err = f.Sync(); own == filepath.Dir(own) {
			break
		}
	}
	return disk, err
}

func (w *cacheWorld) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *cacheWorld) open() {
	cfg := testCache
	cfg.Memory = w.memory
	cfg.Logger = slog.New(slog.NewTextHandler(&w.log, nil))
	c, err := openCacheOn(w.disk, w.dir, cfg)
	w.must(err)
	w.c = c
}

// read asks the cache for all there can be; parts are left out of what it gives.
func (w *cacheWorld) read() known {
	got := nothing()
	for _, m := range models {
		for _, id := range modelIDs {
			for _, table := range tables {
				key := connector.Key{Table: table, ID: id}
				u, ok, err := w.c.RowUser(m, key)
				if w.must(err); ok {
					got.rows[rowAt{m, key}] = rowKnown{user: u}
				}
			}
		}
		for _, u := range modelUsers() {
			p, ok, err := w.c.Prints(nil, u, m)
			if w.must(err); ok {
				if p == nil {
					p = []connector.Print{}
				}
				got.prints[printsAt{m, u}] = printsKnown{prints: fmt.Sprint(p)}
			}
		}
	}
	for _, p := range w.c.Covered() {
		got.covered[p.Stream] = p.Offset
	}
	return got
}

// differs compares what is known, not under which part.
func differs(got, want known) string {
	want = want.clone()
	for at, r := range want.rows {
		want.rows[at] = rowKnown{user: r.user}
	}
	for at, p := range want.prints {
		want.prints[at] = printsKnown{prints: p.prints}
	}
	want.parts, got.parts, want.models, got.models = nil, nil, nil, nil
	return gocmp.Diff(want, got, gocmp.AllowUnexported(known{}, rowAt{}, rowKnown{}, printsAt{}, printsKnown{}))
}

func (w *cacheWorld) durable() { w.maybe = []known{w.now.clone()} }

func (w *cacheWorld) write() {
	var rows []connector.RowPut
	users := rapid.SampledFrom(modelUsers())
	for range rapid.IntRange(0, 4).Draw(w.t, "rows") {
		rows = append(rows, connector.RowPut{
			Model: rapid.SampledFrom(models).Draw(w.t, "model"),
			Key:   connector.Key{Table: rapid.SampledFrom(tables).Draw(w.t, "table"), ID: rapid.SampledFrom(modelIDs).Draw(w.t, "key")},
			User:  users.Draw(w.t, "user"), Gone: rapid.IntRange(0, 3).Draw(w.t, "gone") == 0, Part: rapid.SampledFrom(partsOf).Draw(w.t, "part"),
		})
	}
	var prints []connector.PrintPut
	for range rapid.IntRange(0, 4).Draw(w.t, "prints") {
		p := connector.PrintPut{Model: rapid.SampledFrom(models).Draw(w.t, "model"), User: users.Draw(w.t, "user"), Part: rapid.SampledFrom(partsOf).Draw(w.t, "part")}
		for leaf := range uint32(rapid.IntRange(-1, 3).Draw(w.t, "leaves") + 1) {
			if p.Prints == nil {
				p.Prints = []connector.Print{}
			}
			if leaf > 0 {
				p.Prints = append(p.Prints, connector.Print{Leaf: leaf << 29, Sum: rapid.Uint64().Draw(w.t, "sum")})
			}
		}
		prints = append(prints, p)
	}
	w.must(w.c.Write(rows, prints))
	w.now.write(rows, prints)
	w.maybe = append(w.maybe, w.now.clone())
}

func (w *cacheWorld) sync() {
	p := connector.Position{Stream: rapid.SampledFrom([]string{"slot", "u/0@1"}).Draw(w.t, "stream"), Offset: rapid.Uint64().Draw(w.t, "offset")}
	w.must(w.c.Sync([]connector.Position{p}))
	w.now.covered[p.Stream] = p.Offset
	w.durable()
}

// dropPart and drop are durable where there was something to forget.
func (w *cacheWorld) dropPart() {
	part := rapid.SampledFrom(partsOf).Draw(w.t, "part")
	was := w.now.parts[part] && part != ""
	w.must(w.c.DropPart(part))
	if w.now.dropPart(part); was {
		w.durable()
	}
}

func (w *cacheWorld) drop() {
	model := rapid.SampledFrom([]string{"a", "b", ""}).Draw(w.t, "dropped")
	was := w.now.models[model] || model == ""
	w.must(w.c.Drop(model))
	if w.now.drop(model); model == "" {
		w.now = nothing()
	}
	if was {
		w.durable()
	}
}

func (w *cacheWorld) reopen() {
	w.must(w.c.Close())
	w.open()
}

// crash goes on with what a power cut at this moment leaves of the disk.
func (w *cacheWorld) crash() {
	left := vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(w.t, "unsynced"), RNG: rand.New(rand.NewPCG(rapid.Uint64().Draw(w.t, "crash"), 0)),
	}
	disk := w.disk.CrashClone(left)
	w.must(w.c.Close())
	w.disk = disk
	w.open()
	got := w.read()
	var diffs []string
	for i := len(w.maybe) - 1; i >= 0; i-- {
		diff := differs(got, w.maybe[i])
		if diff == "" {
			w.now = w.maybe[i].clone()
			w.durable()
			return
		}
		diffs = append(diffs, diff)
	}
	w.t.Fatalf("after a power cut with %d%% of what was not synced, none of %d states; from the last one (- wanted, + got):\n%s\n%s", left.UnsyncedDataPercent,
		len(w.maybe), strings.Join(diffs, "\n"), w.log.String())
}

// TestCacheAgainstModel does what it likes with a cache, power cuts included, and compares all it gives with a model in memory after every step.
func TestCacheAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &cacheWorld{t: rt, dir: t.TempDir(), now: nothing(), maybe: []known{nothing()}, memory: rapid.SampledFrom([]int64{0, warmChunk}).Draw(rt, "memory")}
		var err error
		w.disk, err = powered(w.dir)
		w.must(err)
		w.open()
		defer func() { _ = w.c.Close() }() // a failed check left it open
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 15).Draw(rt, "step") {
			case 0, 1:
				w.sync()
			case 2, 3, 4:
				w.dropPart()
			case 5:
				w.drop()
			case 6:
				w.reopen()
			case 7, 8:
				w.crash()
			case 9:
				w.must(w.c.db.Flush())
			case 10:
				w.must(w.c.db.Compact(context.Background(), []byte{0}, []byte{255}, false))
			default:
				w.write()
			}
			if diff := differs(w.read(), w.now); diff != "" {
				rt.Fatalf("differs (- wanted, + got):\n%s", diff)
			}
		}
		if w.log.Len() > 0 {
			rt.Fatalf("it said:\n%s", w.log.String())
		}
	})
}
