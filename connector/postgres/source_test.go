package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func shows(changes []connector.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, show(c))
	}
	return out
}

func TestStream(t *testing.T) {
	t.Run("gives inserts, updates and deletes in commit order, and goes on behind the record", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		if !r.opened.Fresh {
			t.Error("a new slot is not reported as fresh")
		}
		d.exec(`INSERT INTO users VALUES (1, 'u1', 'a@x.io', NULL, 'free', '{"a":1}')`)
		d.exec(`UPDATE users SET plan = 'pro' WHERE id = 1`)
		d.exec(`UPDATE users SET id = 2 WHERE id = 1`)
		d.exec(`DELETE FROM users WHERE id = 2`)
		want := []string{
			`insert public.users 1 {id:1 external_id:u1 email:a@x.io bio:! plan:free attrs:{"a": 1}}`,
			`update public.users 1 {id:1 external_id:u1 email:a@x.io bio:! plan:pro attrs:{"a": 1}}`,
			`update public.users 2 was 1 {id:2 external_id:u1 email:a@x.io bio:! plan:pro attrs:{"a": 1}} from {id:1 external_id:? email:? bio:? plan:? attrs:?}`,
			`delete public.users 2 from {id:2 external_id:? email:? bio:? plan:? attrs:?}`,
		}
		if diff := cmp.Diff(want, shows(r.changes(4))); diff != "" {
			t.Fatal(diff)
		}
		r.close()
		d.exec(`INSERT INTO users VALUES (3, 'u3')`)
		r2 := start(t, d.config(), r.start("public.users"))
		if r2.opened.Fresh || len(r2.opened.Gaps) > 0 {
			t.Errorf("opened %+v, want neither fresh nor a gap", r2.opened)
		}
		got := r2.changes(1)
		if got[0].Key.ID != "3" || got[0].Op != connector.Insert {
			t.Errorf("got %s, want the insert of 3 only", show(got[0]))
		}
		confirmed := d.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", r2.s.cfg.Slot)
		r2.close()
		if after := d.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", r2.s.cfg.Slot); parseLSN(after) < r2.recorded.Position.Offset {
			t.Errorf("after Close the slot is at %s (was %s), want %s", after, confirmed, lsn(r2.recorded.Position.Offset))
		}
	})
}

func TestLoad(t *testing.T) {
	t.Run("reads every row once and ends", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u'||i FROM generate_series(1, 1050) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 100 }), users())
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "a", Table: "public.users"}); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for done := false; !done; {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatalf("%d rows came: %v", len(seen), err)
			}
			for _, c := range b.Changes {
				seen[c.Key.ID]++
			}
			done = b.Load != nil && b.Load.Done
		}
		if len(seen) != 1050 {
			t.Errorf("%d rows, want 1050", len(seen))
		}
	})
}
