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
	if err := c.Write(puts, nil); err != nil {
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
		_, _, printsErr := c.Prints(nil, user(1), "m")
		for _, err := range []error{err, printsErr, c.DropPart("t/0"), c.Write(nil, nil), c.Sync(nil), c.Drop("m"), c.Drop("")} {
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
				part := []string{"", "t/0", "t/1"}[w%3]
				err := c.Write([]connector.RowPut{{Model: model, Key: row(fmt.Sprint(w, i)), User: user(i), Part: part}},
					[]connector.PrintPut{{Model: model, User: user(i), Prints: []connector.Print{{Leaf: 1, Sum: uint64(i)}}, Part: part}})
				if err != nil {
					t.Error(err)
				}
				if p, ok, err := c.Prints(nil, user(i), model); err != nil || ok && (len(p) != 1 || p[0].Sum != uint64(i)) {
					t.Errorf("got %v, %v", p, err)
				}
				if u, ok, err := c.RowUser(model, row(fmt.Sprint(w, i))); err != nil || ok && u != user(i) {
					t.Errorf("got %v, %v", u, err)
				}
				switch {
				case w == 2 && i%20 == 19:
					err = c.DropPart("t/0")
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
