package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/control"
	"brazecdc/connector/sourcetest"
)

// at gives a record its place in time, in hours of a day.
func at(hour int, r *kgo.Record) *kgo.Record {
	r.Timestamp = time.Date(2026, 11, 1, hour, 0, 0, 0, time.UTC)
	return r
}

// offsets gives what the group has committed.
func offsets(t *testing.T, cl *kgo.Client) map[int32]int64 {
	t.Helper()
	all, err := kadm.NewClient(cl).FetchOffsets(t.Context(), "shop")
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // nobody has joined yet
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	for num, o := range all["shop.users"] {
		out[num] = o.At
	}
	return out
}

// settled waits until everything that was produced is delivered and the group was told, and gives its offsets.
func (b *bench) settled(cl *kgo.Client, records int64) map[int32]int64 {
	b.t.Helper()
	sum := func(m map[int32]int64) (n int64) {
		for _, o := range m {
			n += o
		}
		return n
	}
	b.until(fmt.Sprintf("%d records are committed", records), func() bool { return sum(offsets(b.t, cl)) == records })
	return offsets(b.t, cl)
}

// forgotten empties the simulator, as a workspace that lost what it had.
func (b *bench) forgotten() {
	b.sim.Reset()
}

func (b *bench) noSpool() {
	b.t.Helper()
	left, err := filepath.Glob(filepath.Join(b.dir, "cache", replayPrefix+"*"))
	if err != nil || len(left) > 0 {
		b.t.Errorf("a replay left %v, %v", left, err)
	}
}

func (b *bench) absent(users ...string) {
	b.t.Helper()
	for _, u := range users {
		if p, ok := b.sim.Profile(u); ok {
			b.t.Errorf("%s is there: %+v", u, p)
		}
	}
}

func (b *bench) holds(user, field, want string) {
	b.t.Helper()
	if got := b.profile(user, field); got != want {
		b.t.Errorf("%s of %s is %s, want %s", field, user, got, want)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 3, topicModel+"\nfilter: plan != \"internal\"\non_leave: keep")
	produce(t, cl,
		at(1, debezium("c", "u-1", "free", 1)), at(1, debezium("c", "u-2", "free", 1)), at(1, debezium("c", "u-3", "free", 1)),
		at(1, debezium("c", "u-4", "free", 1)), at(1, debezium("c", "u-5", "free", 5)),
		at(2, debezium("u", "u-1", "pro", 2)),      // last value
		at(2, debezium("d", "u-3", "free", 1)),     // deleted
		at(2, debezium("u", "u-4", "internal", 1)), // filtered out
		at(3, &kgo.Record{Topic: "shop.users", Key: []byte(`{"id":"u-6"}`), Value: []byte(`{"before"`)}),
		at(9, debezium("u", "u-2", "pro", 2)), at(9, debezium("c", "u-7", "free", 7)), // after the range
	)
	p := b.run()
	before := b.settled(cl, 11)
	span := []string{"replay", "--topic", "shop.users", "--from", "2026-11-01", "--to", "2026-11-01T05:00:00Z"}
	whole := `{"attributes":[{"external_id":"u-1","plan":"pro","credits":2}]}`

	t.Run("what Braze is known to have is not sent again", func(t *testing.T) {
		n := b.sim.Stats().Endpoints["/users/track"].Objects
		wantIn(t, b.must(append(span, "--yes")...), "Done: 2 rows delivered, or known to be at Braze already")
		if again := b.sim.Stats().Endpoints["/users/track"].Objects; again != n {
			t.Errorf("%d objects were sent", again-n)
		}
	})
	t.Run("a dry run says what it would do and sends nothing", func(t *testing.T) {
		b.forgotten()
		out := b.must(append(span, "--dry-run")...)
		wantIn(t, out, "to be sent: 2 users, 2 rows, at most 4 data points", "1, changed after the range", "2, deleted, or nothing for the model", "1, records that cannot be decoded",
			"POST /users/track", whole, "Nothing was sent")
		if n := b.sim.Stats().Requests; n != 0 {
			t.Errorf("%d requests", n)
		}
		b.noSpool()
	})
	t.Run("inside the running process: the last value of each row, and no offset moves", func(t *testing.T) {
		out := b.must(append(span, "--all-values", "--yes")...)
		wantIn(t, out, "reading", "can", "Done: 2 rows delivered", "starts campaigns")
		b.holds("u-1", "plan", `"pro"`)
		b.holds("u-1", "credits", `2`)
		b.holds("u-5", "credits", `5`)
		b.absent("u-2", "u-3", "u-4", "u-7")
		if after := offsets(t, cl); !maps.Equal(before, after) {
			t.Errorf("offsets were %v and are %v", before, after)
		}
		b.noSpool()
		wantIn(t, b.must("status"), "running")
		if st := b.status(); st.OpenChanges != 0 || st.Quarantine != 1 {
			t.Errorf("open %d, quarantine %d", st.OpenChanges, st.Quarantine)
		}
	})
	t.Run("one key, one partition, one model", func(t *testing.T) {
		b.forgotten()
		wantIn(t, b.must("replay", "--topic", "shop.users", "--model", "users", "--key", "u-5", "--all-values", "--yes"), "Done: 1 row delivered")
		b.holds("u-5", "credits", `5`)
		b.absent("u-1", "u-2", "u-7")
		b.must("replay", "--topic", "shop.users", "--partition", "0", "--partition", "1,2", "--all-values", "--yes")
		b.holds("u-7", "plan", `"free"`)
		b.holds("u-2", "plan", `"pro"`)
	})
	t.Run("what cannot be is refused with a reason", func(t *testing.T) {
		for want, args := range map[string][]string{
			"say which topic":         {},
			"neither a time":          {"--topic", "shop.users", "--from", "yesterday"},
			"no terminal":             {"--topic", "shop.users"},
			"no model reads it":       {"--topic", "shop.orders", "--yes"},
			"no such model":           {"--topic", "shop.users", "--model", "orders", "--yes"},
			"has the key [u-99]":      {"--topic", "shop.users", "--key", "u-99", "--yes"},
			"partitions 0 to 2":       {"--topic", "shop.users", "--partition", "7", "--yes"},
			"begins behind its end":   {"--topic", "shop.users", "--from", "2026-11-01T05:00:00Z", "--to", "2026-11-01", "--yes"},
			"behind the end of every": {"--topic", "shop.users", "--from", "4711", "--yes"},
		} {
			r := b.brazecdc(append([]string{"replay"}, args...)...)
			if r.code != exitUsage || !strings.Contains(r.err, want) {
				t.Errorf("%v: exit code %d, want %q in\n%s", args, r.code, want, r.err)
			}
		}
	})
	t.Run("a live change while it asks is not overwritten", func(t *testing.T) {
		b.forgotten()
		client, err := control.Dial(t.Context(), filepath.Join(b.dir, "data"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		s, err := client.StartReplay(t.Context(), control.ReplayRequest{Topic: "shop.users", To: "2026-11-01T05:00:00Z", AllValues: true})
		if err != nil {
			t.Fatal(err)
		}
		reach := func(phase control.ReplayPhase) {
			t.Helper()
			b.until("it is at "+string(phase), func() bool {
				if s, err = client.Replay(t.Context(), s.ID); err != nil {
					t.Fatal(err)
				}
				return s.Phase == phase
			})
		}
		reach(control.ReplayAsks)
		if r := b.brazecdc("replay", "--topic", "shop.users", "--all-values", "--yes"); r.code == 0 || !strings.Contains(r.err, "another replay is under way") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
		produce(t, cl, debezium("u", "u-1", "gold", 9))
		b.arrives("u-1", "plan", `"gold"`)
		if err := client.AnswerReplay(t.Context(), s.ID, true); err != nil {
			t.Fatal(err)
		}
		reach(control.ReplayDone)
		b.holds("u-1", "plan", `"gold"`)
		b.holds("u-5", "credits", `5`)
		if s.Left[connector.LeftChanged] != 1 || s.Sent != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("deletes only with --deletes, and by the mode", func(t *testing.T) {
		produce(t, cl, debezium("c", "u-8", "free", 8), debezium("d", "u-8", "free", 8))
		b.until("u-8 is deleted", func() bool { return b.sim.Stats().Endpoints["/users/delete"].Objects > 0 })
		b.settled(cl, 14)
		b.until("it has settled", func() bool { return len(b.status().Parked) == 0 })
		b.forgotten()
		wantIn(t, b.must("replay", "--topic", "shop.users", "--all-values", "--yes"), "to be sent: 4 users")
		if n := b.sim.Stats().Endpoints["/users/delete"].Objects; n != 0 {
			t.Errorf("%d deletes", n)
		}
		wantIn(t, b.must("replay", "--topic", "shop.users", "--deletes", "--all-values", "--yes"), "2 deletes", "can't be undone")
		if n := b.sim.Stats().Endpoints["/users/delete"].Objects; n != 2 {
			t.Errorf("%d deletes", n)
		}
	})
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Run("alone, after the process ended, and what the group has not read is left to the next run", func(t *testing.T) {
		before := offsets(t, cl)
		produce(t, cl, debezium("u", "u-5", "team", 6))
		b.forgotten()
		out := b.must("replay", "--topic", "shop.users", "--all-values", "--yes")
		wantIn(t, out, "1, not read by the group yet", "to be sent: 3 users", "Done: 3 rows delivered")
		b.holds("u-1", "plan", `"gold"`)
		b.absent("u-3", "u-4", "u-5")
		if after := offsets(t, cl); !maps.Equal(before, after) {
			t.Errorf("offsets were %v and are %v", before, after)
		}
		b.noSpool()
		b.listen = ""
		p = b.run()
		b.arrives("u-5", "plan", `"team"`)
		if strings.Contains(p.out.String(), "First start") {
			t.Error("the run after it takes itself for the first")
		}
	})
	t.Run("alone it refuses while the group has members", func(t *testing.T) {
		m := b.member(t)
		r := m.brazecdc("replay", "--topic", "shop.users", "--all-values", "--yes")
		if r.code != exitUsage || !strings.Contains(r.err, "has live members") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
	})
}

func TestReplayResumes(t *testing.T) {
	t.Parallel()
	const users = 3000
	for _, live := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone, after a kill", true: "inside a process that was killed, with changes since"}[live], func(t *testing.T) {
			t.Parallel()
			b, cl := newTopicBench(t, 2, topicModel)
			var recs []*kgo.Record
			for u := range users {
				recs = append(recs, debezium("c", "u-"+strconv.Itoa(u), "free", u))
			}
			produce(t, cl, recs...)
			p := b.run()
			b.settled(cl, users)
			b.forgotten()
			if !live {
				p.stop()
			}
			// Every call takes its time, so that the kill comes in the middle.
			if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Delay: 300 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			b.edit("  user_gap: 20ms", "  user_gap: 20ms\n  senders: 1")
			if live {
				p.stop()
				b.listen = ""
				p = b.run()
			}
			replay := start(t, b.env, "replay", "--topic", "shop.users", "--all-values", "--yes", "--config", b.config())
			b.until("some rows are delivered, and it is noted", func() bool {
				m := regexp.MustCompile(`sending +\d+ %  (\d+) of`).FindAllStringSubmatch(replay.out.String(), -1)
				if len(m) == 0 {
					return false
				}
				n, _ := strconv.Atoi(m[len(m)-1][1])
				return n > 600
			})
			if live {
				p.signal(syscall.SIGKILL)
				<-p.done
			} else {
				replay.signal(syscall.SIGKILL)
			}
			<-replay.done
			b.sim.ClearFaults("/users/track")
			sent := b.sim.Stats().Endpoints["/users/track"].Objects
			if sent == 0 || sent >= users {
				t.Fatalf("%d of %d users were sent before the kill", sent, users)
			}
			if live {
				b.listen = ""
				b.run()
				last := "u-" + strconv.Itoa(users-1)
				produce(t, cl, debezium("u", last, "gold", -1))
				b.arrives(last, "plan", `"gold"`)
			}
			out := b.must("replay", "--topic", "shop.users", "--all-values", "--yes")
			wantIn(t, out, "An earlier run is gone on with", "Done:")
			if m := regexp.MustCompile(`to be sent: (\d+) users`).FindStringSubmatch(out); m == nil || m[1] == strconv.Itoa(users) {
				t.Errorf("it begins anew:\n%s", out)
			}
			for u := range users - 1 {
				b.holds("u-"+strconv.Itoa(u), "credits", strconv.Itoa(u))
			}
			b.holds("u-"+strconv.Itoa(users-1), "credits", map[bool]string{false: strconv.Itoa(users - 1), true: "-1"}[live])
			b.noSpool()
			if again := b.sim.Stats().Endpoints["/users/track"].Objects - users; again > 1500 {
				t.Errorf("%d objects were sent twice", again)
			}
		})
	}
}

// stoppedReplay has a running process deliver 200 users of a topic and begins to replay them, until it sends and is stopped.
func stoppedReplay(t *testing.T) (*bench, *kgo.Client, *process) {
	t.Helper()
	b, cl := newTopicBench(t, 1, topicModel)
	for u := range 200 {
		produce(t, cl, debezium("c", "u-"+strconv.Itoa(u), "free", u))
	}
	p := b.run()
	b.settled(cl, 200)
	b.forgotten()
	if err := b.sim.Faults(brazesim.Fault{Endpoint: "/users/track", Status: 503}); err != nil {
		t.Fatal(err)
	}
	replay := start(t, b.env, "replay", "--topic", "shop.users", "--all-values", "--yes", "--config", b.config())
	b.until("it sends", func() bool { return strings.Contains(replay.out.String(), "sending") })
	replay.signal(syscall.SIGINT)
	if code := replay.wait(); code != connector.ExitDeadline {
		t.Errorf("exit code %d", code)
	}
	wantIn(t, replay.out.String(), "Stopped after 0 rows", "the same command goes on")
	b.sim.ClearFaults("/users/track")
	return b, cl, p
}

func TestReplayStops(t *testing.T) {
	t.Parallel()
	b, _, p := stoppedReplay(t)
	wantIn(t, b.must("replay", "--topic", "shop.users", "--all-values", "--yes"), "An earlier run is gone on with", "Done: 200 rows delivered")
	b.holds("u-150", "credits", "150")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestReplayOfANewTopic: what a replay collected of a topic that was deleted since is not what the new one of its name holds.
func TestReplayOfANewTopic(t *testing.T) {
	t.Parallel()
	b, cl, p := stoppedReplay(t)
	p.stop()
	if _, err := kadm.NewClient(cl).DeleteTopic(t.Context(), "shop.users"); err != nil {
		t.Fatal(err)
	}
	createTopics(t, cl, "shop.users")
	anew, err := kgo.NewClient(cl.Opts()...) // the old one goes on writing to the topic that is gone
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	produce(t, anew, debezium("c", "u-150", "new", 1500))
	out := b.must("replay", "--topic", "shop.users", "--all-values", "--yes")
	wantIn(t, out, "Done: 1 row delivered")
	if strings.Contains(out, "gone on with") {
		t.Errorf("it goes on in another topic:\n%s", out)
	}
	b.holds("u-150", "credits", "1500")
}

func TestReplayCompacted(t *testing.T) {
	t.Parallel()
	b, _ := newTopicBench(t, 1, topicModel)
	cluster, cl, brokers := newCluster(t)
	b.write(regexp.MustCompile(`brokers: \[[^\]]*\]`).ReplaceAllString(b.text, fmt.Sprintf("brokers: [%q]", strings.Join(brokers, `", "`))))
	if err := cluster.CreateTopic("shop.users", 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "2000", "min.cleanable.dirty.ratio": "0"}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		produce(t, cl, debezium("u", "u-"+strconv.Itoa(i%4), "free", i))
	}
	produce(t, cl, debezium("d", "u-3", "free", 0), &kgo.Record{Topic: "shop.users", Key: []byte(`{"id":"u-3"}`)})
	cluster.Compact()
	p := b.run()
	b.arrives("u-2", "credits", "38")
	b.settled(cl, 42)
	b.forgotten()
	out := b.must("replay", "--topic", "shop.users", "--all-values", "--yes")
	if m := regexp.MustCompile(`(\d+) records of topic`).FindStringSubmatch(out); m == nil || m[1] == "41" {
		t.Errorf("nothing was compacted away:\n%s", out)
	}
	for u, want := range []string{"36", "37", "38"} {
		b.holds("u-"+strconv.Itoa(u), "credits", want)
	}
	b.absent("u-3")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestReplayNeedsTopic(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	r := b.brazecdc("replay", "--topic", "users", "--all-values", "--yes")
	if r.code != exitUsage || !strings.Contains(r.err, "the source is Postgres") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

// TestReplayMemory replays a million records of a kilobyte and prints the time and the most memory it took. REPLAY_RECORDS sets another number.
func TestReplayMemory(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("REPLAY_RECORDS"))
	if err != nil {
		n = 20_000
	}
	b, cl := newTopicBench(t, 4, topicModel)
	plan := strings.Repeat("x", 240)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for i := range n {
		r := debezium("c", "user-"+strconv.Itoa(i), plan, i)
		r.Value = append(r.Value, strings.Repeat(" ", max(0, 1000-len(r.Value)))...)
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	replay := start(t, b.env, "replay", "--topic", "shop.users", "--all-values", "--yes", "--config", b.config())
	most := int64(0)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", replay.cmd.Process.Pid)); err == nil {
				if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text); m != nil {
					kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
					most = max(most, kb)
				}
			}
		case <-replay.done:
			ended = true
		case <-ctx.Done():
			t.Fatal("it takes too long")
		}
	}
	t.Logf("%d records in %s, at most %d MB resident", n, time.Since(began).Round(time.Millisecond), most>>10)
	wantIn(t, replay.out.String(), fmt.Sprintf("Done: %d rows delivered", n))
	if most > 200<<10 {
		t.Errorf("%d MB resident", most>>10)
	}
}

// TestReplayUnchanged: a replay of rows that Braze has makes no call. make bench does the same with a million of them.
func TestReplayUnchanged(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	b, _ := newTopicBench(t, 1, topicModel) // another topic of its brokers is read
	broker := regexp.MustCompile(`brokers: \["([^"]+)"`).FindStringSubmatch(b.text)[1]
	task := topicTask{Broker: broker, Topic: "shop.public.customers", Rows: rows, straightTask: straightTask{Endpoint: endpointOf(b.text)}}
	b.write(strings.NewReplacer(figureKey, testKey, "log: { level: info, format: text }\n", "").Replace(task.config("shop", "127.0.0.1:0")))
	task.fill(t)
	calls := func() (n int) { return b.sim.Stats().Endpoints["/users/track"].Requests }
	p := b.run()
	if !sourcetest.Poll(figurePatience, 20*time.Millisecond, func() bool { return b.sim.Stats().Endpoints["/users/track"].Objects == rows }) {
		t.Fatal("the rows do not arrive")
	}
	first := calls()
	replay := []string{"replay", "--topic", task.Topic, "--yes"}
	wantIn(t, b.must(replay...), fmt.Sprintf("Done: %d rows delivered, or known to be at Braze already", rows))
	if n := calls() - first; n != 0 {
		t.Errorf("%d calls of /users/track inside the running process", n)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	wantIn(t, b.must(replay...), fmt.Sprintf("Done: %d rows delivered, or known to be at Braze already", rows))
	if n := calls() - first; n != 0 {
		t.Errorf("%d calls of /users/track alone", n)
	}
	b.must("replay", "--topic", task.Topic, "--key", "77", "--all-values", "--yes")
	if n := calls() - first; n != 1 {
		t.Errorf("%d calls where one row goes again, want 1", n)
	}
}
