package connector_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"brazecdc/connector/postgres/throwaway"
)

// copied is an old copy of what the connector keeps, taken when nothing was on its way.
type copied struct {
	folder string
	left   int // how many users had been renamed by then
}

// putBack copies data/ and cache/ now and then, and later has the connector go on with what it kept then: with an old cache/ beside a newer data/, an old data/
// beside a newer cache/ and a slot that is ahead of it, or both. The connector knows less then, and Braze must not be the worse for it.
func (w *world) putBack(r *rig, side *sides) {
	if w.later.IntN(12) > 0 || w.needsCache() {
		return
	}
	if w.old == nil {
		w.say("copy data/ and cache/")
		r.quiet()
		r.stop()
		w.old = &copied{folder: r.t.TempDir(), left: len(w.left)}
		r.copyTo(w.old.folder, "data", "cache")
		r.start()
		return
	}
	names := [][]string{{"cache"}, {"data"}, {"data", "cache"}}[w.later.IntN(3)]
	if len(names) > 1 || names[0] == "data" {
		if w.old.left != len(w.left) {
			names = []string{"cache"} // which ids are old names of a user only the lost data/ knows, and Braze does not tell
		} else {
			r.quiet() // what waits in data/ for a deleted user counts as done: with data/ it would be lost
			clear(w.reread)
		}
	}
	w.say("put back %v", names)
	r.stop()
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(r.dir, n)); err != nil {
			r.t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(r.dir, n), os.DirFS(filepath.Join(w.old.folder, n))); err != nil {
			r.t.Fatal(err)
		}
	}
	w.old, side.forgot = nil, true
	w.ref.forget()
	w.restored = append(w.restored, strings.Join(names, "+"))
	r.start()
}

// copyTo copies folders that the connector keeps; it must not run.
func (r *rig) copyTo(folder string, names ...string) {
	r.t.Helper()
	for _, n := range names {
		if err := os.CopyFS(filepath.Join(folder, n), os.DirFS(filepath.Join(r.dir, n))); err != nil {
			r.t.Fatal(err)
		}
	}
}

// crash stops the database server without a checkpoint, now and then, and starts it again: the slot comes back with a position older than what was sent.
func (w *world) crash(r *rig) {
	if r.cfg.server == nil || w.later.IntN(8) > 0 {
		return
	}
	before := r.confirmed()
	if err := r.cfg.server.StopMode("immediate"); err != nil {
		r.t.Fatal(err)
	}
	if err := r.cfg.server.Restart(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.connect()
	after := r.confirmed()
	w.say("crash of the server, the slot was at %d and is at %d", before, after)
	if after < before {
		w.behind++
	}
}

// confirmed is the slot's position by the server.
func (r *rig) confirmed() (lsn uint64) {
	r.t.Helper()
	if err := r.db.QueryRow(r.t.Context(), `SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1`, r.slot()).Scan(&lsn); err != nil {
		r.t.Fatal(err)
	}
	return lsn
}

// TestEndToEndCrash has worlds of TestEndToEnd on servers of their own, which crash. SEED=n runs one world again, ROUNDS=n that many random ones more.
func TestEndToEndCrash(t *testing.T) {
	throwaway.Shared(t) // skips where there are no programs of a server
	seeds := []uint64{1}
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED=%s: %v", s, err)
		}
		seeds = []uint64{seed}
	} else if s := os.Getenv("ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ROUNDS=%s: %v", s, err)
		}
		for range n {
			seeds = append(seeds, rand.Uint64N(1_000_000_000))
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			server, err := throwaway.Start(t.Context(), throwaway.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			if w := endToEnd(t, seed, server); w.behind == 0 {
				t.Error("no crash left the slot behind what was confirmed")
			}
		})
	}
}
