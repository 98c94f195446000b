package web

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// backfill is what a person decides of a model whose fields are new or changed: whether they count from now on only, or are brought for every row once the
// draft is applied.
type backfill struct {
	Model   string
	Fields  []string
	Words   string    // the fields
	Plan    *loadPlan // nil: not known
	Why     string    // why there is no back-fill
	Day     *dayGuess
	Now     bool // the back-fill is chosen
	Command string
}

// ID is the name of the choice in the form.
func (b *backfill) ID() string { return "backfill." + b.Model }

// backfills are the models of the draft that run already and have fields that are new or changed.
func (r *request) backfills(v *draft.View) []backfill {
	if !v.Exists || !v.Pending {
		return nil
	}
	was, next := r.s.read(v.File), r.s.read(v.Text)
	var out []backfill
	for i := range next.cfg.Models {
		m := &next.cfg.Models[i]
		before := was.model(m.Name)
		if before == nil || m.Kind == "events" || m.Kind == "purchases" || m.Kind == "catalog" {
			continue // a new model has a load of its own; what happened once is not brought again, and an item is replaced whole
		}
		if names := changedFields(before, m); len(names) > 0 {
			b := backfill{Model: m.Name, Fields: names, Words: strings.Join(names, ", ")}
			q := b.request()
			b.Command, b.Now = loadCommand(&q), r.PostFormValue(b.ID()) == "all"
			b.Day = r.s.guessDay(before, m)
			out = append(out, b)
		}
	}
	if len(out) > 0 {
		r.planBackfills(out, next.cfg.Source.Kafka != nil)
	}
	return out
}

func (b *backfill) request() control.ResyncRequest {
	return control.ResyncRequest{Model: b.Model, Fields: b.Fields}
}

// changedFields are the fields of a model whose value another line of it makes now, or none made before.
func changedFields(before, after *connector.Model) []string {
	lines := func(m *connector.Model) map[string]any {
		out := map[string]any{}
		for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
			f.Path = ""
			out[f.Name] = f
		}
		for _, a := range m.Audiences {
			out[a.Attribute] = a.When
		}
		return out
	}
	was, is := lines(before), lines(after)
	var out []string
	for _, name := range fieldNames(after) {
		if !reflect.DeepEqual(was[name], is[name]) {
			out = append(out, name)
		}
	}
	return out
}

// planBackfills asks the process what each would mean. The new fields are not in its mapping yet, so that the rows of the whole model are asked for.
func (r *request) planBackfills(list []backfill, topics bool) {
	api, done, err := r.api()
	if err != nil {
		for i := range list {
			list[i].Why = r.t("draft.backfill.norun")
		}
		return
	}
	defer done()
	resyncs, ok := api.(control.Resyncs)
	st, err := api.Status(r.Context())
	for i := range list {
		b := &list[i]
		switch {
		case topics:
			b.Why = r.t("draft.backfill.topics")
		case !ok || err != nil || st.PID == 0:
			b.Why = r.t("draft.backfill.norun")
		default:
			plan, err := resyncs.PlanResync(r.Context(), control.ResyncRequest{Model: b.Model})
			if err != nil {
				b.Why = r.reasonText(err.Error())
				continue
			}
			q := b.request()
			b.Plan = r.loadPlan(&loadForm{}, &q, plan)
		}
	}
}

// startBackfills begins those that were chosen, once the draft is applied. It gives the models whose back-fill began, and what kept others from it.
func (r *request) startBackfills(list []backfill) (begun []string, err error) {
	var chosen []backfill
	for i := range list {
		if list[i].Why == "" && r.PostFormValue(list[i].ID()) == "all" {
			chosen = append(chosen, list[i])
		}
	}
	if len(chosen) == 0 {
		return nil, nil
	}
	api, done, err := r.api()
	if err != nil {
		return nil, err
	}
	defer done()
	resyncs, ok := api.(control.Resyncs)
	if !ok {
		return nil, errPage(http.StatusConflict, "loads.needsrun")
	}
	var all error
	for _, b := range chosen {
		if _, err := resyncs.StartResync(r.Context(), b.request()); err != nil {
			all = errors.Join(all, err)
			continue
		}
		begun = append(begun, b.Model)
		r.record("/loads", "loads.note.start.field", b.Model, b.Words)
	}
	return begun, all
}
