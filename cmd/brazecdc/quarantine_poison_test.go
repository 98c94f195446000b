package main

import (
	"bytes"
	"context"
	bin "encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	kafkas "brazecdc/connector/kafka/throwaway"
)

// heldBench is a bench over a topic of three partitions, with a producer that chooses the partition and a registry that knows the recorded Avro schemas.
type heldBench struct {
	*bench
	cl    *kgo.Client
	reg   *registryServer
	topic string
	avro  []*kgo.Record // recorded rows of users
}

const (
	heldTopic = "brazecdc.held"
	heldModel = `mode: sync
load: all
identify: { external_id: id }
custom: { plan: plan, name: name, credits: { column: credits, type: number } }`
)

// newHeldBench uses the given brokers, or a cluster in memory where there are none.
func newHeldBench(t *testing.T, brokers []string, inTopic bool) *heldBench {
	t.Helper()
	b, cl := newTopicBench(t, 3, heldModel)
	h := &heldBench{bench: b, topic: "shop.users", avro: recordedTopic(t, "avro_confluent", "public.users")}
	group := "shop"
	inMemory := cl.OptValue(kgo.SeedBrokers).([]string)
	if brokers == nil {
		brokers = inMemory
	} else {
		h.topic, group = "held.users", "held"
		b.write(strings.NewReplacer(strings.Join(inMemory, `", "`), strings.Join(brokers, `", "`), "shop.users", h.topic, "group: shop", "group: "+group).Replace(b.text))
	}
	var err error
	h.cl, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxWriteBytes(100<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.cl.Close)
	size := strconv.Itoa(32 << 20)
	adm := kadm.NewClient(h.cl)
	if h.topic == "shop.users" {
		_, err = adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &size}}, h.topic)
	} else {
		_, err = adm.CreateTopic(t.Context(), 3, 1, map[string]*string{"max.message.bytes": &size}, h.topic)
	}
	if err != nil {
		t.Fatal(err)
	}
	var url string
	h.reg, url = newRegistryServer(t, "avro_confluent")
	h.reg.up.Store(true)
	b.edit("group: "+group+" }", "group: "+group+`, registry: { url: "`+url+`", user: reader, password: "${BRAZE_API_KEY}" } }`)
	if inTopic {
		b.edit("limits:", "quarantine: { to: { topic: "+heldTopic+" } }\nlimits:")
	}
	return h
}

// put writes records to a partition and gives the offset of the first.
func (h *heldBench) put(partition int32, recs ...*kgo.Record) int64 {
	h.t.Helper()
	for _, r := range recs {
		r.Topic, r.Partition = h.topic, partition
	}
	produce(h.t, h.cl, recs...)
	return recs[0].Offset
}

// numbered gives an Avro record under another schema id.
func numbered(r *kgo.Record, id uint32) *kgo.Record {
	return &kgo.Record{Key: r.Key, Value: append(bin.BigEndian.AppendUint32([]byte{0}, id), r.Value[5:]...)}
}

func (h *heldBench) open(class string) []connector.Entry {
	h.t.Helper()
	return h.entries("--class", class, "--limit", "0")
}

// kept reads the quarantine topic.
func (h *heldBench) kept() (recs []*kgo.Record) {
	h.t.Helper()
	adm := kadm.NewClient(h.cl)
	ends, err := adm.ListEndOffsets(h.t.Context(), heldTopic)
	if err != nil {
		h.t.Fatal(err)
	}
	end, _ := ends.Lookup(heldTopic, 0)
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.cl.OptValue(kgo.SeedBrokers).([]string)...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{heldTopic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	for int64(len(recs)) < end.Offset {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			h.t.Fatal(err)
		}
		recs = append(recs, fetches.Records()...)
	}
	return recs
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// poisons are records that cannot be decoded, by what is the matter with them. The keys are Debezium's.
func (h *heldBench) poisons() map[string]*kgo.Record {
	cut := debezium("c", "p-cut", "free", 1)
	cut.Value = cut.Value[:40]
	cut.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("abc")}}
	null := &kgo.Record{Value: []byte(`{"id":"p-null","plan":"free"}`)}
	large := debezium("c", "p-large", strings.Repeat("x", 20<<20), 1)
	garbage := numbered(h.avro[0], 0)
	garbage.Value = append(slices.Clone(h.avro[0].Value[:5]), bytes.Repeat([]byte{0xff}, 40)...)
	return map[string]*kgo.Record{
		"case 10: cut JSON": cut,
		"cdc 89: a schema that the registry does not know":    numbered(h.avro[0], 0x7f7f),
		"cdc 89: no format that is known":                     {Key: cut.Key, Value: []byte("\x01\x02 hello")},
		"cdc 89: a value of no bytes":                         {Key: cut.Key, Value: []byte{}},
		"cdc 89: cut Avro":                                    {Key: h.avro[0].Key, Value: h.avro[0].Value[:9]},
		"case 10: Avro of a known schema with a garbage body": garbage,
		"case 10: a null key":                                 null,
		"cdc 115: a value of 20 MB":                           large,
	}
}

func TestKafkaPoison(t *testing.T) {
	t.Run("in memory, kept on disk", func(t *testing.T) { t.Parallel(); testPoison(t, nil, false) })
	t.Run("in memory, kept in a topic", func(t *testing.T) { t.Parallel(); testPoison(t, nil, true) })
	t.Run("a real broker, kept in a topic", func(t *testing.T) { testPoison(t, []string{kafkas.Shared(t).Addr()}, true) })
}

func testPoison(t *testing.T, brokers []string, inTopic bool) {
	h := newHeldBench(t, brokers, inTopic)
	h.put(0, debezium("c", "u-0", "free", 0))
	p := h.run()
	h.arrives("u-0", "plan", `"free"`)
	bad := h.poisons()
	at := map[string]int64{}
	n := 0
	for name, rec := range bad {
		t.Run(name, func(t *testing.T) {
			n++
			user := "n-" + strconv.Itoa(n)
			at[name] = h.put(1, rec)
			h.put(1, debezium("c", user, "behind", n))
			h.put(2, debezium("c", user+"x", "beside", n))
			h.arrives(user+"x", "plan", `"beside"`)
			h.arrives(user, "plan", `"behind"`)
			h.until("it is held back", func() bool { return len(h.open("undecodable")) == n })
		})
	}
	// That the neighbours arrive within a second of it is TestPoisonHoldsNobody's to measure, on a clock of its own. Here no partition ever waited for a retry.
	if log := p.err.String(); strings.Contains(log, "its partition waits") {
		t.Errorf("a record that can never be decoded was waited for:\n%s", log)
	}
	list := h.open("undecodable")
	shown := ""
	for name, offset := range at {
		i := slices.IndexFunc(list, func(e connector.Entry) bool { return e.Offset == uint64(offset) })
		if i < 0 {
			t.Errorf("%s: no entry at offset %d", name, offset)
			continue
		}
		e := &list[i]
		if connector.PartOf(e.Stream) != h.topic+"/1" || e.Model != "users" || e.Reason == "" || e.Original == nil || e.Original.Key != nil || e.Original.Value != nil {
			t.Errorf("%s: %+v", name, e)
		}
		out := h.must("quarantine", "show", strconv.FormatUint(e.ID, 10))
		if len(out) < 100<<10 {
			shown += out
		}
		wantIn(t, out[:min(len(out), 2000)], "undecodable", fmt.Sprintf("position: %s/1, offset %d", h.topic, offset), fmt.Sprintf("value, %s", plural(len(bad[name].Value), "byte")))
	}
	wantIn(t, shown, `{"id":"p-cut"}`, `header "trace", 3 bytes: abc`, "in base64: ", "key,   null", "value, 0 bytes: ")
	if inTopic {
		h.checkKept(t, bad, at)
	}
	t.Run("a retry of what still can't be decoded says so, and it stays", func(t *testing.T) {
		r := h.brazecdc("quarantine", "retry", "--all", "--class", "undecodable")
		if r.code == 0 || strings.Count(r.out, "still can't be decoded") != len(bad) {
			t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
		}
		if n := len(h.open("undecodable")); n != len(bad) {
			t.Errorf("%d entries are left", n)
		}
	})
	t.Run("case 9: what is discarded is gone for good", func(t *testing.T) {
		h.must("quarantine", "discard", "--all", "--class", "undecodable", "--yes", "--why", "a test")
		if n := len(h.open("undecodable")); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		if inTopic {
			closed := 0
			for _, r := range h.kept() {
				if strings.HasPrefix(header(r, "brazecdc.closed"), "discarded: a test") {
					closed++
				}
			}
			if closed != len(bad) {
				t.Errorf("the topic holds %d ends", closed)
			}
		}
	})
	h.registryAway(t)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// checkKept looks at the quarantine topic: every poison is there with its very bytes.
func (h *heldBench) checkKept(t *testing.T, bad map[string]*kgo.Record, at map[string]int64) {
	t.Helper()
	kept := h.kept()
	for name, offset := range at {
		i := slices.IndexFunc(kept, func(r *kgo.Record) bool { return header(r, "brazecdc.offset") == strconv.FormatInt(offset, 10) })
		if i < 0 {
			t.Errorf("%s: it is not in the topic", name)
			continue
		}
		r, want := kept[i], bad[name]
		if !bytes.Equal(r.Key, want.Key) || !bytes.Equal(r.Value, want.Value) || (r.Key == nil) != (want.Key == nil) {
			t.Errorf("%s: the bytes differ", name)
		}
		for k, v := range map[string]string{"topic": h.topic, "partition": "1", "model": "users", "class": "undecodable"} {
			if got := header(r, "brazecdc."+k); got != v {
				t.Errorf("%s: header %s is %q", name, k, got)
			}
		}
		if header(r, "brazecdc.reason") == "" || len(want.Headers) > 0 && header(r, "trace") != "abc" {
			t.Errorf("%s: headers %v", name, r.Headers)
		}
	}
}

// registryAway: a record whose schema nobody can be asked for holds its partition, and no other.
func (h *heldBench) registryAway(t *testing.T) {
	t.Run("cdc 89: while the registry is down its partition waits, and the others go on", func(t *testing.T) {
		h.reg.up.Store(false)
		h.reg.learn("32640", strconv.Itoa(int(bin.BigEndian.Uint32(h.avro[0].Value[1:]))))
		h.put(1, numbered(h.avro[0], 32640), debezium("c", "w-1", "behind", 1))
		h.put(2, debezium("c", "w-2", "beside", 2))
		h.arrives("w-2", "plan", `"beside"`)
		h.until("the partition waits", func() bool { return strings.Contains(h.must("status"), "waits: partition 1") })
		h.put(0, debezium("c", "w-3", "beside", 3))
		h.arrives("w-3", "plan", `"beside"`)
		if n := len(h.entries()); n != 0 {
			t.Errorf("%d records are held back", n)
		}
		cut := debezium("c", "p-late", "free", 1)
		cut.Value = cut.Value[:40]
		h.put(2, cut, debezium("c", "w-4", "behind", 4))
		h.put(0, debezium("c", "w-5", "beside", 5))
		h.arrives("w-4", "plan", `"behind"`) // the neighbours of a poison record, while a partition waits
		h.arrives("w-5", "plan", `"beside"`)
		h.until("it is held back", func() bool { return len(h.open("undecodable")) == 1 })
		if v := h.profile("w-1", "plan"); v != "" {
			t.Errorf("what lies behind it was delivered: %s", v)
		}
		h.reg.up.Store(true)
		h.arrives("w-1", "plan", `"behind"`)
	})
}
