package braze

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// answer is the body of a response, read leniently: what has an unexpected shape is kept as text and nothing is an error but JSON that is none.
type answer struct {
	message   string
	deleted   int              // -1 where it is not told
	processed [trackArrays]int // by array; -1 where it is not told
	errors    []entry
	done      []string // external_ids of a rename, removed_ids of a removal: what succeeded
	gone      []json.RawMessage
	users     int // how many profiles an export gave; -1 where it is not told
}

// entry is one item of errors, rename_errors or removal_errors.
type entry struct {
	array string // input_array, "" where it is not told
	index int    // -1 where it is not told
	id    string // external_id, where the entry names it
	text  string
}

// Bounds for answers that are no honest ones.
const (
	deepest     = 3    // lists inside lists
	longestText = 2000 // bytes of one effect's reasons before further ones are left out
)

var errNoObject = errors.New("not a JSON object")

// parseAnswer reads a body. An empty one is an answer that says nothing.
func parseAnswer(body []byte) (answer, error) {
	a := answer{deleted: -1, processed: [trackArrays]int{-1, -1, -1}, users: -1}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return a, nil
	}
	if body[0] != '{' {
		return a, errNoObject
	}
	var raw struct {
		Message    json.RawMessage `json:"message"`
		Errors     json.RawMessage `json:"errors"`
		Renames    json.RawMessage `json:"rename_errors"`
		Removals   json.RawMessage `json:"removal_errors"`
		Renamed    json.RawMessage `json:"external_ids"`
		Removed    json.RawMessage `json:"removed_ids"`
		Attributes json.RawMessage `json:"attributes_processed"`
		Events     json.RawMessage `json:"events_processed"`
		Purchases  json.RawMessage `json:"purchases_processed"`
		Deleted    json.RawMessage `json:"deleted"`
		Invalid    json.RawMessage `json:"invalid_user_ids"`
		Users      json.RawMessage `json:"users"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return a, err
	}
	a.message = plain(raw.Message)
	for _, list := range []json.RawMessage{raw.Errors, raw.Renames, raw.Removals} {
		a.errors = appendEntries(a.errors, list)
	}
	for array, count := range [trackArrays]json.RawMessage{attributes: raw.Attributes, events: raw.Events, purchases: raw.Purchases} {
		if n, ok := number(count); ok {
			a.processed[array] = n
		}
	}
	if n, ok := number(raw.Deleted); ok {
		a.deleted = n
	}
	for _, list := range []json.RawMessage{raw.Renamed, raw.Removed} {
		for _, id := range elements(list) {
			a.done = append(a.done, plain(id))
		}
	}
	a.gone = elements(raw.Invalid)
	if len(raw.Users) > 0 && raw.Users[0] == '[' {
		a.users = len(elements(raw.Users))
	}
	return a, nil
}

func elements(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// plain gives a JSON string's content, and any other value as it is written.
func plain(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// number reads a whole number, also one written as a string.
func number(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	return n, err == nil && n >= 0
}

func appendEntries(dst []entry, raw json.RawMessage) []entry {
	switch {
	case len(raw) == 0:
		return dst
	case raw[0] == '[':
		for _, item := range elements(raw) {
			if e, ok := parseEntry(item, 0); ok {
				dst = append(dst, e)
			}
		}
		return dst
	}
	if e, ok := parseEntry(raw, 0); ok {
		dst = append(dst, e)
	}
	return dst
}

var indexInText = regexp.MustCompile(`(?i)\bindex\b\D{0,12}(\d{1,9})`)

// parseEntry reads one entry: an object with index, input_array and type as /users/track answers; a list of an index and a text, as the pages on
// external_ids describe ("array of arrays"); or a text, which may name an index. Empty ones are none; what is nested deeper is text.
func parseEntry(raw json.RawMessage, depth int) (entry, bool) {
	e := entry{index: -1}
	kind := raw[0]
	if kind == '[' && depth > deepest {
		kind = 0
	}
	switch kind {
	case 'n', 'f': // null, false
		return e, false
	case '{':
		var o map[string]json.RawMessage
		if json.Unmarshal(raw, &o) != nil || len(o) == 0 {
			return e, false
		}
		if n, ok := number(o["index"]); ok {
			e.index = n
		}
		e.array, e.id = plain(o["input_array"]), plain(o["external_id"])
		for _, key := range []string{"current_external_id", "id"} {
			if e.id == "" {
				e.id = plain(o[key])
			}
		}
		for _, key := range []string{"type", "message", "error", "reason", "description"} {
			if t := plain(o[key]); t != "" && !strings.Contains(e.text, t) {
				e.text = strings.TrimPrefix(e.text+": "+t, ": ")
			}
		}
		if e.text == "" {
			e.text = string(raw)
		}
	case '[':
		parts := elements(raw)
		if len(parts) == 0 {
			return e, false
		}
		for _, p := range parts {
			if n, ok := number(p); ok && e.index < 0 {
				e.index = n
			} else if sub, ok := parseEntry(p, depth+1); ok {
				e.text = strings.TrimPrefix(e.text+" "+sub.text, " ")
				if e.index < 0 {
					e.index = sub.index
				}
			}
		}
		if e.text == "" {
			e.text = string(raw)
		}
	default:
		if e.text = plain(raw); e.text == "" {
			return e, false
		}
	}
	if e.index < 0 {
		if m := indexInText.FindStringSubmatch(e.text); m != nil {
			e.index, _ = strconv.Atoi(m[1])
		}
	}
	return e, true
}
