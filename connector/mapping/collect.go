package mapping

import (
	"bytes"

	"brazecdc/connector"
)

const (
	noteCollectKind = "an array of a user's rows takes text, numbers and booleans"
	noteCollectOld  = "the change does not tell the value before, which stays in the array; REPLICA IDENTITY FULL would"
)

// collects compiles a field that is an array which the rows of a user make up together.
func (c *compiler) collects(mo *model, f *field, fm *connector.FieldMap) {
	if !fm.Collect {
		return
	}
	f.collect = true
	switch {
	case mo.owner:
		c.fault(fm.Path+".collect", "the model owns its users, of whom each has one row, while collect takes a row a value", "set owns_users: false, and let another model own the users")
	case fm.HasValue:
		c.fault(fm.Path+".collect", "a constant is no value of a row", "name a column")
	case fm.Type == "array" || fm.Type == "object" || fm.Array != "" && fm.Array != "replace":
		c.fault(fm.Path+".collect", "each row gives one value of the array", "remove type and array, or choose string, number, bool or time")
	case f.null == nullValue:
		c.fault(fm.Path+".on_null", "a row without a value adds nothing to the array", "remove on_null")
	}
	t := mo.table
	if t == nil || len(mo.ids) == 0 || fm.Column == "" {
		return
	}
	cols := map[int]bool{t.Column(fm.Column): true}
	for _, s := range mo.ids {
		for _, name := range s.columns() {
			cols[t.Column(name)] = true
		}
	}
	for _, key := range t.Unique {
		covered := len(key) > 0
		for _, i := range key {
			covered = covered && cols[i]
		}
		if covered {
			return
		}
	}
	c.warn(fm.Path+".collect", "two rows of a user may hold the same value, and the end of one takes it out of the array", "add a unique key of the user's column and "+fm.Column)
}

// collected makes the field of an array that a user's rows make up: the row's value is added, and the one before is taken out.
func (j *job) collected(fp *fieldPlan, after, before connector.Row) (f connector.Field, oc outcome, column string) {
	now, oc, column := j.encodeElement(fp, after, nil, false)
	if oc == notThere {
		return f, oc, column
	}
	f.Def = fp.def
	old, same := []byte(nil), false
	if j.c != nil && j.c.Op == connector.Update && before.Exists() {
		old, same = j.elementBefore(fp, after, before)
	} else if j.c != nil && j.c.Op == connector.Update && !j.c.Before.Exists() && !j.keyed(fp) {
		j.note(fp, noteCollectOld, false)
	}
	switch {
	case now == nil && old == nil:
		return f, skipped, ""
	case j.p.m.enrich && !same && !bytes.Equal(now, old):
		f.JSON = collection(now, old)
	case j.p.m.enrich:
		f.JSON = collection(now, nil)
	case same || bytes.Equal(now, old):
		f.JSON, f.Proof = collection(now, nil), connector.Unchanged
	case old != nil:
		f.JSON, f.Proof, f.Was = collection(now, old), connector.Changed, connector.HashJSON(collection(old, nil))
	default:
		f.JSON = collection(now, nil)
	}
	return f, encoded, ""
}

// elementBefore gives the value that a row had before, nil where it had none or nobody knows.
func (j *job) elementBefore(fp *fieldPlan, after, before connector.Row) (old []byte, same bool) {
	was := fp
	if before.Table != after.Table {
		was = nil
		if p := j.m.planFor(j.p.m, before.Table); p != nil {
			was = p.fieldPlan(fp.field)
		}
	}
	oc := notThere
	if was != nil && !was.stopped {
		old, oc, _ = j.encodeElement(was, before, nil, true)
	}
	if oc != notThere {
		return old, false
	}
	if !j.keyed(fp) {
		j.note(fp, noteCollectOld, false)
		return nil, false
	}
	return nil, true
}

// keyed tells whether the value is of the row's key, and the key has not changed: then the value has not either.
func (j *job) keyed(fp *fieldPlan) bool {
	if j.c == nil || j.c.OldKey != (connector.Key{}) || len(fp.cols) == 0 {
		return false
	}
	for _, i := range fp.cols {
		if !j.p.table.Columns[i].Key {
			return false
		}
	}
	return true
}

// lastElement gives the value of a row that is gone, for the array it has to be taken out of. known is false where no image carries it.
func (j *job) lastElement(fp *fieldPlan, after, before connector.Row) (value []byte, known bool) {
	if before.Exists() {
		was := fp
		if before.Table != j.p.table {
			was = nil
			if p := j.m.planFor(j.p.m, before.Table); p != nil {
				was = p.fieldPlan(fp.field)
			}
		}
		if was != nil && !was.stopped {
			if b, oc, _ := j.encodeElement(was, before, nil, true); oc != notThere {
				return b, true
			}
		}
	}
	if after.Exists() && j.keyed(fp) {
		b, oc, _ := j.encodeElement(fp, after, nil, true)
		return b, oc != notThere
	}
	return nil, false
}

// encodeElement encodes a row's value for the array; it is nil where the row adds none.
func (j *job) encodeElement(fp *fieldPlan, r connector.Row, dst []byte, quiet bool) (value []byte, oc outcome, column string) {
	value, oc, column = j.encode(fp, r, dst, quiet)
	if oc != encoded {
		return nil, oc, column
	}
	if value[0] == '{' || value[0] == '[' {
		j.note(fp, noteCollectKind, quiet)
		return nil, skipped, ""
	}
	return value, encoded, ""
}

// collection is the operation that adds one value and takes another out (Braze docs, "Array custom attributes").
func collection(add, remove []byte) []byte {
	b := []byte{'{'}
	if add != nil {
		b = append(append(append(b, `"add":[`...), add...), ']')
	}
	if remove != nil {
		if add != nil {
			b = append(b, ',')
		}
		b = append(append(append(b, `"remove":[`...), remove...), ']')
	}
	return append(b, '}')
}
