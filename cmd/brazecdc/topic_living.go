package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// newestRecords is how many messages of a topic are looked at where a whole one would be too much: for the rows that live in it, and for how many match a rule.
const newestRecords = 20_000

// topicEnd is which rows live at the end of a topic, as far as its newest messages tell.
type topicEnd struct {
	rows   []connector.Change // the newest change of each row that still lives, newest first
	looked int                // messages that were looked at
	total  int64              // messages that there are at most
}

// whole tells whether nothing older was left out.
func (l *topicEnd) whole() bool { return l.total <= int64(newestRecords) }

// living finds the rows that live at the end of a model's topics among the newest n messages. What can't be decoded is left out, as it is when it is held back.
func (t *topics) living(ctx context.Context, m *connector.Model, n int) (*topicEnd, error) {
	out := &topicEnd{}
	infos, err := t.Topics(ctx)
	if err != nil {
		return nil, err
	}
	reads := m.Reads()
	for _, info := range infos {
		if reads(info.Name) && !slices.Contains(t.own, info.Name) {
			out.total += info.Offsets
		}
	}
	recs, err := t.sample(ctx, m, n)
	if err != nil {
		return nil, err
	}
	out.looked = len(recs)
	type place struct {
		topic     string
		partition int32
		offset    int64
		at        int // in out.rows, negative of a row that is gone
	}
	last := map[connector.Key]place{}
	for i := range slices.Backward(recs) {
		rec := &recs[i]
		changes, _, err := t.decode(ctx, rec)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		for j := range slices.Backward(changes) {
			c := &changes[j]
			was, known := last[c.Key]
			// The times of messages may lie in any order; in one partition the offset tells which is newer.
			if known && (was.topic != rec.Topic || was.partition != rec.Partition || was.offset >= rec.Offset) {
				continue
			}
			now := place{rec.Topic, rec.Partition, rec.Offset, -1}
			switch {
			case c.After.Exists() && known && was.at >= 0:
				now.at, out.rows[was.at] = was.at, *c
			case c.After.Exists():
				now.at, out.rows = len(out.rows), append(out.rows, *c)
			case known && was.at >= 0:
				out.rows[was.at].After = connector.Row{}
			}
			last[c.Key] = now
			if c.OldKey.ID != "" {
				if _, known := last[c.OldKey]; !known { // the row has another name now
					last[c.OldKey] = place{rec.Topic, rec.Partition, rec.Offset, -1}
				}
			}
		}
	}
	out.rows = slices.DeleteFunc(out.rows, func(c connector.Change) bool { return !c.After.Exists() })
	return out, nil
}

// newestOf finds a row that lives at the end of a model's topics by its key.
func (r *reader) newestOf(ctx context.Context, model int, key string) (connector.Row, error) {
	m := &r.cfg.Models[model]
	l, err := r.topics.living(ctx, m, newestRecords)
	if err != nil {
		return connector.Row{}, err
	}
	for i := range l.rows {
		c := &l.rows[i]
		if id, err := keyOf(c.After.Table, key); err == nil && id == c.Key.ID {
			return c.After, nil
		}
	}
	where := fmt.Sprintf("the newest %d messages of %s hold", l.looked, m.Relation())
	if l.whole() {
		where = m.Relation() + " holds"
	}
	return connector.Row{}, fmt.Errorf("read the row: %s no living row with the key %s", where, key)
}

// beforeGroup refuses to send a single row once the group has begun: its processes know what is on the way to Braze, and whom they erased.
func (r *reader) beforeGroup(ctx context.Context, model int) error {
	members, err := r.topics.Members(ctx)
	if err != nil {
		return err
	}
	m := &r.cfg.Models[model]
	infos, err := r.topics.Topics(ctx)
	if err != nil {
		return err
	}
	begun, reads := len(members) > 0, m.Reads()
	for _, info := range infos {
		if !reads(info.Name) || begun {
			continue
		}
		offsets, err := r.topics.Committed(ctx, info.Name)
		if err != nil {
			return err
		}
		begun = len(offsets) > 0
	}
	if !begun {
		return nil
	}
	return &connector.StopError{
		Code: exitUsage, What: fmt.Sprintf("the group %q has begun to read %s, so a single message can't be sent beside it", r.cfg.Source.Kafka.Group, m.Relation()),
		Fix: `"brazecdc replay --topic TOPIC --key KEY" brings a row again, in its place among the others`,
	}
}

// topicCost is what reading a model's topics from their beginning means, as far as the newest messages tell.
type topicCost struct {
	rows          int64 // that would be sent
	points        int   // of a row, at most
	looked, total int64 // messages
}

// topicCosts looks at the newest messages of each model's topics.
func (r *reader) topicCosts(ctx context.Context, cfg *config.Config) ([]topicCost, error) {
	out := make([]topicCost, len(cfg.Models))
	for i := range cfg.Models {
		l, err := r.topics.living(ctx, &cfg.Models[i], newestRecords)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", cfg.Models[i].Relation(), err)
		}
		c := &out[i]
		c.looked, c.total = int64(l.looked), l.total
		users := map[connector.User]bool{}
		for j := range l.rows {
			effects, err := r.mapper.MapRow(nil, i, l.rows[j].After, time.Now())
			if _, held := errors.AsType[*connector.RowError](err); err != nil && !held {
				return nil, fmt.Errorf("map a row: %w", err)
			}
			n := 0
			for k := range effects {
				users[effects[k].User] = true
				n += points(&effects[k])
			}
			c.points = max(c.points, n)
		}
		c.rows = int64(len(users))
	}
	return out, nil
}
