package web

import (
	"context"
	"slices"
	"strings"
	"time"
)

// AlertViews takes what the process tells people who look at no page, and tells how that went. All methods may be called concurrently; Changed answers at once.
type AlertViews interface {
	// Changed is told each new state. What is still on its way of the one before is given up.
	Changed(a *Alert)
	// Flush waits until what Changed was given last has arrived, or was given up.
	Flush(ctx context.Context)
	// Told is the state that was told last, by this process or the one before; nil where none was.
	Told() *Alert
	// Test sends a message that is marked as a test where a configuration's text says, and waits for the answer.
	Test(ctx context.Context, text []byte, a *Alert) error
	// Last tells how telling went of late.
	Last() AlertSent
}

// AlertSent is how telling went of late; times are zero where it did not happen.
type AlertSent struct {
	On       bool   // somebody is told
	Host     string // who
	Sent     time.Time
	Failed   time.Time
	Why      string // of the last failure, in English
	Accepted uint64 // messages that arrived, since the start
	GivenUp  uint64 // messages that did not, since the start
}

// The states of an Alert.
const (
	AlertWell    = "well"
	AlertWarn    = "warning" // somebody should look, when there is time
	AlertUrgent  = "urgent"  // somebody has to look now
	AlertStopped = "stopped" // no process works
)

// Alert is the process' state as it is told: which things need somebody, in English, without values of rows.
type Alert struct {
	State   string        `json:"state"`         // well | warning | urgent | stopped
	Was     string        `json:"was,omitempty"` // the state that was told before
	Since   time.Time     `json:"since"`         // of this state
	Reasons []AlertReason `json:"reasons"`       // what needs somebody, worst first
	Over    []string      `json:"over"`          // kinds of the reasons told before that are no longer so
}

// AlertReason is one thing that needs somebody.
type AlertReason struct {
	Kind  string    `json:"kind"`            // a name that stays, such as late or deletes_held
	Model string    `json:"model,omitempty"` // which it is about
	Level string    `json:"level"`           // warning | urgent
	What  string    `json:"what"`
	Do    string    `json:"do"`
	Since time.Time `json:"since"`
	Page  string    `json:"page"` // path of the page where it is mended
}

// key tells one reason from another.
func (r *AlertReason) key() string { return r.Kind + " " + r.Model }

// same tells whether two alerts say the same; figures in their texts do not count.
func (a *Alert) same(b *Alert) bool {
	return a.State == b.State && slices.EqualFunc(a.keys(), b.keys(), func(x, y string) bool { return x == y })
}

func (a *Alert) keys() []string {
	out := make([]string, 0, len(a.Reasons))
	for i := range a.Reasons {
		out = append(out, a.Reasons[i].Level+" "+a.Reasons[i].key())
	}
	slices.Sort(out)
	return out
}

// alertHolds is how long a state has to last until it is told: what mends itself within that wakes nobody.
const alertHolds = 15 * time.Second

// alerter watches what needs somebody and tells each new state once.
type alerter struct {
	s     *Server
	to    AlertViews
	told  *Alert
	next  *Alert // what is so now, if it lasts
	since time.Time
}

// look takes what is so at a moment: whether a process works, and what needs somebody.
func (w *alerter) look(now time.Time, working bool, list []need) {
	if !w.to.Last().On {
		w.next, w.told = nil, nil // who is told from now on is told what is so then
		return
	}
	a := w.s.alert(now, working, list)
	if w.next == nil || !w.next.same(a) {
		w.since = now
	}
	w.next = a
	if now.Sub(w.since) >= alertHolds {
		w.tell(a)
	}
}

// tell tells a state that is another one than was told last.
func (w *alerter) tell(a *Alert) {
	if w.told == nil {
		if w.told = w.to.Told(); w.told == nil {
			w.told = &Alert{State: AlertWell}
		}
	}
	if w.told.same(a) {
		return
	}
	a.Was, a.Since = w.told.State, w.since
	for i := range w.told.Reasons {
		r := &w.told.Reasons[i]
		if !slices.ContainsFunc(a.Reasons, func(x AlertReason) bool { return x.key() == r.key() }) {
			a.Over = append(a.Over, r.Kind)
		}
	}
	w.told = a
	w.to.Changed(a)
}

// TellStopped tells that the process ends by a fault with an exit code, and waits until that has arrived, as long as ctx lasts.
func (s *Server) TellStopped(ctx context.Context, code int) {
	if s.cfg.Alerts == nil {
		return
	}
	now := s.now()
	w := &alerter{s: s, to: s.cfg.Alerts, since: now}
	w.tell(s.alert(now, false, []need{{Kind: stopKind(code), Level: levelWakes, Since: now, Args: []any{code}, Go: stopPage(code)}}))
	s.cfg.Alerts.Flush(ctx)
}

// alert words what needs somebody at a moment, as the log would: in English and UTC.
func (s *Server) alert(now time.Time, working bool, list []need) *Alert {
	a := &Alert{State: AlertWell, Since: now, Reasons: []AlertReason{}, Over: []string{}}
	r := &request{s: s, Lang: languages[0], Zone: time.UTC}
	for i, n := range r.shownNeeds(list) {
		level := AlertWarn
		switch {
		case list[i].Level < levelWarn:
			continue
		case list[i].Level == levelWakes:
			level = AlertUrgent
		}
		if a.State != AlertUrgent {
			a.State = level
		}
		page := list[i].Go
		if page == "" {
			page = "/"
		}
		what := n.What
		if strings.HasPrefix(list[i].Kind, "stop_") {
			what += " " + n.Cause // the exit code alone tells nothing to who is woken by it
		}
		a.Reasons = append(a.Reasons, AlertReason{Kind: list[i].Kind, Model: list[i].Model, Level: level, What: what, Do: n.Do, Since: n.Since, Page: page})
	}
	if !working {
		a.State = AlertStopped
	}
	return a
}

// testAlert is what a test sends: the present state, whatever was told of it.
func (s *Server) testAlert() *Alert {
	if s.live != nil {
		if v := s.live.view(); v.status != nil {
			return s.alert(v.now, works(v.status), v.needs())
		}
	}
	return s.alert(s.now(), false, nil)
}

// Sentence words an alert in one line, for those who read messages in a chat.
func (a *Alert) Sentence() string {
	if len(a.Reasons) == 0 {
		if a.State == AlertWell {
			return "All is well."
		}
		return "The process has stopped."
	}
	var what []string
	for i := range a.Reasons {
		what = append(what, a.Reasons[i].What)
	}
	return strings.Join(what, " ")
}
