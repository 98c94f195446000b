package web

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

type loginPage struct {
	Name, Next string
	Passwords  bool // somebody can sign in here; else the proxy does it
	Wait       time.Duration
}

func (s *Server) loginPage(r *request) error {
	if r.User.Role >= Viewer {
		return r.redirect(r.URL.Query().Get("next"), "")
	}
	return r.showLogin(http.StatusOK, loginPage{Next: r.URL.Query().Get("next")})
}

func (r *request) showLogin(status int, p loginPage) error {
	for _, u := range r.access.Users {
		p.Passwords = p.Passwords || u.Password != ""
	}
	return r.render(status, "login", "core.login.title", p)
}

// login tries a password. Whether the name or the password is wrong is not told, by words or by time.
func (s *Server) login(r *request) error {
	if !r.access.SignIn {
		return r.redirect("/", "")
	}
	name, password, next := r.PostFormValue("name"), r.PostFormValue("password"), r.PostFormValue("next")
	if len(name) > maxName {
		name = name[:maxName]
	}
	nameKey, addrKey := "name "+name, addressKey(r.access.client(r.Request))
	if wait := s.throttle.begin(s.now(), nameKey, addrKey); wait > 0 {
		r.W.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		r.problem("", r.t("core.login.wait", wait.Round(time.Second)+time.Second))
		return r.showLogin(http.StatusTooManyRequests, loginPage{Name: name, Next: next, Wait: wait})
	}
	u, known := r.access.user(name)
	hash := u.Password.Reveal()
	if !known || hash == "" {
		hash = nobodysHash
	}
	if len(password) > 4*maxPassword {
		password = ""
	}
	fits, err := passwordFits(r.Context(), hash, password)
	if err != nil {
		return errPage(http.StatusServiceUnavailable, "core.login.busy")
	}
	if !fits || !known || hash == nobodysHash {
		s.failedSignIns.Add(1)
		s.log.Warn("a sign-in failed", "component", "web", "address", r.access.client(r.Request).String())
		r.problem("name", r.t("core.login.wrong"))
		return r.showLogin(http.StatusUnauthorized, loginPage{Name: name, Next: next})
	}
	s.throttle.succeeded(nameKey, addrKey)
	secure := r.access.secure(r.Request)
	id := s.sessions.begin(s.now(), u.Name, hash)
	r.setCookie(&http.Cookie{Name: sessionCookie(r.Request, secure), Value: id, MaxAge: int(sessionLife.Seconds())})
	s.log.Info("signed in", "component", "web", "user", u.Name, "role", u.Role)
	return r.redirect(next, "")
}

// logout ends the session. Who the proxy signed in signs out there.
func (s *Server) logout(r *request) error {
	name := sessionCookie(r.Request, r.access.secure(r.Request))
	s.sessions.end(cookie(r.Request, name))
	r.setCookie(&http.Cookie{Name: name, MaxAge: -1})
	return r.redirect("/login", "")
}
