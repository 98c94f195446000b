package connector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"hash/fnv"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A fingerprint stands for one leaf of what Braze last accepted of a user by one model. A field is one leaf; of an object whose leaves are merged one by
// one, each member that is no object is. The upper 12 bits of Print.Leaf say where to look for a field, the lower 20 for a path inside it. Print.Sum is of the
// field's name and settings, the path and the value: what stands at a place by accident is never taken for what is looked for. Leaves of one place are not
// remembered: that costs calls.
const (
	pathBits = 20
	pathMask = 1<<pathBits - 1
)

// placeFields gives the fields of a model their places. They stay the same as long as the model does; a field that comes may move few others, of which nothing
// is known then.
func placeFields(fields []*FieldDef) {
	taken := map[uint32]bool{}
	for _, d := range fields {
		for salt := uint64(0); ; salt++ {
			place := uint32(mix(d.Hash+salt*0x9e3779b97f4a7c15+hash64([]byte(d.Name)))) &^ pathMask
			if !taken[place] || salt > 1<<14 {
				taken[place] = true
				d.place = place
				break
			}
		}
	}
}

func hash64(parts ...[]byte) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash takes everything
	}
	return h.Sum64()
}

// mix spreads what fnv leaves uneven over all bits.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// fieldLeaf is the Leaf of a field as a whole.
func fieldLeaf(d *FieldDef) uint32 { return d.place }

func pathLeaf(d *FieldDef, path []byte) uint32 {
	return d.place | uint32(mix(hash64(path)))&pathMask
}

// sumOf is the Sum of a leaf; path is empty for a field as a whole. It is stored: another one makes another cacheFormat.
func sumOf(d *FieldDef, path, value []byte) uint64 {
	h := mix(d.Hash*0x9e3779b97f4a7c15 + xxhash.Sum64(value))
	if len(path) > 0 {
		h = mix(h*0x9e3779b97f4a7c15 + xxhash.Sum64(path))
	}
	return h
}

// leaf is one member of a nested object: path holds its keys, each behind a zero byte.
type leaf struct {
	path []byte
	keys []string
	json []byte
}

// leaves takes an object apart. ok is false for what is no object, or an empty one.
func leaves(dst []leaf, prefix leaf, b []byte) (_ []leaf, ok bool) {
	if len(b) < 2 || b[0] != '{' {
		return dst, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(b, &members) != nil || len(members) == 0 {
		return dst, false
	}
	names := make([]string, 0, len(members))
	for k := range members {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		l := leaf{path: append(append(bytes.Clone(prefix.path), 0), k...), keys: append(slices.Clip(prefix.keys), k), json: members[k]}
		if deeper, ok := leaves(dst, l, members[k]); ok {
			dst = deeper
			continue
		}
		dst = append(dst, l)
	}
	return dst, true
}

// printsOf appends the fingerprints of a field's value.
func printsOf(dst []Print, f *Field) []Print {
	if f.Def.Merge {
		if ls, ok := leaves(nil, leaf{}, f.JSON); ok {
			for i := range ls {
				dst = append(dst, Print{pathLeaf(f.Def, ls[i].path), sumOf(f.Def, ls[i].path, ls[i].json)})
			}
			return dst
		}
	}
	if f.Def.Array == ArrayCollect {
		return collected(dst, f)
	}
	return append(dst, Print{fieldLeaf(f.Def), sumOf(f.Def, nil, f.JSON)})
}

// printFor finds a leaf.
func printFor(prints []Print, leaf uint32) (sum uint64, ok bool) {
	i, ok := slices.BinarySearchFunc(prints, leaf, func(p Print, l uint32) int { return cmp.Compare(p.Leaf, l) })
	if !ok {
		return 0, false
	}
	return prints[i].Sum, true
}

// printsIn gives the prints of one field: they stand together.
func printsIn(prints []Print, d *FieldDef) []Print {
	from, _ := slices.BinarySearchFunc(prints, fieldLeaf(d), func(p Print, l uint32) int {
		if p.Leaf < l {
			return -1
		}
		return 1
	})
	to := from
	for to < len(prints) && prints[to].Leaf&^pathMask == fieldLeaf(d) {
		to++
	}
	return prints[from:to]
}

// samePrints tells whether a field's value is what the prints stand for, all of it.
func samePrints(known []Print, f *Field) bool {
	if f.Def.Merge {
		var buf [16]Print
		now := printsOf(buf[:0], f)
		of := printsIn(known, f.Def)
		if len(of) != len(now) {
			return false
		}
		for _, p := range now {
			if sum, ok := printFor(of, p.Leaf); !ok || sum != p.Sum {
				return false
			}
		}
		return true
	}
	sum, ok := printFor(known, fieldLeaf(f.Def))
	return ok && sum == sumOf(f.Def, nil, f.JSON)
}

// overlay appends to room what is known after fields of a model were accepted: old but for these fields, and theirs, sorted. Leaves that stand twice are left
// out. What is known is given by itself, and with room.
func overlay(room, old []Print, fields []Field, model int, nulls bool) (known, all []Print) {
	if room == nil {
		room = make([]Print, 0, len(old)+len(fields)) // nil would say that nothing is known
	}
	from := len(room)
	out := room
	for i := range fields {
		if f := &fields[i]; !f.Omit || nulls {
			out = printsOf(out, f)
		}
	}
	if len(old) > 0 {
		out = append(out, without(old, fields, model)...)
	}
	room, out = out, out[from:]
	sortPrints(out)
	n := 0
	for i := 0; i < len(out); {
		j := i + 1
		for j < len(out) && out[j].Leaf == out[i].Leaf {
			j++
		}
		if j == i+1 {
			out[n] = out[i]
			n++
		}
		i = j
	}
	return out[:n:n], room[:from+n]
}

// fewPrints is up to how many are sorted in place, which most users are: a call for each comparison takes longer than all else here.
const fewPrints = 24

func sortPrints(prints []Print) {
	if len(prints) > fewPrints {
		slices.SortFunc(prints, func(a, b Print) int { return cmp.Compare(a.Leaf, b.Leaf) })
		return
	}
	for i := 1; i < len(prints); i++ {
		p, j := prints[i], i
		for ; j > 0 && prints[j-1].Leaf > p.Leaf; j-- {
			prints[j] = prints[j-1]
		}
		prints[j] = p
	}
}

// without gives the prints that are not of a model's fields among these.
func without(prints []Print, fields []Field, model int) []Print {
	var out []Print
	for _, p := range prints {
		named := false
		for i := range fields {
			f := &fields[i]
			if named = f.Def.Model == model && fieldLeaf(f.Def) == p.Leaf&^pathMask && (f.Def.Array != ArrayCollect || touches(f, p.Leaf)); named {
				break
			}
		}
		if !named {
			out = append(out, p)
		}
	}
	return out
}
