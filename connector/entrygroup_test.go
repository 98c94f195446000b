package connector

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReasonKind(t *testing.T) {
	for reason, want := range map[string]string{
		"":                                      "",
		"no e-mail address":                     "no e-mail address",
		`"anna@example.com" is no date`:         `"…" is no date`,
		`"a \"b\" c" is no date`:                `"…" is no date`,
		"anna@example.com isn't valid":          "… isn't valid",
		"longer than 255 characters":            "longer than … characters",
		"'anna' can't be 'it's'":                "'…' can't be '…'",
		"user 17, row 4/5: refused":             "user …, row …: refused",
		"what 12 34 is":                         "what … … is",
		"an open \"quote":                       "an open \"quote",
		"column `x` of  it\nall":                "column `…` of it all",
		"\xff\xfe":                              "…",
		"external_id is missing (status: none)": "external_id is missing (status: none)",
	} {
		if got := ReasonKind(reason); got != want {
			t.Errorf("%q gives %q, want %q", reason, got, want)
		}
	}
	if got := ReasonKind(strings.Repeat("für immer ", 100)); len(got) > maxKind || !utf8.ValidString(got) {
		t.Errorf("a long one gives %d bytes: %q", len(got), got)
	}
}

func FuzzReasonKind(f *testing.F) {
	f.Add(`"a" is 'no' date“x”`)
	f.Fuzz(func(t *testing.T, reason string) {
		kind := ReasonKind(reason)
		if len(kind) > maxKind || !utf8.ValidString(kind) || strings.ContainsAny(kind, "0123456789@") {
			t.Errorf("%q gives %q", reason, kind)
		}
	})
}
