package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	b.exec(`INSERT INTO users (id, email, plan) VALUES ('u-1', 'not an address', 'pro')`)
	b.run()
	b.arrives("u-1", "plan", `"pro"`)
	var body string
	b.until("the load has ended", func() bool {
		_, body = b.get("/metrics")
		return strings.Contains(body, `brazecdc_load_rows_total{model="users"} 1`) && strings.Contains(body, `brazecdc_load_running{model="users"} 0`)
	})
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range metricNames {
		listed = append(listed, "brazecdc_"+m.name)
		if m.help == "" || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s has no sentence of help", m.name)
		}
	}
	t.Run("shows the names of the list and no other", func(t *testing.T) {
		usage := usageNames(t)
		for name := range families {
			if !slices.Contains(listed, name) && !slices.Contains(usage, name) {
				t.Errorf("%s is not in the list", name)
			}
		}
		// These have no series here: they are of topics, or their labels are not known before their first event.
		events := []string{"brazecdc_kafka_lag_records", "brazecdc_kafka_skipped_total", "brazecdc_web_requests_total"}
		for _, name := range append(usage, listed...) {
			if families[name] == nil && !slices.Contains(events, name) {
				t.Errorf("%s is not shown", name)
			}
		}
	})
	t.Run("starts known series at 0", func(t *testing.T) {
		for _, series := range []string{
			`brazecdc_changes_total{model="users",op="delete"} 0`, `brazecdc_quarantine_entries{model="users",reason="rejected"} 0`,
			`brazecdc_model_paused{model="users",reason="truncate"} 0`, `brazecdc_users_parked{reason="settle"} 0`, `brazecdc_deletes_held{model="users"} 0`, `brazecdc_brake_engaged{model="users"} 0`,
			`brazecdc_log_messages_total{level="error"} 0`, `brazecdc_store_lookups_total{result="known"} 0`, `brazecdc_schedule_next_timestamp_seconds{model="users"} 0`,
			`brazecdc_web_sign_in_failures_total 0`, `brazecdc_history_dropped_total 0`, `brazecdc_store_dropped_total{reason="size"} 0`, `brazecdc_store_dropped_total{reason="stale"} 0`,
			`brazecdc_source_reconnects_total{reason="network",source="postgres"} 0`, `brazecdc_delivery_duration_seconds_count{model="users"} 0`,
			`brazecdc_objects_total{kind="delete",model="users",outcome="refused"} 0`, `brazecdc_objects_total{kind="track",model="users",outcome="given_up"} 0`,
			`brazecdc_quarantine_added_total{model="users",reason="mapping"} 0`, `brazecdc_quarantine_retried_total{model="users",outcome="held_again"} 0`,
			`brazecdc_braze_requests_total{code="401",endpoint="/users/track"} 0`, `brazecdc_braze_requests_total{code="201",endpoint="/users/delete"} 0`,
			`brazecdc_braze_retries_total{endpoint="/users/track",reason="throttled"} 0`, `brazecdc_braze_item_errors_total{endpoint="/users/track",reason="bad_email"} 0`,
			`brazecdc_braze_request_objects_count{endpoint="/users/delete"} 0`, `brazecdc_data_points_saved_total{model="users"} 0`,
		} {
			if !strings.Contains(body, series+"\n") {
				t.Errorf("%s is not shown", series)
			}
		}
	})
	t.Run("counts", func(t *testing.T) {
		for _, series := range []string{
			`brazecdc_changes_total{model="users",op="snapshot"} 1`, `brazecdc_objects_total{kind="track",model="users",outcome="accepted"} 1`,
			`brazecdc_source_connected{source="postgres"} 1`, `brazecdc_component_healthy{component="reader"} 1`, `brazecdc_config_last_reload_successful 1`, `brazecdc_active 1`, `brazecdc_load_rows_total{model="users"} 1`,
			`brazecdc_braze_requests_total{code="201",endpoint="/users/track"} 1`, `brazecdc_data_points_spent_total{model="users"} 1`,
			`brazecdc_events_late_total{model="users"} 0`,
		} {
			if !strings.Contains(body, series+"\n") {
				t.Errorf("%s is not shown", series)
			}
		}
		if !strings.Contains(body, `brazecdc_field_notes_total{field="email",model="users",reason="`) {
			t.Error("the field that was left out is not counted")
		}
	})
	t.Run("holds no row values", func(t *testing.T) {
		if bytes.Contains([]byte(body), []byte("not an address")) || strings.Contains(body, "u-1") {
			t.Error("a row's value is shown")
		}
	})
}

// listedIn gives the rows of the table of README.md whose head begins so: the name, the labels, what it says.
func listedIn(readme, head string) [][]string {
	_, table, _ := strings.Cut(readme, "| "+head)
	table, _, _ = strings.Cut(table, "\n\n")
	return regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| ([a-z, ]*)\\| (.*) \\|$").FindAllStringSubmatch(table, -1)
}

// usageNames are the metrics of the process that all programs have, as README.md lists them. On other systems than Linux some are missing.
func usageNames(t *testing.T) (names []string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range listedIn(string(readme), "metric (without") {
		names = append(names, row[1])
	}
	return names
}

func TestMetricsInREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range listedIn(string(readme), "metric (prefix") {
		if !slices.ContainsFunc(metricNames, func(m metric) bool { return m.name == row[1] }) {
			t.Errorf("README.md lists %s, which is not served", row[1])
		}
	}
	for _, m := range metricNames {
		if line := fmt.Sprintf("| `%s` | %s | %s |", m.name, strings.Join(m.labels, ", "), m.help); !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks the line\n%s", line)
		}
	}
}
