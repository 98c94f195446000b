package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
)

// loadsRoutes are the pages of this family.
func (s *Server) loadsRoutes() []route {
	return []route{
		{http.MethodGet, "/loads", Viewer, s.loadsPage, ""},
		{http.MethodGet, "/loads/part", Viewer, s.loadsPart, ""},
		{http.MethodGet, "/loads/new", Editor, s.loadForm, ""},
		{http.MethodPost, "/loads/new", Editor, s.loadStart, ""},
		{http.MethodPost, "/loads/steer", Editor, s.loadSteer, ""},
		{http.MethodGet, "/loads/schedule/{model}", Editor, s.scheduleForm, ""},
		{http.MethodPost, "/loads/schedule/{model}", Editor, s.scheduleSave, ""},
	}
}

// loadsPoll is how often the page asks for the figures anew while a load is under way.
const loadsPoll = 2 * time.Second

type loadsPage struct {
	Loads     []loadShown // under way first
	Running   bool
	Live      bool // a process runs
	Models    []string
	Schedules []scheduleShown
	Decide    []decision
	Poll      int64 // milliseconds
	Topics    bool  // the source is Kafka, which has no loads
}

// loadShown is a load as a page shows it.
type loadShown struct {
	connector.LoadState
	Kind  string // load, resync, backfill, scheduled
	Phase string // waits, reads, sends, ends, paused, done, given, failed
	Mark  string // of the phase
	Share int    // of 100; -1 where the number of rows is not known
	About bool
	Works bool // something is still to come
	Took  time.Duration
	Only  []string // fields
	Idle  bool     // no process runs that would go on with it
	Speed int      // of 100, how much of the time it works
	Waits bool     // the users that it found gone at the source still wait for an answer
}

// shownLoad words a load.
func shownLoad(l connector.LoadState, st *control.Status, now time.Time) loadShown {
	x := loadShown{LoadState: l, Kind: "load", Share: -1, Works: l.Running(), Idle: st.PID == 0}
	if q := l.Resync; q != nil {
		x.Kind, x.Only = "resync", q.Fields
		switch {
		case q.Scheduled:
			x.Kind = "scheduled"
		case len(q.Fields) > 0:
			x.Kind = "backfill"
		}
	}
	if l.Estimate > 0 {
		x.Share, x.About = int(min(100, 100*l.Rows/l.Estimate)), true
		if l.Rows > l.Estimate {
			x.Share = 99 // the estimate was too low
		}
	}
	x.Speed = cmp.Or(l.Share, 100)
	end := now
	if !l.Finished.IsZero() {
		end = l.Finished
	}
	x.Took = max(time.Second, end.Sub(l.Started).Round(time.Second))
	x.Phase, x.Mark = phase(&l, st, &x)
	if x.Phase == "done" {
		x.Share = 100
	}
	return x
}

// phase names what a load does.
func phase(l *connector.LoadState, st *control.Status, x *loadShown) (name, mark string) {
	switch {
	case l.Closing:
		return "ends", "busy"
	case l.Cancelled:
		return "given", "off"
	case !l.Finished.IsZero():
		return "done", "ok"
	case l.Paused:
		return "paused", "warn"
	case x.Idle:
		return "idle", "off"
	case !st.Source.Connected:
		return "stalled", "bad"
	case l.Rows == 0 && l.Sent == 0 && l.Same == 0: // rows count once their whole chunk is read
		return "waits", "busy"
	case l.Estimate > 0 && l.Rows >= l.Estimate:
		return "sends", "busy"
	}
	return "reads", "busy"
}

func (r *request) loadsPage(api control.API) (*loadsPage, error) {
	st, err := api.Status(r.Context())
	if err != nil {
		return nil, err
	}
	p := &loadsPage{Live: st.PID != 0, Poll: loadsPoll.Milliseconds()}
	for i := range st.Models {
		p.Models = append(p.Models, st.Models[i].Name)
	}
	for _, l := range st.Loads {
		x := shownLoad(l, st, r.s.now())
		x.Waits = slices.ContainsFunc(st.Pending, func(c connector.Confirmation) bool { return c.Model == l.Model && c.Kind == connector.PauseGone })
		p.Running = p.Running || x.Works
		p.Loads = append(p.Loads, x)
	}
	slices.SortStableFunc(p.Loads, func(a, b loadShown) int {
		if a.Works != b.Works {
			if a.Works {
				return -1
			}
			return 1
		}
		return b.Started.Compare(a.Started)
	})
	cfg := r.settings()
	p.Topics = cfg != nil && cfg.Source.Kafka != nil
	p.Schedules = r.schedules(cfg, st)
	return p, nil
}

func (s *Server) loadsPage(r *request) error { return r.showLoads(http.StatusOK) }

func (r *request) showLoads(status int) error {
	api, done, err := r.api()
	if err != nil {
		return r.orUnset("loads.title", err)
	}
	defer done()
	p, err := r.loadsPage(api)
	if err != nil {
		return err
	}
	if p.Decide, err = r.decisions(api, ""); err != nil && p.Live {
		p.Decide = nil // a process that starts has no answer yet; the rest of the page has
	}
	return r.render(status, "loads", "loads.title", p)
}

func (s *Server) loadsPart(r *request) error {
	api, done, err := r.api()
	if err != nil {
		return err
	}
	defer done()
	p, err := r.loadsPage(api)
	if err != nil {
		return err
	}
	return r.partial("loads-list", p)
}

// resyncsAPI is what can begin and steer loads: the running process.
func (r *request) resyncsAPI() (control.Resyncs, func(), error) {
	api, done, err := r.api()
	if err != nil {
		return nil, nil, err
	}
	x, ok := api.(control.Resyncs)
	if !ok {
		done()
		return nil, nil, errPage(http.StatusConflict, "loads.needsrun")
	}
	return x, done, nil
}

// loadSteer pauses, goes on with or gives up the load of a model, or makes it slower or faster.
func (s *Server) loadSteer(r *request) error {
	model, do := r.PostFormValue("model"), control.LoadAction(r.PostFormValue("do"))
	switch do {
	case control.PauseLoad, control.ResumeLoad, control.CancelLoad, control.SlowerLoad, control.FasterLoad:
	default:
		return errBadForm
	}
	api, done, err := r.resyncsAPI()
	if err != nil {
		return err
	}
	defer done()
	if _, err := api.SteerLoad(r.Context(), model, do); err != nil {
		r.problem("", r.t("loads.steer.failed", r.saidError(err))) // as where it ended a moment ago, which the page then shows
		return r.showLoads(http.StatusConflict)
	}
	r.record("/loads", "loads.note."+string(do), model)
	return r.redirect("/loads", "loads.steer."+string(do), model)
}

// callsPerMinute is how many calls of /users/track the limit allows, as far as it is known.
func callsPerMinute(cfg *config.Config, st *control.Status) float64 {
	perHour, share := 0.0, 1.0
	if cfg != nil {
		perHour, share = float64(cfg.Braze.RatePerHour), cfg.Braze.RateShare
	}
	if perHour == 0 && st != nil {
		for _, e := range st.Sink.Endpoints {
			if e.Endpoint == "/users/track" && e.Limit >= limitOfHours {
				perHour = float64(e.Limit)
			}
		}
	}
	if perHour == 0 {
		return 3000.0 / 3 * 60 * share // Braze's own limit for newer customers: 3,000 in 3 s
	}
	return perHour / 60 * share
}

// limitOfHours is from which number a limit that Braze tells is taken to be one of an hour.
const limitOfHours = 50_000
