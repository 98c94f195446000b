package web

import (
	"net/http"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	s := newSite(t, Config{})
	t.Run("every page without parameters answers with nothing to show from", func(t *testing.T) {
		for _, r := range s.server.routes() {
			if r.Method != http.MethodGet || strings.Contains(strings.ReplaceAll(r.Pattern, "{$}", ""), "{") {
				continue
			}
			if a := s.get(strings.ReplaceAll(r.Pattern, "{$}", "")); a.Code >= 500 && a.Code != http.StatusServiceUnavailable || a.Code == http.StatusNotFound {
				t.Errorf("%s: %d %s", r.Pattern, a.Code, a.Body)
			}
		}
	})
	t.Run("an address that no page has is not found, in the browser's language", func(t *testing.T) {
		s.lang = "de-AT,de;q=0.9"
		defer func() { s.lang = "en" }()
		s.get("/nowhere").wants(t, http.StatusNotFound, `lang="de"`, "Diese Seite gibt es nicht")
	})
	t.Run("a method that a page does not take is refused", func(t *testing.T) {
		a := s.post("/help", nil)
		if a.Code != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET" {
			t.Errorf("status %d, Allow %q", a.Code, a.Header.Get("Allow"))
		}
	})
}
