package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// Secret is a value that no print, log or encoding shows; Reveal gives it.
type Secret string

// Reveal is the secret itself, for the one call that needs it.
func (s Secret) Reveal() string { return string(s) }

// String is "[redacted]", or empty for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format redacts under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// GoString redacts under %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue redacts in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText redacts in JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maxSecretFile bounds what ${file:...} reads; a secret is short, and /dev/zero is not one.
const maxSecretFile = 64 << 10

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// segment says which part of a scalar's raw text became which part of its expanded text.
type segment struct{ from, to, rawFrom, rawTo int }

type problem struct {
	what, fix string
	unset     bool // what the value is to be taken from is missing
}

// expander replaces ${NAME} and ${file:/path}. A lone $ stays as it is; $$ is one $.
type expander struct {
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
}

func (e expander) expand(raw string) (text string, segs []segment, replaced bool, problems []problem) {
	if !strings.Contains(raw, "$$") && !strings.Contains(raw, "${") {
		return raw, nil, false, nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); {
		next := strings.IndexByte(raw[i:], '$')
		if next < 0 {
			b.WriteString(raw[i:])
			break
		}
		b.WriteString(raw[i : i+next])
		i += next
		switch {
		case strings.HasPrefix(raw[i:], "$$"):
			segs = append(segs, segment{b.Len(), b.Len() + 1, i, i + 2})
			b.WriteByte('$')
			i += 2
		case strings.HasPrefix(raw[i:], "${"):
			end := strings.IndexByte(raw[i:], '}')
			if end < 0 {
				problems = append(problems, problem{what: "has a ${ without its }", fix: "close it, or write $${ for the text itself"})
				b.WriteString(raw[i:])
				i = len(raw)
				break
			}
			value, p := e.lookup(raw[i+2 : i+end])
			if p != nil {
				problems = append(problems, *p)
			}
			segs = append(segs, segment{b.Len(), b.Len() + len(value), i, i + end + 1})
			b.WriteString(value)
			replaced = true
			i += end + 1
		default:
			b.WriteByte('$')
			i++
		}
	}
	return b.String(), segs, replaced, problems
}

func (e expander) lookup(name string) (string, *problem) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		if path == "" {
			return "", &problem{what: "names no file in ${file:}", fix: "write ${file:/run/secrets/name}"}
		}
		if e.readFile == nil {
			return "", &problem{what: fmt.Sprintf("reads the file %s, which is not possible here", path), fix: "use a variable"}
		}
		data, err := e.readFile(path)
		switch {
		case err != nil:
			return "", &problem{fmt.Sprintf("reads the file %s: %v", path, err), "create it, or mend its path or rights", true}
		case len(data) > maxSecretFile:
			return "", &problem{what: fmt.Sprintf("reads the file %s, which is larger than 64 KiB", path), fix: "name a file that holds the value alone"}
		}
		// Editors and echo end a file with a newline that is no part of the secret.
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	if !variableName.MatchString(name) {
		return "", &problem{what: fmt.Sprintf("holds ${%s}, which is not a variable", name), fix: "write ${NAME} or ${file:/path}; $$ stands for one $"}
	}
	if e.env != nil {
		if v, ok := e.env(name); ok {
			return v, nil
		}
	}
	return "", &problem{fmt.Sprintf("uses ${%s}, and the environment variable %s is not set", name, name), "set " + name + " before the start", true}
}

var (
	reference   = regexp.MustCompile(`\$\{[^}]*\}`)
	dsnPassword = regexp.MustCompile(`(?i)\bpassword\s*=\s*('(?:[^'\\]|\\.)+'|[^\s']+)`)
)

// literalPassword tells whether the text as written in the file, before variables are put in, carries a password of a database address.
func literalPassword(raw string) bool {
	bare := reference.ReplaceAllString(raw, "")
	if strings.Contains(bare, "://") {
		u, err := url.Parse(bare)
		if err != nil {
			return false
		}
		if u.User != nil {
			if p, ok := u.User.Password(); ok && p != "" {
				return true
			}
		}
		return u.Query().Get("password") != ""
	}
	return dsnPassword.MatchString(bare)
}
