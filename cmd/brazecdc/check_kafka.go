package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/kafka"
	"brazecdc/connector/state"
)

// checkRecords is how many of a topic's newest records check looks at.
const checkRecords = 50

// topics checks brokers, topics, their newest records and the schema registry, and with the shapes it finds the mapping.
func (c *checker) topics(ctx context.Context, cfg *config.Config) {
	if len(cfg.Source.Kafka.Brokers) == 0 || len(columnFaults(cfg)) > 0 {
		return // told as a fault of the configuration
	}
	src, err := newTopics(cfg, c.p.quietLog(), hooks{})
	if err != nil {
		c.fault("source", err)
		return
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	c.registry(ctx, cfg, src)
	if _, ok := c.brokers(ctx, cfg, src); !ok {
		c.mapping(cfg, nil, false)
		return // what is asked below would not be answered either
	}
	var infos []kafka.TopicInfo
	for _, name := range topicNames(cfg) {
		info, err := src.find(ctx, topicsAtLook, name)
		if err != nil {
			c.fault("source", err)
			if !unreadable(err) {
				c.mapping(cfg, nil, false)
				return // the next topic would not answer either
			}
			continue
		}
		infos = append(infos, info...)
	}
	matching, err := src.matching(ctx, topicsAtLook)
	if err != nil {
		c.fault("source", err)
		c.mapping(cfg, nil, false)
		return
	}
	c.patterns(cfg, src, append(slices.Clone(infos), matching...))
	tables := map[string]*connector.Table{}
	if more := len(matching) - maxDescribed; more > 0 {
		c.add(fine, "source", fmt.Sprintf("of the topics that patterns match the first %d are looked at, %d are not", maxDescribed, more), "")
		matching = matching[:maxDescribed]
	}
	infos = append(infos, matching...)
	for i := range infos {
		c.topic(ctx, cfg, src, &infos[i], tables)
	}
	c.positions(ctx, cfg, src, infos)
	c.quarantineTopic(ctx, cfg, src, infos)
	c.stateTopic(ctx, cfg, src)
	c.topicMapping(cfg, tables, len(infos))
}

// positions looks whether reading can go on where the group has committed and data/ has recorded.
func (c *checker) positions(ctx context.Context, cfg *config.Config, src *topics, infos []kafka.TopicInfo) {
	if len(infos) == 0 {
		return
	}
	names := make([]string, len(infos))
	for i := range infos {
		names[i] = infos[i].Name
	}
	ctx, cancel := context.WithTimeout(ctx, topicsAtLook)
	defer cancel()
	f, err := src.Foresee(ctx, c.recorded(cfg), names...)
	if err != nil {
		c.fault("source", err)
		return
	}
	for _, stop := range f.Stops {
		c.fault("source", stop)
	}
	if group := cfg.Source.Kafka.Group; f.Known > 0 && len(f.Stops) == 0 {
		c.add(fine, "source", fmt.Sprintf("group %s goes on in %s, and the topics hold all that it has not read", group, plural(f.Known, "partition")), "")
	}
}

// recorded is what data/ holds of positions. A process that runs keeps it to itself; then the group's offsets are no more than a second behind it. What else
// keeps data/ from being read is told of this machine.
func (c *checker) recorded(cfg *config.Config) []connector.Recorded {
	data, err := state.OpenData(c.p.beside(cfg.Data.Path), state.DataConfig{Workspace: cfg.Braze.Workspace, Endpoint: cfg.Braze.Endpoint, ReadOnly: true})
	if err != nil {
		return nil
	}
	defer func() { _ = data.Close() }()
	return data.State().Positions
}

// patterns tells which topics the models' patterns mean now.
func (c *checker) patterns(cfg *config.Config, src *topics, infos []kafka.TopicInfo) {
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if m.TopicPattern == "" {
			continue
		}
		var names []string
		for _, info := range infos {
			if src.feeds[i](info.Name) {
				names = append(names, info.Name)
			}
		}
		what := fmt.Sprintf("model %s: the pattern %s", m.Name, m.TopicPattern)
		if len(names) == 0 {
			c.add(mustFix, "source", what+" matches no topic", "it must match whole names; see that the topics are there and that the login may describe them")
			continue
		}
		c.add(fine, "source", fmt.Sprintf("%s matches %s: %s", what, plural(len(names), "topic"), matched(names)), "")
		if len(names) > 1 {
			c.add(mayHurt, "source", fmt.Sprintf("model %s: rows of %d topics feed it: where two hold one external_id they overwrite each other, and a delete in one deletes the user of both", m.Name, len(names)),
				"see that each external_id is in one topic only")
		}
	}
}

// brokers asks the brokers which topics the login can see.
func (c *checker) brokers(ctx context.Context, cfg *config.Config, src *topics) (seen []string, ok bool) {
	c.about = "brokers"
	defer func() { c.about = "" }()
	err := src.Ask(ctx, topicsAtLook, func(ctx context.Context) (err error) {
		seen, err = src.Names(ctx)
		return err
	})
	if err != nil {
		c.fault("source", err)
		return nil, false
	}
	c.add(fine, "source", fmt.Sprintf("the brokers %s answer; %s can be seen", strings.Join(cfg.Source.Kafka.Brokers, ", "), plural(len(seen), "topic")), "")
	return seen, true
}

func (c *checker) registry(ctx context.Context, cfg *config.Config, src *topics) {
	if src.registry == nil {
		return
	}
	c.about = "registry"
	defer func() { c.about = "" }()
	if err := src.registry.reachable(ctx); err != nil {
		c.add(mustFix, "source", fmt.Sprintf("the schema registry %s does not answer: %v", cfg.Source.Kafka.Registry.URL, err),
			"is it up, and are source.kafka.registry.url, user and password right?")
		return
	}
	c.add(fine, "source", fmt.Sprintf("the schema registry %s answers", cfg.Source.Kafka.Registry.URL), "")
}

// topic looks at one topic and its newest records.
func (c *checker) topic(ctx context.Context, cfg *config.Config, src *topics, info *kafka.TopicInfo, tables map[string]*connector.Table) {
	compacted := ""
	if info.Compacted {
		compacted = ", compacted"
	}
	c.add(fine, "source", fmt.Sprintf("topic %s has %s%s", info.Name, plural(info.Partitions, "partition"), compacted), "")
	recs, err := src.Sample(ctx, info.Name, checkRecords)
	if err != nil {
		c.fault("source", fmt.Errorf("read the newest records of topic %s: %w", info.Name, err))
		return
	}
	if len(recs) == 0 {
		c.add(mayHurt, "source", fmt.Sprintf("topic %s has no records: its format and columns cannot be checked", info.Name), "check again when it has some")
		return
	}
	s := survey{}
	for i := range recs {
		s.record(ctx, src, &recs[i])
	}
	s.tell(c, cfg, src, info.Name, len(recs))
	if s.table != nil {
		tables[info.Name] = s.table
		for _, i := range src.feeds.models(info.Name) {
			if c.images == nil {
				c.images = map[int][]connector.Row{}
			}
			c.images[i] = append(c.images[i], s.images...)
		}
		s.columns(c, cfg, src, info.Name)
	}
}

// survey is what a topic's newest records have in common.
type survey struct {
	formats            []string
	rows, bad, keyless int
	reason             string // of the newest record that cannot be decoded
	wait               error
	table              *connector.Table // of the newest row
	images             []connector.Row  // the new rows
	registered         bool             // a record's schema is in a registry
}

func (s *survey) record(ctx context.Context, src *topics, r *kafka.Record) {
	if len(r.Value) > 0 {
		f := formatOf(r.Value)
		s.registered = s.registered || strings.HasPrefix(f, "Avro")
		if !slices.Contains(s.formats, f) {
			s.formats = append(s.formats, f)
		}
	}
	if r.Key == nil {
		s.keyless++
	}
	changes, _, err := src.decode(ctx, r)
	var bad *kafka.PoisonError
	switch {
	case errors.As(err, &bad):
		s.bad++
		s.reason = bad.Reason
	case err != nil:
		s.wait = err
	}
	for i := range changes {
		s.rows++
		if row := changes[i].After; row.Exists() {
			s.table = row.Table
			s.images = append(s.images, row)
		} else if row := changes[i].Before; row.Exists() && s.table == nil {
			s.table = row.Table
		}
	}
}

func (s *survey) tell(c *checker, cfg *config.Config, src *topics, topic string, n int) {
	switch {
	case s.registered && cfg.Source.Kafka.Registry.URL == "":
		c.add(mustFix, "source", fmt.Sprintf("topic %s holds Avro records, and source.kafka.registry is not set", topic), "set source.kafka.registry.url")
	case s.wait != nil:
		c.add(mustFix, "source", fmt.Sprintf("records of topic %s cannot be decoded now: %v", topic, s.wait), "see that the schema registry answers")
	case s.rows == 0 && s.bad > 0:
		c.add(mustFix, "source", fmt.Sprintf("none of the newest %d records of topic %s can be decoded: %s", n, topic, s.reason), "set source.kafka.format to what the topic holds")
	case s.bad > 0:
		c.add(mayHurt, "source", fmt.Sprintf("%d of the newest %d records of topic %s cannot be decoded and would be held back: %s", s.bad, n, topic, s.reason),
			"see that nothing else writes to the topic")
	}
	if s.rows > 0 {
		c.add(fine, "source", fmt.Sprintf("the newest %d records of topic %s carry %s, as %s", n, topic, plural(s.rows, "row change"), strings.Join(s.formats, " and ")), "")
	}
	if s.keyless > 0 && cfg.Source.Kafka.Envelope != "append" {
		c.add(mayHurt, "source", fmt.Sprintf("%d of the newest %d records of topic %s have no key: changes of one row may lie in several partitions, and then have no order", s.keyless, n, topic),
			"let the producer write the row's primary key as the record's key")
	}
	for _, i := range src.feeds.models(topic) {
		m := &cfg.Models[i]
		id := m.Identify.ExternalID.Column
		if s.table == nil || id == "" {
			continue
		}
		if col := s.table.Column(id); col >= 0 && !s.table.Columns[col].Key {
			c.add(mayHurt, "source", fmt.Sprintf("model %s: the record key of topic %s is not made of %s, which names the user: with several processes one user's changes may be sent by two of them",
				m.Name, topic, id), "run one process, or partition the topic by the user")
		}
	}
}

// topicMapping compiles the models against the columns of the newest records. What those lack, older or later ones may have: it may hurt.
func (c *checker) topicMapping(cfg *config.Config, tables map[string]*connector.Table, topics int) {
	a := &app{cfg: cfg, tables: tables, types: c.types, log: c.p.quietLog()}
	m, faults := newMapping(a.mappingConfig(), true)
	resolved := cfg.Resolve(faults)
	c.withFixes("mapping", resolved)
	if m != nil && len(resolved) == 0 && len(tables) == topics && len(tables) > 0 {
		c.add(fine, "mapping", fmt.Sprintf("%s fit the newest records", plural(len(cfg.Models), "model")), "")
	}
	c.quiet(cfg, m)
	for i := range cfg.Models {
		if m != nil && cfg.Models[i].Schedule != nil {
			if what, columns := m.ByTime(i); len(what) > 0 {
				c.add(fine, "mapping", fmt.Sprintf("model %s: its schedule looks again at %s, by the columns that are remembered of each row: %s", cfg.Models[i].Name, strings.Join(what, ", "), strings.Join(columns, ", ")), "")
			}
		}
		for _, how := range []string{sameUser, sameEmail} {
			if m != nil && cfg.Models[i].Kind == "users" && cfg.Models[i].OwnsUsers {
				c.alikeRows(m, i, &cfg.Models[i], how, c.images[i])
			}
		}
	}
}
