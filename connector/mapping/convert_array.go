package mapping

import (
	"bytes"
	"encoding/json"

	"brazecdc/connector"
)

// operator tells whether Braze would take an object for one of its operations on numbers and arrays (Braze docs, "User attributes object"): it has no other
// keys than theirs.
func operator(b []byte) bool {
	if !bytes.HasPrefix(b, []byte(`{"inc":`)) && !bytes.HasPrefix(b, []byte(`{"add":`)) && !bytes.HasPrefix(b, []byte(`{"remove":`)) {
		return false
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(b, &keys) != nil {
		return true
	}
	if by, ok := keys["inc"]; ok {
		return len(keys) == 1 && by[0] != '{' && by[0] != '['
	}
	for k, v := range keys {
		if k != "add" && k != "remove" || v[0] != '[' {
			return false
		}
	}
	return true
}

// appendArray appends an array column as a JSON array: elements as columns of their kind would go, NULLs left out. Braze's arrays hold either scalars or
// objects; an array of more dimensions is none. asText says that the array becomes a string.
func (s *settings) appendArray(dst []byte, list []connector.Value, asText bool) (out []byte, note string, ok bool) {
	from := len(dst)
	dst = append(dst, '[')
	objects, items := 0, 0
	for _, v := range list {
		mark := len(dst)
		if mark > from+1 {
			dst = append(dst, ',')
		}
		if v.Kind == connector.KindNull {
			dst = dst[:mark]
			continue
		}
		var next []byte
		var n string
		var ok bool
		if v.Kind == connector.KindArray {
			next, n, ok = s.appendArray(dst, v.List, asText)
		} else {
			next, n, ok = s.appendAuto(dst, v)
		}
		if n != "" {
			note = "in an element: " + n
		}
		if !ok || string(next[len(dst):]) == "null" {
			dst = next[:mark]
			continue
		}
		switch items++; next[len(dst)] {
		case '[':
			if !asText && s.limits().attribute {
				return dst[:from], noteMixed, false
			}
		case '{':
			objects++
		}
		dst = next
	}
	dst = append(dst, ']')
	if objects > 0 && objects < items && !asText && s.limits().attribute {
		return dst[:from], noteMixed, false
	}
	if len(dst)-from > s.limits().bytes {
		return dst[:from], noteBigNested, false
	}
	if note == "" && objects == 0 && items > maxElements && !asText && s.limits().attribute {
		note = noteManyItems
	}
	return dst, note, true
}
