package connector

import (
	"fmt"
	"strings"
)

// JoinKey makes the ID of a Key from its key columns' texts. One column stands as it is; of several each is preceded by its length, so that different keys
// never give the same ID.
func JoinKey(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return b.String()
}

// KeyOf is the key of a row that was read, as a Change of it would carry it.
func KeyOf(r Row) Key {
	var parts []string
	for _, e := range keyOf(r) {
		parts = append(parts, e.Text)
	}
	return Key{Table: r.Table.Name, ID: JoinKey(parts)}
}

// SplitKey is the reverse of JoinKey for a table: which column has which text.
func SplitKey(t *Table, id string) ([]Equal, error) {
	var names []string
	for i := range t.Columns {
		if t.Columns[i].Key {
			names = append(names, t.Columns[i].Name)
		}
	}
	switch len(names) {
	case 0:
		return nil, fmt.Errorf("table %s has no key", t.Name)
	case 1:
		return []Equal{{Column: names[0], Text: id}}, nil
	}
	var where []Equal
	rest := id
	for _, name := range names {
		var n int
		head, tail, ok := strings.Cut(rest, ":")
		if _, err := fmt.Sscanf(head, "%d", &n); !ok || err != nil || n < 0 || n > len(tail) {
			return nil, fmt.Errorf("key %q does not fit the %d key columns of %s; it looks like %q", id, len(names), t.Name, JoinKey(names))
		}
		where = append(where, Equal{Column: name, Text: tail[:n]})
		rest = tail[n:]
	}
	if rest != "" {
		return nil, fmt.Errorf("key %q does not fit the %d key columns of %s", id, len(names), t.Name)
	}
	return where, nil
}
