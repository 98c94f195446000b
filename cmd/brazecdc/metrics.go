package main

import (
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"brazecdc/connector"
)

// metric is one name of /metrics; the README lists them all.
type metric struct {
	name, help string // name without the prefix brazecdc_
	kind       prometheus.ValueType
	labels     []string
	histogram  bool
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metricNames are the names of /metrics in groups: process, source, flow, braze, care.
var metricNames = []metric{
	{"build_info", "Version and Go version of the program; always 1.", gauge, []string{"version", "go"}, false},
	{"config_info", "Hash of the configuration that works; always 1.", gauge, []string{"hash"}, false},
	{"config_last_reload_successful", "1 unless the last try to change the configuration failed and the one before goes on.", gauge, nil, false},
	{"config_last_reload_success_timestamp_seconds", "When the configuration that works was applied.", gauge, nil, false},
	{"active", "1 while this process reads its source, 0 while it starts or waits for the slot.", gauge, nil, false},
	{"stop_code", "Exit code of the stop after which only the pages stay (web.stay); 0 while the connector works.", gauge, nil, false},

	{"component_healthy", "1 while the component works: the loops reader, senders and committer tick, the source is connected, Braze's last answer was no fault.", gauge, []string{"component"}, false},
	{"component_progress_timestamp_seconds", "When the component last gave a sign of life; 0 before the first.", gauge, []string{"component"}, false},
	{"log_messages_total", "Lines of the log, repeats that were folded included.", counter, []string{"level"}, false},

	{"source_connected", "1 while the source is connected.", gauge, []string{"source"}, false},
	{"source_reconnects_total", "Connections to the source made after the first, by why the one before ended.", counter, []string{"source", "reason"}, false},
	{"source_bytes_total", "Bytes received from the source.", counter, []string{"source"}, false},
	{"source_last_change_timestamp_seconds", "Commit time of the newest change received; 0 before the first.", gauge, []string{"source"}, false},
	{"source_last_heartbeat_timestamp_seconds", "When the source last gave a sign of life; 0 before the first.", gauge, []string{"source"}, false},
	{"lag_seconds", "Age of the oldest change that is not yet delivered; 0 when none is open.", gauge, []string{"source"}, false},
	{"lag_bytes", "Log that the server has and this process has not read; NaN when not known.", gauge, []string{"source"}, false},
	{"slot_retained_bytes", "Log that the server keeps for the slot; NaN when not known.", gauge, nil, false},
	{"slot_safe_bytes", "Log that may still be written before the slot is lost; +Inf when unlimited or not known.", gauge, nil, false},
	{"slot_seconds_until_lost", "Seconds until the slot is lost at the speed of the last ten minutes; +Inf when it does not come nearer.", gauge, nil, false},
	{"slot_wal_status", "1 for the slot's present wal_status.", gauge, []string{"status"}, false},
	{"confirmed_position", "Position up to which everything is delivered and confirmed, for a slot its LSN as a number, for a partition (topic/number) the next offset.", gauge, []string{"stream"}, false},
	{"kafka_lag_records", "Offsets between what this process committed of a partition and the end of its log.", gauge, []string{"topic", "partition"}, false},
	{"kafka_skipped_total", "Records of topics that carried no change, by why.", counter, []string{"reason"}, false},
	{"oldest_unconfirmed_timestamp_seconds", "Commit time of the oldest change that is not yet delivered; 0 when none is open.", gauge, []string{"source"}, false},

	{"changes_total", "Row changes read, by operation; snapshot is a row of a load.", counter, []string{"model", "op"}, false},
	{"changes_filtered_total", "Changes that were nothing for the model: by filter, mode or pilot list.", counter, []string{"model"}, false},
	{"changes_suppressed_total", "Changes of which nothing had to be sent, because nothing mapped had changed.", counter, []string{"model"}, false},
	{"changes_coalesced_total", "Changes that went along with another one of the same user.", counter, []string{"model"}, false},
	{"open_changes", "Changes read and not yet done.", gauge, nil, false},
	{"open_bytes", "Their size in memory.", gauge, nil, false},
	{"open_changes_limit", "Reading waits above so many open changes.", gauge, nil, false},
	{"open_bytes_limit", "Reading waits above so many open bytes.", gauge, nil, false},
	{"reading_held_seconds_total", "Time for which reading waited at a limit.", counter, nil, false},
	{"users_waiting", "Changes that wait in their users' queues.", gauge, nil, false},
	{"users_parked", "Users that wait, by reason: the gap between two calls, the settling after a delete, a retry, a rename.", gauge, []string{"reason"}, false},
	{"field_notes_total", "Values left out or changed in kind, by field and reason.", counter, []string{"model", "field", "reason"}, false},
	{"objects_total", "Objects by what became of them: accepted, refused by Braze, or given up after all attempts.", counter, []string{"model", "kind", "outcome"}, false},
	{"data_points_spent_total", "Data points of what was accepted, as Braze's legacy contracts count them.", counter, []string{"model"}, false},
	{"data_points_saved_total", "Data points saved by leaving out what Braze had.", counter, []string{"model"}, false},
	{"events_late_total", "Events that were not sent, since they are older than max_age.", counter, []string{"model"}, false},
	{"delivery_duration_seconds", "Time from the commit to Braze's acceptance, live changes only.", 0, []string{"model"}, true},
	{"skipped_replay_total", "Changes and calls that came a second time and were passed over, because they had been handed out or done.", counter, nil, false},
	{"duplicates_possible_total", "Objects sent again after an answer that never came; Braze may have taken them twice.", counter, nil, false},

	{"braze_requests_total", "Requests by endpoint and status code; network where no answer came.", counter, []string{"endpoint", "code"}, false},
	{"braze_request_duration_seconds", "Duration of requests.", 0, []string{"endpoint"}, true},
	{"braze_request_objects", "Objects in a request.", 0, []string{"endpoint"}, true},
	{"braze_objects_total", "Objects accepted by Braze.", counter, []string{"endpoint"}, false},
	{"braze_retries_total", "Objects that were put back to be sent again, by why: lookup is a row that could not be read for the call.", counter, []string{"endpoint", "reason"}, false},
	{"braze_item_errors_total", "Objects that Braze refused, by reason.", counter, []string{"endpoint", "reason"}, false},
	{"braze_rate_limit", "Calls that Braze's last answer granted in a window; 0 when not told.", gauge, []string{"endpoint"}, false},
	{"braze_rate_remaining", "Calls that were left of it.", gauge, []string{"endpoint"}, false},
	{"braze_rate_reset_timestamp_seconds", "When the window ends; 0 when not told.", gauge, []string{"endpoint"}, false},
	{"braze_throttled_seconds_total", "Time for which calls waited for the rate limit.", counter, []string{"endpoint"}, false},
	{"braze_last_success_timestamp_seconds", "When Braze last accepted a call; 0 before the first.", gauge, nil, false},

	{"quarantine_entries", "Changes held back, by model and reason class.", gauge, []string{"model", "reason"}, false},
	{"quarantine_oldest_timestamp_seconds", "When the oldest of them was held back; 0 when there is none.", gauge, nil, false},
	{"quarantine_added_total", "Changes that were held back, by reason class.", counter, []string{"model", "reason"}, false},
	{"quarantine_retried_total", "Retries of held-back changes by how they ended: needless where something newer had come, impossible where nothing could be sent.", counter, []string{"model", "outcome"}, false},
	{"model_paused", "1 while a model waits for a confirmation.", gauge, []string{"model", "reason"}, false},
	{"deletes_held", "Deletes that wait for a confirmation.", gauge, []string{"model"}, false},
	{"brake_engaged", "1 while a model's mass-delete brake holds deletes: too many came within its window.", gauge, []string{"model"}, false},
	{"deletes_sent_total", "Profiles deleted in Braze.", counter, []string{"model"}, false},
	{"load_running", "1 while the model's table is loaded.", gauge, []string{"model"}, false},
	{"load_rows_total", "Rows read by the model's loads that data/ knows of.", gauge, []string{"model"}, false},
	{"load_rows_estimated", "The server's estimate of the rows of the running load; 0 when there is none.", gauge, []string{"model"}, false},
	{"load_last_success_timestamp_seconds", "When the model's last load ended; 0 before the first.", gauge, []string{"model"}, false},
	{"schedule_next_timestamp_seconds", "When the model is synced again by its schedule; 0 without one.", gauge, []string{"model"}, false},
	{"store_bytes", "Size of the files in data/.", gauge, nil, false},
	{"store_lookups_total", "How often the cache was asked what Braze holds of a user, by whether it knew.", counter, []string{"result"}, false},
	{"store_dropped_total", "How often cache/, or what it knew of a partition, was forgotten, by why; rows are then sent whole once more.", counter, []string{"reason"}, false},
	{"history_dropped_total", "Outcomes that the history of users did not keep: more than 10,000 came in a second, or writing did not keep up or did not succeed.", counter, nil, false},

	{"web_requests_total", "Requests to the pages, by route and status.", counter, []string{"route", "code"}, false},
	{"web_sign_in_failures_total", "Wrong names or passwords at the sign-in of the pages.", counter, nil, false},
	{"webhook_messages_total", "Messages to ops.webhook by what became of them: accepted, or given up after all tries.", counter, []string{"outcome"}, false},
	{"webhook_last_success_timestamp_seconds", "When ops.webhook last accepted a message; 0 before the first.", gauge, nil, false},
	{"web_event_streams", "Pages that are live at this moment.", gauge, nil, false},
}

// closed lists of label values, so that their series start at 0.
var (
	parkReasons  = []string{"gap", "settle", "retry", "rename"}
	pauseReasons = []string{connector.PauseTruncate, connector.PauseLost, connector.PauseBrake, connector.PauseGone}
	walStatuses  = []string{"reserved", "extended", "unreserved", "lost"}
	components   = []string{"reader", "senders", "committer", "source", "braze"}
	changeOps    = []connector.Op{connector.Insert, connector.Update, connector.Delete, connector.Truncate, connector.Snapshot}
	// sentKinds are what models of a kind send.
	sentKinds = map[string][]connector.Kind{
		"users": {connector.Track, connector.DeleteUser, connector.Rename, connector.Free}, "events": {connector.Track}, "purchases": {connector.Track},
		"subscriptions": {connector.Subscribe}, "catalog": {connector.PutItem, connector.DeleteItem},
	}
	// answerCodes are the codes of braze_requests_total that an alert may wait for, so that the first one is seen as a rise; others begin with their first answer.
	answerCodes = []string{"201", "400", "401", "403", "404", "413", "429", "500", "502", "503", "504", "network"}
)

// collector reads a process' figures at each scrape. a is nil while no app works.
type collector struct {
	f     *face
	a     *app
	v     vacancy // where a is nil
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
	out   chan<- prometheus.Metric
}

func newCollector(f *face, a *app, v vacancy) *collector {
	c := &collector{f: f, a: a, v: v, descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}}
	for _, m := range metricNames {
		c.descs[m.name] = prometheus.NewDesc("brazecdc_"+m.name, m.help, m.labels, nil)
		c.kinds[m.name] = m.kind
	}
	return c
}

// newUsage counts what the system and Go's runtime know of the process, under the names that all programs use for it.
func newUsage() []prometheus.Collector {
	return []prometheus.Collector{
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled()),
	}
}

// metricsHandler answers one scrape.
func metricsHandler(f *face, a *app, v vacancy) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newCollector(f, a, v))
	reg.MustRegister(f.usage...)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metricNames {
		out <- c.descs[m.name]
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	scrape := *c
	scrape.out = out
	scrape.collect()
}

func (c *collector) put(name string, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(c.descs[name], c.kinds[name], v, labels...)
}

// histogram puts counts by bucket, not cumulated, the last of them above all bounds.
func (c *collector) histogram(name string, bounds []float64, counts []uint64, sum float64, labels ...string) {
	buckets := make(map[float64]uint64, len(bounds))
	var total uint64
	for i, n := range counts {
		total += n
		if i < len(bounds) {
			buckets[bounds[i]] = total
		}
	}
	c.out <- prometheus.MustNewConstHistogram(c.descs[name], total, sum, buckets, labels...)
}

func seconds(t time.Time) float64 {
	if t.IsZero() || t.Unix() <= 0 {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func orNaN(n int64) float64 {
	if n < 0 {
		return math.NaN()
	}
	return float64(n)
}

func orInf(n int64) float64 {
	if n < 0 {
		return math.Inf(1)
	}
	return float64(n)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
