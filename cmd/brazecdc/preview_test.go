package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// kindsModels are models of each kind beside users.
const kindsModels = `
  - name: signups
    kind: events
    table: public.log
    mode: additive
    load: none
    identify: { external_id: user_id }
    event: { name: { value: signed_up }, time: at, max_age: 48h }
    properties: { via: via }
  - name: optins
    kind: subscriptions
    table: public.optins
    mode: sync
    load: none
    identify: { external_id: user_id }
    groups: [{ group: news, subscribed: confirmed }]
  - name: shops
    kind: catalog
    table: public.shops
    catalog: shops
    mode: sync
    load: none
    identify: { item_id: [id] }
    fields: { name: name }
`

func TestPreviewKinds(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`CREATE TABLE log (id int PRIMARY KEY, user_id text, at timestamptz, via text);
		CREATE TABLE optins (id int PRIMARY KEY, user_id text, confirmed bool);
		CREATE TABLE shops (id text PRIMARY KEY, name text);
		ALTER TABLE log REPLICA IDENTITY FULL; ALTER TABLE optins REPLICA IDENTITY FULL; ALTER TABLE shops REPLICA IDENTITY FULL;
		INSERT INTO log VALUES (1, 'u-1', now(), 'web'), (2, 'u-1', '2020-01-01', 'web');
		INSERT INTO optins VALUES (1, 'u-1', true);
		INSERT INTO shops VALUES ('s-1', 'It''s a shop');
		INSERT INTO users VALUES ('u-1', NULL, 'Ada', NULL, 12)`)
	b.write(strings.Replace(b.text, "user_gap: 20ms", "user_gap: 20ms\n  subscription_groups: { news: 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e }", 1) + strings.TrimPrefix(kindsModels, "\n"))
	preview := func(t *testing.T, model, key string) []previewed {
		t.Helper()
		b.t = t
		var list []previewed
		if err := json.Unmarshal([]byte(b.must("preview", "--model", model, "--key", key, "--json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			for _, c := range v.Calls {
				if !strings.Contains(c.Curl, "curl -X "+c.Method+" '"+endpointOf(b.text)+c.Path+"'") || !strings.Contains(c.Curl, "$BRAZE_API_KEY") {
					t.Errorf("curl: %s", c.Curl)
				}
			}
		}
		return list
	}
	t.Run("case 63: an event", func(t *testing.T) {
		list := preview(t, "signups", "1")
		if len(list) != 1 || len(list[0].Calls) != 1 || list[0].Calls[0].DataPoints != 1 || list[0].Calls[0].Late || !strings.Contains(list[0].Calls[0].Curl, `"events":[{"external_id":"u-1","name":"signed_up"`) {
			t.Errorf("%+v", list)
		}
		if list := preview(t, "signups", "2"); len(list[0].Calls) != 1 || !list[0].Calls[0].Late {
			t.Errorf("an event of 2020: %+v", list)
		}
		wantIn(t, b.must("preview", "--model", "signups", "--key", "2"), "too late:", "max_age")
	})
	t.Run("case 63: a subscription", func(t *testing.T) {
		list := preview(t, "optins", "1")
		if len(list) != 3 || list[0].Calls[0].Path != "/v2/subscription/status/set" || list[0].Calls[0].DataPoints != 0 || !strings.Contains(string(list[0].Calls[0].Body), `"subscribed"`) ||
			!strings.Contains(string(list[2].Calls[0].Body), `"unsubscribed"`) {
			t.Errorf("%+v", list)
		}
	})
	t.Run("case 63: an item of a catalog", func(t *testing.T) {
		list := preview(t, "shops", "s-1")
		if len(list) != 3 || list[0].Calls[0].Method != "PUT" || list[0].Calls[0].Path != "/catalogs/shops/items" || list[0].Calls[0].DataPoints != 0 || list[2].Calls[0].Method != "DELETE" {
			t.Errorf("%+v", list)
		}
		wantIn(t, b.must("preview", "--model", "shops", "--key", "s-1"), "shops s-1, as a delete", "DELETE /catalogs/shops/items")
	})
	t.Run("case 63: data points of a user, if nothing is known of it and whole", func(t *testing.T) {
		list := preview(t, "users", "u-1")
		if len(list) != 3 || list[0].Calls[0].DataPoints != 2 || list[0].Calls[0].Whole != 4 || list[1].Calls[0].DataPoints != 4 || list[2].Calls[0].Path != "/users/delete" {
			t.Errorf("%+v", list)
		}
		wantIn(t, b.must("preview", "--model", "users", "--key", "u-1"), "2 data points, 4 whole")
	})
}
