package connector

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// eventMapper makes of each row of shopTable its attributes and, where b is set, an event of that name; b that begins with "!" makes the event alone.
type eventMapper struct{ *plainMapper }

func (m *eventMapper) Map(dst []Effect, c *Change, ids IDs) ([]Effect, error) {
	name := ""
	if c.After.Exists() && c.After.Cells[3].State == Set {
		name = c.After.Cells[3].Raw
	}
	if !strings.HasPrefix(name, "!") {
		var err error
		if dst, err = m.plainMapper.Map(dst, c, ids); err != nil {
			return dst, err
		}
	}
	if name != "" {
		name = strings.TrimPrefix(name, "!")
		dst = append(dst, Effect{Kind: Track, User: User{ID: c.After.Cells[1].Raw}, Key: c.Key, Event: &Event{Name: name, JSON: fmt.Appendf(nil, `"name":%q`, name), Old: name == "late"}, Change: c})
	}
	return dst, nil
}

// bodies of calls, one line each: the users' objects in order.
type callLog struct {
	mu    sync.Mutex
	calls []string
}

func (l *callLog) note(k Kind, b []Effect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, e := range b {
		switch {
		case e.Event != nil:
			parts = append(parts, e.User.ID+"!"+e.Event.Name)
		default:
			parts = append(parts, e.User.ID)
		}
	}
	l.calls = append(l.calls, k.String()+" "+strings.Join(parts, " "))
}

func (l *callLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

func TestEvents(t *testing.T) {
	start := func(t *testing.T, answer func(n int, k Kind, b []Effect) error, tune func(*Config)) (*rig, *callLog) {
		log := &callLog{}
		n := 0
		r := newRig(t, func(c *Config, r *rig) {
			c.Mapper = &eventMapper{newPlainMapper()}
			r.sink.answer = func(k Kind, b []Effect) error {
				log.note(k, b)
				n++
				if answer != nil {
					return answer(n, k, b)
				}
				return nil
			}
			if tune != nil {
				tune(c)
			}
		})
		return r, log
	}
	t.Run("case 51: a user's attributes and events go in one call, in order, and events never fold", func(t *testing.T) {
		r, log := start(t, nil, nil)
		r.commit(insert(row("1", "u1", "x", "a")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!b")), update(row("1", "u1", "x", "b"), row("1", "u1", "x", "!b")),
			update(row("1", "u1", "x", "b"), row("1", "u1", "y", "c")))
		r.quiet()
		want(t, log.all(), "track u1 u1!a u1!b u1!b", "track u1 u1!c")
	})
	t.Run("an event of a user that settles waits for the end of it", func(t *testing.T) {
		r, log := start(t, nil, nil)
		r.commit(insert(row("1", "u1", "x", "-")))
		r.quiet()
		r.commit(remove(row("1", "u1", "x", "-")), insert(row("2", "u1", "x", "!a")))
		r.quiet()
		want(t, log.all(), "track u1", "delete u1", "track u1!a")
	})
	t.Run("case 2: what is refused of a user's objects is held back by itself", func(t *testing.T) {
		r, log := start(t, func(n int, _ Kind, b []Effect) error {
			if n == 1 {
				return &RejectedError{Items: []Rejection{{Index: 1, Reason: "bad event"}}}
			}
			return nil
		}, nil)
		r.commit(insert(row("1", "u1", "x", "a")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!b")))
		r.quiet()
		want(t, log.all(), "track u1 u1!a u1!b")
		list, err := r.journal.Quarantine().List(EntryFilter{})
		if err != nil || len(list) != 1 || list[0].Effect.Event == nil || list[0].Effect.Event.Name != "a" || !strings.HasPrefix(list[0].Key.ID, "1@") {
			t.Fatalf("quarantine %+v %v", list, err)
		}
		// A later event of the row neither takes it along nor ends it.
		r.commit(update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!c")))
		r.quiet()
		if list, _ := r.journal.Quarantine().List(EntryFilter{}); len(list) != 1 {
			t.Errorf("quarantine %+v", list)
		}
	})
	t.Run("a held back event is sent again once, also when two ask for it, and by its change coming again", func(t *testing.T) {
		release := make(chan struct{})
		bad := true
		r, log := start(t, func(n int, _ Kind, b []Effect) error {
			if bad && slices.ContainsFunc(b, func(e Effect) bool { return e.Event != nil }) {
				return &RejectedError{Items: []Rejection{{Index: 0, Reason: "bad event"}}}
			}
			<-release
			return nil
		}, nil)
		r.commit(insert(row("1", "u1", "x", "!a")))
		r.quiet()
		bad = false
		list, err := r.journal.Quarantine().List(EntryFilter{})
		if err != nil || len(list) != 1 {
			t.Fatalf("quarantine %+v %v", list, err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := r.p.RetryEvents(t.Context(), list[0].ID, nil, true)
			ended <- err
		}()
		eventually(t, "it is being sent", func() bool { return len(log.all()) == 2 })
		if _, err := r.p.RetryEvents(t.Context(), list[0].ID, nil, true); err == nil || !strings.Contains(err.Error(), "is being sent") {
			t.Errorf("a second retry: %v", err)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		r.quiet()
		want(t, log.all(), "track u1!a", "track u1!a")
		if list, _ := r.journal.Quarantine().List(EntryFilter{}); len(list) != 0 {
			t.Errorf("quarantine %+v", list)
		}
	})
	t.Run("a call that is refused as a whole is taken apart, one user's objects too", func(t *testing.T) {
		r, log := start(t, func(_ int, _ Kind, b []Effect) error {
			if slices.ContainsFunc(b, func(e Effect) bool { return e.Event != nil && e.Event.Name == "bad" }) {
				return &RejectedError{Whole: true, Err: errors.New("no")}
			}
			return nil
		}, nil)
		r.commit(insert(row("1", "u1", "x", "a")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!bad")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!c")))
		r.quiet()
		if calls := log.all(); calls[len(calls)-1] != "track u1!c" {
			t.Errorf("calls %q", calls)
		}
		if list, _ := r.journal.Quarantine().List(EntryFilter{}); len(list) != 1 || list[0].Effect.Event.Name != "bad" {
			t.Errorf("quarantine %+v", list)
		}
	})
	t.Run("case 74: an event whose outcome is unknown goes again, or is held where the setting says so", func(t *testing.T) {
		unknown := func(n int, _ Kind, b []Effect) error {
			if n == 1 {
				return &RetryableError{Unknown: true, Err: fmt.Errorf("no answer")}
			}
			return nil
		}
		r, log := start(t, unknown, nil)
		r.commit(insert(row("1", "u1", "x", "a")))
		r.quiet()
		want(t, log.all(), "track u1 u1!a", "track u1 u1!a")
		r, log = start(t, unknown, func(c *Config) { c.HoldUnknown = true })
		r.commit(insert(row("1", "u1", "x", "a")))
		r.quiet()
		want(t, log.all(), "track u1 u1!a", "track u1")
		if list, _ := r.journal.Quarantine().List(EntryFilter{}); len(list) != 1 || list[0].Class != "unknown" {
			t.Errorf("quarantine %+v", list)
		}
	})
	t.Run("an event that an earlier run sent is passed over, others of its user go", func(t *testing.T) {
		log := &callLog{}
		r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{}, ended: make(chan error, 1)}
		r.src.fresh = false
		r.journal.state = State{Positions: []Recorded{{Position: Position{"slot", 1}}}, Models: []ModelState{{Name: "users"}},
			Done: []DoneID{{Kind: Track, User: User{ID: "u1"}, Stream: "slot", ID: ChangeID{Commit: 10, N: 1}, Table: shopTable.Name, Model: "users"}}}
		r.start(func(c *Config, r *rig) {
			c.Mapper = &eventMapper{newPlainMapper()}
			r.sink.answer = func(k Kind, b []Effect) error { log.note(k, b); return nil }
		})
		r.commit(insert(row("1", "u1", "x", "!a")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!b")), update(row("1", "u1", "x", "a"), row("1", "u1", "x", "!c")))
		r.quiet()
		want(t, log.all(), "track u1!a u1!c")
	})
	t.Run("an event that was sent is remembered until its position is passed", func(t *testing.T) {
		stuck := make(chan struct{})
		r, _ := start(t, func(_ int, _ Kind, b []Effect) error {
			if b[0].User.ID == "stuck" {
				select {
				case <-stuck:
				default:
					return &RetryableError{Err: fmt.Errorf("not now")}
				}
			}
			return nil
		}, func(c *Config) { c.Attempts = 1 << 20 })
		r.commit(insert(row("9", "stuck", "x", "-")))
		r.commit(insert(row("1", "u1", "x", "!a")))
		eventually(t, "the event is remembered", func() bool {
			r.journal.mu.Lock()
			defer r.journal.mu.Unlock()
			return slices.ContainsFunc(r.journal.state.Done, func(d DoneID) bool { return d.Kind == Track && d.User.ID == "u1" && d.Model == "users" })
		})
		close(stuck)
		r.quiet()
	})
	t.Run("an event beyond max_age is counted and not sent", func(t *testing.T) {
		r, log := start(t, nil, nil)
		r.commit(insert(row("1", "u1", "x", "!late")))
		r.quiet()
		want(t, log.all())
		if n := r.p.Metrics().Models[0].Late.Load(); n != 1 {
			t.Errorf("%d late", n)
		}
	})
	t.Run("a full call holds 75 objects, events among them", func(t *testing.T) {
		release := make(chan struct{})
		r, log := start(t, func(n int, _ Kind, _ []Effect) error {
			if n == 1 {
				<-release
			}
			return nil
		}, func(c *Config) { c.Senders, c.UserGap = 1, 0 })
		r.commit(insert(row("0", "u0", "x", "-")))
		eventually(t, "the first call is open", func() bool { return len(log.all()) == 1 })
		var changes []Change
		for range 100 {
			changes = append(changes, insert(row("1", "u1", "x", "!e")))
		}
		r.commit(changes...)
		eventually(t, "all wait", func() bool { return r.p.Status().Waiting >= 100 })
		close(release)
		r.quiet()
		for _, c := range log.all() {
			if n := len(strings.Fields(c)) - 1; n > r.sink.Limits(Track).Objects {
				t.Errorf("a call of %d objects", n)
			}
		}
		if n := len(log.all()); n != 1+(100+r.sink.Limits(Track).Objects-1)/r.sink.Limits(Track).Objects {
			t.Errorf("%d calls: %v", n, log.all())
		}
	})
}

func TestACallThatIsTakenApartBesideAUserWithEvents(t *testing.T) {
	log := &callLog{}
	release := make(chan struct{})
	n := 0
	r := newRig(t, func(c *Config, r *rig) {
		c.Mapper, c.Senders = &eventMapper{newPlainMapper()}, 1
		r.sink.answer = func(k Kind, b []Effect) error {
			log.note(k, b)
			if n++; n == 1 {
				r.sink.mu.Unlock()
				<-release
				r.sink.mu.Lock()
			}
			if slices.ContainsFunc(b, func(e Effect) bool { return e.Event != nil && e.Event.Name == "bad" }) {
				return &RejectedError{Whole: true, Err: errors.New("no")}
			}
			return nil
		}
	})
	r.commit(insert(row("0", "u0", "x", "-")))
	eventually(t, "the first call is open", func() bool { return len(log.all()) == 1 })
	r.commit(insert(row("1", "u1", "x", "bad")), insert(row("2", "u2", "x", "-")), insert(row("3", "u3", "x", "bad")), insert(row("4", "u4", "x", "ok")), insert(row("5", "u5", "x", "-")))
	eventually(t, "all wait", func() bool { return r.p.Status().Waiting >= 8 })
	close(release)
	r.quiet()
	for _, u := range []string{"u1", "u2", "u3", "u4", "u5"} {
		if r.sink.profiles[u] == nil {
			t.Errorf("%s was not delivered: %q", u, log.all())
		}
	}
	if list, err := r.journal.Quarantine().List(EntryFilter{}); err != nil || len(list) != 2 {
		t.Errorf("quarantine %+v %v", list, err)
	}
}

func TestFoldItem(t *testing.T) {
	item := func(k Kind, proven bool) *step {
		s := newStep(&Effect{Kind: k, User: User{Kind: Item, ID: "i", Label: "shop"}, Key: Key{"items", "1"}, Fields: []Field{{Def: foldDefs[0], JSON: []byte("1")}}, Change: &Change{Op: Update}})
		s.rows[0].proven = proven
		return s
	}
	deleted := item(DeleteItem, true)
	deleted.maybeSent = true
	if s := foldItem(deleted, item(PutItem, true)); s.kind != PutItem || !s.noProof {
		t.Errorf("after a delete that may have been sent: %v, noProof %v", s.kind, s.noProof)
	}
	if s := foldItem(item(PutItem, false), item(PutItem, true)); s.rows[0].proven {
		t.Error("a change that was read before the load was done counts as proven")
	}
}
