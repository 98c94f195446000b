package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// StateTopic is a compacted topic in which the processes of a group keep what the next owner of a partition must know. Its methods may be called
// concurrently.
type StateTopic struct {
	src   *Source
	topic string
	cl    *kgo.Client
}

// OpenState makes the topic if it is missing (one partition, so that all processes see one order; compacted), or sees that it is compacted. It may be
// called without Open.
func (s *Source) OpenState(ctx context.Context, topic string) (*StateTopic, error) {
	compact := "compact"
	resp, err := s.adm.CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		policy, perr := s.topicConfig(ctx, topic, "cleanup.policy")
		switch {
		case perr != nil && !errors.Is(err, kerr.TopicAlreadyExists):
			if stop := refused(err, "create the state topic "+topic); stop != nil {
				return nil, stop
			}
			return nil, fmt.Errorf("create the state topic %s: %w", topic, err)
		case perr != nil:
			return nil, perr
		case !slices.Contains(strings.Split(policy, ","), "compact") || strings.Contains(policy, "delete"):
			return nil, &connector.StopError{Code: connector.ExitConfig, What: fmt.Sprintf("state topic %s has cleanup.policy=%s, so what it holds ends some day", topic, policy),
				Fix: "set it to compact (kafka-configs --alter --topic " + topic + " --add-config cleanup.policy=compact)"}
		}
	}
	cl, err := kgo.NewClient(append(slices.Clone(s.opts), kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		return nil, fmt.Errorf("open the state topic %s: %w", topic, err)
	}
	return &StateTopic{src: s, topic: topic, cl: cl}, nil
}

// Put stores values by key; a nil value takes the key away. They are durable on all in-sync replicas, in this order, when it returns. After an error some
// of them may be stored.
func (st *StateTopic) Put(ctx context.Context, entries ...StateEntry) error {
	recs := make([]*kgo.Record, len(entries))
	for i, e := range entries {
		recs[i] = &kgo.Record{Topic: st.topic, Key: []byte(e.Key), Value: e.Value}
	}
	if err := st.cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		if stop := refused(err, "write to the state topic "+st.topic); stop != nil {
			return stop
		}
		return fmt.Errorf("write to the state topic %s: %w", st.topic, err)
	}
	return nil
}

// StateEntry is one key of a StateTopic with its value.
type StateEntry struct {
	Key   string
	Value []byte
}

// Read gives the last value of every key whose name begins with prefix, as of the topic's end when it is called.
func (st *StateTopic) Read(ctx context.Context, prefix string) (map[string][]byte, error) {
	spans, err := st.src.ends(ctx, st.topic)
	if err != nil {
		return nil, err
	}
	sc, err := st.src.newScan(st.topic, spans)
	if err != nil {
		return nil, err
	}
	defer sc.close()
	values := map[string][]byte{}
	for {
		r, err := sc.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return nil, err
		case !strings.HasPrefix(string(r.Key), prefix):
		case r.Value == nil:
			delete(values, string(r.Key))
		default:
			values[string(r.Key)] = slices.Clone(r.Value) // else one small value keeps its whole batch in memory
		}
	}
}

// Close ends the producer.
func (st *StateTopic) Close() { st.cl.Close() }

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

// Topics tells of all topics that are not the brokers' own, or only of those that are named. It may be called without Open.
func (s *Source) Topics(ctx context.Context, names ...string) ([]TopicInfo, error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		if stop := refused(err, "list topics"); stop != nil {
			return nil, stop
		}
		return nil, fmt.Errorf("list topics: %w", err)
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
