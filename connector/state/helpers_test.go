package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"brazecdc/connector"
)

var testConfig = DataConfig{Workspace: "staging", Endpoint: "https://rest.example.com"}

func openData(t testing.TB, path string, change ...func(*DataConfig)) *Data {
	t.Helper()
	cfg := testConfig
	for _, c := range change {
		c(&cfg)
	}
	d, err := OpenData(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// reopen closes d and opens the same folder again.
func reopen(t testing.TB, d *Data, path string) *Data {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return openData(t, path)
}

func apply(t testing.TB, d *Data, r connector.Record) {
	t.Helper()
	if err := d.Apply(context.Background(), &r); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, q connector.Quarantine, e connector.Entry) uint64 {
	t.Helper()
	id, err := q.Put(context.Background(), &e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func user(i int) connector.User { return connector.User{ID: fmt.Sprintf("u%d", i)} }

func entry(i int) connector.Entry {
	return connector.Entry{
		Stream: "slot", Offset: uint64(i), Change: connector.ChangeID{Commit: uint64(i), N: 1}, Model: "customers", Op: "update",
		Key: connector.Key{Table: "public.users", ID: fmt.Sprint(i)}, User: user(i), Class: "rejected", Reason: "no e-mail address",
		After: []byte(`{"id":"1","email":"x"}`), Attempts: 1,
	}
}

func ids(es []connector.Entry) []uint64 {
	var out []uint64
	for _, e := range es {
		out = append(out, e.ID)
	}
	return out
}

func listed(t testing.TB, q connector.Quarantine, f connector.EntryFilter) []connector.Entry {
	t.Helper()
	es, err := q.List(f)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

// sorted puts a state's lists, whose order is not promised, into one.
func sorted(s *connector.State) *connector.State {
	c := *s
	c.Positions = sortedBy(s.Positions)
	c.Loads = sortedBy(s.Loads)
	c.Done = sortedBy(s.Done)
	c.Settling = sortedBy(s.Settling)
	c.Held = sortedBy(s.Held)
	c.Paused = sortedBy(s.Paused)
	c.Renamed = sortedBy(s.Renamed)
	c.Models = sortedBy(s.Models)
	return &c
}

func sortedBy[T any](in []T) []T {
	return slices.SortedFunc(slices.Values(in), func(a, b T) int { return cmp.Compare(fmt.Sprintf("%#v", a), fmt.Sprintf("%#v", b)) })
}

func wantState(t interface {
	Helper()
	Fatalf(string, ...any)
}, got, want *connector.State) {
	t.Helper()
	if diff := gocmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("state differs (- wanted, + got):\n%s", diff)
	}
}

func wantExit(t testing.TB, err error, code int) *connector.StopError {
	t.Helper()
	stop, ok := errors.AsType[*connector.StopError](err)
	if !ok {
		t.Fatalf("got %v, want a StopError", err)
	}
	if stop.Code != code {
		t.Fatalf("got exit code %d (%v), want %d", stop.Code, err, code)
	}
	if stop.Fix == "" {
		t.Errorf("%v does not say what to do", err)
	}
	return stop
}

var testTime = time.Date(2026, 11, 5, 12, 0, 0, 1234, time.UTC)

// copyFolder copies a folder as it is on disk at this moment.
func copyFolder(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
