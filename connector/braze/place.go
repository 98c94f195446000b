package braze

import (
	"regexp"
	"slices"
	"strings"

	"brazecdc/connector"
)

// verdict is what an answer says about the effects of its call.
type verdict struct {
	items []connector.Rejection // sorted by Index, one for each effect
	open  string                // text of entries that belong to nobody can say which effect, else ""
}

// arrays names the array of a request that an entry's input_array means, where there is one whose order is the batch's.
var arrays = [endpoints]string{deleteUsers: "external_ids", renameIDs: "external_id_renames", removeIDs: "external_ids"}

// accepted counts the effects of a batch that the answer says were taken in; -1 where it does not tell for all of them.
func (a *answer) accepted(ep endpoint, batch []connector.Effect) int {
	if ep != trackUsers {
		return a.deleted
	}
	sum := 0
	var seen [trackArrays]bool
	for i := range batch {
		array := arrayOf(&batch[i])
		if seen[array] {
			continue
		}
		seen[array] = true
		if a.processed[array] < 0 {
			return -1
		}
		sum += a.processed[array]
	}
	return sum
}

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
		return e.at(ep, batch)
	}
	if e.id == "" {
		return -1
	}
	found := -1
	for i := range batch {
		if !e.means(ep, &batch[i]) || batch[i].User.Kind != connector.ExternalID || batch[i].User.ID != e.id {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = i
	}
	return found
}

// means tells whether an effect is in the array that the entry names; with none named, each may be meant.
func (e *entry) means(ep endpoint, effect *connector.Effect) bool {
	if ep == trackUsers {
		return e.array == "" || e.array == trackNames[arrayOf(effect)]
	}
	return e.array == "" || e.array == arrays[ep]
}

// at finds the effect that an index means. It counts inside the named array, not across the request; with no array named there must be only one.
func (e *entry) at(ep endpoint, batch []connector.Effect) int {
	if ep != trackUsers && arrays[ep] == "" {
		return -1
	}
	n, found, first := 0, -1, -1
	for i := range batch {
		if !e.means(ep, &batch[i]) {
			continue
		}
		if ep == trackUsers && e.array == "" {
			if array := arrayOf(&batch[i]); first < 0 {
				first = array
			} else if array != first {
				return -1
			}
		}
		if n == e.index {
			found = i
		}
		n++
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
	none := a.accepted(ep, batch) == 0 && len(a.done) == 0
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
	primary  = regexp.MustCompile(`(?i)\bis (a |already )*primary\b`)
	aboutNew = regexp.MustCompile(`(?i)\bnew\b|new_external|in use`)
	aboutIt  = regexp.MustCompile(`(?i)current`)
	aboutTo  = regexp.MustCompile(`(?i)\bnew\b|new_external|already|in use|deprecated`)
)

// alreadySo tells whether a refusal says that what was asked for is so already: a rename whose current id is deprecated, a removal of an id that nobody has, or
// that is a profile's own: it was freed before, which an old copy of data/ does not know.
func alreadySo(ep endpoint, text string) bool {
	switch ep {
	case renameIDs:
		return strings.Contains(strings.ToLower(text), "deprecated") && !aboutNew.MatchString(text) && aboutIt.MatchString(text)
	case removeIDs:
		return absent.MatchString(text) || primary.MatchString(text)
	}
	return false
}

// currentUnknown tells whether a rename was refused because Braze does not know the id it should change. A text about the new id, or about a
// deprecated one, is something else. Braze's wording is not documented, so more than one is understood.
func currentUnknown(text string) bool {
	return absent.MatchString(text) && (aboutIt.MatchString(text) || !aboutTo.MatchString(text)) &&
		!strings.Contains(strings.ToLower(text), "already")
}
