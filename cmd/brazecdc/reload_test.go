package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/control"
)

// reload edits the file, signals the process and waits until it tells how that ended.
func (b *bench) reload(p *process, wantOK bool) *control.Status {
	b.t.Helper()
	begun := time.Now()
	p.signal(syscall.SIGHUP)
	var s *control.Status
	b.until("the reload has ended", func() bool {
		s = b.status()
		return s.LastReload != nil && s.LastReload.At.After(begun)
	})
	if s.LastReload.OK != wantOK {
		b.t.Fatalf("the reload ended with %+v, want ok %v", s.LastReload, wantOK)
	}
	return s
}

func TestReload(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	p := b.run()
	pid := p.cmd.Process.Pid
	t.Run("applies an edited mapping while changes flow, and loses none", func(t *testing.T) {
		b.t = t
		const users = 20
		b.exec(fmt.Sprintf("INSERT INTO users (id, plan, credits) SELECT 'u-' || i, 'p0', 0 FROM generate_series(0, %d) i", users-1))
		stop := sync.OnceValue(b.flow(users))
		defer stop()
		b.until("changes flow", func() bool { return b.profile("u-3", "credits") > "5" })
		b.edit("custom: { plan: plan,", "custom: { tariff: plan,")
		s := b.reload(p, true)
		if s.PID != pid || s.ConfigHash != hashOf([]byte(b.text)) {
			t.Errorf("process %d, configuration %s", s.PID, s.ConfigHash)
		}
		more := b.sim.Stats().Endpoints["/users/track"].Requests
		b.until("changes flow on", func() bool { return b.sim.Stats().Endpoints["/users/track"].Requests > more+20 })
		last := stop()
		for i := range users {
			b.arrives(fmt.Sprintf("u-%d", i), "credits", fmt.Sprint(last))
			b.arrives(fmt.Sprintf("u-%d", i), "tariff", fmt.Sprintf(`"p%d"`, last))
		}
		b.inOrder()
	})
	for _, c := range []struct{ name, old, new, want string }{
		{"keeps the old configuration where the file is broken", "mode: sync", "mode: synk", "synk"},
		{"keeps it where a table does not exist", "public.users", "public.nobody", "public.nobody"},
		{"keeps it where a column does not exist", "tariff: plan", "tariff: plann", "plann"},
		{"refuses what a process can't change", "workspace: test", "workspace: other", "braze.workspace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			good := b.text
			defer b.write(good)
			b.edit(c.old, c.new)
			s := b.reload(p, false)
			wantIn(t, s.LastReload.Error, c.want)
			if s.ConfigHash != hashOf([]byte(good)) {
				t.Errorf("the configuration is %s", s.ConfigHash)
			}
			_, body := b.get("/metrics")
			wantIn(t, body, "brazecdc_config_last_reload_successful 0\n")
			b.exec(fmt.Sprintf("UPDATE users SET first_name = %s WHERE id = 'u-1'", quoted(c.name)))
			b.arrives("u-1", "first_name", encodedText(c.name))
		})
	}
	t.Run("tells what counts at the next start only", func(t *testing.T) {
		b.t = t
		b.edit(`listen: "127.0.0.1:0"`, `listen: "127.0.0.1:1", hosts: [pages.example.com]`)
		if s := b.reload(p, true); len(s.NeedsRestart) != 1 || s.NeedsRestart[0] != "web" {
			t.Errorf("needs a restart: %v", s.NeedsRestart)
		}
		_, body := b.get("/metrics")
		wantIn(t, body, "brazecdc_config_last_reload_successful 1\n")
	})
	t.Run("is asked for over the socket", func(t *testing.T) {
		b.t = t
		b.edit("load: all", "load: all\n    only_insert: true")
		c, err := control.Dial(t.Context(), b.dir+"/data")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "only_insert") {
			t.Errorf("got %v", err)
		}
		b.edit("\n    only_insert: true", "")
		if err := c.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("ends at SIGTERM while it changes", func(t *testing.T) {
		b.t = t
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Delay: 700 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		open := b.sim.Stats().Open
		b.exec(`UPDATE users SET first_name = 'last' WHERE id = 'u-1'`)
		b.until("a call is under way", func() bool { return b.sim.Stats().Open > open })
		b.edit("custom: { tariff: plan,", "custom: { plan: plan,")
		p.signal(syscall.SIGHUP)
		b.until("the change begins", func() bool { return strings.Contains(p.err.String(), hashOf([]byte(b.text))) })
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		b.arrives("u-1", "first_name", `"last"`)
		if s := b.status(); s.State != "stopped" || s.LastStop == nil || s.LastStop.Code != 0 {
			t.Errorf("%+v", s.LastStop)
		}
	})
}

// flow changes users in turn until stop is called, each row's credits and plan with the same number. stop gives the last number that all of them got.
func (b *bench) flow(users int) (stop func() int) {
	ctx, cancel := context.WithCancel(b.t.Context())
	last, failed := make(chan int, 1), make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			for i := range users {
				if _, err := b.db.Exec(context.Background(), fmt.Sprintf("UPDATE users SET credits = %d, plan = 'p%d' WHERE id = 'u-%d'", n, n, i)); err != nil {
					failed <- err
					return
				}
			}
			if ctx.Err() != nil {
				last <- n
				return
			}
		}
	}()
	return func() int {
		cancel()
		select {
		case n := <-last:
			return n
		case err := <-failed:
			b.t.Error(err)
			return 0
		}
	}
}

var creditsSent = regexp.MustCompile(`"external_id":"(u-[0-9]+)"[^}]*"credits":([0-9]+)`)

// inOrder fails where a user's credits went back in the calls that were made.
func (b *bench) inOrder() {
	b.t.Helper()
	last := map[string]int{}
	for _, r := range b.sim.Requests(0) {
		for _, m := range creditsSent.FindAllStringSubmatch(string(r.Body), -1) {
			var n int
			if err := json.Unmarshal([]byte(m[2]), &n); err != nil {
				b.t.Fatal(err)
			}
			if n < last[m[1]] {
				b.t.Errorf("%s got %d after %d", m[1], n, last[m[1]])
			}
			last[m[1]] = n
		}
	}
	if len(last) == 0 {
		b.t.Error("no call holds credits")
	}
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func encodedText(s string) string {
	out, _ := json.Marshal(s)
	return string(out)
}

// started runs a runner inside the test's process.
func (b *bench) started(ctx context.Context) (r *runner, ended chan error) {
	b.t.Helper()
	for _, kv := range b.env {
		if name, v, _ := strings.Cut(kv, "="); name == "DATABASE_URL" || name == "BRAZE_API_KEY" {
			b.t.Setenv(name, v)
		}
	}
	p := &program{terminal: terminal{in: strings.NewReader(""), out: &output{}, err: &output{}}, config: b.config()}
	cfg, text, err := p.loadText()
	if err != nil {
		b.t.Fatal(err)
	}
	log, err := p.configuredLog(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	r, ended = newRunner(p, log, newFace(cfg, p.config, text)), make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	return r, ended
}

func TestReloadInProcess(t *testing.T) {
	b := newBench(t, plainModel)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, ended := b.started(ctx)
	api, done, why := r.f.lend(t.Context(), true)
	if why != nil {
		t.Fatal(why)
	}
	done()
	b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
	b.arrives("u-1", "plan", `"pro"`)

	t.Run("exchanges one configuration for another many times", func(t *testing.T) {
		b.t = t
		for i := range 5 {
			text := strings.Replace(b.text, "custom: {", fmt.Sprintf("custom: { a%d: plan,", i), 1)
			if err := r.Apply(t.Context(), []byte(text)); err != nil {
				t.Fatal(err)
			}
			b.exec(fmt.Sprintf(`UPDATE users SET plan = 'p%d' WHERE id = 'u-1'`, i))
			b.arrives("u-1", fmt.Sprintf("a%d", i), fmt.Sprintf(`"p%d"`, i))
		}
	})
	t.Run("lets several wait for their turn", func(t *testing.T) {
		b.t = t
		errs := make(chan error)
		for i := range 3 {
			go func() {
				errs <- r.Apply(t.Context(), []byte(strings.Replace(b.text, "custom: {", fmt.Sprintf("custom: { b%d: plan,", i), 1)))
			}()
		}
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if err := r.Apply(t.Context(), []byte(b.text)); err != nil {
			t.Error(err)
		}
	})
	t.Run("checks without changing", func(t *testing.T) {
		b.t = t
		faults, err := r.Check(t.Context(), []byte(strings.NewReplacer("plan: plan", "plan: plann", "drain: 10s", "drain: 11s", "web: {", "web: { hosts: [a.example.com],").Replace(b.text)))
		if err != nil || len(faults) != 2 || !faults[0].Warn || faults[1].Line == 0 {
			t.Errorf("got %v, %v", faults, err)
		}
		if faults, err := r.Check(t.Context(), []byte("version: 1\n")); err != nil || len(faults) == 0 {
			t.Errorf("got %v, %v", faults, err)
		}
	})
	t.Run("puts the old one back where the new one does not start in time", func(t *testing.T) {
		b.t = t
		r.within = 50 * time.Millisecond
		defer func() { r.within = applyWithin }()
		text := strings.Replace(b.text, `url: "${DATABASE_URL}"`, "url: postgres://postgres@127.0.0.1:1/none", 1)
		if err := r.Apply(t.Context(), []byte(text)); err == nil || !strings.Contains(err.Error(), "did not start within") {
			t.Errorf("got %v", err)
		}
		b.exec(`UPDATE users SET plan = 'again' WHERE id = 'u-1'`)
		b.arrives("u-1", "plan", `"again"`)
	})
	if _, err := api.Status(t.Context()); err != nil {
		t.Errorf("who kept the API of an app that is gone gets %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := r.Apply(t.Context(), []byte(b.text)); err == nil {
		t.Error("a process that has ended took a configuration")
	}
	if _, err := os.Stat(b.dir + "/data/control.sock"); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	goleak.VerifyNone(t, before)
}

func TestStandby(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	first := b.run()
	second := *b
	second.dir, second.listen = shortDir(t), ""
	second.write(b.text)
	p := second.runUnready()
	second.until("it stands by", func() bool {
		if m := listening.FindStringSubmatch(p.err.String()); m != nil {
			second.listen = m[1]
		}
		if second.listen == "" {
			return false
		}
		code, body := second.get("/readyz")
		return code == 200 && body == "standby\n"
	})
	if s := second.status(); s.State != "standby" || !s.Ready || len(s.Reasons) != 1 {
		t.Errorf("%+v", s)
	}
	_, body := second.get("/metrics")
	wantIn(t, body, "brazecdc_active 0\n")
	second.edit("drain: 10s", "drain: 11s")
	second.reload(p, true)
	wantIn(t, second.must("log-level", "postgres=debug", "--for", "1m"), "the log of postgres is at debug until")
	if r := second.brazecdc("log-level", "nobody=debug"); r.code != exitUsage || !strings.Contains(r.err, "postgres") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	second.until("it took over", func() bool { code, body := second.get("/readyz"); return code == 200 && body == "ok\n" })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if r := second.brazecdc("log-level", "debug"); r.code != 1 || !strings.Contains(r.err, "no process runs") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
}

func TestStay(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.edit("web: {", "web: { stay: true,")
	b.edit(`listen: "127.0.0.1:0"`, `listen: "`+freeAddress(t)+`"`) // status looks there for the pages
	good := b.text
	b.edit("public.users", "public.nobody")
	p := b.runUnready()
	b.until("it stays", func() bool {
		if m := listening.FindStringSubmatch(p.err.String()); m != nil {
			b.listen = m[1]
		}
		return strings.Contains(p.err.String(), "the pages stay")
	})
	code, body := b.get("/readyz")
	if code != 503 {
		t.Errorf("status %d", code)
	}
	wantIn(t, body, "public.nobody")
	if code, body := b.get("/livez"); code != 200 {
		t.Errorf("not live: %s", body)
	}
	wantIn(t, b.must("status"), "stopped", "exit code 16", "public.nobody", "only its pages stay, on http://"+b.listen)
	b.write(good)
	p.signal(syscall.SIGHUP)
	b.until("it is ready", func() bool { code, _ := b.get("/readyz"); return code == 200 })
	b.exec(`INSERT INTO users (id, plan) VALUES ('u-1', 'pro')`)
	b.arrives("u-1", "plan", `"pro"`)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestReloadTopics(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 3, topicModel)
	p := b.run()
	const users = 20
	round := func(n int) {
		for i := range users {
			produce(t, cl, debezium("u", fmt.Sprintf("u-%d", i), fmt.Sprintf("p%d", n), n))
		}
	}
	round(1)
	b.arrives("u-3", "credits", "1")
	b.edit("custom: { plan: plan,", "custom: { tariff: plan,")
	begun := time.Now()
	p.signal(syscall.SIGHUP)
	n := 1
	b.until("the reload has ended", func() bool { // records come all the while
		n++
		round(n)
		s := b.status()
		return s.LastReload != nil && s.LastReload.At.After(begun)
	})
	n++
	round(n)
	for i := range users {
		b.arrives(fmt.Sprintf("u-%d", i), "credits", fmt.Sprint(n))
		b.arrives(fmt.Sprintf("u-%d", i), "tariff", fmt.Sprintf(`"p%d"`, n))
	}
	b.inOrder()
	if s := b.status(); !s.LastReload.OK {
		t.Errorf("%+v", s.LastReload)
	}
	good := b.text
	b.edit("group: shop", `group: shop, registry: { url: "http://127.0.0.1:1" }`)
	b.edit("topic: shop.users", "topic: shop.nobody")
	wantIn(t, b.reload(p, false).LastReload.Error, "shop.nobody")
	b.write(good)
	n++
	round(n)
	b.arrives("u-7", "credits", fmt.Sprint(n))
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
