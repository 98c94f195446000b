package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/sourcetest"
	"brazecdc/schemas"
)

// recordings gives the records that Debezium made of a table with some settings, nil where there are none.
func recordings(t *testing.T, folder, table, topic string) []*kgo.Record {
	t.Helper()
	if _, err := os.Stat(filepath.Join("../../connector/envelope/testdata/debezium", folder, "public."+table+".jsonl")); err != nil {
		return nil
	}
	recs := recordedTopic(t, folder, "public."+table)
	for _, r := range recs {
		r.Topic = topic
	}
	return recs
}

// ownRecord writes a row of the table of values as one of the connector's own records.
func ownRecord(t *testing.T, topic string, row sourcetest.ValueRow) *kgo.Record {
	t.Helper()
	c := schemas.RowChange{Op: schemas.Insert, Time: time.Now(), Key: map[string]any{"id": row.Key}, After: map[string]any{"id": row.Key}}
	for _, v := range row.Columns {
		c.After[v.Name] = sourcetest.AsGo(sourcetest.Parse(t, v.Left("own")))
	}
	b, err := c.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(row.Key), Value: b}
}

// typeLines writes columns as a model has them in the configuration.
func typeLines(types map[string]string) string {
	parts := make([]string, 0, len(types))
	for _, name := range slices.Sorted(maps.Keys(types)) {
		parts = append(parts, fmt.Sprintf("%s: %q", name, types[name]))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "http://x", true }, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestTopicsConformance runs the suite of all sources over topics as they are wired here: the consumer group together with the decoder of records.
func TestTopicsConformance(t *testing.T) {
	t.Parallel()
	all := sourcetest.ReadValues(t)
	// Each table of values in the form that loses least: recorded with schemas, recorded without and typed by the configuration, written as the connector's own.
	folders := map[string]string{"users": "json_schema", "extra_types": "json_schema", "specials": "specials_string"}
	byFolder := map[string]sourcetest.Recording{}
	for _, m := range sourcetest.Recordings {
		byFolder[m.Folder] = m
	}
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		_, cl, brokers := newCluster(t)
		text := "version: 1\nbraze: { workspace: test, endpoint: \"http://127.0.0.1:1\", api_key: x }\nsource: { kafka: { brokers: [\"" + strings.Join(brokers, `", "`) +
			"\"], group: suite } }\nmodels:\n"
		topics := append([]string{"rows"}, all.Tables()...)
		for _, name := range topics {
			text += "  - { name: " + name + ", topic: shop." + name + ", mode: enrich, load: all, identify: { external_id: id }, columns: "
			types := map[string]string{}
			for _, r := range all.Rows {
				if m, ok := byFolder[folders[name]]; ok && r.Table == name {
					maps.Copy(types, m.Types(r))
				}
			}
			text += typeLines(types) + " }\n"
			createTopics(t, cl, "shop."+name)
		}
		cfg := parsed(t, text)
		return sourcetest.Subject{
			Table: "shop.rows",
			New: func(t testing.TB) connector.Source {
				src, err := newTopics(cfg, slog.New(slog.DiscardHandler), hooks{})
				if err != nil {
					t.Fatal(err)
				}
				return src
			},
			Write: func(_ testing.TB, rows ...sourcetest.Row) {
				recs := make([]*kgo.Record, len(rows))
				for i, r := range rows {
					recs[i] = suiteRecord(r)
				}
				produce(t, cl, recs...)
			},
			ValueTable: func(name string) string { return "shop." + name },
			WriteValues: func(_ testing.TB, all sourcetest.Values) {
				for _, r := range all.Rows {
					if folders[r.Table] == "" {
						produce(t, cl, ownRecord(t, "shop."+r.Table, r))
					}
				}
				for table, folder := range folders {
					produce(t, cl, recordings(t, folder, table, "shop."+table)...)
				}
			},
			Loses: func(table string) string {
				if m, ok := byFolder[folders[table]]; ok {
					return m.Loses
				}
				return "own"
			},
		}
	})
}

// suiteRecord is a row of the suite as Debezium writes it, with a schema.
func suiteRecord(r sourcetest.Row) *kgo.Record {
	const fields = `"fields":[{"field":"id","type":"int32","optional":false},{"field":"v","type":"string","optional":true}]`
	row := fmt.Sprintf(`{"id":%d,"v":%q}`, r.ID, r.V)
	before, after, op := "null", row, "c"
	switch r.Op {
	case connector.Update:
		op = "u"
	case connector.Delete:
		before, after, op = row, "null", "d"
	}
	value := fmt.Sprintf(`{"schema":{"type":"struct","fields":[{"field":"before","type":"struct","optional":true,%s},{"field":"after","type":"struct","optional":true,%[1]s},`+
		`{"field":"source","type":"struct","fields":[{"field":"ts_ms","type":"int64"}]},{"field":"op","type":"string"}]},"payload":{"before":%s,"after":%s,"source":{"ts_ms":%d},"op":%q}}`,
		fields, before, after, time.Now().UnixMilli(), op)
	return &kgo.Record{Topic: "shop.rows", Key: fmt.Appendf(nil, `{"schema":{"type":"struct","fields":[{"field":"id","type":"int32","optional":false}]},"payload":{"id":%d}}`, r.ID), Value: []byte(value)}
}

// TestSameBodies maps every row of the table of values as a load, the stream and each recorded form of a topic give it.
func TestSameBodies(t *testing.T) {
	t.Parallel()
	all := sourcetest.ReadValues(t)
	streamed, loaded := postgresRows(t, all)
	for _, row := range all.Rows {
		key := connector.Key{Table: "public." + row.Table, ID: row.Key}
		stream := body(t, row, "", connector.Change{Key: key, Op: connector.Insert, After: streamed[key]})
		if load := body(t, row, "", connector.Change{Key: key, Op: connector.Snapshot, After: loaded[key]}); load != stream {
			t.Errorf("case 34: row %s of %s\nload   %s\nstream %s", row.Key, row.Table, load, stream)
		}
		t.Run(fmt.Sprintf("case 34: row %s of %s written by oneself gives the bytes that Postgres gives", row.Key, row.Table), func(t *testing.T) {
			want := body(t, row, "own", connector.Change{Key: key, Op: connector.Insert, After: streamed[key]})
			got := body(t, row, "own", decodedRow(t, "", "shop."+row.Table, "", []*kgo.Record{ownRecord(t, "shop."+row.Table, row)}, row.Key))
			if got != want {
				t.Errorf("\ntopic    %s\nPostgres %s", got, want)
			}
		})
		for _, m := range sourcetest.Recordings {
			recs := recordings(t, m.Folder, row.Table, "shop."+row.Table)
			if recs == nil || m.Folder == "avro_apicurio" {
				continue // its schema ids are in headers, which the registry of this test does not serve
			}
			t.Run(fmt.Sprintf("case 34: row %s of %s in %s gives the bytes that Postgres gives", row.Key, row.Table, m.Folder), func(t *testing.T) {
				row := m.Has(row)
				want := body(t, row, m.Loses, connector.Change{Key: key, Op: connector.Insert, After: streamed[key]})
				got := body(t, row, m.Loses, decodedRow(t, m.Folder, "shop."+row.Table, typeLines(m.Types(row)), recs, row.Key))
				if got != want {
					t.Errorf("\ntopic    %s\nPostgres %s", got, want)
				}
			})
		}
	}
}

// postgresRows writes the table of values into a database and reads it as a stream and as a load.
func postgresRows(t *testing.T, all sourcetest.Values) (streamed, loaded map[connector.Key]connector.Row) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	url := throwaway.Shared(t).TestDatabase(t)
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range all.Create() {
		exec(sql)
	}
	src, err := postgres.New(postgres.Config{URL: url, Slot: "same_bodies", Publication: "p", Create: true, StartTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	var start connector.Start
	for _, name := range all.Tables() {
		start.Tables = append(start.Tables, "public."+name)
	}
	if _, err := src.Open(ctx, start); err != nil {
		t.Fatal(err)
	}
	streamed, loaded = map[connector.Key]connector.Row{}, map[connector.Key]connector.Row{}
	until := func(rows map[connector.Key]connector.Row, load bool) {
		t.Helper()
		for len(rows) < len(all.Rows) {
			b, err := src.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Changes {
				if (b.Load != nil) == load {
					rows[c.Key] = c.After
				}
			}
			src.Commit(b.Position)
		}
	}
	for _, r := range all.Rows {
		exec(r.Insert())
	}
	until(streamed, false)
	for _, table := range start.Tables {
		if err := src.StartLoad(ctx, connector.Load{ID: table, Table: table}); err != nil {
			t.Fatal(err)
		}
	}
	until(loaded, true)
	return streamed, loaded
}

// decodedRow gives the change by which a topic's records bring a row first.
func decodedRow(t *testing.T, folder, topic, columns string, recs []*kgo.Record, key string) connector.Change {
	t.Helper()
	text := "version: 1\nbraze: { workspace: test, endpoint: \"http://127.0.0.1:1\", api_key: x }\nsource: { kafka: { brokers: [\"127.0.0.1:1\"]"
	if strings.HasPrefix(folder, "avro") {
		reg, url := newRegistryServer(t, folder)
		reg.up.Store(true)
		text += ", registry: { url: \"" + url + "\", user: reader, password: " + testKey + " }"
	}
	text += " } }\nmodels:\n  - { name: m, topic: " + topic + ", mode: enrich, load: all, identify: { external_id: id }"
	if columns != "" {
		text += ", columns: " + columns
	}
	src, err := newTopics(parsed(t, text+" }\n"), slog.New(slog.DiscardHandler), hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close(context.WithoutCancel(t.Context())) }()
	for n, r := range recs {
		changes, _, err := src.decode(t.Context(), &kafka.Record{Topic: topic, Offset: int64(n), Key: r.Key, Value: r.Value})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Key.ID == key && c.After.Exists() {
				return c
			}
		}
	}
	t.Fatalf("no record has the row %s", key)
	return connector.Change{}
}

// body maps a change by a model that sends every column which is not lost, and gives the request's body.
func body(t *testing.T, row sourcetest.ValueRow, loses string, c connector.Change) string {
	t.Helper()
	m := connector.Model{Name: "m", Kind: "users", Table: c.Key.Table, Mode: "additive", Load: "all", OwnsUsers: true, Path: "models[0]"}
	m.Identify.ExternalID.Expr = "string(id)"
	for _, v := range row.Columns {
		if v.Left(loses) == v.Want && v.Name != "id" {
			f := connector.FieldMap{Name: "the_" + v.Name, ValueFrom: connector.ValueFrom{Column: v.Name}, Path: "models[0].custom.the_" + v.Name}
			if strings.HasPrefix(v.Type, "bytea") {
				f.Type = "string"
			}
			m.Custom = append(m.Custom, f)
		}
	}
	mapper, faults := mapping.New((&app{cfg: &config.Config{Models: []connector.Model{m}, Source: config.Source{Location: time.UTC, Kafka: &config.Kafka{}}},
		log: slog.New(slog.DiscardHandler)}).mappingConfig())
	if mapper == nil {
		t.Fatal(errors.Join(asErrors(faults)...))
	}
	effects, err := mapper.Map(nil, &c, sentAs(nil))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i := range effects {
		effects[i].Fields = withoutOmitted(effects[i].Fields)
		out.Write(braze.Body(effects[i].Kind, effects[i:i+1]))
	}
	if len(effects) == 0 {
		t.Fatal("the row maps to nothing")
	}
	return out.String()
}

func asErrors(faults []connector.Fault) (out []error) {
	for _, f := range faults {
		out = append(out, f)
	}
	return out
}
