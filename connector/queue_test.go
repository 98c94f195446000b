package connector

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// trackOf and deleteOf make steps for tests of the queue alone.
func trackOf(u string, key string, owner, creates bool) *step {
	s := newStep(&Effect{Kind: Track, User: User{ID: u}, Key: Key{"t", key}, Owner: owner, Creates: creates, Change: &Change{Op: Insert}})
	return s
}

func deleteOf(u string, key string, n uint32) *step {
	return newStep(&Effect{Kind: DeleteUser, User: User{ID: u}, Key: Key{"t", key}, Owner: true, Ends: true, Change: &Change{Op: Delete, ID: ChangeID{1, n}}})
}

func TestQueue(t *testing.T) {
	models := []ModelInfo{{Name: "users", Table: "t", Owner: true, Fields: foldDefs}}
	t.Run("a step that became a delete while it stood in the list of tracks wakes the sender of deletes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(models, 0)
			woken := false
			go func() { woken = q.wait(DeleteUser) }()
			synctest.Wait()
			q.push([]*step{trackOf("u", "1", true, true)})
			q.push([]*step{deleteOf("u", "1", 1)})
			if got := q.take(nil, Track, 10); len(got) != 0 {
				t.Fatalf("took %d", len(got))
			}
			synctest.Wait()
			if !woken {
				t.Error("the sender sleeps while a user is ready for it")
				q.close()
			}
		})
	})
	t.Run("a delete that absorbs a waiting track is remembered as the delete", func(t *testing.T) {
		q := newQueue(models, 0)
		q.push([]*step{trackOf("u", "1", true, true), deleteOf("u", "1", 7)})
		s := q.users[User{ID: "u"}].steps[0]
		if r := s.rows[0]; len(s.rows) != 1 || r.change.ID.N != 7 || !r.ends {
			t.Errorf("rows = %+v", s.rows)
		}
	})
	t.Run("a row that comes again while its delete waits is not the deleted row", func(t *testing.T) {
		q := newQueue(models, 0)
		q.push([]*step{deleteOf("u", "1", 7), trackOf("u", "1", true, true)})
		u := q.users[User{ID: "u"}]
		if len(u.steps) != 1 || u.steps[0].rows[0].ends || u.steps[0].rows[0].change.Op != Insert {
			t.Errorf("steps %d, rows %+v", len(u.steps), u.steps[0].rows)
		}
	})
	t.Run("a live change takes a waiting row of a load to the front", func(t *testing.T) {
		q := newQueue(models, 0)
		for i, id := range []string{"a", "b"} {
			s := trackOf(id, id, true, true)
			s.load, s.initial = i == 0, i == 1
			q.push([]*step{s})
		}
		q.push([]*step{trackOf("b", "b", true, false)})
		if got := q.take(nil, Track, 1); len(got) != 1 || got[0].s.user.ID != "b" {
			t.Errorf("took %+v", got)
		}
		if got := q.take(nil, Track, 5); len(got) != 1 || got[0].s.user.ID != "a" {
			t.Errorf("took %+v", got)
		}
	})
	// Braze has the deleted user again as soon as the row that came behind the delete has left, so another delete is not done already.
	for _, c := range []struct {
		name   string
		before moment // the end of settling when the row leaves
		during moment // when the delete comes
	}{
		{"a delete is kept behind a row that left as the settling ended, before the clock came by", at(time.Now()) - 1, 0},
		{"a delete is kept while a row is under way and the user settles anew", 0, at(time.Now().Add(time.Hour))},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newQueue(models, 0)
			user := User{ID: "u"}
			u := q.user(user)
			u.from, u.settle = &settled{}, c.before
			q.push([]*step{trackOf("u", "1", true, true)})
			if got := q.take(nil, Track, 10); len(got) != 1 {
				t.Fatalf("took %d", len(got))
			}
			if c.during != 0 {
				u.settle = c.during
			}
			if done := q.push([]*step{deleteOf("u", "1", 7)}); len(done) != 0 || len(u.steps) != 1 || u.steps[0].kind != DeleteUser {
				t.Errorf("done %d, waiting %d", len(done), len(u.steps))
			}
		})
	}
}

func TestReadingWaitsForSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue([]ModelInfo{{Name: "users", Table: "t", Owner: true, Fields: foldDefs}}, 0)
		for i := range enoughReady {
			id := strconv.Itoa(i)
			q.push([]*step{trackOf(id, id, true, true)})
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var held []bool
		ended := make(chan error, 1)
		go func() { ended <- q.room(ctx, func(yes bool) { held = append(held, yes) }) }()
		synctest.Wait()
		q.take(nil, Track, 75)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("reading goes on although enough wait for senders: %v", err)
		default:
		}
		q.take(nil, Track, enoughReady/4)
		if err := <-ended; err != nil || len(held) != 2 || !held[0] || held[1] {
			t.Errorf("%v, held %v", err, held)
		}
		for i := range enoughReady {
			id := "b" + strconv.Itoa(i)
			q.push([]*step{trackOf(id, id, true, true)})
		}
		go func() { ended <- q.room(ctx, func(bool) {}) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err == nil {
			t.Error("it does not end with ctx")
		}
	})
}
