package brazesim

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"time"
)

// writer collects the changed values of one object, so that they cost one allocation.
type writer struct {
	s       *Server
	p       *profile
	buf     []byte
	changes []change
	dropped bool
}

type change struct{ field, from, to int }

// put sets a field to the value that add appends to the buffer.
func (w *writer) put(i int, name nameID, from int) int {
	if i < 0 {
		i = len(w.p.fields)
		w.p.fields = append(w.p.fields, field{name: name})
	}
	w.changes = append(w.changes, change{i, from, len(w.buf)})
	return i
}

// scalar sets a field to a JSON scalar, in canonical form.
func (w *writer) scalar(name nameID, raw []byte, hint int) int {
	i := w.p.find(name, hint)
	if i >= 0 && w.p.fields[i].val == string(raw) && !w.pending(i) {
		return i
	}
	from := len(w.buf)
	if raw[0] == '"' && bytes.IndexByte(raw, '\\') >= 0 {
		w.buf = appendQuoted(w.buf, text(raw))
	} else {
		w.buf = append(w.buf, raw...)
	}
	return w.put(i, name, from)
}

// pending reports whether this very object has changed the field already.
func (w *writer) pending(i int) bool {
	for _, c := range w.changes {
		if c.field == i {
			return true
		}
	}
	return false
}

// node sets a field to a tree.
func (w *writer) node(name nameID, n *node) {
	from := len(w.buf)
	w.buf = n.append(w.buf)
	w.put(w.p.find(name, 0), name, from)
}

// current reads a field's value with everything applied so far, or nil.
func (w *writer) current(name nameID) *node {
	w.flush()
	if i := w.p.find(name, 0); i >= 0 {
		return parseNode([]byte(w.p.fields[i].val))
	}
	return nil
}

func (w *writer) unset(name nameID) {
	w.flush()
	i := w.p.find(name, 0)
	if i < 0 {
		return
	}
	if name == nameEmail || name == namePhone {
		w.s.index(w.p, name, w.p.fields[i].val, "")
	}
	w.p.fields = append(w.p.fields[:i], w.p.fields[i+1:]...)
}

func (w *writer) flush() {
	if len(w.changes) == 0 {
		return
	}
	blob := string(w.buf)
	for _, c := range w.changes {
		f := &w.p.fields[c.field]
		if f.name == nameEmail || f.name == namePhone {
			w.s.index(w.p, f.name, f.val, blob[c.from:c.to])
		}
		f.val = blob[c.from:c.to]
	}
	w.buf, w.changes = w.buf[:0], w.changes[:0]
}

// applyAttributes applies one attribute object and returns its data points (Braze docs, Data points).
func (s *Server) applyAttributes(t *track, o *object, at time.Time) (points int) {
	p := s.target(t, o, at)
	if p == nil {
		return 0
	}
	p.updated = at.UnixNano()
	w := &s.writer
	w.s, w.p, w.dropped = s, p, false
	if p.fields == nil {
		p.fields = make([]field, 0, o.last-o.first)
	}
	hint, subscribe, email := 0, false, p.value(nameEmail)
	for i := o.first; i < o.last; i++ {
		m := &t.members[i]
		subscribe = subscribe || m.name == nameEmailSubscribe
		if m.act == actNone {
			continue
		}
		if m.act == actIgnore {
			s.ignore(p, m.name, m.why)
			continue
		}
		if t.loose && (m.act == actObject || m.act == actObjects || m.act == actEdit) {
			s.ignore(p, m.name, reasonNested)
			continue
		}
		if !m.name.preset() && m.name >= nameName && !s.accepts(m) {
			s.ignore(p, m.name, reasonType)
			continue
		}
		if m.act == actSet {
			hint = w.scalar(m.name, m.normal(t.raw(m)), hint) + 1
		} else {
			w.special(o, m, t.raw(m))
		}
		points += int(m.points)
	}
	w.flush()
	if now := p.value(nameEmail); email != "" && now != "" && now != email && !subscribe && p.value(nameEmailSubscribe) != "" {
		// A new address starts as subscribed (Braze docs, Managing email subscriptions).
		w.scalar(nameEmailSubscribe, []byte(`"subscribed"`), 0)
		w.flush()
	}
	return points
}

// normal gives the value as Braze stores it.
func (m *member) normal(raw []byte) []byte {
	switch m.name {
	case namePhone:
		if n := phoneOf(text(raw)); n != "" {
			return appendQuoted(nil, []byte(n))
		}
	case nameCountry:
		return appendQuoted(nil, []byte(countryOf(text(raw))))
	case nameLocation, nameFacebook, nameTwitter:
		return parseNode(raw).append(nil)
	}
	return raw
}

// accepts checks the value's type against the attribute's, which the first value fixes (Braze docs, Custom attribute data types).
func (s *Server) accepts(m *member) bool {
	for int(m.name) >= len(s.types) {
		s.types = append(s.types, make([]attrType, len(s.types)+64)...)
	}
	known := &s.types[m.name]
	switch {
	case m.act == actUnset || *known == m.typ:
		return true
	case *known == typeUnknown:
		*known = m.typ
		return true
	case m.typ == typeUnknown: // an empty array
		return *known == typeArray || *known == typeObjects
	case *known == typeString && m.typ == typeTime:
		return true
	case *known == typeTime && m.typ == typeString && !s.cfg.StrictTimes:
		*known = typeString
		return true
	}
	return false
}

// special applies everything that is not a plain set.
func (w *writer) special(o *object, m *member, raw []byte) {
	switch m.act {
	case actUnset:
		w.unset(m.name)
	case actInc:
		w.inc(m.name, parseNode(raw).kids[0])
	case actScalars:
		list := &node{kind: kindArray}
		for _, k := range parseNode(raw).kids {
			if list.position(k) < 0 {
				list.kids = append(list.kids, k)
			}
		}
		w.list(m.name, list)
	case actList:
		w.addRemove(m.name, parseNode(raw))
	case actObject:
		n := parseNode(raw)
		if o.merge {
			n = merge(w.current(m.name), n)
		}
		w.nested(m.name, n)
	case actObjects:
		w.nested(m.name, parseNode(raw))
	case actEdit:
		w.edit(m.name, parseNode(raw), o.merge)
	case actGroups:
		for _, item := range parseNode(raw).kids {
			id, _ := item.get("subscription_group_id").str()
			state, _ := item.get("subscription_state").str()
			w.s.setGroup(w.p, id, state)
			// Other profiles with that address follow (Braze docs, Create and update users).
			w.flush()
			if v := w.p.value(nameEmail); v != "" {
				for _, q := range w.s.byAddress(nameEmail, string(text([]byte(v)))) {
					w.s.setGroup(q, id, state)
				}
			}
		}
	case actTokens:
		w.node(m.name, parseNode(raw))
	}
}

// nested stores an object or array of objects; above 100 KB the old value stays (Braze docs, Array of objects).
func (w *writer) nested(name nameID, n *node) {
	if len(n.append(nil)) > maxNested {
		w.s.ignore(w.p, name, reasonLarge)
		return
	}
	w.node(name, n)
}

// inc adds a whole number; a missing attribute counts as 0.
func (w *writer) inc(name nameID, by *node) {
	sum, ok := new(big.Int).SetString(string(by.text), 10)
	if !ok || len(by.text) > 64 {
		w.s.ignore(w.p, name, reasonInc)
		return
	}
	result := sum.String()
	if old := w.current(name); old != nil && old.kind == kindNumber {
		if v, whole := new(big.Int).SetString(string(old.text), 10); whole {
			result = sum.Add(sum, v).String()
		} else {
			f, _ := strconv.ParseFloat(string(old.text), 64)
			step, _ := new(big.Float).SetInt(sum).Float64()
			f += step
			if math.IsInf(f, 0) {
				w.s.ignore(w.p, name, reasonInc)
				return
			}
			result = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	w.scalar(name, []byte(result), 0)
}

func (n *node) position(v *node) int {
	for i, k := range n.kids {
		if k.same(v) {
			return i
		}
	}
	return -1
}

func (n *node) drop(i int) { n.kids = append(n.kids[:i], n.kids[i+1:]...) }

// list stores an array of scalars: at 500 items the oldest drop out (Braze docs, Custom attribute data types).
func (w *writer) list(name nameID, n *node) {
	if over := len(n.kids) - maxArray; over > 0 {
		n.kids = n.kids[over:]
	}
	w.node(name, n)
}

// addRemove runs the operators on an array of scalars; adding what is there moves it to the end.
func (w *writer) addRemove(name nameID, ops *node) {
	list := w.current(name)
	if list == nil || list.kind != kindArray {
		list = &node{kind: kindArray}
	}
	for _, op := range []string{"add", "remove"} {
		values := ops.get(op)
		if values == nil {
			continue
		}
		for _, v := range values.kids {
			if i := list.position(v); i >= 0 {
				list.drop(i)
			}
			if op == "add" {
				list.kids = append(list.kids, v)
			}
		}
	}
	w.list(name, list)
}

// edit runs $add, then $remove, then $update, whatever their order in the body (Braze docs, Array of objects).
func (w *writer) edit(name nameID, ops *node, deep bool) {
	list := w.current(name)
	if list == nil || list.kind != kindArray {
		if ops.get("$add") == nil {
			return
		}
		list = &node{kind: kindArray}
	}
	if add := ops.get("$add"); add != nil {
		list.kids = append(list.kids, add.kids...)
	}
	for _, op := range []string{"$remove", "$update"} {
		items := ops.get(op)
		if items == nil {
			continue
		}
		for _, item := range items.kids {
			key, _ := item.get("$identifier_key").str()
			id := item.get("$identifier_value")
			for i := len(list.kids) - 1; i >= 0; i-- {
				switch {
				case !list.kids[i].get(key).same(id):
				case op == "$remove":
					list.drop(i)
				case deep:
					list.kids[i] = merge(list.kids[i], item.get("$new_object"))
				default:
					list.kids[i] = item.get("$new_object")
				}
			}
		}
	}
	w.nested(name, list)
}

// target finds or creates the profile of an object; nil is an update-only miss, which Braze does not report.
func (s *Server) target(t *track, o *object, at time.Time) *profile {
	if o.rec == nil {
		return s.tokenTarget(t, o, at)
	}
	p := s.lookup(o.who, o.rec)
	if p == nil && (o.updateOnly || o.who == idBraze) {
		s.counters.Missed++
		return nil
	}
	if p == nil {
		p = s.create(o.who, o.rec, o.alias, at)
		if o.array != inAttributes && (o.who == idEmail || o.who == idPhone) {
			// Only an attribute object brings the address along as a field.
			name := nameEmail
			if o.who == idPhone {
				name = namePhone
			}
			m := member{name: name}
			w := &s.writer
			w.s, w.p = s, p
			w.scalar(name, m.normal(t.body[o.idFrom:o.idTo]), 0)
			w.flush()
		}
	}
	return p
}

// tokenTarget makes an anonymous profile for imported push tokens, unless one has them already.
func (s *Server) tokenTarget(t *track, o *object, at time.Time) *profile {
	for i := o.first; i < o.last; i++ {
		if m := &t.members[i]; m.act == actTokens {
			tokens := string(parseNode(t.raw(m)).append(nil))
			for p := range s.all {
				if p.value(namePushTokens) == tokens {
					return nil
				}
			}
		}
	}
	return s.create(idToken, nil, handle{}, at)
}

func (s *Server) setGroup(p *profile, id, state string) {
	e := p.extra()
	for i := range e.groups {
		if e.groups[i].id == id {
			e.groups[i].state = state
			return
		}
	}
	e.groups = append(e.groups, group{id, state})
}
