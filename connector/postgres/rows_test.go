package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

const big = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)`

func cell(r connector.Row, column string) connector.Cell { return r.Cells[r.Table.Column(column)] }

func wantCell(t *testing.T, r connector.Row, column string, state connector.CellState, raw string) {
	t.Helper()
	c := cell(r, column)
	if c.State != state || raw != "*" && c.Raw != raw {
		t.Errorf("%s is %d %.40q (%d bytes), want %d %q", column, c.State, c.Raw, len(c.Raw), state, raw)
	}
}

func TestToast(t *testing.T) {
	t.Run("cdc 54: an unchanged long value is absent under DEFAULT and comes from the old row under FULL", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users VALUES (1, 'u1', NULL, `+big+`)`)
		r := start(t, d.config(), users())
		d.exec(`UPDATE users SET plan = 'x' WHERE id = 1`)
		d.exec(`ALTER TABLE users REPLICA IDENTITY FULL`)
		d.exec(`UPDATE users SET plan = 'y' WHERE id = 1`)
		got := r.changes(2)
		wantCell(t, got[0].After, "plan", connector.Set, "x")
		wantCell(t, got[0].After, "bio", connector.Absent, "")
		wantCell(t, got[1].After, "bio", connector.Set, "*")
		if n := len(cell(got[1].After, "bio").Raw); n != 32000 {
			t.Errorf("bio has %d bytes, want 32000", n)
		}
		if got[1].After.Table.Identity != connector.IdentityFull || got[1].OldKey.Table != "" || got[1].Key.ID != "1" {
			t.Errorf("under FULL: identity %d, key %q, old key %q", got[1].After.Table.Identity, got[1].Key.ID, got[1].OldKey.ID)
		}
	})
	t.Run("cdc 55: unchanged is never NULL, and NULL is NULL", func(t *testing.T) {
		d := newDB(t, usersSQL, `INSERT INTO users VALUES (1, 'u1', NULL, NULL, 'a', jsonb_build_object('a', `+big+`))`)
		r := start(t, d.config(), users())
		d.exec(`UPDATE users SET plan = 'b'`)
		d.exec(`UPDATE users SET attrs = NULL`)
		got := r.changes(2)
		wantCell(t, got[0].After, "attrs", connector.Absent, "")
		wantCell(t, got[0].After, "bio", connector.Null, "")
		wantCell(t, got[1].After, "attrs", connector.Null, "")
	})
	t.Run("cdc 56: absent, NULL and empty under each identity", func(t *testing.T) {
		for _, identity := range []string{"DEFAULT", "FULL", "USING INDEX users_ext", "NOTHING"} {
			d := newDB(t, usersSQL, `CREATE UNIQUE INDEX users_ext ON users(external_id)`, `ALTER TABLE users REPLICA IDENTITY FULL`)
			r := start(t, d.config(), users())
			d.exec(`ALTER TABLE users REPLICA IDENTITY ` + identity)
			d.exec(`INSERT INTO users VALUES (1, 'u1', '', ` + big + `)`)
			n := 1
			if identity != "NOTHING" { // there the server refuses updates of a published table
				d.exec(`UPDATE users SET plan = '' WHERE id = 1`)
				d.exec(`DELETE FROM users`)
				n = 3
			}
			got := r.changes(n)
			wantCell(t, got[0].After, "email", connector.Set, "")
			wantCell(t, got[0].After, "plan", connector.Null, "")
			if n == 1 {
				continue
			}
			key := map[string]string{"USING INDEX users_ext": "u1"}[identity]
			if key == "" {
				key = "1"
			}
			for _, c := range got {
				if c.Key.ID != key {
					t.Errorf("%s: key %q of the %s, want %q", identity, c.Key.ID, c.Op, key)
				}
			}
			full := identity == "FULL"
			if state := cell(got[1].After, "bio").State; full != (state == connector.Set) {
				t.Errorf("%s: bio of the update has state %d", identity, state)
			}
			if state := cell(got[2].Before, "email").State; full != (state == connector.Set) {
				t.Errorf("%s: email of the deleted row has state %d", identity, state)
			}
		}
	})
	t.Run("cdc 58: long arrays and structures stay absent", func(t *testing.T) {
		cols := []string{"text[]", "uuid[]", "date[]", "int[]", "jsonb[]"}
		d := newDB(t)
		var def, vals []string
		for i, c := range cols {
			def = append(def, fmt.Sprintf("c%d %s", i, c))
			elem := map[string]string{"text[]": "md5(i::text)", "uuid[]": "md5(i::text)::uuid", "date[]": "date '2000-01-01' + i", "int[]": "i", "jsonb[]": "to_jsonb(md5(i::text))"}[c]
			vals = append(vals, "(SELECT array_agg("+elem+") FROM generate_series(1, 4000) i)")
		}
		d.exec("CREATE TABLE arr(id int PRIMARY KEY, n int, " + strings.Join(def, ", ") + ")")
		for i := range cols {
			d.exec(fmt.Sprintf("ALTER TABLE arr ALTER c%d SET STORAGE EXTERNAL", i))
		}
		d.exec("INSERT INTO arr VALUES (1, 0, " + strings.Join(vals, ", ") + ")")
		r := start(t, d.config(), connector.Start{Tables: []string{"arr"}})
		d.exec("UPDATE arr SET n = 1")
		got := r.changes(1)[0]
		if got.Key.Table != "arr" {
			t.Errorf("table is called %q, the configuration says arr", got.Key.Table)
		}
		for i := range cols {
			wantCell(t, got.After, fmt.Sprintf("c%d", i), connector.Absent, "")
		}
	})
	t.Run("cdc 65: generated columns are in neither path", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE g(id int PRIMARY KEY, a text, full_name text GENERATED ALWAYS AS (a || '!') STORED)`, `INSERT INTO g VALUES (1, 'x')`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.g"}})
		loaded := r.loadAll("l", "public.g")
		d.exec(`INSERT INTO g VALUES (2, 'y')`)
		r.got = nil
		got := r.changes(1)[0]
		if diff := cmp.Diff([]string{"snapshot public.g 1 {id:1 a:x}", "insert public.g 2 {id:2 a:y}"}, append(shows(loaded), show(got))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Run("several key columns give an ID that no other key has", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE k(a text, b text, n int, PRIMARY KEY (a, b))`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.k"}})
		d.exec(`INSERT INTO k VALUES ('x', 'yz'), ('xy', 'z'), ('1:x', ''), ('', '1:x')`)
		seen := map[string]bool{}
		for _, c := range r.changes(4) {
			seen[c.Key.ID] = true
		}
		if len(seen) != 4 {
			t.Errorf("4 keys gave %d IDs", len(seen))
		}
	})
	t.Run("cdc 64: a key change names both keys", func(t *testing.T) {
		d := newDB(t, usersSQL, `ALTER TABLE users REPLICA IDENTITY FULL`, `INSERT INTO users VALUES (1, 'a')`)
		r := start(t, d.config(), users())
		d.exec(`UPDATE users SET id = 2 WHERE id = 1`)
		d.exec(`UPDATE users SET external_id = 'b' WHERE id = 2`)
		got := r.changes(2)
		if got[0].OldKey.ID != "1" || got[0].Key.ID != "2" || got[1].OldKey.Table != "" {
			t.Errorf("got %s", describe(got))
		}
		wantCell(t, got[1].Before, "external_id", connector.Set, "a")
	})
	t.Run("cdc 110: an enum key is updated and deleted", func(t *testing.T) {
		d := newDB(t, `CREATE TYPE e AS ENUM ('b', 'a')`, `CREATE TABLE k(id e PRIMARY KEY, n int)`, `INSERT INTO k VALUES ('b', 1)`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.k"}})
		d.exec(`UPDATE k SET n = 2`)
		d.exec(`DELETE FROM k`)
		if diff := cmp.Diff([]string{"update public.k b {id:b n:2}", "delete public.k b from {id:b n:?}"}, shows(r.changes(2))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("cdc 118: a table without a key streams by whole rows and refuses a load", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE nokey(a int, b text)`)
		_, err := tryStart(t, d.config(), connector.Start{Tables: []string{"public.nokey"}})
		wantStop(t, err, connector.ExitTableUnfit, "REPLICA IDENTITY FULL")
		d.exec(`ALTER TABLE nokey REPLICA IDENTITY FULL`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.nokey"}})
		d.exec(`INSERT INTO nokey VALUES (1, 'x'), (1, 'x'), (1, NULL), (NULL, NULL)`)
		d.exec(`DELETE FROM nokey WHERE b IS NULL AND a = 1`)
		got := r.changes(5)
		if got[0].Key != got[1].Key || got[1].Key == got[2].Key || got[2].Key != got[4].Key {
			t.Errorf("keys: %q", []string{got[0].Key.ID, got[1].Key.ID, got[2].Key.ID, got[3].Key.ID, got[4].Key.ID})
		}
		wantStop(t, r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.nokey"}), connector.ExitTableUnfit, "PRIMARY KEY")
	})
	t.Run("ordinals count per table over the whole transaction, filtered tables too", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE TABLE other(id int PRIMARY KEY)`, `CREATE PUBLICATION p FOR ALL TABLES`)
		r := start(t, d.config(), users())
		d.exec(`DO $$ BEGIN FOR i IN 1..1500 LOOP INSERT INTO users VALUES (i, 'u'); INSERT INTO other VALUES (i); END LOOP; END $$`)
		d.exec(`INSERT INTO users VALUES (0, 'u')`)
		got := r.changes(1501)
		for i, c := range got[:1500] {
			if c.ID.N != uint32(i) || c.ID.Commit != got[0].ID.Commit || c.Key.Table != "public.users" {
				t.Fatalf("change %d is %+v of %s", i, c.ID, c.Key.Table)
			}
		}
		if last := got[1500]; last.ID.N != 0 || last.ID.Commit <= got[0].ID.Commit {
			t.Errorf("the next transaction's change is %+v", last.ID)
		}
	})
}

func TestShapes(t *testing.T) {
	t.Run("cdc 63: each row is read under the shape it was written under", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		script := `BEGIN; INSERT INTO users VALUES (%d, 'u', 'e', 'b', 'p', '1'); ALTER TABLE users ADD COLUMN c int; INSERT INTO users VALUES (%d, 'u', 'e', 'b', 'p', '1', 7);
ALTER TABLE users DROP COLUMN email; ALTER TABLE users RENAME COLUMN plan TO tier; ALTER TABLE users ALTER COLUMN c TYPE text; INSERT INTO users VALUES (%d, 'u', 'b', 'q', '1', 'x'); COMMIT`
		back := `ALTER TABLE users DROP COLUMN c; ALTER TABLE users DROP COLUMN bio; ALTER TABLE users DROP COLUMN tier; ALTER TABLE users DROP COLUMN attrs;
ALTER TABLE users ADD COLUMN email text; ALTER TABLE users ADD COLUMN bio text; ALTER TABLE users ADD COLUMN plan text; ALTER TABLE users ADD COLUMN attrs jsonb`
		want := []string{"insert public.users 1 {id:1 external_id:u email:e bio:b plan:p attrs:1}", "insert public.users 2 {id:2 external_id:u email:e bio:b plan:p attrs:1 c:7}",
			"insert public.users 3 {id:3 external_id:u bio:b tier:q attrs:1 c:x}"}
		d.exec(fmt.Sprintf(script, 1, 2, 3))
		if diff := cmp.Diff(want, shows(r.changes(3))); diff != "" {
			t.Error(diff)
		}
		if v, _, err := r.got[1].After.Value(6); err != nil || v.Kind != connector.KindInt {
			t.Errorf("c is %+v (%v), it was an integer then", v, err)
		}
		d.exec(back)
		r.close()
		d.exec(`DELETE FROM users`)
		d.exec(fmt.Sprintf(script, 1, 2, 3)) // all of it while nobody reads
		r = start(t, d.config(), r.start("public.users"))
		got := r.changes(6)[3:]
		if diff := cmp.Diff(want, shows(got)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("an unchanged shape keeps its Table", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		d.exec(`ANALYZE users`)
		d.exec(`COMMENT ON TABLE users IS 'x'`)
		d.exec(`ALTER TABLE users ALTER email SET STATISTICS 10`)
		d.exec(`INSERT INTO users VALUES (2, 'u')`)
		got := r.changes(2)
		if got[0].After.Table != got[1].After.Table {
			t.Error("the same shape came under two Tables")
		}
	})
	t.Run("cdc 62: TRUNCATE is one change per table", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE TABLE orders(id int PRIMARY KEY, u bigint REFERENCES users)`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.users", "public.orders"}})
		d.exec(`TRUNCATE users, orders RESTART IDENTITY CASCADE`)
		got := r.changes(2)
		seen := map[string]bool{}
		for _, c := range got {
			if c.Op != connector.Truncate || c.After.Exists() || c.Before.Exists() {
				t.Errorf("got %s", show(c))
			}
			seen[c.Key.Table] = true
		}
		if len(seen) != 2 {
			t.Errorf("tables %v", seen)
		}
	})
}

func TestPartitions(t *testing.T) {
	const sql = `CREATE TABLE ev(id int, d int, v text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d); CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
CREATE TABLE ev2 PARTITION OF ev FOR VALUES FROM (10) TO (20) PARTITION BY LIST (d); CREATE TABLE ev2a PARTITION OF ev2 DEFAULT`
	t.Run("cdc 60: rows of partitions come under their parent, also of one added later", func(t *testing.T) {
		d := newDB(t, sql)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.ev"}})
		d.exec(`INSERT INTO ev VALUES (1, 1, 'a'), (2, 11, 'b')`)
		d.exec(`CREATE TABLE ev3 PARTITION OF ev FOR VALUES FROM (20) TO (30)`)
		d.exec(`INSERT INTO ev VALUES (3, 21, 'c')`)
		for _, c := range r.changes(3) {
			if c.Key.Table != "public.ev" || c.Op != connector.Insert {
				t.Errorf("got %s", show(c))
			}
		}
	})
	t.Run("cdc 60: a publication that names partitions is refused with the line", func(t *testing.T) {
		d := newDB(t, sql, `CREATE PUBLICATION p FOR TABLE ev`)
		_, err := tryStart(t, d.config(), connector.Start{Tables: []string{"public.ev"}})
		wantStop(t, err, connector.ExitTableUnfit, `ALTER PUBLICATION "p" SET (publish_via_partition_root = true);`)
		d.exec(`ALTER PUBLICATION p SET (publish_via_partition_root = true)`)
		_, err = tryStart(t, d.config(), connector.Start{Tables: []string{"public.ev1"}})
		wantStop(t, err, connector.ExitTableUnfit, "name the partitioned table")
	})
	t.Run("cdc 50: a load reads every partition", func(t *testing.T) {
		d := newDB(t, sql, `INSERT INTO ev SELECT i, i % 20, 'x' FROM generate_series(1, 500) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 70 }), connector.Start{Tables: []string{"public.ev"}})
		if n := len(r.loadAll("l", "public.ev")); n != 500 {
			t.Errorf("%d rows, want 500", n)
		}
	})
	t.Run("cdc 59: a leaf's own identity counts, and check names it", func(t *testing.T) {
		d := newDB(t, sql, `ALTER TABLE ev REPLICA IDENTITY FULL`, `ALTER TABLE ev1 REPLICA IDENTITY DEFAULT`, `INSERT INTO ev VALUES (1, 1, 'a')`)
		found := Check(testContext(t), d.config(), []Need{{Table: "public.ev"}})
		wantFinding(t, found, Warn, "partition public.ev1", `ALTER TABLE "public"."ev1" REPLICA IDENTITY FULL;`)
		r := start(t, d.config(), connector.Start{Tables: []string{"public.ev"}})
		d.exec(`UPDATE ev SET v = 'b'`)
		d.exec(`DELETE FROM ev`)
		got := r.changes(2)
		if got[0].Key != got[1].Key {
			t.Errorf("keys %q and %q differ: %s", got[0].Key.ID, got[1].Key.ID, describe(got))
		}
		wantCell(t, got[1].Before, "v", connector.Absent, "")
	})
	t.Run("cdc 117: inheritance children are not taken for the parent", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE par(id int PRIMARY KEY)`, `CREATE TABLE child(PRIMARY KEY (id)) INHERITS (par)`, `INSERT INTO child VALUES (5)`, `INSERT INTO par VALUES (1)`)
		wantFinding(t, Check(testContext(t), d.config(), []Need{{Table: "public.par"}}), Warn, "inheritance children", "")
		r := start(t, d.config(), connector.Start{Tables: []string{"public.par"}})
		if diff := cmp.Diff([]string{"snapshot public.par 1 {id:1}"}, shows(r.loadAll("l", "public.par"))); diff != "" {
			t.Error(diff)
		}
		d.exec(`INSERT INTO child VALUES (6)`)
		d.exec(`INSERT INTO par VALUES (2)`)
		r.got = nil
		if diff := cmp.Diff([]string{"insert public.par 2 {id:2}"}, shows(r.changes(1))); diff != "" {
			t.Error(diff)
		}
	})
}

func wantStop(t *testing.T, err error, code int, contains string) {
	t.Helper()
	if connector.ExitCode(err) != code || !strings.Contains(fmt.Sprint(err), contains) {
		t.Errorf("got %v (exit code %d), want exit code %d and %q", err, connector.ExitCode(err), code, contains)
	}
}

func wantFinding(t *testing.T, found []Finding, level Level, what, fix string) {
	t.Helper()
	for _, f := range found {
		if f.Level == level && strings.Contains(f.What, what) && strings.Contains(f.Fix, fix) {
			return
		}
	}
	t.Errorf("no finding %s %q with the fix %q among %+v", level, what, fix, found)
}

func TestRenamedTable(t *testing.T) {
	t.Run("cdc 60: a renamed table goes on under its configured name, one that took the name is another", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		d.exec(`ALTER TABLE users RENAME TO people`)
		d.exec(`INSERT INTO people VALUES (2, 'u')`)
		if got := r.changes(2); got[1].Key != (connector.Key{Table: "public.users", ID: "2"}) {
			t.Errorf("got %s", show(got[1]))
		}
		d.exec(`CREATE TABLE users(id int PRIMARY KEY)`)
		d.exec(`ALTER PUBLICATION p ADD TABLE users`)
		d.exec(`ALTER TABLE people ADD COLUMN x int`)
		d.exec(`INSERT INTO people VALUES (3, 'u')`)
		d.exec(`INSERT INTO users VALUES (4)`)
		if got := r.changes(3); show(got[2]) != "insert public.users 4 {id:4}" {
			t.Errorf("got %s", show(got[2]))
		}
		if n := r.s.Others(); n != 1 {
			t.Errorf("%d changes of other tables counted, want 1", n)
		}
	})
}
