package kafka

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// StateTopic is a compacted topic in which the processes of a group keep what the next owner of a partition must know. It follows the topic and holds in
// memory what is in it, which is only what is open. Its methods may be called concurrently.
type StateTopic struct {
	src     *Source
	topic   string
	id      [16]byte
	me      string // names this process in its records
	cl      *kgo.Client
	changed func(key string, value []byte)
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	values map[string][]byte
	next   int64         // offset behind what was read
	moved  chan struct{} // closed and replaced when next moved
	failed error
}

var _ connector.SharedStore = (*StateTopic)(nil)

// headerFrom names the process that wrote a record of the state topic.
const headerFrom = "brazecdc.from"

// OpenState makes the topic if it is missing (one partition, so that all processes see one order; compacted), or sees that it is such a topic, and begins to
// follow it. changed, which may be nil, is called for what other processes put, in order, by one goroutine. It may be called without Open.
func (s *Source) OpenState(ctx context.Context, topic string, changed func(key string, value []byte)) (*StateTopic, error) {
	if err := s.makeState(ctx, topic); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(slices.Clone(s.opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(2<<20))...)
	if err != nil {
		return nil, fmt.Errorf("open the state topic %s: %w", topic, err)
	}
	all, err := s.adm.ListTopics(ctx, topic)
	if err != nil {
		cl.Close()
		return nil, fmt.Errorf("ask for the state topic %s: %w", topic, err)
	}
	st := &StateTopic{src: s, topic: topic, id: all[topic].ID, me: rand.Text(), cl: cl, changed: changed, values: map[string][]byte{}, moved: make(chan struct{})}
	follow, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st.cancel = cancel
	st.wg.Go(func() { st.follow(follow) })
	return st, nil
}

// Identity names the topic so that one which was made again under its name is told apart.
func (st *StateTopic) Identity() string { return st.topic + " " + hex.EncodeToString(st.id[:]) }

// makeState makes the topic, or sees that it is one that keeps what is put.
func (s *Source) makeState(ctx context.Context, topic string) error {
	compact := "compact"
	resp, err := s.adm.CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, topic)
	if err == nil {
		err = resp.Err
	}
	if err == nil {
		return s.awaitTopic(ctx, topic)
	}
	if !errors.Is(err, kerr.TopicAlreadyExists) { // without the right to make it, it may be there all the same
		if _, perr := s.topicConfig(ctx, topic, "cleanup.policy"); perr != nil {
			if stop := refused(err, "create the state topic "+topic); stop != nil {
				return stop
			}
			return fmt.Errorf("create the state topic %s: %w", topic, err)
		}
	}
	return s.fitState(ctx, topic)
}

// fitState tells what keeps a topic from being the state topic.
func (s *Source) fitState(ctx context.Context, topic string) error {
	policy, err := s.topicConfig(ctx, topic, "cleanup.policy")
	switch {
	case err != nil:
		return err
	case !slices.Contains(strings.Split(policy, ","), "compact") || strings.Contains(policy, "delete"):
		return &connector.StopError{Code: connector.ExitConfig, What: fmt.Sprintf("state topic %s has cleanup.policy=%s, so what it holds ends some day", topic, policy),
			Fix: "set it to compact (kafka-configs --alter --topic " + topic + " --add-config cleanup.policy=compact)"}
	}
	spans, err := s.ends(ctx, topic)
	if err == nil && len(spans) != 1 {
		err = &connector.StopError{Code: connector.ExitConfig, What: fmt.Sprintf("state topic %s has %d partitions, and the processes need one order", topic, len(spans)),
			Fix: "name a topic that is not there yet, it is made with one partition"}
	}
	return err
}

// awaitTopic waits until the brokers know a topic that was just made.
func (s *Source) awaitTopic(ctx context.Context, topic string) error {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(20*time.Second))
	return backoff.Retry(func() error {
		_, err := s.ends(ctx, topic)
		return err
	}, backoff.WithContext(b, ctx))
}

// follow reads the topic until ctx ends.
func (st *StateTopic) follow(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := st.cl.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		for _, e := range fetches.Errors() {
			if ctx.Err() != nil {
				return
			}
			if stop := refused(e.Err, "read the state topic "+st.topic); stop != nil {
				st.fail(stop)
				return
			}
			switch {
			case gone(e.Err):
				st.fail(st.lost("deleted", e.Err))
				return
			case errors.Is(e.Err, kerr.OffsetOutOfRange):
				st.fail(st.lost("cut", e.Err))
				return
			}
		}
		fetches.EachRecord(st.see)
	}
}

// see takes one record in.
func (st *StateTopic) see(r *kgo.Record) {
	key := string(r.Key)
	mine := false
	for _, h := range r.Headers {
		mine = mine || h.Key == headerFrom && string(h.Value) == st.me
	}
	if st.changed != nil && !mine {
		st.changed(key, r.Value)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if r.Value == nil {
		delete(st.values, key)
	} else {
		st.values[key] = slices.Clone(r.Value) // else one small value keeps its whole batch in memory
	}
	st.next = r.Offset + 1
	close(st.moved)
	st.moved = make(chan struct{})
}

// gone tells whether the brokers say that a topic is not there, or is another one than it was.
func gone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// lost is the stop for a topic that lost what was in it, deleted or cut.
func (st *StateTopic) lost(how string, err error) error {
	return &connector.StopError{Code: connector.ExitOffsetRange, Err: err,
		What: fmt.Sprintf("the state topic %s was %s while it was in use: which deletes were done already is forgotten with it, so that some may be sent twice", st.topic, how),
		Fix:  "see that nothing deletes it, stop every process of the group and start them again: the topic is made anew where it is missing, and each process puts what waits for users, which lies in its data/, into it"}
}

// fail ends the use of the topic: what was read first as the reason counts.
func (st *StateTopic) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failed == nil {
		st.failed = err
	}
	close(st.moved)
	st.moved = make(chan struct{})
}

// failure is why the topic can no longer be used, nil while it can.
func (st *StateTopic) failure() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failed
}

// Put implements connector.SharedStore: what it stored is on all in-sync replicas.
func (st *StateTopic) Put(ctx context.Context, entries ...connector.SharedEntry) error {
	if err := st.failure(); err != nil { // what is written to a topic made anew would hide that the old one's content is missing
		return err
	}
	recs := make([]*kgo.Record, len(entries))
	for i, e := range entries {
		recs[i] = &kgo.Record{Topic: st.topic, Key: []byte(e.Key), Value: e.Value, Headers: []kgo.RecordHeader{{Key: headerFrom, Value: []byte(st.me)}}}
	}
	if err := st.cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		if stop := refused(err, "write to the state topic "+st.topic); stop != nil {
			return stop
		}
		if gone(err) {
			st.fail(st.lost("deleted", err))
			return st.failure()
		}
		return fmt.Errorf("write to the state topic %s: %w", st.topic, err)
	}
	return nil
}

// Read implements connector.SharedStore. It waits until everything was read that the topic held when it was called.
func (st *StateTopic) Read(ctx context.Context, prefix string) (map[string][]byte, error) {
	end, err := st.end(ctx)
	if err != nil {
		return nil, err
	}
	for {
		st.mu.Lock()
		if st.failed != nil || st.next >= end {
			defer st.mu.Unlock()
			if st.failed != nil {
				return nil, st.failed
			}
			values := map[string][]byte{}
			for k, v := range st.values {
				if strings.HasPrefix(k, prefix) {
					values[k] = v
				}
			}
			return values, nil
		}
		moved := st.moved
		st.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("read the state topic %s: %w", st.topic, ctx.Err())
		}
	}
}

// end gives the offset behind what the topic holds now.
func (st *StateTopic) end(ctx context.Context) (end int64, err error) {
	if err := st.failure(); err != nil {
		return 0, err
	}
	missing := func(err error) bool {
		var stop *connector.StopError
		return gone(err) || errors.As(err, &stop) && stop.Code == connector.ExitTableUnfit
	}
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(500*time.Millisecond), backoff.WithMaxElapsedTime(newTopic))
	err = backoff.Retry(func() error {
		spans, err := st.src.ends(ctx, st.topic)
		switch p := spans[0]; {
		case missing(err): // of several brokers one may not know it yet
			return err
		case err != nil:
			return backoff.Permanent(err)
		case p != nil && p.first < p.end:
			end = p.end
		}
		return nil
	}, backoff.WithContext(b, ctx))
	if missing(err) {
		st.fail(st.lost("deleted", nil))
		return 0, st.failure()
	}
	return end, err
}

// Close ends following and writing.
func (st *StateTopic) Close() {
	st.cancel()
	st.cl.Close()
	st.wg.Wait()
}

// CheckState looks, without writing, whether a topic can be the state topic; exists is false where it would have to be made. It may be called without Open.
func (s *Source) CheckState(ctx context.Context, topic string) (exists bool, err error) {
	all, err := s.adm.ListTopics(ctx)
	if err != nil {
		if stop := refused(err, "list topics"); stop != nil {
			return false, stop
		}
		return false, fmt.Errorf("list topics: %w", err)
	}
	if _, ok := all[topic]; !ok {
		return false, nil
	}
	return true, s.fitState(ctx, topic)
}
