package mapping

import (
	"unicode/utf8"
)

// maxString is how many characters a string attribute may have (Braze docs, "Custom attribute data types").
const maxString = 255

const noteTooLong = "longer than 255 characters"

// tooLong tells whether text exceeds maxString, counting characters only where bytes do not decide.
func tooLong(s string) bool { return len(s) > maxString && utf8.RuneCountInString(s) > maxString }

// appendString appends s as a JSON string. Bytes that are not UTF-8, and NUL, which Braze and Postgres cannot hold, become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b < utf8.RuneSelf && b != '"' && b != '\\' {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscaped(dst, b)
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscaped(dst []byte, b byte) []byte {
	const digits = "0123456789abcdef"
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if b == 0 || b >= utf8.RuneSelf {
		return append(dst, "\uFFFD"...)
	}
	return append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
}

// isBlank tells whether text is empty or of white space only.
func isBlank(s string) bool {
	for _, r := range s {
		switch r {
		case ' ', '\t', '\n', '\r', '\v', '\f', '\u00a0', '\u3000':
		default:
			return false
		}
	}
	return true
}
