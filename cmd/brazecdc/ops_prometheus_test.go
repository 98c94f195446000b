package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/web"
)

// needsPrometheus skips the test where the server or promtool is missing, as needsProgram does.
func needsPrometheus(t *testing.T) {
	t.Helper()
	for _, name := range []string{"promtool", "prometheus"} {
		needsProgram(t, name, "prometheus")
	}
}

// writeRules writes what "brazecdc ops alerts" prints into a new folder.
func writeRules(t *testing.T) (dir string, file ruleFile) {
	t.Helper()
	dir = t.TempDir()
	out, code := printed(t, "ops", "alerts")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "brazecdc.rules.yml"), []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(out), &file); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestOpsAlertsFire(t *testing.T) {
	t.Parallel()
	needsPrometheus(t)
	dir, _ := writeRules(t)
	promtool := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	promtool("check", "rules", "brazecdc.rules.yml")
	fires, quiet := map[string]int{}, map[string]int{}
	for _, name := range []string{"alerts.test.yml", "alerts_days.test.yml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		var file struct {
			Tests []struct {
				Rules []struct {
					Name   string `yaml:"alertname"`
					Alerts []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, r := range test.Rules {
				if len(r.Alerts) > 0 {
					fires[r.Name]++
				} else {
					quiet[r.Name]++
				}
			}
		}
		promtool("test", "rules", name)
	}
	for _, name := range web.Alerts {
		if fires[name] == 0 || quiet[name] < 3 {
			t.Errorf("%s is seen to fire %d times and to be quiet %d times", name, fires[name], quiet[name])
		}
	}
}

// server is a Prometheus that reads a process once a second.
type server struct {
	t    *testing.T
	base string
}

func startPrometheus(t *testing.T, dir, target string) *server {
	t.Helper()
	text := fmt.Sprintf("global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [brazecdc.rules.yml]\nscrape_configs:\n  - { job_name: brazecdc, static_configs: [{ targets: [%q] }] }\n", target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	cmd := exec.Command("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address="+addr, "--log.level=warn")
	cmd.Dir = dir
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus printed\n%s", said.String())
		}
	})
	return &server{t, "http://" + addr}
}

func (s *server) get(path string, into any) error {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// values are what an expression gives now, by series.
func (s *server) values(expr string) ([]float64, error) {
	var got struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := s.get("/api/v1/query?query="+url.QueryEscape(expr), &got); err != nil {
		return nil, err
	}
	var out []float64
	for _, r := range got.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// emptyInPostgres are the panels that have nothing to show in a run over Postgres in which nothing is paused, and no load is under way.
var emptyInPostgres = []string{"Records not read", "Paused models", "Share of the estimate"}

func TestOpsInPrometheus(t *testing.T) {
	t.Parallel()
	needsPrometheus(t)
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, plan) VALUES ('', 'pro')`)
	b.exec(`INSERT INTO users (id, email, plan) SELECT 'u-' || n, CASE n WHEN 1 THEN 'no address' ELSE 'u' || n || '@example.com' END, 'pro' FROM generate_series(1, 20) n`)
	b.run()
	b.arrives("u-20", "plan", `"pro"`)
	b.fault(brazesim.Fault{Endpoint: "/users/track", Headers: map[string]string{"X-RateLimit-Limit": "3000", "X-RateLimit-Remaining": "2999", "X-RateLimit-Reset": "3"},
		Items: []brazesim.ItemFault{{ExternalIDs: []string{"u-7"}, Type: "not liked"}}})
	dir, rules := writeRules(t)
	s := startPrometheus(t, dir, b.listen)
	changes := 0
	b.until("Prometheus has read the process several times under load", func() bool {
		changes++
		b.exec(fmt.Sprintf(`UPDATE users SET credits = %d`, changes))
		got, err := s.values(`count_over_time(brazecdc_active[1m])`)
		return err == nil && len(got) == 1 && got[0] > 6
	})
	fill := strings.NewReplacer("$__rate_interval", "5s", "$instance", ".*", "$model", ".*")
	t.Run("every panel of the board has something to show", func(t *testing.T) {
		var empty []string
		for _, p := range readDashboard(t).Panels {
			seen := p.Type == "row"
			for _, l := range p.Targets {
				got, err := s.values(fill.Replace(l.Expr))
				if err != nil {
					t.Errorf("%q: %s: %v", p.Title, l.Expr, err)
				}
				seen = seen || slices.ContainsFunc(got, func(v float64) bool { return !math.IsNaN(v) })
			}
			if !seen {
				empty = append(empty, p.Title)
			}
		}
		if !slices.Equal(empty, emptyInPostgres) {
			t.Errorf("nothing to show: %v, want %v", empty, emptyInPostgres)
		}
		for _, a := range readDashboard(t).Annotations.List {
			if _, err := s.values(fill.Replace(a.Expr)); err != nil {
				t.Errorf("%q: %v", a.Name, err)
			}
		}
	})
	t.Run("every rule can be asked", func(t *testing.T) {
		for _, r := range rules.Groups[0].Rules {
			if _, err := s.values(r.Expr); err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
		}
		var loaded struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError string }
				}
			}
		}
		b.until("Prometheus has asked all rules", func() bool {
			if err := s.get("/api/v1/rules", &loaded); err != nil || len(loaded.Data.Groups) != 1 {
				return false
			}
			return !slices.ContainsFunc(loaded.Data.Groups[0].Rules, func(r struct{ Name, Health, LastError string }) bool { return r.Health == "unknown" })
		})
		for _, r := range loaded.Data.Groups[0].Rules {
			if r.Health != "ok" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	})
}
