package main

import (
	"os"
	"strings"
	"testing"
)

// shopSchema is a table of customers with German and English names, some misfits, and things that must stay where they are.
const shopSchema = `
CREATE TABLE customers (id bigint PRIMARY KEY, email text, vorname text, born date, mobile text, plan text, credits numeric(12,2), newsletter boolean, tags text[],
	password_hash text, iban text, last_order timestamptz, updated_at timestamptz);
INSERT INTO customers SELECT i, CASE WHEN i % 25 = 0 THEN 'keine Adresse' ELSE 'kundin' || i || '@beispiel.de' END, (ARRAY['Anna', 'Ben', 'Clara'])[1 + i % 3],
	date '1960-01-01' + i, '+49 170 ' || (1000000 + i), (ARRAY['free', 'pro', 'team'])[1 + i % 3], i * 10, i % 2 = 0, ARRAY['a', 'b'], 'geheim' || i, 'DE89' || i,
	now() - (i % 90) * interval '1 day', now() - i * interval '1 hour' FROM generate_series(1, 300) i;
CREATE TABLE notes (at timestamptz, what text);
ANALYZE;`

// shopBench is a database of customers and a configuration without models.
func shopBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, plainModel)
	b.exec(shopSchema)
	b.write(b.text[:strings.Index(b.text, "models:")] + "never_send: [password_hash]\nmodels: []\n")
	return b
}

func TestModelsInBrowser(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "de"} {
		t.Run("from a table to a preview, in "+lang, func(t *testing.T) {
			t.Parallel()
			b := shopBench(t)
			_, base := startUI(t, b.env, b.config())
			w := newBrowser(t, base, lang)
			word := func(en, de string) string {
				if lang == "de" {
					return de
				}
				return en
			}
			// fair sees that the page is fit for everyone, on a desk and a phone, in light and dark.
			fair := func(name string) {
				t.Helper()
				w.fits()
				w.axe()
				w.shot("models_" + name + "_" + lang + "_desk")
				w.dark(true)
				w.axe()
				w.dark(false)
				w.size(360, 800)
				w.fits()
				w.axe()
				w.shot("models_" + name + "_" + lang + "_phone")
				w.size(1280, 900)
				w.quiet()
			}
			w.open("/models")
			w.see(word("No models yet", "Noch keine Modelle"))
			fair("empty")
			w.click(`a[href="/models/-/add"]`)
			w.see("public.customers", "public.notes")
			fair("tables")
			w.click(`a[href="/models/-/add?table=public.customers"]`)
			w.see("kundin299@beispiel.de", word("Deleted row: the profile and its whole history are deleted", "das Profil und seine ganze Historie werden in Braze endgültig gelöscht"))
			if eval[int](w, `document.querySelectorAll('input[name=mode]:checked').length`) != 0 {
				t.Error("a mode is chosen already")
			}
			fair("add")
			w.click(`.add-form button.primary`)
			w.see(word("Choose what brazecdc may do", "Wählen Sie, was brazecdc in Braze tun darf"))
			w.click(`label[for="mode-sync"]`)
			w.click(`label[for="load-none"]`)
			w.click(`.add-form button.primary`)
			w.see(word("What Braze would get", "Was Braze bekäme"), "POST /users/track")

			t.Run("a misfit is told with its share, while typing", func(t *testing.T) {
				w.see(word("left out", "weggelassen"), "kundin1@beispiel.de")
				w.gone("geheim")
				w.click(`button[name="add"][value="=plan"]`)
				w.see(word("Saved in the draft", "Im Entwurf gespeichert"))
				w.fill(`#at-custom-plan .line-name`, "Email")
				w.see(word("only in case", "nur in der Groß- und Kleinschreibung"))
				w.fill(`#at-custom-plan .line-name`, "tarif")
				w.see(`"tarif": "`, word("A load now: about 300 users", "Eine Erstbefüllung jetzt: etwa 300 Profile"), word("unknown until a day has passed", "unbekannt, bis ein Tag vergangen ist"))
				fair("fields")
			})
			t.Run("an expression says what it gives, and what is wrong with it", func(t *testing.T) {
				w.choose(`#at-custom-plan select[data-kind]`, "expr")
				w.fill(`#at-custom-plan input[data-expr]`, `upper(plann)`)
				w.see(word(`did you mean "plan"?`, "war „plan“ gemeint?"))
				w.fill(`#at-custom-plan input[data-expr]`, `upper(plan)`)
				w.see(`"PRO"`)
				w.click(`.save-bar button.primary`)
				w.see(word("Saved in the draft", "Im Entwurf gespeichert"))
			})
			t.Run("a group is built, counted and kept", func(t *testing.T) {
				w.click(`a[href="/models/customers?tab=groups"]`)
				w.see(word("No groups yet", "Noch keine Gruppen"))
				w.click(`details.new-group > summary`)
				w.fill(`#gnew-name`, "treue")
				w.fill(`#gnew-uuid`, "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e")
				w.choose(`[id="gnew.r0-c"]`, "credits")
				w.see(word("Counted once each row has its value", "Gezählt wird, sobald jede Zeile ihren Wert hat"))
				w.gone(word("write a number", "schreiben Sie eine Zahl"))
				w.choose(`[id="gnew.r0-o"]`, "gt")
				w.fill(`[id="gnew.r0-v"]`, "many")
				w.see(word("write a number", "schreiben Sie eine Zahl"))
				w.fill(`[id="gnew.r0-v"]`, "2000")
				eventually(t, "the text follows the builder", func() bool { return eval[string](w, `document.getElementById('gnew-rule').value`) == "credits > 2000" })
				eventually(t, "the rows are counted: "+w.text(), func() bool {
					return strings.Contains(w.text(), word("of 300 rows match", "von 300 Zeilen passen")) && strings.Contains(w.text(), "100")
				})
				w.fill(`#gnew-rule`, `credits > 2000 && plan == "pro"`)
				eventually(t, "the builder follows the text", func() bool {
					return eval[int](w, `document.querySelectorAll('details.new-group[open] .rule-row').length`) >= 3
				})
				w.fill(`#gnew-rule`, `len(plan) > 3`)
				w.see(word("This rule is richer than the builder", "Diese Regel ist reicher als der Baukasten"))
				w.fill(`#gnew-rule`, `credits > 2000 && plan == "pro"`)
				w.gone(word("This rule is richer than the builder", "Diese Regel ist reicher als der Baukasten"))
				w.see(word("alone: 100", "allein: 100"))
				fair("group")
				b.exec(`BEGIN; LOCK customers`) // the count waits for it
				w.fill(`#gnew-rule`, `credits > 2100 && plan == "pro"`)
				w.see(word("Still counting", "Wird noch gezählt"))
				w.shot("models_counting_" + lang)
				w.click(`details.new-group[open] [data-stop]`)
				w.see(word("Stopped.", "Angehalten."))
				w.gone(word("Still counting", "Wird noch gezählt"))
				b.exec(`COMMIT`)
				w.fill(`#gnew-rule`, `credits > 2000 && plan == "pro"`)
				w.see(word("alone: 100", "allein: 100"))
				w.click(`details.new-group[open] .actions button.primary`)
				w.see("treue", `credits > 2000 && plan == "pro"`)
			})
			t.Run("options and preview", func(t *testing.T) {
				w.click(`a[href="/models/customers?tab=options"]`)
				w.see(word("When a row goes", "Wenn eine Zeile verschwindet"))
				fair("options")
				w.click(`a[href="/models/customers?tab=preview"]`)
				w.see(word("Its fields", "Ihre Felder"), "treue")
				w.choose(`#row`, "fails")
				w.click(`form.ask button.primary`)
				w.see("keine Adresse", word("left out", "weggelassen"))
				w.fill(`#key`, "7")
				w.click(`form.ask button.primary`)
				w.see("kundin7@beispiel.de")
				if strings.Contains(w.path(), "7") {
					t.Errorf("the key stands in the address %s", w.path())
				}
				fair("preview")
			})
			w.open("/models")
			w.see("customers", word("create, change, delete", "anlegen, ändern, löschen"))
			fair("list")
			if file, err := os.ReadFile(b.config()); err != nil || !strings.Contains(string(file), "models: []") {
				t.Errorf("the file was changed before anything was applied: %v\n%s", err, file)
			}
		})
	}
}
