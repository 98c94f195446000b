package mapping_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// profiles is Braze as the effects make it: the fields of each user, nulls absent.
type profiles map[string]map[string]string

func (p profiles) set(u, field, json string, create bool) {
	if p[u] == nil {
		if !create {
			return
		}
		p[u] = map[string]string{}
	}
	if json == "null" {
		delete(p[u], field)
	} else {
		p[u][field] = json
	}
}

// apply does what a sink would, trusting every proof, and keeps the store of row -> user as a pipeline does.
func (p profiles) apply(es []connector.Effect, ids known) {
	for _, e := range es {
		u := e.User.ID
		switch e.Kind {
		case connector.DeleteUser:
			delete(p, u)
			delete(ids, e.Key)
			if e.Change != nil {
				delete(ids, e.Change.OldKey)
			}
		case connector.Rename:
			if p[u] != nil && p[e.To.ID] == nil {
				p[e.To.ID] = p[u]
				delete(p, u)
			}
		case connector.Track:
			if e.Creates && !e.UpdateOnly && p[u] == nil {
				p[u] = map[string]string{}
			}
			for _, f := range e.Fields {
				if f.Proof != connector.Unchanged && !f.Omit {
					p.set(u, f.Def.Name, string(f.JSON), !e.UpdateOnly)
				}
			}
			if e.Change.OldKey != (connector.Key{}) {
				delete(ids, e.Change.OldKey)
			}
			if ids[e.Key] = e.User; e.Ends {
				delete(ids, e.Key)
			}
		}
	}
}

// refRow is a row as the reference model knows it; a nil value is NULL.
type refRow struct {
	id         int
	user       string
	vals       map[string]*string // a, big
	plan, dead *string
}

func (r *refRow) cells(t *connector.Table, absent map[string]bool) connector.Row {
	text := func(s *string) string {
		if s == nil {
			return "<null>"
		}
		return *s
	}
	base := []string{fmt.Sprint(r.id), r.user, text(r.vals["a"]), text(r.vals["big"]), text(r.plan), text(r.dead)}
	for i, c := range t.Columns {
		if absent[c.Name] {
			base[i] = "<absent>"
		}
	}
	return row(t, base)
}

// The reference: a row counts if its plan is not internal (NULL counts only where the row counted already) and it is not dead.
func (r *refRow) isDead() bool { return r.dead != nil }

// refModel is the reference: the table of modes and the rules of ownership, written without images, proofs or a store.
type refModel struct {
	mode, onLeave string
	owner         bool
	p             profiles
	in            map[int]bool // rows that count
}

func (m *refModel) fields(u string, r *refRow, nulls bool) {
	create := m.mode != "enrich"
	if create && m.p[u] == nil {
		m.p[u] = map[string]string{}
	}
	for _, f := range []string{"a", "big"} {
		if v := r.vals[f]; v != nil {
			m.p.set(u, f, `"`+*v+`"`, create)
		} else if nulls {
			m.p.set(u, f, "null", create)
		}
	}
}

func (m *refModel) end(u, how string) {
	if how == "delete" && m.mode == "sync" && !m.owner {
		how = "unset"
	}
	switch {
	case how == "delete" && m.mode == "sync":
		delete(m.p, u)
	case how == "unset":
		m.p.set(u, "a", "null", false)
		m.p.set(u, "big", "null", false)
	}
}

func (m *refModel) step(before, after *refRow) {
	switch {
	case after == nil:
		if m.in[before.id] {
			m.end(before.user, "delete")
		}
		delete(m.in, before.id)
	case before == nil:
		if m.in[after.id] = !after.isDead() && after.plan != nil && *after.plan != "internal"; m.in[after.id] {
			m.fields(after.user, after, false)
		}
	default:
		was := m.in[before.id]
		delete(m.in, before.id)
		now := !after.isDead() && ((after.plan == nil && was) || (after.plan != nil && *after.plan != "internal"))
		m.in[after.id] = now
		switch {
		case was && after.isDead():
			m.end(before.user, "delete")
		case was && !now:
			m.end(before.user, m.onLeave)
		case now:
			if was && before.user != after.user && !m.owner {
				m.end(before.user, "delete")
			} else if was && before.user != after.user && m.p[before.user] != nil && m.p[after.user] == nil {
				m.p[after.user] = m.p[before.user]
				delete(m.p, before.user)
			}
			m.fields(after.user, after, true)
		}
	}
}

func TestAgainstReference(t *testing.T) {
	tab := table("public.users", "id", col{"id", kInt}, col{"external_id", kText}, col{"a", kText}, col{"big", kText}, col{"plan", kText}, col{"dead", kText})
	tab.Unique = append(tab.Unique, []int{1})
	for _, mode := range []string{"sync", "additive", "enrich"} {
		for _, onLeave := range []string{"unset", "delete", "keep"} {
			for n := range 4 {
				full, owner := n%2 == 0, n < 2
				if onLeave == "delete" && (mode != "sync" || !owner) {
					continue
				}
				t.Run(fmt.Sprintf("%s, on_leave %s, full images %v, owner %v", mode, onLeave, full, owner), func(t *testing.T) {
					m := m0(mode)
					m.Filter, m.OnLeave, m.DeleteWhen, m.Fields = `plan != "internal"`, onLeave, "dead != nil", nil
					m.Custom, m.OwnsUsers = []connector.FieldMap{column("a", "a"), column("big", "big")}, owner
					mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}, Tables: map[string]*connector.Table{tab.Name: tab}})
					if mapper == nil {
						t.Fatal(faults)
					}
					rapid.Check(t, func(rt *rapid.T) {
						runReference(rt, mapper, tab, &refModel{mode: mode, onLeave: onLeave, owner: owner, p: profiles{}, in: map[int]bool{}}, full)
					})
				})
			}
		}
	}
}

func runReference(rt *rapid.T, mapper *mapping.Mapper, tab *connector.Table, ref *refModel, full bool) {
	got, ids := profiles{}, known{}
	if ref.mode == "enrich" {
		for i := range 100 {
			u := fmt.Sprintf("u%d", i)
			ref.p[u], got[u] = map[string]string{"z": "1"}, map[string]string{"z": "1"}
		}
	}
	rows := map[int]*refRow{}
	value := func(name string, of ...string) *string {
		if s := rapid.SampledFrom(append(of, "NULL")).Draw(rt, name); s != "NULL" {
			return &s
		}
		return nil
	}
	names := 0
	fresh := func(prefix string) string { // no two rows ever share a user, and enrich knows the u of inserts only
		names++
		return fmt.Sprintf("%s%d", prefix, names)
	}
	for n := rapid.IntRange(1, 25).Draw(rt, "steps"); n > 0; n-- {
		id := rapid.IntRange(1, 3).Draw(rt, "row")
		before := rows[id]
		var after *refRow
		switch {
		case before == nil:
			after = &refRow{id: id, user: fresh("u"), vals: map[string]*string{"a": value("a", "x", "y"), "big": value("big", "B", "C")},
				plan: value("plan", "free", "internal"), dead: value("dead", "d")}
		case rapid.IntRange(0, 4).Draw(rt, "delete") == 0:
		default:
			c := *before
			after, c.vals = &c, maps.Clone(before.vals)
			for range rapid.IntRange(0, 3).Draw(rt, "changes") {
				switch rapid.IntRange(0, 5).Draw(rt, "what") {
				case 0:
					after.vals["a"] = value("a", "x", "y")
				case 1:
					after.vals["big"] = value("big", "B", "C")
				case 2:
					after.plan = value("plan", "free", "pro", "internal")
				case 3:
					after.dead = value("dead", "d")
				case 4:
					after.user = fresh("v")
				case 5:
					if k := rapid.IntRange(1, 3).Draw(rt, "key"); rows[k] == nil {
						after.id = k
					}
				}
			}
		}
		ref.step(before, after)
		delete(rows, id)
		if after != nil {
			rows[after.id] = after
		}
		got.apply(mapStep(rt, mapper, tab, ids, before, after, full), ids)
		if fmt.Sprint(got) != fmt.Sprint(ref.p) {
			rt.Fatalf("profiles\n%v\nwant\n%v", got, ref.p)
		}
	}
}

// mapStep makes the change that a database would send, with untouched large values absent, and answers a NeedRowError.
func mapStep(rt *rapid.T, mapper *mapping.Mapper, tab *connector.Table, ids known, before, after *refRow, full bool) []connector.Effect {
	c := connector.Change{Op: connector.Update}
	switch {
	case before == nil:
		c.Op, c.After = connector.Insert, after.cells(tab, nil)
	case after == nil:
		c.Op, c.Before = connector.Delete, before.cells(tab, nil)
	default:
		absent := map[string]bool{"big": fmt.Sprint(before.vals["big"]) == fmt.Sprint(after.vals["big"])}
		c.Before, c.After = before.cells(tab, nil), after.cells(tab, absent)
	}
	if c.After.Exists() {
		c.Key = keyOf(c.After)
		if c.Before.Exists() && keyOf(c.Before) != c.Key {
			c.OldKey = keyOf(c.Before)
		}
	} else {
		c.Key = keyOf(c.Before)
	}
	if !full && c.Before.Exists() {
		if c.Op == connector.Delete || c.OldKey != (connector.Key{}) {
			c.Before = keyOnly(c.Before)
		} else {
			c.Before = connector.Row{}
		}
	}
	out, err := mapper.Map(nil, &c, ids)
	var need *connector.NeedRowError
	if errors.As(err, &need) {
		c.After = after.cells(tab, nil)
		out, err = mapper.Map(nil, &c, ids)
	}
	var re *connector.RowError
	if errors.As(err, &re) && !full && c.Op == connector.Delete && ids[c.Key] == (connector.User{}) {
		return nil // a key-only delete of a row that was never sent goes to quarantine: nobody can tell
	}
	if err != nil {
		rt.Fatal(err)
	}
	return out
}
