package connector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
)

// knowledge is what diff may ask for.
type knowledge struct {
	// proven tells whether a before-image may be trusted for a field at this moment.
	proven func(*Field) bool
	// prints gives what Braze last accepted of the step's user by a model; ok is false where nothing is known. It is asked only where before-images do not decide.
	prints func(model int) (prints []Print, ok bool)
}

// diff decides what of a waiting step is sent, when it leaves its queue and no request of its user is open. It is pure but for what it asks. dst is reused for
// the fields that remain; merge says that objects among them hold only what changed. send is false where nothing has to be sent at all.
func diff(dst []Field, s *step, know knowledge) (fields []Field, merge, send bool) {
	fields = dst[:0]
	var parts []part
	exists := false // the profile: something of it was accepted
	for i := range s.fields {
		f := &s.fields[i]
		if f.Omit && !s.nulls {
			if s.overdue(f, know) {
				fields = append(fields, *f)
			}
			continue
		}
		if s.noProof || f.Again {
			fields = append(fields, *f)
			continue
		}
		trusted := f.Proof != NoProof && know.proven(f)
		if f.Proof == Unchanged && trusted {
			continue
		}
		if f.Proof == Changed && trusted && f.Def.Array != ArrayCollect {
			parts = fromOld(parts, len(fields), f, s.maybeSent)
			fields = append(fields, *f)
			continue
		}
		known, ok := know.prints(f.Def.Model)
		exists = exists || ok
		switch {
		case !ok || f.Varied:
			fields = append(fields, *f)
		case f.Def.Array == ArrayCollect:
			if fresh, any := f.news(known); any {
				fields = append(fields, fresh)
			}
		case !samePrints(known, f):
			parts = fromPrints(parts, len(fields), f, known)
			fields = append(fields, *f)
		}
	}
	merge = putParts(fields, parts)
	fields = withReset(fields, s, know)
	if len(fields) == 0 && s.creates && !s.updateOnly && !s.noProof && !exists && len(s.fields) == 0 {
		_, exists = know.prints(s.rows[0].model) // a row with nothing but its user: is the profile there?
	}
	return fields, merge, len(fields) > 0 || s.creates && !s.updateOnly && !exists
}

// withReset adds the state of consent that goes along with a new address, since Braze starts a new one as subscribed: an unsubscribe of the same row, or one
// of another model that Braze is known to have accepted.
func withReset(fields []Field, s *step, know knowledge) []Field {
	for i := range fields {
		state := fields[i].Def.Resets
		if state == nil || isNull(fields[i].JSON) {
			continue
		}
		place, there := slices.BinarySearchFunc(fields, state.Order, func(f Field, order int) int { return cmp.Compare(f.Def.Order, order) })
		if there {
			return fields
		}
		value := jsonUnsubscribed
		if j := slices.IndexFunc(s.fields, func(f Field) bool { return f.Def == state }); j >= 0 {
			value = s.fields[j].JSON
		} else if known, ok := know.prints(state.Model); ok {
			if sum, ok := printFor(known, fieldLeaf(state)); !ok || sum != sumOf(state, nil, jsonUnsubscribed) {
				return fields
			}
		} else {
			return fields
		}
		if bytes.Equal(value, jsonUnsubscribed) {
			fields = slices.Insert(fields, place, Field{Def: state, JSON: value})
		}
		return fields
	}
	return fields
}

var jsonUnsubscribed = []byte(`"unsubscribed"`)

// part is a field of which less than the whole can be sent.
type part struct {
	at    int
	json  []byte
	merge bool // it needs _merge_objects
}

// putParts puts parts in the place of whole values. _merge_objects holds for a whole object of attributes, so that none may be merged where another has to be
// replaced.
func putParts(fields []Field, parts []part) (merge bool) {
	if len(parts) == 0 {
		return false
	}
	replaces := false
	for i := range fields {
		f := &fields[i]
		if len(f.JSON) > 0 && f.JSON[0] == '{' && f.Def.Array != ArrayCollect && !slices.ContainsFunc(parts, func(p part) bool { return p.at == i }) {
			replaces = true
		}
	}
	for _, p := range parts {
		if p.merge && replaces {
			continue
		}
		fields[p.at].JSON = p.json
		merge = merge || p.merge
	}
	return merge
}

// fromOld gives what differs between a field's old value and its new one, where less than the whole may be sent.
func fromOld(parts []part, at int, f *Field, maybeSent bool) []part {
	if f.Old == nil || f.Varied {
		return parts
	}
	switch {
	case f.Def.Merge:
		old, ok := leaves(nil, leaf{}, *f.Old)
		if !ok {
			return parts
		}
		now, ok := leaves(nil, leaf{}, f.JSON)
		if !ok {
			return parts
		}
		was := make(map[string][]byte, len(old))
		for i := range old {
			was[string(old[i].path)] = old[i].json
		}
		var changed []leaf
		for _, l := range now {
			v, ok := was[string(l.path)]
			delete(was, string(l.path))
			if !ok || !bytes.Equal(v, l.json) {
				changed = append(changed, l)
			}
		}
		if len(was) == 0 && len(changed) < len(now) { // a member that is gone can only be taken away by replacing the whole
			return append(parts, part{at, nest(changed), true})
		}
	case f.Def.Array == ArrayAddRemove:
		if b := addRemove(*f.Old, f.JSON); b != nil {
			return append(parts, part{at, b, false})
		}
	case f.Def.Array == ArrayBy && !maybeSent: // to add an item twice makes two
		if b := byIdentifier(f.Def.By, *f.Old, f.JSON); b != nil {
			return append(parts, part{at, b, true})
		}
	}
	return parts
}

// fromPrints gives the leaves of an object that differ from what was accepted, unless one of those is gone.
func fromPrints(parts []part, at int, f *Field, known []Print) []part {
	if !f.Def.Merge {
		return parts
	}
	now, ok := leaves(nil, leaf{}, f.JSON)
	if !ok {
		return parts
	}
	of := printsIn(known, f.Def)
	var changed []leaf
	found := 0
	for _, l := range now {
		sum, ok := printFor(of, pathLeaf(f.Def, l.path))
		if ok {
			found++
		}
		if !ok || sum != sumOf(f.Def, l.path, l.json) {
			changed = append(changed, l)
		}
	}
	if found < len(of) || found == 0 || len(changed) == len(now) {
		return parts
	}
	return append(parts, part{at, nest(changed), true})
}

// nest makes an object of leaves, which are in the order of their paths.
func nest(ls []leaf) []byte {
	root := map[string]any{}
	for _, l := range ls {
		m := root
		for _, k := range l.keys[:len(l.keys)-1] {
			next, ok := m[k].(map[string]any)
			if !ok {
				next = map[string]any{}
				m[k] = next
			}
			m = next
		}
		m[l.keys[len(l.keys)-1]] = json.RawMessage(l.json)
	}
	return marshal(root)
}

// marshal is json.Marshal without escapes for HTML, of values that were made here.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return jsonNull
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// addRemove gives the operation between two arrays of unique scalars, nil where one operation does not do it: Braze appends what is added and knows no order
// beside that.
func addRemove(old, now []byte) []byte {
	var a, b []json.RawMessage
	if json.Unmarshal(old, &a) != nil || json.Unmarshal(now, &b) != nil || a == nil || b == nil {
		return nil
	}
	var c collection
	for _, v := range b {
		if !hasValue(a, v) {
			c.Add = append(c.Add, v)
		}
	}
	for _, v := range a {
		if !hasValue(b, v) {
			c.Remove = append(c.Remove, v)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(a), func(v json.RawMessage) bool { return !hasValue(b, v) })
	after := append(kept, c.Add...)
	if len(c.Add) > 0 && len(c.Remove) > 0 || !slices.EqualFunc(after, b, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) || len(after) == len(c.Add) {
		return nil
	}
	return c.json()
}

// byIdentifier gives the operations between two arrays of objects that a key tells apart, nil where the whole has to go: an item without that key or with one
// twice, a member that is gone, another order, or nothing that stays.
func byIdentifier(key string, old, now []byte) []byte {
	a, order, ok := itemsBy(key, old)
	if !ok {
		return nil
	}
	b, after, ok := itemsBy(key, now)
	if !ok {
		return nil
	}
	type update struct {
		Key   string          `json:"$identifier_key"`
		Value json.RawMessage `json:"$identifier_value"`
		New   map[string]any  `json:"$new_object,omitempty"`
	}
	var ops struct {
		Add    []json.RawMessage `json:"$add,omitempty"`
		Update []update          `json:"$update,omitempty"`
		Remove []update          `json:"$remove,omitempty"`
	}
	var kept []string
	for _, id := range order {
		if _, stays := b[id]; stays {
			kept = append(kept, id)
			continue
		}
		ops.Remove = append(ops.Remove, update{Key: key, Value: json.RawMessage(id)})
	}
	for _, id := range after {
		was, stays := a[id]
		if !stays {
			kept = append(kept, id)
			ops.Add = append(ops.Add, marshal(b[id]))
			continue
		}
		changed := map[string]any{}
		for k, v := range b[id] {
			if w, ok := was[k]; !ok || !bytes.Equal(w, v) {
				changed[k] = v
			}
			delete(was, k)
		}
		if len(was) > 0 {
			return nil
		}
		if len(changed) > 0 {
			ops.Update = append(ops.Update, update{key, json.RawMessage(id), changed})
		}
	}
	if !slices.Equal(kept, after) || len(ops.Add) == len(after) || len(ops.Add)+len(ops.Update)+len(ops.Remove) == 0 {
		return nil
	}
	return marshal(ops)
}

// itemsBy reads an array of objects by the value of a key.
func itemsBy(key string, b []byte) (items map[string]map[string]json.RawMessage, order []string, ok bool) {
	var list []map[string]json.RawMessage
	if json.Unmarshal(b, &list) != nil || list == nil {
		return nil, nil, false
	}
	items = make(map[string]map[string]json.RawMessage, len(list))
	for _, m := range list {
		id, has := m[key]
		if _, twice := items[string(id)]; !has || twice || string(id) == "null" {
			return nil, nil, false
		}
		items[string(id)] = m
		order = append(order, string(id))
	}
	return items, order, true
}
