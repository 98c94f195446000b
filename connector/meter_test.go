package connector

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPoints(t *testing.T) {
	def := &FieldDef{Name: "x"}
	for json, want := range map[string]int{
		`"a"`: 1, `null`: 1, `12.5`: 1, `[]`: 1, `["a","b"]`: 1, `{"lang":"ja","mail":{"freq":2}}`: 2, `{}`: 1, `[{"id":1,"n":"a"},{"id":2,"n":"b"}]`: 4,
		`{"$update":[{"$identifier_key":"id","$identifier_value":2,"$new_object":{"n":"c"}}]}`: 1, `{"add":["x","y"],"remove":["z"]}`: 3, `{"$add":[{"id":3,"n":"c"}]}`: 2,
	} {
		if got := (&Field{Def: def, JSON: []byte(json)}).Points(); got != want {
			t.Errorf("%s costs %d, want %d", json, got, want)
		}
	}
	if n := (&Field{Def: &FieldDef{Free: true}, JSON: []byte(`"x"`)}).Points(); n != 0 {
		t.Errorf("case 17: a free field costs %d", n)
	}
}

func TestMeter(t *testing.T) {
	defs := []*FieldDef{{Name: "plan", Order: 1}, {Name: "prefs", Order: 2, Merge: true}, {Name: "mail", Order: 3, Free: true}}
	models := []ModelInfo{{Name: "users", Fields: defs}}
	m := newMeter(models)
	at := time.Date(2026, 11, 1, 23, 59, 0, 0, time.UTC)
	m.now = func() time.Time { return at }
	row := &step{rows: []rowRef{{}}, fields: []Field{{Def: defs[0], JSON: []byte(`"pro"`)}, {Def: defs[1], JSON: []byte(`{"a":1,"b":{"c":2}}`)}, {Def: defs[2], JSON: []byte(`"x"`)}}}
	m.count(row, &Effect{Fields: []Field{{Def: defs[1], JSON: []byte(`{"b":{"c":2}}`)}, {Def: defs[2], JSON: []byte(`"x"`)}}})
	m.count(row, nil)
	at = at.Add(time.Hour)
	m.count(row, &Effect{Fields: row.fields})
	m.count(&step{rows: []rowRef{{}}, event: &Event{}}, &Effect{})
	want := []Day{{"2026-11-01", "users", Spent{1, 5}}, {"2026-11-02", "users", Spent{4, 0}}}
	if diff := cmp.Diff(want, m.Days()); diff != "" {
		t.Errorf("case 14: points by day (-want +got):\n%s", diff)
	}
	if got := m.Field(defs[1]); got != (Spent{3, 3}) {
		t.Errorf("prefs %+v", got)
	}
	if got := m.Events(0); got != (Spent{1, 0}) {
		t.Errorf("events %+v", got)
	}
	all := ModelPoints{Today: Spent{4, 0}, Start: Spent{5, 5}, Fields: map[string]Spent{"plan": {1, 2}, "prefs": {3, 3}}, Events: Spent{1, 0}, Days: want}
	if diff := cmp.Diff(all, m.Of(0)); diff != "" {
		t.Errorf("points of the model (-want +got):\n%s", diff)
	}
	at = at.AddDate(0, 2, 0)
	m.count(row, nil)
	if days := m.Days(); len(days) != 1 {
		t.Errorf("days %+v", days)
	}
}
