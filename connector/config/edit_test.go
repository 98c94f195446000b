package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnEditMovesOnlyWhatItChanges(t *testing.T) {
	for _, c := range []struct {
		name     string
		text     string
		edits    []Edit
		expected string
	}{
		{"a plain scalar keeps its comment", "a: 1 # one\nb: x  # two\n", []Edit{{Path: "b", Value: "z"}}, "a: 1 # one\nb: z  # two\n"},
		{"single quotes stay", "a: 'x y'\n", []Edit{{Path: "a", Value: "it's"}}, "a: 'it''s'\n"},
		{"double quotes stay", "a: \"x\"\n", []Edit{{Path: "a", Value: "say \"no\""}}, "a: \"say \\\"no\\\"\"\n"},
		{"words that YAML reads otherwise get quotes", "a: x\nb: x\nc: x\nd: x\n", []Edit{
			{Path: "a", Value: "no"}, {Path: "b", Value: "null"}, {Path: "c", Value: "12"}, {Path: "d", Value: "* all"},
		}, "a: 'no'\nb: 'null'\nc: '12'\nd: '* all'\n"},
		{"a variable stays plain, and is quoted in braces", "a: x\nb: { c: x }\n", []Edit{{Path: "a", Value: "${KEY}"}, {Path: "b.c", Value: "${KEY}"}},
			"a: ${KEY}\nb: { c: '${KEY}' }\n"},
		{"a key is added at the right depth", "a:\n    b: 1 # x\n    # tail\nc: 2\n", []Edit{{Path: "a.d", Value: true}}, "a:\n    b: 1 # x\n    d: true\n    # tail\nc: 2\n"},
		{"a key is added in braces", "a: { b: 1 } # x\n", []Edit{{Path: "a.d", Value: "e, f"}}, "a: { b: 1, d: 'e, f' } # x\n"},
		{"parents are made", "version: 1\n", []Edit{{Path: "braze.rate.share", Value: "50%"}}, "version: 1\nbraze:\n  rate: { share: 50% }\n"},
		{"settings stand before the models", "version: 1\n\n# models\nmodels:\n  - name: a\n", []Edit{{Path: "log.level", Value: "debug"}},
			"version: 1\nlog: { level: debug }\n\n# models\nmodels:\n  - name: a\n"},
		{"an empty text", "", []Edit{{Path: "version", Value: 1}, {Path: "braze.workspace", Value: "staging"}}, "version: 1\nbraze:\n  workspace: staging\n"},
		{"a text of comments", "# mine", []Edit{{Path: "version", Value: 1}}, "# mine\nversion: 1\n"},
		{"no newline at the end", "a: 1\nb: 2", []Edit{{Path: "c", Value: 3}, {Path: "b", Value: 4}}, "a: 1\nb: 4\nc: 3"},
		{"removing the last line without newline", "a: 1\nb: 2", []Edit{{Path: "b", Remove: true}}, "a: 1"},
		{"CRLF", "a: 1 # x\r\nb:\r\n  c: \"q\"\t# y\r\n", []Edit{{Path: "b.d", Value: 2}, {Path: "a", Value: 3}, {Path: "b.c", Value: "r"}},
			"a: 3 # x\r\nb:\r\n  c: \"r\"\t# y\r\n  d: 2\r\n"},
		{"tabs", "a:\tb\t# x\tx\nc: d\t#\ty\n", []Edit{{Path: "a", Value: "e"}, {Path: "c", Value: "f"}}, "a:\te\t# x\tx\nc: f\t#\ty\n"},
		{"removed with its comments", "# file\n\na: 1\n# of b\nb: 2 # b too\n# of c\nc: 3\n", []Edit{{Path: "b", Remove: true}}, "# file\n\na: 1\n# of c\nc: 3\n"},
		{"removed from braces", "a: { b: 1, c: 2, d: 3 }\n", []Edit{{Path: "a.b", Remove: true}, {Path: "a.d", Remove: true}}, "a: { c: 2 }\n"},
		{"the last of a map takes it along", "a:\n  b:\n    c: 1\n  d: 2\n", []Edit{{Path: "a.b.c", Remove: true}}, "a:\n  d: 2\n"},
		{"what is not there is not removed", "a: 1\n", []Edit{{Path: "b.c", Remove: true}}, "a: 1\n"},
		{"lists of one line", "a: [x, y] # z\n", []Edit{{Path: "a[+]", Value: "w"}, {Path: "a[x]", Remove: true}, {Path: "a[0]", Value: "v"}}, "a: [v, w] # z\n"},
		{"an empty list", "a: []\n", []Edit{{Path: "a[+]", Value: "x"}}, "a: [x]\n"},
		{"a new list", "a: 1\n", []Edit{{Path: "never_send[+]", Value: "ssn"}}, "a: 1\nnever_send: [ssn]\n"},
		{"a model by its name", "models:\n  - name: a\n    mode: sync # s\n  # of b\n  - name: b\n    mode: sync\n", []Edit{{Path: "models[b].mode", Value: "enrich"}, {Path: "models[a].load", Value: "all"}},
			"models:\n  - name: a\n    mode: sync # s\n    load: all\n  # of b\n  - name: b\n    mode: enrich\n"},
		{"a model is removed", "models:\n  # of a\n  - name: a\n    mode: sync # s\n\n  # of b\n  - name: b\n    mode: sync\n", []Edit{{Path: "models[a]", Remove: true}},
			"models:\n\n  # of b\n  - name: b\n    mode: sync\n"},
		{"a model is added", "models:\n- name: a\n  mode: sync\n", []Edit{{Path: "models[+]", Value: Map("name", "b", "table", "public.b", "identify", Map("external_id", "id"), "fields", Map("email", "mail"))}},
			"models:\n- name: a\n  mode: sync\n- name: b\n  table: public.b\n  identify: { external_id: id }\n  fields:\n    email: mail\n"},
		{"the first key behind a dash", "m:\n  - name: a # x\n    mode: b\n", []Edit{{Path: "m[0].name", Remove: true}}, "m:\n  - mode: b\n"},
		{"a column becomes a map", "fields:\n  email: mail # x\n  phone: tel\n", []Edit{{Path: "fields.phone", Value: Map("column", "tel", "country", "DE")}, {Path: "fields.email", Value: Map("column", "m", "on_null", "keep")}},
			"fields:\n  email: { column: m, on_null: keep } # x\n  phone: { column: tel, country: DE }\n"},
		{"a map becomes a column", "fields:\n  email: # x\n    column: mail\n    on_null: keep\n  phone: tel\n", []Edit{{Path: "fields.email", Value: "mail"}},
			"fields:\n  email: mail # x\n  phone: tel\n"},
		{"of a map only the differences move", "a: { b: 1, c: 2 } # x\n", []Edit{{Path: "a", Value: Map("c", 3, "d", 4)}}, "a: { c: 3, d: 4 } # x\n"},
		{"a key without value", "a: # x\nb:\n", []Edit{{Path: "a", Value: "w"}, {Path: "b.c", Value: "z"}}, "a: w # x\nb: { c: z }\n"},
		{"a literal text", "a: |\n  one\n  two\nb: 1\n", []Edit{{Path: "a", Value: "three"}}, "a: three\nb: 1\n"},
		{"a text of several lines", "a: one # x\nb: 1\n", []Edit{{Path: "a", Value: "one\n  two\n"}}, "a: | # x\n  one\n    two\nb: 1\n"},
		{"keys that need quotes", "custom:\n  x: y\n", []Edit{{Path: `custom["a.b"]`, Value: "c"}, {Path: Key("custom", "no"), Value: "d"}}, "custom:\n  x: y\n  a.b: c\n  'no': d\n"},
		{"an umlaut before it", "ä: { ö: ü, b: c } # ß\n", []Edit{{Path: "ä.b", Value: "d"}}, "ä: { ö: ü, b: d } # ß\n"},
		{"a byte order mark", "\ufeffa: 1\n", []Edit{{Path: "a", Value: 2}}, "\ufeffa: 2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Apply([]byte(c.text), c.edits...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.expected, string(got)); diff != "" {
				t.Errorf("%s\n%s", diff, got)
			}
		})
	}
}

func TestAnEditThatCannotBeMadeChangesNothing(t *testing.T) {
	for _, c := range []struct{ text, path, says string }{
		{"a: &x { b: 1 }\nc: *x\n", "c.b", "anchor"},
		{"a: &x { b: 1 }\nc: *x\n", "a.b", "anchor"},
		{"a: 1\n", "a.b", "has nothing called b"},
		{"a: [x]\n", "a[y]", "has no item y"},
		{"a: [x]\n", "a[3]", "has no item 3"},
		{"a: {\n", "a", "not YAML"},
		{"- a\n", "b", "a list"},
		{"a: 1\n", "", "empty"},
		{"a: 1\n", "a..b", "empty step"},
		{"a: 1\n", "a[b", "does not close"},
		{"a: 1\n---\nb: 2\n", "a", "second YAML document"},
	} {
		got, err := Apply([]byte(c.text), Edit{Path: c.path, Value: "new"})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %s: %v\n%s", c.text, c.path, err, got)
		}
	}
}

func TestTheReferenceSurvivesAnEditOfEachOfItsValues(t *testing.T) {
	e := &editor{text: []byte(Reference())}
	if err := e.read(); err != nil {
		t.Fatal(err)
	}
	edits := []Edit{{Value: "a: b # no"}, {Value: Map("x", "y", "z", []any{"1", 2})}, {Remove: true}}
	seen := 0
	var visit func(n *node)
	visit = func(n *node) {
		for _, x := range n.entries {
			visit(x.node)
		}
		for _, x := range n.items {
			visit(x)
		}
		if n.path == "" {
			return
		}
		seen++
		edit := edits[seen%len(edits)]
		edit.Path = n.path
		if _, err := Apply([]byte(Reference()), edit); err != nil {
			t.Errorf("%s: %v", n.path, err)
		}
	}
	visit(e.root)
}
