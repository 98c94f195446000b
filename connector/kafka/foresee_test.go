package kafka

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"brazecdc/connector"
)

// TestForesee asks before a start what the start would then say.
func TestForesee(t *testing.T) {
	read := func(t *testing.T) (*bed, []connector.Recorded) {
		b := newBed(t)
		b.topic("users", 2)
		b.topic("orders", 1)
		m := start(t, b.config("users", "orders"), nil, false)
		for _, part := range []int32{0, 1} {
			b.write("users", part, 0, 50)
		}
		m.wait(100)
		m.close()
		return b, slices.Collect(maps.Values(m.positions()))
	}
	// foresees looks from outside the group, and leaves it as it was.
	foresees := func(t *testing.T, b *bed, recorded []connector.Recorded) Foresight {
		t.Helper()
		src := reader(t, b.config("users", "orders"))
		f, err := src.Foresee(t.Context(), recorded, "users", "orders")
		if err != nil {
			t.Fatal(err)
		}
		if g := b.cluster.GroupInfo("g"); g != nil && len(g.Members) > 0 {
			t.Errorf("the group has members: %+v", g.Members)
		}
		return f
	}
	// same starts and checks that the start says what was foreseen.
	same := func(t *testing.T, b *bed, recorded []connector.Recorded, f Foresight, words ...string) {
		t.Helper()
		if len(f.Stops) != 1 {
			t.Fatalf("foreseen %+v", f)
		}
		stops(t, f.Stops[0], connector.ExitOffsetRange, words...)
		src := reader(t, b.config("users", "orders"))
		_, err := src.Open(t.Context(), connector.Start{Recorded: recorded})
		stops(t, err, connector.ExitOffsetRange, f.Stops[0].Error())
	}
	t.Run("nothing was read yet", func(t *testing.T) {
		b := newBed(t)
		b.topic("users", 2)
		b.topic("orders", 1)
		b.write("users", 0, 0, 10)
		if f := foresees(t, b, nil); f.Known != 0 || len(f.Stops) > 0 {
			t.Errorf("foreseen %+v", f)
		}
		if b.cluster.GroupInfo("g") != nil {
			t.Error("the group was made")
		}
	})
	t.Run("all is where it was", func(t *testing.T) {
		b, recorded := read(t)
		if f := foresees(t, b, recorded); f.Known != 3 || len(f.Stops) > 0 {
			t.Errorf("foreseen %+v", f)
		}
	})
	t.Run("retention took what was not read", func(t *testing.T) {
		b, recorded := read(t)
		b.write("users", 1, 50, 50)
		if err := b.cluster.DeleteRecords("users", 1, 80); err != nil {
			t.Fatal(err)
		}
		same(t, b, recorded, foresees(t, b, recorded), "partition 1 of topic users begins at offset 80", "30 records were deleted")
		if f := foresees(t, b, nil); len(f.Stops) != 1 { // the group's offset says it too
			t.Errorf("without data/: %+v", f)
		}
	})
	t.Run("a topic made anew is told once", func(t *testing.T) {
		b, recorded := read(t)
		if err := b.cluster.DeleteTopic("users"); err != nil {
			t.Fatal(err)
		}
		b.topic("users", 2)
		same(t, b, recorded, foresees(t, b, recorded), "topic users was deleted and created again", "--topic users --to-earliest --execute")
	})
	t.Run("an offset that a tool set behind the log", func(t *testing.T) {
		b, recorded := read(t)
		b.setOffset("g", "users", 0, 4000)
		same(t, b, recorded, foresees(t, b, recorded), "ends at offset 50", "4000", "--topic users:0 --to-offset N --execute")
	})
}

// TestYoungCoordinator asks a cluster whose first group this is: the broker makes the topic of the groups' offsets only then, and says so for a while.
func TestYoungCoordinator(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.topic("users", 1)
	var asked atomic.Int32
	b.cluster.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if asked.Add(1) > 3 {
			return nil, nil, false
		}
		r := req.(*kmsg.FindCoordinatorRequest)
		resp := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, key := range r.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp, nil, true
	})
	if _, err := reader(t, b.config("users")).Foresee(t.Context(), nil, "users"); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n < 4 {
		t.Errorf("it was asked %d times", n)
	}
}
