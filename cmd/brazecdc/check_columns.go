package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// columns looks at the values of a topic's newest rows: whether they are of the types that the models name, and, where no schema describes them, whether they
// look like something else than they pass for.
func (s *survey) columns(c *checker, cfg *config.Config, src *topics, topic string) {
	typed := map[string]string{} // by column, the type that counts
	for _, i := range src.feeds.models(topic) {
		m := &cfg.Models[i]
		for _, name := range slices.Sorted(maps.Keys(m.ColumnTypes)) {
			if before, ok := typed[name]; ok && before != m.ColumnTypes[name] {
				c.add(mustFix, "source", fmt.Sprintf("models name two types for column %s of topic %s: %s and %s", name, topic, before, m.ColumnTypes[name]), "keep one of the two")
			}
			typed[name] = m.ColumnTypes[name]
			s.fits(c, m, topic, name)
		}
	}
	if s.described() {
		return
	}
	for _, i := range src.feeds.models(topic) {
		m := &cfg.Models[i]
		told := map[string]bool{}
		for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
			if _, ok := typed[f.Column]; ok || f.Column == "" || told[f.Column] {
				continue
			}
			if looks, fix := s.looksLike(&f); looks != "" {
				told[f.Column] = true
				c.add(mayHurt, "source", fmt.Sprintf("model %s: column %s of topic %s %s, and no schema tells: it is sent as it stands", m.Name, f.Column, topic, looks),
					fmt.Sprintf("say its type in the model, such as columns: {%s: %q}", f.Column, fix))
			}
		}
	}
}

// described tells whether records brought their columns' types along.
func (s *survey) described() bool {
	return s.registered || slices.ContainsFunc(s.formats, func(f string) bool { return f != "Debezium JSON" && f != "JSON rows" })
}

// fits looks whether the values of a column can be read as the type that the model names.
func (s *survey) fits(c *checker, m *connector.Model, topic, name string) {
	if s.table.Column(name) < 0 {
		c.add(mayHurt, "source", fmt.Sprintf("model %s: columns names %s, which the newest row of topic %s does not have", m.Name, name, topic), "write the column's name as the records do, or remove it")
		return
	}
	bad, n, last := 0, 0, error(nil)
	for _, row := range s.images {
		if i := row.Table.Column(name); i >= 0 && row.Cells[i].State == connector.Set {
			n++
			if _, _, err := row.Value(i); err != nil {
				bad++
				last = err
			}
		}
	}
	if bad > 0 {
		c.add(mustFix, "source", fmt.Sprintf("model %s: %d of the newest %d values of column %s of topic %s are not of the type %q: %v", m.Name, bad, n, name, topic, m.ColumnTypes[name], last),
			"name the type, and behind it how it is encoded (ms, us, ns, base64, hex, text)")
	}
}

// values are the set values of a column, decoded.
func (s *survey) values(name string) (out []connector.Value) {
	for _, row := range s.images {
		i := row.Table.Column(name)
		if i < 0 {
			continue
		}
		if v, ok, err := row.Value(i); err == nil && ok && v.Kind != connector.KindNull {
			out = append(out, v)
		}
	}
	return out
}

// looksLike tells what the values of a field's column look like, and the type to name; empty where they look like what they are.
func (s *survey) looksLike(f *connector.FieldMap) (looks, typ string) {
	values := s.values(f.Column)
	if len(values) == 0 {
		return "", ""
	}
	all := func(is func(v connector.Value) bool) bool {
		return !slices.ContainsFunc(values, func(v connector.Value) bool { return !is(v) })
	}
	within := func(low, high int64) bool {
		return all(func(v connector.Value) bool { return v.Kind == connector.KindInt && v.Int >= low && v.Int < high })
	}
	switch {
	case all(isBase64) && slices.ContainsFunc(values, func(v connector.Value) bool { return strings.ContainsAny(v.Str, "=+/") }):
		return "looks like numbers or bytes in base64, as Debezium writes numeric and bytea", "numeric(12,2)"
	case within(1e14, 1e16):
		return "looks like timestamps in microseconds", "timestamp"
	case within(1e11, 1e13):
		return "looks like timestamps in milliseconds", "timestamp(3)"
	case within(1e17, 1<<62):
		return "looks like timestamps in nanoseconds", "timestamp ns"
	case within(-60_000, 100_000) && (f.Name == "dob" || f.Type == "time" || dateName.MatchString(f.Column)):
		return "looks like dates in days since 1970", "date"
	}
	return "", ""
}

// dateName is what columns of dates are often called.
var dateName = regexp.MustCompile(`(?i)(date|birth|born|dob|(^|_)day)|_on$`)

// isBase64 tells whether a text is bytes in base64, padded, and short enough for a number.
func isBase64(v connector.Value) bool {
	if v.Kind != connector.KindText || v.Str == "" || len(v.Str) > 64 {
		return false
	}
	_, err := base64.StdEncoding.Strict().DecodeString(v.Str)
	return err == nil
}
