package main

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/envelope"
	"brazecdc/connector/kafka"
	"brazecdc/connector/postgres"
)

// label is the source's kind as metrics name it.
func (c *collector) label() string {
	if c.a.topics != nil {
		return "kafka"
	}
	return "postgres"
}

// reconnectReasons is the source's closed list.
func (c *collector) reconnectReasons() []string {
	if c.a.topics != nil {
		return kafka.ReconnectReasons
	}
	return postgres.ReconnectReasons
}

func (c *collector) collect() {
	v, _ := buildVersion()
	c.put("build_info", 1, v, runtime.Version())
	hash, applied, ok := c.f.reloads()
	c.put("config_info", 1, hash)
	c.put("config_last_reload_successful", oneIf(ok))
	c.put("config_last_reload_success_timestamp_seconds", seconds(applied))
	c.put("stop_code", float64(c.v.code))
	c.process()
	if c.a == nil {
		c.put("active", 0)
		for _, name := range components {
			c.put("component_healthy", 0, name)
			c.put("component_progress_timestamp_seconds", 0, name)
		}
		return
	}
	s := c.a.pipeline.Status()
	c.put("active", oneIf(s.Source.Connected && s.State != "starting"))
	c.components(&s)
	c.source(&s)
	c.flow(&s)
	c.models(&s)
	c.braze(&s.Sink)
	c.care(&s)
	c.loads(&s)
}

// process puts what outlives an app.
func (c *collector) process() {
	for i, level := range logLevels {
		c.put("log_messages_total", float64(c.f.levels.counted(i)), strings.ToLower(level.String()))
	}
	if pages := c.f.pages.Load(); pages != nil {
		c.put("web_event_streams", float64(pages.Streams()))
		figures := pages.Figures()
		c.put("web_sign_in_failures_total", float64(figures.FailedSignIns))
		c.put("webhook_messages_total", float64(figures.Alerts.Accepted), "accepted")
		c.put("webhook_messages_total", float64(figures.Alerts.GivenUp), "given_up")
		c.put("webhook_last_success_timestamp_seconds", seconds(figures.Alerts.Sent))
		for kind, count := range figures.Requests {
			c.put("web_requests_total", float64(count), kind.Route, strconv.Itoa(kind.Code))
		}
	}
}

// components puts how the parts do that the process lives by.
func (c *collector) components(s *connector.Status) {
	for _, l := range c.a.pipeline.Loops() {
		c.put("component_healthy", oneIf(l.OK), l.Name)
		c.put("component_progress_timestamp_seconds", seconds(l.Beat), l.Name)
	}
	c.put("component_healthy", oneIf(s.Source.Connected), "source")
	c.put("component_progress_timestamp_seconds", max(seconds(s.Source.LastHeartbeat), seconds(s.Source.LastChange)), "source")
	c.put("component_healthy", oneIf(!s.Sink.LastErrorAt.After(s.Sink.LastSuccess)), "braze")
	c.put("component_progress_timestamp_seconds", seconds(s.Sink.LastSuccess), "braze")
}

func (c *collector) source(s *connector.Status) {
	h, sourceLabel := &s.Source, c.label()
	c.put("source_connected", oneIf(h.Connected), sourceLabel)
	for _, why := range c.reconnectReasons() {
		c.put("source_reconnects_total", float64(h.ReconnectsBy[why]), sourceLabel, why)
	}
	c.put("source_bytes_total", float64(h.Bytes), sourceLabel)
	c.put("source_last_change_timestamp_seconds", seconds(h.LastChange), sourceLabel)
	c.put("source_last_heartbeat_timestamp_seconds", seconds(h.LastHeartbeat), sourceLabel)
	c.put("lag_seconds", s.LagSeconds, sourceLabel)
	c.put("lag_bytes", orNaN(h.LagBytes), sourceLabel)
	if c.a.topics == nil {
		c.slot(h)
	}
	oldest := 0.0
	for _, st := range s.Streams {
		if strings.HasPrefix(st.Stream, "load/") {
			continue // a series for each load would never end
		}
		if t := seconds(st.Open); t > 0 && (oldest == 0 || t < oldest) {
			oldest = t
		}
	}
	for stream, at := range confirmed(s.Streams) {
		c.put("confirmed_position", float64(at), stream)
	}
	c.put("oldest_unconfirmed_timestamp_seconds", oldest, sourceLabel)
	if c.a.topics != nil {
		for _, why := range envelope.SkipReasons() {
			c.put("kafka_skipped_total", float64(h.PassedOver[why]), strings.ReplaceAll(why, " ", "_"))
		}
		for _, l := range c.a.topics.Lags() {
			c.put("kafka_lag_records", float64(l.Records()), l.Topic, strconv.Itoa(int(l.Partition)))
		}
	}
}

// confirmed gives the confirmed positions by series. Of a partition's assignments, whose number would make a new series each time, the last one counts.
func confirmed(streams []connector.StreamState) map[string]uint64 {
	out, last := map[string]uint64{}, map[string]uint64{}
	for _, st := range streams {
		name := st.Stream
		if strings.HasPrefix(name, "load/") {
			continue
		}
		if topic, partition, n, ok := kafka.ParseStream(name); ok {
			name = topic + "/" + strconv.Itoa(int(partition))
			if n < last[name] {
				continue
			}
			last[name] = n
		}
		out[name] = st.Confirmed
	}
	return out
}

func (c *collector) slot(h *connector.SourceHealth) {
	c.put("slot_retained_bytes", orNaN(h.RetainedBytes))
	c.put("slot_safe_bytes", orInf(h.SafeBytes))
	c.put("slot_seconds_until_lost", c.a.lost.seconds(time.Now(), h.SafeBytes))
	known := false
	for _, status := range walStatuses {
		known = known || status == h.SlotStatus
		c.put("slot_wal_status", oneIf(status == h.SlotStatus), status)
	}
	c.put("slot_wal_status", oneIf(!known), "unknown")
}

func (c *collector) flow(s *connector.Status) {
	cfg, m := c.a.cfg, c.a.pipeline.Metrics()
	c.put("open_changes", float64(s.OpenChanges))
	c.put("open_bytes", float64(s.OpenBytes))
	c.put("open_changes_limit", float64(cfg.Limits.OpenChanges))
	c.put("open_bytes_limit", float64(cfg.Limits.OpenBytes))
	c.put("reading_held_seconds_total", c.a.pipeline.Held().Seconds())
	c.put("users_waiting", float64(s.Waiting))
	for _, r := range parkReasons {
		c.put("users_parked", float64(s.Parked[r]), r)
	}
	_, unknown := m.Retries()
	c.put("duplicates_possible_total", float64(unknown))
	c.put("skipped_replay_total", float64(s.Source.Skipped+m.Skipped()))
}

func (c *collector) models(s *connector.Status) {
	m := c.a.pipeline.Metrics()
	for i := range m.Models {
		mm := &m.Models[i]
		for _, op := range changeOps {
			c.put("changes_total", float64(mm.Changes[op].Load()), mm.Name, op.String())
		}
		c.put("changes_filtered_total", float64(c.a.tally.filtered(i)), mm.Name)
		c.put("changes_suppressed_total", float64(mm.Suppressed.Load()), mm.Name)
		c.put("changes_coalesced_total", float64(mm.Coalesced.Load()), mm.Name)
		for _, k := range sentKinds[c.a.cfg.Models[i].Kind] {
			c.put("objects_total", float64(mm.Sent[k].Load()), mm.Name, k.String(), "accepted")
			c.put("objects_total", float64(mm.Refused[k].Load()), mm.Name, k.String(), "refused")
			c.put("objects_total", float64(mm.GivenUp[k].Load()), mm.Name, k.String(), "given_up")
		}
		counts, sum := mm.Deliveries.Read()
		c.histogram("delivery_duration_seconds", connector.DeliveryBuckets[:], counts[:], sum, mm.Name)
		points := m.Points.Of(i).Start
		c.put("data_points_spent_total", float64(points.Spent), mm.Name)
		c.put("data_points_saved_total", float64(points.Saved), mm.Name)
		c.put("events_late_total", float64(mm.Late.Load()), mm.Name)
		c.put("deletes_sent_total", float64(mm.Sent[connector.DeleteUser].Load()), mm.Name)
		for k, n := range c.a.tally.noted(i) {
			c.put("field_notes_total", float64(n), mm.Name, k.field, k.reason)
		}
		for class, n := range mm.Held() {
			c.put("quarantine_added_total", float64(n), mm.Name, connector.EntryClasses[class])
		}
		for how := range connector.RetryEnds {
			c.put("quarantine_retried_total", float64(mm.Retried(how)), mm.Name, how.String())
		}
	}
	for _, ms := range s.Models {
		c.put("schedule_next_timestamp_seconds", seconds(ms.NextResync), ms.Name)
		c.put("deletes_held", float64(ms.Held), ms.Name)
		c.put("brake_engaged", oneIf(ms.Braked), ms.Name)
		paused := map[string]bool{ms.Paused: true}
		for _, p := range c.a.pipeline.Pending() {
			if p.Model == ms.Name {
				paused[p.Kind] = true
			}
		}
		for _, r := range pauseReasons {
			c.put("model_paused", oneIf(paused[r]), ms.Name, r)
		}
	}
}

// endpoints are those that were called, and those that the models will call.
func (c *collector) endpoints(h *connector.SinkHealth) []connector.EndpointHealth {
	all := slices.Clone(h.Endpoints)
	for _, e := range braze.Uncalled(neededPermissions(c.a.cfg)) {
		if !slices.ContainsFunc(all, func(o connector.EndpointHealth) bool { return o.Endpoint == e.Endpoint }) {
			all = append(all, e)
		}
	}
	return all
}

func (c *collector) braze(h *connector.SinkHealth) {
	endpoints := c.endpoints(h)
	for i := range endpoints {
		e := &endpoints[i]
		for _, code := range answerCodes {
			e.Codes[code] += 0
		}
		for code, n := range e.Codes {
			c.put("braze_requests_total", float64(n), e.Endpoint, code)
		}
		for _, reason := range braze.ItemReasons() {
			e.ItemErrs[reason] += 0
		}
		c.retries(e.Endpoint)
		c.histogram("braze_request_duration_seconds", e.Buckets, e.Durations, e.Sum, e.Endpoint)
		c.histogram("braze_request_objects", e.SizeBuckets, e.Sizes, float64(e.Carried), e.Endpoint)
		c.put("braze_objects_total", float64(e.Objects), e.Endpoint)
		for reason, n := range e.ItemErrs {
			c.put("braze_item_errors_total", float64(n), e.Endpoint, reason)
		}
		c.put("braze_rate_limit", float64(e.Limit), e.Endpoint)
		c.put("braze_rate_remaining", float64(e.Remaining), e.Endpoint)
		c.put("braze_rate_reset_timestamp_seconds", seconds(e.Reset), e.Endpoint)
		c.put("braze_throttled_seconds_total", e.Throttled.Seconds(), e.Endpoint)
	}
	c.put("braze_last_success_timestamp_seconds", seconds(h.LastSuccess))
}

// retries puts what was sent again to an endpoint.
func (c *collector) retries(endpoint string) {
	for k := range connector.Kinds {
		if braze.EndpointName(k) != endpoint {
			continue
		}
		for why := range connector.RetryReasons {
			c.put("braze_retries_total", float64(c.a.pipeline.Metrics().RetriesOf(k, why)), endpoint, why.String())
		}
	}
}

func (c *collector) care(s *connector.Status) {
	q := c.a.journal.Quarantine()
	counts := q.Counts()
	for _, m := range s.Models {
		for _, class := range connector.EntryClasses {
			c.put("quarantine_entries", float64(counts[[2]string{m.Name, class}]), m.Name, class)
		}
	}
	oldest := 0.0
	// A damaged entry is told by the quarantine commands; here the next one counts.
	if list, _ := q.List(connector.EntryFilter{Limit: 1}); len(list) > 0 {
		oldest = seconds(list[0].At)
	}
	c.put("quarantine_oldest_timestamp_seconds", oldest)
	c.put("store_bytes", float64(c.a.data.Size()))
	known, strange := c.a.pipeline.Metrics().Lookups()
	c.put("store_lookups_total", float64(known), "known")
	c.put("store_lookups_total", float64(strange), "unknown")
	for why := range connector.DropReasons {
		c.put("store_dropped_total", float64(c.a.pipeline.Metrics().Dropped(why)), why.String())
	}
	outgrown, unread := c.a.cache.Begun()
	c.put("store_dropped_total", float64(outgrown), "size")
	c.put("store_dropped_total", float64(unread), "unreadable")
	dropped := uint64(0)
	if c.a.history != nil {
		dropped = c.a.history.Dropped()
	}
	c.put("history_dropped_total", float64(dropped))
}

func (c *collector) loads(s *connector.Status) {
	for _, m := range s.Models {
		var running, rows, estimated, success float64
		for i := range s.Loads {
			l := &s.Loads[i]
			if l.Model != m.Name {
				continue
			}
			rows += float64(l.Rows)
			if l.Finished.IsZero() {
				running, estimated = 1, max(0, float64(l.Estimate))
			}
			if !l.Cancelled {
				success = max(success, seconds(l.Finished))
			}
		}
		c.put("load_running", running, m.Name)
		c.put("load_rows_total", rows, m.Name)
		c.put("load_rows_estimated", estimated, m.Name)
		c.put("load_last_success_timestamp_seconds", success, m.Name)
	}
}
