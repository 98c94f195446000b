package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/kafka"
)

// sourceRow is a row at the source and what Braze should hold of it.
type sourceRow struct {
	id   string // of the row's key
	key  string // as --key takes it
	user connector.User
	// fields are all mapped fields, NULLs included; none where the user should not be there.
	fields  []connector.Field
	creates bool   // Braze should know the user
	gone    bool   // Braze should not, since the row is deleted at the source
	held    string // why it cannot be mapped
	none    bool   // nothing is sent of it, and nothing says that its user should be gone
	left    []remark
}

// sampler is a source that can give rows spread over a table.
type sampler interface {
	Sample(ctx context.Context, table string, n int) ([]connector.Row, error)
}

// rows reads the rows to compare.
func (v *verifier) rows(ctx context.Context) ([]sourceRow, error) {
	if v.topics != nil {
		return v.newest(ctx)
	}
	if len(v.q.keys) > 0 {
		return v.keyed(ctx, v.q.keys)
	}
	s, ok := v.source.(sampler)
	if !ok {
		return nil, fmt.Errorf("read a sample of %s: %w", v.table.Name, connector.ErrNotReadable)
	}
	rows, err := s.Sample(ctx, v.table.Name, v.q.sample)
	if err != nil {
		return nil, err
	}
	out := make([]sourceRow, 0, len(rows))
	for _, row := range rows {
		w, err := v.want(ctx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// again reads the rows of some that were read before.
func (v *verifier) again(ctx context.Context, before []sourceRow) ([]sourceRow, error) {
	if v.topics == nil {
		keys := make([]string, len(before))
		for i := range before {
			keys[i] = before[i].key
		}
		return v.keyed(ctx, keys)
	}
	now, err := v.newest(ctx)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(before)
	for i := range out {
		if j := slices.IndexFunc(now, func(w sourceRow) bool { return w.id == out[i].id }); j >= 0 {
			out[i] = now[j]
		}
	}
	return out, nil
}

// keyed reads rows by their keys.
func (v *verifier) keyed(ctx context.Context, keys []string) ([]sourceRow, error) {
	out := make([]sourceRow, 0, len(keys))
	for _, key := range keys {
		id, err := keyOf(v.table, key)
		if err != nil {
			return nil, err
		}
		where, err := connector.SplitKey(v.table, id)
		if err != nil {
			return nil, err
		}
		rows, err := v.source.Rows(ctx, connector.Query{Table: v.table.Name, Where: where, Limit: 1})
		if err != nil {
			return nil, err
		}
		var w sourceRow
		if len(rows) > 0 {
			w, err = v.want(ctx, rows[0])
		} else {
			row := connector.Row{Table: v.table, Cells: make([]connector.Cell, len(v.table.Columns))}
			for _, e := range where {
				row.Cells[v.table.Column(e.Column)] = connector.Cell{State: connector.Set, Raw: e.Text}
			}
			w, err = v.deleted(ctx, &connector.Change{Key: connector.Key{Table: v.table.Name, ID: id}, Op: connector.Delete, Before: row, Time: time.Now()})
		}
		if err != nil {
			return nil, err
		}
		w.id, w.key = id, key
		out = append(out, w)
	}
	return out, nil
}

// newest takes the rows out of the newest records of the model's topics. Of a row's records the last one counts.
func (v *verifier) newest(ctx context.Context) ([]sourceRow, error) {
	recs, err := v.topics.sample(ctx, v.m, v.q.sample)
	if err != nil {
		return nil, err
	}
	last := map[connector.Key]*connector.Change{}
	var order []connector.Key
	for i := range recs {
		changes, _, err := v.topics.decode(ctx, &recs[i])
		var bad *kafka.PoisonError
		if err != nil && !errors.As(err, &bad) {
			return nil, fmt.Errorf("decode the record of %s partition %d offset %d: %w", recs[i].Topic, recs[i].Partition, recs[i].Offset, err)
		}
		for j := range changes {
			c := &changes[j]
			if c.Op == connector.Truncate {
				continue
			}
			if last[c.Key] == nil {
				order = append(order, c.Key)
			}
			last[c.Key] = c
		}
	}
	var out []sourceRow
	found := map[string]bool{} // of --key
	for _, k := range order {
		c := last[k]
		var w sourceRow
		if c.Op == connector.Delete {
			w, err = v.deleted(ctx, c)
			w.key = keyFlag(c.Before.Table, k.ID)
		} else {
			w, err = v.want(ctx, c.After)
			w.key = keyFlag(c.After.Table, k.ID)
		}
		if err != nil {
			return nil, err
		}
		w.id = k.Table + "\x00" + k.ID
		wanted := len(v.q.keys) == 0
		for _, key := range v.q.keys {
			if id, err := rowKeyOf(cmp.Or(c.After.Table, c.Before.Table), key); err == nil && id == k.ID {
				wanted, found[key] = true, true
			}
		}
		if wanted {
			out = append(out, w)
		}
	}
	for _, key := range v.q.keys {
		if !found[key] {
			return nil, usagef("--key %s: none of the newest %d records of the topic is of that row", key, v.q.sample)
		}
	}
	return out, nil
}

// keyFlag is a row's key as --key takes it.
func keyFlag(t *connector.Table, id string) string {
	if t == nil {
		return id
	}
	where, err := connector.SplitKey(t, id)
	if err != nil || len(where) < 2 {
		return id
	}
	parts := make([]string, len(where))
	for i, e := range where {
		parts[i] = e.Column + "=" + e.Text
	}
	return strings.Join(parts, ",")
}

// want maps a living row.
func (v *verifier) want(ctx context.Context, row connector.Row) (sourceRow, error) {
	id := connector.KeyOf(row).ID
	w := sourceRow{id: id, key: keyFlag(row.Table, id)}
	v.remarks, v.passed = nil, ""
	effects, err := v.mapper.MapRow(nil, v.at, row, time.Now())
	w.left = v.remarks
	if w.held, err = unmappable(err); err != nil || w.held != "" {
		return w, err
	}
	for i := range effects {
		if e := &effects[i]; e.Kind == connector.Track {
			w.user, w.fields, w.creates = e.User, e.Fields, !e.UpdateOnly
			return w, nil
		}
	}
	ends := v.passed == "delete_when" || v.passed == "filter" && v.m.OnLeave == "delete"
	if !ends || !v.mapper.Models()[v.at].Owner || v.m.Mode != "sync" {
		w.none = true
		return w, nil
	}
	v.whole.remarks = nil
	effects, err = v.whole.mapper.MapRow(nil, v.at, row, time.Now())
	if w.held, err = unmappable(err); err != nil || w.held != "" || len(effects) == 0 {
		w.none = len(effects) == 0
		return w, err
	}
	w.user = effects[0].User
	w.gone, err = v.noOther(ctx, w.user)
	w.none = !w.gone
	return w, err
}

// deleted says whose row was deleted, where its deletion should have deleted a user.
func (v *verifier) deleted(ctx context.Context, c *connector.Change) (sourceRow, error) {
	w := sourceRow{none: true}
	v.remarks = nil
	effects, err := v.mapper.Map(nil, c, sentAs(nil))
	if w.held, err = unmappable(err); err != nil || w.held != "" {
		return w, err
	}
	for i := range effects {
		if e := &effects[i]; e.Model == v.at && e.Kind == connector.DeleteUser {
			w.user = e.User
			w.gone, err = v.noOther(ctx, e.User)
			w.none = !w.gone
		}
	}
	return w, err
}

// noOther tells that no living row of the model has the user, as far as the source can be asked.
func (v *verifier) noOther(ctx context.Context, u connector.User) (bool, error) {
	column := v.mapper.Models()[v.at].IDColumn
	if v.topics != nil || column == "" || u.Kind != connector.ExternalID {
		return true, nil
	}
	rows, err := v.source.Rows(ctx, connector.Query{Table: v.table.Name, Where: []connector.Equal{{Column: column, Text: u.ID}}})
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		effects, err := v.mapper.MapRow(nil, v.at, row, time.Now())
		if why, err := unmappable(err); err != nil {
			return false, err
		} else if why != "" || len(effects) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// unmappable takes the reason out of an error that is the row's own.
func unmappable(err error) (why string, other error) {
	var bad *connector.RowError
	var need *connector.NeedRowError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &bad):
		return bad.Error(), nil
	case errors.As(err, &need):
		return need.Error(), nil
	}
	return "", fmt.Errorf("map a row: %w", err)
}
