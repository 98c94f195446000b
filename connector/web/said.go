package web

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
)

// What the connector says of its own work, it says in English where it finds it: a finding of "brazecdc check", a fault of the configuration, why a value was
// left out, why a change is held back, an error. The log, the command line and the records on disk keep that sentence. A page says it in its reader's language:
// lang/<language>/said/*.yaml has the English sentence as the code has it, with {0}, {1}, ... where the code fills something in, and beside it the other
// language's. So a sentence has no other key than itself, what a record of last month says is still understood, and a test finds each sentence of the code that
// lacks a translation. What others say (Postgres, Kafka, Braze) is put in as it is.

// sayings are the sentences of one language.
type sayings struct {
	whole map[string]string // without gaps
	gaps  []saying          // the most telling first
}

// saying is one sentence with gaps: what stands around them, and the other language's.
type saying struct {
	parts []string
	text  string
}

var gapSign = regexp.MustCompile(`\{\d+\}`)

// loadSayings reads the sentences of a language; English needs none.
func loadSayings(lang string) (*sayings, error) {
	s := &sayings{whole: map[string]string{}}
	files, err := fs.Glob(langFiles, "lang/"+lang+"/said/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list what is said in %s: %w", lang, err)
	}
	for _, name := range files {
		b, err := langFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		var texts map[string]string
		if err := yaml.Unmarshal(b, &texts); err != nil {
			return nil, fmt.Errorf("read %s: %w", path.Base(name), err)
		}
		for english, text := range texts {
			if parts := gapSign.Split(english, -1); len(parts) > 1 {
				s.gaps = append(s.gaps, saying{parts, text})
			} else {
				s.whole[english] = text
				if kind := connector.ReasonKind(english); kind != english { // as groups of held back changes have it
					s.whole[kind] = connector.ReasonKind(text)
				}
			}
		}
	}
	slices.SortFunc(s.gaps, func(a, b saying) int {
		x, y := strings.Join(a.parts, "\x00"), strings.Join(b.parts, "\x00")
		return cmp.Or(cmp.Compare(len(y)-len(b.parts), len(x)-len(a.parts)), cmp.Compare(x, y))
	})
	return s, nil
}

// match gives what stands in the gaps, and whether the text is this sentence.
func (s *saying) match(text string) ([]string, bool) {
	last := len(s.parts) - 1
	if !strings.HasPrefix(text, s.parts[0]) || !strings.HasSuffix(text[len(s.parts[0]):], s.parts[last]) {
		return nil, false
	}
	rest := text[len(s.parts[0]) : len(text)-len(s.parts[last])]
	args := make([]string, 0, last)
	for _, part := range s.parts[1:last] {
		before, after, ok := strings.Cut(rest, part)
		if !ok {
			return nil, false
		}
		args, rest = append(args, before), after
	}
	args = append(args, rest)
	if s.short() && slices.ContainsFunc(args, func(a string) bool { return !oneWord.MatchString(a) }) {
		return nil, false
	}
	return args, true
}

// oneWord is what can stand in the gap of a sentence that is hardly more than that: a word, or something in quotes.
var oneWord = regexp.MustCompile(`^("[^"]*"|[^ ]+)$`)

// short tells that a sentence says so little that much else looks like it.
func (s *saying) short() bool { return len(strings.Join(s.parts, "")) < 6 }

// sentence gives a text that is one sentence, or one with others in its gaps.
func (s *sayings) sentence(text string) (string, bool) {
	if t, ok := s.whole[text]; ok {
		return t, true
	}
	for i := range s.gaps {
		args, ok := s.gaps[i].match(text)
		if !ok || s.gaps[i].parts[0] == "" && !s.begins(args[0], s.gaps[i].counts()) {
			continue
		}
		parts := s.gaps[i].parts
		return fill(s.gaps[i].text, func(i int) (string, bool) {
			if i >= len(args) {
				return "", false
			}
			if named.MatchString(parts[i]) && !strings.Contains(args[i], " ") {
				return args[i], true
			}
			return s.text(args[i]), true
		}), true
	}
	return "", false
}

// named ends with what the next word is the name of, such as a column. A column that is called deleted stays so.
var named = regexp.MustCompile(`(?:^|[ (])(?:attribute|by|called|catalog|column|columns|database|entry|event|field|file|from|group|in|key|lacks|load|model|of|on|out|partition|process|publication|reads|role|row|rows|` +
	`slot|table|to|topic|type|user|and|or) $`)

// counts tells that a sentence is a number of something.
func (s *saying) counts() bool {
	return len(s.parts) == 2 && strings.Count(s.parts[1], " ") == strings.Count(s.parts[1][:min(1, len(s.parts[1]))], " ")
}

// begins tells whether a text can stand at the beginning of a sentence: a number where something is counted, else no other sentence, or one of ours.
func (s *sayings) begins(text string, counted bool) bool {
	if counted && strings.Trim(text, "0123456789") != "" {
		return false
	}
	if strings.Contains(text, ": ") || strings.Contains(text, "; ") {
		_, ok := s.one(text)
		return ok
	}
	return text != ""
}

// topSettings are those of the file that stand in no section.
var topSettings = strings.Fields("version braze source data cache limits quarantine never_send only_users load_mark log web ops models")

const (
	maxSaid   = 4096 // bytes; what is longer is no sentence of ours
	maxPieces = 24   // of a text that is several sentences
)

var (
	pieceEnd  = regexp.MustCompile(`;?  -- |: |; |\n *| \(`)
	wordList  = regexp.MustCompile(`^[^ ]+(, [^ ]+)* or [^ ]+$`)                      // words of the file, of which one is to be chosen
	aboutPath = regexp.MustCompile(`^((?:[a-z_]+(?:\[[^\]]*\])?)(?:\.[^ ]+)*) (.+)$`) // of a setting, before what is said of it
)

// text gives a text in the language: as one sentence, or as several with ": " or the like between; what is no sentence of ours stays as it is.
func (s *sayings) text(text string) string {
	if len(text) > maxSaid || len(text) < 2 || strings.HasPrefix(text, `"`) && strings.Count(text, `"`) == 2 && strings.HasSuffix(text, `"`) {
		return text
	}
	if t, ok := s.one(text); ok {
		return t
	}
	if wordList.MatchString(text) {
		return strings.Replace(text, " or ", s.whole[" or "], 1)
	}
	ends := pieceEnd.FindAllStringIndex(text, maxPieces)
	for _, e := range ends {
		if text[e[1]-1] == '(' {
			e[1]-- // it begins the next piece
		}
	}
	ends = append(ends, []int{len(text), len(text)})
	var b strings.Builder
	known := false
	for i, start := 0, 0; i < len(ends); {
		to := -1
		for j := len(ends) - 1; j >= i && to < 0; j-- { // the longest run of pieces that is a sentence
			if start == 0 && j == len(ends)-1 {
				continue // that is the whole text
			}
			if t, ok := s.one(text[start:ends[j][0]]); ok {
				b.WriteString(t)
				to, known = j, true
			}
		}
		if to < 0 {
			to = i
			b.WriteString(text[start:ends[i][0]])
		}
		b.WriteString(text[ends[to][0]:ends[to][1]])
		i, start = to+1, ends[to][1]
	}
	if !known {
		return text
	}
	return b.String()
}

// one is sentence, also where the path of a setting stands before it.
func (s *sayings) one(text string) (string, bool) {
	if t, ok := s.sentence(text); ok {
		return t, true
	}
	if m := aboutPath.FindStringSubmatch(text); m != nil && (strings.ContainsAny(m[1], ".[") || slices.Contains(topSettings, m[1])) {
		if t, ok := s.sentence(m[2]); ok {
			return m[1] + " " + t, true
		}
	}
	const path = "§ " // it stands elsewhere on the page
	if t, ok := s.sentence(path + text); ok && !strings.HasPrefix(text, path) {
		if t, ok = strings.CutPrefix(t, path); ok {
			return t, true
		}
	}
	return "", false
}

// said keeps the sentences of each language from when a page first needs them.
type said struct {
	mu   sync.Mutex
	read map[string]*sayings
}

// in gives the sentences of a language, nil where they are the code's own.
func (x *said) in(lang string) *sayings {
	if lang == languages[0] {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s, ok := x.read[lang]
	if !ok {
		var err error
		if s, err = loadSayings(lang); err != nil {
			s = nil // a test reads them all; English is better than no page
		}
		if x.read == nil {
			x.read = map[string]*sayings{}
		}
		x.read[lang] = s
	}
	return s
}

// said gives what the connector says in English in the reader's language.
func (r *request) said(text string) string {
	s := r.s.said.in(r.Lang)
	if s == nil {
		return text
	}
	return s.text(text)
}

// saidError is said of an error.
func (r *request) saidError(err error) string { return r.said(err.Error()) }

// gap writes the sign of a gap.
func gap(i int) string { return "{" + strconv.Itoa(i) + "}" }

// capital has a sentence begin with a capital letter, unless its first word is a name.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	word, _, _ := strings.Cut(text, " ")
	if !unicode.IsLower(first) || strings.ContainsAny(word, "_./[=") {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
