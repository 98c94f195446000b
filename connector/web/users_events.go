package web

import (
	"encoding/json"
	"strings"
	"time"

	"brazecdc/connector"
)

// userEvent is one entry of a timeline in words.
type userEvent struct {
	*UserEvent
	Mark  string // ok, warn, bad, busy, off
	Badge string
	Head  string
	Steps []userStep

	Hidden bool // the payload is masked for editors too
}

// userStep is one step on a change's way, with the time since the step before.
type userStep struct {
	Title string
	After time.Duration
	Timed bool // After is known
	Lines []userLine
}

// userLine is one line of a step: a text, or words in a row.
type userLine struct {
	Text  string
	Soft  bool
	Words []string // names of fields or columns
}

// marks are how an outcome is marked.
var outcomeMarks = map[string]string{
	"accepted": "ok", "suppressed": "off", "passed": "off", "quarantined": "bad", "retry": "warn", "held": "busy", "not sent": "off",
}

// outcomeKeys are the texts for outcomes; any other is one that a person has to see as it is.
var outcomeKeys = map[string]string{
	"accepted": "users.outcome.accepted", "suppressed": "users.outcome.suppressed", "passed": "users.outcome.passed", "quarantined": "users.outcome.quarantined",
	"retry": "users.outcome.retry", "held": "users.outcome.held", "not sent": "users.outcome.unsent",
}

// passKeys are the texts for why a change was nothing for a model.
var passKeys = map[string]string{
	"filter": "users.pass.filter", "delete_when": "users.pass.delete_when", "mode": "users.pass.mode", "only_users": "users.pass.only_users", "no user": "users.pass.nouser",
	"no fields": "users.pass.nofields", "ops": "users.pass.ops", "when": "users.pass.when", "load": "users.pass.load",
}

var waitKeys = map[string]string{
	"gap": "users.wait.gap", "retry": "users.wait.retry", "settle": "users.wait.settle", "start": "users.wait.start", "rename": "users.wait.rename", "busy": "users.wait.busy",
}

var opKeys = map[string]string{
	"insert": "users.op.insert", "update": "users.op.update", "delete": "users.op.delete", "snapshot": "users.op.load", "": "users.op.request",
}

var kindKeys = map[connector.Kind]string{
	connector.Track: "users.kind.track", connector.DeleteUser: "users.kind.delete", connector.Rename: "users.kind.rename", connector.Free: "users.kind.free",
	connector.Subscribe: "users.kind.subscribe", connector.PutItem: "users.kind.put", connector.DeleteItem: "users.kind.unput",
}

// orText gives the text of a key that a table has, else the word itself.
func (r *request) orText(keys map[string]string, word string, args ...any) string {
	if key, ok := keys[word]; ok {
		return r.t(key, args...)
	}
	return word
}

func (r *request) userEvents(u *UserView) []userEvent {
	out := make([]userEvent, 0, len(u.Past))
	for i := range u.Past {
		out = append(out, r.userEvent(&u.Past[i]))
	}
	return out
}

func (r *request) userEvent(e *UserEvent) userEvent {
	v := userEvent{UserEvent: e}
	switch {
	case e.Gap:
		v.Mark, v.Badge, v.Head = "warn", r.t("users.gap.badge"), r.t("users.gap.text", e.Count)
		return v
	case e.Counted:
		v.Mark, v.Badge = "off", r.orText(outcomeKeys, e.Outcome)
		model := ""
		if len(e.Rows) > 0 {
			model = e.Rows[0].Model
		}
		if e.Outcome == "passed" {
			v.Head = r.t("users.counted.passed", e.Count, model, r.orText(passKeys, e.Reason))
		} else {
			v.Head = r.t("users.counted.same", e.Count, model)
		}
		return v
	}
	v.Mark, v.Badge = outcomeMarks[e.Outcome], r.orText(outcomeKeys, e.Outcome)
	if v.Mark == "" {
		v.Mark = "warn"
	}
	v.Head = r.eventHead(e)
	v.Steps = r.userSteps(e)
	return v
}

// eventHead says in one sentence what it was.
func (r *request) eventHead(e *UserEvent) string {
	model := ""
	if len(e.Rows) > 0 {
		model = e.Rows[0].Model
	}
	switch {
	case e.Kind == connector.Track && e.Purchase:
		return r.t("users.kind.purchase", model)
	case e.Kind == connector.Track && e.Event != "":
		return r.t("users.kind.event", e.Event, model)
	case e.Kind == connector.Track && len(e.Sent) > 0:
		return r.t("users.kind.fields", model, r.some(e.Sent))
	case e.Kind == connector.Rename:
		return r.t("users.kind.rename", model, r.mask(e.To))
	}
	if key, ok := kindKeys[e.Kind]; ok {
		return r.t(key, model)
	}
	return model
}

// namesShown is how many fields a head names.
const namesShown = 4

// some lists the first of some names, and how many more there are.
func (r *request) some(names []string) string {
	if len(names) <= namesShown {
		return strings.Join(names, ", ")
	}
	return r.t("users.some", len(names)-namesShown, strings.Join(names[:namesShown], ", "))
}

// userSteps tells the way of a change: the row, the mapping, the wait, the call, the answer, the position.
func (r *request) userSteps(e *UserEvent) []userStep {
	var steps []userStep
	last := time.Time{}
	add := func(title string, at time.Time, lines []userLine) {
		if len(lines) == 0 {
			return
		}
		s := userStep{Title: title, Lines: lines}
		if !at.IsZero() {
			if !last.IsZero() && !at.Before(last) {
				s.After, s.Timed = at.Sub(last), true
			}
			last = at
		}
		steps = append(steps, s)
	}
	var committed time.Time
	if len(e.Rows) > 0 {
		committed = e.Rows[0].Committed
	}
	add(r.t("users.step.change"), committed, r.changeLines(e))
	add(r.t("users.step.mapping"), e.Queued, r.mappingLines(e))
	if e.Call == nil {
		add(r.t("users.step.waited"), time.Time{}, r.waitedLines(e))
		add(r.t("users.step.end"), e.At, r.endLines(e))
		return steps
	}
	add(r.t("users.step.waited"), e.Call.At, r.waitedLines(e))
	add(r.t("users.step.call"), time.Time{}, r.callLines(e))
	add(r.t("users.step.answer"), e.Call.At.Add(e.Call.Took), r.endLines(e))
	add(r.t("users.step.position"), time.Time{}, r.positionLines(e))
	return steps
}

const rowsShown = 4

func (r *request) changeLines(e *UserEvent) []userLine {
	var out []userLine
	for i := range e.Rows {
		if i == rowsShown {
			out = append(out, userLine{Text: r.t("users.change.more", len(e.Rows)-i), Soft: true})
			break
		}
		c := &e.Rows[i]
		key := r.mask(c.Key)
		if key == "" {
			key = "–"
		}
		out = append(out, userLine{Text: r.t("users.change.row", r.orText(opKeys, c.Op), c.Table, key)})
		switch {
		case c.Op == "update" && len(c.Columns) > 0:
			out = append(out, userLine{Text: r.t("users.change.columns", len(c.Columns)), Words: c.Columns})
		case c.Op == "update" && c.Known:
			out = append(out, userLine{Text: r.t("users.change.nocolumns"), Soft: true})
		case c.Op == "update":
			out = append(out, userLine{Text: r.t("users.change.unknown"), Soft: true})
		}
		if c.Position != "" {
			out = append(out, userLine{Text: r.t("users.change.position", c.Position), Soft: true})
		}
	}
	if e.Changes > len(e.Rows) && len(e.Rows) > 0 {
		out = append(out, userLine{Text: r.t("users.change.folded", e.Changes)})
	}
	return out
}

func (r *request) mappingLines(e *UserEvent) []userLine {
	var out []userLine
	if len(e.Sent) > 0 {
		out = append(out, userLine{Text: r.t("users.map.sent", len(e.Sent)), Words: e.Sent})
	}
	if len(e.Same) > 0 {
		key := "users.map.same"
		if e.Outcome != "accepted" {
			key = "users.map.mapped" // nothing was sent, so nobody knows what Braze has
		}
		out = append(out, userLine{Text: r.t(key, len(e.Same)), Words: e.Same})
	}
	if len(e.Empty) > 0 {
		out = append(out, userLine{Text: r.t("users.map.empty", len(e.Empty)), Words: e.Empty, Soft: true})
	}
	for _, l := range e.Left {
		out = append(out, userLine{Text: r.t("users.map.left", l.Field, r.reasonText(l.Reason))})
	}
	if e.UpdateOnly && e.Kind == connector.Track {
		out = append(out, userLine{Text: r.t("users.map.updateonly"), Soft: true})
	}
	return out
}

func (r *request) waitedLines(e *UserEvent) []userLine {
	var out []userLine
	for _, w := range e.Waited {
		out = append(out, userLine{Text: r.orText(waitKeys, w)})
	}
	if e.Call != nil && e.Call.Budget >= 20*time.Millisecond {
		out = append(out, userLine{Text: r.t("users.wait.budget", e.Call.Budget)})
	}
	if e.Tries > 0 {
		out = append(out, userLine{Text: r.t("users.wait.tries", e.Tries)})
	}
	if len(out) == 0 && e.Call != nil {
		out = append(out, userLine{Text: r.t("users.wait.turn"), Soft: true})
	}
	return out
}

func (r *request) callLines(e *UserEvent) []userLine {
	out := []userLine{{Text: e.Method + " " + e.Path}}
	if n := e.Call.Objects - 1; n > 0 {
		out = append(out, userLine{Text: r.t("users.call.others", n), Soft: true})
	} else {
		out = append(out, userLine{Text: r.t("users.call.alone"), Soft: true})
	}
	if e.Call.RequestID != "" {
		out = append(out, userLine{Text: r.t("users.call.request", e.Call.RequestID), Soft: true})
	}
	return out
}

func (r *request) endLines(e *UserEvent) []userLine {
	var out []userLine
	if c := e.Call; c != nil && c.Status != 0 {
		key := "users.answer.refused"
		switch {
		case e.Outcome == "accepted":
			key = "users.answer.accepted"
		case c.Status/100 == 2:
			key = "users.answer.item"
		}
		out = append(out, userLine{Text: r.t(key, c.Status)})
	} else if c != nil && e.Outcome != "accepted" {
		out = append(out, userLine{Text: r.t("users.answer.none")})
	}
	if e.Call == nil {
		out = append(out, userLine{Text: r.orText(outcomeKeys, e.Outcome)})
	}
	if e.Reason != "" {
		out = append(out, userLine{Text: r.reasonText(e.Reason)})
	}
	return out
}

func (r *request) positionLines(e *UserEvent) []userLine {
	if len(e.Rows) == 0 {
		return nil
	}
	switch e.Rows[0].Confirmed {
	case "yes":
		return []userLine{{Text: r.t("users.position.yes")}}
	case "no":
		return []userLine{{Text: r.t("users.position.no")}}
	}
	return nil
}

// waitWords tells what a user's queue waits for.
func (r *request) waitWords(w *connector.Waiting) []string {
	var out []string
	if w.Busy {
		out = append(out, r.t("users.queue.busy"))
	}
	for i := range w.Steps {
		s := &w.Steps[i]
		what := strings.Join(s.Fields, ", ")
		if s.Event != "" {
			what = s.Event
		}
		text := r.t("users.queue.step", max(s.Changes, 1), strings.Join(s.Models, ", "), what)
		if what == "" {
			text = r.t("users.queue.bare", max(s.Changes, 1), strings.Join(s.Models, ", "))
		}
		out = append(out, text)
	}
	if w.Reason != "" && len(w.Steps) > 0 {
		out = append(out, r.orText(waitKeys, w.Reason))
	}
	if !w.Settling.IsZero() {
		out = append(out, r.t("users.queue.settling", formatTime(r.Lang, w.Settling.In(r.Zone))))
	}
	return out
}

// Pretty is the payload, indented.
func (e *UserEvent) Pretty() string {
	var v any
	if json.Unmarshal([]byte(e.Payload), &v) != nil {
		return e.Payload
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return e.Payload
	}
	return string(b)
}
