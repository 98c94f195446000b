package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/postgres"
)

// relay plays Debezium in the demo: it reads the shop's tables and writes their changes to topics of a Kafka cluster in memory.
type relay struct {
	cluster *kfake.Cluster
	client  *kgo.Client
	source  *postgres.Source

	mu     sync.Mutex
	passed uint64           // position of the log up to which all is in the topics
	ends   map[string]int64 // by topic, the offset behind its last record
	loads  int              // that go on
	err    error            // what ended it
	ended  chan struct{}
	cancel context.CancelFunc
}

// startRelay makes the topics, loads the tables into them, and goes on with their changes until stop.
func startRelay(ctx context.Context, url string, tables []string, log *slog.Logger) (r *relay, err error) {
	r = &relay{ends: map[string]int64{}, ended: make(chan struct{})}
	var names []string
	for _, t := range tables {
		names = append(names, topicPrefix+"."+t)
	}
	// One partition a topic: what the two tables have to say about a user then stays about as close together as it happened.
	r.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, names...), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		return nil, fmt.Errorf("start the demo's brokers: %w", err)
	}
	defer func() {
		if err == nil {
			return
		}
		if r.client != nil {
			r.client.Close()
		}
		r.cluster.Close()
	}()
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ProducerLinger(0)); err != nil {
		return nil, fmt.Errorf("make the demo's producer: %w", err)
	}
	r.source, err = postgres.New(postgres.Config{URL: url, Slot: "relay", Publication: "relay", Create: true, FailoverSlot: "auto",
		StartTimeout: time.Minute, Heartbeat: time.Second, Logger: log})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	if _, err = r.source.Open(ctx, connector.Start{Tables: tables}); err != nil {
		cancel()
		return nil, err
	}
	r.loads = len(tables)
	for _, t := range tables {
		if err = r.source.StartLoad(ctx, connector.Load{ID: t, Model: t, Table: t}); err != nil {
			cancel()
			_ = r.source.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	go func() {
		defer close(r.ended)
		if err := r.run(running); running.Err() == nil {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
		}
	}()
	return r, nil
}

// stop implements feed.
func (r *relay) stop(ctx context.Context) {
	r.cancel()
	<-r.ended
	_ = r.source.Close(ctx)
	r.client.Close()
	r.cluster.Close()
}

func (r *relay) run(ctx context.Context) error {
	for {
		b, err := r.source.Next(ctx)
		if err != nil {
			return err
		}
		recs := make([]*kgo.Record, 0, len(b.Changes))
		for i := range b.Changes {
			rec, err := debeziumRecord(&b.Changes[i])
			if err != nil {
				return err
			}
			recs = append(recs, rec)
		}
		if err := r.client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
			return fmt.Errorf("write to the demo's topics: %w", err)
		}
		r.source.Commit(b.Position)
		r.mu.Lock()
		for _, rec := range recs {
			r.ends[rec.Topic] = max(r.ends[rec.Topic], rec.Offset+1)
		}
		switch {
		case b.Load == nil:
			r.passed = b.Position.Offset
		case b.Load.Done:
			r.loads--
		}
		r.mu.Unlock()
	}
}

// caughtUp implements feed.
func (r *relay) caughtUp(ctx context.Context, a *app, lsn uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := a.until(ctx, "all is delivered", func(s connector.Status) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err != nil {
			cancel(r.err)
			return false
		}
		return r.loads == 0 && r.passed >= lsn && a.readTo(s, r.ends)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.err != nil {
		return fmt.Errorf("bring the shop's changes to the topics: %w", r.err)
	}
	return err
}

// brokers implements feed.
func (r *relay) brokers() []string { return r.cluster.ListenAddrs() }

// String implements feed.
func (r *relay) String() string { return "Kafka, in this process" }

// debeziumRecord writes a change as Debezium does: JSON with schema, decimals as strings.
func debeziumRecord(c *connector.Change) (*kgo.Record, error) {
	topic := topicPrefix + "." + c.Key.Table
	some := c.After
	if !some.Exists() {
		some = c.Before
	}
	if !some.Exists() {
		return nil, fmt.Errorf("a %s of %s carries no row", c.Op, c.Key.Table)
	}
	before, err := debeziumRow(c.Before, false)
	if err != nil {
		return nil, err
	}
	after, err := debeziumRow(c.After, false)
	if err != nil {
		return nil, err
	}
	key, err := debeziumRow(some, true)
	if err != nil {
		return nil, err
	}
	op, ok := map[connector.Op]string{connector.Snapshot: "r", connector.Insert: "c", connector.Update: "u", connector.Delete: "d"}[c.Op]
	if !ok {
		return nil, fmt.Errorf("a %s of %s has no place in the demo", c.Op, c.Key.Table)
	}
	at := c.Time.UnixMilli()
	value := map[string]any{
		"schema": map[string]any{"type": "struct", "name": topic + ".Envelope", "fields": []any{
			debeziumStruct(some.Table, topic+".Value", "before", false), debeziumStruct(some.Table, topic+".Value", "after", false),
			map[string]any{"type": "string", "field": "op"}, map[string]any{"type": "int64", "optional": true, "field": "ts_ms"},
		}},
		"payload": map[string]any{
			"before": before, "after": after, "op": op, "ts_ms": at,
			"source": map[string]any{"connector": "postgresql", "name": topicPrefix, "ts_ms": at, "table": c.Key.Table, "lsn": c.ID.Commit},
		},
	}
	rec := &kgo.Record{Topic: topic}
	if rec.Value, err = json.Marshal(value); err != nil {
		return nil, fmt.Errorf("write a record: %w", err)
	}
	rec.Key, err = json.Marshal(map[string]any{"schema": debeziumStruct(some.Table, topic+".Key", "", true), "payload": key})
	return rec, err
}

func debeziumStruct(t *connector.Table, name, field string, key bool) map[string]any {
	var fields []any
	for i := range t.Columns {
		c := &t.Columns[i]
		if key && !c.Key {
			continue
		}
		f := debeziumType(c.Kind)
		f["field"], f["optional"] = c.Name, !c.NotNull
		fields = append(fields, f)
	}
	s := map[string]any{"type": "struct", "name": name, "fields": fields, "optional": !key}
	if field != "" {
		s["field"] = field
	}
	return s
}

// debeziumType is a column's type in Connect's words (Debezium docs, PostgreSQL connector, data types).
func debeziumType(k connector.ValueKind) map[string]any {
	switch k {
	case connector.KindBool:
		return map[string]any{"type": "boolean"}
	case connector.KindInt:
		return map[string]any{"type": "int64"}
	case connector.KindFloat:
		return map[string]any{"type": "double"}
	case connector.KindDate:
		return map[string]any{"type": "int32", "name": "io.debezium.time.Date"}
	case connector.KindTimestamp:
		return map[string]any{"type": "int64", "name": "io.debezium.time.MicroTimestamp"}
	case connector.KindTimestampTZ:
		return map[string]any{"type": "string", "name": "io.debezium.time.ZonedTimestamp"}
	case connector.KindJSON:
		return map[string]any{"type": "string", "name": "io.debezium.data.Json"}
	case connector.KindArray:
		return map[string]any{"type": "array", "items": map[string]any{"type": "string", "optional": true}}
	}
	return map[string]any{"type": "string"}
}

// debeziumRow gives the columns of a row image, or of its key; nil where there is none.
func debeziumRow(r connector.Row, key bool) (map[string]any, error) {
	if !r.Exists() {
		return nil, nil
	}
	out := map[string]any{}
	for i := range r.Table.Columns {
		c := &r.Table.Columns[i]
		if key && !c.Key {
			continue
		}
		v, ok, err := r.Value(i)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read column %s of %s: %w", c.Name, r.Table.Name, err)
		case !ok:
			out[c.Name] = "__debezium_unavailable_value"
		default:
			out[c.Name] = debeziumValue(v)
		}
	}
	return out, nil
}

func debeziumValue(v connector.Value) any {
	switch v.Kind {
	case connector.KindNull:
		return nil
	case connector.KindBool:
		return v.Int == 1
	case connector.KindInt, connector.KindDate, connector.KindTimestamp:
		return v.Int
	case connector.KindFloat:
		return v.Float
	case connector.KindTimestampTZ:
		return time.UnixMicro(v.Int).UTC().Format(time.RFC3339Nano)
	case connector.KindArray:
		list := make([]any, len(v.List))
		for i, e := range v.List {
			list[i] = debeziumValue(e)
		}
		return list
	}
	return v.Str
}
