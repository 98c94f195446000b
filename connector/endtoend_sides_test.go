package connector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

// What the random worlds have beside their users: nested values and audiences in the users' tables, and events, subscriptions, groups and a catalog of
// users of their own, so that what is right stays simple to say.

// asTextArray makes a text[] of a parameter that is a JSON array or NULL.
const asTextArray = `CASE WHEN $%[1]d::text IS NULL THEN NULL ELSE ARRAY(SELECT jsonb_array_elements_text($%[1]d::text::jsonb)) END`

// deeper gives a table's model nested objects, arrays and an audience.
func (w *world) deeper(t *tableSpec) {
	name := func(f string) string { return strings.TrimPrefix(t.name+"_"+f, "customers_") }
	choose := func(of ...string) string { return of[w.more.IntN(len(of))] }
	if w.more.IntN(3) > 0 {
		t.m.fields = append(t.m.fields, refField{name: name("prefs"), from: "prefs", onNull: "clear", how: choose("merge", "replace")})
	}
	if w.more.IntN(3) > 0 {
		t.m.fields = append(t.m.fields, refField{name: name("tags"), from: "tags", onNull: "clear", how: choose("add_remove", "replace")})
	}
	// A rule that is NULL keeps what was: where worlds do not say who keeps a NULL, there is no rule.
	if w.more.IntN(3) == 0 && t.idKind != "plain" && t.m.mode != "enrich" && (t.m.full || !t.m.expands()) {
		t.m.fields = append(t.m.fields, refField{name: name("big"), from: "n > 60", onNull: "keep", how: "audience"})
	}
}

func (w *world) shuffleDeeper(r *refRow, all bool) {
	some := func() bool { return all || w.more.IntN(3) == 0 }
	if some() {
		r.prefs = nil
		if w.more.IntN(5) > 0 {
			o := map[string]any{"a": w.more.IntN(3)}
			if w.more.IntN(2) == 0 {
				o["b"] = map[string]any{"c": w.more.IntN(3)}
				if w.more.IntN(2) == 0 {
					o["b"].(map[string]any)["d"] = []any{w.more.IntN(2), "x"}
				}
			}
			if w.more.IntN(2) == 0 {
				o[fmt.Sprintf("e%d", w.more.IntN(2))] = w.more.IntN(2) == 0
			}
			s := asJSON(o)
			r.prefs = &s
		}
	}
	if some() {
		r.tags = nil
		if w.more.IntN(5) > 0 {
			set := []string{}
			for _, tag := range []string{"a", "b", "c", "d"} {
				if w.more.IntN(2) == 0 {
					set = append(set, tag)
				}
			}
			s := asJSON(set)
			r.tags = &s
		}
	}
}

// asSet gives an array of texts in their order: where values are added and removed Braze keeps another one.
func asSet(v string) string {
	var list []string
	if !strings.HasPrefix(v, `["`) || json.Unmarshal([]byte(v), &list) != nil {
		return v
	}
	slices.Sort(list)
	return asJSON(list)
}

// loseCache takes cache/ away, where complete before-images let the connector do without: else it has to hold deletes back, and does not know whether a row
// whose filter is NULL by now was sent.
func (w *world) loseCache(r *rig, side *sides) {
	if w.more.IntN(25) > 0 || w.needsCache() {
		return
	}
	w.say("lose cache/")
	r.stop()
	if err := os.RemoveAll(filepath.Join(r.dir, "cache")); err != nil {
		r.t.Fatal(err)
	}
	side.forgot = true
	w.ref.forget()
	r.start()
}

// needsCache tells whether something is known from cache/ alone.
func (w *world) needsCache() bool {
	return slices.ContainsFunc(w.tables, func(t *tableSpec) bool { return !t.m.full && (t.idKind != "key" || t.m.dead) || t.m.filter != "" })
}

const (
	sideUsers = 5
	sideGroup = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"
	ruleGroup = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1f"
	optGroup  = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f20"
)

func isSide(user string) bool { return strings.HasPrefix(user, "side") }

// sides are the other kinds of models, and what Braze should hold of them.
type sides struct {
	more    *rand.Rand
	orders  int                           // events sent so far, numbered from 1
	states  map[string]map[string]bool    // of "group user": the states that are right, "" is none
	rows    map[string]bool               // living rows of members and optins
	nulls   map[string]bool               // members whose score is NULL
	items   map[string]map[string]float64 // of the catalog
	faulted bool
	forgot  bool // the cache was lost
}

func (s *sides) ddl() []string {
	return []string{
		`CREATE TABLE orders(seq int PRIMARY KEY, user_id text NOT NULL, total numeric(10,2))`,
		optinTable, `ALTER TABLE optins REPLICA IDENTITY FULL`,
		`CREATE TABLE members(user_id text PRIMARY KEY, active bool, score int)`, `ALTER TABLE members REPLICA IDENTITY FULL`,
		`CREATE TABLE products(sku text PRIMARY KEY, price numeric(10,2))`, `ALTER TABLE products REPLICA IDENTITY FULL`,
	}
}

func (s *sides) catalogs() []brazesim.Catalog {
	return []brazesim.Catalog{{Name: "products", Fields: []brazesim.CatalogField{{Name: "id", Type: "string"}, {Name: "price", Type: "number"}}}}
}

// models are the configuration's, behind the n of the users' tables.
func (s *sides) models(n int) []connector.Model {
	column := func(c string) connector.ValueFrom { return connector.ValueFrom{Column: c} }
	user := connector.Identify{ExternalID: column("user_id")}
	out := []connector.Model{
		{Name: "orders", Kind: "events", Table: "public.orders", Mode: "additive", Load: "none", Identify: user,
			Event: connector.EventMap{Name: connector.NameFrom{Value: "order"}, Properties: []connector.PropertyMap{{FieldMap: connector.FieldMap{Name: "seq", ValueFrom: column("seq")}}, {FieldMap: connector.FieldMap{Name: "total", ValueFrom: column("total")}}}}},
		optinModel(n + 1),
		{Name: "sales", Kind: "purchases", Table: "public.orders", Mode: "additive", Load: "none", Identify: user,
			Event: connector.EventMap{Name: connector.NameFrom{Value: "thing"}, Currency: connector.ValueFrom{Value: `"EUR"`, HasValue: true}, Price: column("total"),
				Properties: []connector.PropertyMap{{FieldMap: connector.FieldMap{Name: "seq", ValueFrom: column("seq")}}}}},
		{Name: "members", Kind: "users", Table: "public.members", Mode: "additive", Load: "none", Identify: user, ReplicaIdentity: "auto",
			Custom: []connector.FieldMap{{Name: "score", ValueFrom: column("score"), OnNull: "clear"}},
			Groups: []connector.GroupMap{{Group: "members", ID: sideGroup, Subscribed: "active", OnLeave: "keep", Resubscribe: "on_change"},
				{Group: "rule", ID: ruleGroup, When: "score > 50", OnLeave: "unsubscribe", Resubscribe: "on_change"}}},
		{Name: "products", Kind: "catalog", Table: "public.products", Catalog: "products", Mode: "sync", Load: "none",
			Identify: connector.Identify{ItemID: []connector.ValueFrom{column("sku")}},
			Fields:   []connector.FieldMap{{Name: "price", ValueFrom: column("price"), OnNull: "clear"}}},
	}
	for i := range out {
		m := &out[i]
		m.Path = fmt.Sprintf("models[%d]", n+i)
		m.Event.Path = m.Path + ".event"
		for j := range m.Groups {
			m.Groups[j].Path = fmt.Sprintf("%s.groups[%d]", m.Path, j)
		}
		for _, list := range [][]connector.FieldMap{m.Fields, m.Custom} {
			for j := range list {
				list[j].Path = m.Path + ".fields." + list[j].Name
			}
		}
	}
	return out
}

func (s *sides) strangers(r *rig) {
	s.states, s.rows, s.nulls, s.items = map[string]map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]map[string]float64{}
	var all []map[string]any
	for i := range sideUsers {
		all = append(all, map[string]any{"external_id": fmt.Sprintf("side%d", i)})
	}
	r.seed(all...)
}

// step changes a few rows, each in a transaction of its own.
func (s *sides) step(r *rig) {
	for range s.more.IntN(4) {
		user := fmt.Sprintf("side%d", s.more.IntN(sideUsers))
		switch s.more.IntN(4) {
		case 0:
			s.orders++
			r.exec(`INSERT INTO orders VALUES ($1, $2, $3::int)`, s.orders, user, s.more.IntN(100))
		case 1:
			s.optin(r, user)
		case 2:
			s.member(r, user)
		case 3:
			s.product(r, fmt.Sprintf("sku-%d", s.more.IntN(6)))
		}
	}
}

func (s *sides) bool() *bool {
	v := []*bool{nil, new(bool), new(bool)}[s.more.IntN(3)]
	if v != nil && s.more.IntN(2) == 0 {
		*v = true
	}
	return v
}

// set notes a state; nil leaves what was.
func (s *sides) set(group, user string, subscribed *bool) {
	switch {
	case subscribed == nil:
	case *subscribed:
		s.states[group+" "+user] = map[string]bool{"subscribed": true}
	default:
		s.states[group+" "+user] = map[string]bool{"unsubscribed": true}
	}
}

func (s *sides) optin(r *rig, user string) {
	key := "optins " + user
	if s.rows[key] && s.more.IntN(3) == 0 {
		delete(s.rows, key)
		r.exec(`DELETE FROM optins WHERE user_id = $1`, user)
		s.set(optGroup, user, new(bool))
		return
	}
	v := s.bool()
	s.rows[key] = true
	r.exec(`INSERT INTO optins VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET confirmed = $2`, user, v)
	s.set(optGroup, user, v)
}

func (s *sides) member(r *rig, user string) {
	key := "members " + user
	if s.rows[key] && s.more.IntN(4) == 0 {
		delete(s.rows, key)
		r.exec(`DELETE FROM members WHERE user_id = $1`, user)
		return // additive, and groups are kept
	}
	fresh := !s.rows[key]
	v := s.bool()
	var score *int
	if s.more.IntN(4) > 0 {
		n := s.more.IntN(100)
		score = &n
	}
	s.rows[key] = true
	r.exec(`INSERT INTO members VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE SET active = $2, score = $3`, user, v, score)
	s.set(sideGroup, user, v)
	wasNull := s.nulls[user]
	if s.nulls[user] = score == nil; score == nil {
		return
	}
	in := *score > 50
	if !in { // where nobody left, or came and left before it was sent, whether a state is set is open
		now := map[string]bool{"": true, "unsubscribed": true}
		was := s.states[ruleGroup+" "+user]
		if s.forgot && (fresh || wasNull) || len(was) > 1 && was["subscribed"] { // who knows that an earlier row, or what was before NULL, subscribed
			now["subscribed"] = true
		}
		s.states[ruleGroup+" "+user] = now
		return
	}
	s.set(ruleGroup, user, &in)
}

func (s *sides) product(r *rig, sku string) {
	if s.items[sku] != nil && s.more.IntN(3) == 0 {
		delete(s.items, sku)
		r.exec(`DELETE FROM products WHERE sku = $1`, sku)
		return
	}
	price := float64(s.more.IntN(1000))
	s.items[sku] = map[string]float64{"price": price}
	r.exec(`INSERT INTO products VALUES ($1, $2) ON CONFLICT (sku) DO UPDATE SET price = $2`, sku, price)
}

// differences compares what Braze holds with what is right.
func (s *sides) differences(sim *brazesim.Server) []string {
	var out []string
	seen, bought := map[int]int{}, map[int]int{}
	for i := range sideUsers {
		user := fmt.Sprintf("side%d", i)
		p, ok := sim.Profile(user)
		if !ok {
			out = append(out, user+": no profile")
			continue
		}
		count := func(times map[int]int, properties json.RawMessage) {
			var props struct {
				Seq int `json:"seq"`
			}
			if err := json.Unmarshal(properties, &props); err != nil {
				out = append(out, fmt.Sprintf("%s: %s: %v", user, properties, err))
			}
			times[props.Seq]++
		}
		for _, e := range p.Events {
			count(seen, e.Properties)
		}
		for _, b := range p.Purchases {
			count(bought, b.Properties)
		}
		for _, g := range []string{sideGroup, ruleGroup, optGroup} {
			want := s.states[g+" "+user]
			if want == nil {
				want = map[string]bool{"": true}
			}
			if !want[p.Groups[g]] {
				out = append(out, fmt.Sprintf("%s: group %s is %q, want %v", user, g, p.Groups[g], slices.Sorted(maps.Keys(want))))
			}
		}
	}
	for seq := 1; seq <= s.orders; seq++ {
		for what, n := range map[string]int{"event": seen[seq], "purchase": bought[seq]} {
			if n == 0 || n > 1 && !s.faulted {
				out = append(out, fmt.Sprintf("the %s of order %d came %d times", what, seq, n))
			}
		}
	}
	have := map[string]map[string]float64{}
	for _, c := range sim.Catalogs() {
		for id, fields := range c.Items {
			have[id] = map[string]float64{}
			for f, v := range fields {
				var n float64
				if err := json.Unmarshal(v, &n); err != nil {
					out = append(out, fmt.Sprintf("item %s: %s is %s", id, f, v))
				}
				have[id][f] = n
			}
		}
	}
	if !maps.EqualFunc(have, s.items, func(a, b map[string]float64) bool { return maps.Equal(a, b) }) {
		out = append(out, fmt.Sprintf("items: %v, want %v", have, s.items))
	}
	return out
}
