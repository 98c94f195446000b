package state

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"brazecdc/connector"
)

func TestMain(m *testing.M) {
	switch os.Getenv("STATE_TEST_CHILD") {
	case "crash":
		crashChild()
	case "full":
		fullChild()
	case "cachefull":
		cacheFullChild()
	default:
		goleak.VerifyTestMain(m)
	}
}

func fullRecord() connector.Record {
	odd := "id\x00\xff\xfe|ü"
	return connector.Record{
		Positions: []connector.Recorded{
			{Position: connector.Position{Stream: "slot", Offset: 1 << 63}, Memo: []byte{0, 1}},
			{Position: connector.Position{Stream: "load/a", Offset: 3}},
		},
		Loads: []connector.LoadState{{
			Load:    connector.Load{ID: "a", Model: "customers", Table: "public.users", Cursor: []byte("k\x00"), Rows: 7},
			Started: testTime, Estimate: -1,
		}, {
			Load:    connector.Load{ID: "b", Model: "customers", Table: "public.users", Keys: []string{odd, ""}, Share: 25},
			Started: testTime, Finished: testTime, Estimate: 1 << 40, Nulls: true,
			Resync: &connector.Resync{Where: `plan != "\x00"`, Fields: []string{"plan", "a"}, All: true, Scheduled: true},
			Paused: true, Cancelled: true, Closing: true, Sent: 1, Same: 2, Mark: "loading", Unmarked: 3, Met: 4, Gone: 5,
		}},
		Done: []connector.DoneID{
			{Stream: "slot", Table: "public.users", ID: connector.ChangeID{Commit: 1 << 63, N: 2}, Kind: connector.DeleteUser, User: user(1)},
			{Stream: "slot", Table: "public.users", ID: connector.ChangeID{Commit: 1<<63 - 1, N: 2}, Kind: connector.Rename, User: user(1), Refused: true},
		},
		Settling: []connector.Settling{{User: connector.User{Kind: connector.Alias, ID: odd, Label: "crm"}, Until: testTime, Waits: &connector.StoredEffect{
			Kind: connector.Track, User: user(1), To: user(2), Model: "customers",
			Rows:   []connector.StoredRow{{Model: "customers", Key: connector.Key{Table: "public.users", ID: odd}, Whole: true}},
			Fields: []connector.StoredField{{Model: "customers", Name: "plan", JSON: []byte(`"x"`), Omit: true}}, UpdateOnly: true, Owner: true, Creates: true,
		}}, {User: user(9), Until: time.Time{}}},
		Held:    []connector.HeldDelete{{User: user(2), Model: "customers", Key: connector.Key{Table: "public.users", ID: odd}, Reason: "data/ was lost", At: testTime}},
		Paused:  []connector.Pause{{Model: "customers", Reason: "truncate", At: testTime, Stale: 5}},
		Renamed: []string{odd, "b"},
		Models:  []connector.ModelState{{Name: "customers", Hash: 1 << 63, Proven: true, Unproven: []string{"plan"}, Fields: map[string]uint64{"plan": 1, "a": 2}, Next: testTime, Schedule: "0 3 * * * UTC"}},
		Clean:   true,
	}
}

func TestOpenData(t *testing.T) {
	t.Run("is new until something is recorded", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		wantState(t, d.State(), &connector.State{New: true})
		d = reopen(t, d, dir)
		wantState(t, d.State(), &connector.State{New: true})
		apply(t, d, connector.Record{})
		wantState(t, reopen(t, d, dir).State(), &connector.State{})
	})
	t.Run("gives back every byte and time of what was recorded", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		r := fullRecord()
		apply(t, d, r)
		wantState(t, reopen(t, d, dir).State(), &connector.State{
			Clean: true, Positions: r.Positions, Loads: r.Loads, Done: r.Done[:1], Settling: r.Settling, Held: r.Held, Paused: r.Paused,
			Renamed: r.Renamed, Models: r.Models,
		})
	})
	t.Run("another label or endpoint starts empty, the first finds its own again", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Renamed: []string{"a"}})
		put(t, d.Quarantine(), entry(1))
		d.Close()
		for _, other := range []func(*DataConfig){
			func(c *DataConfig) { c.Workspace = "production" },
			func(c *DataConfig) { c.Workspace = "STAGING" },
			func(c *DataConfig) { c.Endpoint = "https://rest.example.org" },
		} {
			d = openData(t, dir, other)
			if !d.State().New || len(d.Quarantine().Counts()) != 0 {
				t.Errorf("%s: got state %+v", d.Folder(), d.State())
			}
			d.Close()
		}
		d = openData(t, dir, func(c *DataConfig) { c.Endpoint = "HTTPS://rest.EXAMPLE.com/" })
		if d.State().New || len(listed(t, d.Quarantine(), connector.EntryFilter{})) != 1 {
			t.Errorf("the same endpoint written in another way got %+v", d.State())
		}
	})
	t.Run("a file in the wrong folder is refused", func(t *testing.T) {
		dir := t.TempDir()
		a := openData(t, dir)
		a.Close()
		b := openData(t, dir, func(c *DataConfig) { c.Workspace = "production" })
		b.Close()
		if err := os.Rename(filepath.Join(a.Folder(), "journal.db"), filepath.Join(b.Folder(), "journal.db")); err != nil {
			t.Fatal(err)
		}
		_, err := OpenData(dir, DataConfig{Workspace: "production", Endpoint: testConfig.Endpoint})
		if stop := wantExit(t, err, connector.ExitStoreLocked); !strings.Contains(stop.What, `"staging"`) {
			t.Error(stop)
		}
	})
	t.Run("needs something to be bound to", func(t *testing.T) {
		if _, err := OpenData(t.TempDir(), DataConfig{Workspace: "staging"}); err == nil {
			t.Error("no error without an endpoint")
		}
	})
	t.Run("a newer format is refused and left as it is", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		err := d.journal.update(func(tx *bbolt.Tx) error { return putNumber(tx, keyFormat, format+1) })
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		_, err = OpenData(dir, testConfig)
		if stop := wantExit(t, err, connector.ExitStoreLocked); !strings.Contains(stop.What, "newer version") {
			t.Error(stop)
		}
		_, err = OpenData(dir, testConfig)
		_ = wantExit(t, err, connector.ExitStoreLocked) // and not "locked by another process"
		if !strings.Contains(err.Error(), "newer version") {
			t.Error(err)
		}
	})
}

func TestLock(t *testing.T) {
	t.Run("a second opener is told the file and the process", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		for _, readOnly := range []bool{false, true} {
			cfg := testConfig
			cfg.ReadOnly = readOnly
			_, err := OpenData(dir, cfg)
			stop := wantExit(t, err, connector.ExitStoreLocked)
			if !strings.Contains(stop.What, filepath.Join(dir, "lock")) || !strings.Contains(stop.What, "process ") {
				t.Errorf("got %q", stop.What)
			}
		}
		d.Close()
		openData(t, dir)
	})
	t.Run("readers share, and keep a writer out", func(t *testing.T) {
		dir := t.TempDir()
		openData(t, dir).Close()
		readOnly := func(c *DataConfig) { c.ReadOnly = true }
		openData(t, dir, readOnly)
		openData(t, dir, readOnly)
		_, err := OpenData(dir, testConfig)
		_ = wantExit(t, err, connector.ExitStoreLocked)
	})
}

func TestReadOnly(t *testing.T) {
	readOnly := func(c *DataConfig) { c.ReadOnly = true }
	t.Run("shows what is there and refuses to write", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Renamed: []string{"a"}})
		id := put(t, d.Quarantine(), entry(1))
		d.Close()
		d = openData(t, dir, readOnly)
		wantState(t, d.State(), &connector.State{Renamed: []string{"a"}})
		if e, err := d.Quarantine().Entry(id); err != nil || e.User != user(1) {
			t.Errorf("got %v, %v", e, err)
		}
		if err := d.Apply(context.Background(), &connector.Record{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Apply gave %v", err)
		}
		if _, err := d.Quarantine().Put(context.Background(), &connector.Entry{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Put gave %v", err)
		}
	})
	t.Run("makes no folder where none is", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		d := openData(t, dir, readOnly)
		if !d.State().New || len(listed(t, d.Quarantine(), connector.EntryFilter{})) != 0 {
			t.Errorf("got %+v", d.State())
		}
		if _, err := d.Quarantine().Entry(1); err == nil {
			t.Error("no error for an entry of nothing")
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the folder was made: %v", err)
		}
	})
	t.Run("works in a folder without write permission", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Renamed: []string{"a"}})
		d.Close()
		for _, p := range []string{d.Folder(), dir} {
			if err := os.Chmod(p, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Chmod(p, 0o700); err != nil {
					t.Error(err)
				}
			})
		}
		if d = openData(t, dir, readOnly); d.State().New {
			t.Error("the content is gone")
		}
	})
}

// child runs this test binary again as the named child.
func child(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "STATE_TEST_CHILD="+name), env...)
	return cmd
}

func TestOnlyBinding(t *testing.T) {
	dir := t.TempDir()
	if _, _, ok, err := OnlyBinding(dir); ok || err != nil {
		t.Errorf("of an empty folder: %v, %v", ok, err)
	}
	for i, workspace := range []string{"shop", "staging"} {
		d, err := OpenData(dir, DataConfig{Workspace: workspace, Endpoint: "https://rest.fra-01.braze.eu/"})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		w, e, ok, err := OnlyBinding(dir)
		if err != nil || ok != (i == 0) || ok && (w != "shop" || e != "https://rest.fra-01.braze.eu") {
			t.Errorf("%q at %q, %v, %v after %d workspaces", w, e, ok, err, i+1)
		}
	}
	if _, _, _, err := OnlyBinding(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there is told")
	}
}
