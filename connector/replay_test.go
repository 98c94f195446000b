package connector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const replayedStream = "public.users/0@1"

// stored is a row of shopTable as a replay brings it.
func stored(p *Pipeline, id, ext, a, b string) ReplayRow {
	r := row(id, ext, a, b)
	effects, _ := p.mapper.MapRow(nil, 0, r, time.Now())
	effects[0].Key = Key{shopTable.Name, id}
	return ReplayRow{Effect: p.Stored(&effects[0]), Stream: replayedStream}
}

func storedDelete(id, ext string) ReplayRow {
	return ReplayRow{Stream: replayedStream, Effect: &StoredEffect{Kind: DeleteUser, User: User{ID: ext}, Model: "users", Owner: true,
		Rows: []StoredRow{{Model: "users", Key: Key{shopTable.Name, id}}}}}
}

// live hands out a change of the scanned partition.
func (r *rig) live(offset uint64, c Change) {
	c.ID = ChangeID{Commit: offset}
	r.src.feed <- Batch{Position: Position{replayedStream, offset + 1}, Changes: []Change{c}}
}

// passed waits until a live change was mapped, pushed and done.
func (r *rig) passed(offset uint64) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("offset %d is done", offset), func() bool { return r.p.tracker.doneOf(replayedStream) == offset+1 })
}

func (r *rig) replay(end uint64) *Replay {
	r.t.Helper()
	rp, err := r.p.BeginReplay("test", true)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(rp.Close)
	rp.Scanned(map[string]uint64{PartOf(replayedStream): end})
	return rp
}

func push(t *testing.T, r *Replay, rows ...ReplayRow) map[string]int {
	t.Helper()
	n, left, err := r.Push(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the push is done", func() bool { return r.Done() >= n })
	return left
}

func TestReplay(t *testing.T) {
	t.Run("rows go whole with their NULLs, are recorded nowhere, and are known afterwards", func(t *testing.T) {
		r := newRig(t, nil)
		rp := r.replay(10)
		push(t, rp, stored(r.p, "1", "u1", "x", "-"), stored(r.p, "2", "u2", "y", "z"))
		want(t, r.sink.bodies("u1"), `track{"a":"x","b":null,}`)
		want(t, r.sink.bodies("u2"), `track{"a":"y","b":"z",}`)
		for _, p := range r.journal.State().Positions {
			if strings.HasPrefix(p.Position.Stream, replayStream) {
				t.Errorf("data/ holds %+v", p)
			}
		}
		if st := r.p.Status(); len(st.Streams) != 0 || st.OpenChanges != 0 || st.OpenBytes != 0 || st.Waiting != 0 {
			t.Errorf("status %+v", st)
		}
	})
	t.Run("a row that changed live beyond the scan is left out, also when that change is long delivered", func(t *testing.T) {
		r := newRig(t, nil)
		rp := r.replay(10)
		r.live(9, insert(row("1", "u1", "old", "-"))) // the scan has seen it
		r.live(10, insert(row("2", "u2", "new", "-")))
		r.passed(10)
		left := push(t, rp, stored(r.p, "1", "u1", "x", "-"), stored(r.p, "2", "u2", "x", "-"))
		if left[LeftChanged] != 1 || len(left) != 1 {
			t.Errorf("left out: %v", left)
		}
		want(t, r.sink.bodies("u1"), `track{"a":"old",}`, `track{"a":"x","b":null,}`)
		want(t, r.sink.bodies("u2"), `track{"a":"new",}`)
	})
	t.Run("what was noted before the scan's end was known counts by its offset", func(t *testing.T) {
		r := newRig(t, nil)
		rp, err := r.p.BeginReplay("test", true)
		if err != nil {
			t.Fatal(err)
		}
		defer rp.Close()
		r.live(4, insert(row("1", "u1", "seen", "-")))
		r.live(7, insert(row("2", "u2", "unseen", "-")))
		r.passed(7)
		rp.Scanned(map[string]uint64{PartOf(replayedStream): 7})
		if left := push(t, rp, stored(r.p, "1", "u1", "x", "-"), stored(r.p, "2", "u2", "x", "-")); left[LeftChanged] != 1 {
			t.Errorf("left out: %v", left)
		}
		want(t, r.sink.bodies("u2"), `track{"a":"unseen",}`)
	})
	t.Run("another row of the same user that changed live takes precedence", func(t *testing.T) {
		r := newRig(t, nil)
		rp := r.replay(10)
		r.live(11, insert(row("7", "u1", "new", "-")))
		r.passed(11)
		if left := push(t, rp, stored(r.p, "1", "u1", "x", "-")); left[LeftChanged] != 1 {
			t.Errorf("left out: %v", left)
		}
	})
	t.Run("a live change that comes while the row waits goes over it", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.UserGap = 300 * time.Millisecond })
		rp := r.replay(10)
		r.live(3, insert(row("1", "u1", "first", "-")))
		r.passed(3) // the user is in its gap now
		n, left, err := rp.Push(t.Context(), []ReplayRow{stored(r.p, "1", "u1", "replayed", "replayed")})
		if err != nil || len(left) > 0 {
			t.Fatal(left, err)
		}
		r.live(12, update(row("1", "u1", "first", "-"), row("1", "u1", "newest", "-")))
		r.passed(12)
		eventually(t, "the push is done", func() bool { return rp.Done() >= n })
		want(t, r.sink.bodies("u1"), `track{"a":"first",}`, `track{"a":"newest","b":null,}`)
	})
	t.Run("a live delete leaves the user out, and rows of a settling user too", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.Settle = time.Hour })
		r.live(3, insert(row("1", "u1", "x", "-")))
		r.live(4, remove(row("1", "u1", "x", "-")))
		r.passed(4)
		rp := r.replay(10)
		if left := push(t, rp, stored(r.p, "5", "u1", "y", "-")); left[LeftDeleted] != 1 {
			t.Errorf("left out: %v", left)
		}
		r.src.feed <- Batch{Position: Position{"other/0@1", 5}, Changes: []Change{remove(row("9", "u9", "x", "-"))}}
		eventually(t, "it is deleted", func() bool { return len(r.sink.bodies("u9")) == 1 })
		if left := push(t, rp, stored(r.p, "6", "u9", "y", "-")); left[LeftDeleted] != 1 {
			t.Errorf("left out: %v", left)
		}
		want(t, r.sink.bodies("u9"), `delete{}`)
	})
	t.Run("a delete is sent, and not where something waits of its user", func(t *testing.T) {
		r := newRig(t, func(c *Config, r *rig) { c.UserGap = 200 * time.Millisecond })
		rp := r.replay(10)
		r.live(3, insert(row("2", "u2", "x", "-")))
		r.passed(3)
		r.src.feed <- Batch{Position: Position{"other/0@1", 5}, Changes: []Change{update(row("8", "u2", "x", "-"), row("8", "u2", "y", "-"))}}
		eventually(t, "it waits for the gap", func() bool { return r.p.Status().Waiting == 1 })
		if left := push(t, rp, storedDelete("1", "u1"), storedDelete("2", "u2")); left[LeftDeleted] != 1 {
			t.Errorf("left out: %v", left)
		}
		want(t, r.sink.bodies("u1"), `delete{}`)
		eventually(t, "the update is sent", func() bool { return len(r.sink.bodies("u2")) == 2 })
	})
	t.Run("one at a time; Close takes out what is unsent; the pipeline stays whole", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			c.Senders = 1
			r.sink.objects = 1
			r.sink.answer = func(Kind, []Effect) error {
				r.sink.mu.Unlock()
				<-release
				r.sink.mu.Lock()
				return nil
			}
		})
		rp := r.replay(10)
		if _, err := r.p.BeginReplay("second", true); !errors.Is(err, ErrReplayRuns) {
			t.Errorf("got %v", err)
		}
		if _, _, err := rp.Push(t.Context(), []ReplayRow{stored(r.p, "1", "u1", "x", "-"), stored(r.p, "2", "u2", "x", "-")}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "one is being sent", func() bool { r.sink.mu.Lock(); defer r.sink.mu.Unlock(); return len(r.sink.open) == 1 })
		rp.Close()
		close(release)
		if _, _, err := rp.Push(t.Context(), []ReplayRow{stored(r.p, "3", "u3", "x", "-")}); err == nil {
			t.Error("a closed replay pushes")
		}
		eventually(t, "it was answered", func() bool {
			r.sink.mu.Lock()
			defer r.sink.mu.Unlock()
			return len(r.sink.sent) > 0 && len(r.sink.open) == 0
		})
		r.quiet()
		if n := len(r.sink.bodies("u1")) + len(r.sink.bodies("u2")); n != 1 {
			t.Errorf("%d calls", n)
		}
		if open, bytes, _, _ := r.p.tracker.state(); open != 0 || bytes != 0 {
			t.Errorf("%d changes, %d bytes are open", open, bytes)
		}
		push(t, r.replay(10), stored(r.p, "4", "u4", "x", "-"))
		want(t, r.sink.bodies("u4"), `track{"a":"x","b":null,}`)
	})
	t.Run("it ends with the partition that it scanned, and not with others", func(t *testing.T) {
		r := newRig(t, nil)
		rp := r.replay(10)
		r.p.Revoke(t.Context(), []string{"public.users/7@1"})
		push(t, rp, stored(r.p, "1", "u1", "x", "-"))
		r.p.Revoke(t.Context(), []string{replayedStream})
		if _, _, err := rp.Push(t.Context(), []ReplayRow{stored(r.p, "2", "u2", "x", "-")}); err == nil || !strings.Contains(err.Error(), "went to another process") {
			t.Errorf("got %v", err)
		}
		want(t, r.sink.bodies("u2"))
	})
	t.Run("what was open at its beginning is waited for", func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(c *Config, r *rig) {
			r.sink.answer = func(Kind, []Effect) error {
				r.sink.mu.Unlock()
				<-release
				r.sink.mu.Lock()
				return nil
			}
		})
		r.live(3, insert(row("1", "u1", "x", "-")))
		eventually(t, "it is open", func() bool { return r.p.Status().OpenChanges == 1 })
		rp := r.replay(10)
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := rp.Settled(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(release)
		if err := errors.Join(rp.Settled(t.Context()), rp.Passed(t.Context(), replayedStream, 4)); err != nil {
			t.Error(err)
		}
	})
}

// TestReplayRace lets live changes and a replay of older values of the same rows work against each other: whatever the order, the last live value stands.
func TestReplayRace(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	const users = 400
	r := newRig(t, func(c *Config, r *rig) {
		c.UserGap = time.Millisecond
		r.sink.objects = 7
	})
	rp := r.replay(0)
	order := rnd.Perm(users)
	live := rnd.Perm(users)[:users*3/4]
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, u := range live {
			id := fmt.Sprint(u)
			r.live(uint64(2*i), update(row(id, "u"+id, "old", "-"), row(id, "u"+id, "mid", "-")))
			r.live(uint64(2*i+1), update(row(id, "u"+id, "mid", "-"), row(id, "u"+id, "new", "-")))
		}
	}()
	var last uint64
	for at := 0; at < users; {
		n := min(1+rnd.IntN(9), users-at)
		var rows []ReplayRow
		for _, u := range order[at : at+n] {
			id := fmt.Sprint(u)
			rows = append(rows, stored(r.p, id, "u"+id, "old", "-"))
		}
		at += n
		var err error
		if last, _, err = rp.Push(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	r.passed(uint64(2*len(live) - 1))
	eventually(t, "the replay is done", func() bool { return rp.Done() >= last })
	for u := range users {
		if id := fmt.Sprint("u", u); r.sink.profiles[id] == nil {
			t.Errorf("%s was not sent", id)
		}
	}
	for _, u := range live {
		if got := r.sink.profiles[fmt.Sprint("u", u)]["a"]; got != `"new"` {
			t.Errorf("u%d ends as %s", u, got)
		}
	}
}

func TestFoldStored(t *testing.T) {
	m := newPlainMapper()
	m.info[0].Fields = append(m.info[0].Fields, &FieldDef{Name: "consent", JSON: []byte(`"consent":`), Order: 3, NoNull: true})
	p, err := New(Config{Source: newScript(), Sink: newMemSink(t), Mapper: m, Journal: &memJournal{}})
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, json string) StoredField {
		return StoredField{Model: "users", Name: name, JSON: []byte(json)}
	}
	effect := func(user string, whole bool, fields ...StoredField) *StoredEffect {
		return &StoredEffect{User: User{ID: user}, Model: "users", Rows: []StoredRow{{Model: "users", Key: Key{"t", "1"}, Whole: whole}}, Fields: fields}
	}
	names := func(e *StoredEffect) (out string) {
		for _, f := range e.Fields {
			out += f.Name + "=" + string(f.JSON) + " "
		}
		return out
	}
	old := effect("u", true, f("a", "1"), f("b", "2"), f("consent", `"unsubscribed"`), f("dropped", "1"))
	old.Creates = true
	newer := effect("u", false, f("b", "null"))
	if got := p.FoldStored(old, newer); names(got) != "b=null a=1 " || !got.Creates || !got.Rows[0].Whole || len(newer.Fields) != 1 || newer.Rows[0].Whole {
		t.Errorf("%s %+v", names(got), got)
	}
	if got := p.FoldStored(old, effect("u", true, f("b", "3"))); names(got) != "b=3 " {
		t.Errorf("what a whole row leaves out comes back: %s", names(got))
	}
	if got := p.FoldStored(old, effect("v", false, f("b", "3"))); names(got) != "b=3 " || got.User.ID != "v" {
		t.Errorf("another user keeps fields of the first: %s", names(got))
	}
}
