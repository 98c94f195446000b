package envelope

import (
	"bytes"
	"context"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"brazecdc/connector"
)

// reference reads an Avro value with goavro.
func reference(t testing.TB, schema string, body []byte) (native any, rest []byte, err error) {
	t.Helper()
	c, err := goavro.NewCodec(schema)
	if err != nil {
		t.Fatal(err)
	}
	return c.NativeFromBinary(body)
}

// like tells whether a value of ours is what goavro made of the same bytes, as far as goavro gives a plain value.
func like(v connector.Value, native any) bool {
	if m, ok := native.(map[string]any); ok && len(m) == 1 { // a union's branch
		for name, inner := range m {
			if k, isType := akinds[strings.SplitN(name, ".", 2)[0]]; isType && k != aNull || strings.Contains(name, ".") {
				native = inner
			}
		}
	}
	if v.Kind == connector.KindJSON {
		return true // maps, records and unions of several types: no plain value of goavro's to compare with
	}
	switch n := native.(type) {
	case nil:
		return v.Kind == connector.KindNull
	case bool:
		return v.Kind == connector.KindBool && v.Int == 1 == n
	case int32:
		return likeInt(v, int64(n))
	case int64:
		return likeInt(v, n)
	case float32:
		return v.Float == float64(n) || math.Abs(v.Float-float64(n)) <= math.Abs(float64(n))*1e-6 || math.IsNaN(v.Float) && n != n || math.Abs(v.Float) < 1e-37
	case float64:
		return v.Float == n || math.IsNaN(v.Float) && math.IsNaN(n)
	case string:
		return v.Kind != connector.KindText || v.Str == n
	case []byte:
		return v.Kind != connector.KindBytes || v.Str == string(n)
	case *big.Rat:
		r, ok := new(big.Rat).SetString(v.Str)
		return ok && r.Cmp(n) == 0
	case []any:
		if v.Kind != connector.KindArray || len(v.List) != len(n) {
			return false
		}
		for i := range n {
			if !like(v.List[i], n[i]) {
				return false
			}
		}
	}
	return true
}

func likeInt(v connector.Value, n int64) bool {
	switch v.Kind {
	case connector.KindInt:
		return v.Int == n
	case connector.KindDate, connector.KindTime, connector.KindTimestamp, connector.KindTimestampTZ:
		return v.Int == n || v.Int == n*1000 || v.Int == connector.PosInfinity || v.Int == connector.NegInfinity
	}
	return v.Kind == connector.KindInterval
}

// TestAvroReference runs every recorded Avro row through goavro, too.
func TestAvroReference(t *testing.T) {
	const folder = "avro_confluent"
	s := registered(t, folder)
	for _, topic := range []string{"public.users", "public.users_full", "public.extra_types", "public.evolve", "public.order_items"} {
		d := decoder(t, Config{Schemas: s})
		for _, r := range sample(t, folder, topic) {
			out, _, err := d.Decode(context.Background(), nil, r)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) == 0 || !out[0].After.Exists() {
				continue
			}
			native, _, err := reference(t, s[uint32(r.Value[4])], r.Value[5:])
			if err != nil {
				t.Fatal(err)
			}
			env := native.(map[string]any)
			for _, v := range env["after"].(map[string]any) {
				env["row"] = v
			}
			compareRow(t, out[0].After, env["row"].(map[string]any))
			if us := env["source"].(map[string]any)["ts_us"].(map[string]any)["long"].(int64); out[0].Time.UnixMicro() != us {
				t.Errorf("%s %d: time %d, want %d", topic, r.Offset, out[0].Time.UnixMicro(), us)
			}
		}
	}
}

func compareRow(t *testing.T, row connector.Row, native map[string]any) {
	t.Helper()
	for i, c := range row.Table.Columns {
		want, there := native[c.Name]
		v, ok, err := row.Value(i)
		if !there || !ok { // from the key, or a placeholder
			continue
		}
		if err != nil {
			if _, empty := want.(map[string]any); !empty {
				continue // a value that its type does not allow
			}
		}
		if err == nil && !like(v, want) {
			t.Errorf("column %s: %s, goavro gives %v", c.Name, plainValue(v), want)
		}
	}
}

const fuzzSchema = `{"type":"record","name":"R","fields":[{"name":"i","type":"int"},{"name":"l","type":["null","long"]},{"name":"b","type":"boolean"},{"name":"f","type":"float"},
 {"name":"d","type":["double","null"]},{"name":"s","type":["null","string"]},{"name":"y","type":"bytes"},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},
 {"name":"x","type":{"type":"fixed","name":"X","size":3}},{"name":"a","type":["null",{"type":"array","items":["null","int"]}]},{"name":"m","type":{"type":"map","values":"long"}},
 {"name":"u","type":["null","string","long"]},{"name":"r","type":{"type":"record","name":"In","fields":[{"name":"p","type":"string"},{"name":"q","type":["null","In"]}]}},
 {"name":"c","type":["null",{"type":"bytes","logicalType":"decimal","precision":20,"scale":3}]},{"name":"t","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]}]}`

func fuzzSeed() []byte {
	b := put(nil, -5, 1, 77, true)
	b = append(b, 0, 0, 0x20, 0x41)
	b = put(b, 0, 1.5, 1, "text", "\x00\xff", 2)
	b = append(b, 'x', 'y', 'z')
	b = put(b, 1, 2, 1, 7, 0, 0, 1, "k", 9, 0, 2, 12, "p", 1, "q", 0, 1, "\x12\xd6\x87", 1, 1709210096789012)
	return b
}

// FuzzAvro compares the walk with goavro's own decoding: what one takes the other takes, and it is the same.
func FuzzAvro(f *testing.F) {
	f.Add(fuzzSeed())
	long := put(nil, -5, 1, 77, true)
	f.Add(append(long, bytes.Repeat([]byte{0}, 40)...))
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})
	codec, err := goavro.NewCodec(fuzzSchema)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newAvroSchema(fuzzSchema)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		cells, end := s.root.walk(string(body), 0, nil)
		if end < 0 {
			return // goavro takes some of what is malformed (lengths beyond the data, varints of any length), and may ask for any memory
		}
		native, rest, err := codec.NativeFromBinary(body)
		if err != nil && strings.Contains(err.Error(), "duplicate key") {
			return // of a map, which Avro does not forbid
		}
		if err != nil {
			t.Fatalf("walked to %d, goavro: %v", end, err)
		}
		if len(body)-len(rest) != end {
			t.Fatalf("walked to %d, goavro to %d", end, len(body)-len(rest))
		}
		d := decoder(t, Config{})
		v, err := d.topic("t").version(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		laid, v, err := d.cells(new(worker), d.topic("t"), v, nil, image{exists: true, cells: cells})
		if err != nil {
			t.Fatal(err)
		}
		compareRow(t, connector.Row{Table: v.table, Cells: laid}, native.(map[string]any))
	})
}

func TestAvroSchemas(t *testing.T) {
	t.Run("a block may come with its size", func(t *testing.T) {
		s, err := newAvroSchema(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"}}]}`)
		if err != nil {
			t.Fatal(err)
		}
		b := string(put(nil, -2, 2, 1, 2, 1, 3, 0))
		cells, end := s.root.walk(b, 0, nil)
		if end != len(b) {
			t.Fatal(end)
		}
		v, err := s.root.fields[0].in.decode(cells[0].Raw)
		if err != nil || plainValue(v) != "[int 1, int 2, int 3]" {
			t.Error(plainValue(v), err)
		}
	})
	t.Run("recursion ends", func(t *testing.T) {
		s, err := newAvroSchema(`{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}`)
		if err != nil {
			t.Fatal(err)
		}
		if end := s.root.skip(strings.Repeat("\x02", 1<<20)+"\x00", 0, 0); end != -1 {
			t.Error(end)
		}
	})
	t.Run("items that take no bytes cannot claim any number", func(t *testing.T) {
		for _, items := range []string{`"null"`, `{"type":"record","name":"E","fields":[]}`} {
			s, err := newAvroSchema(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":` + items + `}}]}`)
			if err != nil {
				continue // goavro refuses it already
			}
			if end := s.root.skip(string(put(nil, 1<<40, 0)), 0, 0); end != -1 {
				t.Error(items, end)
			}
		}
	})
	t.Run("a decimal of each sign and length", func(t *testing.T) {
		for want, b := range map[string]string{"12.50": "\x04\xe2", "-0.01": "\xff", "0.00": "\x00", "-1.28": "\x80", "123456789012345678901234567890.12": "\x09\xbe\xc9\x2e\x2b\x85\x0a\x27\x5e\x7e\x38\x1c\x50\x5c"} {
			n := new(big.Int)
			if len(b) > 8 {
				n.SetString(strings.ReplaceAll(want, ".", ""), 10)
				b = "\x00" + string(n.Bytes())
			}
			if got, ok := unscaled(b, 2); !ok || got != want {
				t.Errorf("%x: %s %v, want %s", b, got, ok, want)
			}
		}
	})
}
