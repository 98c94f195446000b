package mapping_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// wildTable has a column of each kind whose decode gives whatever value the test put aside, valid or not.
func wildTable(values *[]connector.Value) *connector.Table {
	t := &connector.Table{Name: "public.wild"}
	for k := connector.KindNull; k <= connector.KindArray; k++ {
		t.Columns = append(t.Columns, connector.Column{Name: fmt.Sprintf("k%d", k), Kind: k, Decode: func(string) (connector.Value, error) {
			return (*values)[k], nil
		}})
	}
	t.Columns = append(t.Columns, connector.Column{Name: "id", Kind: connector.KindText, Key: true, Decode: decodeAs(connector.KindText)})
	return t
}

// wildModel maps every column by every type, and some through every preset.
func wildModel() connector.Model {
	m := connector.Model{Name: "wild", Kind: "users", Table: "public.wild", Mode: "sync", Load: "all", OwnsUsers: true, Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}}
	for k := connector.KindNull; k <= connector.KindArray; k++ {
		c := fmt.Sprintf("k%d", k)
		for _, typ := range []string{"", "string", "number", "bool", "time", "array", "object"} {
			f := column(c+typ, c)
			f.Type = typ
			m.Custom = append(m.Custom, f)
		}
		m.Custom = append(m.Custom, expression("e"+c, c+` ?? "none"`), expression("l"+c, `[`+c+`]`))
	}
	for _, p := range []string{"email", "phone", "first_name", "dob", "gender", "country", "language", "time_zone", "image_url", "email_subscribe", "home_city",
		"marked_email_as_spam_at", "email_open_tracking_disabled"} {
		m.Fields = append(m.Fields, column(p, fmt.Sprintf("k%d", connector.KindText)))
	}
	m.Fields[1].Country = "DE"
	for _, p := range []string{"current_location", "push_subscribe", "push_tokens", "facebook", "twitter", "last_name"} {
		m.Fields = append(m.Fields, column(p, fmt.Sprintf("k%d", connector.KindJSON)))
	}
	return m
}

// beyondBraze says which of Braze's limits an encoded field breaks: valid JSON in UTF-8; 255 characters a string; 100 KB an object or array; no null and no
// key that is empty, too long or has a blank, "." or "$" inside, but for a lone $time; arrays of scalars or of objects.
func beyondBraze(f *connector.Field) string {
	var v any
	if json.Unmarshal(f.JSON, &v) != nil || !utf8.Valid(f.JSON) {
		return "not valid JSON"
	}
	limit := 255
	if f.Def.Name == "image_url" {
		limit = 1024
	}
	switch v := v.(type) {
	case string:
		if utf8.RuneCountInString(v) > limit {
			return "too long"
		}
	case []any:
		objects := 0
		for _, e := range v {
			switch e.(type) {
			case map[string]any:
				objects++
			case []any:
				return "an array of arrays"
			}
		}
		if objects > 0 && objects < len(v) {
			return "mixed"
		}
		return insideBraze(v, len(f.JSON))
	case map[string]any:
		return insideBraze(v, len(f.JSON))
	}
	return ""
}

func insideBraze(v any, size int) string {
	switch v := v.(type) {
	case nil:
		return "a null inside"
	case string:
		if utf8.RuneCountInString(v) > 255 {
			return "too long inside"
		}
	case []any:
		for _, e := range v {
			if why := insideBraze(e, 0); why != "" {
				return why
			}
		}
	case map[string]any:
		for k, e := range v {
			_, isText := e.(string)
			if (k == "" || utf8.RuneCountInString(k) > 255 || strings.ContainsAny(k, " .$")) && (k != "$time" || len(v) > 1 || !isText) {
				return "a bad key inside"
			}
			if why := insideBraze(e, 0); why != "" {
				return why
			}
		}
	}
	if size > 100*1024 {
		return "too large"
	}
	return ""
}

func genValue(depth int) *rapid.Generator[connector.Value] {
	return rapid.Custom(func(t *rapid.T) connector.Value {
		v := connector.Value{Kind: connector.ValueKind(rapid.IntRange(0, int(connector.KindArray)).Draw(t, "kind"))}
		fill(t, &v, depth)
		return v
	})
}

func fill(t *rapid.T, v *connector.Value, depth int) {
	switch v.Kind {
	case connector.KindFloat:
		v.Float = rapid.Float64().Draw(t, "float")
	case connector.KindJSON:
		v.Str = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`{"a":[1,null,{"b":"\ud800"}]}`, `null`, `"x"`, `1e999`, `[[],{}]`, `{"a":1,}`, `[{"a b":1},{"":null}]`, `{"$time":"2026-11-01"}`, `{"x":{"$time":1},"y":[1,{"z":[[]]}]}`, `{"latitude":1,"longitude":2}`,
			`[{"app_id":"a","token":"t"}]`, `{"id":1,"likes":["x"]}`, `"subscribed"`, `-`, `tru`})).Draw(t, "json")
	case connector.KindArray:
		if depth > 0 {
			v.List = rapid.SliceOfN(genValue(depth-1), 0, 4).Draw(t, "list")
		}
	default:
		v.Int = rapid.OneOf(rapid.Int64(), rapid.Int64Range(-100000, 100000), rapid.SampledFrom([]int64{connector.PosInfinity, connector.NegInfinity})).Draw(t, "int")
		v.Str = rapid.OneOf(rapid.String(), rapid.StringMatching(`[+-]?[0-9]{0,20}\.?[0-9]{0,20}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.SampledFrom([]string{"NaN", "a@x.io", "+49 171 1234567", "0171 1234567", "1990-05-04", "DE", "Japan", "europe/berlin", "Opted_In", "https://x.io/a", "1.e5", "Infinity"})).Draw(t, "str")
	}
}

func TestEveryFieldIsValidJSON(t *testing.T) {
	values := make([]connector.Value, connector.KindArray+1)
	tab := wildTable(&values)
	mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{wildModel()}, Tables: map[string]*connector.Table{tab.Name: tab}})
	if mapper == nil {
		t.Fatal(faults)
	}
	cells := make([]connector.Cell, len(tab.Columns))
	for i := range cells {
		cells[i] = connector.Cell{State: connector.Set, Raw: "u1"}
	}
	rapid.Check(t, func(rt *rapid.T) {
		for k := range values {
			values[k] = connector.Value{Kind: connector.ValueKind(k)}
			fill(rt, &values[k], 2)
		}
		out, err := mapper.Map(nil, &connector.Change{Op: connector.Insert, After: connector.Row{Table: tab, Cells: cells}}, known{})
		if err != nil || len(out) != 1 {
			rt.Fatalf("%v, %v", out, err)
		}
		for _, f := range out[0].Fields {
			if why := beyondBraze(&f); why != "" {
				rt.Fatalf("%s: %s: %q", f.Def.Name, why, f.JSON)
			}
		}
	})
}

func FuzzConvert(f *testing.F) {
	for _, s := range []string{"", "12.50", `{"a":[1,null,"\ud800"]}`, "a@x.io", "+49 171 123", "1990-05-04", "\xff\x00", `[1e400,-0.0]`, `"\u0000"`, "NaN"} {
		f.Add(s, int64(len(s)), 0.5)
	}
	values := make([]connector.Value, connector.KindArray+1)
	tab := wildTable(&values)
	mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{wildModel()}, Tables: map[string]*connector.Table{tab.Name: tab}})
	if mapper == nil {
		f.Fatal(faults)
	}
	cells := make([]connector.Cell, len(tab.Columns))
	for i := range cells {
		cells[i] = connector.Cell{State: connector.Set, Raw: "u1"}
	}
	f.Fuzz(func(t *testing.T, s string, n int64, x float64) {
		for k := range values {
			values[k] = connector.Value{Kind: connector.ValueKind(k), Int: n, Float: x, Str: s}
		}
		values[connector.KindArray].List = append([]connector.Value(nil), values[:connector.KindArray]...)
		out, err := mapper.Map(nil, &connector.Change{Op: connector.Insert, After: connector.Row{Table: tab, Cells: cells}}, known{})
		if err != nil || len(out) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		for _, f := range out[0].Fields {
			if why := beyondBraze(&f); why != "" {
				t.Fatalf("%s: %s: %q", f.Def.Name, why, f.JSON)
			}
		}
	})
}

func FuzzExpr(f *testing.F) {
	for _, s := range []string{`plan != "internal"`, `any(tags, # == "a") and prefs.mail.freq > 1`, `let a = credits; a ?? 1`, `now() - seen_at > duration("1h")`, `tags[1:]`,
		`$env["plan"]`, `map(tags, {# + "x"})`, `plan matches "("`, `{"a": [1, 2.5, nil]}`, `reduce(tags, #acc + #, "")`, `sortBy(tags, #, "desc")`, `born ?? now()`} {
		f.Add(s)
	}
	tab := usersTable()
	f.Fuzz(func(t *testing.T, s string) {
		for _, tables := range []map[string]*connector.Table{{tab.Name: tab}, {}} {
			m := m0("sync")
			m.Custom = []connector.FieldMap{expression("x", s)}
			mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}, Tables: tables})
			if mapper == nil {
				if len(faults) == 0 || faults[0].Offset > len(s) {
					t.Fatalf("faults %v", faults)
				}
				continue
			}
			for _, r := range []connector.Row{row(tab, r1), row(tab, []string{"1", "u1", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>"})} {
				out, err := mapper.Map(nil, &connector.Change{Op: connector.Insert, After: r}, known{})
				if err != nil && connector.ExitCode(err) != connector.ExitTableUnfit {
					t.Fatal(err)
				}
				for _, e := range out {
					for _, f := range e.Fields {
						if !json.Valid(f.JSON) {
							t.Fatalf("%s: %q", f.Def.Name, f.JSON)
						}
					}
				}
			}
		}
	})
}

func TestEffectsKeepTheirMemory(t *testing.T) {
	b := base(t, "sync", nil)
	var all []connector.Effect
	var wanted []string
	for i := range 500 {
		r := row(b.table, r1, fmt.Sprintf("external_id=u%d", i), "plan="+strings.Repeat("p", i%200), fmt.Sprintf(`prefs={"n":"%s"}`, strings.Repeat("n", i%250)))
		out, err := b.try(connector.Insert, connector.Row{}, r)
		if err != nil {
			t.Fatal(err)
		}
		for j := range out[0].Fields { // appending to a field must not reach its neighbour
			_ = append(out[0].Fields[j].JSON, "YYYY"...)
		}
		_ = append(out[0].Fields, connector.Field{})
		wanted = append(wanted, show(out))
		all = append(all, out...)
	}
	for i := range all {
		if got := show(all[i : i+1]); got != wanted[i] {
			t.Fatalf("effect %d changed:\n%s\n%s", i, wanted[i], got)
		}
	}
}

func TestMapRowBesideMap(t *testing.T) {
	m, faults := mapping.New(mapping.Config{Models: []connector.Model{m0("sync")}})
	if m == nil {
		t.Fatal(faults)
	}
	tab := usersTable()
	r := row(tab, r1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if out, err := m.MapRow(nil, 0, r, time.Time{}); err != nil || len(out) != 1 || out[0].User.ID != "u1" {
					t.Errorf("%v, %v", out, err)
				}
			}
		})
	}
	for range 200 {
		if out, err := m.Map(nil, &connector.Change{Op: connector.Insert, After: r}, known{}); err != nil || len(out) != 1 {
			t.Errorf("%v, %v", out, err)
		}
	}
	wg.Wait()
	if _, err := m.MapRow(nil, 7, r, time.Time{}); err == nil {
		t.Error("a model that is not there maps")
	}
}

// TestProofIsTrue: whatever the images, a field called unchanged encodes alike in both, one called changed does not, and Was is the old encoding.
func TestProofIsTrue(t *testing.T) {
	b := base(t, "sync", func(m *connector.Model) {
		m.Custom = append(m.Custom, expression("label", `first_name + " " + (plan ?? "-")`))
		m.Fields[2].Blank = "null_like"
	})
	pool := map[string][]string{
		"plan": {"free", "pro", "", "<null>"}, "credits": {"1", "1.0", "2", "<null>"}, "first_name": {"A", "", " ", "<null>"}, "prefs": {`{}`, `{ }`, `{"a":1}`, "null", "<null>", "{"},
		"email": {"a@x.io", "A@X.IO", "bad", "<null>"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(absent bool) connector.Row {
			var changes []string
			for _, c := range []string{"plan", "credits", "first_name", "prefs", "email"} {
				v := rapid.SampledFrom(pool[c]).Draw(rt, c)
				if absent && rapid.IntRange(0, 4).Draw(rt, "absent") == 0 {
					v = "<absent>"
				}
				changes = append(changes, c+"="+v)
			}
			return row(b.table, r1, changes...)
		}
		before, after := draw(true), draw(false)
		alone := func(r connector.Row) map[string]string {
			out, err := b.m.MapRow(nil, 0, r, time.Time{})
			var need *connector.NeedRowError
			if errors.As(err, &need) {
				return nil
			}
			if err != nil {
				rt.Fatal(err)
			}
			fs := map[string]string{}
			for _, f := range out[0].Fields {
				fs[f.Def.Name] = string(f.JSON)
			}
			return fs
		}
		old, now := alone(before), alone(after)
		out, err := b.try(connector.Update, before, after)
		if err != nil {
			rt.Fatal(err)
		}
		for _, f := range out[0].Fields {
			was, known := old[f.Def.Name]
			switch {
			case string(f.JSON) != now[f.Def.Name]:
				rt.Fatalf("%s: %s, alone %s", f.Def.Name, f.JSON, now[f.Def.Name])
			case f.Proof == connector.Unchanged && (!known || was != string(f.JSON)):
				rt.Fatalf("%s is called unchanged: %s, was %s", f.Def.Name, f.JSON, was)
			case f.Proof == connector.Changed && (!known || was == string(f.JSON) || f.Was != connector.HashJSON([]byte(was))):
				rt.Fatalf("%s is called changed: %s, was %s", f.Def.Name, f.JSON, was)
			case f.Proof == connector.NoProof && known:
				rt.Fatalf("%s has no proof: %s, was %s", f.Def.Name, f.JSON, was)
			}
		}
	})
}

// wildKinds maps the columns of wildTable by every other kind of model.
func wildKinds() []connector.Model {
	at := func(k connector.ValueKind) string { return fmt.Sprintf("k%d", k) }
	id := connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}
	events := connector.Model{Name: "events", Kind: "events", Table: "public.wild", Mode: "additive", Load: "all", Path: "models[1]", Identify: id,
		Event: connector.EventMap{Name: connector.NameFrom{Value: "wild"}, Time: connector.ValueFrom{Value: `"2026-11-01"`, HasValue: true}}}
	items := connector.Model{Name: "items", Kind: "catalog", Table: "public.wild", Catalog: "wild", Mode: "sync", Load: "all", Path: "models[2]",
		Identify: connector.Identify{ItemID: []connector.ValueFrom{{Column: at(connector.KindText)}, {Column: "id"}}}}
	states := connector.Model{Name: "states", Kind: "subscriptions", Table: "public.wild", Mode: "sync", Load: "all", LoadConsent: true, Path: "models[3]", Identify: id}
	rows := connector.Model{Name: "rows", Kind: "users", Table: "public.wild", Mode: "sync", Load: "all", Path: "models[4]", Identify: id}
	for k := connector.KindNull; k <= connector.KindArray; k++ {
		for _, typ := range []string{"", "string", "number", "bool", "time", "array", "object"} {
			p, f, c := prop(at(k)+typ, at(k)), column(at(k)+typ, at(k)), column("all"+at(k)+typ, at(k))
			p.Type, f.Type, c.Type, c.Collect = typ, typ, typ, true
			events.Event.Properties, items.Fields = append(events.Event.Properties, p), append(items.Fields, f)
			if typ != "array" && typ != "object" {
				rows.Custom = append(rows.Custom, c)
			}
		}
		geo := column("geo"+at(k), at(k))
		geo.Type = "geo"
		items.Fields = append(items.Fields, geo)
		each := prop("each"+at(k), "")
		each.Each, each.Fields = at(k), []connector.PropertyMap{prop("a", "a"), prop("b", "app_id")}
		events.Event.Properties = append(events.Event.Properties, each)
		states.Groups = append(states.Groups, group(at(k), at(k), ""), group("r"+at(k), "", at(k)+" != nil"))
	}
	purchases := events
	purchases.Name, purchases.Kind, purchases.Path = "purchases", "purchases", "models[5]"
	purchases.Event.Time.Value, purchases.Event.Currency, purchases.Event.Price = `"2026-11-01"`, connector.ValueFrom{Value: `"EUR"`, HasValue: true}, connector.ValueFrom{Column: at(connector.KindDecimal)}
	timed := events
	timed.Name, timed.Path, timed.Event.Properties, timed.Event.Time = "timed", "models[6]", nil, connector.ValueFrom{Column: at(connector.KindTimestampTZ)}
	return []connector.Model{wildModel(), events, items, states, rows, purchases, timed}
}

// checkWild maps a row of wildTable by all kinds and gives what is wrong with the effects.
func checkWild(mapper *mapping.Mapper, tab *connector.Table) string {
	cells := make([]connector.Cell, len(tab.Columns))
	for i := range cells {
		cells[i] = connector.Cell{State: connector.Set, Raw: "u1"}
	}
	image := connector.Row{Table: tab, Cells: cells}
	for _, c := range []connector.Change{{Op: connector.Insert, After: image}, {Op: connector.Update, Before: image, After: image}, {Op: connector.Delete, Before: image}} {
		out, err := mapper.Map(nil, &c, known{})
		var bad *connector.RowError
		if err != nil && !errors.As(err, &bad) {
			return err.Error()
		}
		for _, e := range out {
			if e.Kind == connector.PutItem && !itemAlphabet.MatchString(e.User.ID) {
				return "an item's id " + e.User.ID
			}
			if e.Event != nil {
				object := []byte("{" + string(e.Event.JSON) + "}")
				if !json.Valid(object) || !utf8.Valid(object) || len(object) > 101*1024 {
					return "an event: " + string(object)
				}
			}
			for _, f := range e.Fields {
				if !json.Valid(f.JSON) || !utf8.Valid(f.JSON) || f.Def.Group != "" && string(f.JSON) != `"subscribed"` && string(f.JSON) != `"unsubscribed"` {
					return f.Def.Name + ": " + string(f.JSON)
				}
			}
		}
	}
	return ""
}

func wildMapper(tb testing.TB, values *[]connector.Value) (*mapping.Mapper, *connector.Table) {
	tb.Helper()
	tab := wildTable(values)
	mapper, faults := mapping.New(mapping.Config{Models: wildKinds(), Tables: map[string]*connector.Table{tab.Name: tab}})
	if mapper == nil {
		tb.Fatal(faults)
	}
	return mapper, tab
}

func TestEveryKindIsValidJSON(t *testing.T) {
	values := make([]connector.Value, connector.KindArray+1)
	mapper, tab := wildMapper(t, &values)
	rapid.Check(t, func(rt *rapid.T) {
		for k := range values {
			values[k] = connector.Value{Kind: connector.ValueKind(k)}
			fill(rt, &values[k], 2)
		}
		if why := checkWild(mapper, tab); why != "" {
			rt.Fatal(why)
		}
	})
}

func FuzzKinds(f *testing.F) {
	for _, s := range []string{"", "12.50", `[{"a":[1,null,"\ud800"],"app_id":1e400}]`, "a@x.io", "_-_--", "\xff\x00", `[{"a":{"$b":[]}},5]`, `"[{}]"`, "(1,2)", "opted-in", "true"} {
		f.Add(s, int64(len(s)), 0.5)
	}
	values := make([]connector.Value, connector.KindArray+1)
	mapper, tab := wildMapper(f, &values)
	f.Fuzz(func(t *testing.T, s string, n int64, x float64) {
		for k := range values {
			values[k] = connector.Value{Kind: connector.ValueKind(k), Int: n, Float: x, Str: s}
		}
		values[connector.KindArray].List = append([]connector.Value(nil), values[:connector.KindArray]...)
		if why := checkWild(mapper, tab); why != "" {
			t.Fatal(why)
		}
	})
}
