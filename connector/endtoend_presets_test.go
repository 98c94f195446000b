package connector_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/mapping"
)

// fieldValues are the values of one field as a column holds them: those that must arrive as they are written here, and those that the mapping leaves out.
type fieldValues struct {
	kind   connector.ValueKind
	good   map[string]string // by the column's value, what Braze gets
	bad    []string          // left out, and refused or ignored by Braze if it got them
	picky  []string          // left out although Braze takes them: they would mean something else there
	custom bool
	typ    string
}

const (
	textKind = connector.KindText
	jsonKind = connector.KindJSON
)

// raw makes JSON of a column's value as a naive producer would.
func (f *fieldValues) raw(v string) string {
	if f.kind == jsonKind {
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

// presetValues has every profile field that a row may set.
var presetValues = map[string]fieldValues{
	"email": {kind: textKind, good: map[string]string{" A@X.io ": `"a@x.io"`, "ä+b@xn--bcher-kva.example": `"ä+b@xn--bcher-kva.example"`, "xy@gmail.com": `"xy@gmail.com"`},
		bad: []string{"foo@", "a b@x.io", "a@b", "a@1.2.3.4", "a..b@x.io", "@x.io", "a@-x.io", "a@x..io", "x@gmail.com", "a@x.c0m", "a@ü.de", "", "a\u00a0b@x.io"}},
	"phone": {kind: textKind, good: map[string]string{"+81 90-1234-5678": `"+819012345678"`, "+1 (212) 555-0100": `"+12125550100"`},
		bad: []string{"12", "+12", "call me", "+0123456789", "+1234567890123456"}, picky: []string{"2125550100", "+999 123456789", ""}},
	"first_name": {kind: textKind, good: map[string]string{"Aya": `"Aya"`, "": `""`}, bad: []string{strings.Repeat("x", 256)}},
	"last_name":  {kind: textKind, good: map[string]string{strings.Repeat("語", 255): `"` + strings.Repeat("語", 255) + `"`}, bad: []string{strings.Repeat("語", 256)}},
	"home_city":  {kind: textKind, good: map[string]string{"Köln": `"Köln"`}, bad: []string{strings.Repeat("x", 256)}},
	"image_url": {kind: textKind, good: map[string]string{"https://x.io/a.png": `"https://x.io/a.png"`}, bad: []string{"https://x.io/" + strings.Repeat("a", 1012)},
		picky: []string{"a.png", "https://u:p@x.io/"}},
	"dob":      {kind: textKind, good: map[string]string{"1990-05-04": `"1990-05-04"`, "1990/05/04": `"1990-05-04"`}, bad: []string{"04.05.1990", "1990-02-30", "soon", "05/04/1990"}},
	"gender":   {kind: textKind, good: map[string]string{"female": `"F"`, "M": `"M"`, "n": `"N"`, "other": `"O"`, "P": `"P"`}, bad: []string{"x", "42", ""}},
	"country":  {kind: textKind, good: map[string]string{"Japan": `"JP"`, "jp": `"JP"`, "JPN": `"JP"`, "Deutschland": `"DE"`}, bad: []string{"Narnia", "XX", "EU", "XK", ""}},
	"language": {kind: textKind, good: map[string]string{"German": `"de"`, "de_AT": `"de"`, "jpn": `"ja"`}, bad: []string{"klingon", "", "x"}, picky: []string{"xq"}},
	"time_zone": {kind: textKind, good: map[string]string{"europe/berlin": `"Europe/Berlin"`, "Pacific Time (US & Canada)": `"America/Los_Angeles"`},
		bad: []string{"Mars/Base", "Local", "", "+02:00"}},
	"current_location": {kind: jsonKind, good: map[string]string{`{"lat":2,"lng":1}`: `{"longitude":1,"latitude":2}`, `{"type":"Point","coordinates":[1.5,2]}`: `{"longitude":1.5,"latitude":2}`},
		bad: []string{`{"latitude":91,"longitude":0}`, `{"latitude":1}`, `[1,2]`, `"x"`, `{"latitude":"a","longitude":0}`, `{}`}},
	"email_subscribe": {kind: textKind, good: map[string]string{" Opted_In ": `"opted_in"`, "t": `"subscribed"`, "false": `"unsubscribed"`}, bad: []string{"maybe", ""}},
	"push_subscribe":  {kind: jsonKind, good: map[string]string{"true": `"subscribed"`, `"unsubscribed"`: `"unsubscribed"`}, bad: []string{`"maybe"`, `{}`, "2"}},
	"push_tokens": {kind: jsonKind, good: map[string]string{`{"app_id":"A","token":"t"}`: `[{"app_id":"A","token":"t"}]`, `[{"app_id":"A","token":"t","device_id":"12345678"},{"token":"t"}]`: `[{"app_id":"A","token":"t","device_id":"12345678"}]`},
		bad: []string{`[{"app_id":"A"}]`, `[{"token":"t"}]`, `[1]`, `"t"`, `[{"app_id":"A","token":"t","device_id":"1234567"}]`, "null"}},
	"facebook":                      {kind: jsonKind, good: map[string]string{`{"id":7,"likes":["a"],"num_friends":3}`: `{"id":"7","likes":["a"],"num_friends":3}`}, bad: []string{`[]`, `{"foo":1}`, `{"likes":[1]}`, `{}`}},
	"twitter":                       {kind: jsonKind, good: map[string]string{`{"id":"7","screen_name":"a"}`: `{"id":7,"screen_name":"a"}`}, bad: []string{`"a"`, `{"id":"abc"}`, `{"followers_count":1.5}`}},
	"email_open_tracking_disabled":  {kind: textKind, good: map[string]string{"yes": "true", "0": "false"}, bad: []string{"maybe"}},
	"email_click_tracking_disabled": {kind: jsonKind, good: map[string]string{"true": "true"}, bad: []string{`"maybe"`, "2"}},
	"marked_email_as_spam_at":       {kind: textKind, good: map[string]string{"2026-11-01 09:00:00+09": `"2026-11-01T00:00:00Z"`}, bad: []string{"soon", ""}},
	"date_of_first_session":         {kind: textKind, good: map[string]string{"2026-11-01": `"2026-11-01T00:00:00Z"`}, bad: []string{"2026-13-01"}},
	"date_of_last_session":          {kind: textKind, good: map[string]string{"11/01/2026": `"2026-11-01T00:00:00Z"`}, bad: []string{"yesterday"}},
}

// customValues are attributes by type.
var customValues = map[string]fieldValues{
	"text": {kind: textKind, good: map[string]string{"0130": `"0130"`, "": `""`}, bad: []string{strings.Repeat("x", 256)}},
	"json": {kind: jsonKind, good: map[string]string{`{"a":null,"b":{"c d":1,"e":2}}`: `{"b":{"e":2}}`, `{"at":{"$time":"2026-11-01T00:00:00Z"}}`: `{"at":{"$time":"2026-11-01T00:00:00Z"}}`,
		`[{"id":1,"x":null}]`: `[{"id":1}]`},
		bad:   []string{`[1,{"a":1}]`, `[[1]]`, `{"a":["x"` + strings.Repeat(`,"`+strings.Repeat("x", 200)+`"`, 520) + `]}`},
		picky: []string{`{"inc":1}`, `{"add":["x"]}`, `{"remove":[]}`}},
	"list":   {kind: jsonKind, typ: "array", good: map[string]string{`["a",null,1]`: `["a",1]`, `[]`: `[]`}, bad: []string{`[["a"]]`}, picky: []string{`"a"`}},
	"number": {kind: textKind, typ: "number", good: map[string]string{" 12.50 ": "12.5", "1e3": "1000"}, picky: []string{"maybe", "NaN"}},
	"flag":   {kind: textKind, typ: "bool", good: map[string]string{"TRUE": "true", "no": "false"}, picky: []string{"maybe"}},
	"at":     {kind: textKind, typ: "time", good: map[string]string{"2026-11-01 09:00:00+09": `"2026-11-01T00:00:00Z"`}, picky: []string{"soon"}},
}

// mapValue maps a new row with one column through one field; ok is false where the field is left out.
func mapValue(t *testing.T, name string, f fieldValues, v string) (e connector.Effect, ok bool) {
	t.Helper()
	plain := func(k connector.ValueKind) func(string) (connector.Value, error) {
		return func(raw string) (connector.Value, error) { return connector.Value{Kind: k, Str: raw}, nil }
	}
	table := &connector.Table{Name: "public.t", Columns: []connector.Column{{Name: "id", Kind: textKind, Key: true, Decode: plain(textKind)}, {Name: "v", Kind: f.kind, Decode: plain(f.kind)}}}
	line := connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: "v"}, Type: f.typ, Path: "models[0].x"}
	m := connector.Model{Name: "m", Table: table.Name, Mode: "sync", Load: "none", OwnsUsers: true, Path: "models[0]", Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}}
	if f.custom {
		m.Custom = []connector.FieldMap{line}
	} else {
		m.Fields = []connector.FieldMap{line}
	}
	notes := 0
	mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}, Tables: map[string]*connector.Table{table.Name: table}, Note: func(int, string, string) { notes++ }})
	if mapper == nil {
		t.Fatal(faults)
	}
	row := connector.Row{Table: table, Cells: []connector.Cell{{State: connector.Set, Raw: "u1"}, {State: connector.Set, Raw: v}}}
	out, err := mapper.Map(nil, &connector.Change{Op: connector.Insert, After: row}, nil)
	if err != nil || len(out) != 1 {
		t.Fatalf("map %q: %v, %v", v, out, err)
	}
	if ok = len(out[0].Fields) == 1; !ok && notes == 0 && v != "null" {
		t.Errorf("%q is left out without a note", v)
	}
	return out[0], ok
}

// verdict sends one body to a simulator of its own and says what became of it: "" where all was taken.
func verdict(t *testing.T, body []byte) (string, brazesim.Profile) {
	t.Helper()
	sim := brazesim.New(brazesim.Config{APIKey: rigKey})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/users/track", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+rigKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusCreated || bytes.Contains(answer, []byte(`"errors"`)) {
		return string(answer), brazesim.Profile{}
	}
	if err := sim.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, _ := sim.Profile("u1")
	if ignored := sim.Stats().Ignored; len(ignored) > 0 {
		return fmt.Sprint(ignored), p
	}
	return "", p
}

// TestFieldsBothSides: what the mapping sends Braze takes, and what it leaves out Braze would have refused, ignored or emptied.
func TestFieldsBothSides(t *testing.T) {
	t.Parallel()
	both := func(name string, f fieldValues) {
		for v, wanted := range f.good {
			e, ok := mapValue(t, name, f, v)
			if !ok || string(e.Fields[0].JSON) != wanted {
				t.Errorf("%s: %q maps to %v", name, v, e.Fields)
				continue
			}
			why, p := verdict(t, braze.Body(connector.Track, []connector.Effect{e}))
			held := p.Attributes[name]
			if f.custom {
				held = p.Custom[name]
			}
			if why != "" || canonical(held) != canonical([]byte(wanted)) {
				t.Errorf("%s: Braze makes %s of %s: %s", name, held, wanted, why)
			}
		}
		for _, v := range f.bad {
			if e, ok := mapValue(t, name, f, v); ok {
				t.Errorf("%s: %.60q maps to %s", name, v, e.Fields[0].JSON)
			}
			why, p := verdict(t, fmt.Appendf(nil, `{"attributes":[{"external_id":"u1",%q:%s}]}`, name, f.raw(v)))
			if _, held := p.Attributes[name]; why == "" && (held || f.custom) {
				t.Errorf("%s: Braze takes %.60q, which the mapping leaves out", name, v)
			}
		}
		for _, v := range f.picky {
			if e, ok := mapValue(t, name, f, v); ok {
				t.Errorf("%s: %q maps to %s", name, v, e.Fields[0].JSON)
			}
		}
	}
	for name, f := range presetValues {
		both(name, f)
	}
	for name, f := range customValues {
		f.custom = true
		both(name, f)
	}
	t.Run("case 65: names beyond Braze's length", func(t *testing.T) {
		for _, name := range []string{strings.Repeat("語", 160), strings.Repeat("a", 256)} {
			m := baseModel(func(m *connector.Model) {
				m.Custom = []connector.FieldMap{{Name: name, ValueFrom: connector.ValueFrom{Column: "plan"}}}
			})
			if mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}}); mapper != nil || len(faults) != 1 {
				t.Errorf("a name of %d bytes compiles: %v", len(name), faults)
			}
			if why, _ := verdict(t, fmt.Appendf(nil, `{"attributes":[{"external_id":"u1","%s":1}]}`, name)); !strings.Contains(why, "attribute_name") {
				t.Errorf("Braze takes a name of %d bytes: %s", len(name), why)
			}
		}
	})
	t.Run("case 67: reserved names are refused as custom, others of Braze's are not", func(t *testing.T) {
		for name, allowed := range map[string]bool{"email": false, "image_url": false, "push_tokens": false, "subscription_groups": false, "external_id": false, "time": true, "products": true} {
			m := baseModel(func(m *connector.Model) {
				m.Fields = nil
				m.Custom = []connector.FieldMap{{Name: name, ValueFrom: connector.ValueFrom{Column: "plan"}}}
			})
			if mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}}); (mapper != nil) != allowed {
				t.Errorf("%s: %v", name, faults)
			}
		}
	})
	t.Run("null empties every field that has an empty state, and no other is set to it", func(t *testing.T) {
		for name := range presetValues {
			why, _ := verdict(t, fmt.Appendf(nil, `{"attributes":[{"external_id":"u1",%q:null}]}`, name))
			lasting := slices.Contains([]string{"email_subscribe", "push_subscribe", "push_tokens"}, name)
			if (why != "") != lasting {
				t.Errorf("%s: null: %q", name, why)
			}
		}
	})
}
