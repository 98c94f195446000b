package web

import (
	"slices"
	"time"

	"brazecdc/connector"
)

const dash = "–"

// The words of lateness (pages.md section 3).
const (
	wordOnTime  = "ontime"
	wordBehind  = "behind"
	wordLate    = "late"
	wordUnknown = "unknown"
)

func latenessWord(lag float64) string {
	switch {
	case lag < lateFrom.Seconds():
		return wordOnTime
	case lag < lateWakes.Seconds():
		return wordBehind
	}
	return wordLate
}

// liveCells gives the figures that move, in words of the page's language. A page and its stream use the same names.
func (r *request) liveCells(v *view) map[string]string {
	c := map[string]string{"sentence": r.liveSentence(v), "wanted": r.wanted(v), "at": r.t("live.at", r.clock(v.at)), "time": r.clock(v.at)}
	for _, name := range []string{"in", "out", "quarter", "open", "late.word", "late.oldest", "late.half", "late.most", "late.last", "calls", "calls.quarter", "waited", "last",
		"sent", "saved", "share", "held", "noted", "lag", "kept", "safe"} {
		c[name] = dash
	}
	c["late.word"], c["quarter"], c["open"], c["calls.quarter"], c["waited"], c["share"], c["group"] = r.t("live.late.unknown"), "", "", "", "", "", ""
	if v.status == nil {
		return c
	}
	c["held"] = r.num(v.status.Quarantine)
	if !works(v.status) {
		return c
	}
	r.flowCells(v, c)
	r.lateCells(v, c)
	r.brazeCells(v, c)
	r.valueCells(v, c)
	r.positionCells(v, c)
	return c
}

func (r *request) flowCells(v *view, c map[string]string) {
	if in, ok := v.rate(func(c *counts) uint64 { return c.in }); ok {
		c["in"] = r.num(tidy(in))
	}
	if out, ok := v.rate(func(c *counts) uint64 { return c.out }); ok {
		c["out"] = r.num(tidy(out))
	}
	c["quarter"] = r.t("live.flow.quarter", v.quarter(mIn), v.quarter(mOut))
	c["group"] = r.groupText(v)
	c["open"] = r.t("live.flow.open", v.status.OpenChanges, v.status.Waiting)
}

// tidy keeps a rate readable: small ones get a decimal, large ones none.
func tidy(f float64) float64 {
	if f >= 10 {
		return float64(whole(f))
	}
	return float64(whole(f*10)) / 10
}

func whole(f float64) int64 { return int64(f + .5) }

func (r *request) lateCells(v *view, c map[string]string) {
	lag := v.status.LagSeconds
	c["late.word"], c["late.oldest"] = r.t("live.late."+latenessWord(lag)), r.t("live.late.none")
	if lag > 0 {
		c["late.oldest"] = r.dur(seconds(lag).Round(100 * time.Millisecond))
	}
	if len(v.recent) > 0 {
		now := v.recent[len(v.recent)-1]
		for _, h := range v.hourly {
			if v.now.Sub(h.counts.at) > growingOver && h.counts != v.hourly[len(v.hourly)-1].counts {
				continue
			}
			if p50, p99 := quantiles(h.counts.hist, now.hist); known(p50) {
				c["late.half"], c["late.most"] = r.dur(seconds(float64(p50))), r.dur(seconds(float64(p99)))
			}
			break
		}
	}
	if at := v.status.Source.LastChange; !at.IsZero() {
		c["late.last"] = r.agoText(at)
	}
}

func seconds(f float64) time.Duration {
	d := time.Duration(f * float64(time.Second))
	if d >= time.Second {
		return d.Truncate(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

func (r *request) brazeCells(v *view, c map[string]string) {
	if calls, ok := v.rate(func(c *counts) uint64 { return c.ok + c.brake + c.failed }); ok {
		c["calls"] = r.num(tidy(calls))
	}
	c["calls.quarter"] = r.t("live.braze.quarter", v.quarter(mCallsOK), v.quarter(mCallsBrake), v.quarter(mCallsFailed))
	if at := v.status.Sink.LastSuccess; !at.IsZero() {
		c["last"] = r.agoText(at)
	}
	waited := time.Duration(0)
	for i := range v.status.Sink.Endpoints {
		waited = max(waited, v.status.Sink.Endpoints[i].Throttled)
	}
	if waited >= time.Second {
		c["waited"] = r.t("live.braze.waited", waited.Truncate(time.Second))
	}
}

func (r *request) valueCells(v *view, c map[string]string) {
	var today connector.Spent
	notes := uint64(0)
	for i := range v.status.Models {
		m := &v.status.Models[i]
		today.Spent += m.Points.Today.Spent
		today.Saved += m.Points.Today.Saved
		notes += total(m.Notes)
	}
	c["sent"], c["saved"], c["noted"] = r.num(today.Spent), r.num(today.Saved), r.num(notes)
	if all := today.Spent + today.Saved; all > 0 {
		c["share"] = r.t("live.values.share", r.percent(float64(today.Saved)/float64(all)))
	}
	for i := range v.status.Models {
		m := &v.status.Models[i]
		key := "m." + m.Name + "."
		c[key+"changes"], c[key+"accepted"], c[key+"unchanged"] = r.num(total(m.Changes)), r.num(total(m.Sent)), r.num(m.Suppressed)
		c[key+"deletes"], c[key+"held"], c[key+"last"] = r.num(m.Sent[connector.DeleteUser.String()]), r.num(m.Quarantine), dash
		if at := v.accepted[m.Name]; !at.IsZero() {
			c[key+"last"] = r.agoText(at)
		}
	}
}

func (r *request) positionCells(v *view, c map[string]string) {
	h := &v.status.Source
	if h.LagBytes >= 0 {
		c["lag"] = r.size(h.LagBytes)
	}
	if h.RetainedBytes >= 0 {
		c["kept"] = r.size(h.RetainedBytes)
	}
	switch left, ok := v.untilLost(); {
	case h.SafeBytes < 0 && h.RetainedBytes >= 0:
		c["safe"] = r.t("live.position.unlimited")
	case h.SafeBytes < 0:
	case ok:
		c["safe"] = r.t("live.position.left", r.size(h.SafeBytes), roughly(r.Lang, left))
	default:
		c["safe"] = r.size(h.SafeBytes)
	}
}

// liveSentence is the state of everything in one sentence.
func (r *request) liveSentence(v *view) string {
	st := v.status
	switch {
	case r.s.nothingSetUp(v):
		return r.t("live.sentence.empty")
	case v.shaky(), st == nil && v.fault != nil:
		return r.t("live.sentence.unheard")
	case st == nil:
		return r.t("live.sentence.unknown")
	}
	switch st.State {
	case "starting":
		if st.Source.Waiting != "" {
			return r.t("live.sentence.standby")
		}
		return r.t("live.sentence.starting")
	case "standby":
		return r.t("live.sentence.standby")
	case "draining":
		return r.t("live.sentence.draining")
	case "stopped":
		if st.LastStop != nil && st.LastStop.Code != 0 {
			return r.t("live.sentence.failed")
		}
		return r.t("live.sentence.stopped")
	}
	if !st.Source.Connected {
		return r.t("live.sentence.lost")
	}
	if word := latenessWord(st.LagSeconds); word != wordOnTime {
		return r.t("live.sentence."+word, seconds(st.LagSeconds).Truncate(time.Second))
	}
	return r.t("live.sentence.ontime")
}

func (r *request) wanted(v *view) string {
	if v.status == nil && v.fault == nil {
		return ""
	}
	n := wanted(v.needs())
	if n == 0 {
		return r.t("live.needs.none")
	}
	return r.t("live.needs.count", n)
}

// mark of the state in the page's first line: icon and colour.
func (v *view) mark() string {
	switch list := v.needs(); {
	case v.status == nil && v.fault == nil:
		return "off"
	case slices.ContainsFunc(list, func(n need) bool { return n.Level == levelWakes }):
		return "bad"
	case v.status != nil && (v.status.State == "starting" || v.status.State == "draining"):
		return "busy"
	case slices.ContainsFunc(list, func(n need) bool { return n.Level == levelWarn }):
		return "warn"
	case v.status != nil && !works(v.status):
		return "off"
	}
	return "ok"
}

func (r *request) num(v any) string           { return formatNumber(r.Lang, v) }
func (r *request) dur(d time.Duration) string { return formatDuration(r.Lang, d) }
func (r *request) size(n int64) string        { return formatBytes(r.Lang, n) }
func (r *request) agoText(t time.Time) string { return r.s.words.formatAgo(r.Lang, r.s.now(), t) }
func (r *request) moment(t time.Time) string  { return formatTime(r.Lang, t.In(r.Zone)) }

// percent writes a share; small ones with a decimal.
func (r *request) percent(part float64) string {
	p := part * 100
	if p >= 10 || p == 0 {
		p = float64(whole(p))
	}
	return r.num(p) + " %"
}

// clock is a moment of today: the hour to the second, a dash for none.
func (r *request) clock(t time.Time) string {
	if t.IsZero() {
		return dash
	}
	return t.In(r.Zone).Format(time.TimeOnly)
}
