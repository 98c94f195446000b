package web

import (
	"net/http"
	"net/url"
	"strings"

	"brazecdc/connector/config"
)

// connectionsRoutes are the pages of the connections and of the first run.
func (s *Server) connectionsRoutes() []route {
	return []route{
		{http.MethodGet, "/connections", Viewer, s.connectionsPage, ""},
		{http.MethodPost, "/connections/test", Editor, s.connectionsTest, ""},
		{http.MethodGet, "/connections/source", Viewer, s.sourcePage, ""},
		{http.MethodPost, "/connections/source", Editor, s.sourceSave, ""},
		{http.MethodGet, "/connections/braze", Viewer, s.brazePage, ""},
		{http.MethodPost, "/connections/braze", Editor, s.brazeSave, ""},
		{http.MethodGet, "/setup", Viewer, s.setupPage, ""},
		{http.MethodGet, "/setup/source", Viewer, s.sourcePage, ""},
		{http.MethodPost, "/setup/source", Editor, s.sourceSave, ""},
		{http.MethodGet, "/setup/braze", Viewer, s.brazePage, ""},
		{http.MethodPost, "/setup/braze", Editor, s.brazeSave, ""},
		{http.MethodGet, "/setup/start", Viewer, s.startPage, ""},
		{http.MethodPost, "/setup/start", Editor, s.startAct, ""},
		{http.MethodGet, "/setup/done", Viewer, s.donePage, ""},
	}
}

// connectionForm is what the pages of the source and of Braze have in common.
type connectionForm struct {
	Bar      *setupBar // nil outside of the first run
	Path     string    // where the form goes
	ReadOnly bool      // the file can't be written here
	Command  string
}

func (r *request) connectionForm() connectionForm {
	f := connectionForm{Path: r.URL.Path, Command: r.twinOf("brazecdc check")}
	if v, err := r.draftView(); err == nil {
		f.ReadOnly = v.ReadOnly
	}
	f.Bar = r.setupHere()
	return f
}

// command is the line for a terminal that does what a page does.
func (r *request) command(line string) string { return "brazecdc " + line }

// twin makes a line for a terminal complete: where the configuration has not the name that the commands take by themselves, it says which it is.
func (r *request) twin(line string) string {
	file := r.s.cfg.File
	if file == "" || file == "brazecdc.yaml" || !strings.HasPrefix(line, "brazecdc ") {
		return line
	}
	return line + " --config " + shellWord(file)
}

// twinOf is a line for a terminal that works with the draft as the page does: without one the file says the same.
func (r *request) twinOf(line string) string {
	if v, err := r.draftView(); err != nil || !v.Pending {
		return line
	}
	return line + " --draft"
}

// connectionsCard is one of the two connections.
type connectionsCard struct {
	Set      bool
	Facts    []fact
	Source   *SourceProbe
	Braze    *BrazeProbe
	Instance config.Instance // zero where the address is none of Braze's
}

type fact struct{ Key, Value string }

type connectionsData struct {
	Source, Braze connectionsCard
	Draft         bool
	Command       string
}

func (s *Server) connectionsPage(r *request) error {
	views := s.cfg.Connections
	v, err := r.draftView()
	if views == nil || err != nil {
		return r.render(http.StatusOK, "connections", "connections.title", nil)
	}
	w := readWritten(v.Text)
	d := connectionsData{Draft: v.Pending, Command: r.twinOf("brazecdc check")}
	d.Source = connectionsCard{Set: w.Source.Postgres != nil || w.Source.Kafka != nil, Facts: sourceFacts(&w), Source: views.LastSource(v.Text)}
	d.Braze = connectionsCard{Set: w.Braze.Endpoint != "", Facts: brazeFacts(&w), Braze: views.LastBraze(v.Text), Instance: instanceOf(w.Braze.Endpoint)}
	return r.render(http.StatusOK, "connections", "connections.title", d)
}

func sourceFacts(w *written) []fact {
	if k := w.Source.Kafka; k != nil {
		return someFacts(fact{"connections.fact.kind", "Kafka"}, fact{"connections.brokers", strings.Join(k.Brokers, ", ")}, fact{"connections.group", orDefault(k.Group)},
			fact{"connections.registry", k.Registry.URL}, fact{"connections.login", k.SASL.User})
	}
	p := w.Source.Postgres
	if p == nil {
		return nil
	}
	a, err := parseAddress(p.URL)
	if err != nil {
		a = address{}
	}
	return someFacts(fact{"connections.fact.kind", "Postgres"}, fact{"connections.address", a.Whole}, fact{"connections.host", hostPort(&a)}, fact{"connections.database", a.Database},
		fact{"connections.user", a.User}, fact{"connections.slot", orDefault(p.Slot)}, fact{"connections.publication", orDefault(p.Publication)})
}

func brazeFacts(w *written) []fact {
	return someFacts(fact{"connections.workspace", w.Braze.Workspace}, fact{"connections.endpoint", w.Braze.Endpoint})
}

// defaultName is how slot, publication and group are called where the file names none.
const defaultName = "brazecdc"

func orDefault(name string) string {
	if name == "" {
		return defaultName
	}
	return name
}

func hostPort(a *address) string {
	if a.Port == "" {
		return a.Host
	}
	return a.Host + ":" + a.Port
}

func someFacts(all ...fact) []fact {
	var out []fact
	for _, f := range all {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// instanceOf is the Braze instance of an endpoint, zero where it is none of them.
func instanceOf(endpoint string) config.Instance {
	u, err := url.Parse(endpoint)
	if err != nil {
		return config.Instance{}
	}
	for _, i := range config.Instances() {
		if strings.EqualFold(u.Host, i.Host) {
			return i
		}
	}
	return config.Instance{}
}

// connectionsTest tries one of the connections again.
func (s *Server) connectionsTest(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	which := r.PostFormValue("which")
	if which == "braze" {
		s.cfg.Connections.ProbeBraze(r.Context(), v.Text)
	} else {
		which = "source"
		s.cfg.Connections.ProbeSource(r.Context(), v.Text)
	}
	back := "/connections"
	if r.PostFormValue("back") == "setup" {
		back = "/setup/" + which
	}
	return r.redirect(back+"#"+which+"-result", "")
}
