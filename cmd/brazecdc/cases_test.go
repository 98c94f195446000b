package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// metric gives the value of one series, NaN-free: -1 where it is not shown.
func (b *bench) metric(series string) float64 {
	b.t.Helper()
	_, body := b.get("/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta("brazecdc_"+series) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) confirmedLSN() uint64 {
	b.t.Helper()
	return b.number(`SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE database = current_database()`)
}

func (b *bench) number(sql string) uint64 {
	b.t.Helper()
	var n int64
	if err := b.db.QueryRow(b.t.Context(), sql).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return uint64(n)
}

func (b *bench) fault(faults ...brazesim.Fault) {
	b.t.Helper()
	if err := b.sim.Faults(faults...); err != nil {
		b.t.Fatal(err)
	}
}

// bodies gives the bodies of calls of an endpoint that hold a text, oldest first.
func (b *bench) bodies(path, text string) []string {
	var out []string
	for _, r := range b.sim.Requests(0) {
		if r.Path == path && strings.Contains(string(r.Body), text) {
			out = append(out, string(r.Body))
		}
	}
	return out
}

func caseTest(t *testing.T, name, model string, body func(t *testing.T, b *bench)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		body(t, newBench(t, model))
	})
}

func TestCasesHeldBack(t *testing.T) {
	t.Parallel()
	caseTest(t, "case 5: ten of a hundred rows refused are shown by row, a later change goes in full, retry sends the rest", plainModel, func(t *testing.T, b *bench) {
		b.run()
		var refused []string
		for i := range 10 {
			refused = append(refused, fmt.Sprint("u-", 10*i+1))
		}
		b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: refused, Type: "not today"}}})
		b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 100) i`)
		b.until("ten are held back", func() bool { return len(b.entries()) == 10 })
		b.until("ninety are accepted", func() bool { return b.metric(`objects_total{kind="track",model="users",outcome="accepted"}`) == 90 })
		if n := b.metric(`quarantine_entries{model="users",reason="rejected"}`); n != 10 {
			t.Errorf("the figure says %v", n)
		}
		for _, e := range b.entries() {
			if !strings.Contains(e.Reason, "not today") {
				t.Errorf("entry %d: %q", e.ID, e.Reason)
			}
		}
		code, page := b.get("/quarantine") // what the pages make of it in full is TestPagesHeld
		if code != http.StatusOK {
			t.Errorf("the page answers %d", code)
		}
		wantIn(t, page, "10 changes are held back", "not today")
		b.sim.ClearFaults("")
		// The table has whole before-images, so a delivered row's update is one field. This one was never stored.
		b.exec(`UPDATE users SET plan = 'pro' WHERE id IN ('u-1', 'u-2')`)
		b.arrives("u-1", "first_name", `"Ada"`)
		b.arrives("u-1", "plan", `"pro"`)
		b.until("its entry is closed", func() bool { return len(b.entries()) == 9 })
		b.must("quarantine", "retry", "--all")
		b.until("all are delivered", func() bool { return len(b.entries()) == 0 })
		b.arrives("u-91", "credits", `91`)
		if n := b.sim.Stats().Profiles; n != 100 {
			t.Errorf("%d profiles", n)
		}
	})
	caseTest(t, "case 9: a row that cannot be mapped is tried never, its neighbours arrive at once, and discard removes it",
		strings.Replace(plainModel, "external_id: id", "external_id: email", 1), func(t *testing.T, b *bench) {
			b.run()
			b.exec(`INSERT INTO users (id, email, plan) VALUES ('1', 'a', 'pro'), ('2', '', 'pro'), ('3', 'c', 'pro')`)
			b.arrives("a", "plan", `"pro"`)
			b.arrives("c", "plan", `"pro"`)
			b.until("it is held back", func() bool { return len(b.entries()) == 1 })
			e := b.entries()[0]
			if e.Class != "mapping" || e.Attempts != 0 {
				t.Errorf("%+v", e)
			}
			b.must("quarantine", "discard", jsonText(t, e.ID), "--yes", "--why", "no address")
			if n := len(b.entries()); n != 0 {
				t.Errorf("%d entries after discard", n)
			}
			b.until("the figure follows", func() bool { return b.metric(`quarantine_entries{model="users",reason="mapping"}`) == 0 })
		})
	// The strict mode of the case is the other way of the same rule: where nothing can be stored any more the process stops (exit code 31, TestPipeline
	// "a full disk"). Entries that end by age are the state's "cdc 119".
	caseTest(t, "cdc 101: each way to lose a row shows as a figure by class, an entry and a line of the log", plainModel, func(t *testing.T, b *bench) {
		b.edit("user_gap: 20ms", "user_gap: 20ms\n  attempts: 3")
		p := b.run()
		// The third attempt is made alone, so that the one that is given up takes no neighbour along.
		b.fault(brazesim.Fault{Endpoint: "/users/track", Status: 500, ExternalIDs: []string{"u-give"}},
			brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-bad"}, Type: "bad"}}})
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-bad', 'pro')`)
		b.exec(`INSERT INTO users (id, plan) VALUES ('', 'pro')`)
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-give', 'pro')`)
		n := 0
		b.until("all three are held back", func() bool {
			n++ // attempts count only while other calls succeed
			b.exec(fmt.Sprintf(`INSERT INTO users (id, plan) VALUES ('ok-%d', 'pro')`, n))
			return len(b.entries()) == 3
		})
		for _, class := range []string{"rejected", "mapping", "attempts"} {
			if v := b.metric(`quarantine_entries{model="users",reason="` + class + `"}`); v != 1 {
				t.Errorf("%s: the figure says %v", class, v)
			}
			if v := b.metric(`quarantine_added_total{model="users",reason="` + class + `"}`); v != 1 {
				t.Errorf("%s: added is %v", class, v)
			}
			if !strings.Contains(p.err.String(), `"class":"`+class+`"`) {
				t.Errorf("%s is not in the log", class)
			}
		}
		if v := b.metric(`skipped_replay_total`); v != 0 {
			t.Errorf("passed over: %v", v)
		}
	})
}

func TestCasesPosition(t *testing.T) {
	t.Parallel()
	caseTest(t, "cdc 4: SIGTERM right after a thousand rows: all confirmed before the end, nothing again after it", strings.Replace(plainModel, "load: all", "load: none", 1), func(t *testing.T, b *bench) {
		p := b.run()
		b.exec(`INSERT INTO users SELECT 'u-' || i, NULL, NULL, 'pro' FROM generate_series(1, 900) i`)
		for i := range 100 {
			b.exec(fmt.Sprintf(`INSERT INTO users (id, plan) VALUES ('u-%d', 'pro')`, 901+i))
		}
		b.until("all arrived", func() bool { return b.sim.Stats().Profiles == 1000 })
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if c, s := b.confirmedLSN(), b.status(); len(s.Streams) != 1 || c != s.Streams[0].Confirmed {
			t.Errorf("the slot stands at %d, recorded is %+v", c, s.Streams)
		}
		b.sim.Reset()
		b.exec(`INSERT INTO users (id, plan) VALUES ('last', 'pro')`)
		b.run()
		b.arrives("last", "plan", `"pro"`)
		if n := len(b.bodies("/users/track", `"u-`)); n > 0 || b.metric(`changes_total{model="users",op="insert"}`) != 1 {
			t.Errorf("%d calls with rows of before, %v changes read", n, b.metric(`changes_total{model="users",op="insert"}`))
		}
	})
	// Ten minutes are shrunk to the time it takes to read five thousand rows; the reading stops at the cap of open changes.
	caseTest(t, "cdc 16: with Braze down nothing is confirmed, and after a kill all of it is delivered", strings.Replace(plainModel, "load: all", "load: none", 1), func(t *testing.T, b *bench) {
		b.edit("drain: 10s", "drain: 10s, open_changes: 2000")
		p := b.run()
		b.exec(`INSERT INTO users (id, plan) VALUES ('first', 'pro')`)
		b.arrives("first", "plan", `"pro"`)
		b.fault(brazesim.Fault{Status: 503})
		before := b.number(`SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`)
		b.exec(`INSERT INTO users SELECT 'u-' || i, NULL, NULL, 'pro' FROM generate_series(1, 1) i`)
		first := b.number(`SELECT (pg_current_wal_lsn() - '0/0')::bigint`)
		for i := range 10 {
			b.exec(fmt.Sprintf(`INSERT INTO users SELECT 'u-' || i, NULL, NULL, 'pro' FROM generate_series(%d, %d) i`, 2+i*500, 501+i*500))
		}
		b.until("reading is held back", func() bool {
			return b.metric("open_changes") >= 1000 && b.metric(`braze_retries_total{endpoint="/users/track",reason="server"}`) > 0
		})
		if c := b.confirmedLSN(); c >= first || c > before+64<<10 {
			t.Errorf("the slot confirms %d, the first row that waits committed before %d", c, first)
		}
		if b.metric(`lag_seconds{source="postgres"}`) <= 0 {
			t.Error("no lag is shown")
		}
		p.signal(syscall.SIGKILL)
		<-p.done
		b.sim.ClearFaults("")
		b.run()
		b.until("all arrived", func() bool { return b.sim.Stats().Profiles == 5002 })
	})
	caseTest(t, "cdc 20: a kill between the rename and what follows it: the second call is made after the restart", plainModel, func(t *testing.T, b *bench) {
		p := b.run()
		b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'a@example.com', 'free')`)
		b.arrives("u-1", "plan", `"free"`)
		b.fault(brazesim.Fault{Endpoint: "/users/track", Status: 503})
		b.exec(`UPDATE users SET id = 'u-9', plan = 'pro' WHERE id = 'u-1'`)
		b.until("the second call was tried", func() bool { return len(b.bodies("/users/track", `"u-9"`)) > 0 })
		p.signal(syscall.SIGKILL)
		<-p.done
		if got := b.profile("u-9", "plan"); got != `"free"` {
			t.Fatalf("after the rename alone plan is %s", got)
		}
		b.sim.ClearFaults("")
		b.run()
		b.arrives("u-9", "plan", `"pro"`)
		b.arrives("u-9", "email", `"a@example.com"`)
		if _, ok := b.sim.Profile("u-1"); ok && b.sim.Stats().Profiles != 1 {
			t.Errorf("%d profiles", b.sim.Stats().Profiles)
		}
		if n := len(b.entries()); n != 0 {
			t.Errorf("%d entries: %+v", n, b.entries())
		}
	})
	caseTest(t, "cdc 18: yesterday's data/ put back takes the slot's position, says so and lowers nothing", plainModel, func(t *testing.T, b *bench) {
		p := b.run()
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'free')`)
		b.arrives("u-1", "plan", `"free"`)
		p.stop()
		yesterday := filepath.Join(b.dir, "yesterday")
		if err := os.CopyFS(yesterday, os.DirFS(filepath.Join(b.dir, "data"))); err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-2', 'free')`)
		p = b.run()
		b.arrives("u-2", "plan", `"free"`)
		p.stop()
		at := b.confirmedLSN()
		if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(yesterday, filepath.Join(b.dir, "data")); err != nil {
			t.Fatal(err)
		}
		p = b.run()
		b.exec(`UPDATE users SET plan = 'pro' WHERE id = 'u-1'`)
		b.arrives("u-1", "plan", `"pro"`)
		wantIn(t, p.err.String(), "the slot is ahead of the record")
		if c := b.confirmedLSN(); c < at {
			t.Errorf("the slot went back from %d to %d", at, c)
		}
	})
	// resync comes with a later version. What there is: the reason with the line that mends it, teardown, and a start anew with an emptied data/, which
	// loads again. A lost slot is made here by dropping it; one that the server invalidated is "cdc 24".
	caseTest(t, "cdc 26: a lost slot ends the run with its reason, and a start anew after teardown has everything", plainModel, func(t *testing.T, b *bench) {
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'free'), ('u-2', 'free')`)
		p := b.run()
		b.arrives("u-2", "plan", `"free"`)
		p.stop()
		b.exec(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`)
		b.exec(`UPDATE users SET plan = 'pro' WHERE id = 'u-1'`)
		r := b.brazecdc("run")
		if r.code != connector.ExitSlotLost {
			t.Errorf("exit code %d", r.code)
		}
		wantIn(t, r.err, "is missing", "fix:", "emptied data folder", "re-sync")
		wantIn(t, b.must("status"), "exit code 12")
		wantIn(t, b.must("teardown", "--yes"), "Dropped")
		if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
			t.Fatal(err)
		}
		b.run()
		b.arrives("u-1", "plan", `"pro"`)
	})
	// An hour of outage is shrunk to seconds. The slot's own advance over other tables' log is case 60 of the source's tests.
	caseTest(t, "case 60: with Braze down the lag shows, the slot stays before the waiting row, and nothing is lost", strings.Replace(plainModel, "load: all", "load: none", 1), func(t *testing.T, b *bench) {
		b.edit("heartbeat: 1s", "heartbeat: 200ms")
		b.exec(`CREATE TABLE noise (v text)`)
		noise := func() uint64 {
			b.exec(`INSERT INTO noise SELECT repeat(md5(i::text), 50) FROM generate_series(1, 3000) i`)
			return b.number(`SELECT (pg_current_wal_lsn() - '0/0')::bigint`)
		}
		b.run()
		target := noise()
		b.until("the slot passes other tables' log", func() bool { return b.confirmedLSN() >= target })
		b.fault(brazesim.Fault{Status: 503})
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
		row := b.number(`SELECT (pg_current_wal_lsn() - '0/0')::bigint`)
		noise()
		b.until("the lag shows", func() bool { return b.metric(`lag_seconds{source="postgres"}`) > 1 })
		if c := b.confirmedLSN(); c >= row {
			t.Errorf("the slot confirms %d, behind the waiting row's commit %d", c, row)
		}
		b.sim.ClearFaults("")
		b.arrives("u-1", "plan", `"pro"`)
		b.until("the slot moves again", func() bool { return b.confirmedLSN() >= row && b.metric(`lag_seconds{source="postgres"}`) == 0 })
	})
}

func TestCasesOperation(t *testing.T) {
	t.Parallel()
	caseTest(t, "case 57: a new column needs no restart, and is mapped by an edit of the file and one", plainModel, func(t *testing.T, b *bench) {
		// Without a restart, and with a back-fill of the field, it comes with the pages.
		p := b.run()
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'free')`)
		b.arrives("u-1", "plan", `"free"`)
		b.exec(`ALTER TABLE users ADD COLUMN city text`)
		b.exec(`INSERT INTO users (id, plan, city) VALUES ('u-2', 'free', 'Kyoto')`)
		b.exec(`UPDATE users SET plan = 'pro', city = 'Nara' WHERE id = 'u-1'`)
		b.arrives("u-2", "plan", `"free"`)
		b.arrives("u-1", "plan", `"pro"`)
		if got := b.profile("u-2", "city"); got != "" {
			t.Errorf("an unmapped column was sent: %s", got)
		}
		p.stop()
		b.edit("custom: { plan: plan,", "custom: { city: city, plan: plan,")
		p = b.run()
		// The new field has no proof yet, so the next change of a row takes it along although it did not change.
		b.exec(`UPDATE users SET plan = 'team' WHERE id = 'u-2'`)
		b.arrives("u-2", "plan", `"team"`)
		b.arrives("u-2", "city", `"Kyoto"`)
		if strings.Contains(p.out.String(), "First start") {
			t.Error("the edit counts as a first start")
		}
	})
	caseTest(t, "case 62: each outcome is a line of JSON with position, user, fields, endpoint, outcome and reason, and no values", plainModel, func(t *testing.T, b *bench) {
		// As lines of the log at level debug; as a topic or a file of their own they come with the pages.
		b.edit("web:", "log: { level: debug, format: json }\nweb:")
		p := b.run()
		b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: []string{"secret-2"}, Type: "not today"}}})
		b.exec(`INSERT INTO users (id, email, plan) VALUES ('secret-1', 'secret@example.com', 'secretplan'), ('secret-2', NULL, 'secretplan')`)
		b.until("the load has ended", func() bool { return strings.Contains(p.err.String(), "load finished") })
		type line struct {
			Component, Outcome, Model, Table, Op, Offset, User, Endpoint, Reason string
			Fields                                                               []string
			Time                                                                 time.Time
		}
		have := map[string]line{}
		outcomes := func(n int) bool {
			for s := bufio.NewScanner(strings.NewReader(p.err.String())); s.Scan(); {
				var l line
				if json.Unmarshal(s.Bytes(), &l) == nil && l.Component == "outcome" {
					have[l.Outcome] = l
				}
			}
			return len(have) >= n
		}
		b.until("the rows have ended", func() bool { return outcomes(2) })
		b.exec(`UPDATE users SET note = 'not mapped' WHERE id = 'secret-1'`)
		b.until("the update has ended too", func() bool { return outcomes(3) })
		a, q, s := have["accepted"], have["quarantined"], have["suppressed"]
		if a.Model != "users" || a.Table != "public.users" || a.Op != "insert" || a.Endpoint != "/users/track" || strings.Join(a.Fields, " ") != "email plan" || a.Offset == "" || a.Time.IsZero() {
			t.Errorf("accepted: %+v", a)
		}
		if q.Reason != "not today" || q.User == a.User || !strings.HasPrefix(q.User, "h:") {
			t.Errorf("quarantined: %+v", q)
		}
		if s.Op != "update" || s.User != a.User {
			t.Errorf("suppressed: %+v", s)
		}
		if strings.Contains(p.err.String(), "secret") {
			t.Error("a value is in the log")
		}
	})
	caseTest(t, "cdc 102: whichever connection is cut, changes arrive again", plainModel, func(t *testing.T, b *bench) {
		// A goroutine that panics ends the process with a code other than 0, as the language has it; a slow store is "cdc 102" of the pipeline's tests.
		b.run()
		n := 0
		arrives := func() {
			t.Helper()
			n++
			b.exec(fmt.Sprintf(`INSERT INTO users (id, plan) VALUES ('u-%d', 'pro')`, n))
			b.arrives(fmt.Sprint("u-", n), "plan", `"pro"`)
		}
		arrives()
		for _, which := range []string{"backend_type = 'walsender'", "backend_type = 'client backend'", "true"} {
			cut := b.number(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'brazecdc' AND datname = current_database() AND ` + which)
			if cut == 0 {
				t.Fatalf("no session with %s", which)
			}
			arrives()
		}
		b.fault(brazesim.Fault{Count: 3, Cut: brazesim.CutBefore})
		arrives()
		b.until("it is ready", func() bool { code, _ := b.get("/readyz"); return code == http.StatusOK })
	})
	t.Run("a login that is refused ends the start at once, with its own exit code", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.env = append(b.env, "DATABASE_URL="+strings.Replace(b.url, "postgres@", "nobody@", 1))
		b.edit("start_timeout: 5s", "start_timeout: 60s")
		for _, command := range []string{"run", "check"} {
			began := time.Now()
			r := b.brazecdc(command)
			if want := map[string]int{"run": connector.ExitRights, "check": connector.ExitFaults}[command]; r.code != want || time.Since(began) > patience {
				t.Errorf("%s: exit code %d after %s", command, r.code, time.Since(began))
			}
			wantIn(t, r.out+r.err, `login of role "nobody" refused`)
		}
	})
	t.Run("case 61: each mode says what it does with create, update and delete, and that creating alone is not possible", func(t *testing.T) {
		t.Parallel()
		// The pages show the same words later; here they stand in the file that init writes and in the README.
		b := newBench(t, plainModel)
		path := filepath.Join(b.dir, "new.yaml")
		if r := runCommand(t, b.env, "init", "--database", b.url, "--output", path); r.code != 0 {
			t.Fatalf("exit code %d, %s", r.code, r.err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, string(text), "sync      Braze follows the table: rows create, update and delete profiles", "additive  rows create and update profiles; nothing is ever deleted",
			"enrich    rows update profiles that exist; none is created or deleted")
		readme, err := os.ReadFile("../../README.md")
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, string(readme), "| event at the source | sync | additive | enrich |", "There is no mode that only creates")
	})
}
