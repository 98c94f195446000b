package connector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/sourcetest"
)

// resync begins one and gives its id.
func (r *rig) resync(q connector.ResyncRequest) string {
	r.t.Helper()
	q.Model = "users"
	st, err := r.run.p.Resync(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return st.ID
}

func (r *rig) load(id string) connector.LoadState {
	r.t.Helper()
	for _, l := range r.run.p.Status().Loads {
		if l.ID == id {
			return l
		}
	}
	r.t.Fatalf("there is no load %s", id)
	return connector.LoadState{}
}

// resynced does one to its end.
func (r *rig) resynced(q connector.ResyncRequest) connector.LoadState {
	r.t.Helper()
	id := r.resync(q)
	r.wait("the resync", func() bool { r.alive(); l := r.load(id); return !l.Running() })
	r.quiet()
	return r.load(id)
}

// counts fails the test where a load did not do what is wanted of it.
func (r *rig) counts(l connector.LoadState, rows, sent, same int64) {
	r.t.Helper()
	if l.Rows != rows || l.Sent != sent || l.Same != same {
		r.t.Errorf("the load read %d rows, sent %d and left out %d; want %d, %d and %d", l.Rows, l.Sent, l.Same, rows, sent, same)
	}
}

func (r *rig) attribute(user, name string) string {
	p, ok := r.sim.Profile(user)
	if !ok {
		return "no profile"
	}
	if v, ok := p.Custom[name]; ok {
		return string(v)
	}
	return string(p.Attributes[name])
}

// insertRows adds rows first to last of the base table.
func (r *rig) insertRows(first, last int) {
	r.t.Helper()
	r.exec(fmt.Sprintf(`INSERT INTO users (id, external_id, email, first_name, plan, credits) SELECT i, 'u' || i, 'a' || i || '@x.io', 'Aya', 'free', i FROM generate_series(%d, %d) i`, first, last))
}

func TestResync(t *testing.T) {
	t.Parallel()
	t.Run("rows that are equal make no call", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2, 3)
		c.insertRows(10, 400)
		c.calls()
		c.counts(c.resynced(connector.ResyncRequest{}), 394, 0, 394)
		c.none()
	})
	t.Run("what was changed in Braze comes back with all values, and only then", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.seed(map[string]any{"external_id": "u1", "plan": "by hand"})
		c.calls()
		c.resynced(connector.ResyncRequest{})
		c.none()
		c.counts(c.resynced(connector.ResyncRequest{Resync: connector.Resync{All: true}}), 2, 2, 0)
		if got := c.attribute("u1", "plan"); got != `"free"` {
			t.Errorf("plan is %s", got)
		}
	})
	t.Run("a rule picks rows, and one that does not fit is refused", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2, 3)
		c.exec(`UPDATE users SET plan = 'pro' WHERE id = 2; UPDATE users SET plan = NULL WHERE id = 3`)
		c.calls()
		c.counts(c.resynced(connector.ResyncRequest{Resync: connector.Resync{All: true, Where: `plan != "free"`}}), 3, 1, 0)
		if have := c.calls(); len(have) != 1 || sourcetest.UserOf(have[0].Body) != "u2" {
			t.Errorf("called %s", have)
		}
		for _, q := range []connector.Resync{{Where: "plam == 1"}, {Where: "plan"}, {Fields: []string{"nothing"}}} {
			if _, err := c.run.p.Resync(t.Context(), connector.ResyncRequest{Model: "users", Resync: q}); err == nil {
				t.Errorf("%+v was begun", q)
			} else {
				t.Log(err)
			}
		}
	})
	t.Run("keys pick rows", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2, 3)
		l := c.resynced(connector.ResyncRequest{Keys: []string{"3", "1", "77"}, Resync: connector.Resync{All: true}})
		c.counts(l, 2, 2, 0)
		if have := c.calls(); len(have) != 2 || sourcetest.UserOf(have[0].Body) != "u1" || sourcetest.UserOf(have[1].Body) != "u3" {
			t.Errorf("called %s", have)
		}
	})
	t.Run("case 57: New column needs restart: a back-fill sends the new field alone", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.exec(`ALTER TABLE users ADD COLUMN city text`)
		c.exec(`UPDATE users SET city = 'Osaka' WHERE id = 2`)
		c.none()
		c.stop()
		m := &c.cfg.models[0]
		m.Custom = append(m.Custom, connector.FieldMap{Name: "city", ValueFrom: connector.ValueFrom{Column: "city"}, OnNull: "clear", Blank: "keep", Path: "models[0].custom.city"})
		c.start()
		c.none()
		if log := c.log.String(); !strings.Contains(log, "brazecdc resync --model users --field city") {
			t.Error("the back-fill was not offered")
		}
		l := c.resynced(connector.ResyncRequest{Resync: connector.Resync{Fields: []string{"city"}}})
		c.counts(l, 2, 1, 1)
		c.want("resync/case57-backfill")
		// The field is known now, and its before-images count.
		c.exec(`UPDATE users SET plan = 'pro' WHERE id = 2`)
		c.want("resync/case57-after")
	})
	t.Run("a NULL goes where Braze is known to hold a value", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1, 2)
		c.missed(`UPDATE users SET plan = NULL, credits = 99 WHERE id = 1`)
		c.resynced(connector.ResyncRequest{})
		c.want("resync/null")
		c.resynced(connector.ResyncRequest{})
		c.none()
	})
	t.Run("in enrich whole rows go", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(enrich), 1, 2)
		c.counts(c.resynced(connector.ResyncRequest{}), 2, 2, 0)
		for _, call := range c.calls() {
			if !strings.Contains(string(call.Body), `"_update_existing_only":true`) || !strings.Contains(string(call.Body), `"plan":"free"`) {
				t.Errorf("called %s", call.Body)
			}
		}
	})
	t.Run("a live change wins over the row that was read", func(t *testing.T) {
		t.Parallel()
		c := full(t, baseModel(), 1)
		c.insertRows(10, 60)
		c.calls()
		// The first call is slow, so that the rows behind it wait while their live changes come.
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 2, Delay: 300 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		before := c.sim.Stats().Requests
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true}})
		c.wait("a call", func() bool { return c.sim.Stats().Open > 0 || c.sim.Stats().Requests > before }) // a busy machine may miss the open one
		c.exec(`UPDATE users SET plan = 'live ' || id`)
		c.wait("the resync", func() bool { l := c.load(id); return !l.Running() })
		c.quiet()
		for _, n := range []int{1, 10, 35, 60} {
			if got, want := c.attribute(fmt.Sprintf("u%d", n), "plan"), fmt.Sprintf(`"live %d"`, n); got != want {
				t.Errorf("plan of u%d is %s", n, got)
			}
		}
		c.together()
	})
}

// missed does something that the stream does not bring.
func (r *rig) missed(sql string) {
	r.t.Helper()
	r.exec(`ALTER PUBLICATION rig SET (publish = 'insert')`)
	r.exec(sql)
	r.exec(`SELECT pg_logical_emit_message(true, 'rig', 'x')`)
	r.quiet()
	r.exec(`ALTER PUBLICATION rig SET (publish = 'insert, update, delete, truncate')`)
}

func TestResyncSteered(t *testing.T) {
	t.Parallel()
	few := rigConfig{models: []connector.Model{baseModel(loadAll)}, chunk: 10}
	begin := func(t *testing.T) *caseRig {
		c := newCase(t, few, baseFull)
		c.insertRows(1, 300)
		c.calls()
		return c
	}
	t.Run("it pauses, over a restart too, and goes on where it was", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true}})
		c.wait("some rows", func() bool { return c.load(id).Rows >= 20 })
		if _, err := c.run.p.PauseLoad(t.Context(), "users", true); err != nil {
			t.Fatal(err)
		}
		if _, err := c.run.p.Resync(t.Context(), connector.ResyncRequest{Model: "users"}); !errors.Is(err, connector.ErrLoadRuns) {
			t.Errorf("another one beside it: %v", err)
		}
		c.stop()
		c.start()
		at := c.load(id)
		if !at.Paused || at.Rows < 20 || at.Rows > 200 {
			t.Fatalf("after the restart it is %+v", at)
		}
		c.sim.ClearFaults("")
		if _, err := c.run.p.PauseLoad(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		c.wait("its end", func() bool { c.alive(); l := c.load(id); return !l.Running() })
		c.counts(c.load(id), 300, 300, 0)
	})
	t.Run("it is made slower, over a restart too, and faster again", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true}})
		pace := func(faster bool, want int) {
			t.Helper()
			l, err := c.run.p.PaceLoad(t.Context(), "users", faster)
			if err != nil || l.Share != want {
				t.Fatalf("it works %d %% of the time, not %d: %v", l.Share, want, err)
			}
		}
		for _, want := range []int{50, 25, 10, 10} {
			pace(false, want)
		}
		c.stop()
		c.start()
		if l := c.load(id); l.Share != 10 || !l.Running() {
			t.Fatalf("after the restart it is %+v", l)
		}
		c.sim.ClearFaults("")
		for _, want := range []int{25, 50, 0, 0} {
			pace(true, want)
		}
		c.wait("its end", func() bool { c.alive(); l := c.load(id); return !l.Running() })
		if _, err := c.run.p.PaceLoad(t.Context(), "users", true); err == nil {
			t.Error("a load that is over can be made faster")
		}
	})
	t.Run("it goes on after a stop in its middle", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true, Where: "credits <= 250"}})
		c.wait("some rows", func() bool { return c.load(id).Rows >= 20 })
		c.stop()
		c.sim.ClearFaults("")
		c.start()
		if l := c.load(id); l.Rows >= 300 || l.Resync == nil || l.Resync.Where != "credits <= 250" {
			t.Fatalf("it goes on as %+v", l)
		}
		c.wait("its end", func() bool { c.alive(); l := c.load(id); return !l.Running() })
		c.quiet()
		if l := c.load(id); l.Rows != 300 || l.Sent < 250 {
			t.Errorf("it ended as %+v", l)
		}
		for _, n := range []int{1, 130, 250} {
			if !c.sent(fmt.Sprintf("u%d", n)) {
				t.Errorf("u%d was not sent", n)
			}
		}
	})
	t.Run("it is given up", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true}})
		c.wait("some rows", func() bool { return c.load(id).Rows >= 20 })
		if _, err := c.run.p.CancelLoad(t.Context(), "users"); err != nil {
			t.Fatal(err)
		}
		if l := c.load(id); l.Running() || !l.Cancelled || l.Rows >= 300 {
			t.Errorf("it is %+v", l)
		}
		c.sim.ClearFaults("")
		c.counts(c.resynced(connector.ResyncRequest{}), 300, 0, 300)
		if _, err := c.run.p.CancelLoad(t.Context(), "users"); err == nil {
			t.Error("nothing was given up without an error")
		}
	})
}

// sent tells whether a user's object is in any request so far.
func (c *caseRig) sent(user string) bool {
	for _, r := range c.sim.Requests(0) {
		if strings.Contains(string(r.Body), fmt.Sprintf("%q", user)) {
			return true
		}
	}
	return false
}

func TestScheduledResync(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	times := make(chan time.Time, 10)
	next := func(after time.Time) time.Time {
		select {
		case at := <-times:
			return at
		case <-ctx.Done():
			return time.Time{}
		default:
			return after.Add(time.Hour)
		}
	}
	m := baseModel(loadAll, func(m *connector.Model) {
		m.Custom = append(m.Custom, connector.FieldMap{Name: "recent", ValueFrom: connector.ValueFrom{Expr: `seen_at > now() - duration("1s")`}, OnNull: "clear", Blank: "keep", Path: "models[0].custom.recent"})
	})
	c := &caseRig{rig: newRig(t, rigConfig{models: []connector.Model{m}, plans: []connector.Schedule{{Model: "users", Name: "test", Next: next}}}, baseTable, baseFull)}
	c.exec(row(1))
	c.exec(`UPDATE users SET seen_at = now() + interval '100ms'`)
	times <- time.Now().Add(2500 * time.Millisecond)
	c.start()
	c.quiet()
	if got := c.attribute("u1", "recent"); got != "true" {
		t.Fatalf("recent is %s", got)
	}
	if at := c.run.p.Status().Models[0].NextResync; time.Until(at) > 3*time.Second {
		t.Errorf("the next run is due %s", at)
	}
	c.wait("the rule to be told again", func() bool { return c.attribute("u1", "recent") == "false" })
	var l connector.LoadState
	c.wait("the end of the resync", func() bool {
		for _, l = range c.run.p.Status().Loads {
			if l.Resync != nil && l.Resync.Scheduled && !l.Running() {
				return true
			}
		}
		return false
	})
	c.counts(l, 1, 1, 0)
	if at := c.run.p.Status().Models[0].NextResync; time.Until(at) < 50*time.Minute {
		t.Errorf("the next run is due %s", at)
	}
}
