package connector_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
)

// TestRememberedProperty brings random rows, deletes, steps of the clock, restarts and moves of partitions, and holds what the sink has after each run against
// the rule over the last rows.
func TestRememberedProperty(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { rememberedProperty(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func rememberedProperty(t *testing.T, rnd *rand.Rand) {
	type last struct {
		seen  time.Time
		known bool   // a change came since its partition had a gap
		said  string // what Braze has to have
	}
	r := newTopicRig(t, visitorModel(nil))
	parts := []string{"visitors/0", "visitors/1", "visitors/2"}
	r.start(parts...)
	rows, away, ran := map[string]*last{}, map[string]bool{}, map[string]bool{} // ran: a run while the partition was away
	partOf := func(id string) string {
		n, err := strconv.Atoi(id[1:])
		if err != nil {
			t.Fatal(err)
		}
		return parts[n%len(parts)]
	}
	judge := func(l *last, at time.Time) {
		if !l.seen.IsZero() { // else the rule is NULL, and what was said stays
			l.said = strconv.FormatBool(l.seen.After(at.Add(-lately)))
		}
	}
	swept := func(at time.Time) {
		for part := range away {
			ran[part] = true
		}
		for id, l := range rows {
			if l.known && !away[partOf(id)] {
				judge(l, at)
			}
		}
	}
	for step := range 40 {
		switch n := rnd.IntN(20); {
		case n < 12:
			id := fmt.Sprintf("u%d", rnd.IntN(12))
			if away[partOf(id)] {
				continue
			}
			if rows[id] != nil && rnd.IntN(6) == 0 {
				delete(rows, id)
				r.remove(partOf(id), id)
				r.settle()
				time.Sleep(20 * time.Second) // the settling ends
				continue
			}
			op := connector.Update
			if rows[id] == nil {
				rows[id], op = &last{}, connector.Insert
			}
			l := rows[id]
			l.known = true
			if l.seen = (time.Time{}); rnd.IntN(6) > 0 {
				l.seen = time.Now().Add(-time.Duration(rnd.Int64N(int64(lately + 3*time.Hour))))
			}
			r.put(partOf(id), op, visitor(id, "free", l.seen))
			judge(l, time.Now())
		case n < 17:
			r.hours(1 + rnd.IntN(5))
			swept(time.Now().Truncate(time.Hour))
		case n == 17:
			r.settle()
			r.stop()
			slept := time.Duration(rnd.IntN(6)) * time.Hour
			time.Sleep(slept)
			clear(ran)
			r.start()
			for _, part := range parts {
				if !away[part] {
					r.take(part, false)
				}
			}
			if time.Sleep(2 * time.Minute); slept > 0 || time.Now().Minute() < 2 {
				swept(time.Now().Add(-time.Minute))
			}
		default:
			part := parts[rnd.IntN(len(parts))]
			if !away[part] {
				r.away(part)
				away[part] = true
				continue
			}
			gap := rnd.IntN(2) == 0
			r.take(part, gap)
			delete(away, part)
			again := ran[part] && !gap
			delete(ran, part)
			if again { // a run that it missed is made up for
				time.Sleep(2 * time.Minute)
				r.settle()
				for id, l := range rows {
					if l.known && partOf(id) == part {
						judge(l, time.Now().Add(-time.Minute))
					}
				}
			}
			for id, l := range rows {
				l.known = l.known && !(gap && partOf(id) == part)
			}
		}
		r.settle()
		for _, id := range slices.Sorted(maps.Keys(rows)) {
			if l := rows[id]; r.sink.has(id, "active") != l.said {
				t.Fatalf("step %d: active of %s is %q, want %q (seen %s ago, %s)", step, id, r.sink.has(id, "active"), l.said, time.Since(l.seen), partOf(id))
			}
		}
	}
	r.stop()
}
