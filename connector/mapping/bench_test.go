package mapping_test

import (
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// benchMapper maps the ten fields of the base mapping, without a note taken.
func benchMapper(b *testing.B, change func(*connector.Model)) *mapping.Mapper {
	m := m0("sync")
	if change != nil {
		change(&m)
	}
	t := usersTable()
	mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}, Tables: map[string]*connector.Table{t.Name: t}})
	if mapper == nil {
		b.Fatal(faults)
	}
	return mapper
}

func runBench(b *testing.B, m *mapping.Mapper, c *connector.Change) {
	var dst []connector.Effect
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = m.Map(dst[:0], c, known{}); err != nil || len(dst) != 1 {
			b.Fatal(dst, err)
		}
	}
}

// plainTable is ten columns of the kinds that most tables are made of, decoded as a source would.
func plainTable() (*connector.Table, []string) {
	return table("public.users", "id", col{"id", connector.KindInt}, col{"external_id", connector.KindText}, col{"email", connector.KindText},
		col{"first_name", connector.KindText}, col{"last_name", connector.KindText}, col{"city", connector.KindText}, col{"plan", connector.KindText},
		col{"orders", connector.KindInt}, col{"visits", connector.KindInt}, col{"is_vip", connector.KindBool}, col{"is_new", connector.KindBool},
		col{"credits", connector.KindDecimal},
	), []string{"1", "u1", "a@x.io", "Aya", "Ito", "Tokyo", "free", "12", "345", "t", "f", "12.50"}
}

func plainModel() connector.Model {
	m := m0("sync")
	m.Fields = []connector.FieldMap{column("email", "email"), column("first_name", "first_name"), column("last_name", "last_name"), column("home_city", "city")}
	m.Custom = []connector.FieldMap{column("plan", "plan"), column("orders", "orders"), column("visits", "visits"), column("is_vip", "is_vip"),
		column("is_new", "is_new"), column("credits", "credits")}
	return m
}

func BenchmarkMapPlain(b *testing.B) {
	t, base := plainTable()
	m, faults := mapping.New(mapping.Config{Models: []connector.Model{plainModel()}, Tables: map[string]*connector.Table{t.Name: t}})
	if m == nil {
		b.Fatal(faults)
	}
	after := row(t, base, "plan=pro")
	b.Run("insert", func(b *testing.B) { runBench(b, m, &connector.Change{Op: connector.Insert, After: after}) })
	b.Run("update full", func(b *testing.B) {
		runBench(b, m, &connector.Change{Op: connector.Update, Before: row(t, base), After: after})
	})
	b.Run("update default", func(b *testing.B) { runBench(b, m, &connector.Change{Op: connector.Update, After: after}) })
}

func BenchmarkMapBase(b *testing.B) {
	t := usersTable()
	runBench(b, benchMapper(b, nil), &connector.Change{Op: connector.Insert, After: row(t, r1)})
}

func BenchmarkMapFilter(b *testing.B) {
	t := usersTable()
	m := benchMapper(b, func(m *connector.Model) { m.Filter, m.OnLeave = `plan != "internal"`, "keep" })
	runBench(b, m, &connector.Change{Op: connector.Insert, After: row(t, r1)})
}

func BenchmarkMapExpr(b *testing.B) {
	t := usersTable()
	m := benchMapper(b, func(m *connector.Model) { m.Custom = append(m.Custom, expression("full", `first_name + " " + plan`)) })
	runBench(b, m, &connector.Change{Op: connector.Insert, After: row(t, r1)})
}
