package mapping

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxEmail    = 254  // bytes (RFC 5321, a path without its brackets)
	maxLocal    = 64   // bytes before the @ (RFC 5321)
	maxImageURL = 1024 // characters (Braze docs, "Standard attributes")
)

// appendEmail appends an address in lower case without blanks around it, if its syntax is one that Braze takes (Braze docs, "Email validation"): before the
// @ any characters but blanks and brackets, for Gmail two at least; behind it ASCII labels with a top-level domain of letters or in Punycode. An address
// that Braze refuses would cost the whole row, and one with blanks inside the whole call.
func appendEmail(dst []byte, s string) ([]byte, string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > maxLocal || len(s) > maxEmail || !utf8.ValidString(s) || !goodLocal(s[:at]) || !goodHost(s[at+1:]) ||
		at == 1 && s[2:] == "gmail.com" {
		return dst, "not an e-mail address", false
	}
	return appendString(dst, s), "", true
}

func goodLocal(s string) bool {
	if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`@()<>[],;:\"`, r)
	})
}

func goodHost(s string) bool {
	labels := 0
	for more := true; more; labels++ {
		var l string
		if l, s, more = strings.Cut(s, "."); len(l) < 1 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if (l[i] < 'a' || l[i] > 'z') && (l[i] < '0' || l[i] > '9') && l[i] != '-' {
				return false
			}
		}
		if !more && (len(l) < 2 || !strings.HasPrefix(l, "xn--") && !letters(l)) {
			return false // no top-level domain, or an IP address
		}
	}
	return labels >= 2
}

func letters(s string) bool {
	for i := range len(s) {
		if b := s[i] | 0x20; b < 'a' || b > 'z' {
			return false
		}
	}
	return true
}

// genders are what people write for Braze's five letters (Braze docs, "User attributes object"); "" is Braze's null for unknown.
var genders = map[string]string{
	"m": "M", "male": "M", "man": "M", "mr": "M", "boy": "M", "männlich": "M", "mann": "M", "herr": "M", "homme": "M", "masculin": "M", "hombre": "M",
	"masculino": "M", "maschio": "M", "男": "M", "男性": "M",
	"f": "F", "female": "F", "woman": "F", "mrs": "F", "ms": "F", "girl": "F", "w": "F", "weiblich": "F", "frau": "F", "femme": "F", "féminin": "F",
	"mujer": "F", "femenino": "F", "feminino": "F", "femmina": "F", "女": "F", "女性": "F",
	"o": "O", "other": "O", "d": "O", "diverse": "O", "divers": "O", "non-binary": "O", "nonbinary": "O", "non binary": "O", "autre": "O", "otro": "O",
	"n": "N", "n/a": "N", "na": "N", "not applicable": "N", "not_applicable": "N",
	"p": "P", "prefer not to say": "P", "prefer_not_to_say": "P", "undisclosed": "P",
	"u": "", "unknown": "", "unspecified": "", "not specified": "", "unbekannt": "",
}

func appendGender(dst []byte, s string) ([]byte, string, bool) {
	switch g, ok := genders[strings.ToLower(strings.TrimSpace(s))]; {
	case !ok:
		return dst, "not one of M, F, O, N, P, nor a word for one", false
	case g == "":
		return append(dst, jsonNull...), "", true
	default:
		return append(append(append(dst, '"'), g...), '"'), "", true
	}
}

func appendImageURL(dst []byte, s string) ([]byte, string, bool) {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	switch {
	case err != nil || !utf8.ValidString(s) || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.ContainsFunc(s, unicode.IsSpace):
		return dst, "not an http or https URL", false
	case u.User != nil:
		return dst, "a URL with a user name or password in it", false
	case utf8.RuneCountInString(s) > maxImageURL:
		return dst, "a URL longer than 1,024 characters", false
	}
	return appendString(dst, s), "", true
}
