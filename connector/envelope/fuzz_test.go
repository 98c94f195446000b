package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"brazecdc/connector"
	"brazecdc/schemas"
)

// FuzzScan compares the JSON reader with encoding/json: what is JSON, and what its strings say.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+3,true,null,"x\u00e9\ud83d\ude80\n"]}`, `"\ud800"`, `[`, `{"a":01}`, `-`, `"` + "\x01" + `"`, ` {"k" : "longer than eight bytes, \"quoted\"" } `, `1.e5`, `{"a":1,}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Count(s, "[")+strings.Count(s, "{") >= maxDepth {
			return
		}
		if got, want := validJSON(s), json.Valid([]byte(s)); got != want {
			t.Fatalf("%q: valid %v, encoding/json says %v", s, got, want)
		}
		var want string
		if json.Unmarshal([]byte(s), &want) == nil && strings.HasPrefix(strings.TrimSpace(s), `"`) && utf8.ValidString(s) {
			if got, err := text(strings.TrimSpace(s)); err != nil || got != want {
				t.Fatalf("%q: %q (%v), want %q", s, got, err, want)
			}
		}
		if back := string(appendText(nil, want)); want != "" && json.Valid([]byte(back)) {
			if got, err := text(back); err != nil || got != want {
				t.Fatalf("%q came back as %q", want, got)
			}
		}
	})
}

// check asserts what holds for any change, and reads all its columns.
func check(t *testing.T, c connector.Change) {
	t.Helper()
	if c.Op < connector.Insert || c.Op > connector.Snapshot || c.Key.Table == "" {
		t.Fatalf("operation %d of table %q", c.Op, c.Key.Table)
	}
	if c.Before.Exists() && c.After.Exists() && c.Before.Table != c.After.Table {
		t.Fatal("old and new row have different tables")
	}
	if c.Op != connector.Delete && c.Op != connector.Truncate && !c.After.Exists() {
		t.Fatalf("%s without a row", c.Op)
	}
	for _, r := range []connector.Row{c.Before, c.After} {
		if !r.Exists() {
			continue
		}
		if len(r.Cells) != len(r.Table.Columns) {
			t.Fatalf("%d cells, %d columns", len(r.Cells), len(r.Table.Columns))
		}
		for i := range r.Cells {
			v, ok, err := r.Value(i)
			if !ok || err != nil || v.Kind == connector.KindNull {
				continue
			}
			if v.Kind != r.Table.Columns[i].Kind {
				t.Fatalf("column %s of kind %d has a value of kind %d", r.Table.Columns[i].Name, r.Table.Columns[i].Kind, v.Kind)
			}
			if v.Kind == connector.KindJSON && !json.Valid([]byte(v.Str)) {
				t.Fatalf("column %s holds %q", r.Table.Columns[i].Name, v.Str)
			}
			if v.Kind == connector.KindText && !utf8.ValidString(v.Str) {
				t.Fatalf("column %s holds %q", r.Table.Columns[i].Name, v.Str)
			}
		}
	}
}

// FuzzDecode feeds any bytes as key, value and header, of every envelope, twice: nothing panics, and what comes out is a change or a reason.
func FuzzDecode(f *testing.F) {
	registry := schemaFile{}
	files, err := filepath.Glob("testdata/debezium/*/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		folder, topic := filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".jsonl")
		if topic == "schemas" {
			continue
		}
		for i, r := range sample(f, folder, topic) {
			if h, ok := r.header("__debezium.oldkey"); i < 2 || ok {
				f.Add(r.Key, r.Value, h, uint8(i))
			}
		}
	}
	for id, s := range registered(f, "avro_confluent") {
		registry[id] = s
	}
	registry[200], registry[201] = fuzzSchema, schemas.RowChangeAvro
	f.Add([]byte("k"), confluent(200, fuzzSeed()), []byte(nil), uint8(0))
	f.Add([]byte{}, []byte(`{"a":1}`), []byte{0, 0, 0, 0, 0, 0, 0, 200}, uint8(39)) // without a registry
	f.Add([]byte("k"), fuzzSeed(), []byte{0, 0, 0, 0, 0, 0, 0, 200}, uint8(3))
	if b, err := (schemas.RowChange{Key: map[string]any{"id": 1}, After: map[string]any{"id": 1, "l": []any{1, nil}}}).Append(nil); err == nil {
		f.Add([]byte("k"), b, []byte(nil), uint8(0))
	}
	f.Add([]byte(nil), []byte(schemas.RowChangeExample), []byte(nil), uint8(0))
	formats := []Config{{}, {Format: RowsJSON}, {Envelope: Append}, {Format: RowChange}, {ReplicaIdentityFull: func(string) bool { return true }},
		{Columns: []Columns{{Topics: only("t"), Types: map[string]string{"id": "numeric(10,2)", "a": "timestamp(3)", "name": "json", "b": "date[]", "v": "interval", "raw": "bytea"}}}}, {Format: DebeziumJSON}}
	names := []string{"__debezium.oldkey", "__debezium.oldkey", "__op", valueHeaders.content, keyHeaders.content}
	f.Fuzz(func(t *testing.T, key, value, header []byte, n uint8) {
		cfg := formats[int(n)%len(formats)]
		if n%8 != 7 {
			cfg.Schemas = registry
		}
		d := decoder(t, cfg)
		if len(value) == 0 && n > 128 {
			value = nil
		}
		r := &Record{Topic: "t", Key: key, Value: value, Offset: int64(n)}
		if header != nil {
			r.Headers = []Header{{names[int(n)%len(names)], header}}
		}
		for range 2 {
			out, _, err := d.Decode(context.Background(), nil, r)
			var p *Poison
			if err != nil && !errors.As(err, &p) {
				t.Fatalf("an error that is no Poison: %v", err)
			}
			for _, c := range out {
				check(t, c)
			}
			r.Offset++
		}
	})
}

// FuzzValue feeds any text to every type a column can be given.
func FuzzValue(f *testing.F) {
	for _, s := range []string{`"12.50"`, `"BOI="`, `{"scale":2,"value":"AwQ="}`, `-2147472692`, `"2024-02-29T12:34:56.789012+05:30"`, `"P1Y2M3DT4H5M6.789S"`, `[1,[2,null]]`, `9223372036825200000`, `1e999`,
		`"-290308-12-21T19:59:27.6Z"`, `{"x":1.5,"y":-2.0,"wkb":"AQ=="}`, `"infinity"`, `true`, `"NAN"`, `-0.0`, `0.1E-7`} {
		f.Add(s)
	}
	var types []*typ
	for name := range typeNames {
		for _, suffix := range []string{"", "(3)", "(10,2)", " ms", " ns", " base64", " hex", "[]"} {
			if t, err := hint(name + suffix); err == nil {
				types = append(types, t)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !validJSON(raw) {
			return
		}
		raw = strings.TrimSpace(raw)
		for _, typ := range types {
			v, err := typ.ofJSON(raw)
			if err != nil || v.Kind == connector.KindNull {
				continue
			}
			if v.Kind != typ.kind {
				t.Fatalf("%s: %q has kind %d", typ.name, raw, v.Kind)
			}
			if v.Kind == connector.KindDecimal {
				if _, again := decimalText(v.Str, -1); !again {
					t.Fatalf("%s: %q became %q", typ.name, raw, v.Str)
				}
			}
		}
	})
}
