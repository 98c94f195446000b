package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/kafka"
	"brazecdc/connector/state"
)

// collect brings one change of the topic into what is known of its row, for each model.
func (j *replayJob) collect(r *kafka.Replayed, n int) error {
	c := &r.Changes[n]
	if c.Op == connector.Truncate {
		if j.note.Emptied == nil {
			j.note.Emptied = map[string]time.Time{}
		}
		if c.Time.After(j.note.Emptied[c.Key.Table]) {
			j.note.Emptied[c.Key.Table] = c.Time
		}
		return nil
	}
	wanted := true
	if j.keys != nil {
		_, wanted = j.keys[c.Key.ID]
		_, old := j.keys[c.OldKey.ID]
		if wanted = wanted || old && c.OldKey != (connector.Key{}); wanted && !r.Beyond {
			for _, id := range []string{c.Key.ID, c.OldKey.ID} {
				if _, asked := j.keys[id]; asked {
					j.keys[id] = true
				}
			}
		}
	}
	for _, m := range j.models {
		var err error
		switch {
		case j.mapper.Models()[m].Happens:
			if wanted && !r.Beyond {
				err = j.collectEvents(r, n, m)
			}
		case r.Beyond:
			err = j.collectLater(r, c, m, wanted)
		case wanted:
			err = j.collectRow(r, c, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rowName is how the spool knows a row. A record without a key names no row, so there its user stands for one.
func rowName(key connector.Key, effects []connector.Effect) connector.Key {
	if key.ID == "" && len(effects) > 0 {
		u := effects[0].User
		key.ID = "user\x00" + u.Kind.String() + "\x00" + u.Label + "\x00" + u.ID
	}
	return key
}

// collectRow takes a change of the range: the row's last value of each field counts, and a row that is nothing for its model any more has none.
func (j *replayJob) collectRow(r *kafka.Replayed, c *connector.Change, m int) error {
	name := j.mapper.Models()[m].Name
	if c.OldKey != (connector.Key{}) {
		if err := j.gone(r, c, m, name, c.OldKey); err != nil {
			return err
		}
	}
	if c.Op == connector.Delete {
		return j.gone(r, c, m, name, c.Key)
	}
	effects, mapped, err := j.mapRow(m, fillFrom(c.After, c.Before), c.Time)
	switch {
	case err != nil:
		return err
	case mapped && len(effects) == 0:
		return j.gone(r, c, m, name, c.Key)
	}
	key := rowName(c.Key, effects)
	row, err := j.spool.Row(name, key)
	if err != nil {
		return err
	}
	now := state.SpoolRow{Standing: state.Kept, At: c.Time, Partition: r.Partition}
	if over, err := j.overtaken(r, c, name, key, row); over || err != nil {
		return err
	}
	if !mapped {
		now.Standing = state.Unmapped
		return j.spool.Put(name, key, &now)
	}
	e := &effects[0]
	e.Key, e.Change = c.Key, nil
	now.Effect = j.r.a.pipeline.Stored(e)
	if row.Standing == state.Kept && !j.emptied(c.Key.Table, row.At) {
		now.Effect = j.r.a.pipeline.FoldStored(row.Effect, now.Effect)
	}
	if slices.Contains(j.remember, name) {
		now.Columns, _, _ = j.mapper.Remember(nil, m, c, func() []byte { return row.Columns })
	}
	return j.spool.Put(name, key, &now)
}

// collectEvents takes what happened with a change of the range. It is kept by its place in the log, so that no other event of the row takes its own.
func (j *replayJob) collectEvents(r *kafka.Replayed, n, m int) error {
	c := &r.Changes[n]
	name := j.mapper.Models()[m].Name
	events, err := mapEvents(j.mapper, c, spoolIDs{j, &state.SpoolRow{}}, m)
	switch {
	case err != nil && !ofRow(err):
		return err
	case err != nil:
		return j.spool.Put(name, eventPlace(r, n, 0), &state.SpoolRow{Standing: state.Unmapped, At: c.Time, Partition: r.Partition})
	}
	for i := range events {
		e := &events[i]
		if e.Event.Old {
			j.note.Late++
			continue
		}
		// The user may have been deleted since: what happened long ago makes no profile.
		e.Key, e.Change, e.UpdateOnly = c.Key, nil, true
		now := state.SpoolRow{Standing: state.Kept, At: c.Time, Partition: r.Partition, Offset: r.Offset, Effect: j.r.a.pipeline.Stored(e)}
		if err := j.spool.Put(name, eventPlace(r, n, i), &now); err != nil {
			return err
		}
	}
	return nil
}

// eventPlace is how the spool knows an event.
func eventPlace(r *kafka.Replayed, change, event int) connector.Key {
	c := &r.Changes[change]
	return connector.Key{Table: c.Key.Table, ID: fmt.Sprintf("event\x00%d.%d.%d.%d", r.Partition, r.Offset, change, event)}
}

// overtaken tells whether a newer change of the row was read before: partitions are read side by side, and a row whose key changes goes on in another one.
func (j *replayJob) overtaken(r *kafka.Replayed, c *connector.Change, name string, key connector.Key, row *state.SpoolRow) (bool, error) {
	switch row.Standing {
	case state.Later, state.Unread:
		return true, nil
	case state.Ahead:
		now := *row
		now.Standing = state.Later
		return true, j.spool.Put(name, key, &now)
	case state.Unknown:
		return false, nil
	}
	return row.Partition != r.Partition && row.At.After(c.Time), nil
}

// mapRow maps a row as a whole one. mapped is false where it cannot be.
func (j *replayJob) mapRow(m int, row connector.Row, at time.Time) (effects []connector.Effect, mapped bool, err error) {
	effects, err = j.mapper.MapRow(nil, m, row, at)
	switch {
	case err == nil:
		return effects, true, nil
	case ofRow(err):
		return nil, false, nil
	}
	return nil, false, err
}

// ofRow tells an error that this row alone has.
func ofRow(err error) bool {
	var bad *connector.RowError
	var need *connector.NeedRowError
	var stop *connector.StopError
	return errors.As(err, &bad) || errors.As(err, &need) || errors.As(err, &stop) && stop.Code == connector.ExitTableUnfit
}

// fillFrom gives a row whose absent cells come from the old image of the same shape: what an update does not carry it did not change.
func fillFrom(row, before connector.Row) connector.Row {
	if !before.Exists() || before.Table != row.Table {
		return row
	}
	copied := false
	for i := range row.Cells {
		if row.Cells[i].State != connector.Absent || before.Cells[i].State == connector.Absent {
			continue
		}
		if !copied {
			row.Cells, copied = append([]connector.Cell(nil), row.Cells...), true
		}
		row.Cells[i] = before.Cells[i]
	}
	return row
}

// gone takes away what was collected of a row. With --deletes, a change that deletes its user by the model's mode is kept as that.
func (j *replayJob) gone(r *kafka.Replayed, c *connector.Change, m int, name string, key connector.Key) error {
	row, err := j.spool.Row(name, key)
	if err != nil {
		return err
	}
	if over, err := j.overtaken(r, c, name, key, row); over || err != nil {
		return err
	}
	now := state.SpoolRow{Standing: state.Gone, At: c.Time, Partition: r.Partition}
	if j.q.Deletes && key == c.Key {
		effects, err := j.mapper.Map(nil, c, spoolIDs{j, row})
		if err != nil && !ofRow(err) {
			return err
		}
		for i := range effects {
			if e := &effects[i]; e.Model == m && (e.Kind == connector.DeleteUser && e.Owner || e.Kind == connector.DeleteItem || e.Kind == connector.Subscribe && e.Ends) {
				e.Key, e.Change = key, nil
				now.Standing, now.Effect = state.Kept, j.r.a.pipeline.Stored(e)
			}
		}
	}
	return j.spool.Put(name, key, &now)
}

// spoolIDs answers which user a row had: by what was collected of it, else by the cache.
type spoolIDs struct {
	j   *replayJob
	row *state.SpoolRow
}

// User implements connector.IDs.
func (s spoolIDs) User(model int, key connector.Key) (connector.User, bool) {
	if s.row.Effect != nil && s.row.Effect.Kind == connector.Track && len(s.row.Effect.Rows) > 0 && s.row.Effect.Rows[0].Key == key {
		return s.row.Effect.User, true
	}
	u, ok, err := s.j.r.a.cache.RowUser(s.j.mapper.Models()[model].Name, key)
	return u, ok && err == nil
}

// collectLater takes a change behind the range: its row and its users are left out.
func (j *replayJob) collectLater(r *kafka.Replayed, c *connector.Change, m int, wanted bool) error {
	name := j.mapper.Models()[m].Name
	for _, image := range []connector.Row{c.Before, c.After} {
		if !image.Exists() {
			continue
		}
		effects, _, err := j.mapRow(m, image, c.Time)
		if err != nil {
			return err
		}
		for i := range effects {
			j.spool.Mark(name, effects[i].User)
		}
	}
	if !wanted {
		return nil
	}
	for _, key := range []connector.Key{c.Key, c.OldKey} {
		if key.ID == "" {
			continue
		}
		row, err := j.spool.Row(name, key)
		if err != nil {
			return err
		}
		now := state.SpoolRow{Standing: state.Later, At: c.Time, Partition: r.Partition}
		switch {
		case row.Standing == state.Unknown || row.Standing == state.Ahead:
			now.Standing = state.Ahead
		case r.Unread:
			now.Standing = state.Unread
		}
		if row.Effect != nil {
			j.spool.Mark(name, row.Effect.User)
		}
		if err := j.spool.Put(name, key, &now); err != nil {
			return err
		}
	}
	return nil
}

// emptied tells whether a row's last change came before a TRUNCATE of its table.
func (j *replayJob) emptied(table string, at time.Time) bool {
	t, ok := j.note.Emptied[table]
	return ok && !at.After(t)
}
