package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
)

var testKey = []byte("key of the tests")

var (
	emailDef  = &connector.FieldDef{Name: "email", JSON: []byte(`"email":`), Order: 0}
	planDef   = &connector.FieldDef{Name: "plan", JSON: []byte(`"plan":`), Order: 1}
	testTable = &connector.Table{Name: "public.users", Columns: []connector.Column{{Name: "id", Key: true}, {Name: "email"}, {Name: "plan"}}}
)

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = t.TempDir()
	}
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 1 << 30
	}
	cfg.Key, cfg.Models = testKey, []connector.ModelInfo{{Name: "customers"}}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func row(values ...string) connector.Row {
	r := connector.Row{Table: testTable}
	for _, v := range values {
		r.Cells = append(r.Cells, connector.Cell{State: connector.Set, Raw: v})
	}
	return r
}

func userOf(n int) connector.User { return connector.User{ID: fmt.Sprint("user-", n)} }

func keyOfRow(n int) connector.Key { return connector.Key{Table: "public.users", ID: fmt.Sprint(n)} }

// accepted is an update of two columns of which one field was sent.
func accepted(n int, at time.Time) *connector.Ending {
	email := connector.Field{Def: emailDef, JSON: []byte(`"ada@example.com"`)}
	plan := connector.Field{Def: planDef, JSON: []byte(`"pro"`)}
	c := &connector.Change{Key: keyOfRow(n), Op: connector.Update, Before: row(fmt.Sprint(n), "ada@example.com", "free"), After: row(fmt.Sprint(n), "ada@example.com", "pro"),
		Time: at.Add(-time.Second), ID: connector.ChangeID{Commit: 77, N: 2}}
	return &connector.Ending{
		At: at, User: userOf(n), Kind: connector.Track, Outcome: "accepted", Changes: 3, Tries: 1, Queued: at.Add(-900 * time.Millisecond), Waited: 1 << 1,
		Rows:   []connector.EndedRow{{Key: c.Key, Change: c, Stream: "slot/brazecdc"}},
		Mapped: []connector.Field{email, plan}, Sent: []connector.Field{plan}, Left: []connector.FieldNote{{Field: "phone", Reason: "not a phone number"}},
		Call: &connector.Called{At: at.Add(-100 * time.Millisecond), Took: 90 * time.Millisecond, Objects: 75, Status: 201, RequestID: "req-1"},
	}
}

func timeline(t *testing.T, s *Store, q Query) *Timeline {
	t.Helper()
	l, err := s.Timeline(q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTimeline(t *testing.T) {
	now := time.Now().Truncate(time.Microsecond)
	t.Run("tells each step of a change, also after a restart", func(t *testing.T) {
		path := t.TempDir()
		s := open(t, Config{Path: path})
		s.Ended(accepted(1, now))
		s.Ended(accepted(2, now))
		check := func(s *Store, payload string) {
			t.Helper()
			l := timeline(t, s, Query{User: userOf(1)})
			if len(l.Entries) != 1 {
				t.Fatalf("entries: %+v", l.Entries)
			}
			e := l.Entries[0]
			got := fmt.Sprintf("%s %s %d changes, %d tries, waited %v for %s, call of %d took %s: %d %s", e.Outcome, e.Kind, e.Changes, e.Tries, e.Waited.Names(), e.Call.At.Sub(e.Queued),
				e.Call.Objects, e.Call.Took, e.Call.Status, e.Call.RequestID)
			if want := "accepted track 3 changes, 1 tries, waited [gap] for 800ms, call of 75 took 90ms: 201 req-1"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			r := e.Rows[0]
			if r.Model != "customers" || r.Key != keyOfRow(1) || r.Op != connector.Update || fmt.Sprint(r.Columns) != "[plan]" || !r.Known || r.ID.Commit != 77 || r.Stream != "slot/brazecdc" ||
				!r.Committed.Equal(now.Add(-time.Second)) {
				t.Errorf("row: %+v", r)
			}
			if got := fmt.Sprint(e.Fields, e.Left); got != "[{email 1} {plan 0}] [{phone not a phone number}]" {
				t.Errorf("fields: %s", got)
			}
			if string(e.Payload) != payload || !e.HadPayload {
				t.Errorf("payload %q, want %q", e.Payload, payload)
			}
		}
		check(s, `{"plan":"pro"}`)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		check(open(t, Config{Path: path}), "")
	})
	t.Run("counts what was not sent instead of keeping each", func(t *testing.T) {
		s := open(t, Config{})
		for i := range 37 {
			e := accepted(1, now.Add(time.Duration(i)*time.Second))
			e.Outcome, e.Reason, e.Call, e.Sent, e.Changes = "suppressed", "nothing changed for Braze", nil, nil, 1
			s.Ended(e)
			s.Passed(0, e.Rows[0].Change, "filter")
			if i == 20 {
				s.Flush()
				s.care()
			}
		}
		l := timeline(t, s, Query{User: userOf(1)})
		sum := map[string]uint64{}
		for _, e := range l.Entries {
			sum[e.Outcome+" "+e.Reason+" "+e.Rows[0].Model] += e.Count
			if e.Outcome == "suppressed" && (!e.First.Equal(now) || !e.At.Equal(now.Add(36*time.Second))) && len(l.Entries) == 2 {
				t.Errorf("from %s to %s", e.First, e.At)
			}
		}
		if fmt.Sprint(sum) != "map[passed filter customers:37 suppressed nothing changed for Braze customers:37]" {
			t.Errorf("counted: %v", sum)
		}
	})
	t.Run("finds a user by reference, and by a row", func(t *testing.T) {
		s := open(t, Config{})
		alias := connector.User{Kind: connector.Alias, Label: "crm", ID: "user-1"}
		e := accepted(5, now)
		e.User = alias
		s.Ended(accepted(1, now))
		s.Ended(e)
		for _, u := range []connector.User{userOf(1), alias} {
			if got, ok := s.Find(s.Ref(u)); !ok || got != u {
				t.Errorf("%s: %v %v", s.Ref(u), got, ok)
			}
		}
		if u, ok := s.UserOf(keyOfRow(5)); !ok || u != alias {
			t.Errorf("row 5: %v", u)
		}
		for _, ref := range []string{"", "h:", "h:zz", "h:000000000000", "../..", s.Ref(userOf(9))} {
			if u, ok := s.Find(ref); ok {
				t.Errorf("%q found %v", ref, u)
			}
		}
	})
	t.Run("pages through, newest first", func(t *testing.T) {
		s := open(t, Config{MaxSize: 1 << 20})
		for i := range 500 {
			s.Ended(accepted(1, now.Add(time.Duration(i)*time.Second)))
			s.Ended(accepted(100+i, now))
		}
		n, before := 499, ""
		for {
			l := timeline(t, s, Query{User: userOf(1), Before: before, Limit: 70})
			for _, e := range l.Entries {
				if !e.At.Equal(now.Add(time.Duration(n) * time.Second)) {
					t.Fatalf("entry %d is of %s", n, e.At.Sub(now))
				}
				n--
			}
			if before = l.More; before == "" {
				break
			}
		}
		if n != -1 {
			t.Errorf("%d entries were not told", n+1)
		}
	})
	t.Run("keeps payloads across a restart where the operator decided so, and not in plain", func(t *testing.T) {
		path := t.TempDir()
		s := open(t, Config{Path: path, Values: true})
		s.Ended(accepted(1, now))
		s.Ended(accepted(2, now))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(files(t, path), `"pro"`) {
			t.Error("the value is in a file as it is")
		}
		s = open(t, Config{Path: path, Values: true})
		if l := timeline(t, s, Query{User: userOf(1)}); len(l.Entries) != 1 || string(l.Entries[0].Payload) != `{"plan":"pro"}` {
			t.Errorf("%+v", l.Entries)
		}
		if err := s.Forget(userOf(1), nil); err != nil {
			t.Fatal(err)
		}
		h, gone, kept := newHasher(testKey), 0, 0
		for _, g := range s.sealed {
			err := g.each(func(body []byte) error {
				if body[0] == typeValue {
					kept++
					u := userOf(1)
					if of := h.user(&u); string(body[1:1+hashSize]) == string(of[:]) {
						gone++
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if gone != 0 || kept != 1 {
			t.Errorf("%d payloads of the forgotten user are left, %d in all", gone, kept)
		}
	})
	t.Run("keeps no value in a file", func(t *testing.T) {
		path := t.TempDir()
		s := open(t, Config{Path: path})
		e := accepted(1, now)
		e.Outcome, e.Reason = "rejected", "the email ada@example.com of 15551234567 is not valid"
		s.Ended(e)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		text := files(t, path)
		for _, value := range []string{"ada@example", "user-1", "5551234", "\"pro\""} {
			if strings.Contains(text, value) {
				t.Errorf("%q is in a file", value)
			}
		}
		l := timeline(t, open(t, Config{Path: path}), Query{User: userOf(1)})
		if got := l.Entries[0].Reason; got != "the email … of … is not valid" {
			t.Errorf("reason: %s", got)
		}
	})
}

// files joins what lies in the folder.
func files(t *testing.T, path string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range list {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

func TestBounds(t *testing.T) {
	now := time.Now()
	t.Run("drops what is older than it is kept", func(t *testing.T) {
		path := t.TempDir()
		s := open(t, Config{Path: path})
		s.Ended(accepted(1, now.AddDate(0, 0, -8)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Path: path})
		s.Ended(accepted(1, now))
		if l := timeline(t, s, Query{User: userOf(1)}); len(l.Entries) != 1 {
			t.Errorf("%d entries", len(l.Entries))
		}
	})
	t.Run("stays under its size, and keeps the newest", func(t *testing.T) {
		const bound = 1 << 20
		path := t.TempDir()
		s := open(t, Config{Path: path, MaxSize: bound})
		for i := range 20_000 {
			s.Ended(accepted(i, now))
			if i%500 == 0 {
				s.Flush()
				if n := s.Size(); n > bound+(64<<10) {
					t.Fatalf("%d bytes after %d entries", n, i)
				}
			}
		}
		if l := timeline(t, s, Query{User: userOf(19_999)}); len(l.Entries) != 1 {
			t.Errorf("the newest is not there: %+v", l)
		}
		if l := timeline(t, s, Query{User: userOf(1)}); len(l.Entries) != 0 {
			t.Errorf("the oldest is there: %+v", l)
		}
	})
}

func TestDamage(t *testing.T) {
	now := time.Now()
	write := func(t *testing.T) (path string, name string) {
		path = t.TempDir()
		s := open(t, Config{Path: path})
		for i := range 50 {
			s.Ended(accepted(i, now))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		list, err := filepath.Glob(filepath.Join(path, "*"+segmentSuffix))
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return path, list[0]
	}
	t.Run("begins empty where a file is no history", func(t *testing.T) {
		path, name := write(t)
		if err := os.WriteFile(name, []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Config{Path: path})
		if l := timeline(t, s, Query{User: userOf(1)}); len(l.Entries) != 0 {
			t.Errorf("%+v", l)
		}
		s.Ended(accepted(1, now))
		if l := timeline(t, s, Query{User: userOf(1)}); len(l.Entries) != 1 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("keeps what was whole before the end of a process", func(t *testing.T) {
		path, name := write(t)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{len(text) - 1, len(text) - 40, len(text) / 2, 100, 17} {
			if err := os.WriteFile(name, text[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Path: path})
			l := timeline(t, s, Query{User: userOf(0)})
			if want := cut > 1000; (len(l.Entries) == 1) != want {
				t.Errorf("cut at %d: %+v", cut, l.Entries)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("survives any byte that is wrong", func(t *testing.T) {
		path, name := write(t)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(text); at += 37 {
			bad := append([]byte(nil), text...)
			bad[at] ^= 0x55
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Path: path})
			timeline(t, s, Query{User: userOf(7)})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("an unsealed file of a process that was killed is read again", func(t *testing.T) {
		path := t.TempDir()
		s := open(t, Config{Path: path})
		s.Ended(accepted(1, now))
		s.Flush()
		other := t.TempDir() // as if the process had ended here
		if err := os.CopyFS(other, os.DirFS(path)); err != nil {
			t.Fatal(err)
		}
		if l := timeline(t, open(t, Config{Path: other}), Query{User: userOf(1)}); len(l.Entries) != 1 || l.Entries[0].Rows[0].Model != "customers" {
			t.Errorf("%+v", l)
		}
	})
}

func TestDrops(t *testing.T) {
	s := open(t, Config{})
	now := time.Now()
	s.Ended(accepted(1, now.Add(-time.Hour)))
	s.Flush()
	s.disk.Lock() // the disk does not answer
	n := 0
	for ; s.Dropped() == 0; n++ {
		s.Ended(accepted(1000+n, now))
	}
	s.Ended(accepted(1, now))
	s.disk.Unlock()
	if got := s.Dropped(); got != 2 {
		t.Errorf("%d were dropped", got)
	}
	s.Flush()
	s.Ended(accepted(1, now.Add(time.Hour)))
	l := timeline(t, s, Query{User: userOf(1)})
	if len(l.Entries) != 3 || !l.Entries[1].Gap || l.Entries[1].Count != 2 {
		t.Errorf("no gap: %+v", l.Entries)
	}
}

func TestKeepsSoManyASecond(t *testing.T) {
	s := open(t, Config{PerSecond: 10})
	now := time.Now()
	if err := s.Watch(userOf(3)); err != nil {
		t.Fatal(err)
	}
	s.Ended(accepted(1, now.Add(-time.Hour)))
	s.Flush()
	for range 15 {
		s.Ended(accepted(1, now))
	}
	for range 2 {
		s.Ended(accepted(3, now)) // is watched
	}
	if got := s.Dropped(); got != 5 {
		t.Errorf("%d of 15 were dropped, want 5", got)
	}
	for range 15 {
		s.Ended(accepted(1, now.Add(500*time.Millisecond)))
	}
	if got := s.Dropped(); got != 15 {
		t.Errorf("%d were dropped after half a second more, want 15", got)
	}
	s.Flush()
	s.Ended(accepted(1, now.Add(time.Hour)))
	l := timeline(t, s, Query{User: userOf(1)})
	gaps := 0
	for _, e := range l.Entries {
		if e.Gap {
			gaps += int(e.Count)
		}
	}
	if gaps != 15 {
		t.Errorf("a gap of %d is told, want 15", gaps)
	}
	if l := timeline(t, s, Query{User: userOf(3)}); len(l.Entries) < 2 {
		t.Errorf("of who is watched: %+v", l.Entries)
	}
}

func TestForget(t *testing.T) {
	now := time.Now()
	path := t.TempDir()
	s := open(t, Config{Path: path, MaxSize: 1 << 20})
	for i := range 2000 {
		s.Ended(accepted(i%100, now))
	}
	e := accepted(7, now)
	e.Outcome, e.Call, e.Sent = "suppressed", nil, nil
	s.Ended(e)
	s.Passed(0, accepted(7, now).Rows[0].Change, "filter")
	if err := s.Watch(userOf(7)); err != nil {
		t.Fatal(err)
	}
	s.Ended(accepted(7, now))
	if err := s.Forget(userOf(7), []connector.ModelRow{{Model: "customers", Key: keyOfRow(7)}}); err != nil {
		t.Fatal(err)
	}
	if l := timeline(t, s, Query{User: userOf(7), Rows: []connector.Key{keyOfRow(7)}}); len(l.Entries) != 0 {
		t.Errorf("still there: %+v", l.Entries[0])
	}
	if _, ok := s.Find(s.Ref(userOf(7))); ok || s.Knows(userOf(7)) {
		t.Error("the reference still names the user")
	}
	if !s.Watched(userOf(7)).IsZero() {
		t.Error("still watched")
	}
	h := newHasher(testKey)
	u, k := userOf(7), keyOfRow(7)
	of, rowID := h.user(&u), h.row(&k)
	if text := files(t, path); strings.Contains(text, string(of[:])) || strings.Contains(text, string(rowID[:])) {
		t.Error("a file still holds the hash")
	}
	for _, p := range s.payload.ring {
		if p.user == u {
			t.Error("a payload is still there")
		}
	}
	if l := timeline(t, s, Query{User: userOf(8), Limit: 100}); len(l.Entries) != 20 {
		t.Errorf("another user has %d entries", len(l.Entries))
	}
	s.Ended(accepted(9, now))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Path: path})
	if l := timeline(t, s, Query{User: userOf(9), Limit: 100}); len(l.Entries) != 21 {
		t.Errorf("after a restart another user has %d entries", len(l.Entries))
	}
}

func TestWatch(t *testing.T) {
	now := time.Now()
	s := open(t, Config{Now: func() time.Time { return now }})
	if err := s.Watch(userOf(1)); err != nil {
		t.Fatal(err)
	}
	s.Ended(accepted(1, now))
	s.Ended(accepted(2, now))
	for i := range Payloads + 1 {
		s.Ended(accepted(100+i, now))
		if i%100 == 0 {
			s.Flush()
		}
	}
	if l := timeline(t, s, Query{User: userOf(1)}); string(l.Entries[0].Payload) != `{"plan":"pro"}` {
		t.Errorf("payload of a watched user: %q", l.Entries[0].Payload)
	}
	if l := timeline(t, s, Query{User: userOf(2)}); l.Entries[0].Payload != nil || !l.Entries[0].HadPayload {
		t.Errorf("payload of another: %q", l.Entries[0].Payload)
	}
	for i := 2; i <= MaxWatched; i++ {
		if err := s.Watch(userOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Watch(userOf(99)); !errors.Is(err, ErrWatched) {
		t.Errorf("one too many: %v", err)
	}
	now = now.Add(WatchFor)
	if err := s.Watch(userOf(99)); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, Config{MaxSize: 2 << 20})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				s.Ended(accepted(g*10+i%10, time.Now()))
				s.Passed(0, accepted(i, time.Now()).Rows[0].Change, "filter")
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			if _, err := s.Timeline(Query{User: userOf(i % 40)}); err != nil {
				t.Error(err)
			}
			s.UserOf(keyOfRow(i))
			if i%10 == 0 {
				if err := s.Forget(userOf(i), nil); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
}

// BenchmarkEnded is what a row pays for its place in the history, and cpu-ns what it costs in all, the writing beside included.
func BenchmarkEnded(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir(), Key: testKey, PerSecond: 1 << 30, Models: []connector.ModelInfo{{Name: "customers"}}})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	list := make([]*connector.Ending, 1000)
	for i := range list {
		list[i] = accepted(i, now)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Ended(list[i%len(list)])
	}
	b.ReportMetric(float64(s.Dropped())/float64(b.N), "dropped/op")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWhole is Ended with the writing, at a pace at which nothing is dropped.
func BenchmarkWhole(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir(), Key: testKey, PerSecond: 1 << 30, Models: []connector.ModelInfo{{Name: "customers"}}})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	list := make([]*connector.Ending, 20_000)
	for i := range list {
		list[i] = accepted(i, now)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Ended(list[i%len(list)])
		if i%1000 == 0 {
			s.Flush()
		}
	}
	b.ReportMetric(float64(s.Size())/float64(b.N), "file-B/op")
	if s.Dropped() > 0 {
		b.Fatal("some were dropped")
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
