package postgres

import (
	"strconv"
	"testing"

	"brazecdc/connector"
)

func TestSample(t *testing.T) {
	d := newDB(t, `CREATE TABLE public.spread (region text, id int, plan text, PRIMARY KEY (region, id))`, `CREATE TABLE public.keyless (id int)`,
		`INSERT INTO public.spread SELECT 'r' || i % 3, i, 'p' FROM generate_series(1, 30000) i`, `INSERT INTO public.keyless SELECT i FROM generate_series(1, 50) i`)
	s, err := New(d.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	read := func(t *testing.T, table string, n int) (regions map[string]int, keys map[string]bool) {
		t.Helper()
		rows, err := s.Sample(t.Context(), table, n)
		if err != nil {
			t.Fatal(err)
		}
		regions, keys = map[string]int{}, map[string]bool{}
		for _, r := range rows {
			keys[cell(r, "id").Raw] = true
			if r.Table.Column("region") >= 0 {
				regions[cell(r, "region").Raw]++
			}
		}
		if len(keys) != len(rows) {
			t.Errorf("%d rows with %d keys", len(rows), len(keys))
		}
		return regions, keys
	}
	for _, analyzed := range []bool{false, true} {
		t.Run("is spread over the key, the server having counted the rows: "+strconv.FormatBool(analyzed), func(t *testing.T) {
			if analyzed {
				d.exec("ANALYZE public.spread")
			}
			regions, keys := read(t, "public.spread", 100)
			if len(keys) < 80 || len(keys) > 100 || len(regions) != 3 {
				t.Errorf("%d rows, by region %v", len(keys), regions)
			}
		})
	}
	t.Run("is all of a table that has no more rows, each once", func(t *testing.T) {
		d.exec("DELETE FROM public.spread WHERE id > 60")
		if _, keys := read(t, "public.spread", 60); len(keys) != 60 {
			t.Errorf("%d rows", len(keys))
		}
		if _, keys := read(t, "public.spread", 7); len(keys) != 7 {
			t.Errorf("%d rows", len(keys))
		}
	})
	t.Run("is the first rows of a table without a key", func(t *testing.T) {
		if _, keys := read(t, "public.keyless", 10); len(keys) != 10 {
			t.Errorf("%d rows", len(keys))
		}
	})
	t.Run("names the table that is not there", func(t *testing.T) {
		if _, err := s.Sample(t.Context(), "public.gone", 1); connector.ExitCode(err) != connector.ExitTableUnfit {
			t.Errorf("%v", err)
		}
	})
}
