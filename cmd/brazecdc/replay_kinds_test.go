package main

import (
	"strings"
	"testing"
)

const newsGroup = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"

// TestReplayKinds: of catalogs and subscriptions a replay brings the last value of each row, of events each one, and these only where one says so.
func TestReplayKinds(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 2, topicModel)
	b.edit("user_gap: 20ms", "user_gap: 20ms\n  subscription_groups: { news: "+newsGroup+" }")
	b.write(b.text + `  - name: changes
    kind: events
    topic: shop.users
    mode: additive
    load: none
    ops: [insert, update]
    identify: { external_id: id }
    event: { name: { value: changed } }
    properties: { plan: plan }
  - name: news
    kind: subscriptions
    topic: shop.users
    mode: sync
    load: all
    identify: { external_id: id }
    groups: [{ group: news, when: credits > 1, on_leave: unsubscribe, resubscribe: always }]
  - name: shops
    kind: catalog
    topic: shop.users
    catalog: shops
    mode: sync
    load: all
    identify: { item_id: [id] }
    fields: { plan: plan }
`)
	b.post("/catalogs", `{"catalogs":[{"name":"shops","fields":[{"name":"id","type":"string"},{"name":"plan","type":"string"}]}]}`)
	b.run()
	produce(t, cl, debezium("c", "u-1", "free", 1), debezium("u", "u-1", "pro", 2), debezium("c", "u-2", "free", 3), debezium("c", "u-3", "free", 1), debezium("d", "u-3", "free", 1))
	b.settled(cl, 5)
	event := func(user string) int {
		x, _ := b.sim.Profile(user)
		return x.EventCount
	}
	calls := func(path string) []string {
		var out []string
		for _, r := range b.sim.Requests(0) {
			if strings.HasPrefix(r.Path, path) {
				out = append(out, r.Method+" "+string(r.Body))
			}
		}
		return out
	}
	b.until("the events arrive", func() bool { return event("u-1") == 2 && event("u-2") == 1 })
	replay := func(flags ...string) string {
		t.Helper()
		return b.must(append([]string{"replay", "--topic", "shop.users", "--yes"}, flags...)...)
	}
	t.Run("what Braze has makes no call", func(t *testing.T) {
		b.t = t
		items, groups, tracks := len(calls("/catalogs/")), len(calls("/v2/subscription")), len(calls("/users/track"))
		wantIn(t, replay(), "Done:")
		if n := len(calls("/catalogs/")) - items + len(calls("/v2/subscription")) - groups + len(calls("/users/track")) - tracks; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("the last value of each row goes, no event does", func(t *testing.T) {
		b.t = t
		items, groups := len(calls("/catalogs/")), len(calls("/v2/subscription"))
		out := replay("--all-values", "--model", "news", "--model", "shops")
		wantIn(t, out, "2 users, 2 items, 4 rows", "Done: 4 rows delivered.")
		all := strings.Join(calls("/catalogs/")[items:], "\n") + strings.Join(calls("/v2/subscription")[groups:], "\n")
		for _, want := range []string{`PUT {"items":[`, `{"id":"u-1","plan":"pro"}`, `{"id":"u-2","plan":"free"}`, `"subscribed"`} {
			if !strings.Contains(all, want) {
				t.Errorf("no %s in %s", want, all)
			}
		}
		if strings.Contains(all, "u-3") || strings.Contains(all, "DELETE") || event("u-1") != 2 {
			t.Errorf("sent %s, %d events", all, event("u-1"))
		}
	})
	t.Run("rows that are gone only with --deletes", func(t *testing.T) {
		b.t = t
		items, groups := len(calls("/catalogs/")), len(calls("/v2/subscription"))
		wantIn(t, replay("--deletes", "--all-values", "--model", "news", "--model", "shops"), "can't be undone")
		all := strings.Join(calls("/catalogs/")[items:], "\n") + strings.Join(calls("/v2/subscription")[groups:], "\n")
		if !strings.Contains(all, `DELETE {"items":[{"id":"u-3"}]}`) || strings.Contains(all, `"external_ids":["u-3"]`) { // whose user was deleted
			t.Errorf("sent %s", all)
		}
	})
	t.Run("events have to be asked for, and happen a second time, each of them", func(t *testing.T) {
		b.t = t
		if r := b.brazecdc("replay", "--topic", "shop.users", "--model", "changes", "--yes"); r.code != exitUsage || !strings.Contains(r.err, "--events") {
			t.Errorf("without --events: %d %s", r.code, r.err)
		}
		if r := b.brazecdc("replay", "--topic", "shop.users", "--model", "changes", "--events"); r.code != exitUsage || !strings.Contains(r.err, "--yes") {
			t.Errorf("without --yes: %d %s", r.code, r.err)
		}
		b.post("/users/delete", `{"external_ids":["u-3"]}`)
		wantIn(t, replay("--events", "--model", "changes"), "4 events", "happen a second time", "Done: ")
		x, _ := b.sim.Profile("u-1")
		if x.EventCount != 4 || string(x.Events[2].Properties) != `{"plan":"free"}` || string(x.Events[3].Properties) != `{"plan":"pro"}` || !x.Events[2].Time.Equal(x.Events[0].Time) {
			t.Errorf("%+v", x.Events)
		}
		if event("u-2") != 2 {
			t.Errorf("%d events of u-2", event("u-2"))
		}
		if x, ok := b.sim.Profile("u-3"); ok {
			t.Errorf("an event of a user who was deleted made a profile: %+v\n%s", x, strings.Join(b.bodies("/users/track", "u-3"), "\n"))
		}
	})
}
