package web

import (
	"embed"
	"fmt"
	"html"
	"html/template"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/text/language"
)

//go:embed lang
var langFiles embed.FS

// languages are those the pages speak, the first where a browser asks for none of them.
var languages = []string{"en", "de"}

// words is the catalogue of every text on the pages.
type words struct {
	texts map[string]map[string]string // by language, then key
	match language.Matcher
}

// loadWords reads the catalogue: one folder a language, one file a family, flat keys.
func loadWords() (*words, error) {
	w := &words{texts: map[string]map[string]string{}}
	var tags []language.Tag
	for _, lang := range languages {
		tags = append(tags, language.Make(lang))
		all := map[string]string{}
		files, err := fs.Glob(langFiles, "lang/"+lang+"/*.yaml")
		if err != nil {
			return nil, fmt.Errorf("list the texts of %s: %w", lang, err)
		}
		for _, name := range files {
			b, err := langFiles.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			var texts map[string]string
			if err := yaml.Unmarshal(b, &texts); err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			family := strings.TrimSuffix(path.Base(name), ".yaml")
			for key, text := range texts {
				if !strings.HasPrefix(key, family+".") {
					return nil, fmt.Errorf("read %s: the key %s does not begin with %s", name, key, family)
				}
				all[key] = text
			}
		}
		w.texts[lang] = all
	}
	w.match = language.NewMatcher(tags)
	return w, nil
}

// choose picks the language: what the user chose before, else what the browser asks for.
func (w *words) choose(chosen, accept string) string {
	if _, ok := w.texts[chosen]; ok {
		return chosen
	}
	if len(accept) > 200 {
		accept = ""
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return languages[0]
	}
	_, i, _ := w.match.Match(tags...)
	return languages[i]
}

// text gives a text with {0}, {1}, ... filled in; numbers as the language writes them. Where the key has plural forms, the first argument, a number,
// chooses. A key without a text is its own text.
func (w *words) text(lang, key string, args ...any) string {
	texts := w.texts[lang]
	s, ok := texts[key]
	if !ok && len(args) > 0 {
		form := ".other"
		if n, isNumber := asFloat(args[0]); isNumber && n == 1 {
			form = ".one"
		}
		s, ok = texts[key+form]
	}
	if !ok {
		return key
	}
	return fill(s, func(i int) (string, bool) {
		if i >= len(args) {
			return "", false
		}
		return formatArg(lang, args[i]), true
	})
}

// fill replaces {0}, {1}, ... in one pass, so that an argument that looks like a placeholder stays as it is.
func fill(s string, arg func(int) (string, bool)) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		num, after, closed := strings.Cut(rest, "}")
		i, err := strconv.Atoi(num)
		if closed && err == nil {
			if v, ok := arg(i); ok {
				b.WriteString(v)
				s = after
				continue
			}
		}
		b.WriteString("{")
		s = rest
	}
}

// rich is text with **bold** and `code`, everything else escaped.
func rich(s string) template.HTML {
	var b strings.Builder
	for _, mark := range []struct{ sign, tag string }{{"**", "strong"}, {"`", "code"}} {
		parts := strings.Split(s, mark.sign)
		if mark.sign == "**" {
			for i := range parts {
				parts[i] = html.EscapeString(parts[i])
			}
		}
		b.Reset()
		for i, p := range parts {
			if i%2 == 1 && i < len(parts)-1 {
				p = "<" + mark.tag + ">" + p + "</" + mark.tag + ">"
			} else if i%2 == 1 {
				p = mark.sign + p
			}
			b.WriteString(p)
		}
		s = b.String()
	}
	return template.HTML(s) //nolint:gosec // every part was escaped above
}
