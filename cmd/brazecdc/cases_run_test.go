package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
)

// TestCasesOfRuns goes from real rows to request bodies where it takes a process of its own.
func TestCasesOfRuns(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Asia/Tokyo", "America/New_York"} {
		// The hour that the clock skips is taken as the offset before it says: 02:30 in Berlin is 01:30 UTC.
		caseTest(t, "case 38: dates and zones: a process and a database in "+zone+" send the same", "mode: sync\nload: none\nidentify: { external_id: id }\n"+
			"fields: { dob: born }\ncustom: { at: at, seen: seen }", func(t *testing.T, b *bench) {
			b.edit("time_zone: UTC", "time_zone: Europe/Berlin")
			b.exec(`ALTER TABLE users ADD born date, ADD at timestamp, ADD seen timestamptz`)
			b.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''` + zone + `''', current_database()); END $$`)
			b.env = append(b.env, "TZ="+zone)
			b.run()
			b.exec(`INSERT INTO users (id, born, at, seen) VALUES ('u-1', '1990-05-04', '2026-03-29 02:30', '2026-11-01 09:00:00.123456+09')`)
			b.arrives("u-1", "dob", `"1990-05-04"`)
			b.wantObjects("case_38")
		})
	}
	caseTest(t, "case 73: kill -9 after the answers: at most the open window again, events with the same time, and nothing of what was confirmed", plainModel, func(t *testing.T, b *bench) {
		b.exec(`CREATE TABLE log (id int PRIMARY KEY, user_id text)`)
		b.write(b.text + "  - name: visits\n    kind: events\n    table: public.log\n    mode: additive\n    load: none\n    identify: { external_id: user_id }\n    event: { name: visited }\n    properties: { seq: id }\n")
		b.exec(`INSERT INTO users SELECT 'u-' || i, NULL, 'Ada', 'free', i FROM generate_series(1, 1000) i`)
		p := b.run()
		b.arrives("u-1000", "plan", `"free"`)
		confirmed := func() bool {
			s := b.status()
			return s.OpenChanges == 0 && len(s.Loads) == 1 && !s.Loads[0].Running() && b.confirmedLSN() >= b.number(`SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint - 4096`)
		}
		b.until("all is confirmed", confirmed)
		restart := func() {
			p.signal(syscall.SIGKILL)
			<-p.done
			p = b.run()
		}
		b.sim.Reset()
		restart()
		b.exec(`INSERT INTO log SELECT i, 'v-' || i FROM generate_series(1, 100) i; UPDATE users SET plan = 'pro'`)
		b.until("Braze took all", func() bool { return b.sim.Stats().Endpoints["/users/track"].Objects >= 1100 })
		restart() // between the answers and the confirmation
		b.exec(`INSERT INTO log VALUES (101, 'v-101')`)
		b.until("the process has gone on", func() bool { _, ok := b.sim.Profile("v-101"); return ok && confirmed() })
		times, plans := map[int]map[time.Time]int{}, map[string]int{}
		for _, o := range b.objects() {
			var x struct {
				ID         string `json:"external_id"`
				Plan, Name string
				FirstName  *string `json:"first_name"`
				Time       time.Time
				Properties struct{ Seq int }
			}
			if err := json.Unmarshal(o.Body, &x); err != nil {
				t.Fatal(err)
			}
			if x.Name == "" {
				plans[x.ID]++
				if x.Plan != "pro" || x.FirstName != nil {
					t.Errorf("sent %s", o.Body) // one that was confirmed, or more of it than changed
				}
				continue
			}
			if times[x.Properties.Seq] == nil {
				times[x.Properties.Seq] = map[time.Time]int{}
			}
			times[x.Properties.Seq][x.Time]++
		}
		again := 0
		for id, n := range plans {
			if again += n - 1; n > 2 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
		for seq, at := range times {
			for _, n := range at {
				if len(at) != 1 || n > 2 {
					t.Errorf("event %d was sent with the times %v", seq, at)
				}
			}
		}
		t.Logf("%d of %d attributes and %d events, %d attributes again", len(plans), 1000, len(times), again)
		if len(plans) != 1000 || len(times) != 101 {
			t.Errorf("%d users, %d events", len(plans), len(times))
		}
	})
	t.Run("case 40: key-only before image: check warns, with the line that mends it", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, strings.Replace(plainModel, "external_id: id", "external_id: email", 1))
		b.edit("fields: { email: email, ", "fields: { ")
		b.exec(`ALTER TABLE users REPLICA IDENTITY DEFAULT`)
		wantIn(t, b.brazecdc("check").out, "may hurt", `ALTER TABLE "public"."users" REPLICA IDENTITY FULL`)
		b.exec(`ALTER TABLE users REPLICA IDENTITY FULL`)
		if out := b.brazecdc("check").out; strings.Contains(out, "ALTER TABLE") {
			t.Errorf("mended, and still said:\n%s", out)
		}
	})
	t.Run("case 78: missing setting: a file without a mode names line and allowed values, and nothing starts", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, plainModel)
		b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'free')`)
		b.edit("    mode: sync\n", "")
		line := 1 + strings.Count(b.text[:strings.Index(b.text, "- name: users")], "\n")
		for command, code := range map[string]int{"check": connector.ExitConfig, "run": connector.ExitConfig} {
			r := b.brazecdc(command)
			if r.code != code && r.code != connector.ExitFaults {
				t.Errorf("%s: exit code %d", command, r.code)
			}
			wantIn(t, r.out+r.err, "brazecdc.yaml:"+jsonText(t, line)+":5: models[0].mode is missing", "choose sync, additive or enrich")
		}
		if n := b.number(`SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`); n != 0 || len(b.sim.Requests(0)) != 0 {
			t.Errorf("%d slots, %d requests", n, len(b.sim.Requests(0)))
		}
	})
	t.Run("case 76: a column of a table's key cannot be kept at home, and nothing starts", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, strings.Replace(plainModel, "external_id: id", "external_id: email", 1))
		b.edit("fields: { email: email, ", "fields: { ")
		b.edit("limits:", "never_send: [users.id]\nlimits:")
		for command, code := range map[string]int{"check": connector.ExitFaults, "run": connector.ExitConfig} {
			r := b.brazecdc(command)
			if r.code != code {
				t.Errorf("%s: exit code %d", command, r.code)
			}
			wantIn(t, r.out+r.err, `column "id" is in never_send and part of the key of public.users`, "take it out of never_send")
		}
		if n := b.number(`SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`); n != 0 || len(b.sim.Requests(0)) > 20 {
			t.Errorf("%d slots, %d requests", n, len(b.sim.Requests(0)))
		}
	})
}
