package brazesim

import "bytes"

// action is what applying does with a member.
type action uint8

const (
	actNone    action = iota // identifiers and control keys
	actIgnore                // Braze drops it without a word
	actSet                   // scalar
	actUnset                 // null
	actInc                   // {"inc": n}
	actScalars               // array of scalars, whole
	actList                  // {"add": [...], "remove": [...]}
	actObject                // nested object
	actObjects               // array of objects, whole
	actEdit                  // {"$add", "$remove", "$update"}
	actGroups                // subscription_groups
	actTokens                // push_tokens
)

// attrType is the type that the first value gives a custom attribute.
type attrType uint8

const (
	typeUnknown attrType = iota
	typeBool
	typeNumber
	typeString
	typeTime
	typeArray
	typeObject
	typeObjects
)

var typeNames = map[string]attrType{"boolean": typeBool, "number": typeNumber, "string": typeString, "date": typeTime, "array": typeArray,
	"object": typeObject, "object_array": typeObjects}

func (t attrType) String() string {
	for name, typ := range typeNames {
		if typ == t {
			return name
		}
	}
	return "unknown"
}

// reason says why a value was dropped silently.
type reason uint8

const (
	reasonName reason = iota
	reasonLong
	reasonArray
	reasonNested
	reasonLarge
	reasonType
	reasonPreset
	reasonInc
	reasonProperty
	reasonUnknownUser
	reasonCount
)

// reasonNames are the keys of Stats.Ignored.
var reasonNames = [reasonCount]string{
	reasonName:        "attribute_name",
	reasonLong:        "string_too_long",
	reasonArray:       "array_value",
	reasonNested:      "nested_discarded",
	reasonLarge:       "too_large",
	reasonType:        "type_mismatch",
	reasonPreset:      "preset_value",
	reasonInc:         "inc_value",
	reasonProperty:    "event_property",
	reasonUnknownUser: "unknown_user",
}

func (m *member) ignore(why reason) { m.act, m.why = actIgnore, why }

func (m *member) set(a action, t attrType, points int) {
	m.act, m.typ, m.points = a, t, uint16(min(points, 1<<16-1))
}

// custom decides what becomes of a custom attribute (Braze docs, Custom attribute data types).
func (t *track) custom(m *member) {
	raw := t.raw(m)
	switch m.kind {
	case kindNull:
		m.set(actUnset, typeUnknown, 1)
	case kindBool:
		m.set(actSet, typeBool, 1)
	case kindNumber:
		m.set(actSet, typeNumber, 1)
	case kindString:
		switch {
		case tooLong(raw):
			m.ignore(reasonLong)
		case timeLike(raw):
			m.set(actSet, typeTime, 1)
		default:
			m.set(actSet, typeString, 1)
		}
	case kindArray:
		t.customArray(m, raw)
	case kindObject:
		t.customObject(m, raw)
	}
}

func (t *track) customArray(m *member, raw []byte) {
	if len(raw) > maxNested {
		m.ignore(reasonLarge)
		return
	}
	n := parseNode(raw)
	objects := 0
	for _, k := range n.kids {
		if k.kind == kindObject {
			objects++
		}
	}
	switch {
	case objects == 0:
		if !scalars(n) {
			m.ignore(reasonArray)
			return
		}
		m.set(actScalars, typeArray, 1)
		if len(n.kids) == 0 {
			m.typ = typeUnknown // it may become either kind of array
		}
	case objects == len(n.kids) && n.sound():
		m.set(actObjects, typeObjects, n.leaves())
	default:
		t.malformed(m)
	}
}

func (t *track) malformed(m *member) {
	t.loose = true
	m.ignore(reasonNested)
}

// scalars reports whether an array holds only strings of legal length, numbers and booleans.
func scalars(n *node) bool {
	if n == nil || n.kind != kindArray {
		return false
	}
	for _, k := range n.kids {
		if k.kind != kindString && k.kind != kindNumber && k.kind != kindBool || k.kind == kindString && tooLong(k.text) {
			return false
		}
	}
	return true
}

func (t *track) customObject(m *member, raw []byte) {
	if len(raw) > maxNested {
		m.ignore(reasonLarge)
		return
	}
	n := parseNode(raw)
	switch {
	case n.only("inc"):
		if k := n.kids[0]; k.kind != kindNumber || bytes.ContainsAny(k.text, ".eE") {
			m.ignore(reasonInc)
			return
		}
		m.set(actInc, typeNumber, 1)
	case n.only("add", "remove") && isList(n):
		values := 0
		for _, k := range n.kids {
			if !scalars(k) {
				m.ignore(reasonArray)
				return
			}
			values += len(k.kids)
		}
		m.set(actList, typeArray, values)
	case n.only("$add", "$remove", "$update"):
		if points, ok := checkEdit(n); ok {
			m.set(actEdit, typeObjects, points)
			return
		}
		t.malformed(m)
	case n.sound():
		m.set(actObject, typeObject, n.leaves())
	default:
		t.malformed(m)
	}
}

// isList tells the operators add and remove from an object that happens to have such keys.
func isList(n *node) bool {
	for _, k := range n.kids {
		if k.kind != kindArray {
			return false
		}
	}
	return true
}

// checkEdit validates the operators on arrays of objects (Braze docs, Array of objects) and counts the keys they touch.
func checkEdit(n *node) (points int, ok bool) {
	for i, op := range n.keys {
		list := n.kids[i]
		if list.kind != kindArray {
			return 0, false
		}
		for _, item := range list.kids {
			if item.kind != kindObject {
				return 0, false
			}
			if op == "$add" {
				if !item.sound() {
					return 0, false
				}
				points += item.leaves()
				continue
			}
			key, isText := item.get("$identifier_key").str()
			id := item.get("$identifier_value")
			if !isText || key == "" || id == nil || id.kind == kindNull || id.kind >= kindObject {
				return 0, false
			}
			if op == "$remove" {
				points++
				continue
			}
			value := item.get("$new_object")
			if value == nil || value.kind != kindObject || !value.sound() {
				return 0, false
			}
			points += value.leaves()
		}
	}
	return points, true
}
