package main

import (
	"fmt"
	"strings"

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

// alerts are the rules; {disk} is four fifths of the disk of data/. Their limits are those of the list on the page Live, where that has them.
var alerts = []alert{
	{"BrazecdcDown", levelPage, "5m", `absent(brazecdc_active) or max(brazecdc_active) == 0`, "No process of brazecdc is read from, or none works."},
	{"BrazecdcLate", levelPage, "10m", `max by (instance, source) (brazecdc_lag_seconds) > 300`, "The oldest change has waited for {{ $value | humanizeDuration }}."},
	{"BrazecdcLate", levelWarn, "10m", `max by (instance, source) (brazecdc_lag_seconds) > 60`, "The oldest change has waited for {{ $value | humanizeDuration }}."},
	{"BrazecdcStuck", levelPage, "", `(time() - (brazecdc_oldest_unconfirmed_timestamp_seconds > 0) > 300)
  and on (instance) (sum by (instance) (changes(brazecdc_confirmed_position[5m])) == 0)`, "The position has not moved for 5 minutes while changes wait."},
	{"BrazecdcSlotAtRisk", levelPage, "", `max by (instance) (brazecdc_slot_seconds_until_lost) < 4 * 3600
  or max by (instance) (brazecdc_slot_retained_bytes > 0.5 * (brazecdc_slot_retained_bytes + brazecdc_slot_safe_bytes))
  or max by (instance) (brazecdc_slot_wal_status{status=~"unreserved|lost"}) == 1`, "The replication slot may be lost, and with it changes."},
	{"BrazecdcKeyRefused", levelPage, "", `sum by (instance, endpoint) (increase(brazecdc_braze_requests_total{code=~"401|403"}[5m])) > 0`, "Braze refused the key at {{ $labels.endpoint }}."},
	{"BrazecdcBrazeFailing", levelWarn, "10m", `sum by (instance) (rate(brazecdc_braze_requests_total{code=~"5..|network"}[10m]))
  / sum by (instance) (rate(brazecdc_braze_requests_total[10m])) > 0.2`, "{{ $value | humanizePercentage }} of the calls to Braze fail."},
	{"BrazecdcThrottled", levelWarn, "", `max by (instance, endpoint) (rate(brazecdc_braze_throttled_seconds_total[30m])) > 0.5`, "Calls to {{ $labels.endpoint }} wait for the rate limit more than half of the time."},
	{"BrazecdcDeletesHeld", levelWarn, "1m", `max by (instance, model) (brazecdc_deletes_held) > 0`, "{{ $value }} deletes of {{ $labels.model }} wait for a yes."},
	{"BrazecdcModelPaused", levelWarn, "15m", `max by (instance, model, reason) (brazecdc_model_paused) > 0`, "{{ $labels.model }} is paused ({{ $labels.reason }})."},
	{"BrazecdcQuarantineGrowing", levelWarn, "", `sum by (instance, model) (increase(brazecdc_quarantine_added_total[15m])) > 10
  and sum by (instance, model) (increase(brazecdc_quarantine_added_total[15m])) > 0.001 * sum by (instance, model) (increase(brazecdc_objects_total[15m]))`,
		"{{ $value | humanize }} changes of {{ $labels.model }} were held back within 15 minutes."},
	{"BrazecdcQuarantineGrowing", levelWarn, "", `time() - (brazecdc_quarantine_oldest_timestamp_seconds > 0) > 3 * 86400`, "A change has been held back for {{ $value | humanizeDuration }}."},
	{"BrazecdcFieldLeftOut", levelInfo, "", `sum by (instance, model, field) (increase(brazecdc_field_notes_total[1h]))
  > on (instance, model) group_left () 0.05 * sum by (instance, model) (increase(brazecdc_objects_total{outcome="accepted"}[1h]))`,
		"{{ $labels.field }} of {{ $labels.model }} was left out {{ $value | humanize }} times within an hour."},
	{"BrazecdcPointsSurge", levelWarn, "", `sum by (instance) (increase(brazecdc_data_points_spent_total[1h])) > 10000
  and sum by (instance) (increase(brazecdc_data_points_spent_total[1h])) > 3 / 7 * (` + sameHours(7) + `)`,
		"{{ $value | humanize }} data points were spent within an hour."},
	// The longest time that was ahead of the next run is the schedule's period.
	{"BrazecdcScheduleMissed", levelWarn, "", `time() - (brazecdc_load_last_success_timestamp_seconds > 0)
  > 3600 + 2 * max_over_time((brazecdc_schedule_next_timestamp_seconds - time())[31d:1h])
  and on (instance, model) brazecdc_schedule_next_timestamp_seconds > 0`, "{{ $labels.model }} was last synced again {{ $value | humanizeDuration }} ago."},
	{"BrazecdcConfigReloadFailed", levelWarn, "5m", `brazecdc_config_last_reload_successful == 0`, "The changed configuration could not be applied; the one before goes on."},
	{"BrazecdcStoreLarge", levelWarn, "", `max by (instance) (brazecdc_store_bytes) > {disk}`, "data/ takes more than four fifths of its disk."},
	// Each start applies the configuration, and so do reloads, of which nobody makes so many.
	{"BrazecdcRestarting", levelWarn, "", `changes(brazecdc_config_last_reload_success_timestamp_seconds[30m]) > 3`, "It started {{ $value }} times within 30 minutes."},
}

// sameHours adds what was spent in the same hour of the days before.
func sameHours(days int) string {
	var parts []string
	for d := 1; d <= days; d++ {
		parts = append(parts, fmt.Sprintf("sum by (instance) (increase(brazecdc_data_points_spent_total[1h] offset %dd))", d))
	}
	return strings.Join(parts, " + ")
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
