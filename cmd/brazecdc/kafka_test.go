package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/sourcetest"
)

// newCluster makes a cluster in memory and a producer for it.
func newCluster(t *testing.T) (cluster *kfake.Cluster, producer *kgo.Client, brokers []string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	brokers = cluster.ListenAddrs()
	if producer, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return cluster, producer, brokers
}

// newTopicBench sets up a cluster in memory, the simulator, and a configuration that reads topic users with the given model lines.
func newTopicBench(t *testing.T, partitions int32, model string) (*bench, *kgo.Client) {
	t.Helper()
	cluster, producer, brokers := newCluster(t)
	if err := cluster.CreateTopic("shop.users", partitions, nil); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: shortDir(t)}
	b.sim = brazesim.New(brazesim.Config{APIKey: testKey})
	endpoint, err := b.sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.sim.Close() })
	t.Cleanup(func() { sourcetest.NothingRefused(t, b.sim.Unasked(), append(checkProbes, b.asked...)...) })
	b.env = append(os.Environ(), "BRAZE_API_KEY="+testKey, "TEST_ENDPOINT="+endpoint, "NO_COLOR=1")
	b.write(fmt.Sprintf(`version: 1
braze:
  workspace: test
  endpoint: %s
  api_key: ${BRAZE_API_KEY}
  user_gap: 20ms
  settle: 100ms
source:
  time_zone: UTC
  kafka: { brokers: ["%s"], group: shop }
web: { listen: "127.0.0.1:0" }
limits: { drain: 10s }
models:
  - name: users
    kind: users
    topic: shop.users
%s
`, endpoint, strings.Join(brokers, `", "`), indent(model)))
	return b, producer
}

const topicModel = `mode: sync
load: all
identify: { external_id: id }
custom: { plan: plan, credits: { column: credits, type: number } }`

func produce(t *testing.T, cl *kgo.Client, recs ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// debezium is a record of a row change, in Debezium's JSON without schema.
func debezium(op, id, plan string, credits int) *kgo.Record {
	row := fmt.Sprintf(`{"id":%q,"plan":%q,"credits":%d}`, id, plan, credits)
	before, after := "null", row
	if op == "d" {
		before, after = row, "null"
	}
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"db":"shop","schema":"public","table":"users","txId":1,"lsn":1},"op":%q,"ts_ms":%[3]d}`,
		before, after, time.Now().UnixMilli(), op)
	return &kgo.Record{Topic: "shop.users", Key: fmt.Appendf(nil, `{"id":%q}`, id), Value: []byte(value)}
}

func TestKafka(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 3, topicModel)
	produce(t, cl, debezium("r", "u-1", "free", 1), debezium("c", "u-2", "free", 2), debezium("c", "u-3", "free", 3))
	p := b.run()

	t.Run("says at the first start what it will do", func(t *testing.T) {
		wantIn(t, p.out.String(), `First start of workspace "test"`, `consumer group "shop"`, "topic shop.users is read from its beginning", "can start campaigns")
	})
	t.Run("brings what lies in the topic and what comes", func(t *testing.T) {
		b.arrives("u-1", "plan", `"free"`)
		b.arrives("u-2", "credits", `2`)
		produce(t, cl, debezium("u", "u-2", "pro", 7), debezium("c", "u-4", "team", 4))
		b.arrives("u-2", "plan", `"pro"`)
		b.arrives("u-4", "credits", `4`)
	})
	t.Run("an old row in a record proves nothing, since the record that brought it may have been compacted away", func(t *testing.T) {
		last := debezium("u", "u-4", "pro", 5)
		last.Value = bytes.Replace(last.Value, []byte(`"before":null`), []byte(`"before":{"id":"u-4","plan":"pro","credits":4}`), 1)
		produce(t, cl, last)
		b.arrives("u-4", "credits", `5`)
		b.arrives("u-4", "plan", `"pro"`)
	})
	t.Run("case 43: a delete and its tombstone are one delete", func(t *testing.T) {
		produce(t, cl, debezium("d", "u-3", "free", 3), &kgo.Record{Topic: "shop.users", Key: []byte(`{"id":"u-3"}`)})
		b.until("u-3 is deleted", func() bool { _, ok := b.sim.Profile("u-3"); return !ok })
		b.until("all is done", func() bool {
			_, body := b.get("/metrics")
			return !regexp.MustCompile(`brazecdc_kafka_lag_records\{.*\} [1-9]`).MatchString(body)
		})
		if n := b.sim.Stats().Endpoints["/users/delete"].Objects; n != 1 {
			t.Errorf("%d deletes", n)
		}
	})
	t.Run("case 10: a record that cannot be decoded is held back while its neighbours arrive", func(t *testing.T) {
		bad := debezium("c", "u-5", "free", 5)
		bad.Value = bad.Value[:40]
		before, after := debezium("u", "u-1", "gold", 1), debezium("c", "u-6", "gold", 6)
		produce(t, cl, before, bad, after)
		b.arrives("u-1", "plan", `"gold"`) // how soon, TestPoisonHoldsNobody tells, by a clock of its own
		b.arrives("u-6", "plan", `"gold"`)
		var list []connector.Entry
		b.until("it is held back", func() bool {
			if err := json.Unmarshal([]byte(b.must("quarantine", "list", "--json")), &list); err != nil {
				t.Fatal(err)
			}
			return len(list) == 1
		})
		if e := list[0]; e.Class != "undecodable" || e.Model != "users" || e.Key.Table != "shop.users" {
			t.Errorf("%+v", e)
		}
		id := strconv.FormatUint(list[0].ID, 10)
		wantIn(t, b.must("quarantine", "show", id), "undecodable", "record of topic shop.users", "value, 40 bytes: {")
		r := b.brazecdc("quarantine", "retry", id)
		if r.code == 0 {
			t.Error("a retry of it ended well")
		}
		wantIn(t, r.out+r.err, "still can't be decoded")
		b.must("quarantine", "discard", id, "--yes", "--why", "test")
	})
	t.Run("tells its partitions in status and metrics", func(t *testing.T) {
		b.until("all is confirmed", func() bool { return b.status().OpenChanges == 0 })
		wantIn(t, b.must("status"), "running", "shop.users", "position shop.users/", "offset", "source: records that carry no change: tombstone 1")
		_, body := b.get("/metrics")
		wantIn(t, body, `brazecdc_source_connected{source="kafka"} 1`, `brazecdc_kafka_lag_records{partition="0",topic="shop.users"}`, `brazecdc_confirmed_position{stream="shop.users/`)
		wantIn(t, body, `brazecdc_kafka_skipped_total{reason="tombstone"} 1`, `brazecdc_kafka_skipped_total{reason="key_change"} 0`)
		wantIn(t, body, `brazecdc_quarantine_added_total{model="users",reason="undecodable"} 1`, `brazecdc_quarantine_retried_total{model="users",outcome="impossible"} 1`)
		if regexp.MustCompile(`stream="[^"]*@`).MatchString(body) || strings.Contains(body, "slot_") {
			t.Errorf("an assignment's number or a slot is shown:\n%s", body)
		}
	})
	t.Run("shows and checks without a database", func(t *testing.T) {
		r := b.brazecdc("preview", "--model", "users", "--limit", "20")
		wantIn(t, r.out, "as a delete", "POST /users/track", "POST /users/delete", "tombstone", "would be held back", "Nothing was sent")
		if r.code != connector.ExitFaults {
			t.Errorf("preview: exit code %d, though a record would be held back", r.code)
		}
		wantIn(t, b.must("preview", "--model", "users", "--key", "u-2"), "users u-2, as an update", `"plan":"pro"`)
		wantIn(t, b.must("teardown"), "nothing to drop")
		if r := b.brazecdc("send", "--model", "users", "--key", "u-1", "--yes"); r.code != exitUsage {
			t.Errorf("send: exit code %d", r.code)
		}
	})
	t.Run("goes on behind what it delivered after SIGTERM", func(t *testing.T) {
		if code := p.stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		produce(t, cl, debezium("u", "u-2", "team", 8), debezium("c", "u-7", "free", 7))
		sent := b.sim.Stats().Endpoints["/users/track"].Requests
		p = b.run()
		b.arrives("u-2", "plan", `"team"`)
		b.arrives("u-7", "credits", `7`)
		if n := b.sim.Stats().Endpoints["/users/track"].Requests - sent; n > 4 {
			t.Errorf("%d requests for two changes", n)
		}
		if strings.Contains(p.out.String(), "First start") {
			t.Error("it takes this for a first start")
		}
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestKafkaCheck(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 2, topicModel)
	wantIn(t, b.must("check"), "topic shop.users has 2 partitions", "has no records")
	produce(t, cl, debezium("c", "u-1", "free", 1))
	wantIn(t, b.must("check"), "1 row change, as Debezium JSON", "1 model fit the newest records")
	b.edit("plan: plan", "plan: plann")
	wantIn(t, b.must("check"), "may hurt", "plann")
	b.edit("topic: shop.users", "topic: shop.user")
	if r := b.brazecdc("check"); r.code != connector.ExitFaults || !strings.Contains(r.out, `"shop.users"`) {
		t.Errorf("exit code %d\n%s", r.code, r.out)
	}
	if r := b.brazecdc("run"); r.code != connector.ExitTableUnfit || !strings.Contains(r.err, `"shop.user"`) {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

func TestKafkaKeyNeverSent(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, strings.Replace(topicModel, "external_id: id", "external_id: plan", 1))
	b.edit("limits:", "never_send: [users.id]\nlimits:")
	produce(t, cl, debezium("c", "u-1", "free", 1))
	const words = `column "id" is in never_send and part of the key of shop.users`
	wantIn(t, b.brazecdc("check").out, "may hurt", words)
	p := b.run()
	wantIn(t, strings.ReplaceAll(p.err.String(), `\"`, `"`), words)
	b.edit("identify:", "key_column: id\n    identify:")
	b.edit("[users.id]", "[id]")
	r := b.brazecdc("check")
	if r.code != connector.ExitConfig && r.code != connector.ExitFaults {
		t.Errorf("exit code %d", r.code)
	}
	wantIn(t, r.out+r.err, "models[0].key_column tells rows apart by the column id, which never_send on line")
}

// recorded gives the records of a topic as Debezium wrote them.
func recordedTopic(t *testing.T, folder, table string) (recs []*kgo.Record) {
	t.Helper()
	f, err := os.Open(filepath.Join("../../connector/envelope/testdata/debezium", folder, table+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l struct {
			Key, Value *string
			KeyEnc     string `json:"key_encoding"`
			ValueEnc   string `json:"value_encoding"`
		}
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, &kgo.Record{Topic: "shop.users", Key: unpacked(t, l.Key, l.KeyEnc), Value: unpacked(t, l.Value, l.ValueEnc)})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return recs
}

func unpacked(t *testing.T, s *string, encoding string) []byte {
	t.Helper()
	if s == nil {
		return nil
	}
	if encoding != "base64" {
		return []byte(*s)
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// finalRows gives the columns of the rows that are left after the recorded changes, by id.
func finalRows(t *testing.T, recs []*kgo.Record, column string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, r := range recs {
		if r.Value == nil {
			continue
		}
		var v struct {
			Op            string
			Before, After map[string]json.RawMessage
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if v.Before != nil {
			delete(rows, string(v.Before["id"]))
		}
		if v.After != nil {
			var text string
			if err := json.Unmarshal(v.After[column], &text); err != nil {
				t.Fatal(err)
			}
			rows[string(v.After["id"])] = text
		}
	}
	return rows
}

func TestKafkaRecorded(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"json", "json_iso"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			recs := recordedTopic(t, folder, "public.users")
			b, cl := newTopicBench(t, 1, `mode: sync
load: all
identify: { external_id: id }
custom: { name: name, age: age }`)
			produce(t, cl, recs...)
			p := b.run()
			left := finalRows(t, recs, "name")
			for id, name := range left {
				b.until("the name of "+id+" is "+name, func() bool {
					var got string
					return json.Unmarshal([]byte(b.profile(id, "name")), &got) == nil && got == name
				})
			}
			b.until("only the living rows are profiles", func() bool { return len(b.sim.Profiles()) == len(left) })
			if n := b.status().Quarantine; n != 0 {
				t.Errorf("%d changes are held back:\n%s", n, b.must("quarantine", "list"))
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// member is a further process of the same group, with a data folder of its own.
func (b *bench) member(t *testing.T) *bench {
	t.Helper()
	m := &bench{t: t, dir: shortDir(t), sim: b.sim, env: b.env}
	m.write(b.text)
	return m
}

func TestKafkaGroup(t *testing.T) {
	t.Parallel()
	const users, rounds = 300, 10
	one, cl := newTopicBench(t, 12, topicModel)
	two := one.member(t)
	p1 := one.run()
	p2 := two.run()
	share := func(b *bench) int {
		_, body := b.get("/metrics")
		return strings.Count(body, "brazecdc_kafka_lag_records{")
	}
	one.until("they share the partitions", func() bool { return share(one) == 6 && share(two) == 6 })

	write := func(from, to int) {
		var recs []*kgo.Record
		for r := from; r < to; r++ {
			for u := range users {
				recs = append(recs, debezium("u", "u-"+strconv.Itoa(u), "round-"+strconv.Itoa(r), r*users+u))
			}
		}
		produce(t, cl, recs...)
	}
	write(0, rounds/2)
	one.until("both are at work", func() bool {
		return one.status().Models[0].Sent["track"] > 0 && two.status().Models[0].Sent["track"] > 0
	})
	p1.signal(syscall.SIGKILL)
	<-p1.done
	write(rounds/2, rounds)
	one.listen = ""
	p1 = one.run() // what it had comes back to it, or went to the other
	last := func(from int) {
		for u := from; u < users; u++ {
			one.arrives("u-"+strconv.Itoa(u), "credits", strconv.Itoa((rounds-1)*users+u))
			one.arrives("u-"+strconv.Itoa(u), "plan", `"round-`+strconv.Itoa(rounds-1)+`"`)
		}
	}
	last(0)
	// The same with deletes: some users stay away, some come back.
	const gone, back = 40, 20
	for u := range gone {
		produce(t, cl, debezium("d", "u-"+strconv.Itoa(u), "", 0))
	}
	one.until("deletes are under way", func() bool { return one.sim.Stats().Endpoints["/users/delete"].Requests > 0 })
	p2.signal(syscall.SIGKILL)
	<-p2.done
	for u := range back {
		produce(t, cl, debezium("c", "u-"+strconv.Itoa(u), "back", u))
	}
	two.listen = ""
	p2 = two.run()
	for u := range back {
		one.arrives("u-"+strconv.Itoa(u), "plan", `"back"`)
		one.arrives("u-"+strconv.Itoa(u), "credits", strconv.Itoa(u))
	}
	one.until("who stays away is gone", func() bool { return len(one.sim.Profiles()) == users-gone+back })
	one.until("both are at rest", func() bool { return one.status().OpenChanges == 0 && two.status().OpenChanges == 0 })
	for u := back; u < gone; u++ {
		if p, ok := one.sim.Profile("u-" + strconv.Itoa(u)); ok {
			t.Errorf("u-%d is there again: %+v", u, p)
		}
	}
	last(gone)
	for _, p := range []*process{p1, p2} {
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	if n := one.status().Quarantine + two.status().Quarantine; n != 0 {
		t.Errorf("%d changes are held back", n)
	}
}
