package envelope

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
	"brazecdc/schemas"
)

// everySample gives the records of each recorded topic, and of some written here, with the schemas they need.
func everySample(t *testing.T) map[string][]*Record {
	t.Helper()
	all := map[string][]*Record{}
	folders, err := os.ReadDir(filepath.Join("testdata", "debezium"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		files, err := filepath.Glob(filepath.Join("testdata", "debezium", f.Name(), "*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if topic := strings.TrimSuffix(filepath.Base(file), ".jsonl"); topic != "schemas" {
				all[f.Name()+"/"+topic] = sample(t, f.Name(), topic)
			}
		}
	}
	for name, r := range benchRecords() {
		all["bench/"+name] = []*Record{r}
	}
	all["row change/json"] = []*Record{
		{Topic: "own", Value: []byte(`{"op":"update","key":{"id":"a-17"},"old_key":{"id":"a-16"},"before":{"id":"a-16","plan":"free"},"after":{"id":"a-17","plan":"pro"}}`)},
		{Topic: "own", Value: []byte(`{"op":"delete","key":{"id":1234567},"before":{"id":1234567,"plan":"free"}}`)},
	}
	b := put([]byte(schemas.RowChangeHeader), 1, 0, 1, "id", 4, "b-1234567", 0, 1, 1, "id", 4, "b-1234566", 0, 0, 1, 2, "id", 4, "b-1234567", "plan", 4, "gold", 0)
	all["row change/avro"] = []*Record{{Topic: "own.avro", Value: b}}
	all["append"] = []*Record{{Topic: "events", Key: []byte(`{"id":"e-1"}`), Value: []byte(`{"what":"bought","n":12}`)}}
	return all
}

// described writes down all that a change and its tables hold.
func described(c connector.Change) string {
	out := fmt.Sprintf("%v %v %v %v %v", c.Op, c.Key, c.OldKey, c.Time.UnixMicro(), c.ID)
	for _, r := range []connector.Row{c.Before, c.After} {
		if !r.Exists() {
			continue
		}
		out += " | " + r.Table.Name
		for i := range r.Table.Columns {
			col := &r.Table.Columns[i]
			v, ok, err := r.Value(i)
			out += fmt.Sprintf(" %s %s %t %d %q %v %t %v", col.Name, col.TypeName, col.Key, r.Cells[i].State, r.Cells[i].Raw, v, ok, err)
		}
	}
	return out
}

// The caller's buffers may be used again, or be a small part of a large one: nothing that comes out of Decode is a part of them.
func TestKeepsNothing(t *testing.T) {
	for name, recs := range everySample(t) {
		t.Run(name, func(t *testing.T) {
			folder, _, _ := strings.Cut(name, "/")
			lookup := SchemaLookup(benchSchemas)
			if _, err := os.Stat(filepath.Join("testdata", "debezium", folder, "schemas.jsonl")); err == nil {
				lookup = registered(t, folder)
			}
			cfg := Config{Schemas: lookup}
			if name == "append" {
				cfg.Envelope = Append
			}
			whole, kept := decoder(t, cfg), decoder(t, cfg)
			var want, got []connector.Change
			for _, r := range recs {
				var werr, gerr error
				want, _, werr = whole.Decode(context.Background(), want, r)
				used := *r
				used.Key, used.Value, used.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
				for i := range used.Headers {
					used.Headers[i].Value = slices.Clone(used.Headers[i].Value)
				}
				got, _, gerr = kept.Decode(context.Background(), got, &used)
				for _, b := range [][]byte{used.Key, used.Value} {
					for i := range b {
						b[i] = byte(rand.Uint32())
					}
				}
				for i := range used.Headers {
					clear(used.Headers[i].Value)
				}
				if fmt.Sprint(werr) != fmt.Sprint(gerr) {
					t.Fatalf("offset %d: %v, want %v", r.Offset, gerr, werr)
				}
			}
			if len(got) != len(want) || len(want) == 0 && strings.HasPrefix(name, "row change") {
				t.Fatalf("%d changes, want %d", len(got), len(want))
			}
			for i := range want {
				if g, w := described(got[i]), described(want[i]); g != w {
					t.Errorf("change %d:\n got %s\nwant %s", i, g, w)
				}
			}
		})
	}
}

// What is kept of a row is its values: neither the names of its columns, nor what else the record says.
func TestKeepsOnlyValues(t *testing.T) {
	for name, r := range benchRecords() {
		d := decoder(t, Config{Schemas: benchSchemas})
		out, _, err := d.Decode(context.Background(), nil, r)
		if err != nil || len(out) != 1 {
			t.Fatalf("%s: %d changes, %v", name, len(out), err)
		}
		n := 0
		for _, c := range out[0].After.Cells {
			n += len(c.Raw)
		}
		first, last := out[0].After.Cells[0].Raw, out[0].After.Cells[len(out[0].After.Cells)-1].Raw
		if span := int(address(last)-address(first)) + len(last); span != n {
			t.Errorf("%s: the cells hold %d bytes in a text of %d", name, n, span)
		}
	}
}
