package mapping

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"

	"brazecdc/connector"
)

// Redact gives a row without what never_send names, for whoever keeps or shows rows: such columns are absent, paths inside JSON are cut out, and a column
// with such a path that is no JSON is absent too. The row itself is not changed. It may be called concurrently.
func (m *Mapper) Redact(r connector.Row) connector.Row {
	if len(m.cfg.NeverSend) == 0 || !r.Exists() {
		return r
	}
	m.mu.Lock() // what a pattern of topics means grows
	defer m.mu.Unlock()
	return redact(m.cfg.NeverSend, m.means, r)
}

// Redact is Mapper.Redact for who has no Mapper: a column that a list names of any table is absent.
func Redact(never []string, r connector.Row) connector.Row {
	if len(never) == 0 || !r.Exists() {
		return r
	}
	return redact(never, func(string, string) bool { return true }, r)
}

// redact takes out of a row what a list names; means tells whether the word before a column names a table.
func redact(never []string, means func(word, table string) bool, r connector.Row) connector.Row {
	out := connector.Row{Table: r.Table, Cells: slices.Clone(r.Cells)}
	for i := range out.Cells {
		c := &out.Cells[i]
		if c.State != connector.Set {
			continue
		}
		whole, below := banned(never, func(word string) bool { return means(word, r.Table.Name) }, r.Table.Columns[i].Name, func(int) {})
		switch {
		case whole:
			*c = connector.Cell{}
		case below != nil:
			if cut, ok := cutPaths(c.Raw, below); ok {
				*c = connector.Cell{State: connector.Set, Raw: cut}
			} else {
				*c = connector.Cell{}
			}
		}
	}
	return out
}

// means tells whether a word before a column in never_send names a table, or the topics of a model that has it.
func (m *Mapper) means(word, table string) bool {
	if called(word, table) {
		return true
	}
	return slices.ContainsFunc(m.models, func(mo *model) bool { return mo.info.On(table) && mo.named(word) })
}

// cutPaths takes paths out of a JSON text; false where it is none.
func cutPaths(text string, paths [][]string) (string, bool) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return "", false
	}
	if _, err := d.Token(); err != io.EOF {
		return "", false
	}
	cut(v, paths)
	b, err := json.Marshal(v)
	return string(b), err == nil
}

// cut follows the paths through objects, and through each object of an array.
func cut(v any, paths [][]string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			cut(e, paths)
		}
	case map[string]any:
		for key, e := range v {
			if below, whole := nested(paths, key); whole {
				delete(v, key)
			} else if below != nil {
				cut(e, below)
			}
		}
	}
}
