package mapping

import (
	"encoding/json"
	"slices"

	"brazecdc/connector"
)

// eachOf makes the array of an each out of a column that holds JSON.
func (j *job) eachOf(pp *propertyPlan, row connector.Row) (out []byte, oc outcome, column string) {
	v, there, err := row.Value(pp.value.col)
	switch {
	case !there:
		return nil, notThere, pp.each.column
	case err != nil:
		j.note(&pp.value, "its column cannot be decoded", false)
		return nil, skipped, ""
	case v.Kind == connector.KindNull:
		return nil, skipped, ""
	}
	var items []json.RawMessage
	switch v.Kind {
	case connector.KindJSON, connector.KindText:
		src := v.Str
		if t, ok := jsonText(src); ok {
			src = t // JSON inside of a JSON string
		}
		if json.Unmarshal([]byte(src), &items) != nil {
			j.note(&pp.value, noteEach, false)
			return nil, skipped, ""
		}
	case connector.KindArray:
		for _, e := range v.List {
			if e.Kind == connector.KindJSON {
				items = append(items, json.RawMessage(e.Str))
			}
		}
		if len(items) < len(v.List) {
			j.note(&pp.value, noteEach, false)
		}
	default:
		j.note(&pp.value, noteEach, false)
		return nil, skipped, ""
	}
	if items == nil {
		return nil, skipped, "" // JSON's own null
	}
	return j.objects(pp.each, items), encoded, ""
}

const noteEach = "not an array of objects"

// objects makes the array of an each's objects; what is no object is left out.
func (j *job) objects(e *each, items []json.RawMessage) []byte {
	label := &field{label: e.label}
	b := []byte{'['}
	for _, item := range items {
		var members map[string]json.RawMessage
		if json.Unmarshal(item, &members) != nil || members == nil {
			j.noteField(label, noteEach, false)
			continue
		}
		o := []byte{'{'}
		for _, p := range e.properties {
			if p.each == nil {
				if v := j.memberValue(p.field, members); v != nil {
					o = appendMember(o, p.key, v)
				}
				continue
			}
			var inner []json.RawMessage
			if raw, ok := members[p.each.column]; ok && json.Unmarshal(raw, &inner) == nil && inner != nil {
				o = appendMember(o, p.key, j.objects(p.each, inner))
			} else if ok {
				j.noteField(label, p.each.label+": "+noteEach, false)
			}
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, o...), '}')
	}
	return append(b, ']')
}

// memberValue encodes a property of an each's object, nil where it has none.
func (j *job) memberValue(f *field, members map[string]json.RawMessage) []byte {
	value := func(name string) connector.Value {
		raw, ok := members[name]
		if !ok || string(raw) == "null" {
			return connector.Value{}
		}
		return connector.Value{Kind: connector.KindJSON, Str: string(raw)}
	}
	var v connector.Value
	switch {
	case f.constant != nil:
		return slices.Clone(f.constant)
	case f.prog != nil:
		g, err := f.prog.evaluate(func(n int) (connector.Value, bool, error) { return value(f.prog.columns[n]), true, nil }, nil)
		if err == nil {
			v, err = fromGo(g)
		}
		if err != nil {
			j.noteField(f, err.Error(), false)
			return nil
		}
	default:
		v = value(f.column)
	}
	out, oc, _ := j.encodeValue(f, v, nil, false)
	if oc != encoded {
		return nil
	}
	return out
}
