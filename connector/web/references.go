package web

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// references are the fields whose value names a variable or a file: by their name in Braze, what the configuration has in its place. What a variable or a file
// holds may be a secret, so that pages show the reference wherever they show what was, or would be, sent.
type references map[string]string

// namedReferences remembers those of texts, by their hash.
type namedReferences struct {
	mu sync.Mutex
	of map[string]references
}

// mostReferences bounds how many texts' references are remembered.
const mostReferences = 64

// referencesOf finds them in a text.
func (s *Server) referencesOf(text []byte) references {
	if !bytes.Contains(text, []byte("${")) {
		return nil
	}
	key := draft.Hash(text)
	s.named.mu.Lock()
	defer s.named.mu.Unlock()
	if known, ok := s.named.of[key]; ok {
		return known
	}
	out := references{}
	if cfg, _ := config.Written(s.cfg.File, text, os.LookupEnv, config.SecretFiles(s.cfg.File)); cfg != nil {
		for i := range cfg.Models {
			out.add(&cfg.Models[i])
		}
	}
	if s.named.of == nil || len(s.named.of) >= mostReferences {
		s.named.of = map[string]references{}
	}
	s.named.of[key] = out
	return out
}

func (h references) add(m *connector.Model) {
	value := func(name string, v connector.ValueFrom, def string) {
		for _, text := range []string{constantText(v.Value), v.Expr, constantText(def)} {
			if strings.Contains(text, "${") {
				h[strings.TrimSpace(name)] = text
				return
			}
		}
	}
	for _, f := range m.Fields {
		value(f.Name, f.ValueFrom, f.Default)
	}
	for _, f := range m.Custom {
		value(f.Name, f.ValueFrom, f.Default)
	}
	var properties func(list []connector.PropertyMap)
	properties = func(list []connector.PropertyMap) {
		for _, p := range list {
			value(p.Name, p.ValueFrom, p.Default)
			properties(p.Fields)
		}
	}
	properties(m.Event.Properties)
	value("currency", m.Event.Currency, "")
	value("price", m.Event.Price, "")
	value("quantity", m.Event.Quantity, "")
}

// references are those of the file, and of what it said before: what was sent then is shown too.
func (r *request) references() references {
	out := references{}
	add := func(text []byte) {
		for name, text := range r.s.referencesOf(text) {
			out[name] = text
		}
	}
	if r.s.cfg.Draft == nil {
		return out
	}
	versions, err := r.s.cfg.Draft.Versions()
	if err == nil {
		for _, v := range versions {
			if text, err := r.s.cfg.Draft.Version(v.N); err == nil {
				add(text)
			}
		}
	}
	if v, err := r.draftView(); err == nil {
		add(v.File)
		add(v.Text)
	}
	return out
}

// value is what is shown of a field's encoded value.
func (h references) value(name, js string) string {
	text, ok := h[name]
	if !ok || js == "" || js == "null" {
		return js
	}
	return strconv.Quote(text)
}

// body is what is shown of an encoded call, or a part of one: members of these names hold their reference, at any depth.
func (h references) body(js string) string {
	if len(h) == 0 || js == "" {
		return js
	}
	d := json.NewDecoder(strings.NewReader(js))
	d.UseNumber()
	var b bytes.Buffer
	if err := h.copy(&b, d); err != nil {
		return "" // what can't be read can't be judged
	}
	return b.String()
}

// copy writes the next value of a decoder.
func (h references) copy(b *bytes.Buffer, d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return encode(b, t)
	}
	b.WriteRune(rune(open))
	for first := true; d.More(); first = false {
		if !first {
			b.WriteByte(',')
		}
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if err := encode(b, name); err != nil {
				return err
			}
			b.WriteByte(':')
			if text, ok := h[name.(string)]; ok {
				var gone json.RawMessage
				if err := d.Decode(&gone); err != nil {
					return err
				}
				if string(gone) == "null" {
					b.Write(gone)
				} else if err := encode(b, text); err != nil {
					return err
				}
				continue
			}
		}
		if err := h.copy(b, d); err != nil {
			return err
		}
	}
	end, err := d.Token()
	if err != nil {
		return err
	}
	b.WriteRune(rune(end.(json.Delim)))
	return nil
}

// encode writes a scalar without escapes that only pages of HTML need.
func encode(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line's end
	return nil
}
