package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
)

// locked starts a load while the table is locked, so that its first chunk has its snapshot and waits for the rows, and runs sql
// inside the chunk's window.
func locked(t *testing.T, d *db, r *run, table string, sql ...string) {
	t.Helper()
	d.exec(`BEGIN`)
	d.exec(`LOCK TABLE ` + table + ` IN ACCESS EXCLUSIVE MODE`)
	ended := make(chan struct{})
	go func() { // the catalog look-up of StartLoad passes, but the marks need a reader
		defer close(ended)
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public." + table}); err != nil {
			t.Error(err)
		}
	}()
	<-ended
	watcher := openDB(t, d.url)
	eventually(t, "the chunk waits for the lock", func() bool {
		return watcher.text(`SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass`, table) != "0"
	})
	for _, s := range sql {
		d.exec(s)
	}
	d.exec(`COMMIT`)
}

func TestChunkWindow(t *testing.T) {
	t.Run("cdc 52: rows whose key changed in the window are dropped, a deleted one does not come back", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'old' FROM generate_series(1, 6) i`)
		r := start(t, d.config(), users())
		locked(t, d, r, "users", `UPDATE users SET email = 'new' WHERE id = 1`, `DELETE FROM users WHERE id = 2`, `DELETE FROM users WHERE id = 3`, `INSERT INTO users VALUES (3, 'u3', 'new')`,
			`UPDATE users SET id = 44 WHERE id = 4`)
		want := []string{"snapshot public.users 5 {id:5 external_id:u5 email:old bio:! plan:! attrs:!}", "snapshot public.users 6 {id:6 external_id:u6 email:old bio:! plan:! attrs:!}"}
		if diff := cmp.Diff(want, shows(r.loadRest())); diff != "" {
			t.Error(diff)
		}
		if len(r.got) != 5+2 {
			t.Errorf("%d changes in all, want 5 of the stream and 2 rows: %s", len(r.got), describe(r.got))
		}
	})
	t.Run("a row still supplies what every change in the window left absent", func(t *testing.T) {
		d := newDB(t, usersSQL, `ALTER TABLE users ALTER bio SET STORAGE EXTERNAL`, `INSERT INTO users SELECT i, 'u' || i, 'old', `+big+` FROM generate_series(1, 4) i`)
		r := start(t, d.config(), users())
		locked(t, d, r, "users", `UPDATE users SET email = 'new' WHERE id IN (1, 2)`, `UPDATE users SET bio = 'short' WHERE id = 2`, `UPDATE users SET email = 'x' WHERE id = 3`, `DELETE FROM users WHERE id = 3`)
		got := r.loadRest()
		if len(got) != 2 {
			t.Fatalf("rows %s, want those of 1 and 4", describe(got))
		}
		wantCell(t, got[0].After, "id", connector.Set, "1")
		wantCell(t, got[0].After, "email", connector.Absent, "")
		wantCell(t, got[0].After, "external_id", connector.Absent, "")
		wantCell(t, got[0].After, "bio", connector.Set, "*")
		wantCell(t, got[1].After, "email", connector.Set, "old")
	})
	t.Run("a key change that leaves columns absent has its new key read again", func(t *testing.T) {
		d := newDB(t, usersSQL, `ALTER TABLE users ALTER bio SET STORAGE EXTERNAL`, `INSERT INTO users SELECT i, 'u' || i, 'old', `+big+` FROM generate_series(10, 13) i`)
		r := start(t, d.config(), users())
		locked(t, d, r, "users", `UPDATE users SET id = 1 WHERE id = 11`)
		got := r.loadRest()
		last := got[len(got)-1]
		if len(got) != 4 || last.Key.ID != "1" {
			t.Fatalf("rows %s, want 10, 12, 13 and then 1", describe(got))
		}
		wantCell(t, last.After, "bio", connector.Set, "*")
		wantCell(t, last.After, "email", connector.Set, "old")
	})
	t.Run("a TRUNCATE in the window drops the chunk", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users VALUES (1, 'u')`)
		r := start(t, d.config(), users())
		locked(t, d, r, "users", `TRUNCATE users`)
		if got := r.loadRest(); len(got) != 0 {
			t.Errorf("rows %s", describe(got))
		}
	})
	t.Run("cdc 43: a killed reader takes the chunk again", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 6) i`)
		r := start(t, d.config(), users())
		locked(t, d, r, "users", `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass`)
		if got := r.loadRest(); len(got) != 6 {
			t.Errorf("rows %s", describe(got))
		}
	})
}

func TestChunks(t *testing.T) {
	t.Run("cdc 48: 0, 1, chunk-1, chunk, chunk+1 rows, enum and composite keys", func(t *testing.T) {
		d := newDB(t, `CREATE TYPE e AS ENUM ('z', 'a', 'm')`, `CREATE TABLE k(e e, s text COLLATE "en-x-icu", n numeric, v text, PRIMARY KEY (e, s, n))`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 10 }), connector.Start{Tables: []string{"public.k"}})
		for _, n := range []int{0, 1, 9, 10, 11, 500, 1001} {
			d.exec(`TRUNCATE k`)
			d.exec(`INSERT INTO k SELECT (ARRAY['z','a','m'])[1 + i % 3]::e, (ARRAY['B','a','''x','Ä'])[1 + i % 4], i / 100.0, NULL FROM generate_series(1, $1::int) i`, n)
			seen := map[string]bool{}
			for _, c := range r.loadAll(fmt.Sprint("l", n), "public.k") {
				seen[c.Key.ID] = true
			}
			if len(seen) != n {
				t.Errorf("%d rows, want %d", len(seen), n)
			}
		}
	})
	t.Run("a load goes on behind its cursor after a stop", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 1000) i`)
		small := func(c *Config) { c.ChunkRows = 64 }
		r := start(t, d.config(small), users())
		l := connector.Load{ID: "l", Model: "m", Table: "public.users"}
		if err := r.s.StartLoad(testContext(t), l); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		last := connector.Position{}
		for runs := 1; ; runs++ {
			done := false
			for chunks := 0; chunks < 4 && !done; {
				b, err := r.next(testTime)
				if err != nil {
					t.Fatal(err)
				}
				if b.Load == nil {
					continue
				}
				chunks++
				if b.Position.Stream != "load/l" || b.Position.Offset <= last.Offset {
					t.Fatalf("chunk at %+v behind %+v", b.Position, last)
				}
				last, done = b.Position, b.Load.Done
				l.Cursor, l.Rows = b.Load.Cursor, b.Load.Rows
				for _, c := range b.Changes {
					seen[c.Key.ID]++
				}
			}
			if done {
				break
			}
			r.close()
			st := r.start("public.users")
			st.Loads = []connector.Load{l}
			r = start(t, d.config(small), st)
			if runs > 20 {
				t.Fatal("the load does not end")
			}
		}
		if len(seen) != 1000 || l.Rows != 1000 {
			t.Errorf("%d keys, %d rows counted, want 1000", len(seen), l.Rows)
		}
		for k, n := range seen {
			if n != 1 {
				t.Errorf("row %s came %d times though each chunk was recorded", k, n)
			}
		}
	})
	t.Run("wide rows end a chunk early", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u', NULL, repeat('x', 20000) FROM generate_series(1, 2000) i`)
		r := start(t, d.config(), users())
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		rows := 0
		for done := false; !done; {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatal(err)
			}
			if b.Load != nil {
				rows, done = rows+len(b.Changes), b.Load.Done
				if len(b.Changes) > 2*chunkBytes/20000 {
					t.Errorf("a chunk of %d rows of 20 kB", len(b.Changes))
				}
			}
		}
		if rows != 2000 {
			t.Errorf("%d rows", rows)
		}
	})
	t.Run("cursors survive encoding", func(t *testing.T) {
		p := place{chunk: 7, after: []string{"a", "\x00\xff"}, ended: true, again: [][]string{{"x", ""}, {"y", "z"}}}
		got, err := parsePlace(p.encode())
		if diff := cmp.Diff(p, got, cmp.AllowUnexported(place{})); diff != "" || err != nil {
			t.Error(err, diff)
		}
		whole := p.encode()
		for i := 1; i < len(whole); i++ {
			if _, err := parsePlace(whole[:i]); err == nil {
				t.Errorf("a cursor cut after %d bytes was read", i)
			}
		}
	})
}

// TestAgain moves rows whose large value no change carries to keys that the load has passed, more of them than a chunk takes by bytes.
func TestAgain(t *testing.T) {
	d := newDB(t, usersSQL, `ALTER TABLE users ALTER bio SET STORAGE EXTERNAL`, `INSERT INTO users SELECT i, 'u', 'e', repeat(md5('x'), 4000) FROM generate_series(1, 400) i`)
	r := start(t, d.config(func(c *Config) { c.ChunkRows = 20 }), users())
	if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
		t.Fatal(err)
	}
	r.until("the first chunk", func() bool {
		return slices.ContainsFunc(r.got, func(c connector.Change) bool { return c.Op == connector.Snapshot })
	})
	d.exec(`UPDATE users SET id = -id WHERE id > 300`)
	have := map[string]bool{}
	for done := false; !done; {
		b, err := r.next(testTime)
		if err != nil {
			t.Fatal(err)
		}
		done = b.Load != nil && b.Load.Done
	}
	for _, c := range r.got {
		if c.Op == connector.Snapshot && c.After.Cells[3].State == connector.Set {
			have[c.Key.ID] = true
		}
	}
	missing := 0
	for i := 301; i <= 400; i++ {
		if !have[fmt.Sprint(-i)] && !have[fmt.Sprint(i)] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d moved rows never came with their large value", missing)
	}
}

// TestLoadConverges writes at random beside a load, applies everything in the order it comes, and compares with the table.
func TestLoadConverges(t *testing.T) {
	t.Run("cdc 44: stream and load together equal the table", func(t *testing.T) {
		d := newDB(t, usersSQL, `ALTER TABLE users ALTER bio SET STORAGE EXTERNAL`, `INSERT INTO users SELECT i, 'u' || i, 'e0', CASE WHEN i % 3 = 0 THEN `+big+` END FROM generate_series(1, 3000) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 50 }), users())
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for w := range 2 {
			c := openDB(t, d.url)
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			writers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					id := rnd.IntN(4000)
					sql := []string{`UPDATE users SET email = 'w%d-%d' WHERE id = %d`, `UPDATE users SET email = 'w%d-%d', bio = NULL WHERE id = %d`, `DELETE FROM users WHERE id = %[3]d`,
						`INSERT INTO users VALUES (%[3]d, 'n', 'w%[1]d-%[2]d') ON CONFLICT DO NOTHING`, `UPDATE users SET id = -id WHERE id = %[3]d`, `UPDATE users SET id = id + 10000 WHERE id = -%[3]d`}[rnd.IntN(6)]
					if _, err := c.c.Exec(context.Background(), fmt.Sprintf(sql, w, n, id)); err != nil && sqlState(err) != "23505" && sqlState(err) != "40P01" {
						t.Error(err)
						return
					}
				}
			})
		}
		table := map[string]map[string]connector.Cell{}
		apply := func(c connector.Change) {
			if c.OldKey.Table != "" {
				if old := table[c.OldKey.ID]; old != nil {
					table[c.Key.ID] = old
					delete(table, c.OldKey.ID)
				}
			}
			if c.Op == connector.Delete {
				delete(table, c.Key.ID)
				return
			}
			row := table[c.Key.ID]
			if row == nil {
				row = map[string]connector.Cell{}
				table[c.Key.ID] = row
			}
			if c.Op == connector.Insert {
				clear(row)
			}
			for i, cell := range c.After.Cells {
				if cell.State != connector.Absent {
					row[c.After.Table.Columns[i].Name] = cell
				}
			}
		}
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		killed := false
		for n, done := 0, false; !done; n++ {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Changes {
				apply(c)
			}
			done = b.Load != nil && b.Load.Done
			if n > 20 && !killed {
				killed = true
				d.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1`, r.s.cfg.Slot)
			}
		}
		close(stop)
		writers.Wait()
		d.exec(`INSERT INTO users VALUES (999999, 'end')`)
		for end := false; !end; {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Changes {
				apply(c)
				end = end || c.Key.ID == "999999"
			}
		}
		rows, err := r.s.Rows(testContext(t), connector.Query{Table: "public.users"})
		if err != nil {
			t.Fatal(err)
		}
		bad := 0
		for _, row := range rows {
			id := row.Cells[0].Raw
			for i, c := range row.Cells {
				if got, ok := table[id][row.Table.Columns[i].Name]; !ok || got != c {
					if bad++; bad < 5 {
						t.Errorf("row %s column %s: have %+.60v (%v), the table says %+.60v", id, row.Table.Columns[i].Name, got, ok, c)
					}
				}
			}
			delete(table, id)
		}
		if len(table) > 0 {
			t.Errorf("%d rows too many", len(table))
		}
	})
}

func TestVisibility(t *testing.T) {
	srv := throwaway.ForTest(t, map[string]string{"synchronous_standby_names": "nobody"})
	admin := openDB(t, srv.URL("postgres"))
	admin.exec(`ALTER SYSTEM SET synchronous_commit = 'local'`)
	admin.exec(`SELECT pg_reload_conf()`)
	eventually(t, "reload", func() bool {
		return openDB(t, srv.URL("postgres")).text("current_setting('synchronous_commit')") == "local"
	})
	d := openDB(t, srv.TestDatabase(t), usersSQL, `INSERT INTO users VALUES (1, 'u1', 'old')`)
	r := start(t, d.config(), users())

	hung := openDB(t, d.url, `SET synchronous_commit = 'on'`)
	pid := hung.text("pg_backend_pid()")
	committed := make(chan error, 1)
	go func() {
		_, err := hung.c.Exec(context.Background(), `UPDATE users SET email = 'new' WHERE id = 1`)
		committed <- err
	}()
	got := r.changes(1)
	wantCell(t, got[0].After, "email", connector.Set, "new")
	if seen := d.text(`SELECT email FROM users`); seen != "old" {
		t.Fatalf("the commit is visible already (%s); this server does not show what the test is about", seen)
	}
	t.Run("a look-up waits until what was handed out is visible", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(testContext(t), 700*time.Millisecond)
		defer cancel()
		if rows, err := r.s.Rows(ctx, connector.Query{Table: "public.users"}); err == nil {
			t.Errorf("rows %s were given while the delivered commit is invisible", showRow(rows[0]))
		}
	})
	whole := t
	t.Run("so does one after a restart", func(t *testing.T) {
		r.close()
		r = start(whole, d.config(), r.start("public.users"))
		ctx, cancel := context.WithTimeout(testContext(t), 700*time.Millisecond)
		defer cancel()
		if rows, err := r.s.Rows(ctx, connector.Query{Table: "public.users"}); err == nil {
			t.Errorf("rows %s were given while the delivered commit is invisible", showRow(rows[0]))
		}
	})
	t.Run("and a chunk, whose marks do not hang", func(t *testing.T) {
		r.got = nil
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		for {
			b, err := r.s.Next(ctx)
			if err != nil {
				break
			}
			if b.Load != nil {
				t.Fatalf("a chunk came: %s", describe(b.Changes))
			}
		}
		d.exec(`SELECT pg_cancel_backend($1::text::int)`, pid)
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
		rows := r.loadRest()
		if len(rows) != 1 {
			t.Fatalf("rows %s", describe(rows))
		}
		wantCell(t, rows[0].After, "email", connector.Set, "new")
	})
}

func TestDelivered(t *testing.T) {
	t.Run("a snapshot sees what is below xmin or not running", func(t *testing.T) {
		s, err := parseSnapshot("4294967300:4294967310:4294967302,4294967305")
		if err != nil {
			t.Fatal(err)
		}
		d := &delivered{}
		d.setRef(4294967310)
		for _, xid := range []uint32{5, 7, 6, 4294967290} { // 4294967301, 4294967303, 4294967302, and one before the epoch turned
			d.add(xid)
		}
		c := d.copy()
		if c.prune(s) {
			t.Error("4294967302 is running, but counts as visible")
		}
		var left []uint64
		c.each(func(x uint64) bool { left = append(left, x); return true })
		if diff := cmp.Diff([]uint64{4294967302}, left); diff != "" {
			t.Error(diff)
		}
		later, _ := parseSnapshot("4294967310:4294967310:")
		if !c.prune(later) || !d.prune(later) {
			t.Error("everything is visible in the later snapshot")
		}
		d.add(14 + 100)
		if d.prune(later) {
			t.Error("a transaction above xmax counts as visible")
		}
	})
	t.Run("a memo keeps the set, and a cut one is refused", func(t *testing.T) {
		d := &delivered{}
		d.setRef(1 << 33)
		for range 1000 {
			d.put(1<<33 + rand.Uint64N(5000))
		}
		d.put(1 << 32)
		m := memo{system: "7", timeline: 3, unseen: d}
		b := m.append(nil)
		got, err := parseMemo(b)
		if err != nil || got.system != "7" || got.timeline != 3 {
			t.Fatalf("%+v %v", got, err)
		}
		want := map[uint64]bool{}
		d.each(func(x uint64) bool { want[x] = true; return true })
		got.unseen.each(func(x uint64) bool {
			if !want[x] {
				t.Errorf("%d was not in the set", x)
			}
			delete(want, x)
			return true
		})
		if len(want) > 0 {
			t.Errorf("%d numbers lost", len(want))
		}
		for i := range len(b) {
			if _, err := parseMemo(b[:i]); err == nil {
				t.Fatalf("a memo cut after %d of %d bytes was read", i, len(b))
			}
		}
	})
	t.Run("past its bound it waits for all up to the highest", func(t *testing.T) {
		d := &delivered{}
		d.put(1000)
		d.put(1000 + 2*maxSpan)
		s, _ := parseSnapshot(fmt.Sprintf("%d:%d:", 1001, 1001))
		if d.prune(s) {
			t.Error("a delivered transaction above xmax counts as visible")
		}
		s, _ = parseSnapshot(fmt.Sprintf("%d:%[1]d:", 1001+2*maxSpan))
		if !d.prune(s) {
			t.Error("all is visible")
		}
	})
}
