package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

// plainRow is what this suite writes into a topic; how real envelopes decode is connector/envelope's to test.
type plainRow struct {
	Op connector.Op
	ID int
	V  string
}

func TestConformance(t *testing.T) {
	table := &connector.Table{Name: "rows", Rows: -1, Columns: []connector.Column{
		{Name: "id", Kind: connector.KindInt, Key: true, Decode: func(raw string) (connector.Value, error) {
			n, err := strconv.ParseInt(raw, 10, 64)
			return connector.Value{Kind: connector.KindInt, Int: n}, err
		}},
		{Name: "v", Kind: connector.KindText, Decode: func(raw string) (connector.Value, error) {
			return connector.Value{Kind: connector.KindText, Str: raw}, nil
		}}}}
	decode := func(_ context.Context, r *Record) ([]connector.Change, string, error) {
		var p plainRow
		if err := json.Unmarshal(r.Value, &p); err != nil {
			return nil, "", &PoisonError{Reason: err.Error()}
		}
		row := connector.Row{Table: table, Cells: []connector.Cell{{State: connector.Set, Raw: fmt.Sprint(p.ID)}, {State: connector.Set, Raw: p.V}}}
		c := connector.Change{Key: connector.Key{Table: table.Name, ID: fmt.Sprint(p.ID)}, Op: p.Op}
		if p.Op == connector.Delete {
			c.Before = row
		} else {
			c.After = row
		}
		return []connector.Change{c}, "", nil
	}
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		b := newBed(t)
		b.topic("rows", 1)
		return sourcetest.Subject{
			Table: "rows",
			New: func(t testing.TB) connector.Source {
				cfg := b.config()
				cfg.Decode = decode
				s, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Write: func(t testing.TB, rows ...sourcetest.Row) {
				t.Helper()
				var recs []*kgo.Record
				for _, r := range rows {
					v, err := json.Marshal(plainRow(r))
					if err != nil {
						t.Fatal(err)
					}
					recs = append(recs, &kgo.Record{Topic: "rows", Key: fmt.Append(nil, r.ID), Value: v})
				}
				b.produce(recs...)
			},
		}
	})
}
