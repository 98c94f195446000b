package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	sessionLife = 12 * time.Hour
	sessionIdle = 2 * time.Hour
	maxSessions = 1000
	visitCookie = "visit"
)

// session is one sign-in.
type session struct {
	user        string
	hash        string // of the password it was made with: another one ends it
	begun, used time.Time
}

// sessions are the sign-ins of this process, by the hash of what the browser keeps: whoever reads memory or a dump can't use it. It may be used
// concurrently.
type sessions struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]*session
}

// begin makes a session and gives what the browser keeps of it.
func (s *sessions) begin(now time.Time, user, hash string) string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	id := base64.RawURLEncoding.EncodeToString(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[[sha256.Size]byte]*session{}
	}
	var oldest [sha256.Size]byte
	for key, x := range s.of {
		if x.over(now) {
			delete(s.of, key)
		} else if o := s.of[oldest]; o == nil || x.used.Before(o.used) {
			oldest = key
		}
	}
	if len(s.of) >= maxSessions {
		delete(s.of, oldest)
	}
	s.of[sha256.Sum256([]byte(id))] = &session{user: user, hash: hash, begun: now, used: now}
	return id
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.begun) >= sessionLife || now.Sub(s.used) >= sessionIdle
}

// user gives who an id belongs to, while the session lasts and the user's password is the one it began with. use tells that somebody does something with
// it, which keeps it from ending for want of that.
func (s *sessions) user(now time.Time, id string, a *Access, use bool) (User, bool) {
	if id == "" {
		return User{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(id))
	x := s.of[key]
	if x == nil {
		return User{}, false
	}
	u, known := a.user(x.user)
	if x.over(now) || !known || u.Password == "" || u.Password.Reveal() != x.hash {
		delete(s.of, key)
		return User{}, false
	}
	if use {
		x.used = now
	}
	return User{Name: u.Name, Role: roleNamed(u.Role)}, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, sha256.Sum256([]byte(id)))
}

// sessionCookie is the cookie's name: under TLS bound to the host, else with the port, since browsers keep one jar for all ports of a host.
func sessionCookie(hr *http.Request, secure bool) string {
	if secure {
		return "__Host-session"
	}
	_, port, err := net.SplitHostPort(hr.Host)
	if err != nil {
		return "session"
	}
	return "session_" + port
}

// who finds out who asks. The text is what forms' tokens are made from, empty where the browser keeps nothing yet.
func (s *Server) who(hr *http.Request, a *Access, use bool) (u User, session string) {
	visit := cookie(hr, visitCookie)
	if visit != "" {
		visit = "visit " + visit
	}
	if !a.SignIn {
		return User{Role: Editor}, visit
	}
	if u, ok := a.proxied(hr); ok {
		if visit != "" {
			visit += " of " + u.Name
		}
		return u, visit
	}
	id := cookie(hr, sessionCookie(hr, a.secure(hr)))
	if u, ok := s.sessions.user(s.now(), id, a, use); ok {
		return u, "session " + id
	}
	return User{}, visit
}

// SignedIn tells whether a request comes from somebody who may look at the pages. What asks so are /status and its neighbours, which machines read: that
// keeps no session from ending.
func (s *Server) SignedIn(hr *http.Request) bool {
	a := s.access()
	u, _ := s.who(hr, &a, false)
	return u.Role >= Viewer
}

// AsksSignIn tells whether somebody has to sign in before they see the pages.
func (s *Server) AsksSignIn() bool {
	a := s.access()
	return a.SignIn
}

// HostAllowed tells whether a request names a host that the pages answer to.
func (s *Server) HostAllowed(hr *http.Request) bool {
	a := s.access()
	return a.hostAllowed(hr.Host)
}

// unattended are the routes that an open page asks by itself, whether somebody looks at it or not: they keep no session from ending.
var unattended = map[string]bool{"/events": true, "/events/now": true, "/loads/part": true, "/quarantine/job/{id}/part": true}

// identify finds who asks, and has the browser keep what tokens are made from.
func (r *request) identify() {
	r.access = r.s.access()
	r.User, r.session = r.s.who(r.Request, &r.access, !unattended[r.route.Pattern])
	if r.session == "" {
		visit := rand.Text()
		r.setCookie(&http.Cookie{Name: visitCookie, Value: visit})
		r.session = "visit " + visit
		if r.User.Name != "" {
			r.session += " of " + r.User.Name
		}
	}
}

// setCookie has the browser keep something for us alone.
func (r *request) setCookie(c *http.Cookie) {
	c.Path, c.HttpOnly, c.SameSite, c.Secure = "/", true, http.SameSiteLaxMode, r.access.secure(r.Request)
	http.SetCookie(r.W, c)
}

// stillIn tells whether who asked may still look: streams ask it, since they outlive a session.
func (r *request) stillIn() bool {
	a := r.s.access()
	u, _ := r.s.who(r.Request, &a, false)
	return u.Role >= Viewer
}

// admit lets a request to its handler: somebody must have signed in, the role must do, and what changes something must carry the form's token.
func (r *request) admit() error {
	if r.User.Role < r.route.Role {
		if r.User.Role < Viewer {
			return r.askSignIn()
		}
		return errPage(http.StatusForbidden, "core.error.role")
	}
	if r.Method != http.MethodPost {
		return nil
	}
	sent := r.Header.Get("X-CSRF-Token")
	if sent == "" {
		if err := r.ParseForm(); err != nil {
			return badForm(err)
		}
		sent = r.PostFormValue("csrf")
	}
	if !hmac.Equal([]byte(sent), []byte(r.token())) {
		return errPage(http.StatusForbidden, "core.error.token")
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	return nil
}

// errSignIn ends a request that was answered with the way to the sign-in.
type errSignIn struct{ to string }

// Error implements error.
func (e *errSignIn) Error() string { return "sign in at " + e.to }

// askSignIn sends a browser that wants a page to the sign-in, and refuses everything else.
func (r *request) askSignIn() error {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		to := "/login"
		if r.URL.Path != "/" {
			to += "?next=" + url.QueryEscape(r.URL.RequestURI())
		}
		return &errSignIn{to}
	}
	return errPage(http.StatusUnauthorized, "core.error.signin")
}

// token is what each form of this session carries.
func (r *request) token() string { return hex.EncodeToString(r.s.sign("csrf", r.session)) }
