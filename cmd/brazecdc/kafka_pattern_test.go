package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// of puts a record into another topic.
func of(topic string, r *kgo.Record) *kgo.Record {
	r.Topic = topic
	return r
}

// createTopics makes topics of one partition.
func createTopics(t *testing.T, cl *kgo.Client, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	made, err := kadm.NewClient(cl).CreateTopics(ctx, 1, 1, nil, names...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestKafkaPattern(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 2, topicModel)
	b.edit("topic: shop.users", `topic: { pattern: 'shop\.shard[0-9]+\.users' }`)

	t.Run("no match is a fault at check and a warning at run", func(t *testing.T) {
		r := b.brazecdc("check")
		if r.code != connector.ExitFaults {
			t.Errorf("check: exit code %d", r.code)
		}
		wantIn(t, r.out, "must fix", `the pattern shop\.shard[0-9]+\.users matches no topic`)
	})
	p := b.run()
	b.until("it warns", func() bool { return strings.Contains(p.err.String(), "no topic matches the model's pattern yet") })
	wantIn(t, p.out.String(), `the topics that match shop\.shard[0-9]+\.users (now no topic yet) are read from their beginning`)

	t.Run("topics that come while it runs are read from their beginning, others are not", func(t *testing.T) {
		createTopics(t, cl, "shop.shard1.users", "shop.shardx.users", "shop.shard1.users.old")
		produce(t, cl, of("shop.shard1.users", debezium("c", "a-1", "free", 1)), of("shop.shardx.users", debezium("c", "x-1", "free", 1)),
			of("shop.shard1.users.old", debezium("c", "o-1", "free", 1)), debezium("c", "n-1", "free", 1))
		b.arrives("a-1", "credits", "1")
		createTopics(t, cl, "shop.shard22.users")
		produce(t, cl, of("shop.shard22.users", debezium("c", "b-1", "free", 2)), of("shop.shard22.users", debezium("u", "b-1", "pro", 3)))
		b.arrives("b-1", "plan", `"pro"`)
		if n := len(b.sim.Profiles()); n != 2 {
			t.Errorf("%d profiles, want those of two topics", n)
		}
	})
	t.Run("status, check and preview name the pattern and what it matches now", func(t *testing.T) {
		wantIn(t, b.must("status"), `shop\.shard[0-9]+\.users`, "users reads shop.shard1.users, shop.shard22.users")
		out := b.must("check")
		wantIn(t, out, "matches 2 topics: shop.shard1.users, shop.shard22.users", "rows of 2 topics feed it", "external_id is in one topic only", "topic shop.shard22.users has 1 partition")
		wantIn(t, b.must("preview", "--model", "users", "--limit", "9"), "shop.shard1.users partition 0 offset 0", "shop.shard22.users partition 0 offset 1", `"b-1"`)
	})
	t.Run("a TRUNCATE in one topic pauses the model, and rows keep their topic's name", func(t *testing.T) {
		bad := of("shop.shard22.users", debezium("c", "b-2", "free", 1))
		bad.Value = bad.Value[:40]
		truncate := &kgo.Record{Topic: "shop.shard1.users", Value: fmt.Appendf(nil,
			`{"before":null,"after":null,"source":{"connector":"postgresql","ts_ms":%d,"schema":"public","table":"users"},"op":"t","ts_ms":%[1]d}`, time.Now().UnixMilli())}
		produce(t, cl, bad, truncate)
		b.until("the model is paused and the record held back", func() bool {
			s := b.status()
			return s.Models[0].Paused != "" && s.Quarantine == 1
		})
		wantIn(t, b.must("quarantine", "list", "--json"), "shop.shard22.users")
		b.must("confirm", "users", "--yes")
		produce(t, cl, of("shop.shard1.users", debezium("c", "a-2", "free", 5)))
		b.arrives("a-2", "credits", "5")
		if _, ok := b.sim.Profile("a-1"); !ok {
			t.Error("the TRUNCATE deleted a profile")
		}
	})
	t.Run("it goes on behind what it delivered, in topics that came later too", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		createTopics(t, cl, "shop.shard3.users") // while nobody runs
		produce(t, cl, of("shop.shard3.users", debezium("c", "c-1", "free", 1)), of("shop.shard22.users", debezium("u", "b-1", "team", 4)))
		b.edit("load: all", "load: none")
		tracks := b.sim.Stats().Endpoints["/users/track"].Objects
		p = b.run()
		b.arrives("c-1", "credits", "1")
		b.arrives("b-1", "plan", `"team"`)
		if n := b.sim.Stats().Endpoints["/users/track"].Objects - tracks; n != 2 {
			t.Errorf("%d objects for two changes", n)
		}
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestKafkaColumns(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, `mode: sync
load: all
identify: { external_id: id }
fields: { dob: born }
custom: { price: price, seen: { column: seen, type: time }, name: name, code: code }`)
	row := func(id string) *kgo.Record {
		return &kgo.Record{Topic: "shop.users", Key: []byte(id), Value: fmt.Appendf(nil, `{"price":"BOI=","born":7428,"seen":1772762645678901,"name":"Ada","code":"free"}`)}
	}
	produce(t, cl, row("u-1"))

	t.Run("check warns of values that are not what they look like", func(t *testing.T) {
		r := b.brazecdc("check")
		wantIn(t, r.out, "column price of topic shop.users looks like numbers or bytes in base64", "column born of topic shop.users looks like dates in days",
			"column seen of topic shop.users looks like timestamps in microseconds", `columns: {born: "date"}`)
		if strings.Contains(r.out, "column code") || strings.Contains(r.out, "column name") {
			t.Errorf("text passes for something else:\n%s", r.out)
		}
	})
	t.Run("a type that is not known is a fault with its line", func(t *testing.T) {
		b.edit("identify: {", "columns: { price: \"numeric(12\" }\n    identify: {")
		for _, command := range []string{"check", "run", "preview --model users"} {
			r := b.brazecdc(strings.Fields(command)...)
			if r.code != connector.ExitConfig && r.code != connector.ExitFaults {
				t.Errorf("%s: exit code %d", command, r.code)
			}
			wantIn(t, r.out+r.err, "models[0].columns.price", "a parenthesis is missing", "known types: ", "brazecdc.yaml:19:")
		}
	})
	t.Run("a type that the values are not of is told", func(t *testing.T) {
		b.edit(`price: "numeric(12"`, `price: "numeric(12,2)", born: timestamptz, name: date, gone: text`)
		r := b.brazecdc("check")
		wantIn(t, r.out, `1 of the newest 1 values of column name of topic shop.users are not of the type "date"`, "columns names gone, which the newest row of topic shop.users does not have")
	})
	t.Run("case 31 32 38: with types the values are what they are in the database", func(t *testing.T) {
		b.edit(`born: timestamptz, name: date, gone: text`, `born: date, seen: timestamp`)
		b.edit("identify: {", "key_column: id\n    identify: {")
		if r := b.brazecdc("check"); strings.Contains(r.out, "looks like") || r.code != 0 {
			t.Errorf("exit code %d\n%s", r.code, r.out)
		}
		p := b.run()
		b.arrives("u-1", "price", "12.5")
		b.arrives("u-1", "dob", `"1990-05-04"`)
		b.arrives("u-1", "seen", `"2026-03-06T02:04:05.678901Z"`)
		produce(t, cl, &kgo.Record{Topic: "shop.users", Key: []byte("u-1")})
		b.until("the tombstone deletes the user", func() bool { _, ok := b.sim.Profile("u-1"); return !ok })
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestKafkaStartTimeout(t *testing.T) {
	t.Parallel()
	b, _ := newTopicBench(t, 1, topicModel)
	at := strings.Index(b.text, "brokers: [")
	b.edit(b.text[at:at+strings.Index(b.text[at:], "]")], `start_timeout: 300ms, brokers: ["127.0.0.1:1"`)
	if r := b.brazecdc("run"); r.code != connector.ExitUnreachable || !strings.Contains(r.err, "no broker of 127.0.0.1:1 answered within 300ms") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}
