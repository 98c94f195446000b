// Package mapping turns row changes into effects: it compiles the models of the configuration against the tables' columns, and decides per change which
// fields, events, items, deletes and renames it asks for, in the model's mode.
//
// What may pass is in mode.go, which user a row belongs to in id.go, which item in item.go, which field goes where in field.go and plan.go. What the other kinds
// of models have is in kind.go; rows as events in event.go, happened.go, each.go and ecommerce.go. Groups and audiences by rule are in group.go, arrays that
// rows make up together in collect.go. What a value becomes is in the convert_
// files, for Braze's own fields in the preset_ files and phone.go; when a consent may be sent is in consent.go, which types Braze would ignore in drift.go.
// Expressions with SQL's NULL logic are in expr.go, null.go and operator.go.
package mapping

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector"
)

// Config is what a Mapper is made of.
type Config struct {
	// Models as the configuration file has them; their order is that of Effect.Model.
	Models []connector.Model
	// Tables is the present shape of the models' tables by the name the model uses, or of topics by their own names. A model whose table is missing here is compiled loosely:
	// names and types of its columns are checked only when rows arrive.
	Tables map[string]*connector.Table
	// TimeZone is what timestamps without zone and dates in expressions are read in; default UTC.
	TimeZone *time.Location
	// NeverSend lists columns or paths inside JSON columns that no field may carry: "ssn", "users.password_hash", "prefs.secret". One that names users, or is part
	// of a table's key, is a fault.
	NeverSend []string
	// OnlyUsers limits everything to these external_ids (a pilot); empty means all users.
	OnlyUsers []string
	// Types are the types that Braze's custom attributes have, by name (GET /custom_attributes); a value of another type, which Braze would ignore without
	// an error, is left out with a note. An attribute that is not listed takes any. SetTypes replaces them.
	Types map[string]connector.AttrType
	// Sent are the types that attributes were accepted with by an earlier run, by name; they stand for Types where an attribute is not listed there and its
	// field declares no type. Learned hears of each that Accepted finds; it may be called concurrently.
	Sent    map[string]connector.AttrType
	Learned func(name string, t connector.AttrType)
	// NoReread says that nobody can answer a NeedRowError (Kafka). Then a field that needs an absent column is left out with a note, and an
	// identity, rule or expression that needs one is a RowError.
	NoReread bool
	// Now is the clock of now() in expressions; default time.Now.
	Now func() time.Time
	// Note hears of every field left out and every value changed in its kind, with a reason that holds no row value. Field is "filter",
	// "delete_when" or "external_id" for those. It may be called concurrently where MapRow is.
	Note func(model int, field, reason string)
	// Passed hears of every change that is nothing for a model, and why: "filter", "delete_when", "mode", "only_users", "no user", "no fields", and of events
	// "ops", "when", "load".
	Passed func(model int, why string)
	// PassedChange hears the same of changes of the stream, for a history; nil: nobody keeps one. The change belongs to the caller of Map.
	PassedChange func(model int, c *connector.Change, why string)
	// Logger gets what stops a field; default discards.
	Logger *slog.Logger
}

// Mapper implements connector.Mapper. Map belongs to one goroutine, the other methods may be called by any at the same time.
type Mapper struct {
	cfg    Config
	models []*model
	infos  []connector.ModelInfo
	only   map[string]bool // nil: all users
	attrs  map[string]*attribute
	fields []*field // those that write attrs, by FieldDef.Order; nil for others

	mu    sync.Mutex
	plans atomic.Pointer[map[*connector.Table][]*plan]

	live *arena     // of Map
	rows sync.Pool  // of MapRow
	kept tablesKept // of remembered rows
}

var _ connector.Mapper = (*Mapper)(nil)

// maxPlans bounds the cache of compiled table versions; a table seldom has more than a handful in a process' life.
const maxPlans = 1024

// New compiles every model. It reports all faults at once; the Mapper is usable if none of them is more than a warning, else it is nil.
func New(cfg Config) (*Mapper, []connector.Fault) {
	if cfg.TimeZone == nil {
		cfg.TimeZone = time.UTC
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Note == nil {
		cfg.Note = func(int, string, string) {}
	}
	if cfg.Learned == nil {
		cfg.Learned = func(string, connector.AttrType) {}
	}
	if cfg.Passed == nil {
		cfg.Passed = func(int, string) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mapper{cfg: cfg, live: new(arena)}
	m.rows.New = func() any { return new(arena) }
	if len(cfg.OnlyUsers) > 0 {
		m.only = make(map[string]bool, len(cfg.OnlyUsers))
		for _, u := range cfg.OnlyUsers {
			m.only[u] = true
		}
	}
	c := &compiler{cfg: &m.cfg, matched: map[int]bool{}, attrs: map[string]*attribute{}}
	for i := range cfg.Models {
		m.models = append(m.models, c.model(i))
	}
	c.crossCheck(m.models)
	c.unmatched(m.models)
	if m.only != nil {
		for _, mo := range m.models {
			if len(mo.ids) > 0 && mo.ids[0].kind != connector.ExternalID && mo.kind != catalogs {
				c.warn(mo.conf.Path+".identify", "only_users lists external_ids, and this model does not name its users so: it sends nothing", "")
			}
		}
	}
	for _, f := range c.faults {
		if !f.Warn {
			return nil, c.faults
		}
	}
	resets(m.models)
	m.attrs, m.fields = c.attrs, make([]*field, c.order)
	for _, mo := range m.models {
		m.infos = append(m.infos, mo.info)
		for _, f := range mo.fields {
			if f.attr != nil {
				m.fields[f.def.Order] = f
			}
		}
	}
	m.plans.Store(&map[*connector.Table][]*plan{})
	return m, c.faults
}

// Models lists the models in the order of the configuration. The slice is shared and must not be changed.
func (m *Mapper) Models() []connector.ModelInfo { return m.infos }

// Map appends the effects of c, of every model on its table. See connector.Mapper for the errors.
func (m *Mapper) Map(dst []connector.Effect, c *connector.Change, ids connector.IDs) ([]connector.Effect, error) {
	var plans []*plan
	switch {
	case c.Op == connector.Truncate:
		return dst, nil
	case c.Op == connector.Delete && c.Before.Table == nil:
		plans = m.barePlans(c.Key.Table)
	case c.Op == connector.Delete:
		plans = m.plansOf(c.Before.Table)
	case c.After.Table == nil:
		return dst, fmt.Errorf("map a %s of table %q: it has no new row", c.Op, c.Key.Table)
	default:
		plans = m.plansOf(c.After.Table)
	}
	if !fits(c.After) || !fits(c.Before) {
		return dst, fmt.Errorf("map a %s of table %q: the row does not have its table's number of columns", c.Op, c.Key.Table)
	}
	var refused []error
	for _, p := range plans {
		j := job{m: m, p: p, c: c, ids: ids, a: m.live, key: c.Key}
		next, err := j.change(dst)
		var bad *connector.RowError
		switch {
		case errors.As(err, &bad):
			refused = append(refused, err) // the other models' effects stand
		case err != nil:
			return dst, err
		default:
			dst = next
		}
	}
	if len(refused) == 1 {
		return dst, refused[0]
	}
	return dst, errors.Join(refused...)
}

func fits(r connector.Row) bool { return r.Table == nil || len(r.Cells) == len(r.Table.Columns) }

// barePlans are plans for a delete of which nothing but the key is known, so that no column can be read.
func (m *Mapper) barePlans(table string) []*plan {
	var ps []*plan
	for _, mo := range m.models {
		if !mo.onTable(table) {
			continue
		}
		p := &plan{m: mo, table: &connector.Table{Name: table}}
		for i := range mo.ids {
			p.ids = append(p.ids, idPlan{idSource: &mo.ids[i]})
		}
		if mo.event != nil {
			p.event = &eventPlan{event: mo.event}
		}
		for _, f := range mo.fields {
			p.fields = append(p.fields, fieldPlan{field: f, col: -1})
		}
		ps = append(ps, p)
	}
	return ps
}

// MapRow maps a living row of a model as a whole row: nulls have Omit set, and a row that the filter or delete_when excludes has no effect. Of the
// effects it appends, Key.ID and Change are for the caller to fill in, since a Row does not know its key's text. A row of events has no effect: it stands for what
// happened when it was made.
func (m *Mapper) MapRow(dst []connector.Effect, model int, r connector.Row, at time.Time) ([]connector.Effect, error) {
	return m.mapRow(dst, model, r, at, false)
}

// MapLoad is MapRow for the rows of a load: with load_consent they may subscribe, and rows of events are sent if the model's load is all.
func (m *Mapper) MapLoad(dst []connector.Effect, model int, r connector.Row, at time.Time) ([]connector.Effect, error) {
	return m.mapRow(dst, model, r, at, true)
}

func (m *Mapper) mapRow(dst []connector.Effect, model int, r connector.Row, at time.Time, load bool) ([]connector.Effect, error) {
	if model < 0 || model >= len(m.models) {
		return dst, fmt.Errorf("map a row: there is no model %d", model)
	}
	if r.Table == nil || !fits(r) {
		return dst, fmt.Errorf("map a row of model %q: it has no table, or not its number of columns", m.models[model].conf.Name)
	}
	for _, p := range m.plansOf(r.Table) {
		if p.m.index != model {
			continue
		}
		a := m.rows.Get().(*arena)
		defer m.rows.Put(a)
		j := job{m: m, p: p, a: a, key: connector.Key{Table: r.Table.Name}, load: load}
		if p.event != nil {
			return j.loaded(dst, r, at)
		}
		return j.appeared(dst, r, true)
	}
	return dst, nil
}

// plansOf gives the plans of all models on a table version, compiling them at its first row.
func (m *Mapper) plansOf(t *connector.Table) []*plan {
	if ps, ok := (*m.plans.Load())[t]; ok {
		return ps
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.plans.Load()
	if ps, ok := old[t]; ok {
		return ps
	}
	var ps []*plan
	for _, mo := range m.models {
		if mo.onTable(t.Name) {
			ps = append(ps, m.compilePlan(mo, t))
		}
	}
	next := make(map[*connector.Table][]*plan, len(old)+1)
	if len(old) < maxPlans {
		for k, v := range old {
			next[k] = v
		}
	}
	next[t] = ps
	m.plans.Store(&next)
	return ps
}

// planFor gives one model's plan on a table version, nil where its rows are not the model's.
func (m *Mapper) planFor(mo *model, t *connector.Table) *plan {
	for _, p := range m.plansOf(t) {
		if p.m == mo {
			return p
		}
	}
	return nil
}

// onTable tells whether rows of the named table or topic are this model's; a table without schema is in "public".
func (mo *model) onTable(name string) bool {
	if mo.feeds != nil {
		return mo.feeds(name)
	}
	source := mo.source()
	return name == source || (!strings.Contains(source, ".") && name == "public."+source)
}

// source is the table, the topic or the pattern of topics, as the configuration names it.
func (mo *model) source() string { return mo.conf.Relation() }
