package main

import (
	"context"
	"errors"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// idleTopics is a source that joins no group and hands nothing out, for a pipeline that only replays.
type idleTopics struct{ *topics }

// Open implements connector.Source. Positions are the group's, so an empty data/ is no loss.
func (t idleTopics) Open(context.Context, connector.Start) (connector.Opened, error) {
	return connector.Opened{Shared: true, Note: "no group is joined: only a replay works"}, nil
}

// Next implements connector.Source.
func (t idleTopics) Next(ctx context.Context) (connector.Batch, error) {
	<-ctx.Done()
	return connector.Batch{}, ctx.Err()
}

// Commit implements connector.Source.
func (t idleTopics) Commit(connector.Position) {}

// replayAlone replays without a running process, under the lock of data/.
func (p *program) replayAlone(ctx context.Context, q control.ReplayRequest, yes bool) (err error) {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	if cfg.Source.Kafka == nil {
		return noReplay()
	}
	limitMemory(cfg)
	a, err := p.openAs(ctx, cfg, p.quietLog(), watcher{}, true)
	if err != nil {
		return stoppedOnRequest(ctx, err)
	}
	defer func() { err = errors.Join(err, a.close()) }()
	if err := p.nobodyElse(ctx, a); err != nil {
		return errors.Join(err, a.topics.Close(context.WithoutCancel(ctx)))
	}
	// The pipeline outlives the replay, so that what was pushed and not taken back is delivered and recorded.
	working, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	jobs, endJobs := context.WithCancel(working)
	defer endJobs()
	ran := make(chan error, 1)
	go func() {
		ran <- a.pipeline.Run(working)
		endJobs()
	}()
	a.replays.open(jobs)
	err = p.followReplay(ctx, a.replays, q, yes)
	a.replays.close()
	endWork()
	if stop := <-ran; stop != nil {
		return stop // what ended the pipeline ended the replay
	}
	return err
}

// nobodyElse refuses a replay while the group has live members. A process that was killed is a member until its session ends, so it is waited for a little.
func (p *program) nobodyElse(ctx context.Context, a *app) error {
	said := false
	deadline := time.Now().Add(sessionTimeout + 2*time.Second)
	for {
		members, err := a.topics.Members(ctx)
		if err != nil || len(members) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return groupLives(a.cfg.Source.Kafka.Group, members)
		}
		if !said {
			said = true
			p.printf("Group %q has live members; one that was killed counts for %s, so it is waited for.\n", a.cfg.Source.Kafka.Group, sessionTimeout)
		}
		wait := time.NewTimer(500 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

var _ control.Replays = (*app)(nil)

// StartReplay implements control.Replays.
func (a *app) StartReplay(ctx context.Context, q control.ReplayRequest) (*control.ReplayStatus, error) {
	return a.replays.StartReplay(ctx, q)
}

// Replay implements control.Replays.
func (a *app) Replay(ctx context.Context, id string) (*control.ReplayStatus, error) {
	return a.replays.Replay(ctx, id)
}

// AnswerReplay implements control.Replays.
func (a *app) AnswerReplay(ctx context.Context, id string, yes bool) error {
	return a.replays.AnswerReplay(ctx, id, yes)
}

// StopReplay implements control.Replays.
func (a *app) StopReplay(ctx context.Context, id string) error {
	return a.replays.StopReplay(ctx, id)
}
