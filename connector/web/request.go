package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"brazecdc/connector/control"
)

// User is who looks at the pages.
type User struct {
	Name string // empty where nobody has to sign in
	Role Role
}

// request is what a handler has at hand.
type request struct {
	*http.Request
	W    http.ResponseWriter
	User User
	Lang string // en or de
	Zone *time.Location

	Points bool // values are called data points too

	s        *Server
	access   Access
	route    route
	session  string // what the token of forms is made from
	title    string
	problems []problem
	status   int              // of the answer, for the frame
	bar      func() *setupBar // of the first run, made once

	private  func(model, name string) bool // what is masked for editors too, nil until asked
	revealed bool                          // an editor asked for that
}

// problem is a fault of a form; it stands in the summary on top, which leads to the field, and beside the field.
type problem struct{ Field, Text string }

// pageError ends a handler with a page that says what is wrong, and no fault of the program.
type pageError struct {
	status int
	key    string
	args   []any
}

// Error implements error.
func (e *pageError) Error() string { return e.key }

// errNoPage is the answer for what does not exist.
func errNoPage() error { return &pageError{status: http.StatusNotFound, key: "core.error.missing"} }

// errPage ends a handler with a status and a text of the catalogue.
func errPage(status int, key string, args ...any) error {
	return &pageError{status: status, key: key, args: args}
}

// badForm is the answer for a body that is no form.
func badForm(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return errPage(http.StatusBadRequest, "core.error.form")
}

// errUnavailable is the answer of a page whose part of Config is nil.
func errUnavailable() error { return errPage(http.StatusServiceUnavailable, "core.error.unavailable") }

// request makes what a handler works with.
func (s *Server) request(w http.ResponseWriter, hr *http.Request, rt route) *request {
	r := &request{Request: hr, W: w, s: s, route: rt, status: http.StatusOK}
	r.bar = sync.OnceValue(r.findSetup)
	r.Lang = s.words.choose(cookie(hr, "lang"), hr.Header.Get("Accept-Language"))
	r.Points = cookie(hr, "points") == "on"
	r.Zone = time.Local
	if z, err := time.LoadLocation(cookie(hr, "zone")); err == nil && cookie(hr, "zone") != "" {
		r.Zone = z
	}
	r.identify()
	return r
}

func cookie(hr *http.Request, name string) string {
	c, err := hr.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// editor tells whether the user may change things.
func (r *request) editor() bool { return r.User.Role >= Editor }

// t is a text of the catalogue in the request's language. Who has a contract that counts data points reads of those, where a text of its own says so.
func (r *request) t(key string, args ...any) string {
	if texts := r.s.words.texts[r.Lang]; r.Points && (texts[key+".points"] != "" || texts[key+".points.other"] != "") {
		key += ".points"
	}
	return r.s.words.text(r.Lang, key, args...)
}

// mask hides the value of a row from viewers.
func (r *request) mask(value string) string {
	if r.editor() || value == "" {
		return value
	}
	if name, host, ok := strings.Cut(strings.TrimPrefix(value, `"`), "@"); ok && name != "" && host != "" && !strings.ContainsAny(value, " \t\n") {
		first, _ := utf8.DecodeRuneInString(name)
		return string(first) + "…@…"
	}
	return "•••"
}

// ref stands for a user in URLs: the same user gives the same text, and without the key nobody can go back.
func (r *request) ref(id string) string {
	if r.s.cfg.Ref != nil {
		if ref := r.s.cfg.Ref(id); ref != "" {
			return ref
		}
	}
	return hex.EncodeToString(r.s.sign("ref", id)[:6])
}

// api is the running process, or the files where none runs; for a POST such that something can be changed. done ends the use.
func (r *request) api() (_ control.API, done func(), err error) {
	open := r.s.cfg.API
	if r.Method == http.MethodPost && r.s.cfg.Change != nil {
		open = r.s.cfg.Change
	}
	if open == nil {
		return nil, nil, errUnavailable()
	}
	api, done, err := open(r.Context())
	if err != nil { // as before there is a file, or while it has faults
		return nil, nil, errPage(http.StatusServiceUnavailable, "core.error.away", r.reasonText(err.Error()))
	}
	return api, done, nil
}

// problem adds a fault of the form at a field (the id of its element), or at none with "".
func (r *request) problem(field, text string) {
	r.problems = append(r.problems, problem{field, text})
}

// redirect sends the browser on (303) with a message for the next page; without a key there is none.
func (r *request) redirect(to, key string, args ...any) error {
	if key != "" {
		r.setFlash(flash{Key: key, Args: args})
	}
	http.Redirect(r.W, r.Request, ownPath(to), http.StatusSeeOther)
	return nil
}

// ownPath gives a path of these pages, never an address elsewhere: "/" for what is none.
func ownPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsRune(to, '\\') {
		return "/"
	}
	return to
}

// fail answers an error as a page.
func (r *request) fail(err error) {
	var page *pageError
	var in *errSignIn
	if errors.As(err, &in) {
		http.Redirect(r.W, r.Request, in.to, http.StatusSeeOther)
		return
	}
	status, data := http.StatusInternalServerError, errorPage{Text: r.t("core.error.fault")}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &page):
		status, data.Text = page.status, r.t(page.key, page.args...)
	case errors.As(err, &tooLarge):
		status, data.Text = http.StatusRequestEntityTooLarge, r.t("core.error.large")
	default:
		r.s.log.Error("a page failed", "component", "web", "path", r.URL.Path, "err", err)
		data.Detail = r.reasonText(err.Error()) // it can name values of a row
	}
	r.problems = nil
	if err := r.render(status, "error", "core.error.title", data); err != nil {
		r.s.log.Error("an error page failed", "component", "web", "path", r.URL.Path, "err", err)
		http.Error(r.W, http.StatusText(status), status)
	}
}

type errorPage struct{ Text, Detail string }

// sign is a keyed hash of parts, for what a browser keeps for us.
func (s *Server) sign(parts ...string) []byte {
	h := hmac.New(sha256.New, s.key)
	for _, p := range parts {
		_, _ = h.Write([]byte(url.QueryEscape(p) + "&")) // a hash takes everything
	}
	return h.Sum(nil)
}

// flash is a message that the next page shows once.
type flash struct {
	Key  string
	Args []any
}

const flashCookie = "flash"

func (r *request) setFlash(f flash) {
	b, err := json.Marshal(f)
	if err != nil {
		return // an argument that is no plain value; the page itself shows what happened
	}
	text := base64.RawURLEncoding.EncodeToString(b)
	sum := hex.EncodeToString(r.s.sign("flash", text))
	r.setCookie(&http.Cookie{Name: flashCookie, Value: sum + text, MaxAge: 60})
}

// takeFlash gives the message for this page and has the browser forget it.
func (r *request) takeFlash() string {
	v := cookie(r.Request, flashCookie)
	if v == "" {
		return ""
	}
	r.setCookie(&http.Cookie{Name: flashCookie, MaxAge: -1})
	var f flash
	if len(v) < 2*sha256.Size {
		return ""
	}
	sum, text := v[:2*sha256.Size], v[2*sha256.Size:]
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !hmac.Equal([]byte(sum), []byte(hex.EncodeToString(r.s.sign("flash", text)))) || json.Unmarshal(b, &f) != nil {
		return ""
	}
	return r.t(f.Key, f.Args...)
}
