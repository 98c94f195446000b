package web

import "net/http"

// modelsRoutes are the pages of this family.
func (s *Server) modelsRoutes() []route {
	return []route{
		{http.MethodGet, "/models", Viewer, s.modelsPage, ""},
		{http.MethodGet, "/models/{name}", Viewer, s.modelPage, ""},
	}
}

func (s *Server) modelsPage(r *request) error {
	return r.render(http.StatusOK, "models", "core.nav.models", nil)
}

func (s *Server) modelPage(r *request) error {
	return r.render(http.StatusOK, "models_one", "core.nav.models", nil)
}
