package main

import (
	"path/filepath"
	"strings"
	"testing"

	"brazecdc/connector/draft"
)

// TestPagesDoNotTellWhatAReferenceStandsFor names a secret as what a fault would tell: a table.
func TestPagesDoNotTellWhatAReferenceStandsFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	_, base := startUI(t, b.env, b.config())
	g := newGerman(t, base)
	store, err := draft.Open(b.config(), filepath.Join(b.dir, "data", "pages"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{"table: public.users", `table: "${BRAZE_API_KEY}"`}} {
		text := strings.Replace(b.text, change[0], change[1], 1)
		if text == b.text {
			t.Fatalf("%s is not in\n%s", change[0], b.text)
		}
		if err := store.SetText("kim", []byte(text)); err != nil {
			t.Fatal(err)
		}
		v, err := store.View()
		if err != nil {
			t.Fatal(err)
		}
		seen := draft.Hash(v.Text)
		for what, page := range map[string]string{
			"check": g.post("/draft/check", "seen", seen), "apply": g.post("/draft/apply", "seen", seen), "the source's test": g.post("/connections/test", "which", "source"),
			"connections": g.get("/connections"), "the model": g.get("/models/users"), "its preview": g.get("/models/users?tab=preview"), "its options": g.get("/models/users?tab=options"), "the start": g.get("/setup/start"), "Live": g.get("/"),
		} {
			if strings.Contains(page, testKey) {
				i := strings.Index(page, testKey)
				t.Errorf("%s, %s: … %s …", change[1], what, page[max(0, i-150):min(len(page), i+80)])
			}
		}
		if page := g.post("/draft/check", "seen", seen); !strings.Contains(page, "${BRAZE_API_KEY}") {
			t.Errorf("the check of %s tells nothing of it", change[1])
		}
	}
}
