package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"brazecdc/connector/config"
)

// brazeForm is the page of Braze. A key that was typed is never in it.
type brazeForm struct {
	connectionForm
	Instances []config.Instance
	Instance  string // name of the chosen one, "other", or empty
	Endpoint  string // typed, with "other"
	Workspace string
	Key       secretField
	Probe     *BrazeProbe
	Dashboard string
	Rights    []keyRight
}

// keyRight is a permission that a key should have.
type keyRight struct {
	Name string
	Key  string // text of the catalogue that says what for
}

// keyRights are the permissions to tick when a key is made, the necessary ones first.
var keyRights = []keyRight{
	{"users.track", "connections.right.track"}, {"users.delete", "connections.right.delete"}, {"users.external_ids.rename", "connections.right.rename"},
	{"users.external_ids.remove", "connections.right.rename"}, {"users.export.ids", "connections.right.export"}, {"subscription.status.set", "connections.right.groups"},
	{"custom_attributes.get", "connections.right.types"}, {"catalogs.replace_items", "connections.right.catalogs"}, {"catalogs.delete_items", "connections.right.catalogs"},
}

const otherInstance = "other"

func (r *request) brazeForm(w *written) *brazeForm {
	f := &brazeForm{connectionForm: r.connectionForm(), Instances: config.Instances(), Workspace: w.Braze.Workspace, Key: r.secretOf("key", w.Braze.APIKey), Rights: keyRights}
	if w.Braze.Endpoint != "" {
		i := instanceOf(w.Braze.Endpoint)
		if f.Instance, f.Dashboard = i.Name, i.Dashboard; i.Name == "" {
			f.Instance, f.Endpoint = otherInstance, w.Braze.Endpoint
		}
	}
	return f
}

func (s *Server) brazePage(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	w := readWritten(v.Text)
	f := r.brazeForm(&w)
	f.Probe = s.cfg.Connections.LastBraze(v.Text)
	return r.render(http.StatusOK, "connections_braze", "connections.braze.title", f)
}

// brazeSave puts Braze into the draft and asks it.
func (s *Server) brazeSave(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	w := readWritten(v.Text)
	f := r.brazeForm(&w)
	change, err := r.brazeEdits(v.Text, &w, f)
	if err != nil {
		r.problem("", r.t("connections.wrong.keep", r.saidError(err)))
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "connections_braze", "connections.braze.title", f)
	}
	if err := r.save(change); err != nil {
		return err
	}
	if v, err = r.draftView(); err != nil {
		return err
	}
	s.cfg.Connections.ProbeBraze(r.Context(), v.Text)
	return r.redirect(f.Path+"#braze-result", "")
}

func (r *request) brazeEdits(text []byte, w *written, f *brazeForm) (edits, error) {
	f.Instance, f.Workspace = r.text("instance"), r.text("workspace")
	endpoint := ""
	for _, i := range f.Instances {
		if i.Name == f.Instance {
			endpoint = i.Endpoint()
		}
	}
	switch {
	case f.Instance == otherInstance:
		f.Endpoint = r.text("endpoint")
		var key string
		if endpoint, key = judgeEndpoint(f.Endpoint); key != "" {
			r.problem("endpoint", r.t(key))
		}
	case endpoint == "":
		f.Instance = ""
		r.problem("instance", r.t("connections.wrong.instance"))
	}
	if f.Workspace == "" {
		r.problem("workspace", r.t("connections.wrong.workspace"))
	}
	moved := w.Braze.Endpoint != "" && !sameEndpoint(w.Braze.Endpoint, endpoint)
	in := r.secretInput("key")
	if w.Braze.APIKey == "" && in.Typed == "" {
		r.problem("key", r.t("connections.wrong.key"))
	}
	if strings.ContainsAny(in.Typed, " \t") {
		r.problem("key", r.t(errSecretChars.Error()))
	}
	keep := r.secretChange("key", w.Braze.APIKey, moved)
	if len(r.problems) > 0 {
		return nil, nil
	}
	change := begin(w)
	if w.Braze.Workspace != f.Workspace {
		change.set("braze.workspace", f.Workspace)
	}
	if w.Braze.Endpoint != endpoint {
		change.set("braze.endpoint", endpoint)
	}
	if !r.judge(text, change, map[string]string{"braze.endpoint": "endpoint", "braze.workspace": "workspace"}) {
		return nil, nil
	}
	return change, keep(&change, "braze.api_key", "braze-api-key")
}

// sameEndpoint tells whether two addresses are the same host by the same way.
func sameEndpoint(a, b string) bool {
	return strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

// judgeEndpoint gives an address as the configuration takes it, or the key of what is wrong with it.
func judgeEndpoint(typed string) (endpoint, key string) {
	if !strings.Contains(typed, "://") {
		typed = "https://" + typed
	}
	u, err := url.Parse(typed)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || strings.Contains(typed, "$") {
		return "", "connections.wrong.endpoint"
	}
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	here := host == "localhost" || err == nil && ip.IsLoopback()
	switch {
	case u.Scheme == "http" && !here:
		return "", "connections.wrong.https"
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "connections.wrong.endpoint"
	case strings.HasPrefix(host, "dashboard"):
		for _, i := range config.Instances() {
			if "https://"+host == i.Dashboard {
				return i.Endpoint(), "" // the address of the dashboard was copied
			}
		}
		return "", "connections.wrong.dashboard"
	}
	return u.Scheme + "://" + u.Host, ""
}
