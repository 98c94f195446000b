package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func (s *Source) topicConfig(ctx context.Context, topic, name string) (string, error) {
	all, err := s.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("ask for the settings of topic %s: %w", topic, err)
	}
	rc, err := all.On(topic, nil)
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return "", fmt.Errorf("ask for the settings of topic %s: %w", topic, err)
	}
	for _, c := range rc.Configs {
		if c.Key == name {
			return c.MaybeValue(), nil
		}
	}
	return "", nil
}

// TopicInfo is what `check` and the pages show of a topic.
type TopicInfo struct {
	Name       string
	ID         [16]byte
	Partitions int
	// Offsets between the logs' starts and ends: records at most.
	Offsets int64
	// Compacted topics lose records whose key came again: a before-image there proves nothing. The setting is empty where the login may not see it.
	Compacted bool
	Cleanup   string
}

// asking words that the brokers could not be asked for topics.
func asking(err error) error {
	if stop := refused(err, "list topics"); stop != nil {
		return stop
	}
	return fmt.Errorf("list topics: %w", err)
}

// Names lists the topics that the login can see and that are not the brokers' own. It may be called without Open.
func (s *Source) Names(ctx context.Context) ([]string, error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		return nil, asking(err)
	}
	var names []string
	for name, d := range all {
		if !d.IsInternal && d.Err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Topics tells of all topics that are not the brokers' own, or only of those that are named. It may be called without Open.
func (s *Source) Topics(ctx context.Context, names ...string) ([]TopicInfo, error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		return nil, asking(err)
	}
	for _, name := range names {
		if d, ok := all[name]; !ok {
			return nil, s.noTopic(name, all)
		} else if stop := refused(d.Err, "read topic "+name); stop != nil {
			return nil, stop
		}
	}
	if len(names) == 0 {
		for name, d := range all {
			if !d.IsInternal && d.Err == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, nil
	}
	first, err := s.adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask where the topics begin: %w", err)
	}
	last, err := s.adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask where the topics end: %w", err)
	}
	infos := make([]TopicInfo, 0, len(names))
	for _, name := range names {
		d := all[name]
		t := TopicInfo{Name: name, ID: d.ID, Partitions: len(d.Partitions)}
		for num := range d.Partitions {
			f, ok1 := first.Lookup(name, num)
			l, ok2 := last.Lookup(name, num)
			if ok1 && ok2 && f.Err == nil && l.Err == nil {
				t.Offsets += l.Offset - f.Offset
			}
		}
		if t.Cleanup, err = s.topicConfig(ctx, name, "cleanup.policy"); err != nil {
			t.Cleanup = ""
		}
		t.Compacted = strings.Contains(t.Cleanup, "compact")
		infos = append(infos, t)
	}
	return infos, nil
}
