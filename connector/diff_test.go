package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// braze applies an object of attributes as Braze documents it (Braze docs, "Nested custom attributes", "Array of objects", "Array custom attributes").
type brazeProfile map[string]any

func (p brazeProfile) track(fields []Field, merge bool) {
	for _, f := range fields {
		var v any
		if err := json.Unmarshal(f.JSON, &v); err != nil {
			panic(err)
		}
		p[f.Def.Name] = settle(p[f.Def.Name], v, merge)
		if p[f.Def.Name] == nil {
			delete(p, f.Def.Name)
		}
	}
}

func operate(old any, ops map[string]any) any {
	list, _ := old.([]any)
	list = slices.Clone(list)
	if add, ok := ops["add"].([]any); ok {
		for _, v := range add {
			list = append(slices.DeleteFunc(list, func(o any) bool { return reflect.DeepEqual(o, v) }), v)
		}
	}
	if remove, ok := ops["remove"].([]any); ok {
		for _, v := range remove {
			list = slices.DeleteFunc(list, func(o any) bool { return reflect.DeepEqual(o, v) })
		}
	}
	if add, ok := ops["$add"].([]any); ok {
		list = append(list, add...)
	}
	at := func(op any) (int, map[string]any) {
		m := op.(map[string]any)
		key := m["$identifier_key"].(string)
		return slices.IndexFunc(list, func(o any) bool { return reflect.DeepEqual(o.(map[string]any)[key], m["$identifier_value"]) }), m
	}
	if remove, ok := ops["$remove"].([]any); ok {
		for _, op := range remove {
			i, _ := at(op)
			list = slices.Delete(list, i, i+1)
		}
	}
	if upd, ok := ops["$update"].([]any); ok {
		for _, op := range upd {
			i, m := at(op)
			item := maps.Clone(list[i].(map[string]any))
			maps.Copy(item, m["$new_object"].(map[string]any))
			list[i] = item
		}
	}
	return list
}

func settle(old, v any, merge bool) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, op := range []string{"add", "remove", "$add", "$update", "$remove"} {
		if _, ok := m[op]; ok {
			return operate(old, m)
		}
	}
	was, ok := old.(map[string]any)
	if !merge || !ok {
		return m
	}
	out := maps.Clone(was)
	for k, x := range m {
		out[k] = settle(out[k], x, merge)
	}
	return out
}

var diffDefs = []*FieldDef{
	{Name: "plain", Order: 1, Hash: 11}, {Name: "prefs", Order: 2, Hash: 12, Merge: true}, {Name: "tags", Order: 3, Hash: 13, Array: ArrayAddRemove},
	{Name: "pets", Order: 4, Hash: 14, Array: ArrayBy, By: "id"}, {Name: "whole", Order: 5, Hash: 15}, {Name: "more", Order: 6, Hash: 16, Merge: true},
}

// drawValue makes a value that suits a field.
func drawValue(t *rapid.T, d *FieldDef) string {
	few := rapid.SampledFrom([]string{"1", "2", `"x"`, "true"})
	object := func() string {
		m := map[string]json.RawMessage{}
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d.e"}), 0, 3, rapid.ID).Draw(t, "keys") {
			switch rapid.IntRange(0, 4).Draw(t, "shape") {
			case 0:
				m[k] = json.RawMessage(fmt.Sprintf(`{"n":%s,"m":{"k":%s}}`, few.Draw(t, "n"), few.Draw(t, "k")))
			case 1:
				m[k] = json.RawMessage("{}")
			default:
				m[k] = json.RawMessage(few.Draw(t, "v"))
			}
		}
		return string(marshal(m))
	}
	switch {
	case rapid.IntRange(0, 7).Draw(t, "null") == 0:
		return "null"
	case d.Merge || d.Name == "whole" && rapid.Bool().Draw(t, "object"):
		return object()
	case d.Array == ArrayAddRemove:
		return string(marshal(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID).Draw(t, "tags")))
	case d.Array == ArrayBy:
		items := []map[string]any{}
		for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 0, 4, rapid.ID).Draw(t, "ids") {
			item := map[string]any{"id": id, "n": rapid.IntRange(0, 2).Draw(t, "n")}
			if rapid.Bool().Draw(t, "more") {
				item["w"] = "y"
			}
			items = append(items, item)
		}
		return string(marshal(items))
	}
	return few.Draw(t, "v")
}

func TestDiffLeavesWhatIsRight(t *testing.T) {
	placeFields(diffDefs)
	rapid.Check(t, func(t *rapid.T) {
		profile, row := brazeProfile{}, map[string]string{}
		var prints []Print
		known := false
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			s := &step{rows: []rowRef{{}}, noProof: rapid.IntRange(0, 5).Draw(t, "no proof") == 0}
			proof := len(row) > 0 && rapid.Bool().Draw(t, "before-image")
			// Another field of the row may come along, or the row have absent ones.
			for _, d := range diffDefs {
				old, had := row[d.Name]
				if had && rapid.IntRange(0, 4).Draw(t, "absent") == 0 {
					continue
				}
				v := old
				if !had || rapid.Bool().Draw(t, "changes") {
					v = drawValue(t, d)
				}
				f := Field{Def: d, JSON: []byte(v)}
				if proof && had {
					f.Proof, f.Was, f.Old = Changed, HashJSON([]byte(old)), new([]byte(old))
					if old == v {
						f.Proof, f.Was, f.Old = Unchanged, 0, nil
					}
				}
				row[d.Name] = v
				s.fields = append(s.fields, f)
			}
			fields, merge, _ := diff(nil, s, knowledge{proven: func(*Field) bool { return true }, prints: func(int) ([]Print, bool) { return prints, known }})
			profile.track(fields, merge)
			if rapid.IntRange(0, 6).Draw(t, "cache lost") == 0 {
				prints, known = nil, false
			} else {
				base := prints
				if s.noProof {
					base = nil
				}
				prints, _ = overlay(nil, base, s.fields, 0, true)
				known = true
			}
			for name, v := range row {
				var want any
				if err := json.Unmarshal([]byte(v), &want); err != nil {
					t.Fatal(err)
				}
				if got := profile[name]; !reflect.DeepEqual(got, want) {
					t.Fatalf("%s is %v, want %v after %s", name, got, want, show(fields, merge))
				}
			}
			again, _, send := diff(nil, &step{rows: []rowRef{{}}, fields: s.fields, creates: true}, knowledge{proven: func(*Field) bool { return false }, prints: func(int) ([]Print, bool) { return prints, known }})
			if known && (send || len(again) > 0) {
				t.Fatalf("the same row again sends %s", show(again, false))
			}
		}
	})
}

func show(fields []Field, merge bool) string {
	var b bytes.Buffer
	for _, f := range fields {
		fmt.Fprintf(&b, "%s:%s ", f.Def.Name, f.JSON)
	}
	if merge {
		b.WriteString("merged")
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	placeFields(diffDefs)
	byName := func(name string) *FieldDef {
		return diffDefs[slices.IndexFunc(diffDefs, func(d *FieldDef) bool { return d.Name == name })]
	}
	changed := func(name, old, now string) Field {
		return Field{Def: byName(name), JSON: []byte(now), Old: new([]byte(old)), Proof: Changed, Was: HashJSON([]byte(old))}
	}
	plain := func(name, now string) Field { return Field{Def: byName(name), JSON: []byte(now)} }
	trust := func(yes bool, prints []Print, ok bool) knowledge {
		return knowledge{proven: func(*Field) bool { return yes }, prints: func(int) ([]Print, bool) { return prints, ok }}
	}
	of := func(fields ...Field) []Print { known, _ := overlay(nil, nil, fields, 0, true); return known }
	for _, c := range []struct {
		name string
		s    step
		k    knowledge
		want string
	}{
		{"case 18: only the item that changed, by its key", step{fields: []Field{changed("pets", `[{"id":1,"n":"a"},{"id":2,"n":"b"}]`, `[{"id":1,"n":"a"},{"id":2,"n":"c"}]`)}}, trust(true, nil, false),
			`pets:{"$update":[{"$identifier_key":"id","$identifier_value":2,"$new_object":{"n":"c"}}]} merged`},
		{"case 18: an item more, an item less", step{fields: []Field{changed("pets", `[{"id":1},{"id":2},{"id":4}]`, `[{"id":1},{"id":4},{"id":3}]`)}}, trust(true, nil, false),
			`pets:{"$add":[{"id":3}],"$remove":[{"$identifier_key":"id","$identifier_value":2}]} merged`},
		{"case 18: no key, so the whole", step{fields: []Field{changed("pets", `[{"n":1}]`, `[{"n":2}]`)}}, trust(true, nil, false), `pets:[{"n":2}] `},
		{"case 18: another order, so the whole", step{fields: []Field{changed("pets", `[{"id":1},{"id":2}]`, `[{"id":2},{"id":1}]`)}}, trust(true, nil, false), `pets:[{"id":2},{"id":1}] `},
		{"case 18: a leaf of an object", step{fields: []Field{changed("prefs", `{"lang":"ja","mail":{"freq":2}}`, `{"lang":"ja","mail":{"freq":3}}`)}}, trust(true, nil, false), `prefs:{"mail":{"freq":3}} merged`},
		{"case 18: a member that is gone takes the whole", step{fields: []Field{changed("prefs", `{"lang":"ja","x":1}`, `{"lang":"en"}`)}}, trust(true, nil, false), `prefs:{"lang":"en"} `},
		{"case 18: a leaf by what was accepted, without a before-image", step{fields: []Field{plain("prefs", `{"lang":"ja","mail":{"freq":3}}`)}}, trust(false, of(plain("prefs", `{"lang":"ja","mail":{"freq":2}}`)), true),
			`prefs:{"mail":{"freq":3}} merged`},
		{"a member that is gone, by what was accepted", step{fields: []Field{plain("prefs", `{"lang":"en"}`)}}, trust(false, of(plain("prefs", `{"lang":"ja","x":1}`)), true), `prefs:{"lang":"en"} `},
		{"an object that is replaced keeps its neighbours from being merged", step{fields: []Field{changed("prefs", `{"a":1,"b":1}`, `{"a":1,"b":2}`), changed("whole", `{"a":1}`, `{"b":1}`)}}, trust(true, nil, false),
			`prefs:{"a":1,"b":2} whole:{"b":1} `},
		{"case 28: a value more", step{fields: []Field{changed("tags", `["a"]`, `["a","svc"]`)}}, trust(true, nil, false), `tags:{"add":["svc"]} `},
		{"case 28: a value less", step{fields: []Field{changed("tags", `["a","svc"]`, `["a"]`)}}, trust(true, nil, false), `tags:{"remove":["svc"]} `},
		{"items are not added twice where an earlier run may have added them", step{maybeSent: true, fields: []Field{changed("pets", `[{"id":1}]`, `[{"id":1},{"id":2}]`)}}, trust(true, nil, false), `pets:[{"id":1},{"id":2}] `},
		{"A to B in flight while B to A comes: B may have been sent", step{maybeSent: true, fields: []Field{{Def: byName("plain"), JSON: []byte("1"), Varied: true}}}, trust(false, of(plain("plain", "1")), true), `plain:1 `},
		{"the same value again, that an earlier run may have sent", step{maybeSent: true, fields: []Field{plain("plain", "1")}}, trust(false, of(plain("plain", "1")), true), ``},
		{"nobody knows what Braze holds", step{noProof: true, fields: []Field{plain("plain", "1")}}, trust(true, of(plain("plain", "1")), true), `plain:1 `},
		{"another setting of the field knows nothing", step{fields: []Field{plain("plain", "1")}}, trust(false, of(Field{Def: &FieldDef{Name: "plain", Hash: 99, place: byName("plain").place}, JSON: []byte("1")}), true), `plain:1 `},
	} {
		t.Run(c.name, func(t *testing.T) {
			fields, merge, send := diff(nil, &c.s, c.k)
			if got := show(fields, merge); got != c.want || send != (c.want != "") {
				t.Errorf("got  %s (send %v)\nwant %s", got, send, c.want)
			}
		})
	}
}
