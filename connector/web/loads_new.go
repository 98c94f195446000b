package web

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// What a load can bring.
const (
	loadWhole = "whole"
	loadWhere = "where"
	loadField = "field"
	loadKeys  = "keys"
)

// maxLoadKeys bounds the rows that a form names, as the process does.
const maxLoadKeys = 1000

// loadForm is the form of a new load, and its estimate.
type loadForm struct {
	Model, What, Where, Keys string
	Fields                   []string // chosen
	AllValues, ClearNulls    bool
	Models                   []loadModel
	Chosen                   *loadModel // nil: none yet
	Plan                     *loadPlan  // nil: not asked yet
	Command                  string     // that does the same
	Running                  bool       // a load of the model is under way
	NoRun                    bool       // no process runs
	Topics                   bool
}

// loadModel is a model that can be loaded.
type loadModel struct {
	Name, Table string
	Fields      []string
	Paused      bool
}

// loadPlan is what a load means at most.
type loadPlan struct {
	Users, Values, Calls int64 // -1: not known
	Minutes              time.Duration
	Whole, Counts        bool
	Known                bool
}

func (r *request) loadForm(ctx context.Context) (*loadForm, control.Resyncs, func(), error) {
	api, done, err := r.api()
	if err != nil {
		return nil, nil, nil, err
	}
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		q = r.PostForm
	}
	f := &loadForm{Model: q.Get("model"), What: q.Get("what"), Where: strings.TrimSpace(q.Get("where")), Keys: q.Get("keys"), Fields: q["field"],
		AllValues: q.Get("all_values") != "", ClearNulls: q.Get("clear_nulls") != ""}
	if !slices.Contains([]string{loadWhole, loadWhere, loadField, loadKeys}, f.What) {
		f.What = loadWhole
	}
	st, err := api.Status(ctx)
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	cfg := r.settings()
	f.Topics = cfg != nil && cfg.Source.Kafka != nil
	for i := range st.Models {
		m := &st.Models[i]
		x := loadModel{Name: m.Name, Table: m.Table, Paused: m.Paused != ""}
		c := modelOf(cfg, m.Name)
		if c != nil {
			x.Fields = fieldNames(c)
		}
		if c != nil && (c.Kind == "events" || c.Kind == "purchases") {
			continue // what happened once is sent once
		}
		f.Models = append(f.Models, x)
	}
	if f.Model == "" && len(f.Models) == 1 {
		f.Model = f.Models[0].Name
	}
	for i := range f.Models {
		if f.Models[i].Name == f.Model {
			f.Chosen = &f.Models[i]
		}
	}
	for _, l := range st.Loads {
		f.Running = f.Running || l.Model == f.Model && l.Running()
	}
	resyncs, ok := api.(control.Resyncs)
	f.NoRun = !ok || st.PID == 0
	return f, resyncs, done, nil
}

// fieldNames are the fields of a model as a load can name them.
func fieldNames(m *connector.Model) []string {
	var out []string
	for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
		out = append(out, f.Name)
	}
	for _, a := range m.Audiences {
		out = append(out, a.Attribute)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.Compact(out)
}

// request is what the process is asked for; what the form does not fit together is told as problems.
func (f *loadForm) request(r *request) control.ResyncRequest {
	q := control.ResyncRequest{Model: f.Model, AllValues: f.AllValues, ClearNulls: f.ClearNulls}
	if f.Chosen == nil {
		r.problem("model", r.t("loads.new.model.missing"))
	}
	switch f.What {
	case loadWhere:
		if q.Where = f.Where; q.Where == "" {
			r.problem("where", r.t("loads.new.where.missing"))
		}
	case loadField:
		if q.Fields = f.Fields; len(q.Fields) == 0 {
			r.problem("fields", r.t("loads.new.field.missing"))
		}
	case loadKeys:
		for line := range strings.Lines(f.Keys) {
			if key := strings.TrimSpace(line); key != "" {
				q.Keys = append(q.Keys, key)
			}
		}
		switch {
		case len(q.Keys) == 0:
			r.problem("keys", r.t("loads.new.keys.missing"))
		case len(q.Keys) > maxLoadKeys:
			r.problem("keys", r.t("loads.new.keys.many", len(q.Keys), maxLoadKeys))
		}
	}
	return q
}

// command is the line for a terminal that does the same.
func loadCommand(q *control.ResyncRequest) string {
	parts := []string{"brazecdc resync --model", shellWord(q.Model)}
	for _, f := range q.Fields {
		parts = append(parts, "--field", shellWord(f))
	}
	for _, k := range q.Keys {
		parts = append(parts, "--key", shellWord(k))
	}
	if q.Where != "" {
		parts = append(parts, "--where", shellWord(q.Where))
	}
	if q.AllValues {
		parts = append(parts, "--all-values")
	}
	if q.ClearNulls {
		parts = append(parts, "--clear-nulls")
	}
	return strings.Join(parts, " ")
}

func (s *Server) loadForm(r *request) error {
	f, _, done, err := r.loadForm(r.Context())
	if err != nil {
		return err
	}
	defer done()
	return r.render(http.StatusOK, "loads_new", "loads.new.title", f)
}

// loadStart tells what a load means, and begins it once somebody saw that.
func (s *Server) loadStart(r *request) error {
	f, api, done, err := r.loadForm(r.Context())
	if err != nil {
		return err
	}
	defer done()
	if f.NoRun {
		return errPage(http.StatusConflict, "loads.needsrun")
	}
	q := f.request(r)
	if len(r.problems) == 0 {
		plan, err := api.PlanResync(r.Context(), q)
		if err != nil {
			r.problem(f.What, r.saidError(err))
		} else {
			f.Plan, f.Command = r.loadPlan(f, &q, plan), loadCommand(&q)
		}
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "loads_new", "loads.new.title", f)
	}
	if r.PostFormValue("sure") == "" {
		return r.render(http.StatusOK, "loads_sure", "loads.sure.title", f)
	}
	if _, err := api.StartResync(r.Context(), q); err != nil {
		r.problem("", r.saidError(err))
		return r.render(http.StatusConflict, "loads_new", "loads.new.title", f)
	}
	r.record("/loads", "loads.note.start."+f.What, q.Model, strings.Join(q.Fields, ", "))
	return r.redirect("/loads", "loads.new.started", q.Model)
}

// loadPlan is the estimate as the page shows it.
func (r *request) loadPlan(f *loadForm, q *control.ResyncRequest, plan *connector.ResyncPlan) *loadPlan {
	out := &loadPlan{Users: plan.Rows, Values: -1, Calls: plan.Calls, Whole: plan.Whole, Counts: plan.Counts, Known: plan.Rows >= 0}
	fields := len(q.Fields)
	if fields == 0 && f.Chosen != nil {
		fields = len(f.Chosen.Fields)
	}
	if out.Known && fields > 0 {
		out.Values = plan.Rows * int64(fields)
	}
	if plan.Calls >= 0 {
		status, _ := r.s.status(r.Context()) // without one Braze's own limit counts
		perMinute := callsPerMinute(r.settings(), status)
		out.Minutes = time.Duration(math.Ceil(float64(plan.Calls)/perMinute)) * time.Minute
	}
	return out
}
