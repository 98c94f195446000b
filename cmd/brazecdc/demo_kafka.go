package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/kafka/throwaway"
)

// topicPrefix is what the topics of the demo are named by: Debezium's topic.prefix.
const topicPrefix = "shop"

// feed brings the shop's changes to topics.
type feed interface {
	fmt.Stringer // what it is, for people
	brokers() []string
	// caughtUp waits until the topics hold everything up to a position of the database's log, the loads included, and a has delivered it.
	caughtUp(ctx context.Context, a *app, lsn uint64) error
	stop(ctx context.Context)
}

// startFeed starts a real broker and Debezium, or, where they can't be had, what stands in for them.
func (d *demo) startFeed(ctx context.Context, tables ...string) (feed, error) {
	if !d.o.memory {
		f, err := startDebezium(ctx, d.db.Config(), tables, func(line string) { d.p.printf("%s\n", line) })
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		d.p.printf("Kafka itself is left out: %v.\nIn its place are brokers in this process, and a part of the demo plays Debezium.\n", err)
	}
	r, err := startRelay(ctx, d.url, tables, d.p.quietLog())
	if err != nil {
		return nil, err
	}
	return r, nil
}

// readTo tells whether everything up to the ends of topics was read, delivered and committed.
func (a *app) readTo(s connector.Status, ends map[string]int64) bool {
	if s.OpenChanges > 0 || s.Waiting > 0 {
		return false
	}
	for _, n := range s.Parked {
		if n > 0 {
			return false
		}
	}
	committed := map[string]int64{}
	for _, l := range a.topics.Lags() {
		committed[l.Topic] = l.Committed
	}
	for topic, end := range ends {
		if committed[topic] < end {
			return false
		}
	}
	return true
}

// debeziumFeed is a broker and Debezium in Kafka Connect, as processes of the demo.
type debeziumFeed struct {
	broker  *throwaway.Broker
	connect *throwaway.Connect
	client  *kgo.Client // reads Debezium's logical messages
	db      *pgx.Conn   // writes them
	topics  []string
	marks   int
}

// startDebezium starts them and waits until the tables' rows are in their topics.
func startDebezium(ctx context.Context, db *pgx.ConnConfig, tables []string, progress func(string)) (_ *debeziumFeed, err error) {
	d := &debeziumFeed{}
	for _, t := range tables {
		d.topics = append(d.topics, topicPrefix+"."+t)
	}
	defer func() {
		if err != nil {
			d.stop(context.WithoutCancel(ctx))
		}
	}()
	if d.broker, err = throwaway.Start(ctx, throwaway.Config{Progress: progress}); err != nil {
		return nil, err
	}
	if d.connect, err = throwaway.StartConnect(ctx, d.broker, throwaway.Config{Progress: progress}); err != nil {
		return nil, err
	}
	included := ""
	for i, t := range tables {
		included += map[bool]string{true: "", false: ","}[i == 0] + t
	}
	settings := throwaway.Debezium(topicPrefix, int(db.Port), db.Database, included, map[string]string{
		"key.converter.schemas.enable": "true", "value.converter.schemas.enable": "true", // no registry is needed to know a column's type
		"poll.interval.ms": "20",
	})
	if err = d.connect.Put(ctx, topicPrefix, settings); err != nil {
		return nil, err
	}
	if d.db, err = pgx.ConnectConfig(ctx, db); err != nil {
		return nil, fmt.Errorf("connect to the demo's database: %w", err)
	}
	d.client, err = kgo.NewClient(kgo.SeedBrokers(d.broker.Addr()), kgo.ConsumeTopics(topicPrefix+".message"), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.MetadataMaxAge(time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("make the demo's consumer: %w", err)
	}
	if err = d.streaming(ctx); err != nil {
		return nil, err
	}
	_, err = d.mark(ctx)
	return d, err
}

// streaming waits until Debezium has its slot: what is written from then on comes behind the rows that it found.
func (d *debeziumFeed) streaming(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var there bool
		if err := d.db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", topicPrefix).Scan(&there); err != nil {
			return fmt.Errorf("look for Debezium's slot: %w", err)
		}
		if there {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for Debezium's slot: %w", ctx.Err())
		}
	}
}

// mark writes a logical message and waits until Debezium has brought it to its topic. By then everything that was committed before is in the topics, since one
// task writes them in the order of the log. It gives the ends of the tables' topics.
func (d *debeziumFeed) mark(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	d.marks++
	name := fmt.Sprintf("demo-mark-%d", d.marks)
	if _, err := d.db.Exec(ctx, "SELECT pg_logical_emit_message(true, $1, '')", name); err != nil {
		return nil, fmt.Errorf("write a mark to the log: %w", err)
	}
	for came := false; !came; {
		fetches := d.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("wait for a mark in Debezium's topic: %w", ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { came = came || messagePrefix(r.Value) == name })
	}
	ends, err := kadm.NewClient(d.client).ListEndOffsets(ctx, d.topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the topics' ends: %w", err)
	}
	out := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) { out[o.Topic] = o.Offset })
	return out, nil
}

// messagePrefix is the prefix of a logical message, as Debezium writes it with its schema.
func messagePrefix(value []byte) string {
	var v struct {
		Payload struct {
			Message struct {
				Prefix string `json:"prefix"`
			} `json:"message"`
		} `json:"payload"`
	}
	if json.Unmarshal(value, &v) != nil {
		return ""
	}
	return v.Payload.Message.Prefix
}

// caughtUp implements feed.
func (d *debeziumFeed) caughtUp(ctx context.Context, a *app, _ uint64) error {
	ends, err := d.mark(ctx)
	if err != nil {
		return err
	}
	return a.until(ctx, "all is delivered", func(s connector.Status) bool { return a.readTo(s, ends) })
}

// brokers implements feed.
func (d *debeziumFeed) brokers() []string { return []string{d.broker.Addr()} }

// String implements feed.
func (d *debeziumFeed) String() string {
	v := throwaway.Versions()
	return "Kafka " + v["kafka"] + ", written by Debezium " + v["debezium"]
}

// stop implements feed.
func (d *debeziumFeed) stop(ctx context.Context) {
	if d.client != nil {
		d.client.Close()
	}
	if d.db != nil {
		_ = d.db.Close(ctx)
	}
	if d.connect != nil {
		d.connect.Stop()
	}
	if d.broker != nil {
		d.broker.Stop()
	}
}
