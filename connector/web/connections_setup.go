package web

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// setupBar is what stands above each page of the first run: where one is, what is done, and the way back and on.
type setupBar struct {
	Steps []setupStep
	At    int // from 1
	Here  setupStep
	Back  string
	Next  string
	Note  string // a key: what is still open in this step
}

type setupStep struct {
	Key      string // connections.step.<Key>
	Path     string
	Done     bool
	Here     bool
	Optional bool
	Locked   bool // it needs a step before it
}

// setupSteps are the steps of the first run and how far the draft is. An optional step is done once somebody has looked at it, or filled it.
func setupSteps(cfg *config.Config, running bool, model string, seen func(step string) bool) []setupStep {
	has := func(done func(*config.Config) bool) bool { return cfg != nil && done(cfg) }
	source := has(func(c *config.Config) bool {
		return c.Source.Postgres != nil && c.Source.Postgres.URL != "" || c.Source.Kafka != nil && len(c.Source.Kafka.Brokers) > 0
	})
	braze := has(func(c *config.Config) bool {
		return c.Braze.Endpoint != "" && c.Braze.APIKey != "" && c.Braze.Workspace != ""
	})
	table, mode, fields, groups := false, false, false, false
	if cfg != nil {
		for i := range cfg.Models {
			m := &cfg.Models[i]
			if model == "" {
				model = m.Name
			}
			if m.Name == model {
				table, mode = m.Relation() != "", m.Mode != ""
				fields = (m.Identify.ExternalID.Column != "" || m.Identify.ExternalID.Expr != "" || m.Identify.AliasName != "" || m.Identify.Email != "" ||
					m.Identify.Phone != "" || len(m.Identify.ItemID) > 0) && len(m.Fields)+len(m.Custom) > 0
				groups = len(m.Groups)+len(m.Audiences) > 0
			}
		}
	}
	tab := func(name string) string { return "/models/" + url.PathEscape(model) + "?tab=" + name }
	return []setupStep{
		{Key: "source", Path: "/setup/source", Done: source},
		{Key: "braze", Path: "/setup/braze", Done: braze},
		{Key: "table", Path: "/models/-/add", Done: table, Locked: !source},
		{Key: "mode", Path: tab("options"), Done: mode, Locked: !table},
		{Key: "fields", Path: tab("fields"), Done: fields, Locked: !table},
		{Key: "groups", Path: tab("groups"), Done: groups || seen("groups"), Optional: true, Locked: !table},
		{Key: "preview", Path: tab("preview"), Done: fields && mode && seen("preview"), Optional: true, Locked: !table},
		{Key: "start", Path: "/setup/start", Done: running, Locked: !(source && braze && table && mode && fields)},
	}
}

// firstOpen is the step to go on with.
func firstOpen(steps []setupStep) setupStep {
	for _, s := range steps {
		if !s.Done && !s.Optional {
			return s
		}
	}
	return steps[len(steps)-1]
}

// stepsCookie keeps in the browser which optional steps somebody has looked at.
const (
	stepsCookie = "steps"
	stepsFor    = 24 * time.Hour // the next first run begins anew
)

// sawStep tells whether this browser has shown an optional step before.
func (r *request) sawStep(step string) bool {
	return slices.Contains(strings.Split(cookie(r.Request, stepsCookie), "."), step)
}

// setup is the bar for a page of the first run.
func (r *request) setup(here, model string) *setupBar {
	views := r.s.cfg.Connections
	v, err := r.draftView()
	if views == nil || err != nil {
		return nil
	}
	cfg, _ := views.Look(v.Text)
	b := &setupBar{Steps: setupSteps(cfg, r.running(), model, r.sawStep)}
	failedTests(b.Steps, views.LastSource(v.Text), views.LastBraze(v.Text))
	for i := range b.Steps {
		if b.Steps[i].Key != here {
			continue
		}
		b.Steps[i].Here = true
		b.At, b.Here = i+1, b.Steps[i]
		if b.Here.Optional && !r.sawStep(here) {
			r.setCookie(&http.Cookie{Name: stepsCookie, Value: strings.Trim(cookie(r.Request, stepsCookie)+"."+here, "."), MaxAge: int(stepsFor.Seconds())})
		}
		if i > 0 {
			b.Back = b.Steps[i-1].Path
		}
		if i+1 < len(b.Steps) && !b.Steps[i+1].Locked {
			b.Next = b.Steps[i+1].Path
		}
	}
	return b
}

// setupHere is the bar above the page, nil outside of the first run.
func (r *request) setupHere() *setupBar { return r.bar() }

// findSetup tells which step of the first run a page is. The models' pages belong to it until there is a file.
func (r *request) findSetup() *setupBar {
	step := map[string]string{"/setup/source": "source", "/setup/braze": "braze", "/setup/start": "start", "/setup/done": "start", "/models/-/add": "table"}[r.URL.Path]
	model := r.PathValue("name")
	if step == "" && r.route.family == "models" && model != "" {
		tab := r.URL.Query().Get("tab")
		if tab == "" { // the answer to a form
			tab = path.Base(r.URL.Path)
		}
		if tab == model {
			tab = "fields"
		}
		step = map[string]string{"fields": "fields", "groups": "groups", "options": "mode", "text": "mode", "delete": "mode", "preview": "preview", "send": "preview"}[tab]
	}
	if step == "" {
		return nil
	}
	if r.route.family == "models" {
		if v, err := r.draftView(); err != nil || v.Exists {
			return nil
		}
	}
	return r.setup(step, model)
}

// failedTests takes the tick from a step whose test failed. One can go on anyway.
func failedTests(steps []setupStep, source *SourceProbe, braze *BrazeProbe) {
	for i := range steps {
		switch s := &steps[i]; s.Key {
		case "source":
			s.Done = s.Done && (source == nil || source.Worst() != CheckFail)
		case "braze":
			s.Done = s.Done && (braze == nil || !braze.Refused && braze.Fault == "")
		}
	}
}

// draftView is the draft as it is now, empty where there is no store.
func (r *request) draftView() (draft.View, error) {
	if r.s.cfg.Draft == nil {
		return draft.View{}, errUnavailable()
	}
	return r.s.cfg.Draft.View()
}

// running tells whether a process moves changes now.
func (r *request) running() bool {
	status, err := r.s.status(r.Context())
	if err != nil || status == nil {
		return false
	}
	switch status.State {
	case "running", "degraded", "starting", "draining", "standby", "reloading":
		return true
	}
	return false
}

// setupPage welcomes who comes first, and leads everybody else to the first open step.
func (s *Server) setupPage(r *request) error {
	if s.cfg.Connections == nil || s.cfg.Draft == nil {
		return errUnavailable()
	}
	bar := r.setup("", "")
	if bar == nil {
		return errUnavailable()
	}
	if r.URL.Query().Get("all") == "" {
		for _, step := range bar.Steps {
			if step.Done {
				return r.redirect(firstOpen(bar.Steps).Path, "")
			}
		}
	}
	return r.render(http.StatusOK, "connections_setup", "connections.setup.title", bar)
}
