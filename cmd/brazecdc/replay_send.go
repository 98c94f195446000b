package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/control"
	"brazecdc/connector/state"
)

// Why rows are left out before anything is sent. Records that cannot be decoded name no row, and are counted as records.
const (
	leftLater    = "changed after the range"
	leftUnread   = "not read by the group yet: the next run brings them"
	leftGone     = "deleted, or nothing for the model, at the end of the range"
	leftUnmapped = "their last change cannot be mapped"
	leftLives    = "deletes of users who have another row"
	leftPoison   = "records that cannot be decoded"
	leftLate     = "events older than max_age"
)

const (
	// replaySamples is how many calls a dry run shows.
	replaySamples = 20
	// replayPush is how many rows are pushed at once: a few full calls.
	replayPush = 300
	// membersEvery is how often a replay without a running process looks whether one began elsewhere.
	membersEvery = 5 * time.Second
)

// sendable gives what is to be sent of a user's rows, oldest first, and says of the others why not.
func (j *replayJob) sendable(rows []state.SpoolRow, left func(why string)) (out []state.SpoolRow, err error) {
	lives := false
	for i := range rows {
		e := rows[i].Effect
		if e.Event != nil {
			out = append(out, rows[i]) // what happened is not overtaken
			continue
		}
		if len(e.Rows) > 0 && j.emptied(e.Rows[0].Key.Table, rows[i].At) {
			left(leftGone)
			continue
		}
		later, err := j.spool.Marked(e.Model, e.User)
		if err != nil {
			return nil, err
		}
		if later {
			left(leftLater)
			continue
		}
		lives = lives || e.Kind == connector.Track && e.Owner || e.Kind == connector.PutItem
		out = append(out, rows[i])
	}
	kept := out[:0]
	for i := range out {
		if k := out[i].Effect.Kind; lives && (k == connector.DeleteUser || k == connector.DeleteItem) {
			left(leftLives)
			continue
		}
		kept = append(kept, out[i])
	}
	slices.SortStableFunc(kept, func(a, b state.SpoolRow) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return kept, nil
}

// count goes through what was collected and plans what is sent.
func (j *replayJob) count(ctx context.Context) error {
	j.phase(control.ReplayCounts, 0)
	counts, err := j.spool.Count()
	if err != nil {
		return err
	}
	plan := &j.plan
	plan.Records, plan.Left = j.note.Records, map[string]int64{}
	for standing, why := range map[state.Standing]string{state.Later: leftLater, state.Unread: leftUnread, state.Gone: leftGone, state.Unmapped: leftUnmapped} {
		if counts[standing] > 0 {
			plan.Left[why] += counts[standing]
		}
	}
	if j.note.Poison > 0 {
		plan.Left[leftPoison] = j.note.Poison
	}
	if j.note.Late > 0 {
		plan.Left[leftLate] = j.note.Late
	}
	j.progress(func(s *control.ReplayStatus) { s.Total = counts[state.Kept] })
	seen := int64(0)
	err = j.spool.Users(j.note.SentTo, func(_ []byte, rows []state.SpoolRow) error {
		seen += int64(len(rows))
		j.progress(func(s *control.ReplayStatus) { s.Done = seen })
		out, err := j.sendable(rows, func(why string) { plan.Left[why]++ })
		if err != nil || len(out) == 0 {
			return err
		}
		if out[0].Effect.User.Kind == connector.Item {
			plan.Items++
		} else {
			plan.Users++
		}
		for i := range out {
			e := out[i].Effect
			switch {
			case e.Event != nil:
				plan.Events++
			case e.Kind == connector.DeleteUser || e.Kind == connector.DeleteItem:
				plan.Deletes++
			default:
				plan.Rows++
			}
			shown := j.r.a.pipeline.Shown(e)
			plan.DataPoints += int64(points(&shown))
			if j.q.DryRun && len(plan.Samples) < replaySamples {
				method, path := braze.Request(&shown)
				plan.Samples = append(plan.Samples, control.ReplaySample{Method: method, Path: path, Body: braze.Body(shown.Kind, []connector.Effect{shown})})
			}
		}
		return ctx.Err()
	})
	j.progress(func(s *control.ReplayStatus) { s.Plan = plan })
	return err
}

// pushed is a push that is not known to be done.
type pushed struct {
	n     uint64
	place []byte // of its last user
	rows  int64
	left  int64 // of them, which were left out
}

// send walks the users in the spool's order and pushes their rows. What is done is noted every second, so that another run goes on behind it.
func (j *replayJob) send(ctx context.Context, topics *topics) error {
	j.phase(control.ReplaySends, j.plan.Total())
	var batch []connector.ReplayRow
	var open []pushed
	var place []byte
	look := &lookout{j: j, topics: topics, noted: time.Now(), looked: time.Now()}
	push := func() error {
		if len(batch) == 0 {
			return nil
		}
		n, left, err := j.replay.Push(ctx, batch)
		if err != nil {
			return err
		}
		out := int64(0)
		j.progress(func(s *control.ReplayStatus) {
			if s.Left == nil {
				s.Left = map[string]int{}
			}
			for why, n := range left {
				s.Left[why] += n
				out += int64(n)
			}
		})
		open = append(open, pushed{n, slices.Clone(place), int64(len(batch)), out})
		batch = batch[:0]
		open, err = j.done(open), look.meanwhile(ctx)
		return err
	}
	err := j.spool.Users(j.note.SentTo, func(at []byte, rows []state.SpoolRow) error {
		out, err := j.sendable(rows, func(string) {})
		if err != nil {
			return err
		}
		for i := range out {
			batch = append(batch, connector.ReplayRow{Effect: out[i].Effect, Stream: j.streams[out[i].Partition], Columns: out[i].Columns})
		}
		place = append(place[:0], at...)
		if len(batch) >= replayPush {
			return push()
		}
		return ctx.Err()
	})
	if err == nil {
		err = push()
	}
	if err == nil {
		err = j.drained(ctx, &open, look)
	}
	if err != nil {
		j.done(open)
		return fmt.Errorf("%w%s", err, noteError(j.flush()))
	}
	return nil
}

func noteError(err error) string {
	if err == nil {
		return ""
	}
	return "; " + err.Error()
}

// done takes off the list what was delivered, and notes it.
func (j *replayJob) done(open []pushed) []pushed {
	last, n := j.replay.Done(), 0
	for n < len(open) && open[n].n <= last {
		j.note.SentTo = open[n].place
		j.note.Sent += open[n].rows - open[n].left
		n++
	}
	if n == 0 {
		return open
	}
	rows := int64(0)
	for _, p := range open[:n] {
		rows += p.rows
	}
	j.progress(func(s *control.ReplayStatus) {
		s.Done += rows
		s.Sent = j.note.Sent
	})
	return open[n:]
}

// drained waits until all that was pushed is done.
func (j *replayJob) drained(ctx context.Context, open *[]pushed, look *lookout) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if *open = j.done(*open); len(*open) == 0 {
			return nil
		}
		if err := errors.Join(j.replay.Err(), look.meanwhile(ctx)); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lookout does what is to be done now and then while rows are sent.
type lookout struct {
	j             *replayJob
	topics        *topics
	noted, looked time.Time
}

// meanwhile notes how far the replay is, and sees that it is still alone where it has to be.
func (l *lookout) meanwhile(ctx context.Context) error {
	if time.Since(l.noted) > time.Second {
		l.noted = time.Now()
		if err := l.j.flush(); err != nil {
			return err
		}
	}
	if !l.j.r.alone || time.Since(l.looked) < membersEvery {
		return nil
	}
	l.looked = time.Now()
	return l.j.stillAlone(ctx, l.topics)
}

// stillAlone refuses to go on once a member of the group reads the topics: what it brings is not seen here.
func (j *replayJob) stillAlone(ctx context.Context, look *topics) error {
	members, err := look.Members(ctx)
	if err != nil || len(members) == 0 {
		return err
	}
	return groupLives(j.r.a.cfg.Source.Kafka.Group, members)
}

// groupLives says that a replay without a running process is not possible just now.
func groupLives(group string, members []string) error {
	return &connector.StopError{
		Code: exitUsage, What: fmt.Sprintf("group %q has live members (%s), and what they deliver meanwhile is not seen here", group, members[0]),
		Fix: "run the same command where they run, with their configuration: it then works inside the running process; or stop them first",
	}
}
