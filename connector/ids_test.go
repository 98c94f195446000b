package connector

import "testing"

func TestIDTable(t *testing.T) {
	none := func() Fingerprints { return nil }
	key, moved := Key{shopTable.Name, "1"}, Key{shopTable.Name, "2"}
	t.Run("a change that comes again after a stop inside its transaction still names the row for the delete that follows", func(t *testing.T) {
		ids := newIDTable(newPlainMapper().info, none)
		ids.pass(&Effect{Kind: Track, User: User{ID: "u1"}, Key: key})
		if u, ok := ids.User(0, key); !ok || u.ID != "u1" {
			t.Errorf("the row is %v %v, want u1", u, ok)
		}
		ids.pass(&Effect{Kind: Track, User: User{ID: "u1"}, Key: moved, Change: &Change{OldKey: key}})
		if _, ok := ids.User(0, key); ok {
			t.Error("the old key still has a user")
		}
		ids.pass(&Effect{Kind: Rename, User: User{ID: "u1"}, To: User{ID: "u2"}, Key: moved})
		if u, ok := ids.User(0, moved); !ok || u.ID != "u2" {
			t.Errorf("the renamed row is %v %v, want u2", u, ok)
		}
		ids.pass(&Effect{Kind: DeleteUser, User: User{ID: "u2"}, Key: moved})
		if _, ok := ids.User(0, moved); ok {
			t.Error("the deleted row still has a user")
		}
	})
	t.Run("once such changes are past, only the cache counts", func(t *testing.T) {
		ids := newIDTable(newPlainMapper().info, none)
		ids.pass(&Effect{Kind: Track, User: User{ID: "u1"}, Key: key})
		ids.forget()
		if _, ok := ids.User(0, key); ok {
			t.Error("the row still has a user")
		}
	})
}
