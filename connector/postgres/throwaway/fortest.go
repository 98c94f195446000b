package throwaway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TB is what of testing.TB is used here; the demo links this package and has no need of the testing package.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

const testTimeout = 10 * time.Minute // a first start may have to fetch the server

// ForTest starts a server for one test and stops it at the test's end. Where none can be started the test is skipped,
// and with the environment variable CI=true it fails.
func ForTest(t TB, settings ...map[string]string) *Server {
	t.Helper()
	all := map[string]string{}
	for _, s := range settings {
		maps.Copy(all, s)
	}
	return ForTestConfig(t, Config{Settings: all})
}

// ForTestConfig is ForTest with all of Config.
func ForTestConfig(t TB, cfg Config) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	s, err := Start(ctx, cfg)
	if err != nil {
		missing(t, err)
		return nil
	}
	t.Cleanup(s.Stop)
	return s
}

func missing(t TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs a PostgreSQL server: %v", err)
		return
	}
	t.Skipf("this test needs a PostgreSQL server: %v", err)
}

var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Shared is one server for all tests of a test binary; it ends with the process, or with StopShared. Tests take a
// database of their own with TestDatabase, and do not restart it or change its settings.
func Shared(t TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		shared.server, shared.err = Start(ctx, Config{Settings: map[string]string{
			"max_wal_senders": "60", "max_replication_slots": "60", "max_connections": "200",
		}})
	}
	if shared.err != nil {
		missing(t, shared.err)
		return nil
	}
	return shared.server
}

// StopShared stops the server of Shared, if there is one: for a TestMain that looks for goroutines left behind.
// The next Shared starts another one.
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.Stop()
	}
	shared.server, shared.err = nil, nil
}

// TestDatabase creates an empty database for one test and returns its URL. At the test's end its replication slots and
// then the database are dropped, whoever still uses them.
func (s *Server) TestDatabase(t TB) (url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.mu.Lock()
	s.dbCount++
	name := fmt.Sprintf("t%d_%s", s.dbCount, plainName(t.Name()))
	s.mu.Unlock()
	if err := s.CreateDatabase(ctx, name); err != nil {
		t.Fatalf("%v", err)
		return ""
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.DropDatabase(ctx, name); err != nil && s.PID() != 0 {
			t.Errorf("%v", err)
		}
	})
	return s.URL(name)
}

// plainName keeps what needs no quoting in SQL or in a slot's name; identifiers end at 63 bytes.
func plainName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, name)
	return name[:min(len(name), 40)]
}

// slotBusy tells that a slot was taken, or dropped by someone else, between two statements.
func slotBusy(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "55006" || pg.Code == "42704") // object_in_use, undefined_object
}

// DropDatabase drops a database with its replication slots; sessions and WAL senders that use them are ended.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	if err := s.DropSlots(ctx, name); err != nil {
		return err
	}
	return s.exec(ctx, fmt.Sprintf("drop database %q", name), "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// DropSlots drops the logical replication slots of a database, ending the WAL senders that hold them.
func (s *Server) DropSlots(ctx context.Context, db string) error {
	conn, err := pgx.Connect(ctx, s.URL(""))
	if err != nil {
		return fmt.Errorf("drop the slots of database %q: %w", db, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		// A client that reconnects takes its slot again, so both steps are repeated until none is left.
		if _, err = conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active`, db); err != nil {
			break
		}
		if _, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active`, db); err != nil && !slotBusy(err) {
			break
		}
		var left int
		if err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE database = $1`, db).Scan(&left); err != nil || left == 0 {
			break
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(pollEvery):
			continue
		}
		break
	}
	if err != nil {
		return fmt.Errorf("drop the slots of database %q: %w", db, err)
	}
	return nil
}
