package connector

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPipeline(t *testing.T) {
	t.Run("an insert goes whole without its NULLs, an update only with what changed once the load is done", func(t *testing.T) {
		r := newRig(t, nil)
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "-"), row("1", "u1", "x", "y")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x",}`, `track{"b":"y",}`)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if !r.journal.state.Clean {
			t.Error("a drained run is not marked clean")
		}
	})
	t.Run("without proof an update goes whole", func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(update(row("1", "u1", "x", "-"), row("1", "u1", "x", "y")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`)
	})
	t.Run("case 15: nothing changed sends nothing and is confirmed", func(t *testing.T) {
		r := newRig(t, nil)
		r.p.proven[0].Store(true)
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u1", "x", "y")))
		r.quiet()
		want(t, r.sink.bodies("u1"))
		if n := r.p.metrics.Models[0].Suppressed.Load(); n != 1 {
			t.Errorf("suppressed = %d, want 1", n)
		}
	})
	t.Run("case 51: a hundred updates in one window are one object, and back and forth is none", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.UserGap = 200 * time.Millisecond })
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "v", "-")))
		r.quiet()
		last := row("1", "u1", "v", "-")
		for i := range 100 {
			next := row("1", "u1", fmt.Sprint(i), "-")
			r.commit(update(last, next))
			last = next
		}
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"v",}`, `track{"a":"99",}`)
		r.commit(update(last, row("1", "u1", "z", "-")), update(row("1", "u1", "z", "-"), last))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"v",}`, `track{"a":"99",}`)
	})
	t.Run("case 50: the last value stands at Braze, requests of a user never overlap, others go on", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			var n atomic.Int64
			r.sink.delay = func() time.Duration { return time.Duration(n.Add(1)%3) * 3 * time.Millisecond }
		})
		last := row("1", "u1", "a", "-")
		r.commit(insert(last))
		for i := range 50 {
			next := row("1", "u1", fmt.Sprint(i), "-")
			r.commit(update(last, next), insert(row(fmt.Sprint(100+i), fmt.Sprint("o", i), "x", "y")))
			last = next
		}
		r.quiet()
		if got := r.sink.profiles["u1"]["a"]; got != `"49"` {
			t.Errorf("a = %s, want \"49\"", got)
		}
		if len(r.sink.profiles) != 51 {
			t.Errorf("%d profiles, want 51", len(r.sink.profiles))
		}
	})
	t.Run("case 49: add, delete, add in one window ends with the row and nothing of the old one", func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(insert(row("1", "u1", "x", "y")), remove(row("1", "u1", "x", "y")), insert(row("1", "u1", "z", "-")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"z","b":null,}`)
	})
	t.Run("a delete settles before the user comes again, and what waits lies in data/", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.Settle = 80 * time.Millisecond })
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(insert(row("1", "u1", "z", "-")))
		r.quiet() // done, since it lies in data/
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `delete{}`)
		eventually(t, "the user comes again", func() bool { return len(r.sink.bodies("u1")) == 3 })
		r.sink.mu.Lock()
		gap := r.sink.sent[2].at.Sub(r.sink.sent[1].at)
		r.sink.mu.Unlock()
		if gap < 80*time.Millisecond {
			t.Errorf("track %v after the delete, want at least 80 ms", gap)
		}
		want(t, r.sink.bodies("u1")[2:], `track{"a":"z","b":null,}`)
		eventually(t, "data/ forgets the settled user", func() bool { return len(r.journal.State().Settling) == 0 })
	})
	t.Run("a settling user survives a restart", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.Settle = 50 * time.Millisecond })
		r.commit(insert(row("1", "u1", "x", "y")), insert(row("2", "u2", "x", "y")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(insert(row("1", "u1", "z", "-")))
		r.quiet()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.src = newScript()
		r.src.fresh = false
		r.start(nil)
		eventually(t, "the user comes again", func() bool { b := r.sink.bodies("u1"); return len(b) == 3 && strings.Contains(b[2], `"a":"z"`) })
	})
	t.Run("Braze no longer knowing the user ends settling early", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			c.Settle = time.Hour
			r.sink.gone = func(u []User) []User { return u }
		})
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(insert(row("1", "u1", "z", "-")))
		eventually(t, "the user comes again", func() bool { return len(r.sink.bodies("u1")) == 3 })
	})
	t.Run("case 41: a changed external_id is renamed, then the changed fields follow", func(t *testing.T) {
		r := newRig(t, nil)
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u9", "x", "n")))
		r.quiet()
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":"y",}`, `rename{}`)
		want(t, r.sink.bodies("u9"), `track{"b":"n",}`)
		if len(r.journal.State().Renamed) != 1 {
			t.Error("the deprecated id is not kept")
		}
		// The deprecated id is freed before it is used again.
		r.commit(insert(row("2", "u1", "q", "-")))
		r.quiet()
		want(t, r.sink.bodies("u1")[2:], `free{}`, `track{"a":"q",}`)
		if len(r.journal.State().Renamed) != 0 {
			t.Error("the freed id is still kept")
		}
	})
	t.Run("a rename that Braze refuses is held back, and the new id goes in full", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, b []Effect) error {
				if k == Rename {
					return &RejectedError{Items: []Rejection{{Index: 0, Reason: "new id exists"}}}
				}
				return nil
			}
		})
		r.p.proven[0].Store(true)
		r.commit(insert(row("1", "u1", "x", "y")))
		r.quiet()
		r.commit(update(row("1", "u1", "x", "y"), row("1", "u9", "x", "n")))
		r.quiet()
		want(t, r.sink.bodies("u9"), `track{"a":"x","b":"n",}`)
		if n := len(r.journal.quar.entries); n != 1 {
			t.Errorf("%d quarantine entries, want 1", n)
		}
	})
	t.Run("case 1: refused items are held back with their reason, the others are done, nothing is sent twice", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, b []Effect) error {
				for i := range b {
					if b[i].User.ID == "u2" {
						return &RejectedError{Items: []Rejection{{Index: i, Reason: "bad email"}}}
					}
				}
				return nil
			}
		})
		r.commit(insert(row("1", "u1", "x", "-")), insert(row("2", "u2", "x", "-")), insert(row("3", "u3", "x", "-")))
		r.quiet()
		if len(r.sink.sent) != 2 {
			t.Errorf("%d objects accepted, want 2", len(r.sink.sent))
		}
		e := r.journal.quar.entries
		if len(e) != 1 || e[0].Reason != "bad email" || e[0].User.ID != "u2" || e[0].Offset != r.lsn {
			t.Errorf("entries = %+v", e)
		}
		// case 5: a later change of that row is sent in full, and closes the entry.
		r.p.proven[0].Store(true)
		r.sink.mu.Lock()
		r.sink.answer = nil
		r.sink.mu.Unlock()
		r.commit(update(row("2", "u2", "x", "-"), row("2", "u2", "x", "k")))
		r.quiet()
		want(t, r.sink.bodies("u2"), `track{"a":"x","b":"k",}`)
		if r.journal.quar.entries[0].Closed == "" {
			t.Error("the entry is still open")
		}
	})
	t.Run("case 7: a call refused as a whole is split until the culprit stands alone", func(t *testing.T) {
		calls := 0
		r := newRig(t, func(c *Config, r *rig) {
			r.sink.answer = func(k Kind, b []Effect) error {
				calls++
				for i := range b {
					if b[i].User.ID == "u3" {
						return &RejectedError{Whole: true, Err: errors.New("400 bad request")}
					}
				}
				return nil
			}
		})
		var all []Change
		for i := range 8 {
			all = append(all, insert(row(fmt.Sprint(i), fmt.Sprint("u", i), "x", "-")))
		}
		r.commit(all...)
		r.quiet()
		if len(r.sink.sent) != 7 || len(r.journal.quar.entries) != 1 || r.journal.quar.entries[0].User.ID != "u3" {
			t.Errorf("%d accepted, entries %+v", len(r.sink.sent), r.journal.quar.entries)
		}
		if calls > 7 {
			t.Errorf("%d calls, want at most 7", calls)
		}
	})
	t.Run("case 8: a row that fails for ever is given up while others get through", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) {
			c.Attempts = 3
			r.sink.answer = func(k Kind, b []Effect) error {
				for i := range b {
					if b[i].User.ID == "u1" {
						return &RetryableError{After: time.Millisecond, Err: errors.New("500")}
					}
				}
				return nil
			}
		})
		r.commit(insert(row("1", "u1", "x", "-")))
		eventually(t, "u1 is held back", func() bool {
			r.commit(insert(row("2", "u2", "x", "-")))
			r.journal.quar.mu.Lock()
			defer r.journal.quar.mu.Unlock()
			return len(r.journal.quar.entries) == 1
		})
		r.quiet()
		if e := r.journal.quar.entries[0]; e.User.ID != "u1" || e.Class != "attempts" {
			t.Errorf("entry = %+v", e)
		}
	})
	t.Run("case 8: when every call fails nothing is given up, reading stops and the position stays", func(t *testing.T) {
		fail := true
		r := newRig(t, func(c *Config, r *rig) {
			c.Attempts, c.OpenChanges = 3, 10
			r.sink.answer = func(k Kind, b []Effect) error {
				if fail {
					return &RetryableError{After: time.Millisecond, Unknown: true, Err: errors.New("503")}
				}
				return nil
			}
		})
		for i := range 30 {
			r.commit(insert(row(fmt.Sprint(i), fmt.Sprint("u", i), "x", "-")))
		}
		eventually(t, "many attempts were made", func() bool { n, _ := r.p.metrics.Retries(); return n > 100 })
		if len(r.journal.quar.entries) != 0 || r.src.committed["slot"] != 0 {
			t.Errorf("entries %d, committed %d", len(r.journal.quar.entries), r.src.committed["slot"])
		}
		if open, _, _, _ := r.p.tracker.state(); open > 10 {
			t.Errorf("%d open changes, the cap is 10", open)
		}
		r.sink.mu.Lock()
		fail = false
		r.sink.mu.Unlock()
		r.quiet()
		if len(r.sink.profiles) != 30 {
			t.Errorf("%d profiles, want 30", len(r.sink.profiles))
		}
	})
	t.Run("case 11: a throttled call costs no attempt", func(t *testing.T) {
		n := 0
		r := newRig(t, func(c *Config, r *rig) {
			c.Attempts = 2
			r.sink.answer = func(k Kind, b []Effect) error {
				if n++; n <= 5 {
					return &RetryableError{After: time.Millisecond, Throttled: true, Err: errors.New("429")}
				}
				return nil
			}
		})
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		if len(r.journal.quar.entries) != 0 || len(r.sink.sent) != 1 {
			t.Errorf("entries %d, sent %d", len(r.journal.quar.entries), len(r.sink.sent))
		}
	})
	t.Run("case 44: a truncate deletes nobody, pauses the model, and confirm loads it again", func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(insert(row("1", "u1", "x", "-")), Change{Op: Truncate, Key: Key{Table: shopTable.Name}, Time: time.Now()}, insert(row("2", "u2", "x", "-")))
		r.quiet()
		if len(r.sink.sent) != 1 {
			t.Errorf("%d objects, want 1: after the truncate nothing is sent", len(r.sink.sent))
		}
		if pend := r.p.Pending(); len(pend) != 1 || pend[0].Kind != "truncate" {
			t.Fatalf("pending = %+v", pend)
		}
		if _, err := r.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		if len(r.src.loads) != 1 {
			t.Error("no load was begun")
		}
		id := r.src.loads[0].ID
		r.src.feed <- Batch{Position: Position{"load/" + id, 1}, Load: &LoadProgress{Load: id, Rows: 1, Done: true},
			Changes: []Change{{Op: Snapshot, After: row("2", "u2", "x", "-"), Key: Key{shopTable.Name, "2"}}}}
		eventually(t, "the load is done", func() bool { return r.p.proven[0].Load() })
		want(t, r.sink.bodies("u2"), `track{"a":"x","b":null,}`) // the profile may be an old one
	})
	t.Run("deletes wait where data/ was lost, and go after confirm", func(t *testing.T) {
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: State{New: true}}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.start(nil)
		r.commit(insert(row("1", "u1", "x", "-")), insert(row("2", "u2", "x", "-")), insert(row("3", "u3", "x", "-")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "-")), remove(row("2", "u2", "x", "-")))
		r.quiet()
		if len(r.journal.State().Held) != 2 {
			t.Fatalf("held = %+v", r.journal.State().Held)
		}
		r.commit(insert(row("2", "u2", "new", "-"))) // cancels its held delete and goes whole
		r.quiet()
		want(t, r.sink.bodies("u2")[1:], `track{"a":"new","b":null,}`)
		if _, err := r.p.Confirm(t.Context(), "users", false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the delete is sent", func() bool { return len(r.sink.bodies("u1")) == 2 })
		want(t, r.sink.bodies("u1")[1:], `delete{}`)
		if len(r.journal.State().Held) != 0 {
			t.Errorf("still held: %+v", r.journal.State().Held)
		}
	})
	t.Run("a full disk stops the pipeline and nothing is confirmed", func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(insert(row("0", "u0", "x", "-")))
		r.quiet()
		r.journal.mu.Lock()
		r.journal.fail = &StopError{Code: ExitDiskFull, What: "data/ is full"}
		r.journal.mu.Unlock()
		confirmed := r.src.committed["slot"]
		r.commit(insert(row("1", "u1", "x", "-")))
		err := <-r.ended
		if ExitCode(err) != ExitDiskFull {
			t.Errorf("err = %v", err)
		}
		if r.src.committed["slot"] != confirmed {
			t.Error("a position was confirmed that is not recorded")
		}
	})
	t.Run("case 4: a row without an external_id is held back alone", func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(insert(row("1", "u1", "x", "-")), insert(row("2", "", "x", "-")), insert(row("3", "u3", "x", "-")))
		r.quiet()
		if len(r.sink.sent) != 2 || len(r.journal.quar.entries) != 1 {
			t.Errorf("sent %d, entries %d", len(r.sink.sent), len(r.journal.quar.entries))
		}
	})
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
