package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
)

// Model is what Offline must know of a model of the configuration.
type Model struct {
	Name  string
	Table string // as the source names it
	Load  bool   // load: all
}

// Offline answers from the content of data/ while no process runs. A Journal that was opened for reading only makes what changes anything an error.
type Offline struct {
	Version, Workspace, Config string
	Models                     []Model
	Journal                    connector.Journal
	LastStop                   *Stop
	// SendRow sends one row, whole or only these fields, without a running process; nil where that is not possible.
	SendRow func(ctx context.Context, model, key string, only []string) (string, error)
	// Original fills an entry with the bytes of its record, where these lie in a topic; nil where they are in data/.
	Original func(ctx context.Context, e *connector.Entry)
}

var _ API = (*Offline)(nil)

// errNeedsRun says why something can't be done on the files alone.
func errNeedsRun(what, why string) error {
	return fmt.Errorf("%s: no process runs, and %s; start \"brazecdc run\" and do it then", what, why)
}

// Status implements API. Counters are those of a process, so there are none.
func (o *Offline) Status(ctx context.Context) (*Status, error) {
	st := o.Journal.State()
	s := &Status{Version: o.Version, Workspace: o.Workspace, Config: o.Config, LastStop: o.LastStop, NotReady: []string{"no process runs"}}
	s.State = "stopped"
	if o.LastStop != nil {
		s.Since = o.LastStop.At
	}
	if !st.Clean && !st.New && o.LastStop == nil {
		s.Reasons = append(s.Reasons, "the last run was killed, or its machine stopped; what was open then comes again at the next start")
	}
	for _, p := range st.Positions {
		s.Streams = append(s.Streams, connector.StreamState{Stream: p.Position.Stream, Confirmed: p.Position.Offset})
	}
	s.Loads = shownLoads(st.Loads)
	counts := o.Journal.Quarantine().Counts()
	for _, m := range o.Models {
		ms := connector.ModelStatus{Name: m.Name, Table: m.Table}
		for _, p := range st.Paused {
			if p.Model == m.Name {
				ms.Paused = p.Reason
			}
		}
		ms.Held = len(o.held(m.Name, ""))
		s.Held += ms.Held
		for _, known := range st.Models {
			if known.Name == m.Name {
				ms.Proven, ms.NextResync = known.Proven, known.Next
			}
		}
		for k, n := range counts {
			if k[0] == m.Name {
				ms.Quarantine += n
			}
		}
		s.Models = append(s.Models, ms)
	}
	for _, n := range counts {
		s.Quarantine += n
	}
	var err error
	s.Pending, err = o.Pending(ctx)
	return s, err
}

// shownLoads are loads without what names rows.
func shownLoads(loads []connector.LoadState) []connector.LoadState {
	out := slices.Clone(loads)
	for i := range out {
		out[i].Cursor, out[i].Keys = nil, nil
	}
	return out
}

// Pending implements API.
func (o *Offline) Pending(context.Context) ([]connector.Confirmation, error) {
	var out []connector.Confirmation
	st := o.Journal.State()
	for i := range st.Paused {
		p := &st.Paused[i]
		switch p.Reason {
		case connector.PauseTruncate:
			table := "its table"
			if m := o.model(p.Model); m != nil {
				table = m.Table
			}
			out = append(out, connector.WaitsTruncated(p, table))
		case connector.PauseLost:
			out = append(out, connector.WaitsLost(p, len(o.held(p.Model, connector.PauseLost))))
		}
	}
	for _, m := range o.Models {
		if held := o.held(m.Name, connector.PauseBrake); len(held) > 0 {
			out = append(out, connector.WaitsBraked(m.Name, "", len(held), oldest(held)))
		}
		if held := o.held(m.Name, connector.PauseGone); len(held) > 0 {
			out = append(out, connector.WaitsGone(m.Name, m.Table, len(held), oldest(held)))
		}
	}
	return out, nil
}

// oldest is since when the first of some deletes is held.
func oldest(held []connector.HeldDelete) time.Time {
	return slices.MinFunc(held, func(a, b connector.HeldDelete) int { return a.At.Compare(b.At) }).At
}

// held gives the deletes of a model that wait for an answer, of one reason or, with "", of all.
func (o *Offline) held(model, reason string) []connector.HeldDelete {
	var out []connector.HeldDelete
	for _, h := range o.Journal.State().Held {
		if h.Model == model && h.Answer == "" && (reason == "" || reason == h.Reason) {
			out = append(out, h)
		}
	}
	return out
}

// Confirm implements API. Held deletes can be dropped and a truncated table's load be put down for the next run; what must be sent needs a process.
func (o *Offline) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	var truncated, lost bool
	for _, p := range o.Journal.State().Paused {
		truncated = truncated || p.Model == model && p.Reason == connector.PauseTruncate
		lost = lost || p.Model == model && p.Reason == connector.PauseLost
	}
	m, held := o.model(model), o.held(model, "")
	switch {
	case m == nil:
		return "", fmt.Errorf("confirm %s: the configuration has no such model", model)
	case !truncated && !lost && len(held) == 0:
		return "", fmt.Errorf("confirm %s: nothing of this model waits", model)
	case !drop && len(held) > 0:
		return "", errNeedsRun("confirm "+model, "held deletes have to be sent")
	}
	rec := &connector.Record{}
	if truncated || lost {
		rec.Resumed = []string{model}
	}
	for _, h := range held {
		h.Answer = connector.AnswerDrop
		rec.Held = append(rec.Held, h)
	}
	if truncated || lost && m.Load {
		now := time.Now()
		rec.Loads = []connector.LoadState{{
			Load:    connector.Load{ID: fmt.Sprintf("%s-%d", model, now.UnixMilli()), Model: model, Table: m.Table},
			Started: now, Estimate: -1, Nulls: true,
		}}
	}
	for _, known := range o.Journal.State().Models {
		if known.Name == model && len(rec.Loads) > 0 {
			known.Proven = false
			rec.Models = []connector.ModelState{known}
		}
	}
	if err := o.Journal.Apply(ctx, rec); err != nil {
		return "", err
	}
	said := fmt.Sprintf("%d held deletes of model %s were dropped; those profiles stay in Braze", len(held), model)
	if len(rec.Loads) > 0 {
		said = fmt.Sprintf("model %s goes on at the next start, and %s is loaded then", model, m.Table)
	}
	return said, nil
}

func (o *Offline) model(name string) *Model {
	for i := range o.Models {
		if o.Models[i].Name == name {
			return &o.Models[i]
		}
	}
	return nil
}

// Entries implements API.
func (o *Offline) Entries(_ context.Context, f connector.EntryFilter) ([]connector.Entry, error) {
	list, err := o.Journal.Quarantine().List(f)
	return WithoutPayload(list), err
}

// WithoutPayload takes the values of rows out of a list of entries, in place.
func WithoutPayload(list []connector.Entry) []connector.Entry {
	for i := range list {
		list[i].Before, list[i].After, list[i].Effect = nil, nil, nil
		list[i].Original = list[i].Original.WithoutBytes()
	}
	return list
}

// Entry implements API.
func (o *Offline) Entry(ctx context.Context, id uint64) (*connector.Entry, error) {
	e, err := o.Journal.Quarantine().Entry(id)
	if err == nil && o.Original != nil {
		o.Original(ctx, e)
	}
	return e, err
}

// Retry implements API: it needs a process, since what is sent again has to keep its place among the user's other changes.
func (o *Offline) Retry(_ context.Context, id uint64) (string, error) {
	return "", errNeedsRun(fmt.Sprintf("retry entry %d", id), "what is sent again has to keep its place among the user's other changes")
}

// RetryLate implements API: see Retry.
func (o *Offline) RetryLate(ctx context.Context, id uint64) (string, error) { return o.Retry(ctx, id) }

// Discard implements API.
func (o *Offline) Discard(ctx context.Context, id uint64, why string) error {
	e, err := o.Journal.Quarantine().Entry(id)
	if err != nil {
		return err
	}
	if e.Closed != "" {
		return fmt.Errorf("discard entry %d: it ended already: %s", id, e.Closed)
	}
	return o.Journal.Quarantine().Close(ctx, id, "discarded: "+why)
}

// Send implements API.
func (o *Offline) Send(ctx context.Context, model, key string, only ...string) (string, error) {
	if o.SendRow == nil {
		return "", errors.New("send a row: this needs the configuration's database and Braze")
	}
	return o.SendRow(ctx, model, key, only)
}
