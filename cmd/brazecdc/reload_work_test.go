package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/control"
)

var seenToken = regexp.MustCompile(`name="seen" value="([^"]*)"`)

// post sends a page's form, with what the page has in it.
func (p *person) post(page, action string, form url.Values) {
	p.t.Helper()
	_, body := p.get(page)
	token, seen := formToken.FindStringSubmatch(body), seenToken.FindStringSubmatch(body)
	if token == nil || seen == nil {
		p.t.Fatalf("%s has no form:\n%s", page, body)
	}
	form.Set("csrf", token[1])
	form.Set("seen", seen[1])
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base+action, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if code, body := p.ask(req); code != http.StatusSeeOther {
		p.t.Fatalf("%s: %d\n%s", action, code, body)
	}
}

// changedBy gives the ways to a changed configuration, each of which has the process work with what the bench's file says after edit.
func (b *bench) changedBy(p *process, edit func()) map[string]func() {
	return map[string]func(){
		"a signal": func() { edit(); b.reload(p, true) },
		"the socket": func() {
			edit()
			c, err := control.Dial(b.t.Context(), b.dir+"/data")
			if err != nil {
				b.t.Fatal(err)
			}
			defer c.Close()
			if err := c.Reload(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		},
		"the pages": func() {
			before := b.text
			edit()
			text := b.text
			b.write(before)
			who := newPerson(b.t, "http://"+b.listen)
			who.post("/draft?tab=hand", "/draft/text", url.Values{"text": {text}})
			who.post("/draft", "/draft/apply", url.Values{"reason": {"a test"}})
			b.until("the pages wrote the file", func() bool { now, err := os.ReadFile(b.config()); return err == nil && string(now) == text })
			b.text = text
			b.applied()
		},
	}
}

// longer gives an edit that makes the drain a second longer each time, which every exchange of the configuration then has.
func (b *bench) longer() func() {
	n := 10
	return func() {
		n++
		b.edit(fmt.Sprintf("drain: %ds", n-1), fmt.Sprintf("drain: %ds", n))
	}
}

func TestReloadDuringLoad(t *testing.T) {
	t.Parallel()
	const rows, flowing = 40_000, 20
	b := newBench(t, plainModel)
	b.edit("  user_gap: 20ms", "  user_gap: 20ms\n  senders: 2")
	b.edit("limits: {", "limits: { open_changes: 6000,") // a chunk of the load at a time
	b.exec(fmt.Sprintf(`INSERT INTO users (id, plan, credits) SELECT 'u-' || i, 'p0', 0 FROM generate_series(0, %d) i`, rows-1))
	b.fault(brazesim.Fault{Endpoint: "/users/track", Delay: 40 * time.Millisecond})
	p := b.run()
	load := func() (rows int64, id string, runs bool) {
		for _, l := range b.status().Loads {
			if l.Model == "users" && l.Resync == nil {
				return l.Rows, l.ID, l.Finished.IsZero()
			}
		}
		return 0, "", false
	}
	stop := b.flow(flowing)
	_, first, _ := load()
	for name, change := range b.changedBy(p, b.longer()) {
		had, _, _ := load()
		b.until("the load comes on", func() bool { n, _, _ := load(); return n > had })
		had, _, runs := load()
		if !runs {
			t.Fatalf("the load was over before %s came; make it longer", name)
		}
		change()
		var now int64
		b.until("the load goes on after "+name, func() bool { n, _, _ := load(); now = n; return n > 0 })
		if _, id, _ := load(); now < had || id != first {
			t.Errorf("after %s load %s is at row %d; it was %s at row %d", name, id, now, first, had)
		}
	}
	b.sim.ClearFaults("/users/track")
	b.until("the load is done", func() bool { n, _, runs := load(); return !runs && n >= rows })
	last := stop()
	for i := range flowing {
		b.arrives(fmt.Sprintf("u-%d", i), "credits", strconv.Itoa(last))
	}
	b.inOrder()
	b.sameAsTable(rows)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// sameAsTable compares each row of users with its profile.
func (b *bench) sameAsTable(want int) {
	b.t.Helper()
	list, err := b.db.Query(context.Background(), `SELECT id, plan, credits::int FROM users`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer list.Close()
	n := 0
	for list.Next() {
		var id, plan string
		var credits int
		if err := list.Scan(&id, &plan, &credits); err != nil {
			b.t.Fatal(err)
		}
		b.holds(id, "plan", encodedText(plan))
		b.holds(id, "credits", strconv.Itoa(credits))
		n++
	}
	if list.Err() != nil || n != want || len(b.sim.Profiles()) != want {
		b.t.Errorf("%d rows, %d profiles, want %d (%v)", n, len(b.sim.Profiles()), want, list.Err())
	}
}

func TestReloadDuringReplay(t *testing.T) {
	t.Parallel()
	const users = 6000
	b, cl := newTopicBench(t, 2, topicModel)
	b.edit("  user_gap: 20ms", "  user_gap: 20ms\n  senders: 1")
	recs := make([]*kgo.Record, 0, users)
	for u := range users {
		recs = append(recs, debezium("c", "u-"+strconv.Itoa(u), "free", u))
	}
	produce(t, cl, recs...)
	p := b.run()
	b.settled(cl, users)
	b.forgotten()
	if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	replay := start(t, b.env, "replay", "--topic", "shop.users", "--all-values", "--yes", "--config", b.config())
	progress := regexp.MustCompile(`sending +\d+ %  (\d+) of`)
	sent := func() int {
		m := progress.FindAllSubmatch(bytes.TrimSpace([]byte(replay.out.String())), -1)
		if len(m) == 0 {
			return 0
		}
		n, _ := strconv.Atoi(string(m[len(m)-1][1]))
		return n
	}
	live := 0
	for name, change := range b.changedBy(p, b.longer()) {
		had := sent()
		b.until("it sends", func() bool { return sent() > had })
		change()
		live++
		produce(t, cl, debezium("u", "u-"+strconv.Itoa(users-live), "gold", -live))
		b.arrives("u-"+strconv.Itoa(users-live), "plan", `"gold"`)
		if replay.ended() {
			t.Fatalf("the replay ended with %s", name)
		}
	}
	b.sim.ClearFaults("/users/track")
	if code := replay.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantIn(t, replay.out.String(), "Done:")
	for u := range users - live {
		b.holds("u-"+strconv.Itoa(u), "credits", strconv.Itoa(u))
	}
	for n := 1; n <= live; n++ {
		b.holds("u-"+strconv.Itoa(users-n), "credits", strconv.Itoa(-n))
	}
	b.until("nothing is left of it", func() bool { return b.status().OpenChanges == 0 })
	b.noSpool()

	t.Run("another mapping ends it, and it says so", func(t *testing.T) {
		b.t = t
		b.forgotten()
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		replay := start(t, b.env, "replay", "--topic", "shop.users", "--all-values", "--yes", "--config", b.config())
		b.until("it sends", func() bool { return progress.MatchString(replay.out.String()) })
		b.edit("custom: { plan: plan,", "custom: { tariff: plan,")
		p.signal(syscall.SIGHUP)
		b.applied()
		if code := replay.wait(); code == 0 {
			t.Error("it ended well")
		}
		wantIn(t, replay.out.String()+replay.err.String(), "another configuration", "the same command")
		wantIn(t, p.err.String(), "the replay that was under way ended")
	})
}
