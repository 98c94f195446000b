package state

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"brazecdc/connector"
)

var testCache = CacheConfig{Workspace: "staging", Endpoint: "https://rest.example.com"}

func openCache(t testing.TB, path string, change ...func(*CacheConfig)) *Cache {
	t.Helper()
	cfg := testCache
	for _, c := range change {
		c(&cfg)
	}
	c, err := OpenCache(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func row(id string) connector.Key { return connector.Key{Table: "public.users", ID: id} }

func write(t testing.TB, c *Cache, puts ...connector.RowPut) {
	t.Helper()
	if err := c.Write(puts); err != nil {
		t.Fatal(err)
	}
}

// wantRow compares what is known of a row; the zero user is "nothing".
func wantRow(t testing.TB, c *Cache, model string, key connector.Key, want connector.User) {
	t.Helper()
	got, ok, err := c.RowUser(model, key)
	if err != nil || got != want || ok != (want != connector.User{}) {
		t.Errorf("row %q of %s has %+v, %v, %v; want %+v", key.ID, model, got, ok, err, want)
	}
}

func TestCache(t *testing.T) {
	t.Run("gives the user of each row and model, over a restart too", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		long := strings.Repeat("k", 5000)
		users := map[string]connector.User{
			"1": {ID: "1"}, "2": {ID: "u2"}, "3\x00\xff": {Kind: connector.Alias, ID: "3\x00\xff", Label: "crm"}, "": {Kind: connector.Email, ID: "a@b"},
			long: {Kind: connector.Phone, ID: long}, long + "x": {Kind: connector.Alias, ID: "", Label: long},
		}
		var puts []connector.RowPut
		for id, u := range users {
			puts = append(puts, connector.RowPut{Model: "customers", Key: row(id), User: u})
		}
		write(t, c, puts...)
		positions := []connector.Position{{Stream: "slot", Offset: 1 << 63}, {Stream: "t/0", Offset: 2}}
		if err := errors.Join(c.Sync(positions[:1]), c.Sync(positions[1:])); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for id, u := range users {
				wantRow(t, c, "customers", row(id), u)
				wantRow(t, c, "addresses", row(id), connector.User{})
				wantRow(t, c, "customers", connector.Key{Table: "public.other", ID: id}, connector.User{})
			}
			if got := c.Covered(); !slices.Equal(got, positions) {
				t.Errorf("covered %v", got)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = openCache(t, dir)
		}
	})
	t.Run("a row that is gone is unknown", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		put := connector.RowPut{Model: "m", Key: row("1"), User: user(1)}
		gone := put
		gone.Gone = true
		write(t, c, gone)
		write(t, c, put, gone)
		wantRow(t, c, "m", row("1"), connector.User{})
		write(t, c, gone, put)
		wantRow(t, c, "m", row("1"), user(1))
	})
	t.Run("no fingerprint is known", func(t *testing.T) {
		if p, ok, err := openCache(t, t.TempDir()).Prints(user(1), "m"); p != nil || ok || err != nil {
			t.Errorf("got %v, %v, %v", p, ok, err)
		}
	})
	t.Run("Drop forgets one model, or all and what was covered", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		for _, m := range []string{"a", "b"} {
			write(t, c, connector.RowPut{Model: m, Key: row("1"), User: user(1)}, connector.RowPut{Model: m, Key: connector.Key{ID: "1"}, User: user(2)})
		}
		if err := errors.Join(c.Sync([]connector.Position{{Stream: "slot", Offset: 1}}), c.Drop("a"), c.Drop("never there")); err != nil {
			t.Fatal(err)
		}
		write(t, c, connector.RowPut{Model: "a", Key: row("2"), User: user(3)})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir)
		wantRow(t, c, "a", row("1"), connector.User{})
		wantRow(t, c, "a", connector.Key{ID: "1"}, connector.User{})
		wantRow(t, c, "a", row("2"), user(3))
		wantRow(t, c, "b", row("1"), user(1))
		if len(c.Covered()) != 1 {
			t.Errorf("covered %v", c.Covered())
		}
		if err := c.Drop(""); err != nil {
			t.Fatal(err)
		}
		wantRow(t, c, "b", row("1"), connector.User{})
		if len(c.Covered()) != 0 {
			t.Errorf("covered %v after everything was dropped", c.Covered())
		}
		write(t, c, connector.RowPut{Model: "b", Key: row("1"), User: user(4)})
		wantRow(t, c, "b", row("1"), user(4))
	})
	t.Run("another label starts empty, the first finds its own again", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		write(t, c, connector.RowPut{Model: "m", Key: row("1"), User: user(1)})
		c.Close()
		c = openCache(t, dir, func(c *CacheConfig) { c.Workspace = "production" })
		wantRow(t, c, "m", row("1"), connector.User{})
		c.Close()
		wantRow(t, openCache(t, dir), "m", row("1"), user(1))
	})
	t.Run("a second process is told, and the cache stays", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		write(t, c, connector.RowPut{Model: "m", Key: row("1"), User: user(1)})
		_, err := OpenCache(dir, testCache)
		_ = wantExit(t, err, connector.ExitStoreLocked)
		wantRow(t, c, "m", row("1"), user(1))
	})
	t.Run("a cache over its size is begun anew with a warning", func(t *testing.T) {
		var log bytes.Buffer
		c := openCache(t, t.TempDir(), func(c *CacheConfig) {
			c.MaxSize, c.Logger = 20<<20, slog.New(slog.NewTextHandler(&log, nil))
		})
		long := strings.Repeat("x", 200)
		biggest := int64(0)
		for i := range 800 {
			var puts []connector.RowPut
			for j := range 300 {
				puts = append(puts, connector.RowPut{Model: "m", Key: row(fmt.Sprint(rand.Uint64(), i, j)), User: connector.User{ID: fmt.Sprint(rand.Uint64(), long)}})
			}
			write(t, c, puts...)
			biggest = max(biggest, c.size())
		}
		if !strings.Contains(log.String(), "reached its size") || strings.Contains(log.String(), long) {
			t.Errorf("logged %q", log.String())
		}
		if biggest > 20<<20+2*sizeStep {
			t.Errorf("it grew to %d bytes", biggest)
		}
	})
	t.Run("methods after Close give an error", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		c.Close()
		_, _, err := c.RowUser("m", row("1"))
		for _, err := range []error{err, c.Write(nil), c.Sync(nil), c.Drop("m"), c.Drop("")} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCacheDamage(t *testing.T) {
	fill := func(t *testing.T) (dir, folder string) {
		dir = t.TempDir()
		c := openCache(t, dir)
		for i := range 3000 {
			write(t, c, connector.RowPut{Model: "m", Key: row(fmt.Sprint(i)), User: user(i)})
		}
		if err := errors.Join(c.Sync([]connector.Position{{Stream: "slot", Offset: 1}}), c.db.Flush(), c.Close()); err != nil {
			t.Fatal(err)
		}
		return dir, c.folder
	}
	// reopen opens what was damaged: it works, and no row has another's user.
	reopen := func(t *testing.T, dir string) (warned bool) {
		var log bytes.Buffer
		c := openCache(t, dir, func(c *CacheConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for i := range 3000 {
			if u, ok, err := c.RowUser("m", row(fmt.Sprint(i))); err == nil && ok && u != user(i) {
				t.Fatalf("row %d has user %v", i, u)
			}
		}
		if strings.Contains(log.String(), "begun anew") {
			write(t, c, connector.RowPut{Model: "m", Key: row("1"), User: user(1)})
			wantRow(t, c, "m", row("1"), user(1))
			if len(c.Covered()) != 0 {
				t.Errorf("the new cache covers %v", c.Covered())
			}
			warned = true
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		return warned
	}
	t.Run("a manifest that is none is dropped with a warning", func(t *testing.T) {
		dir, folder := fill(t)
		manifests, err := filepath.Glob(filepath.Join(folder, "MANIFEST-*"))
		if err != nil || len(manifests) == 0 {
			t.Fatal(manifests, err)
		}
		for _, m := range manifests {
			if err := os.WriteFile(m, []byte("nothing"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !reopen(t, dir) {
			t.Error("no warning")
		}
	})
	t.Run("tables that are gone are dropped with a warning", func(t *testing.T) {
		dir, folder := fill(t)
		tables, err := filepath.Glob(filepath.Join(folder, "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatal(tables, err)
		}
		for _, m := range tables {
			if err := os.Remove(m); err != nil {
				t.Fatal(err)
			}
		}
		if !reopen(t, dir) {
			t.Error("no warning")
		}
	})
	t.Run("what another program left there is dropped with a warning", func(t *testing.T) {
		dir, folder := fill(t)
		c := openCache(t, dir)
		if err := errors.Join(c.db.Set(cacheHead, []byte("another"), nil), c.Close()); err != nil {
			t.Fatal(err)
		}
		if !reopen(t, dir) {
			t.Error("no warning about a foreign head")
		}
		if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if !reopen(t, dir) {
			t.Error("no warning about a file in the folder's place")
		}
	})
	t.Run("random damage gives no row another's user", func(t *testing.T) {
		for range 15 {
			dir, folder := fill(t)
			files, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, files[rand.IntN(len(files))].Name())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) == 0 {
				continue
			}
			for range 1 + rand.IntN(3) {
				b[rand.IntN(len(b))] ^= byte(1 + rand.IntN(255))
			}
			if err = os.WriteFile(path, b[:len(b)-rand.IntN(len(b)/2+1)], 0o600); err != nil {
				t.Fatal(err)
			}
			reopen(t, dir)
		}
	})
}

func TestCacheConcurrently(t *testing.T) {
	c := openCache(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			model := fmt.Sprint("m", w%4)
			for i := range 200 {
				if err := c.Write([]connector.RowPut{{Model: model, Key: row(fmt.Sprint(w, i)), User: user(i)}}); err != nil {
					t.Error(err)
				}
				if u, ok, err := c.RowUser(model, row(fmt.Sprint(w, i))); err != nil || ok && u != user(i) {
					t.Errorf("got %v, %v", u, err)
				}
				var err error
				switch {
				case w == 0 && i%70 == 69:
					err = c.Drop("")
				case w == 1 && i%50 == 49:
					err = c.Drop(model)
				case i%20 == 0:
					err = c.Sync([]connector.Position{{Stream: model, Offset: uint64(i)}})
				}
				if err != nil {
					t.Error(err)
				}
				c.Covered()
			}
		})
	}
	wg.Wait()
}

func TestCacheAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		type at struct {
			model string
			key   connector.Key
		}
		want := map[at]connector.User{}
		ids := rapid.SampledFrom([]string{"", "1", "1\x00", strings.Repeat("z", maxPlainID), strings.Repeat("z", maxPlainID+1)})
		models := rapid.SampledFrom([]string{"a", "b"})
		tables := rapid.SampledFrom([]string{"", "t"})
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default:
				var puts []connector.RowPut
				for range rapid.IntRange(0, 4).Draw(rt, "puts") {
					p := connector.RowPut{Model: models.Draw(rt, "model"), Key: connector.Key{Table: tables.Draw(rt, "table"), ID: ids.Draw(rt, "key")}}
					if p.Gone = rapid.IntRange(0, 3).Draw(rt, "gone") == 0; p.Gone {
						delete(want, at{p.Model, p.Key})
					} else {
						p.User = connector.User{Kind: connector.IDKind(rapid.IntRange(0, 3).Draw(rt, "kind")), ID: ids.Draw(rt, "user")}
						if p.User.Kind == connector.Alias {
							p.User.Label = ids.Draw(rt, "label")
						}
						want[at{p.Model, p.Key}] = p.User
					}
					puts = append(puts, p)
				}
				if err := c.Write(puts); err != nil {
					rt.Fatal(err)
				}
			case 7:
				model := models.Draw(rt, "dropped")
				if err := c.Drop(model); err != nil {
					rt.Fatal(err)
				}
				for k := range want {
					if k.model == model {
						delete(want, k)
					}
				}
			case 8:
				if err := c.Close(); err != nil {
					rt.Fatal(err)
				}
				c = openCache(t, dir)
			}
			k := at{models.Draw(rt, "model"), connector.Key{Table: tables.Draw(rt, "table"), ID: ids.Draw(rt, "key")}}
			got, ok, err := c.RowUser(k.model, k.key)
			if u, known := want[k]; err != nil || ok != known || got != u {
				rt.Fatalf("%+v has %+v, %v, %v; want %+v, %v", k, got, ok, err, u, known)
			}
		}
		if err := c.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// BenchmarkCache fills a million rows (fewer with -short) by batches of 1000 in random order of keys, a Sync every 20,000, and reads them at random.
func BenchmarkCache(b *testing.B) {
	total := 1_000_000
	if testing.Short() {
		total = 100_000
	}
	c := openCache(b, b.TempDir())
	key := func(i int) connector.Key { return row(fmt.Sprintf("%016x", uint64(i)*0x9E3779B97F4A7C15)) }
	start := time.Now()
	puts := make([]connector.RowPut, 1000)
	for i := 0; i < total; i += len(puts) {
		for j := range puts {
			puts[j] = connector.RowPut{Model: "customers", Key: key(i + j), User: connector.User{ID: fmt.Sprintf("cust-%09d", i+j)}}
		}
		write(b, c, puts...)
		if i%20_000 == 0 {
			if err := c.Sync([]connector.Position{{Stream: "slot", Offset: uint64(i)}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	rate := float64(total) / time.Since(start).Seconds()
	for b.Loop() {
		i := rand.IntN(total)
		if _, ok, err := c.RowUser("customers", key(i)); !ok || err != nil {
			b.Fatalf("row %d: %v, %v", i, ok, err)
		}
	}
	b.ReportMetric(rate, "written_rows/s")
	b.ReportMetric(float64(c.size())/float64(total), "B/row")
}
