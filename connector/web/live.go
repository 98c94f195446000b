package web

import (
	"context"
	"net/http"
	"time"

	"brazecdc/connector/control"
)

// LiveViews is what the page Live asks of the program, once a second and for all who look. All methods may be called concurrently and answer at once.
type LiveViews interface {
	// Status is the running process' own, or what the files tell where none runs (its PID is then 0).
	Status(ctx context.Context) (*control.Status, error)
	// OldestHeld is when the oldest change was held back, zero where none is.
	OldestHeld(ctx context.Context) (time.Time, error)
	// Passed gives the newest of the changes that pass, sampled, those behind a number only and the oldest first. Asking is what makes the process look for some
	// time. It gives control.ErrNotRunning where nothing passes.
	Passed(ctx context.Context, after uint64) ([]control.Passed, error)
}

// liveRoutes are the pages of this family.
func (s *Server) liveRoutes() []route {
	return []route{
		{http.MethodGet, "/{$}", Viewer, s.livePage, ""},
		{http.MethodGet, "/events", Viewer, s.eventStream, ""},
		{http.MethodGet, "/events/now", Viewer, s.eventsNow, ""},
	}
}

// Sample looks at the process once a second, for the series of the page Live, until Stop.
func (s *Server) Sample() {
	if s.live == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stopping
		cancel()
	}()
	s.live.run(ctx)
}

// appliedAt tells when configurations were applied, the oldest first.
func (s *Server) appliedAt() (out []time.Time) {
	if s.cfg.Draft == nil {
		return nil
	}
	versions, err := s.cfg.Draft.Versions()
	if err != nil {
		return nil // the charts have fewer marks
	}
	for _, v := range versions {
		if !v.OnDisk {
			out = append(out, v.Time)
		}
	}
	return out
}

// livePage is what the template live shows. N holds the figures that move, by the names under which the streams send them.
type livePage struct {
	N        map[string]string
	Stale    bool
	Empty    bool   // nothing is set up
	Begun    bool   // but a draft waits
	Beside   string // address of the pages of the process that runs the stream, where it is another one
	Needs    []shownNeed
	Endpoint []shownBudget
	Position shownPosition
	Notes    []shownNote
	Models   []shownModel
	Charts   []drawing
	Marks    []shownMark
	Day      bool // the charts show a day
	Watch    bool
	Passed   shownPassed
	Topics   string // of the page's stream
	Tick     string
}

func (s *Server) livePage(r *request) error {
	if s.live == nil {
		return r.render(http.StatusOK, "live", "live.title", livePage{})
	}
	v := s.live.view()
	if v.stale() {
		s.live.ask(r.Context(), true)
		v = s.live.view()
	}
	day, watch := r.URL.Query().Get("span") == "day", r.URL.Query().Get("watch") == "on"
	p := livePage{
		N: r.liveCells(v), Stale: v.shaky(), Empty: s.nothingSetUp(v), Needs: r.shownNeeds(v.needs()), Endpoint: r.shownBudgets(v),
		Position: r.shownPosition(v), Notes: r.shownNotes(v), Models: r.shownModels(v), Charts: r.charts(v, day), Marks: r.shownMarks(v, day), Day: day, Watch: watch,
		Topics: "live,charts", Tick: s.events.id(s.live.tick()), Beside: s.elsewhere(r),
	}
	p.Begun = p.Empty && s.begun()
	if day {
		p.Topics = "live,charts-day"
	}
	if watch {
		p.Passed = r.shownPassed()
		p.Topics += ",watch"
	}
	return r.render(http.StatusOK, "live", "live.title", p)
}

// unset tells that there is no configuration yet.
func (s *Server) unset() bool {
	if s.cfg.Draft == nil {
		return false
	}
	d, err := s.cfg.Draft.View()
	return err == nil && !d.Exists
}

// begun tells that somebody has begun to set up: a draft waits.
func (s *Server) begun() bool {
	d, err := s.cfg.Draft.View()
	return err == nil && d.Pending
}

// orUnset is the page in the place of a fault, where the fault is only that there is no configuration yet.
func (r *request) orUnset(title string, fault error) error {
	if !r.s.unset() {
		return fault
	}
	return r.render(http.StatusOK, "unset", title, nil)
}

// nothingSetUp tells that there is neither a configuration nor anything that would tell of a process.
func (s *Server) nothingSetUp(v *view) bool {
	return (v.status == nil || !works(v.status) && len(v.status.Models) == 0) && s.unset()
}
