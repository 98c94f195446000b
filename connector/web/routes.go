package web

// Role is what a route asks of who calls it.
type Role int

// Roles, each including the ones before it.
const (
	Public Role = iota // without a sign-in: the sign-in itself and assets
	Viewer             // reads; values of rows are masked
	Editor             // changes things
)

// String is the role as it stands in the configuration.
func (r Role) String() string { return [...]string{"public", "viewer", "editor"}[r] }

// route is one line of the table of everything that can be asked for.
type route struct {
	Method  string // GET or POST; a GET never changes anything
	Pattern string // as http.ServeMux takes it, without the method
	Role    Role
	Handler func(*request) error

	family string // whose style sheet and module its pages load
}

// routes is the table of all pages and actions. Tests walk it.
func (s *Server) routes() []route {
	var all []route
	for _, f := range []struct {
		name string
		list []route
	}{
		{"core", s.coreRoutes()}, {"live", s.liveRoutes()}, {"connections", s.connectionsRoutes()}, {"models", s.modelsRoutes()}, {"draft", s.draftRoutes()},
		{"users", s.usersRoutes()}, {"quarantine", s.quarantineRoutes()}, {"loads", s.loadsRoutes()},
	} {
		for _, r := range f.list {
			r.family = f.name
			all = append(all, r)
		}
	}
	return all
}
