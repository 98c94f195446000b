package mapping

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"brazecdc/connector"
)

// eventPlan is an event with the indexes of its columns in one table version.
type eventPlan struct {
	*event
	whenCols                        []int
	nameCol                         int
	time, currency, price, quantity fieldPlan
	props                           []propertyPlan
}

// propertyPlan is a property with the plan of its value, or the column that an each reads.
type propertyPlan struct {
	*prop
	value fieldPlan
}

func (m *Mapper) planEvent(mo *model, t *connector.Table, must func(names []string, what string) []int, resolve func(names []string) (cols []int, gone []string)) *eventPlan {
	p := &eventPlan{event: mo.event, nameCol: -1}
	if p.when != nil {
		p.whenCols = must(p.when.columns, "when")
	}
	if p.nameColumn != "" {
		p.nameCol = must([]string{p.nameColumn}, "the name")[0]
	}
	for _, part := range []struct {
		f  *field
		to *fieldPlan
	}{{p.event.time, &p.time}, {p.event.currency, &p.currency}, {p.event.price, &p.price}, {p.event.quantity, &p.quantity}} {
		if part.f == nil {
			continue
		}
		*part.to = fieldPlan{field: part.f, col: -1}
		switch {
		case part.f.prog != nil:
			part.to.cols = must(part.f.prog.columns, part.f.label)
		case part.f.constant == nil:
			part.to.cols = must([]string{part.f.column}, part.f.label)
			part.to.col = part.to.cols[0]
		}
	}
	for _, prop := range p.properties {
		f := prop.field
		if prop.each != nil {
			f = &field{label: prop.each.label, column: prop.each.column}
		}
		p.props = append(p.props, propertyPlan{prop, m.planField(mo, f, t, resolve)})
	}
	return p
}

// happened maps a change of a row that stands for something that happened.
func (j *job) happened(dst []connector.Effect) ([]connector.Effect, error) {
	c, ev := j.c, j.p.event
	switch {
	case c.Op == connector.Update && !ev.update, c.Op != connector.Update && !ev.insert:
		return j.pass(dst, "ops")
	case !j.live() && j.p.m.conf.Load != "all":
		return j.pass(dst, "load")
	}
	after := c.After
	if c.Op == connector.Update && c.Before.Exists() {
		after = j.a.fill(after, c.Before, j.p.needed)
	}
	return j.report(dst, after, c.Time)
}

// loaded maps a row of a load.
func (j *job) loaded(dst []connector.Effect, row connector.Row, at time.Time) ([]connector.Effect, error) {
	if j.p.broken != nil {
		return dst, j.p.broken
	}
	if !j.load || j.p.m.conf.Load != "all" || !j.p.event.insert {
		return j.pass(dst, "load")
	}
	return j.report(dst, row, at)
}

// report appends the event that a row stands for, if its filter and its rule let it through. at is the time of the change.
func (j *job) report(dst []connector.Effect, row connector.Row, at time.Time) ([]connector.Effect, error) {
	ru := j.rulesOf(j.p, row, false)
	switch {
	case ru.matchAbsent != "":
		return dst, j.needs(ru.matchAbsent)
	case ru.match != yes:
		return j.pass(dst, "filter")
	}
	is, err := j.when(row)
	switch {
	case err != nil:
		return dst, err
	case !is:
		return j.pass(dst, "when")
	}
	u, err := j.userOf(row)
	if err != nil {
		return dst, err
	}
	if !j.admitted(u) {
		return j.pass(dst, "only_users")
	}
	made, err := j.makeEvent(row, at, u)
	if err != nil {
		return dst, err
	}
	e := j.effect(connector.Track, u)
	e.Event, e.UpdateOnly = made, j.p.m.enrich
	return append(dst, e), nil
}

// when tells whether a change makes the rule true. A row that is new, or one of a load, had no value before.
func (j *job) when(row connector.Row) (bool, error) {
	ev := j.p.event
	if ev.when == nil {
		return true, nil
	}
	is, err := truthOf(ev.when.evaluate(func(n int) (connector.Value, bool, error) { return row.Value(ev.whenCols[n]) }, j.putOlds))
	var lost *oldError
	switch {
	case errors.As(err, &lost):
		return false, &connector.RowError{Model: j.p.m.index, Field: "when",
			Reason: lost.Error() + "; ALTER TABLE " + j.p.table.Name + " REPLICA IDENTITY FULL lets updates carry it"}
	case absentColumn(err) != "":
		return false, j.needs(absentColumn(err))
	case is == unknown:
		j.noteRule("when", err)
	}
	return is == yes, nil
}

// putOlds puts what stood in the rule's columns before into the environment of its program.
func (j *job) putOlds(env map[string]any) error {
	for _, name := range j.p.event.when.olds {
		key := oldPrefix + name
		if j.c == nil || j.c.Op != connector.Update {
			env[key] = noOld{}
			continue
		}
		env[key] = &oldError{name}
		before := j.c.Before
		if !before.Exists() {
			continue
		}
		i := before.Table.Column(name)
		if i < 0 {
			continue
		}
		v, there, err := before.Value(i)
		if !there || err != nil {
			continue
		}
		g, err := goValue(v, j.p.event.when.zone)
		if err != nil {
			return fmt.Errorf("read column %q as it was: %w", name, err)
		}
		env[key] = g
	}
	return nil
}

// unfit is a row that cannot become an event.
func (j *job) unfit(u connector.User, field, reason string) error {
	return &connector.RowError{Model: j.p.m.index, User: u, Field: field, Reason: reason}
}

// part gives the encoded value of something that an event has to have.
func (j *job) part(fp *fieldPlan, row connector.Row, u connector.User) ([]byte, error) {
	reason := ""
	j.said = &reason
	out, oc, column := j.encode(fp, row, nil, false)
	j.said = nil
	switch oc {
	case encoded:
		return out, nil
	case notThere:
		return nil, j.needs(column)
	case encNull:
		reason = "it is NULL, and an event needs it"
	}
	return nil, j.unfit(u, fp.label, reason)
}

func (j *job) makeEvent(row connector.Row, at time.Time, u connector.User) (*connector.Event, error) {
	ev := j.p.event
	name, err := j.eventName(row, u)
	if err != nil {
		return nil, err
	}
	out := &connector.Event{Purchase: ev.purchase, Name: name}
	stamp, err := j.eventTime(row, at, u)
	if err != nil {
		return nil, err
	}
	if out.Time, err = time.Parse(time.RFC3339Nano, string(stamp[1:len(stamp)-1])); err != nil {
		return nil, j.unfit(u, "time", "it is not a time")
	}
	out.Old = j.m.cfg.Now().Sub(out.Time) > ev.maxAge
	b := []byte(`"name":`)
	if ev.purchase {
		b = []byte(`"product_id":`)
	}
	b = appendString(b, name)
	for _, part := range []struct {
		key string
		fp  *fieldPlan
	}{{`,"currency":`, &ev.currency}, {`,"price":`, &ev.price}, {`,"quantity":`, &ev.quantity}} {
		if part.fp.field == nil {
			continue
		}
		v, err := j.part(part.fp, row, u)
		if err != nil {
			return nil, err
		}
		b = append(append(b, part.key...), v...)
	}
	b = append(append(b, `,"time":`...), stamp...)
	props, err := j.properties(row)
	if err != nil {
		return nil, err
	}
	most := maxEventBytes
	if ev.purchase {
		most = maxPurchaseBytes
	}
	switch why := lacking(name, props); {
	case len(props) > most:
		return nil, j.unfit(u, "properties", fmt.Sprintf("they are larger than %d KB", most/1024))
	case !ev.purchase && why != "":
		return nil, j.unfit(u, "properties", fmt.Sprintf("Braze would not take the event %q: %s", name, why))
	case len(props) > 2:
		b = append(append(b, `,"properties":`...), props...)
	}
	out.JSON = b
	return out, nil
}

func (j *job) eventName(row connector.Row, u connector.User) (string, error) {
	ev := j.p.event
	if ev.nameColumn == "" {
		return ev.name, nil
	}
	label := "name"
	if ev.purchase {
		label = "product_id"
	}
	v, there, err := row.Value(ev.nameCol)
	switch {
	case !there:
		return "", j.needs(ev.nameColumn)
	case err != nil:
		return "", j.unfit(u, label, "its column cannot be decoded")
	}
	text, ok := scalarText(v, j.p.m.zone())
	if text = strings.TrimSpace(text); !ok || !ev.oneOf[text] {
		return "", j.unfit(u, label, "the value is none of those under one_of")
	}
	return text, nil
}

// eventTime gives when an event happened, as RFC 3339 in UTC between quotes.
func (j *job) eventTime(row connector.Row, at time.Time, u connector.User) ([]byte, error) {
	if j.p.event.time.field != nil {
		return j.part(&j.p.event.time, row, u)
	}
	if at.IsZero() {
		return nil, j.unfit(u, "time", "the change does not tell when it was made; name a column under time")
	}
	b, ok := appendInstant([]byte{'"'}, at.UnixMicro())
	if !ok {
		return nil, j.unfit(u, "time", "the time of the change is outside the years 0 to 9999")
	}
	return append(b, '"'), nil
}

// properties makes the object of an event's properties.
func (j *job) properties(row connector.Row) ([]byte, error) {
	b := []byte{'{'}
	for i := range j.p.event.props {
		pp := &j.p.event.props[i]
		if pp.value.stopped {
			continue
		}
		read := func() ([]byte, outcome, string) { return j.encode(&pp.value, row, nil, false) }
		if pp.each != nil {
			read = func() ([]byte, outcome, string) { return j.eachOf(pp, row) }
		}
		out, oc, column := read()
		switch {
		case oc == notThere && !j.m.cfg.NoReread:
			return nil, j.needs(column)
		case oc == notThere:
			j.note(&pp.value, fmt.Sprintf("column %q is not in the change and cannot be read again", column), false)
		case oc == encoded:
			b = appendMember(b, pp.key, out)
		}
	}
	return append(b, '}'), nil
}

// appendMember appends a member to an object that is still open.
func appendMember(b, key, value []byte) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	return append(append(b, key...), value...)
}
