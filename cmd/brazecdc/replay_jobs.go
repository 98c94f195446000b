package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
)

const (
	// replayPrefix begins the names of the folders in cache/ in which replays collect.
	replayPrefix = "replay-"
	// replayKept is how long the folder of a replay that stopped waits for somebody who goes on with it.
	replayKept = 7 * 24 * time.Hour
	// replayUnwatched is how long a question waits whose asker is gone.
	replayUnwatched = 30 * time.Second
)

// replays answers control.Replays with one job at a time, inside a running process or alone.
type replays struct {
	a     *app
	cache string // the folder cache/
	alone bool   // no member of the group runs in this process

	mu     sync.Mutex
	ctx    context.Context // of jobs: that of the run; nil before and after
	job    *replayJob      // the last one
	worker sync.WaitGroup
}

var _ control.Replays = (*replays)(nil)

// underWay tells whether a replay has begun and not ended.
func (r *replays) underWay() bool {
	r.mu.Lock()
	job := r.job
	r.mu.Unlock()
	return job != nil && !job.status().Phase.Ended()
}

// open lets jobs begin; they end with ctx.
func (r *replays) open(ctx context.Context) {
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
}

// close waits for the end of the job; the context that open was given must have ended, or nobody may want more of it.
func (r *replays) close() {
	r.mu.Lock()
	r.ctx = nil
	if r.job != nil {
		r.job.cancel()
	}
	r.mu.Unlock()
	r.worker.Wait()
}

// StartReplay implements control.Replays.
func (r *replays) StartReplay(_ context.Context, q control.ReplayRequest) (*control.ReplayStatus, error) {
	j, err := r.prepare(q)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || r.ctx.Err() != nil {
		return nil, errors.New("replay: the process is ending")
	}
	if r.job != nil && !r.job.status().Phase.Ended() {
		if r.job.id == j.id && !q.Restart {
			return r.job.watched(), nil
		}
		return nil, fmt.Errorf("replay %s: %w", q.Topic, connector.ErrReplayRuns)
	}
	r.begin(j)
	return j.watched(), nil
}

// begin has a job work. The lock is held.
func (r *replays) begin(j *replayJob) {
	ctx, cancel := context.WithCancel(r.ctx)
	j.cancel = cancel
	r.job = j
	r.worker.Go(func() {
		defer cancel()
		j.run(ctx)
	})
}

func (r *replays) byID(id string) (*replayJob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job == nil || r.job.id != id {
		return nil, fmt.Errorf("there is no replay %q in this process: it was started anew, or works with another configuration", id)
	}
	return r.job, nil
}

// Replay implements control.Replays.
func (r *replays) Replay(_ context.Context, id string) (*control.ReplayStatus, error) {
	j, err := r.byID(id)
	if err != nil {
		return nil, err
	}
	return j.watched(), nil
}

// AnswerReplay implements control.Replays.
func (r *replays) AnswerReplay(_ context.Context, id string, yes bool) error {
	j, err := r.byID(id)
	if err != nil {
		return err
	}
	if j.status().Phase != control.ReplayAsks {
		return fmt.Errorf("replay %s asks nothing now", id)
	}
	select {
	case j.answers <- yes:
	default: // answered already
	}
	return nil
}

// StopReplay implements control.Replays.
func (r *replays) StopReplay(_ context.Context, id string) error {
	j, err := r.byID(id)
	if err != nil {
		return err
	}
	j.cancel()
	return nil
}

// prepare checks a request and makes its job.
func (r *replays) prepare(q control.ReplayRequest) (*replayJob, error) {
	a := r.a
	if a.cfg.Source.Kafka == nil {
		return nil, noReplay()
	}
	j := &replayJob{r: r, q: q, answers: make(chan bool, 1), cancel: func() {}}
	var err error
	if j.rng.From, err = kafka.ParsePlace(q.From); err != nil {
		return nil, badReplay("--from: %v", err)
	}
	if j.rng.To, err = kafka.ParsePlace(q.To); err != nil {
		return nil, badReplay("--to: %v", err)
	}
	j.rng.Topic = q.Topic
	if j.mapper, err = a.ownMapper(); err != nil {
		return nil, err
	}
	j.remember = rememberedModels(a.cfg)
	if j.models, err = replayModels(j.mapper, q); err != nil {
		return nil, err
	}
	if len(q.Keys) > 0 {
		j.keys = map[string]bool{}
		for _, text := range q.Keys {
			key, err := rowKeyOf(a.tables[q.Topic], text)
			if err != nil {
				return nil, err
			}
			j.keys[key] = false
		}
	}
	if j.id, err = replayID(a, j.mapper, q); err != nil {
		return nil, err
	}
	j.folder = filepath.Join(r.cache, replayPrefix+j.id)
	j.phase(control.ReplayScans, 0)
	return j, nil
}

// replayModels gives the models that a topic feeds, or those of them that are asked for. What models of events make of a row happens a second time, so they
// have to be asked for.
func replayModels(m *mapping.Mapper, q control.ReplayRequest) (models []int, err error) {
	infos := m.Models()
	var names, fed []string
	happens := false
	for i := range infos {
		names = append(names, infos[i].Name)
		if infos[i].Happens && !q.Events {
			if slices.Contains(q.Models, infos[i].Name) {
				return nil, badReplay("--model %s: its events would happen a second time; say so with --events", infos[i].Name)
			}
			happens = happens || infos[i].On(q.Topic)
			continue
		}
		if infos[i].On(q.Topic) {
			fed = append(fed, infos[i].Name)
			if len(q.Models) == 0 || slices.Contains(q.Models, infos[i].Name) {
				models = append(models, i)
			}
		}
	}
	for _, name := range q.Models {
		switch {
		case !slices.Contains(names, name):
			return nil, badReplay("--model %s: there is no such model; the configuration has %v", name, names)
		case !slices.Contains(fed, name):
			return nil, badReplay("--model %s: topic %s does not feed it; it feeds %v", name, q.Topic, fed)
		}
	}
	switch {
	case len(fed) == 0 && happens:
		return nil, badReplay("--topic %s: only models of events read it, and these would happen a second time; say so with --events", q.Topic)
	case len(fed) == 0:
		var topics []string
		for i := range infos {
			topics = append(topics, infos[i].Table)
		}
		return nil, badReplay("--topic %s: no model reads it; the models read %v", q.Topic, slices.Compact(topics))
	}
	return models, nil
}

// rowKeyOf reads a row's key as a person writes it, or as quarantine shows it.
func rowKeyOf(t *connector.Table, text string) (string, error) {
	if t == nil {
		return text, nil
	}
	if _, err := connector.SplitKey(t, text); err == nil {
		return text, nil
	}
	key, err := keyOf(t, text)
	if err != nil {
		return "", badReplay("%v", err)
	}
	return key, nil
}

// replayID names what is asked for and all that decides what comes of it, so that a later run goes on only with what is the same.
func replayID(a *app, m *mapping.Mapper, q control.ReplayRequest) (string, error) {
	type fieldID struct {
		Name string
		Hash uint64
	}
	id := struct {
		Request             control.ReplayRequest
		Workspace, Endpoint string
		Group               string
		Models              []fieldID
		Fields              []fieldID
	}{Request: q, Workspace: a.cfg.Braze.Workspace, Endpoint: a.cfg.Braze.Endpoint, Group: a.cfg.Source.Kafka.Group}
	id.Request.Restart = false
	for _, list := range []*[]string{&id.Request.Keys, &id.Request.Models} {
		*list = slices.Sorted(slices.Values(*list))
	}
	id.Request.Partitions = slices.Sorted(slices.Values(id.Request.Partitions))
	for _, info := range m.Models() {
		id.Models = append(id.Models, fieldID{info.Name, info.Hash})
		for _, f := range info.Fields {
			id.Fields = append(id.Fields, fieldID{f.Name, f.Hash})
		}
	}
	b, err := json.Marshal(id)
	if err != nil {
		return "", fmt.Errorf("name the replay: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), nil
}

// sweep removes what replays left behind that nobody went on with, for a while or ever.
func (r *replays) sweep(keep string) {
	old, err := filepath.Glob(filepath.Join(r.cache, replayPrefix+"*"))
	if err != nil {
		return // the pattern is fixed
	}
	for _, folder := range old {
		info, err := os.Stat(folder)
		if folder == keep || err != nil || !info.IsDir() || time.Since(info.ModTime()) < replayKept {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			r.a.log.Warn("what a replay left behind can't be removed", "folder", folder, "err", err)
		}
	}
}

// noReplay says that only a topic can be replayed.
func noReplay() error {
	return badReplay("replay re-reads a Kafka topic, and the source is Postgres, which keeps no past; to send one row again: \"brazecdc send --model NAME --key KEY\"")
}

// status gives how far the job is.
func (j *replayJob) status() control.ReplayStatus {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.now
	s.ID = j.id
	s.Left = make(map[string]int, len(j.now.Left))
	for why, n := range j.now.Left {
		s.Left[why] = n
	}
	if took := time.Since(j.phaseAt).Seconds(); took > 0.2 && !s.Phase.Ended() {
		s.Rate = float64(s.Done-j.phaseFrom) / took
		if s.Rate > 0 && s.Total > 0 {
			s.ETA = time.Duration(float64(s.Total-s.Done) / s.Rate * float64(time.Second)).Round(time.Second)
		}
	}
	return s
}

// watched is status for somebody who will ask again.
func (j *replayJob) watched() *control.ReplayStatus {
	j.mu.Lock()
	j.askedAt = time.Now()
	j.mu.Unlock()
	s := j.status()
	return &s
}

// phase begins the next phase.
func (j *replayJob) phase(p control.ReplayPhase, total int64) {
	j.mu.Lock()
	j.now.Phase, j.now.Done, j.now.Total, j.now.Text = p, 0, total, ""
	j.phaseAt, j.phaseFrom = time.Now(), 0
	j.mu.Unlock()
}

func (j *replayJob) progress(change func(s *control.ReplayStatus)) {
	j.mu.Lock()
	change(&j.now)
	j.mu.Unlock()
}

// end notes how the job ended.
func (j *replayJob) end(err error) {
	var stop *connector.StopError
	j.progress(func(s *control.ReplayStatus) {
		switch {
		case j.moves && errors.Is(err, context.Canceled): // it goes on elsewhere
		case err == nil:
			s.Phase = control.ReplayDone
		case errors.Is(err, errReplayStopped), errors.Is(err, context.Canceled):
			s.Phase = control.ReplayStopped
		case errors.As(err, &stop):
			s.Phase, s.Error, s.Fix, s.Code = control.ReplayFailed, stop.What, stop.Fix, stop.Code
			if stop.Err != nil {
				s.Error += ": " + stop.Err.Error()
			}
		default:
			s.Phase, s.Error, s.Code = control.ReplayFailed, err.Error(), cmp.Or(connector.ExitCode(err), 1)
		}
	})
}

// badReplay is a fault of what was asked for. It keeps its exit code on the way through the control socket.
func badReplay(format string, args ...any) error {
	return &connector.StopError{Code: exitUsage, What: fmt.Sprintf(format, args...), Fix: `see "brazecdc replay --help"`}
}
