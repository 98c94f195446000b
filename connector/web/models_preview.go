package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"brazecdc/connector"
)

// The rows and operations that a preview can be asked for.
var (
	previewRows = []string{"newest", "random", "fails", "noemail"}
	previewOps  = []string{"asis", "insert", "update", "delete", "leaves"}
)

// previewData is a preview with what it was asked for.
type previewData struct {
	*ModelPreview
	Model  string
	Ask    PreviewAsk
	Rows   []string // that can be asked for
	Ops    []string
	Points int
	Fault  string // why there is none
	CanAsk bool   // by key
	Send   bool   // the row can be sent alone
	Twin   string // the command that shows the row
	Masked bool   // an editor may ask for values that are masked
	Shown  bool   // they were asked for
}

// previewFrom reads what a form or an address asks for; a key never stands in an address.
func previewFrom(q url.Values) PreviewAsk {
	ask := PreviewAsk{Row: q.Get("row"), Op: q.Get("op"), Key: strings.TrimSpace(q.Get("key"))}
	if !slices.Contains(previewRows, ask.Row) {
		ask.Row = "newest"
	}
	if ask.Key != "" {
		ask.Row = "key"
	}
	return ask
}

// preview shows one row of a draft. A source that does not answer is a fault of the preview, not of the page.
func (r *request) preview(d *drafted, m *connector.Model, ask PreviewAsk) (*previewData, error) {
	v, ctx, cancel, err := r.views()
	if err != nil {
		return nil, err
	}
	defer cancel()
	ask.Model = m.Name
	data := &previewData{ModelPreview: &ModelPreview{}, Model: m.Name, Ask: ask, Twin: "brazecdc preview --model " + shellWord(m.Name)}
	data.offer(m)
	if !slices.Contains(data.Ops, ask.Op) {
		ask.Op = data.Ops[0]
		data.Ask.Op = ask.Op
	}
	p, err := v.Preview(ctx, d.text, ask)
	if err != nil {
		data.Fault = err.Error()
		return data, nil
	}
	data.ModelPreview = p
	data.withoutPrivate(r)
	if p.Found && p.Key != "" && r.editor() {
		data.Twin += " --key " + shellWord(p.Key)
	}
	for _, c := range p.Calls {
		data.Points += c.Points
	}
	data.Send = r.appliedModel(m.Name) && p.Found && !p.Topic && len(p.Calls) > 0 && p.HeldBack == "" && (ask.Op == "insert" || ask.Op == "update") && m.Kind != "events" && m.Kind != "purchases"
	return data, nil
}

// offer lists what can be asked of a model.
func (data *previewData) offer(m *connector.Model) {
	topic := m.Table == ""
	data.CanAsk = true
	for _, row := range previewRows {
		if row == "noemail" && !slices.ContainsFunc(m.Fields, func(f connector.FieldMap) bool { return f.Name == "email" && f.Column != "" }) {
			continue
		}
		data.Rows = append(data.Rows, row)
	}
	for _, op := range previewOps {
		happens := m.Kind == "events" || m.Kind == "purchases"
		switch {
		case op == "asis" && !topic, op == "leaves" && m.Filter == "", happens && (op == "delete" || op == "leaves"):
		case happens && op == "update" && !slices.Contains(m.Event.Ops, "update"):
		default:
			data.Ops = append(data.Ops, op)
		}
	}
}

// previewPage is the tab of the preview.
type previewPage struct {
	modelHead
	Preview *previewData
}

// previewTab shows the preview alone, with the row and the exact bytes.
func (r *request) previewTab(status int, d *drafted, m *connector.Model, ask PreviewAsk) error {
	page := previewPage{modelHead: r.head(m, "preview")}
	p, err := r.preview(d, m, ask)
	if err != nil {
		page.Unread = r.t("models.unavailable")
	}
	page.Preview = p
	return r.render(status, "models_preview", m.Name, page)
}

// previewKey shows the row of a key. The key is asked for by a form, so that it does not stand in an address.
func (s *Server) previewKey(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	ask := previewFrom(r.PostForm)
	if ask.Row != "key" {
		return r.redirect("/models/"+m.Name+"?tab=preview&row="+url.QueryEscape(ask.Row)+"&op="+url.QueryEscape(ask.Op), "")
	}
	if r.revealed = r.editor() && r.PostFormValue("private") != ""; r.revealed {
		r.note("models.preview.revealed.noted", "/models/"+m.Name, m.Name, r.rowRef(m.Name, ask.Key))
	}
	return r.previewTab(http.StatusOK, d, m, ask)
}

// appliedModel tells whether a model is in the file, and not only in the draft: what is sent is made by the file.
func (r *request) appliedModel(name string) bool {
	if r.s.cfg.Draft == nil {
		return true
	}
	v, err := r.s.cfg.Draft.View()
	return err != nil || !v.Pending || r.s.read(v.File).model(name) != nil
}

// previewSend sends one row to Braze, through the running process where there is one.
func (s *Server) previewSend(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	ask := previewFrom(r.PostForm)
	switch {
	case ask.Key == "":
		r.problem("key", r.t("models.send.no_key"))
	case r.PostFormValue("yes") == "":
		r.problem("send-yes", r.t("models.send.unconfirmed"))
	}
	if len(r.problems) > 0 {
		return r.previewTab(http.StatusUnprocessableEntity, d, m, ask)
	}
	if !r.appliedModel(m.Name) {
		r.problem("send-yes", r.t("models.send.only_draft"))
		return r.previewTab(http.StatusUnprocessableEntity, d, m, ask)
	}
	api, done, err := r.api()
	if err != nil {
		return err
	}
	defer done()
	said, err := api.Send(r.Context(), m.Name, ask.Key)
	if err != nil {
		r.note("models.send.noted_failed", "/models/"+m.Name, m.Name, r.rowRef(m.Name, ask.Key))
		r.problem("send-yes", r.t("models.send.failed", r.saidError(err)))
		return r.previewTab(http.StatusUnprocessableEntity, d, m, ask)
	}
	r.note("models.send.noted", "/models/"+m.Name, m.Name, r.rowRef(m.Name, ask.Key))
	return r.redirect("/models/"+m.Name+"?tab=preview", "models.send.done", said)
}
