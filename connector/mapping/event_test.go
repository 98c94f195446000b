package mapping_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// eventNow is the clock of the events' tests.
var eventNow = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// ordersTable is the table of the third job of the reference.
func ordersTable() *connector.Table {
	return table("public.orders", "id", col{"id", connector.KindInt}, col{"user_id", connector.KindText}, col{"status", connector.KindText}, col{"paid_at", connector.KindTimestampTZ},
		col{"total", connector.KindDecimal}, col{"currency", connector.KindText}, col{"items", connector.KindJSON}, col{"tags", connector.KindArray}, col{"day", connector.KindDate})
}

var o1 = []string{"7", "u1", "paid", "2026-11-01 12:00:00Z", "59.90", "eur", `[{"sku":"A","title":"Shoe","variant":"A-42","qty":2,"price":"29.95","secret":{"x":1}}]`, "{a}", "2026-11-01"}

const o1JSON = `"name":"ecommerce.order_placed","time":"2026-11-01T12:00:00Z","properties":{"order_id":"7","total_value":59.9,"currency":"EUR","source":"shop",` +
	`"products":[{"product_id":"A","product_name":"Shoe","variant_id":"A-42","quantity":2,"price":29.95}]}`

func prop(name, column string) connector.PropertyMap {
	return connector.PropertyMap{FieldMap: connector.FieldMap{Name: name, ValueFrom: connector.ValueFrom{Column: column}, Path: "models[0].properties." + name}}
}

// orders is the third job of the reference.
func orders(mode string) connector.Model {
	total, source := prop("total_value", "total"), prop("source", "")
	total.Type = "number"
	source.Value, source.HasValue = `"shop"`, true
	products := prop("products", "")
	products.Each = "items"
	products.Fields = []connector.PropertyMap{prop("product_id", "sku"), prop("product_name", "title"), prop("variant_id", "variant"), prop("quantity", "qty"), prop("price", "price")}
	return connector.Model{
		Name: "orders", Kind: "events", Table: "public.orders", Mode: mode, Load: "none", Path: "models[0]",
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "user_id"}},
		Event: connector.EventMap{Ops: []string{"insert", "update"}, When: `becomes(status, "paid")`, Name: connector.NameFrom{Value: "ecommerce.order_placed"},
			Time: connector.ValueFrom{Column: "paid_at"}, MaxAge: 24 * time.Hour, Path: "models[0].event",
			Properties: []connector.PropertyMap{prop("order_id", "id"), total, prop("currency", "currency"), source, products}},
	}
}

// plain is a model of events whose names and properties ask for nothing.
func plain(change func(*connector.Model)) connector.Model {
	m := orders("additive")
	m.Event.Name.Value, m.Event.Ops, m.Event.When, m.Event.Properties = "order", nil, "", nil
	if change != nil {
		change(&m)
	}
	return m
}

func eventBench(t testing.TB, tab *connector.Table, m connector.Model) *bench {
	t.Helper()
	return newBench(t, tab, mapping.Config{Models: []connector.Model{m}, Now: func() time.Time { return eventNow }})
}

// event maps a change that becomes one event at most, and gives its JSON.
func (b *bench) event(op connector.Op, before, after connector.Row) string {
	b.t.Helper()
	out, err := b.try(op, before, after)
	if err != nil {
		b.t.Fatalf("map %s: %v", op, err)
	}
	return showEvents(b.t, out)
}

func showEvents(t testing.TB, out []connector.Effect) string {
	t.Helper()
	var s []string
	for _, e := range out {
		if e.Kind != connector.Track || e.Event == nil || len(e.Fields) > 0 || e.User.ID == "" || e.Event.Name == "" || e.Owner || e.Event.Time.IsZero() {
			t.Errorf("no event: %+v", e)
			continue
		}
		if !json.Valid([]byte("{" + string(e.Event.JSON) + "}")) {
			t.Errorf("not valid JSON: %s", e.Event.JSON)
		}
		line := string(e.Event.JSON)
		if e.Event.Old {
			line = "old " + line
		}
		if e.UpdateOnly {
			line = "only " + line
		}
		s = append(s, line)
	}
	return strings.Join(s, " + ")
}

func TestEvents(t *testing.T) {
	none := connector.Row{}
	t.Run("a paid order, from a new row or from a change", func(t *testing.T) {
		b := eventBench(t, ordersTable(), orders("additive"))
		open, paid := row(b.table, o1, "status=open"), row(b.table, o1)
		want(t, b.event(connector.Insert, none, paid), o1JSON)
		want(t, b.event(connector.Insert, none, open), "")
		want(t, b.event(connector.Update, open, paid), o1JSON)
		want(t, b.event(connector.Update, row(b.table, o1, "status=<null>"), paid), o1JSON)
		want(t, b.event(connector.Update, paid, row(b.table, o1, "total=1")), "")
		want(t, b.event(connector.Update, paid, open), "")
		want(t, b.event(connector.Update, paid, row(b.table, o1, "status=<null>")), "")
		want(t, b.event(connector.Delete, paid, none), "")
		want(t, b.event(connector.Delete, none, none), "")
		want(t, b.event(connector.Update, open, row(b.table, o1, "items=<absent>")), o1JSON)
	})
	t.Run("what becomes of a column needs the row before", func(t *testing.T) {
		b := eventBench(t, ordersTable(), orders("additive"))
		for _, before := range []connector.Row{none, keyOnly(row(b.table, o1)), row(b.table, o1, "status=<absent>")} {
			if re := b.rowError(connector.Update, before, row(b.table, o1)); !strings.Contains(re.Reason, "ALTER TABLE public.orders REPLICA IDENTITY FULL") {
				t.Error(re)
			}
			want(t, b.event(connector.Update, before, row(b.table, o1, "status=open")), "")
		}
	})
	t.Run("the check says so before a run", func(t *testing.T) {
		tab := ordersTable()
		tab.Identity = connector.IdentityDefault
		cfg := configOf(orders("additive"))
		cfg.Tables = map[string]*connector.Table{tab.Name: tab}
		wantFaults(t, faultsOf(t, cfg), `fault models[0].when@0 updates of public.orders do not carry what status was before…ALTER TABLE public.orders REPLICA IDENTITY FULL`)
		cfg.NoReread = true
		wantFaults(t, faultsOf(t, cfg), `warn models[0].when`)
		cfg.Models[0].ReplicaIdentity = "full"
		wantFaults(t, faultsOf(t, cfg))
	})
	t.Run("rows of a load go with load all, older ones are held back", func(t *testing.T) {
		for load, sent := range map[string]bool{"all": true, "none": false} {
			m := orders("additive")
			m.Load = load
			b := eventBench(t, ordersTable(), m)
			for _, c := range []connector.Change{{Op: connector.Snapshot}, {Op: connector.Insert, Initial: true}} {
				c.After, c.Key = row(b.table, o1), keyOf(row(b.table, o1))
				out, err := b.m.Map(nil, &c, b.ids)
				if err != nil || (showEvents(t, out) == o1JSON) != sent {
					t.Errorf("load %s: %v, %v", load, out, err)
				}
			}
			out, err := b.m.MapLoad(nil, 0, row(b.table, o1), eventNow)
			if err != nil || (showEvents(t, out) == o1JSON) != sent {
				t.Errorf("load %s: %v, %v", load, out, err)
			}
			if out, err = b.m.MapRow(nil, 0, row(b.table, o1), eventNow); err != nil || len(out) > 0 {
				t.Errorf("a row that is read again is sent again: %v, %v", out, err)
			}
		}
		b := eventBench(t, ordersTable(), orders("additive"))
		want(t, b.event(connector.Insert, none, row(b.table, o1, "paid_at=2026-10-31 23:59:59Z")), "old "+strings.Replace(o1JSON, "2026-11-01T12:00:00Z", "2026-10-31T23:59:59Z", 1))
	})
	t.Run("enrich updates only, and has to be asked for", func(t *testing.T) {
		m := orders("enrich")
		m.Event.DropUnknown = true
		b := eventBench(t, ordersTable(), m)
		want(t, b.event(connector.Insert, none, row(b.table, o1)), "only "+o1JSON)
	})
	t.Run("ops", func(t *testing.T) {
		for ops, sent := range map[string][2]bool{"": {true, false}, "insert": {true, false}, "update": {false, true}, "insert update": {true, true}} {
			b := eventBench(t, ordersTable(), plain(func(m *connector.Model) { m.Event.Ops = strings.Fields(ops) }))
			r := row(b.table, o1)
			if got := [2]bool{b.event(connector.Insert, none, r) != "", b.event(connector.Update, r, r) != ""}; got != sent {
				t.Errorf("ops %q: insert and update are sent: %v", ops, got)
			}
		}
	})
	t.Run("filter, rule and users", func(t *testing.T) {
		b := eventBench(t, ordersTable(), plain(func(m *connector.Model) { m.Filter, m.Event.When = `total > 10`, `status == "paid"` }))
		if b.event(connector.Insert, none, row(b.table, o1)) == "" || b.event(connector.Insert, none, row(b.table, o1, "total=5"))+b.event(connector.Insert, none, row(b.table, o1, "total=<null>"))+
			b.event(connector.Insert, none, row(b.table, o1, "status=<null>")) != "" {
			t.Error("filter or rule do not hold")
		}
		hasNote(t, b.notes, "filter: the rule is NULL")
		hasNote(t, b.notes, "when: the rule is NULL")
		_ = b.rowError(connector.Insert, none, row(b.table, o1, "user_id="))
		if strings.Join(b.passed, " ") != "filter filter when" {
			t.Errorf("passed: %q", b.passed)
		}
	})
}

func TestEventTimes(t *testing.T) {
	none := connector.Row{}
	at := func(kind connector.ValueKind, raw string) (string, error) {
		tab := ordersTable()
		tab.Columns[3].Kind, tab.Columns[3].Decode = kind, decodeAs(kind)
		b := eventBench(t, tab, plain(nil))
		out, err := b.try(connector.Insert, none, row(tab, o1, "paid_at="+raw))
		if err != nil {
			return "", err
		}
		return out[0].Event.Time.Format(time.RFC3339Nano), nil
	}
	for _, c := range []struct {
		kind      connector.ValueKind
		raw, want string
	}{
		{connector.KindTimestampTZ, "2026-11-01 12:00:00.000001Z", "2026-11-01T12:00:00.000001Z"}, {connector.KindTimestamp, "2026-11-01 12:00:00", "2026-11-01T12:00:00Z"},
		{connector.KindDate, "2026-11-01", "2026-11-01T00:00:00Z"}, {connector.KindText, "2026-11-01T12:00:00+02:00", "2026-11-01T10:00:00Z"}, {connector.KindJSON, `"2026-11-01"`, "2026-11-01T00:00:00Z"},
		{connector.KindText, "yesterday", ""}, {connector.KindText, "<null>", ""}, {connector.KindInt, "1", ""}, {connector.KindTimestampTZ, "infinity", ""}, {connector.KindJSON, "null", ""},
	} {
		got, err := at(c.kind, c.raw)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), "time") {
			t.Errorf("%s: %s, %v", c.raw, got, err)
		}
	}
	b := eventBench(t, ordersTable(), plain(func(m *connector.Model) { m.Event.Time = connector.ValueFrom{} }))
	c := connector.Change{Op: connector.Insert, After: row(b.table, o1), Time: time.Date(2026, 11, 1, 1, 2, 3, 4000, time.FixedZone("", 3600))}
	out, err := b.m.Map(nil, &c, b.ids)
	if err != nil {
		t.Fatal(err)
	}
	want(t, showEvents(t, out), `"name":"order","time":"2026-11-01T00:02:03.000004Z"`)
}

func TestCasesOfEvents(t *testing.T) {
	none := connector.Row{}
	t.Run("case 69: only what is mapped as name and time is taken out", func(t *testing.T) {
		tab := table("public.log", "id", col{"id", connector.KindInt}, col{"user_id", connector.KindText}, col{"time", connector.KindTimestampTZ}, col{"event_name", connector.KindText}, col{"name", connector.KindText})
		m := plain(func(m *connector.Model) {
			m.Table, m.Event.Time.Column = "public.log", "time"
			m.Event.Name = connector.NameFrom{Column: "event_name", OneOf: []string{"signed_up", "left"}}
			m.Event.Properties = []connector.PropertyMap{prop("name", "name"), prop("when", "time"), prop("what", "event_name")}
		})
		b := eventBench(t, tab, m)
		want(t, b.event(connector.Insert, none, row(tab, []string{"1", "u1", "2026-11-01 12:00:00Z", "signed_up", "Aya"})),
			`"name":"signed_up","time":"2026-11-01T12:00:00Z","properties":{"name":"Aya","when":"2026-11-01T12:00:00Z","what":"signed_up"}`)
		for _, name := range []string{"deleted", "<null>", ""} {
			if re := b.rowError(connector.Insert, none, row(tab, []string{"1", "u1", "2026-11-01 12:00:00Z", name, "Aya"})); re.Field != "name" || strings.Contains(re.Reason, "deleted") {
				t.Error(re)
			}
		}
	})
	t.Run("case 68: an event without properties has none", func(t *testing.T) {
		b := eventBench(t, ordersTable(), plain(func(m *connector.Model) {
			m.Event.Properties = []connector.PropertyMap{prop("a", "status"), prop("b", "items")}
		}))
		want(t, b.event(connector.Insert, none, row(b.table, o1, "status=<null>", "items=<null>")), `"name":"order","time":"2026-11-01T12:00:00Z"`)
	})
}

func TestProperties(t *testing.T) {
	none := connector.Row{}
	with := func(list ...connector.PropertyMap) *bench {
		return eventBench(t, ordersTable(), plain(func(m *connector.Model) { m.Event.Properties = list }))
	}
	props := func(b *bench, changes ...string) string {
		t.Helper()
		got := b.event(connector.Insert, none, row(b.table, o1, changes...))
		_, p, _ := strings.Cut(got, `"properties":`)
		return p
	}
	t.Run("types, expressions, constants, and values for NULL", func(t *testing.T) {
		n, e, c, d := prop("n", "id"), prop("e", ""), prop("c", ""), prop("d", "status")
		n.Type, e.Expr, c.Value, c.HasValue, d.OnNull, d.Default = "string", "total * 2", `{"a":[1]}`, true, "value", `"none"`
		want(t, props(with(n, e, c, d, prop("day", "day"), prop("tags", "tags")), "status=<null>"), `{"n":"7","e":119.8,"c":{"a":[1]},"d":"none","day":"2026-11-01","tags":["a"]}`)
	})
	t.Run("what Braze does not take is left out", func(t *testing.T) {
		b := with(prop("status", "status"), prop("total", "total"), prop("items", "items"))
		want(t, props(b, "status="+strings.Repeat("x", 256), "total=NaN", `items={"$a":1,"b.c d":[null,{"x":null}],"add":[1]}`), `{"items":{"b.c d":[{}],"add":[1]}}`)
		hasNote(t, b.notes, "status: longer than 255")
		hasNote(t, b.notes, "total: NaN")
	})
	t.Run("arrays of times are none", func(t *testing.T) {
		tab := ordersTable()
		tab.Columns[7].Decode = func(string) (connector.Value, error) {
			return connector.Value{Kind: connector.KindArray, List: []connector.Value{{Kind: connector.KindDate, Int: 1}}}, nil
		}
		b := eventBench(t, tab, plain(func(m *connector.Model) {
			m.Event.Properties = []connector.PropertyMap{prop("tags", "tags"), prop("id", "id")}
		}))
		want(t, props(b), `{"id":7}`)
		hasNote(t, b.notes, "array of dates")
	})
	t.Run("each inside each, with what is no object left out", func(t *testing.T) {
		parts, lines, sum, shop, odd := prop("parts", ""), prop("lines", ""), prop("sum", ""), prop("shop", ""), prop("deep", "deep")
		parts.Each, parts.Fields = "p", []connector.PropertyMap{prop("k", "k")}
		sum.Expr, shop.Value, shop.HasValue = "qty * 2", `"x"`, true
		lines.Each, lines.Fields = "items", []connector.PropertyMap{prop("sku", "s"), sum, shop, parts, odd}
		b := with(lines)
		want(t, props(b, `items=[{"s":"A","qty":2,"p":[{"k":1},5,{"k":null}],"deep":{"a b":1}},7,{"qty":"no","p":3}]`),
			`{"lines":[{"sku":"A","sum":4,"shop":"x","parts":[{"k":1},{}],"deep":{"a b":1}},{"shop":"x"}]}`)
		hasNote(t, b.notes, "lines: not an array of objects")
		want(t, props(b, "items=[]"), `{"lines":[]}`)
		for _, raw := range []string{"items=null", "items={}", "items=<null>", "items=[", `items="x"`} {
			want(t, props(b, raw), ``)
		}
		want(t, props(b, `items="[{\"s\":\"B\"}]"`), `{"lines":[{"sku":"B","shop":"x"}]}`)
	})
	t.Run("too large", func(t *testing.T) {
		b := with(prop("a", "items"), prop("b", "items"))
		big := "items=[" + strings.Repeat(`"`+strings.Repeat("x", 200)+`",`, 300) + "1]"
		if re := b.rowError(connector.Insert, none, row(b.table, o1, big)); !strings.Contains(re.Reason, "100 KB") {
			t.Error(re)
		}
	})
	t.Run("a column that is absent", func(t *testing.T) {
		b := with(prop("items", "items"))
		if _, err := b.try(connector.Insert, none, row(b.table, o1, "items=<absent>")); err == nil || !strings.Contains(err.Error(), "has to be read") {
			t.Error(err)
		}
	})
	t.Run("case 76: members that must not leave", func(t *testing.T) {
		lines := prop("lines", "")
		lines.Each, lines.Fields = "items", []connector.PropertyMap{prop("s", "secret"), prop("sku", "sku")}
		of := func(never ...string) mapping.Config {
			cfg := configOf(plain(func(m *connector.Model) { m.Event.Properties = []connector.PropertyMap{lines} }))
			cfg.NeverSend, cfg.Tables = never, map[string]*connector.Table{"public.orders": ordersTable()}
			cfg.Now = func() time.Time { return eventNow }
			return cfg
		}
		wantFaults(t, faultsOf(t, of("items.secret")), `"secret" is in never_send`)
		wantFaults(t, faultsOf(t, of("items")), `column "items" is in never_send`)
		b := newBench(t, ordersTable(), of("orders.items.secret.x"))
		want(t, props(b), `{"lines":[{"s":{},"sku":"A"}]}`)
	})
}

func TestEcommerce(t *testing.T) {
	none := connector.Row{}
	b := eventBench(t, ordersTable(), orders("additive"))
	for changes, reason := range map[string]string{
		"currency=<null>": `"currency" has no value`, "currency=euros": `"currency" has no value`, "items=[]": "it has no products", "items=<null>": `"products" has no value`,
		"total=NaN": `"total_value" has no value`, `items=[{"sku":"A"}]`: `of products[0], the property "product_name" has no value`,
		`items=[{"sku":"A","title":" ","variant":"v","qty":1,"price":1}]`:   `"product_name" is not of the type string`,
		`items=[{"sku":"A","title":"B","variant":"v","qty":1.5,"price":1}]`: `"quantity" is not of the type number`,
	} {
		if re := b.rowError(connector.Insert, none, row(b.table, o1, changes)); !strings.Contains(re.Reason, reason) || re.User != ext("u1") {
			t.Errorf("%s: %s", changes, re.Reason)
		}
	}
	t.Run("numbers are ids", func(t *testing.T) {
		got := b.event(connector.Insert, none, row(b.table, o1, `items=[{"sku":5,"title":"B","variant":6,"qty":"2","price":"1.50"}]`))
		if !strings.Contains(got, `{"product_id":"5","product_name":"B","variant_id":"6","quantity":2,"price":1.5}`) {
			t.Error(got)
		}
	})
	t.Run("faults", func(t *testing.T) {
		of := func(change func(*connector.Model)) string {
			m := orders("additive")
			change(&m)
			cfg := configOf(m)
			cfg.Tables = map[string]*connector.Table{"public.orders": ordersTable()}
			return faultsOf(t, cfg)
		}
		wantFaults(t, of(func(m *connector.Model) { m.Event.Properties = m.Event.Properties[:3] }), `needs the property "source"`, `needs the property "products"`)
		wantFaults(t, of(func(m *connector.Model) { m.Event.Properties[4].Fields = m.Event.Properties[4].Fields[:4] }), `needs the property "price"`)
		wantFaults(t, of(func(m *connector.Model) { m.Event.Properties[0].Type = "number" }), `"order_id" is of the type string`)
		wantFaults(t, of(func(m *connector.Model) { m.Event.Properties[3].Value = "5" }), `"source" is of the type string`)
		wantFaults(t, of(func(m *connector.Model) { m.Event.Name.Value = "ecommerce.order_place" }), `warn…is none of them; did you mean "ecommerce.order_placed"?`)
	})
}

func TestPurchases(t *testing.T) {
	none := connector.Row{}
	purchase := func(change func(*connector.Model)) connector.Model {
		return plain(func(m *connector.Model) {
			m.Kind, m.Event.Path = "purchases", "models[0].purchase"
			m.Event.Name = connector.NameFrom{Column: "status", OneOf: []string{"paid", "free"}}
			m.Event.Currency, m.Event.Price, m.Event.Quantity = connector.ValueFrom{Column: "currency"}, connector.ValueFrom{Column: "total"}, connector.ValueFrom{Column: "id"}
			m.Event.Properties = []connector.PropertyMap{prop("day", "day")}
			if change != nil {
				change(m)
			}
		})
	}
	b := eventBench(t, ordersTable(), purchase(nil))
	out, err := b.try(connector.Insert, none, row(b.table, o1))
	if err != nil || !out[0].Event.Purchase {
		t.Fatal(out, err)
	}
	want(t, showEvents(t, out), `"product_id":"paid","currency":"EUR","price":59.9,"quantity":7,"time":"2026-11-01T12:00:00Z","properties":{"day":"2026-11-01"}`)
	for changes, field := range map[string]string{"status=other": "product_id", "currency=Taler": "currency", "currency=<null>": "currency", "total=<null>": "price", "total=NaN": "price", "id=0": "quantity", "id=101": "quantity"} {
		if re := b.rowError(connector.Insert, none, row(b.table, o1, changes)); re.Field != field || re.Reason == "" {
			t.Errorf("%s: %+v", changes, re)
		}
	}
	cfg := configOf(purchase(func(m *connector.Model) {
		m.Event.Currency = connector.ValueFrom{}
		m.Event.Properties[0].Name = "price"
	}))
	cfg.Tables = map[string]*connector.Table{"public.orders": ordersTable()}
	wantFaults(t, faultsOf(t, cfg), `needs a currency and a price`, `"price" is reserved`)
}

func TestEventFaults(t *testing.T) {
	of := func(mode string, change func(*connector.Model)) string {
		m := plain(change)
		m.Mode = mode
		cfg := configOf(m)
		cfg.Tables = map[string]*connector.Table{"public.orders": ordersTable()}
		return faultsOf(t, cfg)
	}
	wantFaults(t, of("enrich", nil), `mode cannot be enrich`)
	wantFaults(t, of("sync", func(m *connector.Model) {
		m.DeleteWhen, m.Event.Ops, m.Event.When = `status == "x"`, []string{"delete"}, `becomes("paid")`
	}), `not taken back`, `ops cannot hold "delete"`, `models[0].when`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Event.Name = connector.NameFrom{Column: "status"} }), `list them under one_of`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Event.Name = connector.NameFrom{} }), `either a constant or a column`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Load, m.Event.Time = "all", connector.ValueFrom{} }), `nothing tells when they happened`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Event.When, m.Event.Ops = `becomes(total + 1, 5)`, []string{"update"} }), `takes a column and a value`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Event.When = `becomes(staus, "paid")` }), `there is no column or function "staus"…"status"`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Event.Ops = []string{"update"} }), `warn…each update`)
	wantFaults(t, of("sync", func(m *connector.Model) { m.Filter = `becomes(status, "paid")` }), `belongs to when of events`)
	wantFaults(t, of("sync", func(m *connector.Model) {
		dollar, reserved, typed, each, lost := prop("$a", "status"), prop("event_name", "status"), prop("b", "status"), prop("c", ""), prop("d", "staus")
		typed.Type, each.Each = "money", "items"
		m.Event.Properties = []connector.PropertyMap{dollar, reserved, typed, typed, each, lost}
	}), `begins with "$"`, `"event_name" is reserved`, `no type "money"`, `no type "money"`, `"b" is there twice`, `an each needs the fields`, `no column "staus"`)
	wantFaults(t, of("sync", func(m *connector.Model) {
		for i := range 257 {
			m.Event.Properties = append(m.Event.Properties, prop(fmt.Sprint("p", i), "status"))
		}
	}), `257 properties are more than the 256`)
	m := m0("sync")
	m.Filter, m.OnLeave = `becomes(plan, "x")`, "keep"
	wantFaults(t, faultsOf(t, configOf(m)), `belongs to when of events`)
}
