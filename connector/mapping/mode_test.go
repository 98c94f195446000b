package mapping_test

import (
	"errors"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

func filtered(t *testing.T, mode, onLeave string) *bench {
	return base(t, mode, func(m *connector.Model) {
		m.Filter, m.OnLeave = `plan != "internal"`, onLeave
		m.Fields, m.Custom = nil, []connector.FieldMap{column("plan", "plan"), column("credits", "credits")}
	})
}

func TestFilter(t *testing.T) {
	none := connector.Row{}
	const unsets = `track u1 only {"plan":null,"credits":null}`
	t.Run("case 64: rows outside make no call", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		in, out := row(b.table, r1), row(b.table, r1, "plan=internal")
		want(t, b.do(connector.Insert, none, out), "")
		want(t, b.do(connector.Snapshot, none, out), "")
		want(t, b.do(connector.Delete, out, none), "")
		want(t, b.do(connector.Delete, in, none), "delete u1 verify")
		want(t, b.update(out, row(b.table, r1, "plan=internal", "credits=3")), "")
		if len(b.passed) != 4 || b.passed[0] != "filter" {
			t.Errorf("passed: %q", b.passed)
		}
	})
	t.Run("case 64: leaving does what on_leave says", func(t *testing.T) {
		for mode, by := range map[string]map[string]string{
			"sync":     {"keep": "", "unset": unsets, "delete": "delete u1 verify"},
			"additive": {"keep": "", "unset": unsets, "": ""},
			"enrich":   {"keep": "", "unset": unsets},
		} {
			for onLeave, effect := range by {
				b := filtered(t, mode, onLeave)
				want(t, b.update(row(b.table, r1), row(b.table, r1, "plan=internal")), effect)
			}
		}
	})
	t.Run("case 64: entering sends the whole row, nulls included, without proof", func(t *testing.T) {
		b := filtered(t, "sync", "keep")
		want(t, b.update(row(b.table, r1, "plan=internal"), row(b.table, r1, "credits=<null>")), `track u1 creates whole {"plan":"free","credits":null}`)
		b = filtered(t, "enrich", "keep")
		want(t, b.update(row(b.table, r1, "plan=internal"), row(b.table, r1, "credits=<null>")), `track u1 only whole {"plan":"free","credits":null}`)
	})
	t.Run("without a before-image the store decides who leaves", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		out := row(b.table, r1, "plan=internal")
		want(t, b.update(none, out), "")
		b.ids[keyOf(out)] = ext("u1")
		want(t, b.update(none, out), "delete u1 verify")
	})
	t.Run("without a before-image the store decides who enters", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		in := row(b.table, r1)
		want(t, b.update(none, in), `track u1 creates whole {"plan":"free","credits":12.5}`)
		b.ids[keyOf(in)] = ext("u1")
		want(t, b.update(none, in), `track u1 whole {"plan":"free","credits":12.5}`)
	})
	t.Run("a filter that becomes unknown is no leave", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		null := row(b.table, r1, "plan=<null>")
		want(t, b.changed(row(b.table, r1), null), `track u1 whole {~"plan":null}`)
		hasNote(t, b.notes, "filter: the rule is NULL")
		want(t, b.do(connector.Insert, none, null), "")
		want(t, b.update(row(b.table, r1, "plan=internal"), null), "")
	})
	t.Run("a row whose filter was unknown stays in if the store knows it", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		null, out := row(b.table, r1, "plan=<null>"), row(b.table, r1, "plan=internal")
		want(t, b.update(null, out), "")
		b.ids[keyOf(null)] = ext("u1")
		want(t, b.update(null, out), "delete u1 verify")
		want(t, b.changed(null, row(b.table, r1, "plan=<null>", "credits=1")), `track u1 whole {~"credits":1}`)
	})
	t.Run("a key-only delete passes if the store knows the row, else it is refused", func(t *testing.T) {
		b := filtered(t, "sync", "keep")
		image := keyOnly(row(b.table, r1))
		_ = b.rowError(connector.Delete, image, none)
		b.ids[keyOf(image)] = ext("u1")
		want(t, b.do(connector.Delete, image, none), "delete u1 verify")
	})
	t.Run("an absent column is read from the before-image, else asked for", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		after := row(b.table, r1, "plan=<absent>", "credits=3")
		want(t, b.changed(row(b.table, r1), after), `track u1 whole {~"credits":3}`)
		_, err := b.try(connector.Update, none, after)
		var need *connector.NeedRowError
		if !errors.As(err, &need) || need.Column != "plan" {
			t.Errorf("got %v, want a *NeedRowError for plan", err)
		}
	})
	t.Run("a filter by the clock: a row that time let go still leaves", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Filter, m.OnLeave = `seen_at > now() - duration("24h")`, "unset"
			m.Fields, m.Custom = nil, []connector.FieldMap{column("plan", "plan")}
		})
		old := row(b.table, r1, "seen_at=2001-01-01 00:00:00Z")
		want(t, b.update(old, old), "")
		b.ids[keyOf(old)] = ext("u1")
		want(t, b.update(old, old), `track u1 only {"plan":null}`)
	})
	t.Run("an external_id that changes while the row leaves ends the old user", func(t *testing.T) {
		b := filtered(t, "sync", "delete")
		want(t, b.update(row(b.table, r1), row(b.table, r1, "plan=internal", "external_id=u9")), "delete u1 verify")
	})
	t.Run("an external_id that changes while the row enters starts the new user", func(t *testing.T) {
		b := filtered(t, "sync", "keep")
		want(t, b.update(row(b.table, r1, "plan=internal"), row(b.table, r1, "external_id=u9")), `track u9 creates whole {"plan":"free","credits":12.5}`)
	})
}

func TestDeleteWhen(t *testing.T) {
	none := connector.Row{}
	soft := func(t *testing.T, mode string) *bench {
		return base(t, mode, func(m *connector.Model) {
			m.DeleteWhen = "deleted_at != nil"
			m.Fields, m.Custom = nil, []connector.FieldMap{column("plan", "plan"), column("credits", "credits")}
		})
	}
	const dead = "deleted_at=2026-01-01 00:00:00Z"
	t.Run("becoming true is a delete, by mode", func(t *testing.T) {
		for mode, effect := range map[string]string{"sync": "delete u1 verify", "additive": "", "enrich": ""} {
			b := soft(t, mode)
			want(t, b.update(row(b.table, r1), row(b.table, r1, dead)), effect)
		}
	})
	t.Run("a dead row stays quiet", func(t *testing.T) {
		b := soft(t, "sync")
		want(t, b.update(row(b.table, r1, dead), row(b.table, r1, dead, "plan=x")), "")
		want(t, b.do(connector.Insert, none, row(b.table, r1, dead)), "")
		want(t, b.do(connector.Snapshot, none, row(b.table, r1, dead)), "")
		want(t, b.do(connector.Delete, row(b.table, r1, dead), none), "")
	})
	t.Run("becoming false sends the whole row, nulls included", func(t *testing.T) {
		b := soft(t, "sync")
		want(t, b.update(row(b.table, r1, dead), row(b.table, r1, "credits=<null>")), `track u1 creates whole {"plan":"free","credits":null}`)
	})
	t.Run("without a before-image a dead row is deleted by the identifier it has", func(t *testing.T) {
		b := soft(t, "sync")
		after := row(b.table, r1, dead)
		want(t, b.update(none, after), "delete u1 verify")
		b.ids[keyOf(after)] = ext("u0")
		want(t, b.update(none, after), "delete u0 verify")
	})
	t.Run("an error is no delete", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.DeleteWhen = `prefs.gone == true or int(plan) > 3`
			m.Fields, m.Custom = nil, []connector.FieldMap{column("plan", "plan")}
		})
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "plan=x")), `track u1 whole {~"plan":"x"}`)
		hasNote(t, b.notes, "delete_when: the expression cannot be evaluated")
	})
}

func TestAbsent(t *testing.T) {
	entering := func(t *testing.T, noReread bool) *bench {
		m := m0("sync")
		m.Filter, m.OnLeave = `plan != "internal"`, "keep"
		m.Fields, m.Custom = nil, []connector.FieldMap{column("prefs", "prefs"), expression("lang", "upper(first_name)")}
		return newBench(t, usersTable(), mapping.Config{Models: []connector.Model{m}, NoReread: noReread})
	}
	old := "plan=internal"
	t.Run("a row that starts a profile takes absent columns from the before-image", func(t *testing.T) {
		b := entering(t, false)
		want(t, b.update(row(b.table, r1, old), row(b.table, r1, "prefs=<absent>", "first_name=<absent>")),
			`track u1 creates whole {"prefs":{"lang":"ja","mail":{"freq":2}},"lang":"AYA"}`)
	})
	t.Run("else it asks for the row", func(t *testing.T) {
		b := entering(t, false)
		for _, c := range []string{"prefs", "first_name", "external_id"} {
			_, err := b.try(connector.Update, row(b.table, r1, old, c+"=<absent>"), row(b.table, r1, c+"=<absent>"))
			var need *connector.NeedRowError
			if !errors.As(err, &need) || need.Column != c {
				t.Errorf("got %v, want a *NeedRowError for %s", err, c)
			}
		}
	})
	t.Run("where no row can be read a field is left out and an expression refused", func(t *testing.T) {
		b := entering(t, true)
		want(t, b.update(row(b.table, r1, old, "prefs=<absent>"), row(b.table, r1, "prefs=<absent>")), `track u1 creates {"lang":"AYA"}`)
		hasNote(t, b.notes, `prefs: column "prefs" is not in the change`)
		_ = b.rowError(connector.Update, row(b.table, r1, old, "first_name=<absent>"), row(b.table, r1, "first_name=<absent>"))
	})
	t.Run("a partial row of a load carries what it has", func(t *testing.T) {
		b := entering(t, false)
		want(t, b.do(connector.Snapshot, connector.Row{}, row(b.table, r1, "prefs=<absent>")), `track u1 creates {"lang":"AYA"}`)
		want(t, b.do(connector.Snapshot, connector.Row{}, row(b.table, r1, "first_name=<absent>")), `track u1 creates {"prefs":{"lang":"ja","mail":{"freq":2}}}`)
	})
}

func TestTableVersions(t *testing.T) {
	m := m0("sync")
	m.Fields, m.Custom = nil, []connector.FieldMap{column("plan", "plan"), column("credits", "credits")}
	first := table("public.users", "id", col{"id", connector.KindInt}, col{"external_id", connector.KindText}, col{"plan", connector.KindText}, col{"credits", connector.KindDecimal})
	t.Run("a mapped column that vanished stops its field", func(t *testing.T) {
		b := newBench(t, first, mapping.Config{Models: []connector.Model{m}})
		second := table("public.users", "id", col{"credits", connector.KindDecimal}, col{"external_id", connector.KindText}, col{"id", connector.KindInt})
		for range 3 {
			want(t, b.do(connector.Insert, connector.Row{}, row(second, []string{"2", "u1", "1"})), `track u1 creates whole {"credits":2}`)
		}
		if len(b.notes) != 1 || !strings.Contains(b.notes[0], `column "plan" is gone`) {
			t.Errorf("notes: %q", b.notes)
		}
		want(t, b.do(connector.Insert, connector.Row{}, row(first, []string{"1", "u1", "a", "2"})), `track u1 creates whole {"plan":"a","credits":2}`)
	})
	t.Run("a before-image of another shape proves nothing but names the user", func(t *testing.T) {
		b := newBench(t, first, mapping.Config{Models: []connector.Model{m}})
		second := table("public.users", "id", col{"id", connector.KindInt}, col{"external_id", connector.KindText}, col{"plan", connector.KindText},
			col{"credits", connector.KindDecimal}, col{"more", connector.KindText})
		want(t, b.update(row(first, []string{"1", "u1", "a", "2"}), row(second, []string{"1", "u2", "a", "2", "x"})),
			`rename u1>u2 verify + track u2 whole {"plan":"a","credits":2}`)
	})
	t.Run("an identity or rule that an older shape lacks asks for the living row", func(t *testing.T) {
		mf := m
		mf.DeleteWhen = `plan == "gone"`
		b := newBench(t, first, mapping.Config{Models: []connector.Model{mf}})
		second := table("public.users", "id", col{"id", connector.KindInt}, col{"external_id", connector.KindText})
		var need *connector.NeedRowError
		if _, err := b.try(connector.Insert, connector.Row{}, row(second, []string{"1", "u1"})); !errors.As(err, &need) || connector.ExitCode(need.Stop) != connector.ExitTableUnfit {
			t.Errorf("got %v, want the living row, or else a stop", err)
		}
		var bad *connector.RowError
		if _, err := b.try(connector.Delete, row(second, []string{"1", "u1"}), connector.Row{}); !errors.As(err, &bad) {
			t.Errorf("got %v, want the delete held back", err)
		}
	})
}

func TestOnlyUsers(t *testing.T) {
	m := m0("sync")
	b := newBench(t, usersTable(), mapping.Config{Models: []connector.Model{m}, OnlyUsers: []string{"u1"}})
	if got := b.insert(); !strings.HasPrefix(got, "track u1") {
		t.Error(got)
	}
	want(t, b.insert("external_id=u2"), "")
	want(t, b.do(connector.Delete, row(b.table, r1, "external_id=u2"), connector.Row{}), "")
	if len(b.passed) != 2 || b.passed[0] != "only_users" {
		t.Errorf("passed: %q", b.passed)
	}
}
