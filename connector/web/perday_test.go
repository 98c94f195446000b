package web

import (
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func TestADayIsForeseenFromTheDayBefore(t *testing.T) {
	was := &connector.Model{Name: "users", Custom: []connector.FieldMap{{Name: "plan", ValueFrom: connector.ValueFrom{Column: "plan"}}}}
	is := &connector.Model{Name: "users", Custom: append(was.Custom[:1:1], connector.FieldMap{Name: "note", ValueFrom: connector.ValueFrom{Column: "note"}})}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var d dayCounts
	status := func(changes, spent uint64) *control.Status {
		st := &control.Status{}
		st.Models = []connector.ModelStatus{{Name: "users", Changes: map[string]uint64{"update": changes, "delete": 5}, Points: connector.ModelPoints{Fields: map[string]connector.Spent{"plan": {Spent: spent}}}}}
		return st
	}
	count := func(long time.Duration, changes, spent uint64) {
		for end := now.Add(long); now.Before(end); {
			now = now.Add(time.Minute)
			d.add(now, status(changes, spent))
		}
	}
	d.add(now, status(1000, 1000)) // what was before is of no day
	count(12*time.Hour, 1100, 1040)
	if g := d.guess(was, is); g.Known {
		t.Errorf("half a day tells %+v", g)
	}
	count(13*time.Hour, 30, 10) // another configuration: the counters begin anew
	if g := d.guess(was, is); !g.Known || g.Changes != 30 || g.Low != 10 || g.High != 40 {
		t.Errorf("a day tells %+v", g)
	}
	now = now.Add(time.Hour)
	d.add(now, status(40, 10))
	if g := d.guess(was, is); g.Known {
		t.Errorf("a day with a gap tells %+v", g)
	}
}

func TestAFieldIsNewOrChangedByItsLine(t *testing.T) {
	a := &connector.Model{Fields: []connector.FieldMap{{Name: "email", ValueFrom: connector.ValueFrom{Column: "email"}, Path: "models[0].fields.email"}},
		Audiences: []connector.AudienceMap{{Attribute: "vip", When: "a > 1"}}}
	b := &connector.Model{Fields: []connector.FieldMap{{Name: "email", ValueFrom: connector.ValueFrom{Column: "email"}, Path: "models[1].fields.email"}},
		Custom: []connector.FieldMap{{Name: "plan", ValueFrom: connector.ValueFrom{Column: "plan"}}}, Audiences: []connector.AudienceMap{{Attribute: "vip", When: "a > 2"}}}
	if got := changedFields(a, b); len(got) != 2 || got[0] != "plan" || got[1] != "vip" {
		t.Errorf("changed: %v", got)
	}
}
