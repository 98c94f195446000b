package kafka

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"brazecdc/connector"
	"brazecdc/connector/kafka/throwaway"
)

func TestRecordAt(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { testRecordAt(t, newBed(t)) })
	t.Run("real broker", func(t *testing.T) { testRecordAt(t, realBed(t, throwaway.Shared(t).Addr())) })
}

func testRecordAt(t *testing.T, b *bed) {
	b.make("at", 2)
	first := value("at", 1, "a")
	first.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("x")}}
	b.produce(first, value("at", 1, "b"), value("at", 1, "c"), value("at", 0, "d"))
	s := reader(t, b.config("at"))
	for offset, want := range []string{"a", "b", "c"} {
		r, err := s.RecordAt(t.Context(), "at", 1, int64(offset))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Value) != want || string(r.Key) != "k" || r.Offset != int64(offset) || r.Partition != 1 || r.Topic != "at" || r.Time.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	if r, _ := s.RecordAt(t.Context(), "at", 1, 0); len(r.Headers) != 1 || r.Headers[0].Key != "h" {
		t.Errorf("headers %v", r.Headers)
	}
	if _, err := b.adm.DeleteRecords(t.Context(), kadm.Offsets{"at": {1: {Topic: "at", Partition: 1, At: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		topic     string
		partition int32
		offset    int64
	}{{"at", 1, 1}, {"at", 1, 3}, {"at", 7, 0}, {"none", 0, 0}} {
		if _, err := s.RecordAt(t.Context(), c.topic, c.partition, c.offset); !errors.Is(err, ErrRecordGone) {
			t.Errorf("%v: %v", c, err)
		}
	}
	var seen []string
	end, err := s.Later(t.Context(), "at", 1, 0, func(r *Record) error {
		seen = append(seen, string(r.Value))
		return nil
	})
	if err != nil || end != 3 || len(seen) != 1 || seen[0] != "c" {
		t.Errorf("%v up to %d, %v", seen, end, err)
	}
}

func TestCheckQuarantine(t *testing.T) {
	b := newBed(t)
	b.topic("users", 1)
	s := reader(t, b.config("users"))
	info, err := s.CheckQuarantine(t.Context(), "held", time.Hour, "users")
	if err != nil || info.Exists || !info.Writable || info.MaxBytes != maxHeld || info.Source != "users" {
		t.Errorf("%+v, %v", info, err)
	}
	q, err := s.OpenQuarantine(t.Context(), "held", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	info, err = s.CheckQuarantine(t.Context(), "held", time.Hour, "users")
	if err != nil || !info.Exists || info.Known && !info.Writable || info.MaxBytes != maxHeld || info.Retention != time.Hour || info.Compacted {
		t.Errorf("%+v, %v", info, err)
	}
	small, compact := "1000", "compact"
	if _, err := b.adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &small, "cleanup.policy": &compact}, "small"); err != nil {
		t.Fatal(err)
	}
	if info, err = s.CheckQuarantine(t.Context(), "small", time.Hour); err != nil || info.MaxBytes != 1000 || !info.Compacted {
		t.Errorf("%+v, %v", info, err)
	}
}

// The cluster in memory takes records of any size.
func TestQuarantineTooLarge(t *testing.T) {
	b := realBed(t, throwaway.Shared(t).Addr())
	s := reader(t, b.config("users"))
	small := "1000"
	if _, err := b.adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &small}, "smallheld"); err != nil {
		t.Fatal(err)
	}
	q, err := s.OpenQuarantine(t.Context(), "smallheld", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	h := &Held{Model: "m", Poison: Poison{Topic: "users", Key: []byte("k"), Value: []byte("fits")}}
	at, err := q.Put(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := q.At(t.Context(), at); err != nil || string(got.Value) != "fits" || got.Model != "m" {
		t.Errorf("%+v, %v", got, err)
	}
	h.Value = make([]byte, 5000)
	random := rand.New(rand.NewPCG(1, 2)) // compression must not make it fit
	for i := range h.Value {
		h.Value[i] = byte(random.Uint32())
	}
	if _, err = q.Put(t.Context(), h); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
}

func TestCheckQuarantineRights(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "held"), kfake.Superuser("PLAIN", "admin", "secret"),
		kfake.User("PLAIN", "reader", "secret", kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "held", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationDescribe, Allow: true}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := (&bed{t: t, brokers: c.ListenAddrs()}).config("users")
	cfg.SASL = SASL{Mechanism: "plain", User: "reader", Password: "secret"}
	s := reader(t, cfg)
	if info, err := s.CheckQuarantine(t.Context(), "held", time.Hour); err != nil || !info.Exists || !info.Known || info.Writable {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = s.CheckQuarantine(t.Context(), "other", time.Hour)
	var stop *connector.StopError
	if !errors.As(err, &stop) || stop.Code != connector.ExitRights {
		t.Errorf("a topic that may not be made: %v", err)
	}
}
