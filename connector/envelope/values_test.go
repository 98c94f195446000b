package envelope

import (
	"context"
	"os"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
	"brazecdc/schemas"
)

func TestValues(t *testing.T) {
	all := sourcetest.ReadValues(t)
	for _, m := range sourcetest.Recordings {
		var hints []Columns
		var rows []sourcetest.ValueRow
		for _, r := range all.Rows {
			if !recorded(m.Folder, r.Table) {
				continue
			}
			hints = append(hints, Columns{Topics: only(m.Folder + ".public." + r.Table), Types: m.Types(r)})
			rows = append(rows, m.Has(r))
		}
		t.Run(m.Folder, func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, m.Folder), Columns: hints})
			for _, r := range rows {
				row := firstRow(t, d, sample(t, m.Folder, "public."+r.Table), r.Key)
				t.Run(r.Table+" "+r.Key, func(t *testing.T) { r.Check(t, row, m.Loses) })
			}
			if len(rows) == 0 {
				t.Fatal("no sample has a row of the table")
			}
		})
	}
}

// recorded tells whether a connector's recording has a table.
func recorded(folder, table string) bool {
	_, err := os.Stat("testdata/debezium/" + folder + "/public." + table + ".jsonl")
	return err == nil
}

// TestRowChangeValues writes the whole table of values as the connector's own records, from the values that are wanted.
func TestRowChangeValues(t *testing.T) {
	for _, r := range sourcetest.ReadValues(t).Rows {
		t.Run(r.Table+" "+r.Key, func(t *testing.T) {
			change := schemas.RowChange{Key: map[string]any{"id": r.Key}, After: map[string]any{}}
			for _, c := range r.Columns {
				change.After[c.Name] = sourcetest.AsGo(sourcetest.Parse(t, c.Left("own")))
			}
			b, err := change.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			changes, _ := decodeAll(t, decoder(t, Config{}), []*Record{{Topic: "own", Value: b}})
			r.Check(t, changes[0].After, "own")
		})
	}
}

// firstRow decodes records until one brings the row with that key for the first time.
func firstRow(t *testing.T, d *Decoder, records []*Record, key string) connector.Row {
	t.Helper()
	for _, r := range records {
		out, _, err := d.Decode(context.Background(), nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) == 1 && out[0].Key.ID == key && out[0].After.Exists() {
			return out[0].After
		}
	}
	t.Fatalf("no record has the row %s", key)
	return connector.Row{}
}
