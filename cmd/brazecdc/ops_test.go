package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"brazecdc/connector/web"
)

var (
	metricIn  = regexp.MustCompile(`brazecdc_([a-z0-9_]+)(?:\{([^}]*)\})?`)
	labelIn   = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	groupedBy = regexp.MustCompile(`by \(([^)]*)\)`)
)

// printed gives what a command line prints, and its exit code.
func printed(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	b, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// asksServed fails the test where an expression names a metric or a label that /metrics does not have.
func asksServed(t *testing.T, what, expr string) {
	t.Helper()
	var names []string // of labels, over all metrics of the expression
	found := metricIn.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s asks for no metric: %s", what, expr)
	}
	for _, m := range found {
		i := slices.IndexFunc(metricNames, func(x metric) bool {
			return x.name == m[1] || x.histogram && (x.name+"_bucket" == m[1] || x.name+"_sum" == m[1] || x.name+"_count" == m[1])
		})
		if i < 0 {
			t.Errorf("%s asks for brazecdc_%s, which is not served", what, m[1])
			continue
		}
		labels := append([]string{"instance", "le"}, metricNames[i].labels...)
		names = append(names, labels...)
		for _, l := range labelIn.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				t.Errorf("%s asks for brazecdc_%s by its label %s; it has %v", what, m[1], l[1], labels)
			}
		}
	}
	for _, by := range groupedBy.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(by[1], ", ") {
			if !slices.Contains(names, l) {
				t.Errorf("%s groups by %s, which none of its metrics has: %s", what, l, expr)
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			t.Errorf("%s: brackets %s do not match in %s", what, pair, expr)
		}
	}
}

func TestOpsAlerts(t *testing.T) {
	t.Parallel()
	out, code := printed(t, "ops", "alerts", "--pages", "https://pages.example.com/", "--disk", "100")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var file ruleFile
	if err := yaml.UnmarshalWithOptions([]byte(out), &file, yaml.Strict()); err != nil || len(file.Groups) != 1 {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Run("ask for what is served, and lead to a text of their own", func(t *testing.T) {
		var names []string
		for _, r := range file.Groups[0].Rules {
			asksServed(t, r.Alert, r.Expr)
			if r.Annotations["runbook_url"] != "https://pages.example.com/help#alert-"+r.Alert || r.Annotations["summary"] == "" || !slices.Contains([]string{"page", "warn", "info"}, r.Labels["severity"]) {
				t.Errorf("%s: %v %v", r.Alert, r.Annotations, r.Labels)
			}
			if !slices.Contains(names, r.Alert) {
				names = append(names, r.Alert)
			}
		}
		if !slices.Equal(names, web.Alerts) {
			t.Errorf("the rules are %v, the help has %v", names, web.Alerts)
		}
		if !strings.Contains(out, "brazecdc_store_bytes) > 85899345920") {
			t.Error("the limit of the disk is not four fifths of 100 GiB")
		}
	})
	t.Run("their texts stand on the help page", func(t *testing.T) {
		b := newBench(t, plainModel)
		_, base := startUI(t, b.env, b.config())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/help", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var page bytes.Buffer
		if _, err := page.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		for _, name := range web.Alerts {
			if !strings.Contains(page.String(), `id="`+web.AlertAnchor(name)+`"`) {
				t.Errorf("the help page does not explain %s", name)
			}
		}
	})
	t.Run("refuse an address that is none", func(t *testing.T) {
		for _, args := range [][]string{{"--pages", "ftp://x"}, {"--pages", "x"}, {"--disk", "0"}} {
			if _, code := printed(t, append([]string{"ops", "alerts"}, args...)...); code != exitUsage {
				t.Errorf("%v: exit code %d", args, code)
			}
		}
	})
}

func TestOpsDashboard(t *testing.T) {
	t.Parallel()
	out, code := printed(t, "ops", "dashboard")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var got struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for i, p := range got.Panels {
		if p.ID != i+1 || p.GridPos.X+p.GridPos.W > boardWidth {
			t.Errorf("panel %q stands at %+v", p.Title, p.GridPos)
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		for _, l := range p.Targets {
			asksServed(t, p.Title, l.Expr)
		}
		for _, q := range got.Panels[:i] {
			if p.GridPos.X < q.GridPos.X+q.GridPos.W && q.GridPos.X < p.GridPos.X+p.GridPos.W && p.GridPos.Y < q.GridPos.Y+q.GridPos.H && q.GridPos.Y < p.GridPos.Y+p.GridPos.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
	}
	for _, a := range got.Annotations.List {
		asksServed(t, "an annotation", a.Expr)
	}
	if want := "State Flow Source Braze Value Care Loads Process"; strings.Join(rows, " ") != want {
		t.Errorf("rows %v", rows)
	}
}
