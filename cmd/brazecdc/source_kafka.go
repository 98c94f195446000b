package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
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
		if t.registry, err = newRegistry(&k.Registry); err != nil {
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
	beside := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(filepath.Dir(cfg.File), path)
	}
	t.Source, err = kafka.New(kafka.Config{
		Brokers: k.Brokers, Group: k.Group, Topics: topicNames(cfg), Pattern: topicPattern(cfg), Exclude: t.own, Start: k.Start, StartTime: k.StartTime,
		StartTimeout: k.StartTimeout, MetadataEvery: metadataEvery,
		TLS:    kafka.TLS{On: cfg.Given("source.kafka.tls"), CA: beside(k.TLS.CA), Cert: beside(k.TLS.Cert), Key: beside(k.TLS.Key)},
		SASL:   kafka.SASL{Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password.Reveal()},
		Decode: t.decode, Quarantine: h.quarantine, Assigned: h.assigned, Recorded: h.recorded, Revoke: h.revoke, Traces: h.traces, Drain: cfg.Limits.Drain,
		Load: func(topic string) bool {
			return t.feeds.any(cfg, topic, func(m *connector.Model) bool { return m.Load == "all" })
		},
		SessionTimeout: sessionTimeout, Logger: log.With("component", "kafka"),
	})
	return t, err
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
	infos []connector.ModelInfo
}

func newTopicMapper(m connector.Mapper) *topicMapper {
	infos := slices.Clone(m.Models())
	for i := range infos {
		infos[i].Load, infos[i].ProofAllowed = false, false
	}
	return &topicMapper{m, infos}
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

// registry looks schemas up in a schema registry with Confluent's API.
type registry struct{ client *sr.Client }

func newRegistry(r *config.Registry) (*registry, error) {
	opts := []sr.ClientOpt{sr.URLs(r.URL), sr.HTTPClient(&http.Client{Timeout: 10 * time.Second})}
	if r.User != "" {
		opts = append(opts, sr.BasicAuth(r.User, r.Password.Reveal()))
	}
	c, err := sr.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &registry{c}, nil
}

// Schema implements envelope.SchemaLookup. A registry says with an error_code that it does not know an id (Confluent Schema Registry API reference: 40403). Without
// one, 404 is the word of a proxy whose registry is away, or of a wrong address: then the records wait, since each would be held back.
func (r *registry) Schema(ctx context.Context, id uint32) (string, error) {
	s, err := r.client.SchemaByID(ctx, int(id))
	var answer *sr.ResponseError
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode != 0:
		return "", fmt.Errorf("schema %d: %w", id, envelope.ErrUnknownSchema)
	case err != nil:
		return "", fmt.Errorf("the schema registry gives no answer: %w", err)
	case s.Type != sr.TypeAvro:
		return "", fmt.Errorf("schema %d is of type %s, and only Avro is read: %w", id, s.Type, envelope.ErrUnknownSchema)
	}
	return s.Schema, nil
}

// reachable asks the registry for something that costs it little.
func (r *registry) reachable(ctx context.Context) error {
	_, err := r.client.SupportedTypes(ctx)
	return err
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
