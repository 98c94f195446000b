package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
)

func TestStartFaults(t *testing.T) {
	t.Run("cdc 23: a publication made after the slot is one clear stop, not a loop", func(t *testing.T) {
		d := newDB(t, usersSQL)
		cfg := d.config()
		d.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, cfg.Slot)
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		d.exec(`CREATE PUBLICATION p FOR TABLE users WITH (publish_via_partition_root = true)`)
		r := start(t, cfg, users())
		_, err := r.next(testTime)
		wantStop(t, err, connector.ExitTableUnfit, "made after slot")
	})
	t.Run("cdc 24: a lost slot stops with its reason, at start and while streaming", func(t *testing.T) {
		srv := throwaway.ForTest(t, map[string]string{"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "32MB"})
		d := openDB(t, srv.TestDatabase(t), usersSQL, `CREATE TABLE fill(v text)`)
		r := start(t, d.config(), users())
		fill := func() {
			for range 8 {
				d.exec(`INSERT INTO fill SELECT repeat(md5(i::text), 100) FROM generate_series(1, 3000) i`)
				d.exec(`SELECT pg_switch_wal()`)
			}
			d.exec(`CHECKPOINT`)
		}
		// Nothing is committed while this change is open, so the log is kept until the bound.
		r.hold = true
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		fill()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), testTime)
		defer cancel()
		var err error
		for err == nil {
			_, err = r.s.Next(ctx)
		}
		wantStop(t, err, connector.ExitSlotLost, "pg_drop_replication_slot")
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %s to notice", took)
		}
		r.close()
		_, err = tryStart(t, d.config(), users())
		wantStop(t, err, connector.ExitSlotLost, "wal_status=lost")
		wantFinding(t, Check(testContext(t), d.config(), []Need{{Table: "public.users"}}), Fail, "is lost", "pg_drop_replication_slot")
	})
	t.Run("cdc 27: a slot in use is waited for by process, and taken when it is free", func(t *testing.T) {
		d := newDB(t, usersSQL)
		first := start(t, d.config(), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		first.changes(1)
		for _, f := range Check(testContext(t), d.config(), []Need{{Table: "public.users"}}) {
			if f.Level == Fail {
				t.Errorf("check fails while a run holds the slot: %+v", f)
			}
		}
		_, err := tryStart(t, d.config(func(c *Config) { c.NoWait = true }), first.start("public.users"))
		wantStop(t, err, connector.ExitSlotInUse, d.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", first.s.cfg.Slot))
		if err := Teardown(testContext(t), d.config()); connector.ExitCode(err) != connector.ExitSlotInUse {
			t.Errorf("teardown of a used slot: %v", err)
		}
		second, err := New(d.config())
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		ctx := testContext(t)
		go func() {
			_, err := second.Open(ctx, first.start("public.users"))
			opened <- err
		}()
		eventually(t, "the second waits", func() bool { return strings.Contains(second.Health().Waiting, "is used by process") })
		first.close()
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		if err := second.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("cdc 28: creating the slot waits for open transactions and names them", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE ROLE slow LOGIN REPLICATION SUPERUSER`, `ALTER ROLE slow SET statement_timeout = '300ms'`)
		t.Cleanup(func() { d.exec(`DROP OWNED BY slow; DROP ROLE slow`) })
		blocker := openDB(t, d.url, `BEGIN`, `INSERT INTO users VALUES (1, 'u')`)
		pid := blocker.text("pg_backend_pid()")
		cfg := d.config(func(c *Config) { c.URL = strings.Replace(c.URL, "postgres@", "slow@", 1) })
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		ctx := testContext(t)
		go func() {
			_, err := s.Open(ctx, users())
			opened <- err
		}()
		eventually(t, "the blocker is named", func() bool { return strings.Contains(s.Health().Waiting, "process "+pid) })
		_, err = tryStart(t, d.config(func(c *Config) { c.NoWait = true }), users())
		wantStop(t, err, connector.ExitSlotInUse, "is being created")
		blocker.exec(`COMMIT`)
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		_ = s.Close(ctx)
	})
	t.Run("cdc 39: a new table joins the publication, once", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE TABLE orders(id int PRIMARY KEY)`)
		start(t, d.config(), users()).close()
		both := connector.Start{Tables: []string{"public.users", "public.orders"}}
		_, err := tryStart(t, d.config(func(c *Config) { c.Create = false }), both)
		wantStop(t, err, connector.ExitTableUnfit, `ALTER PUBLICATION "p" ADD TABLE "public"."orders";`)
		r := start(t, d.config(), both)
		d.exec(`INSERT INTO orders VALUES (1)`)
		if got := r.changes(1); got[0].Key.Table != "public.orders" {
			t.Errorf("got %s", show(got[0]))
		}
		r.close()
		lock := openDB(t, d.url, `BEGIN`, `LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`)
		_, err = tryStart(t, d.config(func(c *Config) { c.Create = false }), r.start("public.users", "public.orders")) // nothing to alter, so no lock is asked for
		if err != nil {
			t.Fatal(err)
		}
		lock.exec(`ROLLBACK`)
	})
	t.Run("tables that cannot be read are refused", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE VIEW v AS SELECT * FROM users`, `CREATE MATERIALIZED VIEW mv AS SELECT * FROM users`, `CREATE TABLE "Odd.Name"("Id" int PRIMARY KEY, "pl""an" text)`)
		for table, want := range map[string]string{"public.v": "is a view", "public.mv": "is a view", "public.user": `did you mean "public.users"?`, "users_": `did you mean "public.users"?`} {
			_, err := tryStart(t, d.config(), connector.Start{Tables: []string{table}})
			wantStop(t, err, connector.ExitTableUnfit, want)
		}
		r := start(t, d.config(), connector.Start{Tables: []string{"public.Odd.Name"}})
		d.exec(`INSERT INTO "Odd.Name" VALUES (1, 'x')`)
		if got := r.changes(1); show(got[0]) != `insert public.Odd.Name 1 {Id:1 pl"an:x}` {
			t.Errorf("got %s", show(got[0]))
		}
		if rows := r.loadAll("l", "public.Odd.Name"); len(rows) != 1 {
			t.Errorf("%d rows loaded", len(rows))
		}
	})
	t.Run("slots of another plugin, database or kind are refused", func(t *testing.T) {
		d := newDB(t, usersSQL)
		other := newDB(t)
		cfg := d.config()
		other.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, cfg.Slot)
		_, err := tryStart(t, cfg, users())
		wantStop(t, err, connector.ExitForeignSlot, "belongs to database")
		other.exec(`SELECT pg_drop_replication_slot($1)`, cfg.Slot)
		d.exec(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, cfg.Slot)
		_, err = tryStart(t, cfg, users())
		wantStop(t, err, connector.ExitForeignSlot, "test_decoding")
		if err := Teardown(testContext(t), cfg); connector.ExitCode(err) != connector.ExitForeignSlot {
			t.Errorf("teardown of a foreign slot: %v", err)
		}
		d.exec(`SELECT pg_drop_replication_slot($1)`, cfg.Slot)
		_, err = tryStart(t, d.config(func(c *Config) { c.Create = false }), users())
		wantStop(t, err, connector.ExitTableUnfit, "CREATE PUBLICATION")
	})
	t.Run("rights and logins", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE ROLE plain LOGIN`, `CREATE ROLE repl LOGIN REPLICATION`)
		t.Cleanup(func() { d.exec(`DROP OWNED BY repl; DROP ROLE plain; DROP ROLE repl`) })
		as := func(role string) func(*Config) {
			return func(c *Config) { c.URL = strings.Replace(c.URL, "postgres@", role+"@", 1) }
		}
		_, err := tryStart(t, d.config(as("plain")), users())
		wantStop(t, err, connector.ExitRights, `ALTER ROLE "plain" WITH REPLICATION;`)
		_, err = tryStart(t, d.config(as("nobody")), users())
		wantStop(t, err, connector.ExitRights, "login of role")
		s, err := New(d.config(as("nobody")))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Describe(testContext(t), "public.users") // what run and preview do first must not retry for start_timeout
		wantStop(t, err, connector.ExitRights, "login of role")
		_, err = tryStart(t, d.config(as("repl")), users())
		wantStop(t, err, connector.ExitTableUnfit, "CREATE PUBLICATION")
		_, err = tryStart(t, d.config(func(c *Config) { c.URL = strings.Replace(c.URL, d.text("current_database()"), "nowhere", 1) }), users())
		wantStop(t, err, connector.ExitRights, "does not exist")
		found := Check(testContext(t), d.config(as("repl")), []Need{{Table: "public.users"}})
		wantFinding(t, found, Fail, "may not create", "CREATE PUBLICATION")
		wantFinding(t, found, Fail, "may not read public.users", `GRANT SELECT ON "public"."users" TO "repl";`)
		d.exec(`CREATE PUBLICATION p FOR TABLE users WITH (publish_via_partition_root = true)`)
		d.exec(`GRANT SELECT ON users TO repl`)
		for _, f := range Check(testContext(t), d.config(as("repl")), []Need{{Table: "public.users"}}) {
			if f.Level == Fail {
				t.Errorf("least privilege is not enough: %+v", f)
			}
		}
		r := start(t, d.config(as("repl")), users()) // least privilege is enough to run and to load
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		r.loadAll("l", "public.users")
	})
	t.Run("wal_level below logical names the ways of the providers", func(t *testing.T) {
		srv := throwaway.ForTest(t, map[string]string{"wal_level": "replica"})
		d := openDB(t, srv.TestDatabase(t), usersSQL)
		_, err := tryStart(t, d.config(), users())
		wantStop(t, err, connector.ExitRights, "ALTER SYSTEM SET wal_level")
		for provider, want := range map[string]string{"rds": "rds.logical_replication", "cloudsql": "cloudsql.logical_decoding", "azure": "portal"} {
			if fix := (&facts{provider: provider}).walLevelFix(); !strings.Contains(fix, want) {
				t.Errorf("%s: %s", provider, fix)
			}
		}
	})
	t.Run("a server that cannot be reached ends after start_timeout", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		s, err := New(Config{URL: "postgres://u@" + addr + "/x", StartTimeout: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Open(testContext(t), users())
		wantStop(t, err, connector.ExitUnreachable, "not reachable")
	})
	t.Run("a pooler in between is named", func(t *testing.T) {
		addr := fakePooler(t)
		s, err := New(Config{URL: "postgres://u@" + addr + "/x?sslmode=disable", StartTimeout: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Open(testContext(t), users())
		wantStop(t, err, connector.ExitRights, "pooler")
	})
	t.Run("faults of the configuration", func(t *testing.T) {
		for _, c := range []Config{{Slot: "Has-Dash"}, {FailoverSlot: "perhaps"}, {URL: "postgres://u:secret@h:x/"}} {
			_, err := New(c)
			wantStop(t, err, connector.ExitConfig, "source.postgres")
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("the password is in %v", err)
			}
		}
	})
}

// fakePooler refuses unknown start-up parameters in PgBouncer's words.
func fakePooler(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err == nil {
				b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: extra_float_digits"})
				_ = b.Flush()
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestIdleTables(t *testing.T) {
	t.Run("cdc 32: a quiet table does not hold the log", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE TABLE noise(v text)`)
		r := start(t, d.config(func(c *Config) { c.Heartbeat = 200 * time.Millisecond }), users())
		for range 3 {
			d.exec(`INSERT INTO noise SELECT repeat(md5(i::text), 50) FROM generate_series(1, 5000) i`)
			target := parseLSN(d.text("pg_current_wal_lsn()"))
			r.until("the slot follows", func() bool {
				d.exec(`CHECKPOINT`) // restart_lsn follows the running-transactions records, of which a checkpoint writes one
				return d.confirmed(r) >= target && parseLSN(d.text("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1", r.s.cfg.Slot)) > target-1<<20
			})
		}
		if len(r.got) != 0 {
			t.Errorf("our own messages came out as changes: %s", describe(r.got))
		}
		h := r.s.Health()
		if h.LastHeartbeat.IsZero() {
			t.Error("no heartbeat was seen")
		}
		eventually(t, "health of the slot", func() bool { return r.s.Health().SlotStatus == "reserved" })
	})
	t.Run("cdc 36: status goes by our own timer where the server never asks", func(t *testing.T) {
		srv := throwaway.ForTest(t, map[string]string{"wal_sender_timeout": "0"})
		d := openDB(t, srv.TestDatabase(t), usersSQL)
		r := start(t, d.config(), users())
		d.exec(`INSERT INTO users SELECT i, 'u' FROM generate_series(1, 1000) i`)
		r.changes(1000)
		r.until("the slot moves", func() bool {
			return r.recorded.Position.Offset > r.opened.From[0].Offset && d.confirmed(r) >= r.recorded.Position.Offset
		})
	})
	t.Run("cdc 29: a role's idle limits do not cut us", func(t *testing.T) {
		d := newDB(t, usersSQL, `CREATE ROLE idle LOGIN SUPERUSER`, `ALTER ROLE idle SET idle_session_timeout = '300ms'`, `ALTER ROLE idle SET statement_timeout = '300ms'`)
		t.Cleanup(func() { d.exec(`DROP OWNED BY idle; DROP ROLE idle`) })
		r := start(t, d.config(func(c *Config) { c.URL = strings.Replace(c.URL, "postgres@", "idle@", 1) }), users())
		quiet := time.Now().Add(1200 * time.Millisecond)
		r.until("quiet time", func() bool { return time.Now().After(quiet) })
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		if n := r.s.Health().Reconnects; n != 0 {
			t.Errorf("%d reconnects", n)
		}
	})
	t.Run("cdc 73: a consumer that takes nothing keeps its connection", func(t *testing.T) {
		d := newDB(t, usersSQL)
		r := start(t, d.config(), users())
		// The session asks for a minute; the server's shortest patience is forced on it here.
		pid := d.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.s.cfg.Slot)
		d.exec(`INSERT INTO users SELECT i, 'u', repeat('x', 500) FROM generate_series(1, 50000) i`)
		blocked := time.Now().Add(2 * time.Second)
		replies := func() string {
			return d.text("SELECT reply_time FROM pg_stat_replication WHERE pid = $1::text::int", pid)
		}
		first := replies()
		eventually(t, "status updates while nobody calls Next", func() bool { return time.Now().After(blocked) && replies() > first })
		r.changes(50000)
		if now := d.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", r.s.cfg.Slot); now != pid {
			t.Errorf("the walsender changed from %s to %s", pid, now)
		}
	})
}

func TestAdmin(t *testing.T) {
	t.Run("teardown drops slot and publication, and once more does nothing", func(t *testing.T) {
		d := newDB(t, usersSQL)
		start(t, d.config(), users()).close()
		for range 2 {
			if err := Teardown(testContext(t), d.config()); err != nil {
				t.Fatal(err)
			}
		}
		if n := d.text("SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())"); n != "0" {
			t.Errorf("%s are left", n)
		}
	})
	t.Run("cdc 25: catalogs of other versions lack columns", func(t *testing.T) {
		for _, row := range []string{`{"plugin":"pgoutput","slot_type":"logical","database":"d","active":false}`, // 12
			`{"plugin":"pgoutput","slot_type":"logical","database":"d","wal_status":"reserved","safe_wal_size":null,"inactive_since":null,"invalidation_reason":null,"failover":true,"synced":false,"conflicting":false}`} {
			var st slotState
			if err := unmarshal(row, &st); err != nil {
				t.Fatal(err)
			}
			s := &Source{cfg: Config{Slot: "x"}}
			if err := s.checkSlot(&st, "d"); err != nil {
				t.Errorf("%s: %v", row, err)
			}
		}
		for _, row := range []string{`{"wal_status":"lost"}`, `{"wal_status":"lost","invalidation_reason":"idle_timeout"}`, `{"conflicting":true}`, `{"invalidation_reason":"wal_level_insufficient"}`} {
			var st slotState
			if err := unmarshal(row, &st); err != nil {
				t.Fatal(err)
			}
			if _, lost := st.lost(); !lost {
				t.Errorf("%s does not count as lost", row)
			}
		}
	})
	t.Run("look-ups compare by text, and give nothing for what is no value", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE k(id int PRIMARY KEY, n numeric, b bool, i inet, c char(4), j json)`, `INSERT INTO k VALUES (7, 1.50, true, '10.0.0.1', 'ab', '{"a":1}')`)
		s, err := New(d.config()) // without Open, as preview does
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(testContext(t))
		for _, c := range []struct {
			column, text string
			rows         int
		}{{"id", "7", 1}, {"id", "007", 0}, {"id", "x", 0}, {"id", "99999999999", 0}, {"n", "1.50", 1}, {"n", "1.5", 0}, {"b", "t", 1}, {"b", "true", 0}, {"i", "10.0.0.1", 1},
			{"c", "ab  ", 1}, {"c", "ab", 0}, {"j", `{"a":1}`, 1}, {"id", "7' OR '1'='1", 0}} {
			rows, err := s.Rows(testContext(t), connector.Query{Table: "public.k", Where: []connector.Equal{{Column: c.column, Text: c.text}}, Limit: 5})
			if err != nil || len(rows) != c.rows {
				t.Errorf("%s = %q: %d rows, want %d (%v)", c.column, c.text, len(rows), c.rows, err)
			}
		}
		if _, err := s.Rows(testContext(t), connector.Query{Table: "public.k", Where: []connector.Equal{{Column: "nope"}}}); err == nil {
			t.Error("an unknown column gave no error")
		}
		if err := s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.k"}); !errors.Is(err, errNotOpen) {
			t.Errorf("a load before Open: %v", err)
		}
	})
	t.Run("cdc 114: bytes that are no UTF-8 are an error of their value alone", func(t *testing.T) {
		srv := throwaway.Shared(t)
		admin := openDB(t, srv.URL("postgres"), `DROP DATABASE IF EXISTS ascii`, `CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`)
		t.Cleanup(func() {
			if err := srv.DropDatabase(testContext(t), "ascii"); err != nil {
				t.Error(err)
			}
		})
		_ = admin
		d := openDB(t, srv.URL("ascii"), usersSQL)
		r := start(t, d.config(), users())
		d.exec(`SET client_encoding = 'SQL_ASCII'`)
		d.exec(`INSERT INTO users VALUES (1, E'u\xff', 'fine')`)
		got := r.changes(1)[0]
		if _, _, err := got.After.Value(1); !errors.Is(err, errNotUTF8) {
			t.Errorf("error %v", err)
		}
		if v, _, err := got.After.Value(2); err != nil || v.Str != "fine" {
			t.Errorf("%+v %v", v, err)
		}
	})
}
