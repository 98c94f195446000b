package postgres

import (
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// chunk takes batches until one of a load, and gives its rows' keys.
func (r *run) chunk(t *testing.T) (keys []string, done bool) {
	t.Helper()
	for {
		b, err := r.next(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if b.Load == nil {
			continue
		}
		for _, c := range b.Changes {
			keys = append(keys, c.Key.ID)
		}
		return keys, b.Load.Done
	}
}

func TestSteeredLoads(t *testing.T) {
	t.Run("a load of keys reads these rows alone", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'x' FROM generate_series(1, 200) i`)
		r := start(t, d.config(), users())
		want := []string{"7", "150", "3"}
		for i := range againRows { // more than one chunk
			want = append(want, "10"+string(rune('0'+i%10))) // some of them twice
		}
		l := connector.Load{ID: "l", Table: "public.users", Keys: append(slices.Clone(want), "9999")}
		if err := r.s.StartLoad(testContext(t), l); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for done := false; !done; {
			var keys []string
			keys, done = r.chunk(t)
			for _, k := range keys {
				got[k] = true
			}
		}
		for _, k := range want {
			if !got[k] {
				t.Errorf("%s is missing", k)
			}
		}
		if len(got) != 13 || got["9999"] {
			t.Errorf("rows %v", got)
		}
	})
	t.Run("a key that does not fit is refused", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE users (a int, b text, PRIMARY KEY (a, b))`)
		r := start(t, d.config(), users())
		err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users", Keys: []string{"7"}})
		if err == nil || !strings.Contains(err.Error(), "does not fit") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a load that is held reads no further, and goes on", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'x' FROM generate_series(1, 100) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 10 }), users())
		if r.s.HoldLoad("l", true) {
			t.Error("a load that does not run was held")
		}
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		n := 0
		keys, _ := r.chunk(t)
		n += len(keys)
		if !r.s.HoldLoad("l", true) {
			t.Fatal("it is not held")
		}
		// What was read comes; then changes of the stream come alone.
		d.exec(`UPDATE users SET email = 'y' WHERE id = 100`)
		d.exec(`UPDATE users SET email = 'z' WHERE id = 100`)
		for updates := 0; updates < 2; {
			b, err := r.next(30 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if b.Load == nil {
				updates += len(b.Changes)
				continue
			}
			n += len(b.Changes)
			r.s.Commit(b.Position)
		}
		if n >= 100 {
			t.Fatalf("%d rows came of a load that is held", n)
		}
		r.s.HoldLoad("l", false)
		for done := false; !done; {
			b, err := r.next(30 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if b.Load != nil {
				n += len(b.Changes)
				done = b.Load.Done
				r.s.Commit(b.Position)
			}
		}
		if n != 100 && n != 99 { // that of the update, where it fell into its chunk's window
			t.Errorf("%d rows", n)
		}
	})
	t.Run("a load that is given up ends, and another begins", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'x' FROM generate_series(1, 100) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 10 }), users())
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		r.chunk(t)
		r.s.StopLoad("l")
		r.s.StopLoad("l")
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "m", Table: "public.users", Keys: []string{"5"}}); err != nil {
			t.Fatal(err)
		}
		for {
			b, err := r.next(30 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if b.Load != nil && b.Load.Load == "m" {
				if len(b.Changes) != 1 || b.Changes[0].Key.ID != "5" || !b.Load.Done {
					t.Errorf("chunk %s", describe(b.Changes))
				}
				return
			}
		}
	})
}
