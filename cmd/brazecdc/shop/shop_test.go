package shop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"brazecdc/cmd/brazecdc/shop"
	"brazecdc/connector/postgres/throwaway"
)

func TestMain(m *testing.M) {
	code := m.Run()
	throwaway.StopShared()
	os.Exit(code)
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	url := throwaway.Shared(t).TestDatabase(t)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func rowsOf(t *testing.T, db *pgx.Conn) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT row_to_json(c)::text FROM customers c UNION ALL SELECT row_to_json(a)::text FROM addresses a ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGenerator(t *testing.T) {
	t.Parallel()
	const steps = 400
	live := func(seed uint64) ([]string, *shop.Generator, int) {
		db := connect(t)
		g := shop.NewGenerator(db, seed)
		if err := g.Create(t.Context(), 40); err != nil {
			t.Fatal(err)
		}
		changed := 0
		for range steps {
			n, err := g.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			changed += n
		}
		return rowsOf(t, db), g, changed
	}
	rows, g, changed := live(1)

	t.Run("knows its customers and addresses", func(t *testing.T) {
		customers, addresses := g.Counts()
		if customers+addresses != len(rows) || customers < 20 || addresses == 0 {
			t.Errorf("the generator counts %d customers and %d addresses, the tables have %d rows", customers, addresses, len(rows))
		}
	})
	t.Run("changes rows at most steps", func(t *testing.T) {
		if changed < steps*9/10 {
			t.Errorf("%d steps changed only %d rows", steps, changed)
		}
	})
	t.Run("makes the same changes from the same seed and others from another", func(t *testing.T) {
		again, _, _ := live(1)
		if d := cmp.Diff(rows, again); d != "" {
			t.Errorf("the same seed gave other rows (-first +second):\n%s", d)
		}
		other, _, _ := live(2)
		if cmp.Equal(rows, other) {
			t.Error("another seed gave the same rows")
		}
	})
	t.Run("makes NULLs", func(t *testing.T) {
		for _, column := range []string{"email", "phone", "born", "prefs", "last_seen", "postcode", "gift_wrap"} {
			found := false
			for _, r := range rows {
				found = found || strings.Contains(r, fmt.Sprintf("%q:null", column))
			}
			if !found {
				t.Errorf("no row has NULL in %s", column)
			}
		}
	})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	db := connect(t)
	if _, err := db.Exec(t.Context(), shop.Schema+`
		INSERT INTO customers VALUES (1, 'u-1', 'a@example.org', 'Ada', 'Lang', '1990-02-03', NULL, 'DE', 'de', 'pro', 12.50, '{a,b}', '{"size": 40}', true,
			'2026-03-02 08:00:00.123456+01');
		INSERT INTO customers VALUES (2, 'u-2', NULL, NULL, 'Roth', NULL, NULL, 'AT', 'de', 'free', 0, '{}', NULL, true, NULL);
		INSERT INTO addresses VALUES (7, 'u-1', 'Am Markt 1', NULL, 'Graz', false)`); err != nil {
		t.Fatal(err)
	}
	const right = `{
		"u-1": {"email": "a@example.org", "first_name": "Ada", "last_name": "Lang", "dob": "1990-02-03", "country": "DE", "language": "de", "plan": "pro",
			"credits": 12.5, "full_name": "Ada Lang", "tags": ["a", "b"], "prefs": {"size": 40}, "last_seen": "2026-03-02T07:00:00.123Z", "shop": "berlin",
			"home_city": "Graz", "street": "Am Markt 1", "gift_wrap": false},
		"u-2": {"last_name": "Roth", "country": "AT", "language": "de", "plan": "free", "credits": 0, "tags": [], "shop": "berlin"}}`

	for _, c := range []struct {
		name   string
		change func(map[string]shop.Profile)
		want   string
	}{
		{"finds none where all is right", func(map[string]shop.Profile) {}, ""},
		{"finds a missing profile", func(p map[string]shop.Profile) { delete(p, "u-2") }, "user u-2: want a profile, the profile is missing"},
		{"finds a profile too many", func(p map[string]shop.Profile) { p["u-3"] = shop.Profile{} }, "user u-3: want no profile, the profile is there"},
		{"finds another value", func(p map[string]shop.Profile) { p["u-1"]["plan"] = "free" }, `user u-1, field plan: the tables say "pro", the profile says "free"`},
		{"finds a missing field", func(p map[string]shop.Profile) { delete(p["u-1"], "credits") }, "user u-1, field credits: the tables say 12.5, the profile says nothing"},
		{"finds a field that should be gone", func(p map[string]shop.Profile) { p["u-2"]["home_city"] = "Graz" },
			`user u-2, field home_city: the tables say nothing, the profile says "Graz"`},
		{"tells a string from a number", func(p map[string]shop.Profile) { p["u-1"]["credits"] = "12.5" },
			`user u-1, field credits: the tables say 12.5, the profile says "12.5"`},
		{"looks into arrays and objects", func(p map[string]shop.Profile) { p["u-1"]["tags"] = []any{"b", "a"} },
			`user u-1, field tags: the tables say ["a","b"], the profile says ["b","a"]`},
		{"compares moments, not their text", func(p map[string]shop.Profile) { p["u-1"]["last_seen"] = "2026-03-02T08:00:00.123+01:00" }, ""},
		{"finds another moment", func(p map[string]shop.Profile) { p["u-1"]["last_seen"] = "2026-03-02T07:00:01Z" },
			`user u-1, field last_seen: the tables say 2026-03-02T07:00:00.123456Z, the profile says "2026-03-02T07:00:01Z"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			profiles := map[string]shop.Profile{}
			if err := json.Unmarshal([]byte(right), &profiles); err != nil {
				t.Fatal(err)
			}
			c.change(profiles)
			diffs, err := shop.Compare(t.Context(), db, profiles)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range diffs {
				got = append(got, d.String())
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
