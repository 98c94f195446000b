package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

var _ control.Resyncs = (*app)(nil)

// maxResyncKeys bounds the rows that a resync names one by one.
const maxResyncKeys = 1000

// PlanResync implements control.Resyncs.
func (a *app) PlanResync(ctx context.Context, q control.ResyncRequest) (*connector.ResyncPlan, error) {
	r, err := a.resyncOf(ctx, q)
	if err != nil {
		return nil, err
	}
	p, err := a.pipeline.PlanResync(ctx, r)
	return &p, err
}

// StartResync implements control.Resyncs.
func (a *app) StartResync(ctx context.Context, q control.ResyncRequest) (*connector.LoadState, error) {
	r, err := a.resyncOf(ctx, q)
	if err != nil {
		return nil, err
	}
	a.log.Info("resync asked for", "component", "control", "model", q.Model)
	st, err := a.pipeline.Resync(ctx, r)
	return a.shown(st, err)
}

// Load implements control.Resyncs.
func (a *app) Load(_ context.Context, id string) (*connector.LoadState, error) {
	for _, l := range a.pipeline.Status().Loads {
		if l.ID == id {
			return &l, nil
		}
	}
	return nil, fmt.Errorf("there is no load %q; another one may have taken its place", id)
}

// SteerLoad implements control.Resyncs.
func (a *app) SteerLoad(ctx context.Context, model string, do control.LoadAction) (*connector.LoadState, error) {
	if err := a.hasModel(model); err != nil {
		return nil, err
	}
	a.log.Info("load steered", "component", "control", "model", model, "do", do)
	switch do {
	case control.PauseLoad, control.ResumeLoad:
		st, err := a.pipeline.PauseLoad(ctx, model, do == control.PauseLoad)
		return a.shown(st, err)
	case control.SlowerLoad, control.FasterLoad:
		st, err := a.pipeline.PaceLoad(ctx, model, do == control.FasterLoad)
		return a.shown(st, err)
	case control.CancelLoad:
		st, err := a.pipeline.CancelLoad(ctx, model)
		return a.shown(st, err)
	}
	return nil, fmt.Errorf("a load can't be told to %q", do)
}

// shown is a load as status shows it.
func (a *app) shown(st connector.LoadState, err error) (*connector.LoadState, error) {
	st.Cursor, st.Keys = nil, nil
	return &st, err
}

func (a *app) hasModel(name string) error {
	for i := range a.cfg.Models {
		if a.cfg.Models[i].Name == name {
			return nil
		}
	}
	return badResync("%v", unknownModel(a.cfg.Models, name))
}

// resyncOf checks what can be checked of a request before the pipeline does: the source, and that every row is there.
func (a *app) resyncOf(ctx context.Context, q control.ResyncRequest) (r connector.ResyncRequest, err error) {
	if a.topics != nil {
		return r, topicsResync()
	}
	if err := a.hasModel(q.Model); err != nil {
		return r, err
	}
	r = connector.ResyncRequest{Model: q.Model, ClearNulls: q.ClearNulls, Resync: connector.Resync{Where: q.Where, Fields: q.Fields, All: q.AllValues}}
	if len(q.Keys) > maxResyncKeys {
		return r, badResync("--key: at most %d rows can be named; pick them by --where", maxResyncKeys)
	}
	for i := range a.cfg.Models {
		m := &a.cfg.Models[i]
		if m.Name != q.Model {
			continue
		}
		for _, text := range q.Keys {
			id, err := keyOf(a.tables[m.Relation()], text)
			if err != nil {
				return r, badResync("--key: %v", err)
			}
			if _, err := readRow(ctx, a.source, a.tables[m.Relation()], text); err != nil {
				return r, badResync("--key: %v", err)
			}
			r.Keys = append(r.Keys, id)
		}
	}
	return r, nil
}

// topicsResync says what does for a topic what a resync does for a table.
func topicsResync() error {
	return badResync(`resync reads the rows of a table again, and a Kafka topic has none; "brazecdc replay --topic TOPIC" brings a topic again`)
}

// badResync is a fault of what was asked for. It keeps its exit code on the way through the control socket.
func badResync(format string, args ...any) error {
	return &connector.StopError{Code: exitUsage, What: fmt.Sprintf(format, args...), Fix: `see "brazecdc resync --help"`}
}

// schedules are the times at which models are synced again.
func schedules(models []connector.Model) ([]connector.Schedule, error) {
	var out []connector.Schedule
	for i := range models {
		s := models[i].Schedule
		if s == nil {
			continue
		}
		zone, err := time.LoadLocation(s.Zone)
		if err != nil {
			return nil, fmt.Errorf("%s.time_zone: %w", s.Path, err)
		}
		next, err := config.Cron(s.Cron, zone)
		if err != nil {
			return nil, fmt.Errorf("%s.cron: %w", s.Path, err)
		}
		out = append(out, connector.Schedule{Model: models[i].Name, Name: s.Cron + " " + s.Zone, Next: next, All: s.Resync == "all"})
	}
	return out, nil
}

// rememberedModels names the models of topics whose schedule goes over the rows that are remembered.
func rememberedModels(cfg *config.Config) (names []string) {
	for i := range cfg.Models {
		if m := &cfg.Models[i]; m.Table == "" && m.Schedule != nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// resyncs gives the running process; without one there is nobody who could bring rows again in their order.
func (p *program) resyncs(ctx context.Context) (*control.Client, error) {
	client, err := control.Dial(ctx, p.beside(p.glance().Data.Path))
	if errors.Is(err, control.ErrNotRunning) {
		cfg, err := p.load()
		switch {
		case err != nil:
			return nil, err
		case cfg.Source.Kafka != nil:
			return nil, topicsResync()
		}
		if coming := p.coming(ctx); coming != nil {
			return nil, coming
		}
		return nil, &connector.StopError{Code: 1, What: "resync works inside the running process, beside its live changes, and none runs on this data/",
			Fix: `start "brazecdc run", then ask again`}
	}
	return client, err
}
