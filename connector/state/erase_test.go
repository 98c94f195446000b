package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brazecdc/connector"
)

const erasedID = "erase-me-4711"

var erasedOne = connector.User{ID: erasedID}

// fileHolds names the files below a folder that hold a text.
func fileHolds(t *testing.T, folder, text string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func openForErase(t *testing.T, dir string) *Data {
	t.Helper()
	d, err := OpenData(dir, DataConfig{Workspace: "w", Endpoint: "https://e"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestErase(t *testing.T) {
	at := time.Now()
	row := connector.ModelRow{Model: "users", Key: connector.Key{Table: "public.users", ID: "17"}}
	t.Run("marks are known by their hashes, also after a restart", func(t *testing.T) {
		dir := t.TempDir()
		d := openForErase(t, dir)
		if d.AnyErased() {
			t.Error("somebody is erased in an empty folder")
		}
		if err := d.MarkErased(t.Context(), erasedOne, []connector.ModelRow{row}, at); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = openForErase(t, dir)
		if m, ok := d.Erased(erasedOne); !ok || !m.At.Equal(at) || m.Back || !d.AnyErased() || !d.ErasedRow(row) {
			t.Errorf("mark: %+v %v", m, ok)
		}
		for _, u := range []connector.User{{ID: "erase-me-4712"}, {Kind: connector.Alias, ID: erasedID}, {Kind: connector.Alias, ID: erasedID, Label: "x"}} {
			if _, ok := d.Erased(u); ok {
				t.Errorf("%+v is erased", u)
			}
		}
		if err := d.CameBack(t.Context(), erasedOne, row); err != nil {
			t.Fatal(err)
		}
		if m, ok := d.Erased(erasedOne); !ok || !m.Back || d.ErasedRow(row) {
			t.Errorf("who came back: %+v %v", m, ok)
		}
		if names := fileHolds(t, dir, erasedID); len(names) > 0 {
			t.Errorf("%v hold the identifier", names)
		}
	})
	t.Run("a purge leaves nothing of the user, and all of others", func(t *testing.T) {
		dir := t.TempDir()
		d := openForErase(t, dir)
		other := connector.User{ID: "other"}
		rec := &connector.Record{}
		for i, u := range []connector.User{erasedOne, other} {
			rec.Settling = append(rec.Settling, connector.Settling{User: u, Until: at, Waits: &connector.StoredEffect{User: u, Model: "users"}})
			rec.Held = append(rec.Held, connector.HeldDelete{User: u, Model: "users", Key: row.Key, Reason: "brake", At: at})
			rec.Done = append(rec.Done, connector.DoneID{Stream: "slot/s", Table: "t", ID: connector.ChangeID{Commit: 9, N: uint32(i)}, User: u})
		}
		if err := d.Apply(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		list, err := d.UserList("load-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Append([]connector.User{other, erasedOne, {ID: "third"}}); err != nil {
			t.Fatal(err)
		}
		q := d.Quarantine()
		put := func(e connector.Entry) uint64 {
			id, err := q.Put(t.Context(), &e)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		key := func(id string) connector.Key { return connector.Key{Table: "public.users", ID: id} }
		gone := []uint64{
			put(connector.Entry{Model: "users", Class: "rejected", Key: key("1"), User: erasedOne, Original: &connector.Original{Kept: "topic.q", KeptAt: 12}}),
			put(connector.Entry{Model: "users", Class: "mapping", Key: key("2"), After: []byte(`{"id":"2","ext":"` + erasedID + `"}`)}),
			put(connector.Entry{Model: "users", Class: "rename", Key: key("3"), User: other, Effect: &connector.StoredEffect{Kind: connector.Rename, User: other, To: erasedOne}}),
			put(connector.Entry{Model: "users", Class: "identity", Key: row.Key}),
			put(connector.Entry{Model: "users", Class: "rejected", Key: key("4"), User: erasedOne}),
		}
		if err := q.Close(t.Context(), gone[4], "discarded: no use"); err != nil {
			t.Fatal(err)
		}
		kept := put(connector.Entry{Model: "users", Class: "rejected", Key: key("5"), User: other, After: []byte(`{"id":"5","note":"about ` + "someone" + `"}`)})
		if _, err := d.Purge(t.Context(), connector.User{ID: "nobody"}, nil); err != nil {
			t.Fatal(err)
		}
		p, err := d.Purge(t.Context(), erasedOne, []connector.ModelRow{row})
		if err != nil {
			t.Fatal(err)
		}
		if p.Waiting != 2 || fmt.Sprint(p.Entries) != fmt.Sprint(gone) || fmt.Sprint(p.Kept) != "[{topic.q 12}]" || len(p.Doubtful) != 0 {
			t.Errorf("purged: %+v, want entries %v", p, gone)
		}
		if names := fileHolds(t, dir, erasedID); len(names) > 0 {
			t.Errorf("%v hold the identifier", names)
		}
		if users, _, err := list.Users(0, 10); err != nil || len(users) != 2 || users[1].ID != "third" {
			t.Errorf("the list of the load: %v %v", users, err)
		}
		if err := list.Append([]connector.User{{ID: "fourth"}}); err != nil {
			t.Fatal(err)
		}
		if users, _, _ := list.Users(0, 10); len(users) != 3 {
			t.Errorf("the list of the load: %v", users)
		}
		if n, err := q.List(connector.EntryFilter{Closed: true}); err != nil || len(n) != 1 || n[0].ID != kept || q.Counts()[[2]string{"users", "rejected"}] != 1 {
			t.Errorf("entries: %v %v %v", n, err, q.Counts())
		}
		if id := put(connector.Entry{Model: "users", Class: "rejected", Key: key("6")}); id <= kept {
			t.Errorf("entry %d after %d", id, kept)
		}
		if users, _ := q.NoProof(); len(users) != 0 {
			t.Errorf("marks of %v", users)
		}
		if err := errors.Join(list.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
		st := openForErase(t, dir).State()
		if len(st.Settling) != 1 || len(st.Held) != 1 || len(st.Done) != 1 || st.Held[0].User != other {
			t.Errorf("after a restart: %+v", st)
		}
	})
	t.Run("a record that cannot be decoded is left and named", func(t *testing.T) {
		d := openForErase(t, t.TempDir())
		e := connector.Entry{Model: "users", Class: "undecodable", Stream: "t/0", Original: &connector.Original{Topic: "t", Value: []byte(`{"id":"` + erasedID + `",`)}}
		id, err := d.Quarantine().Put(t.Context(), &e)
		if err != nil {
			t.Fatal(err)
		}
		for user, want := range map[string]int{erasedID: 1, "erase": 0, "4711": 0} {
			p, err := d.Purge(t.Context(), connector.User{ID: user}, nil)
			if err != nil || len(p.Doubtful) != want || len(p.Entries) != 0 {
				t.Errorf("%s: %+v %v, want entry %d named %d times", user, p, err, id, want)
			}
		}
	})
}

func TestEraseShared(t *testing.T) {
	m := &memStore{values: map[string][]byte{}}
	a, b := m.process(t), m.process(t)
	row := connector.ModelRow{Model: "users", Key: connector.Key{Table: "t", ID: "1"}}
	if err := a.MarkErased(t.Context(), erasedOne, []connector.ModelRow{row}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.MarkErased(t.Context(), connector.User{ID: "b-one"}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	for key, v := range m.values {
		if bytes.Contains(v, []byte(erasedID)) {
			t.Errorf("%s names the user", key)
		}
	}
	c := m.process(t) // one that begins later
	processes := map[string]*process{"a": a, "b": b, "c": c}
	for name, s := range processes {
		for _, id := range []string{erasedID, "b-one"} {
			if _, ok := s.Erased(connector.User{ID: id}); !ok {
				t.Errorf("%s does not know that %s is erased", name, id)
			}
		}
		if !s.ErasedRow(row) {
			t.Errorf("%s does not know the row", name)
		}
	}
	if err := c.CameBack(t.Context(), erasedOne, row); err != nil {
		t.Fatal(err)
	}
	for name, s := range processes {
		if m, ok := s.Erased(erasedOne); !ok || !m.Back || s.ErasedRow(row) {
			t.Errorf("%s does not know who came back", name)
		}
	}
	// What is shared of the user goes for all.
	e := connector.Entry{Model: "users", Class: "rejected", Key: row.Key, User: erasedOne, Stream: "t/0@1"}
	if _, err := a.Quarantine().Put(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	a.apply(t, connector.Record{Held: []connector.HeldDelete{{User: erasedOne, Model: "users", Part: "t/0"}}})
	p, err := a.Purge(t.Context(), erasedOne, nil)
	if err != nil || len(p.Entries) != 1 || p.Waiting != 1 || !p.Shared {
		t.Errorf("purged: %+v %v", p, err)
	}
	for key, v := range m.values {
		if bytes.Contains(v, []byte(erasedID)) {
			t.Errorf("%s still names the user", key)
		}
	}
}

func TestCacheForget(t *testing.T) {
	dir := t.TempDir()
	c, err := OpenCache(dir, CacheConfig{Workspace: "w", Endpoint: "https://e"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	long := connector.User{ID: "long-" + string(bytes.Repeat([]byte("x"), 80))}
	key := func(id string) connector.Key { return connector.Key{Table: "t", ID: id} }
	prints := []connector.Print{{Leaf: 1, Sum: 2}}
	rows := []connector.RowPut{
		{Model: "users", Key: key(erasedID), User: erasedOne}, {Model: "orders", Key: key("17"), User: erasedOne}, {Model: "users", Key: key(long.ID), User: long},
		{Model: "users", Key: key("other"), User: connector.User{ID: "other"}},
	}
	puts := []connector.PrintPut{{Model: "users", User: erasedOne, Prints: prints}, {Model: "users", User: long, Prints: prints}, {Model: "users", User: connector.User{ID: "other"}, Prints: prints},
		{Model: "users", User: connector.User{ID: "theirs"}, Prints: prints, Part: "t/1"}}
	if err := errors.Join(c.Write(rows, puts), c.Sync([]connector.Position{{Stream: "s", Offset: 7}})); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Users("users", 100); err != nil || n != 4 {
		t.Errorf("%d users, %v", n, err)
	}
	if n, _ := c.Users("users", 2); n != 2 {
		t.Errorf("counted %d, though 2 are enough", n)
	}
	if err := c.DropPart("t/1"); err != nil {
		t.Fatal(err)
	}
	for u, want := range map[connector.User]int{erasedOne: 2, long: 1, {ID: "nobody"}: 0} {
		known, err := c.RowsOf(t.Context(), u)
		if err != nil || len(known) != want {
			t.Errorf("rows of %s: %v %v", u.ID, known, err)
		}
		n, err := c.Forget(t.Context(), u)
		if err != nil || n != want {
			t.Errorf("%s: %d rows, %v", u.ID, n, err)
		}
		if names := fileHolds(t, dir, u.ID); len(names) > 0 {
			t.Errorf("%v hold %s", names, u.ID)
		}
		if _, ok, err := c.Prints(nil, u, "users"); ok || err != nil {
			t.Errorf("%s is known: %v", u.ID, err)
		}
	}
	if u, ok, err := c.RowUser("users", key("other")); !ok || err != nil || u.ID != "other" {
		t.Errorf("another user: %v %v %v", u, ok, err)
	}
	if n, err := c.Users("users", 100); err != nil || n != 1 {
		t.Errorf("%d users, %v", n, err)
	}
	if p := c.Covered(); len(p) != 1 || p[0].Offset != 7 {
		t.Errorf("covered: %v", p)
	}
}

// TestCacheForgetFirstAndLast: the marks of deletions are gone too, wherever the user's keys lie among those of others.
func TestCacheForgetFirstAndLast(t *testing.T) {
	const count = 3000
	name := func(i int) connector.User { return connector.User{ID: fmt.Sprintf("of-many-%05d-x", i)} }
	for _, known := range []string{"in memory", "in tables"} {
		dir := t.TempDir()
		c := openCache(t, dir)
		var rows []connector.RowPut
		var puts []connector.PrintPut
		for i := 1; i <= count; i++ {
			rows = append(rows, connector.RowPut{Model: "users", Key: row(fmt.Sprintf("row-%05d-x", i)), User: name(i)})
			puts = append(puts, connector.PrintPut{Model: "users", User: name(i), Prints: some(3)})
		}
		if err := c.Write(rows, puts); err != nil {
			t.Fatal(err)
		}
		if known == "in tables" {
			if err := errors.Join(c.db.Flush(), c.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range []int{1, count / 2, count, count + 1} { // nobody knows the last one
			if _, err := c.Forget(t.Context(), name(i)); err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{name(i).ID, fmt.Sprintf("row-%05d-x", i)} {
				if names := fileHolds(t, dir, text); len(names) > 0 {
					t.Errorf("%s: %v hold %s", known, names, text)
				}
			}
		}
	}
}
