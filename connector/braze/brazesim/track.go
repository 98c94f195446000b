package brazesim

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// The arrays of a track call, in the order in which Braze applies them (Braze docs, Create and update users).
const (
	inAttributes = iota
	inEvents
	inPurchases
)

var arrayNames = [3]string{"attributes", "events", "purchases"}

// member is one key of an object: where its value lies in the body, and what will be done with it.
type member struct {
	name           nameID
	keyFrom, keyTo uint32
	from, to       uint32
	kind           kind
	act            action
	typ            attrType
	why            reason // of an ignored member
	points         uint16
}

// object is one element of the three arrays.
type object struct {
	array       uint8
	index       uint32 // in its array
	first, last uint32 // its members
	fault       fault
	injected    string // a fault's own text
	who         idKind
	idFrom      uint32 // raw value of the identifier
	idTo        uint32
	updateOnly  bool
	merge       bool
	tokenImport bool
	alias       handle
	rec         *record
}

// track is one parsed /users/track call.
type track struct {
	body    []byte
	objects []object
	members []member
	present [3]bool
	counts  [3]int
	// loose is set by a null or malformed value inside any nested attribute: all nested updates of the call are discarded then
	// (Braze docs, Nested custom attributes).
	loose bool
}

var trackPool = sync.Pool{New: func() any { return new(track) }}

func (t *track) free() {
	clear(t.objects)
	*t = track{objects: t.objects[:0], members: t.members[:0]}
	trackPool.Put(t)
}

// parseTrack reads and checks a call; the reply is set when the call as a whole is refused.
func parseTrack(s *Server, body []byte) (effect, *reply) {
	t := trackPool.Get().(*track)
	t.body = body
	if bad := t.scan(s.names); bad != nil {
		t.free()
		return nil, bad
	}
	total := t.counts[inAttributes] + t.counts[inEvents] + t.counts[inPurchases]
	over := total > s.cfg.Objects
	if s.cfg.Objects == 225 {
		over = max(t.counts[inAttributes], t.counts[inEvents], t.counts[inPurchases]) > 75
	}
	if over {
		t.free()
		return nil, refusal(400, "Max Input Length Exceeded")
	}
	if total == 0 {
		t.free()
		return nil, refusal(400, "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.")
	}
	for i := range t.objects {
		if bad := t.check(&t.objects[i]); bad != nil {
			t.free()
			return nil, bad
		}
	}
	return t, nil
}

// scan makes the one pass over the body.
func (t *track) scan(names *names) *reply {
	sc := scanner{buf: t.body}
	if sc.peek() != '{' {
		if validJSON(t.body) {
			return refusal(400, "The request body must be a JSON object")
		}
		return invalidJSON
	}
	sc.pos++
	if !sc.byte('}') {
		for {
			key, ok := sc.key()
			if !ok {
				return invalidJSON
			}
			array := -1
			for i, name := range arrayNames {
				if string(key) == name {
					array = i
				}
			}
			if array < 0 {
				if _, _, k := sc.value(); k == kindNone {
					return invalidJSON
				}
			} else if bad := t.array(&sc, array, names); bad != nil {
				return bad
			}
			if sc.byte(',') {
				continue
			}
			if !sc.byte('}') {
				return invalidJSON
			}
			break
		}
	}
	if !sc.end() {
		return invalidJSON
	}
	return nil
}

// key reads a key and its colon.
func (s *scanner) key() ([]byte, bool) {
	if !s.byte('"') {
		return nil, false
	}
	from := s.pos
	escaped, ok := s.str()
	if !ok {
		return nil, false
	}
	key := s.buf[from : s.pos-1]
	if escaped {
		key = unquote(key)
	}
	return key, s.byte(':')
}

func (t *track) array(sc *scanner, array int, names *names) *reply {
	if sc.peek() != '[' {
		_, _, k := sc.value()
		switch {
		case k == kindNone:
			return invalidJSON
		case k == kindNull:
			return nil
		case !validJSON(t.body):
			return invalidJSON
		}
		return refusal(400, "'"+arrayNames[array]+"' must be an array of objects")
	}
	if t.present[array] {
		if !validJSON(t.body) {
			return invalidJSON
		}
		return refusal(400, "'"+arrayNames[array]+"' is given twice")
	}
	t.present[array] = true
	sc.pos++
	if sc.byte(']') {
		return nil
	}
	for {
		o := object{array: uint8(array), index: uint32(t.counts[array]), first: uint32(len(t.members))}
		t.counts[array]++
		if sc.peek() == '{' {
			if !t.object(sc, names) {
				return invalidJSON
			}
		} else {
			if _, _, k := sc.value(); k == kindNone {
				return invalidJSON
			}
			o.fault = faultNotObject
		}
		o.last = uint32(len(t.members))
		t.objects = append(t.objects, o)
		if sc.byte(',') {
			continue
		}
		if sc.byte(']') {
			return nil
		}
		return invalidJSON
	}
}

// object reads the members of one object. Objects of a call mostly have the same keys in the same order, so the names of the
// object before are tried first.
func (t *track) object(sc *scanner, names *names) bool {
	guess := uint32(0)
	if n := len(t.objects); n > 0 {
		guess = t.objects[n-1].first
	}
	limit := uint32(len(t.members))
	sc.pos++
	if sc.byte('}') {
		return true
	}
	for {
		if !sc.byte('"') {
			return false
		}
		m := member{keyFrom: uint32(sc.pos)}
		escaped, ok := sc.str()
		if !ok {
			return false
		}
		m.keyTo = uint32(sc.pos - 1)
		key := sc.buf[m.keyFrom:m.keyTo]
		if guess < limit && bytes.Equal(key, sc.buf[t.members[guess].keyFrom:t.members[guess].keyTo]) {
			m.name = t.members[guess].name
		} else if escaped {
			m.name = names.id(unquote(key))
		} else {
			m.name = names.id(key)
		}
		guess++
		if !sc.byte(':') {
			return false
		}
		from, to, k := sc.value()
		if k == kindNone {
			return false
		}
		m.from, m.to, m.kind = uint32(from), uint32(to), k
		t.members = append(t.members, m)
		if sc.byte(',') {
			continue
		}
		return sc.byte('}')
	}
}

func (t *track) raw(m *member) []byte { return t.body[m.from:m.to] }

// inject refuses the objects that a Faults entry names.
func (t *track) inject(items []ItemFault) {
	for i := range t.objects {
		o := &t.objects[i]
		if o.fault != faultNone {
			continue
		}
		id := ""
		if o.who == idExternal {
			id = string(text(t.body[o.idFrom:o.idTo]))
		}
		for _, item := range items {
			if item.hits(id) {
				o.fault, o.injected = faultInjected, item.Type
				break
			}
		}
	}
}

func (t *track) register(s *Server, c *call) {
	for i := range t.objects {
		o := &t.objects[i]
		if o.fault == faultNone {
			o.rec = s.recordOf(t.body, o)
			s.open(c, o.rec)
		}
	}
}

// answer counts and lists the refused objects (Braze docs, Create and update users; the keys of the entries are measured).
func (t *track) answer(s *Server, c *call) *reply {
	var refused [3]int
	var list []byte
	for i := range t.objects {
		o := &t.objects[i]
		if o.fault == faultNone {
			continue
		}
		refused[o.array]++
		why := o.injected
		if o.fault != faultInjected {
			why = o.fault.text(s.cfg.ErrorConstants)
			s.note("%s of %q refused: %s", arrayNames[o.array], t.body[o.idFrom:o.idTo], why)
		}
		if list != nil {
			list = append(list, ',')
		}
		list = append(list, `{"type":`...)
		list = appendQuoted(list, []byte(why))
		list = append(list, `,"input_array":"`...)
		list = append(list, arrayNames[o.array]...)
		list = append(list, `","index":`...)
		list = strconv.AppendUint(list, uint64(o.index), 10)
		list = append(list, '}')
	}
	c.refused = refused[0] + refused[1] + refused[2]
	c.objects = len(t.objects) - c.refused
	r := &reply{status: 201}
	if c.objects == 0 && s.cfg.RefuseAllInvalid {
		r.status = 400
		r.body = append(r.body, `{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."`...)
	} else {
		r.body = append(make([]byte, 0, 128+len(list)), `{"message":"success"`...)
		for i, name := range arrayNames {
			if t.present[i] {
				r.body = append(r.body, ',', '"')
				r.body = append(r.body, name...)
				r.body = append(r.body, `_processed":`...)
				r.body = strconv.AppendInt(r.body, int64(t.counts[i]-refused[i]), 10)
			}
		}
	}
	if list != nil {
		r.body = append(r.body, `,"errors":[`...)
		r.body = append(append(r.body, list...), ']')
	}
	r.body = append(r.body, '}')
	return r
}

// apply runs the attributes, then the events, then the purchases, whatever order the body had (Braze docs, Race conditions).
func (t *track) apply(s *Server, at time.Time) (points int) {
	for array := range arrayNames {
		for i := range t.objects {
			o := &t.objects[i]
			if int(o.array) != array || o.fault != faultNone {
				continue
			}
			if array == inAttributes {
				points += s.applyAttributes(t, o, at)
			} else {
				points += s.applyEvent(t, o, at)
			}
		}
	}
	return points
}
