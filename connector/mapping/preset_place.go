package mapping

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones must be known wherever rows are mapped

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// The languages, beside English and a place's own, in which names of countries and languages are read.
var readIn = []language.Tag{
	language.German, language.French, language.Spanish, language.Italian, language.Portuguese, language.Dutch, language.Polish, language.Japanese,
	language.Swedish, language.Danish, language.Turkish,
}

// otherCountryNames are English names that the tables spell otherwise or do not have.
var otherCountryNames = map[string]string{
	"usa": "US", "u.s.a.": "US", "u.s.": "US", "united states of america": "US", "america": "US", "uk": "GB", "u.k.": "GB", "great britain": "GB",
	"britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB", "czech republic": "CZ", "czechia": "CZ", "turkey": "TR",
	"türkiye": "TR", "turkiye": "TR", "the netherlands": "NL", "holland": "NL", "republic of ireland": "IE", "korea": "KR", "south korea": "KR",
	"republic of korea": "KR", "korea, republic of": "KR", "north korea": "KP", "russia": "RU", "russian federation": "RU", "viet nam": "VN", "vietnam": "VN",
	"hong kong": "HK", "macao": "MO", "macau": "MO", "taiwan": "TW", "ivory coast": "CI", "north macedonia": "MK", "macedonia": "MK", "eswatini": "SZ",
	"swaziland": "SZ", "cape verde": "CV", "cabo verde": "CV", "burma": "MM", "myanmar": "MM", "east timor": "TL", "palestine": "PS", "vatican": "VA",
	"vatican city": "VA", "holy see": "VA", "syrian arab republic": "SY", "iran, islamic republic of": "IR", "moldova, republic of": "MD",
	"tanzania, united republic of": "TZ", "bolivia, plurinational state of": "BO", "venezuela, bolivarian republic of": "VE", "brasil": "BR",
	"uae": "AE", "u.a.e.": "AE", "democratic republic of the congo": "CD", "republic of the congo": "CG", "china, people's republic of": "CN", "prc": "CN",
}

// names gathers names in lower case with the code they stand for. A name that stands for two codes stands for none; English goes before the others.
type names struct {
	codes  map[string]string
	fixed  map[string]bool // English, never given up
	unsure map[string]bool
}

func (n *names) add(name, code string, fixed bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	old, ok := n.codes[name]
	switch {
	case name == "" || n.fixed[name] || n.unsure[name]:
	case fixed:
		n.codes[name], n.fixed[name] = code, true
	case ok && old != code:
		delete(n.codes, name)
		n.unsure[name] = true
	default:
		n.codes[name] = code
	}
}

func newNames() *names {
	return &names{codes: map[string]string{}, fixed: map[string]bool{}, unsure: map[string]bool{}}
}

// twoLetters calls f with every pair of capital letters.
func twoLetters(f func(code string)) {
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			f(string(a) + string(b))
		}
	}
}

// countryCode gives ISO 3166-1's two letters for a code of two or three letters, "" where it is none.
func countryCode(s string) string {
	r, err := language.ParseRegion(s)
	if err != nil || !r.IsCountry() {
		return ""
	}
	code := r.Canonicalize().String()
	if len(code) != 2 || notISO[code] {
		return ""
	}
	return code
}

// notISO are the regions that Unicode's tables have beside those of ISO 3166-1.
var notISO = map[string]bool{"AC": true, "CP": true, "DG": true, "EA": true, "EU": true, "EZ": true, "IC": true, "QO": true, "TA": true, "UN": true, "XA": true, "XB": true, "XK": true, "ZZ": true}

// countryNames gives the two letters of a country by its name in lower case.
var countryNames = sync.OnceValue(func() map[string]string {
	n := newNames()
	for name, code := range otherCountryNames {
		n.add(name, code, true)
	}
	inEnglish := display.English.Regions()
	var others []display.Namer
	for _, t := range readIn {
		others = append(others, display.Regions(t))
	}
	var codes []string
	twoLetters(func(code string) {
		if countryCode(code) == code {
			codes = append(codes, code)
		}
	})
	for _, code := range codes {
		n.add(inEnglish.Name(language.MustParseRegion(code)), code, true)
	}
	for _, code := range codes {
		region := language.MustParseRegion(code)
		for _, o := range others {
			n.add(o.Name(region), code, false)
		}
		// The name that a country has in its own most likely language.
		if tag, err := language.Compose(language.Und, region); err == nil {
			if base, c := tag.Base(); c > language.No {
				if own := display.Regions(language.Make(base.String())); own != nil {
					n.add(own.Name(region), code, false)
				}
			}
		}
	}
	return n.codes
})

// appendCountry appends ISO 3166-1's two letters, from two or three letters or a name. Braze itself turns what it does not know into null without an error
// (Braze docs, "User attributes object").
func appendCountry(dst []byte, s string) ([]byte, string, bool) {
	s = strings.TrimSpace(s)
	code := ""
	if n := len(s); (n == 2 || n == 3) && letters(s) {
		code = countryCode(s)
	}
	if code == "" {
		code = countryNames()[strings.ToLower(s)]
	}
	if code == "" {
		return dst, "not a country of ISO 3166", false
	}
	return append(append(append(dst, '"'), code...), '"'), "", true
}

// languageNames gives the two letters of a language by its name in lower case.
var languageNames = sync.OnceValue(func() map[string]string {
	n := newNames()
	inEnglish := display.English.Languages()
	var others []display.Namer
	for _, t := range readIn {
		others = append(others, display.Languages(t))
	}
	var tags []language.Tag
	twoLetters(func(code string) {
		code = strings.ToLower(code)
		if b, err := language.ParseBase(code); err == nil && b.String() == code {
			tags = append(tags, language.Make(code))
		}
	})
	for _, t := range tags {
		n.add(inEnglish.Name(t), t.String(), true)
	}
	for _, t := range tags {
		for _, o := range others {
			n.add(o.Name(t), t.String(), false)
		}
		n.add(display.Self.Name(t), t.String(), false)
	}
	return n.codes
})

// appendLanguage appends ISO 639-1's two letters, from a language, a locale or a name ("de", "DE", "deu", "de-AT", "de_AT.UTF-8", "German", "Deutsch").
func appendLanguage(dst []byte, s string) ([]byte, string, bool) {
	name := strings.ToLower(strings.TrimSpace(s))
	s, _, _ = strings.Cut(name, ".")
	s, _, _ = strings.Cut(strings.ReplaceAll(s, "_", "-"), "-")
	code := ""
	if n := len(s); (n == 2 || n == 3) && letters(s) {
		if tag, err := language.Parse(s); err == nil {
			if b, c := tag.Base(); c == language.Exact && len(b.String()) == 2 {
				code = b.String()
			}
		}
	}
	if code == "" {
		code = languageNames()[name]
	}
	if len(code) != 2 {
		return dst, "not a language of ISO 639-1", false
	}
	return append(append(append(dst, '"'), code...), '"'), "", true
}

// railsZones are the American names, and some others, that Ruby on Rails writes for zones, as Braze's page shows one.
var railsZones = map[string]string{
	"eastern time (us & canada)": "America/New_York", "central time (us & canada)": "America/Chicago", "mountain time (us & canada)": "America/Denver",
	"pacific time (us & canada)": "America/Los_Angeles", "arizona": "America/Phoenix", "alaska": "America/Juneau", "hawaii": "Pacific/Honolulu",
	"atlantic time (canada)": "America/Halifax", "newfoundland": "America/St_Johns", "london": "Europe/London", "dublin": "Europe/Dublin",
	"paris": "Europe/Paris", "berlin": "Europe/Berlin", "madrid": "Europe/Madrid", "rome": "Europe/Rome", "amsterdam": "Europe/Amsterdam",
	"vienna": "Europe/Vienna", "stockholm": "Europe/Stockholm", "warsaw": "Europe/Warsaw", "athens": "Europe/Athens", "istanbul": "Europe/Istanbul",
	"moscow": "Europe/Moscow", "tokyo": "Asia/Tokyo", "osaka": "Asia/Tokyo", "seoul": "Asia/Seoul", "beijing": "Asia/Shanghai", "hong kong": "Asia/Hong_Kong",
	"singapore": "Asia/Singapore", "new delhi": "Asia/Kolkata", "mumbai": "Asia/Kolkata", "sydney": "Australia/Sydney", "melbourne": "Australia/Melbourne",
	"auckland": "Pacific/Auckland", "brasilia": "America/Sao_Paulo", "mexico city": "America/Mexico_City",
}

// zones remembers under which name a time zone is known, "" for none, since looking one up reads a file. Rows decide the names, so it is bounded.
var zones = struct {
	sync.Mutex
	known map[string]string
}{known: map[string]string{}}

// appendTimeZone appends a time zone by its name in the IANA database, whatever the case it is written in.
func appendTimeZone(dst []byte, s string) ([]byte, string, bool) {
	name := knownZone(strings.TrimSpace(s))
	if name == "" {
		return dst, "not a time zone of the IANA database", false
	}
	return appendString(dst, name), "", true
}

func knownZone(s string) string {
	if s == "" || len(s) > 64 {
		return ""
	}
	zones.Lock()
	defer zones.Unlock()
	name, ok := zones.known[s]
	if !ok {
		name = railsZones[strings.ToLower(s)]
		for _, form := range []string{s, strings.ToUpper(s), zoneCase(s), zoneCase(strings.ReplaceAll(s, " ", "_"))} {
			if name == "" && loads(form) {
				name = form
			}
		}
		if len(zones.known) > 4096 {
			clear(zones.known)
		}
		zones.known[strings.Clone(s)] = name
	}
	return name
}

// loads tells whether the name is one of the database's; a system's folder also has copies of all zones, and files that are none.
func loads(name string) bool {
	lower := strings.ToLower(name)
	switch {
	case lower == "local", lower == "factory", lower == "posixrules", lower == "localtime", strings.HasPrefix(lower, "posix/"), strings.HasPrefix(lower, "right/"):
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// zoneCase writes a zone's name as the database does: words with a capital, but for the small ones inside, and US.
func zoneCase(s string) string {
	b := []byte(strings.ToLower(s))
	for from := 0; from < len(b); {
		to := from
		for to < len(b) && b[to] != '/' && b[to] != '_' && b[to] != '-' {
			to++
		}
		switch word := string(b[from:to]); {
		case word == "us" && from == 0:
			copy(b, "US")
		case from > 0 && (word == "of" || word == "es" || word == "au"):
		case to > from && b[from] >= 'a' && b[from] <= 'z':
			b[from] -= 'a' - 'A'
		}
		from = to + 1
	}
	return string(b)
}
