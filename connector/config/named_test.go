package config

import (
	"errors"
	"testing"
)

func TestWhatAReferenceStandsForIsNotTold(t *testing.T) {
	named := Named([]byte("table: ${KEY}\nslot: x_${file:/run/secrets/a}\nsmall: ${SMALL}\nnone: ${NONE}\n"),
		func(name string) (string, bool) {
			v, ok := map[string]string{"KEY": "public.hush", "SMALL": "to"}[name]
			return v, ok
		},
		func(path string) ([]byte, error) {
			if path != "/run/secrets/a" {
				return nil, errors.New("no")
			}
			return []byte("two\nlines\n"), nil
		})
	for said, want := range map[string]string{
		`table "public.hush" does not exist`:                  `table "${KEY}" does not exist`,
		`GRANT SELECT ON "public"."hush" TO shop;`:            `GRANT SELECT ON ${KEY} TO shop;`,
		`slot "x_two\nlines" does not exist yet`:              `slot "x_${file:/run/secrets/a}" does not exist yet`,
		"the table public.users stands where it always stood": "the table public.users stands where it always stood",
		"something to do":                                     "something to do",
	} {
		if got := named(said); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
