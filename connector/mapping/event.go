package mapping

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"brazecdc/connector"
)

// The bounds of events (Braze docs, "Event object", "Custom events", "Purchase object").
const (
	maxProperties     = 256
	maxEventBytes     = 100 * 1024
	maxPurchaseBytes  = 50 * 1024
	maxQuantity       = 100
	maxEachDepth      = 8
	maxPropertyLength = 255
)

// event is a compiled model of events or purchases.
type event struct {
	purchase   bool
	insert     bool
	update     bool
	when       *program
	name       string // of all, "" where a column has it
	nameColumn string
	oneOf      map[string]bool
	maxAge     time.Duration
	// What a row has to have beside a name; nil where nothing says where it comes from.
	time, currency, price, quantity *field
	properties                      []*prop
}

// prop is one property of an event.
type prop struct {
	key   []byte // `"name":`
	field *field // nil where each is set
	each  *each
}

// each makes an array of objects out of those that a JSON column holds.
type each struct {
	label      string
	column     string
	properties []*prop
}

// event compiles a model of events or purchases.
func (c *compiler) event(mo *model) {
	conf := &mo.conf
	ec, path := &conf.Event, conf.Event.Path
	mo.event = &event{purchase: mo.kind == purchases, maxAge: ec.MaxAge}
	e := mo.event
	if e.maxAge == 0 {
		e.maxAge = connector.DefaultMaxAge
	}
	if mo.enrich && !ec.DropUnknown {
		c.fault(conf.Path+".mode", "mode cannot be enrich: events of users that Braze does not know would be lost", "use additive, or add drop_unknown: true")
	}
	if conf.DeleteWhen != "" {
		c.fault(conf.Path+".delete_when", "an event is not taken back", "remove it, or leave such rows out by when or filter")
	}
	c.ops(mo, e)
	c.eventName(mo, e)
	c.when(mo, e)
	if ec.Time == (connector.ValueFrom{}) {
		if conf.Load == "all" {
			c.fault(path+".time", "a load reads rows of any age, and nothing tells when they happened", "name the column of the time, or set load: none")
		}
	} else {
		e.time = c.part(mo, "time", ec.Time, path+".time", (*settings).appendTime)
	}
	e.properties = c.properties(mo, ec.Properties, conf.Path+".properties", 0, nil)
	if !e.purchase {
		c.ecommerce(mo, e)
		return
	}
	if ec.Currency == (connector.ValueFrom{}) || ec.Price == (connector.ValueFrom{}) {
		c.fault(path, "a purchase needs a currency and a price", "write currency: {value: EUR} and price: COLUMN")
		return
	}
	e.currency = c.part(mo, "currency", ec.Currency, path+".currency", onText(appendCurrency))
	e.price = c.part(mo, "price", ec.Price, path+".price", converters["number"])
	if ec.Quantity != (connector.ValueFrom{}) {
		e.quantity = c.part(mo, "quantity", ec.Quantity, path+".quantity", appendQuantity)
	}
}

func (c *compiler) ops(mo *model, e *event) {
	for _, op := range mo.conf.Event.Ops {
		switch op {
		case "insert":
			e.insert = true
		case "update":
			e.update = true
		default:
			c.fault(mo.conf.Path+".ops", fmt.Sprintf("ops cannot hold %q", op), "use insert and update")
		}
	}
	if len(mo.conf.Event.Ops) == 0 {
		e.insert = true
	}
}

// eventName compiles the name or the product_id. Names made of rows could be too many: Braze bars a user with 20,000 of them (Braze docs, "User archival").
func (c *compiler) eventName(mo *model, e *event) {
	n, path := mo.conf.Event.Name, mo.conf.Event.Path+".name"
	if e.purchase {
		path = mo.conf.Event.Path + ".product_id"
	}
	names := n.OneOf
	switch {
	case (n.Value == "") == (n.Column == ""):
		c.fault(path, "it takes either a constant or a column with a list of its values", "write a name, or {column: COLUMN, one_of: [...]}")
		return
	case n.Value != "":
		e.name, names = n.Value, []string{n.Value}
	case len(n.OneOf) == 0:
		c.fault(path, "names out of rows could become too many for Braze, which then bars the user", "list them under one_of")
	default:
		c.sentColumn(mo, n.Column, path+".column")
		e.nameColumn, e.oneOf = n.Column, map[string]bool{}
	}
	for _, name := range names {
		if l := utf8.RuneCountInString(name); l == 0 || l > maxString || strings.TrimSpace(name) != name {
			c.fault(path, fmt.Sprintf("%q cannot be a name", name), "use 1 to 255 characters, without blanks around them")
		}
		if e.oneOf != nil {
			e.oneOf[name] = true
		}
	}
}

// when compiles the rule about a change.
func (c *compiler) when(mo *model, e *event) {
	path := mo.conf.Path + ".when"
	if mo.conf.Event.When == "" {
		if e.update {
			c.warn(mo.conf.Path+".ops", "each update of a row sends its event again", `add when: becomes(status, "paid"), or remove update`)
		}
		return
	}
	if e.when = c.expr(mo, mo.conf.Event.When, path, useWhen); e.when == nil {
		return
	}
	t := mo.table
	if len(e.when.olds) == 0 || !e.update || t == nil || t.Identity == connector.IdentityFull || mo.conf.ReplicaIdentity == "full" {
		return
	}
	what, fix := fmt.Sprintf("updates of %s do not carry what %s was before, so that becomes() cannot tell", t.Name, strings.Join(e.when.olds, ", ")), "ALTER TABLE "+t.Name+" REPLICA IDENTITY FULL"
	if c.cfg.NoReread { // topics show it only by their records
		c.warn(path, what+", unless the records have complete before-images", fix+", or set replica_identity: full where they have")
		return
	}
	c.fault(path, what, fix)
}

// part compiles what a row has to have.
func (c *compiler) part(mo *model, label string, from connector.ValueFrom, path string, convert converter) *field {
	f := &field{label: label, path: path, column: from.Column, convert: convert, set: settings{zone: c.cfg.TimeZone, bounds: &propertyBounds}}
	c.origin(mo, f, &connector.FieldMap{Name: label, ValueFrom: from, Path: path})
	return f
}

// appendCurrency appends an ISO 4217 code.
func appendCurrency(dst []byte, s string) ([]byte, string, bool) {
	code, ok := currencyCode(s)
	if !ok {
		return dst, "not a currency of ISO 4217", false
	}
	return appendString(dst, code), "", true
}

// appendQuantity appends how many were bought; Braze counts a purchase of n as n purchases, 100 at most.
func appendQuantity(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
	out, _, ok := appendNumber(dst, v)
	if !ok {
		return dst, "not a number", false
	}
	if n, whole := wholeNumber(out[len(dst):]); !whole || n < 1 || n > maxQuantity {
		return dst, "not a whole number from 1 to 100", false
	}
	return out, "", true
}

// properties compiles a list of properties. In an each, depth is above 0 and columns are members of its objects.
func (c *compiler) properties(mo *model, list []connector.PropertyMap, path string, depth int, never [][]string) []*prop {
	if len(list) > maxProperties {
		c.fault(path, fmt.Sprintf("%d properties are more than the %d that Braze keeps", len(list), maxProperties), "remove some")
	}
	seen := map[string]bool{}
	var out []*prop
	for i := range list {
		pm := &list[i]
		if seen[pm.Name] {
			c.fault(pm.Path, fmt.Sprintf("the property %q is there twice", pm.Name), "remove one")
		}
		seen[pm.Name] = true
		c.propertyName(mo, pm.Name, pm.Path, depth)
		p := &prop{key: keyJSON(pm.Name)}
		if pm.Each != "" {
			p.each = c.each(mo, pm, depth, never)
		} else {
			p.field = c.property(mo, &pm.FieldMap, depth, never)
		}
		out = append(out, p)
	}
	return out
}

// Names that an event's properties may not have (Braze docs, "Event object"; those of purchases, "Purchase object").
var (
	reservedProperties = map[string]bool{"time": true, "event_name": true}
	purchaseProperties = map[string]bool{"time": true, "event_name": true, "product_id": true, "quantity": true, "price": true, "currency": true}
)

func (c *compiler) propertyName(mo *model, name, path string, depth int) {
	barred := reservedProperties
	if mo.kind == purchases {
		barred = purchaseProperties
	}
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxPropertyLength:
		c.fault(path, fmt.Sprintf("the name of a property has %d characters; Braze takes 1 to %d", utf8.RuneCountInString(name), maxPropertyLength), "choose another name")
	case name[0] == '$':
		c.fault(path, `a property's name that begins with "$" is refused by Braze`, "choose another name")
	case depth == 0 && barred[name]:
		c.fault(path, fmt.Sprintf("%q is reserved by Braze in properties", name), "choose another name")
	}
}

func (c *compiler) property(mo *model, fm *connector.FieldMap, depth int, never [][]string) *field {
	f := &field{label: fm.Name, path: fm.Path, column: fm.Column, declared: fm.Type, set: settings{zone: c.cfg.TimeZone, bounds: &propertyBounds}}
	conv, ok := converters[fm.Type]
	if !ok {
		c.fault(fm.Path, fmt.Sprintf("there is no type %q", fm.Type), "use string, number, bool, time, array or object")
		return f
	}
	f.convert = withoutTimes(conv)
	if fm.Collect || fm.Array != "" && fm.Array != "replace" {
		c.fault(fm.Path, "array and collect are for custom attributes", "remove them")
	}
	c.policies(f, fm)
	if depth == 0 {
		c.origin(mo, f, fm)
	} else {
		c.member(f, fm, never)
	}
	c.standin(f, fm)
	return f
}

// withoutTimes makes a converter refuse arrays of dates and times, which Braze does not take in properties (Braze docs, "Event object").
func withoutTimes(conv converter) converter {
	return func(s *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		for _, e := range v.List {
			switch e.Kind {
			case connector.KindDate, connector.KindTimestamp, connector.KindTimestampTZ:
				return dst, "an array of dates or times, which Braze does not take in properties", false
			}
		}
		return conv(s, dst, v)
	}
}

// member compiles where a property of an each's object comes from: a member of the object, an expression of its members, or a constant.
func (c *compiler) member(f *field, fm *connector.FieldMap, never [][]string) {
	switch {
	case fm.Expr != "":
		p, err := compileExpr(fm.Expr, nil, useValue, c.cfg.TimeZone, c.cfg.Now)
		if err != nil {
			c.fault(fm.Path+".expr", err.Error(), "")
			return
		}
		f.prog = p
		for _, name := range p.columns {
			if below, cut := nested(never, name); cut || below != nil {
				c.fault(fm.Path+".expr", fmt.Sprintf("the expression reads %q, which is in never_send", name), "remove it here or there")
			}
		}
	case fm.HasValue:
		b, why := encodeConstant(f, fm.Value)
		if why != "" {
			c.fault(fm.Path, "the value cannot be sent: "+why, "")
		}
		f.constant = b
	case fm.Column == "":
		c.fault(fm.Path, "a property takes exactly one of a column, an expression, a value", "")
	default:
		f.set.never = c.sentMember(never, fm.Column, fm.Path)
	}
}

// sentMember checks a member of an object whose value leaves; it gives the paths inside it that may not.
func (c *compiler) sentMember(never [][]string, name, path string) [][]string {
	below, cut := nested(never, name)
	if cut {
		c.fault(path, fmt.Sprintf("%q is in never_send", name), "remove it here or there")
	}
	return below
}

func (c *compiler) each(mo *model, pm *connector.PropertyMap, depth int, never [][]string) *each {
	e := &each{label: pm.Name, column: pm.Each}
	if depth == 0 {
		never = c.sentColumn(mo, pm.Each, pm.Path+".each")
	} else {
		never = c.sentMember(never, pm.Each, pm.Path+".each")
	}
	switch {
	case depth >= maxEachDepth:
		c.fault(pm.Path, fmt.Sprintf("each inside each goes %d deep at most", maxEachDepth), "")
		return e
	case len(pm.Fields) == 0:
		c.fault(pm.Path+".fields", "an each needs the fields of its objects", "write fields: {NAME: MEMBER}")
	}
	e.properties = c.properties(mo, pm.Fields, pm.Path+".fields", depth+1, never)
	return e
}
