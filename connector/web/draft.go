package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// DraftViews is what the pages of the draft ask and do.
type DraftViews interface {
	// Check looks at everything that a start with the text needs: the file, the source, the mapping, the key.
	Check(ctx context.Context, text []byte) ([]Finding, error)
	// Apply has the process use a text that is in the file already. Where no process runs it does nothing.
	Apply(ctx context.Context, text []byte) error
}

// Finding is one line of a check.
type Finding struct {
	Level string // bad, warn or ok
	Area  string // config, source, mapping, braze or host
	What  string
	Fix   string
	Line  int // of the file, 0 for none
}

// draftRoutes are the pages of this family.
func (s *Server) draftRoutes() []route {
	return []route{
		{http.MethodGet, "/draft", Viewer, s.draftPage, ""},
		{http.MethodPost, "/draft/check", Editor, s.draftCheck, ""},
		{http.MethodPost, "/draft/apply", Editor, s.draftApply, ""},
		{http.MethodPost, "/draft/drop", Editor, s.draftDrop, ""},
		{http.MethodPost, "/draft/top", Editor, s.draftTop, ""},
		{http.MethodPost, "/draft/text", Editor, s.draftText, ""},
		{http.MethodGet, "/draft/brazecdc.yaml", Editor, s.draftDownload, ""},
		{http.MethodGet, "/draft/brazecdc.diff", Editor, s.draftDiffDownload, ""},
		{http.MethodGet, "/draft/settings", Viewer, s.draftSettings, ""},
		{http.MethodPost, "/draft/settings", Editor, s.draftSettingsSave, ""},
		{http.MethodGet, "/versions", Viewer, s.versionsPage, ""},
		{http.MethodGet, "/versions/{n}", Viewer, s.versionPage, ""},
		{http.MethodPost, "/versions/{n}/back", Editor, s.versionBack, ""},
		{http.MethodGet, "/activity", Viewer, s.activityPage, ""},
	}
}

// draftShown is the page of the draft.
type draftShown struct {
	draft.View
	Tab     string // words, file or hand
	File    string // its path
	Seen    string // names the text that is shown
	Words   []sentenceShown
	Deletes bool // deletes start to be sent
	Lines   []draft.Line
	Theirs  []draft.Line // what the other changed, where the draft is stale
	Unified string
	Faults  []Finding
	Well    []Finding // those of Faults that are well
	Open    bool      // there are others
	Checked bool      // Faults are those of a full check
	Despite bool      // all of them are outside of the file, so that it can be applied all the same
	Hand    string
	Reason  string
	Fills   []backfill
}

// sentenceShown is a sentence in the language of the page.
type sentenceShown struct {
	Text string
	Mark string // warn for what deserves a second look
}

// sentences writes them in the page's language.
func (r *request) sentences(list []draft.Sentence) []sentenceShown {
	out := make([]sentenceShown, 0, len(list))
	for _, s := range list {
		shown := sentenceShown{Text: r.sentence(s)}
		switch s.Key {
		case "draft.word.deletes.start", "draft.word.model.gone", "draft.word.fields.gone":
			shown.Mark = "warn"
		}
		out = append(out, shown)
	}
	return out
}

// sentence writes one in the page's language.
func (r *request) sentence(s draft.Sentence) string {
	args := make([]any, len(s.Args))
	for i, a := range s.Args {
		args[i] = a
	}
	about, _, _ := strings.Cut(strings.TrimPrefix(s.Key, "draft.word."), ".")
	for i, a := range s.Args {
		key := ""
		switch {
		case i == 0 && (about == "setting" || about == "secret"):
			key = "draft.set." + a
		case i > 0 && about == "mode":
			key = "connections.mode." + a
		case i > 0 && about == "load":
			key = "models.load." + a
		}
		if text := r.t(key); text != key { // as the forms call it; what they do not have is told as the file has it
			args[i] = text
		}
	}
	return r.t(s.Key, args...)
}

func (s *Server) draftPage(r *request) error { return s.showDraft(r, http.StatusOK, &draftShown{}) }

// showDraft answers with the page of the draft; p carries what a form left open.
func (s *Server) showDraft(r *request, status int, p *draftShown) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	p.View, p.File, p.Seen = v, s.cfg.File, draft.Hash(v.Text)
	if p.Tab == "" {
		p.Tab = oneOf(r.FormValue("tab"), "words", "file", "hand")
	}
	if p.Hand == "" {
		p.Hand = string(config.HideSecrets(v.Text))
	}
	if !p.Checked {
		p.Faults = s.readingFaults(v.Text)
	}
	for _, f := range p.Faults {
		if f.Level == "ok" {
			p.Well = append(p.Well, f)
		} else {
			p.Open = true
		}
	}
	p.Despite = p.Checked && outside(p.Faults)
	if !v.Pending {
		return r.render(status, "draft", "draft.title", p)
	}
	words, err := draft.Between(v.Base, v.Text)
	if err != nil {
		words = []draft.Sentence{{Key: "draft.word.unreadable"}}
	}
	p.Words = r.sentences(words)
	for _, w := range words {
		p.Deletes = p.Deletes || w.Key == "draft.word.deletes.start"
	}
	p.Lines = draft.Compare(v.Base, v.Text)
	if v.Stale {
		p.Theirs = draft.Compare(v.Base, v.File)
	}
	if r.editor() && !v.Stale && !v.ReadOnly {
		p.Fills = r.backfills(&v)
	}
	if r.editor() {
		p.Unified = string(draft.Unified("brazecdc.yaml", v.File, v.Text))
	}
	return r.render(status, "draft", "draft.title", p)
}

// oneOf is the value where it is one of the words, else the first of them.
func oneOf(value string, words ...string) string {
	for _, w := range words {
		if w == value {
			return w
		}
	}
	return words[0]
}

// faultsOf are the faults and warnings that reading the text alone tells.
func (s *Server) faultsOf(text []byte) config.Faults {
	if s.cfg.Parse == nil || len(text) == 0 {
		return nil
	}
	cfg, err := s.cfg.Parse(text)
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		return faults
	case err != nil:
		return config.Faults{{What: err.Error()}}
	}
	return cfg.Warnings
}

// readingFaults are faultsOf as lines of a check.
func (s *Server) readingFaults(text []byte) []Finding {
	faults := s.faultsOf(text)
	out := make([]Finding, 0, len(faults))
	for _, f := range faults {
		level := "bad"
		if f.Warn {
			level = "warn"
		}
		what := f.What
		if f.Path != "" && !strings.HasPrefix(what, f.Path) {
			what = f.Path + " " + what
		}
		out = append(out, Finding{Level: level, Area: "config", What: what, Fix: f.Fix, Line: f.Line})
	}
	return out
}

// check runs the full check, or that of the file alone where nothing else can be asked.
func (s *Server) check(ctx context.Context, text []byte) ([]Finding, error) {
	if s.cfg.Drafts == nil {
		return s.readingFaults(text), nil
	}
	return s.cfg.Drafts.Check(ctx, text)
}

func bad(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == "bad" {
			return true
		}
	}
	return false
}

// outside tells whether nothing in the text itself has to be fixed, only what a person may know better: a server that is away, a key that is not there yet.
func outside(findings []Finding) bool {
	found := false
	for _, f := range findings {
		if f.Level == "bad" {
			if f.Area != "source" && f.Area != "braze" && f.Area != "host" {
				return false
			}
			found = true
		}
	}
	return found
}

func (s *Server) draftCheck(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	p := &draftShown{Checked: true, Reason: r.PostFormValue("reason")}
	if p.Faults, err = s.check(r.Context(), v.Text); err != nil {
		p.Faults = []Finding{{Level: "bad", What: err.Error()}}
	}
	return s.showDraft(r, http.StatusOK, p)
}

func (s *Server) draftApply(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	p := &draftShown{Reason: r.PostFormValue("reason")}
	refuse := func(status int, text string) error {
		r.problem("", text)
		return s.showDraft(r, status, p)
	}
	if seen := r.PostFormValue("seen"); seen != draft.Hash(v.Text) {
		return refuse(http.StatusConflict, r.t("draft.fault.moved"))
	}
	if v.Pending && !v.Stale && !v.ReadOnly {
		p.Checked = true
		if p.Faults, err = s.check(r.Context(), v.Text); err != nil {
			p.Faults = []Finding{{Level: "bad", What: err.Error()}}
		}
		if bad(p.Faults) && (r.PostFormValue("despite") == "" || !outside(p.Faults)) {
			return refuse(http.StatusUnprocessableEntity, r.t("draft.fault.check"))
		}
	}
	fills := r.backfills(&v) // what is new is told by the draft, which is gone afterwards
	var start func(context.Context, []byte) error
	if s.cfg.Drafts != nil {
		start = s.cfg.Drafts.Apply
	}
	err = s.cfg.Draft.ApplySeen(r.Context(), r.User.Name, clip(p.Reason, 500), v.Text, start)
	switch {
	case errors.Is(err, draft.ErrMoved):
		return refuse(http.StatusConflict, r.t("draft.fault.moved"))
	case errors.Is(err, draft.ErrNothing):
		return refuse(http.StatusConflict, r.t("draft.fault.nothing"))
	case errors.Is(err, draft.ErrStale):
		return refuse(http.StatusConflict, r.t("draft.fault.stale"))
	case errors.Is(err, draft.ErrReadOnly):
		return refuse(http.StatusConflict, r.t("draft.fault.read_only"))
	case err != nil:
		return refuse(http.StatusUnprocessableEntity, r.t("draft.fault.apply", r.saidError(err)))
	}
	begun, err := r.startBackfills(fills)
	switch {
	case err != nil:
		r.problem("", r.t("draft.backfill.failed", r.reasonText(err.Error())))
		return s.showDraft(r, http.StatusConflict, &draftShown{})
	case len(begun) > 0:
		return r.redirect("/loads", "draft.done.backfill", strings.Join(begun, ", "))
	}
	return r.redirect("/draft", "draft.done.applied")
}

// clip bounds a text that a form sent.
func clip(text string, most int) string {
	if runes := []rune(strings.TrimSpace(text)); len(runes) > most {
		return string(runes[:most])
	}
	return strings.TrimSpace(text)
}

func (s *Server) draftDrop(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	if err := s.cfg.Draft.Drop(r.User.Name); err != nil {
		return err
	}
	r.note("draft.activity.dropped", "")
	return r.redirect("/draft", "draft.done.dropped")
}

func (s *Server) draftTop(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	if err := s.cfg.Draft.PutOnTop(r.User.Name); err != nil {
		r.problem("", r.t("draft.fault.top", r.saidError(err)))
		return s.showDraft(r, http.StatusConflict, &draftShown{})
	}
	return r.redirect("/draft", "draft.done.top")
}

// draftText takes the whole file as it was edited by hand.
func (s *Server) draftText(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	text := strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n")
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	p := &draftShown{Tab: "hand", Hand: text}
	if seen := r.PostFormValue("seen"); seen != draft.Hash(v.Text) {
		r.problem("text", r.t("draft.fault.moved"))
		return s.showDraft(r, http.StatusConflict, p)
	}
	if strings.Contains(string(v.Text), "\r\n") {
		text = strings.ReplaceAll(text, "\n", "\r\n") // a form sends every line end alike; the file keeps its own
	}
	if err := s.cfg.Draft.SetText(r.User.Name, []byte(text)); err != nil {
		r.problem("text", r.t("draft.fault.text", draftLine(err), r.saidError(err)))
		return s.showDraft(r, http.StatusUnprocessableEntity, p)
	}
	return r.redirect("/draft?tab=file", "draft.done.text")
}

// draftLine is the line of a fault in the file, a dash for none.
func draftLine(err error) string {
	var f config.Fault
	if errors.As(err, &f) && f.Line > 0 {
		return strconv.Itoa(f.Line)
	}
	return "–"
}

func (s *Server) draftDownload(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	r.download("brazecdc.yaml", "application/yaml", config.HideSecrets(v.Text))
	return nil
}

func (s *Server) draftDiffDownload(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	r.download("brazecdc.diff", "text/x-diff", draft.Unified("brazecdc.yaml", v.File, v.Text))
	return nil
}

// download answers with a file to keep.
func (r *request) download(name, mime string, body []byte) {
	h := r.W.Header()
	h.Set("Content-Type", mime+"; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = r.W.Write(body) // a client that went away can't be told
}
