package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
)

// topics is a Kafka source with the decoder of its records.
type topics struct {
	*kafka.Source
	dec      *envelope.Decoder
	registry *registry // nil without source.kafka.registry
	feeds    feeds
	own      []string // topics that brazecdc writes itself
	seen     []string // the topics that shapes found
	log      *slog.Logger
}

// hooks are what a running connector does for its source; a source that only looks has none.
type hooks struct {
	quarantine func(ctx context.Context, p kafka.Poison) error
	assigned   func(ctx context.Context, a kafka.Assignment) error
	recorded   func(ctx context.Context, part string) (connector.Recorded, bool, error)
	revoke     func(ctx context.Context, streams []string)
	traces     bool
}

// newTopics makes the source of the models' topics without connecting.
func newTopics(cfg *config.Config, log *slog.Logger, h hooks) (*topics, error) {
	k := cfg.Source.Kafka
	t := &topics{feeds: newFeeds(cfg), own: ownTopics(cfg), log: log}
	var lookup envelope.SchemaLookup
	if k.Registry.URL != "" {
		var err error
		if t.registry, err = newRegistry(&k.Registry, tlsFiles(cfg, cfg.Given("source.kafka.registry.tls"), k.Registry.TLS)); err != nil {
			return nil, &connector.StopError{Code: connector.ExitConfig, What: "the settings under source.kafka.registry can't be used", Err: err}
		}
		lookup = t.registry
	}
	var err error
	t.dec, err = envelope.New(envelope.Config{
		Format: k.Format, Envelope: k.Envelope, Schemas: lookup, Logger: log.With("component", "envelope"),
		ReplicaIdentityFull: func(topic string) bool {
			return t.feeds.any(cfg, topic, func(m *connector.Model) bool { return m.ReplicaIdentity == "full" })
		},
		Columns: topicColumns(cfg),
	})
	if err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "the settings under source.kafka can't be used", Err: err}
	}
	t.Source, err = kafka.New(kafka.Config{
		Brokers: k.Brokers, Group: k.Group, Topics: topicNames(cfg), Pattern: topicPattern(cfg), Exclude: t.own, Start: k.Start, StartTime: k.StartTime,
		StartTimeout: k.StartTimeout, MetadataEvery: metadataEvery,
		TLS:    tlsFiles(cfg, cfg.Given("source.kafka.tls"), k.TLS),
		SASL:   kafka.SASL{Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password.Reveal()},
		Decode: t.decode, Quarantine: h.quarantine, Assigned: h.assigned, Recorded: h.recorded, Revoke: h.revoke, Traces: h.traces, Drain: cfg.Limits.Drain,
		Load: func(topic string) bool {
			return t.feeds.any(cfg, topic, func(m *connector.Model) bool { return m.Load == "all" })
		},
		SessionTimeout: sessionTimeout, Logger: log.With("component", "kafka"),
	})
	return t, err
}

// tlsFiles are the files of a section tls, beside the configuration.
func tlsFiles(cfg *config.Config, on bool, t config.TLS) kafka.TLS {
	beside := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(filepath.Dir(cfg.File), path)
	}
	return kafka.TLS{On: on, CA: beside(t.CA), Cert: beside(t.Cert), Key: beside(t.Key)}
}

// sessionTimeout is after how long the group gives a killed process' partitions away. Heartbeats do not wait for work, so that ten seconds without one mean
// that the process or its network is gone. Brokers allow 6 s to 30 min (Kafka docs, group.min.session.timeout.ms).
const sessionTimeout = 10 * time.Second

// metadataEvery is how soon new partitions, and new topics that match a pattern, are noticed.
const metadataEvery = 10 * time.Second

// decode makes changes of a record, in the source's words.
func (t *topics) decode(ctx context.Context, r *kafka.Record) ([]connector.Change, string, error) {
	rec := envelope.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, envelope.Header(h))
	}
	changes, skip, err := t.dec.Decode(ctx, r.Room, &rec)
	switch {
	case err != nil:
		return nil, "", undecoded(err)
	case skip != envelope.NoSkip:
		return nil, skip.String(), nil
	}
	return changes, "", nil
}

// undecoded says in the source's words why a record was not decoded.
func undecoded(err error) error {
	var poison *envelope.Poison
	var wait *envelope.Wait
	switch {
	case errors.As(err, &poison):
		return &kafka.PoisonError{Reason: poison.Reason}
	case errors.As(err, &wait):
		return &kafka.WaitError{Err: wait}
	}
	return err
}

// describeLimit bounds what is spent on learning one topic's shape.
const describeLimit = 10 * time.Second

// topicsAtLook is how long brokers that do not answer are waited for where a person waits; at a start it is source.kafka.start_timeout.
const topicsAtLook = 10 * time.Second

// find asks for topics by name until the brokers answer, patience at most.
func (t *topics) find(ctx context.Context, patience time.Duration, names ...string) ([]kafka.TopicInfo, error) {
	if len(names) == 0 {
		return nil, nil
	}
	return t.asked(ctx, patience, func(ctx context.Context) ([]kafka.TopicInfo, error) { return t.Topics(ctx, names...) })
}

// asked repeats a question until the brokers answer, patience at most.
func (t *topics) asked(ctx context.Context, patience time.Duration, ask func(context.Context) ([]kafka.TopicInfo, error)) (infos []kafka.TopicInfo, err error) {
	err = t.Ask(ctx, patience, func(ctx context.Context) error {
		infos, err = ask(ctx)
		return err
	})
	return infos, err
}

// topicMapper is the mapping of a topic's rows: there are no loads by chunks, and a before-image is no proof, since compaction takes records away.
type topicMapper struct {
	connector.Mapper
	connector.RowRememberer
	infos []connector.ModelInfo
}

func newTopicMapper(m *mapping.Mapper) *topicMapper {
	infos := slices.Clone(m.Models())
	for i := range infos {
		infos[i].Load, infos[i].ProofAllowed = false, false
	}
	return &topicMapper{m, m, infos}
}

// Models implements connector.Mapper.
func (m *topicMapper) Models() []connector.ModelInfo { return m.infos }

// openTopics makes the source of a running connector.
func (a *app) openTopics() (*topics, error) {
	return newTopics(a.cfg, a.log, hooks{
		quarantine: a.holdRecord,
		assigned:   a.takeOver,
		recorded:   a.recorded,
		revoke:     func(ctx context.Context, streams []string) { a.pipeline.Revoke(ctx, streams) },
		traces:     a.tracer != nil,
	})
}

// takeOver prepares for a partition that was given to this process.
func (a *app) takeOver(ctx context.Context, as kafka.Assignment) error {
	return a.pipeline.TakeOver(ctx, connector.Assigned{Stream: as.Stream, From: uint64(as.From), First: as.First, Gap: as.Gap, Fresh: as.Fresh})
}

// recorded gives what the processes recorded together of a partition.
func (a *app) recorded(ctx context.Context, part string) (connector.Recorded, bool, error) {
	if a.shared == nil {
		return connector.Recorded{}, false, nil
	}
	return a.shared.Recorded(ctx, part)
}

// formatOf guesses what a record's value is, for a person.
func formatOf(value []byte) string {
	switch {
	case value[0] == 0 && len(value) > 5:
		return "Avro with a schema id"
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(value, &top) != nil {
		return "neither JSON nor Avro"
	}
	_, payload := top["payload"]
	_, schema := top["schema"]
	_, op := top["op"]
	switch {
	case payload && schema:
		return "JSON with schema"
	case op:
		return "Debezium JSON"
	}
	return "JSON rows"
}
