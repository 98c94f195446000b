package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValuesOfTheWholeTable: whether a column fits a field is judged by rows from all over the table, by the pages and by init. What is wrong with its last tenth is
// seen, and taken neither for nothing nor for more than it is.
func TestValuesOfTheWholeTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`CREATE TABLE late (id int PRIMARY KEY, email text, phone text, vorname text);
		INSERT INTO late SELECT i, CASE WHEN i > 9000 THEN 'keine Adresse' ELSE 'k' || i || '@example.com' END, CASE WHEN i % 20 = 0 THEN '+49 170 ' || (1000000 + i) END, 'Ada' FROM generate_series(1, 10000) i;
		ANALYZE late`)
	t.Run("the pages", func(t *testing.T) {
		r, err := newModelsViews(&program{config: b.config()}).Relation(t.Context(), []byte(strings.Replace(b.text, "${DATABASE_URL}", b.url, 1)), "public.late")
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, s := range r.Suggestions {
			switch s.Field {
			case "email":
				seen++
				if s.Sampled != looked || s.Misfits < 10 || s.Misfits > 70 || s.Likely {
					t.Errorf("%+v", s)
				}
			case "phone":
				seen++
				if s.Sampled < fewValues || s.Misfits > 0 {
					t.Errorf("%+v", s)
				}
			}
		}
		if seen != 2 {
			t.Errorf("suggested are %+v", r.Suggestions)
		}
	})
	t.Run("init", func(t *testing.T) {
		path := filepath.Join(b.dir, "late.yaml")
		if out := runCommand(t, b.env, "init", "--database", b.url, "--output", path, "--table", "late"); out.code != 0 {
			t.Fatalf("exit code %d, %s", out.code, out.err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, string(text), "# email: email   # fits ", " % of 200 values")
		if strings.Contains(string(text), "email: email   # fits 100 %") {
			t.Errorf("%s", text)
		}
	})
}
