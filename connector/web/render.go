package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed templates
var templateFiles embed.FS

// pageSet is the templates, each parsed once, whose helpers look at the request of the moment. One request at a time uses a set.
type pageSet struct {
	r     *request
	parts *template.Template            // layout and *_parts.html
	pages map[string]*template.Template // by file name without .html
}

// pageSets keeps a few sets ready.
type pageSets struct {
	s    *Server
	idle chan *pageSet
}

const idleSets = 2

func newPageSets(s *Server) (*pageSets, error) {
	p := &pageSets{s: s, idle: make(chan *pageSet, idleSets)}
	set, err := p.parse()
	if err != nil {
		return nil, err
	}
	p.put(set)
	return p, nil
}

func (p *pageSets) take(r *request) (*pageSet, error) {
	var set *pageSet
	select {
	case set = <-p.idle:
	default:
		var err error
		if set, err = p.parse(); err != nil {
			return nil, err
		}
	}
	set.r = r
	return set, nil
}

func (p *pageSets) put(set *pageSet) {
	set.r = nil
	select {
	case p.idle <- set:
	default: // enough are kept
	}
}

func (p *pageSets) parse() (*pageSet, error) {
	set := &pageSet{pages: map[string]*template.Template{}}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("list the templates: %w", err)
	}
	set.parts = template.New("parts").Funcs(set.helpers()).Option("missingkey=error")
	for _, name := range files {
		base := path.Base(name)
		if base != "layout.html" && !strings.HasSuffix(base, "_parts.html") {
			continue // parsed when it is first shown: a copy of the parts for each page takes memory that the stream has better use for
		}
		if err := parseInto(set.parts, name); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// page gives a page's template.
func (set *pageSet) page(name string) (*template.Template, error) {
	if t := set.pages[name]; t != nil {
		return t, nil
	}
	t, err := set.parts.Clone()
	if err != nil {
		return nil, fmt.Errorf("copy the layout for %s: %w", name, err)
	}
	if err := parseInto(t, "templates/"+name+".html"); err != nil {
		return nil, err
	}
	set.pages[name] = t
	return t, nil
}

func parseInto(t *template.Template, name string) error {
	b, err := templateFiles.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if _, err := t.New(path.Base(name)).Parse(string(b)); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	return nil
}

// helpers are what templates can call. They look at the request that uses the set.
func (set *pageSet) helpers() template.FuncMap {
	lang := func() string { return set.r.Lang }
	return template.FuncMap{
		"t":    func(key string, args ...any) string { return set.r.t(key, args...) },
		"rich": func(key string, args ...any) template.HTML { return rich(set.r.t(key, args...)) },
		"n":    func(v any) string { return formatNumber(lang(), v) },
		"bytes": func(v any) string {
			return formatBytes(lang(), v)
		},
		"dur":   func(d time.Duration) string { return formatDuration(lang(), d) },
		"ago":   func(t time.Time) template.HTML { return set.r.ago(t) },
		"when":  func(t time.Time) template.HTML { return set.r.when(t) },
		"there": func(t time.Time) template.HTML { return set.r.whenThere(t) },
		"csrf": func() template.HTML {
			return template.HTML(`<input type="hidden" name="csrf" value="` + set.r.token() + `">`) //nolint:gosec // hexadecimal digits
		},
		"mask":    func(v string) string { return set.r.mask(v) },
		"fix":     func(v string) fixShown { return set.r.fix(v) },
		"capital": capital,
		"said":    func(v string) string { return set.r.said(v) },
		"reason":  func(v string) string { return set.r.reasonText(v) },
		"ref":     func(id string) string { return set.r.ref(id) },
		"lang":    lang,
		"editor":  func() bool { return set.r.editor() },
		"frame":   func() *frame { return set.r.frame() },
		"asset":   func(name string) string { return set.r.s.files.url(name) },
		"problem": func(field string) string { return set.r.problemAt(field) },
		"twin":    func(line string) string { return set.r.twin(line) },
		"ofDraft": func(line string) string { return set.r.twinOf(line) },
		"dict":    dict,
		"list":    func(v ...any) []any { return v },
		"join":    strings.Join,
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
	}
}

// dict makes a map for a part that takes several values: {{template "row" dict "Name" .Name "Open" true}}.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes pairs, not %d values", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict takes names, not %v", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// ago words how long ago a moment is, with the moment itself in the tooltip; a dash for none.
func (r *request) ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return r.timeTag(t, r.s.words.formatAgo(r.Lang, r.s.now(), t))
}

// when writes a moment in the user's zone; a dash for none.
func (r *request) when(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return r.timeTag(t, formatTime(r.Lang, t.In(r.Zone)))
}

// whenThere is a moment by the clock of its own time zone, which is named where it differs from the reader's.
func (r *request) whenThere(t time.Time) template.HTML {
	there, here := t.Format("-0700"), t.In(r.Zone).Format("-0700")
	if t.IsZero() || there == here {
		return r.when(t)
	}
	return r.timeTag(t, formatTime(r.Lang, t)+" "+t.Location().String())
}

func (r *request) timeTag(t time.Time, text string) template.HTML {
	iso := t.In(r.Zone).Format(time.RFC3339)
	return template.HTML(`<time datetime="` + iso + `" title="` + iso + `">` + template.HTMLEscapeString(text) + `</time>`) //nolint:gosec // escaped
}

func (r *request) problemAt(field string) string {
	for _, p := range r.problems {
		if p.Field == field && field != "" {
			return p.Text
		}
	}
	return ""
}

// render answers with a page: the template's content within the layout, under a title of the catalogue (or the text itself, where it is no key).
func (r *request) render(status int, name, title string, data any) error {
	set, err := r.s.pages.take(r)
	if err != nil {
		return err
	}
	defer r.s.pages.put(set)
	t, err := set.page(name)
	if err != nil {
		return err
	}
	r.title, r.status = r.t(title), status
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	r.send(status, b.Bytes())
	return nil
}

// partial answers with one part of a *_parts.html file alone, for a module that puts it into the page.
func (r *request) partial(name string, data any) error {
	text, err := r.partialText(name, data)
	if err != nil {
		return err
	}
	r.send(r.status, []byte(text))
	return nil
}

// partialText renders one part.
func (r *request) partialText(name string, data any) (string, error) {
	set, err := r.s.pages.take(r)
	if err != nil {
		return "", err
	}
	defer r.s.pages.put(set)
	// The first page executed keeps set.parts itself free to be copied, so a part is executed from a page's copy.
	t, err := set.page("error")
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return "", fmt.Errorf("render the part %s: %w", name, err)
	}
	return b.String(), nil
}

// gzipFrom is the size from which a page is worth packing.
const gzipFrom = 1400

func (r *request) send(status int, body []byte) {
	h := r.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", r.Lang)
	h.Set("Vary", "Accept-Encoding, Accept-Language, Cookie")
	if len(body) >= gzipFrom && acceptsGzip(r.Request) {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(body); err == nil && w.Close() == nil {
			h.Set("Content-Encoding", "gzip")
			body = z.Bytes()
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	r.W.WriteHeader(status)
	_, _ = r.W.Write(body) // a client that went away can't be told
}

// json answers with a value, for a module.
func (r *request) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	r.W.Header().Set("Content-Type", "application/json")
	r.W.WriteHeader(status)
	_, _ = r.W.Write(b) // a client that went away can't be told
	return nil
}
