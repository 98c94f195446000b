package postgres

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type pgconnConn = pgconn.PgConn

func copyRows(rows [][]any) pgx.CopyFromSource { return pgx.CopyFromRows(rows) }

func mustAtoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func unmarshal(s string, v any) error { return json.Unmarshal([]byte(s), v) }
