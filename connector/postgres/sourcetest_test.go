package postgres

import (
	"fmt"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

func TestSource(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		d := newDB(t, `CREATE TABLE rows(id int PRIMARY KEY, v text)`)
		var cols, vals []string
		for _, v := range sourcetest.Values {
			cols = append(cols, v.Name+" "+v.Type)
			vals = append(vals, v.Literal)
		}
		d.exec(`CREATE TABLE vals(id serial PRIMARY KEY, ` + strings.Join(cols, ", ") + `)`)
		// Without a record a slot is read from where it stands, so it is made before the first row is written.
		start(t, d.config(), connector.Start{Tables: []string{"public.rows", "public.vals"}}).close()
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
			WriteValues: func(t testing.TB) string {
				d.exec(fmt.Sprintf(`INSERT INTO vals VALUES (DEFAULT, %s)`, strings.Join(vals, ", ")))
				return "public.vals"
			},
		}
	})
}
