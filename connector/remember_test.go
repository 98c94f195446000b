package connector

import (
	"testing"
	"time"
)

// marks is an Eraser that knows marks alone.
type marks struct {
	Eraser
	of map[User]Erasure
}

func (m *marks) AnyErased() bool               { return len(m.of) > 0 }
func (m *marks) Erased(u User) (Erasure, bool) { e, ok := m.of[u]; return e, ok }

// kept is a store that keeps what was put down last.
type kept struct {
	Fingerprints
	RowKeeper
	puts []RememberPut
}

func (k *kept) Remember(puts []RememberPut) error {
	k.puts = append(k.puts[:0], puts...)
	return nil
}

// usersOf maps each row to the user of its key.
type usersOf struct{ RowRememberer }

func (usersOf) Remember(dst []byte, _ int, c *Change, _ func() []byte) ([]byte, User, bool) {
	return append(dst, 'x'), User{ID: c.Key.ID}, true
}

// TestRememberErased: nothing is put down of a user who is erased, before a row is read or until it is put down, nor what was before one who came back.
func TestRememberErased(t *testing.T) {
	at := time.Now()
	erased, back, other := User{ID: "erased"}, User{ID: "back"}, User{ID: "other"}
	for _, c := range []struct {
		name       string
		user       User
		op         Op
		came       time.Time
		late       bool // it is erased between the two
		remembered bool
	}{
		{name: "nobody was erased", user: other, op: Update, came: at, remembered: true},
		{name: "erased", user: erased, op: Update, came: at.Add(time.Hour)},
		{name: "erased while the row was on its way", user: erased, op: Update, came: at.Add(time.Hour), late: true},
		{name: "back, and the change is older than the erasure", user: back, op: Update, came: at},
		{name: "back, and the change is newer", user: back, op: Update, came: at.Add(time.Second), remembered: true},
		{name: "back, and the row is as it is now", user: back, op: Snapshot, came: at.Add(-time.Hour), remembered: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, m := &kept{}, &marks{of: map[User]Erasure{back: {At: at, Back: true}}}
			p := &Pipeline{cfg: Config{Prints: k}, eraser: m, models: []ModelInfo{{Name: "m", Table: "t"}}}
			memory := &memory{p: p, mapper: usersOf{}, models: []int{0}}
			if !c.late {
				m.of[erased] = Erasure{At: at}
			}
			memory.note(&Change{Op: c.op, Key: Key{Table: "t", ID: c.user.ID}, Time: c.came}, "t/0@1", nil)
			m.of[erased] = Erasure{At: at}
			memory.flush()
			if len(k.puts) != 1 || k.puts[0].Gone == c.remembered || c.remembered != (string(k.puts[0].Columns) == "x") {
				t.Errorf("%+v", k.puts)
			}
		})
	}
}
