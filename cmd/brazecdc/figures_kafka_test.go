package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka/throwaway"
)

const figurePartitions = 4

// topicCounts is how many records the topics of TestFiguresKafka hold.
type topicCounts struct {
	kfake, broker int
}

func chooseTopicCounts(quick bool) topicCounts {
	if quick {
		return topicCounts{kfake: 100_000, broker: 100_000}
	}
	return topicCounts{kfake: 500_000, broker: 1_000_000}
}

// TestFiguresKafka is TestFigures for topics: Debezium's changes of a table of 15 columns, ten of them mapped, in JSON without schema and in Avro, from
// topics of four partitions that are filled before anything is timed. Brokers are one in memory, inside this process, and a real one, of Java. The straight
// loop polls, decodes with the same decoder and posts 75 objects a call; see topicLoop.
func TestFiguresKafka(t *testing.T) {
	if !*figuresWanted {
		t.Log("run make bench to measure")
		return
	}
	f := newTopicFigures(t, chooseTopicCounts(os.Getenv("QUICK") != ""))
	if wanted("kafka_kfake") {
		t.Run("kfake", func(t *testing.T) { f.cluster(t, "kfake", f.n.kfake, startCluster(t)) })
	}
	if wanted("kafka_broker") {
		t.Run("broker", func(t *testing.T) {
			f.cluster(t, "broker", f.n.broker, throwaway.ForTest(t, throwaway.Config{}).Addr())
		})
	}
	f.summary()
}

// topicFigures is what the measurements of topics share.
type topicFigures struct {
	*figures
	n        topicCounts
	registry string
	// best are the figures of the newest kind of broker, by name without its suffix: the real one's where there is one.
	best  map[string]figure
	order []string
}

type figure struct {
	value float64
	unit  string
}

func newTopicFigures(t *testing.T, n topicCounts) *topicFigures {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	t.Cleanup(cancel)
	f := &topicFigures{figures: &figures{t: t, ctx: ctx, dir: t.TempDir()}, n: n, best: map[string]figure{}}
	f.bin = f.build()
	f.sim = f.startSimulator(freeAddress(t))
	reg := &registryServer{schemas: map[string]string{"1": keySchema, "2": valueSchema}}
	reg.up.Store(true)
	srv := httptest.NewServer(reg)
	t.Cleanup(srv.Close)
	f.registry = srv.URL
	return f
}

func startCluster(t testing.TB) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// cluster measures both formats against one broker.
func (f *topicFigures) cluster(t *testing.T, kind string, rows int, addr string) {
	sub := *f
	sub.figures = &figures{}
	*sub.figures = *f.figures
	sub.t, sub.sim.t = t, t
	defer func() { f.sim.t, f.order = f.t, sub.order }()
	sub.note(kind, "kafka_rows", float64(rows), "rows")
	for _, format := range []string{"json", "avro"} {
		if wanted("kafka_" + format) {
			sub.format(kind, format, rows, addr)
		}
	}
}

// format fills a topic and lets the straight loop and brazecdc drain it.
func (f *topicFigures) format(kind, format string, rows int, addr string) {
	task := topicTask{Broker: addr, Topic: "shop.public.customers_" + format, Rows: rows}
	task.Endpoint, task.Fields = f.sim.url, figureFields
	if format == "avro" {
		task.Registry = f.registry
	}
	task.fill(f.t)
	loop := f.topicStraight(task)
	f.note(kind, "kafka_straight_"+format+"_rows_per_s", loop.rate, "rows/s")
	f.note(kind, "kafka_straight_"+format+"_cpu_us_per_change", loop.cpu, "us")

	f.sim.reset()
	j := f.newTopicJob(kind+"_"+format, task)
	p := f.run(j)
	w := f.watch(p, rows, true)
	f.stop(p)
	f.note(kind, "kafka_"+format+"_rows_per_s", w.rate, "rows/s")
	f.note(kind, "kafka_"+format+"_ratio", w.rate/loop.rate, "of_straight_loop")
	f.note(kind, "kafka_"+format+"_cpu_us_per_change", w.cpu, "us")
	f.note(kind, "kafka_"+format+"_cpu_ratio", w.cpu/loop.cpu, "times_straight_loop")
	f.note(kind, "kafka_"+format+"_peak_rss_mb", p.peakRSS(), "MB")

	if format == "json" {
		f.unchanged(kind, j, task)
		f.replay(kind, j, task)
	}
	if kind == "kfake" { // what is allocated does not depend on the broker
		f.sim.reset()
		j = f.newTopicJob(kind+"_"+format+"_alloc", task)
		p = f.runMeasured(j)
		w = f.watch(p, rows, true)
		f.stop(p)
		f.note(kind, "kafka_"+format+"_allocs_per_change", w.allocs, "allocs")
		f.note(kind, "kafka_"+format+"_alloc_bytes_per_change", w.allocBytes, "B")
	}
}

// unchanged replays the whole topic, of which Braze has everything: no call to /users/track may be made.
func (f *topicFigures) unchanged(kind string, j *job, task topicTask) {
	before := f.sim.stats()
	p, took := f.replayed(j, task)
	st := f.sim.stats()
	if p.err != nil || st.Objects != before.Objects || st.calls() != before.calls() || !strings.Contains(p.tail(), "Done: "+strconv.Itoa(task.Rows)+" rows") {
		f.t.Fatalf("the replay of %d unchanged rows sent %d objects in %d calls: %v\n%s", task.Rows, st.Objects-before.Objects, st.calls()-before.calls(), p.err, p.tail())
	}
	f.note(kind, "replay_unchanged_rows", float64(task.Rows), "rows")
	f.note(kind, "replay_unchanged_calls", float64(st.calls()-before.calls()), "calls")
	f.note(kind, "replay_unchanged_rows_per_s", float64(task.Rows)/took.Seconds(), "rows/s")
}

// replay times "brazecdc replay" over the whole topic, alone over the data/ of a run that has read it, from its start to its end. Each user is sent once.
func (f *topicFigures) replay(kind string, j *job, task topicTask) {
	f.sim.reset()
	p, took := f.replayed(j, task, "--all-values")
	if st := f.sim.stats(); p.err != nil || st.Objects != task.Rows || st.Overlaps > 0 {
		f.t.Fatalf("the replay sent %d of %d objects, %d overlaps: %v\n%s", st.Objects, task.Rows, st.Overlaps, p.err, p.tail())
	}
	f.note(kind, "replay_rows", float64(task.Rows), "rows")
	f.note(kind, "replay_rows_per_s", float64(task.Rows)/took.Seconds(), "rows/s")
	spent := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	f.note(kind, "replay_cpu_us_per_row", float64(spent.Microseconds())/float64(task.Rows), "us")
	f.note(kind, "replay_rss_mb", p.peakRSS(), "MB")
}

// replayed runs "brazecdc replay" over a topic to its end.
func (f *topicFigures) replayed(j *job, task topicTask, flags ...string) (*proc, time.Duration) {
	began := time.Now()
	args := append([]string{"replay", "--config", j.config(), "--topic", task.Topic, "--yes"}, flags...)
	p := startProc(f.t, exec.Command(filepath.Join(f.bin, "brazecdc"), args...), j)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	late := time.After(figurePatience)
	for running := true; running; {
		select {
		case <-p.done:
			running = false
		case <-tick.C:
			p.peakRSS()
		case <-late:
			f.t.Fatalf("the replay does not end\n%s", p.tail())
		}
	}
	return p, time.Since(began)
}

// note prints a figure under its name with the kind of broker behind it, and keeps it for summary.
func (f *topicFigures) note(kind, name string, v float64, unit string) {
	f.print(name+"_"+kind, v, unit)
	if _, ok := f.best[name]; !ok {
		f.order = append(f.order, name)
	}
	f.best[name] = figure{v, unit}
}

// summary prints each figure once under its own name: the real broker's, where there is one.
func (f *topicFigures) summary() {
	for _, name := range f.order {
		f.print(name, f.best[name].value, f.best[name].unit)
	}
}

// newTopicJob is newJob for a topic, with a group of its own.
func (f *topicFigures) newTopicJob(name string, task topicTask) *job {
	f.t.Helper()
	j := &job{name: name, dir: filepath.Join(f.dir, name), web: freeAddress(f.t)}
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(j.config(), []byte(task.config(name, j.web)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return j
}

// topicTask tells the straight loop's process what to do.
type topicTask struct {
	Broker, Topic, Registry string
	Rows                    int
	straightTask
}

const topicEnv = "BRAZECDC_FIGURES_TOPIC" // topicTask as JSON

// topicStraight lets the straight loop drain a topic.
func (f *topicFigures) topicStraight(task topicTask) window {
	f.t.Helper()
	f.sim.reset()
	text, err := json.Marshal(task)
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTopicStraightLoop$", "-test.v")
	cmd.Env = append(os.Environ(), topicEnv+"="+string(text))
	p := startProc(f.t, cmd, nil)
	w := f.watch(p, task.Rows, false)
	<-p.done
	if p.err != nil {
		f.t.Fatalf("straight loop: %v\n%s", p.err, p.tail())
	}
	return w
}

// TestTopicStraightLoop is the straight loop over a topic, as a process of its own.
func TestTopicStraightLoop(t *testing.T) {
	env := os.Getenv(topicEnv)
	if env == "" {
		return // nothing to test: TestFiguresKafka starts this binary once more with the variable set
	}
	var task topicTask
	if err := json.Unmarshal([]byte(env), &task); err != nil {
		t.Fatal(err)
	}
	stop := profile(t)
	defer stop()
	if err := topicLoop(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

// topicLoop is what one would write without a care: it polls all partitions in one loop, outside any group, decodes each record with the same decoder, and
// goes on as straightLoop does.
func topicLoop(ctx context.Context, task topicTask) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(task.Broker), kgo.ConsumeTopics(task.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	schemas := fixedSchemas{1: keySchema, 2: valueSchema}
	dec, err := envelope.New(envelope.Config{Schemas: schemas})
	if err != nil {
		return err
	}
	poster := newStraightPoster(task.Endpoint)
	w := &straightWriter{task: task.straightTask, bodies: poster.bodies, spare: poster.spare}
	var changes []connector.Change
	for w.rows < task.Rows {
		fetches := cl.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			rec := envelope.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
			if changes, _, err = dec.Decode(ctx, changes[:0], &rec); err != nil {
				return err
			}
			for i := range changes {
				if err := w.add(changes[i].Key.ID, &changes[i].After); err != nil {
					return err
				}
			}
		}
	}
	w.flush()
	return poster.close()
}

// figureFields are the mapped columns of both loops' tables, in the order of the objects.
var figureFields = strings.Fields("email first_name last_name country plan credits visits is_vip last_seen note")
