package web

import (
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// dayCounts holds what each model did in the last 24 hours, by hour. A process counts anew where it applies a configuration, so that differences are added up.
// It may be used concurrently; the zero value is ready.
type dayCounts struct {
	mu    sync.Mutex
	since time.Time // counted without a gap
	at    time.Time // of the newest status
	last  map[string]modelCount
	hours map[int64]map[string]modelCount // by hours since 1970
}

// modelCount is what a model did.
type modelCount struct {
	changes uint64            // that may carry a value: not deletes
	spent   map[string]uint64 // values by field
}

const (
	dayHours = 24
	// dayGap is for how long nobody may have looked before a day counts from anew.
	dayGap = 5 * time.Minute
)

// add counts a status.
func (d *dayCounts) add(now time.Time, st *control.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || now.Sub(d.at) > dayGap || now.Before(d.at) {
		d.since, d.last, d.hours = now, map[string]modelCount{}, map[int64]map[string]modelCount{}
		for i := range st.Models {
			d.last[st.Models[i].Name] = countOf(&st.Models[i])
		}
	}
	d.at = now
	hour := now.Unix() / 3600
	if d.hours[hour] == nil {
		d.hours[hour] = map[string]modelCount{}
		for h := range d.hours {
			if h <= hour-dayHours {
				delete(d.hours, h)
			}
		}
	}
	for i := range st.Models {
		name := st.Models[i].Name
		c := countOf(&st.Models[i])
		sum := d.hours[hour][name]
		if sum.spent == nil {
			sum.spent = map[string]uint64{}
		}
		was := d.last[name]
		sum.changes += more(was.changes, c.changes)
		for f, n := range c.spent {
			sum.spent[f] += more(was.spent[f], n)
		}
		d.hours[hour][name], d.last[name] = sum, c
	}
}

// more is by how much a counter grew, which began anew where it is lower.
func more(was, is uint64) uint64 {
	if is < was {
		return is
	}
	return is - was
}

func countOf(m *connector.ModelStatus) modelCount {
	c := modelCount{spent: map[string]uint64{}}
	for op, n := range m.Changes {
		if op == "insert" || op == "update" {
			c.changes += n
		}
	}
	for f, s := range m.Points.Fields {
		c.spent[f] = s.Spent
	}
	return c
}

// dayGuess is how many values a model may send a day.
type dayGuess struct {
	Known   bool // a day was counted
	Changes int64
	// Low is what its fields sent, High what they did with every change carrying each new value once.
	Low, High int64
}

// guess foresees a day of a model as it is to be, from the day that it had as it was.
func (d *dayCounts) guess(was, is *connector.Model) *dayGuess {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || d.at.Sub(d.since) < dayHours*time.Hour || was == nil || is == nil {
		return &dayGuess{}
	}
	g := &dayGuess{Known: true}
	fresh := map[string]bool{}
	for _, name := range changedFields(was, is) {
		fresh[name] = true
	}
	for _, models := range d.hours {
		c := models[was.Name]
		g.Changes += int64(c.changes)
		for _, name := range fieldNames(is) {
			if !fresh[name] {
				g.Low += int64(c.spent[name])
			}
		}
	}
	g.High = g.Low + g.Changes*int64(len(fresh))
	return g
}

// guessDay is the guess of a model, unknown where nobody counts.
func (s *Server) guessDay(was, is *connector.Model) *dayGuess {
	if s.live == nil {
		return &dayGuess{}
	}
	return s.live.days.guess(was, is)
}
