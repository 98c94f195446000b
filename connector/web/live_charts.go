package web

import (
	"math"
	"time"
)

// chartPoints is how many values a line is drawn of: more than that nobody can tell apart.
const chartPoints = 180

// charts draws what happened in the last quarter of an hour, or in the last day.
func (r *request) charts(v *view, day bool) []drawing {
	points, step := v.seconds, tickEvery
	if day {
		points, step = v.minutes, time.Minute
	}
	each := (len(points) + chartPoints - 1) / chartPoints
	points = thin(points, chartPoints)
	step *= time.Duration(max(each, 1))
	start := v.now.Add(-time.Duration(len(points)-1) * step)
	line := func(key string, m metric, area bool) chartLine {
		values := make([]float64, len(points))
		for i := range points {
			values[i] = math.NaN()
			if known(points[i][m]) {
				values[i] = float64(points[i][m])
			}
		}
		return chartLine{Name: r.t(key), Values: values, Area: area}
	}
	list := []chart{
		{ID: "flow", Title: r.t("live.chart.flow"), Lines: []chartLine{line("live.chart.in", mIn, true), line("live.chart.out", mOut, false)}},
		{ID: "lag", Title: r.t("live.chart.lag"), Scale: scaleSeconds, Lines: []chartLine{line("live.chart.oldest", mLag, true)}},
		{ID: "late", Title: r.t("live.chart.late"), Scale: scaleSeconds, Lines: []chartLine{line("live.chart.half", mP50, false), line("live.chart.most", mP99, false)}},
		{ID: "calls", Title: r.t("live.chart.calls"), Lines: []chartLine{line("live.chart.ok", mCallsOK, true), line("live.chart.brake", mCallsBrake, false),
			line("live.chart.failed", mCallsFailed, false)}},
		{ID: "values", Title: r.t("live.chart.values"), Lines: []chartLine{line("live.chart.sent", mSpent, true), line("live.chart.saved", mSaved, false)}},
	}
	if v.status != nil && v.status.Source.RetainedBytes >= 0 && works(v.status) {
		list = append(list, chart{ID: "log", Title: r.t("live.chart.log"), Scale: scaleBytes, Lines: []chartLine{line("live.chart.kept", mRetained, true),
			line("live.chart.unread", mLagBytes, false)}})
	}
	marks := r.chartMarks(v)
	out := make([]drawing, 0, len(list))
	for i := range list {
		c := &list[i]
		c.Start, c.Step, c.Marks, c.Label = start, step, marks, r.valueLabel(c.Scale)
		c.Clock = func(t time.Time) string { return t.In(r.Zone).Format("15:04") }
		out = append(out, c.draw())
	}
	return out
}

// valueLabel words a chart's values.
func (r *request) valueLabel(s scale) func(float64) string {
	return func(f float64) string {
		switch s {
		case scaleBytes:
			return r.size(int64(f))
		case scaleSeconds:
			if f == 0 {
				return "0"
			}
			return r.dur(seconds(f))
		case scaleShare:
			return r.percent(f)
		}
		return r.num(tidy(f))
	}
}

func (r *request) chartMarks(v *view) (out []chartMark) {
	for _, m := range v.marks {
		out = append(out, chartMark{m.At, r.markText(m)})
	}
	return out
}

func (r *request) markText(m mark) string {
	if m.Kind == markPause {
		return r.t("live.mark.pause", m.What)
	}
	return r.t("live.mark." + m.Kind)
}

// shownMark is an event in the list under the charts.
type shownMark struct {
	At   time.Time
	Text string
}

const marksListed = 8

func (r *request) shownMarks(v *view, day bool) (out []shownMark) {
	since := v.now.Add(-secondsKept * tickEvery)
	if day {
		since = v.now.Add(-minutesKept * time.Minute)
	}
	for i := len(v.marks) - 1; i >= 0 && len(out) < marksListed && v.marks[i].At.After(since); i-- {
		out = append(out, shownMark{v.marks[i].At, r.markText(v.marks[i])})
	}
	return out
}
