package web

import (
	"net/http"
	"time"
)

// coreRoutes are the pages that belong to no family.
func (s *Server) coreRoutes() []route {
	return []route{
		{http.MethodGet, "/login", Public, s.loginPage, ""},
		{http.MethodPost, "/login", Public, s.login, ""},
		{http.MethodPost, "/logout", Viewer, s.logout, ""},
		{http.MethodPost, "/look", Public, s.setLook, ""},
		{http.MethodGet, "/help", Viewer, s.helpPage, ""},
		{http.MethodGet, "/settings", Viewer, s.settingsPage, ""},
		{http.MethodPost, "/settings/users/add", Editor, s.addUser, ""},
		{http.MethodPost, "/settings/users/password", Editor, s.setPassword, ""},
		{http.MethodPost, "/settings/users/remove", Editor, s.removeUser, ""},
		{http.MethodGet, "/settings/alerts", Viewer, s.alertsShow, ""},
		{http.MethodPost, "/settings/alerts", Editor, s.alertsSave, ""},
		{http.MethodPost, "/settings/alerts/test", Editor, s.alertsTest, ""},
		{http.MethodGet, "/settings/support", Editor, s.supportShow, ""},
		{http.MethodGet, "/settings/support/file", Editor, s.supportDownload, ""},
	}
}

// lookFor is how long a browser keeps how the pages look.
const lookFor = 365 * 24 * time.Hour

// setLook keeps language, time zone, theme and what values are called in the browser; what is none of them goes back to what browser and machine say.
func (s *Server) setLook(r *request) error {
	lang, zone, theme, points := r.PostFormValue("lang"), r.PostFormValue("zone"), r.PostFormValue("theme"), r.PostFormValue("points")
	if r.User.Role < Viewer { // the sign-in offers the language alone
		zone, theme, points = cookie(r.Request, "zone"), cookie(r.Request, "theme"), cookie(r.Request, "points")
	}
	if _, ok := s.words.texts[lang]; !ok {
		lang = ""
	}
	if zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || len(zone) > 64 {
			if r.User.Role < Viewer {
				return r.redirect("/login", "")
			}
			r.problem("zone", r.t("core.look.zone.wrong", zone))
			return r.showSettings(http.StatusUnprocessableEntity, settingsPage{Zone: zone})
		}
	}
	if theme != "light" && theme != "dark" {
		theme = ""
	}
	if points != "on" {
		points = ""
	}
	for name, value := range map[string]string{"lang": lang, "zone": zone, "theme": theme, "points": points} {
		c := &http.Cookie{Name: name, Value: value, MaxAge: int(lookFor.Seconds())}
		if value == "" {
			c.MaxAge = -1
		}
		r.setCookie(c)
	}
	return r.redirect(r.PostFormValue("back"), "core.look.kept")
}

// helpPage explains every word, exit code and reason.
func (s *Server) helpPage(r *request) error {
	return r.render(http.StatusOK, "help", "core.help.title", helpPage{
		Words:   helpWords,
		Classes: heldClasses,
		Codes:   exitCodes,
		Alerts:  Alerts,
	})
}

// Alerts are those that "brazecdc ops alerts" makes rules of, each with a text core.alert.NAME.
var Alerts = []string{
	"BrazecdcDown", "BrazecdcLate", "BrazecdcStuck", "BrazecdcSlotAtRisk", "BrazecdcKeyRefused", "BrazecdcBrazeFailing", "BrazecdcThrottled",
	"BrazecdcDeletesHeld", "BrazecdcModelPaused", "BrazecdcQuarantineGrowing", "BrazecdcFieldLeftOut", "BrazecdcPointsSurge", "BrazecdcScheduleMissed", "BrazecdcConfigReloadFailed", "BrazecdcStoreLarge", "BrazecdcRestarting",
}

// AlertAnchor is where the help page explains an alert.
func AlertAnchor(name string) string { return "alert-" + name }

type helpPage struct {
	Words, Classes []string
	Alerts         []string
	Codes          []exitCode
}

// helpWords are those of the glossary, in the order in which a reader meets them.
var helpWords = []string{"source", "model", "field", "profile", "lateness", "held", "unchanged", "values", "paused", "load", "position", "draft", "workspace"}

// exitCode is how a run can end.
type exitCode struct {
	Code    string
	Restart string // yes, no or none: whether a restart alone helps
}

// exitCodes are all there are, each with a text core.exit.<code>.
var exitCodes = []exitCode{
	{"0", "none"}, {"1", "yes"}, {"2", "no"}, {"3", "no"}, {"4", "none"}, {"10", "yes"}, {"11", "no"}, {"12", "no"}, {"13", "no"}, {"14", "yes"}, {"15", "no"}, {"16", "no"},
	{"17", "no"}, {"18", "no"}, {"19", "no"}, {"20", "no"}, {"21", "no"}, {"30", "no"}, {"31", "yes"}, {"40", "yes"},
}
