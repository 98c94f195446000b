package web

import (
	"math"
	"time"

	"brazecdc/connector"
)

// modelEstimate is what a model's mapping costs: once for a load of its table now, and each day.
type modelEstimate struct {
	Known                bool
	Users, Values, Calls int64
	Minutes              time.Duration
	Day                  *dayGuess
}

// estimate foresees it from the server's estimate of the rows, and from how many of the rows that were looked at have a value for each line.
func (r *request) estimate(d *drafted, m *connector.Model, plan *ModelPlan) *modelEstimate {
	if m.Kind == "events" || m.Kind == "purchases" {
		return nil // what happens is not loaded, unless somebody wants it to be
	}
	e := &modelEstimate{Day: &dayGuess{}}
	if v, err := r.draftView(); err == nil && v.Exists {
		e.Day = r.s.guessDay(r.s.read(v.File).model(m.Name), m)
	}
	if plan.Source == nil || plan.Source.Topic || plan.Source.Rows < 0 || plan.Rows == 0 {
		return e
	}
	e.Known, e.Users = true, plan.Source.Rows
	share := 0.0
	for path, l := range plan.Lines {
		if !under(path, m.Path+".identify") {
			share += float64(l.Sent) / float64(plan.Rows)
		}
	}
	e.Values = int64(math.Ceil(share * float64(e.Users)))
	each := int64(max(1, d.cfg.Braze.ObjectsPerRequest))
	e.Calls = (e.Users + each - 1) / each
	status, _ := r.s.status(r.Context()) // without one Braze's own limit counts
	e.Minutes = time.Duration(math.Ceil(float64(e.Calls)/callsPerMinute(d.cfg, status))) * time.Minute
	return e
}
