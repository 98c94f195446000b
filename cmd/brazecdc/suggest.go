package main

import (
	"net/mail"
	"regexp"
	"strings"
	"time"
)

// The share of sampled values that must fit a profile field: at or above likely the line is written, from possible up it is offered as a comment.
const (
	likely   = 0.95
	possible = 0.60
)

// presets are Braze's profile fields that a column is suggested for, each with the names it goes by, plainly written (see plainName), in English and
// German. The order is that of the written file.
var presets = []struct {
	field string
	names []string
	fits  func(string) bool // nil: any text
}{
	{"email", []string{"email", "mail", "emailaddress", "mailaddress"}, looksEmail},
	{"first_name", []string{"firstname", "vorname", "givenname", "fname", "forename"}, nil},
	{"last_name", []string{"lastname", "nachname", "surname", "lname", "familyname"}, nil},
	{"phone", []string{"phone", "tel", "mobile", "handy", "telefon", "phonenumber", "mobilephone", "telephone", "mobil"}, looksPhone},
	{"dob", []string{"dob", "geburtsdatum", "birthday", "born", "dateofbirth", "birthdate", "geburtstag"}, looksDate},
	{"gender", []string{"gender", "geschlecht", "sex"}, looksGender},
	{"country", []string{"country", "land", "countrycode"}, looksCountry},
	{"home_city", []string{"homecity", "city", "ort", "stadt", "town"}, nil},
	{"language", []string{"language", "sprache", "lang", "locale"}, looksLanguage},
	{"time_zone", []string{"timezone", "tz", "zeitzone"}, looksZone},
}

// privateWords mark a column whose name alone says that it should not leave the database.
var privateWords = []string{
	"password", "passwort", "passwd", "pwd", "token", "secret", "hash", "salt", "iban", "bic", "card", "cvc", "cvv", "ssn", "salary", "gehalt", "health",
	"gesundheit", "apikey", "credential", "taxid", "steuer", "passport", "ausweis", "religion", "diagnos", "otp", "totp", "privatekey", "session",
}

// consentNames belong to a subscription group, never to email_subscribe: a column that is false for everybody who did not tick a box would unsubscribe
// them from all mail.
var consentNames = []string{"newsletter", "optin", "newsletteroptin", "marketingoptin", "subscribed", "newslettersubscribed", "emailoptin"}

// plainName drops what naming styles differ in.
func plainName(column string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(strings.ToLower(column))
}

// looksPrivate tells whether a name says "private".
func looksPrivate(column string) bool {
	plain := plainName(column)
	for _, w := range privateWords {
		if strings.Contains(plain, w) {
			return true
		}
	}
	return false
}

func isConsent(column string) bool { return contains(consentNames, plainName(column)) }

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// suggestion is one profile field for one column.
type suggestion struct {
	field, column string
	share         float64 // of the sample that fits; 1 where nothing was sampled
	sampled       int
}

// suggest finds the profile fields of a table's columns by name, and judges each by sampled values. A field gets at most one column, the one whose name
// stands first among its names; a private-looking column gets none.
func suggest(columns []string, samples map[string][]string) []suggestion {
	var out []suggestion
	for _, p := range presets {
		best, rank := "", len(p.names)
		for _, c := range columns {
			if looksPrivate(c) || isConsent(c) {
				continue
			}
			plain := plainName(c)
			for i, n := range p.names {
				if n == plain && i < rank {
					best, rank = c, i
				}
			}
		}
		if best == "" {
			continue
		}
		s := suggestion{field: p.field, column: best, share: 1, sampled: len(samples[best])}
		if p.fits != nil && s.sampled > 0 {
			fit := 0
			for _, v := range samples[best] {
				if p.fits(v) {
					fit++
				}
			}
			s.share = float64(fit) / float64(s.sampled)
		}
		if s.share >= possible {
			out = append(out, s)
		}
	}
	return out
}

func looksEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && strings.Contains(s[strings.LastIndexByte(s, '@'):], ".")
}

var (
	phoneText    = regexp.MustCompile(`^\+?[0-9][0-9 ()/.-]{5,24}$`)
	countryText  = regexp.MustCompile(`^[A-Za-z]{2}$`)
	languageText = regexp.MustCompile(`^[a-z]{2}([-_][A-Za-z]{2,4})?$`)
	genderWords  = []string{"m", "f", "o", "n", "p", "male", "female", "other"}
)

func looksPhone(s string) bool    { return phoneText.MatchString(strings.TrimSpace(s)) }
func looksCountry(s string) bool  { return countryText.MatchString(s) }
func looksLanguage(s string) bool { return languageText.MatchString(s) }
func looksGender(s string) bool   { return contains(genderWords, strings.ToLower(s)) }

func looksDate(s string) bool {
	if len(s) < len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, s[:len(time.DateOnly)])
	return err == nil
}

func looksZone(s string) bool {
	if s == "" || s == "Local" {
		return false
	}
	_, err := time.LoadLocation(s)
	return err == nil
}
