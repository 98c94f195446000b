package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// world writes a random history of rows to a topic, as Debezium does with the default replica identity, and knows how it must end. Each row's key is a
// user, and each change of it has a higher v than the one before, so that order can be told from what Braze is sent.
type world struct {
	topic  string
	random *rand.Rand
	cl     *kgo.Client

	mu    sync.Mutex
	rows  map[string]*worldRow // by user, dead ones too
	v     int64
	kinds map[string]int // changes written, by kind
}

// worldRow is one row as it is at the source, with its history.
type worldRow struct {
	alive bool
	plan  string
	note  string // "" is NULL
	v     int64
	past  []happened
}

// happened is one change in a row's history.
type happened struct {
	v      int64
	delete bool
	at     time.Time // before it was written
}

func newWorld(cl *kgo.Client, topic string, random *rand.Rand) *world {
	return &world{topic: topic, random: random, cl: cl, rows: map[string]*worldRow{}, kinds: map[string]int{}}
}

const unavailable = "__debezium_unavailable_value"

// changes makes about n records for users out of so many.
func (w *world) changes(users, n int) (recs []*kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(recs) < n {
		id := "u-" + strconv.Itoa(w.random.IntN(users))
		if w.random.IntN(3) == 0 { // some users change much more often than others
			id = "u-" + strconv.Itoa(w.random.IntN(1+users/10))
		}
		r := w.rows[id]
		if r == nil {
			r = &worldRow{}
			w.rows[id] = r
		}
		switch roll := w.random.IntN(100); {
		case !r.alive:
			if roll < 60 {
				recs = append(recs, w.upsert("c", id, r))
			}
		case roll < 8:
			recs = append(recs, w.delete(id, r)...)
		case roll < 12: // gone and there again at once
			recs = append(append(recs, w.delete(id, r)...), w.upsert("c", id, r))
		default:
			recs = append(recs, w.upsert("u", id, r))
		}
	}
	return recs
}

func (w *world) happen(kind string, r *worldRow, gone bool) {
	w.v++
	r.v, r.alive = w.v, !gone
	r.past = append(r.past, happened{w.v, gone, time.Now()})
	w.kinds[kind]++
}

func (w *world) upsert(op, id string, r *worldRow) *kgo.Record {
	kind := map[string]string{"c": "insert", "u": "update"}[op]
	if op == "c" && len(r.past) > 0 {
		kind = "insert again"
	}
	note := "null"
	r.plan = []string{"free", "pro", "team", "gold"}[w.random.IntN(4)]
	switch roll := w.random.IntN(10); {
	case op == "u" && roll < 4: // a long value that did not change is not in the log
		note, kind = strconv.Quote(unavailable), "update without the long column"
	case roll < 6:
		r.note = ""
	default:
		r.note = fmt.Sprintf("note %d", w.random.IntN(1000))
		note = strconv.Quote(r.note)
	}
	w.happen(kind, r, false)
	return w.record(op, id, "null", fmt.Sprintf(`{"id":%q,"plan":%q,"note":%s,"v":%d}`, id, r.plan, note, r.v))
}

// delete is the delete with its tombstone. Debezium fills what the log does not have of the old row with made-up values.
func (w *world) delete(id string, r *worldRow) []*kgo.Record {
	w.happen("delete", r, true)
	return []*kgo.Record{
		w.record("d", id, fmt.Sprintf(`{"id":%q,"plan":"","note":null,"v":0}`, id), "null"),
		{Topic: w.topic, Key: fmt.Appendf(nil, `{"id":%q}`, id)},
	}
}

func (w *world) record(op, id, before, after string) *kgo.Record {
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"db":"shop","schema":"public","table":"users","txId":%d,"lsn":%[4]d},"op":%[5]q,"ts_ms":%[3]d}`,
		before, after, time.Now().UnixMilli(), w.v, op)
	return &kgo.Record{Topic: w.topic, Key: fmt.Appendf(nil, `{"id":%q}`, id), Value: []byte(value)}
}

// write goes on with the history, a few changes at a time, until stop is closed.
func (w *world) write(t *testing.T, stop <-chan struct{}, users, atOnce int, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.Context().Done():
			return
		case <-tick.C:
		}
		if err := w.cl.ProduceSync(t.Context(), w.changes(users, atOnce)...).FirstErr(); err != nil {
			if t.Context().Err() == nil {
				t.Errorf("write records: %v", err)
			}
			return
		}
	}
}

// wrong compares a row with its profile and tells the first difference, "" where there is none.
func (w *world) wrong(b *bench, id string, r *worldRow) string {
	_, is := b.sim.Profile(id)
	if is != r.alive {
		return fmt.Sprintf("%s: the row is there: %t, the profile: %t", id, r.alive, is)
	}
	if !is {
		return ""
	}
	note := ""
	if r.note != "" {
		note = strconv.Quote(r.note)
	}
	for _, f := range []struct{ field, want string }{{"v", strconv.FormatInt(r.v, 10)}, {"plan", strconv.Quote(r.plan)}, {"note", note}} {
		if got := b.profile(id, f.field); got != f.want {
			return fmt.Sprintf("%s: %s is %s, want %s", id, f.field, got, f.want)
		}
	}
	return ""
}

// differences are what of the simulator's profiles is not as the rows are.
func (w *world) differences(b *bench) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	alive := 0
	for id, r := range w.rows {
		if r.alive {
			alive++
		}
		if s := w.wrong(b, id, r); s != "" {
			out = append(out, s)
		}
	}
	if n := len(b.sim.Profiles()); len(out) == 0 && n != alive {
		out = append(out, fmt.Sprintf("%d profiles for %d rows", n, alive))
	}
	return out
}

// history gives what happened to a user, oldest first.
func (w *world) history(id string) []happened {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rows[id]; r != nil {
		return r.past
	}
	return nil
}

// sentUsers is what of a request's body tells whom it was about.
type sentUsers struct {
	Attributes []struct {
		ID string          `json:"external_id"`
		V  json.RawMessage `json:"v"`
	} `json:"attributes"`
	IDs []string `json:"external_ids"`
}
