package main

import (
	"fmt"
	"strings"
)

// panel is one picture of the board in short: how it is drawn, in which unit, and its lines by their legend.
type panel struct {
	title, kind, unit string
	lines             []line
}

type line struct{ legend, expr string }

// row is a row of the board.
type row struct {
	title  string
	panels []panel
}

const (
	graph = "timeseries"
	stat  = "stat"
	table = "bargauge"
	heat  = "heatmap"
)

// boardRows are the rows of the board. $i narrows to instances and $m to models; $d stands for Grafana's own interval of rates.
var boardRows = []row{
	{"State", []panel{
		{"Processes at work", stat, "none", []line{{"", `sum(brazecdc_active{$i})`}}},
		{"Lateness", stat, "s", []line{{"", `max(brazecdc_lag_seconds{$i})`}}},
		{"Needs someone", stat, "none", []line{{"", `sum(brazecdc_deletes_held{$i,$m}) + sum(brazecdc_model_paused{$i,$m}) + sum(brazecdc_quarantine_entries{$i,$m})`}}},
		{"Version", stat, "none", []line{{"{{version}}", `max by (version) (brazecdc_build_info{$i})`}}},
	}},
	{"Flow", []panel{
		{"Changes by operation", graph, "ops", []line{{"{{op}}", `sum by (op) (rate(brazecdc_changes_total{$i,$m}[$d]))`}}},
		{"Objects by outcome", graph, "ops", []line{{"{{outcome}}", `sum by (outcome) (rate(brazecdc_objects_total{$i,$m}[$d]))`}}},
		{"Left out or folded", graph, "percentunit", []line{
			{"unchanged", `sum(rate(brazecdc_changes_suppressed_total{$i,$m}[$d])) / sum(rate(brazecdc_changes_total{$i,$m}[$d]))`},
			{"folded", `sum(rate(brazecdc_changes_coalesced_total{$i,$m}[$d])) / sum(rate(brazecdc_changes_total{$i,$m}[$d]))`},
			{"filtered", `sum(rate(brazecdc_changes_filtered_total{$i,$m}[$d])) / sum(rate(brazecdc_changes_total{$i,$m}[$d]))`},
		}},
		{"Commit to accepted", graph, "s", []line{
			{"half", `histogram_quantile(0.5, sum by (le) (rate(brazecdc_delivery_duration_seconds_bucket{$i,$m}[$d])))`},
			{"99 of 100", `histogram_quantile(0.99, sum by (le) (rate(brazecdc_delivery_duration_seconds_bucket{$i,$m}[$d])))`},
		}},
		{"Commit to accepted, all", heat, "s", []line{{"{{le}}", `sum by (le) (increase(brazecdc_delivery_duration_seconds_bucket{$i,$m}[$d]))`}}},
		{"Open changes", graph, "none", []line{{"open", `sum(brazecdc_open_changes{$i})`}, {"limit", `sum(brazecdc_open_changes_limit{$i})`}}},
		{"Open bytes", graph, "bytes", []line{{"open", `sum(brazecdc_open_bytes{$i})`}, {"limit", `sum(brazecdc_open_bytes_limit{$i})`}}},
		{"Reading held", graph, "percentunit", []line{{"{{instance}}", `rate(brazecdc_reading_held_seconds_total{$i}[$d])`}}},
	}},
	{"Source", []panel{
		{"Connected", graph, "none", []line{{"{{instance}} {{source}}", `brazecdc_source_connected{$i}`}}},
		{"Lateness", graph, "s", []line{{"{{instance}}", `brazecdc_lag_seconds{$i}`}}},
		{"Log not read", graph, "bytes", []line{{"{{instance}}", `brazecdc_lag_bytes{$i}`}}},
		{"Records not read", graph, "none", []line{{"{{topic}} {{partition}}", `brazecdc_kafka_lag_records{$i}`}}},
		{"Log kept by the server", graph, "bytes", []line{{"kept", `brazecdc_slot_retained_bytes{$i}`}, {"until lost", `brazecdc_slot_safe_bytes{$i}`}}},
		{"Time until the slot is lost", graph, "s", []line{{"{{instance}}", `brazecdc_slot_seconds_until_lost{$i}`}}},
		{"Age of the last sign of life", graph, "s", []line{{"{{instance}}", `time() - (brazecdc_source_last_heartbeat_timestamp_seconds{$i} > 0)`}}},
		{"Reconnects", graph, "none", []line{{"{{reason}}", `sum by (reason) (increase(brazecdc_source_reconnects_total{$i}[$d]))`}}},
	}},
	{"Braze", []panel{
		{"Calls by endpoint and answer", graph, "reqps", []line{{"{{endpoint}} {{code}}", `sum by (endpoint, code) (rate(brazecdc_braze_requests_total{$i}[$d])) > 0`}}},
		{"Duration of calls", graph, "s", []line{
			{"half, {{endpoint}}", `histogram_quantile(0.5, sum by (le, endpoint) (rate(brazecdc_braze_request_duration_seconds_bucket{$i}[$d])))`},
			{"99 of 100, {{endpoint}}", `histogram_quantile(0.99, sum by (le, endpoint) (rate(brazecdc_braze_request_duration_seconds_bucket{$i}[$d])))`},
		}},
		{"Objects a call", graph, "none", []line{{"{{endpoint}}", `sum by (endpoint) (rate(brazecdc_braze_request_objects_sum{$i}[$d])) / sum by (endpoint) (rate(brazecdc_braze_request_objects_count{$i}[$d]))`}}},
		{"Budget left", graph, "percentunit", []line{{"{{endpoint}}", `brazecdc_braze_rate_remaining{$i} / (brazecdc_braze_rate_limit{$i} > 0)`}}},
		{"Waits for the budget", graph, "percentunit", []line{{"{{endpoint}}", `rate(brazecdc_braze_throttled_seconds_total{$i}[$d])`}}},
		{"Refused by reason", graph, "ops", []line{{"{{reason}}", `sum by (reason) (rate(brazecdc_braze_item_errors_total{$i}[$d])) > 0`}}},
	}},
	{"Value", []panel{
		{"Data points spent", graph, "none", []line{{"{{model}}", `sum by (model) (increase(brazecdc_data_points_spent_total{$i,$m}[1h]))`}}},
		{"Data points saved", graph, "none", []line{{"{{model}}", `sum by (model) (increase(brazecdc_data_points_saved_total{$i,$m}[1h]))`}}},
		{"Saved share, 24 h", stat, "percentunit", []line{{"", `sum(increase(brazecdc_data_points_saved_total{$i,$m}[24h])) / (sum(increase(brazecdc_data_points_saved_total{$i,$m}[24h])) + sum(increase(brazecdc_data_points_spent_total{$i,$m}[24h])))`}}},
	}},
	{"Care", []panel{
		{"Held back", graph, "none", []line{{"{{model}} {{reason}}", `sum by (model, reason) (brazecdc_quarantine_entries{$i,$m}) > 0`}}},
		{"Oldest held back", stat, "s", []line{{"", `max(time() - (brazecdc_quarantine_oldest_timestamp_seconds{$i} > 0))`}}},
		{"Fields left out, 1 h", table, "none", []line{{"{{model}} {{field}}", `topk(10, sum by (model, field) (` + withinHour("brazecdc_field_notes_total{$i,$m}") + `) > 0)`}}},
		{"Deletes", graph, "none", []line{{"sent, {{model}}", `sum by (model) (increase(brazecdc_deletes_sent_total{$i,$m}[$d]))`}, {"held, {{model}}", `sum by (model) (brazecdc_deletes_held{$i,$m})`}}},
		{"Paused models", graph, "none", []line{{"{{model}} {{reason}}", `sum by (model, reason) (brazecdc_model_paused{$i,$m}) > 0`}}},
	}},
	{"Loads", []panel{
		{"Rows", graph, "none", []line{{"{{model}}", `brazecdc_load_rows_total{$i,$m}`}}},
		{"Share of the estimate", graph, "percentunit", []line{{"{{model}}", `brazecdc_load_rows_total{$i,$m} / (brazecdc_load_rows_estimated{$i,$m} > 0) and brazecdc_load_running{$i,$m} == 1`}}},
		{"Rows a second", graph, "ops", []line{{"{{model}}", `rate(brazecdc_load_rows_total{$i,$m}[$d])`}}},
	}},
	{"Process", []panel{
		{"Processor", graph, "percentunit", []line{{"{{instance}}", `rate(process_cpu_seconds_total{$i}[$d])`}}},
		{"Memory", graph, "bytes", []line{{"used, {{instance}}", `process_resident_memory_bytes{$i}`}, {"aim, {{instance}}", `go_gc_gomemlimit_bytes{$i} < 2^60`}}},
		{"Goroutines", graph, "none", []line{{"{{instance}}", `go_goroutines{$i}`}}},
		{"Pauses for garbage", graph, "s", []line{{"longest, {{instance}}", `go_gc_duration_seconds{$i,quantile="1"}`}, {"a second, {{instance}}", `rate(go_gc_duration_seconds_sum{$i}[$d])`}}},
		{"Open files", graph, "none", []line{{"open, {{instance}}", `process_open_fds{$i}`}, {"limit, {{instance}}", `process_max_fds{$i}`}}},
		{"Size of data/", graph, "bytes", []line{{"{{instance}}", `brazecdc_store_bytes{$i}`}}},
		{"Cache: asked and known", graph, "percentunit", []line{{"{{instance}}", `sum by (instance) (rate(brazecdc_store_lookups_total{$i,result="known"}[$d])) / sum by (instance) (rate(brazecdc_store_lookups_total{$i}[$d]))`}}},
		{"Lines of the log", graph, "none", []line{{"{{level}}", `sum by (level) (increase(brazecdc_log_messages_total{$i}[$d]))`}}},
		{"Components", graph, "none", []line{{"{{component}}", `min by (component) (brazecdc_component_healthy{$i})`}}},
		{"Open pages", graph, "none", []line{{"{{instance}}", `brazecdc_web_event_streams{$i}`}}},
	}},
}

const (
	boardWidth  = 24 // of Grafana's grid
	panelHeight = 7
	perRow      = 3
)

// board makes the board as Grafana imports it.
func board() map[string]any {
	source := map[string]any{"type": "prometheus", "uid": "${datasource}"}
	var panels []map[string]any
	y, id := 0, 0
	for _, r := range boardRows {
		id++
		panels = append(panels, map[string]any{"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []any{}, "gridPos": map[string]int{"x": 0, "y": y, "w": boardWidth, "h": 1}})
		y++
		for i, p := range r.panels {
			id++
			x, w := i%perRow*boardWidth/perRow, boardWidth/perRow
			panels = append(panels, p.grafana(id, source, map[string]int{"x": x, "y": y, "w": w, "h": panelHeight}))
			if i%perRow == perRow-1 || i == len(r.panels)-1 {
				y += panelHeight
			}
		}
	}
	mark := func(name, colour, expr string) map[string]any {
		return map[string]any{"name": name, "datasource": source, "enable": true, "iconColor": colour, "expr": expr, "step": "60s", "titleFormat": name}
	}
	// All stands for the values found, so that the metrics which every program has are brazecdc's.
	choice := func(name, of string) map[string]any {
		query := fmt.Sprintf("label_values(%s, %s)", boardExpr(of), name)
		return map[string]any{"name": name, "type": "query", "datasource": source, "query": query, "definition": query, "refresh": 2, "sort": 1, "includeAll": true, "multi": true,
			"current": map[string]any{"text": "All", "value": "$__all"}}
	}
	return map[string]any{
		"title": "brazecdc", "uid": "brazecdc", "schemaVersion": 39, "editable": true, "refresh": "30s", "time": map[string]string{"from": "now-6h", "to": "now"}, "tags": []string{"brazecdc"},
		"annotations": map[string]any{"list": []any{
			mark("configuration applied", "blue", boardExpr(`time() - brazecdc_config_last_reload_success_timestamp_seconds{$i} < 60`)),
			mark("stopped or standing by", "red", boardExpr(`brazecdc_active{$i} offset 1m == 1 unless on (instance) brazecdc_active{$i} == 1`)),
		}},
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus"}, choice("instance", "brazecdc_build_info"), choice("model", "brazecdc_changes_total{$i}"),
		}},
		"panels": panels,
	}
}

func (p *panel) grafana(id int, source map[string]any, at map[string]int) map[string]any {
	var targets []map[string]any
	for i, l := range p.lines {
		t := map[string]any{"refId": string(rune('A' + i)), "datasource": source, "expr": boardExpr(l.expr), "legendFormat": l.legend}
		if p.kind == heat {
			t["format"] = "heatmap"
		}
		if p.kind == stat || p.kind == table {
			t["instant"] = true
		}
		targets = append(targets, t)
	}
	options := map[string]any{}
	switch {
	case p.kind == heat:
		options["calculate"], options["yAxis"] = false, map[string]any{"unit": p.unit}
	case p.kind == stat && p.lines[0].legend != "":
		options["textMode"] = "name"
	}
	return map[string]any{"id": id, "type": p.kind, "title": p.title, "datasource": source, "gridPos": at, "targets": targets, "options": options,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0}, "overrides": []any{}}}
}

// boardExpr fills in what expressions write in short.
func boardExpr(expr string) string {
	return strings.NewReplacer("$i", `instance=~"$instance"`, "$m", `model=~"$model"`, "$d", "$__rate_interval").Replace(expr)
}
