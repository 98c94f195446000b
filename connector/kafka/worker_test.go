package kafka

import (
	"context"
	"fmt"
	"slices"
	"testing"

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
