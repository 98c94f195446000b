package brazesim

import "bytes"

// idKind is how an object names its user.
type idKind uint8

const (
	idNone idKind = iota
	idExternal
	idAlias
	idBraze
	idEmail
	idPhone
	idToken // an anonymous push token import
	idItem  // no user: an item of a catalog
)

const (
	maxExternalID = 987 // bytes (Braze docs, User attributes object)
	maxAlias      = 236 // bytes (Braze docs, User alias object)
)

// check validates one object and decides what becomes of its members. The reply is set where one object refuses the whole call.
func (t *track) check(o *object) *reply {
	if o.fault != faultNone {
		return nil
	}
	if o.fault = t.identify(o); o.fault != faultNone {
		return nil
	}
	if o.array != inAttributes {
		o.fault = t.checkEvent(o)
		return nil
	}
	for i := o.first; i < o.last; i++ {
		m := &t.members[i]
		switch {
		case m.name >= nameName:
			t.custom(m)
		case m.name == nameBad:
			m.ignore(reasonName)
		case m.name >= nameGroups:
			raw := t.raw(m)
			if m.name == nameEmail && m.kind == kindString && hasBlank(text(raw)) {
				// White space in an address fails the request, not the object (Braze docs, Email validation).
				return refusal(400, "The value provided for the 'email' field must not contain white space.")
			}
			if o.fault = m.preset(raw); o.fault != faultNone {
				return nil
			}
		case m.name == nameSubscriptionInfo:
			o.fault = faultSubscriptionInfo
			return nil
		}
	}
	return nil
}

func hasBlank(b []byte) bool { return bytes.ContainsAny(b, " \t\r\n\v\f\u00a0") }

// identify finds the object's user: exactly one primary identifier, else email, else phone (Braze docs, Create and update users), and
// reads the control keys.
func (t *track) identify(o *object) fault {
	var ids [idToken]*member
	var only *member
	for i := o.first; i < o.last; i++ {
		m := &t.members[i]
		switch m.name {
		case nameExternalID:
			ids[idExternal] = m
		case nameUserAlias:
			ids[idAlias] = m
		case nameBrazeID:
			ids[idBraze] = m
		case nameEmail:
			ids[idEmail] = m
		case namePhone:
			ids[idPhone] = m
		case nameUpdateOnly, nameMerge, nameTokenImport:
			if m.kind != kindBool {
				return faultControlKey
			}
			on := t.body[m.from] == 't'
			switch m.name {
			case nameUpdateOnly:
				only, o.updateOnly = m, on
			case nameMerge:
				o.merge = on
			default:
				o.tokenImport = on && o.array == inAttributes
			}
		}
	}
	primary := 0
	for _, k := range []idKind{idExternal, idAlias, idBraze} {
		if ids[k] != nil {
			primary++
			o.who = k
		}
	}
	switch {
	case o.tokenImport:
		return t.checkImport(o, ids[idExternal] != nil || ids[idBraze] != nil)
	case primary > 1:
		return faultTwoIDs
	case primary == 0:
		for _, k := range []idKind{idPhone, idEmail} {
			if m := ids[k]; m != nil && m.kind == kindString {
				o.who = k
			}
		}
		if o.who == idNone {
			return faultNoID
		}
	}
	m := ids[o.who]
	o.idFrom, o.idTo = m.from, m.to
	if o.who == idAlias && only == nil {
		o.updateOnly = true // Braze docs, Create and update users: with an alias, creating needs an explicit false
	}
	return t.checkID(o, m)
}

func (t *track) checkID(o *object, m *member) fault {
	raw := t.raw(m)
	switch o.who {
	case idExternal:
		if m.kind != kindString || len(raw) == 2 {
			return faultIDEmpty
		}
		if len(raw) > maxExternalID+2 && len(text(raw)) > maxExternalID {
			return faultIDTooLarge
		}
	case idAlias:
		h, ok := aliasOf(parseNode(raw))
		if !ok {
			return faultAlias
		}
		o.alias = h
	case idBraze:
		if m.kind != kindString || len(raw) == 2 {
			return faultBrazeID
		}
	case idEmail:
		if !hasBlank(text(raw)) && !validEmail(text(raw)) {
			return faultEmail
		}
	}
	return faultNone
}

// aliasOf reads a user alias object (Braze docs, User alias object).
func aliasOf(n *node) (handle, bool) {
	name, ok1 := n.get("alias_name").str()
	label, ok2 := n.get("alias_label").str()
	ok := ok1 && ok2 && name != "" && label != "" && len(name) <= maxAlias && len(label) <= maxAlias
	return handle{idAlias, name, label}, ok
}

// checkImport handles push_token_import: anonymous, and never without tokens (Braze docs, User attributes object).
func (t *track) checkImport(o *object, identified bool) fault {
	o.who = idToken
	tokens := false
	for i := o.first; i < o.last; i++ {
		tokens = tokens || t.members[i].name == namePushTokens
	}
	if identified || !tokens {
		return faultTokenImport
	}
	return faultNone
}

// checkEvent validates an event or a purchase (Braze docs, Event object; Purchase object).
func (t *track) checkEvent(o *object) fault {
	var name, at, product, currency, price bool
	for i := o.first; i < o.last; i++ {
		m := &t.members[i]
		raw := t.raw(m)
		filled := m.kind == kindString && len(raw) > 2 && !tooLong(raw)
		switch m.name {
		case nameName:
			name = filled
		case nameProductID:
			product = filled
		case nameTime:
			if m.kind == kindString {
				_, at = parseEventTime(text(raw))
			}
		case nameCurrency:
			currency = m.kind == kindString && currencies[string(text(raw))]
		case namePrice:
			price = m.kind == kindNumber
		case nameQuantity:
			if o.array == inPurchases && m.kind != kindNull && quantity(raw) == 0 {
				return faultQuantity
			}
		case nameProperties:
			if f := checkProperties(m.kind, raw, o.array); f != faultNone {
				return f
			}
		}
	}
	switch {
	case o.array == inEvents && !name:
		return faultEventName
	case o.array == inPurchases && !product:
		return faultProduct
	case o.array == inPurchases && !currency:
		return faultCurrency
	case o.array == inPurchases && !price:
		return faultPrice
	case !at:
		return faultEventTime
	}
	return faultNone
}

// quantity reads 1 to 100, or returns 0.
func quantity(raw []byte) int {
	n := 0
	for _, c := range raw {
		if c < '0' || c > '9' || n > 100 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	if n > 100 {
		return 0
	}
	return n
}

func checkProperties(k kind, raw []byte, array uint8) fault {
	limit := maxNested
	if array == inPurchases {
		limit = 50 * 1024 // Braze docs, Purchase object
	}
	switch {
	case k == kindNull:
		return faultNone
	case k != kindObject || len(raw) > limit:
		return faultProperties
	}
	for _, key := range parseNode(raw).keys {
		switch {
		case key == "time" || key == "event_name":
			return faultReservedProperty
		case key == "" || key[0] == '$' || len(key) > maxText && tooLong(appendQuoted(nil, []byte(key))):
			return faultPropertyName
		}
	}
	return faultNone
}
