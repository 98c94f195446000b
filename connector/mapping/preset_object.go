package mapping

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	noteMember   = "members that Braze does not know, or of another kind, are left out"
	noteNoMember = "an object without a member that Braze knows"
	noteToken    = "push tokens without app_id or token, or with a device_id outside 8 to 255 bytes, are left out"
	noteNoToken  = "not an array of objects with app_id, token and, if there is one, a device_id of 8 to 255 bytes"
)

// propertyKind is what a key of one of Braze's own objects has to be.
type propertyKind uint8

const (
	propertyText propertyKind = iota
	propertyInt
	propertyTexts
)

// property is one key of one of Braze's own objects.
type property struct {
	name string
	kind propertyKind
}

// shape is one of Braze's own objects (Braze docs, "User attributes object").
type shape []property

var (
	facebook = shape{{"id", propertyText}, {"likes", propertyTexts}, {"num_friends", propertyInt}}
	twitter  = shape{{"id", propertyInt}, {"screen_name", propertyText}, {"followers_count", propertyInt}, {"friends_count", propertyInt}, {"statuses_count", propertyInt}}
)

// append writes the members that fit, in the shape's order. A number is text where text is wanted and the other way round, since ids are kept as either.
func (s shape) append(dst []byte, x any) ([]byte, string, bool) {
	m, ok := x.(map[string]any)
	if !ok {
		return dst, "not an object", false
	}
	from, used, note := len(dst), 0, ""
	dst = append(dst, '{')
	for _, f := range s {
		v, there := m[f.name]
		if !there || v == nil {
			used += btoi(there)
			continue
		}
		mark := len(dst)
		if mark > from+1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.name...), '"', ':')
		out, ok := f.append(dst, v)
		if !ok {
			dst = dst[:mark]
			continue
		}
		dst = out
		used++
	}
	if used < len(m) {
		note = noteMember
	}
	if len(dst) == from+1 {
		return dst[:from], noteNoMember, false
	}
	return append(dst, '}'), note, true
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f property) append(dst []byte, v any) ([]byte, bool) {
	switch f.kind {
	case propertyText:
		s, ok := scalarOf(v)
		if !ok || s == "" || tooLong(s) {
			return dst, false
		}
		return appendString(dst, s), true
	case propertyInt:
		s, ok := scalarOf(v)
		if !ok {
			return dst, false
		}
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return dst, false
		}
		return strconv.AppendInt(dst, n, 10), true
	}
	list, ok := v.([]any)
	if !ok {
		return dst, false
	}
	dst = append(dst, '[')
	begin := len(dst)
	for _, e := range list {
		s, ok := e.(string)
		if !ok || tooLong(s) {
			return dst, false
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']'), len(dst)-begin < maxNested
}

// scalarOf is a text or a whole number as text.
func scalarOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, utf8.ValidString(v)
	case int:
		return strconv.Itoa(v), true
	}
	return "", false
}

// Braze's bounds of a token's device_id, in bytes (Braze docs, "User attributes object").
const minDevice, maxDevice = 8, 255

// appendPushTokens appends the tokens of an array, or of one object, that have the shape Braze asks for; whether it knows the app_id shows only in its
// answer. One malformed token would cost the row.
func appendPushTokens(dst []byte, x any) ([]byte, string, bool) {
	list, ok := x.([]any)
	if _, single := x.(map[string]any); single {
		list, ok = []any{x}, true
	}
	if !ok {
		return dst, noteNoToken, false
	}
	from, note := len(dst), ""
	dst = append(dst, '[')
	for _, e := range list {
		m, _ := e.(map[string]any)
		app, ok1 := m["app_id"].(string)
		token, ok2 := m["token"].(string)
		device, hasDevice := m["device_id"]
		id, isText := device.(string)
		if !ok1 || !ok2 || app == "" || token == "" || hasDevice && device != nil && (!isText || len(id) < minDevice || len(id) > maxDevice) {
			note = noteToken
			continue
		}
		if len(dst) > from+1 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"app_id":`...), app)
		dst = appendString(append(dst, `,"token":`...), token)
		if isText {
			dst = appendString(append(dst, `,"device_id":`...), id)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	switch {
	case len(dst)-from > maxNested:
		return dst[:from], noteBigNested, false
	case len(dst) == from+2 && len(list) > 0:
		return dst[:from], noteNoToken, false
	}
	return dst, note, json.Valid(bytes.TrimSpace(dst[from:]))
}
