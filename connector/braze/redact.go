package braze

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	redacted    = "[key]"
	leak        = 6   // so many characters of the key in a row are taken as a part of it
	keepOfError = 500 // characters kept of an error's text
)

// redact takes the key, and every part of it of 6 or more characters, out of a text. Braze's 401 answers can repeat the key they were sent, a proxy
// in between may repeat a part of it.
func redact(s, key string) string {
	if key == "" || s == "" {
		return s
	}
	low, lowKey := lower(s), lower(key)
	least := min(leak, len(key))
	var b strings.Builder
	from := 0
	for i := 0; i+least <= len(s); {
		if !strings.Contains(lowKey, low[i:i+least]) {
			i++
			continue
		}
		end := i + least
		for end < len(s) && strings.Contains(lowKey, low[i:end+1]) {
			end++
		}
		b.WriteString(s[from:i])
		b.WriteString(redacted)
		i, from = end, end
	}
	if from == 0 {
		return s
	}
	b.WriteString(s[from:])
	return b.String()
}

// lower maps ASCII letters only, so that byte positions stay what they are.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// brief makes one line of at most n characters of a text.
func brief(s string, n int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if r == utf8.RuneError {
			r = '?'
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			if n--; n <= 0 {
				break
			}
			b.WriteByte(' ')
			space = false
		}
		if n--; n < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
