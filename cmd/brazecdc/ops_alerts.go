package main

import (
	"fmt"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/web"
)

// ruleFile is a file of rules as Prometheus reads it.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string      `yaml:"name"`
	Rules []alertRule `yaml:"rules"`
}

type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// alert is a rule in short. Several may have one name, as one that warns before it wakes.
type alert struct {
	name, level, held, expr string
	summary                 string
}

const (
	levelPage = "page"
	levelWarn = "warn"
	levelInfo = "info"
)

// alerts are the rules; {disk} is four fifths of the disk of data/. Their limits are those of the list on the page Live, where that has them. What they do on
// figures is in testdata/alerts.test.yml.
var alerts = []alert{
	// Of several connectors, each a job of its own, one may be down alone. A job whose targets are all down has no metrics but up.
	{"BrazecdcDown", levelPage, "5m", `absent(brazecdc_active)
  or max by (job) (brazecdc_active) == 0
  or max by (job) (up) == 0 and on (job) max_over_time(brazecdc_active[1d])`, "No process of brazecdc is read from, or none works."},
	{"BrazecdcLate", levelPage, "10m", `max by (instance, source) (brazecdc_lag_seconds) > 300`, "The oldest change has waited for {{ $value | humanizeDuration }}."},
	{"BrazecdcLate", levelWarn, "10m", `max by (instance, source) (brazecdc_lag_seconds) > 60`, "The oldest change has waited for {{ $value | humanizeDuration }}."},
	// A process that has just begun finds old changes that waited for it.
	{"BrazecdcStuck", levelPage, "", `time() - (brazecdc_oldest_unconfirmed_timestamp_seconds > 0) > 300
  unless on (instance) sum by (instance) (changes(brazecdc_confirmed_position[5m])) > 0
  and on (instance) brazecdc_active offset 5m == 1`, "The position has not moved for 5 minutes while changes wait."},
	{"BrazecdcSlotAtRisk", levelPage, "2m", `max by (instance) (brazecdc_slot_seconds_until_lost) < 4 * 3600
  or max by (instance) (brazecdc_slot_retained_bytes > 0.5 * (brazecdc_slot_retained_bytes + brazecdc_slot_safe_bytes))
  or max by (instance) (brazecdc_slot_wal_status{status=~"unreserved|lost"}) == 1`, "The replication slot may be lost, and with it changes."},
	// A stop for this reason comes before the next scrape.
	{"BrazecdcKeyRefused", levelPage, "", fmt.Sprintf(`sum by (instance, endpoint) (increase(brazecdc_braze_requests_total{code=~"401|403"}[5m])) > 0
  or max by (instance) (brazecdc_stop_code) == %d`, connector.ExitKeyRefused), "Braze refused the key{{ with $labels.endpoint }} at {{ . }}{{ end }}."},
	{"BrazecdcBrazeFailing", levelWarn, "10m", `sum by (instance) (rate(brazecdc_braze_requests_total{code=~"5..|network"}[10m]))
  / sum by (instance) (rate(brazecdc_braze_requests_total[10m])) > 0.2`, "{{ $value | humanizePercentage }} of the calls to Braze fail."},
	{"BrazecdcThrottled", levelWarn, "", `max by (instance, endpoint) (rate(brazecdc_braze_throttled_seconds_total[30m])) > 0.5`, "Calls to {{ $labels.endpoint }} wait for the rate limit more than half of the time."},
	{"BrazecdcDeletesHeld", levelWarn, "1m", `max by (instance, model) (brazecdc_deletes_held) > 0`, "{{ $value }} deletes of {{ $labels.model }} wait for a yes."},
	{"BrazecdcModelPaused", levelWarn, "15m", `max by (instance, model, reason) (brazecdc_model_paused) > 0`, "{{ $labels.model }} is paused ({{ $labels.reason }})."},
	{"BrazecdcQuarantineGrowing", levelWarn, "", `sum by (instance, model) (increase(brazecdc_quarantine_added_total[15m])) > 10
  and sum by (instance, model) (increase(brazecdc_quarantine_added_total[15m])) > 0.001 * sum by (instance, model) (increase(brazecdc_objects_total[15m]))
  or max by (instance) (time() - (brazecdc_quarantine_oldest_timestamp_seconds > 0)) > 3 * 86400`,
		"{{ if $labels.model }}{{ $value | humanize }} changes of {{ $labels.model }} were held back within 15 minutes.{{ else }}A change has been held back for {{ $value | humanizeDuration }}.{{ end }}"},
	{"BrazecdcFieldLeftOut", levelInfo, "", `sum by (instance, model, field) (` + withinHour("brazecdc_field_notes_total") + `)
  > on (instance, model) group_left () 0.05 * sum by (instance, model) (` + withinHour("brazecdc_changes_total") + `)`,
		"{{ $labels.field }} of {{ $labels.model }} was left out {{ $value | humanize }} times within an hour."},
	// Pods change their names, so a connector's points are those of its job.
	{"BrazecdcPointsSurge", levelWarn, "", `sum by (job) (increase(brazecdc_data_points_spent_total[1h])) > 10000
  and sum by (job) (increase(brazecdc_data_points_spent_total[1h])) > 3 * avg by (job) (
    ` + sameHours(7) + `)`,
		"{{ $value | humanize }} data points were spent within an hour."},
	// The longest time that was ahead of the next run is the schedule's period. Before the first success the first run that was due counts in its place.
	{"BrazecdcScheduleMissed", levelWarn, "", `time() - (brazecdc_load_last_success_timestamp_seconds > 0 or min_over_time((brazecdc_schedule_next_timestamp_seconds > 0)[31d:1h]))
  > 3600 + 2 * max_over_time((brazecdc_schedule_next_timestamp_seconds - time())[31d:1h])
  and brazecdc_schedule_next_timestamp_seconds > 0`, "{{ $labels.model }} has not been synced again for {{ $value | humanizeDuration }}."},
	{"BrazecdcConfigReloadFailed", levelWarn, "5m", `brazecdc_config_last_reload_successful == 0`, "The changed configuration could not be applied; the one before goes on."},
	{"BrazecdcStoreLarge", levelWarn, "", `max by (instance) (brazecdc_store_bytes) > {disk}`, "data/ takes more than four fifths of its disk."},
	{"BrazecdcRestarting", levelWarn, "", `changes(process_start_time_seconds[30m]) > 3 and on (instance) max_over_time(brazecdc_build_info[30m])`, "It started {{ $value }} times within 30 minutes."},
}

// withinHour is what a counter grew by within an hour. Other than increase it counts the first value of a series, of which nobody knew before that it would be.
func withinHour(counter string) string {
	return fmt.Sprintf("(%[1]s - %[1]s offset 1h >= 0) or %[1]s", counter)
}

// sameHours is what was spent in the same hour of the days before, by a label of its own: days of which nothing is known are no part of their mean.
func sameHours(days int) string {
	var parts []string
	for d := 1; d <= days; d++ {
		parts = append(parts, fmt.Sprintf(`label_replace(sum by (job) (increase(brazecdc_data_points_spent_total[1h] offset %[1]dd)), "day", "%[1]d", "", "")`, d))
	}
	return strings.Join(parts, "\n    or ")
}

// alertFile makes the rules for pages at an address and a disk of so many GiB.
func alertFile(pages string, disk int) ruleFile {
	var rules []alertRule
	for _, a := range alerts {
		rules = append(rules, alertRule{
			Alert: a.name, Expr: strings.ReplaceAll(a.expr, "{disk}", fmt.Sprint(int64(disk)<<30/5*4)), For: a.held, Labels: map[string]string{"severity": a.level},
			Annotations: map[string]string{"summary": a.summary, "runbook_url": pages + "/help#" + web.AlertAnchor(a.name)},
		})
	}
	return ruleFile{Groups: []ruleGroup{{Name: "brazecdc", Rules: rules}}}
}
