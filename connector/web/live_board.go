package web

import (
	"maps"
	"strings"
	"sync"
)

// cell is one piece of a page that moves: a text or, where html is set, markup that a template of ours made.
type cell struct {
	html    bool
	value   string
	changed int // tick at which it became so
}

// topic makes the cells of one part of a page for whoever looks.
type topic struct {
	every int // ticks
	cells func(r *request, v *view) (map[string]cell, error)
}

// topics are what a stream can be asked for.
func (s *Server) topics() map[string]topic {
	return map[string]topic{
		"live":       {1, (*request).liveTopic},
		"charts":     {5, func(r *request, v *view) (map[string]cell, error) { return r.chartTopic(v, false) }},
		"charts-day": {5, func(r *request, v *view) (map[string]cell, error) { return r.chartTopic(v, true) }},
		"watch":      {1, (*request).watchTopic},
	}
}

// board keeps what each kind of viewer sees at present, so that many open pages cost little more than one: a stream asks only for what changed since the tick
// it had last. A slow reader therefore misses steps in between and never holds anything up.
type board struct {
	mu     sync.Mutex
	frames map[frameKey]*boardFrame
}

// frameKey is what makes two viewers see different things.
type frameKey struct {
	topic, lang, zone string
	role              Role
}

type boardFrame struct {
	mu    sync.Mutex
	tick  int // 0: not made yet
	cells map[string]cell
}

// framesKept bounds the board: kinds of viewers come from languages, zones and roles.
const framesKept = 200

func (b *board) frame(k frameKey) *boardFrame {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.frames == nil || len(b.frames) >= framesKept && b.frames[k] == nil {
		b.frames = map[frameKey]*boardFrame{} // whoever looks gets everything once more
	}
	f := b.frames[k]
	if f == nil {
		f = &boardFrame{cells: map[string]cell{}}
		b.frames[k] = f
	}
	return f
}

// patch is what changed of a page.
type patch struct {
	ID   string            `json:"id"`
	Text map[string]string `json:"text,omitempty"`
	HTML map[string]string `json:"html,omitempty"`
}

func (p *patch) empty() bool { return len(p.Text) == 0 && len(p.HTML) == 0 }

// patch gives what changed of some topics behind a tick; 0 gives everything.
func (s *Server) patch(r *request, names []string, since int) (*patch, int, error) {
	tick := s.live.tick()
	p := &patch{ID: s.events.id(tick), Text: map[string]string{}, HTML: map[string]string{}}
	var v *view
	for _, name := range names {
		t := s.topics()[name]
		f := s.board.frame(frameKey{name, r.Lang, r.Zone.String(), r.User.Role})
		if err := f.update(tick, t, func() (map[string]cell, error) {
			if v == nil {
				v = s.live.view()
			}
			return t.cells(r, v)
		}); err != nil {
			return nil, tick, err
		}
		f.since(since, p)
	}
	return p, tick, nil
}

// update makes the cells of a tick, unless somebody did already.
func (f *boardFrame) update(tick int, t topic, cells func() (map[string]cell, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tick > 0 && tick < f.tick+t.every {
		return nil
	}
	now, err := cells()
	if err != nil {
		return err
	}
	for k, c := range now {
		if old, ok := f.cells[k]; ok && old.value == c.value {
			c.changed = old.changed
		} else {
			c.changed = max(tick, 1)
		}
		now[k] = c
	}
	f.cells, f.tick = now, max(tick, 1)
	return nil
}

func (f *boardFrame) since(tick int, p *patch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, c := range f.cells {
		switch {
		case c.changed <= tick:
		case c.html:
			p.HTML[k] = c.value
		default:
			p.Text[k] = c.value
		}
	}
}

func (r *request) liveTopic(v *view) (map[string]cell, error) {
	out := map[string]cell{"stale": {}}
	if v.shaky() {
		out["stale"] = cell{value: "yes"}
	}
	for k, text := range r.liveCells(v) {
		out[k] = cell{value: text}
	}
	models := r.shownModels(v)
	names := make([]string, 0, len(models))
	for _, m := range models {
		names = append(names, m.Name)
	}
	position := r.shownPosition(v)
	if len(names) > 0 { // without any the process is exchanging its parts, and will have them again
		shape := strings.Join(names, " ")
		if position.Kafka {
			shape += " topics"
		}
		out["shape"] = cell{value: shape}
	}
	parts := map[string]any{"live_needs": r.shownNeeds(v.needs()), "live_budgets": r.shownBudgets(v), "live_position": position, "live_notes": r.shownNotes(v)}
	for name, data := range parts {
		text, err := r.partialText(name, data)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(name, "live_")] = cell{html: true, value: text}
	}
	for _, m := range models {
		text, err := r.partialText("badge", map[string]any{"Mark": m.Mark, "Text": m.State})
		if err != nil {
			return nil, err
		}
		out["m."+m.Name+".state"] = cell{html: true, value: text}
	}
	word, mark := stateWord(v.status, v.fault)
	text, err := r.partialText("badge", map[string]any{"Mark": mark, "Text": r.t("core.state." + word)})
	if err != nil {
		return nil, err
	}
	out["state"] = cell{html: true, value: text}
	out["mark"] = cell{value: v.mark()}
	return out, nil
}

func (r *request) chartTopic(v *view, day bool) (map[string]cell, error) {
	out := map[string]cell{}
	for _, d := range r.charts(v, day) {
		for part, key := range map[string]string{"chart_picture": "", "chart_rows": ".rows"} {
			text, err := r.partialText(part, d)
			if err != nil {
				return nil, err
			}
			out["chart."+d.ID+key] = cell{html: true, value: text}
		}
	}
	text, err := r.partialText("live_marks", r.shownMarks(v, day))
	if err != nil {
		return nil, err
	}
	out["marks"] = cell{html: true, value: text}
	return out, nil
}

func (r *request) watchTopic(*view) (map[string]cell, error) {
	text, err := r.partialText("live_passed", r.shownPassed())
	if err != nil {
		return nil, err
	}
	return map[string]cell{"watch": {html: true, value: text}}, nil
}

// asked gives the topics of a request that there are, each once.
func (s *Server) asked(list string) []string {
	known, got := s.topics(), map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if _, ok := known[name]; ok {
			got[name] = true
		}
	}
	out := make([]string, 0, len(got))
	for name := range maps.Keys(got) {
		out = append(out, name)
	}
	return out
}
