package braze

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// answer is the body of a response, read leniently: what has an unexpected shape is kept as text and nothing is an error but JSON that is none.
type answer struct {
	message   string
	processed int // attributes_processed, or deleted; -1 where it is not told
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
	a := answer{processed: -1, users: -1}
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
	for _, count := range []json.RawMessage{raw.Attributes, raw.Deleted} {
		if n, ok := number(count); ok {
			a.processed = n
		}
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

// verdict is what an answer says about the effects of its call.
type verdict struct {
	items []connector.Rejection // sorted by Index, one for each effect
	open  string                // text of entries that belong to nobody can say which effect, else ""
}

// arrays names the array of a request that an entry's input_array means.
var arrays = [endpoints]string{trackUsers: "attributes", deleteUsers: "external_ids", renameIDs: "external_id_renames", removeIDs: "external_ids"}

// place finds the effect that each entry means: by its index inside the array it names, by the external_id it names, or because no other can be meant.
func (a *answer) place(ep endpoint, batch []connector.Effect) verdict {
	var v verdict
	var open []entry
	for _, e := range a.errors {
		if i := e.effect(ep, batch); i >= 0 {
			v.refuse(ep, i, e.text)
		} else {
			open = append(open, e)
		}
	}
	if len(open) > 0 {
		v.placeRest(ep, batch, a, open)
	}
	slices.SortFunc(v.items, func(x, y connector.Rejection) int { return x.Index - y.Index })
	return v
}

func (e *entry) effect(ep endpoint, batch []connector.Effect) int {
	if e.index >= 0 {
		// The index counts inside the named array, not across the request; with no array named there is only one it can mean.
		if (e.array == "" || e.array == arrays[ep]) && e.index < len(batch) {
			return e.index
		}
		return -1
	}
	found := -1
	if e.array == "" || e.array == arrays[ep] {
		for i := range batch {
			if e.id != "" && batch[i].User.Kind == connector.ExternalID && batch[i].User.ID == e.id {
				if found >= 0 {
					return -1
				}
				found = i
			}
		}
	}
	return found
}

// placeRest settles entries without a place where only one reading is possible: the effects that the answer does not list as done are as many as these
// entries, or none was accepted, or there is one effect in all.
func (v *verdict) placeRest(ep endpoint, batch []connector.Effect, a *answer, open []entry) {
	texts := make([]string, 0, len(open))
	for _, e := range open {
		if len(texts) < 10 && !slices.Contains(texts, e.text) {
			texts = append(texts, e.text)
		}
	}
	text := strings.Join(texts, "; ")
	var rest []int
	for i := range batch {
		if !v.has(i) && !slices.Contains(a.done, batch[i].User.ID) && (batch[i].To.ID == "" || !slices.Contains(a.done, batch[i].To.ID)) {
			rest = append(rest, i)
		}
	}
	listed := len(a.done) > 0 && len(rest) == len(open)
	none := a.processed == 0 && len(a.done) == 0
	if len(rest) == 0 || (!listed && !none && len(batch) != 1) {
		v.open = text
		return
	}
	for _, i := range rest {
		v.refuse(ep, i, text)
	}
}

func (v *verdict) has(i int) bool {
	return slices.ContainsFunc(v.items, func(r connector.Rejection) bool { return r.Index == i })
}

func (v *verdict) refuse(ep endpoint, i int, text string) {
	if text == "" {
		text = "refused without a reason"
	}
	unknown, done := ep == renameIDs && currentUnknown(text), alreadySo(ep, text)
	for k := range v.items {
		if it := &v.items[k]; it.Index == i {
			it.CurrentUnknown, it.Done = it.CurrentUnknown && unknown, it.Done && done
			if len(it.Reason) < longestText && !strings.Contains(it.Reason, text) {
				it.Reason += "; " + text
			}
			return
		}
	}
	v.items = append(v.items, connector.Rejection{Index: i, Reason: text, CurrentUnknown: unknown, Done: done})
}

var (
	absent   = regexp.MustCompile(`(?i)(not|n't|never) (exist|found|be found|known|present)|no (such )?(user|profile)|unknown|could not find|can ?not find|unable to find|not_found`)
	aboutNew = regexp.MustCompile(`(?i)\bnew\b|new_external|in use`)
	aboutIt  = regexp.MustCompile(`(?i)current`)
	aboutTo  = regexp.MustCompile(`(?i)\bnew\b|new_external|already|in use|deprecated`)
)

// alreadySo tells whether a refusal says that what was asked for is so already: a rename whose current id is deprecated, a removal of an id that nobody has.
func alreadySo(ep endpoint, text string) bool {
	switch ep {
	case renameIDs:
		return strings.Contains(strings.ToLower(text), "deprecated") && !aboutNew.MatchString(text) && aboutIt.MatchString(text)
	case removeIDs:
		return absent.MatchString(text)
	}
	return false
}

// currentUnknown tells whether a rename was refused because Braze does not know the id it should change. A text about the new id, or about a
// deprecated one, is something else. Braze's wording is not documented, so more than one is understood.
func currentUnknown(text string) bool {
	return absent.MatchString(text) && (aboutIt.MatchString(text) || !aboutTo.MatchString(text)) &&
		!strings.Contains(strings.ToLower(text), "already")
}
