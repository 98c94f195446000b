package web

import (
	"strings"

	"brazecdc/connector/control"
)

// frame is what the layout shows around every page.
type frame struct {
	Title     string
	Lang      string
	Theme     string // light, dark or empty for the browser's preference
	Token     string
	Styles    []string
	Modules   []string
	Workspace string
	Demo      bool
	State     string // a state word of core.state.*
	Mark      string // ok, busy, warn, bad or off: icon and colour of the state
	Nav       []navItem
	Draft     bool // something waits to be applied
	ReadOnly  bool // the file can't be written here
	Flash     string
	Problems  []problem
	User      User
	SignedIn  bool
	Bare      bool      // without navigation: the sign-in page
	Setup     *setupBar // nil outside of the first run
}

type navItem struct {
	Key, Path string
	Count     int64
	Here      bool
}

// frame gathers what the layout shows.
func (r *request) frame() *frame {
	f := &frame{
		Title: r.title, Lang: r.Lang, Theme: theme(r), Token: r.token(), Demo: r.s.cfg.Demo, User: r.User, SignedIn: r.User.Name != "",
		Problems: r.problems, Flash: r.takeFlash(), Bare: r.User.Role < Viewer,
	}
	families := []string{"base", r.route.family}
	if f.Setup = r.setupHere(); f.Setup != nil && r.route.family != "connections" {
		families = append(families, "connections")
	}
	for _, name := range families {
		if u := r.s.files.url("css/" + name + ".css"); u != "" {
			f.Styles = append(f.Styles, u)
		}
		if u := r.s.files.url("js/" + name + ".js"); u != "" {
			f.Modules = append(f.Modules, u)
		}
	}
	if f.Bare {
		return f
	}
	if r.s.cfg.Workspace != nil {
		f.Workspace = r.s.cfg.Workspace()
	}
	status, err := r.s.status(r.Context())
	f.State, f.Mark = stateWord(status, err)
	var held int64
	if status != nil {
		held = status.Quarantine
	}
	f.Draft, f.ReadOnly = r.s.draftState()
	f.Nav = r.nav(held)
	return f
}

// stateWord names a process' state and how it is marked.
func stateWord(status *control.Status, err error) (word, mark string) {
	if err != nil || status == nil {
		return "unknown", "off"
	}
	switch status.State {
	case "running":
		return "running", "ok"
	case "degraded":
		return "degraded", "warn"
	case "starting", "draining":
		return status.State, "busy"
	case "reloading":
		return "starting", "busy"
	case "standby":
		return "standby", "off"
	case "stopped":
		if status.LastStop != nil && status.LastStop.Code != 0 {
			return "failed", "bad"
		}
		return "stopped", "off"
	}
	return "unknown", "off"
}

func theme(r *request) string {
	switch v := cookie(r.Request, "theme"); v {
	case "light", "dark":
		return v
	}
	return ""
}

// nav lists the pages of the header. The current one is that of the route's family.
func (r *request) nav(held int64) []navItem {
	items := []struct {
		key, path, family string
		count             int64
	}{
		{"core.nav.live", "/", "live", 0}, {"core.nav.models", "/models", "models", 0}, {"core.nav.users", "/users", "users", 0},
		{"core.nav.held", "/quarantine", "quarantine", held}, {"core.nav.loads", "/loads", "loads", 0}, {"core.nav.activity", "/activity", "", 0},
		{"core.nav.settings", "/settings", "", 0},
	}
	out := make([]navItem, 0, len(items))
	for _, i := range items {
		here := i.family != "" && i.family == r.route.family || r.URL.Path == i.path || i.family == "" && strings.HasPrefix(r.URL.Path, i.path+"/")
		out = append(out, navItem{i.key, i.path, i.count, here})
	}
	return out
}

// draftState tells whether something waits to be applied, and whether the file can't be written here.
func (s *Server) draftState() (pending, readOnly bool) {
	if s.cfg.Draft == nil {
		return false, false
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		s.log.Warn("the draft can't be read", "component", "web", "err", err)
	}
	return err == nil && v.Pending, err == nil && v.Exists && v.ReadOnly
}
