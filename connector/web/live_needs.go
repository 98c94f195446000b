package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// level is how much something wants a person.
type level int

const (
	levelNote  level = iota // to know; nothing to do
	levelTell               // when there is time
	levelWarn               // soon
	levelWakes              // now: it wakes someone
)

// need is one thing on the list of what needs someone. The catalogue holds its five parts under live.need.KIND: what happened, what it means for the data, the
// likely cause, what to do; since when is Since.
type need struct {
	Kind   string
	Level  level
	Model  string
	Args   []any // of the texts, by type: numbers, sizes, durations and moments are worded in the page's language
	Since  time.Time
	Detail string // the process' own sentence
	Go     string // page of the button; empty: none
	Copy   string // command; empty: none
}

// name tells one need from another on the list.
func (n *need) name() string {
	name := n.Kind
	if n.Model != "" {
		name += "-" + n.Model
	}
	if field, ok := n.field(); ok {
		name += "-" + field
	}
	return name
}

// field is the one that was left out.
func (n *need) field() (string, bool) {
	if n.Kind != "left_out" && n.Kind != "unproven" || len(n.Args) == 0 {
		return "", false
	}
	field, ok := n.Args[0].(string)
	return field, ok
}

// Arguments of texts: a number of bytes, a part of one, and a moment of which only the hour matters.
type (
	size  int64
	share float64
	hour  time.Time
)

// The limits of pages.md section 19, as far as one process can tell them from its own figures.
const (
	lateWakes     = 300 * time.Second
	lateWarns     = 60 * time.Second
	lateFrom      = 2 * time.Second
	stuckAfter    = 5 * time.Minute
	lostWithin    = 4 * time.Hour
	lostShare     = .5
	failingShare  = .2
	failingCalls  = 5
	failingOver   = 10 * time.Minute
	brakedShare   = .5
	brakedOver    = 30 * time.Minute
	growingShare  = .001
	growingFrom   = 10
	growingOver   = 15 * time.Minute
	heldTooLong   = 3 * 24 * time.Hour
	notesShare    = .05
	notesFrom     = 20 // objects, below which a share says little
	notesShown    = 5
	missedAfter   = time.Hour
	stopShown     = 24 * time.Hour
	startingLong  = 2 * time.Minute
	refusedOver   = 5 * time.Minute
	lossMeasuring = 10 // minutes over which the speed is measured at which the slot comes nearer to its loss
)

// needs lists what needs someone, worst first.
func (v *view) needs() []need {
	st := v.status
	if st == nil {
		if v.fault != nil {
			return []need{{Kind: "unheard", Level: levelWakes, Since: v.broken, Detail: v.fault.Error(), Copy: "brazecdc status"}}
		}
		return nil
	}
	var out []need
	if v.shaky() {
		out = append(out, need{Kind: "unheard", Level: levelWakes, Since: v.broken, Detail: v.fault.Error(), Copy: "brazecdc status"})
	}
	if !works(st) {
		out = append(out, stopped(st)...)
	} else {
		out = append(out, v.source()...)
		out = append(out, v.position()...)
		out = append(out, v.braze()...)
		out = append(out, v.leftOut()...)
		out = append(out, v.schedules()...)
	}
	out = append(out, reload(st)...)
	out = append(out, pending(st)...)
	out = append(out, v.heldBack()...)
	for i := range out {
		if out[i].Since.IsZero() {
			out[i].Since = v.first[out[i].name()]
		}
	}
	slices.SortStableFunc(out, func(a, b need) int {
		if a.Level != b.Level {
			return cmp.Compare(b.Level, a.Level)
		}
		return a.Since.Compare(b.Since)
	})
	return out
}

// wanted counts those on the list that want somebody to do something.
func wanted(list []need) (n int) {
	for i := range list {
		if list[i].Level > levelNote {
			n++
		}
	}
	return n
}

// stopped words that no process runs: how the last one ended.
func stopped(st *control.Status) []need {
	s := st.LastStop
	switch {
	case s == nil && len(st.Streams) == 0 && len(st.Reasons) == 0:
		return []need{{Kind: "unstarted", Level: levelTell, Copy: "brazecdc run"}}
	case s == nil:
		return []need{{Kind: "killed", Level: levelWakes, Copy: "brazecdc run"}}
	case s.Code == 0:
		return []need{{Kind: "ended", Level: levelWarn, Since: s.At, Args: []any{s.At}, Copy: "brazecdc run"}}
	}
	return []need{{Kind: stopKind(s.Code), Level: levelWakes, Since: s.At, Args: []any{s.Code}, Detail: s.Reason, Copy: "brazecdc check", Go: stopPage(s.Code)}}
}

// reload words a change of the configuration that failed, or that is not complete.
func reload(st *control.Status) (out []need) {
	if l := st.LastReload; l != nil && !l.OK {
		out = append(out, need{Kind: "reload_failed", Level: levelWarn, Since: l.At, Args: []any{l.At}, Detail: l.Error, Go: "/draft", Copy: "brazecdc check"})
	}
	if len(st.NeedsRestart) > 0 {
		out = append(out, need{Kind: "restart", Level: levelTell, Args: []any{strings.Join(st.NeedsRestart, ", ")}})
	}
	return out
}

// stopKind groups the exit codes by what mends them.
func stopKind(code int) string {
	switch code {
	case 2, connector.ExitConfig:
		return "stop_config"
	case connector.ExitUnreachable:
		return "stop_unreachable"
	case connector.ExitRights:
		return "stop_rights"
	case connector.ExitSlotLost, connector.ExitSlotMismatch:
		return "stop_slot"
	case connector.ExitSlotInUse:
		return "stop_in_use"
	case connector.ExitOffsetRange:
		return "stop_offset"
	case connector.ExitTableUnfit:
		return "stop_table"
	case connector.ExitForeignSlot, connector.ExitOtherServer, connector.ExitOtherTimeline:
		return "stop_server"
	case connector.ExitKeyRefused:
		return "stop_key"
	case connector.ExitEndpointWrong:
		return "stop_endpoint"
	case connector.ExitStoreLocked:
		return "stop_locked"
	case connector.ExitDiskFull:
		return "stop_disk"
	case connector.ExitDeadline:
		return "stop_deadline"
	}
	return "stop_fault"
}

func stopPage(code int) string {
	switch code {
	case connector.ExitUnreachable, connector.ExitRights, connector.ExitKeyRefused, connector.ExitEndpointWrong:
		return "/connections"
	case connector.ExitTableUnfit:
		return "/models"
	}
	return ""
}

// source words what is the matter with the source.
func (v *view) source() (out []need) {
	st, h := v.status, &v.status.Source
	if st.LastStop != nil && st.LastStop.Code != 0 && v.now.Sub(st.LastStop.At) < stopShown {
		out = append(out, need{Kind: "last_stop", Level: levelNote, Since: st.LastStop.At, Args: []any{st.LastStop.Code, st.LastStop.At}, Detail: st.LastStop.Reason})
	}
	switch {
	case h.Waiting != "":
		l := levelTell
		if st.State == "starting" && v.now.Sub(st.Since) > startingLong {
			l = levelWarn
		}
		out = append(out, need{Kind: "waiting", Level: l, Since: h.Since, Detail: h.Waiting, Copy: "brazecdc check"})
	case !h.Connected && st.State != "starting" && st.State != "draining":
		l := levelWarn
		if !h.Since.IsZero() && v.now.Sub(h.Since) > stuckAfter {
			l = levelWakes
		}
		out = append(out, need{Kind: "source_lost", Level: l, Since: h.Since, Detail: h.Err, Go: "/connections"})
	case st.State == "starting" && v.now.Sub(st.Since) > startingLong:
		out = append(out, need{Kind: "starting_long", Level: levelWarn, Since: st.Since, Detail: h.Err, Go: "/connections"})
	}
	for _, r := range st.NotReady {
		if !strings.HasPrefix(r, "process: ") && !strings.HasPrefix(r, "source: ") && !strings.HasPrefix(r, "position: ") {
			out = append(out, need{Kind: "not_ready", Level: levelWarn, Since: st.Since, Detail: r, Copy: "brazecdc status"})
		}
	}
	return append(out, v.slot()...)
}

// slot words a replication slot that may be lost.
func (v *view) slot() []need {
	h := &v.status.Source
	const show = "SELECT slot_name, wal_status, safe_wal_size FROM pg_replication_slots"
	switch left, ok := v.untilLost(); {
	case h.SlotStatus == "lost":
		return []need{{Kind: "slot_lost", Level: levelWakes, Copy: show}}
	case h.SlotStatus == "unreserved", ok && left < lostWithin:
		if ok {
			return []need{{Kind: "slot_soon", Level: levelWakes, Args: []any{size(h.SafeBytes), left}, Copy: show}}
		}
		return []need{{Kind: "slot_risk", Level: levelWakes, Args: []any{size(max(0, h.RetainedBytes)), size(max(0, h.SafeBytes))}, Copy: show}}
	case h.SafeBytes >= 0 && h.RetainedBytes > 0 && float64(h.RetainedBytes) > lostShare*float64(h.RetainedBytes+h.SafeBytes):
		return []need{{Kind: "slot_risk", Level: levelWakes, Args: []any{size(h.RetainedBytes), size(h.SafeBytes)}, Copy: show}}
	}
	return nil
}

// untilLost estimates from the last minutes when the slot will be lost; ok is false where it does not come nearer to that.
func (v *view) untilLost() (time.Duration, bool) {
	n := len(v.minutes)
	if v.status.Source.SafeBytes < 0 || n < lossMeasuring {
		return 0, false
	}
	for i := n - lossMeasuring; i < n; i++ {
		before := v.minutes[i][mSafe]
		if !known(before) {
			continue
		}
		used := float64(before) - float64(v.status.Source.SafeBytes)
		if used <= 0 {
			return 0, false
		}
		// The point holds the lowest second of its minute, which is its last one where the slot comes nearer to its loss.
		since := v.now.Sub(v.now.Truncate(time.Minute)) + time.Duration(n-1-i)*time.Minute
		speed := used / max(since, time.Minute).Seconds()
		return time.Duration(min(float64(v.status.Source.SafeBytes)/speed, 1e8) * float64(time.Second)), true
	}
	return 0, false
}

// position words lateness, and a position that does not move.
func (v *view) position() (out []need) {
	st := v.status
	for _, s := range st.Streams {
		if !isLoad(s.Stream) && !s.Open.IsZero() && v.now.Sub(s.Moved) > stuckAfter && v.now.Sub(s.Open) > stuckAfter {
			return []need{{Kind: "stuck", Level: levelWakes, Since: s.Moved, Args: []any{v.now.Sub(s.Moved).Truncate(time.Second), st.OpenChanges}, Detail: st.Sink.LastError, Copy: "brazecdc status"}}
		}
	}
	lag := time.Duration(st.LagSeconds * float64(time.Second))
	look := "/connections"
	if slices.ContainsFunc(st.Loads, func(l connector.LoadState) bool { return l.Running() && !l.Paused }) {
		look = "/loads" // it can be slowed there
	}
	switch {
	case lag > lateWakes:
		out = append(out, need{Kind: "late", Level: levelWakes, Args: []any{lag.Truncate(10 * time.Second), st.OpenChanges}, Go: look})
	case lag > lateWarns:
		out = append(out, need{Kind: "late", Level: levelWarn, Args: []any{lag.Truncate(10 * time.Second), st.OpenChanges}, Go: look})
	}
	return out
}

func isLoad(stream string) bool { return strings.HasPrefix(stream, "load/") }

// braze words what is the matter with Braze.
func (v *view) braze() (out []need) {
	st := v.status
	if n, last := v.refused(); n > 0 {
		out = append(out, need{Kind: "key_refused", Level: levelWakes, Since: last, Args: []any{n}, Detail: st.Sink.LastError, Go: "/connections"})
	}
	ok, failed := v.sum(mCallsOK, failingOver), v.sum(mCallsFailed, failingOver)
	if failed >= failingCalls && failed > failingShare*(ok+failed) {
		out = append(out, need{Kind: "failing", Level: levelWarn, Args: []any{int(failed + .5), int(ok + failed + .5)}, Detail: st.Sink.LastError, Go: "/connections"})
	}
	if e, now := v.braked(); e != nil {
		out = append(out, need{Kind: "braking", Level: levelNote, Args: []any{int(e.Limit), hour(e.Reset), st.OpenChanges}, Since: now})
	} else if share := v.throttled(); share > brakedShare {
		out = append(out, need{Kind: "throttled", Level: levelWarn, Args: []any{int(share*100 + .5)}, Go: "/connections"})
	}
	return out
}

// refused counts the calls of the last minutes that Braze answered with 401 or 403, and tells when it refused something last.
func (v *view) refused() (n uint64, last time.Time) {
	if len(v.recent) == 0 {
		return 0, last
	}
	before := uint64(0)
	for _, h := range v.hourly {
		if v.now.Sub(h.counts.at) >= refusedOver {
			before = h.counts.refused
		}
	}
	now := v.recent[len(v.recent)-1].refused
	return now - min(now, before), v.status.Sink.LastErrorAt
}

// braked gives the endpoint whose budget is used up at this moment.
func (v *view) braked() (*connector.EndpointHealth, time.Time) {
	for i := range v.status.Sink.Endpoints {
		if e := &v.status.Sink.Endpoints[i]; e.Limit > 0 && e.Remaining == 0 && e.Reset.After(v.now) {
			since := v.now
			for j := len(v.marks) - 1; j >= 0; j-- {
				if v.marks[j].Kind == markBrake {
					since = v.marks[j].At
					break
				}
			}
			return e, since
		}
	}
	return nil, time.Time{}
}

// throttled is the share of the last half hour in which calls waited for the budget; 0 where less is known than that.
func (v *view) throttled() float64 {
	n := int(brakedOver / time.Minute)
	if len(v.minutes) < n {
		return 0
	}
	points := v.minutes[len(v.minutes)-n:]
	if !known(points[0][mThrottled]) {
		return 0
	}
	m, _ := mean(points, mThrottled)
	return m
}

// pending words what waits for a person's yes.
func pending(st *control.Status) (out []need) {
	for i := range st.Pending {
		c := &st.Pending[i]
		n := need{Level: levelWarn, Model: c.Model, Since: c.Since, Args: []any{c.Model, c.Count, tableOf(st, c.Model), c.Since}, Detail: c.Text,
			Copy: "brazecdc confirm " + c.Model, Go: confirmPage(c)}
		switch c.Kind {
		case connector.PauseTruncate:
			n.Kind = "truncated"
		case connector.PauseBrake:
			n.Kind = "deletes_held"
		case connector.PauseLost:
			n.Kind = "data_lost"
		case connector.PauseGone:
			n.Kind = "users_gone"
		default:
			n.Kind = "pending"
		}
		out = append(out, n)
	}
	return out
}

func tableOf(st *control.Status, model string) string {
	for i := range st.Models {
		if st.Models[i].Name == model {
			return st.Models[i].Table
		}
	}
	return model
}

// heldBack words what lies in the quarantine.
func (v *view) heldBack() []need {
	n := v.status.Quarantine
	if n == 0 {
		return nil
	}
	added := v.sum(mHeldAdded, growingOver)
	out := need{Kind: "held", Level: levelTell, Since: v.oldest, Args: []any{int(n), int(added + .5)}, Go: "/quarantine", Copy: "brazecdc quarantine list"}
	switch {
	case added > growingFrom && added > growingShare*v.sum(mOut, growingOver):
		out.Kind, out.Level = "held_growing", levelWarn
	case !v.oldest.IsZero() && v.now.Sub(v.oldest) > heldTooLong:
		out.Kind, out.Level = "held_old", levelWarn
	}
	return []need{out}
}

// unprovenEnd ends the reason why a consent is not sent: nothing is wrong with the value, the table's changes tell too little.
const unprovenEnd = "REPLICA IDENTITY FULL would"

// leftOut words fields that were left out of many of a model's objects within the last hour.
func (v *view) leftOut() (out []need) {
	if len(v.hourly) == 0 || len(v.recent) == 0 {
		return nil
	}
	before, now := v.hourly[0], v.recent[len(v.recent)-1]
	for i := range v.status.Models {
		m := &v.status.Models[i]
		objects := now.models[m.Name].out - min(now.models[m.Name].out, before.counts.models[m.Name].out)
		if objects < notesFrom {
			continue
		}
		for note, n := range m.Notes {
			n -= min(n, before.notes[m.Name][note])
			if part := float64(n) / float64(objects); part > notesShare {
				field, reason, _ := strings.Cut(note, ": ")
				x := need{Kind: "left_out", Level: levelTell, Model: m.Name, Args: []any{field, m.Name, share(min(part, 1)), int(n)}, Detail: reason,
					Go: "/models/" + urlPart(m.Name)}
				if strings.HasSuffix(reason, unprovenEnd) {
					x.Kind, x.Go = "unproven", x.Go+"?tab=groups"
					if v.status.Source.SlotStatus != "" { // of a topic the table's name is not known
						x.Copy = "ALTER TABLE " + m.Table + " REPLICA IDENTITY FULL;"
					}
				}
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b need) int {
		return cmp.Or(cmp.Compare(b.Args[3].(int), a.Args[3].(int)), cmp.Compare(a.Args[0].(string), b.Args[0].(string)))
	})
	return out[:min(len(out), notesShown)]
}

// schedules words re-syncs that should have begun.
func (v *view) schedules() (out []need) {
	for i := range v.status.Models {
		m := &v.status.Models[i]
		if !m.MissedResync.IsZero() && !beganSince(v.status.Loads, m.Name, m.MissedResync) {
			out = append(out, need{Kind: "missed", Level: levelWarn, Model: m.Name, Args: []any{m.Name, m.MissedResync}, Since: m.MissedResync, Detail: m.MissedWhy, Go: "/loads"})
		} else if !m.NextResync.IsZero() && v.now.Sub(m.NextResync) > missedAfter {
			out = append(out, need{Kind: "missed", Level: levelWarn, Model: m.Name, Args: []any{m.Name, m.NextResync}, Since: m.NextResync, Go: "/loads"})
		}
	}
	return out
}

// beganSince tells whether a load of a model began after a moment.
func beganSince(loads []connector.LoadState, model string, since time.Time) bool {
	return slices.ContainsFunc(loads, func(l connector.LoadState) bool { return l.Model == model && l.Started.After(since) })
}

// confirmPage is where a confirmation is answered.
func confirmPage(c *connector.Confirmation) string { return "/quarantine/decide/" + urlPart(c.Model) }
