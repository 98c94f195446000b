package connector

import (
	"encoding/json"
	"slices"
)

// An array that several rows make up together (ArrayCollect) is never known as a whole: a row adds its value, and takes it out when it goes. Its field's JSON
// is {"add": [...], "remove": [...]} with one of the two or both (Braze docs, "Array custom attributes"). Each value is a leaf.
type collection struct {
	Add    []json.RawMessage `json:"add,omitempty"`
	Remove []json.RawMessage `json:"remove,omitempty"`
}

func readCollection(b []byte) (c collection) {
	if json.Unmarshal(b, &c) != nil {
		return collection{}
	}
	return c
}

func (c *collection) json() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		return jsonNull
	}
	return b
}

func hasValue(list []json.RawMessage, v json.RawMessage) bool {
	return slices.ContainsFunc(list, func(o json.RawMessage) bool { return string(o) == string(v) })
}

// foldCollections merges what a newer change adds and takes out into an older one's: of each value the newer word counts.
func foldCollections(older, newer []byte) []byte {
	a, b := readCollection(older), readCollection(newer)
	said := func(v json.RawMessage) bool { return hasValue(b.Add, v) || hasValue(b.Remove, v) }
	b.Add = append(slices.DeleteFunc(a.Add, said), b.Add...)
	b.Remove = append(slices.DeleteFunc(a.Remove, said), b.Remove...)
	return b.json()
}

var valueIn, valueOut = []byte("in"), []byte("out")

// collected appends the prints of the values that a field adds or takes out.
func collected(dst []Print, f *Field) []Print {
	c := readCollection(f.JSON)
	for _, v := range c.Add {
		dst = append(dst, Print{pathLeaf(f.Def, v), sumOf(f.Def, v, valueIn)})
	}
	for _, v := range c.Remove {
		dst = append(dst, Print{pathLeaf(f.Def, v), sumOf(f.Def, v, valueOut)})
	}
	return dst
}

// touches tells whether a field says something of a leaf.
func touches(f *Field, leaf uint32) bool {
	return slices.ContainsFunc(collected(nil, f), func(p Print) bool { return p.Leaf == leaf })
}

// news gives the field with only those values of which it is not known that Braze has them so; ok is false where none is left.
func (f Field) news(known []Print) (_ Field, ok bool) {
	c := readCollection(f.JSON)
	fresh := func(list []json.RawMessage, how []byte) (out []json.RawMessage) {
		for _, v := range list {
			if sum, ok := printFor(known, pathLeaf(f.Def, v)); !ok || sum != sumOf(f.Def, v, how) {
				out = append(out, v)
			}
		}
		return out
	}
	c.Add, c.Remove = fresh(c.Add, valueIn), fresh(c.Remove, valueOut)
	f.JSON = c.json()
	return f, len(c.Add)+len(c.Remove) > 0
}
