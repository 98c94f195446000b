package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
)

// feeds tells, for each model, which topics' rows are its own.
type feeds []func(topic string) bool

func newFeeds(cfg *config.Config) feeds {
	out := make(feeds, len(cfg.Models))
	for i := range cfg.Models {
		out[i] = cfg.Models[i].Reads()
	}
	return out
}

// models are the indexes of the models that a topic feeds.
func (f feeds) models(topic string) []int {
	var out []int
	for i, reads := range f {
		if reads(topic) {
			out = append(out, i)
		}
	}
	return out
}

// any tells whether one of the models that a topic feeds is so.
func (f feeds) any(cfg *config.Config, topic string, is func(m *connector.Model) bool) bool {
	return slices.ContainsFunc(f.models(topic), func(i int) bool { return is(&cfg.Models[i]) })
}

// topicNames are the topics that the models name, each once.
func topicNames(cfg *config.Config) []string {
	var out []string
	for i := range cfg.Models {
		if name := cfg.Models[i].Topic; name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// topicPattern is one pattern for all those of the models; empty where there is none.
func topicPattern(cfg *config.Config) string {
	var all []string
	for i := range cfg.Models {
		if p := cfg.Models[i].TopicPattern; p != "" && !slices.Contains(all, "(?:"+p+")") {
			all = append(all, "(?:"+p+")")
		}
	}
	if len(all) == 0 {
		return ""
	}
	return connector.Whole(strings.Join(all, "|"))
}

// ownTopics are those that brazecdc writes: no pattern means them.
func ownTopics(cfg *config.Config) []string {
	return slices.DeleteFunc([]string{cfg.Source.Kafka.StateTopic, cfg.Quarantine.Topic}, func(s string) bool { return s == "" })
}

// topicColumns is what the models say of their topics' columns.
func topicColumns(cfg *config.Config) []envelope.Columns {
	var out []envelope.Columns
	for i := range cfg.Models {
		if m := &cfg.Models[i]; len(m.ColumnTypes) > 0 || m.KeyColumn != "" || m.KeyFormat != "" {
			out = append(out, envelope.Columns{Topics: m.Reads(), Types: m.ColumnTypes, KeyColumn: m.KeyColumn, KeyFormat: m.KeyFormat})
		}
	}
	return out
}

// columnFaults are the types of columns that the decoder of records does not know.
func columnFaults(cfg *config.Config) config.Faults {
	var faults []connector.Fault
	for i := range cfg.Models {
		m := &cfg.Models[i]
		for _, name := range slices.Sorted(maps.Keys(m.ColumnTypes)) {
			if err := envelope.CheckType(m.ColumnTypes[name]); err != nil {
				faults = append(faults, connector.Fault{Path: m.Path + ".columns." + name, What: err.Error(), Fix: "known types: " + strings.Join(envelope.TypeNames(), ", ")})
			}
		}
	}
	return cfg.Resolve(faults)
}

// matching asks for the topics that the models' patterns mean now and no model names, until the brokers answer.
func (t *topics) matching(ctx context.Context, patience time.Duration) ([]kafka.TopicInfo, error) {
	return t.asked(ctx, patience, t.Matching)
}

// shapes reads the shape that the newest records of each topic have. A topic of which none can be told, since it is empty for one, is left out: its models
// are then checked as rows arrive.
func (t *topics) shapes(ctx context.Context, cfg *config.Config, patience time.Duration) (map[string]*connector.Table, error) {
	infos, err := t.find(ctx, patience, topicNames(cfg)...)
	if err != nil {
		return nil, err
	}
	more, err := t.matching(ctx, patience)
	if err != nil {
		return nil, err
	}
	for _, i := range t.unmatched(cfg, more) {
		t.log.Warn("no topic matches the model's pattern yet; one that is created is read from its beginning", "model", cfg.Models[i].Name, "pattern", cfg.Models[i].TopicPattern)
	}
	out := map[string]*connector.Table{}
	for n, info := range append(infos, more...) {
		t.seen = append(t.seen, info.Name)
		if n >= len(infos)+maxDescribed { // a thousand shards have one shape
			continue
		}
		one, cancel := context.WithTimeout(ctx, describeLimit)
		table, err := t.Describe(one, info.Name)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			t.log.Info("the topic's columns are not known yet; fields are checked as rows arrive", "topic", info.Name, "err", err)
		default:
			out[info.Name] = table
		}
	}
	return out, nil
}

// maxDescribed bounds how many topics of patterns are looked at before a start.
const maxDescribed = 20

// unmatched are the models whose pattern none of the topics matches, nor any that a model names.
func (t *topics) unmatched(cfg *config.Config, matching []kafka.TopicInfo) []int {
	names := topicNames(cfg)
	for _, info := range matching {
		names = append(names, info.Name)
	}
	var out []int
	for i := range cfg.Models {
		if cfg.Models[i].TopicPattern != "" && !slices.ContainsFunc(names, t.feeds[i]) {
			out = append(out, i)
		}
	}
	return out
}

// sample gives the newest records of a model's topics, at most n, oldest first.
func (t *topics) sample(ctx context.Context, m *connector.Model, n int) ([]kafka.Record, error) {
	if m.Topic != "" {
		return t.Sample(ctx, m.Topic, n)
	}
	all, err := t.Topics(ctx)
	if err != nil {
		return nil, err
	}
	reads := m.Reads()
	var recs []kafka.Record
	for _, info := range all {
		if !reads(info.Name) || slices.Contains(t.own, info.Name) {
			continue
		}
		more, err := t.Sample(ctx, info.Name, n)
		if err != nil {
			return nil, err
		}
		recs = append(recs, more...)
	}
	slices.SortStableFunc(recs, func(a, b kafka.Record) int { return a.Time.Compare(b.Time) })
	return recs[max(0, len(recs)-n):], nil
}

// matching are the topics that a model's pattern meant when this process started, beside those that it has partitions of now.
func (a *app) matching(model int) []string {
	names := slices.Clone(a.seen)
	for _, l := range a.topics.Lags() {
		names = append(names, l.Topic)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !a.topics.feeds[model](name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// matched words the topics that a pattern means now.
func matched(names []string) string {
	switch {
	case len(names) == 0:
		return "no topic yet"
	case len(names) > 5:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}

// unreadable tells whether asking for a topic failed for the topic's own sake, so that others may answer.
func unreadable(err error) bool {
	var stop *connector.StopError
	return errors.As(err, &stop) && stop.Code == connector.ExitTableUnfit
}
