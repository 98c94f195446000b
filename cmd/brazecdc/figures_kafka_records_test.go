package main

import (
	"context"
	bytesof "encoding/binary"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/envelope"
)

// config is a configuration that reads the topic: ten mapped columns, everything at its default but the number of senders and the pace.
func (task *topicTask) config(group, web string) string {
	registry := ""
	if task.Registry != "" {
		registry = fmt.Sprintf(`, registry: { url: "%s", user: reader, password: %s }`, task.Registry, testKey)
	}
	return fmt.Sprintf(`version: 1
braze: { workspace: figures, endpoint: "%s", api_key: %s, senders: %d, rate: { per_hour: 1000000000 } }
source: { time_zone: UTC, kafka: { brokers: ["%s"], group: %s%s } }
log: { level: info, format: text }
web: { listen: %s }
models:
  - name: customers
    kind: users
    topic: %s
    mode: sync
    load: all
    identify: { external_id: id }
    fields: { email: email, first_name: first_name, last_name: last_name, country: country }
    custom: { plan: plan, credits: credits, visits: visits, is_vip: is_vip, last_seen: last_seen, note: note }
`, task.Endpoint, figureKey, figureSenders, task.Broker, group, registry, web, task.Topic)
}

// fill writes the changes of users 1 to Rows, each once, in turn to the partitions.
func (task *topicTask) fill(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	cl, err := kgo.NewClient(kgo.SeedBrokers(task.Broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	resp, err := kadm.NewClient(cl).CreateTopic(ctx, figurePartitions, 1, nil, task.Topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= task.Rows; i++ {
		r := &kgo.Record{Topic: task.Topic, Partition: int32(i % figurePartitions)}
		if task.Registry != "" {
			r.Key, r.Value = avroChange(i)
		} else {
			r.Key, r.Value = jsonChange(i)
		}
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// jsonChange is Debezium's JSON, without schema, of an update under the default replica identity, and its record's key.
func jsonChange(i int) (key, value []byte) {
	const started = 1_795_615_751_559
	ms, at := started+int64(i), 27_000_000+128*i
	key = fmt.Appendf(nil, `{"id":%d}`, i)
	value = fmt.Appendf(nil, `{"before":null,"after":{"id":%[1]d,"email":"user%[1]d@example.com","first_name":"Ada%[2]d","last_name":"Lovelace %[1]d","country":"%[3]s","plan":"%[4]s",`+
		`"credits":%[5]v,"visits":%[6]d,"is_vip":%[7]t,"last_seen":"%[8]s","note":"some words of text that nobody reads %[1]d","token":"0123456789abcdef0123456789%06[1]d",`+
		`"score":%[9]v,"changed_by":"import","prefs":"{\"theme\": \"dark\"}"},`, i, i%1000, countryOf(i), planOf(i), creditsOf(i), i%100, i%7 == 0, seenAt(i), float64(i)/4)
	return key, fmt.Appendf(value, `"source":{"version":"3.6.1.Final","connector":"postgresql","name":"shop","ts_ms":%[1]d,"snapshot":"false","db":"app","sequence":"[\"%[2]d\",\"%[3]d\"]",`+
		`"ts_us":%[1]d559,"ts_ns":%[1]d559948,"schema":"public","table":"customers","txId":%[4]d,"lsn":%[3]d,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,`+
		`"op":"u","ts_ms":%[5]d,"ts_us":%[5]d123,"ts_ns":%[5]d123456}`, ms, at, at+64, 700+i, ms+200)
}

func countryOf(i int) string { return [...]string{"DE", "GB", "FR"}[i%3] }

func planOf(i int) string { return [...]string{"free", "pro"}[i%2] }

func creditsOf(i int) float64 { return float64(i%10000) / 4 }

func seenAt(i int) string {
	return time.Unix(1_767_225_600+int64(i), 0).UTC().Format("2006-01-02T15:04:05.000000Z")
}

const keySchema = `{"type":"record","name":"Key","namespace":"shop.public.customers","fields":[{"name":"id","type":"long"}]}`

// valueSchema is how Debezium describes the table in Avro, with decimals as doubles, as in the JSON.
const valueSchema = `{"type":"record","name":"Envelope","namespace":"shop.public.customers","fields":[
 {"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},{"name":"email","type":"string"},
  {"name":"first_name","type":["null","string"],"default":null},{"name":"last_name","type":["null","string"],"default":null},
  {"name":"country","type":["null","string"],"default":null},{"name":"plan","type":["null","string"],"default":null},
  {"name":"credits","type":["null","double"],"default":null},{"name":"visits","type":["null","int"],"default":null},
  {"name":"is_vip","type":["null","boolean"],"default":null},
  {"name":"last_seen","type":["null",{"type":"string","connect.version":1,"connect.name":"io.debezium.time.ZonedTimestamp"}],"default":null},
  {"name":"note","type":["null","string"],"default":null},{"name":"token","type":["null","string"],"default":null},
  {"name":"score","type":["null","double"],"default":null},{"name":"changed_by","type":["null","string"],"default":null},
  {"name":"prefs","type":["null",{"type":"string","connect.version":1,"connect.name":"io.debezium.data.Json"}],"default":null}]}],"default":null},
 {"name":"after","type":["null","Value"],"default":null},
 {"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[{"name":"version","type":"string"},
  {"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},{"name":"snapshot","type":["string","null"],"default":"false"},
  {"name":"db","type":"string"},{"name":"sequence","type":["null","string"],"default":null},{"name":"ts_us","type":["null","long"],"default":null},
  {"name":"ts_ns","type":["null","long"],"default":null},{"name":"schema","type":"string"},{"name":"table","type":"string"},
  {"name":"txId","type":["null","long"],"default":null},{"name":"lsn","type":["null","long"],"default":null},{"name":"xmin","type":["null","long"],"default":null}]}},
 {"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null},{"name":"ts_us","type":["null","long"],"default":null},
 {"name":"ts_ns","type":["null","long"],"default":null}]}`

// avroChange is the same change as jsonChange's, by the schemas above, with their ids.
func avroChange(i int) (key, value []byte) {
	key = bytesof.AppendVarint([]byte{0, 0, 0, 0, 1}, int64(i))
	b := append(make([]byte, 0, 512), 0, 0, 0, 0, 2)
	text := func(s string) { b = append(bytesof.AppendVarint(b, int64(len(s))), s...) }
	number := func(n int64) { b = bytesof.AppendVarint(b, n) }
	some := func() { number(1) }
	double := func(v float64) { b = bytesof.LittleEndian.AppendUint64(b, math.Float64bits(v)) }
	texts := func(list ...string) {
		for _, s := range list {
			some()
			text(s)
		}
	}
	number(0) // before
	some()    // after
	number(int64(i))
	n := strconv.Itoa(i)
	text("user" + n + "@example.com")
	texts("Ada"+strconv.Itoa(i%1000), "Lovelace "+n, countryOf(i), planOf(i))
	some()
	double(creditsOf(i))
	some()
	number(int64(i % 100))
	some()
	b = append(b, map[bool]byte{true: 1}[i%7 == 0])
	texts(seenAt(i), "some words of text that nobody reads "+n, "0123456789abcdef0123456789"+fmt.Sprintf("%06d", i))
	some()
	double(float64(i) / 4)
	texts("import", `{"theme": "dark"}`)
	ms := 1_795_615_751_559 + int64(i)
	for _, s := range []string{"3.6.1.Final", "postgresql", "shop"} {
		text(s)
	}
	number(ms)
	number(0)
	text("false")
	text("app")
	texts(fmt.Sprintf(`["%d","%d"]`, 27_000_000+128*i, 27_000_064+128*i))
	for _, v := range []int64{ms*1000 + 559, (ms*1000 + 559) * 1000} {
		some()
		number(v)
	}
	text("public")
	text("customers")
	for _, v := range []int64{700 + int64(i), 27_000_064 + 128*int64(i)} {
		some()
		number(v)
	}
	number(0) // xmin
	text("u")
	for _, v := range []int64{ms + 200, (ms + 200) * 1000, (ms + 200) * 1_000_000} {
		some()
		number(v)
	}
	return key, b
}

// fixedSchemas is a registry without a server.
type fixedSchemas map[uint32]string

// Schema implements envelope.SchemaLookup.
func (s fixedSchemas) Schema(_ context.Context, id uint32) (envelope.Schema, error) {
	if text, ok := s[id]; ok {
		return envelope.Schema{Text: text}, nil
	}
	return envelope.Schema{}, envelope.ErrUnknownSchema
}
