package envelope

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

// told is what a list of records became: a line per record, the change or why there is none.
func told(t *testing.T, d *Decoder, records []*Record) []string {
	t.Helper()
	var out []string
	for _, r := range records {
		changes, skip, err := d.Decode(context.Background(), nil, r)
		switch {
		case err != nil:
			out = append(out, err.Error())
		case len(changes) == 0:
			out = append(out, "("+skip.String()+")")
		default:
			out = append(out, brief(t, changes[0]))
		}
	}
	return out
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// orderItems is what order_items becomes where prices have their type, by folder.
var orderItems = []string{
	`snapshot 1:11:1 after{order_id=int 1 line=int 1 sku=text "sku-1" qty=int 2 price=decimal "9.9900"}`,
	`snapshot 1:11:2 after{order_id=int 1 line=int 2 sku=text "sku-2" qty=int 1 price=decimal "0.0001"}`,
	`insert 1:21:1 after{order_id=int 2 line=int 1 sku=text "sku-1" qty=int 1 price=decimal "10.0000"}`,
	`insert 1:21:2 after{order_id=int 2 line=int 2 sku=text "sku-3" qty=int 5 price=decimal "99999999.9999"}`,
	`update 1:21:1 after{order_id=int 2 line=int 1 sku=text "sku-1" qty=int 2 price=decimal "10.0000"}`,
	`delete 1:11:2 before{order_id=int 1 line=int 2}`,
	`(tombstone)`,
	`(key change)`,
	`(key change)`,
	`update 1:21:9 was 1:21:2 before{order_id=int 2 line=int 2} after{order_id=int 2 line=int 9 sku=text "sku-3" qty=int 5 price=decimal "99999999.9999"}`,
	`delete 1:21:9 before{order_id=int 2 line=int 9}`,
	`(tombstone)`,
	`truncate `,
}

func TestModes(t *testing.T) {
	for _, folder := range []string{"json", "json_schema", "json_strings", "json_double", "json_iso", "json_txmeta", "avro_confluent"} {
		t.Run("case 31: order_items of "+folder+" are the same changes", func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, folder), Columns: []Columns{{Topics: only(folder + ".public.order_items"), Types: map[string]string{"price": "numeric(12,4)"}}}})
			same(t, told(t, d, sample(t, folder, "public.order_items")), orderItems...)
		})
	}
	for _, folder := range []string{"unwrap_rewrite", "avro_confluent_unwrap"} {
		t.Run("unwrapped: order_items of "+folder, func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, folder), Columns: []Columns{{Topics: only(folder + ".public.order_items"), Types: map[string]string{"price": "numeric(12,4)"}}}})
			want := slices.DeleteFunc(slices.Clone(orderItems), func(s string) bool { return s == "(tombstone)" || s == "truncate " })
			same(t, told(t, d, sample(t, folder, "public.order_items")), slices.Delete(want, 6, 7)...)
		})
	}
	t.Run("unwrapped without __op: every row is an update that may create, a tombstone is the delete", func(t *testing.T) {
		d := decoder(t, Config{Columns: []Columns{{Topics: only("unwrap_tombstone.public.order_items"), Types: map[string]string{"price": "numeric(12,4)"}}}})
		got := told(t, d, sample(t, "unwrap_tombstone", "public.order_items"))
		var want []string
		for i, s := range orderItems {
			switch i {
			case 6, 7, 11, 12: // the delete and its tombstone are one record; no truncate
			default:
				s = strings.Replace(strings.Replace(s, "snapshot", "update", 1), "insert", "update", 1)
				want = append(want, s)
			}
		}
		same(t, got, want...)
	})
}

// ops lists operations and keys only.
func ops(lines []string) string {
	var out []string
	for _, l := range lines {
		l, _, _ = strings.Cut(l, " after{")
		out = append(out, l)
	}
	return strings.Join(out, "; ")
}

func TestOperations(t *testing.T) {
	const users = `snapshot 1; snapshot 2; insert 10; insert 11; update 10; update 10; (key change); (key change); update 100 was 10 before{id=int 10}; update 11; update 1; ` +
		`delete 100 before{id=int 100}; (tombstone); insert 12; insert 14; insert 999`
	for _, folder := range []string{"json", "json_2_7", "cloudevents", "avro_confluent", "avro_apicurio"} {
		t.Run("case 43 cdc 90 91: users of "+folder, func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, folder)})
			if got := ops(told(t, d, sample(t, folder, "public.users"))); !strings.HasPrefix(got, users) {
				t.Errorf("got  %s\nwant %s", got, users)
			}
		})
	}
	without := func(s string, parts ...string) string {
		for _, p := range parts {
			s = strings.Replace(s, p, "", 1)
		}
		return s
	}
	t.Run("no tombstones (tombstones.on.delete=false)", func(t *testing.T) {
		got := ops(told(t, decoder(t, Config{}), sample(t, "json_no_tombstone", "public.users")))
		if want := without(users, "(key change); ", "(tombstone); "); !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	for _, folder := range []string{"unwrap_rewrite", "unwrap_rewrite_with_tombstone", "avro_confluent_unwrap"} {
		t.Run("case 43: unwrapped users of "+folder, func(t *testing.T) {
			var want string
			if folder != "unwrap_rewrite_with_tombstone" {
				want = without(users, "(key change); ", "(tombstone); ")
			} else { // without add.fields only the delete is marked
				want = strings.ReplaceAll(strings.ReplaceAll(users, "snapshot", "update"), "insert", "update")
			}
			d := decoder(t, Config{Schemas: registered(t, folder)})
			if got := ops(told(t, d, sample(t, folder, "public.users"))); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	t.Run("case 43: unwrapped, deletes as tombstones only", func(t *testing.T) {
		got := ops(told(t, decoder(t, Config{}), sample(t, "unwrap_tombstone", "public.users")))
		want := strings.ReplaceAll(strings.ReplaceAll(without(users, "(key change); ", "(tombstone); "), "snapshot", "update"), "insert", "update")
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("unwrapped, deletes dropped: the key change still names the old key", func(t *testing.T) {
		got := ops(told(t, decoder(t, Config{}), sample(t, "unwrap_drop", "public.users")))
		if !strings.Contains(got, "update 100 was 10 before{id=int 10}") || strings.Contains(got, "delete") {
			t.Error(got)
		}
	})
}

func TestReplicaIdentity(t *testing.T) {
	for _, folder := range []string{"json", "json_schema", "avro_confluent"} {
		t.Run("FULL proves itself by an update, in "+folder, func(t *testing.T) {
			d := decoder(t, Config{Schemas: registered(t, folder), Columns: []Columns{{Topics: only(folder + ".public.users_full"), Types: map[string]string{"amount": "numeric(10,2)"}}}})
			changes, _ := decodeAll(t, d, sample(t, folder, "public.users_full"))
			i := slices.IndexFunc(changes, func(c connector.Change) bool { return c.Op == connector.Delete })
			del := changes[i]
			if del.Before.Table.Identity != connector.IdentityFull {
				t.Error("the table is not known to be FULL")
			}
			if got := brief(t, del); !strings.Contains(got, `name=text "full two" amount=decimal "3.30"`) || !strings.Contains(got, "bio=null") {
				t.Error(got)
			}
			up := changes[2]
			if up.Op != connector.Update || up.Before.Table != up.After.Table {
				t.Errorf("%s: old and new row do not share a table", up.Op)
			}
		})
	}
	t.Run("the setting makes the first delete whole", func(t *testing.T) {
		records := sample(t, "json", "public.users")
		d := decoder(t, Config{ReplicaIdentityFull: func(topic string) bool { return topic == "json.public.users" }})
		for _, r := range records {
			out, _, err := d.Decode(context.Background(), nil, r)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) == 1 && out[0].Op == connector.Delete {
				if got := brief(t, out[0]); !strings.Contains(got, `name=text ""`) {
					t.Error(got)
				}
			}
		}
	})
	t.Run("an old row that lacks the key is of another index and proves nothing", func(t *testing.T) {
		d := decoder(t, Config{})
		got := told(t, d, []*Record{
			debezium(1, `{"id":7}`, `"u"`, `{"id":0,"email":"old@x","name":""}`, `{"id":7,"email":"new@x","name":"N"}`),
			debezium(2, `{"id":7}`, `"d"`, `{"id":7,"email":"new@x","name":""}`, `null`),
		})
		same(t, got, `update 7 after{id=int 7 email=text "new@x" name=text "N"}`, `delete 7 before{id=int 7}`)
	})
	t.Run("a table without a key is told apart by its whole row", func(t *testing.T) {
		for _, folder := range []string{"json", "avro_confluent"} {
			d := decoder(t, Config{Schemas: registered(t, folder)})
			same(t, told(t, d, sample(t, folder, "public.nopk_full")), `insert 1:11:x after{a=int 1 b=text "x"}`,
				`update 1:11:y was 1:11:x before{a=int 1 b=text "x"} after{a=int 1 b=text "y"}`, `delete 1:11:y before{a=int 1 b=text "y"}`, `(tombstone)`, `truncate `)
			restarted := decoder(t, Config{Schemas: registered(t, folder)}) // between the delete and its tombstone
			same(t, told(t, restarted, sample(t, folder, "public.nopk_full")[3:]), `(neither key nor value)`, `truncate `)
		}
	})
	t.Run("USING INDEX: the index is the key", func(t *testing.T) {
		d := decoder(t, Config{Schemas: registered(t, "avro_confluent")})
		got := told(t, d, sample(t, "avro_confluent", "public.by_index"))
		same(t, got[3:], `(key change)`, `(key change)`, `update 2:c22:eu was 2:c22:us before{code=text "c2" region=text "us"} after{code=text "c2" region=text "eu" note=text "m"}`,
			`delete 2:c22:eu before{code=text "c2" region=text "eu"}`, `(tombstone)`)
	})
}

// debezium makes a record without schema.
func debezium(offset int64, key, op, before, after string) *Record {
	r := &Record{Topic: "t", Offset: offset, Value: []byte(`{"before":` + before + `,"after":` + after + `,"source":{"ts_ms":1000},"op":` + op + `}`), Timestamp: time.UnixMilli(5)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

func TestTables(t *testing.T) {
	t.Run("a row that moves to another partition is a delete and an insert", func(t *testing.T) {
		same(t, told(t, decoder(t, Config{}), sample(t, "json", "public.parts"))[1:], `insert 1:22:us after{id=int 2 region=text "us" v=text "v"}`, `delete 1:22:us before{id=int 2 region=text "us"}`,
			`(tombstone)`, `insert 1:22:eu after{id=int 2 region=text "eu" v=text "v"}`)
	})
	t.Run("names that are no Avro names stay in JSON and are replaced in Avro", func(t *testing.T) {
		for folder, want := range map[string]string{"json": `update 2 after{Id=int 2 Some Col=text "new" ünï-çode=text "ö"}`, "avro_confluent": `update 2 after{Id=int 2 Some_Col=text "new" _n___ode=text "ö"}`} {
			same(t, told(t, decoder(t, Config{Schemas: registered(t, folder)}), sample(t, folder, "public.Weird_Table"))[2:], want)
		}
	})
	t.Run("cdc 118: tables that can only be inserted into", func(t *testing.T) {
		d := decoder(t, Config{})
		same(t, told(t, d, sample(t, "json", "public.nopk")), `snapshot 1:112:snapshot row after{a=int 1 b=text "snapshot row"}`, `insert 1:212:streamed row after{a=int 2 b=text "streamed row"}`)
		same(t, told(t, d, sample(t, "json", "public.identity_nothing")), `insert 1 after{id=int 1 v=text "v"}`)
	})
	t.Run("unwrapped rows of a table without a key need append", func(t *testing.T) {
		for _, l := range told(t, decoder(t, Config{}), sample(t, "unwrap_tombstone", "public.nopk_full")) {
			if !strings.HasPrefix(l, "undecodable: ") && l != "(neither key nor value)" { // the delete of a row that nobody could name, so that it was never sent
				t.Error(l)
			}
		}
		d := decoder(t, Config{Envelope: Append})
		same(t, told(t, d, sample(t, "unwrap_tombstone", "public.nopk_full"))[:2], `insert 0/0 after{a=int 1 b=text "x"}`, `insert 0/1 after{a=int 1 b=text "y"}`)
	})
}

func TestSchemaChanges(t *testing.T) {
	t.Run("columns added, renamed and dropped between records", func(t *testing.T) {
		for _, folder := range []string{"json", "json_schema", "avro_confluent"} {
			d := decoder(t, Config{Schemas: registered(t, folder)})
			got := told(t, d, sample(t, folder, "public.evolve"))
			want := []string{`insert 1 after{id=int 1 a=text "one"}`, `insert 2 after{id=int 2 a=text "two" b=int 22}`, `insert 3 after{id=int 3 a2=text "three" b=int 3333333333}`,
				`update 1 after{id=int 1 a2=text "uno"}`}
			if folder == "json" {
				want[2] = `insert 3 after{id=int 3 b=int 3333333333 a2=text "three"}` // in the order of their first appearance
			}
			same(t, got[:4], want...)
		}
	})
	t.Run("one schema is one table, whatever comes between", func(t *testing.T) {
		d := decoder(t, Config{Schemas: registered(t, "avro_confluent")})
		records := sample(t, "avro_confluent", "public.evolve")
		again := append(slices.Clone(records[:4]), records[:4]...)
		changes, _ := decodeAll(t, d, again)
		for i := range 4 {
			if changes[i].After.Table != changes[i+4].After.Table {
				t.Errorf("record %d: another table", i)
			}
		}
	})
	t.Run("kinds of schemaless columns widen", func(t *testing.T) {
		d := decoder(t, Config{})
		row := func(n int64, v string) *Record {
			return &Record{Topic: "t", Offset: n, Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"v":` + v + `}`)}
		}
		same(t, told(t, d, []*Record{row(1, "null"), row(2, "5"), row(3, "1.50"), row(4, "12345678901234567890"), row(5, "7"), row(6, `"x"`), row(7, `{"a":[1]}`), row(8, "true"), row(9, "1e3")}),
			`update 1 after{id=int 1 v=null}`, `update 1 after{id=int 1 v=int 5}`, `update 1 after{id=int 1 v=decimal "1.50"}`, `update 1 after{id=int 1 v=decimal "12345678901234567890"}`,
			`update 1 after{id=int 1 v=decimal "7"}`, `update 1 after{id=int 1 v=json "\"x\""}`, `update 1 after{id=int 1 v=json "{\"a\":[1]}"}`, `update 1 after{id=int 1 v=json "true"}`,
			`update 1 after{id=int 1 v=json "1e3"}`)
	})
}

func TestTime(t *testing.T) {
	for folder, want := range map[string]int64{"json": 1795615744808091, "json_schema": 1795615744832000, "cloudevents": 1795615746239803} {
		changes, _ := decodeAll(t, decoder(t, Config{Schemas: registered(t, folder)}), sample(t, folder, "public.users"))
		if got := changes[0].Time.UnixMicro(); got/1e6 != want/1e6 || folder != "json_schema" && got != want {
			t.Errorf("%s: %d, want %d", folder, got, want)
		}
		if changes[3].ID != (connector.ChangeID{Commit: 3}) {
			t.Errorf("%s: %+v", folder, changes[3].ID)
		}
	}
	unwrapped, _ := decodeAll(t, decoder(t, Config{}), sample(t, "unwrap_rewrite", "public.users"))
	if got := unwrapped[3].Time.UnixMilli(); got != 1795615751559 {
		t.Errorf("unwrapped: %d", got)
	}
}

func TestNoChange(t *testing.T) {
	for _, c := range []struct {
		folder, topic string
		want          Skip
	}{{"json", "message", SkipMessage}, {"json_schema", "message", SkipMessage}, {"unwrap_rewrite", "message", SkipMessage}, {"avro_confluent", "message", SkipMessage},
		{"avro_apicurio", "message", SkipMessage}, {"json_txmeta", "transaction", SkipTransaction}, {"json_txmeta", "__debezium-heartbeat", SkipHeartbeat}} {
		t.Run(c.folder+" "+c.topic, func(t *testing.T) {
			_, skips := decodeAll(t, decoder(t, Config{Schemas: registered(t, c.folder)}), sample(t, c.folder, c.topic))
			for _, s := range skips {
				if s != c.want {
					t.Errorf("%q, want %q", s, c.want)
				}
			}
		})
	}
	t.Run("a schema change topic", func(t *testing.T) {
		r := &Record{Topic: "shop", Key: []byte(`{"databaseName":"app"}`), Value: []byte(`{"source":{"ts_ms":1},"databaseName":"app","ddl":"ALTER TABLE x","tableChanges":[]}`)}
		_, skips := decodeAll(t, decoder(t, Config{}), []*Record{r})
		if skips[0] != SkipSchema {
			t.Error(skips)
		}
	})
}
