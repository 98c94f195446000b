package web

import "testing"

func TestWhatIsSaidInGerman(t *testing.T) {
	s, err := loadSayings("de")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, english, want string }{
		{"a sentence", "not an e-mail address", "keine E-Mail-Adresse"},
		{"a sentence with gaps", `slot "brazecdc" does not exist yet; run creates it`, `den Slot "brazecdc" gibt es noch nicht; run legt ihn an`},
		{"a sentence with another in its gap", "3 models fit the tables", "3 Modelle passen zu den Tabellen"},
		{"the path of a setting before it", `models[0].fields.email is missing`, `models[0].fields.email fehlt`},
		{"a fault as the file's reader prints it", `brazecdc.yaml:3:5: braze.rate.share is "x", not text; put quotes around it`, `brazecdc.yaml:3:5: braze.rate.share ist "x", kein Text; in Anführungszeichen setzen`},
		{"an error with its cause, which others said", `read rows of public.users: ERROR: permission denied for table users (SQLSTATE 42501)`, `Zeilen von public.users lesen: ERROR: permission denied for table users (SQLSTATE 42501)`},
		{"a comment behind a statement", `ALTER PUBLICATION brazecdc ADD TABLE "public"."users";  -- as its owner`, `ALTER PUBLICATION brazecdc ADD TABLE "public"."users";  -- als Eigentümer`},
		{"a field and its reason", `field "email": not an e-mail address`, `Feld "email": keine E-Mail-Adresse`},
		{"a reason without values, as viewers see it", "longer than … characters", "länger als … Zeichen"},
		{"an addition in brackets", `https://x.example is not a Braze REST endpoint (it redirects to https://y.example)`, `https://x.example ist kein REST-Endpunkt von Braze (leitet um nach https://y.example)`},
		{"a fault whose path stands elsewhere", "is not a setting", "ist keine Einstellung"},
		{"a sentence behind its path is no part of another one", `models[0].fields.x: there is no column "frist" in public.users`, `models[0].fields.x: eine Spalte "frist" gibt es in public.users nicht`},
		{"a list of words of the file", "choose string, number, bool, time or geo", "string, number, bool, time oder geo wählen"},
		{"a sentence that another one begins", `delete without id: the old image carries only the key, and the row is not known to have been sent; ALTER TABLE public.users REPLICA IDENTITY FULL lets deletes carry it`,
			`Löschung ohne id: Das alte Abbild trägt nur den Schlüssel, und dass die Zeile gesendet wurde, ist nicht bekannt; mit ALTER TABLE public.users REPLICA IDENTITY FULL tragen Löschungen sie`},
		{"what the network says", "dial tcp 127.0.0.1:1: connect: connection refused", "dial tcp 127.0.0.1:1: connect: connection refused"},
		{"a value of a row", `"not a number"`, `"not a number"`},
		{"what others say", "Braze says something new", "Braze says something new"},
		{"a column that is called as a word of ours", "column deleted is not in the change and has to be read", "die Spalte deleted steht nicht in der Änderung und muss gelesen werden"},
		{"a model that is called so", "entry 5 belongs to model update, which the configuration has no more; discard it, or bring the model back",
			"der Eintrag 5 gehört zum Modell update, das die Konfiguration nicht mehr hat; ihn verwerfen, oder das Modell zurückholen"},
		{"a table that is called so", "publication granted lacks empty; run adds it", "der Publikation granted fehlt empty; run fügt sie hinzu"},
		{"what looks like our markup", "publication {0} exists", "die Publikation {0} ist da"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.text(c.english); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func BenchmarkSaid(b *testing.B) {
	s, err := loadSayings("de")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.text(`brazecdc.yaml:3:5: braze.rate.share is "x", not text; put quotes around it`)
	}
}
