package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/sourcetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	throwaway.StopShared()
	os.Exit(code)
}

// testTime bounds every wait of a test.
const testTime = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// db is a database of one test.
type db struct {
	t   testing.TB
	url string
	c   *pgx.Conn
}

const usersSQL = `CREATE TABLE users(id bigint PRIMARY KEY, external_id text NOT NULL, email text, bio text, plan text, attrs jsonb)`

func newDB(t testing.TB, sql ...string) *db {
	t.Helper()
	return openDB(t, throwaway.Shared(t).TestDatabase(t), sql...)
}

func openDB(t testing.TB, url string, sql ...string) *db {
	t.Helper()
	c, err := pgx.Connect(testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	d := &db{t: t, url: url, c: c}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	for _, s := range sql {
		d.exec(s)
	}
	return d
}

func (d *db) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.c.Exec(testContext(d.t), sql, args...); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// text gives one value as text.
func (d *db) text(sql string, args ...any) string {
	d.t.Helper()
	var s *string
	if err := d.c.QueryRow(testContext(d.t), "SELECT ("+sql+")::text", args...).Scan(&s); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	if s == nil {
		return ""
	}
	return *s
}

// slot gives a name for the test's slot; slots are known to the whole server, so it contains the database.
func (d *db) slot() string { return "s_" + d.text("current_database()") }

func (d *db) config(change ...func(*Config)) Config {
	slot := d.slot()
	cfg := Config{URL: d.url, Slot: slot[:min(len(slot), 60)], Publication: "p", Create: true, StatusInterval: 200 * time.Millisecond, StartTimeout: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(testLog{d.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

// testLog writes log lines to the test's output while it runs.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if os.Getenv("BRAZECDC_TEST_LOG") != "" {
		fmt.Fprint(os.Stderr, string(b))
	}
	return len(b), nil
}

// run is one run of a Source, with what it recorded.
type run struct {
	t        testing.TB
	s        *Source
	opened   connector.Opened
	recorded connector.Recorded
	loads    []connector.Load
	// hold keeps the run from committing.
	hold bool
	got  []connector.Change
}

func start(t testing.TB, cfg Config, st connector.Start) *run {
	t.Helper()
	r, err := tryStart(t, cfg, st)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return r
}

func tryStart(t testing.TB, cfg Config, st connector.Start) (*run, error) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	o, err := s.Open(testContext(t), st)
	if err != nil {
		return nil, err
	}
	r := &run{t: t, s: s, opened: o}
	for _, rec := range st.Recorded {
		r.recorded = rec
	}
	t.Cleanup(r.close)
	return r, nil
}

func (r *run) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.s.Close(ctx); err != nil {
		r.t.Errorf("close: %v", err)
	}
}

// start gives what the next run starts with.
func (r *run) start(tables ...string) connector.Start {
	return connector.Start{Recorded: []connector.Recorded{r.recorded}, Tables: tables, Loads: r.loads}
}

func (r *run) next(within time.Duration) (connector.Batch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	b, err := r.s.Next(ctx)
	if err != nil {
		return b, err
	}
	r.got = append(r.got, b.Changes...)
	if b.Load != nil && !r.hold {
		r.s.Commit(b.Position)
	}
	if strings.HasPrefix(b.Position.Stream, "slot/") {
		if b.Position.Offset < r.recorded.Position.Offset {
			r.t.Fatalf("position went back from %s to %s", lsn(r.recorded.Position.Offset), lsn(b.Position.Offset))
		}
		if !r.hold {
			r.recorded.Position = b.Position
			if b.Memo != nil {
				r.recorded.Memo = b.Memo
			}
			r.s.Commit(b.Position)
		}
	}
	return b, nil
}

// until takes batches until ok holds.
func (r *run) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(testTime)
	for !ok() {
		left := time.Until(deadline)
		if left <= 0 {
			r.t.Fatalf("%s: not within %s; %d changes came", what, testTime, len(r.got))
		}
		if _, err := r.next(min(left, 100*time.Millisecond)); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			r.t.Fatalf("%s: %v", what, err)
		}
	}
}

// changes waits for n changes in all since the start of the run and gives those from the first on.
func (r *run) changes(n int) []connector.Change {
	r.t.Helper()
	r.until(fmt.Sprintf("%d changes", n), func() bool { return len(r.got) >= n })
	if len(r.got) > n {
		r.t.Fatalf("%d changes came, want %d: %s", len(r.got), n, describe(r.got))
	}
	return r.got
}

// describe prints changes for a message.
func describe(changes []connector.Change) string {
	var b strings.Builder
	for i, c := range changes {
		if i == 20 {
			fmt.Fprintf(&b, "… %d more", len(changes)-i)
			break
		}
		b.WriteString(show(c) + "; ")
	}
	return b.String()
}

// show prints a change shortly: "update users 1 {id:1 bio:?} from {…}". ? is an absent, ! a NULL column.
func show(c connector.Change) string {
	s := c.Op.String() + " " + c.Key.Table + " " + c.Key.ID
	if c.OldKey.Table != "" {
		s += " was " + c.OldKey.ID
	}
	if c.After.Exists() {
		s += " " + showRow(c.After)
	}
	if c.Before.Exists() {
		s += " from " + showRow(c.Before)
	}
	return s
}

func showRow(r connector.Row) string {
	var parts []string
	for i, c := range r.Cells {
		v := c.Raw
		switch c.State {
		case connector.Absent:
			v = "?"
		case connector.Null:
			v = "!"
		}
		if len(v) > 40 {
			v = v[:10] + fmt.Sprintf("…(%d)", len(v))
		}
		parts = append(parts, r.Table.Columns[i].Name+":"+v)
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// eventually polls a condition of the server.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !sourcetest.Poll(testTime, 20*time.Millisecond, ok) {
		t.Fatalf("%s: not within %s", what, testTime)
	}
}

func users() connector.Start { return connector.Start{Tables: []string{"public.users"}} }
