package config

import (
	"errors"

	"github.com/goccy/go-yaml"
)

// Edit is one change of the YAML text.
//
// Path is written as in faults: "braze.endpoint", "models[customers].fields.email". An item of a list is named by its name, group or attribute, by the
// text it is ("never_send[ssn]"), or by its place from 0 ("models[0]"); [+] appends one. A key that holds a dot or a bracket stands in quotes:
// models[customers].custom["a.b"]. What is missing on the way is made.
//
// Value is a string, bool, integer, float, []any, or yaml.MapSlice of these. A map or list takes the place of the old one, and what both have in common
// stays as it is written. Remove takes the key or the item out, and the map or list around it when that was its last.
type Edit struct {
	Path   string
	Value  any
	Remove bool
}

// Map is a short way to write an ordered map: keys and values by turns.
func Map(pairs ...any) yaml.MapSlice {
	out := make(yaml.MapSlice, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, yaml.MapItem{Key: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// Apply makes the edits, in their order, in the text. It moves only the bytes of what changes: comments, order and the writing of all else stay. The
// result is read again and must hold what was meant; else the error says why, and the text is to be edited by hand.
func Apply(text []byte, edits ...Edit) ([]byte, error) {
	if len(edits) == 0 {
		return text, nil
	}
	return nil, errors.New("the file cannot be edited in place yet; edit it by hand")
}
