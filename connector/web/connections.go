package web

import "net/http"

// ConnectionsViews is what the pages of the connections and of the first run ask and do.
type ConnectionsViews interface{}

// connectionsRoutes are the pages of this family.
func (s *Server) connectionsRoutes() []route {
	return []route{
		{http.MethodGet, "/connections", Viewer, s.connectionsPage, ""},
		{http.MethodGet, "/setup", Viewer, s.setupPage, ""},
	}
}

func (s *Server) connectionsPage(r *request) error {
	return r.render(http.StatusOK, "connections", "connections.title", nil)
}

func (s *Server) setupPage(r *request) error {
	return r.render(http.StatusOK, "connections_setup", "connections.setup.title", nil)
}
