package postgres

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
)

func (d *db) confirmed(r *run) uint64 {
	d.t.Helper()
	return parseLSN(d.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", r.s.cfg.Slot))
}

func TestPositions(t *testing.T) {
	t.Run("cdc 2: what is not committed is not confirmed, and comes again", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		r.hold = true
		d.exec(`INSERT INTO users VALUES (1, 'u1')`)
		commit := r.changes(1)[0].ID.Commit
		beats := r.s.health.get().Bytes
		eventually(t, "keep-alives", func() bool { return r.s.health.get().Bytes > beats+100 })
		if c := d.confirmed(r); c > commit {
			t.Fatalf("the slot confirms %s, behind the open change at %s", lsn(c), lsn(commit))
		}
		r.close()
		r = start(t, d.config(), r.start("public.users"))
		if got := r.changes(1); got[0].Key.ID != "1" {
			t.Errorf("got %s", show(got[0]))
		}
	})
	t.Run("cdc 3: positions told to the server never go back", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		last := uint64(0)
		for i := range 30 {
			d.exec(`INSERT INTO users SELECT $1 * 100 + i, 'u' FROM generate_series(1, 50) i`, i)
			r.changes((i + 1) * 50)
			c := d.confirmed(r)
			if c < last || c == 0 {
				t.Fatalf("confirmed went from %s to %s", lsn(last), lsn(c))
			}
			last = c
		}
	})
	t.Run("cdc 21: a clean restart repeats nothing", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		for i := range 5 {
			d.exec(`INSERT INTO users VALUES ($1, 'u')`, i)
			got := r.changes(1)
			r.close()
			if got[0].Key.ID != fmt.Sprint(i) {
				t.Fatalf("restart %d: got %s", i, show(got[0]))
			}
			if c := d.confirmed(r); c < r.recorded.Position.Offset {
				t.Errorf("after Close the slot confirms %s, committed was %s", lsn(c), lsn(r.recorded.Position.Offset))
			}
			r = start(t, d.config(), r.start("public.users"))
		}
	})
	t.Run("cdc 5 10: a large transaction comes in parts that do not move the position, and whole again after a stop", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		at := r.opened.From[0].Offset
		var rows [][]any
		for i := range 12000 {
			rows = append(rows, []any{int64(i), "u"})
		}
		d.copy("users", []string{"id", "external_id"}, rows)
		b, err := r.next(testTime)
		for err == nil && len(b.Changes) == 0 { // an idle position may come first
			b, err = r.next(testTime)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Changes) != maxChanges || b.Position.Offset >= b.Changes[0].ID.Commit {
			t.Fatalf("first part: %d changes, position %s, commit %s, start %s", len(b.Changes), lsn(b.Position.Offset), lsn(b.Changes[0].ID.Commit), lsn(at))
		}
		r.close()
		r = start(t, d.config(), r.start("public.users"))
		got := r.changes(12000)
		for i, c := range got {
			if c.ID.N != uint32(i) {
				t.Fatalf("change %d has ordinal %d", i, c.ID.N)
			}
		}
		r.until("the last part moves the position", func() bool { return r.recorded.Position.Offset > got[0].ID.Commit })
	})
	t.Run("cdc 7: one row between restarts is never missed", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		n := 0
		for range 25 {
			r.got = nil
			d.exec(`INSERT INTO users VALUES ($1, 'u')`, n)
			r.changes(1)
			d.exec(`INSERT INTO users VALUES ($1, 'u')`, n+1)
			r.close()
			r = start(t, d.config(), r.start("public.users"))
			if got := r.changes(1); got[0].Key.ID != fmt.Sprint(n+1) {
				t.Fatalf("got %s, want %d", show(got[0]), n+1)
			}
			n += 2
		}
	})
	t.Run("cdc 8: logical messages are no positions and no changes", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		for i := range 5 {
			d.exec(`SELECT pg_logical_emit_message(false, 'brazecdc', 'x')`)
			d.exec(`BEGIN`)
			d.exec(`SELECT pg_logical_emit_message(true, 'x', '1')`)
			d.exec(`INSERT INTO users VALUES ($1, 'u')`, i)
			d.exec(`SELECT pg_logical_emit_message(true, 'brazecdc', 'other slot beat')`)
			d.exec(`COMMIT`)
			d.exec(`SELECT pg_logical_emit_message(false, 'x', '2')`)
			r.changes(1)
			r.close()
			r = start(t, d.config(), r.start("public.users"))
		}
		d.exec(`INSERT INTO users VALUES (100, 'u')`)
		if got := r.changes(1); got[0].Key.ID != "100" {
			t.Errorf("got %s", describe(got))
		}
	})
	t.Run("cdc 12: without a record an existing slot is read from where it stands", func(t *testing.T) {
		d := newDB(t, usersSQL)
		start(t, d.config(), users()).close()
		d.exec(`INSERT INTO users SELECT i, 'u' FROM generate_series(1, 100) i`)
		r := start(t, d.config(), users())
		if r.opened.Fresh || len(r.opened.Gaps) > 0 {
			t.Errorf("opened %+v", r.opened)
		}
		b, err := r.next(testTime)
		if err != nil || !b.Replayed {
			t.Errorf("changes from before the start are not marked as possibly sent (%v)", err)
		}
		r.changes(100)
		d.exec(`INSERT INTO users VALUES (101, 'u')`)
		if b, err := r.next(testTime); err != nil || b.Replayed || len(b.Changes) != 1 {
			t.Errorf("a change after the start is marked as possibly sent: %v (%v)", b.Replayed, err)
		}
	})
	t.Run("cdc 14: a slot ahead of the record is a gap, and the position is not lowered", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		r.close()
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		d.exec(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, r.s.cfg.Slot)
		at := d.confirmed(r)
		st := r.start("public.users")
		st.Recorded[0].Position = r.opened.From[0]
		r = start(t, d.config(), st)
		if diff := cmp.Diff([]string{r.s.stream}, r.opened.Gaps); diff != "" {
			t.Errorf("gaps: %s", diff)
		}
		if r.opened.From[0].Offset != at || d.confirmed(r) < at {
			t.Errorf("from %s, confirmed %s; the slot stood at %s", lsn(r.opened.From[0].Offset), lsn(d.confirmed(r)), lsn(at))
		}
	})
	t.Run("cdc 15: an idle database moves the record before the slot, and restarts see no gap", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		for range 3 {
			d.exec(`CHECKPOINT`)
			d.exec(`SELECT pg_switch_wal()`)
			target := parseLSN(d.text("pg_current_wal_lsn()"))
			r.until("idle advance", func() bool {
				if c := d.confirmed(r); c > max(r.recorded.Position.Offset, r.opened.From[0].Offset) {
					t.Fatalf("the slot confirms %s, recorded is %s", lsn(c), lsn(r.recorded.Position.Offset))
				}
				return r.recorded.Position.Offset >= target
			})
			r.close()
			r = start(t, d.config(), r.start("public.users"))
			if len(r.opened.Gaps) > 0 {
				t.Fatalf("gaps %v", r.opened.Gaps)
			}
		}
	})
	t.Run("a record ahead of the server is another timeline, another system identifier another server", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		r.close()
		st := r.start("public.users")
		st.Recorded[0].Position.Offset += 1 << 40
		_, err := tryStart(t, d.config(), st)
		wantStop(t, err, connector.ExitOtherTimeline, "the server's log ends at")
		st = r.start("public.users")
		m, err := parseMemo(st.Recorded[0].Memo)
		if err != nil {
			t.Fatal(err)
		}
		m.system = "4711"
		st.Recorded[0].Memo = m.append(nil)
		_, err = tryStart(t, d.config(), st)
		wantStop(t, err, connector.ExitOtherServer, "system identifier")
		st.Recorded[0].Memo = []byte{1, 200}
		_, err = tryStart(t, d.config(), st)
		wantStop(t, err, connector.ExitSlotMismatch, "record")
		d.exec(`SELECT pg_drop_replication_slot($1)`, r.s.cfg.Slot)
		_, err = tryStart(t, d.config(), r.start("public.users"))
		wantStop(t, err, connector.ExitSlotLost, "is missing")
	})
	t.Run("cdc 72: only committed rows, in commit order", func(t *testing.T) {
		d := newDB(t, usersSQL)
		d.exec("ALTER DATABASE " + d.text("current_database()") + " SET logical_decoding_work_mem = '64kB'")
		r := start(t, d.config(), users())
		d2 := openDB(t, d.url)
		d.exec(`BEGIN`)
		d2.exec(`BEGIN`)
		for i := range 4 {
			d.exec(`INSERT INTO users SELECT i, 'a' FROM generate_series($1::int, $1::int + 999) i`, i*1000)
			d2.exec(`INSERT INTO users SELECT i, 'b' FROM generate_series($1::int, $1::int + 999) i`, 100000+i*1000)
		}
		d.exec(`SAVEPOINT s`)
		d.exec(`INSERT INTO users SELECT i, 'no' FROM generate_series(50000, 51000) i`)
		d.exec(`ROLLBACK TO s`)
		d3 := openDB(t, d.url, `BEGIN`, `INSERT INTO users SELECT i, 'no' FROM generate_series(70000, 72000) i`, `ROLLBACK`)
		_ = d3
		d2.exec(`COMMIT`)
		d.exec(`COMMIT`)
		for i, c := range r.changes(8000) {
			if want := map[bool]string{true: "b", false: "a"}[i < 4000]; cell(c.After, "external_id").Raw != want {
				t.Fatalf("change %d is of %q, want %q", i, cell(c.After, "external_id").Raw, want)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	t.Run("cdc 115: a row far above every buffer comes whole, and the buffer shrinks again", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u', NULL, repeat('x', 32 * 1024 * 1024)), (2, 'u', NULL, '')`)
		got := r.changes(2)
		if n := len(cell(got[0].After, "bio").Raw); n != 32<<20 {
			t.Errorf("%d bytes", n)
		}
		d.exec(`INSERT INTO users VALUES (3, 'u')`)
		r.changes(3)
		r.close()
		if n := len(r.s.wire.Load().buf); n != readBuffer {
			t.Errorf("the buffer still has %d bytes", n)
		}
	})
	t.Run("cdc 74: status updates every few milliseconds under load", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(func(c *Config) { c.StatusInterval = time.Millisecond }), users())
		for i := range 20 {
			d.exec(`INSERT INTO users SELECT $1::int * 1000 + i, 'u' FROM generate_series(1, 1000) i`, i)
		}
		r.changes(20000)
		if n := r.s.Health().Reconnects; n != 0 {
			t.Errorf("%d reconnects", n)
		}
	})
	t.Run("cdc 41: chunks that were handed out and not recorded come again", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' FROM generate_series(1, 10000) i`)
		r := start(t, d.config(), users())
		if n := len(r.loadAll("l", "public.users")); n != 10000 {
			t.Errorf("%d rows", n)
		}
		r.close()
		st := r.start("public.users")
		st.Loads = []connector.Load{{ID: "l", Table: "public.users"}}
		r = start(t, d.config(), st)
		if n := len(r.loadRest()); n != 10000 {
			t.Errorf("%d rows after a stop before the record", n)
		}
	})
	t.Run("bounded: nothing is read ahead while nobody calls Next", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u', NULL, repeat('x', 1000) FROM generate_series(1, 40000) i`)
		r := start(t, d.config(), users())
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		r.s.loads.mu.Lock()
		l := r.s.loads.by["l"]
		r.s.loads.mu.Unlock()
		eventually(t, "a chunk waits to be taken", func() bool { return len(r.s.out) == cap(r.s.out) })
		l.mu.Lock()
		if n := len(l.windows); n > chunksAhead {
			t.Errorf("%d chunks were read ahead", n)
		}
		l.mu.Unlock()
		if n := len(r.loadRest()); n != 40000 {
			t.Errorf("%d rows", n)
		}
	})
}

func (d *db) copy(table string, cols []string, rows [][]any) {
	d.t.Helper()
	if _, err := d.c.CopyFrom(testContext(d.t), []string{table}, cols, copyRows(rows)); err != nil {
		d.t.Fatal(err)
	}
}

func TestReconnect(t *testing.T) {
	t.Run("cdc 46: a broken connection goes on without giving anything twice, also inside a large transaction", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users SELECT i, 'u' FROM generate_series(1, 100) i`)
		r.changes(100)
		r.hold = true // nothing is confirmed, so the server sends again
		d.exec(`INSERT INTO users VALUES (101, 'u')`)
		r.changes(101)
		d.exec(`INSERT INTO users SELECT i, 'u' FROM generate_series(102, 50000) i`)
		r.until("a part of the transaction", func() bool { return len(r.got) > 3000 })
		d.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1`, r.s.cfg.Slot)
		got := r.changes(50000)
		seen := map[string]bool{}
		for _, c := range got {
			if seen[c.Key.ID] {
				t.Fatalf("row %s came twice", c.Key.ID)
			}
			seen[c.Key.ID] = true
		}
		h := r.s.Health()
		if h.Reconnects == 0 || !h.Connected {
			t.Errorf("health %+v", h)
		}
		if r.s.Skipped() == 0 {
			t.Error("nothing was skipped, though the server sent a transaction again")
		}
	})
	t.Run("cdc 22: the server can stop, and is found again", func(t *testing.T) {
		srv := throwaway.ForTest(t)
		d := openDB(t, srv.TestDatabase(t), usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		_ = d.c.Close(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- srv.StopMode("fast") }()
		var err error
		done := false
		r.until("stop", func() bool {
			select {
			case err = <-stopped:
				done = true
			default:
			}
			return done
		})
		if err != nil {
			t.Errorf("the server did not stop: %v", err)
		}
		if err := srv.Restart(testContext(t)); err != nil {
			t.Fatal(err)
		}
		openDB(t, d.url, `INSERT INTO users VALUES (2, 'u')`)
		if got := r.changes(2); got[1].Key.ID != "2" {
			t.Errorf("got %s", describe(got))
		}
		if h := r.s.Health(); h.ReconnectsBy["server"] == 0 && h.ReconnectsBy["network"] == 0 || h.ReconnectsBy["silent"] != 0 {
			t.Errorf("reconnects by reason: %v", h.ReconnectsBy)
		}
	})
}
