package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaFile = "../../schemas/" + SchemaName

func TestSchemaFile(t *testing.T) {
	compare(t, schemaFile, string(Schema()))
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaName, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valueOf is a node as JSON would have it, variables as they were written.
func valueOf(n *node) any {
	switch n.kind {
	case mapping:
		out := map[string]any{}
		for _, e := range n.entries {
			out[e.key] = valueOf(e.node)
		}
		return out
	case sequence:
		out := []any{}
		for _, item := range n.items {
			out = append(out, valueOf(item))
		}
		return out
	case boolean:
		return n.raw == "true"
	case number:
		if json.Valid([]byte(n.raw)) {
			return json.Number(n.raw)
		}
	case null:
		return nil
	}
	return n.raw
}

// closed is a mapping with a closed list of keys, as the parser met it.
type closed struct {
	n    *node
	keys []string
}

// read parses a text and gives its tree, its faults, and the mappings whose keys the parser knows.
func read(data []byte) (root *node, faults Faults, met []closed) {
	d := &decoder{file: "test.yml", saw: func(n *node, keys []string) { met = append(met, closed{n, keys}) }}
	if root = d.tree(data, expander{testEnv, testFiles}); root != nil {
		d.config(root)
	}
	return root, d.faults, met
}

func samples(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, file := range append(files, "testdata/reference.yaml") {
		if out[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	out["rare"] = []byte(`version: 1
braze: { workspace: test, endpoint: "http://127.0.0.1:1", api_key: "${BRAZE_API_KEY}" }
source: { kafka: { brokers: ["127.0.0.1:1"], tls: { ca: ca.pem } } }
web:
  tls: { cert: cert.pem, key: key.pem }
  proxy: { header: X-Forwarded-User, from: [10.0.0.0/8] }
models:
  - { name: people, topic: people, mode: additive, load: none, identify: { external_id: id }, fields: { current_location: { column: place } } }
`)
	return out
}

func TestSchema(t *testing.T) {
	schema := compiled(t)
	visited := map[string]bool{}
	all := sections(t)
	for name, data := range samples(t) {
		t.Run(name, func(t *testing.T) {
			root, faults, met := read(data)
			if err := faults.Err(); err != nil {
				t.Fatal(err)
			}
			value := valueOf(root)
			if err := schema.Validate(value); err != nil {
				t.Errorf("the parser takes this file, and the schema does not: %v", err)
			}
			for _, m := range met {
				keys := keySet(m.keys)
				if strings.HasPrefix(keys, "blank latitude") { // a place out of two columns, without what does not fit it
					continue
				}
				if !all[keys] {
					t.Errorf("%s: the schema has no section with the keys %s", m.n.path, keys)
				}
				visited[keys] = true
				if m.n.kind != mapping {
					continue
				}
				m.n.entries = append(m.n.entries, entry{key: "nosuchkey", node: &node{kind: text, raw: "x", value: "x"}})
				if schema.Validate(valueOf(root)) == nil {
					t.Errorf("%s: the schema takes a key that does not exist", m.n.path)
				}
				m.n.entries = m.n.entries[:len(m.n.entries)-1]
			}
		})
	}
	t.Run("has no section that the parser does not know", func(t *testing.T) {
		for _, keys := range slices.Sorted(maps.Keys(all)) {
			if !visited[keys] {
				t.Errorf("no sample has a section with the keys %s", keys)
			}
		}
	})
}

func keySet(keys []string) string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// sections are the schema's closed mappings by their keys.
func sections(t *testing.T) map[string]bool {
	t.Helper()
	var doc any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == false {
				if _, preset := properties["email_subscribe"]; !preset { // profile fields are names, of which another test tells
					out[keySet(slices.Collect(maps.Keys(properties)))] = true
				}
				if v["title"] == "" || v["description"] == "" {
					t.Errorf("%s has no title or description", path)
				}
			}
			for k, child := range v {
				walk(child, path+"/"+k)
			}
		case []any:
			for _, child := range v {
				walk(child, path)
			}
		}
	}
	walk(doc, "")
	return out
}

func TestSchemaRefuses(t *testing.T) {
	schema := compiled(t)
	good, err := os.ReadFile("testdata/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"mode: sync", "mode: synk"}, {"user_gap: 1s", "user_gap: soon"}, {"version: 1", "version: 2"}, {"max_body: 3MiB", "max_body: 3"}, {"share: 100%", "share: 1"},
		{"attempts: 8", "attempts: none"}, {"create: true", "create: maybe"}, {"table: public.users", "tabel: public.users"}, {"dob: born", "dobb: born"},
		{"name: customers", "name: 'my customers'"}, {"to: disk", "to: tape"}, {"level: info", "level: loud"},
	} {
		t.Run(c[1], func(t *testing.T) {
			text := strings.Replace(string(good), c[0], c[1], 1)
			if text == string(good) {
				t.Fatalf("%q is not in the reference", c[0])
			}
			root, faults, _ := read([]byte(text))
			if faults.Err() == nil {
				t.Error("the parser takes it")
			}
			if schema.Validate(valueOf(root)) == nil {
				t.Error("the schema takes it")
			}
		})
	}
}

// The defaults that editors show are those that the parser fills in.
func TestSchemaDefaults(t *testing.T) {
	var doc struct {
		Properties map[string]struct {
			Properties map[string]struct {
				Default any `json:"default"`
			} `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"braze.user_gap": "1s", "braze.settle": "5m", "braze.max_body": "3MiB", "braze.senders": "auto", "braze.objects_per_request": 75.0, "cache.max_size": "8GiB",
		"limits.open_bytes": "64MiB", "quarantine.retention": "30d", "log.level": "info", "web.listen": "127.0.0.1:8080", "web.stay": false,
	} {
		section, key, _ := strings.Cut(path, ".")
		if got := doc.Properties[section].Properties[key].Default; got != want {
			t.Errorf("%s has the default %v, want %v", path, got, want)
		}
	}
}
