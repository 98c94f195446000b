package envelope

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/schemas"
)

func TestRows(t *testing.T) {
	rec := func(n int64, key, value string) *Record {
		r := &Record{Topic: "t", Offset: n, Key: []byte(key), Value: []byte(value), Timestamp: time.UnixMilli(7)}
		if key == "" {
			r.Key = nil
		}
		if value == "" {
			r.Value = nil
		}
		return r
	}
	t.Run("case 43: plain rows keyed by the record, a tombstone alone is a delete", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, `{"id":1,"name":"A"}`), rec(2, `{"id":1}`, ""), rec(3, `{"id":2}`, ""), rec(4, `{"id":1}`, "null")}),
			`update 1 after{id=int 1 name=text "A"}`, `delete 1 before{id=int 1}`, `delete 2 before{id=int 2}`, `delete 1 before{id=int 1}`)
	})
	t.Run("cdc 90: a tombstone of a row that came again is a delete of its own", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{debezium(1, `{"id":1}`, `"d"`, `{"id":1}`, `null`), debezium(2, `{"id":1}`, `"c"`, `null`, `{"id":1}`), rec(3, `{"id":1}`, "")}),
			`delete 1 before{id=int 1}`, `insert 1 after{id=int 1}`, `delete 1 before{id=int 1}`)
	})
	t.Run("a tombstone of an older position follows no later delete", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{debezium(9, `{"id":1}`, `"d"`, `{"id":1}`, `null`), rec(3, `{"id":1}`, ""), rec(10, `{"id":1}`, "")}),
			`delete 1 before{id=int 1}`, `delete 1 before{id=int 1}`, `(tombstone)`)
	})
	t.Run("schema and payload in any order, of a key and a value", func(t *testing.T) {
		schema := `{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"c"}]}`
		key := `{"payload":{"id":1},"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]}}`
		want := `update 1 after{id=int 1 c=decimal "12.50"}`
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, key, `{"schema":`+schema+`,"payload":{"id":1,"c":"BOI="}}`), rec(2, key, ` {"payload":{"id":1,"c":"BOI="}, "schema":`+schema+`} `),
			rec(3, key, `{"schema":`+schema+`,"payload":null}`), rec(4, `{"schema":{"type":"int32"},"payload":7}`, `{"schema":null,"payload":{"id":7}}`),
			rec(5, key, `{"schema":{"x":1},"payload":{"id":1},"id":1}`)}),
			want, want, `delete 1 before{id=int 1}`, `update 7 after{id=int 7 _key=text "7"}`, `update 1 after{schema=json "{\"x\":1}" payload=json "{\"id\":1}" id=int 1}`)
	})
	t.Run("columns that begin with underscores are the table's unless Debezium unwrapped the row", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, `{"id":1,"__table":"x","__v":2}`), rec(2, `{"id":1}`, `{"id":1,"__table":"x","__v":2,"__deleted":"false"}`)}),
			`update 1 after{id=int 1 __table=text "x" __v=int 2}`, `update 1 after{id=int 1 __v=int 2}`)
	})
	t.Run("a cloud event with its schema", func(t *testing.T) {
		v := `{"specversion":"1.0","iodebeziumop":"c","iodebeziumtsms":"5","data":{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int32","field":"id"},` +
			`{"type":"int32","name":"io.debezium.time.Date","field":"d"}]}]},"payload":{"before":null,"after":{"id":1,"d":3}}}}`
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, v)}), `insert 1 after{id=int 1 d=date 3}`)
	})
	t.Run("the operation in a header", func(t *testing.T) {
		r := rec(1, `{"id":1}`, `{"id":1}`)
		r.Headers = []Header{{"__op", []byte("c")}}
		same(t, told(t, decoder(t, Config{}), []*Record{r}), `insert 1 after{id=int 1}`)
	})
	t.Run("a row whose columns are called as an envelope's parts", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, `{"id":1,"op":"buy","source":"web","before":null,"after":{"x":1}}`)}),
			`update 1 after{id=int 1 op=text "buy" source=text "web" before=null after=json "{\"x\":1}"}`)
	})
	t.Run("keys without a name", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `user-1`, `{"name":"A"}`), rec(2, `"user-2"`, `{"name":"B"}`), rec(3, `17`, `{"name":"C"}`), rec(4, "user-1", "")}),
			`update user-1 after{name=text "A" _key=text "user-1"}`, `update user-2 after{name=text "B" _key=text "user-2"}`, `update 17 after{name=text "C" _key=text "17"}`,
			`delete user-1 before{_key=text "user-1"}`)
	})
	t.Run("keys whose column the configuration names", func(t *testing.T) {
		d := decoder(t, Config{Columns: []Columns{{Topics: only("t"), KeyColumn: "external_id"}}})
		same(t, told(t, d, []*Record{rec(1, `user-1`, `{"external_id":"user-1","name":"A"}`), rec(2, "user-1", "")}),
			`update user-1 after{external_id=text "user-1" name=text "A"}`, `delete user-1 before{external_id=text "user-1"}`)
	})
	t.Run("keys that are numbers in bytes, or text whatever they look like, where the configuration says so", func(t *testing.T) {
		s := schemaFile{0: `"string"`} // a number of eight bytes looks like the id of a schema
		d := decoder(t, Config{Schemas: s, Columns: []Columns{{Topics: only("t"), KeyColumn: "id", KeyFormat: KeyInteger}}})
		key := func(b ...byte) []byte { return b }
		var recs []*Record
		for i, k := range [][]byte{key(0, 0, 0, 0, 0, 0, 0x30, 0x39), key(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe), key(0, 0, 0, 7), key(0xff, 0xfe)} {
			recs = append(recs, &Record{Topic: "t", Offset: int64(i), Key: k, Value: []byte(`{"name":"A"}`)})
		}
		recs = append(recs, &Record{Topic: "t", Offset: 9, Key: recs[0].Key})
		same(t, told(t, d, recs), `update 12345 after{name=text "A" id=int 12345}`, `update -2 after{name=text "A" id=int -2}`, `update 7 after{name=text "A" id=int 7}`,
			`update -2 after{name=text "A" id=int -2}`, `delete 12345 before{id=int 12345}`)
		d = decoder(t, Config{Schemas: s, Columns: []Columns{{Topics: only("t"), KeyColumn: "id", KeyFormat: KeyText}}})
		same(t, told(t, d, []*Record{rec(1, `17`, `{"name":"A"}`), rec(2, `{"id":1}`, `{"name":"B"}`)}),
			`update 17 after{name=text "A" id=text "17"}`, `update {"id":1} after{name=text "B" id=text "{\"id\":1}"}`)
	})
	t.Run("a missing column is absent, not null", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, `{"id":1,"name":"A","plan":"pro"}`), rec(2, `{"id":1}`, `{"id":1,"plan":null}`)}),
			`update 1 after{id=int 1 name=text "A" plan=text "pro"}`, `update 1 after{id=int 1 plan=null}`)
	})
	t.Run("case 32: a text column that holds JSON stays text unless its type is given", func(t *testing.T) {
		row := rec(1, `{"id":1}`, `{"id":1,"prefs":"{\"lang\":\"ja\"}"}`)
		same(t, told(t, decoder(t, Config{}), []*Record{row}), `update 1 after{id=int 1 prefs=text "{\"lang\":\"ja\"}"}`)
		same(t, told(t, decoder(t, Config{Columns: []Columns{{Topics: only("t"), Types: map[string]string{"prefs": "jsonb"}}}}), []*Record{row}), `update 1 after{id=int 1 prefs=json "{\"lang\":\"ja\"}"}`)
	})
	t.Run("cdc 106: half a surrogate pair becomes U+FFFD, a NUL stays", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{rec(1, `{"id":1}`, `{"id":1,"a":"x\ud800y","b":"\u0000"}`)}), `update 1 after{id=int 1 a=text "x�y" b=text "\x00"}`)
	})
	t.Run("plain Avro rows, with a key that is Avro, JSON or text", func(t *testing.T) {
		s := schemaFile{1: `"string"`, 2: `{"type":"record","name":"R","fields":[{"name":"id","type":"string"},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
			{"name":"u","type":["null","string","long"]},{"name":"m","type":{"type":"map","values":"int"}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
			{"name":"f","type":{"type":"fixed","name":"F","size":2}},{"name":"l","type":{"type":"long","logicalType":"local-timestamp-micros"}}]}`}
		value := confluent(2, append(put(nil, "k", 5, 2, 9, 1, "x", 3, 0, 1), append([]byte("zz"), put(nil, 8)...)...))
		want := `after{id=text "k" at=timestamptz 5000 u=json "9" m=json "{\"x\":3}" e=text "B" f=bytes "zz" l=timestamp 8`
		for _, key := range [][]byte{confluent(1, put(nil, "k")), []byte(`{"id":"k"}`), []byte("k")} {
			d := decoder(t, Config{Schemas: s, Columns: []Columns{{Topics: only("t"), KeyColumn: "id"}}})
			got := told(t, d, []*Record{{Topic: "t", Key: key, Value: value}, {Topic: "t", Offset: 1, Key: key}})
			same(t, got, "update k "+want+"}", `delete k before{id=text "k"}`)
		}
	})
	t.Run("append: every row is an insert of its own", func(t *testing.T) {
		d := decoder(t, Config{Envelope: Append})
		same(t, told(t, d, []*Record{rec(1, `{"id":1}`, `{"name":"A"}`), rec(2, `{"id":1}`, `{"name":"B"}`), rec(3, "", `{"name":"C"}`), rec(4, `{"id":1}`, ""),
			debezium(5, "", `"c"`, "null", `{"name":"D"}`), debezium(6, "", `"d"`, `{"name":"D"}`, "null")}),
			`insert 0/1 after{name=text "A" id=int 1}`, `insert 0/2 after{name=text "B" id=int 1}`, `insert 0/3 after{name=text "C"}`, `(no new row)`,
			`insert 0/5 after{name=text "D"}`, `(no new row)`)
	})
}

func TestPlaceholder(t *testing.T) {
	word := "__debezium_unavailable_value"
	hex, b64 := fmt.Sprintf("%x", word), base64.StdEncoding.EncodeToString([]byte(word))
	numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte(word)), " ", ","), "[]") //nolint:staticcheck // the bytes' numbers are meant
	for name, raw := range map[string]string{"text": `"` + word + `"`, "hex": `"` + hex + `"`, "base64": `"` + b64 + `"`, "an array": `["` + word + `"]`, "an array of bytes": `["` + b64 + `"]`,
		"an array of numbers": "[" + numbers + "]", "a map": `{"` + word + `":"` + word + `"}`, "a uuid": `["` + "a5d1b5b2" + `"]`} {
		t.Run("case 47 cdc 57: the placeholder as "+name+" is absent", func(t *testing.T) {
			got := told(t, decoder(t, Config{}), []*Record{debezium(1, `{"id":1}`, `"u"`, "null", `{"id":1,"plan":"pro","prefs":`+raw+`}`)})
			want := `update 1 after{id=int 1 plan=text "pro"}`
			if name == "a uuid" { // another one
				want = `update 1 after{id=int 1 plan=text "pro" prefs=json "[\"a5d1b5b2\"]"}`
			}
			same(t, got, want)
		})
	}
	t.Run("case 47: a recorded update whose large column did not change", func(t *testing.T) {
		for _, folder := range []string{"json", "json_schema", "avro_confluent", "avro_apicurio", "avro_confluent_unwrap"} {
			d := decoder(t, Config{Schemas: registered(t, folder)})
			changes, _ := decodeAll(t, d, sample(t, folder, "public.users"))
			c := changes[4]
			if i := c.After.Table.Column("bio"); c.Op != connector.Update || c.After.Cells[i].State != connector.Absent {
				t.Errorf("%s: %s, state %d", folder, c.Op, c.After.Cells[i].State)
			}
		}
	})
	t.Run("a placeholder of one's own, and in hexadecimal", func(t *testing.T) {
		for _, p := range []string{"__gone__", "hex:5f5f676f6e655f5f"} {
			same(t, told(t, decoder(t, Config{Placeholder: p}), []*Record{debezium(1, `{"id":1}`, `"u"`, "null", `{"id":1,"a":"__gone__","b":"`+word+`"}`)}),
				`update 1 after{id=int 1 b=text "`+word+`"}`)
		}
		if _, err := New(Config{Placeholder: "hex:zz"}); err == nil {
			t.Error("hex:zz was taken")
		}
	})
	t.Run("in Avro: bytes, arrays, numbers, maps", func(t *testing.T) {
		s := schemaFile{1: `{"type":"record","name":"R","fields":[{"name":"id","type":"int"},{"name":"b","type":["null","bytes"]},{"name":"t","type":["null",{"type":"array","items":["null","string"]}]},
			{"name":"n","type":["null",{"type":"array","items":["null","int"]}]},{"name":"m","type":["null",{"type":"map","values":["null","string"]}]},{"name":"h","type":["null","string"]}]}`}
		v := put(nil, 1, 1, word, 1, 1, 1, word, 0, 1, len(word))
		for i := range len(word) {
			v = put(v, 1, int(word[i]))
		}
		v = put(v, 0, 1, 1, word, 1, word, 0, 1, hex)
		d := decoder(t, Config{Schemas: s, Columns: []Columns{{Topics: only("t"), KeyColumn: "id"}}})
		same(t, told(t, d, []*Record{{Topic: "t", Key: []byte("1"), Value: confluent(1, v)}}), `update 1 after{id=int 1}`)
	})
	t.Run("it does not change a column's kind", func(t *testing.T) {
		d := decoder(t, Config{})
		same(t, told(t, d, []*Record{debezium(1, `{"id":1}`, `"u"`, "null", `{"id":1,"n":"`+word+`"}`), debezium(2, `{"id":1}`, `"u"`, "null", `{"id":1,"n":5}`),
			debezium(3, `{"id":1}`, `"u"`, "null", `{"id":1,"n":"`+word+`"}`), debezium(4, `{"id":1}`, `"u"`, "null", `{"id":1,"n":6}`)}),
			`update 1 after{id=int 1}`, `update 1 after{id=int 1 n=int 5}`, `update 1 after{id=int 1}`, `update 1 after{id=int 1 n=int 6}`)
	})
	t.Run("an old row fills what the new one lacks", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{debezium(1, `{"id":1}`, `"u"`, `{"id":1,"bio":"B","plan":"free"}`, `{"id":1,"bio":"`+word+`","plan":"pro"}`)}),
			`update 1 before{id=int 1 bio=text "B" plan=text "free"} after{id=int 1 bio=text "B" plan=text "pro"}`)
	})
}

func TestKeyChange(t *testing.T) {
	d := debezium(1, `{"id":1}`, `"d"`, `{"id":1,"name":""}`, "null")
	d.Headers = []Header{{"__debezium.newkey", []byte(`{"id":2}`)}}
	tomb := &Record{Topic: "t", Offset: 2, Key: []byte(`{"id":1}`)}
	c := debezium(3, `{"id":2}`, `"c"`, "null", `{"id":2,"name":"A"}`)
	c.Partition, c.Headers = 1, []Header{{"__debezium.oldkey", []byte(`{"id":1}`)}}
	const moved = `update 2 was 1 before{id=int 1} after{id=int 2 name=text "A"}`
	t.Run("cdc 91: delete, tombstone, create", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{d, tomb, c}), `(key change)`, `(tombstone)`, moved)
	})
	t.Run("cdc 91: the create first, from another partition", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{c, d, tomb}), moved, `(key change)`, `(tombstone)`)
	})
	t.Run("cdc 93: a snapshot row in mid-stream is marked as such", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), []*Record{debezium(1, `{"id":1}`, `"c"`, "null", `{"id":1}`), debezium(2, `{"id":1}`, `"r"`, "null", `{"id":1}`)}),
			`insert 1 after{id=int 1}`, `snapshot 1 after{id=int 1}`)
	})
}

func TestPoison(t *testing.T) {
	down := errors.New("connection refused")
	lookup := lookupFunc(func(id uint32) (string, error) {
		switch id {
		case 1:
			return `{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}`, nil
		case 2:
			return `{"type":`, nil
		case 3:
			return "", down
		}
		return "", fmt.Errorf("id %d: %w", id, ErrUnknownSchema)
	})
	key := []byte(`{"id":1}`)
	for name, c := range map[string]struct {
		rec  Record
		want string
	}{
		"case 10: JSON that is cut off":                         {Record{Key: key, Value: []byte(`{"op":"c","af`)}, "the JSON is cut off"},
		"cdc 89: an unknown schema":                             {Record{Key: key, Value: []byte{0, 0, 0, 0, 99, 255}}, "does not know schema 99"},
		"cdc 89: no magic byte":                                 {Record{Key: key, Value: []byte{7, 1, 2}}, "neither JSON nor Avro"},
		"cdc 89: a value of no bytes":                           {Record{Key: key, Value: []byte{}}, "empty"},
		"a schema that is none":                                 {Record{Key: key, Value: confluent(2, nil)}, "not valid"},
		"Avro that is cut off":                                  {Record{Key: key, Value: confluent(1, []byte{0x80})}, "cut off"},
		"Avro with bytes behind it":                             {Record{Key: key, Value: confluent(1, []byte{2, 2})}, "does not fit"},
		"case 9: a value of 20 MB":                              {Record{Key: key, Value: bytes.Repeat([]byte("x"), 20<<20)}, "larger than"},
		"a row without a key":                                   {Record{Value: []byte(`{"id":1}`)}, "no key"},
		"a key without a column, and no value":                  {Record{Key: []byte(`{}`)}, "its key is empty"},
		"JSON that is no object":                                {Record{Key: key, Value: []byte(`[1]`)}, "no object"},
		"an unknown operation":                                  {Record{Key: key, Value: []byte(`{"op":"x","before":null,"after":{"id":1},"source":{}}`)}, "none of c, u"},
		"an update without a new row":                           {Record{Key: key, Value: []byte(`{"op":"u","before":null,"after":null,"source":{}}`)}, "no new row"},
		"a key that is cut off":                                 {Record{Key: []byte(`{"id":`), Value: []byte(`{"id":1}`)}, "its key"},
		"JSON nested without end":                               {Record{Key: key, Value: []byte(`{"a":` + strings.Repeat("[", 1<<20))}, "nested deeper"},
		"a schema part that is no schema":                       {Record{Key: key, Value: []byte(`{"schema":{"type":5},"payload":{"id":1}}`)}, "no Connect schema"},
		"a row_change without a key":                            {Record{Key: key, Value: []byte(`{"op":"insert","after":{"id":1}}`)}, "its key is empty"},
		"an Apicurio header that holds no id":                   {Record{Key: key, Value: []byte{1}, Headers: []Header{{"apicurio.value.contentId", []byte{1}}}}, "no usable id"},
		"Apicurio's globalId, whose number is another schema's": {Record{Key: key, Value: []byte{2}, Headers: []Header{{"apicurio.value.globalId", []byte{0, 0, 0, 0, 0, 0, 0, 1}}}}, "set apicurio.registry.use-id to contentId"},
		"Apicurio's globalId of a key":                          {Record{Key: []byte{2}, Value: []byte(`{"id":1}`), Headers: []Header{{"apicurio.key.globalId", []byte{0, 0, 0, 0, 0, 0, 0, 1}}}}, "the header apicurio.key.globalId"},
		"an envelope whose JSON goes on behind it":              {Record{Key: key, Value: []byte(`{"id":1} {`)}, "malformed"},
		"a row_change in another version's encoding":            {Record{Key: key, Value: []byte(schemas.RowChangeHeader + "\x00")}, "cut off"},
	} {
		t.Run(name+", between good ones", func(t *testing.T) {
			d := decoder(t, Config{Schemas: lookup})
			good := &Record{Topic: "t", Key: key, Value: []byte(`{"id":1}`)}
			bad := c.rec
			bad.Topic, bad.Partition, bad.Offset = "t", 4, 17
			decodeAll(t, d, []*Record{good})
			changes, _, err := d.Decode(context.Background(), nil, &bad)
			var p *Poison
			if !errors.As(err, &p) || len(changes) != 0 || !strings.Contains(p.Reason, c.want) {
				t.Fatalf("got %v (%d changes), want %q", err, len(changes), c.want)
			}
			if !strings.HasPrefix(err.Error(), "undecodable: ") || !strings.HasSuffix(err.Error(), "(topic t, partition 4, offset 17)") {
				t.Error(err)
			}
			decodeAll(t, d, []*Record{good})
		})
	}
	t.Run("a key in Avro, or of no bytes, where no registry is configured", func(t *testing.T) {
		for _, key := range [][]byte{{}, {0}, {2}} {
			_, _, err := decoder(t, Config{}).Decode(context.Background(), nil, &Record{Topic: "t", Key: key, Value: []byte(`{"id":1}`),
				Headers: []Header{{"apicurio.key.contentId", []byte{0, 0, 0, 0, 0, 0, 0, 7}}}})
			var p *Poison
			if !errors.As(err, &p) || !strings.Contains(p.Reason, "no schema registry is configured") {
				t.Errorf("key %x: %v", key, err)
			}
		}
		same(t, told(t, decoder(t, Config{}), []*Record{{Topic: "t", Key: []byte{0, 0, 0, 0, 'a'}, Value: []byte(`{"id":1}`)}}), "update \x00\x00\x00\x00a after{id=int 1 _key=text \"\\x00\\x00\\x00\\x00a\"}")
	})
	t.Run("cdc 89: a registry that does not answer is waited for", func(t *testing.T) {
		d := decoder(t, Config{Schemas: lookup})
		_, _, err := d.Decode(context.Background(), nil, &Record{Topic: "t", Key: key, Value: confluent(3, []byte{2})})
		var w *Wait
		if !errors.As(err, &w) || w.ID != 3 || !errors.Is(err, down) {
			t.Error(err)
		}
	})
	t.Run("an unknown id is asked for again after a while, not for every record", func(t *testing.T) {
		asked, known := 0, false
		d := decoder(t, Config{Schemas: lookupFunc(func(uint32) (string, error) {
			if asked++; known {
				return `{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}`, nil
			}
			return "", ErrUnknownSchema
		})})
		now := time.Unix(0, 0)
		d.schemas.now = func() time.Time { return now }
		r := &Record{Topic: "t", Key: key, Value: confluent(9, []byte{2})}
		for range 3 {
			if _, _, err := d.Decode(context.Background(), nil, r); err == nil {
				t.Fatal("decoded")
			}
		}
		known, now = true, now.Add(unknownFor)
		decodeAll(t, d, []*Record{r, r})
		if asked != 2 {
			t.Errorf("asked %d times, want 2", asked)
		}
	})
	t.Run("a key of eight bytes whose schema is not known is held back with what it may be, and with one that is no number where one is wanted", func(t *testing.T) {
		for _, c := range []struct {
			format string
			key    []byte
			want   string
		}{
			{KeyAuto, []byte{0, 0, 0, 0, 0, 0, 0x30, 0x39}, "does not know schema 0; if the producer writes its keys as numbers of eight bytes, set key_format: integer"},
			{KeyInteger, []byte("user-1"), "its key has 6 bytes; with key_format: integer it has 2, 4 or 8"},
		} {
			d := decoder(t, Config{Schemas: lookup, Columns: []Columns{{Topics: only("t"), KeyFormat: c.format}}})
			_, _, err := d.Decode(context.Background(), nil, &Record{Topic: "t", Key: c.key, Value: []byte(`{"id":1}`)})
			var p *Poison
			if !errors.As(err, &p) || !strings.Contains(p.Reason, c.want) {
				t.Errorf("%s: %v", c.format, err)
			}
		}
	})
	t.Run("a format that is set is insisted on", func(t *testing.T) {
		for format, value := range map[string]string{DebeziumJSON: `{"id":1}`, DebeziumAvro: `{"id":1}`, RowsAvro: `{"id":1}`, RowChange: `{"id":1}`} {
			if _, _, err := decoder(t, Config{Format: format}).Decode(context.Background(), nil, &Record{Topic: "t", Key: key, Value: []byte(value)}); err == nil {
				t.Errorf("%s took a plain row", format)
			}
		}
		same(t, told(t, decoder(t, Config{Format: RowsJSON}), []*Record{{Topic: "t", Key: key, Value: []byte(`{"id":1,"op":"c","after":{"x":1},"source":{}}`)}}),
			`update 1 after{id=int 1 op=text "c" after=json "{\"x\":1}" source=json "{}"}`)
	})
	t.Run("a configuration that cannot be meant", func(t *testing.T) {
		for _, cfg := range []Config{{Format: "xml"}, {Envelope: "upsert"}, {Columns: []Columns{{Topics: only("t"), Types: map[string]string{"a": "nonsense"}}}}, {Columns: []Columns{{Topics: only("t"), Types: map[string]string{"a": "text hex"}}}},
			{Columns: []Columns{{Topics: only("t"), Types: map[string]string{"a": "numeric(10"}}}}, {Columns: []Columns{{Topics: only("t"), KeyFormat: "long"}}}} {
			if _, err := New(cfg); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
		}
	})
}

type lookupFunc func(uint32) (string, error)

func (f lookupFunc) Schema(_ context.Context, id uint32) (Schema, error) {
	text, err := f(id)
	return Schema{Text: text}, err
}

func TestRowChange(t *testing.T) {
	at := time.UnixMicro(1795615746239803)
	changes := []schemas.RowChange{
		{Op: schemas.Insert, Time: at, Key: map[string]any{"id": 1}, After: map[string]any{"id": 1, "credits": schemas.Decimal("12.50"), "born": schemas.Date(5), "at": at, "tags": []any{"a", nil},
			"prefs": json.RawMessage(`{"a":1}`), "raw": []byte{0, 255}, "email": nil, "span": schemas.Interval("P1D"), "vip": true, "score": 1.5, "local": schemas.Timestamp(9), "t": schemas.Time(3)}},
		{Op: schemas.Update, Time: at, Key: map[string]any{"id": 2}, OldKey: map[string]any{"id": 1}, Before: map[string]any{"credits": schemas.Decimal("12.50")}, After: map[string]any{"id": 2, "credits": 3}},
		{Op: schemas.Delete, Time: at, Key: map[string]any{"id": 2}},
		{Op: schemas.Snapshot, Time: at, Key: map[string]any{"id": 3}, After: map[string]any{"id": 3, "credits": "x"}},
		{Op: schemas.Truncate, Time: at},
	}
	want := []string{
		`insert 1 after{at=timestamptz 1795615746239803 born=date 5 credits=decimal "12.50" email=null id=int 1 local=timestamp 9 prefs=json "{\"a\":1}" raw=bytes "\x00\xff" score=float 1.5 span=interval "P1D" t=time 3 tags=[text "a", null] vip=bool 1}`,
		`update 2 was 1 before{credits=decimal "12.50" id=int 1} after{credits=decimal "3" id=int 2}`,
		`delete 2 before{id=int 2}`,
		`snapshot 3 after{credits=json "\"x\"" id=int 3}`,
		`truncate `,
	}
	registry := schemaFile{5: schemas.RowChangeAvro}
	for name, encode := range map[string]func(schemas.RowChange) ([]byte, error){
		"single-object": func(c schemas.RowChange) ([]byte, error) { return c.Append(nil) },
		"Confluent":     func(c schemas.RowChange) ([]byte, error) { return c.AppendBinary([]byte{0, 0, 0, 0, 5}) },
	} {
		for _, format := range []string{Auto, RowChange} {
			t.Run(name+" with format "+format, func(t *testing.T) {
				d := decoder(t, Config{Format: format, Schemas: registry})
				var records []*Record
				for i, c := range changes {
					b, err := encode(c)
					if err != nil {
						t.Fatal(err)
					}
					records = append(records, &Record{Topic: "t", Offset: int64(i), Key: []byte("any"), Value: b})
				}
				same(t, told(t, d, records), want...)
			})
		}
	}
	t.Run("in JSON, as in the example", func(t *testing.T) {
		d := decoder(t, Config{})
		got, _ := decodeAll(t, d, []*Record{{Topic: "t", Value: []byte(schemas.RowChangeExample)}, {Topic: "t", Offset: 1, Value: []byte(`{"op":"delete","time":1,"key":{"id":17}}`)},
			{Topic: "t", Offset: 2, Value: []byte(`{"op":"truncate","time":1}`)}, {Topic: "t", Offset: 3, Value: []byte(`{"op":"update","key":{"id":18},"old_key":{"id":17},"after":{"id":18}}`)}})
		var lines []string
		for _, c := range got {
			lines = append(lines, brief(t, c))
		}
		same(t, lines, `update 17 before{plan=text "free" id=int 17} after{plan=text "pro" id=int 17 external_id=text "ada" credits=decimal "12.50" email=null prefs=json "{ \"lang\": \"ja\" }"}`,
			`delete 17 before{id=int 17}`, `truncate `, `update 18 was 17 before{id=int 17} after{id=int 18}`)
		if got[0].Time.UTC().Format(time.RFC3339Nano) != "2026-11-25T14:09:06.239803Z" {
			t.Error(got[0].Time)
		}
	})
}
