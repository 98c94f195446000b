package envelope

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/sourcetest"
)

// line is a record as testdata/debezium keeps it.
type line struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp int64
	Key       *string
	KeyEnc    string `json:"key_encoding"`
	Value     *string
	ValueEnc  string `json:"value_encoding"`
	Headers   []struct {
		Key, Encoding string
		Value         *string
	}
}

func unpack(t testing.TB, s *string, enc string) []byte {
	t.Helper()
	if s == nil {
		return nil
	}
	if enc != "base64" {
		return []byte(*s)
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lines reads a file of JSON lines.
func lines(t testing.TB, path string, each func([]byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		each(sc.Bytes())
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}

// sample reads the records of a recorded topic. Those of Apicurio were recorded with globalId headers, which are refused: here they are contentIds, as they would
// be of a registry that holds these schemas under the same numbers.
func sample(t testing.TB, folder, topic string) []*Record {
	t.Helper()
	var out []*Record
	lines(t, filepath.Join("testdata", "debezium", folder, topic+".jsonl"), func(b []byte) {
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatal(err)
		}
		r := &Record{Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Key: unpack(t, l.Key, l.KeyEnc), Value: unpack(t, l.Value, l.ValueEnc),
			Timestamp: time.UnixMilli(l.Timestamp)}
		for _, h := range l.Headers {
			r.Headers = append(r.Headers, Header{strings.Replace(h.Key, "globalId", "contentId", 1), unpack(t, h.Value, h.Encoding)})
		}
		out = append(out, r)
	})
	return out
}

// schemaFile answers as a registry from a folder's schemas.jsonl.
type schemaFile map[uint32]string

func (s schemaFile) Schema(_ context.Context, id uint32) (Schema, error) {
	if t, ok := s[id]; ok {
		return Schema{Text: t}, nil
	}
	return Schema{}, fmt.Errorf("schema %d: %w", id, ErrUnknownSchema)
}

func registered(t testing.TB, folder string) schemaFile {
	t.Helper()
	out := schemaFile{}
	path := filepath.Join("testdata", "debezium", folder, "schemas.jsonl")
	if _, err := os.Stat(path); err != nil {
		return out
	}
	lines(t, path, func(b []byte) {
		var s struct {
			ID, GlobalID uint32
			Schema       json.RawMessage
		}
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		out[max(s.ID, s.GlobalID)] = string(s.Schema)
	})
	return out
}

// only means one topic.
func only(topic string) func(string) bool { return func(name string) bool { return name == topic } }

func decoder(t testing.TB, cfg Config) *Decoder {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// decodeAll decodes records in order and fails on any error.
func decodeAll(t testing.TB, d *Decoder, records []*Record) (changes []connector.Change, skips []Skip) {
	t.Helper()
	for _, r := range records {
		n := len(changes)
		var skip Skip
		var err error
		if changes, skip, err = d.Decode(context.Background(), changes, r); err != nil {
			t.Fatal(err)
		}
		if (skip == NoSkip) != (len(changes) == n+1) {
			t.Fatalf("offset %d: %d changes, skip %q", r.Offset, len(changes)-n, skip)
		}
		skips = append(skips, skip)
	}
	return changes, skips
}

// brief writes a change in a line: operation, key, and what is set in its images.
func brief(t testing.TB, c connector.Change) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Op, c.Key.ID)
	if c.OldKey.Table != "" {
		fmt.Fprintf(&b, " was %s", c.OldKey.ID)
	}
	for _, im := range []struct {
		name string
		row  connector.Row
	}{{"before", c.Before}, {"after", c.After}} {
		if im.row.Exists() {
			fmt.Fprintf(&b, " %s{%s}", im.name, strings.Join(shown(t, im.row), " "))
		}
	}
	return b.String()
}

// shown lists a row's columns that are not absent.
func shown(t testing.TB, r connector.Row) []string {
	t.Helper()
	var out []string
	for i, c := range r.Table.Columns {
		v, ok, err := r.Value(i)
		if err != nil {
			t.Fatalf("column %s: %v", c.Name, err)
		}
		if ok {
			out = append(out, c.Name+"="+plainValue(v))
		}
	}
	return out
}

// plainValue shows a value as the table of values does, long ones cut.
func plainValue(v connector.Value) string {
	if len(v.Str) > 60 {
		return fmt.Sprintf("%s…%d", sourcetest.Text(connector.Value{Kind: v.Kind, Str: v.Str[:20]}), len(v.Str))
	}
	return sourcetest.Text(v)
}
