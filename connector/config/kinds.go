package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
)

// events checks kinds events and purchases. They come with a later version, so nothing of them is kept but that they are there.
func (d *decoder) events(o object, m *connector.Model) {
	d.identify(o, m)
	var ops []string
	for _, n := range o.texts("ops", &ops) {
		if !slices.Contains([]string{"insert", "update"}, n.value) {
			d.bad(n, "is "+n.describe(), "choose insert or update")
		}
	}
	d.expression(o, "when", new(string))
	if m.Kind == "events" {
		o.missing("event", "write event: {name: ..., time: column}")
		e := d.object(o.section("event"), "name time max_age")
		if o.has("event") {
			e.missing("name", "write the event's name")
		}
		var name string
		if n := e.str("name", &name); n != nil && (name == "" || len([]rune(name)) > maxNameRunes) {
			d.bad(n, "is "+n.describe(), "write 1 to 255 characters")
		}
		if n := e.get("time"); n != nil {
			d.from(n, new(connector.ValueFrom), fromKeys)
		}
		e.duration("max_age", new(time.Duration), time.Second)
	} else {
		o.missing("purchase", "write purchase: {product_id: ..., currency: ..., price: column}")
		p := d.object(o.section("purchase"), "product_id currency price quantity time max_age")
		if o.has("purchase") {
			for _, key := range []string{"product_id", "currency", "price"} {
				p.missing(key, "name a column")
			}
		}
		for _, key := range []string{"product_id", "currency", "price", "quantity", "time"} {
			if n := p.get(key); n != nil {
				d.from(n, new(connector.ValueFrom), fieldKeys)
			}
		}
		p.duration("max_age", new(time.Duration), time.Second)
	}
	d.properties(o.section("properties"), 0)
}

// properties checks a mapping of names to values, {each, fields} among them for arrays of objects.
func (d *decoder) properties(n *node, depth int) {
	for _, e := range d.free(n, "write property: column") {
		if e.node.kind != mapping || e.node.child("each") == nil {
			d.field(entry{key: "property", place: e.place, node: e.node}, false)
			continue
		}
		each := d.object(e.node, "each fields")
		if c := each.get("each"); c != nil {
			d.column(c, new(string))
		}
		each.missing("fields", "write the fields of each object")
		if depth < 8 {
			d.properties(each.section("fields"), depth+1)
		}
	}
}

func (d *decoder) subscriptions(o object, m *connector.Model, cfg *Config) {
	d.identify(o, m)
	o.boolean("load_consent", &m.LoadConsent)
	o.missing("groups", "write a list such as [{group: newsletter, subscribed: column}]")
	d.groups(o, "groups", cfg)
}

// catalogName is what Braze takes as a catalog's or a field's name (Braze docs, "Create catalog").
var catalogName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,250}$`)

func (d *decoder) catalog(o object, m *connector.Model) {
	o.missing("catalog", "write the catalog's name in Braze")
	var name string
	if n := o.str("catalog", &name); n != nil && !catalogName.MatchString(name) {
		d.bad(n, "is "+n.describe(), "use letters, digits, _ and -, 250 at most")
	}
	o.missing("identify", "write identify: {item_id: column}")
	if n := o.section("identify"); n != nil {
		id := d.object(n, "item_id")
		id.missing("item_id", "name the column that becomes the item's id")
		if x := id.get("item_id"); x != nil {
			d.from(x, &m.Identify.ExternalID, "column expr")
		}
	}
	for _, e := range d.free(o.section("fields"), "write field: column") {
		if !catalogName.MatchString(e.key) || strings.EqualFold(e.key, "id") {
			d.addAt(e.place, e.node.path, e.node.path+" is not a name for a catalog's field", "use letters, digits, _ and -, and not id")
		}
		d.field(entry{key: "property", place: e.place, node: e.node}, false)
	}
}
