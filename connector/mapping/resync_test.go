package mapping_test

import (
	"strings"
	"sync"
	"testing"

	"brazecdc/connector"
)

func TestRowFilter(t *testing.T) {
	b := base(t, "sync", func(m *connector.Model) { m.Filter, m.OnLeave = `plan != "internal"`, "keep" })
	t.Run("tells whether a rule is true, by SQL's logic of NULL", func(t *testing.T) {
		for _, c := range []struct {
			rule, change string
			want         bool
		}{
			{`plan == "free"`, "plan=free", true},
			{`plan == "free"`, "plan=pro", false},
			{`plan == "free"`, "plan=internal", false}, // the model's filter is another matter
			{`plan == "internal"`, "plan=internal", true},
			{`plan != "free"`, "plan=<null>", false},
			{`credits > 12 && is_vip`, "plan=x", true},
			{`plan == "free"`, "plan=<absent>", true}, // it cannot be told, and is rather sent
		} {
			match, err := b.m.RowFilter(0, c.rule)
			if err != nil {
				t.Fatalf("%s: %v", c.rule, err)
			}
			if is, err := match(row(b.table, r1, c.change)); is != c.want || err != nil {
				t.Errorf("%s with %s: %v, %v", c.rule, c.change, is, err)
			}
		}
	})
	t.Run("says that it cannot be told", func(t *testing.T) {
		match, err := b.m.RowFilter(0, `prefs.lang > 3`)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := match(row(b.table, r1)); is || err == nil || strings.Contains(err.Error(), "ja") {
			t.Errorf("%v, %v", is, err)
		}
	})
	t.Run("refuses what does not fit the table, and says where", func(t *testing.T) {
		for rule, want := range map[string]string{`plam == "x"`: "plam", `plan`: "true or false", ``: "empty", `plan ==`: "character"} {
			if _, err := b.m.RowFilter(0, rule); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", rule, err)
			}
		}
		if _, err := b.m.RowFilter(7, `true`); err == nil {
			t.Error("there is no such model")
		}
	})
	t.Run("may be asked by several at once, of several shapes of the table", func(t *testing.T) {
		match, err := b.m.RowFilter(0, `plan == "free"`)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				other := usersTable()
				for range 100 {
					for _, r := range []connector.Row{row(b.table, r1), row(other, r1)} {
						if is, err := match(r); !is || err != nil {
							t.Errorf("%v, %v", is, err)
						}
					}
				}
			})
		}
		wg.Wait()
		less := table("public.users", "id", col{"id", connector.KindInt})
		if _, err := match(row(less, []string{"1"})); err == nil || !strings.Contains(err.Error(), `no column "plan"`) {
			t.Errorf("without the column: %v", err)
		}
	})
}

func TestRowUser(t *testing.T) {
	b := base(t, "sync", func(m *connector.Model) {
		m.Filter, m.OnLeave, m.DeleteWhen = `plan != "internal"`, "keep", `deleted_at != nil`
	})
	for change, want := range map[string]string{"plan=free": "u1", "plan=internal": "u1", "deleted_at=2026-11-01 00:00:00Z": "u1", "external_id=<null>": "", "external_id=<absent>": "", "external_id=null": ""} {
		u, ok := b.m.RowUser(0, row(b.table, r1, change))
		if ok != (want != "") || ok && u.ID != want {
			t.Errorf("%s: %v, %v", change, u, ok)
		}
	}
	if _, ok := b.m.RowUser(3, row(b.table, r1)); ok {
		t.Error("there is no such model")
	}
	if _, ok := b.m.RowUser(0, row(table("public.users", "id", col{"id", connector.KindInt}), []string{"1"})); ok {
		t.Error("a shape without the column names a user")
	}
}
