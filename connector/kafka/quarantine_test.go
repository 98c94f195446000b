package kafka

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestQuarantineTopic(t *testing.T) {
	b := newBed(t)
	b.topic("users", 1)
	cfg := b.config("users")
	q, err := reader(t, cfg).OpenQuarantine(t.Context(), "held", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put := func(ctx context.Context, p Poison) error {
		_, err := q.Put(ctx, &Held{Poison: p, Class: "undecodable", Model: "users"})
		return err
	}
	cfg.Quarantine = put
	m := start(t, cfg, nil, false)
	bad := value("users", 0, "bad")
	bad.Timestamp = time.UnixMilli(1793491200000)
	// Headers that look like ours belong to the original all the same.
	bad.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("x")}, {Key: headerTopic, Value: []byte("y")}, {Key: headerClosed, Value: []byte("z")}}
	b.produce(bad, value("users", 0, "good"), value("users", 0, "bad"))
	m.wait(1)
	eventually(t, "both are kept", func() bool { return m.src.Poisoned() == 2 })

	open, err := q.Open(t.Context())
	if err != nil || len(open) != 2 {
		t.Fatalf("%+v, %v", open, err)
	}
	want := Poison{Topic: "users", Offset: 0, Time: bad.Timestamp, Key: []byte("k"), Value: []byte("bad"), Reason: "it is bad",
		Headers: []Header{{"h", []byte("x")}, {headerTopic, []byte("y")}, {headerClosed, []byte("z")}}}
	if diff := cmp.Diff(want, open[0].Poison, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := cfg.Decode(t.Context(), open[0].Record()); err == nil {
		t.Error("the original decodes")
	}
	if err := put(t.Context(), open[1].Poison); err != nil { // again, as after a crash
		t.Fatal(err)
	}
	if err := q.Done(t.Context(), &open[0], "discarded"); err != nil {
		t.Fatal(err)
	}
	open, err = q.Open(t.Context())
	if err != nil || len(open) != 1 || open[0].Offset != 2 {
		t.Errorf("%+v, %v", open, err)
	}
	null := Poison{Topic: "users", Partition: 3, Offset: 9, Time: bad.Timestamp, Reason: "no key"}
	large := Poison{Topic: "users", Partition: 3, Offset: 10, Time: bad.Timestamp, Value: bytes.Repeat([]byte("x"), 20<<20), Reason: "too large"}
	for _, p := range []Poison{null, large} {
		if err := put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	open, err = q.Open(t.Context())
	if err != nil || len(open) != 3 || open[1].Key != nil || open[1].Value != nil || len(open[2].Value) != 20<<20 {
		t.Errorf("%d open, %v", len(open), err)
	}
}
