package draft

import (
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"brazecdc/connector/config"
)

// Line is one line of a unified diff.
type Line struct {
	Op   byte // '+' only in the new text, '-' only in the old one, ' ' in both, '@' the head of a part, with the numbers it begins at
	Old  int  // its number in the old text, 0 where it is not there
	New  int  // its number in the new text, 0 where it is not there
	Text string
}

// Diff compares the file with the draft, secrets hidden. It is empty where there is no draft.
func (s *Store) Diff() ([]Line, error) {
	v, err := s.View()
	if err != nil {
		return nil, err
	}
	return Compare(v.File, v.Text), nil
}

// Compare is the unified diff of two texts, with secrets hidden.
func Compare(before, after []byte) []Line {
	before, after = config.HideSecrets(before), config.HideSecrets(after)
	text := string(diff.Diff("before", before, "after", after))
	var out []Line
	was, is := 0, 0
	for i, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		switch {
		case i < 3 || l == "": // diff, ---, +++
		case l[0] == '@':
			was, is = head(l)
			out = append(out, Line{Op: '@', Old: was, New: is, Text: l})
		case l[0] == '-':
			out = append(out, Line{Op: '-', Old: was, Text: l[1:]})
			was++
		case l[0] == '+':
			out = append(out, Line{Op: '+', New: is, Text: l[1:]})
			is++
		case l[0] == ' ':
			out = append(out, Line{Op: ' ', Old: was, New: is, Text: l[1:]})
			was++
			is++
		}
	}
	return out
}

// head reads the first line numbers of "@@ -3,7 +3,8 @@".
func head(l string) (was, is int) {
	for _, f := range strings.Fields(l) {
		n, digits := 0, strings.TrimLeft(f, "-+")
		for _, c := range digits {
			if c < '0' || c > '9' {
				break
			}
			n = 10*n + int(c-'0')
		}
		switch f[0] {
		case '-':
			was = n
		case '+':
			is = n
		}
	}
	return was, is
}

// Unified is the diff as a text that patch reads.
func Unified(name string, before, after []byte) []byte {
	text := diff.Diff("a/"+name, config.HideSecrets(before), "b/"+name, config.HideSecrets(after))
	_, rest, _ := strings.Cut(string(text), "\n") // the line "diff a b" is no part that patch needs
	return []byte(rest)
}
