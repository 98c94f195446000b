package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
)

// What a decoder puts into the room it is offered, and what it brings in a slice of its own, makes the same batches.
func TestRoom(t *testing.T) {
	inRoom := func(r *Record) []connector.Change { return r.Room }
	own := func(*Record) []connector.Change { return nil }
	for name, into := range map[string]func(*Record) []connector.Change{"in the room": inRoom, "in a slice of its own": own} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{BatchChanges: 4, Decode: func(_ context.Context, r *Record) ([]connector.Change, string, error) {
				if len(r.Room) != 0 {
					t.Errorf("offset %d: the room holds %d changes", r.Offset, len(r.Room))
				}
				changes := into(r)
				for i := range int(r.Key[0] - '0') { // as many as the key says, perhaps more than there is room for
					changes = append(changes, connector.Change{Key: connector.Key{ID: fmt.Sprintf("%d/%d", r.Offset, i)}, Op: connector.Update})
				}
				return changes, "nothing", nil
			}}
			s := &Source{cfg: cfg}
			a := &assignment{begin: begin{first: true}, ctx: t.Context()}
			var recs []*kgo.Record
			for i, n := range []string{"1", "0", "2", "3", "0", "1", "9", "0"} {
				recs = append(recs, &kgo.Record{Offset: int64(i), Key: []byte(n)})
			}
			var got [][]string
			for len(recs) > 0 {
				it, n, err := s.decode(a, recs)
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for i := range it.batch.Changes {
					c := &it.batch.Changes[i]
					ids = append(ids, c.Key.ID)
					if want := fmt.Sprintf("%d/%d", c.ID.Commit, c.ID.N); c.Key.ID != want {
						t.Errorf("change %s has the identity %s", c.Key.ID, want)
					}
				}
				got = append(got, ids)
				recs = recs[n:]
				if want := uint64(8 - len(recs)); it.batch.Position.Offset != want {
					t.Errorf("a batch of %v ends at %d, want %d", ids, it.batch.Position.Offset, want)
				}
			}
			want := [][]string{{"0/0", "2/0", "2/1", "3/0", "3/1", "3/2"}, {"5/0", "6/0", "6/1", "6/2", "6/3", "6/4", "6/5", "6/6", "6/7", "6/8"}, nil}
			if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// The issue wants the neighbours of a record that cannot be decoded delivered within a second. What stands for the second is a clock that moves only while
// everybody waits for it: whatever the machine takes, the neighbours go on at the very moment that the record came, so no pause or retry held them up. That the
// clock tells is seen by a partition whose registry is away.
func TestPoisonHoldsNobody(t *testing.T) {
	const away = 5 * time.Second
	group, err := kgo.NewClient() // partitions are paused at it; it asks nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*away)
		defer cancel()
		began := time.Now()
		var held []int64
		s := &Source{group: group, log: slog.New(slog.DiscardHandler), out: make(chan item), cfg: Config{BatchChanges: 10,
			Decode: func(_ context.Context, r *Record) ([]connector.Change, string, error) {
				switch {
				case string(r.Value) == "poison":
					return nil, "", &PoisonError{Reason: "it is cut off"}
				case string(r.Value) == "waits" && time.Since(began) < away:
					return nil, "", &WaitError{Err: errors.New("the registry is away")}
				}
				return append(r.Room, connector.Change{Op: connector.Update, Key: connector.Key{ID: string(r.Key)}}), "", nil
			},
			Quarantine: func(_ context.Context, p Poison) error {
				held = append(held, p.Offset)
				return nil
			}}}
		all := map[int32][]*kgo.Record{
			0: {{Key: []byte("beside")}},
			1: {{Key: []byte("before")}, {Value: []byte("poison")}, {Value: []byte("poison")}, {Key: []byte("between")}, {Value: []byte("poison")}, {Key: []byte("behind")}},
			2: {{Key: []byte("of a registry"), Value: []byte("waits")}},
		}
		for num, recs := range all {
			a := &assignment{partition: partition{"users", num}, ctx: ctx, more: make(chan struct{}, 1), done: make(chan struct{})}
			for i, r := range recs {
				r.Topic, r.Partition, r.Offset = "users", num, int64(i)
			}
			a.push(recs, int64(len(recs)))
			go s.work(a)
		}
		at := map[string]time.Duration{}
		for len(at) < 5 {
			select {
			case it := <-s.out:
				for i := range it.batch.Changes {
					at[it.batch.Changes[i].Key.ID] = time.Since(began)
				}
			case <-ctx.Done():
				t.Fatalf("after %s only these came: %v", time.Since(began), at)
			}
		}
		for id, after := range at {
			if registry := id == "of a registry"; !registry && after != 0 || registry && after < away {
				t.Errorf("%s came after %s", id, after)
			}
		}
		if !slices.Equal(held, []int64{1, 2, 4}) {
			t.Errorf("held back: %v", held)
		}
	})
}
