package web

import "net/http"

// LoadsViews is what the pages of loads and schedules ask and do.
type LoadsViews interface{}

// loadsRoutes are the pages of this family.
func (s *Server) loadsRoutes() []route {
	return []route{
		{http.MethodGet, "/loads", Viewer, s.loadsPage, ""},
	}
}

func (s *Server) loadsPage(r *request) error {
	return r.render(http.StatusOK, "loads", "core.nav.loads", nil)
}
