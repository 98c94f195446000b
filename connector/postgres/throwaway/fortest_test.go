package throwaway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"brazecdc/connector/postgres/throwaway"
)

// fakeT records what a test would have been told.
type fakeT struct {
	skipped, failed string
	cleanups        []func()
}

func (f *fakeT) Helper() {}
func (f *fakeT) Name() string {
	return "TestX/Ünicode name: 'quoted' and much longer than an identifier may be"
}
func (f *fakeT) Cleanup(fn func())                 { f.cleanups = append(f.cleanups, fn) }
func (f *fakeT) Skipf(format string, args ...any)  { f.skipped = fmt.Sprintf(format, args...) }
func (f *fakeT) Fatalf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...) }
func (f *fakeT) Errorf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...) }
func (f *fakeT) end() {
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}

func TestMissingServer(t *testing.T) {
	for _, ci := range []string{"", "true"} {
		t.Run("CI="+ci, func(t *testing.T) {
			t.Setenv("CI", ci)
			t.Setenv("BRAZECDC_PG_BIN", t.TempDir())
			undo := throwaway.SetShared(errors.New("no server here"))
			defer undo()
			one, all := &fakeT{}, &fakeT{}
			throwaway.ForTest(one)
			throwaway.Shared(all)
			for _, f := range []*fakeT{one, all} {
				if (f.failed != "") != (ci == "true") || (f.skipped != "") != (ci == "") {
					t.Errorf("skipped %q, failed %q", f.skipped, f.failed)
				}
			}
			if !strings.Contains(all.failed+all.skipped, "no server here") {
				t.Errorf("the reason is missing: %q%q", all.failed, all.skipped)
			}
		})
	}
}

func TestShared(t *testing.T) {
	s := throwaway.Shared(t)
	if throwaway.Shared(t) != s {
		t.Error("a second server was started")
	}
	one, two := s.TestDatabase(t), s.TestDatabase(t)
	exec(t, one, "CREATE TABLE only_here (n int)")
	if got := query(t, two, "SELECT count(*)::text FROM pg_class WHERE relname = 'only_here'"); got != "0" {
		t.Error("two tests share a database")
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	s := throwaway.Shared(t)
	f := &fakeT{}
	url := s.TestDatabase(f)
	if f.failed != "" {
		t.Fatal(f.failed)
	}
	db := query(t, url, "SELECT current_database()")
	query(t, url, "SELECT slot_name::text FROM pg_create_logical_replication_slot($1, 'pgoutput')", db+"_idle")

	// A session and a WAL sender that never leave by themselves.
	session, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(context.Background())
	exec(t, url, "CREATE PUBLICATION p")
	sender, err := pgconn.Connect(t.Context(), url+"&replication=database")
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close(context.Background())
	if _, err := sender.Exec(t.Context(), "CREATE_REPLICATION_SLOT "+db+"_busy LOGICAL pgoutput").ReadAll(); err != nil {
		t.Fatal(err)
	}
	sender.Frontend().Send(startReplication(db + "_busy"))
	if err := sender.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	until(t, "the slot is active", func() bool {
		return query(t, s.URL(""), "SELECT active::text FROM pg_replication_slots WHERE slot_name = $1", db+"_busy") == "true"
	})

	f.end()

	if f.failed != "" {
		t.Error(f.failed)
	}
	if got := query(t, s.URL(""), "SELECT count(*)::text FROM pg_database WHERE datname = $1", db); got != "0" {
		t.Error("the database is still there")
	}
	if got := query(t, s.URL(""), "SELECT count(*)::text FROM pg_replication_slots WHERE database = $1", db); got != "0" {
		t.Errorf("%s slots are still there", got)
	}
}

func TestPlainName(t *testing.T) {
	got := throwaway.PlainName((&fakeT{}).Name())
	if len(got) > 40 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		t.Errorf("got %q", got)
	}
}

func TestConfiguration(t *testing.T) {
	t.Run("the caller's settings go over the defaults", func(t *testing.T) {
		got, err := throwaway.Configuration(map[string]string{"wal_level": "replica", "a.b": `x'y\z`}, "/s")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"wal_level = 'replica'\n", `a.b = 'x''y\\z'` + "\n", "unix_socket_directories = '/s'\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("lacks %q:\n%s", want, got)
			}
		}
		if strings.Contains(got, "'logical'") {
			t.Errorf("the default is still there:\n%s", got)
		}
	})
	t.Run("a socket path that is too long is left out", func(t *testing.T) {
		got, _ := throwaway.Configuration(nil, "/"+strings.Repeat("x", 120))
		if !strings.Contains(got, "unix_socket_directories = ''\n") {
			t.Errorf("got:\n%s", got)
		}
	})
	t.Run("a value cannot start a line of its own", func(t *testing.T) {
		if _, err := throwaway.Configuration(map[string]string{"work_mem": "1\nfsync = on"}, "/s"); err == nil {
			t.Error("accepted")
		}
	})
}

func TestCompareVersions(t *testing.T) {
	for _, pair := range [][2]string{{"9.6", "15.14"}, {"15.9", "15.14"}, {"15", "15.1"}, {"17.6", "18"}} {
		if throwaway.CompareVersions(pair[0], pair[1]) >= 0 || throwaway.CompareVersions(pair[1], pair[0]) <= 0 {
			t.Errorf("%s is not before %s", pair[0], pair[1])
		}
	}
}

func startReplication(slot string) *pgproto3.Query {
	return &pgproto3.Query{String: "START_REPLICATION SLOT " + slot + " LOGICAL 0/0 (proto_version '1', publication_names 'p')"}
}
