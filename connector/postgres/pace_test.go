package postgres

import (
	"testing"
	"time"

	"brazecdc/connector"
)

func TestPace(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p := pace{}
	if p.before(at, 3) != 0 {
		t.Error("a load that nobody slowed waits")
	}
	p.share = 25
	if p.before(at, 0) != 0 {
		t.Error("the first chunk waits")
	}
	p.works(at)
	if p.before(at.Add(time.Second), 1) >= 0 {
		t.Error("a second chunk is opened beside the first one")
	}
	p.rests(at.Add(2 * time.Second))
	for after, want := range map[time.Duration]time.Duration{0: 6 * time.Second, time.Second: 5 * time.Second, 6 * time.Second: 0, time.Hour: 0} {
		if got := p.before(at.Add(2*time.Second+after), 0); got != want {
			t.Errorf("%s after a chunk of 2 s it waits %s, not %s", after, got, want)
		}
	}
	p.share = 50
	if got := p.before(at.Add(2*time.Second), 0); got != 2*time.Second {
		t.Errorf("half the time: %s", got)
	}
	p.share = 0
	if p.before(at.Add(2*time.Second), 0) != 0 {
		t.Error("it goes on slowly")
	}
}

func TestASlowedLoadHasOneSmallChunkOpenAtATime(t *testing.T) {
	d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'x' FROM generate_series(1, 100) i`)
	r := start(t, d.config(func(c *Config) { c.ChunkRows = 40 }), users())
	if r.s.PaceLoad("l", 25) {
		t.Error("a load that does not run was slowed")
	}
	if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.users", Share: 25}); err != nil {
		t.Fatal(err)
	}
	load := r.s.loads.by["l"]
	rows := 0
	for done := false; !done; {
		b, err := r.next(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if b.Load == nil {
			continue
		}
		load.mu.Lock()
		open, share := load.openChunks(), load.pace.share
		load.mu.Unlock()
		if share == 25 && (open > 1 || len(b.Changes) > 10) {
			t.Errorf("%d chunks are open, this one of %d rows", open, len(b.Changes))
		}
		rows += len(b.Changes)
		done = b.Load.Done
		if rows == 50 && !r.s.PaceLoad("l", 0) {
			t.Error("it can't be made faster")
		}
		r.s.Commit(b.Position)
	}
	if rows != 100 {
		t.Errorf("%d rows came", rows)
	}
}
