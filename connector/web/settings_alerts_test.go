package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// fakeSupport is a file to hand on.
type fakeSupport struct{ text string }

func (f fakeSupport) Support(context.Context) ([]byte, error) { return []byte(f.text), nil }
func (f fakeSupport) Stores() *Stores                         { return &Stores{Path: "/srv/data", Size: 3 << 20} }
func (f fakeSupport) Built() []string                         { return []string{"example.com/module v1.2.3"} }

const alertsText = "version: 1\nbraze: { workspace: w, endpoint: https://rest.fra-01.braze.eu, api_key: ${BRAZE_API_KEY} }\nsource: { postgres: { url: ${DATABASE_URL} } }\n"

func TestThePageOfAlerts(t *testing.T) {
	site := func(t *testing.T) (*site, *fakeConnections, *fakeAlerts, func() string) {
		t.Helper()
		s, f, store := connectionsSite(t, strings.NewReplacer("${BRAZE_API_KEY}", `"${BRAZE_API_KEY}"`, "${DATABASE_URL}", `"${DATABASE_URL}"`).Replace(alertsText))
		alerts := &fakeAlerts{}
		cfg := s.server.cfg
		cfg.Alerts = alerts
		return newSite(t, cfg), f, alerts, func() string { return draftText(t, store) }
	}
	t.Run("address and secret are kept outside of the text and never shown", func(t *testing.T) {
		s, f, _, text := site(t)
		s.post("/settings/alerts", fields("url", "https://hooks.example.com/services/T0/topsecret", "secret", "sixteen characters", "pages", "https://cdc.example.com/")).wants(t, http.StatusSeeOther)
		if got := text(); !strings.Contains(got, "${file:secrets/alerts-url}") || !strings.Contains(got, "${file:secrets/alerts-secret}") || !strings.Contains(got, "https://cdc.example.com") {
			t.Errorf("the draft has\n%s", got)
		}
		if f.kept["${file:secrets/alerts-url}"] != "https://hooks.example.com/services/T0/topsecret" {
			t.Errorf("kept %v", f.kept)
		}
		s.get("/settings/alerts").lacks(t, "topsecret", "sixteen characters")
	})
	t.Run("a new address makes the secret be entered again", func(t *testing.T) {
		s, _, _, text := site(t)
		s.post("/settings/alerts", fields("url", "https://hooks.example.com/a", "secret", "sixteen characters")).wants(t, http.StatusSeeOther)
		before := text()
		s.post("/settings/alerts", fields("url", "https://elsewhere.example.com/b")).wants(t, http.StatusUnprocessableEntity, `href="#secret"`)
		if text() != before {
			t.Error("the draft was changed")
		}
		s.post("/settings/alerts", fields("url", "https://elsewhere.example.com/b", "secret", "another sixteen chars")).wants(t, http.StatusSeeOther)
	})
	t.Run("only https, or this machine", func(t *testing.T) {
		s, _, _, text := site(t)
		for _, url := range []string{"", "http://hooks.example.com/a", "ftp://hooks.example.com", "hooks.example.com", "https://", "javascript:alert(1)"} {
			s.post("/settings/alerts", fields("url", url)).wants(t, http.StatusUnprocessableEntity, `href="#url"`)
		}
		if strings.Contains(text(), "webhook") {
			t.Error("the draft was changed")
		}
		s.post("/settings/alerts", fields("url", "http://127.0.0.1:9093/hook")).wants(t, http.StatusSeeOther)
	})
	t.Run("a test tells how it went", func(t *testing.T) {
		s, _, alerts, _ := site(t)
		s.post("/settings/alerts", fields("url", "https://hooks.example.com/a")).wants(t, http.StatusSeeOther)
		s.post("/settings/alerts/test", nil).wants(t, http.StatusSeeOther)
		s.get("/settings/alerts").wants(t, http.StatusOK, "The test arrived.")
		alerts.fail = errors.New("hooks.example.com answered 503")
		s.post("/settings/alerts/test", nil).wants(t, http.StatusBadGateway, "hooks.example.com answered 503")
	})
	t.Run("it can be turned off", func(t *testing.T) {
		s, _, _, text := site(t)
		s.post("/settings/alerts", fields("url", "https://hooks.example.com/a")).wants(t, http.StatusSeeOther)
		s.post("/settings/alerts", fields("off", "1")).wants(t, http.StatusSeeOther)
		if strings.Contains(text(), "webhook") {
			t.Errorf("the draft has\n%s", text())
		}
	})
}

func TestTheSupportFileIsShownBeforeItIsDownloaded(t *testing.T) {
	s := newSite(t, Config{Support: fakeSupport{"==== versions ====\n<b>brazecdc 1</b>\n"}})
	s.get("/settings/support").wants(t, http.StatusOK, "&lt;b&gt;brazecdc 1", `href="/settings/support/file"`)
	a := s.get("/settings/support/file")
	a.wants(t, http.StatusOK, "<b>brazecdc 1")
	if got := a.Header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="brazecdc-support-`) || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v", a.Header)
	}
	s.get("/settings").wants(t, http.StatusOK, "/srv/data", "3 MiB", "example.com/module v1.2.3")
}

func TestWhoPaysByDataPointsReadsOfThem(t *testing.T) {
	s, _, _ := livePast(t, 5, nil)
	s.get("/").lacks(t, "data points")
	s.post("/look", fields("points", "on", "back", "/settings")).wants(t, http.StatusSeeOther)
	s.get("/settings").wants(t, http.StatusOK, `name="points" value="on" checked`)
	s.get("/").wants(t, http.StatusOK, "Values today (data points)")
	s.post("/look", fields("back", "/settings")).wants(t, http.StatusSeeOther)
	s.get("/").lacks(t, "data points")
}
