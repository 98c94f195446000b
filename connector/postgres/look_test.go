package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// TestLookAfterAnIdleTime: the server may have ended all of a Look's sessions, and whoever looks again notices nothing.
func TestLookAfterAnIdleTime(t *testing.T) {
	t.Parallel()
	d := newDB(t, usersSQL, `INSERT INTO users (id, external_id) VALUES (1, 'u')`)
	l, err := NewLook(d.config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	// Two at once, so that both sessions are there.
	err = l.With(t.Context(), func(*pgconn.PgConn) error {
		return l.With(t.Context(), func(*pgconn.PgConn) error { return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if ended := d.text(`SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'brazecdc pages' AND datname = current_database()`); ended != "2" {
		t.Fatalf("%s sessions were there", ended)
	}
	n := 0
	if err := l.Rows(t.Context(), LookQuery{Table: "public.users", Limit: 5}, func(connector.Row) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}
