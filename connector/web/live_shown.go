package web

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// shownNeed is one thing on the list, in the page's language.
type shownNeed struct {
	ID, Mark, Level        string
	What, Means, Cause, Do string
	Since                  time.Time
	Detail                 string
	Go, GoText, Copy       string
	Open                   bool
}

// openNeeds of what is urgent are shown with all their parts from the beginning; the others open at a click.
const openNeeds = 3

func (r *request) shownNeeds(list []need) []shownNeed {
	out := make([]shownNeed, 0, len(list))
	for i := range list {
		n := &list[i]
		args := r.needArgs(n.Args)
		text := func(part string) string {
			if stop := strings.HasPrefix(n.Kind, "stop_"); stop && (part == "what" || part == "means") {
				return r.t("live.need.stop."+part, args...)
			}
			return r.t("live.need."+n.Kind+"."+part, args...)
		}
		s := shownNeed{ID: "need-" + strings.ReplaceAll(n.name(), " ", "_"), What: text("what"), Means: text("means"), Cause: text("cause"), Do: text("do"), Since: n.Since, Detail: r.reasonText(n.Detail), Go: n.Go, Copy: n.Copy,
			Open: i < openNeeds && n.Level >= levelWarn}
		s.Mark, s.Level = r.levelWord(n.Level)
		s.GoText = r.goWord(n)
		out = append(out, s)
	}
	return out
}

func (r *request) levelWord(l level) (mark, word string) {
	switch l {
	case levelWakes:
		return "bad", r.t("live.level.wakes")
	case levelWarn:
		return "warn", r.t("live.level.warn")
	case levelTell:
		return "info", r.t("live.level.tell")
	}
	return "off", r.t("live.level.note")
}

func (r *request) goWord(n *need) string {
	switch {
	case n.Go == "/connections":
		return r.t("live.go.connections")
	case strings.HasPrefix(n.Go, "/models"):
		return r.t("live.go.models")
	case n.Go == "/draft":
		return r.t("live.go.draft")
	case n.Go == "/loads":
		return r.t("live.go.loads")
	case n.Go != "" && n.Model != "":
		return r.t("live.go.confirm")
	case n.Go != "":
		return r.t("live.go.quarantine")
	}
	return ""
}

// needArgs words what the texts of the list are filled with.
func (r *request) needArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch x := a.(type) {
		case size:
			out[i] = r.size(int64(x))
		case share:
			out[i] = r.percent(float64(x))
		case hour:
			out[i] = r.clock(time.Time(x))
		case time.Time:
			out[i] = r.moment(x)
		default:
			out[i] = a
		}
	}
	return out
}

// shownBudget is what is left of one endpoint's budget.
type shownBudget struct {
	Endpoint, Left, Reset string
	Share                 int // of 100
	Mark                  string
}

func (r *request) shownBudgets(v *view) (out []shownBudget) {
	if !v.running() {
		return nil
	}
	for i := range v.status.Sink.Endpoints {
		e := &v.status.Sink.Endpoints[i]
		left := budgetOf(e, v.now)
		if !known(left) {
			continue
		}
		b := shownBudget{Endpoint: e.Endpoint, Share: int(left*100 + .5), Left: r.t("live.braze.left", whole(float64(left)*float64(e.Limit)), e.Limit), Mark: "ok"}
		if e.Reset.After(v.now) {
			b.Reset = r.t("live.braze.reset", r.clock(e.Reset))
		}
		switch {
		case left < .05:
			b.Mark = "bad"
		case left < .2:
			b.Mark = "warn"
		}
		out = append(out, b)
	}
	return out
}

// shownPosition is how far reading is: of a slot its log, of topics each partition's records.
type shownPosition struct {
	Known, Kafka, Connected bool
	Since                   time.Time
	Streams                 []shownStream
	More                    int
}

type shownStream struct{ Name, Behind string }

// partitionsShown are those that are furthest behind.
const partitionsShown = 6

func (r *request) shownPosition(v *view) shownPosition {
	if !v.running() {
		return shownPosition{}
	}
	h := &v.status.Source
	p := shownPosition{Known: true, Connected: h.Connected, Since: h.Since}
	p.Kafka = h.LagBytes < 0 && h.RetainedBytes < 0
	newest := map[string]connector.StreamState{}
	for _, s := range v.status.Streams {
		if part := connector.PartOf(s.Stream); part != "" {
			if old, ok := newest[part]; !ok || s.Moved.After(old.Moved) {
				newest[part] = s
			}
		}
	}
	if len(newest) == 0 {
		p.Kafka = false
		return p
	}
	names := slices.SortedFunc(maps.Keys(newest), func(a, b string) int {
		return cmp.Or(cmp.Compare(newest[b].Behind, newest[a].Behind), cmp.Compare(a, b))
	})
	for i, name := range names {
		if i == partitionsShown {
			p.More = len(names) - i
			break
		}
		topic, part := name, ""
		if at := strings.LastIndexByte(name, '/'); at > 0 {
			topic, part = name[:at], name[at+1:]
		}
		p.Streams = append(p.Streams, shownStream{r.t("live.position.partition", topic, part), r.t("live.position.records", newest[name].Behind)})
	}
	return p
}

// shownNote is a reason for which fields were left out.
type shownNote struct{ Model, Field, Reason, Times string }

const notesListed = 5

func (r *request) shownNotes(v *view) (out []shownNote) {
	if !v.running() {
		return nil
	}
	type note struct {
		model, text string
		n           uint64
	}
	var all []note
	for i := range v.status.Models {
		for text, n := range v.status.Models[i].Notes {
			all = append(all, note{v.status.Models[i].Name, text, n})
		}
	}
	slices.SortFunc(all, func(a, b note) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text)) })
	for _, n := range all[:min(len(all), notesListed)] {
		field, reason, _ := strings.Cut(n.text, ": ")
		out = append(out, shownNote{n.model, field, r.said(reason), r.t("live.care.times", n.n)})
	}
	return out
}

// shownModel is one model's row; its figures are cells.
type shownModel struct {
	Name, Table string
	Mark, State string
}

func (r *request) shownModels(v *view) (out []shownModel) {
	if v.status == nil {
		return nil
	}
	for i := range v.status.Models {
		m := &v.status.Models[i]
		s := shownModel{Name: m.Name, Table: m.Table}
		s.Mark, s.State = r.modelState(v, m)
		out = append(out, s)
	}
	return out
}

// modelState is the state of one model in a word.
func (r *request) modelState(v *view, m *connector.ModelStatus) (mark, word string) {
	switch {
	case m.Paused != "":
		return "warn", r.t("live.state.paused")
	case m.Held > 0:
		return "warn", r.t("live.state.deletes", m.Held)
	}
	for i := len(v.status.Loads) - 1; i >= 0 && works(v.status); i-- {
		l := &v.status.Loads[i]
		if l.Model != m.Name || !l.Finished.IsZero() && !l.Closing {
			continue
		}
		if l.Paused {
			return "warn", r.t("live.state.loadpaused")
		}
		far := r.t("live.state.rows", l.Rows)
		if l.Estimate > 0 {
			far = r.percent(math.Floor(100*min(1, float64(l.Rows)/float64(l.Estimate))) / 100)
		}
		if l.Resync != nil {
			return "busy", r.t("live.state.resync", far)
		}
		return "busy", r.t("live.state.loading", far)
	}
	if !v.running() || v.status.State == "stopped" {
		return "off", r.t("live.state.stopped")
	}
	return "ok", r.t("live.state.running")
}

// shownPassed are the changes that passed of late.
type shownPassed struct {
	Offline bool
	List    []shownChange
}

type shownChange struct {
	At                time.Time
	Clock             string
	Model, Op, Fields string
	Mark, Result      string
	Reason, Took      string
}

func (r *request) shownPassed() shownPassed {
	list, err := r.s.live.views.Passed(r.Context(), 0)
	if err != nil {
		return shownPassed{Offline: true}
	}
	var out shownPassed
	for i := len(list) - 1; i >= 0; i-- {
		out.List = append(out.List, r.shownChange(&list[i]))
	}
	return out
}

func (r *request) shownChange(p *control.Passed) shownChange {
	c := shownChange{At: p.At, Clock: r.clock(p.At), Model: cmp.Or(p.Model, dash), Fields: strings.Join(p.Fields, ", "), Reason: r.said(p.Reason), Mark: "off"}
	switch p.Op {
	case "insert", "update", "delete", "truncate", "snapshot":
		c.Op = r.t("live.op." + p.Op)
	default:
		c.Op = r.t("live.op.none")
	}
	if c.Fields == "" && p.Kind == connector.DeleteUser.String() {
		c.Fields = r.t("live.fields.whole")
	}
	switch p.Result {
	case "accepted":
		c.Mark = "ok"
	case "retry":
		c.Mark = "busy"
	case "quarantined", "held":
		c.Mark = "warn"
	case "suppressed":
	default:
		c.Result = r.t("live.result.other", p.Result)
	}
	if c.Result == "" {
		c.Result = r.t("live.result." + p.Result)
	}
	if p.Took > 0 && p.Result == "accepted" {
		c.Took = r.dur(seconds(p.Took.Seconds()))
	}
	return c
}
