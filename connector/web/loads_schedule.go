package web

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// The presets of a schedule; presetCron is an expression of one's own.
const (
	presetNone     = "none"
	presetHourly   = "hourly"
	presetDaily    = "daily"
	presetWeekdays = "weekdays"
	presetWeekly   = "weekly"
	presetMonthly  = "monthly"
	presetCron     = "cron"
)

var presets = []string{presetNone, presetHourly, presetDaily, presetWeekdays, presetWeekly, presetMonthly, presetCron}

// nextTimes is how many coming times of a schedule are shown.
const nextTimes = 3

// scheduleShown is a model's schedule as a page shows it.
type scheduleShown struct {
	Model     string
	Set       bool
	Words     string
	Cron      string
	All       bool
	Next      time.Time // as the process says; zero where none runs that knows it
	Coming    []time.Time
	Last      *loadShown
	Missed    time.Time
	MissedWhy string
	Waits     bool // the draft has another one
	Topic     bool // its rows come from a topic
	Recalled  *connector.Recalled
}

// Partly tells whether the schedule does not reach all users.
func (s *scheduleShown) Partly() bool { return s.Recalled != nil && s.Recalled.Users > s.Recalled.Rows }

func (r *request) schedules(cfg *config.Config, st *control.Status) []scheduleShown {
	if cfg == nil {
		return nil
	}
	draft := r.draftSettings()
	var out []scheduleShown
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if m.Kind == "events" || m.Kind == "purchases" {
			continue
		}
		x := scheduleShown{Model: m.Name, Topic: m.Table == ""}
		if s := m.Schedule; s != nil {
			x.Set, x.Cron, x.All, x.Words = true, s.Cron, s.Resync == "all", r.scheduleWords(s.Cron, s.Zone)
			x.Coming, _ = comingTimes(s.Cron, s.Zone, r.s.now()) // the file was checked
		}
		if d := modelOf(draft, m.Name); d != nil {
			x.Waits = !sameSchedule(d.Schedule, m.Schedule)
		}
		for j := range st.Models {
			if ms := &st.Models[j]; ms.Name == m.Name {
				x.Next, x.Missed, x.MissedWhy, x.Recalled = ms.NextResync, ms.MissedResync, ms.MissedWhy, ms.Remembered
				if len(x.Coming) > 0 {
					x.Next = x.Next.In(x.Coming[0].Location()) // by the clock of the schedule
				}
			}
		}
		for _, l := range st.Loads {
			if l.Model == m.Name && l.Resync != nil && l.Resync.Scheduled {
				shown := shownLoad(l, st, r.s.now())
				x.Last = &shown
			}
		}
		out = append(out, x)
	}
	return out
}

func sameSchedule(a, b *connector.ScheduleMap) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Cron == b.Cron && a.Zone == b.Zone && a.Resync == b.Resync
}

// draftSettings is the draft's configuration, nil where there is no draft or it can't be read.
func (r *request) draftSettings() *config.Config {
	if r.s.cfg.Draft == nil || r.s.cfg.Parse == nil {
		return nil
	}
	v, err := r.s.cfg.Draft.View()
	if err != nil || !v.Pending {
		return nil
	}
	cfg, err := r.s.cfg.Parse(v.Text)
	if err != nil {
		return nil
	}
	return cfg
}

func comingTimes(cron, zone string, now time.Time) ([]time.Time, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, errZone
	}
	next, err := config.Cron(cron, loc)
	if err != nil {
		return nil, err
	}
	var out []time.Time
	for at := now; len(out) < nextTimes; {
		if at = next(at); at.IsZero() {
			break
		}
		out = append(out, at.In(loc))
	}
	return out, nil
}

var errZone = errors.New("no such time zone")

// schedule is what the form of a schedule says.
type schedule struct {
	Preset, Time, Minute, Day, Cron, Zone string
	All                                   bool
}

var (
	cronHourly  = regexp.MustCompile(`^(\d{1,2}) \* \* \* \*$`)
	cronAtTime  = regexp.MustCompile(`^(\d{1,2}) (\d{1,2}) (\*|1) \* (\*|1-5|[0-6])$`)
	formTime    = regexp.MustCompile(`^([01]?\d|2[0-3]):([0-5]\d)$`)
	defaultTime = "03:00"
)

// scheduleOf is the form of a schedule as it is set, or of none.
func scheduleOf(s *connector.ScheduleMap) schedule {
	out := schedule{Preset: presetNone, Time: defaultTime, Minute: "0", Day: "1", Zone: "UTC"}
	if s == nil {
		return out
	}
	out.Cron, out.Zone, out.All, out.Preset = s.Cron, s.Zone, s.Resync == "all", presetCron
	cron := strings.Join(strings.Fields(s.Cron), " ")
	if m := cronHourly.FindStringSubmatch(cron); m != nil {
		out.Preset, out.Minute = presetHourly, m[1]
	}
	m := cronAtTime.FindStringSubmatch(cron)
	if m == nil {
		return out
	}
	minute, _ := strconv.Atoi(m[1])
	hour, _ := strconv.Atoi(m[2])
	if minute > 59 || hour > 23 {
		return out
	}
	out.Time = fmt.Sprintf("%02d:%02d", hour, minute)
	switch {
	case m[3] == "1" && m[4] == "*":
		out.Preset = presetMonthly
	case m[3] == "1":
	case m[4] == "*":
		out.Preset = presetDaily
	case m[4] == "1-5":
		out.Preset = presetWeekdays
	default:
		out.Preset, out.Day = presetWeekly, m[4]
	}
	return out
}

// expression is the cron expression that the form means; field names the part of the form that is at fault.
func (s *schedule) expression() (cron, field string) {
	if s.Preset == presetCron {
		return strings.TrimSpace(s.Cron), "cron"
	}
	if s.Preset == presetHourly {
		if n, err := strconv.Atoi(s.Minute); err != nil || n < 0 || n > 59 {
			return "", "minute"
		}
		return s.Minute + " * * * *", "minute"
	}
	m := formTime.FindStringSubmatch(strings.TrimSpace(s.Time))
	if m == nil {
		return "", "time"
	}
	hour, _ := strconv.Atoi(m[1])
	minute, _ := strconv.Atoi(m[2])
	at := fmt.Sprintf("%d %d ", minute, hour)
	switch s.Preset {
	case presetDaily:
		return at + "* * *", "time"
	case presetWeekdays:
		return at + "* * 1-5", "time"
	case presetMonthly:
		return at + "1 * *", "time"
	}
	if n, err := strconv.Atoi(s.Day); err != nil || n < 0 || n > 6 {
		return "", "day"
	}
	return at + "* * " + s.Day, "day"
}

// scheduleWords says when a schedule is due.
func (r *request) scheduleWords(cron, zone string) string {
	s := scheduleOf(&connector.ScheduleMap{Cron: cron, Zone: zone})
	switch s.Preset {
	case presetHourly:
		return r.t("loads.schedule.words.hourly", s.Minute, zone)
	case presetDaily:
		key := "loads.schedule.words.daily"
		if s.Time < "06:00" || s.Time >= "22:00" {
			key = "loads.schedule.words.nightly"
		}
		return r.t(key, s.Time, zone)
	case presetWeekdays:
		return r.t("loads.schedule.words.weekdays", s.Time, zone)
	case presetWeekly:
		return r.t("loads.schedule.words.weekly", r.t("loads.day."+s.Day), s.Time, zone)
	case presetMonthly:
		return r.t("loads.schedule.words.monthly", s.Time, zone)
	}
	return r.t("loads.schedule.words.cron", cron, zone)
}

type schedulePage struct {
	Model    string
	Form     schedule
	Presets  []string
	Days     []string
	Coming   []time.Time
	ReadOnly bool
	Zones    []string
	Topic    bool // its rows come from a topic: differences alone are sent
}

// commonZones are offered while typing; every zone of the IANA data base can be written.
var commonZones = []string{"UTC", "Europe/Berlin", "Europe/Vienna", "Europe/Zurich", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Warsaw",
	"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore", "Asia/Tokyo",
	"Australia/Sydney"}

func (r *request) schedulePage() (*schedulePage, error) {
	if r.s.cfg.Draft == nil || r.s.cfg.Parse == nil {
		return nil, errUnavailable()
	}
	v, err := r.s.cfg.Draft.View()
	if err != nil {
		return nil, err
	}
	cfg, err := r.s.cfg.Parse(v.Text)
	if err != nil && v.Pending {
		cfg, err = r.s.cfg.Parse(v.File) // the draft has faults elsewhere
	}
	m := modelOf(cfg, r.PathValue("model"))
	switch {
	case err != nil || cfg == nil:
		return nil, errPage(http.StatusConflict, "loads.schedule.faults")
	case m == nil:
		return nil, errNoPage()
	case m.Kind == "events" || m.Kind == "purchases":
		return nil, errPage(http.StatusConflict, "loads.schedule.never")
	}
	p := &schedulePage{Model: m.Name, Form: scheduleOf(m.Schedule), Presets: presets, Days: []string{"1", "2", "3", "4", "5", "6", "0"}, ReadOnly: v.ReadOnly, Zones: commonZones, Topic: m.Table == ""}
	if m.Schedule == nil && r.Zone.String() != "Local" {
		p.Form.Zone = r.Zone.String()
	}
	if m.Schedule != nil {
		p.Coming, _ = comingTimes(m.Schedule.Cron, m.Schedule.Zone, r.s.now())
	}
	return p, nil
}

func (s *Server) scheduleForm(r *request) error {
	p, err := r.schedulePage()
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "loads_schedule", r.t("loads.schedule.title", p.Model), p)
}

// scheduleSave puts a schedule into the draft, or shows when it would be due.
func (s *Server) scheduleSave(r *request) error {
	p, err := r.schedulePage()
	if err != nil {
		return err
	}
	f := r.PostForm
	p.Form = schedule{Preset: f.Get("preset"), Time: f.Get("time"), Minute: strings.TrimSpace(f.Get("minute")), Day: f.Get("day"), Cron: f.Get("cron"),
		Zone: strings.TrimSpace(f.Get("zone")), All: f.Get("resync") == "all" && !p.Topic}
	p.Coming = nil
	if !slices.Contains(presets, p.Form.Preset) || len(p.Form.Zone) > 100 || len(p.Form.Cron) > 200 {
		return errBadForm
	}
	edit := config.Edit{Path: "models[" + p.Model + "].schedule", Remove: true}
	if p.Form.Preset != presetNone {
		cron, field := p.Form.expression()
		if p.Form.Zone == "" {
			p.Form.Zone = "UTC"
		}
		coming, err := comingTimes(cron, p.Form.Zone, s.now())
		switch {
		case cron == "" && field != "cron":
			r.problem(field, r.t("loads.schedule.wrong."+field))
		case errors.Is(err, errZone):
			r.problem("zone", r.t("loads.schedule.wrong.zone", p.Form.Zone))
		case err != nil:
			r.problem("cron", r.t("loads.schedule.wrong.cron", r.saidError(err)))
		}
		p.Coming = coming
		how := "differences"
		if p.Form.All {
			how = "all"
		}
		edit.Remove, edit.Value = false, config.Map("cron", cron, "time_zone", p.Form.Zone, "resync", how)
	}
	if len(r.problems) > 0 || f.Get("show") != "" {
		status := http.StatusOK
		if len(r.problems) > 0 {
			status = http.StatusUnprocessableEntity
		}
		return r.render(status, "loads_schedule", r.t("loads.schedule.title", p.Model), p)
	}
	had, err := r.hasSchedule(p.Model)
	if err != nil {
		return err
	}
	if edit.Remove && !had {
		return r.redirect("/loads", "loads.schedule.same")
	}
	if err := s.cfg.Draft.Edit(r.User.Name, edit); err != nil {
		r.problem("", r.saidError(err))
		return r.render(http.StatusConflict, "loads_schedule", r.t("loads.schedule.title", p.Model), p)
	}
	return r.redirect("/loads", "loads.schedule.saved", p.Model)
}

// hasSchedule tells whether the draft has a schedule of a model.
func (r *request) hasSchedule(model string) (bool, error) {
	v, err := r.s.cfg.Draft.View()
	if err != nil {
		return false, err
	}
	cfg, err := r.s.cfg.Parse(v.Text)
	if err != nil {
		return true, nil //nolint:nilerr // the edit itself tells whether it can be made
	}
	m := modelOf(cfg, model)
	return m != nil && m.Schedule != nil, nil
}
