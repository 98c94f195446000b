package postgres

import (
	"slices"
	"strconv"
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

// TestLookAcross: rows to judge a table by come from all over it, not only from where it begins, and are the same at each look.
func TestLookAcross(t *testing.T) {
	t.Parallel()
	const columns = `(id int, email text, rare text, pad text DEFAULT repeat('x', 60), PRIMARY KEY (id))`
	const values = ` SELECT i, CASE WHEN i > 27000 THEN 'bad' ELSE 'good' END, CASE WHEN i % 50 = 0 THEN 'rare' END FROM generate_series(1, 30000) i`
	d := newDB(t, `CREATE TABLE public.whole `+columns, `INSERT INTO public.whole`+values,
		`CREATE TABLE public.parted `+columns+` PARTITION BY RANGE (id)`, `CREATE TABLE public.parted_a PARTITION OF public.parted FOR VALUES FROM (0) TO (15000)`,
		`CREATE TABLE public.parted_b PARTITION OF public.parted DEFAULT`, `INSERT INTO public.parted`+values,
		`CREATE TABLE public.keyless (id int, email text)`, `INSERT INTO public.keyless SELECT i, CASE WHEN i > 27000 THEN 'bad' ELSE 'good' END FROM generate_series(1, 30000) i`,
		`CREATE TABLE public.small `+columns, `INSERT INTO public.small (id, email) SELECT i, CASE WHEN i > 900 THEN 'bad' ELSE 'good' END FROM generate_series(1, 1000) i`)
	l, err := NewLook(d.config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	read := func(t *testing.T, q LookQuery) (ids []string, bad int) {
		t.Helper()
		q.Order = Across
		err := l.Rows(t.Context(), q, func(r connector.Row) bool {
			if id := cell(r, "id").Raw; slices.Contains(ids, id) {
				t.Errorf("%s comes twice", id)
			}
			ids = append(ids, cell(r, "id").Raw)
			if cell(r, "email").Raw == "bad" {
				bad++
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids, bad
	}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			d.exec("ANALYZE")
		}
		for _, table := range []string{"public.whole", "public.parted", "public.keyless", "public.small"} {
			t.Run(table+", the server having counted the rows: "+strconv.FormatBool(analyzed), func(t *testing.T) {
				l.Forget(table)
				ids, bad := read(t, LookQuery{Table: table, Columns: []string{"id", "email"}, Limit: 200})
				if len(ids) != 200 || bad < 6 || bad > 70 {
					t.Errorf("%d rows, %d of them of the last tenth", len(ids), bad)
				}
				if again, _ := read(t, LookQuery{Table: table, Columns: []string{"id", "email"}, Limit: 200}); !slices.Equal(ids, again) {
					t.Error("the next look sees other rows")
				}
			})
		}
	}
	t.Run("the newest come first", func(t *testing.T) {
		if ids, _ := read(t, LookQuery{Table: "public.whole", Columns: []string{"id"}, Limit: 200}); ids[0] != "30000" || ids[1] != "29999" {
			t.Errorf("%v", ids[:5])
		}
	})
	t.Run("only those that have a value", func(t *testing.T) {
		ids, _ := read(t, LookQuery{Table: "public.whole", Columns: []string{"id", "rare"}, NotNull: "rare", Limit: 200})
		for _, id := range ids {
			if n, err := strconv.Atoi(id); err != nil || n%50 != 0 {
				t.Errorf("%s has no value", id)
			}
		}
		if len(ids) < 5 {
			t.Errorf("%d rows", len(ids))
		}
	})
	t.Run("the first rows where others can't be read", func(t *testing.T) {
		d.exec(`CREATE PUBLICATION p FOR TABLE public.small WHERE (1 / (501 - id) > -1000)`) // fails at row 501
		l.Forget("public.small")
		if ids, _ := read(t, LookQuery{Table: "public.small", Columns: []string{"id", "email"}, Limit: 200}); len(ids) != 200 || ids[199] != "200" {
			t.Errorf("%d rows, the last of them %v", len(ids), ids[len(ids)-1:])
		}
	})
}
