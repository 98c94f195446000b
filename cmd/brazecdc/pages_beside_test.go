package main

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestUIBesideRun looks at the pages of "brazecdc ui" while another process runs: what that one knows is asked of it, and nothing is claimed that is not known.
func TestUIBesideRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, email, plan, first_name, credits) VALUES ('u-1', 'u1@example.com', 'pro', 'Ada', 5), ('u-2', 'u2@example.com', 'pro', 'Bea', 6)`)
	p := b.run()
	b.arrives("u-2", "plan", `"pro"`)
	_, base := startUI(t, b.env, b.config())
	page := func(path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return html.UnescapeString(string(text))
	}
	preview := "/models/users?" + url.Values{"tab": {"preview"}, "row": {"key"}, "key": {"u-1"}, "op": {"update"}}.Encode()
	own := `href="http://` + b.listen
	t.Run("says that another process runs, and where its pages are", func(t *testing.T) {
		wantIn(t, page("/"), "The stream runs in another process", own+`/"`)
		wantIn(t, page("/users"), own+`/users"`)
	})
	t.Run("asks it what Braze holds", func(t *testing.T) {
		b.until("what Braze accepted is noted", func() bool { return strings.Contains(page(preview), "Compared with what Braze accepted last.") })
		wantIn(t, page(preview), "Braze has all of this already.", "unchanged, not sent")
	})
	t.Run("without it says that it is not known", func(t *testing.T) {
		p.stop()
		text := page(preview)
		wantIn(t, text, "What Braze holds already is not known here")
		if strings.Contains(text, "unchanged, not sent") || strings.Contains(page("/"), "The stream runs in another process") {
			t.Error("a process that has ended is asked")
		}
	})
}
