package postgres

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

var errHstore = errors.New("hstore's text is malformed")

// decodeHstore makes an object of hstore's text, in its order: "a"=>"1", "b"=>NULL. Postgres quotes every key and every value that is not NULL, with a
// backslash before quotes and backslashes (Postgres docs, hstore: output format).
func decodeHstore(s string) (connector.Value, error) {
	if !utf8.ValidString(s) {
		return connector.Value{}, errNotUTF8
	}
	out := make([]byte, 0, len(s)+2)
	out = append(out, '{')
	p := arrayParser{s: s} // its strings are quoted alike
	for p.i < len(s) {
		if len(out) > 1 {
			if !p.skip(", ") {
				return connector.Value{}, errHstore
			}
			out = append(out, ',')
		}
		key, ok := p.text()
		if !ok || !p.skip("=>") {
			return connector.Value{}, errHstore
		}
		out = append(appendQuoted(out, key), ':')
		if p.skip("NULL") {
			out = append(out, "null"...)
			continue
		}
		value, ok := p.text()
		if !ok {
			return connector.Value{}, errHstore
		}
		out = appendQuoted(out, value)
	}
	return connector.Value{Kind: connector.KindJSON, Str: string(append(out, '}'))}, nil
}

func (p *arrayParser) skip(text string) bool {
	ok := strings.HasPrefix(p.s[p.i:], text)
	if ok {
		p.i += len(text)
	}
	return ok
}

// text reads a quoted text.
func (p *arrayParser) text() (string, bool) {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		return "", false
	}
	return p.quoted()
}

// appendQuoted writes a JSON string and escapes only what JSON demands.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
