package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

func knowUsers(t testing.TB, c *Cache, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		put := connector.PrintPut{Model: "m", User: connector.User{ID: fmt.Sprint("u", i)}, Prints: []connector.Print{{Leaf: 1, Sum: uint64(i)}}}
		if err := c.Write(nil, []connector.PrintPut{put}); err != nil {
			t.Fatal(err)
		}
	}
}

// goneOf gives who is gone, by name.
func goneOf(t testing.TB, n connector.Census) (users []string) {
	t.Helper()
	err := n.Gone(t.Context(), func(u connector.User) bool {
		users = append(users, u.ID)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(users)
	return users
}

func census1(t testing.TB, c *Cache, name string) (connector.Census, int64) {
	t.Helper()
	n, noted, err := c.Census(name, "m")
	if err != nil {
		t.Fatal(err)
	}
	return n, noted
}

func TestCensus(t *testing.T) {
	t.Run("names whom it did not meet", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		knowUsers(t, c, 0, 20)
		alias := connector.User{Kind: connector.Alias, ID: "u3", Label: "crm"}
		if err := c.Write(nil, []connector.PrintPut{{Model: "m", User: alias, Prints: []connector.Print{{Leaf: 1}}}, {Model: "other", User: connector.User{ID: "x"}, Prints: []connector.Print{}}}); err != nil {
			t.Fatal(err)
		}
		n, _ := census1(t, c, "load-1")
		for i := range 20 {
			if i != 3 && i != 17 {
				n.Saw(connector.User{ID: fmt.Sprint("u", i)}, connector.User{ID: "nobody knows"})
			}
		}
		if got := goneOf(t, n); !slices.Equal(got, []string{"u17", "u3", "u3"}) {
			t.Errorf("gone: %v", got)
		}
		n.Saw(alias)
		if got := goneOf(t, n); !slices.Equal(got, []string{"u17", "u3"}) {
			t.Errorf("gone: %v", got)
		}
	})
	t.Run("goes on with what it had noted", func(t *testing.T) {
		dir := t.TempDir()
		c := openCache(t, dir)
		knowUsers(t, c, 0, 3)
		n, noted := census1(t, c, "load-1")
		n.Saw(connector.User{ID: "u0"})
		if _, err := n.Sync(); err != nil || noted != 0 {
			t.Fatal(noted, err)
		}
		n.Saw(connector.User{ID: "u1"}) // lost with the process
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if n, noted = census1(t, c, "load-1"); noted != userHash {
			t.Errorf("%d bytes were noted", noted)
		}
		if got := goneOf(t, n); !slices.Equal(got, []string{"u1", "u2"}) {
			t.Errorf("gone: %v", got)
		}
		if err := n.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, noted = census1(t, c, "load-1"); noted != 0 {
			t.Errorf("after the end %d bytes are noted", noted)
		}
		if err := c.SweepCensuses([]string{"another"}); err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*", censusPrefix+"*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("names users of every kind, however long", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		long := strings.Repeat("x", maxPlainID+1)
		users := []connector.User{
			{ID: ""}, {ID: "a"}, {ID: long}, {Kind: connector.Email, ID: "a"}, {Kind: connector.Phone, ID: long}, {Kind: connector.Item, Label: "goods", ID: "a"},
			{Kind: connector.Alias, Label: "crm", ID: "a"}, {Kind: connector.Alias, Label: "cr", ID: "ma"}, {Kind: connector.Alias, Label: long, ID: "\x00é"},
		}
		written := make([][]connector.Print, len(users))
		for i := range users {
			written[i] = some(i + 1)
			if err := c.Write(nil, []connector.PrintPut{{Model: "m", User: users[i], Prints: written[i]}}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range users {
			wantPrints(t, c, users[i], "m", written[i])
		}
		n, _ := census1(t, c, "load-1")
		n.Saw(users[4], users[7])
		got := map[connector.User]int{}
		if err := n.Gone(t.Context(), func(u connector.User) bool { got[u]++; return true }); err != nil {
			t.Fatal(err)
		}
		for i, u := range users {
			want := 1
			if i == 4 || i == 7 {
				want = 0 // it was met
			}
			if got[u] != want {
				t.Errorf("%+v is named %d times", u, got[u])
			}
		}
		if counted, err := c.Users("m", 100); err != nil || int(counted) != len(users) {
			t.Errorf("%d users are counted, %v", counted, err)
		}
	})
	t.Run("holds ranges of hashes against each other", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		knowUsers(t, c, 0, 500)
		got := map[string]bool{}
		asked, _ := census1(t, c, "load-1")
		n := asked.(*census)
		for i := 0; i < 500; i += 2 {
			n.Saw(connector.User{ID: fmt.Sprint("u", i)})
		}
		if _, err := n.Sync(); err != nil {
			t.Fatal(err)
		}
		const parts = 7
		width := ^uint64(0)/parts + 1
		for i := range uint64(parts) {
			low, high := i*width, (i+1)*width-1
			if i == parts-1 {
				high = ^uint64(0)
			}
			met, err := n.met(t.Context(), low, high)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.compare(t.Context(), low, high, met, func(u connector.User) bool {
				if got[u.ID] {
					t.Errorf("%s comes twice", u.ID)
				}
				got[u.ID] = true
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != 250 {
			t.Errorf("%d are gone: %v", len(got), slices.Sorted(maps.Keys(got)))
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		knowUsers(t, c, 0, 3)
		n, _ := census1(t, c, "load-1")
		n.Saw(connector.User{ID: "u1"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.Gone(ctx, func(connector.User) bool { return true }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestUserList(t *testing.T) {
	users := func(from, to int) (out []connector.User) {
		for i := from; i < to; i++ {
			out = append(out, connector.User{Kind: connector.IDKind(i % 2), ID: fmt.Sprint("u", i), Label: "\x00é"[:i%3]})
		}
		return out
	}
	all := func(t *testing.T, l connector.UserList, n int) (out []connector.User) {
		t.Helper()
		for from := int64(0); ; {
			got, next, err := l.Users(from, n)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				return out
			}
			if len(got) > n || next <= from {
				t.Fatalf("%d users, from %d to %d", len(got), from, next)
			}
			out, from = append(out, got...), next
		}
	}
	open := func(t *testing.T, d *Data) *userList {
		t.Helper()
		l, err := d.UserList("load-1")
		if err != nil {
			t.Fatal(err)
		}
		return l.(*userList)
	}
	add := func(t *testing.T, l *userList, list []connector.User) {
		t.Helper()
		if err := errors.Join(l.Append(list), l.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("gives what was appended, by parts, also after it was opened again", func(t *testing.T) {
		d := openData(t, t.TempDir())
		l := open(t, d)
		add(t, l, users(0, 40))
		add(t, l, users(40, 45))
		if got := all(t, l, 7); !slices.Equal(got, users(0, 45)) {
			t.Errorf("it gives %v", got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(users(0, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("append after the end: %v", err)
		}
		l = open(t, d)
		add(t, l, users(45, 46))
		if got := all(t, l, 1000); !slices.Equal(got, users(0, 46)) {
			t.Errorf("it gives %v", got)
		}
	})
	t.Run("is cut where a record is not whole", func(t *testing.T) {
		d := openData(t, t.TempDir())
		l := open(t, d)
		add(t, l, users(0, 10))
		whole := l.size
		add(t, l, users(10, 11))
		for size := whole + 1; size <= l.size; size++ {
			path := l.path
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cut := slices.Clone(b[:size])
			if size == l.size {
				cut[size-1] ^= 1 // whole, and not what was written
			}
			if err := os.WriteFile(path, cut, 0o600); err != nil {
				t.Fatal(err)
			}
			again := open(t, d)
			if again.size != whole || !slices.Equal(all(t, again, 3), users(0, 10)) {
				t.Fatalf("cut at %d it has %d bytes: %v", size, again.size, all(t, again, 3))
			}
			if err := errors.Join(again.Close(), os.WriteFile(path, b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("is swept away unless it is kept", func(t *testing.T) {
		d := openData(t, t.TempDir())
		l := open(t, d)
		add(t, l, users(0, 1))
		if err := d.SweepLists([]string{"load-1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(l.path); err != nil {
			t.Error(err)
		}
		if err := errors.Join(l.Close(), d.SweepLists(nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(l.path); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}
