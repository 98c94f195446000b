package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// typed is a mapper of one attribute out of the text column plan, which learns.
func typed(t *testing.T, cfg mapping.Config, declared string) (*bench, map[string]connector.AttrType) {
	t.Helper()
	m := m0("sync")
	m.Fields, m.Custom = nil, []connector.FieldMap{column("prefs", "prefs")}
	m.Custom[0].Type = declared
	learned := map[string]connector.AttrType{}
	cfg.Models = []connector.Model{m}
	cfg.Learned = func(name string, typ connector.AttrType) { learned[name] = typ }
	return newBench(t, usersTable(), cfg), learned
}

// accept maps an insert and says that Braze accepted it.
func (b *bench) accept(changes ...string) string {
	b.t.Helper()
	out, err := b.try(connector.Insert, connector.Row{}, row(b.table, r1, changes...))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range out {
		b.m.Accepted(out[i].Fields)
	}
	return show(out)
}

func TestTypesSent(t *testing.T) {
	const kept, left = `{"prefs":"x"}`, `{}`
	t.Run("a value of another type than those accepted is left out with a note", func(t *testing.T) {
		b, learned := typed(t, mapping.Config{}, "")
		b.accept(`prefs={"a":1}`)
		if diff := cmp.Diff(map[string]connector.AttrType{"prefs": connector.ObjectType}, learned); diff != "" {
			t.Fatalf("learned (-want +got):\n%s", diff)
		}
		if got := b.accept(`prefs="x"`); !strings.HasSuffix(got, left) {
			t.Error(got)
		}
		hasNote(t, b.notes, "prefs: the attribute was sent as object before")
		if learned["prefs"] != connector.ObjectType {
			t.Errorf("learned %v", learned)
		}
	})
	t.Run("what an earlier run sent counts", func(t *testing.T) {
		b, _ := typed(t, mapping.Config{Sent: map[string]connector.AttrType{"prefs": connector.NumberType}}, "")
		if got := b.accept(`prefs="x"`); !strings.HasSuffix(got, left) {
			t.Error(got)
		}
	})
	t.Run("what Braze tells counts more", func(t *testing.T) {
		b, _ := typed(t, mapping.Config{Sent: map[string]connector.AttrType{"prefs": connector.NumberType}}, "")
		if faults := b.m.SetTypes(map[string]connector.AttrType{"prefs": connector.StringType}); len(faults) != 0 {
			t.Errorf("%v", faults)
		}
		if got := b.accept(`prefs="x"`); !strings.HasSuffix(got, kept) {
			t.Error(got)
		}
		if got := b.accept(`prefs=7`); !strings.HasSuffix(got, left) {
			t.Error(got)
		}
	})
	t.Run("a declared type counts more than what was sent, and replaces it", func(t *testing.T) {
		b, learned := typed(t, mapping.Config{Sent: map[string]connector.AttrType{"prefs": connector.NumberType}}, "string")
		if got := b.accept(`prefs="x"`); !strings.HasSuffix(got, kept) {
			t.Error(got)
		}
		if learned["prefs"] != connector.StringType {
			t.Errorf("learned %v", learned)
		}
	})
	t.Run("text that looks like a time says nothing of the type", func(t *testing.T) {
		b, learned := typed(t, mapping.Config{}, "")
		b.accept(`prefs="2026-11-01"`)
		if got := b.accept(`prefs="x"`); !strings.HasSuffix(got, kept) || learned["prefs"] != connector.StringType {
			t.Errorf("%s, learned %v", got, learned)
		}
	})
	t.Run("parts of an array are of the array's type", func(t *testing.T) {
		m := m0("sync")
		m.Custom[3].Array, m.Custom[4].Array, m.Custom[4].ArrayBy = "add_remove", "by", "id"
		learned := map[string]connector.AttrType{}
		b := newBench(t, usersTable(), mapping.Config{Models: []connector.Model{m}, Learned: func(name string, typ connector.AttrType) { learned[name] = typ }})
		var parts []connector.Field
		for _, d := range b.m.Models()[0].Fields {
			switch d.Name {
			case "tags":
				parts = append(parts, connector.Field{Def: d, JSON: []byte(`{"add":["x"]}`)})
			case "prefs":
				parts = append(parts, connector.Field{Def: d, JSON: []byte(`{"$add":[{"id":1}]}`)})
			}
		}
		b.m.Accepted(parts)
		if diff := cmp.Diff(map[string]connector.AttrType{"tags": connector.ArrayType, "prefs": connector.ObjectsType}, learned); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("types that come later are told by field", func(t *testing.T) {
		b := base(t, "sync", nil)
		faults := b.m.SetTypes(map[string]connector.AttrType{"plan": connector.NumberType, "credits": connector.NumberType})
		if len(faults) != 1 || faults[0].Path != "models[0].x.plan" || !faults[0].Warn {
			t.Errorf("%v", faults)
		}
		if got := b.insert(); strings.Contains(got, "plan") || !strings.Contains(got, "credits") {
			t.Error(got)
		}
	})
}
