package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/kafka"
	"brazecdc/connector/mapping"
)

// retrier brings one quarantine entry of a topic again. It reads and decodes the record with a source and a decoder of its own, since those of the stream must
// see records in order.
type retrier struct {
	a      *app
	e      *connector.Entry
	src    *topics
	record *kafka.Record // the original
	mapper *mapping.Mapper
	sent   bool // something of it went to Braze
	late   bool // events go although they are older than max_age
}

// Retry implements control.API.
func (a *app) Retry(ctx context.Context, id uint64) (string, error) {
	return a.retryAs(ctx, id, false)
}

func (a *app) retryAs(ctx context.Context, id uint64, late bool) (string, error) {
	text, err := a.retryEntry(ctx, id, late)
	var ended *connector.EndedError
	if err != nil && ctx.Err() == nil && !errors.As(err, &ended) {
		if e, _ := a.journal.Quarantine().Entry(id); e != nil { // of one that is not there, nobody knows the model
			a.countRetried(e.Model, connector.RetryImpossible)
		}
	}
	return text, err
}

func (a *app) countRetried(model string, how connector.RetryEnd) {
	models := a.pipeline.Metrics().Models
	for i := range models {
		if models[i].Name == model {
			models[i].CountRetried(how)
		}
	}
}

func (a *app) retryEntry(ctx context.Context, id uint64, late bool) (string, error) {
	e, err := a.journal.Quarantine().Entry(id)
	switch {
	case err != nil:
		return "", err
	case e.Closed != "":
		return "", fmt.Errorf("entry %d is closed: %s", id, e.Closed)
	}
	model, event := a.happens(e)
	switch {
	case event && (a.topics == nil || e.Effect != nil):
		return a.retryHappened(ctx, e, model, late)
	case a.topics == nil:
		return a.pipeline.Retry(ctx, id)
	case e.Effect != nil && e.Effect.Kind == connector.Track:
		return a.pipeline.Retry(ctx, id)
	}
	src, err := newTopics(a.cfg, a.log, hooks{})
	if err != nil {
		return "", err
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	r := &retrier{a: a, e: e, src: src, late: late}
	if r.record, err = r.original(ctx); err != nil {
		return "", fmt.Errorf("entry %d can't be retried: %w", id, err)
	}
	return r.retry(ctx)
}

// original gives the record of the entry: as it was kept, else as its topic holds it.
func (r *retrier) original(ctx context.Context) (*kafka.Record, error) {
	o := r.e.Original
	switch {
	case o != nil && o.Gone:
		return nil, fmt.Errorf("its record was no longer in topic %s when it was to be kept; change the row at its source, or discard the entry", o.Topic)
	case o != nil && o.Kept != "":
		h, err := r.src.HeldAt(ctx, o.Kept, o.KeptAt)
		if err == nil {
			return h.Record(), nil
		}
		if !errors.Is(err, kafka.ErrRecordGone) {
			return nil, err
		}
	case o != nil && !o.Cut:
		rec := &kafka.Record{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Time: o.Time, Key: o.Key, Value: o.Value}
		for _, h := range o.Headers {
			rec.Headers = append(rec.Headers, kafka.Header(h))
		}
		return rec, nil
	}
	topic, partition, ok := streamPlace(r.e.Stream)
	if !ok {
		return nil, errors.New("it came of no record that could be read again; the next change of its row brings what it lacks")
	}
	rec, err := r.src.RecordAt(ctx, topic, partition, int64(r.e.Offset))
	if errors.Is(err, kafka.ErrRecordGone) {
		err = fmt.Errorf("%w; change the row at its source, or discard the entry", err)
	}
	return rec, err
}

func (r *retrier) retry(ctx context.Context) (string, error) {
	changes, skip, err := r.src.decode(ctx, r.record)
	var bad *kafka.PoisonError
	switch {
	case errors.As(err, &bad):
		return "", fmt.Errorf("entry %d still can't be decoded: %s; it stays", r.e.ID, bad.Reason)
	case err != nil:
		return "", fmt.Errorf("entry %d can't be decoded now, and stays: %w", r.e.ID, err)
	}
	var said []string
	for i := range changes {
		c := &changes[i]
		c.ID = connector.ChangeID{Commit: uint64(r.record.Offset), N: uint32(i)}
		if c.Time.IsZero() {
			c.Time = r.record.Time
		}
		if !r.ofRecord() && c.Key != r.e.Row() {
			continue
		}
		text, err := r.change(ctx, c)
		if err != nil {
			return "", err
		}
		said = append(said, text)
	}
	switch {
	case len(said) == 0 && skip != "":
		said = append(said, "it holds no change that is to be sent: "+skip)
	case len(said) == 0:
		return "", fmt.Errorf("entry %d can't be retried: its record no longer decodes to a change of row %s; discard it", r.e.ID, r.e.Key.ID)
	}
	text := strings.Join(said, "; ")
	if r.ofRecord() {
		how := connector.RetryNeedless
		if r.sent {
			how = connector.RetryAccepted
		}
		r.a.countRetried(r.e.Model, how)
		return text, r.a.pipeline.CloseEntry(ctx, r.e.ID, "retried: "+text)
	}
	return text, nil
}

// ofRecord tells whether the entry is of a whole record, of which nobody knew the row.
func (r *retrier) ofRecord() bool { return r.e.Class == classUndecodable }

// models are the models that the entry's changes are for.
func (r *retrier) models() []int {
	if r.ofRecord() {
		return r.a.topics.feeds.models(r.record.Topic)
	}
	for i := range r.a.cfg.Models {
		if r.a.cfg.Models[i].Name == r.e.Model {
			return []int{i}
		}
	}
	return nil
}

// change brings one change of the record, unless a later record of its row made it needless.
func (r *retrier) change(ctx context.Context, c *connector.Change) (string, error) {
	models := r.models()
	var said []string
	for _, m := range models {
		if !r.a.mapper.Models()[m].Happens {
			continue
		}
		text, err := r.events(ctx, c, m)
		if err != nil {
			return "", err
		}
		said = append(said, text)
	}
	if len(said) == len(models) && len(said) > 0 {
		return strings.Join(said, "; "), r.closeNeedless(ctx, said[0])
	}
	now, err := r.present(ctx, c)
	if err != nil {
		return "", err
	}
	what := ""
	switch {
	case c.Op == connector.Truncate:
		return "", fmt.Errorf("entry %d says that %s was emptied, which is not sent; discard it", r.e.ID, c.Key.Table)
	case now.bad > now.last:
		return "", fmt.Errorf("entry %d can't be retried: a later record of its row, offset %d, can't be decoded either; retry that one", r.e.ID, now.bad)
	case now.last >= 0 && now.gone:
		what = fmt.Sprintf("a later record of that row, offset %d, deleted it", now.last)
	case now.last >= 0 && (now.whole || c.Op == connector.Delete):
		what = fmt.Sprintf("a later record of that row, offset %d, brought it whole", now.last)
	case c.Op == connector.Delete:
		return r.deleted(ctx, c)
	default:
		return r.rows(ctx, c, now)
	}
	if r.ofRecord() {
		return what, nil
	}
	r.a.countRetried(r.e.Model, connector.RetryNeedless)
	return what, r.a.pipeline.CloseEntry(ctx, r.e.ID, "delivered: "+what)
}

// closeNeedless ends an entry of which nothing had to be sent; one that was sent ended when Braze accepted it.
func (r *retrier) closeNeedless(ctx context.Context, what string) error {
	if r.sent || r.ofRecord() {
		return nil
	}
	r.a.countRetried(r.e.Model, connector.RetryNeedless)
	return r.a.pipeline.CloseEntry(ctx, r.e.ID, "delivered: "+what)
}

// presentState is what a partition's log says of a row from a record on.
type presentState struct {
	row   connector.Row // absent cells filled from older records; none where the row is gone
	last  int64         // offset of the newest record of the row behind the entry's, -1 for none
	whole bool          // that record carries all columns
	gone  bool          // that record deleted it
	bad   int64         // offset of the newest one with the row's key that cannot be decoded, -1 for none
}

// present follows a row from the entry's record to the end of its partition's log, where its producer writes all records of the row. Records are the row's by
// the bytes of their key; where there is no key, by what they decode to.
func (r *retrier) present(ctx context.Context, c *connector.Change) (presentState, error) {
	now := presentState{row: c.After, last: -1, bad: -1}
	_, err := r.src.Later(ctx, r.record.Topic, r.record.Partition, r.record.Offset+1, func(rec *kafka.Record) error {
		if r.record.Key != nil && !bytes.Equal(rec.Key, r.record.Key) {
			return nil
		}
		changes, _, err := r.src.decode(ctx, rec)
		var bad *kafka.PoisonError
		switch {
		case errors.As(err, &bad):
			if r.record.Key != nil {
				now.bad = rec.Offset
			}
			return nil
		case err != nil:
			return err
		}
		for i := range changes {
			if l := &changes[i]; l.Key == c.Key && l.Op != connector.Truncate {
				now.take(l, rec.Offset)
			}
		}
		return nil
	})
	if err != nil {
		return now, fmt.Errorf("look for later records of the row: %w", err)
	}
	return now, nil
}

func (s *presentState) take(c *connector.Change, offset int64) {
	s.last, s.gone = offset, c.Op == connector.Delete
	if s.gone {
		s.row, s.whole = connector.Row{}, true
		return
	}
	s.whole = true
	row := connector.Row{Table: c.After.Table, Cells: append([]connector.Cell(nil), c.After.Cells...)}
	for i := range row.Cells {
		if row.Cells[i].State != connector.Absent {
			continue
		}
		s.whole = false
		if s.row.Exists() {
			if j := s.row.Table.Column(row.Table.Columns[i].Name); j >= 0 {
				row.Cells[i] = s.row.Cells[j]
			}
		}
	}
	s.row = row
}

// rows sends the row as the log has it now, for each model.
func (r *retrier) rows(ctx context.Context, c *connector.Change, now presentState) (string, error) {
	read := func(ctx context.Context) (connector.Row, bool, error) {
		s, err := r.present(ctx, c)
		return s.row, err == nil && !s.gone && s.row.Exists() && (s.last < 0 || !s.whole), err
	}
	var said []string
	for _, m := range r.models() {
		if r.a.mapper.Models()[m].Happens {
			continue // its events were sent
		}
		model := r.a.cfg.Models[m].Name
		text, err := r.a.pipeline.RetryRow(ctx, r.e.ID, model, c.Key, now.row, read)
		if err != nil {
			return "", r.refused(ctx, model, c.Key, err)
		}
		r.sent = true
		said = append(said, text)
	}
	return strings.Join(said, "; "), nil
}

// refused ends a record's entry whose row has become an entry of its own.
func (r *retrier) refused(ctx context.Context, model string, key connector.Key, err error) error {
	if !r.ofRecord() {
		return err
	}
	list, lerr := r.a.journal.Quarantine().List(connector.EntryFilter{Model: model, Row: key, Limit: 1})
	if lerr != nil || len(list) == 0 {
		return err
	}
	r.a.countRetried(r.e.Model, connector.RetryHeldAgain)
	how := fmt.Sprintf("retried: it decodes now, and its row is entry %d", list[0].ID)
	return errors.Join(fmt.Errorf("%w; its row is entry %d now", err, list[0].ID), r.a.pipeline.CloseEntry(ctx, r.e.ID, how))
}

// deleted sends a delete, where no later record brings the user again.
func (r *retrier) deleted(ctx context.Context, c *connector.Change) (string, error) {
	if r.e.Effect != nil && r.e.Effect.Kind == connector.DeleteUser {
		if err := r.staysAway(ctx, r.e.Effect.User); err != nil {
			return "", err
		}
		return r.a.pipeline.Retry(ctx, r.e.ID)
	}
	if err := r.compile(); err != nil {
		return "", err
	}
	all, err := r.mapper.Map(nil, c, usersOf{r.a.pipeline})
	if err != nil {
		return "", fmt.Errorf("entry %d still can't be mapped: %w; it stays", r.e.ID, err)
	}
	var effects []connector.StoredEffect
	for _, m := range r.models() {
		for i := range all {
			e := &all[i]
			if e.Model != m {
				continue
			}
			if e.Kind == connector.DeleteUser {
				if err := r.staysAway(ctx, e.User); err != nil {
					return "", err
				}
			}
			effects = append(effects, *r.a.pipeline.Stored(e))
		}
	}
	if len(effects) > 0 {
		r.sent = true
		return r.a.pipeline.RetryDelete(ctx, r.e.ID, effects)
	}
	const nothing = "the mode or the filter has nothing to send for this delete"
	if r.ofRecord() {
		return nothing, nil
	}
	r.a.countRetried(r.e.Model, connector.RetryNeedless)
	return nothing, r.a.pipeline.CloseEntry(ctx, r.e.ID, "delivered: "+nothing)
}

func (r *retrier) compile() (err error) {
	if r.mapper == nil {
		r.mapper, err = r.a.ownMapper()
	}
	return err
}

// usersOf answers with what the pipeline knows of rows.
type usersOf struct{ p *connector.Pipeline }

// User implements connector.IDs.
func (u usersOf) User(model int, key connector.Key) (connector.User, bool) {
	return u.p.UserOf(model, key)
}

// staysAway makes sure that no row of the owner came after the entry's record with the same user, under another key: a topic has no living rows to ask, so
// the log is read from the record's time on, all partitions.
func (r *retrier) staysAway(ctx context.Context, u connector.User) error {
	if err := r.compile(); err != nil {
		return err
	}
	models := r.mapper.Models()
	for _, m := range r.models() {
		if models[m].IDFromKey {
			continue // another key is another user
		}
		if err := r.cameAgain(ctx, m, u); err != nil {
			return err
		}
	}
	return nil
}

func (r *retrier) cameAgain(ctx context.Context, model int, u connector.User) error {
	log, err := r.src.Replay(ctx, kafka.Range{Topic: r.record.Topic, From: kafka.Place{Time: r.record.Time}})
	if err != nil {
		return err
	}
	defer log.Close()
	for {
		got, err := log.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for later rows of the user: %w", err)
		}
		if got.Partition == r.record.Partition && got.Offset <= r.record.Offset {
			continue
		}
		for i := range got.Changes {
			c := &got.Changes[i]
			if !c.After.Exists() {
				continue
			}
			effects, err := r.mapper.MapRow(nil, model, c.After, c.Time)
			if err != nil {
				continue // a row that can't be mapped names no user
			}
			for j := range effects {
				if effects[j].User == u {
					return fmt.Errorf("entry %d is the delete of user %q, who came again with offset %d of partition %d; discard it", r.e.ID, u.ID, got.Offset, got.Partition)
				}
			}
		}
	}
}
