package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// The bounds of what the quarantine keeps of one entry, in bytes. A row of Postgres may have a gigabyte; Braze takes 100 KB of an attribute and 4 MB of a
// request (Braze docs, "Nested custom attributes" and "API limits"), so what is cut here could not have been delivered.
const (
	maxValue  = 32 << 10  // of one column in Before and After
	maxImage  = 512 << 10 // of Before and of After; columns behind it keep their first minValue bytes
	minValue  = 256
	maxField  = 256 << 10 // of one field of Effect
	maxEffect = 4 << 20   // of all fields of Effect
	maxRaw    = 256 << 10
	maxReason = 4 << 10
)

// Cut stands in Before and After in place of a column's text that is too long to keep. A column's value there is a string or null, so that an object
// is always a Cut. Who completes a row from an entry must take such a column as absent.
type Cut struct {
	Cut    bool   `json:"cut"`
	Bytes  int    `json:"bytes"`  // length of the value's JSON text
	Begins string `json:"begins"` // the first part of it
}

// Bound gives a copy of e that the quarantine can keep, whatever the size of e: long values of Before and After become a Cut; fields of Effect that are longer than
// Braze takes are left out, never shortened, and named in Reason; Original keeps its beginning, which Reason says. e is not changed; what fits is shared with it.
func Bound(e *connector.Entry) *connector.Entry {
	n := *e
	var notes []string
	n.Before = boundImage(e.Before)
	n.After = boundImage(e.After)
	n.Effect, notes = boundEffect(e.Effect)
	if o, note := boundOriginal(e.Original); note != "" {
		n.Original = o
		notes = append(notes, note)
	}
	if len(n.Reason) > maxReason {
		n.Reason = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(n.Reason[:maxReason], ""), len(n.Reason))
	}
	if len(notes) > 0 {
		n.Reason = strings.TrimPrefix(n.Reason+"; "+strings.Join(notes, "; "), "; ")
	}
	return &n
}

// boundOriginal cuts a record that is too long to keep; its note is empty where nothing was cut. Retrying such an entry reads the record again.
func boundOriginal(o *connector.Original) (*connector.Original, string) {
	if o == nil {
		return o, ""
	}
	headers := 0
	for _, h := range o.Headers {
		headers += len(h.Key) + len(h.Value)
	}
	if len(o.Key) <= maxRaw && len(o.Value) <= maxRaw && headers <= maxRaw {
		return o, ""
	}
	n := *o
	n.Cut = true
	n.Key, n.Value = slices.Clip(n.Key[:min(len(n.Key), maxRaw)]), slices.Clip(n.Value[:min(len(n.Value), maxRaw)])
	if headers > maxRaw {
		n.Headers = nil
	}
	return &n, fmt.Sprintf("of a record of %d bytes the beginning is kept", len(o.Key)+len(o.Value)+headers)
}

func boundEffect(e *connector.StoredEffect) (*connector.StoredEffect, []string) {
	if e == nil {
		return nil, nil
	}
	total, fits := 0, true
	for _, f := range e.Fields {
		total += len(f.JSON)
		fits = fits && len(f.JSON) <= maxField
	}
	if fits && total <= maxEffect {
		return e, nil
	}
	n := *e
	n.Fields = nil
	total = 0
	var notes []string
	for _, f := range e.Fields {
		if len(f.JSON) <= maxField && total+len(f.JSON) <= maxEffect {
			total += len(f.JSON)
			n.Fields = append(n.Fields, f)
			continue
		}
		notes = append(notes, fmt.Sprintf("field %q is not kept, it has %d bytes", f.Name, len(f.JSON)))
	}
	if more := len(notes) - 10; more > 0 {
		notes = append(notes[:10], fmt.Sprintf("nor are %d more", more))
	}
	// What is left is no whole row any more; accepting it must not make the row known.
	n.Rows = slices.Clone(e.Rows)
	for i := range n.Rows {
		n.Rows[i].Whole = false
	}
	return &n, notes
}

// boundImage cuts the long values of an object column -> text without copying them whole.
func boundImage(image json.RawMessage) json.RawMessage {
	if len(image) <= maxValue {
		return image
	}
	members, ok := topLevel(image)
	if !ok {
		return cutValue(image, maxValue)
	}
	out := make([]byte, 0, min(len(image), maxImage+maxValue))
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, m.name...), ':')
		limit := maxValue
		if len(out)+min(len(m.value), maxValue) > maxImage {
			limit = minValue
		}
		if len(m.value) > limit {
			out = append(out, cutValue(m.value, limit)...)
		} else {
			out = append(out, m.value...)
		}
	}
	return append(out, '}')
}

// cutValue gives a Cut of a JSON text.
func cutValue(v []byte, limit int) []byte {
	begin := string(v[:min(len(v), limit)])
	if s, ok := beginning(v, limit); ok {
		begin = s
	}
	// A Cut has nothing that cannot be encoded.
	b, _ := json.Marshal(Cut{Cut: true, Bytes: len(v), Begins: strings.ToValidUTF8(begin, string(utf8.RuneError))})
	return b
}

// beginning decodes about the first limit bytes of a JSON string.
func beginning(v []byte, limit int) (string, bool) {
	if v[0] != '"' {
		return "", false
	}
	i := 1
	for i < len(v)-1 {
		step := 1
		if v[i] == '\\' && v[i+1] == 'u' {
			step = 6
		} else if v[i] == '\\' {
			step = 2
		} else if v[i] >= utf8.RuneSelf {
			_, step = utf8.DecodeRune(v[i:])
		}
		if i+step > limit || i+step > len(v)-1 {
			break
		}
		i += step
	}
	var s string
	err := json.Unmarshal(append(slices.Clone(v[:i]), '"'), &s)
	return s, err == nil
}

type member struct{ name, value []byte }

// topLevel splits a JSON object into its members, which share its bytes; ok is false for anything else.
func topLevel(b []byte) (members []member, ok bool) {
	if !json.Valid(b) {
		return nil, false
	}
	// From here on the text is known to be JSON, so that quotes and brackets are enough to go by.
	i := space(b, 0)
	if b[i] != '{' {
		return nil, false
	}
	for i = space(b, i+1); b[i] != '}'; {
		var m member
		end := valueEnd(b, i)
		m.name = b[i:end]
		i = space(b, space(b, end)+1) // behind the colon
		end = valueEnd(b, i)
		m.value = b[i:end]
		members = append(members, m)
		if i = space(b, end); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return members, true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// valueEnd gives where the value that begins at i ends.
func valueEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 || !scalarEnds(b, i+1) {
				continue
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// scalarEnds tells whether a number or word ends before i.
func scalarEnds(b []byte, i int) bool {
	return i >= len(b) || strings.IndexByte(",}] \t\r\n:", b[i]) >= 0
}

// Columns decodes an entry's Before or After: the text of each column that is known, nil for NULL. Columns that were cut are named in cut instead. The other
// columns are absent.
func Columns(image json.RawMessage) (text map[string]*string, cut []string, err error) {
	if len(image) == 0 {
		return nil, nil, nil
	}
	var values map[string]json.RawMessage
	if err = json.Unmarshal(image, &values); err != nil {
		return nil, nil, fmt.Errorf("read the columns of a quarantine entry: %w", err)
	}
	text = make(map[string]*string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		if v[0] == '{' {
			cut = append(cut, name)
			continue
		}
		var s *string
		if err = json.Unmarshal(v, &s); err != nil {
			return nil, nil, fmt.Errorf("read column %s of a quarantine entry: it is no text", strconv.Quote(name))
		}
		text[name] = s
	}
	return text, cut, nil
}
