package web

import "net/http"

// QuarantineViews is what the pages of the held back changes ask and do.
type QuarantineViews interface{}

// quarantineRoutes are the pages of this family.
func (s *Server) quarantineRoutes() []route {
	return []route{
		{http.MethodGet, "/quarantine", Viewer, s.quarantinePage, ""},
		{http.MethodGet, "/quarantine/{group}", Viewer, s.quarantineGroupPage, ""},
		{http.MethodGet, "/quarantine/e/{id}", Viewer, s.quarantineEntryPage, ""},
	}
}

func (s *Server) quarantinePage(r *request) error {
	return r.render(http.StatusOK, "quarantine", "core.nav.held", nil)
}

func (s *Server) quarantineGroupPage(r *request) error {
	return r.render(http.StatusOK, "quarantine_group", "core.nav.held", nil)
}

func (s *Server) quarantineEntryPage(r *request) error {
	return r.render(http.StatusOK, "quarantine_entry", "core.nav.held", nil)
}
