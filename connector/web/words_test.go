package web

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// sources is the text of everything that can name a key of the catalogue: templates, and the Go files of the pages and of what writes activities.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"templates/*.html", "*.go", "../draft/*.go", "../../cmd/brazecdc/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(b)
		}
	}
	return all
}

// quoted finds what looks like a key, or like its beginning ("live.state.", "models.op_"), in quotes.
var quoted = regexp.MustCompile("[\"`]([a-z]+\\.(?:[a-z0-9_-]+\\.?)*)[\"`]")

// asked finds the keys that a template or a handler shows.
var asked = regexp.MustCompile(`(?:\bt|rich|\.t\(|partial[a-z]*\() ?"([a-z]+\.[a-z0-9_.-]*[a-z0-9_-])"`)

func base(key string) string {
	key = strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")
	return strings.TrimSuffix(key, ".points")
}

func TestWords(t *testing.T) {
	w, err := loadWords()
	if err != nil {
		t.Fatal(err)
	}
	en, de := w.texts["en"], w.texts["de"]
	t.Run("every text is there in both languages, with the same gaps", func(t *testing.T) {
		gap := regexp.MustCompile(`\{\d+\}`)
		gaps := func(s string) []string {
			g := gap.FindAllString(s, -1)
			slices.Sort(g)
			return slices.Compact(g)
		}
		for _, key := range slices.Sorted(maps.Keys(en)) {
			text, ok := de[key]
			switch {
			case !ok:
				t.Errorf("%s is missing in German", key)
			case text == "" || en[key] == "":
				t.Errorf("%s is empty", key)
			case !strings.HasSuffix(key, ".one") && !slices.Equal(gaps(text), gaps(en[key])):
				t.Errorf("%s has other gaps in German: %q, %q", key, en[key], text)
			}
		}
		for key := range de {
			if _, ok := en[key]; !ok {
				t.Errorf("%s is missing in English", key)
			}
		}
	})
	used, begun := map[string]bool{}, []string{}
	all := sources(t)
	for _, text := range all {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if strings.HasSuffix(m[1], ".") || strings.HasSuffix(m[1], "_") {
				begun = append(begun, m[1])
			} else {
				used[m[1]] = true
			}
		}
	}
	t.Run("a text with plural forms has both", func(t *testing.T) {
		for key := range en {
			if b, ok := strings.CutSuffix(key, ".one"); ok && !used[key] && used[b] && en[b+".other"] == "" {
				t.Errorf("%s has no .other", b)
			}
			if b, ok := strings.CutSuffix(key, ".other"); ok && !used[key] && used[b] && en[b+".one"] == "" {
				t.Errorf("%s has no .one", b)
			}
		}
	})
	t.Run("no text is without use", func(t *testing.T) {
		for _, key := range slices.Sorted(maps.Keys(en)) {
			if !used[key] && !used[base(key)] && !slices.ContainsFunc(begun, func(p string) bool { return strings.HasPrefix(key, p) }) {
				t.Errorf("%s is used nowhere", key)
			}
		}
	})
	t.Run("what is shown has a text", func(t *testing.T) {
		for name, text := range all {
			for _, m := range asked.FindAllStringSubmatch(text, -1) {
				if en[m[1]] == "" && en[m[1]+".other"] == "" && strings.HasPrefix(name, "templates/") {
					t.Errorf("%s shows %s, which has no text", name, m[1])
				}
			}
		}
	})
}

// ownWords may stand in a template: names, and marks without a language.
var ownWords = map[string]bool{"brazecdc": true, "Braze": true, "Postgres": true, "PostgreSQL": true, "Kafka": true, "SQL": true, "JSON": true, "YAML": true, "CSV": true,
	"curl": true, "GET": true, "POST": true, "doctype": true, "html": true}

var (
	action   = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	verbatim = regexp.MustCompile(`(?s)<(svg|code|pre)\b.*?</(svg|code|pre)>`)
	example  = regexp.MustCompile(`^([A-Z]+|\S*[.:/@_0-9]\S*)$`) // of an address or a code, in a placeholder
	tag      = regexp.MustCompile(`(?s)<[^>]*>`)
	spoken   = regexp.MustCompile(`\b(title|aria-label|placeholder|alt|data-label|aria-description|aria-roledescription)="([^"]*)"`)
)

func TestTemplatesHoldNoText(t *testing.T) {
	err := fs.WalkDir(templateFiles, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := templateFiles.ReadFile(name)
		if err != nil {
			return err
		}
		text := action.ReplaceAllString(string(b), "")
		for _, m := range spoken.FindAllStringSubmatch(text, -1) {
			if m[1] != "placeholder" || !example.MatchString(m[2]) {
				check(t, name, m[2])
			}
		}
		check(t, name, tag.ReplaceAllString(verbatim.ReplaceAllString(text, " "), " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, name, text string) {
	t.Helper()
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
		if !ownWords[word] {
			t.Errorf("%s holds the text %q, which belongs into the catalogue", name, word)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, en string }{
		{formatNumber("en", 12400), "12,400"}, {formatNumber("de", 12400), "12.400"}, {formatNumber("de", 3.25), "3,2"}, {formatNumber("en", -1234567.8), "−1,234,568"},
		{formatNumber("en", 0), "0"}, {formatNumber("en", uint64(1000)), "1,000"}, {formatBytes("de", 1536), "1,5 KiB"}, {formatBytes("en", 0), "0 B"},
		{formatBytes("en", int64(64<<20)), "64 MiB"}, {formatDuration("en", 90e9), "1 min 30 s"}, {formatDuration("de", 3*86400e9), "3 Tg."}, {formatDuration("en", 5e6), "5 ms"},
	} {
		if c.got != c.en {
			t.Errorf("got %q, want %q", c.got, c.en)
		}
	}
}

func TestText(t *testing.T) {
	w := &words{texts: map[string]map[string]string{"en": {"x.a.one": "one of {0}", "x.a.other": "{0} of {1}", "x.b": "{1} {0} {2} {x}"}}}
	for _, c := range []struct {
		key  string
		args []any
		want string
	}{
		{"x.a", []any{1, "b"}, "one of 1"}, {"x.a", []any{2000, "{0}"}, "2,000 of {0}"}, {"x.b", []any{"a", "b"}, "b a {2} {x}"}, {"x.none", nil, "x.none"},
	} {
		if got := w.text("en", c.key, c.args...); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.key, c.args, got, c.want)
		}
	}
	if got := rich("a **b <i>** `c & d` *e"); got != "a <strong>b &lt;i&gt;</strong> <code>c &amp; d</code> *e" {
		t.Errorf("rich gives %q", got)
	}
}
