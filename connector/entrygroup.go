package connector

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// EntryGroup is the open quarantine entries of a model that have one reason.
type EntryGroup struct {
	ID    string `json:"id"` // stays the same as long as the group has entries, over restarts too
	Model string `json:"model"`
	Class string `json:"class"`
	Field string `json:"field,omitempty"`
	// Kind is ReasonKind of the entries' reasons; empty where there were too many kinds, so that the group has all others of its field.
	Kind  string `json:"kind,omitempty"`
	Count int64  `json:"count"`
	// Oldest and Newest are when the first and the last of them came; Sample is the last one's number.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	Sample uint64    `json:"sample"`
	// Recent is how many of them came since the time that was asked for, counting up to RecentLimit.
	Recent int64 `json:"recent"`
}

// RecentLimit is up to which number EntryGroup.Recent counts.
const RecentLimit = 1000

// GroupedQuarantine is a Quarantine that also tells its open entries by reason, without reading them.
type GroupedQuarantine interface {
	// Groups gives the groups, the largest first; since is for EntryGroup.Recent.
	Groups(since time.Time) ([]EntryGroup, error)
	// Count gives how many entries match a filter, whose After and Limit do not count.
	Count(f EntryFilter) (int64, error)
}

// Groups gives the groups of open entries of a Quarantine, none where it can't tell them.
func Groups(q Quarantine, since time.Time) ([]EntryGroup, error) {
	if g, ok := q.(GroupedQuarantine); ok {
		return g.Groups(since)
	}
	return nil, nil
}

// CountEntries gives how many entries of a Quarantine match a filter.
func CountEntries(q Quarantine, f EntryFilter) (int64, error) {
	f.After, f.Limit = 0, 0
	if g, ok := q.(GroupedQuarantine); ok {
		return g.Count(f)
	}
	list, err := q.List(f)
	return int64(len(list)), err
}

// maxKind bounds a ReasonKind, in bytes.
const maxKind = 200

// ReasonKind gives a reason without what differs from row to row and might be a value of one: what stands in quotes, and words with a digit or an @. Reasons
// of one kind are one group, and a kind may be shown to those who may not see values.
func ReasonKind(reason string) string {
	var out strings.Builder
	gap := func() {
		if s := out.String(); !strings.HasSuffix(s, "…") {
			out.WriteString("…")
		}
	}
	for rest := reason; rest != "" && out.Len() < maxKind; {
		r, size := utf8.DecodeRuneInString(rest)
		if end := quoted(rest, r, out.String()); end > 0 {
			out.WriteRune(r)
			out.WriteString("…")
			out.WriteString(rest[end-utf8.RuneLen(closing(r)) : end])
			rest = rest[end:]
			continue
		}
		if unicode.IsSpace(r) {
			if s := out.String(); s != "" && !strings.HasSuffix(s, " ") {
				out.WriteByte(' ')
			}
			rest = rest[size:]
			continue
		}
		n := strings.IndexFunc(rest[size:], func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"“„`'()[]{},;:=", r) })
		word := rest
		if n >= 0 {
			word = rest[:size+n]
		}
		rest = rest[len(word):]
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsDigit(r) || r == '@' || r == utf8.RuneError }) {
			gap()
			continue
		}
		out.WriteString(word)
	}
	kind := strings.TrimSpace(out.String())
	for len(kind) > maxKind {
		_, size := utf8.DecodeLastRuneInString(kind)
		kind = kind[:len(kind)-size]
	}
	return kind
}

func closing(open rune) rune {
	switch open {
	case '“', '„':
		return '”'
	}
	return open
}

// quoted gives how long the quoted part is that a text begins with, 0 where it begins with none: an apostrophe inside a word opens nothing.
func quoted(text string, open rune, before string) int {
	if !strings.ContainsRune("\"“„`'", open) {
		return 0
	}
	if last, _ := utf8.DecodeLastRuneInString(before); open == '\'' && unicode.IsLetter(last) {
		return 0
	}
	size := utf8.RuneLen(open)
	for at := size; at < len(text); {
		r, n := utf8.DecodeRuneInString(text[at:])
		next, _ := utf8.DecodeRuneInString(text[at+n:])
		switch {
		case r == '\\' && open == '"':
			at += n
			_, n = utf8.DecodeRuneInString(text[at:])
		case r == closing(open) && (open != '\'' || !unicode.IsLetter(next)):
			return at + n
		}
		at += n
	}
	return 0
}
