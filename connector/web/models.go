package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// modelsRoutes are the pages of this family. No model can be called "-", so what is no model's has its place there.
func (s *Server) modelsRoutes() []route {
	return []route{
		{http.MethodGet, "/models", Viewer, s.modelsPage, ""},
		{http.MethodGet, "/models/-/add", Viewer, s.modelAddPage, ""},
		{http.MethodPost, "/models/-/add", Editor, s.modelAdd, ""},
		{http.MethodGet, "/models/{name}", Viewer, s.modelPage, ""},
		{http.MethodPost, "/models/{name}/delete", Editor, s.modelDelete, ""},
		{http.MethodPost, "/models/{name}/fields", Editor, s.fieldsSave, ""},
		{http.MethodPost, "/models/{name}/fields/check", Editor, s.fieldsCheck, ""},
		{http.MethodPost, "/models/{name}/try", Editor, s.exprTry, ""},
		{http.MethodPost, "/models/{name}/groups", Editor, s.groupSave, ""},
		{http.MethodPost, "/models/{name}/groups/remove", Editor, s.groupRemove, ""},
		{http.MethodPost, "/models/{name}/rule", Editor, s.ruleCheck, ""},
		{http.MethodPost, "/models/{name}/options", Editor, s.optionsSave, ""},
		{http.MethodPost, "/models/{name}/text", Editor, s.modelTextSave, ""},
		{http.MethodPost, "/models/{name}/preview", Viewer, s.previewKey, ""},
		{http.MethodPost, "/models/{name}/send", Editor, s.previewSend, ""},
	}
}

// modelsAsk bounds what a page waits for the source.
const modelsAsk = 12 * time.Second

// drafted is the configuration as it is being edited.
type drafted struct {
	text   []byte
	cfg    *config.Config // never nil; empty where the text is no configuration at all
	faults config.Faults
	broken bool // the text cannot be read
}

// drafted reads the draft.
func (r *request) drafted() (*drafted, error) {
	if r.s.cfg.Draft == nil {
		return nil, errUnavailable()
	}
	v, err := r.s.cfg.Draft.View()
	if err != nil {
		return nil, err
	}
	return r.s.read(v.Text), nil
}

// read understands as much of a text as can be.
func (s *Server) read(text []byte) *drafted {
	d := &drafted{text: text}
	d.cfg, d.faults = config.Written(s.cfg.File, text, os.LookupEnv, config.SecretFiles(s.cfg.File))
	if d.cfg == nil {
		d.cfg, d.broken = &config.Config{}, true
	}
	return d
}

// model finds a model.
func (d *drafted) model(name string) *connector.Model {
	for i := range d.cfg.Models {
		if d.cfg.Models[i].Name == name {
			return &d.cfg.Models[i]
		}
	}
	return nil
}

// faultsOf are the faults below a path.
func faultsOf(faults []config.Fault, path string) []config.Fault {
	var out []config.Fault
	for _, f := range faults {
		if under(f.Path, path) {
			out = append(out, f)
		}
	}
	return out
}

// under tells whether a path is another or stands in it.
func under(path, in string) bool {
	return path == in || len(path) > len(in) && strings.HasPrefix(path, in) && strings.ContainsRune(".[", rune(path[len(in)]))
}

// edit changes the draft. What the editor of the text refuses becomes a problem of the form, and false.
func (r *request) edit(edits ...config.Edit) bool {
	if len(edits) == 0 {
		return true
	}
	if err := r.s.cfg.Draft.Edit(r.User.Name, edits...); err != nil {
		r.problem("", r.t("models.edit.refused", r.saidError(err)))
		return false
	}
	return true
}

// modelAt reads the draft and the model that the path names.
func (r *request) modelAt() (*drafted, *connector.Model, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, errPage(http.StatusBadRequest, "core.error.form")
	}
	d, err := r.drafted()
	if err != nil {
		return nil, nil, err
	}
	m := d.model(r.PathValue("name"))
	if m == nil {
		return nil, nil, errPage(http.StatusNotFound, "models.gone", r.PathValue("name"))
	}
	return d, m, nil
}

// views are what the pages ask, within the time that a page waits.
func (r *request) views() (ModelsViews, context.Context, context.CancelFunc, error) {
	if r.s.cfg.Models == nil {
		return nil, nil, nil, errUnavailable()
	}
	ctx, cancel := context.WithTimeout(r.Context(), modelsAsk)
	return r.s.cfg.Models, ctx, cancel, nil
}

// modelLine is one model of the list.
type modelLine struct {
	*connector.Model
	Source        string
	Fields        int
	Groups        int
	State, Mark   string // key and icon
	Faults, Warns int
	Held          int64
}

// modelsData is the page of the list.
type modelsData struct {
	Models []modelLine
	Broken config.Faults // the text cannot be read
	Ready  bool          // a source is set
}

func (s *Server) modelsPage(r *request) error {
	d, err := r.drafted()
	if err != nil {
		return err
	}
	data := modelsData{Ready: d.cfg.Source.Postgres != nil || d.cfg.Source.Kafka != nil}
	if d.broken {
		data.Broken = d.faults
	}
	status, _ := s.status(r.Context()) // without one the models have no state
	for i := range d.cfg.Models {
		m := &d.cfg.Models[i]
		l := modelLine{Model: m, Source: m.Relation(), Fields: fieldCount(m), Groups: len(m.Groups), State: "models.state.idle", Mark: "off"}
		for _, f := range faultsOf(d.faults, m.Path) {
			if f.Warn {
				l.Warns++
			} else {
				l.Faults++
			}
		}
		if status != nil {
			for _, x := range status.Models {
				if x.Name == m.Name {
					l.Held = x.Quarantine
					l.State, l.Mark = modelState(&x, status.State)
				}
			}
		}
		if l.Faults > 0 {
			l.State, l.Mark = "models.state.faults", "bad"
		}
		data.Models = append(data.Models, l)
	}
	return r.render(http.StatusOK, "models", "core.nav.models", data)
}

// modelState words how a running model does.
func modelState(x *connector.ModelStatus, process string) (key, mark string) {
	switch {
	case x.Paused != "":
		return "models.state.paused", "warn"
	case x.Held > 0:
		return "models.state.deletes", "warn"
	case process == "running" || process == "degraded":
		return "models.state.running", "ok"
	}
	return "models.state.idle", "off"
}

// fieldCount is how many lines of a model send a value.
func fieldCount(m *connector.Model) int {
	return len(m.Fields) + len(m.Custom) + len(m.Audiences) + len(m.Event.Properties)
}

// The tabs of a model.
var modelTabs = []string{"fields", "groups", "options", "preview"}

// modelHead is what every tab of a model shows above its content.
type modelHead struct {
	Model    *connector.Model
	Source   string
	Tab      string
	Tabs     []any
	Faults   []faultLine
	Unread   string // why the source can't be looked at
	Relation *Relation
	Users    bool // the rows are users
	Happens  bool // events or purchases
}

// faultLine is a fault of check with the way to the field that it is about.
type faultLine struct {
	config.Fault
	Href string
}

func (s *Server) modelPage(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	tab := r.URL.Query().Get("tab")
	if !slices.Contains(modelTabs, tab) {
		tab = "fields"
	}
	return r.renderTab(http.StatusOK, d, m, tab)
}

// renderTab shows one tab of a model.
func (r *request) renderTab(status int, d *drafted, m *connector.Model, tab string) error {
	switch tab {
	case "groups":
		return r.groupsTab(status, d, m)
	case "options":
		return r.optionsTab(status, d, m)
	case "preview":
		return r.previewTab(status, d, m, previewFrom(r.URL.Query()))
	}
	return r.fieldsTab(status, d, m)
}

// head is the frame of a tab.
func (r *request) head(m *connector.Model, tab string) modelHead {
	h := modelHead{
		Model: m, Source: m.Relation(), Tab: tab, Users: m.Kind == "users", Happens: m.Kind == "events" || m.Kind == "purchases",
	}
	for _, name := range modelTabs {
		if name == "groups" && m.Kind != "users" && m.Kind != "subscriptions" {
			continue
		}
		h.Tabs = append(h.Tabs, map[string]any{"Path": "/models/" + m.Name + "?tab=" + name, "Text": r.t("models.tab." + name), "Here": name == tab})
	}
	h.Tabs = append(h.Tabs, map[string]any{"Path": "/loads", "Text": r.t("models.tab.load"), "Here": false})
	return h
}

// plan judges the model as a text has it. Without an answer there are the faults of the text alone.
func (r *request) plan(text []byte, m *connector.Model, h *modelHead) *ModelPlan {
	v, ctx, cancel, err := r.views()
	var p *ModelPlan
	if err == nil {
		defer cancel()
		p, err = v.Plan(ctx, text, m.Name)
	}
	if err != nil || p == nil {
		p = &ModelPlan{Path: m.Path, Lines: map[string]*LinePlan{}, NoID: -1, Doubles: -1, Faults: r.s.read(text).faults}
		p.Unreachable = r.t("models.unavailable")
		var page *pageError
		if err != nil && !errors.As(err, &page) {
			p.Unreachable = err.Error()
		}
	}
	h.Relation, h.Unread = p.Source, p.Unreachable
	for _, f := range faultsOf(p.Faults, m.Path) {
		h.Faults = append(h.Faults, faultLine{Fault: f, Href: hrefOf(m, f.Path)})
	}
	slices.SortStableFunc(h.Faults, func(a, b faultLine) int { return cmp.Compare(btoi(a.Warn), btoi(b.Warn)) })
	return p
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// idOf makes the id of an element from a path in the file: "models[0].fields.email" is "at-fields-email".
func idOf(m *connector.Model, path string) string {
	var b strings.Builder
	b.WriteString("at-")
	for _, c := range strings.TrimPrefix(path, m.Path+".") {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			b.WriteRune(c)
		case c == '.', c == '[':
			b.WriteByte('-')
		case c == ']':
		default:
			fmt.Fprintf(&b, "-%x", c)
		}
	}
	return b.String()
}

// tabOf is the tab on which a setting of a model stands.
func tabOf(setting string) string {
	switch setting {
	case "fields", "custom", "identify", "properties":
		return "fields"
	case "subscription_groups", "groups", "audiences":
		return "groups"
	}
	return "options"
}

// hrefOf leads to the element that a fault is about.
func hrefOf(m *connector.Model, path string) string {
	rest := strings.TrimPrefix(path, m.Path+".")
	setting := rest
	if i := strings.IndexAny(rest, ".["); i >= 0 {
		setting = rest[:i]
	}
	id := "at-" + setting
	for _, line := range linePaths(m) {
		if under(path, line) {
			id = idOf(m, line)
		}
	}
	return "/models/" + m.Name + "?tab=" + tabOf(setting) + "#" + id
}

// linePaths are where the lines of a model stand that have an element of their own.
func linePaths(m *connector.Model) []string {
	var out []string
	for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
		out = append(out, f.Path)
	}
	for _, g := range m.Groups {
		out = append(out, g.Path)
	}
	for _, a := range m.Audiences {
		out = append(out, a.Path)
	}
	for _, p := range m.Event.Properties {
		out = append(out, p.Path)
	}
	return out
}

func (s *Server) modelDelete(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	if r.PostFormValue("confirm") != m.Name {
		r.problem("confirm", r.t("models.delete.type", m.Name))
		return r.optionsTab(http.StatusUnprocessableEntity, d, m)
	}
	if !r.edit(config.Edit{Path: "models[" + m.Name + "]", Remove: true}) {
		return r.optionsTab(http.StatusUnprocessableEntity, d, m)
	}
	return r.redirect("/models", "models.delete.done", m.Name)
}
