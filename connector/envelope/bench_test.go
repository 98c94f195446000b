package envelope

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"encoding/binary"

	"github.com/linkedin/goavro/v2"

	"brazecdc/connector"
)

// benchJSON is a Debezium update of a row of 15 columns without schema, as the JSON figures are measured with.
const benchJSON = `{"before":null,"after":{"id":4711,"external_id":"user-4711","email":"ada.lovelace@example.com","first_name":"Ada","last_name":"Lovelace","phone":"+441632960123","country":"GB","city":"London","plan":"pro","credits":"EtaH","is_vip":true,"born":-56270,"created_at":1709210096789012,"updated_at":"2024-02-29T12:34:56.789012Z","prefs":"{\"lang\": \"en\", \"news\": true}"},"source":{"version":"3.6.1.Final","connector":"postgresql","name":"shop","ts_ms":1795615751559,"snapshot":"false","db":"app","sequence":"[\"27554856\",\"27555112\"]","ts_us":1795615751559948,"ts_ns":1795615751559948000,"schema":"public","table":"users","txId":786,"lsn":27555112,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"u","ts_ms":1795615751760,"ts_us":1795615751760123,"ts_ns":1795615751760123456}`

// benchRow are the types of the same row in Avro.
const benchRow = `{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},{"name":"external_id","type":"string"},
 {"name":"email","type":["null","string"],"default":null},{"name":"first_name","type":["null","string"],"default":null},
 {"name":"last_name","type":["null","string"],"default":null},{"name":"phone","type":["null","string"],"default":null},
 {"name":"country","type":["null","string"],"default":null},{"name":"city","type":["null","string"],"default":null},
 {"name":"plan","type":["null","string"],"default":null},
 {"name":"credits","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.parameters":{"scale":"2"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},
 {"name":"is_vip","type":["null","boolean"],"default":null},
 {"name":"born","type":["null",{"type":"int","connect.name":"io.debezium.time.Date"}],"default":null},
 {"name":"created_at","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}],"default":null},
 {"name":"updated_at","type":["null",{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}],"default":null},
 {"name":"prefs","type":["null",{"type":"string","connect.name":"io.debezium.data.Json"}],"default":null}]}`

const benchSource = `{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[{"name":"version","type":"string"},{"name":"connector","type":"string"},
 {"name":"name","type":"string"},{"name":"ts_ms","type":"long"},{"name":"snapshot","type":["string","null"],"default":"false"},{"name":"db","type":"string"},
 {"name":"sequence","type":["null","string"],"default":null},{"name":"ts_us","type":["null","long"],"default":null},{"name":"ts_ns","type":["null","long"],"default":null},
 {"name":"schema","type":"string"},{"name":"table","type":"string"},{"name":"txId","type":["null","long"],"default":null},{"name":"lsn","type":["null","long"],"default":null},
 {"name":"xmin","type":["null","long"],"default":null}]}`

const benchAvro = `{"type":"record","name":"Envelope","namespace":"shop.public.users","fields":[{"name":"before","type":["null",` + benchRow + `],"default":null},
 {"name":"after","type":["null","Value"],"default":null},{"name":"source","type":` + benchSource + `},{"name":"op","type":"string"},
 {"name":"ts_ms","type":["null","long"],"default":null},{"name":"ts_us","type":["null","long"],"default":null}]}`

const benchKey = `{"type":"record","name":"Key","namespace":"shop.public.users","fields":[{"name":"id","type":"long"}]}`

var benchSchemas = schemaFile{1: benchKey, 2: benchAvro, 3: benchRow}

// put appends values in Avro's encoding: a string, bytes, an integer, a branch.
func put(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b = append(binary.AppendVarint(b, int64(len(v))), v...)
		case int:
			b = binary.AppendVarint(b, int64(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case bool:
			b = append(b, map[bool]byte{true: 1}[v])
		}
	}
	return b
}

func benchAvroRow(b []byte) []byte {
	return put(b, 4711, "user-4711", 1, "ada.lovelace@example.com", 1, "Ada", 1, "Lovelace", 1, "+441632960123", 1, "GB", 1, "London", 1, "pro",
		1, "\x12\xd6\x87", 1, true, 1, -56270, 1, 1709210096789012, 1, "2024-02-29T12:34:56.789012Z", 1, `{"lang": "en", "news": true}`)
}

func confluent(id byte, body []byte) []byte { return append([]byte{0, 0, 0, 0, id}, body...) }

func benchAvroValue() []byte {
	b := put(nil, 0, 1)
	b = benchAvroRow(b)
	b = put(b, "3.6.1.Final", "postgresql", "shop", 1795615751559, 0, "false", "app", 1, `["27554856","27555112"]`, 1, 1795615751559948, 1, 1795615751559948000,
		"public", "users", 1, 786, 1, 27555112, 0)
	return put(b, "u", 1, 1795615751760, 1, 1795615751760123)
}

func benchRecords() map[string]*Record {
	schema := `{"schema":{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"},{"type":"string","optional":false,"field":"external_id"}` +
		`,{"type":"string","optional":true,"field":"email"},{"type":"string","optional":true,"field":"plan"}],"optional":true,"name":"V","field":"after"}],"optional":false,"name":"E"},"payload":` + benchJSON + `}`
	return map[string]*Record{
		"debezium-json":   {Topic: "shop.public.users", Key: []byte(`{"id":4711}`), Value: []byte(benchJSON)},
		"debezium-schema": {Topic: "shop.public.schema", Key: []byte(`{"id":4711}`), Value: []byte(schema)},
		"rows-json":       {Topic: "rows", Key: []byte(`{"id":4711}`), Value: []byte(benchJSON[len(`{"before":null,"after":`) : len(`{"before":null,"after":`)+345])},
		"debezium-avro":   {Topic: "shop.public.avro", Key: confluent(1, put(nil, 4711)), Value: confluent(2, benchAvroValue())},
		"rows-avro":       {Topic: "rows.avro", Key: confluent(1, put(nil, 4711)), Value: confluent(3, benchAvroRow(nil))},
	}
}

// BenchmarkDecode is a record to a Change, without its columns' values.
func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"debezium-json", "debezium-schema", "rows-json", "debezium-avro", "rows-avro"} {
		b.Run(name, func(b *testing.B) { benchDecode(b, benchRecords()[name], 0) })
	}
}

// BenchmarkColumns is a record to the values of 10 of its 15 columns.
func BenchmarkColumns(b *testing.B) {
	for _, name := range []string{"debezium-json", "debezium-avro"} {
		b.Run(name, func(b *testing.B) { benchDecode(b, benchRecords()[name], 10) })
	}
}

func benchDecode(b *testing.B, rec *Record, columns int) {
	d := decoder(b, Config{Schemas: benchSchemas})
	rec.Timestamp = time.Now()
	var out []connector.Change
	b.SetBytes(int64(len(rec.Value)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, _, err = d.Decode(context.Background(), out[:0], rec); err != nil {
			b.Fatal(err)
		}
		rec.Offset++
		for i := range columns {
			if _, _, err := out[0].After.Value(i + 1); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkGoavro is the same Avro record through the library's native form.
func BenchmarkGoavro(b *testing.B) {
	c, err := goavro.NewCodec(benchAvro)
	if err != nil {
		b.Fatal(err)
	}
	v := benchAvroValue()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.NativeFromBinary(v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalk is the walk over the Avro record alone.
func BenchmarkWalk(b *testing.B) {
	s, err := newAvroSchema(benchAvro)
	if err != nil {
		b.Fatal(err)
	}
	v := string(benchAvroValue())
	var w worker
	b.ReportAllocs()
	for b.Loop() {
		var ev event
		if end := s.envelope(&w, &ev, v); end != len(v) {
			b.Fatal(fmt.Sprint(end))
		}
	}
}
