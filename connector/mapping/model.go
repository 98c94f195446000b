package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
)

// model is one compiled entry of the configuration.
type model struct {
	index      int
	conf       connector.Model
	kind       modelKind
	sync       bool // mode sync: deletes and unsets
	enrich     bool
	owner      bool
	twins      *twins // of an owner whose identifiers lose the blanks around them
	ids        []idSource
	filter     *program
	deleteWhen *program
	fields     []*field // by Order
	hasGroups  bool     // subscription groups are among them
	event      *event   // of events and purchases
	email      *field   // the profile field, where the model writes it
	emailState *field   // email_subscribe
	table      *connector.Table
	others     []*connector.Table      // of the other topics that feed the model
	feeds      func(topic string) bool // where it names its topics by a pattern
	tz         *time.Location
	info       connector.ModelInfo
	keeps      remembered // of its rows
}

// compiler collects the faults of all models.
type compiler struct {
	cfg    *Config
	faults []connector.Fault
	order  int
	attrs  map[string]*attribute // custom attributes by name
	// matched are the entries of never_send that name a column of a model's table.
	matched map[int]bool
}

func (c *compiler) fault(path, what, fix string) {
	c.faults = append(c.faults, connector.Fault{Path: path, What: what, Fix: fix})
}

func (c *compiler) warn(path, what, fix string) {
	c.faults = append(c.faults, connector.Fault{Path: path, What: what, Fix: fix, Warn: true})
}

// model compiles one model; where it has faults the result is not used.
func (c *compiler) model(index int) *model {
	conf := c.cfg.Models[index]
	mo := &model{index: index, conf: conf, tz: c.cfg.TimeZone}
	c.shapes(mo)
	kind, ok := modelKinds[conf.Kind]
	if !ok {
		c.fault(conf.Path+".kind", fmt.Sprintf("there is no kind %q", conf.Kind), "use users, events, purchases, subscriptions or catalog")
		return mo
	}
	mo.kind, mo.owner = kind, conf.OwnsUsers && kind == users
	switch conf.Mode {
	case "sync":
		mo.sync = true
	case "additive":
	case "enrich":
		mo.enrich = true
	default:
		c.fault(conf.Path+".mode", fmt.Sprintf("mode cannot be %q", conf.Mode), "use sync, additive or enrich")
	}
	c.identify(mo)
	c.keys(mo)
	if conf.Filter != "" {
		mo.filter = c.expr(mo, conf.Filter, conf.Path+".filter", useRule)
		c.onLeave(mo)
	}
	if conf.DeleteWhen != "" {
		mo.deleteWhen = c.expr(mo, conf.DeleteWhen, conf.Path+".delete_when", useRule)
		if mo.deleteWhen != nil && mo.deleteWhen.volatile {
			c.fault(conf.Path+".delete_when", "delete_when cannot read the clock: a profile is deleted by a change of its row", "compare columns only")
		}
	}
	switch mo.kind {
	case users:
		c.users(mo)
	case subscriptions:
		c.subscriptions(mo)
	case catalogs:
		c.catalog(mo)
	default:
		c.event(mo)
	}
	mo.keeps = mo.remembers()
	c.scheduled(mo)
	mo.describe()
	return mo
}

// users compiles what only a model of users has.
func (c *compiler) users(mo *model) {
	conf := &mo.conf
	switch conf.OnIDChange {
	case "", "rename", "create", "stop":
	default:
		c.fault(conf.Path+".on_id_change", fmt.Sprintf("on_id_change cannot be %q", conf.OnIDChange), "use rename, create or stop")
	}
	for i := range conf.Fields {
		if f := c.field(mo, &conf.Fields[i], true); f != nil {
			mo.fields = append(mo.fields, f)
			switch f.def.Name {
			case "email":
				mo.email = f
			case "email_subscribe":
				mo.emailState = f
			}
		}
	}
	for i := range conf.Custom {
		if f := c.field(mo, &conf.Custom[i], false); f != nil {
			mo.fields = append(mo.fields, f)
		}
	}
	c.groups(mo)
	c.audiences(mo)
	c.lookedUpBy(mo)
	if mo.owner && !conf.Identify.KeepBlanks {
		mo.twins = new(twins)
	}
}

// shapes finds the tables of a model.
func (c *compiler) shapes(mo *model) {
	if mo.conf.TopicPattern == "" {
		mo.table = c.cfg.Tables[mo.source()]
		return
	}
	mo.feeds = remember(mo.conf.Reads())
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Tables)) {
		switch {
		case !mo.feeds(name):
		case mo.table == nil:
			mo.table = c.cfg.Tables[name]
		default:
			mo.others = append(mo.others, c.cfg.Tables[name])
		}
	}
}

// remember keeps what a function said of each name: a pattern is asked of every change, and topics are few.
func remember(f func(string) bool) func(string) bool {
	var known sync.Map
	return func(name string) bool {
		if v, ok := known.Load(name); ok {
			return v.(bool)
		}
		v := f(name)
		known.Store(name, v)
		return v
	}
}

func (c *compiler) onLeave(mo *model) {
	path := mo.conf.Path + ".on_leave"
	if mo.kind != users {
		c.onLeaveOf(mo, path)
		return
	}
	switch mo.conf.OnLeave {
	case "keep", "unset":
	case "":
		if mo.sync {
			c.fault(path, "a sync model with a filter needs on_leave", "use keep, unset or delete")
		}
	case "delete":
		if !mo.sync {
			c.fault(path, "on_leave: delete needs mode sync", "use keep or unset")
		} else if !mo.owner {
			c.fault(path, "on_leave: delete is for the model that owns the users", "use keep or unset")
		}
	default:
		c.fault(path, fmt.Sprintf("on_leave cannot be %q", mo.conf.OnLeave), "use keep, unset or delete")
	}
}

// expr compiles an expression or reports its fault.
func (c *compiler) expr(mo *model, source, path string, use exprUse) *program {
	p, err := compileExpr(source, mo.table, use, c.cfg.TimeZone, c.cfg.Now)
	if err == nil {
		return p
	}
	f := connector.Fault{Path: path, What: err.Error()}
	var ef *exprFault
	if errors.As(err, &ef) {
		f.Offset, f.Fix = ef.offset, ef.fix
	}
	c.faults = append(c.faults, f)
	return nil
}

// column checks that the table has the column, where the table is known.
func (c *compiler) column(mo *model, name, path string) {
	if mo.table == nil {
		return
	}
	for _, t := range append([]*connector.Table{mo.table}, mo.others...) {
		if t.Column(name) < 0 {
			c.fault(path, fmt.Sprintf("there is no column %q in %s", name, t.Name), meant(name, columnNames(t)))
			return
		}
	}
}

// sentColumn checks a column whose value leaves; it gives the paths inside it that may not.
func (c *compiler) sentColumn(mo *model, name, path string) (never [][]string) {
	c.column(mo, name, path)
	whole, never := c.neverSent(mo, name)
	if whole {
		c.fault(path, fmt.Sprintf("column %q is in never_send", name), "remove it here or there")
	}
	return never
}

// sentExpr checks an expression whose result leaves.
func (c *compiler) sentExpr(mo *model, p *program, path string) {
	for _, col := range p.columns {
		if whole, below := c.neverSent(mo, col); whole || below != nil {
			c.fault(path, fmt.Sprintf("the expression reads column %q, which is in never_send", col), "remove it here or there")
		}
	}
}

// neverSent tells whether a column may not leave as a whole, or which paths inside it may not.
func (c *compiler) neverSent(mo *model, column string) (whole bool, below [][]string) {
	return banned(c.cfg.NeverSend, mo.named, column, func(entry int) { c.matched[entry] = true })
}

// named tells whether a word before a column in never_send means the model's table: by its full name, or by the last part of it.
func (mo *model) named(word string) bool {
	if mo.feeds == nil {
		return called(word, mo.source())
	}
	if mo.feeds(word) || strings.HasSuffix(mo.conf.TopicPattern, "."+word) || strings.HasSuffix(mo.conf.TopicPattern, ")"+word) {
		return true
	}
	return mo.table != nil && slices.ContainsFunc(append([]*connector.Table{mo.table}, mo.others...), func(t *connector.Table) bool { return called(word, t.Name) })
}

func called(word, table string) bool {
	return word == table || word == table[strings.LastIndexByte(table, '.')+1:]
}

// banned tells what entries of never_send say of a column of the table that named knows: that it may not leave as a whole, or which paths inside it may
// not. hit hears of the entries that mean the column.
func banned(entries []string, named func(word string) bool, column string, hit func(entry int)) (whole bool, below [][]string) {
	for i, entry := range entries {
		rests := []string{entry}
		for at := range len(entry) {
			if entry[at] == '.' && named(entry[:at]) {
				rests = append(rests, entry[at+1:])
			}
		}
		for _, r := range rests {
			inside, isBelow := strings.CutPrefix(r, column+".")
			switch {
			case r == column:
				hit(i)
				return true, nil
			case isBelow:
				hit(i)
				below = append(below, strings.Split(inside, "."))
			}
		}
	}
	return false, below
}

// unmatched warns of entries of never_send that name no column of any model: a typo there protects nothing.
func (c *compiler) unmatched(models []*model) {
	var columns []string
	for _, mo := range models {
		if mo.table == nil {
			return // its columns are not known
		}
		for _, name := range columnNames(mo.table) {
			c.neverSent(mo, name)
			columns = append(columns, name)
		}
	}
	for i, entry := range c.cfg.NeverSend {
		if !c.matched[i] {
			c.warn(fmt.Sprintf("never_send[%d]", i), fmt.Sprintf("%q names no column of the models' tables", entry),
				meant(entry[strings.LastIndexByte(entry, '.')+1:], columns))
		}
	}
}

// describe fills in what the pipeline asks of a model.
func (mo *model) describe() {
	mo.info = connector.ModelInfo{
		Name: mo.conf.Name, Table: mo.source(), Owner: mo.owner, ProofAllowed: !mo.enrich, PrintsAllowed: !mo.enrich && mo.event == nil, Load: mo.conf.Load == "all",
		Filter: mo.filter != nil || mo.deleteWhen != nil, Hash: mo.hash(),
		Rows: mo.rows(), Happens: mo.event != nil, Deletes: mo.sync && mo.owner && mo.kind == users,
	}
	if mo.event != nil {
		mo.info.MaxAge = mo.event.maxAge
	}
	mo.info.Feeds = mo.feeds
	if mo.info.Deletes {
		mo.info.Brake = mo.conf.Deletes
	}
	if mo.table != nil && mo.feeds == nil {
		mo.info.Table = mo.table.Name
	}
	for _, f := range mo.fields {
		mo.info.Fields = append(mo.info.Fields, f.def)
	}
	if len(mo.ids) == 1 && mo.ids[0].kind == connector.ExternalID && mo.ids[0].prog == nil {
		mo.info.IDColumn = mo.ids[0].column
	}
	for i := range mo.ids {
		if mo.ids[i].kind == connector.Email {
			mo.info.EmailColumn = mo.ids[i].column
		}
	}
	if mo.table == nil || len(mo.ids) == 0 || mo.feeds != nil {
		return // of topics that are still to come nothing is known, and rows of two may name one user
	}
	cols := map[int]bool{}
	mo.info.IDFromKey = true
	for _, s := range mo.ids {
		for _, name := range s.columns() {
			i := mo.table.Column(name)
			cols[i] = true
			if i < 0 || !mo.table.Columns[i].Key {
				mo.info.IDFromKey = false
			}
		}
		if s.prog != nil && (s.prog.volatile || len(s.prog.columns) == 0) {
			mo.info.IDFromKey = false
		}
	}
	if mo.info.IDColumn == "" && mo.kind != catalogs {
		return
	}
	for _, key := range mo.table.Unique {
		covered := len(key) > 0
		for _, i := range key {
			covered = covered && cols[i]
		}
		mo.info.IDUnique = mo.info.IDUnique || covered
	}
}

// rows is the kind that a living row becomes.
func (mo *model) rows() connector.Kind {
	switch mo.kind {
	case subscriptions:
		return connector.Subscribe
	case catalogs:
		return connector.PutItem
	}
	return connector.Track
}

// hash is the fingerprint of what decides the model's effects, the same in every process. Its fields have hashes of their own.
func (mo *model) hash() uint64 {
	id := mo.conf.Identify
	parts := []string{
		mo.source(), mo.conf.Mode, id.ExternalID.Column, id.ExternalID.Expr, id.ExternalID.Value, id.AliasLabel, id.AliasName, id.Email, id.Phone,
		id.PhoneCountry, fmt.Sprint(id.KeepBlanks),
		mo.conf.OnIDChange, mo.conf.Filter, mo.conf.OnLeave, mo.conf.DeleteWhen, fmt.Sprint(mo.owner),
	}
	if mo.kind != users || mo.conf.OnDeleteGroups == "unsubscribe" {
		parts = append(parts, mo.conf.Kind, mo.conf.OnDeleteGroups, mo.conf.Catalog, fmt.Sprint(id.ItemID))
	}
	if mo.event != nil {
		e := &mo.conf.Event
		parts = append(parts, fmt.Sprint(e.Ops, e.Time, e.MaxAge, e.DropUnknown, e.Currency, e.Price, e.Quantity), e.When, e.Name.Value, e.Name.Column, fmt.Sprint(e.Name.OneOf))
		parts = hashParts(parts, e.Properties, mo.tz.String())
	}
	return hashOf(parts...)
}

// hashParts appends what decides about properties; where they stand in the file does not.
func hashParts(parts []string, list []connector.PropertyMap, zone string) []string {
	for i := range list {
		p := &list[i]
		parts = append(parts, fmt.Sprint(fieldHash(&p.FieldMap, zone), len(p.Fields)), p.Each)
		parts = hashParts(parts, p.Fields, zone)
	}
	return parts
}

// crossCheck finds what only shows between models: two owners of the users, and one field of users, group, or catalog written by two.
func (c *compiler) crossCheck(models []*model) {
	owner := ""
	written := map[string]*model{}
	for _, mo := range models {
		if mo.owner {
			if owner != "" {
				c.fault(mo.conf.Path+".owns_users", fmt.Sprintf("model %q owns the users already", owner), "set owns_users: false on one of them")
			} else {
				owner = mo.conf.Name
			}
		}
		for _, f := range mo.fields {
			name := f.def.Name
			switch {
			case f.def.Group != "":
				name = "group " + f.def.Group
			case mo.kind == catalogs:
				name = "catalog " + mo.conf.Catalog + " " + name
			}
			other := written[name]
			written[name] = mo
			switch {
			case f.def.Group != "" && other != nil && other.kind != mo.kind:
				c.warn(f.path, fmt.Sprintf("model %q sets the same subscription group: the last change of either counts", other.conf.Name), "keep one of the two, unless their rows always agree")
			case other == mo:
				c.fault(f.path, fmt.Sprintf("%q is mapped twice", f.def.Name), "remove one")
			case other != nil:
				c.fault(f.path, fmt.Sprintf("model %q writes %q already", other.conf.Name, f.def.Name), "remove one, or give it another name")
			}
		}
	}
}
