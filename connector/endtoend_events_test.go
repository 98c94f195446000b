package connector_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

// shopEvents is a table of what happens in a shop, with a row for each of Braze's recommended events.
const shopEvents = `CREATE TABLE shop_events(id int PRIMARY KEY, user_id text, kind text, at timestamptz, order_id int, cart text, checkout text, why text, total numeric(10,2), currency text,
	items jsonb, product text, title text, variant text, price numeric(10,2))`

// shopRow is a row with all that any of them needs.
const shopRow = `INSERT INTO shop_events VALUES (%d, 'u1', '%s', '2026-11-01 12:00+00', 7, 'c-1', 'k-1', 'too late', 59.90, 'eur',
	'[{"sku": "A", "name": "Shoe", "variant": "A-42", "qty": 2, "price": "24.95", "inside": true}, {"sku": "B", "name": "Sock", "variant": "B-1", "qty": 1, "price": 10}]',
	'A', 'Shoe', 'A-42', 24.95)`

// ecommerce are the recommended events with the columns that their required properties are of; source is a constant, products an each.
var ecommerce = map[string]map[string]string{
	"ecommerce.product_viewed":   {"product_id": "product", "product_name": "title", "variant_id": "variant", "price": "price", "currency": "currency"},
	"ecommerce.cart_updated":     {"cart_id": "cart", "total_value": "total", "currency": "currency", "products": "items"},
	"ecommerce.checkout_started": {"checkout_id": "checkout", "total_value": "total", "currency": "currency", "products": "items"},
	"ecommerce.order_placed":     {"order_id": "order_id", "total_value": "total", "currency": "currency", "products": "items"},
	"ecommerce.order_refunded":   {"order_id": "order_id", "total_value": "total", "currency": "currency", "products": "items"},
	"ecommerce.order_cancelled":  {"order_id": "order_id", "cancel_reason": "why", "total_value": "total", "currency": "currency", "products": "items"},
}

// ecommerceModel sends the rows of one kind as the recommended event of that name.
func ecommerceModel(n int, name string) connector.Model {
	m := eventModel(n, "shop_events", name)
	m.Name = strings.TrimPrefix(name, "ecommerce.")
	m.Filter, m.OnLeave = fmt.Sprintf("kind == %q", m.Name), "keep"
	m.Event.Time.Column = "at"
	source := property(m.Path, "source", "")
	source.Value, source.HasValue = `"shop"`, true
	m.Event.Properties = []connector.PropertyMap{source}
	for prop, column := range ecommerce[name] {
		p := property(m.Path, prop, column)
		if prop == "products" {
			p.Column, p.Each = "", column
			for member, from := range map[string]string{"product_id": "sku", "product_name": "name", "variant_id": "variant", "quantity": "qty", "price": "price"} {
				p.Fields = append(p.Fields, property(m.Path, member, from))
			}
		}
		m.Event.Properties = append(m.Event.Properties, p)
	}
	return m
}

// TestCasesOfEvents goes from real rows to the events and purchases of request bodies.
func TestCasesOfEvents(t *testing.T) {
	t.Run("case 69: event properties lost: only what is mapped as the event's name and time is taken out", func(t *testing.T) {
		t.Parallel()
		m := eventModel(0, "signups", "", "name", "plan")
		m.Event.Name = connector.NameFrom{Column: "event_name", OneOf: []string{"signed_up", "left"}}
		m.Event.Time.Column = "time"
		// Braze reserves time and event_name: where the event's own come from elsewhere, the columns are properties under other names.
		other := eventModel(1, "signups", "noticed", "name", "plan")
		other.Name, other.Event.Time.Column = "noticed", "seen"
		other.Event.Properties = append(other.Event.Properties, property("models[1]", "at", "time"), property("models[1]", "what", "event_name"))
		c := newCase(t, rigConfig{models: []connector.Model{m, other}}, `CREATE TABLE signups(id int PRIMARY KEY, user_id text, time timestamptz, event_name text, name text, plan text, seen timestamptz)`)
		c.exec(`INSERT INTO signups VALUES (1, 'u1', '2026-11-01 09:00+09', 'signed_up', 'Aya', 'pro', '2026-11-02 00:00:00.5+00')`)
		c.want("case_69")
	})
	t.Run("case 51: skip what is already stale: events are never merged, and all are sent in order", func(t *testing.T) {
		t.Parallel()
		c := newCase(t, rigConfig{models: []connector.Model{eventModel(0, "visits", "visited", "id")}}, `CREATE TABLE visits(id int PRIMARY KEY, user_id text)`)
		c.exec(`INSERT INTO visits SELECT i, 'u1' FROM generate_series(1, 100) i`)
		var have, want []string
		for n, call := range c.calls() {
			var e struct{ Properties struct{ ID int } }
			if err := json.Unmarshal(call.Body, &e); err != nil {
				t.Fatal(err)
			}
			have, want = append(have, fmt.Sprint(e.Properties.ID)), append(want, fmt.Sprint(n+1))
		}
		if len(have) != 100 || !slices.Equal(have, want) {
			t.Errorf("events %v", have)
		}
		c.together()
	})
	t.Run("each recommended e-commerce event with its properties, line items by each, and none that lacks a required one", func(t *testing.T) {
		t.Parallel()
		names := slices.Sorted(maps.Keys(ecommerce))
		var models []connector.Model
		for n, name := range names {
			models = append(models, ecommerceModel(n, name))
		}
		c := newCase(t, rigConfig{models: models}, shopEvents)
		id := 0
		for _, name := range names {
			kind := strings.TrimPrefix(name, "ecommerce.")
			id++
			c.exec(fmt.Sprintf(shopRow, id, kind))
			c.want("ecommerce_" + kind)
			lacks := map[string]string{} // the row's key, by what it lacks
			insert := func(what, set string) {
				id++
				lacks[fmt.Sprint(id)] = what
				c.sql(`CREATE TEMP TABLE draft (LIKE shop_events)`, strings.Replace(fmt.Sprintf(shopRow, id, kind), "shop_events", "draft", 1), "UPDATE draft SET "+set,
					`INSERT INTO shop_events SELECT * FROM draft`, `DROP TABLE draft`)
			}
			for prop, column := range ecommerce[name] {
				insert(prop, column+" = NULL")
				if column == "items" {
					insert("it has no products", "items = '[]'")
					for _, member := range []string{"sku", "name", "variant", "qty", "price"} {
						insert("of products[1]", fmt.Sprintf(`items = jsonb_set(items, '{1}', (items -> 1) - '%s')`, member))
					}
				}
			}
			c.none()
			all, err := c.run.data.Quarantine().List(connector.EntryFilter{})
			if err != nil {
				t.Fatal(err)
			}
			held := 0
			for _, e := range all {
				row, _, _ := strings.Cut(e.Key.ID, "@")
				what, mine := lacks[row]
				if !mine {
					continue
				}
				if held++; e.Model != kind || e.Class != "mapping" || !strings.Contains(e.Reason, what) {
					t.Errorf("%s without %s: held back by %s: %s: %s", kind, what, e.Model, e.Class, e.Reason)
				}
			}
			if held != len(lacks) {
				t.Errorf("%s: %d of %d incomplete rows are held back", kind, held, len(lacks))
			}
			for i := range models[0].Event.Properties {
				m := ecommerceModel(0, name)
				lack := m.Event.Properties[i%len(m.Event.Properties)].Name
				m.Event.Properties = slices.DeleteFunc(m.Event.Properties, func(p connector.PropertyMap) bool { return p.Name == lack })
				if mapper, faults := mapping.New(mapping.Config{Models: []connector.Model{m}}); mapper != nil || !strings.Contains(fmt.Sprint(faults), fmt.Sprintf("needs the property %q", lack)) {
					t.Errorf("%s without the property %s is no fault of the configuration: %v", name, lack, faults)
				}
			}
		}
	})
	t.Run("purchases: price, currency and quantity from columns, and what Braze would refuse is held back", func(t *testing.T) {
		t.Parallel()
		m := purchaseModel(0, "items")
		m.Event.Time.Column = "paid_at"
		c := newCase(t, rigConfig{models: []connector.Model{m}}, itemsTable, `ALTER TABLE items ADD paid_at timestamptz DEFAULT '2026-11-01 09:00+09'`)
		c.sql(`INSERT INTO items VALUES (1, 'u1', 'shoe', 'eur', 9.50, 2, 'A'), (2, 'u2', 'sock', 'JPY', 300, 1, NULL)`)
		c.want("purchases")
		c.sql(`INSERT INTO items VALUES (3, 'u1', 'boat', 'EUR', 9.50, 1), (4, 'u1', 'shoe', 'euros', 9.50, 1), (5, 'u1', 'shoe', 'EUR', NULL, 1), (6, 'u1', 'shoe', 'EUR', 'NaN', 1),
			(7, 'u1', 'shoe', 'EUR', 1, 101), (8, 'u1', 'shoe', 'EUR', 1, 0), (9, NULL, 'shoe', 'EUR', 1, 1)`)
		c.none()
		if q := c.quarantined(); len(q) != 7 {
			t.Errorf("quarantine holds %q", q)
		}
	})
}
