package mapping_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// rowError is the reason of a row that has to go to quarantine.
func (b *bench) rowError(op connector.Op, before, after connector.Row) *connector.RowError {
	b.t.Helper()
	_, err := b.try(op, before, after)
	var re *connector.RowError
	if !errors.As(err, &re) {
		b.t.Fatalf("got %v, want a *RowError", err)
	}
	return re
}

func hasNote(t testing.TB, notes []string, wanted string) {
	t.Helper()
	for _, n := range notes {
		if strings.Contains(n, wanted) {
			return
		}
	}
	t.Errorf("no note %q in %q", wanted, notes)
}

func TestCasesRows(t *testing.T) {
	none := connector.Row{}
	t.Run("case 4: a row without an identifier is refused, and only that row", func(t *testing.T) {
		b := base(t, "sync", nil)
		for _, id := range []string{"", "  ", "<null>", "null", "NULL", "undefined", "nil", "[object Object]", strings.Repeat("x", 988)} {
			_ = b.rowError(connector.Insert, none, row(b.table, r1, "external_id="+id))
		}
		if !strings.HasPrefix(b.insert(), "track u1") {
			t.Error("a good row is not mapped after bad ones")
		}
	})
	t.Run("case 14: only what changed is not proved unchanged", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "plan=pro")), `track u1 whole {~"plan":"pro"}`)
	})
	t.Run("case 14: a changed field names the old value's hash", func(t *testing.T) {
		b := base(t, "sync", nil)
		out, err := b.try(connector.Update, row(b.table, r1), row(b.table, r1, "credits=13.50"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range out[0].Fields {
			if f.Def.Name == "credits" && f.Was != connector.HashJSON([]byte("12.5")) {
				t.Error("Was is not the hash of 12.5")
			}
		}
	})
	t.Run("case 14: a field by expression is proved by its columns", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Custom = []connector.FieldMap{expression("label", `first_name + " " + plan`)}
			m.Fields = nil
		})
		want(t, b.update(row(b.table, r1), row(b.table, r1, "credits=9")), `track u1 whole {="label":"Aya free"}`)
		want(t, b.update(row(b.table, r1), row(b.table, r1, "plan=pro")), `track u1 whole {~"label":"Aya pro"}`)
		want(t, b.update(keyOnly(row(b.table, r1)), row(b.table, r1, "plan=pro")), `track u1 whole {"label":"Aya pro"}`)
	})
	t.Run("case 15: a touch and an unmapped column change nothing", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "newsletter=f")), `track u1 whole {}`)
	})
	t.Run("case 16: null stays null unproved by nothing, and null clears", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.changed(row(b.table, r1, "first_name=<null>"), row(b.table, r1, "first_name=<null>", "plan=pro")), `track u1 whole {~"plan":"pro"}`)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "first_name=<null>")), `track u1 whole {~"first_name":null}`)
	})
	t.Run("case 19: on_null keep and value", func(t *testing.T) {
		keep := base(t, "sync", func(m *connector.Model) { m.Fields[2].OnNull = "keep" })
		want(t, keep.changed(row(keep.table, r1), row(keep.table, r1, "first_name=<null>")), `track u1 whole {}`)
		b := base(t, "sync", func(m *connector.Model) { m.Fields[2].OnNull, m.Fields[2].Default = "value", `"x"` })
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "first_name=<null>")), `track u1 whole {~"first_name":"x"}`)
		if got := b.insert("first_name=<null>"); !strings.Contains(got, `"first_name":"x"`) {
			t.Errorf("an insert lacks the value for NULL: %s", got)
		}
	})
	t.Run("case 19: a value kept over NULL proves nothing later", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Fields[2].OnNull = "keep" })
		want(t, b.changed(row(b.table, r1, "first_name=<null>"), row(b.table, r1)), `track u1 whole {"first_name":"Aya"}`)
	})
	t.Run("case 20: null clears a phone without being checked", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "phone=<null>")), `track u1 whole {~"phone":null}`)
	})
	t.Run("case 22: blank text", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Fields[2].Blank = "null_like" })
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "first_name=")), `track u1 whole {~"first_name":null}`)
		want(t, b.changed(row(b.table, r1, "first_name="), row(b.table, r1, "first_name=  ")), `track u1 whole {}`)
		want(t, b.changed(row(b.table, r1, "first_name=  "), row(b.table, r1, "first_name=<null>")), `track u1 whole {}`)
		keep := base(t, "sync", nil)
		want(t, keep.changed(row(keep.table, r1), row(keep.table, r1, "first_name=")), `track u1 whole {~"first_name":""}`)
		want(t, keep.changed(row(keep.table, r1, "first_name="), row(keep.table, r1, "first_name=  ")), `track u1 whole {~"first_name":"  "}`)
		want(t, keep.changed(row(keep.table, r1, "first_name=  "), row(keep.table, r1, "first_name=<null>")), `track u1 whole {~"first_name":null}`)
	})
	t.Run("case 26: NULL identifier", func(t *testing.T) {
		b := base(t, "sync", nil)
		_ = b.rowError(connector.Insert, none, row(b.table, r1, "external_id=<null>"))
	})
	t.Run("case 34: a row of a load maps like an insert", func(t *testing.T) {
		b := base(t, "sync", nil)
		load := b.do(connector.Snapshot, none, row(b.table, r1, "phone=<null>"))
		want(t, load, b.insert("phone=<null>"))
		out, err := b.m.MapRow(nil, 0, row(b.table, r1, "phone=<null>"), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want(t, show(out), load)
	})
	t.Run("case 47: an unchanged large value is neither null nor sent", func(t *testing.T) {
		b := base(t, "sync", nil)
		got := b.update(none, row(b.table, r1, "plan=pro", "prefs=<absent>"))
		if strings.Contains(got, "prefs") || !strings.Contains(got, `"plan":"pro"`) || strings.Contains(got, "whole") {
			t.Errorf("got %s", got)
		}
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "plan=pro", "prefs=<absent>")), `track u1 whole {~"plan":"pro"}`)
	})
	t.Run("case 52: case is kept, blanks go with a note", func(t *testing.T) {
		b := base(t, "sync", nil)
		for raw, id := range map[string]string{"User_A1": "User_A1", " u1 ": "u1", "u1\n": "u1"} {
			if got := b.insert("external_id=" + raw); !strings.HasPrefix(got, "track "+id+" creates") {
				t.Errorf("%q: %s", raw, got)
			}
		}
		if len(b.notes) != 2 {
			t.Errorf("notes: %q", b.notes)
		}
	})
	t.Run("case 53: an address is sent in lower case without blanks", func(t *testing.T) {
		b := base(t, "sync", nil)
		if got := b.insert("email=A@X.io "); !strings.Contains(got, `"email":"a@x.io"`) {
			t.Error(got)
		}
	})
	t.Run("case 55: external_id, else e-mail; both empty is refused", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Identify.Email = "email" })
		out, err := b.try(connector.Insert, none, row(b.table, r1, "external_id="))
		if err != nil || out[0].User != (connector.User{Kind: connector.Email, ID: "a@x.io"}) {
			t.Errorf("got %+v, %v", out, err)
		}
		_ = b.rowError(connector.Insert, none, row(b.table, r1, "external_id=", "email=<null>"))
	})
	t.Run("case 55: every way to name a user", func(t *testing.T) {
		for _, c := range []struct {
			id      connector.Identify
			changes []string
			want    connector.User
			refused string
		}{
			{connector.Identify{ExternalID: connector.ValueFrom{Expr: `"crm-" + string(id)`}}, nil, ext("crm-1"), ""},
			{connector.Identify{ExternalID: connector.ValueFrom{Expr: `plan`}}, []string{"plan=<null>"}, ext(""), "no identifier"},
			{connector.Identify{ExternalID: connector.ValueFrom{Column: "credits"}}, nil, ext("12.5"), ""},
			{connector.Identify{ExternalID: connector.ValueFrom{Column: "prefs"}}, nil, ext(""), "cannot be an identifier"},
			{connector.Identify{ExternalID: connector.ValueFrom{Column: "plan"}}, []string{"plan=0"}, ext(""), "is 0"},
			{connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}, []string{"id=0"}, ext("0"), ""},
			{connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}, []string{"id=x"}, ext(""), "cannot be decoded"},
			{connector.Identify{AliasLabel: "crm", AliasName: "external_id"}, nil, connector.User{Kind: connector.Alias, ID: "u1", Label: "crm"}, ""},
			{connector.Identify{AliasLabel: "crm", AliasName: "external_id"}, []string{"external_id=" + strings.Repeat("x", 237)}, ext(""), "236 bytes"},
			{connector.Identify{Email: "email"}, []string{"email= A@x.io"}, connector.User{Kind: connector.Email, ID: "a@x.io"}, ""},
			{connector.Identify{Email: "email"}, []string{"email=foo@"}, ext(""), "not an e-mail"},
			{connector.Identify{Phone: "phone"}, []string{"phone=+81 90-1234-5678"}, connector.User{Kind: connector.Phone, ID: "+819012345678"}, ""},
			{connector.Identify{Phone: "phone"}, []string{"phone=12"}, ext(""), "without +"},
		} {
			b := base(t, "sync", func(m *connector.Model) { m.Identify, m.Fields, m.Custom = c.id, nil, nil })
			r := row(b.table, r1, c.changes...)
			out, err := b.try(connector.Insert, none, r)
			var re *connector.RowError
			switch {
			case c.refused != "":
				if !errors.As(err, &re) || !strings.Contains(re.Reason, c.refused) {
					t.Errorf("%+v: got %v, want %q", c.id, err, c.refused)
				}
			case err != nil || out[0].User != c.want:
				t.Errorf("%+v: got %v, %v", c.id, out, err)
			}
		}
	})
	t.Run("case 55: what is wrong with a fallback is told of it, not of the first", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Identify.Email, m.Identify.Phone, m.Custom, m.Fields = "email", "phone", nil, nil
		})
		for _, c := range []struct {
			changes       []string
			field, reason string
		}{
			{[]string{"external_id=<null>", "email=foo@"}, "email", "not an e-mail"},
			{[]string{"external_id=<null>", "email=", "phone=12"}, "phone", "without +"},
			{[]string{"external_id=<null>", "email=<null>", "phone="}, "external_id, email, phone", "all of these are empty or NULL"},
		} {
			if re := b.rowError(connector.Insert, none, row(b.table, r1, c.changes...)); re.Field != c.field || !strings.Contains(re.Reason, c.reason) {
				t.Errorf("%q: got %s: %s", c.changes, re.Field, re.Reason)
			}
		}
	})
	t.Run("case 55: a user named otherwise than by external_id is never renamed", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Identify.Email, m.Custom, m.Fields = "email", nil, nil })
		out, err := b.try(connector.Update, row(b.table, r1, "external_id=<null>"), row(b.table, r1))
		if err != nil || len(out) != 1 || out[0].Kind != connector.Track || out[0].User != ext("u1") || !out[0].Creates {
			t.Errorf("got %s, %v", show(out), err)
		}
	})
	t.Run("case 68: a row with only an identifier is sent when it is new", func(t *testing.T) {
		only := func(m *connector.Model) { m.Fields = nil; m.Custom = []connector.FieldMap{column("plan", "plan")} }
		for _, mode := range []string{"sync", "additive"} {
			b := base(t, mode, only)
			want(t, b.insert("plan=<null>"), "track u1 creates whole {}")
			want(t, b.update(none, row(b.table, r1, "plan=<absent>")), "")
		}
		b := base(t, "enrich", only)
		if got := b.insert("plan=<null>"); strings.Contains(got, "creates") {
			t.Errorf("enrich creates: %s", got)
		}
	})
	t.Run("case 79: each change of a batch is judged alone", func(t *testing.T) {
		b := base(t, "sync", nil)
		r2 := row(b.table, r1, "id=2", "external_id=u2")
		want(t, b.do(connector.Delete, row(b.table, r1), none), "delete u1 verify")
		if got := b.do(connector.Insert, none, r2); !strings.HasPrefix(got, "track u2 creates") {
			t.Error(got)
		}
		if got := b.insert(); !strings.HasPrefix(got, "track u1 creates") {
			t.Error(got)
		}
		want(t, b.do(connector.Delete, r2, none), "delete u2 verify")
	})
	t.Run("case 84: enrich only updates, and proves nothing", func(t *testing.T) {
		b := base(t, "enrich", nil)
		if got := b.insert("external_id=User_A1"); !strings.HasPrefix(got, `track User_A1 only whole {"email"`) {
			t.Error(got)
		}
		want(t, b.update(row(b.table, r1), row(b.table, r1, "plan=pro")), `track u1 only whole {`+strings.Replace(r1JSON, `"free"`, `"pro"`, 1)+`}`)
		want(t, b.do(connector.Delete, row(b.table, r1), none), "")
	})
}

func TestCasesDeletes(t *testing.T) {
	none := connector.Row{}
	t.Run("case 40: a key-only delete asks the store, else it is refused", func(t *testing.T) {
		b := base(t, "sync", nil)
		image := keyOnly(row(b.table, r1))
		if re := b.rowError(connector.Delete, image, none); !strings.Contains(re.Reason, "delete without external_id") ||
			!strings.Contains(re.Reason, "ALTER TABLE public.users REPLICA IDENTITY FULL") {
			t.Errorf("reason: %s", re.Reason)
		}
		b.ids[keyOf(image)] = ext("u1")
		want(t, b.do(connector.Delete, image, none), "delete u1 verify")
	})
	t.Run("case 40: the key is the external_id", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Identify.ExternalID.Column = "id" })
		want(t, b.do(connector.Delete, keyOnly(row(b.table, r1)), none), "delete 1")
		if i := b.m.Models()[0]; !i.IDFromKey || !i.IDUnique || i.IDColumn != "id" {
			t.Errorf("info: %+v", i)
		}
	})
	t.Run("case 40: additive and enrich never delete", func(t *testing.T) {
		for _, mode := range []string{"additive", "enrich"} {
			b := base(t, mode, nil)
			want(t, b.do(connector.Delete, row(b.table, r1), none), "")
			want(t, b.do(connector.Delete, keyOnly(row(b.table, r1)), none), "")
			if b.passed[0] != "mode" {
				t.Errorf("passed: %q", b.passed)
			}
		}
	})
	t.Run("case 41: a changed external_id renames, in every mode", func(t *testing.T) {
		for _, mode := range []string{"sync", "additive"} {
			b := base(t, mode, nil)
			want(t, b.changed(row(b.table, r1), row(b.table, r1, "external_id=u9", "plan=pro")), `rename u1>u9 verify + track u9 whole {~"plan":"pro"}`)
		}
		b := base(t, "enrich", nil)
		if got := b.update(row(b.table, r1), row(b.table, r1, "external_id=u9")); !strings.HasPrefix(got, `rename u1>u9 verify + track u9 only whole {"email"`) {
			t.Error(got)
		}
	})
	t.Run("case 41: the store tells of the change where the before-image does not", func(t *testing.T) {
		b := base(t, "sync", nil)
		after := row(b.table, r1, "external_id=u9")
		b.ids[keyOf(after)] = ext("u1")
		if got := b.update(none, after); !strings.HasPrefix(got, "rename u1>u9 verify + track u9 whole {\"email\"") {
			t.Error(got)
		}
	})
	t.Run("case 41: create and stop", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.OnIDChange = "create" })
		if got := b.update(row(b.table, r1), row(b.table, r1, "external_id=u9", "phone=<null>")); !strings.HasPrefix(got, "track u9 creates whole {") ||
			!strings.Contains(got, `"phone":null`) {
			t.Error(got)
		}
		b = base(t, "sync", func(m *connector.Model) { m.OnIDChange = "stop" })
		_, err := b.try(connector.Update, row(b.table, r1), row(b.table, r1, "external_id=u9"))
		var stop *connector.StopError
		if !errors.As(err, &stop) || strings.Contains(err.Error(), "u9") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("case 41: an external_id that becomes NULL or empty is refused, never a delete", func(t *testing.T) {
		b := base(t, "sync", nil)
		for _, id := range []string{"<null>", "", " "} {
			re := b.rowError(connector.Update, row(b.table, r1), row(b.table, r1, "external_id="+id))
			if re.User != ext("u1") {
				t.Errorf("the refusal names %v", re.User)
			}
		}
	})
	t.Run("case 41: a row that gets its first identifier starts its profile", func(t *testing.T) {
		b := base(t, "sync", nil)
		got := b.update(row(b.table, r1, "external_id=<null>"), row(b.table, r1, "phone=<null>"))
		if !strings.HasPrefix(got, "track u1 creates whole {") || !strings.Contains(got, `"phone":null`) {
			t.Error(got)
		}
	})
	t.Run("case 40: a delete without any image", func(t *testing.T) {
		b := base(t, "sync", nil)
		key := connector.Key{Table: "public.users", ID: "1;"}
		c := &connector.Change{Op: connector.Delete, Key: key}
		var re *connector.RowError
		if _, err := b.m.Map(nil, c, b.ids); !errors.As(err, &re) {
			t.Errorf("got %v", err)
		}
		b.ids[key] = ext("u1")
		out, err := b.m.Map(nil, c, b.ids)
		if err != nil {
			t.Fatal(err)
		}
		want(t, show(out), "delete u1 verify")
	})
	t.Run("images that do not fit their table are an error", func(t *testing.T) {
		b := base(t, "sync", nil)
		short := connector.Row{Table: b.table, Cells: make([]connector.Cell, 2)}
		for _, c := range []connector.Change{{Op: connector.Insert}, {Op: connector.Update, Before: row(b.table, r1)}, {Op: connector.Insert, After: short},
			{Op: connector.Update, Before: short, After: row(b.table, r1)}} {
			if _, err := b.m.Map(nil, &c, b.ids); err == nil {
				t.Errorf("%s maps", c.Op)
			}
		}
	})
	t.Run("a changed key alone makes no call", func(t *testing.T) {
		b := base(t, "sync", nil)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "id=7")), "track u1 whole {}")
	})
	t.Run("a key change under a key-only image asks the store by the old key", func(t *testing.T) {
		b := base(t, "sync", nil)
		old := keyOnly(row(b.table, r1))
		b.ids[keyOf(old)] = ext("u1")
		if got := b.update(old, row(b.table, r1, "id=7", "external_id=u9")); !strings.HasPrefix(got, "rename u1>u9") {
			t.Error(got)
		}
	})
	t.Run("a unique key over external_id needs no look-up", func(t *testing.T) {
		tab := usersTable()
		tab.Unique = append(tab.Unique, []int{1})
		b := newBench(t, tab, mapping.Config{Models: []connector.Model{m0("sync")}})
		want(t, b.do(connector.Delete, row(tab, r1), none), "delete u1")
	})
}

func TestOtherModels(t *testing.T) {
	none := connector.Row{}
	other := func(m *connector.Model) {
		m.OwnsUsers, m.Fields = false, nil
		m.Custom = []connector.FieldMap{column("plan", "plan"), {Name: "shop", ValueFrom: connector.ValueFrom{Value: `"berlin"`, HasValue: true}}}
	}
	t.Run("in sync a deleted row unsets its fields, update-only", func(t *testing.T) {
		b := base(t, "sync", other)
		want(t, b.do(connector.Delete, row(b.table, r1), none), `track u1 only {"plan":null,"shop":null}`)
	})
	t.Run("in additive and enrich it does nothing", func(t *testing.T) {
		for _, mode := range []string{"additive", "enrich"} {
			b := base(t, mode, other)
			want(t, b.do(connector.Delete, row(b.table, r1), none), "")
		}
	})
	t.Run("a changed external_id moves the row and never renames", func(t *testing.T) {
		b := base(t, "sync", other)
		want(t, b.update(row(b.table, r1), row(b.table, r1, "external_id=u9", "plan=<null>")),
			`track u1 only {"plan":null,"shop":null} + track u9 creates whole {"plan":null,"shop":"berlin"}`)
		b = base(t, "additive", other)
		want(t, b.update(row(b.table, r1), row(b.table, r1, "external_id=u9")), `track u9 creates whole {"plan":"free","shop":"berlin"}`)
		b = base(t, "enrich", other)
		want(t, b.update(row(b.table, r1), row(b.table, r1, "external_id=u9")), `track u9 only whole {"plan":"free","shop":"berlin"}`)
	})
	t.Run("delete_when takes the fields back", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { other(m); m.DeleteWhen = "deleted_at != nil" })
		want(t, b.update(row(b.table, r1), row(b.table, r1, "deleted_at=2026-01-01 00:00:00Z")), `track u1 only {"plan":null,"shop":null}`)
	})
	t.Run("two models of one table map one change", func(t *testing.T) {
		second := m0("additive")
		second.Path = "models[1]"
		other(&second)
		second.Custom = second.Custom[1:]
		first := m0("sync")
		b := newBench(t, usersTable(), mapping.Config{Models: []connector.Model{first, second}})
		want(t, b.insert(), `track u1 creates whole {`+r1JSON+`} + track u1 creates whole {"shop":"berlin"}`)
		want(t, b.do(connector.Delete, row(b.table, r1), none), "delete u1 verify")
	})
}
