package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// faultsOf compiles one model against the base table and gives its faults, one a line: path, offset, text.
func faultsOf(t *testing.T, cfg mapping.Config) string {
	t.Helper()
	if cfg.Tables == nil {
		cfg.Tables = map[string]*connector.Table{"public.users": usersTable()}
	}
	m, faults := mapping.New(cfg)
	var lines []string
	fatal := false
	for _, f := range faults {
		level := "fault"
		if f.Warn {
			level = "warn"
		}
		fatal = fatal || !f.Warn
		lines = append(lines, fmt.Sprintf("%s %s@%d %s; %s", level, f.Path, f.Offset, f.What, f.Fix))
	}
	if fatal != (m == nil) {
		t.Errorf("mapper is nil: %v, with faults %v", m == nil, faults)
	}
	return strings.Join(lines, "\n")
}

func wantFaults(t *testing.T, got string, wanted ...string) {
	t.Helper()
	lines := strings.Split(got, "\n")
	if got == "" {
		lines = nil
	}
	if len(lines) != len(wanted) {
		t.Errorf("%d faults, want %d:\n%s", len(lines), len(wanted), got)
	}
	for _, w := range wanted {
		found := false
		for _, l := range lines {
			ok := true
			for _, part := range strings.Split(w, "…") {
				ok = ok && strings.Contains(l, part)
			}
			found = found || ok
		}
		if !found {
			t.Errorf("no fault %q in:\n%s", w, got)
		}
	}
}

func with(change func(*connector.Model)) mapping.Config {
	m := m0("sync")
	m.Fields, m.Custom = nil, nil
	change(&m)
	return configOf(m)
}

func TestFaults(t *testing.T) {
	t.Run("all faults come at once, with the nearest names", func(t *testing.T) {
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Identify.ExternalID.Column = "externl_id"
			m.Filter, m.OnLeave = `plan > 5 and credits`, "keep"
			m.DeleteWhen = `deletd_at != nil`
			m.Fields = []connector.FieldMap{column("emial", "email"), column("email", "emial")}
			m.Custom = []connector.FieldMap{expression("full", `first_name + " " + lst_name`), {Name: "n", Path: "models[0].x.n", Type: "money", ValueFrom: connector.ValueFrom{Column: "plan"}}}
		})),
			`fault models[0].identify.external_id@0…"externl_id"…did you mean "external_id"?`,
			`fault models[0].filter@5…mismatched types`,
			`fault models[0].delete_when@0…"deletd_at"…"deleted_at"`,
			`fault models[0].x.emial@0…no profile field "emial"…"email"`,
			`fault models[0].x.email@0…no column "emial"…"email"`,
			`fault models[0].x.full.expr@19…"lst_name"…"first_name"`,
			`fault models[0].x.n@0…no type "money"`)
	})
	t.Run("case 65: names too long for Braze are refused, not cut", func(t *testing.T) {
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Custom = []connector.FieldMap{column(strings.Repeat("語", 160), "plan"), column(strings.Repeat("x", 256), "plan"), column(strings.Repeat("x", 255), "plan")}
		})), `160 characters in 480 bytes`, `256 characters in 256 bytes`)
	})
	t.Run("case 67: reserved names", func(t *testing.T) {
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Custom = []connector.FieldMap{column("email", "email"), column("time", "plan"), column("products", "prefs"), column("external_id", "plan"),
				column("_merge_objects", "plan"), column("Phone", "phone"), column("$x", "plan"), column("", "plan")}
		})), `"email" is one of Braze's own…put it under fields`, `"external_id" is reserved`, `"_merge_objects" is reserved`, `warn…"Phone" is written like`, `begins with "$"`, `needs a name`)
	})
	t.Run("a kind that is none", func(t *testing.T) {
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.Kind = "user" })), `no kind "user"`)
	})
	t.Run("settings of consent", func(t *testing.T) {
		when, again, other, fine := column("email_subscribe", "newsletter"), column("push_subscribe", "newsletter"), column("first_name", "first_name"), column("last_name", "plan")
		when.WhenTrue, again.Resubscribe, other.WhenTrue, other.Resubscribe = "yes", "sometimes", "opted_in", "never"
		again.OnNull, again.Default = "value", `"subscribed"`
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Fields, m.Custom = []connector.FieldMap{when, again, other, fine}, nil
		})), `when_true cannot be "yes"`, `resubscribe cannot be "sometimes"`, `when_true belongs to`, `resubscribe belongs to`, `without an answer would count as a consent`)
	})
	t.Run("consent needs the old row", func(t *testing.T) {
		tab := usersTable()
		tab.Identity = connector.IdentityDefault
		cfg := with(func(m *connector.Model) {
			m.Fields, m.Custom = []connector.FieldMap{column("email_subscribe", "newsletter")}, nil
		})
		cfg.Tables = map[string]*connector.Table{tab.Name: tab}
		wantFaults(t, faultsOf(t, cfg), `subscribed and opted_in go for new rows only; ALTER TABLE public.users REPLICA IDENTITY FULL`)
	})
	t.Run("modes, policies and origins", func(t *testing.T) {
		both := column("a", "plan")
		both.Expr = "plan"
		null, blank, typed, country := column("b", "plan"), column("c", "plan"), column("email", "email"), column("first_name", "first_name")
		null.OnNull, blank.Blank, typed.Type, country.Country = "drop", "no", "string", "DE"
		phone := column("phone", "phone")
		phone.Country = "QQ"
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Mode, m.OnIDChange = "mirror", "merge"
			m.Fields, m.Custom = []connector.FieldMap{typed, country, phone}, []connector.FieldMap{both, null, blank}
		})), `mode cannot be "mirror"`, `on_id_change cannot be "merge"`, `exactly one of`, `on_null cannot be`, `blank cannot be`, `has a type of its own`, `country belongs to`, `"QQ" is no country`)
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.Filter = "is_vip" })), `needs on_leave`)
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.Mode, m.Filter, m.OnLeave = "additive", "is_vip", "delete" })), `needs mode sync`)
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.OwnsUsers, m.Filter, m.OnLeave = false, "is_vip", "delete" })), `owns the users`)
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.Identify = connector.Identify{} })), `which user a row belongs to`)
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) { m.DeleteWhen = "seen_at < now()" })), `cannot read the clock`)
	})
	t.Run("constants are checked", func(t *testing.T) {
		constant := func(name, v string) connector.FieldMap {
			return connector.FieldMap{Name: name, Path: "p." + name, ValueFrom: connector.ValueFrom{Value: v, HasValue: true}}
		}
		standin := column("country", "plan")
		standin.OnNull, standin.Default = "value", `"Narnia"`
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Fields = []connector.FieldMap{constant("email", `"foo@"`), standin}
			m.Custom = []connector.FieldMap{constant("shop", `"berlin"`), constant("n", "1.50"), constant("big", "1e400"), constant("list", "[1,2]")}
		})), `p.email…not an e-mail`, `the value for NULL…not a country`, `p.big`)
	})
	t.Run("case 76: what must never leave is mapped by nobody", func(t *testing.T) {
		cfg := with(func(m *connector.Model) {
			m.Custom = []connector.FieldMap{column("p", "plan"), column("prefs", "prefs"), expression("x", `prefs.mail`), column("e", "email")}
		})
		cfg.NeverSend = []string{"plan", "users.email", "prefs.secret", "users.frist_name"}
		wantFaults(t, faultsOf(t, cfg), `warn never_send[3]…"users.frist_name" names no column…did you mean "first_name"?`, `column "plan" is in never_send`, `column "email" is in never_send`, `the expression reads column "prefs"`)
	})
	t.Run("case 76: what must never leave names nobody, and is no part of a key", func(t *testing.T) {
		cfg := with(func(*connector.Model) {})
		cfg.NeverSend = []string{"external_id"}
		wantFaults(t, faultsOf(t, cfg), `identify.external_id…column "external_id", which tells rows apart, is in never_send`)
		cfg.NeverSend = []string{"users.id"}
		wantFaults(t, faultsOf(t, cfg), `models[0].table…column "id" is in never_send and part of the key of public.users`)
		cfg.NeverSend = []string{"orders.id", "id.x"} // of another table; and a path into a key
		wantFaults(t, faultsOf(t, cfg), `warn never_send[0]`, `column "id" is in never_send and part of the key`)
	})
	t.Run("case 76: a nested path is cut out", func(t *testing.T) {
		cfg := with(func(m *connector.Model) { m.Custom = []connector.FieldMap{column("prefs", "prefs")} })
		cfg.NeverSend = []string{"prefs.secret", "users.prefs.mail.freq"}
		b := newBench(t, usersTable(), cfg)
		want(t, b.insert(`prefs={"secret":{"a":1},"mail":[{"freq":1,"x":2}],"lang":"ja"}`), `track u1 creates whole {"prefs":{"mail":[{"x":2}],"lang":"ja"}}`)
	})
	t.Run("two owners, and one field of two models", func(t *testing.T) {
		a, b := m0("sync"), m0("sync")
		b.Path, b.Fields, b.Custom = "models[1]", nil, []connector.FieldMap{column("plan", "plan"), column("more", "plan")}
		wantFaults(t, faultsOf(t, configOf(a, b)), `models[1].owns_users…owns the users already`, `writes "plan" already`)
	})
	t.Run("without a table only what needs none is checked", func(t *testing.T) {
		cfg := with(func(m *connector.Model) {
			m.Custom = []connector.FieldMap{column("a", "anything"), expression("b", "other > 5")}
		})
		cfg.Tables = map[string]*connector.Table{}
		wantFaults(t, faultsOf(t, cfg))
	})
}

func TestModels(t *testing.T) {
	hash := func(change func(*connector.Model)) (uint64, []*connector.FieldDef) {
		m := m0("sync")
		if change != nil {
			change(&m)
		}
		mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}, Tables: map[string]*connector.Table{"public.users": usersTable()}})
		if mapper == nil {
			t.Fatal(faults)
		}
		return mapper.Models()[0].Hash, mapper.Models()[0].Fields
	}
	plain, fields := hash(nil)
	t.Run("the hash is the same in every process", func(t *testing.T) {
		if again, _ := hash(nil); again != plain {
			t.Error("two compilations differ")
		}
		const recorded = uint64(0x289812d563adc925)
		if plain != recorded {
			t.Errorf("hash %#x, recorded %#x: if what is hashed changed on purpose, stored proofs are dropped at the next start", plain, recorded)
		}
	})
	t.Run("it changes with what decides what is sent, and with nothing else", func(t *testing.T) {
		for i, change := range []func(*connector.Model){
			func(m *connector.Model) { m.Filter, m.OnLeave = "is_vip", "keep" },
			func(m *connector.Model) { m.DeleteWhen = "is_vip" },
			func(m *connector.Model) { m.Mode = "additive" },
			func(m *connector.Model) { m.Identify.ExternalID.Column = "id" },
		} {
			if h, _ := hash(change); h == plain {
				t.Errorf("change %d leaves the hash", i)
			}
		}
		if h, _ := hash(func(m *connector.Model) { m.Name, m.Deletes.Max = "renamed", 5 }); h != plain {
			t.Error("a name changes the hash")
		}
		if h, _ := hash(func(m *connector.Model) { m.Custom[0].Type, m.Fields[0].OnNull = "string", "keep" }); h != plain {
			t.Error("a field changes the model's hash, and so takes the proof from all fields")
		}
	})
	t.Run("a field's hash changes with its settings alone", func(t *testing.T) {
		_, other := hash(func(m *connector.Model) { m.Custom[0].Type = "string" })
		for i := range fields {
			if (fields[i].Hash != other[i].Hash) != (fields[i].Name == "plan") {
				t.Errorf("field %s: %d, %d", fields[i].Name, fields[i].Hash, other[i].Hash)
			}
		}
	})
	t.Run("fields are numbered over all models and named as JSON", func(t *testing.T) {
		for i, f := range fields {
			if f.Order != i || string(f.JSON) != `"`+f.Name+`":` {
				t.Errorf("field %d: %+v", i, f)
			}
		}
	})
}
