package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/config"
)

func (b *bench) requests() int {
	n := 0
	for _, r := range b.sim.Requests(0) {
		if r.Path != "/users/export/ids" {
			n++
		}
	}
	return n
}

func TestResyncCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users SELECT 'u-' || i, 'u' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 150) i; ANALYZE users`)
	t.Run("needs the running process", func(t *testing.T) {
		if r := b.brazecdc("resync", "--model", "users", "--yes"); r.code != 1 || !strings.Contains(r.err, `start "brazecdc run"`) {
			t.Errorf("exit code %d, %s", r.code, r.err)
		}
	})
	p := b.run()
	b.arrives("u-150", "plan", `"free"`)
	b.until("the load is recorded", func() bool { l := b.status().Loads; return len(l) == 1 && !l[0].Running() })
	t.Run("refuses what makes no sense", func(t *testing.T) {
		for _, c := range []struct {
			args string
			code int
			want string
		}{
			{"resync", 2, "--model MODEL"},
			{"resync --model nobody --yes", 2, "users"},
			{"resync --model users --pause --cancel", 2, "exclude each other"},
			{"resync --model users --resume --all-values", 2, "under way"},
			{"resync --model users --key u-1 --where true", 2, "one of the two"},
			{"resync --model users --key nobody --yes", 2, "nobody"},
			{"resync --model users --field nothing --yes", 1, `no field "nothing"`},
			{"resync --model users --where plam==1 --yes", 1, "plam"},
			{"resync --model users --cancel", 1, "no load of this model is under way"},
			{"resync --model users", 2, "add --yes"},
		} {
			if r := b.brazecdc(strings.Fields(c.args)...); r.code != c.code || !strings.Contains(r.err, c.want) {
				t.Errorf("%s: exit code %d, want %d; %q is to be in\n%s", c.args, r.code, c.code, c.want, r.err)
			}
		}
	})
	t.Run("says what it means, and sends nothing where nothing differs", func(t *testing.T) {
		before := b.requests()
		out := b.must("resync", "--model", "users", "--yes")
		wantIn(t, out, "Resync of users: about 150 rows are read, at most 2 calls to Braze.", "What differs", "campaigns", "confirm users", "Done: 150 rows read, 0 sent, 150 unchanged.")
		if n := b.requests() - before; n != 0 {
			t.Errorf("%d calls", n)
		}
		wantIn(t, b.must("status"), "resync of users: 150 rows, done", "0 sent, 150 unchanged")
	})
	t.Run("brings a field back that somebody changed", func(t *testing.T) {
		b.sim.Reset()
		wantIn(t, b.must("resync", "--model", "users", "--field", "plan", "--where", "credits <= 10", "--all-values", "--yes"), "Only plan.", "credits <= 10", "Done: 150 rows read, 10 sent, 0 unchanged.")
		if plan, name := b.profile("u-10", "plan"), b.profile("u-10", "first_name"); plan != `"free"` || name != "" {
			t.Errorf("plan %s, first_name %s", plan, name)
		}
		wantIn(t, b.must("resync", "--model", "users", "--key", "u-20", "--key", "u-30", "--all-values", "--yes"), "about 2 rows are read, at most 1 call", "Done: 2 rows read, 2 sent, 0 unchanged.")
		if b.profile("u-30", "first_name") != `"Ada"` || b.profile("u-31", "first_name") != "" {
			t.Error("other rows were sent")
		}
	})
	t.Run("goes on when who follows it leaves, is paused, and goes on after a restart", func(t *testing.T) {
		b.exec(`INSERT INTO users SELECT 'v-' || i, 'v' || i || '@example.com', 'Ada', 'free', i FROM generate_series(1, 60000) i`)
		b.until("all are sent", func() bool { return b.profile("v-60000", "plan") != "" && b.status().OpenChanges == 0 })
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 50 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		f := start(t, b.env, "resync", "--config", b.config(), "--model", "users", "--all-values", "--yes")
		b.until("it shows how far it is", func() bool { return strings.Contains(f.out.String(), "rows of about") })
		f.signal(syscall.SIGINT)
		if code := f.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		wantIn(t, f.out.String(), "It goes on in the running process")
		if r := b.brazecdc("resync", "--model", "users", "--yes"); r.code != 1 || !strings.Contains(r.err, "under way") {
			t.Errorf("another one beside it: exit code %d, %s%s", r.code, r.out, r.err)
		}
		wantIn(t, b.must("resync", "--model", "users", "--pause"), "Paused after", "--resume")
		wantIn(t, b.must("status"), "resync of users: paused:")
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		wantIn(t, b.must("status"), "resync of users: paused:")
		b.sim.ClearFaults("")
		p = b.run()
		wantIn(t, b.must("resync", "--model", "users", "--resume"), "Done: 60150 rows read")
	})
	t.Run("is given up", func(t *testing.T) {
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 50 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		f := start(t, b.env, "resync", "--config", b.config(), "--model", "users", "--all-values", "--yes")
		b.until("it shows how far it is", func() bool { return strings.Contains(f.out.String(), "rows of about") })
		wantIn(t, b.must("resync", "--model", "users", "--cancel"), "Given up after")
		if code := f.wait(); code != 1 || !strings.Contains(f.out.String(), "Given up after") {
			t.Errorf("who followed it: exit code %d, %s", code, f.out.String())
		}
		b.sim.ClearFaults("")
		wantIn(t, b.must("status"), "resync of users: given up")
	})
}

func TestResyncSettings(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "load: all", "load: all\nschedule: { cron: \"0 3 * * *\", time_zone: Europe/Berlin }", 1))
	b.edit("limits:", "load_mark: loading\nlimits:")
	b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro'), ('u-2', 'pro')`)
	p := b.run()
	b.until("the load is over", func() bool { l := b.status().Loads; return len(l) == 1 && !l[0].Running() })
	var set, cleared int
	for _, r := range b.sim.Requests(0) {
		set += strings.Count(string(r.Body), `"loading":true`)
		cleared += strings.Count(string(r.Body), `"loading":null`)
	}
	if set != 2 || cleared != 2 {
		t.Errorf("the mark was set for %d users and taken from %d", set, cleared)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	next, err := config.Cron("0 3 * * *", berlin)
	if err != nil {
		t.Fatal(err)
	}
	want := next(time.Now())
	if at := b.status().Models[0].NextResync; !at.Equal(want) || at.In(berlin).Hour() != 3 {
		t.Errorf("the next run is due %s, want %s", at, want)
	}
	wantIn(t, b.must("status"), "next resync of users: ")
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	wantIn(t, b.must("status"), "next resync of users: ")
	t.Run("tell what is gone at the source, and confirm deletes it", func(t *testing.T) {
		b.exec(`ALTER PUBLICATION brazecdc SET (publish = 'insert')`)
		b.run()
		b.exec(`DELETE FROM users WHERE id = 'u-2'; INSERT INTO users (id, plan) VALUES ('u-3', 'x')`)
		b.arrives("u-3", "plan", `"x"`)
		wantIn(t, b.must("resync", "--model", "users", "--yes"), "held: 1 user is gone at the source", "brazecdc confirm users")
		wantIn(t, b.must("confirm"), "users (gone at the source", "1 users that Braze was sent are gone from public.users", "--drop")
		if b.profile("u-2", "plan") != `"pro"` {
			t.Error("u-2 was deleted")
		}
		b.must("confirm", "users", "--yes")
		b.until("u-2 is deleted", func() bool { _, ok := b.sim.Profile("u-2"); return !ok })
	})
}
