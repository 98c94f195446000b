package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/braze/brazesim"
)

const happeningModels = `
  - name: signups
    kind: events
    table: public.log
    mode: additive
    load: none
    identify: { external_id: user_id }
    event: { name: { column: what, one_of: [signed_up] } }
    properties: { via: via }
  - name: buys
    kind: purchases
    table: public.buys
    mode: additive
    load: none
    identify: { external_id: user_id }
    purchase: { product_id: { value: shoe }, price: price, currency: { value: EUR }, time: at, max_age: 24h }
`

// TestRetryEvents: events and purchases that were held back are sent by retry once, with their own time.
func TestRetryEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`CREATE TABLE log (id int PRIMARY KEY, user_id text, what text, via text); CREATE TABLE buys (id int PRIMARY KEY, user_id text, price numeric, at timestamptz)`)
	b.write(b.text + strings.TrimPrefix(happeningModels, "\n"))
	p := b.run()
	held := func(model string) string {
		t.Helper()
		b.until("one entry of "+model+" is there", func() bool { return len(b.entries("--model", model)) == 1 })
		return strconv.FormatUint(b.entries("--model", model)[0].ID, 10)
	}
	refuse := func(ids ...string) {
		t.Helper()
		b.fault(brazesim.Fault{Endpoint: "/users/track", Items: []brazesim.ItemFault{{ExternalIDs: ids, Type: "not liked"}}})
	}
	profile := func(user string) brazesim.Profile {
		t.Helper()
		x, _ := b.sim.Profile(user)
		return x
	}
	t.Run("an event that Braze refused goes once, with the time of its change", func(t *testing.T) {
		b.t = t
		refuse("u-1")
		before := time.Now()
		b.exec(`INSERT INTO log VALUES (1, 'u-1', 'signed_up', 'web')`)
		id := held("signups")
		after := time.Now()
		b.sim.ClearFaults("")
		wantIn(t, b.must("quarantine", "retry", id), `event "signed_up"`, "was accepted by Braze")
		x := profile("u-1")
		if x.EventCount != 1 || x.Events[0].Time.Before(before.Add(-time.Second)) || x.Events[0].Time.After(after) {
			t.Errorf("%+v, inserted between %s and %s", x.Events, before, after)
		}
		if r := b.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "is closed: retried") {
			t.Errorf("a second time: %d %s", r.code, r.out)
		}
		if x := profile("u-1"); x.EventCount != 1 {
			t.Errorf("%d events", x.EventCount)
		}
	})
	t.Run("a purchase that is too old by now stays, and goes where one says so", func(t *testing.T) {
		b.t = t
		refuse("u-2")
		at := time.Now().Add(-time.Hour).Truncate(time.Second)
		b.exec(`INSERT INTO buys VALUES (1, 'u-2', 12.5, '` + at.Format(time.RFC3339) + `')`)
		id := held("buys")
		b.sim.ClearFaults("")
		b.edit("max_age: 24h", "max_age: 1m")
		b.reload(p, true)
		if r := b.brazecdc("quarantine", "retry", id); r.code == 0 || !strings.Contains(r.out, "--late") {
			t.Errorf("too old: %d %s", r.code, r.out)
		}
		wantIn(t, b.must("quarantine", "retry", "--late", id), "was accepted by Braze")
		if x := profile("u-2"); x.PurchaseCount != 1 || !x.Purchases[0].Time.Equal(at) {
			t.Errorf("%+v", x.Purchases)
		}
	})
	t.Run("what could not be mapped is mapped anew, and neither replaced nor ended by another event of its row", func(t *testing.T) {
		b.t = t
		b.edit("    table: public.log\n", "    table: public.log\n    ops: [insert, update]\n")
		b.reload(p, true)
		b.exec(`INSERT INTO log VALUES (3, 'u-3', 'left', 'web')`)
		b.exec(`UPDATE log SET what = 'gone' WHERE id = 3`)
		b.exec(`UPDATE log SET what = 'signed_up' WHERE id = 3`)
		b.until("two are held back, and the third was sent", func() bool { return len(b.entries("--model", "signups")) == 2 && profile("u-3").EventCount == 1 })
		between := time.Now()
		if r := b.brazecdc("quarantine", "retry", "--all", "--model", "signups"); r.code == 0 || strings.Count(r.out, "still can't be mapped") != 2 {
			t.Errorf("before: %d %s", r.code, r.out)
		}
		b.edit("one_of: [signed_up]", "one_of: [signed_up, left, gone]")
		b.reload(p, true)
		wantIn(t, b.must("quarantine", "retry", "--all", "--model", "signups"), `event "left"`, `event "gone"`)
		x := profile("u-3")
		if x.EventCount != 3 || len(b.entries()) != 0 {
			t.Fatalf("%+v, %d entries", x.Events, len(b.entries()))
		}
		for _, e := range x.Events {
			if e.Time.After(between) {
				t.Errorf("%+v was not when its row changed, before %s", e, between)
			}
		}
	})
}

// TestKafkaRetryEvents: of a topic the record itself is mapped anew, whatever later records of its row say.
func TestKafkaRetryEvents(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, topicModel)
	b.edit("kind: users", "kind: events")
	b.edit("load: all", "load: none")
	b.edit("mode: sync", "mode: additive\n    ops: [insert, update]\n    event: { name: { column: plan, one_of: [pro] } }")
	b.edit("    custom: { plan: plan, credits: { column: credits, type: number } }", "    properties: { credits: credits }")
	p := b.run()
	produce(t, cl, debezium("c", "u-1", "free", 1), debezium("u", "u-1", "pro", 2), &kgo.Record{Topic: "shop.users", Key: []byte(`{"id":"u-2"}`), Value: []byte(`{"before"`)})
	b.until("the bad ones are held back, the good one arrives", func() bool {
		x, _ := b.sim.Profile("u-1")
		return len(b.entries()) == 2 && x.EventCount == 1
	})
	b.edit("one_of: [pro]", "one_of: [pro, free]")
	b.reload(p, true)
	id := strconv.FormatUint(b.entries("--class", "mapping")[0].ID, 10)
	wantIn(t, b.must("quarantine", "retry", id), `event "free"`, "was accepted")
	if x, _ := b.sim.Profile("u-1"); x.EventCount != 2 || x.Events[1].Name != "free" || string(x.Events[1].Properties) != `{"credits":1}` {
		t.Errorf("%+v", x.Events)
	}
	if r := b.brazecdc("quarantine", "retry", id); r.code == 0 || len(b.entries()) != 1 {
		t.Errorf("a second time: %d %s, %d entries", r.code, r.out, len(b.entries()))
	}
}
