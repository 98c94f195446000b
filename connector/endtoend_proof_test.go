package connector_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// copyOf copies a folder that the connector keeps, and gives a function that puts the copy back.
func (c *caseRig) copyOf(names ...string) (putBack func()) {
	c.t.Helper()
	folder := c.t.TempDir()
	c.copyTo(folder, names...)
	return func() {
		c.t.Helper()
		for _, n := range names {
			c.lose(n)
			if err := os.Rename(filepath.Join(folder, n), filepath.Join(c.dir, n)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// lose removes a folder that the connector keeps.
func (c *caseRig) lose(name string) {
	c.t.Helper()
	if err := os.RemoveAll(filepath.Join(c.dir, name)); err != nil {
		c.t.Fatal(err)
	}
}

// plan wants a plan at Braze.
func (c *caseRig) plan(want string) {
	c.t.Helper()
	c.quiet()
	if p, _ := c.sim.Profile("u1"); string(p.Custom["plan"]) != `"`+want+`"` {
		c.t.Errorf("plan is %s at Braze, want %s", p.Custom["plan"], want)
	}
	c.together()
}

// TestProofEnds goes through the ways in which a value could be taken for what Braze holds and is not: each ends with the value that a row had before.
func TestProofEnds(t *testing.T) {
	begin := func(t *testing.T, sql ...string) *caseRig {
		t.Helper()
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}}, append(sql, row(1))...)
		c.plan("free")
		return c
	}
	fault := func(c *caseRig, f brazesim.Fault) {
		c.t.Helper()
		f.Endpoint, f.Count, f.ExternalIDs = "/users/track", 1, []string{"u1"}
		if err := c.sim.Faults(f); err != nil {
			c.t.Fatal(err)
		}
	}
	t.Run("A to B is on its way while B to A comes", func(t *testing.T) {
		c := begin(t, baseFull)
		fault(c, brazesim.Fault{Delay: 300 * time.Millisecond})
		c.update("plan = 'pro'")
		c.wait("the delayed call", func() bool { return c.sim.Stats().Open > 0 })
		c.update("plan = 'free'")
		c.plan("free")
	})
	t.Run("B to A folds into A to B, whose answer never came", func(t *testing.T) {
		c := begin(t, baseFull)
		fault(c, brazesim.Fault{Cut: brazesim.CutAfter, Delay: 300 * time.Millisecond})
		c.update("plan = 'pro'")
		c.wait("the call", func() bool { return c.sim.Stats().Open > 0 })
		c.update("plan = 'free'")
		c.plan("free")
	})
	t.Run("cache/ is an old copy", func(t *testing.T) {
		c := begin(t)
		c.stop()
		putBack := c.copyOf("cache")
		c.start()
		c.update("plan = 'pro'")
		c.plan("pro")
		c.stop()
		putBack()
		c.start()
		c.update("plan = 'free'")
		c.plan("free")
	})
	t.Run("data/ and cache/ are old copies", func(t *testing.T) {
		c := begin(t)
		c.stop()
		putBack := c.copyOf("data", "cache")
		c.start()
		c.update("plan = 'pro'")
		c.plan("pro")
		c.stop()
		putBack()
		c.start()
		c.update("plan = 'free'")
		c.plan("free")
	})
	t.Run("cache/ is an old copy beside a data/ that was emptied for a new slot", func(t *testing.T) {
		c := begin(t)
		c.stop()
		putBack := c.copyOf("cache")
		c.start()
		c.update("plan = 'pro'")
		c.plan("pro")
		c.stop()
		putBack()
		c.lose("data")
		c.exec(`SELECT pg_drop_replication_slot($1)`, c.slot())
		c.update("plan = 'free'")
		c.start()
		c.plan("free")
	})
	t.Run("data/ is an old copy, in which a name is not free yet that has a row of its own by now", func(t *testing.T) {
		c := begin(t, baseFull)
		c.update("external_id = 'u9'")
		c.quiet()
		c.stop()
		putBack := c.copyOf("data", "cache")
		c.start()
		c.exec(`INSERT INTO users(id, external_id, plan) VALUES (2, 'u1', 'pro')`) // frees the name first
		c.plan("pro")
		c.stop()
		putBack()
		c.start()
		c.exec(`UPDATE users SET plan = 'team' WHERE id = 2`)
		c.plan("team")
		if q := c.quarantined(); len(q) > 0 {
			t.Errorf("quarantine holds %q", q)
		}
	})
	t.Run("a setting of the field is another", func(t *testing.T) {
		c := begin(t)
		c.stop()
		c.cfg.models = []connector.Model{baseModel(loadAll, func(m *connector.Model) { field(m, "plan").Column = "first_name" })}
		c.start()
		c.update("credits = 3")
		c.plan("Aya")
		c.stop()
		c.cfg.models = []connector.Model{baseModel(loadAll)}
		c.start()
		c.update("credits = 4")
		c.plan("free")
	})
}
