package web

import "net/http"

// coreRoutes are the pages that belong to no family.
func (s *Server) coreRoutes() []route {
	return []route{
		{http.MethodGet, "/settings", Viewer, s.settingsPage, ""},
		{http.MethodGet, "/login", Public, s.loginPage, ""},
		{http.MethodPost, "/login", Public, s.login, ""},
		{http.MethodPost, "/logout", Viewer, s.logout, ""},
		{http.MethodGet, "/help", Viewer, s.helpPage, ""},
	}
}

func (s *Server) settingsPage(r *request) error {
	return r.render(http.StatusOK, "settings", "core.nav.settings", nil)
}

func (s *Server) helpPage(r *request) error {
	return r.render(http.StatusOK, "help", "core.help.title", nil)
}
