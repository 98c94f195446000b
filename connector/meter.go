package connector

import (
	"encoding/json"
	"sync"
	"time"
)

// Points gives what a field costs in Braze's legacy metric when it is sent as it is: one for a value, an array or a null, one for each leaf of an object and of
// the objects of an array, one for each value that is added or taken out, none for free fields (Braze docs, "Data points"; contracts since spring 2025 are not
// billed by them). It may be called concurrently.
func (f *Field) Points() int {
	if f.Def.Free || f.Def.Group != "" {
		return 0
	}
	if len(f.JSON) < 2 || f.JSON[0] != '{' && (f.JSON[0] != '[' || f.JSON[1] != '{') {
		return 1
	}
	var v any
	if json.Unmarshal(f.JSON, &v) != nil {
		return 1
	}
	return max(1, keysOf(v))
}

// keysOf counts the leaves of nested objects. What tells an item of an array of objects, and which operation it is, costs nothing.
func keysOf(v any) int {
	switch v := v.(type) {
	case map[string]any:
		n := 0
		for k, x := range v {
			switch k {
			case "$identifier_key", "$identifier_value":
			case "add", "remove":
				if list, ok := x.([]any); ok {
					n += len(list)
					continue
				}
				fallthrough
			default:
				n += keysOf(x)
			}
		}
		return max(1, n)
	case []any:
		n := 0
		for _, x := range v {
			if _, ok := x.(map[string]any); ok {
				n += keysOf(x)
			}
		}
		return max(1, n)
	}
	return 1
}

// Meter counts data points by model and field for the present day (UTC), the days before, and in all. It may be used concurrently.
type Meter struct {
	models []ModelInfo
	now    func() time.Time

	mu     sync.Mutex
	fields []Spent // by FieldDef.Order
	events []Spent // by model
	day    int64   // since 1970, of today
	today  []Spent // by model
	days   []Day   // before today, the newest last
}

// Spent is how many points were spent, and how many were saved by leaving out what Braze had.
type Spent struct {
	Spent uint64 `json:"spent"`
	Saved uint64 `json:"saved"`
}

// Day is one model's points of one day (UTC).
type Day struct {
	Day   string `json:"day"` // 2026-11-01
	Model string `json:"model"`
	Spent
}

// meterDays is how many days are remembered.
const meterDays = 31

func newMeter(models []ModelInfo) *Meter {
	last := 0
	for i := range models {
		for _, d := range models[i].Fields {
			last = max(last, d.Order)
		}
	}
	return &Meter{models: models, now: time.Now, fields: make([]Spent, last+1), events: make([]Spent, len(models)), today: make([]Spent, len(models))}
}

// count adds what was sent of a step and, of the rest of it, what was saved. call is nil where nothing was sent.
func (m *Meter) count(s *step, call *Effect) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	if s.event != nil {
		model := s.rows[0].model
		if call != nil {
			m.events[model].Spent++
			m.today[model].Spent++
		}
		return
	}
	sent := []Field(nil)
	if call != nil {
		sent = call.Fields
	}
	j := 0
	for i := range s.fields {
		f := &s.fields[i]
		spent := 0
		for j < len(sent) && sent[j].Def.Order < f.Def.Order {
			j++ // what goes along with another field is not of the step
		}
		if j < len(sent) && sent[j].Def == f.Def { // both are sorted
			spent = sent[j].Points()
			j++
		} else if f.Omit && !s.nulls {
			continue
		}
		saved := f.Points() - spent
		if spent == 0 && saved <= 0 {
			continue
		}
		if f.Def.Order >= len(m.fields) {
			continue
		}
		for _, t := range [2]*Spent{&m.fields[f.Def.Order], &m.today[f.Def.Model]} {
			t.Spent += uint64(spent)
			t.Saved += uint64(max(0, saved))
		}
	}
}

// turn begins a new day when there is one. The lock is held.
func (m *Meter) turn() {
	day := m.now().Unix() / 86400
	if day == m.day {
		return
	}
	m.days = append(m.days, m.ofToday()...)
	for len(m.days) > 0 && m.days[0].Day < dayName(day-meterDays) {
		m.days = m.days[1:]
	}
	clear(m.today)
	m.day = day
}

func dayName(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

func (m *Meter) ofToday() (days []Day) {
	for i, t := range m.today {
		if t != (Spent{}) {
			days = append(days, Day{dayName(m.day), m.models[i].Name, t})
		}
	}
	return days
}

// Days gives the points of each model by day, the oldest first. A day without any is left out.
func (m *Meter) Days() []Day {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	return append(append([]Day(nil), m.days...), m.ofToday()...)
}

// Field gives the points of one field since the process started.
func (m *Meter) Field(d *FieldDef) Spent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.Order >= len(m.fields) {
		return Spent{}
	}
	return m.fields[d.Order]
}

// Events gives the points of a model's events since the process started.
func (m *Meter) Events(model int) Spent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[model]
}

// ModelPoints are the points of one model.
type ModelPoints struct {
	Today Spent `json:"today"` // UTC
	Start Spent `json:"since_start"`
	// Fields are the points since the process started by field, those without any left out; Events are those of its events and purchases.
	Fields map[string]Spent `json:"fields,omitempty"`
	Events Spent            `json:"events,omitzero"`
	// Days are the days since the process started, the oldest first and today last, at most a month of them.
	Days []Day `json:"days,omitempty"`
}

// Of gives all of one model's points.
func (m *Meter) Of(model int) ModelPoints {
	p := ModelPoints{Fields: map[string]Spent{}, Events: m.Events(model)}
	p.Start = p.Events
	for _, d := range m.models[model].Fields {
		if s := m.Field(d); s != (Spent{}) {
			p.Fields[d.Name] = s
			p.Start.Spent += s.Spent
			p.Start.Saved += s.Saved
		}
	}
	for _, d := range m.Days() {
		if d.Model == m.models[model].Name {
			p.Days = append(p.Days, d)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	p.Today = m.today[model]
	return p
}
