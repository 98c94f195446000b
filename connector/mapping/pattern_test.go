package mapping

import (
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

// shardTable is a topic's table with the columns id (the key), email, ssn and prefs, all text.
func shardTable(name string, more ...string) *connector.Table {
	t := &connector.Table{Name: name, Rows: -1, Unique: [][]int{{0}}}
	for i, c := range append([]string{"id", "email", "ssn", "prefs"}, more...) {
		t.Columns = append(t.Columns, connector.Column{Name: c, TypeName: "text", Kind: connector.KindText, Key: i == 0,
			Decode: func(raw string) (connector.Value, error) {
				return connector.Value{Kind: connector.KindText, Str: raw}, nil
			}})
	}
	return t
}

func shardRow(t *connector.Table, id string) connector.Row {
	r := connector.Row{Table: t, Cells: make([]connector.Cell, len(t.Columns))}
	for i := range r.Cells {
		r.Cells[i] = connector.Cell{State: connector.Set, Raw: id + "-" + t.Columns[i].Name}
	}
	return r
}

func byPattern(name, pattern string, custom ...string) connector.Model {
	m := connector.Model{Name: name, Kind: "users", TopicPattern: pattern, Mode: "additive", Load: "all", Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}}
	for _, c := range custom {
		m.Custom = append(m.Custom, connector.FieldMap{Name: name + "_" + c, ValueFrom: connector.ValueFrom{Column: c}, Path: "models[0].custom." + c})
	}
	return m
}

func TestPattern(t *testing.T) {
	const shards = `shop\.shard[0-9]+\.users`
	t.Run("rows of every topic whose whole name matches are the model's, also of one that comes later", func(t *testing.T) {
		named := byPattern("named", "", "email")
		named.Topic = "shop.shard2.users"
		m, faults := New(Config{NoReread: true, Models: []connector.Model{byPattern("all", shards, "email"), named},
			Tables: map[string]*connector.Table{"shop.shard1.users": shardTable("shop.shard1.users"), "shop.shard2.users": shardTable("shop.shard2.users")}})
		if m == nil || len(faults) > 0 {
			t.Fatal(faults)
		}
		for topic, want := range map[string][]string{"shop.shard1.users": {"all_email"}, "shop.shard2.users": {"all_email", "named_email"}, "shop.shard33.users": {"all_email"},
			"shop.shard1.users.old": nil, "a.shop.shard1.users": nil, "shop.shardx.users": nil} {
			row := shardRow(shardTable(topic), "u")
			effects, err := m.Map(nil, &connector.Change{Key: connector.Key{Table: topic, ID: "u"}, Op: connector.Insert, After: row}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range effects {
				for _, f := range e.Fields {
					got = append(got, f.Def.Name)
				}
				if e.Key.Table != topic {
					t.Errorf("an effect of %s names the table %s", topic, e.Key.Table)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("topic %s: fields %q, want %q", topic, got, want)
			}
			if on := m.Models()[0].On(topic); on != (len(want) > 0) {
				t.Errorf("topic %s: On says %v", topic, on)
			}
		}
		info := m.Models()[0]
		if info.Table != shards || info.IDFromKey || info.IDUnique {
			t.Errorf("%+v: of topics that are still to come no key is known", info)
		}
		if m.Models()[1].On("shop.shard1.users") || m.Models()[1].Table != "shop.shard2.users" {
			t.Errorf("the named model is %+v", m.Models()[1])
		}
	})
	t.Run("a column that one of the topics lacks is a fault that names it", func(t *testing.T) {
		_, faults := New(Config{NoReread: true, Models: []connector.Model{byPattern("all", shards, "city")},
			Tables: map[string]*connector.Table{"shop.shard1.users": shardTable("shop.shard1.users", "city"), "shop.shard2.users": shardTable("shop.shard2.users"), "other": shardTable("other")}})
		if len(faults) != 1 || !strings.Contains(faults[0].What, `"city" in shop.shard2.users`) {
			t.Errorf("faults %v", faults)
		}
	})
	t.Run("case 76: never_send holds by column, by topic and by the last part of it", func(t *testing.T) {
		for _, entry := range []string{"ssn", "users.ssn", "shop.shard1.users.ssn", "shop.shard9.users.ssn"} {
			_, faults := New(Config{NoReread: true, NeverSend: []string{entry}, Models: []connector.Model{byPattern("all", shards, "ssn")}})
			if len(faults) == 0 || !strings.Contains(faults[0].What, "never_send") {
				t.Errorf("%s: faults %v", entry, faults)
			}
		}
	})
	t.Run("case 76: a topic that came later is held to never_send too", func(t *testing.T) {
		var notes []string
		m, faults := New(Config{NoReread: true, NeverSend: []string{"customers.ssn", "clients.prefs.secret"}, Models: []connector.Model{byPattern("all", `shop\.[a-z]+`, "email", "ssn", "prefs")},
			Note: func(_ int, field, reason string) { notes = append(notes, field+": "+reason) }})
		if m == nil {
			t.Fatal(faults)
		}
		for topic, want := range map[string]int{"shop.users": 3, "shop.customers": 2, "shop.clients": 2} {
			row := shardRow(shardTable(topic), "u")
			effects, err := m.Map(nil, &connector.Change{Key: connector.Key{Table: topic, ID: "u"}, Op: connector.Insert, After: row}, nil)
			if err != nil || len(effects) != 1 || len(effects[0].Fields) != want {
				t.Errorf("topic %s: %d effects, %v (%v)", topic, len(effects), effects, err)
			}
		}
		if len(notes) != 2 {
			t.Errorf("notes %q", notes)
		}
	})
}
