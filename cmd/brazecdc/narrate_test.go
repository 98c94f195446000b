package main

import (
	"bytes"
	"testing"
	"time"

	"brazecdc/connector"
)

func textColumn(name string, key bool) connector.Column {
	return connector.Column{Name: name, Key: key, Kind: connector.KindText, Decode: func(raw string) (connector.Value, error) {
		return connector.Value{Kind: connector.KindText, Str: raw}, nil
	}}
}

func TestNarrator(t *testing.T) {
	table := &connector.Table{Name: "public.customers", Columns: []connector.Column{textColumn("id", true), textColumn("plan", false), textColumn("note", false)}}
	row := func(cells ...string) connector.Row {
		r := connector.Row{Table: table}
		for _, c := range cells {
			switch c {
			case "NULL":
				r.Cells = append(r.Cells, connector.Cell{State: connector.Null})
			case "absent":
				r.Cells = append(r.Cells, connector.Cell{})
			default:
				r.Cells = append(r.Cells, connector.Cell{State: connector.Set, Raw: c})
			}
		}
		return r
	}
	plan := &connector.FieldDef{Name: "plan"}
	effect := func(kind connector.Kind, json ...string) *connector.Effect {
		e := &connector.Effect{Kind: kind, User: connector.User{ID: "u-1"}, To: connector.User{ID: "u-2"}}
		for _, j := range json {
			e.Fields = append(e.Fields, connector.Field{Def: plan, JSON: []byte(j)})
		}
		return e
	}
	n := &narrator{models: []connector.ModelInfo{{Name: "customers"}}, t: terminal{out: &bytes.Buffer{}}}
	key := connector.Key{Table: "public.customers", ID: "raw"}
	moment := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		name string
		seen connector.Seen
		want string
	}{
		{"words an update by its columns", connector.Seen{
			Change: &connector.Change{Op: connector.Update, Key: key, Before: row("7", "free", "x"), After: row("7", "pro", "NULL")},
			Effect: effect(connector.Track, `"pro"`), Outcome: "accepted", Latency: 3 * time.Millisecond,
		}, `customers 7 update plan free→pro, note x→NULL  ->  POST /users/track u-1 {plan:"pro"}  201  3 ms`},
		{"leaves absent columns out", connector.Seen{
			Change: &connector.Change{Op: connector.Update, Key: key, Before: row("7", "free", "x"), After: row("7", "pro", "absent")},
			Effect: effect(connector.Track, `"pro"`), Outcome: "accepted", Latency: 12 * time.Second,
		}, `customers 7 update plan free→pro  ->  POST /users/track u-1 {plan:"pro"}  201  12 s`},
		{"says why there is no call", connector.Seen{
			Change: &connector.Change{Op: connector.Update, Key: key, Before: row("7", "free", "x"), After: row("7", "free", "x")},
			Effect: effect(connector.Track), Outcome: "suppressed",
		}, `customers 7 update (same values)  ->  no call: nothing that is mapped changed`},
		{"names a deleted row by its old image", connector.Seen{
			Change: &connector.Change{Op: connector.Delete, Key: key, Before: row("7", "free", "x")},
			Effect: effect(connector.DeleteUser), Outcome: "accepted", At: moment,
		}, `customers 7 delete  ->  POST /users/delete u-1  201  0 ms`},
		{"says that a row went along", connector.Seen{
			Change: &connector.Change{Op: connector.Insert, Key: key, After: row("8", "free", "x")},
			Effect: &connector.Effect{Kind: connector.DeleteUser, User: connector.User{ID: "u-1"}}, Outcome: "accepted", At: moment,
		}, `customers 8 insert  ->  in the call above`},
		{"says where a change went instead", connector.Seen{
			Change: &connector.Change{Op: connector.Insert, Key: key, After: row("7", "free", "x")},
			Effect: effect(connector.Track), Outcome: "quarantined", Reason: "email is invalid",
		}, `customers 7 insert  ->  u-1 quarantined: email is invalid`},
		{"words a row that someone sent", connector.Seen{Effect: &connector.Effect{Key: connector.Key{ID: "7"}, User: connector.User{ID: "u-1"},
			Fields: []connector.Field{{Def: plan, JSON: []byte(`null`)}}}, Outcome: "accepted"},
			`customers 7 sent on request  ->  POST /users/track u-1 {plan:null}  201  0 ms`},
		{"is silent about what only came in", connector.Seen{Change: &connector.Change{Op: connector.Insert, Key: key, After: row("7", "a", "b")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.seen.At.IsZero() {
				c.seen.At = moment.Add(time.Duration(i+1) * time.Second)
			}
			if got := n.line(c.seen); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
