package control

import (
	"context"
	"errors"
	"fmt"
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
	// SendRow sends one row without a running process; nil where that is not possible.
	SendRow func(ctx context.Context, model, key string) (string, error)
	// Original fills an entry with the bytes of its record, where these lie in a topic; nil where they are in data/.
	Original func(ctx context.Context, e *connector.Entry)
}

var _ API = (*Offline)(nil)

const (
	reasonTruncate = "truncate"
	reasonLost     = "lost data"
)

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
	s.Loads, s.Held = st.Loads, len(st.Held)
	counts := o.Journal.Quarantine().Counts()
	for _, m := range o.Models {
		ms := connector.ModelStatus{Name: m.Name, Table: m.Table}
		for _, p := range st.Paused {
			if p.Model == m.Name {
				ms.Paused = p.Reason
			}
		}
		for _, known := range st.Models {
			if known.Name == m.Name {
				ms.Proven = known.Proven
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

// Pending implements API.
func (o *Offline) Pending(context.Context) ([]connector.Confirmation, error) {
	var out []connector.Confirmation
	for _, p := range o.Journal.State().Paused {
		c := connector.Confirmation{Model: p.Model, Kind: p.Reason, Since: p.At, Count: int(p.Stale)}
		switch p.Reason {
		case reasonTruncate:
			c.Text = fmt.Sprintf("model %s is paused: its table was emptied (TRUNCATE); nothing was deleted in Braze; %d changes were passed over since", p.Model, p.Stale)
			c.Answer = "the table is loaded again, which can start campaigns in Braze, and the model goes on; nobody is deleted"
		case reasonLost:
			c.Count = len(o.held(p.Model))
			c.Text = fmt.Sprintf("model %s: data/ held nothing of an existing slot; %d deletes wait", p.Model, c.Count)
			c.Answer = "the waiting deletes are sent (or dropped with --drop), and with load: all the table is loaded, which can start campaigns in Braze"
		}
		out = append(out, c)
	}
	return out, nil
}

func (o *Offline) held(model string) []connector.User {
	var out []connector.User
	for _, h := range o.Journal.State().Held {
		if h.Model == model {
			out = append(out, h.User)
		}
	}
	return out
}

// Confirm implements API. Held deletes can be dropped and a truncated table's load be put down for the next run; what must be sent needs a process.
func (o *Offline) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	var pause *connector.Pause
	for _, p := range o.Journal.State().Paused {
		if p.Model == model {
			pause = &p
		}
	}
	m := o.model(model)
	switch {
	case m == nil:
		return "", fmt.Errorf("confirm %s: the configuration has no such model", model)
	case pause == nil:
		return "", fmt.Errorf("confirm %s: nothing of this model waits", model)
	case pause.Reason == reasonLost && !drop && len(o.held(model)) > 0:
		return "", errNeedsRun("confirm "+model, "held deletes have to be sent")
	}
	rec := &connector.Record{Resumed: []string{model}}
	if pause.Reason == reasonLost {
		rec.Released = o.held(model)
	}
	if pause.Reason == reasonTruncate || m.Load {
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
	said := fmt.Sprintf("%d held deletes of model %s were dropped; those profiles stay in Braze", len(rec.Released), model)
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
func (o *Offline) Send(ctx context.Context, model, key string) (string, error) {
	if o.SendRow == nil {
		return "", errors.New("send a row: this needs the configuration's database and Braze")
	}
	return o.SendRow(ctx, model, key)
}
