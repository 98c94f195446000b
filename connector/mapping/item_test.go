package mapping_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

var itemAlphabet = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

func TestItemIDs(t *testing.T) {
	for id, parts := range map[string][]string{
		"A-1_b": {"A-1_b"}, "a_-2Fb": {"a/b"}, "7_--x_-20y": {"7", "x y"}, "_-5F-": {"_-"}, "a___--_b": {"a__", "_b"}, "_-E3_-81_-82": {"あ"}, "": {""}, "_-2E": {"."},
	} {
		got, err := mapping.ItemParts(id)
		if mapping.ItemID(parts...) != id || err != nil || !slices.Equal(got, parts) {
			t.Errorf("%q: %q, %q, %v", parts, mapping.ItemID(parts...), got, err)
		}
	}
	for _, bad := range []string{"a_-", "_-2", "_-zz", "_-2f", "a b", "é"} {
		if got, err := mapping.ItemParts(bad); err == nil {
			t.Errorf("%q is read as %q", bad, got)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-B_-]{0,12}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		parts := rapid.SliceOfN(part, 1, 4).Draw(rt, "parts")
		id := mapping.ItemID(parts...)
		if !itemAlphabet.MatchString(id) {
			rt.Fatalf("%q has other characters", id)
		}
		back, err := mapping.ItemParts(id)
		if err != nil || !slices.Equal(back, parts) {
			rt.Fatalf("%q: %q, %v", id, back, err)
		}
	})
}

// products is the fourth job of the reference.
func products(t testing.TB, mode string, change func(*connector.Model)) *bench {
	t.Helper()
	m := productsModel(mode)
	if change != nil {
		change(&m)
	}
	return newBench(t, productsTable(), mapping.Config{Models: []connector.Model{m}})
}

func productsTable() *connector.Table {
	return table("public.products", "sku", col{"sku", connector.KindText}, col{"title", connector.KindText}, col{"price", connector.KindDecimal}, col{"deleted_at", connector.KindTimestampTZ},
		col{"at", connector.KindText}, col{"lat", connector.KindFloat}, col{"lon", connector.KindFloat}, col{"more", connector.KindJSON})
}

func productsModel(mode string) connector.Model {
	price := column("price", "price")
	price.Type = "number"
	return connector.Model{
		Name: "products", Kind: "catalog", Table: "public.products", Catalog: "shop", Mode: mode, Load: "all", Path: "models[0]", DeleteWhen: "deleted_at != nil",
		Identify: connector.Identify{ItemID: []connector.ValueFrom{{Column: "sku"}}}, Fields: []connector.FieldMap{column("name", "title"), price},
	}
}

var p1 = []string{"A/1", "Shoe", "29.90", "<null>", "(13.4,52.5)", "52.5", "13.4", `{"a": 1}`}

func showItems(out []connector.Effect) string {
	var s []string
	for _, e := range out {
		line := e.Kind.String() + " " + e.User.Label + "/" + e.User.ID
		if e.User.Kind != connector.Item {
			line += " BAD-USER"
		}
		if e.Ends {
			line += " ends"
		}
		for _, f := range e.Fields {
			if f.Omit {
				line += " BAD-OMIT"
			}
			line += " " + map[connector.Proof]string{connector.Changed: "~", connector.Unchanged: "="}[f.Proof] + f.Def.Name + "=" + string(f.JSON)
		}
		s = append(s, line)
	}
	return strings.Join(s, " + ")
}

func TestCatalog(t *testing.T) {
	none := connector.Row{}
	run := func(b *bench, op connector.Op, before, after connector.Row) string {
		b.t.Helper()
		out, err := b.try(op, before, after)
		if err != nil {
			b.t.Fatal(err)
		}
		return showItems(out)
	}
	t.Run("an item is put whole, nulls and what did not change included", func(t *testing.T) {
		b := products(t, "sync", nil)
		want(t, run(b, connector.Insert, none, row(b.table, p1, "title=<null>")), `put_item shop/A_-2F1 name=null price=29.9`)
		want(t, run(b, connector.Update, row(b.table, p1), row(b.table, p1, "price=<null>")), `put_item shop/A_-2F1 =name="Shoe" ~price=null`)
		want(t, run(b, connector.Snapshot, none, row(b.table, p1)), `put_item shop/A_-2F1 name="Shoe" price=29.9`)
		out, err := b.m.MapLoad(nil, 0, row(b.table, p1), time.Time{})
		if err != nil || !out[0].Whole || !out[0].Creates || out[0].Owner {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("a column that is absent is filled or read, never left out", func(t *testing.T) {
		b := products(t, "sync", nil)
		after := row(b.table, p1, "title=<absent>", "price=5")
		want(t, run(b, connector.Update, row(b.table, p1), after), `put_item shop/A_-2F1 =name="Shoe" ~price=5`)
		if _, err := b.try(connector.Update, none, after); err == nil || !strings.Contains(err.Error(), `column "title"`) {
			t.Error(err)
		}
		m := newBench(t, productsTable(), mapping.Config{Models: []connector.Model{productsModel("sync")}, NoReread: true})
		_ = m.rowError(connector.Update, none, after)
	})
	t.Run("deletes, by row or by rule, in sync alone", func(t *testing.T) {
		dead := "deleted_at=2026-11-01 00:00:00Z"
		b := products(t, "sync", nil)
		want(t, run(b, connector.Delete, row(b.table, p1), none), `delete_item shop/A_-2F1 ends`)
		want(t, run(b, connector.Update, row(b.table, p1), row(b.table, p1, dead)), `delete_item shop/A_-2F1 ends`)
		want(t, run(b, connector.Update, row(b.table, p1, dead), row(b.table, p1)), `put_item shop/A_-2F1 name="Shoe" price=29.9`)
		want(t, run(b, connector.Insert, none, row(b.table, p1, dead)), ``)
		b = products(t, "additive", nil)
		want(t, run(b, connector.Delete, row(b.table, p1), none), ``)
		want(t, run(b, connector.Update, row(b.table, p1), row(b.table, p1, dead)), ``)
		b = products(t, "sync", func(m *connector.Model) { m.DeleteWhen = "" })
		want(t, run(b, connector.Delete, keyOnly(row(b.table, p1)), none), `delete_item shop/A_-2F1 ends`)
	})
	t.Run("another id is another item", func(t *testing.T) {
		b := products(t, "sync", nil)
		want(t, run(b, connector.Update, row(b.table, p1), row(b.table, p1, "sku=B")), `delete_item shop/A_-2F1 + put_item shop/B name="Shoe" price=29.9`)
		b = products(t, "additive", nil)
		want(t, run(b, connector.Update, row(b.table, p1), row(b.table, p1, "sku=B")), `put_item shop/B name="Shoe" price=29.9`)
	})
	t.Run("ids of several columns, and what can be none", func(t *testing.T) {
		b := products(t, "sync", func(m *connector.Model) {
			m.Identify.ItemID = []connector.ValueFrom{{Column: "sku"}, {Expr: "lower(title)"}}
		})
		want(t, run(b, connector.Insert, none, row(b.table, p1)), `put_item shop/A_-2F1_--shoe name="Shoe" price=29.9`)
		for _, bad := range []string{"sku=", "sku=<null>", "title=<null>", "sku=" + strings.Repeat("/", 63)} {
			if re := b.rowError(connector.Insert, none, row(b.table, p1, bad)); re.Field != "item_id" {
				t.Error(re)
			}
		}
	})
	t.Run("values by a catalog's bounds", func(t *testing.T) {
		b := products(t, "sync", func(m *connector.Model) {
			spot, place := column("spot", "at"), column("place", "")
			spot.Type, place.Type, place.Latitude, place.Longitude = "geo", "geo", "lat", "lon"
			m.Fields = []connector.FieldMap{column("name", "title"), spot, place, column("more", "more")}
		})
		long := strings.Repeat("x", 5000)
		want(t, run(b, connector.Insert, none, row(b.table, p1, "title="+long)), `put_item shop/A_-2F1 name="`+long+`" spot=[13.4,52.5] place=[13.4,52.5] more={"a":1}`)
		want(t, run(b, connector.Insert, none, row(b.table, p1, "title="+long+"x", "at=no", "lat=91", `more={"a.b":1,"c d":[[1],{"$e":2}],"add":[1],"n":null}`)), `put_item shop/A_-2F1 more={"c d":[[1],{}],"add":[1]}`)
		want(t, run(b, connector.Insert, none, row(b.table, p1, "more="+strings.Repeat(`{"a":`, 51)+"1"+strings.Repeat("}", 51))), `put_item shop/A_-2F1 name="Shoe" spot=[13.4,52.5] place=[13.4,52.5]`)
		hasNote(t, b.notes, "name: longer than 5,000 characters")
		hasNote(t, b.notes, "more: nested too deeply")
	})
	t.Run("faults", func(t *testing.T) {
		of := func(mode string, change func(*connector.Model)) string {
			m := productsModel(mode)
			change(&m)
			cfg := configOf(m)
			cfg.Tables = map[string]*connector.Table{"public.products": productsTable()}
			return faultsOf(t, cfg)
		}
		wantFaults(t, of("enrich", func(m *connector.Model) {}), `mode cannot be enrich`)
		wantFaults(t, of("additive", func(m *connector.Model) {
			m.Catalog, m.Identify.ItemID = "my shop", nil
			m.Filter, m.OnLeave = "price > 1", "delete"
			id, bad, kept, typed := column("id", "title"), column("a b", "title"), column("k", "title"), column("t", "title")
			kept.OnNull, typed.Type = "keep", "money"
			m.Fields = []connector.FieldMap{id, bad, kept, typed}
		}), `on_leave: delete needs mode sync`, `cannot be called "my shop"`, `which item a row is`, `cannot be called "id"`, `cannot be called "a b"`, `no value can be kept`, `no type "money"`)
		wantFaults(t, of("sync", func(m *connector.Model) { m.Identify.ItemID[0].Column = "title" }), `warn…no unique key covers`)
	})
	t.Run("two models of one catalog do not write one field", func(t *testing.T) {
		a, b := productsModel("sync"), productsModel("sync")
		b.Path, b.Fields = "models[1]", b.Fields[:1]
		cfg := configOf(a, b)
		cfg.Tables = map[string]*connector.Table{"public.products": productsTable()}
		wantFaults(t, faultsOf(t, cfg), `writes "name" already`)
		cfg.Models[1].Catalog = "other"
		wantFaults(t, faultsOf(t, cfg))
	})
}
