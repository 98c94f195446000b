package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/sourcetest"
	"brazecdc/connector/state"
)

// scheduledModel is topicModel with a rule that is true for a while, and a schedule as often as one can be.
const scheduledModel = topicModel + `
audiences:
  - { attribute: fresh, when: 'date(at) > now() - duration("25s")' }
schedule: { cron: "* * * * *", time_zone: Europe/Berlin }`

// visited is a record of a row with the time of a visit.
func visited(id string, at time.Time) *kgo.Record {
	r := debezium("c", id, "free", 1)
	r.Value = bytes.Replace(r.Value, []byte(`"credits":1`), fmt.Appendf(nil, `"credits":1,"at":%q`, at.UTC().Format(time.RFC3339Nano)), 1)
	return r
}

func TestKafkaSchedule(t *testing.T) {
	t.Parallel()
	const users = 12
	b, cl := newTopicBench(t, 2, scheduledModel)
	for i := range users {
		produce(t, cl, visited("u-"+strconv.Itoa(i), time.Now()))
	}
	wantIn(t, b.must("check"), "model users: its schedule looks again at fresh, by the columns that are remembered of each row: at")
	p := b.run()
	all := func(want string) bool {
		for i := range users {
			if b.profile("u-"+strconv.Itoa(i), "fresh") != want {
				return false
			}
		}
		return true
	}
	b.until("all are fresh", func() bool { return all("true") })
	offsets := b.settled(cl, users)

	// A restart, and a partition that goes away and comes back.
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	sent := b.sim.Stats().Endpoints["/users/track"].Objects
	b.listen = ""
	p = b.run()
	other := b.member(t)
	share := func(b *bench) int {
		_, body := b.get("/metrics")
		return strings.Count(body, "brazecdc_kafka_lag_records{")
	}
	q := other.run()
	b.until("they share the partitions", func() bool { return share(b) == 1 && share(other) == 1 })
	if code := q.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.until("all are back", func() bool { return share(b) == 2 })

	if !sourcetest.Poll(2*time.Minute, 100*time.Millisecond, func() bool { return all("false") }) { // a schedule is due once a minute at most
		t.Fatalf("time alone changed nothing\n%s", b.must("status"))
	}
	if n := b.sim.Stats().Endpoints["/users/track"].Objects - sent; n != users {
		t.Errorf("%d objects were sent for %d users", n, users)
	}
	for _, body := range b.bodies("/users/track", `"fresh":false`) {
		wantIn(t, body, `"_update_existing_only":true`)
		if strings.Contains(body, "plan") || strings.Contains(body, "credits") {
			t.Errorf("more than the audience was sent: %s", body)
		}
	}
	wantIn(t, b.must("status"), "next resync of users", "over the 12 rows that are remembered", "resync of users: 12 rows, done")
	if now := b.settled(cl, users); len(now) != len(offsets) {
		t.Errorf("offsets %v, they were %v", now, offsets)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// A replay fills what is not remembered.
	count := func() int64 {
		c, err := state.OpenCache(filepath.Join(b.dir, "cache"), state.CacheConfig{Workspace: "test", Endpoint: b.endpoint()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		n, err := c.CountRemembered(t.Context(), "users")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != users {
		t.Errorf("%d rows are remembered", n)
	}
	b.dropRemembered()
	if n := count(); n != 0 {
		t.Errorf("%d rows are remembered", n)
	}
	wantIn(t, b.must("replay", "--topic", "shop.users", "--yes"), "Done: 12 rows delivered")
	if n := count(); n != users {
		t.Errorf("%d rows are remembered after a replay", n)
	}
}

// dropRemembered takes out of cache/ what is remembered of rows.
func (b *bench) dropRemembered() {
	b.t.Helper()
	c, err := state.OpenCache(filepath.Join(b.dir, "cache"), state.CacheConfig{Workspace: "test", Endpoint: b.endpoint()})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.ForgetRows("users", ""); err != nil {
		b.t.Fatal(err)
	}
	if err := c.Sync(nil); err != nil {
		b.t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		b.t.Fatal(err)
	}
}
