package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// app answers control.API for the process it runs in.
var (
	_ control.API     = (*app)(nil)
	_ control.Repairs = (*app)(nil)
	_ control.Resumes = (*app)(nil)
)

// Status implements control.API.
func (a *app) Status(context.Context) (*control.Status, error) {
	v, _ := buildVersion()
	s := &control.Status{
		Version: v, Workspace: a.cfg.Braze.Workspace, Config: a.file, PID: os.Getpid(), Started: a.started, Listen: a.listen,
		Status: a.pipeline.Status(), Pending: a.pipeline.Pending(), Figures: a.figures(), LastStop: a.lastStop,
	}
	if a.topics != nil {
		for _, l := range a.topics.Lags() {
			for i := range s.Streams {
				if s.Streams[i].Stream == l.Stream {
					s.Streams[i].Behind = l.Records()
				}
			}
		}
	}
	var reasons []string
	if s.Ready, reasons = a.pipeline.Ready(); !s.Ready {
		s.NotReady = reasons
	}
	for i := range s.Models {
		m := &s.Models[i]
		if a.topics != nil && a.cfg.Models[i].TopicPattern != "" {
			m.Topics = a.matching(i)
		}
		m.Filtered += a.tally.filtered(i)
		for k, n := range a.tally.noted(i) {
			if m.Notes == nil {
				m.Notes = map[string]uint64{}
			}
			m.Notes[k.field+": "+k.reason] += n
		}
	}
	return s, nil
}

// figures reads the pipeline's counters.
func (a *app) figures() *control.Figures {
	m := a.pipeline.Metrics()
	f := &control.Figures{Deliveries: make([]uint64, len(connector.DeliveryBuckets)+1), ReadingHeldSeconds: a.pipeline.Held().Seconds()}
	f.Retries, f.DuplicatesPossible = m.Retries()
	for i := range m.Models {
		for _, n := range m.Models[i].Held() {
			f.Quarantined += n
		}
		counts, _ := m.Models[i].Deliveries.Read()
		for b, n := range counts {
			f.Deliveries[b] += n
		}
	}
	return f
}

// Pending implements control.API.
func (a *app) Pending(context.Context) ([]connector.Confirmation, error) {
	return a.pipeline.Pending(), nil
}

// Passed implements control.Watches.
func (a *app) Passed(ctx context.Context, after uint64) ([]control.Passed, error) {
	return a.passing.Passed(ctx, after)
}

// Confirm implements control.API.
func (a *app) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	a.log.Info("confirmed", "component", "control", "model", model, "drop", drop)
	return a.pipeline.Confirm(ctx, model, drop)
}

// Entries implements control.API.
func (a *app) Entries(_ context.Context, f connector.EntryFilter) ([]connector.Entry, error) {
	list, err := a.journal.Quarantine().List(f)
	if err != nil {
		return nil, err
	}
	return control.WithoutPayload(list), nil
}

// Entry implements control.API.
func (a *app) Entry(ctx context.Context, id uint64) (*connector.Entry, error) {
	e, err := a.journal.Quarantine().Entry(id)
	if err == nil && a.held != nil {
		a.held.original(ctx, e)
	}
	return e, err
}

// Groups implements control.Repairs.
func (a *app) Groups(_ context.Context, since time.Time) ([]connector.EntryGroup, error) {
	return connector.Groups(a.journal.Quarantine(), since)
}

// PlanRetry implements control.RetryPlans.
func (a *app) PlanRetry(ctx context.Context, ids []uint64) (*connector.RetryPlan, error) {
	plan, err := a.pipeline.RetryPlan(ctx, ids)
	return &plan, err
}

// CountEntries implements control.Repairs.
func (a *app) CountEntries(_ context.Context, f connector.EntryFilter) (int64, error) {
	return connector.CountEntries(a.journal.Quarantine(), f)
}

// HeldDeletes implements control.Repairs.
func (a *app) HeldDeletes(_ context.Context, q control.HeldQuery) ([]connector.HeldDelete, error) {
	return control.PickHeld(a.pipeline.HeldDeletes(), q), nil
}

// Resume implements control.Resumes.
func (a *app) Resume(ctx context.Context, model string, resync bool) (string, error) {
	a.log.Info("resumed", "component", "control", "model", model, "resync", resync)
	return a.pipeline.Resume(ctx, model, resync)
}

// Discard implements control.API.
func (a *app) Discard(ctx context.Context, id uint64, why string) error {
	return a.pipeline.Discard(ctx, id, why)
}

// Send implements control.API.
func (a *app) Send(ctx context.Context, model, key string, only ...string) (string, error) {
	for i := range a.cfg.Models {
		if a.cfg.Models[i].Name != model {
			continue
		}
		if a.topics != nil {
			return "", oneRow("send", key)
		}
		id, err := keyOf(a.tables[a.cfg.Models[i].Relation()], key)
		if err != nil {
			return "", err
		}
		return a.pipeline.SendRow(ctx, model, id, only)
	}
	return "", unknownModel(a.cfg.Models, model)
}

func unknownModel(models []connector.Model, name string) error {
	var names []string
	for i := range models {
		names = append(names, models[i].Name)
	}
	return usagef("--model %s: there is no such model; the configuration has %v", name, names)
}

// pollEvery is how often a state of the pipeline is looked at that nobody announces.
const pollEvery = 20 * time.Millisecond

// until waits for a state of the pipeline.
func (a *app) until(ctx context.Context, what string, holds func(connector.Status) bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if holds(a.pipeline.Status()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		}
	}
}

// loaded waits until every load has ended and nothing of it is open.
func (a *app) loaded(ctx context.Context) error {
	return a.until(ctx, "the load is done", func(s connector.Status) bool {
		if s.State != "running" && s.State != "degraded" {
			return false
		}
		for _, l := range s.Loads {
			if l.Finished.IsZero() {
				return false
			}
		}
		return true
	})
}

// delivered waits until everything up to a position of the slot is confirmed and no user waits to be sent, those that settle after a delete included.
func (a *app) delivered(ctx context.Context, lsn uint64) error {
	stream := "slot/" + a.cfg.Source.Postgres.Slot // of the demo, whose source is a slot
	return a.until(ctx, "all is delivered", func(s connector.Status) bool {
		parked := 0
		for _, n := range s.Parked {
			parked += n
		}
		if s.OpenChanges > 0 || s.Waiting > 0 || parked > 0 {
			return false
		}
		for _, st := range s.Streams {
			if st.Stream == stream {
				return st.Confirmed >= lsn
			}
		}
		return false
	})
}
