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
	metricIn  = regexp.MustCompile(`\b((?:brazecdc|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
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
		ours, own := strings.CutPrefix(m[1], "brazecdc_")
		i := slices.IndexFunc(metricNames, func(x metric) bool {
			return x.name == ours || x.histogram && (x.name+"_bucket" == ours || x.name+"_sum" == ours || x.name+"_count" == ours)
		})
		if own && i < 0 || !own && !slices.Contains(usageNames(t), strings.TrimSuffix(m[1], "_sum")) {
			t.Errorf("%s asks for %s, which is not served", what, m[1])
			continue
		}
		labels := []string{"instance", "job", "le", "quantile"}
		if own {
			labels = append(labels, metricNames[i].labels...)
		}
		names = append(names, labels...)
		for _, l := range labelIn.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				t.Errorf("%s asks for %s by its label %s; it has %v", what, m[1], l[1], labels)
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

// grafanaKeys are the names that Grafana has in a board (its schema version 39), as far as ours uses them; it tells large letters from small ones.
var grafanaKeys = strings.Fields(`title uid schemaVersion editable refresh time from to tags annotations list templating panels
	name datasource enable iconColor expr step titleFormat type query definition sort includeAll multi current text value
	id collapsed gridPos x y w h targets refId legendFormat format instant options calculate yAxis unit textMode fieldConfig defaults min overrides`)

// dashboard is a board with these names.
type dashboard struct {
	Title, UID, Refresh string
	SchemaVersion       int
	Editable            bool
	Time                struct{ From, To string }
	Tags                []string
	Annotations         struct {
		List []struct {
			Name, IconColor, Expr, Step, TitleFormat string
			Enable                                   bool
			Datasource                               datasource
		}
	}
	Templating struct {
		List []struct {
			Name, Type, Query, Definition string
			Datasource                    datasource
			Refresh, Sort                 int
			IncludeAll, Multi             bool
			Current                       struct{ Text, Value string }
		}
	}
	Panels []boardPanel
}

type datasource struct{ Type, UID string }

type boardPanel struct {
	ID          int
	Type, Title string
	Collapsed   bool
	Panels      []any
	Datasource  datasource
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID, Expr, LegendFormat, Format string
		Instant                           bool
		Datasource                        datasource
	}
	Options struct {
		Calculate bool
		TextMode  string
		YAxis     struct{ Unit string }
	}
	FieldConfig struct {
		Defaults struct {
			Unit string
			Min  float64
		}
		Overrides []any
	}
}

func TestOpsDashboard(t *testing.T) {
	t.Parallel()
	got := readDashboard(t)
	source := datasource{"prometheus", "${datasource}"}
	if got.Title == "" || got.UID == "" || got.SchemaVersion != 39 || got.Time.From == "" || got.Time.To == "" {
		t.Errorf("the board's head is %+v", got)
	}
	t.Run("panels stand beside each other and ask for what is served", func(t *testing.T) {
		var rows []string
		ids := map[int]string{}
		for i, p := range got.Panels {
			if ids[p.ID] != "" || p.ID < 1 || p.Title == "" || p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > boardWidth {
				t.Errorf("panel %d %q (%q has its id) stands at %+v", p.ID, p.Title, ids[p.ID], p.GridPos)
			}
			ids[p.ID] = p.Title
			for _, q := range got.Panels[:i] {
				if p.GridPos.X < q.GridPos.X+q.GridPos.W && q.GridPos.X < p.GridPos.X+p.GridPos.W && p.GridPos.Y < q.GridPos.Y+q.GridPos.H && q.GridPos.Y < p.GridPos.Y+p.GridPos.H {
					t.Errorf("panels %q and %q overlap", p.Title, q.Title)
				}
			}
			if p.Type == "row" {
				rows = append(rows, p.Title)
				continue
			}
			isPanel(t, &p, source)
		}
		if want := "State Flow Source Braze Value Care Loads Process"; strings.Join(rows, " ") != want {
			t.Errorf("rows %v", rows)
		}
	})
	t.Run("it is marked when configurations were applied and processes stopped", func(t *testing.T) {
		if len(got.Annotations.List) != 2 {
			t.Errorf("%d annotations", len(got.Annotations.List))
		}
		for _, a := range got.Annotations.List {
			asksServed(t, a.Name, a.Expr)
			if a.Datasource != source || !a.Enable || a.Step == "" || a.TitleFormat == "" {
				t.Errorf("annotation %+v", a)
			}
		}
	})
	t.Run("its variables are the source, instances and models, and what expressions ask for is one of them", func(t *testing.T) {
		known := []string{"__rate_interval"}
		for _, v := range got.Templating.List {
			known = append(known, v.Name)
			if v.Type == "query" {
				asksServed(t, "variable "+v.Name, v.Query)
				if v.Datasource != source || !v.Multi || !v.IncludeAll || v.Current.Value != "$__all" {
					t.Errorf("variable %+v", v)
				}
			}
		}
		if want := "__rate_interval datasource instance model"; strings.Join(known, " ") != want || got.Templating.List[0].Type != "datasource" || got.Templating.List[0].Query != "prometheus" {
			t.Errorf("variables %v", known)
		}
		for _, expr := range got.expressions() {
			for _, v := range regexp.MustCompile(`\$([a-zA-Z_]+)`).FindAllStringSubmatch(expr, -1) {
				if !slices.Contains(known, v[1]) {
					t.Errorf("$%s is no variable of the board: %s", v[1], expr)
				}
			}
		}
	})
}

// isPanel fails the test where Grafana could not draw a panel.
func isPanel(t *testing.T, p *boardPanel, source datasource) {
	t.Helper()
	if !slices.Contains([]string{"timeseries", "stat", "bargauge", "heatmap"}, p.Type) || !slices.Contains([]string{"none", "s", "bytes", "percentunit", "ops", "reqps"}, p.FieldConfig.Defaults.Unit) ||
		p.Datasource != source || len(p.Targets) == 0 {
		t.Errorf("panel %+v", p)
	}
	for i, l := range p.Targets {
		if l.RefID != string(rune('A'+i)) || l.Datasource != source || len(p.Targets) > 1 && l.LegendFormat == "" || (l.Format == "heatmap") != (p.Type == "heatmap") {
			t.Errorf("panel %q: line %+v", p.Title, l)
		}
		asksServed(t, p.Title, l.Expr)
		for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(l.LegendFormat, -1) {
			if by := groupedBy.FindAllStringSubmatch(l.Expr, -1); len(by) > 0 && !slices.ContainsFunc(by, func(g []string) bool { return slices.Contains(strings.Split(g[1], ", "), label[1]) }) {
				t.Errorf("panel %q names its lines by %s, which it does not keep: %s", p.Title, label[1], l.Expr)
			}
		}
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	out, code := printed(t, "ops", "dashboard")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	for _, key := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(out, -1) {
		if !slices.Contains(grafanaKeys, key[1]) {
			t.Errorf("Grafana knows no %q", key[1])
		}
	}
	var got dashboard
	dec := json.NewDecoder(strings.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	return &got
}

// expressions are those of all panels and annotations.
func (d *dashboard) expressions() (all []string) {
	for _, p := range d.Panels {
		for _, l := range p.Targets {
			all = append(all, l.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, a.Expr)
	}
	return all
}
