package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	words := func(s string) []string { return strings.Fields(s) }
	for _, c := range []struct {
		name    string
		columns string
		samples map[string][]string
		want    string
	}{
		{"knows English names in any style", "E-Mail firstName LAST_NAME", nil, "email:E-Mail first_name:firstName last_name:LAST_NAME"},
		{"knows German names", "vorname nachname geburtsdatum ort sprache", nil, "first_name:vorname last_name:nachname dob:geburtsdatum home_city:ort language:sprache"},
		{"takes the plainest of two columns", "mail email", nil, "email:email"},
		{"leaves private columns alone", "email_hash phone_token password", nil, ""},
		{"leaves consent alone", "newsletter opt_in", nil, ""},
		{"takes nothing by part of a name", "email_verified telemetry citycode", nil, ""},
		{"drops a column whose values do not fit", "email", map[string][]string{"email": words("a b c@d.org")}, ""},
		{"keeps a column whose values mostly fit", "email", map[string][]string{"email": words("a@b.org b@c.org c@d.org x")}, "email:email(0.75)"},
		{"judges dates", "born", map[string][]string{"born": words("1990-02-30 1990-02-01T00:00:00 1990-02-01")}, "dob:born(0.67)"},
		{"judges time zones", "tz", map[string][]string{"tz": words("Europe/Berlin UTC")}, "time_zone:tz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range suggest(words(c.columns), c.samples) {
				text := s.field + ":" + s.column
				if s.share < 1 {
					text += fmt.Sprintf("(%.2f)", s.share)
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), c.want)
			}
		})
	}
}
