package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/sourcetest"
)

// TestKill ends the process hard at twenty random moments while the table is loaded and changed; in the end every profile equals its row. Braze applies
// requests late and in either order, within the gap. Events, purchases and renames are sent again only where a kill came between Braze's answer and the record
// of it.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := newBench(t, plainModel+"\ndeletes: { max: 1000000, share: 100% }")
	b.sim = brazesim.New(brazesim.Config{APIKey: testKey, LogRequests: 100_000, LogBytes: 64 << 20, ApplyDelay: 15 * time.Millisecond, DeleteDelay: 60 * time.Millisecond, Seed: seed})
	t.Cleanup(func() { _ = b.sim.Close() })
	once := &onceOnly{arrived: map[string]map[int][]arrival{"events": {}, "purchases": {}, "renames": {}}}
	endpoint := serveWitnessed(t, b.sim, once.run, once.note)
	b.edit("endpoint: "+endpointOf(b.text), "endpoint: "+endpoint)
	b.exec(`CREATE TABLE log (id int PRIMARY KEY, user_id text)`)
	b.write(b.text + `
  - name: visits
    kind: events
    table: public.log
    mode: additive
    load: none
    identify: { external_id: user_id }
    event: { name: visited }
    properties: { seq: id }
  - name: sales
    kind: purchases
    table: public.log
    mode: additive
    load: none
    identify: { external_id: user_id }
    when: id % 4 == 0
    purchase: { product_id: { value: shoe }, currency: { value: EUR }, price: { value: 9.5 } }
    properties: { seq: id }
`)
	b.exec(`INSERT INTO users SELECT 'u' || i, 'm' || i || '@example.com', 'N' || i, 'free', i, NULL FROM generate_series(1, 3000) i`)

	writing, stop := context.WithCancel(t.Context())
	defer stop()
	written := make(chan error, 1)
	go func() { written <- churn(writing, b.url, seed) }()
	for i := range 20 {
		p := b.runUnready()
		long := i%7 == 3
		if i%2 == 1 || long { // else a slow machine would have it killed each time before it sent anything
			b.until("the source is open", func() bool { return p.ended() || strings.Contains(p.err.String(), "source opened") })
		}
		moment := time.Duration(60+rnd.IntN(500)) * time.Millisecond
		if long {
			moment += lateRecord // what it sent first is on record by then, and must not come again
		}
		select {
		case <-p.done:
			t.Fatalf("run %d ended by itself with exit code %d", i, p.cmd.ProcessState.ExitCode())
		case <-time.After(moment): // the random moment
		}
		p.signal(syscall.SIGKILL)
		<-p.done
		once.killed(t, endpoint)
	}
	stop()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	p := b.run()
	var differ string
	same := func() bool {
		differ = b.differ()
		return differ == ""
	}
	// A user that was renamed and changed many times takes a gap for each of these steps, and a slow machine had longer to write: it goes on as long as calls come.
	ended := same()
	for i, calls := 0, b.sim.Stats().Requests; !ended && i < 12; i++ {
		ended = sourcetest.Poll(patience, 50*time.Millisecond, same)
		before := calls
		if calls = b.sim.Stats().Requests; calls == before {
			break
		}
	}
	if !ended {
		id, _, _ := strings.Cut(differ, " ")
		for _, r := range b.sim.Requests(0) {
			if i := strings.Index(string(r.Body), `"`+id+`"`); i >= 0 {
				t.Logf("%s %s %d …%.200s", r.Time.Format("05.000"), r.Path, r.Status, r.Body[max(0, i-40):])
			}
		}
		t.Fatalf("profiles and rows differ: %s", differ)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	once.judge(b)
	if st := b.sim.Stats(); st.Overlaps > 0 {
		t.Errorf("%d requests overlapped another one of the same user within a run", st.Overlaps)
	}
}

// lateRecord is how long an answer of Braze may be unrecorded on a machine that is too busy.
const lateRecord = 2 * time.Second

// arrival is when a request came to Braze, and from which run of the process; a run that was killed may have left requests behind that come later.
type arrival struct {
	run int
	at  time.Time
}

// onceOnly writes down what may happen once as it comes to Braze: events and purchases by the row's number, renames by that of the new name.
type onceOnly struct {
	mu      sync.Mutex
	kills   []time.Time // when each run ended
	arrived map[string]map[int][]arrival
	odd     []string
}

func (o *onceOnly) run() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.kills)
}

// killed begins the next run. Connections are accepted in the order in which they came, so that once one of its own is answered none of the killed run's waits,
// to be taken for the next one's.
func (o *onceOnly) killed(t *testing.T, endpoint string) {
	t.Helper()
	at := time.Now()
	alone := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := alone.Get(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // it says only that there is nothing
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kills = append(o.kills, at)
}

func (o *onceOnly) note(run int, path string, body []byte) (answered func(status int)) {
	at := arrival{run, time.Now()}
	return func(status int) {
		if status >= 300 || path != "/users/track" && path != "/users/external_ids/rename" {
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		type row struct{ Properties struct{ Seq int } }
		var sent struct {
			Events, Purchases []row
			Renames           []struct {
				To string `json:"new_external_id"`
			} `json:"external_id_renames"`
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			o.odd = append(o.odd, fmt.Sprintf("%v in %s", err, body))
		}
		for kind, rows := range map[string][]row{"events": sent.Events, "purchases": sent.Purchases} {
			for _, x := range rows {
				o.arrived[kind][x.Properties.Seq] = append(o.arrived[kind][x.Properties.Seq], at)
			}
		}
		for _, x := range sent.Renames {
			var n int
			if _, err := fmt.Sscanf(x.To, "r%d", &n); err != nil {
				o.odd = append(o.odd, "renamed to "+x.To)
			}
			o.arrived["renames"][n] = append(o.arrived["renames"][n], at)
		}
	}
}

// judge looks whether every event and purchase came, and whether those that came more than once, and renames that did, had been sent right before a kill: once
// by each run at most, and no more of them than the kills can have cut off.
func (o *onceOnly) judge(b *bench) {
	b.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, odd := range o.odd {
		b.t.Error(odd)
	}
	for kind, each := range o.arrived {
		if kind != "renames" {
			first := slices.Min(slices.Collect(maps.Keys(each))) // rows before it were there before the slot
			every := map[string]int{"events": 1, "purchases": 4}[kind]
			if have, want := len(each), int(b.number(fmt.Sprintf(`SELECT count(*) FROM log WHERE id >= %d AND id %% %d = 0`, first, every))); have != want {
				b.t.Errorf("%d %s of %d rows", have, kind, want)
			}
		}
		var windows []time.Duration
		within := 0 // what came in the windows before the kills
		for n, arrived := range each {
			slices.SortFunc(arrived, func(x, y arrival) int { return cmp.Or(x.run-y.run, x.at.Compare(y.at)) })
			for i, a := range arrived {
				killed := a.run < len(o.kills)
				var window time.Duration
				if killed {
					window = max(0, o.kills[a.run].Sub(a.at))
				}
				if killed && window <= lateRecord {
					within++
				}
				if i == len(arrived)-1 {
					continue
				}
				if !killed || arrived[i+1].run == a.run || window > lateRecord {
					b.t.Errorf("%s: number %d came at %v, and no kill is the reason", kind, n, arrived)
					continue
				}
				windows = append(windows, window)
			}
		}
		b.t.Logf("%d %s, %d of them within %s before a kill, sent again: %s", len(each), kind, within, lateRecord, spread(windows))
	}
}

func endpointOf(text string) string {
	var line string
	for l := range strings.SplitSeq(text, "\n") {
		if n, _ := fmt.Sscanf(l, "  endpoint: %s", &line); n == 1 {
			break
		}
	}
	return line
}

// churn changes users at random until ctx ends: inserts, updates, deletes, new names, and rows that come again, in transactions of several rows.
func churn(ctx context.Context, url string, seed uint64) error {
	db, err := pgx.Connect(context.WithoutCancel(ctx), url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	rnd, renames := rand.New(rand.NewPCG(seed, 2)), 0
	for n := 0; ctx.Err() == nil; n++ {
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO log VALUES ($1::int, $2)`, n, fmt.Sprint("visitor", rnd.IntN(300)))
		for range 1 + rnd.IntN(5) {
			id := fmt.Sprint("u", 1+rnd.IntN(4000))
			if rnd.IntN(8) == 0 && renames > 0 {
				id = fmt.Sprint("r", 1+rnd.IntN(renames))
			}
			switch rnd.IntN(6) {
			case 0:
				if renames++; rnd.IntN(2) == 0 {
					batch.Queue(`UPDATE users SET id = 'r' || $2::int WHERE id = $1`, id, renames)
				} else {
					batch.Queue(`DELETE FROM users WHERE id = $1`, id)
				}
			case 1, 2:
				batch.Queue(`INSERT INTO users VALUES ($1::text, $1::text || '@example.org', 'New', 'pro', $2::int, NULL) ON CONFLICT (id) DO UPDATE SET plan = NULL, credits = $2::int`, id, n)
			default:
				batch.Queue(`UPDATE users SET credits = $2::int, first_name = CASE WHEN $2::int % 3 = 0 THEN NULL ELSE 'V' || $2::int END WHERE id = $1`, id, n)
			}
		}
		if err := db.SendBatch(context.WithoutCancel(ctx), batch).Close(); err != nil {
			return err
		}
	}
	return nil
}

// differ compares every row with its profile and gives the first difference.
func (b *bench) differ() string {
	rows, err := b.db.Query(b.t.Context(), `SELECT id, email, first_name, plan, credits::float8 FROM users`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	have := map[string]brazesim.Profile{}
	for _, p := range b.sim.Profiles() {
		if !strings.HasPrefix(p.ExternalID, "visitor") {
			have[p.ExternalID] = p
		}
	}
	for rows.Next() {
		var id string
		var email, name, plan *string
		var credits *float64
		if err := rows.Scan(&id, &email, &name, &plan, &credits); err != nil {
			b.t.Fatal(err)
		}
		p, ok := have[id]
		if !ok {
			return id + " has no profile"
		}
		delete(have, id)
		for _, f := range []struct {
			got  json.RawMessage
			want any
		}{{p.Attributes["email"], email}, {p.Attributes["first_name"], name}, {p.Custom["plan"], plan}, {p.Custom["credits"], credits}} {
			want, err := json.Marshal(f.want)
			if err != nil {
				b.t.Fatal(err)
			}
			if got := string(f.got); got != string(want) && !(got == "" && string(want) == "null") {
				return fmt.Sprintf("%s has %s, its row says %s", id, got, want)
			}
		}
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	for id := range have {
		return id + " has a profile and no row"
	}
	return ""
}
