package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

const watchEvery = 2 * time.Second

func newStatus(p *program) *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the connector does, how late it is, and what needs someone",
		Long: `status asks the running process over its socket in data/. Where none runs it reads the files: how the last run ended, how far it came, what is
held back; for that the variables that the configuration names need not be set. It shows figures and words, never values of rows, and changes nothing. Data
points are counted as Braze's legacy contracts do, since the process started: spent on what was sent, saved by leaving out what Braze had; --json has them by
field and by day (UTC).

States: starting, standby (another process works, this one takes over when it ends), running, degraded (running, but something needs someone), reloading
(a configuration is applied), draining, stopped.`,
		Example: "  brazecdc status\n  brazecdc status --watch\n  brazecdc status --json | jq .lag_seconds",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.status(cmd.Context(), asJSON, watch)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; with --watch one line each time")
	cmd.Flags().BoolVar(&watch, "watch", false, "print again every two seconds until Ctrl-C")
	return cmd
}

func (p *program) status(ctx context.Context, asJSON, watch bool) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	for {
		s, err := p.askStatus(ctx)
		if err != nil {
			p.printLastStop(asJSON)
			return err
		}
		switch {
		case asJSON && watch:
			err = p.printLine(s)
		case asJSON:
			err = p.printJSON(s)
		default:
			if watch {
				p.printf("%s\n", p.faint(time.Now().Format(time.TimeOnly)))
			}
			err = p.printStatus(s)
		}
		if err != nil || !watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// printLastStop tells how the last run ended where the configuration has a fault, so that nothing else can be told.
func (p *program) printLastStop(asJSON bool) {
	if !asJSON {
		p.printStop(control.ReadStop(p.beside(p.glance().Data.Path)))
	}
}

func (p *program) printStop(s *control.Stop) {
	if s != nil {
		p.printf("last stop: %s, exit code %d: %s\n", since(s.At), s.Code, orElse(s.Reason, "stopped on request, everything confirmed"))
	}
}

func (p *program) askStatus(ctx context.Context) (*control.Status, error) {
	api, done, err := p.api(ctx, forReading)
	if err != nil {
		return nil, err
	}
	defer done()
	s, err := api.Status(ctx)
	if err == nil && s.PID == 0 {
		if at := p.pagesStay(ctx, s.LastStop); at != "" {
			s.NotReady = []string{"the process has stopped and only its pages stay, on " + at + ": mend it, then reload (SIGHUP)"}
		}
	}
	return s, err
}

func (p *program) printStatus(s *control.Status) error {
	state := s.State
	switch s.State {
	case "running":
		state = p.green(state)
	case "degraded", "starting", "standby", "reloading", "draining":
		state = p.yellow(state)
	}
	p.printf("%s  %s", p.bold(state), s.Workspace)
	if s.PID != 0 {
		p.printf("  process %d since %s", s.PID, since(s.Started))
	}
	p.printf("\n")
	for _, r := range s.Reasons {
		p.printf("  ! %s\n", r)
	}
	for _, r := range s.NotReady {
		p.printf("  not ready: %s\n", r)
	}
	if s.LastReload != nil && !s.LastReload.OK {
		p.printf("%s %s, and the one before goes on: %s\n", p.yellow("the configuration was not applied"), since(s.LastReload.At), s.LastReload.Error)
	}
	if len(s.NeedsRestart) > 0 {
		p.printf("counts from the next start on: %s\n", strings.Join(s.NeedsRestart, ", "))
	}
	p.printStop(s.LastStop)
	if s.PID != 0 {
		p.printSourceAndSink(s)
	}
	for _, st := range s.Streams {
		if strings.HasPrefix(st.Stream, "load/") {
			continue // told by the loads
		}
		p.printf("position %s: %s\n", st.Stream, place(st))
	}
	if err := p.printModels(s.Models); err != nil {
		return err
	}
	for _, l := range s.Loads {
		p.printf("%s of %s: %s\n", loadName(l), l.Model, loadState(l))
	}
	for _, m := range s.Models {
		if !m.NextResync.IsZero() {
			p.printf("next resync of %s: %s%s\n", m.Name, m.NextResync.Local().Format("2006-01-02 15:04"), recalled(m.Remembered))
		}
	}
	for _, c := range s.Pending {
		p.printf("%s %s: %s\n", p.yellow("waits for you:"), c.Model, c.Text)
	}
	if len(s.Pending) > 0 {
		p.printf("  see \"brazecdc confirm\"\n")
	}
	if s.Quarantine > 0 {
		p.printf("%s %d changes, see \"brazecdc quarantine list\"\n", p.yellow("held back:"), s.Quarantine)
	}
	return nil
}

// recalled says what a schedule of a topic goes over.
func recalled(r *connector.Recalled) string {
	switch {
	case r == nil:
		return ""
	case r.Users > r.Rows:
		return fmt.Sprintf(", over the %s that are remembered; %s sent, and a replay of the topic fills what is missing", plural(int(r.Rows), "row"), plural(int(r.Users), "user"))
	}
	return fmt.Sprintf(", over the %s that are remembered", plural(int(r.Rows), "row"))
}

func (p *program) printSourceAndSink(s *control.Status) {
	p.printf("lateness %.1f s, %d changes open (%s), %d users waiting%s\n", s.LagSeconds, s.OpenChanges, byteCount(s.OpenBytes), s.Waiting, parked(s.Parked))
	src := s.Source
	switch {
	case src.Connected && src.LagBytes < 0 && src.RetainedBytes < 0: // topics are counted in records
		p.printf("source: connected since %s\n", since(src.Since))
	case src.Connected:
		p.printf("source: connected since %s, %s behind%s\n", since(src.Since), lagBytes(src.LagBytes), keeps(src))
	default:
		p.printf("source: %s since %s: %s\n", p.yellow("not connected"), since(src.Since), orElse(src.Err, src.Waiting))
	}
	if src.Connected && src.Waiting != "" {
		p.printf("source: waits: %s\n", src.Waiting)
	}
	if text := passedOver(src.PassedOver); text != "" {
		p.printf("source: records that carry no change: %s\n", text)
	}
	if !s.Sink.LastSuccess.IsZero() {
		p.printf("braze: last accepted call %s\n", since(s.Sink.LastSuccess))
	}
	if s.Sink.LastErrorAt.After(s.Sink.LastSuccess) {
		p.printf("braze: %s %s: %s\n", p.yellow("fails"), since(s.Sink.LastErrorAt), s.Sink.LastError)
	}
}

func (p *program) printModels(models []connector.ModelStatus) error {
	if len(models) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "model\ttable\tchanges\tsent\tunchanged\tfolded\tfiltered\theld back\t"); err != nil {
		return fmt.Errorf("print the models: %w", err)
	}
	for _, m := range models {
		state := ""
		if m.Paused != "" {
			state = "paused: " + m.Paused
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", m.Name, m.Table, counts(m.Changes), counts(m.Sent), m.Suppressed, m.Coalesced,
			m.Filtered, m.Quarantine, state); err != nil {
			return fmt.Errorf("print the models: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the models: %w", err)
	}
	for _, m := range models {
		if text := pointsText(&m); text != "" {
			p.printf("data points of %s: %s\n", m.Name, text)
		}
		if m.Late > 0 {
			p.printf("too late in %s: %s older than max_age, not sent\n", m.Name, plural(int(m.Late), "event"))
		}
		if len(m.Topics) > 0 {
			p.printf("%s reads %s\n", m.Name, matched(m.Topics))
		}
		for _, note := range slices.Sorted(maps.Keys(m.Notes)) {
			p.printf("left out in %s: %s, %s\n", m.Name, note, plural(int(m.Notes[note]), "time"))
		}
	}
	return nil
}

// pointsText words a model's data points; "" where it has none.
func pointsText(m *connector.ModelStatus) string {
	switch m.Points.Start {
	case connector.Spent{}:
		return ""
	case m.Points.Today: // what a run before this one spent today is not known here, so nothing is claimed of the day
		return fmt.Sprintf("%d spent, %d saved since the start", m.Points.Start.Spent, m.Points.Start.Saved)
	}
	return fmt.Sprintf("today %d spent, %d saved; since the start %d spent, %d saved", m.Points.Today.Spent, m.Points.Today.Saved, m.Points.Start.Spent, m.Points.Start.Saved)
}

// place words a stream's position: a slot's as Postgres prints it.
func place(s connector.StreamState) string {
	at := connector.Place{Stream: s.Stream, Commit: s.Confirmed}
	text := at.String() + " confirmed"
	if !at.OfSlot() {
		text = "offset " + text
	}
	if s.Behind > 0 {
		text += fmt.Sprintf(", %d records behind", s.Behind)
	}
	if !s.Moved.IsZero() {
		text += " " + since(s.Moved)
	}
	if !s.Open.IsZero() {
		text += ", oldest change that is not done: " + since(s.Open)
	}
	return text
}

func loadName(l connector.LoadState) string {
	if l.Resync != nil {
		return "resync"
	}
	return "load"
}

// loadState words how far a load is.
func loadState(l connector.LoadState) string {
	share := ""
	if l.Estimate > 0 {
		share = fmt.Sprintf(" of about %d (%d %%)", l.Estimate, min(100, 100*l.Rows/l.Estimate))
	}
	done := fmt.Sprintf("%d sent, %d unchanged", l.Sent, l.Same)
	switch {
	case l.Finished.IsZero() && l.Paused:
		return fmt.Sprintf("paused: %s%s read, %s", plural(int(l.Rows), "row"), share, done)
	case l.Finished.IsZero():
		text := fmt.Sprintf("%s%s read, %s, started %s", plural(int(l.Rows), "row"), share, done, since(l.Started))
		if l.Share > 0 {
			text += fmt.Sprintf(", works %d %% of the time", l.Share)
		}
		if l.Rate > 0 {
			text += fmt.Sprintf(", %.0f/s", l.Rate)
		}
		if l.ETA > 0 {
			text += fmt.Sprintf(", %s left", l.ETA)
		}
		return text
	case l.Closing:
		return fmt.Sprintf("%s read, %s; ending: marks are taken away, users that are gone are looked for", plural(int(l.Rows), "row"), done)
	case l.Cancelled:
		return fmt.Sprintf("given up %s after %s, %s", since(l.Finished), plural(int(l.Rows), "row"), done)
	}
	return fmt.Sprintf("%s, done %s: %s", plural(int(l.Rows), "row"), since(l.Finished), done)
}

func counts(m map[string]uint64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
		}
	}
	return orElse(strings.Join(parts, ", "), "0")
}

// passedOver words the records of topics that carried no change.
func passedOver(m map[string]uint64) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", why, m[why]))
	}
	return strings.Join(parts, ", ")
}

func parked(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d for %s", m[k], k))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return ", parked: " + strings.Join(parts, ", ")
}

func keeps(h connector.SourceHealth) string {
	text := ""
	if h.RetainedBytes >= 0 {
		text += ", the server keeps " + byteCount(h.RetainedBytes) + " of log for us"
	}
	if h.SafeBytes >= 0 {
		text += ", the slot is lost after " + byteCount(h.SafeBytes) + " more"
	}
	return text
}

func lagBytes(n int64) string {
	if n < 0 {
		return "unknown how far"
	}
	return byteCount(n)
}

func byteCount(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s ago", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h ago", d.Hours())
	}
	return t.Local().Format("2006-01-02 15:04")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
