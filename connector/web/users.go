package web

import "net/http"

// UsersViews is what the pages of the users ask and do.
type UsersViews interface{}

// usersRoutes are the pages of this family.
func (s *Server) usersRoutes() []route {
	return []route{
		{http.MethodGet, "/users", Viewer, s.usersPage, ""},
		{http.MethodGet, "/users/{ref}", Viewer, s.userPage, ""},
	}
}

func (s *Server) usersPage(r *request) error {
	return r.render(http.StatusOK, "users", "core.nav.users", nil)
}

func (s *Server) userPage(r *request) error {
	return r.render(http.StatusOK, "users_one", "core.nav.users", nil)
}
