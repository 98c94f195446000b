package connector_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

func TestResyncGone(t *testing.T) {
	t.Parallel()
	c := full(t, baseModel(func(m *connector.Model) { m.Filter = `plan != "internal"`; m.OnLeave = "keep" }), 1, 2, 3, 4)
	c.exec(`UPDATE users SET plan = 'internal' WHERE id = 4`) // excluded by the filter, and still at the source
	c.calls()
	c.missed(`DELETE FROM users WHERE id IN (2, 3)`)
	waiting := func() (n int) {
		for _, x := range c.run.p.Pending() {
			if x.Kind == "gone at the source" {
				n += x.Count
			}
		}
		return n
	}
	t.Run("rows that a rule picks say nothing of who is gone", func(t *testing.T) {
		c.t = t
		if l := c.resynced(connector.ResyncRequest{Resync: connector.Resync{Where: `credits < 0`}}); l.Gone != 0 || waiting() != 0 {
			t.Errorf("%d are gone", l.Gone)
		}
	})
	t.Run("case 44: Re-snapshot leaves ghosts / TRUNCATE: who is missing at the source is listed, and deleted after confirm alone", func(t *testing.T) {
		c.t = t
		l := c.resynced(connector.ResyncRequest{})
		if l.Gone != 2 || waiting() != 2 {
			t.Fatalf("%d are gone, %d wait", l.Gone, waiting())
		}
		c.none()
		c.stop()
		c.start()
		c.none()
		if waiting() != 2 {
			t.Errorf("%d wait after a restart", waiting())
		}
		if l := c.resynced(connector.ResyncRequest{}); l.Gone != 0 || waiting() != 2 {
			t.Errorf("another resync found %d more, %d wait", l.Gone, waiting())
		}
	})
	t.Run("one that comes again is not deleted", func(t *testing.T) {
		c.t = t
		c.exec(row(3))
		c.calls()
		if waiting() != 1 {
			t.Errorf("%d wait", waiting())
		}
	})
	t.Run("confirm deletes the rest", func(t *testing.T) {
		c.t = t
		if _, err := c.run.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		c.quiet()
		for user, there := range map[string]bool{"u1": true, "u2": false, "u3": true, "u4": true} {
			if _, ok := c.sim.Profile(user); ok != there {
				t.Errorf("profile of %s is there: %v", user, ok)
			}
		}
		if l := c.resynced(connector.ResyncRequest{}); l.Gone != 0 || waiting() != 0 {
			t.Errorf("%d are gone", l.Gone)
		}
	})
	t.Run("who comes during the resync is not gone", func(t *testing.T) {
		c.t = t
		c.insertRows(100, 400)
		c.calls()
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 10 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := c.resync(connector.ResyncRequest{Resync: connector.Resync{All: true}})
		c.exec(`INSERT INTO users (id, external_id, plan) SELECT -i, 'n' || i, 'new' FROM generate_series(1, 50) i; UPDATE users SET external_id = 'r' || id WHERE id BETWEEN 100 AND 110`)
		c.wait("the resync", func() bool { c.alive(); l := c.load(id); return !l.Running() })
		c.sim.ClearFaults("")
		c.quiet()
		if l := c.load(id); l.Gone != 0 {
			t.Errorf("%d are gone: %+v", l.Gone, c.run.p.Pending())
		}
		if l := c.resynced(connector.ResyncRequest{}); l.Gone != 0 {
			t.Errorf("then %d are gone", l.Gone)
		}
	})
	t.Run("nothing is left on disk", func(t *testing.T) {
		c.t = t
		if left := c.files("census-*"); len(left) > 0 {
			t.Errorf("there is %v", left)
		}
	})
}

// files gives what the connector's folders have of a name.
func (r *rig) files(pattern string) []string {
	r.t.Helper()
	var out []string
	err := filepath.WalkDir(r.dir, func(path string, _ os.DirEntry, err error) error {
		if ok, merr := filepath.Match(pattern, filepath.Base(path)); ok {
			out = append(out, path)
		} else if merr != nil {
			return merr
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestLoadMark(t *testing.T) {
	t.Parallel()
	marked := func(c *caseRig) (set, cleared int) {
		for _, call := range c.calls() {
			switch body := string(call.Body); {
			case strings.Contains(body, `"loading":true`):
				set++
				if !strings.Contains(body, `"plan"`) {
					c.t.Errorf("the mark went alone: %s", body)
				}
			case strings.Contains(body, `"loading":null`):
				cleared++
				if !strings.Contains(body, `"_update_existing_only":true`) {
					c.t.Errorf("taking the mark away may make a profile: %s", body)
				}
			}
		}
		return set, cleared
	}
	done := func(c *caseRig) {
		c.wait("the marks to be taken away", func() bool {
			for _, l := range c.run.p.Status().Loads {
				if l.Running() {
					return false
				}
			}
			return true
		})
	}
	begin := func(t *testing.T) *caseRig {
		c := &caseRig{rig: newRig(t, rigConfig{models: []connector.Model{baseModel(loadAll)}, mark: "loading", chunk: 20}, baseTable, baseFull)}
		c.insertRows(1, 120)
		return c
	}
	t.Run("is set with what a load sends, and taken away after it", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		c.start()
		done(c)
		if set, cleared := marked(c); set != 120 || cleared != 120 {
			t.Errorf("set for %d, taken away from %d", set, cleared)
		}
		c.exec(`UPDATE users SET plan = 'pro' WHERE id = 5`)
		if set, _ := marked(c); set != 0 {
			t.Error("a live change was marked")
		}
		c.missed(`UPDATE users SET plan = 'team' WHERE id <= 7`)
		c.resynced(connector.ResyncRequest{})
		if set, cleared := marked(c); set != 7 || cleared != 7 {
			t.Errorf("a resync of 7 rows that differ set it for %d and took it from %d", set, cleared)
		}
		c.resynced(connector.ResyncRequest{})
		c.none()
		if left := c.files("load-*.users"); len(left) > 0 {
			t.Errorf("left on disk: %v", left)
		}
	})
	t.Run("is taken away after a stop in the middle of taking it away", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		c.start()
		// What marks goes through, what takes the mark away does not for now.
		c.wait("the load", func() bool {
			for _, l := range c.run.p.Status().Loads {
				if !l.Finished.IsZero() {
					return true
				}
			}
			return false
		})
		c.stop()
		c.start()
		done(c)
		set, cleared := marked(c)
		if set != 120 || cleared < 120 {
			t.Errorf("set for %d, taken away from %d", set, cleared)
		}
		for n := 1; n <= 120; n++ {
			if got := c.attribute(fmt.Sprintf("u%d", n), "loading"); got != "" {
				t.Errorf("u%d has loading: %s", n, got)
			}
		}
	})
	t.Run("is taken away when the load is given up", func(t *testing.T) {
		t.Parallel()
		c := begin(t)
		if err := c.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		c.start()
		c.wait("some rows", func() bool { l := c.run.p.Status().Loads; return len(l) == 1 && l[0].Rows >= 20 })
		if _, err := c.run.p.CancelLoad(t.Context(), "users"); err != nil {
			t.Fatal(err)
		}
		c.sim.ClearFaults("")
		done(c)
		set, cleared := marked(c)
		if set == 0 || set == 120 || cleared != set {
			t.Errorf("set for %d, taken away from %d", set, cleared)
		}
	})
}
