package mapping

import (
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"brazecdc/connector"
)

// preset describes one of Braze's own profile fields (Braze docs, "User attributes object").
type preset struct {
	convert converter
	later   bool // known, but not mapped by this version
}

var presets = map[string]preset{
	"email":                         {convert: onText(appendEmail)},
	"phone":                         {convert: (*settings).appendPhone},
	"first_name":                    {convert: (*settings).appendAsText},
	"last_name":                     {convert: (*settings).appendAsText},
	"home_city":                     {convert: (*settings).appendAsText},
	"dob":                           {convert: (*settings).appendDOB},
	"gender":                        {convert: onText(appendGender)},
	"country":                       {convert: onText(appendCountry)},
	"language":                      {convert: onText(appendLanguage)},
	"time_zone":                     {convert: onText(appendTimeZone)},
	"email_open_tracking_disabled":  {convert: converters["bool"]},
	"email_click_tracking_disabled": {convert: converters["bool"]},
	"marked_email_as_spam_at":       {convert: converters["time"]},
	"date_of_first_session":         {convert: converters["time"]},
	"date_of_last_session":          {convert: converters["time"]},
	"current_location":              {convert: converters["object"]},
	"facebook":                      {convert: converters["object"]},
	"twitter":                       {convert: converters["object"]},
	"email_subscribe":               {later: true},
	"push_subscribe":                {later: true},
	"subscription_groups":           {later: true},
	"push_tokens":                   {later: true},
}

// identifiers and controls of a user object that are no attributes.
var reserved = map[string]string{
	"external_id": "identify", "user_alias": "identify", "alias_name": "identify", "alias_label": "identify", "braze_id": "identify",
	"_update_existing_only": "mode", "_merge_objects": "nested", "push_token_import": "",
}

func presetNames() []string {
	names := make([]string, 0, len(presets))
	for n := range presets {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// onText makes a converter of one that works on text; other scalars are refused, since none of these fields is one.
func onText(f func(dst []byte, s string) ([]byte, string, bool)) converter {
	return func(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		switch v.Kind {
		case connector.KindText:
			return f(dst, v.Str)
		case connector.KindJSON:
			if t, ok := jsonText(v.Str); ok {
				return f(dst, t)
			}
		}
		return dst, "not text", false
	}
}

// appendEmail appends an address in lower case without blanks around it, if its syntax is one that Braze takes (Braze docs, "Email validation"):
// any characters but blanks and brackets before the @, a host name of ASCII labels with a top-level domain behind it.
func appendEmail(dst []byte, s string) ([]byte, string, bool) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > maxString || !utf8.ValidString(s) || !goodLocal(s[:at]) || !goodHost(s[at+1:]) {
		return dst, "not an e-mail address", false
	}
	return appendString(dst, strings.ToLower(s)), "", true
}

func goodLocal(s string) bool {
	if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`@()<>[],;:\"`, r) })
}

func goodHost(s string) bool {
	labels := 0
	for more := true; more; labels++ {
		var l string
		if l, s, more = strings.Cut(s, "."); len(l) < 1 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if b := l[i] | 0x20; (b < 'a' || b > 'z') && (l[i] < '0' || l[i] > '9') && l[i] != '-' {
				return false
			}
		}
		if !more && (len(l) < 2 || !strings.ContainsFunc(l, func(r rune) bool { return r > '9' })) {
			return false // no top-level domain, or an IP address
		}
	}
	return labels >= 2
}

var genders = map[string]string{
	"m": "M", "male": "M", "man": "M", "f": "F", "female": "F", "woman": "F", "o": "O", "other": "O", "diverse": "O",
	"n": "N", "not applicable": "N", "p": "P", "prefer not to say": "P",
}

func appendGender(dst []byte, s string) ([]byte, string, bool) {
	if g, ok := genders[strings.ToLower(strings.TrimSpace(s))]; ok {
		return append(append(append(dst, '"'), g...), '"'), "", true
	}
	return dst, "not one of M, F, O, N, P", false
}

// countryNames gives the two letters of a country by its English name in lower case.
var countryNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{"usa": "US", "uk": "GB", "great britain": "GB", "czech republic": "CZ", "turkey": "TR"}
	english := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			r, err := language.ParseRegion(code)
			if err != nil || r.Canonicalize().String() != code || !r.IsCountry() {
				continue
			}
			if n := english.Name(r); n != "" {
				names[strings.ToLower(n)] = code
			}
		}
	}
	return names
})

// appendCountry appends ISO 3166-1's two letters, from two or three letters or the English name.
func appendCountry(dst []byte, s string) ([]byte, string, bool) {
	s = strings.TrimSpace(s)
	code := ""
	if n := len(s); (n == 2 || n == 3) && letters(s) {
		if r, err := language.ParseRegion(s); err == nil && r.IsCountry() {
			code = r.Canonicalize().String()
		}
	}
	if code == "" {
		code = countryNames()[strings.ToLower(s)]
	}
	if len(code) != 2 {
		return dst, "not a country of ISO 3166", false
	}
	return append(append(append(dst, '"'), code...), '"'), "", true
}

func letters(s string) bool {
	for i := range len(s) {
		if b := s[i] | 0x20; b < 'a' || b > 'z' {
			return false
		}
	}
	return true
}

// appendLanguage appends ISO 639-1's two letters, from a language or a locale ("de", "DE", "deu", "de-AT", "de_AT.UTF-8").
func appendLanguage(dst []byte, s string) ([]byte, string, bool) {
	s, _, _ = strings.Cut(strings.TrimSpace(s), ".")
	s, _, _ = strings.Cut(strings.ReplaceAll(s, "_", "-"), "-")
	if n := len(s); (n == 2 || n == 3) && letters(s) {
		if b, err := language.ParseBase(strings.ToLower(s)); err == nil && len(b.String()) == 2 {
			return append(append(append(dst, '"'), b.String()...), '"'), "", true
		}
	}
	return dst, "not a language of ISO 639-1", false
}

// zones remembers which names of time zones are known, since looking one up reads a file. Rows decide the names, so it is bounded.
var zones = struct {
	sync.Mutex
	known map[string]bool
}{known: map[string]bool{}}

func appendTimeZone(dst []byte, s string) ([]byte, string, bool) {
	s = strings.TrimSpace(s)
	if !knownZone(s) {
		return dst, "not a time zone of the IANA database", false
	}
	return appendString(dst, s), "", true
}

func knownZone(name string) bool {
	if name == "" || name == "Local" || len(name) > 64 {
		return false
	}
	zones.Lock()
	defer zones.Unlock()
	known, ok := zones.known[name]
	if !ok {
		_, err := time.LoadLocation(name)
		known = err == nil
		if len(zones.known) > 4096 {
			clear(zones.known)
		}
		zones.known[name] = known
	}
	return known
}
