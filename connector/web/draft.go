package web

import "net/http"

// DraftViews is what the pages of the draft ask and do.
type DraftViews interface{}

// draftRoutes are the pages of this family.
func (s *Server) draftRoutes() []route {
	return []route{
		{http.MethodGet, "/draft", Viewer, s.draftPage, ""},
		{http.MethodGet, "/versions", Viewer, s.versionsPage, ""},
		{http.MethodGet, "/activity", Viewer, s.activityPage, ""},
	}
}

func (s *Server) draftPage(r *request) error {
	return r.render(http.StatusOK, "draft", "draft.title", nil)
}

func (s *Server) versionsPage(r *request) error {
	return r.render(http.StatusOK, "draft_versions", "draft.versions.title", nil)
}

func (s *Server) activityPage(r *request) error {
	return r.render(http.StatusOK, "draft_activity", "core.nav.activity", nil)
}
