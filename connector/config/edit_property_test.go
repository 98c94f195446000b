package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"
)

// writer makes random documents as people write them: block and flow, comments above and behind, quotes of each kind, blank lines.
type writer struct {
	t        *rapid.T
	b        strings.Builder
	comments int
}

var (
	someKeys   = []string{"a", "bc", "name", "fields", "custom", "models", "x y", "ä"}
	someValues = []string{"x", "two words", "'it''s'", `"say \"x\""`, "12", "-3.5", "true", "${KEY}", "a # b", "30d", "'no'", "|\n%s  one\n%s\n%s  two", ">-\n%s  one\n%s  two", ""}
	newValues  = []string{"x", "no", "12", "${KEY}", "a: b", "- c", " #d", "it's", `"`, "", "two\nlines", "tab\there", "{x", "x, y", "ü", "\u2028", "end ", "%", "1:30", "trailing\n\n", "~"}
)

func (w *writer) chance(percent int) bool { return rapid.IntRange(0, 99).Draw(w.t, "chance") < percent }

func (w *writer) comment() string {
	w.comments++
	return fmt.Sprintf("# comment %d", w.comments)
}

func (w *writer) above(pad string) {
	if w.chance(10) {
		w.b.WriteString("\n")
	}
	if w.chance(25) {
		w.b.WriteString(pad + w.comment() + "\n")
	}
}

func (w *writer) behind() {
	if w.chance(25) {
		w.b.WriteString(rapid.SampledFrom([]string{" ", "  ", "\t"}).Draw(w.t, "gap") + w.comment())
	}
	w.b.WriteString("\n")
}

func (w *writer) keys() []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(someKeys), 1, 4, rapid.ID[string]).Draw(w.t, "keys")
}

func (w *writer) block(pad string, depth int) {
	for _, key := range w.keys() {
		w.above(pad)
		w.b.WriteString(pad + key + ":")
		w.value(pad, depth)
	}
}

func (w *writer) list(pad string, depth int) {
	for range rapid.IntRange(1, 3).Draw(w.t, "items") {
		w.above(pad)
		w.b.WriteString(pad + "-")
		if depth > 0 && w.chance(50) {
			w.b.WriteString(" name: " + rapid.StringMatching(`[a-z]{3}`).Draw(w.t, "name"))
			w.behind()
			w.b.WriteString(pad + "  k:")
			w.value(pad+"  ", depth-1)
			continue
		}
		w.value(pad, -1)
	}
}

// value writes what stands behind a key, or with depth -1 behind a dash: never nothing there, since the library takes the line below for it.
func (w *writer) value(pad string, depth int) {
	switch {
	case depth > 0 && w.chance(35):
		w.behind()
		w.block(pad+rapid.SampledFrom([]string{"  ", "    "}).Draw(w.t, "indent"), depth-1)
	case depth > 0 && w.chance(30):
		w.behind()
		w.list(pad+rapid.SampledFrom([]string{"", "  "}).Draw(w.t, "indent"), depth-1)
	case w.chance(25):
		w.b.WriteString(" " + w.flow(2))
		w.behind()
	default:
		v := rapid.SampledFrom(someValues).Draw(w.t, "value")
		if v == "" && depth < 0 {
			v = "x"
		}
		if v != "" {
			v = " " + v
		}
		w.b.WriteString(strings.ReplaceAll(v, "%s", pad))
		if strings.Contains(v, "\n") {
			w.b.WriteString("\n")
			return
		}
		w.behind()
	}
}

func (w *writer) flow(depth int) string {
	var parts []string
	n := rapid.IntRange(0, 3).Draw(w.t, "parts")
	if w.chance(50) {
		for range n {
			parts = append(parts, w.flowValue(depth))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i := range n {
		parts = append(parts, fmt.Sprintf("%s: %s", someKeys[i], w.flowValue(depth)))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func (w *writer) flowValue(depth int) string {
	if depth > 0 && w.chance(25) {
		return w.flow(depth - 1)
	}
	return rapid.SampledFrom([]string{"x", "two words", "'a, b'", `"c"`, "12", "false"}).Draw(w.t, "flow value")
}

func randomDocument(t *rapid.T) string {
	w := &writer{t: t}
	if w.chance(30) {
		w.b.WriteString(w.comment() + "\n")
	}
	w.block("", 3)
	s := w.b.String()
	// A literal text at the end that lacks its newline is another value once something follows: an edit there is refused.
	if w.chance(30) && !strings.HasSuffix(s, "  two\n") {
		s = strings.TrimSuffix(s, "\n")
	}
	if w.chance(20) {
		s = strings.ReplaceAll(s, "\n", "\r\n")
	}
	return s
}

func randomValue(t *rapid.T, depth int) any {
	switch n := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case n == 0:
		return rapid.Bool().Draw(t, "bool")
	case n == 1:
		return rapid.IntRange(-1000, 1000).Draw(t, "int")
	case n == 2 && depth > 0:
		out := yaml.MapSlice{}
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(append([]string{"no", "k.l", "q: r", "12"}, someKeys...)), 0, 4, rapid.ID[string]).Draw(t, "new keys") {
			out = append(out, yaml.MapItem{Key: key, Value: randomValue(t, depth-1)})
		}
		return out
	case n == 3 && depth > 0:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "new items") {
			out = append(out, randomValue(t, depth-1))
		}
		return out
	case n == 4:
		return rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }).Draw(t, "any text")
	}
	return rapid.SampledFrom(newValues).Draw(t, "new value")
}

// paths are those of all values of the document.
func paths(n *node, out []string) []string {
	if n.path != "" {
		out = append(out, n.path)
	}
	for _, e := range n.entries {
		out = paths(e.node, out)
	}
	for _, item := range n.items {
		out = paths(item, out)
	}
	return out
}

// commentsOf are the comments of a text, and beside each the path of a scalar before it is not told: they are numbered.
func commentsOf(text []byte) []string {
	e := &editor{text: text}
	if e.read() != nil {
		return nil
	}
	var out []string
	for _, c := range e.comments {
		out = append(out, strings.TrimSpace(c.Value))
	}
	return out
}

func isSubsequence(short, long []string) bool {
	for _, s := range long {
		if len(short) > 0 && short[0] == s {
			short = short[1:]
		}
	}
	return len(short) == 0
}

// The result of Apply is checked by Apply; here it is checked that it seldom refuses, that scalars change without a comment lost, that comments stay in
// order, and that an edit back gives the same values.
func TestRandomEditsOfRandomDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := randomDocument(t)
		e := &editor{text: []byte(doc)}
		if err := e.read(); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		all := paths(e.root, nil)
		edit := Edit{Path: rapid.SampledFrom(all).Draw(t, "path")}
		old := e.root.at(must(t, e, edit.Path))
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			edit.Remove = true
		case 1:
			switch old.kind {
			case sequence:
				edit.Path += "[+]"
			case mapping:
				edit.Path = Key(edit.Path, "new key")
			default:
			}
			edit.Value = randomValue(t, 2)
		default:
			edit.Value = randomValue(t, 2)
		}
		got, err := Apply([]byte(doc), edit)
		if err != nil {
			t.Fatalf("%+v: %v\n%s", edit, err, doc)
		}
		before, after := commentsOf([]byte(doc)), commentsOf(got)
		if !isSubsequence(after, before) {
			t.Fatalf("%+v: comments %q, then %q\n%s\n%s", edit, before, after, doc, got)
		}
		if !edit.Remove && !old.isCollection() && len(before) != len(after) {
			t.Fatalf("%+v: a comment is lost\n%s\n%s", edit, doc, got)
		}
		back, err := Changes(got, []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Apply(got, back...)
		if err != nil {
			t.Fatalf("back by %+v: %v\n%s\n%s", back, err, doc, got)
		}
		if left, err := Changes(again, []byte(doc)); err != nil || len(left) > 0 {
			t.Fatalf("back by %+v leaves %+v, %v\n%s\n%s\n%s", back, left, err, doc, got, again)
		}
	})
}

func must(t *rapid.T, e *editor, path string) []step {
	steps, err := e.steps(path)
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, e.text)
	}
	return steps
}

func FuzzApply(f *testing.F) {
	f.Add("models:\n  - name: a # x\n    fields: { email: mail }\n  # of b\n  - name: b\n", "models[a].fields.email", "m", false)
	f.Add("a: [b, c] # d\n", "a[+]", "e", false)
	f.Add("a:\r\n  b: c", "a.b", "", true)
	f.Fuzz(func(t *testing.T, doc, path, value string, remove bool) {
		got, err := Apply([]byte(doc), Edit{Path: path, Value: value, Remove: remove})
		if err != nil {
			return
		}
		e := &editor{text: got}
		if err := e.read(); err != nil {
			t.Fatalf("%q is no settings file after it: %v", got, err)
		}
		if !isSubsequence(commentsOf(got), commentsOf([]byte(doc))) {
			t.Fatalf("comments moved:\n%s\n%s", doc, got)
		}
	})
}
