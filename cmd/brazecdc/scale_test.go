package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/braze/brazesim"
	kafkaserver "brazecdc/connector/kafka/throwaway"
	"brazecdc/connector/sourcetest"
)

const (
	scaleTopic      = "shop.users"
	scalePartitions = 12
	scaleUsers      = 1000
	recordWithin    = 5 * time.Second
)

// fleet is several processes of one group that bring one topic to one workspace, while a random history is written to it.
type fleet struct {
	t       *testing.T
	random  *rand.Rand
	brokers []string
	adm     *kadm.Client
	sim     *brazesim.Server
	world   *world
	witness *witness
	members []*fleetMember
	kills   int
}

// fleetMember is one process of the group with its own folders, over all its lives.
type fleetMember struct {
	*bench
	n    int
	p    *process // of its present life; nil before the first
	life *life
}

// newFleet makes the topic and the workspace. SEED=n gives the random choices of an earlier run again.
func newFleet(t *testing.T, brokers ...string) *fleet {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SEED=%s: %v", s, err)
		}
	}
	t.Logf("SEED=%d", seed)
	f := &fleet{t: t, random: rand.New(rand.NewPCG(seed, 1)), brokers: brokers, witness: &witness{users: map[string][]*send{}, calls: map[*life]int{}}}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	f.adm = kadm.NewClient(cl)
	if _, err := f.adm.CreateTopic(t.Context(), scalePartitions, 1, nil, scaleTopic); err != nil {
		t.Fatal(err)
	}
	f.world = newWorld(cl, scaleTopic, rand.New(rand.NewPCG(seed, 2)))
	// Braze applies what it accepted a little later, and deletes later still: the gap between two calls of a user and the settling of deleted ones
	// have to hold from one process to the next.
	f.sim = brazesim.New(brazesim.Config{APIKey: testKey, ApplyDelay: 40 * time.Millisecond, DeleteDelay: 700 * time.Millisecond, Seed: seed, LogRequests: 200_000})
	t.Cleanup(func() { sourcetest.NothingRefused(t, f.sim.Unasked()) })
	return f
}

// member makes a further process' folder and configuration.
func (f *fleet) member() *fleetMember {
	f.t.Helper()
	m := &fleetMember{n: len(f.members), bench: &bench{t: f.t, dir: shortDir(f.t), sim: f.sim}}
	m.env = append(os.Environ(), "BRAZE_API_KEY="+testKey, "NO_COLOR=1")
	f.members = append(f.members, m)
	m.life = f.witness.begin(m.n)
	m.write(fmt.Sprintf(`version: 1
braze: { workspace: test, endpoint: %s, api_key: "${BRAZE_API_KEY}", user_gap: 150ms, settle: 2s }
source:
  time_zone: UTC
  kafka: { brokers: ["%s"], group: scale, state_topic: scale-state }
web: { listen: "%s" }
limits: { drain: 10s }
models:
  - name: users
    kind: users
    topic: %s
    mode: sync
    load: all
    deletes: { max: 1000000, share: 100%% }
    identify: { external_id: id }
    custom: { plan: plan, note: note, v: { column: v, type: number } }
`, f.witness.serve(f.t, m.n, f.sim), strings.Join(f.brokers, `", "`), freeAddress(f.t), scaleTopic))
	return m
}

func (f *fleet) start(m *fleetMember) {
	f.t.Helper()
	if m.p != nil {
		m.life = f.witness.begin(m.n)
	}
	m.listen = ""
	m.p = m.runUnready()
	m.life.p = m.p
	f.t.Logf("%s: starts", m.life)
}

func (f *fleet) kill(m *fleetMember) {
	f.t.Helper()
	if m.p.ended() {
		f.t.Fatalf("%s ended by itself with exit code %d\n%s", m.life, m.p.cmd.ProcessState.ExitCode(), m.p.err.String())
	}
	f.kills++
	f.t.Logf("%s: killed", m.life)
	m.p.signal(syscall.SIGKILL)
	<-m.p.done
	f.witness.kill(m.life)
}

// leave stops a member in order.
func (f *fleet) leave(m *fleetMember) {
	f.t.Helper()
	f.t.Logf("%s: asked to stop", m.life)
	if code := m.p.stop(); code != 0 {
		f.t.Errorf("%s ended with exit code %d\n%s", m.life, code, m.p.err.String())
	}
}

// living are the members whose process runs, in a random order.
func (f *fleet) living() (out []*fleetMember) {
	for _, i := range f.random.Perm(len(f.members)) {
		if m := f.members[i]; m.p != nil && !m.p.ended() {
			out = append(out, m)
		}
	}
	return out
}

func (f *fleet) one() *fleetMember { return f.living()[0] }

// pass lets the history go on for a random while.
func (f *fleet) pass(least, most time.Duration) {
	f.t.Helper()
	select {
	case <-time.After(least + time.Duration(f.random.Int64N(int64(most-least)))):
	case <-f.t.Context().Done():
	}
}

// lag is how many records of the topic the group has not committed, -1 where it cannot be told.
func (f *fleet) lag() int64 {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	offsets, err := f.adm.FetchOffsets(ctx, "scale")
	if err != nil {
		return -1
	}
	ends, err := f.adm.ListEndOffsets(ctx, scaleTopic)
	if err != nil || ends.Error() != nil {
		return -1
	}
	lag := int64(0)
	ends.Each(func(e kadm.ListedOffset) {
		at := int64(0)
		if o, ok := offsets.Lookup(e.Topic, e.Partition); ok {
			at = max(o.At, 0)
		}
		lag += e.Offset - at
	})
	return lag
}

// settle waits until everything written is delivered and committed, and the profiles are as the rows are.
func (f *fleet) settle() {
	f.t.Helper()
	var differences []string
	var lag int64
	if !sourcetest.Poll(patience, 50*time.Millisecond, func() bool {
		if lag = f.lag(); lag > 0 {
			return false
		}
		differences = f.world.differences(f.members[0].bench)
		return len(differences) == 0
	}) {
		f.t.Fatalf("after %s the group is %d records behind, and %d users are not as they should be: %q", patience, lag, len(differences), differences[:min(len(differences), 10)])
	}
}

// finish stops all in order and judges the run.
func (f *fleet) finish() repeats {
	f.t.Helper()
	held := int64(0)
	for _, m := range f.living() {
		if err := m.statusSoon(); err != nil {
			f.t.Errorf("%s: %v", m.life, err)
			continue
		}
		held += m.status().Quarantine
		f.leave(m)
	}
	if held != 0 {
		f.t.Errorf("%d changes are held back", held)
	}
	if st := f.sim.Stats(); st.Refused > 0 || st.Overlaps > 0 {
		f.t.Errorf("%d objects were refused, %d requests overlapped with another one of the same user", st.Refused, st.Overlaps)
	}
	f.checkOrder()
	if d := f.world.differences(f.members[0].bench); len(d) > 0 {
		f.t.Errorf("at the end %d users are not as they should be: %q", len(d), d[:min(len(d), 10)])
	}
	for _, l := range f.witness.all {
		if l.p != nil {
			f.readCuts(l)
		}
	}
	r := f.witness.judge(f.t, f.world)
	f.t.Logf("written: %v", f.world.kinds)
	f.t.Logf("%d kills; sent again: attributes %s, deletes %s", f.kills, spread(r.attributes), spread(r.deletes))
	return r
}

// checkOrder looks for requests of one user that Braze applied in another order than they came. Two deletes may swap: what follows waits for both.
func (f *fleet) checkOrder() {
	f.t.Helper()
	paths := map[uint64]string{}
	for _, r := range f.sim.Requests(0) {
		paths[r.Seq] = r.Path
	}
	for _, v := range f.sim.Violations() {
		if v.Kind == brazesim.KindReordered && (paths[v.Earlier] != "/users/delete" || paths[v.Later] != "/users/delete") {
			f.t.Errorf("%s: %s was applied after a later %s\n%s", v.ExternalID, paths[v.Earlier], paths[v.Later],
				story(f.world.history(v.ExternalID), f.witness.users[v.ExternalID]))
			return
		}
	}
}

// readCuts finds in a process' log where it lost partitions, or gave them away with work unfinished: both happen on a machine that is too busy.
func (f *fleet) readCuts(l *life) {
	f.t.Helper()
	for line := range strings.Lines(l.p.err.String()) {
		var e struct {
			Time       time.Time
			Msg        string
			Unfinished int
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.Unfinished > 0 || strings.HasPrefix(e.Msg, "partitions lost") {
			f.t.Logf("%s: %s, %d unfinished", l, e.Msg, e.Unfinished)
			f.witness.cut(l, e.Time)
		}
	}
}

// statusSoon waits until a member answers.
func (m *fleetMember) statusSoon() error {
	var r result
	sourcetest.Poll(patience, 20*time.Millisecond, func() bool {
		r = m.brazecdc("status", "--json")
		return r.code == 0 || m.p.ended()
	})
	switch {
	case r.code == 0:
		return nil
	case m.p.ended():
		return fmt.Errorf("ended by itself with exit code %d", m.p.cmd.ProcessState.ExitCode())
	}
	return fmt.Errorf("does not answer: %s", r.err)
}

// TestScaleOut kills, restarts, adds and removes members of a group on a real broker while rows change. ROUNDS=n disturbs them n times more.
func TestScaleOut(t *testing.T) {
	rounds := 1
	if s := os.Getenv("ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("ROUNDS=%s: %v", s, err)
		}
	}
	broker := kafkaserver.ForTest(t, kafkaserver.Config{})
	f := newFleet(t, broker.Addr())
	for range 3 {
		f.start(f.member())
	}
	end := f.keepWriting()
	for range rounds {
		f.disturb()
	}
	end()
	f.settle()
	r := f.finish()
	// The record of what is done follows the answer within a moment, unless the machine is busy.
	for _, w := range append(r.attributes, r.deletes...) {
		if w > recordWithin {
			t.Errorf("what was sent %s before a kill was sent again", w)
		}
	}
}

// TestHandOver has members come and go in order while rows change: then nothing at all is sent twice, and nothing stale.
func TestHandOver(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	f := newFleet(t, cluster.ListenAddrs()...)
	end := f.keepWriting()
	f.start(f.member())
	f.pass(time.Second, 2*time.Second)
	f.start(f.member())
	f.pass(time.Second, 2*time.Second)
	for range 2 {
		f.start(f.member())
		f.pass(time.Second, 3*time.Second)
		m := f.one()
		f.leave(m)
		f.pass(time.Second, 2*time.Second)
		f.start(m)
		f.pass(0, 2*time.Second)
	}
	end()
	f.settle()
	if r := f.finish(); len(r.attributes)+len(r.deletes) > 0 {
		t.Errorf("sent again though nobody was killed: %+v", r)
	}
}

// keepWriting lets the history go on until the function that it gives is called.
func (f *fleet) keepWriting() (end func()) {
	stop, wrote := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(wrote)
		f.world.write(f.t, stop, scaleUsers, 12, 40*time.Millisecond)
	}()
	return func() {
		close(stop)
		<-wrote
	}
}

// disturb does each kind of harm once, in a random order, and leaves at least three members.
func (f *fleet) disturb() {
	f.t.Helper()
	f.pass(2*time.Second, 4*time.Second)
	harm := []func(){
		func() { // killed, and there again at once
			m := f.one()
			f.kill(m)
			f.start(m)
		},
		func() { // killed, and there again after the group noticed
			m := f.one()
			f.kill(m)
			f.pass(time.Second, 12*time.Second)
			f.start(m)
		},
		func() { // two at once
			two := f.living()[:2]
			f.kill(two[0])
			f.kill(two[1])
			f.start(two[0])
			f.pass(time.Second, 2*time.Second)
			f.start(two[1])
		},
		func() { f.start(f.member()) },
		func() { // one leaves in order, and comes back later
			m := f.one()
			f.leave(m)
			f.pass(time.Second, 3*time.Second)
			f.start(m)
		},
	}
	for _, i := range f.random.Perm(len(harm)) {
		harm[i]()
		f.pass(2*time.Second, 5*time.Second)
	}
	for len(f.living()) > 3 {
		f.leave(f.one())
	}
}
