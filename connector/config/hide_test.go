package config

import (
	"errors"
	"strings"
	"testing"
)

func TestKeepSecrets(t *testing.T) {
	const file = "version: 1\nbraze:\n  endpoint: https://rest.iad-01.braze.com\n  api_key: ${BRAZE_API_KEY} # of the vault\n  workspace: shop\n"
	moved := strings.Replace(file, "iad-01", "fra-01", 1)
	t.Run("what is hidden comes back", func(t *testing.T) {
		literal := strings.Replace(file, "${BRAZE_API_KEY}", "abc-def", 1)
		shown := HideSecrets([]byte(literal))
		if strings.Contains(string(shown), "abc-def") {
			t.Fatalf("shown: %s", shown)
		}
		got, err := KeepSecrets([]byte(strings.Replace(string(shown), "shop", "store", 1)), []byte(literal))
		if want := strings.Replace(literal, "shop", "store", 1); err != nil || string(got) != want {
			t.Errorf("got %s (%v), want %s", got, err, want)
		}
	})
	for name, from := range map[string]string{"a reference": file, "a hidden key": strings.Replace(file, "${BRAZE_API_KEY}", "abc-def", 1)} {
		t.Run(name+" does not go along to another address", func(t *testing.T) {
			edited := strings.Replace(string(HideSecrets([]byte(from))), "iad-01", "fra-01", 1)
			_, err := KeepSecrets([]byte(edited), []byte(from))
			var f Fault
			if !errors.As(err, &f) || f.Path != "braze.api_key" || f.Line != 4 {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("another reference does", func(t *testing.T) {
		edited := strings.Replace(moved, "BRAZE_API_KEY", "BRAZE_FRA_KEY", 1)
		if got, err := KeepSecrets([]byte(edited), []byte(file)); err != nil || string(got) != edited {
			t.Errorf("got %s (%v)", got, err)
		}
	})
	t.Run("with the address as it was, all else may change", func(t *testing.T) {
		edited := strings.Replace(file, "shop", "store", 1)
		if got, err := KeepSecrets([]byte(edited), []byte(file)); err != nil || string(got) != edited {
			t.Errorf("got %s (%v)", got, err)
		}
	})
}
