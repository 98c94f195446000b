package mapping

import (
	"fmt"
	"regexp"

	"brazecdc/connector"
)

// modelKind is what a model's rows are.
type modelKind uint8

const (
	users modelKind = iota
	subscriptions
	catalogs
	events
	purchases
)

var modelKinds = map[string]modelKind{"": users, "users": users, "subscriptions": subscriptions, "catalog": catalogs, "events": events, "purchases": purchases}

// noEnrich refuses a mode in which nothing may be created where the kind's call creates.
func (c *compiler) noEnrich(mo *model, why string) {
	if mo.enrich {
		c.fault(mo.conf.Path+".mode", "mode cannot be enrich: "+why, "use sync or additive")
	}
}

// onLeaveOf checks on_leave where a row is no user.
func (c *compiler) onLeaveOf(mo *model, path string) {
	word := mo.conf.OnLeave
	switch {
	case word == "", word == "keep", word == "unset" && mo.kind == subscriptions, word == "delete" && mo.kind == catalogs && mo.sync:
	case word == "delete" && mo.kind == catalogs:
		c.fault(path, "on_leave: delete needs mode sync", "use keep")
	case mo.kind == subscriptions:
		c.fault(path, fmt.Sprintf("on_leave cannot be %q for subscriptions", word), "use keep or unset, which unsubscribes")
	case mo.kind == catalogs:
		c.fault(path, fmt.Sprintf("on_leave cannot be %q for a catalog", word), "use keep or delete")
	}
}

// subscriptions compiles a model whose rows are states of subscription groups alone.
func (c *compiler) subscriptions(mo *model) {
	c.noEnrich(mo, "Braze's call for subscriptions cannot be told to leave unknown users alone")
	for i := range mo.ids {
		if mo.ids[i].kind == connector.Alias {
			c.fault(mo.conf.Path+".identify.alias", "Braze's call for subscriptions takes no alias", "use external_id, email or phone")
		}
	}
	if len(mo.conf.Groups) == 0 {
		c.fault(mo.conf.Path+".groups", "the model has no subscription groups", "write groups: [{group: NAME, subscribed: COLUMN}]")
	}
	c.groups(mo)
}

// catalogWord is what Braze takes as the name of a catalog or of its fields (Braze docs, "Create catalog").
var catalogWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,250}$`)

// catalog compiles a model whose rows are the items of a catalog.
func (c *compiler) catalog(mo *model) {
	conf := &mo.conf
	c.noEnrich(mo, "the call that replaces an item creates it where it is missing")
	if !catalogWord.MatchString(conf.Catalog) {
		c.fault(conf.Path+".catalog", fmt.Sprintf("a catalog cannot be called %q", conf.Catalog), "use letters, digits, - and _, 250 at most")
	}
	for i := range conf.Fields {
		if f := c.itemField(mo, &conf.Fields[i]); f != nil {
			mo.fields = append(mo.fields, f)
		}
	}
	c.itemUnique(mo)
}

// itemUnique warns where two rows may be one item.
func (c *compiler) itemUnique(mo *model) {
	t := mo.table
	if t == nil || len(mo.ids) == 0 || len(mo.others) > 0 {
		return
	}
	cols := map[int]bool{}
	for _, name := range mo.ids[0].columns() {
		cols[t.Column(name)] = true
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
	c.warn(mo.conf.Path+".identify.item_id", "no unique key covers the item's id: of two rows with one id the last change counts, and the delete of either takes the item away", "")
}

// geo is the type of a catalog's field that holds a place.
const geo = "geo"

// itemField compiles one field of a catalog.
func (c *compiler) itemField(mo *model, fm *connector.FieldMap) *field {
	f := &field{path: fm.Path, column: fm.Column, declared: fm.Type, set: settings{zone: c.cfg.TimeZone, bounds: &itemBounds}}
	faults := len(c.faults)
	if !catalogWord.MatchString(fm.Name) || fm.Name == "id" {
		c.fault(fm.Path, fmt.Sprintf("a catalog's field cannot be called %q", fm.Name), "use letters, digits, - and _, 250 at most, and not id")
	}
	conv, ok := converters[fm.Type]
	switch {
	case fm.Type == geo:
		conv = appendGeo
	case !ok:
		c.fault(fm.Path, fmt.Sprintf("there is no type %q", fm.Type), "use string, number, bool, time, array, object or geo")
	}
	f.convert = conv
	for _, s := range [][2]string{{"country", fm.Country}, {"when_true", fm.WhenTrue}, {"resubscribe", fm.Resubscribe}} {
		if s[1] != "" {
			c.fault(fm.Path, s[0]+" is for profile fields", "remove it")
		}
	}
	if fm.Collect || fm.Array != "" && fm.Array != "replace" {
		c.fault(fm.Path, "an item is replaced as a whole, arrays too", "remove array and collect")
	}
	if fm.OnNull == "keep" {
		c.fault(fm.Path+".on_null", "an item is replaced as a whole, so that no value can be kept", "use clear or {value: x}")
	}
	c.policies(f, fm)
	if (fm.Latitude != "" || fm.Longitude != "") && fm.Type == geo {
		c.place(mo, f, fm)
	} else {
		c.origin(mo, f, fm)
	}
	c.standin(f, fm)
	if c.failedSince(faults) {
		return nil
	}
	f.def = &connector.FieldDef{Name: fm.Name, JSON: keyJSON(fm.Name), Model: mo.index, Order: c.order, Free: true, Hash: fieldHash(fm, c.cfg.TimeZone.String())}
	c.order++
	return f
}
