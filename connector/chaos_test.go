package connector

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestChaos feeds random transactions into a pipeline whose Braze applies requests late and in either order, fails, times out with unknown outcome and
// refuses; then every profile must equal its row. At each confirm, everything up to it must have been settled and recorded.
func TestChaos(t *testing.T) {
	var seeds []uint64
	for n := range uint64(20) {
		seeds = append(seeds, n+1, rand.Uint64N(1_000_000_000))
	}
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{n}
	}
	for _, seed := range seeds {
		// In virtual time: on a busy machine what is applied late would come after the gap.
		t.Run(fmt.Sprint("SEED=", seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { chaos(t, seed) }) })
	}
}

func chaos(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	var mu sync.Mutex
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	const gap = 20 * time.Millisecond
	r := newRig(t, func(c *Config, r *rig) {
		c.UserGap, c.Settle, c.OpenChanges = gap, 2*gap, 200
		r.sink.later = func() time.Duration { return time.Duration(roll(int(gap * 8 / 10))) }
		r.sink.delay = func() time.Duration { return time.Duration(roll(int(3 * time.Millisecond))) }
		r.sink.answer = func(k Kind, b []Effect) error {
			switch roll(20) {
			case 0:
				return &RetryableError{Err: errors.New("connection refused")}
			case 1:
				return &RetryableError{Err: errors.New("timeout"), Unknown: true} // applied all the same
			case 2:
				return &RetryableError{Err: errors.New("429"), Throttled: true, After: time.Millisecond}
			}
			return nil
		}
		r.src.onCommit = func(p Position) {
			if got := r.journal.recorded(p.Stream); got < p.Offset {
				t.Errorf("position %d was confirmed, %d is recorded", p.Offset, got)
			}
		}
	})
	r.p.proven[0].Store(roll(2) == 0)
	r.sink.gone = func(us []User) []User {
		r.sink.mu.Lock()
		defer r.sink.mu.Unlock()
		var out []User
		for _, u := range us {
			if r.sink.profiles[u.ID] == nil && roll(2) == 0 {
				out = append(out, u)
			}
		}
		return out
	}

	rows := map[string]Row{}
	var rowsMu sync.Mutex
	r.src.rows = func(q Query) ([]Row, error) {
		rowsMu.Lock()
		defer rowsMu.Unlock()
		var out []Row
		for _, x := range rows {
			if len(q.Where) == 1 && q.Where[0].Column == "ext" && x.Cells[1].Raw == q.Where[0].Text {
				out = append(out, x)
			}
		}
		return out, nil
	}
	letters := []string{"x", "y", "z", "-"}
	ids := 0
	for range 400 {
		var tx []Change
		rowsMu.Lock()
		for range 1 + roll(4) {
			key := fmt.Sprint(roll(12))
			old, lives := rows[key]
			a, b := letters[roll(4)], letters[roll(4)]
			switch {
			case !lives:
				n := row(key, "u"+key, a, b)
				if roll(3) == 0 {
					ids++
					n = row(key, fmt.Sprint("v", ids), a, b)
				}
				rows[key] = n
				tx = append(tx, insert(n))
			case roll(6) == 0:
				delete(rows, key)
				tx = append(tx, remove(old))
			default:
				n := row(key, old.Cells[1].Raw, a, b)
				if roll(8) == 0 {
					ids++
					n = row(key, fmt.Sprint("v", ids), a, b)
				}
				rows[key] = n
				tx = append(tx, update(old, n))
			}
		}
		rowsMu.Unlock()
		r.commit(tx...)
	}
	r.quiet()
	eventually(t, "settled users went out", func() bool {
		r.p.queue.mu.Lock()
		defer r.p.queue.mu.Unlock()
		return r.p.queue.steps == 0
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.sink.applying.Wait()
	want := map[string]map[string]string{}
	for _, row := range rows {
		p := map[string]string{}
		for i, name := range []string{"a", "b"} {
			if c := row.Cells[2+i]; c.State == Set {
				p[name] = `"` + c.Raw + `"`
			}
		}
		want[row.Cells[1].Raw] = p
	}
	for id, p := range want {
		if fmt.Sprint(r.sink.profiles[id]) != fmt.Sprint(p) {
			t.Errorf("profile %s is %v, its row says %v%s", id, r.sink.profiles[id], p, r.sink.history(id))
		}
	}
	for id := range r.sink.profiles {
		if want[id] == nil {
			t.Errorf("profile %s has no row%s", id, r.sink.history(id))
		}
	}
}
