package mapping

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"brazecdc/connector"
)

// model is one compiled entry of the configuration.
type model struct {
	index      int
	conf       connector.Model
	sync       bool // mode sync: deletes and unsets
	enrich     bool
	owner      bool
	ids        []idSource
	filter     *program
	deleteWhen *program
	fields     []*field // by Order
	table      *connector.Table
	tz         *time.Location
	info       connector.ModelInfo
}

// compiler collects the faults of all models.
type compiler struct {
	cfg    *Config
	faults []connector.Fault
	order  int
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
	mo := &model{index: index, conf: conf, owner: conf.OwnsUsers, tz: c.cfg.TimeZone}
	mo.table = c.cfg.Tables[mo.source()]
	if conf.Kind != "users" && conf.Kind != "" {
		c.fault(conf.Path+".kind", fmt.Sprintf("models of kind %q are not run by this version yet", conf.Kind), "use kind: users")
		return mo
	}
	for _, l := range conf.Later {
		c.fault(conf.Path+"."+l, l+" is not run by this version yet", "remove it")
	}
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
	if conf.Filter != "" {
		mo.filter = c.expr(mo, conf.Filter, conf.Path+".filter", true)
		c.onLeave(mo)
	}
	if conf.DeleteWhen != "" {
		mo.deleteWhen = c.expr(mo, conf.DeleteWhen, conf.Path+".delete_when", true)
		if mo.deleteWhen != nil && mo.deleteWhen.volatile {
			c.fault(conf.Path+".delete_when", "delete_when cannot read the clock: a profile is deleted by a change of its row", "compare columns only")
		}
	}
	switch conf.OnIDChange {
	case "", "rename", "create", "stop":
	default:
		c.fault(conf.Path+".on_id_change", fmt.Sprintf("on_id_change cannot be %q", conf.OnIDChange), "use rename, create or stop")
	}
	for i := range conf.Fields {
		if f := c.field(mo, &conf.Fields[i], true); f != nil {
			mo.fields = append(mo.fields, f)
		}
	}
	for i := range conf.Custom {
		if f := c.field(mo, &conf.Custom[i], false); f != nil {
			mo.fields = append(mo.fields, f)
		}
	}
	mo.describe()
	return mo
}

func (c *compiler) onLeave(mo *model) {
	path := mo.conf.Path + ".on_leave"
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
func (c *compiler) expr(mo *model, source, path string, rule bool) *program {
	p, err := compileExpr(source, mo.table, rule, c.cfg.TimeZone, c.cfg.Now)
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
	if mo.table != nil && mo.table.Column(name) < 0 {
		c.fault(path, fmt.Sprintf("there is no column %q in %s", name, mo.table.Name), meant(name, columnNames(mo.table)))
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
	full := mo.source()
	short := full[strings.LastIndexByte(full, '.')+1:]
	for i, entry := range c.cfg.NeverSend {
		rests := []string{entry}
		for _, t := range []string{full, short} {
			if r, ok := strings.CutPrefix(entry, t+"."); ok {
				rests = append(rests, r)
			}
		}
		for _, r := range rests {
			if r == column || strings.HasPrefix(r, column+".") {
				c.matched[i] = true
			}
			if r == column {
				return true, nil
			}
			if p, ok := strings.CutPrefix(r, column+"."); ok {
				below = append(below, strings.Split(p, "."))
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
		Name: mo.conf.Name, Table: mo.source(), Owner: mo.owner, ProofAllowed: !mo.enrich, Load: mo.conf.Load == "all",
		Filter: mo.filter != nil || mo.deleteWhen != nil, Hash: mo.hash(),
	}
	if mo.table != nil {
		mo.info.Table = mo.table.Name
	}
	for _, f := range mo.fields {
		mo.info.Fields = append(mo.info.Fields, f.def)
	}
	if len(mo.ids) == 1 && mo.ids[0].kind == connector.ExternalID && mo.ids[0].prog == nil {
		mo.info.IDColumn = mo.ids[0].column
	}
	if mo.table == nil || len(mo.ids) == 0 {
		return
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
	if mo.info.IDColumn == "" {
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

// hash is the fingerprint of what decides the model's effects, the same in every process. Its fields have hashes of their own.
func (mo *model) hash() uint64 {
	h := fnv.New64a()
	id := mo.conf.Identify
	for _, s := range []string{
		mo.source(), mo.conf.Mode, id.ExternalID.Column, id.ExternalID.Expr, id.ExternalID.Value, id.AliasLabel, id.AliasName, id.Email, id.Phone,
		mo.conf.OnIDChange, mo.conf.Filter, mo.conf.OnLeave, mo.conf.DeleteWhen, fmt.Sprint(mo.owner),
	} {
		fmt.Fprintf(h, "%d:%s;", len(s), s)
	}
	return h.Sum64()
}

// crossCheck finds what only shows between models: two owners of the users, and one field written by two.
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
			other := written[f.def.Name]
			switch {
			case other == mo:
				c.fault(f.path, fmt.Sprintf("%q is mapped twice", f.def.Name), "remove one")
			case other != nil:
				c.fault(f.path, fmt.Sprintf("model %q writes %q already", other.conf.Name, f.def.Name), "remove one, or give it another name")
			}
			written[f.def.Name] = mo
		}
	}
}
