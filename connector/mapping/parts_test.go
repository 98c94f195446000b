package mapping_test

import (
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

func TestCasesOfParts(t *testing.T) {
	none := connector.Row{}
	prefs := func(nested string) *bench {
		f := column("prefs", "prefs")
		f.Nested = nested
		return base(t, "sync", func(m *connector.Model) {
			m.Fields, m.Custom = nil, []connector.FieldMap{f, column("plan", "plan"), column("tags", "tags"), expression("e", "prefs.lang")}
		})
	}
	t.Run("case 17: a state that changed is the only one that is not unchanged, and costs nothing", func(t *testing.T) {
		b := consenting(t, "sync", nil)
		out, err := b.try(connector.Update, row(b.table, r1), row(b.table, r1, "newsletter=f"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, changedOf(out), `track u1 whole {~"email_subscribe":"unsubscribed"}`)
		for _, f := range out[0].Fields {
			if f.Def.Name == "email_subscribe" && !f.Def.Free {
				t.Error("it costs a data point")
			}
		}
	})
	t.Run("case 18: an object is merged, with the value before", func(t *testing.T) {
		for nested, merge := range map[string]bool{"": true, "merge": true, "replace": false} {
			b := prefs(nested)
			out, err := b.try(connector.Update, row(b.table, r1), row(b.table, r1, `prefs={"lang":"ja","mail":{"freq":3}}`))
			if err != nil {
				t.Fatal(err)
			}
			f := out[0].Fields[0]
			old := ""
			if merge {
				old = `{"lang":"ja","mail":{"freq":2}}`
			}
			if f.Def.Merge != merge || string(oldOf(&f)) != old || f.Proof != connector.Changed {
				t.Errorf("nested %q: %+v, old %s", nested, f.Def, oldOf(&f))
			}
			for _, d := range b.m.Models()[0].Fields {
				if (d.Name == "plan" || d.Name == "tags") && d.Merge {
					t.Errorf("%s is no object", d.Name)
				}
			}
		}
	})
	t.Run("case 18: without a value before there is no old one", func(t *testing.T) {
		b := prefs("merge")
		for _, before := range []connector.Row{none, row(b.table, r1, "prefs=<null>"), row(b.table, r1, "prefs=<absent>"), row(b.table, r1, "prefs={")} {
			out, err := b.try(connector.Update, before, row(b.table, r1))
			if err != nil || out[0].Fields[0].Old != nil {
				t.Errorf("%v, %s", err, oldOf(&out[0].Fields[0]))
			}
		}
	})
	t.Run("case 18: an array of objects by its key", func(t *testing.T) {
		pets := column("pets", "prefs")
		pets.Array, pets.ArrayBy = "by", "id"
		b := base(t, "sync", func(m *connector.Model) { m.Fields, m.Custom = nil, []connector.FieldMap{pets} })
		out, err := b.try(connector.Update, row(b.table, r1, `prefs=[{"id":1,"n":"a"},{"id":2,"n":"b"}]`), row(b.table, r1, `prefs=[{"id":1,"n":"a"},{"id":2,"n":"c"}]`))
		f := out[0].Fields[0]
		if err != nil || f.Def.Array != connector.ArrayBy || f.Def.By != "id" || f.Def.Merge || string(oldOf(&f)) != `[{"id":1,"n":"a"},{"id":2,"n":"b"}]` {
			t.Errorf("%+v, %s, %v", f.Def, oldOf(&f), err)
		}
	})
	t.Run("case 68: a row whose fields are all absent makes no call", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Fields, m.Custom, m.Groups = nil, []connector.FieldMap{column("prefs", "prefs"), column("plan", "plan")}, []connector.GroupMap{group("news", "newsletter", "")}
		})
		want(t, b.update(none, row(b.table, r1, "prefs=<absent>", "plan=<absent>", "newsletter=<absent>")), "")
	})
	t.Run("the settings are part of a field's hash", func(t *testing.T) {
		seen := map[uint64]string{}
		for _, f := range []connector.FieldMap{{Nested: "merge"}, {Nested: "replace"}, {Array: "add_remove"}, {Array: "by", ArrayBy: "id"}, {Array: "by", ArrayBy: "no"}, {Collect: true}} {
			f.Name, f.Column, f.Path = "x", "prefs", "p"
			b := base(t, "sync", func(m *connector.Model) { m.OwnsUsers, m.Fields, m.Custom = false, nil, []connector.FieldMap{f} })
			h := b.m.Models()[0].Fields[0].Hash
			if seen[h] != "" {
				t.Errorf("%+v has the hash of %s", f, seen[h])
			}
			seen[h] = f.Nested + f.Array + f.ArrayBy
		}
	})
	t.Run("faults", func(t *testing.T) {
		scalar, by, constant, preset := column("a", "plan"), column("b", "prefs"), column("c", ""), column("facebook", "prefs")
		scalar.Array, by.Array, constant.Array, preset.Array = "add_remove", "by", "add_remove", "add_remove"
		constant.Value, constant.HasValue = "[1]", true
		wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
			m.Fields, m.Custom = []connector.FieldMap{preset}, []connector.FieldMap{scalar, by, constant}
		})), `of the type string, and no arrays`, `by needs the key`, `a constant array does not change`, `for custom attributes`)
	})
	t.Run("what may be remembered", func(t *testing.T) {
		for mode, allowed := range map[string]bool{"sync": true, "additive": true, "enrich": false} {
			if i := base(t, mode, nil).m.Models()[0]; i.PrintsAllowed != allowed || i.ProofAllowed != allowed {
				t.Errorf("%s: %+v", mode, i)
			}
		}
	})
}

// members is a table of memberships: a row a value of a user.
func members(identity connector.Identity) *connector.Table {
	t := table("public.group_members", "", col{"user_id", connector.KindText}, col{"group_name", connector.KindText}, col{"note", connector.KindText})
	t.Columns[0].Key, t.Columns[1].Key, t.Unique, t.Identity = true, true, [][]int{{0, 1}}, identity
	return t
}

func collecting(t testing.TB, mode string, tab *connector.Table, change func(*connector.Model)) *bench {
	t.Helper()
	groups := column("groups", "group_name")
	groups.Collect = true
	m := connector.Model{Name: "memberships", Kind: "users", Table: "public.group_members", Mode: mode, Load: "all", Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}}, Custom: []connector.FieldMap{groups}}
	if change != nil {
		change(&m)
	}
	return newBench(t, tab, mapping.Config{Models: []connector.Model{m}})
}

func TestCollect(t *testing.T) {
	none := connector.Row{}
	a := []string{"u1", "a", ""}
	for _, identity := range []connector.Identity{connector.IdentityFull, connector.IdentityDefault} {
		image := func(r connector.Row) connector.Row {
			if identity == connector.IdentityFull {
				return r
			}
			return keyOnly(r)
		}
		name := map[connector.Identity]string{connector.IdentityFull: "full", connector.IdentityDefault: "default"}[identity]
		t.Run("a row adds its value and takes it out, identity "+name, func(t *testing.T) {
			b := collecting(t, "sync", members(identity), nil)
			want(t, b.do(connector.Insert, none, row(b.table, a)), `track u1 creates whole {"groups":{"add":["a"]}}`)
			want(t, b.do(connector.Snapshot, none, row(b.table, a)), `track u1 creates whole {"groups":{"add":["a"]}}`)
			want(t, b.do(connector.Delete, image(row(b.table, a)), none), `track u1 only {"groups":{"remove":["a"]}}`)
			want(t, b.update(image(row(b.table, a)), row(b.table, a, "group_name=b")), `track u1 whole {~"groups":{"add":["b"],"remove":["a"]}}`)
			want(t, b.update(image(row(b.table, a)), row(b.table, a, "user_id=u2")), `track u1 only {"groups":{"remove":["a"]}} + track u2 creates whole {"groups":{"add":["a"]}}`)
			before := connector.Row{}
			if identity == connector.IdentityFull {
				before = row(b.table, a)
			}
			want(t, b.update(before, row(b.table, a, "note=x")), `track u1 whole {`+map[bool]string{true: "=", false: ""}[identity == connector.IdentityFull]+`"groups":{"add":["a"]}}`)
			if len(b.notes) > 0 {
				t.Errorf("notes: %q", b.notes)
			}
			if d := b.m.Models()[0].Fields[0]; d.Array != connector.ArrayCollect || !d.NoNull || d.Merge || b.m.Models()[0].Owner {
				t.Errorf("%+v", d)
			}
		})
	}
	t.Run("NULL adds nothing", func(t *testing.T) {
		b := collecting(t, "sync", members(connector.IdentityFull), nil)
		want(t, b.do(connector.Insert, none, row(b.table, a, "group_name=<null>")), `track u1 creates whole {}`)
		want(t, b.update(row(b.table, a, "group_name=<null>"), row(b.table, a)), `track u1 whole {"groups":{"add":["a"]}}`)
		want(t, b.update(row(b.table, a), row(b.table, a, "group_name=<null>")), `track u1 whole {~"groups":{"remove":["a"]}}`)
		want(t, b.do(connector.Delete, row(b.table, a, "group_name=<null>"), none), ``)
	})
	t.Run("additive keeps what a deleted row gave, enrich never creates", func(t *testing.T) {
		b := collecting(t, "additive", members(connector.IdentityFull), nil)
		want(t, b.do(connector.Delete, row(b.table, a), none), ``)
		want(t, b.update(row(b.table, a), row(b.table, a, "group_name=b")), `track u1 whole {~"groups":{"add":["b"],"remove":["a"]}}`)
		b = collecting(t, "enrich", members(connector.IdentityFull), nil)
		want(t, b.update(row(b.table, a), row(b.table, a, "group_name=b")), `track u1 only whole {"groups":{"add":["b"],"remove":["a"]}}`)
	})
	t.Run("a value that nobody knows stays, said aloud; of a deleted row it is for a person", func(t *testing.T) {
		b := collecting(t, "sync", members(connector.IdentityDefault), func(m *connector.Model) { m.Custom[0].Column = "note" })
		want(t, b.update(none, row(b.table, a, "note=x")), `track u1 whole {"groups":{"add":["x"]}}`)
		hasNote(t, b.notes, "stays in the array")
		if re := b.rowError(connector.Delete, keyOnly(row(b.table, a)), none); !re.Identity || !strings.Contains(re.Reason, "REPLICA IDENTITY FULL") {
			t.Error(re)
		}
	})
	t.Run("objects and arrays are no values", func(t *testing.T) {
		tab := members(connector.IdentityFull)
		tab.Columns[2].Kind, tab.Columns[2].Decode = connector.KindJSON, decodeAs(connector.KindJSON)
		b := collecting(t, "sync", tab, func(m *connector.Model) { m.Custom[0].Column = "note" })
		want(t, b.do(connector.Insert, none, row(tab, a, `note={"a":1}`)), `track u1 creates whole {}`)
		want(t, b.do(connector.Insert, none, row(tab, a, `note=5`)), `track u1 creates whole {"groups":{"add":[5]}}`)
	})
	t.Run("faults", func(t *testing.T) {
		m := connector.Model{Name: "memberships", Kind: "users", Table: "public.group_members", Mode: "sync", Load: "all", Path: "models[0]", OwnsUsers: true,
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}}, Custom: []connector.FieldMap{column("a", "group_name"), column("b", "note"), column("c", "note")}}
		for i := range m.Custom {
			m.Custom[i].Collect = true
		}
		m.Custom[1].Type, m.Custom[2].OnNull, m.Custom[2].Default = "array", "value", `"x"`
		tab := members(connector.IdentityFull)
		cfg := configOf(m)
		cfg.Tables = map[string]*connector.Table{tab.Name: tab}
		wantFaults(t, faultsOf(t, cfg), `a…owns its users`, `b…owns its users`, `warn…b.collect…two rows`, `c…owns its users`, `warn…c.collect…two rows`)
	})
}

// oldOf gives a field's old value, empty where it has none.
func oldOf(f *connector.Field) []byte {
	if f.Old == nil {
		return nil
	}
	return *f.Old
}
