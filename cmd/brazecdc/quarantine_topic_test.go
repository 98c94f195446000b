package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/kafka"
	"brazecdc/connector/state"
)

func TestKafkaCheckQuarantine(t *testing.T) {
	t.Parallel()
	h := newHeldBench(t, nil, true)
	wantIn(t, h.must("check"), "the quarantine topic "+heldTopic+" does not exist yet")
	size, policy, ms := "1000", "compact", "60000"
	if _, err := kadm.NewClient(h.cl).CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &size, "cleanup.policy": &policy, "retention.ms": &ms}, heldTopic); err != nil {
		t.Fatal(err)
	}
	r := h.brazecdc("check")
	wantIn(t, r.out, "is compacted", "raise its max.message.bytes", "forgets records after 1m0s")
	if r.code != connector.ExitFaults {
		t.Errorf("exit code %d", r.code)
	}
}

// heldStore is the quarantine in a topic of a cluster in memory, without a process.
func heldStore(t *testing.T) (*topicQuarantine, *kafka.QuarantineTopic, *kgo.Client) {
	t.Helper()
	b, cl := newTopicBench(t, 1, topicModel)
	b.edit("limits:", "quarantine: { to: { topic: "+heldTopic+" }, retention: 30d }\nlimits:")
	cfg, err := config.Load(b.config(), func(string) (string, bool) { return testKey, true })
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	src, err := newTopics(cfg, log, hooks{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close(context.Background()) })
	data, err := state.OpenData(filepath.Join(t.TempDir(), "data"), state.DataConfig{Workspace: "test", Endpoint: cfg.Braze.Endpoint, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = data.Close() })
	q := newTopicQuarantine(data.Quarantine(), src.Source, cfg, log)
	t.Cleanup(q.close)
	topic, err := q.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return q, topic, cl
}

func TestTopicQuarantine(t *testing.T) {
	t.Parallel()
	q, topic, cl := heldStore(t)
	produce(t, cl, debezium("c", "u-1", "free", 1), debezium("u", "u-1", "pro", 2))
	entry := func(offset uint64) *connector.Entry {
		return &connector.Entry{Stream: "shop.users/0@1", Offset: offset, Model: "users", Class: "rejected", Reason: "not liked", Key: connector.Key{Table: "shop.users", ID: "u-1"},
			After: []byte(`{"id":"u-1"}`), Effect: &connector.StoredEffect{User: connector.User{ID: "u-1"}}}
	}
	put := func(e *connector.Entry) *connector.Entry {
		t.Helper()
		id, err := q.Put(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Entry(id)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	offsets := func() (list []int64) {
		t.Helper()
		open, err := topic.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range open {
			list = append(list, h.Offset)
		}
		slices.Sort(list)
		return list
	}
	t.Run("keeps the record in the topic, and what later changes need on disk", func(t *testing.T) {
		got := put(entry(0))
		if got.Original == nil || got.Original.Kept != heldTopic || got.Original.Value != nil || got.After != nil || got.Effect == nil {
			t.Errorf("%+v", got)
		}
		if q.original(t.Context(), got); !strings.Contains(string(got.Original.Value), `"u-1"`) {
			t.Errorf("%+v", got.Original)
		}
	})
	t.Run("a later entry of the row ends the earlier one, and the same record twice is one", func(t *testing.T) {
		put(entry(0))
		if open := offsets(); !slices.Equal(open, []int64{0}) {
			t.Errorf("open: %v", open)
		}
		put(entry(1))
		if open := offsets(); !slices.Equal(open, []int64{1}) {
			t.Errorf("open: %v", open)
		}
	})
	t.Run("a record that is gone is told as such, with the row's images", func(t *testing.T) {
		got := put(entry(7))
		if !got.Original.Gone || got.After == nil || !strings.Contains(got.Reason, "no longer holds the record") {
			t.Errorf("%+v", got)
		}
		open, err := topic.Open(t.Context())
		if err != nil || len(open) != 1 || !open[0].Gone || string(open[0].Value) != `{"after":{"id":"u-1"},"before":null}` {
			t.Errorf("%+v, %v", open, err)
		}
	})
	t.Run("what came of no record is on disk alone", func(t *testing.T) {
		e := entry(0)
		e.Stream, e.Key.ID = "", "u-2"
		if got := put(e); got.Original != nil || got.After == nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("the end of an entry, and of those that are too old, is told to the topic", func(t *testing.T) {
		e := entry(1)
		e.Key.ID = "u-3"
		got := put(e)
		if open := offsets(); !slices.Equal(open, []int64{1, 7}) {
			t.Errorf("open: %v", open)
		}
		if err := q.Close(t.Context(), got.ID, "delivered with a later change"); err != nil {
			t.Fatal(err)
		}
		if open := offsets(); !slices.Equal(open, []int64{7}) {
			t.Errorf("open: %v", open)
		}
		if n, err := q.Expire(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
			t.Errorf("%d expired, %v", n, err)
		}
		if open := offsets(); len(open) > 0 {
			t.Errorf("open: %v", open)
		}
	})
}

func TestStreamPlace(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{"a.b/3@17": "a.b 3 true", "a/3": " 0 false", "slot/brazecdc": " 0 false", "load/x": " 0 false", "": " 0 false"} {
		topic, partition, ok := streamPlace(stream)
		if got := fmt.Sprintf("%s %d %v", topic, partition, ok); got != want {
			t.Errorf("%q: %s", stream, got)
		}
	}
}
