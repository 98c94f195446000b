package main

import (
	"encoding"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// statusDoc is the page that documents /status.
const statusDoc = "../../docs/status.md"

func TestStatusDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(statusDoc)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]* \\| [^|]+\\. \\|$").FindAllStringSubmatch(string(doc), -1) {
		if documented[row[1]] {
			t.Errorf("docs/status.md has two rows for %s", row[1])
		}
		documented[row[1]] = true
	}
	var fields []string
	jsonFields(reflect.TypeFor[control.Status](), "", &fields)
	t.Run("each field of the answer has a row with a sentence", func(t *testing.T) {
		for _, f := range fields {
			if !documented[f] {
				t.Errorf("docs/status.md lacks a row for %s", f)
			}
		}
	})
	t.Run("each row is of a field", func(t *testing.T) {
		for f := range documented {
			if !slices.Contains(fields, f) {
				t.Errorf("docs/status.md documents %s, which is not served", f)
			}
		}
	})
	t.Run("a process serves no other names", func(t *testing.T) {
		b := newBench(t, plainModel)
		b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'not an address', 'pro'), ('', NULL, 'pro')`)
		b.run()
		b.until("the row is held back", func() bool { return len(b.entries()) == 1 })
		_, body := b.get("/status")
		var served any
		if err := json.Unmarshal([]byte(body), &served); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		servedNames(served, "", names)
		for name := range names {
			if !slices.ContainsFunc(fields, func(f string) bool { return sameName(f, name) }) {
				t.Errorf("%s is served and not documented", name)
			}
		}
		for _, f := range []string{"state", "ready", "version", "config_hash", "lag_seconds", "source.connected", "sink.endpoints[].codes.*", "models[].changes.*", "figures.deliveries[]", "loads[].rows"} {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(name string) bool { return sameName(f, name) }) {
				t.Errorf("%s is not served", f)
			}
		}
		if strings.Contains(body, "not an address") || strings.Contains(body, `"u-1"`) {
			t.Error("a row's value is shown")
		}
	})
}

// sameName tells whether a served name is the documented one; * stands for the key of a map.
func sameName(documented, served string) bool {
	if head, ok := strings.CutSuffix(documented, ".*"); ok {
		return strings.HasPrefix(served, head+".")
	}
	if head, tail, ok := strings.Cut(documented, ".*."); ok {
		return strings.HasPrefix(served, head+".") && strings.HasSuffix(served, "."+tail)
	}
	return documented == served
}

// jsonFields gives the names of what a type's values look like in JSON: members by dots, [] for the elements of a list, * for the keys of a map.
func jsonFields(t reflect.Type, path string, out *[]string) {
	switch {
	case t.Kind() == reflect.Pointer:
		jsonFields(t.Elem(), path, out)
	case t == reflect.TypeFor[time.Time]() || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		*out = append(*out, path)
	case t.Kind() == reflect.Slice:
		jsonFields(t.Elem(), path+"[]", out)
	case t.Kind() == reflect.Map:
		jsonFields(t.Elem(), path+".*", out)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported():
			case f.Anonymous && name == "":
				jsonFields(f.Type, path, out)
			default:
				jsonFields(f.Type, strings.TrimPrefix(path+"."+name, "."), out)
			}
		}
	default:
		*out = append(*out, path)
	}
}

// servedNames gives the names of an answer's members in the same form.
func servedNames(v any, path string, out map[string]bool) {
	switch x := v.(type) {
	case map[string]any:
		for k, m := range x {
			servedNames(m, strings.TrimPrefix(path+"."+k, "."), out)
		}
	case []any:
		for _, m := range x {
			servedNames(m, path+"[]", out)
		}
	default:
		out[path] = true
	}
}

func TestStatusWithoutRules(t *testing.T) {
	s := &control.Status{}
	s.Loads = []connector.LoadState{{Resync: &connector.Resync{Where: `id == "u-1"`}}, {}}
	if got := withoutRules(s).Loads; got[0].Resync.Where != "a rule" || got[1].Resync != nil {
		t.Errorf("%+v", got)
	}
	if s.Loads[0].Resync.Where != `id == "u-1"` {
		t.Error("the status itself was changed")
	}
}
