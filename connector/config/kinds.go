package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
)

// maxEach is how deep each may stand inside of each.
const maxEach = 8

// events reads what only events and purchases have.
func (d *decoder) events(o object, m *connector.Model) {
	d.identify(o, m)
	ev := &m.Event
	ev.MaxAge = connector.DefaultMaxAge
	for _, n := range o.texts("ops", &ev.Ops) {
		if !slices.Contains([]string{"insert", "update"}, n.value) {
			d.bad(n, "is "+n.describe(), "choose insert or update")
		}
	}
	if n := o.get("ops"); n != nil && n.kind == sequence && len(n.items) == 0 {
		d.bad(n, "is empty", "write [insert], [update] or both")
	}
	d.expression(o, "when", &ev.When)
	if m.Kind == "events" {
		d.event(o, m)
	} else {
		d.purchase(o, m)
	}
	ev.Properties = d.properties(o.section("properties"), 0)
}

func (d *decoder) event(o object, m *connector.Model) {
	o.missing("event", "write event: {name: ..., time: column}")
	n := o.section("event")
	if n == nil {
		return
	}
	e := d.object(n, "name time max_age")
	m.Event.Path = n.path
	e.missing("name", "write the event's name")
	if x := e.get("name"); x != nil {
		if x.kind != mapping {
			if d.isText(x) {
				m.Event.Name.Value = x.value
				d.nameText(x)
			}
		} else {
			d.nameFrom(x, &m.Event.Name)
		}
	}
	d.moment(e, m)
}

func (d *decoder) purchase(o object, m *connector.Model) {
	o.missing("purchase", "write purchase: {product_id: {value: ...}, currency: column, price: column}")
	n := o.section("purchase")
	if n == nil {
		return
	}
	p := d.object(n, "product_id currency price quantity time max_age")
	m.Event.Path = n.path
	p.missing("product_id", "write {value: ...}, or {column: ..., one_of: [...]}")
	p.missing("currency", "name the column of the currency, or write {value: EUR}")
	p.missing("price", "name the column of the price")
	if x := p.get("product_id"); x != nil && x.kind != mapping {
		d.bad(x, "is "+x.describe()+", which does not tell whether it is a column", "write {value: ...}, or {column: ..., one_of: [...]} with the values it may have")
	} else if x != nil {
		d.nameFrom(x, &m.Event.Name)
	}
	for key, dst := range map[string]*connector.ValueFrom{"currency": &m.Event.Currency, "price": &m.Event.Price, "quantity": &m.Event.Quantity} {
		if x := p.get(key); x != nil {
			d.from(x, dst, fromKeys)
		}
	}
	d.moment(p, m)
}

// moment reads when an event happened, and how old it may be.
func (d *decoder) moment(o object, m *connector.Model) {
	if n := o.get("time"); n != nil {
		d.from(n, &m.Event.Time, fromKeys)
	} else if m.Load == "all" && !o.has("time") {
		o.missing("time", "name the column of the time: a load reads rows of any age")
	}
	o.duration("max_age", &m.Event.MaxAge, time.Second)
}

// nameFrom reads a name that is a constant, or one of a closed list in a column.
func (d *decoder) nameFrom(n *node, to *connector.NameFrom) {
	o := d.object(n, "value column one_of")
	if o.has("value") == o.has("column") {
		d.bad(n, "needs one of value and column", "write {value: ...}, or {column: ..., one_of: [...]}")
		return
	}
	if x := o.str("value", &to.Value); x != nil {
		d.nameText(x)
	}
	if o.has("value") && o.has("one_of") {
		d.bad(o.n.child("one_of"), "stands beside value", "remove one of the two")
	}
	if !o.has("column") {
		return
	}
	if x := o.get("column"); x != nil {
		d.column(x, &to.Column)
	}
	o.missing("one_of", "list the names that the column may hold: Braze bars a user with too many of them")
	seen := map[string]bool{}
	for _, x := range o.texts("one_of", &to.OneOf) {
		d.nameText(x)
		if seen[x.value] {
			d.bad(x, "is there twice", "remove one")
		}
		seen[x.value] = true
	}
}

// nameText checks the name of an event or product.
func (d *decoder) nameText(n *node) {
	if l := len([]rune(n.value)); l == 0 || l > maxNameRunes || strings.TrimSpace(n.value) != n.value {
		d.bad(n, "is "+n.describe(), "write 1 to 255 characters, without blanks around them")
	}
}

// properties reads a mapping of names to values, {each, fields} among them for arrays of objects.
func (d *decoder) properties(n *node, depth int) (out []connector.PropertyMap) {
	for _, e := range d.free(n, "write property: column") {
		p := connector.PropertyMap{FieldMap: line(e)}
		d.propertyName(e, depth)
		if e.node.kind == mapping && e.node.child("each") != nil {
			d.each(e.node, &p, depth)
		} else if d.from(e.node, &p.ValueFrom, propertyKeys) && e.node.kind == mapping {
			d.policies(object{d, e.node}, &p.FieldMap, valueTypes)
		}
		out = append(out, p)
	}
	return out
}

// propertyName checks a property's name (Braze docs, "Event object").
func (d *decoder) propertyName(e entry, depth int) {
	name := e.key
	bad := func(what, fix string) { d.addAt(e.place, e.node.path, e.node.path+" "+what, fix) }
	switch {
	case name == "":
		bad("has an empty name", "give the property a name")
	case len([]rune(name)) > maxNameRunes:
		bad("has a name longer than 255 characters", "shorten it")
	case name[0] == '$':
		bad("begins with $, which Braze refuses", "choose another name")
	case depth == 0 && (name == "time" || name == "event_name"):
		bad("has the name "+name+", which Braze keeps for itself in events", "choose another name; what the event's time is stands under event")
	}
}

// each reads an array of objects made of those of a JSON column, or inside of another each of a member.
func (d *decoder) each(n *node, p *connector.PropertyMap, depth int) {
	o := d.object(n, "each fields")
	if c := o.get("each"); c != nil {
		d.column(c, &p.Each)
	}
	o.missing("fields", "write the fields of each object")
	if depth >= maxEach {
		d.bad(n, fmt.Sprintf("stands in %d others", depth), fmt.Sprintf("each inside each goes %d deep", maxEach))
		return
	}
	fields := o.section("fields")
	if fields != nil && (fields.kind == null || fields.kind == mapping && len(fields.entries) == 0) {
		d.bad(fields, "is empty", "write the fields of each object")
	}
	p.Fields = d.properties(fields, depth+1)
}

// subscriptions reads what only subscriptions have.
func (d *decoder) subscriptions(o object, m *connector.Model, cfg *Config) {
	d.identify(o, m)
	if a := o.n.child("identify").child("alias"); a != nil {
		d.bad(a, "names users by an alias, which Braze's call for subscriptions does not take", "use external_id, email or phone")
	}
	o.boolean("load_consent", &m.LoadConsent)
	o.missing("groups", "write a list such as [{group: newsletter, subscribed: column}]")
	m.Groups = d.groups(o, "groups", cfg)
}

// catalogName is what Braze takes as a catalog's or a field's name (Braze docs, "Create catalog").
var catalogName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,250}$`)

// itemTypes are the types of a catalog's fields.
var itemTypes = append(slices.Clone(valueTypes), "geo")

func (d *decoder) catalog(o object, m *connector.Model) {
	o.missing("catalog", "write the catalog's name in Braze")
	if n := o.str("catalog", &m.Catalog); n != nil && !catalogName.MatchString(m.Catalog) {
		d.bad(n, "is "+n.describe(), "use letters, digits, _ and -, 250 at most")
	}
	o.missing("identify", "write identify: {item_id: column}")
	if n := o.section("identify"); n != nil {
		id := d.object(n, "item_id")
		id.missing("item_id", "name the column that becomes the item's id")
		if x := id.get("item_id"); x != nil {
			m.Identify.ItemID = d.itemID(x)
		}
	}
	for _, e := range d.free(o.section("fields"), "write field: column") {
		if !catalogName.MatchString(e.key) || strings.EqualFold(e.key, "id") {
			d.addAt(e.place, e.node.path, e.node.path+" is not a name for a catalog's field", "use letters, digits, _ and -, and not id")
		}
		m.Fields = append(m.Fields, d.itemField(e))
	}
}

// itemID reads what an item's id is made of: one column or expression, or a list of them.
func (d *decoder) itemID(n *node) (out []connector.ValueFrom) {
	parts := []*node{n}
	if n.kind == sequence {
		if parts = n.items; len(parts) == 0 {
			d.bad(n, "is empty", "name a column")
		}
	}
	for _, x := range parts {
		var v connector.ValueFrom
		if x.kind == mapping && x.child("value") != nil {
			d.bad(x, "is a constant", "name a column, or write {expr: ...}")
		} else if d.from(x, &v, "column expr") {
			out = append(out, v)
		}
	}
	return out
}

// itemField reads one field of a catalog.
func (d *decoder) itemField(e entry) connector.FieldMap {
	f := line(e)
	const placeKeys = " latitude longitude"
	good := false
	if hasPlace(e.node) {
		good = d.location(e.node, &f, propertyKeys+placeKeys)
		f.Type = "geo"
	} else {
		good = d.from(e.node, &f.ValueFrom, propertyKeys+placeKeys)
	}
	if !good || e.node.kind != mapping {
		return f
	}
	o := object{d, e.node}
	if t := d.policies(o, &f, itemTypes); t != nil && hasPlace(e.node) && f.Type != "geo" {
		d.bad(t, "is "+t.describe()+", and a place out of two columns is geo", "remove type")
	}
	if f.OnNull == "keep" {
		d.bad(o.n.child("on_null"), "is keep, and an item is replaced as a whole", "choose clear or {value: x}")
	}
	return f
}
