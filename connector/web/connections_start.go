package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// startData is the last step of the first run.
type startData struct {
	Bar      *setupBar
	Running  bool
	ReadOnly bool
	Kafka    bool
	Open     config.Faults // what keeps the stream from starting
	Model    string
	Models   []string
	Rows     []FirstRow
	RowsWhy  string // why there are no rows to choose from
	Loads    []LoadPlan
	LoadsWhy string
	Creates  []Creation
	Sent     *FirstSent
	How, Key string // chosen
	Fault    string // why the start failed
	Fix      string
	Command  string // starts the stream with the file
	SendTwin string // sends the row that is chosen at first
	Twins    []string
}

// sendTwin is the command that sends one row as the page does.
func (r *request) sendTwin(model, key string) string {
	return r.twinOf("brazecdc send --model " + shellWord(model) + " --key " + shellWord(r.mask(key)))
}

func (s *Server) startPage(r *request) error {
	d, err := r.startData()
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "connections_start", "connections.start.title", d)
}

func (r *request) startData() (*startData, error) {
	views := r.s.cfg.Connections
	v, err := r.draftView()
	if err != nil || views == nil {
		return nil, errUnavailable()
	}
	d := &startData{Bar: r.setupHere(), Running: r.running(), ReadOnly: v.ReadOnly, Sent: views.FirstSent(), How: "one", Command: r.command("run")}
	cfg, faults := views.Look(v.Text)
	for _, f := range faults {
		if !f.Warn && !loadOpen(f) {
			d.Open = append(d.Open, f)
		}
	}
	if cfg == nil || len(cfg.Models) == 0 || len(d.Open) > 0 {
		return d, nil
	}
	d.Kafka = cfg.Source.Kafka != nil
	for i := range cfg.Models {
		d.Models = append(d.Models, cfg.Models[i].Name)
	}
	if d.Model = d.Models[0]; r.URL.Query().Has("model") {
		d.Model = r.URL.Query().Get("model")
	}
	if probe := views.LastSource(v.Text); probe != nil {
		d.Creates = probe.Creates
	}
	if d.Rows, err = views.FirstRows(r.Context(), v.Text, d.Model); err != nil {
		d.RowsWhy = err.Error()
	}
	if d.Loads, err = views.Loads(r.Context(), v.Text); err != nil {
		d.LoadsWhy = err.Error()
	}
	if len(d.Rows) == 0 || d.Sent != nil {
		d.How = "now"
	}
	if len(d.Rows) > 0 {
		d.SendTwin = r.sendTwin(d.Model, d.Rows[0].Key)
		for i := range d.Rows {
			d.Twins = append(d.Twins, r.sendTwin(d.Model, d.Rows[i].Key))
		}
	}
	return d, nil
}

// loadOpen tells the one setting that the last step decides.
func loadOpen(f config.Fault) bool {
	const end = ".load"
	return len(f.Path) > len(end) && f.Path[len(f.Path)-len(end):] == end
}

// startAct sends the first user, or starts the stream.
func (s *Server) startAct(r *request) error {
	d, err := r.startData()
	if err != nil {
		return err
	}
	d.How, d.Key = r.text("how"), r.PostFormValue("key")
	for i := range d.Rows {
		if d.Rows[i].Key == d.Key {
			d.SendTwin = d.Twins[i]
		}
	}
	switch {
	case len(d.Open) > 0 || d.Model == "":
		r.problem("", r.t("connections.start.open"))
	case d.How == "one" && d.Key == "":
		r.problem("rows", r.t("connections.wrong.row"))
	case d.How == "load" && r.PostFormValue("sure") == "":
		r.problem("sure", r.t("connections.wrong.sure"))
	case d.How == "one":
		return r.sendFirst(d)
	case d.How == "now" || d.How == "load":
		return r.startStream(d)
	default:
		r.problem("how-now", r.t("connections.wrong.how"))
	}
	return r.render(http.StatusUnprocessableEntity, "connections_start", "connections.start.title", d)
}

func (r *request) sendFirst(d *startData) error {
	v, err := r.draftView()
	if err != nil {
		return err
	}
	sent, err := r.s.cfg.Connections.SendFirst(r.Context(), v.Text, d.Model, d.Key)
	if err != nil {
		d.fault(err)
		return r.render(http.StatusUnprocessableEntity, "connections_start", "connections.start.title", d)
	}
	r.note("connections.did.first", "/setup/done", d.Model, r.ref(sent.User))
	return r.redirect("/setup/done", "")
}

// startStream writes the file and starts the stream with it.
func (r *request) startStream(d *startData) error {
	views, store := r.s.cfg.Connections, r.s.cfg.Draft
	v, err := r.draftView()
	if err != nil {
		return err
	}
	if d.Running {
		return r.redirect("/", "connections.start.already")
	}
	load := map[string]string{"now": "none", "load": "all"}[d.How]
	cfg, _ := views.Look(v.Text)
	var change edits
	for i := range cfg.Models {
		if m := &cfg.Models[i]; m.Load != load {
			change.set("models["+m.Name+"].load", load)
		}
	}
	if len(change) > 0 {
		if err := r.save(change); err != nil {
			return err
		}
	}
	start := func(ctx context.Context, text []byte) error { return views.Start(ctx, text) }
	err = store.Apply(r.Context(), r.User.Name, r.t("connections.start.reason"), start)
	if errors.Is(err, draft.ErrNothing) {
		err = start(r.Context(), v.Text)
	}
	if err != nil {
		d.fault(err)
		return r.render(http.StatusUnprocessableEntity, "connections_start", "connections.start.title", d)
	}
	r.s.forgetStatus()
	if r.s.live != nil {
		r.s.live.wake()
	}
	r.note("connections.did.start", "/")
	return r.redirect("/setup/done", "")
}

// fault takes over why something failed.
func (d *startData) fault(err error) {
	var faults config.Faults
	if errors.As(err, &faults) {
		d.Open = faults
		return
	}
	d.Fault = err.Error()
	var stop *connector.StopError
	if errors.As(err, &stop) {
		if d.Fault, d.Fix = stop.What, stop.Fix; stop.Err != nil {
			d.Fault += ": " + stop.Err.Error()
		}
	}
}

// note writes an entry of the activity log. That it could not be written is told in the process' own log.
func (r *request) note(key, link string, args ...string) {
	err := r.s.cfg.Draft.Note(draft.Activity{Who: r.User.Name, From: draft.FromPage, What: draft.Sentence{Key: key, Args: args}, Link: link})
	if err != nil {
		r.s.log.Warn("an entry of the activity log is lost", "component", "web", "err", err)
	}
}

// forgetStatus has the next page ask the process anew.
func (s *Server) forgetStatus() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.last, s.state.err = nil, nil
	s.state.at = s.state.at.Add(-2 * stateFresh)
}

// doneData is the end of the first run.
type doneData struct {
	Sent     *FirstSent
	Running  bool
	Instance config.Instance
	Command  string
}

func (s *Server) donePage(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	sent := s.cfg.Connections.FirstSent()
	if sent != nil {
		h := r.references()
		maps.Copy(h, hiddenFields(sent.Private))
		shown := *sent
		shown.Calls = slices.Clone(sent.Calls)
		for i := range shown.Calls {
			shown.Calls[i].Body = h.body(shown.Calls[i].Body)
		}
		sent = &shown
	}
	d := doneData{Sent: sent, Running: r.running(), Command: r.command("run"), Instance: instanceOf(readWritten(v.Text).Braze.Endpoint)}
	return r.render(http.StatusOK, "connections_done", "connections.done.title", d)
}
