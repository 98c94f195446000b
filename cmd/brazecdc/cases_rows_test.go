package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/sourcetest"
)

// object is one object that the simulator accepted.
type object struct {
	Path string          `json:"path"`
	Body json.RawMessage `json:"body"`
}

// objects gives those since the simulator was made, by path and then by user, which does not depend on what shared a call.
func (b *bench) objects() (out []object) {
	b.t.Helper()
	for _, r := range b.sim.Requests(0) {
		if r.Status != 201 {
			continue
		}
		list, err := sourcetest.Objects(r.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, o := range list {
			out = append(out, object{r.Path, o})
		}
	}
	slices.SortStableFunc(out, func(a, b object) int {
		return strings.Compare(a.Path+sourcetest.UserOf(a.Body), b.Path+sourcetest.UserOf(b.Body))
	})
	return out
}

// wantObjects compares the objects with testdata/cases/NAME.json once nothing is on its way; UPDATE=1 writes it.
func (b *bench) wantObjects(name string) {
	b.t.Helper()
	b.until("nothing is on its way", func() bool { s := b.status(); return s.OpenChanges == 0 && s.Waiting == 0 })
	sourcetest.Golden(b.t, filepath.Join("testdata", "cases", name+".json"), b.objects())
}

// TestCasesOfOneRow sends one row of the table of values as a load, the stream and each form of a topic give it: what arrives is the same.
func TestCasesOfOneRow(t *testing.T) {
	t.Parallel()
	all := sourcetest.ReadValues(t)
	row := all.Rows[slices.IndexFunc(all.Rows, func(r sourcetest.ValueRow) bool { return r.Table == "users" && r.Key == "1" })]
	columns := []string{"name", "active", "balance", "score", "age", "birthday", "created_at", "updated_at", "doc", "tags", "nums"}
	model := func(columns []string) string {
		return "mode: additive\nload: all\nidentify: { external_id: { expr: string(id) } }\ncustom: { " + strings.Join(pairs(columns), ", ") + " }"
	}
	for _, how := range []string{"load", "stream"} {
		t.Run("case 34: snapshot and stream disagree: the "+how, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, model(columns))
			b.exec(`DROP TABLE users`)
			for _, sql := range all.Create() {
				b.exec(sql)
			}
			if how == "load" {
				b.exec(row.Insert())
			}
			b.run()
			if how == "stream" {
				b.exec(row.Insert())
			}
			b.arrives("1", "age", "36")
			b.wantObjects("one_row")
		})
	}
	for _, m := range sourcetest.Recordings {
		if !slices.Contains([]string{"json", "json_schema", "json_strings", "json_double", "json_iso", "json_nanos"}, m.Folder) {
			continue
		}
		// Decimals come in base64, as text and as doubles; times in days, milli-, micro- and nanoseconds and as text; JSON as text. What a form loses is left out.
		t.Run("case 31 32 34 38: numbers, JSON and times of Debezium's "+m.Folder, func(t *testing.T) {
			t.Parallel()
			row, kept, golden := m.Has(row), columns, "one_row"
			for _, v := range row.Columns {
				if v.Left(m.Loses) != v.Want && slices.Contains(kept, v.Name) {
					kept, golden = slices.DeleteFunc(slices.Clone(kept), func(c string) bool { return c == v.Name }), "one_row_"+m.Folder
				}
			}
			lines := model(kept)
			if types := m.Types(row); types != nil {
				lines += "\ncolumns: " + typeLines(types)
			}
			b, cl := newTopicBench(t, 1, lines)
			produce(t, cl, recordings(t, m.Folder, "users", "shop.users")[0])
			b.run()
			b.arrives("1", "age", "36")
			b.wantObjects(golden)
		})
	}
}

// pairs writes columns as attributes of the same names.
func pairs(columns []string) (out []string) {
	for _, c := range columns {
		out = append(out, c+": "+c)
	}
	return out
}

// withSchema is a new row as Debezium writes it with a schema, of a text key id and the given fields of the schema and of the row.
func withSchema(id, fields, values string) *kgo.Record {
	const value = `{"schema":{"type":"struct","fields":[{"field":"before","type":"struct","optional":true,"fields":%[1]s},{"field":"after","type":"struct","optional":true,"fields":%[1]s},` +
		`{"field":"source","type":"struct","fields":[{"field":"ts_ms","type":"int64"}]},{"field":"op","type":"string"}]},"payload":{"before":null,"after":{"id":%[2]q,%[3]s},"source":{"ts_ms":1795615745155},"op":"c"}}`
	return &kgo.Record{Topic: "shop.users", Key: fmt.Appendf(nil, `{"schema":{"type":"struct","fields":[{"field":"id","type":"string","optional":false}]},"payload":{"id":%q}}`, id),
		Value: fmt.Appendf(nil, value, `[{"field":"id","type":"string","optional":false},`+fields+`]`, id, values)}
}

// TestCasesOfRecords goes from records of a topic to the objects that the simulator accepted.
func TestCasesOfRecords(t *testing.T) {
	t.Parallel()
	t.Run("case 31: numbers that arrive as text, in base64 and as a double are one number", func(t *testing.T) {
		t.Parallel()
		b, cl := newTopicBench(t, 1, "mode: sync\nload: all\nidentify: { external_id: id }\ncustom: { credits: { column: credits, type: number } }")
		produce(t, cl, withSchema("u-1", `{"field":"credits","type":"string","optional":true}`, `"credits":"12.50"`),
			withSchema("u-2", `{"field":"credits","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}`, `"credits":"BOI="`),
			withSchema("u-3", `{"field":"credits","type":"double","optional":true}`, `"credits":12.5`))
		b.run()
		b.arrives("u-3", "credits", "12.5")
		b.wantObjects("case_31")
	})
	t.Run("case 32: JSON as text is an object, and text that holds JSON stays text unless the field says so", func(t *testing.T) {
		t.Parallel()
		b, cl := newTopicBench(t, 1, "mode: sync\nload: all\nidentify: { external_id: id }\ncustom: { prefs: prefs, note: note, parsed: { column: note, type: object } }")
		produce(t, cl, withSchema("u-1", `{"field":"prefs","type":"string","optional":true,"name":"io.debezium.data.Json","version":1},{"field":"note","type":"string","optional":true}`,
			`"prefs":"{\"lang\":\"ja\"}","note":"{\"a\":1}"`))
		b.run()
		b.arrives("u-1", "prefs", `{"lang":"ja"}`)
		b.wantObjects("case_32")
	})
	t.Run("case 43: a tombstone alone deletes where its key is the external_id, and is held back where it is not", func(t *testing.T) {
		t.Parallel()
		tombstone := func() *kgo.Record { return &kgo.Record{Topic: "shop.users", Key: []byte(`{"id":"u-1"}`)} }
		b, cl := newTopicBench(t, 1, topicModel)
		produce(t, cl, debezium("c", "u-1", "free", 1))
		b.run()
		b.arrives("u-1", "plan", `"free"`)
		produce(t, cl, tombstone())
		b.until("it is deleted", func() bool { _, ok := b.sim.Profile("u-1"); return !ok })
		b.wantObjects("case_43")
		// The plan is the external_id of the second one.
		b, cl = newTopicBench(t, 1, strings.Replace(topicModel, "external_id: id", "external_id: plan", 1))
		produce(t, cl, tombstone()) // before any row: nothing is known of the topic's columns
		b.run()
		b.until("it is held back", func() bool { return len(b.entries()) == 1 })
		produce(t, cl, debezium("c", "u-2", "free", 1))
		b.arrives("free", "credits", "1")
		if e := b.entries()[0]; e.Key.ID != "u-1" || len(b.objects()) != 1 {
			t.Errorf("%+v, sent %v", e, b.objects())
		}
	})
	t.Run("case 47: Debezium's placeholder for an unchanged value is never sent, and clears nothing", func(t *testing.T) {
		t.Parallel()
		b, cl := newTopicBench(t, 1, topicModel)
		b.edit("custom: {", "custom: { note: note,")
		note := func(r *kgo.Record, note string) *kgo.Record {
			r.Value = []byte(strings.Replace(string(r.Value), `"plan":`, `"note":"`+note+`","plan":`, 1))
			return r
		}
		produce(t, cl, note(debezium("c", "u-1", "free", 1), "long"))
		b.run()
		b.arrives("u-1", "note", `"long"`)
		produce(t, cl, note(debezium("u", "u-1", "pro", 1), "__debezium_unavailable_value"))
		b.arrives("u-1", "plan", `"pro"`)
		b.wantObjects("case_47")
		if got := b.profile("u-1", "note"); got != `"long"` {
			t.Errorf("the note is %s", got)
		}
	})
}
