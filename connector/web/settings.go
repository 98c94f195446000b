package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

type settingsPage struct {
	Zone   string // as chosen, or as entered wrongly
	Zones  []string
	Lang   string // as chosen, empty for the browser's
	Points bool
	Here   string // the zone that holds without a choice
	Back   string

	SignIn  bool
	Users   []config.WebUser
	Pending bool // what stands here waits in the draft
	Locked  bool // the list can't be edited here
	Entered userForm

	Version, File, Workspace string
	Status                   *control.Status
	Store                    *Stores
	Built                    []string

	AlertsOn bool
	History  *historyShown
}

// historyShown is how long the outcomes of changes are kept.
type historyShown struct {
	Days int
	Size int64
	Disk bool // values of rows too
}

type userForm struct{ Name, Role string }

// zones are offered; any other IANA name can be written.
var zones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Warsaw", "Europe/Zurich", "America/New_York", "America/Chicago",
	"America/Los_Angeles", "America/Sao_Paulo", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney"}

func (s *Server) settingsPage(r *request) error {
	return r.showSettings(http.StatusOK, settingsPage{Zone: cookie(r.Request, "zone")})
}

func (r *request) showSettings(status int, p settingsPage) error {
	p.Zones, p.Lang, p.Points, p.Back = zones, cookie(r.Request, "lang"), r.Points, "/settings"
	p.Here, _ = time.Now().Zone()
	s := r.s
	p.SignIn, p.Version, p.File = r.access.SignIn, s.cfg.Version, s.cfg.File
	if s.cfg.Workspace != nil {
		p.Workspace = s.cfg.Workspace()
	}
	p.Status, _ = s.status(r.Context()) // that it is not known is shown
	p.Users, p.Pending, p.Locked = r.listedUsers()
	if s.cfg.Support != nil {
		p.Store, p.Built = s.cfg.Support.Stores(), s.cfg.Support.Built()
	}
	p.AlertsOn = s.cfg.Alerts != nil && s.cfg.Alerts.Last().On
	if cfg := r.settings(); cfg != nil {
		h := cfg.Web.History
		p.History = &historyShown{Days: int(h.Keep / (24 * time.Hour)), Size: h.MaxSize, Disk: h.Values == "disk"}
	}
	return r.render(status, "settings", "core.nav.settings", p)
}

// listedUsers are those of the draft, so that what was just entered shows.
func (r *request) listedUsers() (users []config.WebUser, pending, locked bool) {
	if r.s.cfg.Draft == nil {
		return r.access.Users, false, true
	}
	v, err := r.s.cfg.Draft.View()
	if err != nil {
		return r.access.Users, false, true
	}
	cfg, faults := config.Partial(r.s.cfg.File, v.Text, nil, nil)
	if cfg == nil {
		return r.access.Users, false, true
	}
	locked = slices.ContainsFunc(faults, func(f config.Fault) bool { return !f.Warn && strings.HasPrefix(f.Path, "web.users") })
	return cfg.Web.Users, !slices.Equal(cfg.Web.Users, r.access.Users), locked || !v.Exists && !v.Pending
}

// addUser puts a new user into the draft.
func (s *Server) addUser(r *request) error {
	f := userForm{Name: strings.TrimSpace(r.PostFormValue("name")), Role: r.PostFormValue("role")}
	users, _, locked := r.listedUsers()
	if locked {
		return errPage(http.StatusConflict, "core.access.locked")
	}
	if !config.ValidUserName(f.Name) {
		r.problem("name", r.t("core.access.name.wrong"))
	} else if findUser(users, f.Name) >= 0 {
		r.problem("name", r.t("core.access.name.taken", f.Name))
	}
	if f.Role != "viewer" && f.Role != "editor" {
		r.problem("role", r.t("core.access.role.missing"))
	} else if f.Role == "viewer" && !anyEditor(users) {
		r.problem("role", r.t("core.access.role.first"))
	}
	hash, err := r.hashEntered("password")
	if err != nil {
		return err
	}
	if len(r.problems) > 0 {
		return r.showSettings(http.StatusUnprocessableEntity, settingsPage{Zone: cookie(r.Request, "zone"), Entered: f})
	}
	return r.editUsers(config.Edit{Path: "web.users[+]", Value: config.Map("name", f.Name, "role", f.Role, "password", hash)}, "core.access.added", f.Name)
}

// setPassword gives a user another password, which ends the sessions of the old one once the draft is applied.
func (s *Server) setPassword(r *request) error {
	name := r.PostFormValue("name")
	users, _, locked := r.listedUsers()
	at := findUser(users, name)
	if locked || at < 0 {
		return errPage(http.StatusConflict, "core.access.locked")
	}
	hash, err := r.hashEntered("password-" + strconv.Itoa(at))
	if err != nil {
		return err
	}
	if len(r.problems) > 0 {
		return r.showSettings(http.StatusUnprocessableEntity, settingsPage{Zone: cookie(r.Request, "zone")})
	}
	return r.editUsers(config.Edit{Path: "web.users[" + strconv.Itoa(at) + "].password", Value: hash}, "core.access.changed", name)
}

// removeUser takes a user out of the draft; somebody who can change things must stay.
func (s *Server) removeUser(r *request) error {
	name := r.PostFormValue("name")
	users, _, locked := r.listedUsers()
	at := findUser(users, name)
	if locked || at < 0 {
		return errPage(http.StatusConflict, "core.access.locked")
	}
	if left := slices.Delete(slices.Clone(users), at, at+1); len(left) > 0 && !anyEditor(left) {
		r.problem("", r.t("core.access.last", name))
		return r.showSettings(http.StatusUnprocessableEntity, settingsPage{Zone: cookie(r.Request, "zone")})
	}
	return r.editUsers(config.Edit{Path: "web.users[" + strconv.Itoa(at) + "]", Remove: true}, "core.access.removed", name)
}

func findUser(users []config.WebUser, name string) int {
	return slices.IndexFunc(users, func(u config.WebUser) bool { return u.Name == name })
}

func anyEditor(users []config.WebUser) bool {
	return slices.ContainsFunc(users, func(u config.WebUser) bool { return u.Role == "editor" })
}

// hashEntered gives the hash of the form's password, and adds a problem at the field where it is none. The error is that nobody waits for it any more.
func (r *request) hashEntered(field string) (string, error) {
	select {
	case tries <- struct{}{}:
		defer func() { <-tries }()
	case <-r.Context().Done():
		return "", errPage(http.StatusServiceUnavailable, "core.login.busy")
	}
	hash, err := HashPassword(r.PostFormValue("password"))
	if err != nil {
		r.problem(field, r.t("core.access.password.wrong", minPassword, maxPassword))
	}
	return hash, nil
}

func (r *request) editUsers(edit config.Edit, key, name string) error {
	if err := r.s.cfg.Draft.Edit(r.User.Name, edit); err != nil {
		return err
	}
	return r.redirect("/settings", key, name)
}
