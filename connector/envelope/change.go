package envelope

import (
	"strconv"
	"strings"

	"brazecdc/connector"
)

// change makes a Change of what a record says.
func (d *Decoder) change(w *worker, dst []connector.Change, t *topic, rec *Record, key []keyPart, ev *event) ([]connector.Change, Skip, error) {
	if strings.HasPrefix(t.name, "__debezium-heartbeat") {
		return dst, SkipHeartbeat, nil
	}
	switch ev.kind {
	case kindNothing:
		return d.tombstone(w, dst, t, rec, key)
	case kindMessage, kindTransaction, kindHeartbeat, kindSchemaChange:
		return dst, skips[ev.kind], nil
	case kindRowChange:
		if len(ev.key.fields) > 0 {
			key = w.changeKey(ev)
		} else if ev.op != connector.Truncate {
			return dst, NoSkip, poison("its key is empty")
		}
	}
	if t.append {
		return d.event(w, dst, t, rec, key, ev)
	}
	if ev.op == connector.Truncate {
		return append(dst, connector.Change{Key: connector.Key{Table: t.name}, Op: connector.Truncate, Time: ev.time(rec), ID: connector.ChangeID{Commit: uint64(rec.Offset)}}), NoSkip, nil
	}
	if len(key) == 0 && ev.kind == kindRow && !ev.marked {
		return dst, NoSkip, poison("the record has no key, so nothing tells which row it is (envelope: append is for topics of events)")
	}
	if ev.op == connector.Delete {
		return d.deleted(w, dst, t, rec, key, ev)
	}
	if !ev.after.exists {
		return dst, NoSkip, poison("it has no new row")
	}
	return d.present(w, dst, t, rec, key, ev)
}

// present makes the change that a record with a new row says.
func (d *Decoder) present(w *worker, dst []connector.Change, t *topic, rec *Record, key []keyPart, ev *event) ([]connector.Change, Skip, error) {
	v, err := t.version(ev.source, key)
	if err != nil {
		return dst, NoSkip, err
	}
	after, v, err := d.cells(w, t, v, key, ev.after, ev.before)
	if err != nil {
		return dst, NoSkip, err
	}
	ch := connector.Change{Op: ev.op, Time: ev.time(rec), ID: connector.ChangeID{Commit: uint64(rec.Offset)}}
	if ch.Op == 0 {
		ch.Op = connector.Update // new or not: an update is what may be both
	}
	ch.Key = connector.Key{Table: t.name, ID: v.id(key, after)}
	if len(key) > 0 {
		t.deleted.forget(rec, ch.Key.ID)
	}
	if ch.Op == connector.Update && ev.kind == kindEnvelope || ev.kind == kindRowChange {
		was := v
		before, now, err := d.oldRow(w, t, v, key, ev, after)
		if err != nil {
			return dst, NoSkip, err
		}
		if v = now; len(v.columns) != len(was.columns) { // the old row brought columns that the new one lacks
			if after, v, err = d.cells(w, t, v, key, ev.after); err != nil {
				return dst, NoSkip, err
			}
		}
		if before != nil {
			ch.Before = connector.Row{Table: v.table, Cells: before}
			fill(after, before)
			if old := v.id(nil, before); len(key) == 0 && old != ch.Key.ID {
				ch.OldKey = connector.Key{Table: t.name, ID: old}
			}
		}
	}
	ch.After = connector.Row{Table: v.table, Cells: after}
	return d.renamed(w, append(dst, ch), t, rec, v, ev)
}

// fill takes what an update did not carry from the old row: it is the same.
func fill(after, before []connector.Cell) {
	for i := range after {
		if after[i].State == connector.Absent {
			after[i] = before[i]
		}
	}
}

// oldRow gives the old row of an update where it is more than its key. The first one shows that the table logs old rows, unless it does not even have the
// key: then it is of an index that is not the key (REPLICA IDENTITY USING INDEX), and its other columns are made up.
func (d *Decoder) oldRow(w *worker, t *topic, v *version, key []keyPart, ev *event, after []connector.Cell) ([]connector.Cell, *version, error) {
	if ev.kind == kindRowChange {
		if !ev.before.exists {
			return nil, v, nil
		}
		return d.cells(w, t, v, key, ev.before) // a changed key is put in by renamed
	}
	if !ev.before.exists {
		return nil, t.whole(v, t.always, key), nil
	}
	before, v, err := d.cells(w, t, v, nil, ev.before)
	if err != nil {
		return nil, v, err
	}
	for _, i := range v.key {
		if before[i] != after[i] && len(key) > 0 {
			return nil, v, nil
		}
	}
	return before, t.whole(v, true, key), nil
}

// renamed makes the second half of a key change an update that names the old key.
func (d *Decoder) renamed(w *worker, dst []connector.Change, t *topic, rec *Record, v *version, ev *event) ([]connector.Change, Skip, error) {
	ch := &dst[len(dst)-1]
	var parts []keyPart
	if ev.kind == kindRowChange {
		parts = w.oldKey(ev)
	} else if h, ok := rec.header("__debezium.oldkey"); ok && ev.op == connector.Insert || ok && ev.op == 0 {
		var err error
		if parts, err = w.textKey(t, string(h)); err != nil {
			return dst[:len(dst)-1], NoSkip, poison("the header __debezium.oldkey is malformed")
		}
	}
	if len(parts) == 0 {
		return dst, NoSkip, nil
	}
	old, cells, err := v.keyRow(w, parts)
	if err != nil {
		return dst[:len(dst)-1], NoSkip, err
	}
	if old == ch.Key.ID {
		return dst, NoSkip, nil
	}
	ch.Op = connector.Update
	ch.OldKey = connector.Key{Table: t.name, ID: old}
	if ch.Before.Exists() {
		for _, i := range v.key {
			ch.Before.Cells[i] = cells[i]
		}
	} else {
		ch.Before = connector.Row{Table: v.table, Cells: cells}
	}
	return dst, NoSkip, nil
}

// deleted makes the delete that a record says, with as much of the old row as can be believed.
func (d *Decoder) deleted(w *worker, dst []connector.Change, t *topic, rec *Record, key []keyPart, ev *event) ([]connector.Change, Skip, error) {
	if !ev.before.exists && len(key) == 0 {
		return dst, NoSkip, poison("it deletes a row without saying which: it has neither a key nor an old row")
	}
	v, err := t.version(ev.source, key)
	if err != nil {
		return dst, NoSkip, err
	}
	var cells []connector.Cell
	if ev.before.exists {
		cells, v, err = d.cells(w, t, v, key, ev.before)
	} else {
		_, cells, err = v.keyRow(w, key)
	}
	if err != nil {
		return dst, NoSkip, err
	}
	id := v.id(key, cells)
	t.deleted.remember(rec, id)
	if _, moved := rec.header("__debezium.newkey"); moved {
		return dst, SkipKeyChange, nil
	}
	if ev.before.exists && !v.full && len(key) > 0 && ev.kind != kindRowChange {
		v.onlyKey(cells)
	}
	return append(dst, connector.Change{Key: connector.Key{Table: t.name, ID: id}, Op: connector.Delete, Before: connector.Row{Table: v.table, Cells: cells},
		Time: ev.time(rec), ID: connector.ChangeID{Commit: uint64(rec.Offset)}}), NoSkip, nil
}

// event makes an insert of its own of every record that has a row.
func (d *Decoder) event(w *worker, dst []connector.Change, t *topic, rec *Record, key []keyPart, ev *event) ([]connector.Change, Skip, error) {
	if !ev.after.exists || ev.op == connector.Delete || ev.op == connector.Truncate {
		return dst, SkipAppend, nil
	}
	v, err := t.version(ev.source, key)
	if err != nil {
		return dst, NoSkip, err
	}
	cells, v, err := d.cells(w, t, v, key, ev.after)
	if err != nil {
		return dst, NoSkip, err
	}
	id := strconv.AppendInt(make([]byte, 0, 24), int64(rec.Partition), 10)
	id = strconv.AppendInt(append(id, '/'), rec.Offset, 10)
	return append(dst, connector.Change{Key: connector.Key{Table: t.name, ID: string(id)}, Op: connector.Insert, After: connector.Row{Table: v.table, Cells: cells},
		Time: ev.time(rec), ID: connector.ChangeID{Commit: uint64(rec.Offset)}}), NoSkip, nil
}

// cells lays a row out beside its table's columns, which grow where no schema describes them. Others are images whose columns count too.
func (d *Decoder) cells(w *worker, t *topic, v *version, key []keyPart, im image, others ...image) ([]connector.Cell, *version, error) {
	out := w.row(len(v.columns))
	if s, ok := v.source.(*avroSchema); ok {
		d.layAvro(out, v, s, im)
	} else if !d.layFields(out, v, im) {
		grown, err := d.grow(t, v, key, append(others, im)...)
		if err != nil {
			return nil, v, err
		}
		return d.cells(w, t, grown, key, im)
	}
	w.keep(out)
	for k, i := range v.key {
		if len(key) > 0 && (i >= v.inRow || out[i].State == connector.Absent) {
			if c, ok := v.columns[i].cellOf(&key[v.part[k]]); ok {
				out[i] = c
			}
		}
	}
	return out, v, nil
}

func (d *Decoder) layAvro(out []connector.Cell, v *version, s *avroSchema, im image) {
	for f := range im.cells {
		i := s.column[f]
		if i < 0 {
			continue
		}
		out[i] = im.cells[f]
		if n := v.columns[i].node; out[i].State == connector.Set && n.kind >= aBytes && d.hold.binary(n, out[i].Raw) {
			out[i] = connector.Cell{}
		}
	}
}

// layFields gives false where the row has a column, or a kind of value, that the table lacks.
func (d *Decoder) layFields(out []connector.Cell, v *version, im image) bool {
	_, described := v.source.(*connectShape)
	classify, own := classOf, v.source == foundChange
	if own {
		classify = changeClass
	}
	for k := range im.fields {
		f := &im.fields[k]
		i := k // most rows have their columns in the table's order
		if i >= v.inRow || v.columns[i].name != f.key {
			var ok bool
			if i, ok = v.index[f.key]; !ok || i >= v.inRow {
				if described {
					continue
				}
				return false
			}
		}
		if !own && d.hold.json(f.val) {
			continue
		}
		if c := &v.columns[i]; !described {
			if now := classify(f.val); now != c.class && join(c.class, now) != c.class {
				return false
			}
		}
		if !own && f.val[0] == 'n' || own && f.val == branchNull {
			out[i] = connector.Cell{State: connector.Null}
		} else {
			out[i] = connector.Cell{State: connector.Set, Raw: f.val}
		}
	}
	return true
}

// id is a row's identity: its record's key, else, of a table without one, the whole row.
func (v *version) id(key []keyPart, cells []connector.Cell) string {
	if len(key) > 0 {
		if len(key) == 1 {
			return key[0].text
		}
		parts := make([]string, len(v.part))
		for k, p := range v.part {
			parts[k] = key[p].text
		}
		return connector.JoinKey(parts)
	}
	parts := make([]string, len(cells))
	for i, c := range cells {
		switch c.State {
		case connector.Set:
			parts[i] = c.Raw
			if val, err := v.table.Columns[i].Decode(c.Raw); err == nil {
				parts[i] = valueText(val)
			}
		case connector.Null:
			parts[i] = nullText
		default:
			parts[i] = nullText + nullText
		}
	}
	return connector.JoinKey(parts)
}

// keyRow makes a row of which only the key is known.
func (v *version) keyRow(w *worker, key []keyPart) (id string, cells []connector.Cell, err error) {
	cells = w.row(len(v.columns))
	texts := make([]string, 0, len(v.key))
	for _, i := range v.key {
		for p := range key {
			if key[p].name != v.columns[i].name {
				continue
			}
			c, ok := v.columns[i].cellOf(&key[p])
			if !ok {
				return "", nil, poisonf("its key column %q is not of the row's type", key[p].name)
			}
			cells[i] = c
			texts = append(texts, key[p].text)
			break
		}
	}
	if len(texts) != len(v.key) || len(texts) == 0 {
		return "", nil, poison("its old key has other columns than its key")
	}
	return connector.JoinKey(texts), cells, nil
}

// onlyKey takes away what a key-only old row carries beside its key: Debezium makes values up for columns that may not be NULL.
func (v *version) onlyKey(cells []connector.Cell) {
	for i := range cells {
		if !v.table.Columns[i].Key {
			cells[i] = connector.Cell{}
		}
	}
}
