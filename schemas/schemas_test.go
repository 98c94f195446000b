package schemas

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"
)

// canonical is the Parsing Canonical Form of a schema (Avro specification): names in full, attributes in a fixed order, no others.
func canonical(v any, space string) string {
	full := func(name string) string {
		if strings.Contains(name, ".") || space == "" || slices.Contains([]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}, name) {
			return name
		}
		return space + "." + name
	}
	list := func(all []any, one func(any) string) string {
		var parts []string
		for _, e := range all {
			parts = append(parts, one(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	switch v := v.(type) {
	case string:
		return strconv.Quote(full(v))
	case []any:
		return list(v, func(e any) string { return canonical(e, space) })
	}
	m := v.(map[string]any)
	if ns, ok := m["namespace"].(string); ok {
		space = ns
	}
	kind := m["type"].(string)
	switch kind {
	case "record":
		fields := list(m["fields"].([]any), func(f any) string {
			f0 := f.(map[string]any)
			return `{"name":` + strconv.Quote(f0["name"].(string)) + `,"type":` + canonical(f0["type"], space) + "}"
		})
		return `{"name":` + strconv.Quote(full(m["name"].(string))) + `,"type":"record","fields":` + fields + "}"
	case "enum":
		symbols := list(m["symbols"].([]any), func(s any) string { return strconv.Quote(s.(string)) })
		return `{"name":` + strconv.Quote(full(m["name"].(string))) + `,"type":"enum","symbols":` + symbols + "}"
	case "array":
		return `{"type":"array","items":` + canonical(m["items"], space) + "}"
	case "map":
		return `{"type":"map","values":` + canonical(m["values"], space) + "}"
	}
	return strconv.Quote(kind)
}

// fingerprint is CRC-64-AVRO (Avro specification, "Schema Fingerprints").
func fingerprint(s string) uint64 {
	const empty = 0xc15d213aa4d7a795
	var table [256]uint64
	for i := range table {
		fp := uint64(i)
		for range 8 {
			fp = fp>>1 ^ empty&-(fp&1)
		}
		table[i] = fp
	}
	fp := uint64(empty)
	for _, b := range []byte(s) {
		fp = fp>>8 ^ table[byte(fp)^b]
	}
	return fp
}

func TestFingerprint(t *testing.T) {
	// From the test data of Apache Avro (share/test/data/schema-tests.txt): the fingerprint of "null" and of "int".
	for s, want := range map[string]int64{`"null"`: 7195948357588979594, `"int"`: 8247732601305521295} {
		if got := int64(fingerprint(s)); got != want {
			t.Errorf("%s: %d, want %d", s, got, want)
		}
	}
}

func TestRowChange(t *testing.T) {
	codec, err := goavro.NewCodec(RowChangeAvro)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the header is that of the schema", func(t *testing.T) {
		var schema any
		if err := json.Unmarshal([]byte(RowChangeAvro), &schema); err != nil {
			t.Fatal(err)
		}
		if want := string(binary.LittleEndian.AppendUint64([]byte{0xc3, 1}, fingerprint(canonical(schema, "")))); RowChangeHeader != want {
			t.Errorf("header %x, the schema's is %x", RowChangeHeader, want)
		}
	})
	t.Run("what is encoded is what the schema says", func(t *testing.T) {
		c := RowChange{Op: Update, Time: time.UnixMicro(1795615746239803), Key: map[string]any{"id": 17}, OldKey: map[string]any{"id": int64(16)},
			After: map[string]any{"a": nil, "b": true, "c": 1.5, "d": "x", "e": []byte{0, 255}, "f": Decimal("12.50"), "g": Date(-1), "h": Time(5), "i": Timestamp(6),
				"j": time.UnixMicro(7), "k": Interval("P1D"), "l": json.RawMessage(`{"x":[1]}`), "m": []any{1, nil, []any{"y"}}, "n": int32(3)}}
		b, err := c.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		native, rest, err := codec.NativeFromBinary(b[len(RowChangeHeader):])
		if err != nil || len(rest) != 0 {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
		m := native.(map[string]any)
		cell := func(name string, v any) map[string]any { return map[string]any{"value": map[string]any{name: v}} }
		want := map[string]any{"a": map[string]any{"value": nil}, "b": cell("boolean", true), "c": cell("double", 1.5), "d": cell("string", "x"), "e": cell("bytes", []byte{0, 255}),
			"f": cell("brazecdc.Decimal", map[string]any{"text": "12.50"}), "g": cell("brazecdc.Date", map[string]any{"days": int32(-1)}),
			"h": cell("brazecdc.Time", map[string]any{"micros": int64(5)}), "i": cell("brazecdc.Timestamp", map[string]any{"micros": int64(6)}),
			"j": cell("brazecdc.TimestampTZ", map[string]any{"micros": int64(7)}), "k": cell("brazecdc.Interval", map[string]any{"iso": "P1D"}),
			"l": cell("brazecdc.Json", map[string]any{"text": `{"x":[1]}`}), "n": cell("long", int64(3)),
			"m": cell("brazecdc.List", map[string]any{"items": []any{cell("long", int64(1)), map[string]any{"value": nil},
				cell("brazecdc.List", map[string]any{"items": []any{cell("string", "y")}})}})}
		if diff := cmp.Diff(want, m["after"].(map[string]any)["map"]); diff != "" {
			t.Error(diff)
		}
		if m["op"] != "update" || m["before"] != nil {
			t.Error(m)
		}
	})
	t.Run("what cannot be encoded is refused", func(t *testing.T) {
		deep := []any{}
		for range 40 {
			deep = []any{deep}
		}
		for name, c := range map[string]RowChange{"no key": {Op: Insert}, "an unknown operation": {Op: 9}, "a struct": {Key: map[string]any{"id": struct{}{}}},
			"bad JSON": {Key: map[string]any{"id": json.RawMessage("{")}}, "deep lists": {Key: map[string]any{"id": deep}}} {
			if b, err := c.Append(nil); err == nil {
				t.Errorf("%s was encoded to %x", name, b)
			}
		}
	})
	t.Run("the example is valid JSON", func(t *testing.T) {
		if !json.Valid([]byte(RowChangeExample)) {
			t.Error("it is not")
		}
	})
}
