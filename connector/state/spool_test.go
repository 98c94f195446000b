package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"brazecdc/connector"
)

func spoolRow(id, ext string, n int) (connector.Key, *SpoolRow) {
	key := connector.Key{Table: "shop.users", ID: id}
	return key, &SpoolRow{Standing: Kept, At: time.Unix(int64(n), 0).UTC(), Partition: int32(n % 3), Effect: &connector.StoredEffect{
		User: connector.User{ID: ext}, Model: "users", Owner: true, Creates: true,
		Rows:   []connector.StoredRow{{Model: "users", Key: key, Whole: true}},
		Fields: []connector.StoredField{{Model: "users", Name: "n", JSON: fmt.Append(nil, n)}}}}
}

// held lists what a spool would send as "user: row=value …".
func held(t *testing.T, s *Spool, after []byte) (list []string, places [][]byte) {
	t.Helper()
	err := s.Users(after, func(place []byte, rows []SpoolRow) error {
		line := rows[0].Effect.User.ID + ":"
		var parts []string
		for _, r := range rows {
			parts = append(parts, fmt.Sprintf(" %s=%s", r.Effect.Rows[0].Key.ID, r.Effect.Fields[0].JSON))
		}
		slices.Sort(parts)
		for _, p := range parts {
			line += p
		}
		list, places = append(list, line), append(places, bytes.Clone(place))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, places
}

func openSpool(t *testing.T, folder string) *Spool {
	t.Helper()
	s, err := OpenSpool(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSpool(t *testing.T) {
	whole := t // what is opened in a subtest stays open for the next
	folder := filepath.Join(t.TempDir(), "cache", "replay-1")
	s := openSpool(t, folder)
	put := func(id, ext string, n int) {
		t.Helper()
		key, r := spoolRow(id, ext, n)
		if err := s.Put("users", key, r); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(note string) {
		t.Helper()
		if err := s.Flush([]byte(note)); err != nil {
			t.Fatal(err)
		}
		if s.Pending() != 0 {
			t.Errorf("%d bytes wait after a flush", s.Pending())
		}
	}
	sorted := func() []string {
		list, _ := held(t, s, nil)
		slices.Sort(list)
		return list
	}
	put("1", "u1", 1)
	put("2", "u2", 2)
	put("3", "u2", 3)
	if s.Pending() == 0 {
		t.Error("nothing waits")
	}
	flush("first")
	if got := sorted(); !slices.Equal(got, []string{"u1: 1=1", "u2: 2=2 3=3"}) {
		t.Errorf("%q", got)
	}

	t.Run("a row that goes to another user leaves the first, one that is gone leaves its own", func(t *testing.T) {
		put("1", "u9", 4)
		key, r := spoolRow("3", "u2", 5)
		r.Standing, r.Effect = Gone, nil
		if err := s.Put("users", key, r); err != nil {
			t.Fatal(err)
		}
		flush("second")
		if got := sorted(); !slices.Equal(got, []string{"u2: 2=2", "u9: 1=4"}) {
			t.Errorf("%q", got)
		}
		counts, err := s.Count()
		if err != nil || counts[Kept] != 2 || counts[Gone] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
	})
	t.Run("marks hold for one model and user, before and after a flush", func(t *testing.T) {
		u := connector.User{ID: "u2"}
		s.Mark("users", u)
		for _, when := range []string{"before", "after"} {
			for model, want := range map[string]bool{"users": true, "orders": false} {
				if got, err := s.Marked(model, u); err != nil || got != want {
					t.Errorf("%s the flush: %s %v, %v", when, model, got, err)
				}
			}
			if got, err := s.Marked("users", connector.User{Kind: connector.Email, ID: "u2"}); err != nil || got {
				t.Errorf("another kind of user: %v, %v", got, err)
			}
			flush("third")
		}
	})
	t.Run("another run finds rows and note of the last flush, and only those", func(t *testing.T) {
		put("7", "u7", 7) // never flushed
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openSpool(whole, folder)
		if string(s.Note()) != "third" {
			t.Errorf("note %q", s.Note())
		}
		key, _ := spoolRow("2", "", 0)
		r, err := s.Row("users", key)
		if err != nil || r.Standing != Kept || r.Effect.User.ID != "u2" || !r.At.Equal(time.Unix(2, 0)) || r.Partition != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if key, _ = spoolRow("7", "", 0); true {
			if r, err := s.Row("users", key); err != nil || r.Standing != Unknown {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if got := sorted(); !slices.Equal(got, []string{"u2: 2=2", "u9: 1=4"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("a kill loses nothing that was flushed", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "replay-1")
		put("8", "u8", 8)
		flush("fourth")
		if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		killed := openSpool(t, copied)
		if list, _ := held(t, killed, nil); string(killed.Note()) != "fourth" || len(list) != 3 {
			t.Errorf("note %q, %v", killed.Note(), list)
		}
	})
	t.Run("what cannot be read is begun anew", func(t *testing.T) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(folder, "MANIFEST-*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if err := os.WriteFile(f, []byte("not a manifest"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = openSpool(whole, folder)
		if s.Note() != nil || len(sorted()) != 0 {
			t.Errorf("note %q", s.Note())
		}
	})
	t.Run("Remove takes it off the disk", func(t *testing.T) {
		if err := s.Remove(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSpoolAgainstMap puts rows at random, with flushes and reopenings between, and compares with a map.
func TestSpoolAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	folder := filepath.Join(t.TempDir(), "replay-1")
	s := openSpool(t, folder)
	now, flushed := map[string]string{}, map[string]string{}
	for step := range 3000 {
		id := fmt.Sprint(rnd.IntN(60))
		switch rnd.IntN(40) {
		case 0:
			if err := s.Flush(fmt.Append(nil, step)); err != nil {
				t.Fatal(err)
			}
			flushed = map[string]string{}
			for k, v := range now {
				flushed[k] = v
			}
		case 1:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openSpool(t, folder)
			now = map[string]string{}
			for k, v := range flushed {
				now[k] = v
			}
		case 2, 3, 4, 5:
			key, r := spoolRow(id, "", step)
			r.Standing, r.Effect = Gone, nil
			if err := s.Put("users", key, r); err != nil {
				t.Fatal(err)
			}
			delete(now, id)
		default:
			user := fmt.Sprint("u", rnd.IntN(30))
			key, r := spoolRow(id, user, step)
			old, err := s.Row("users", key)
			if err != nil {
				t.Fatal(err)
			}
			if got := ""; old.Effect != nil {
				if got = old.Effect.User.ID + string(old.Effect.Fields[0].JSON); got != now[id] {
					t.Fatalf("step %d: row %s is %q, want %q", step, id, got, now[id])
				}
			} else if now[id] != "" {
				t.Fatalf("step %d: row %s is not known, want %q", step, id, now[id])
			}
			if err := s.Put("users", key, r); err != nil {
				t.Fatal(err)
			}
			now[id] = fmt.Sprint(user, step)
		}
	}
	if err := s.Flush(nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	list, places := [][]SpoolRow{}, [][]byte{}
	err := s.Users(nil, func(place []byte, rows []SpoolRow) error {
		for _, r := range rows {
			if r.Effect.User != rows[0].Effect.User {
				t.Errorf("rows of two users stand together")
			}
			got[r.Effect.Rows[0].Key.ID] = r.Effect.User.ID + string(r.Effect.Fields[0].JSON)
		}
		list, places = append(list, slices.Clone(rows)), append(places, bytes.Clone(place))
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(now) {
		t.Errorf("got %v, %v\nwant %v", got, err, now)
	}
	if rest, _ := held(t, s, places[len(places)/2]); len(rest) != len(list)-len(places)/2-1 {
		t.Errorf("%d users behind the middle one of %d", len(rest), len(list))
	}
}

func BenchmarkSpool(b *testing.B) {
	s, err := OpenSpool(filepath.Join(b.TempDir(), "replay-1"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Remove() }()
	for i := range b.N {
		key, r := spoolRow(fmt.Sprint(i), fmt.Sprint("u", i), i)
		if err := s.Put("users", key, r); err != nil {
			b.Fatal(err)
		}
		if s.Pending() > 8<<20 {
			if err := s.Flush(nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}
