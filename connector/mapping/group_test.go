package mapping_test

import (
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

func group(name, column, rule string) connector.GroupMap {
	return connector.GroupMap{Group: name, ID: "SG-" + strings.ToUpper(name), Subscribed: column, When: rule, Path: "models[0].subscription_groups[0]"}
}

// grouped is the base model with nothing but groups and audiences.
func grouped(t testing.TB, mode string, change func(*connector.Model), groups ...connector.GroupMap) *bench {
	t.Helper()
	return base(t, mode, func(m *connector.Model) {
		m.Fields, m.Custom, m.Groups = nil, nil, groups
		if change != nil {
			change(m)
		}
	})
}

func TestCasesOfGroups(t *testing.T) {
	none := connector.Row{}
	news := group("news", "newsletter", "")
	t.Run("case 23: removed, then added again", func(t *testing.T) {
		b := grouped(t, "sync", nil, news)
		in, out := row(b.table, r1), row(b.table, r1, "newsletter=f")
		want(t, b.changed(in, out), `track u1 whole {~"subscription_groups.news":"unsubscribed"}`)
		want(t, b.changed(out, in), `track u1 whole {~"subscription_groups.news":"subscribed"}`)
	})
	t.Run("case 24: a state a row", func(t *testing.T) {
		b := grouped(t, "sync", nil, news)
		out, err := b.try(connector.Insert, none, row(b.table, r1))
		if err != nil || len(out) != 1 || len(out[0].Fields) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		f := out[0].Fields[0]
		if f.Def.Group != "SG-NEWS" || !f.Def.Free || !f.Def.NoNull || string(f.JSON) != `"subscribed"` {
			t.Errorf("%+v %s", f.Def, f.JSON)
		}
		want(t, b.insert("newsletter=f"), `track u1 creates whole {"subscription_groups.news":"unsubscribed"}`)
		want(t, b.insert("newsletter=<null>"), `track u1 creates whole {}`)
	})
	t.Run("case 26: a row without a user sets no group", func(t *testing.T) {
		b := grouped(t, "sync", nil, news)
		_ = b.rowError(connector.Insert, none, row(b.table, r1, "external_id=<null>"))
	})
	t.Run("case 27: only the group that changed", func(t *testing.T) {
		b := grouped(t, "sync", nil, news, group("vip", "is_vip", ""))
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "newsletter=f")), `track u1 whole {~"subscription_groups.news":"unsubscribed"}`)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "newsletter=f", "is_vip=f")),
			`track u1 whole {~"subscription_groups.news":"unsubscribed",~"subscription_groups.vip":"unsubscribed"}`)
	})
	t.Run("case 28: an opt-out of a service is no global one, and no row that said so all along subscribes", func(t *testing.T) {
		b := grouped(t, "sync", nil, news)
		got := b.changed(row(b.table, r1), row(b.table, r1, "newsletter=f")) + b.update(row(b.table, r1), row(b.table, r1, "plan=pro")) +
			b.do(connector.Snapshot, none, row(b.table, r1)) + b.update(none, row(b.table, r1))
		if strings.Contains(got, "email_subscribe") || strings.Contains(got, `:"subscribed"`) {
			t.Error(got)
		}
		hasNote(t, b.notes, "not for rows that are read")
		hasNote(t, b.notes, "REPLICA IDENTITY FULL would")
	})
	t.Run("case 28: arrays of services are added to and taken from", func(t *testing.T) {
		tags := column("tags", "tags")
		tags.Array = "add_remove"
		b := base(t, "sync", func(m *connector.Model) { m.Fields, m.Custom = nil, []connector.FieldMap{tags} })
		out, err := b.try(connector.Update, row(b.table, r1), row(b.table, r1, "tags={a,b,svc}"))
		if f := out[0].Fields[0]; err != nil || f.Def.Array != connector.ArrayAddRemove || string(oldOf(&f)) != `["a","b"]` || f.Proof != connector.Changed {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

func TestGroupStates(t *testing.T) {
	none := connector.Row{}
	t.Run("text states, and opt-ins are subscriptions", func(t *testing.T) {
		b := grouped(t, "sync", nil, group("news", "plan", ""))
		for word, state := range map[string]string{" Subscribed": "subscribed", "opted-in": "subscribed", "UNSUBSCRIBED": "unsubscribed", "no": "unsubscribed"} {
			want(t, b.insert("plan="+word), `track u1 creates whole {"subscription_groups.news":"`+state+`"}`)
		}
		want(t, b.insert("plan=maybe"), `track u1 creates whole {}`)
		hasNote(t, b.notes, "not one of subscribed")
	})
	t.Run("initial rows of a topic are a load", func(t *testing.T) {
		for _, allowed := range []bool{false, true} {
			b := grouped(t, "sync", func(m *connector.Model) { m.LoadConsent = allowed }, group("news", "newsletter", ""))
			for _, c := range []connector.Change{
				{Op: connector.Insert, After: row(b.table, r1), Initial: true}, {Op: connector.Snapshot, After: row(b.table, r1)},
				{Op: connector.Update, Before: row(b.table, r1, "newsletter=f"), After: row(b.table, r1), Initial: true},
			} {
				c.Key = keyOf(c.After)
				out, err := b.m.Map(nil, &c, b.ids)
				if err != nil || strings.Contains(show(out), `"subscribed"`) != allowed {
					t.Errorf("allowed %v, %s: %s, %v", allowed, c.Op, show(out), err)
				}
			}
			read, err1 := b.m.MapRow(nil, 0, row(b.table, r1), time.Time{})
			load, err2 := b.m.MapLoad(nil, 0, row(b.table, r1), time.Time{})
			if err1 != nil || err2 != nil || strings.Contains(show(read), `"subscribed"`) || strings.Contains(show(load), `"subscribed"`) != allowed {
				t.Errorf("allowed %v: read again %s, loaded %s", allowed, show(read), show(load))
			}
		}
	})
	t.Run("who agrees again after having said nothing is subscribed again", func(t *testing.T) {
		b := grouped(t, "sync", nil, group("news", "newsletter", ""))
		for was, again := range map[string]bool{"<null>": true, "f": false} {
			out, err := b.try(connector.Update, row(b.table, r1, "newsletter="+was), row(b.table, r1))
			if err != nil || len(out[0].Fields) != 1 || out[0].Fields[0].Again != again {
				t.Errorf("from %s: %+v, %v", was, out, err)
			}
		}
	})
	t.Run("resubscribe never and always", func(t *testing.T) {
		never, always := group("news", "newsletter", ""), group("vip", "is_vip", "")
		never.Resubscribe, always.Resubscribe = "never", "always"
		b := grouped(t, "sync", nil, never, always)
		want(t, b.changed(row(b.table, r1, "newsletter=f", "is_vip=f"), row(b.table, r1)), `track u1 whole {~"subscription_groups.vip":"subscribed"}`)
		want(t, b.do(connector.Snapshot, none, row(b.table, r1)), `track u1 creates whole {"subscription_groups.vip":"subscribed"}`)
	})
	t.Run("enrich sends every state but subscribed that nobody gave", func(t *testing.T) {
		b := grouped(t, "enrich", nil, group("news", "newsletter", ""), group("vip", "is_vip", ""))
		want(t, b.update(row(b.table, r1, "is_vip=f"), row(b.table, r1, "is_vip=f", "plan=x")), `track u1 only whole {"subscription_groups.vip":"unsubscribed"}`)
		want(t, b.update(row(b.table, r1, "is_vip=f"), row(b.table, r1)), `track u1 only whole {"subscription_groups.vip":"subscribed"}`)
	})
}

func TestGroupsByRule(t *testing.T) {
	none := connector.Row{}
	rule := group("rich", "", "credits > 1000")
	leaving := rule
	leaving.OnLeave = "unsubscribe"
	poor := func(b *bench) connector.Row { return row(b.table, r1) }
	rich := func(b *bench, changes ...string) connector.Row {
		return row(b.table, r1, append([]string{"credits=1001"}, changes...)...)
	}
	t.Run("a user who comes in subscribes, one who leaves is kept", func(t *testing.T) {
		b := grouped(t, "sync", nil, rule)
		want(t, b.changed(poor(b), rich(b)), `track u1 whole {"subscription_groups.rich":"subscribed"}`)
		want(t, b.changed(poor(b), row(b.table, r1, "plan=x")), ``)
		want(t, b.changed(rich(b), poor(b)), ``)
		want(t, b.changed(rich(b), rich(b, "plan=x")), ``)
	})
	t.Run("from NULL it comes in, and NULL leaves nothing", func(t *testing.T) {
		b := grouped(t, "sync", nil, leaving)
		null := row(b.table, r1, "credits=<null>")
		want(t, b.changed(null, rich(b)), `track u1 whole {"subscription_groups.rich":"subscribed"}`)
		want(t, b.changed(rich(b), null), ``)
		hasNote(t, b.notes, "the rule is NULL")
	})
	t.Run("on_leave unsubscribe", func(t *testing.T) {
		b := grouped(t, "sync", nil, leaving)
		want(t, b.changed(rich(b), poor(b)), `track u1 whole {~"subscription_groups.rich":"unsubscribed"}`)
		want(t, b.changed(poor(b), row(b.table, r1, "plan=x")), `track u1 whole {}`)
		out, err := b.try(connector.Insert, none, poor(b))
		if err != nil || len(out[0].Fields) != 1 || !out[0].Fields[0].Omit {
			t.Errorf("a new row leaves a group: %s, %v", show(out), err)
		}
		want(t, b.do(connector.Snapshot, none, poor(b)), `track u1 creates whole {"subscription_groups.rich":"unsubscribed"}`)
	})
	t.Run("audiences are true, false, or left as they are", func(t *testing.T) {
		b := grouped(t, "sync", func(m *connector.Model) {
			m.Audiences = []connector.AudienceMap{{Attribute: "is_rich", When: "credits > 1000", Path: "models[0].audiences[0]"}}
		})
		want(t, b.insert(), `track u1 creates whole {"is_rich":false}`)
		want(t, b.changed(poor(b), rich(b)), `track u1 whole {~"is_rich":true}`)
		want(t, b.changed(rich(b), rich(b, "plan=x")), `track u1 whole {}`)
		want(t, b.insert("credits=<null>"), `track u1 creates whole {}`)
		hasNote(t, b.notes, "is_rich: the rule is NULL")
	})
	t.Run("a rule that needs an absent column asks for the row", func(t *testing.T) {
		b := grouped(t, "sync", nil, rule)
		if _, err := b.try(connector.Update, none, row(b.table, r1, "credits=<absent>")); err == nil || !strings.Contains(err.Error(), "credits") {
			t.Error(err)
		}
	})
}

func TestGroupsOfDeletedRows(t *testing.T) {
	none := connector.Row{}
	unsubscribe := func(m *connector.Model) { m.OnDeleteGroups = "unsubscribe" }
	const gone = `track u1 only {"subscription_groups.news":"unsubscribed"}`
	t.Run("on_delete_groups unsubscribe, in additive and enrich", func(t *testing.T) {
		for _, mode := range []string{"additive", "enrich"} {
			b := grouped(t, mode, unsubscribe, group("news", "newsletter", ""))
			out, err := b.try(connector.Delete, row(b.table, r1), none)
			if err != nil || show(out) != gone || !out[0].Ends {
				t.Errorf("%s: %s, %v", mode, show(out), err)
			}
			if re := b.rowError(connector.Delete, keyOnly(row(b.table, r1)), none); !re.Identity {
				t.Error(re)
			}
			keep := grouped(t, mode, nil, group("news", "newsletter", ""))
			want(t, keep.do(connector.Delete, row(b.table, r1), none), "")
		}
	})
	t.Run("delete_when is a delete", func(t *testing.T) {
		b := grouped(t, "additive", func(m *connector.Model) { unsubscribe(m); m.DeleteWhen = "deleted_at != nil" }, group("news", "newsletter", ""))
		dead := row(b.table, r1, "deleted_at=2026-11-01 00:00:00Z")
		want(t, b.update(row(b.table, r1), dead), gone)
		want(t, b.update(dead, dead), "")
		want(t, b.do(connector.Delete, dead, none), "")
	})
	t.Run("in sync the owner deletes, another model takes its fields and groups", func(t *testing.T) {
		b := grouped(t, "sync", unsubscribe, group("news", "newsletter", ""))
		want(t, b.do(connector.Delete, row(b.table, r1), none), "delete u1 verify")
		b = grouped(t, "sync", func(m *connector.Model) {
			unsubscribe(m)
			m.OwnsUsers, m.Custom = false, []connector.FieldMap{column("plan", "plan")}
		}, group("news", "newsletter", ""))
		want(t, b.do(connector.Delete, row(b.table, r1), none), `track u1 only {"plan":null,"subscription_groups.news":"unsubscribed"}`)
	})
}

// optins is a model of kind subscriptions.
func optins(t testing.TB, mode string, change func(*connector.Model)) *bench {
	t.Helper()
	return base(t, mode, func(m *connector.Model) {
		m.Kind, m.OwnsUsers, m.Fields, m.Custom = "subscriptions", false, nil, nil
		m.Groups = []connector.GroupMap{group("news", "newsletter", "")}
		if change != nil {
			change(m)
		}
	})
}

func showSubs(out []connector.Effect) string {
	var s []string
	for _, e := range out {
		line := e.Kind.String() + " " + e.User.ID
		for _, f := range e.Fields {
			line += " " + f.Def.Group + "=" + string(f.JSON)
		}
		s = append(s, line)
	}
	return strings.Join(s, " + ")
}

func TestSubscriptions(t *testing.T) {
	none := connector.Row{}
	run := func(b *bench, op connector.Op, before, after connector.Row) string {
		t.Helper()
		out, err := b.try(op, before, after)
		if err != nil {
			t.Fatal(err)
		}
		return showSubs(out)
	}
	t.Run("case 24: rows become states", func(t *testing.T) {
		b := optins(t, "sync", nil)
		want(t, run(b, connector.Insert, none, row(b.table, r1)), `subscribe u1 SG-NEWS="subscribed"`)
		want(t, run(b, connector.Insert, none, row(b.table, r1, "newsletter=f")), `subscribe u1 SG-NEWS="unsubscribed"`)
		want(t, run(b, connector.Update, row(b.table, r1, "newsletter=f"), row(b.table, r1)), `subscribe u1 SG-NEWS="subscribed"`)
		want(t, run(b, connector.Snapshot, none, row(b.table, r1)), ``)
	})
	t.Run("case 25: by e-mail or phone, each user of one kind", func(t *testing.T) {
		b := optins(t, "sync", func(m *connector.Model) { m.Identify = connector.Identify{Email: "email", Phone: "phone"} })
		out, err := b.try(connector.Insert, none, row(b.table, r1))
		if err != nil || out[0].User != (connector.User{Kind: connector.Email, ID: "a@x.io"}) {
			t.Errorf("%v, %v", out, err)
		}
		out, err = b.try(connector.Insert, none, row(b.table, r1, "email=<null>"))
		if err != nil || out[0].User != (connector.User{Kind: connector.Phone, ID: "+819012345678"}) {
			t.Errorf("%v, %v", out, err)
		}
	})
	t.Run("case 26: no user, no call", func(t *testing.T) {
		b := optins(t, "sync", nil)
		_ = b.rowError(connector.Insert, none, row(b.table, r1, "external_id=<null>"))
	})
	t.Run("a row that is gone unsubscribes in sync, and does nothing in additive", func(t *testing.T) {
		b := optins(t, "sync", nil)
		want(t, run(b, connector.Delete, row(b.table, r1), none), `subscribe u1 SG-NEWS="unsubscribed"`)
		b = optins(t, "additive", nil)
		want(t, run(b, connector.Delete, row(b.table, r1), none), ``)
	})
	t.Run("another user: the first leaves in sync, the second is no new consent of a row that is old", func(t *testing.T) {
		b := optins(t, "sync", nil)
		want(t, run(b, connector.Update, row(b.table, r1, "newsletter=f"), row(b.table, r1, "external_id=u2")), `subscribe u1 SG-NEWS="unsubscribed" + subscribe u2 SG-NEWS="subscribed"`)
		b = optins(t, "additive", nil)
		want(t, run(b, connector.Update, row(b.table, r1, "newsletter=f"), row(b.table, r1, "external_id=u2")), `subscribe u2 SG-NEWS="subscribed"`)
	})
	t.Run("a row that leaves the filter", func(t *testing.T) {
		b := optins(t, "sync", func(m *connector.Model) { m.Filter, m.OnLeave = `plan != "internal"`, "unset" })
		want(t, run(b, connector.Update, row(b.table, r1), row(b.table, r1, "plan=internal")), `subscribe u1 SG-NEWS="unsubscribed"`)
		b = optins(t, "sync", func(m *connector.Model) { m.Filter = `plan != "internal"` })
		want(t, run(b, connector.Update, row(b.table, r1), row(b.table, r1, "plan=internal")), ``)
	})
	t.Run("faults", func(t *testing.T) {
		of := func(mode string, change func(*connector.Model)) string {
			m := m0(mode)
			m.Kind, m.OwnsUsers, m.Fields, m.Custom = "subscriptions", false, nil, nil
			change(&m)
			return faultsOf(t, configOf(m))
		}
		wantFaults(t, of("enrich", func(m *connector.Model) {}), `mode cannot be enrich`, `no subscription groups`)
		wantFaults(t, of("sync", func(m *connector.Model) {
			m.Groups = []connector.GroupMap{group("news", "newsletter", "")}
			m.Identify = connector.Identify{AliasLabel: "a", AliasName: "plan"}
			m.Filter, m.OnLeave = "is_vip", "delete"
		}), `takes no alias`, `on_leave cannot be "delete"`)
	})
}

func TestGroupFaults(t *testing.T) {
	both, neither, leave, again, lost := group("a", "newsletter", "is_vip"), group("b", "", ""), group("c", "newsletter", ""), group("d", "newsletter", ""), group("e", "newsleter", "")
	leave.OnLeave, again.Resubscribe = "unsubscribe", "maybe"
	nameless := group("f", "newsletter", "")
	nameless.ID = ""
	wantFaults(t, faultsOf(t, with(func(m *connector.Model) {
		m.Groups = []connector.GroupMap{both, neither, leave, again, lost, nameless}
		m.Audiences = []connector.AudienceMap{{Attribute: "email", When: "is_vip"}, {Attribute: "x", When: "credits"}}
		m.OnDeleteGroups = "drop"
	})), `either a column of consent or a rule`, `either a column of consent or a rule`, `on_leave is for a rule`, `resubscribe cannot be "maybe"`, `no column "newsleter"`,
		`"f" is the name of no`, `on_delete_groups cannot be`, `Braze's own profile fields`, `not true or false`)
	a, b := m0("sync"), m0("sync")
	a.Groups = []connector.GroupMap{group("news", "newsletter", "")}
	b.Name, b.Path, b.OwnsUsers, b.Fields, b.Custom, b.Groups = "other", "models[1]", false, nil, nil, a.Groups
	wantFaults(t, faultsOf(t, configOf(a, b)), `model "users" writes "subscription_groups.news" already`)
	b.Kind = "subscriptions"
	wantFaults(t, faultsOf(t, configOf(a, b)), `warn…sets the same subscription group`)
	b.Groups = []connector.GroupMap{{Group: "same", ID: "SG-NEWS", Subscribed: "is_vip", Path: "models[1].groups[0]"}}
	b.Kind = "users"
	wantFaults(t, faultsOf(t, configOf(a, b)), `writes "subscription_groups.same" already`)
}
