package web

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// speakers are the files whose sentences can reach a page, without those that only the log or the command line has.
var speakers = []struct{ files, not string }{
	{"../config/*.go", `schema|edit|hide`},
	{"../mapping/*.go", `bench|preset_(location|place)\.go`},
	{"../postgres/*.go", `/(across|catalog|cursor|datetime|decode|relation|stream|value|value_hstore|visible|window|wire|watch)\.go`},
	{"../kafka/*.go", ``},
	{"../envelope/*.go", ``},
	{"../braze/*.go", ``},
	{"../*.go", `/doc\.go`},
	{"../control/*.go", `server|wire|stop|watch`},
	{"../draft/*.go", ``},
	{"../state/errors.go", ``}, {"../state/data.go", ``}, {"../state/quarantine.go", ``}, {"../state/bound.go", ``}, {"../state/lock_unix.go", ``},
	{"../../cmd/brazecdc/check*.go", ``}, {"../../cmd/brazecdc/pages*.go", ``},
	{"../../cmd/brazecdc/alike.go", ``}, {"../../cmd/brazecdc/app.go", ``}, {"../../cmd/brazecdc/face.go", ``}, {"../../cmd/brazecdc/maprow.go", ``},
	{"../../cmd/brazecdc/reload.go", ``}, {"../../cmd/brazecdc/resync_live.go", ``}, {"../../cmd/brazecdc/runner.go", ``}, {"../../cmd/brazecdc/send.go", ``},
	{"../../cmd/brazecdc/source_*.go", ``}, {"../../cmd/brazecdc/starter.go", ``}, {"../../cmd/brazecdc/topic_living.go", ``}, {"../../cmd/brazecdc/types.go", ``},
}

var (
	// sentenceLike is a text with at least two words.
	sentenceLike = regexp.MustCompile(`[a-z,;:)"}] [a-zA-Z{"]`)
	// formatVerb is a gap of fmt's.
	formatVerb = regexp.MustCompile(`%(\[\d+\])?[+#]?[0-9.]*[dqsvwtxgf]`)
	// statement is what is meant for the database; three words of English in it make it a sentence all the same.
	statement = regexp.MustCompile(`^[({} ]*(ALTER|CREATE|DROP|GRANT|SELECT|DECLARE|BEGIN|FETCH|FROM|START_REPLICATION|JOIN|WHERE|AND|ORDER|LIMIT|RESET|btrim)|^\(?\{\}\)? (AND|IN|=) `)
	english   = regexp.MustCompile(`[a-z]{2,} [a-z]+ [a-z]{2,}|\(as `)
	// silent are the calls whose texts do not reach a page: those of the log, of searches, of flags and of the terminal.
	silent = regexp.MustCompile(`^(Info|Warn|Debug|Error|Log|LogAttrs|Contains|HasPrefix|HasSuffix|CutPrefix|CutSuffix|MustCompile|ReplaceAll|query|printf|Fprintf|Fprintln|usagef|faint|bold|red|yellow|green|ask|askHidden|confirm|Exec|object|free|Appendf|sayBlockers|seen|tell|(String|Bool|Int|StringArray|Uint64)VarP?)$`)
	// ofCommand are the texts of a command's help.
	ofCommand = regexp.MustCompile(`^(Use|Short|Long|Example)$`)
	// settings are lists of names of settings.
	settings = regexp.MustCompile(`^(\{\} ?)?(column|latitude|name kind|nested|type on_null|load_consent)( [a-z_]+)+ ?$`)
)

// unsaid are texts of two words and more that nobody reads on a page: words that are looked for, names, parts of a command.
var unsaid = []string{"kafka client:", "remote error", "too large", "too long", "not exist", "not found", "subscription group", "brazecdc pages", "bit varying", "key change", "schema change",
	"transaction metadata", "must fix", "may hurt", "timestamp ns", "brazecdc confirm {0}", "brazecdc quarantine list", "matches the filter", "--command-config client.properties",
	"--key: {0}", "wal_status={0}, invalidation_reason={1}", "{0} id={1} parts={2} load={3}",
	"{0} or {1}", "{0} DESC", "{0} at {1}", "{0}: {1}; {2}", "{0} MB", "{0} kB"}

// phrase gives what an expression says, {} for what it fills in.
func phrase(e ast.Expr) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(x.Value); x.Kind == token.STRING && err == nil {
			return strings.ReplaceAll(formatVerb.ReplaceAllString(strings.ReplaceAll(s, "%%", "\x00"), "{}"), "\x00", "%"), true
		}
	case *ast.ParenExpr:
		return phrase(x.X)
	case *ast.BinaryExpr:
		a, ok := phrase(x.X)
		b, also := phrase(x.Y)
		if x.Op != token.ADD || !ok && !also {
			return "", false
		}
		if !ok {
			a = "{}"
		}
		if !also {
			b = "{}"
		}
		return a + b, true
	case *ast.CallExpr:
		if name := types.ExprString(x.Fun); (name == "fmt.Sprintf" || name == "fmt.Errorf") && len(x.Args) > 0 {
			s, ok := phrase(x.Args[0])
			return s, ok
		}
	}
	return "", false
}

// numbered writes the gaps as the catalogue has them.
func numbered(s string) string {
	for strings.Contains(s, "{}{}") {
		s = strings.ReplaceAll(s, "{}{}", "{}")
	}
	n := -1
	return regexp.MustCompile(`\{\}`).ReplaceAllStringFunc(s, func(string) string { n++; return gap(n) })
}

// noteWords adds the literals of an expression, and what plural makes of them, to the words that can stand in a gap.
func noteWords(e ast.Expr, words map[string]bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			if w, err := strconv.Unquote(s.Value); err == nil {
				words[w], words["{0} "+w], words["{0} "+w+"s"] = true, true, true
			}
		}
		return true
	})
}

// spokenIn finds the sentences of a file, and adds its words.
func spokenIn(t *testing.T, name string, words map[string]bool) map[string]string {
	t.Helper()
	set, out := token.NewFileSet(), map[string]string{}
	file, err := parser.ParseFile(set, name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	walk := func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.CallExpr:
			called := types.ExprString(x.Fun)
			called = called[strings.LastIndex(called, ".")+1:]
			if silent.MatchString(called) {
				return false
			}
		case *ast.KeyValueExpr:
			if _, ok := x.Key.(*ast.BasicLit); ok || ofCommand.MatchString(types.ExprString(x.Key)) {
				return false // a table of words, or a command's help
			}
		}
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		noteWords(e, words)
		s, ok := phrase(e)
		if !ok {
			return true
		}
		if s = sentenceOf(s); s != "" {
			out[s] = fmt.Sprintf("%s:%d", name, set.Position(n.Pos()).Line)
		}
		return false
	}
	ast.Inspect(file, walk)
	return out
}

// sentenceOf gives what the catalogue has to have of a text, nothing where it is no sentence.
func sentenceOf(s string) string {
	if _, comment, ok := strings.Cut(s, "  -- "); ok {
		s = comment // of a statement for the database
	} else if statement.MatchString(s) && !english.MatchString(s) {
		return ""
	}
	s = strings.TrimRight(strings.TrimLeft(s, ";, "), " ")
	if len(strings.ReplaceAll(s, "{}", "")) < 3 || strings.Contains(s, "\n") || !sentenceLike.MatchString(s) || settings.MatchString(s) {
		return ""
	}
	if s = numbered(s); slices.Contains(unsaid, s) || strings.HasPrefix(s, "curl ") || strings.HasPrefix(s, "kafka-") || strings.HasPrefix(s, `{"`) {
		return ""
	}
	return s
}

func TestWhatIsSaidHasItsTextInEveryLanguage(t *testing.T) {
	code, words := map[string]string{}, map[string]bool{}
	for _, sp := range speakers {
		files, err := filepath.Glob(sp.files)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", sp.files, len(files), err)
		}
		for _, name := range files {
			if !strings.HasSuffix(name, "_test.go") && (sp.not == "" || !regexp.MustCompile(sp.not).MatchString(name)) {
				maps.Copy(code, spokenIn(t, name, words))
			}
		}
	}
	t.Logf("%d sentences", len(code))
	for _, lang := range languages[1:] {
		texts := allSaid(t, lang)
		for _, english := range slices.Sorted(maps.Keys(code)) {
			if _, ok := texts[english]; !ok {
				t.Errorf("%s says %q; add a line with the sentence and its translation to a file of lang/%s/said", code[english], english, lang)
			}
		}
		for english, text := range texts {
			if code[english] == "" && !words[english] {
				t.Errorf("nothing says %q any more", english)
			}
			for _, g := range gapSign.FindAllString(text, -1) {
				if !strings.Contains(english, g) {
					t.Errorf("the text for %q fills in %s, which it has not", english, g)
				}
			}
		}
	}
}

// allSaid reads the sentences of a language as the files have them; none stands in two of them.
func allSaid(t *testing.T, lang string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, _ := filepath.Glob("lang/" + lang + "/said/*.yaml")
	for _, name := range files {
		b, err := langFiles.ReadFile(filepath.ToSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		var texts map[string]string
		if err := yaml.Unmarshal(b, &texts); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for english, text := range texts {
			if _, twice := out[english]; twice || text == "" {
				t.Errorf("%s: %q is empty, or there twice", name, english)
			}
			out[english] = text
		}
	}
	return out
}
