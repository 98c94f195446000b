package postgres

import (
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

func TestSource(t *testing.T) {
	all := sourcetest.ReadValues(t)
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		d := newDB(t, append(all.Create(), `CREATE TABLE rows(id int PRIMARY KEY, v text)`)...)
		tables := []string{"public.rows"}
		for _, name := range all.Tables() {
			tables = append(tables, "public."+name)
		}
		// Without a record a slot is read from where it stands, so it is made before the first row is written.
		start(t, d.config(), connector.Start{Tables: tables}).close()
		return sourcetest.Subject{
			Table: "public.rows",
			Reads: true,
			New: func(t testing.TB) connector.Source {
				s, err := New(d.config())
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Write: func(t testing.TB, rows ...sourcetest.Row) {
				t.Helper()
				d.exec(`BEGIN`)
				for _, r := range rows {
					switch r.Op {
					case connector.Insert:
						d.exec(`INSERT INTO rows VALUES ($1, $2)`, r.ID, r.V)
					case connector.Update:
						d.exec(`UPDATE rows SET v = $2 WHERE id = $1`, r.ID, r.V)
					case connector.Delete:
						d.exec(`DELETE FROM rows WHERE id = $1`, r.ID)
					}
				}
				d.exec(`COMMIT`)
			},
			ValueTable: func(name string) string { return "public." + name },
			WriteValues: func(t testing.TB, all sourcetest.Values) {
				t.Helper()
				for _, r := range all.Rows {
					d.exec(r.Insert())
				}
			},
		}
	})
}
