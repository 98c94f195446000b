package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
	"brazecdc/connector/state"
)

// replayJob is one replay from its scan to its last row. Its goroutine is run; the members under mu are for those who ask.
type replayJob struct {
	r      *replays
	q      control.ReplayRequest
	id     string
	folder string // of its spool
	rng    kafka.Range
	mapper *mapping.Mapper // its own: a mapper's Map belongs to one goroutine, and its counts to the live stream
	models []int
	// remember are the models whose schedule goes over remembered rows.
	remember []string
	keys     map[string]bool // rows to keep to, and whether they were met; nil: all
	answers  chan bool
	cancel   context.CancelFunc
	rejoins  bool // it goes on after the configuration was exchanged

	spool   *state.Spool
	note    replayNote
	replay  *connector.Replay
	streams map[int32]string // the live stream of each partition that is read
	topic   string           // the topic's id
	plan    control.ReplayPlan

	mu        sync.Mutex
	now       control.ReplayStatus
	phaseAt   time.Time
	phaseFrom int64 // what the phase began with
	askedAt   time.Time
	reads     []int32 // the partitions that it reads
	moves     bool    // it goes on in another app
}

// replayNote is what a spool notes of the job with each write, so that another run can go on.
type replayNote struct {
	Topic      string               `json:"topic"` // its id
	Partitions []int32              `json:"partitions"`
	Next       map[int32]int64      `json:"next"` // where the scan goes on
	Seen       map[int32]int64      `json:"seen"` // behind the last record that was read
	Records    int64                `json:"records"`
	Poison     int64                `json:"poison"`
	Late       int64                `json:"late,omitempty"`    // events that are older than max_age
	Emptied    map[string]time.Time `json:"emptied,omitempty"` // topics with a TRUNCATE, and its time: rows before it are gone
	Met        []string             `json:"met,omitempty"`     // of the keys asked for
	SentTo     []byte               `json:"sent_to,omitempty"` // the place of the last user that is done
	Sent       int64                `json:"sent"`
}

var errReplayStopped = errors.New("the replay was stopped")

const (
	// spoolBytes is how much of a scan is collected in memory before it is written.
	spoolBytes = 4 << 20
	// spoolMemory is taken off the heap's limit while a replay works: the spool's store holds tables and blocks outside the heap, and the pages of its files.
	spoolMemory = 48 << 20
)

func (j *replayJob) run(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") == "" {
		limit := debug.SetMemoryLimit(-1)
		debug.SetMemoryLimit(limit - spoolMemory)
		defer debug.SetMemoryLimit(limit)
	}
	err := j.work(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if j.replay != nil {
		j.replay.Close()
	}
	if j.spool != nil {
		finish := j.spool.Close
		var bad *connector.StopError
		if err == nil || errors.As(err, &bad) && bad.Code == exitUsage && j.note.Sent == 0 { // nobody goes on with what was asked wrongly
			finish = j.spool.Remove
		}
		if cerr := finish(); err == nil {
			err = cerr
		}
	}
	j.end(err)
	s := j.status()
	j.r.a.log.Info("replay ended", "component", "replay", "topic", j.q.Topic, "id", j.id, "phase", s.Phase, "sent", s.Sent, "err", s.Error)
}

func (j *replayJob) work(ctx context.Context) error {
	a := j.r.a
	a.log.Info("replay begins", "component", "replay", "topic", j.q.Topic, "id", j.id, "from", j.q.From, "to", j.q.To, "dry_run", j.q.DryRun)
	look, err := newTopics(a.cfg, a.log, hooks{})
	if err != nil {
		return err
	}
	defer func() { _ = look.Close(context.WithoutCancel(ctx)) }() // it only read
	if j.rejoins {
		if err := j.rejoin(ctx); err != nil {
			return err
		}
	}
	// From here on live changes are noted. All that is asked of the brokers is asked after it.
	if j.replay, err = a.pipeline.BeginReplay(j.id, j.q.AllValues); err != nil {
		return fmt.Errorf("replay %s: %w", j.q.Topic, err)
	}
	if err := j.choose(ctx, look); err != nil {
		return err
	}
	if err := j.openSpool(); err != nil {
		return err
	}
	if err := j.scan(ctx, look); err != nil {
		return err
	}
	if err := j.wait(ctx); err != nil {
		return err
	}
	if err := j.count(ctx); err != nil {
		return err
	}
	if j.q.DryRun || j.plan.Total() == 0 {
		return nil
	}
	if err := j.ask(ctx); err != nil {
		return err
	}
	return j.send(ctx, look)
}

// choose says which partitions are read: those of this process, or all where none runs.
func (j *replayJob) choose(ctx context.Context, look *topics) error {
	infos, err := look.find(ctx, topicsAtLook, j.q.Topic)
	if err != nil {
		return err
	}
	all := infos[0].Partitions
	j.topic = hex.EncodeToString(infos[0].ID[:])
	for _, num := range j.q.Partitions {
		if num < 0 || int(num) >= all {
			return badReplay("--partition %d: topic %s has the partitions 0 to %d", num, j.q.Topic, all-1)
		}
	}
	j.streams = map[int32]string{}
	if j.r.alone {
		for num := range int32(all) {
			j.streams[num] = kafka.StreamOf(j.q.Topic, num, 0)
		}
		// Records that the group has not come to are brought by the next run, in their order.
		if j.rng.Cut, err = look.Committed(ctx, j.q.Topic); err != nil {
			return err
		}
	} else {
		for _, l := range j.r.a.topics.Lags() {
			if l.Topic == j.q.Topic {
				j.streams[l.Partition] = l.Stream
			}
		}
	}
	for num := range int32(all) {
		asked := len(j.q.Partitions) == 0 || slices.Contains(j.q.Partitions, num)
		if _, here := j.streams[num]; asked && !here {
			j.plan.Others = append(j.plan.Others, num)
		}
		if !asked {
			delete(j.streams, num)
		}
	}
	if len(j.streams) == 0 {
		return fmt.Errorf("replay %s: this process has none of the partitions %v now; run the same command at the members of group %q that have them",
			j.q.Topic, j.plan.Others, j.r.a.cfg.Source.Kafka.Group)
	}
	j.rng.Partitions = slices.Sorted(maps.Keys(j.streams))
	j.mu.Lock()
	j.reads = j.rng.Partitions
	j.mu.Unlock()
	return nil
}

// openSpool opens what an earlier run of the same left, unless it read other partitions, or another topic of this name: its rows may be older than what is in
// this one below the offset at which it stopped.
func (j *replayJob) openSpool() (err error) {
	log := j.r.a.log
	j.r.sweep(j.folder)
	if j.q.Restart {
		if err := os.RemoveAll(j.folder); err != nil {
			return fmt.Errorf("begin the replay anew: %w", err)
		}
	}
	if j.spool, err = state.OpenSpool(j.folder, log); err != nil {
		return err
	}
	if b := j.spool.Note(); b != nil {
		old := replayNote{}
		if err := json.Unmarshal(b, &old); err == nil && old.Topic == j.topic && slices.Equal(old.Partitions, j.rng.Partitions) {
			j.note = old
			j.rng.Resume = old.Next
			for _, k := range old.Met {
				j.keys[k] = true
			}
			j.progress(func(s *control.ReplayStatus) { s.Resumed, s.Sent = true, old.Sent })
			return nil
		}
		log.Warn("an earlier run of this replay read other partitions, or a topic that was deleted and made again, and it begins anew", "component", "replay",
			"then", old.Partitions, "now", j.rng.Partitions, "topic_id_then", old.Topic, "topic_id_now", j.topic)
		if err := j.spool.Remove(); err != nil {
			return err
		}
		if j.spool, err = state.OpenSpool(j.folder, log); err != nil {
			return err
		}
	}
	j.note = replayNote{Topic: j.topic, Partitions: j.rng.Partitions, Next: map[int32]int64{}, Seen: map[int32]int64{}}
	return nil
}

// scan reads the range, and on to the log's end, into the spool.
func (j *replayJob) scan(ctx context.Context, look *topics) error {
	rep, err := look.Replay(ctx, j.rng)
	if err != nil {
		return badRange(err)
	}
	defer rep.Close()
	p := rep.Progress()
	j.progress(func(s *control.ReplayStatus) { s.Done, s.Total = p.Done, p.Total })
	j.mu.Lock()
	j.phaseFrom = p.Done
	j.mu.Unlock()
	poison := j.note.Poison
	flush := func() error {
		p := rep.Progress()
		j.note.Poison = poison + p.Poison
		for num := range p.Next {
			j.note.Next[num] = p.Next[num]
			j.note.Seen[num] = max(j.note.Seen[num], p.Seen[num])
		}
		return j.flush()
	}
	told := time.Now()
	for n := 0; ; n++ {
		r, err := rep.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, flush()) // what was read need not be read again
		}
		j.note.Records++
		for i := range r.Changes {
			if err := j.collect(&r, i); err != nil {
				return err
			}
		}
		if j.spool.Pending() > spoolBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		if n%100 == 0 && time.Since(told) > 100*time.Millisecond {
			told = time.Now()
			p := rep.Progress()
			j.progress(func(s *control.ReplayStatus) { s.Done = p.Done })
		}
	}
	if err := flush(); err != nil {
		return err
	}
	ends := map[string]uint64{}
	for num := range j.streams {
		ends[connector.PartOf(j.streams[num])] = uint64(j.note.Seen[num])
	}
	j.replay.Scanned(ends)
	j.progress(func(s *control.ReplayStatus) { s.Done = s.Total })
	return j.missing()
}

// badRange tells a range that makes no sense from a broker that does not answer.
func badRange(err error) error {
	var stop *connector.StopError
	if errors.As(err, &stop) || !errors.Is(err, kafka.ErrRange) {
		return err
	}
	return badReplay("%v", err)
}

func (j *replayJob) flush() error {
	j.note.Met = nil
	for key, met := range j.keys {
		if met {
			j.note.Met = append(j.note.Met, key)
		}
	}
	b, err := json.Marshal(&j.note)
	if err != nil {
		return fmt.Errorf("note how far the replay is: %w", err)
	}
	return j.spool.Flush(b)
}

// missing refuses keys that no record has: one is misspelt more often than not.
func (j *replayJob) missing() error {
	var none []string
	for key, met := range j.keys {
		if !met {
			none = append(none, key)
		}
	}
	if len(none) == 0 {
		return nil
	}
	slices.Sort(none)
	return badReplay("--key: no record of the range has the key %v", none)
}

// wait lets the live stream come up to where the scan ended: nothing that is older than what the replay found is to come after it.
func (j *replayJob) wait(ctx context.Context) error {
	j.phase(control.ReplayWaits, 0)
	j.progress(func(s *control.ReplayStatus) { s.Text = "the live stream delivers what it had taken" })
	if err := j.replay.Settled(ctx); err != nil || j.r.alone {
		return err
	}
	for num, stream := range j.streams {
		end := j.note.Seen[num]
		j.progress(func(s *control.ReplayStatus) {
			s.Text = fmt.Sprintf("the live stream of partition %d comes up to offset %d", num, end)
		})
		for _, l := range j.r.a.topics.Lags() {
			if l.Stream == stream && l.Began < end {
				if err := j.replay.Passed(ctx, stream, uint64(end)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ask waits for the answer whether what was found is to be sent.
func (j *replayJob) ask(ctx context.Context) error {
	j.phase(control.ReplayAsks, 0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case yes := <-j.answers:
			if !yes {
				return errReplayStopped
			}
			return nil
		case <-tick.C:
			j.mu.Lock()
			gone := time.Since(j.askedAt) > replayUnwatched
			j.mu.Unlock()
			if gone {
				return errReplayStopped
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
