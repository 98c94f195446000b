package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// What can be answered to what waits.
const (
	decideSend     = "send"     // the deletes
	decideDrop     = "drop"     // the deletes
	decideContinue = "continue" // with a model whose table was emptied
	decideResync   = "resync"   // likewise, and bring its rows
)

// waitWords are the words of what waits, by connector's Pause constants.
var waitWords = map[string]string{connector.PauseTruncate: "truncate", connector.PauseBrake: "brake", connector.PauseLost: "lost", connector.PauseGone: "gone"}

// decision is something that waits for a person.
type decision struct {
	Model string
	Kind  string // a value of waitWords
	Count int
	Since time.Time
	Text  string
	Link  string
}

// decisions gives what waits, of one model or with "" of all.
func (r *request) decisions(api control.API, model string) ([]decision, error) {
	list, err := api.Pending(r.Context())
	if err != nil || len(list) == 0 {
		return nil, err
	}
	cfg := r.settings()
	var out []decision
	for _, c := range list {
		if model != "" && c.Model != model {
			continue
		}
		d := decision{Model: c.Model, Kind: waitWords[c.Kind], Count: c.Count, Since: c.Since, Link: "/quarantine/decide/" + urlPart(c.Model)}
		d.Text = r.decisionText(&c, d.Kind, modelOf(cfg, c.Model))
		out = append(out, d)
	}
	return out, nil
}

// decisionText words what waits; what the catalogue does not know is told in the process' own sentence.
func (r *request) decisionText(d *connector.Confirmation, kind string, m *connector.Model) string {
	table := d.Model
	if m != nil {
		table = m.Relation()
	}
	switch kind {
	case "truncate":
		return r.t("quarantine.decide.truncate", table, formatTime(r.Lang, d.Since.In(r.Zone)))
	case "brake":
		if d.Limit == 0 || d.Window == 0 {
			return r.t("quarantine.decide.brake.plain", d.Count, d.Model)
		}
		return r.t("quarantine.decide.brake", d.Count, d.Model, d.Window, d.Limit)
	case "lost":
		return r.t("quarantine.decide.lost", d.Count, d.Model)
	case "gone":
		return r.t("quarantine.decide.gone", d.Count, table)
	}
	return r.said(d.Text)
}

// settings is the configuration as the file has it, nil where it can't be read.
func (r *request) settings() *config.Config {
	if r.s.cfg.Draft == nil || r.s.cfg.Parse == nil {
		return nil
	}
	v, err := r.s.cfg.Draft.View()
	if err != nil || !v.Exists {
		return nil
	}
	cfg, err := r.s.cfg.Parse(v.File)
	if err != nil {
		return nil // the page says less
	}
	return cfg
}

func modelOf(cfg *config.Config, name string) *connector.Model {
	if cfg == nil {
		return nil
	}
	for i := range cfg.Models {
		if cfg.Models[i].Name == name {
			return &cfg.Models[i]
		}
	}
	return nil
}

const heldDeletesPage = 100

type decidePage struct {
	Model     string
	Decisions []decision
	Truncated bool
	Deletes   int // that wait, for whatever reason
	Kinds     []string
	List      []heldDelete
	From, To  int
	Next      string
	First     string
	Ask       string // the answer that is being asked for again; empty: none
	Type      bool
	Fewer     bool // the process has no list
}

type heldDelete struct {
	User, Kind string
	Since      time.Time
	Reason     string // a value of waitWords
}

func (r *request) decidePage(api heldAPI) (*decidePage, error) {
	p := &decidePage{Model: r.PathValue("model")}
	var err error
	if p.Decisions, err = r.decisions(api, p.Model); err != nil {
		return nil, err
	}
	if len(p.Decisions) == 0 {
		return nil, errPage(http.StatusNotFound, "quarantine.decide.none")
	}
	for _, d := range p.Decisions {
		if d.Kind == "truncate" {
			p.Truncated = true
			continue
		}
		p.Deletes += d.Count
		p.Kinds = append(p.Kinds, d.Kind)
	}
	p.Type = p.Deletes > typeAbove
	skip, err := strconv.Atoi(r.URL.Query().Get("skip"))
	if err != nil || skip < 0 {
		skip = 0
	}
	list, err := api.HeldDeletes(r.Context(), control.HeldQuery{Model: p.Model, Skip: skip, Limit: heldDeletesPage + 1})
	if err != nil {
		return nil, err
	}
	base := "/quarantine/decide/" + urlPart(p.Model)
	if len(list) > heldDeletesPage {
		list = list[:heldDeletesPage]
		p.Next = base + "?skip=" + strconv.Itoa(skip+heldDeletesPage)
	}
	p.From, p.To = skip+1, skip+len(list)
	if skip > 0 {
		p.First = base
	}
	for i := range list {
		h := &list[i]
		x := heldDelete{User: r.mask(h.User.ID), Kind: kindOfUser(h.User.Kind), Since: h.At, Reason: waitWords[h.Reason]}
		p.List = append(p.List, x)
	}
	return p, nil
}

// may tells whether an answer fits what waits. While a table's emptying waits, the deletes have their turn after it.
func (p *decidePage) may(do string) bool {
	switch do {
	case decideContinue, decideResync:
		return p.Truncated
	case decideSend, decideDrop:
		return !p.Truncated && len(p.Kinds) > 0
	}
	return false
}

func (s *Server) decidePage(r *request) error {
	api, done, err := r.heldAPI()
	if err != nil {
		return err
	}
	defer done()
	p, err := r.decidePage(api)
	if err != nil {
		return err
	}
	if do := r.URL.Query().Get("do"); r.editor() && p.may(do) {
		p.Ask = do
	}
	return r.render(http.StatusOK, "quarantine_decide", r.t("quarantine.decide.title", p.Model), p)
}

// decide answers what waits. Deletes are sent and dropped after their number was shown, and typed where they are many.
func (s *Server) decide(r *request) error {
	api, done, err := r.heldAPI()
	if err != nil {
		return err
	}
	defer done()
	p, err := r.decidePage(api)
	if err != nil {
		return err
	}
	do := r.PostFormValue("do")
	if !p.may(do) {
		return errBadForm
	}
	// What was shown must still be so: others may have come, or somebody may have answered.
	shown, err := strconv.Atoi(r.PostFormValue("count"))
	switch {
	case err != nil && (do == decideSend || do == decideDrop):
		return errBadForm
	case do == decideSend && shown != p.Deletes:
		r.problem("", r.t("quarantine.decide.changed", shown, p.Deletes))
	case do == decideSend && p.Type && digits(strings.TrimSpace(r.PostFormValue("typed"))) != strconv.Itoa(p.Deletes):
		r.problem("typed", r.t("quarantine.confirm.typed.wrong", p.Deletes))
	}
	if len(r.problems) > 0 {
		p.Ask = do
		return r.render(http.StatusUnprocessableEntity, "quarantine_decide", r.t("quarantine.decide.title", p.Model), p)
	}
	if err := r.answerDecision(api, p, do); err != nil {
		r.problem("", r.saidError(err))
		return r.render(http.StatusConflict, "quarantine_decide", r.t("quarantine.decide.title", p.Model), p)
	}
	r.record("/quarantine", "quarantine.note.decide."+do, p.Model, strconv.Itoa(p.Deletes))
	to := "/quarantine"
	if do == decideResync || do == decideContinue {
		to = "/loads"
	}
	return r.redirect(to, "quarantine.decide.done."+do, p.Deletes, p.Model)
}

func (r *request) answerDecision(api heldAPI, p *decidePage, do string) error {
	ctx := r.Context()
	if resumes, ok := api.(control.Resumes); ok && p.Truncated {
		_, err := resumes.Resume(ctx, p.Model, do == decideResync)
		return err
	}
	if p.Truncated && (do == decideResync || len(p.Kinds) > 0) {
		return errPlain(r.t("quarantine.decide.needsrun"))
	}
	_, err := api.Confirm(ctx, p.Model, do == decideDrop)
	return err
}

// errPlain is a text that is shown as it is.
type errPlain string

// Error implements error.
func (e errPlain) Error() string { return string(e) }
