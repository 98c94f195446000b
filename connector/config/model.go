package config

import (
	"errors"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

var (
	kinds = []string{"users", "events", "purchases", "subscriptions", "catalog"}
	modes = []string{"sync", "additive", "enrich"}

	modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

const (
	commonKeys = "name kind table topic mode load identify replica_identity columns key_column key_format filter schedule "
	userKeys   = commonKeys + "load_consent owns_users on_id_change on_leave delete_when on_delete_groups deletes fields custom " +
		"subscription_groups audiences"
)

var keysOf = map[string]string{
	"users":         userKeys,
	"events":        commonKeys + "ops when event properties drop_unknown",
	"purchases":     commonKeys + "ops when purchase properties drop_unknown",
	"subscriptions": commonKeys + "load_consent groups on_leave delete_when deletes",
	"catalog":       commonKeys + "catalog fields on_leave delete_when deletes",
}

func (d *decoder) models(root object, cfg *Config) {
	root.missing("models", "add models with one entry a table")
	n := root.get("models")
	if n == nil {
		return
	}
	if n.kind != sequence {
		d.bad(n, "is "+n.describe(), "write a list; each entry begins with - name:")
		return
	}
	if len(n.items) == 0 {
		d.bad(n, "is empty", "add an entry that begins with - name:")
	}
	for _, item := range n.items {
		cfg.Models = append(cfg.Models, d.model(item, cfg))
	}
}

func (d *decoder) model(n *node, cfg *Config) connector.Model {
	m := connector.Model{
		Kind: "users", OnIDChange: "rename", ReplicaIdentity: "auto", OnDeleteGroups: "keep", Deletes: DefaultBrake(), Path: n.path,
	}
	if k := n.child("kind"); k != nil {
		if (object{d, n}).enum("kind", &m.Kind, kinds...) == nil {
			m.Kind = "users"
			if near := nearest(k.value, kinds); near != "" {
				m.Kind = near
			}
		}
	}
	o := d.object(n, keysOf[m.Kind])
	if n.kind == null {
		d.bad(n, "is empty", "write - name: and the table")
		return m
	}
	o.missing("name", "give the model a name of its own")
	if name := o.str("name", &m.Name); name != nil && !modelName.MatchString(m.Name) {
		d.bad(name, "is "+name.describe(), "use letters, digits, _ and -, 63 at most")
	}
	d.relation(o, &m, cfg)
	d.choices(o, &m)
	d.expression(o, "filter", &m.Filter)
	o.enum("replica_identity", &m.ReplicaIdentity, "auto", "full")
	d.leaving(o, &m)
	switch m.Kind {
	case "users":
		d.users(o, &m, cfg)
	case "events", "purchases":
		d.events(o, &m)
	case "subscriptions":
		d.subscriptions(o, &m, cfg)
	case "catalog":
		d.catalog(o, &m)
	}
	d.schedule(o, &m)
	return m
}

// relation reads table or topic, whichever the source needs.
func (d *decoder) relation(o object, m *connector.Model, cfg *Config) {
	kafka := cfg.Source.Kafka != nil && cfg.Source.Postgres == nil
	switch {
	case kafka:
		o.missing("topic", "write the topic, such as shop.public.users")
		if o.has("table") {
			d.bad(o.n.child("table"), "is for a Postgres source", "write topic: in its place")
		}
		d.columns(o, m)
	case cfg.Source.Postgres != nil:
		o.missing("table", "write the table with its schema, such as public.users")
		for _, key := range []string{"topic", "columns", "key_column", "key_format"} {
			fix := "remove it: the database tells"
			if key == "topic" {
				fix = "write table: in its place"
			}
			if o.has(key) {
				d.bad(o.n.child(key), "is for a Kafka source", fix)
			}
		}
	}
	d.topic(o, m)
	t := o.str("table", &m.Table)
	if t == nil {
		return
	}
	schema, table, ok := strings.Cut(m.Table, ".")
	switch {
	case !ok && m.Table != "":
		d.bad(t, "is "+t.describe()+", without a schema", "write public."+t.raw)
	case schema == "" || table == "":
		d.bad(t, "is "+t.describe(), "write schema and table, such as public.users")
	}
}

// topicName is what Kafka allows, 249 characters at most (Kafka docs, Topic naming).
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// topic reads a topic's name, or the pattern that names match as a whole.
func (d *decoder) topic(o object, m *connector.Model) {
	n := o.n.child("topic")
	if n == nil || n.kind != mapping {
		switch t := o.str("topic", &m.Topic); {
		case t == nil:
		case m.Topic == "":
			d.bad(t, "is empty", "write the topic")
		case !topicName.MatchString(m.Topic):
			d.bad(t, "is "+t.describe()+", which no topic can be called", `write a name of letters, digits, ".", "_" and "-", or {pattern: "…"} for the topics that match`)
		}
		return
	}
	p := d.object(n, "pattern")
	p.missing("pattern", `write a regular expression of whole names, such as "shop\\.shard[0-9]+\\.users"`)
	t := p.str("pattern", &m.TopicPattern)
	if t == nil {
		return
	}
	_, err := regexp.Compile(m.TopicPattern)
	matches := m.Reads()
	var bad *syntax.Error
	switch {
	case m.TopicPattern == "":
		d.bad(t, "is empty", "write a regular expression of whole names")
	case errors.As(err, &bad):
		d.bad(t, "is "+t.describe()+", no regular expression: "+string(bad.Code)+" at "+strconv.Quote(bad.Expr), "write one as Go reads it (RE2), in single quotes in YAML")
	case err != nil:
		d.bad(t, "is "+t.describe()+", no regular expression", "write one as Go reads it (RE2), in single quotes in YAML")
	case everyTopic(matches):
		d.warn(t, "matches every topic", "name the part that the topics share")
	}
}

// everyTopic tells whether a pattern leaves nothing out: each letter that a name may have is tried alone (of a single dot Kafka makes no topic), and in longer names.
func everyTopic(matches func(string) bool) bool {
	for c := range topicLetters {
		letter := topicLetters[c : c+1]
		if letter != "." && !matches(letter) || !matches(strings.Repeat(letter, 3)) || !matches(strings.Repeat(letter, 249)) {
			return false
		}
	}
	return true
}

const topicLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// columns reads what the records of a topic do not tell of their columns. Which types there are, the decoder of records knows.
func (d *decoder) columns(o object, m *connector.Model) {
	for _, e := range d.free(o.section("columns"), "write column: type, such as price: numeric(12,2)") {
		if e.node.kind != text || strings.TrimSpace(e.node.value) == "" {
			d.bad(e.node, "is "+e.node.describe(), "write a type as Postgres does, such as numeric(12,2), date or timestamp(3)")
			continue
		}
		if m.ColumnTypes == nil {
			m.ColumnTypes = map[string]string{}
		}
		m.ColumnTypes[e.key] = e.node.value
	}
	if n := o.str("key_column", &m.KeyColumn); n != nil && m.KeyColumn == "" {
		d.bad(n, "is empty", "write the column that the record key stands for")
	}
	o.enum("key_format", &m.KeyFormat, "auto", "text", "integer")
}

// choices reads the two settings without a default, and refuses modes the kind cannot have (design: modes by kind).
func (d *decoder) choices(o object, m *connector.Model) {
	o.missing("mode", "choose sync, additive or enrich")
	o.missing("load", "choose all or none")
	o.enum("load", &m.Load, "all", "none")
	n := o.enum("mode", &m.Mode, modes...)
	if m.Kind == "events" || m.Kind == "purchases" {
		o.boolean("drop_unknown", &m.Event.DropUnknown)
	}
	if n == nil || m.Mode != "enrich" {
		return
	}
	switch m.Kind {
	case "events", "purchases":
		if !m.Event.DropUnknown {
			d.bad(n, "is enrich, and "+m.Kind+" of users that Braze does not know would be lost", "choose additive, or add drop_unknown: true")
		}
	case "subscriptions":
		d.bad(n, "is enrich, and Braze has no update-only call for subscriptions", "choose sync or additive")
	case "catalog":
		d.bad(n, "is enrich, and Braze's call for catalog items creates what is missing", "choose sync or additive")
	}
}

// leaving reads on_leave and delete_when: on_leave has no default where a row that leaves the filter could delete a user.
func (d *decoder) leaving(o object, m *connector.Model) {
	if m.Kind == "events" || m.Kind == "purchases" {
		return
	}
	d.expression(o, "delete_when", &m.DeleteWhen)
	n := o.enum("on_leave", &m.OnLeave, "keep", "unset", "delete")
	switch {
	case m.Kind == "subscriptions" && m.OnLeave == "delete":
		d.bad(n, "is delete, and subscriptions have no profiles", "choose keep, or unset, which unsubscribes")
	case m.Kind == "catalog" && m.OnLeave == "unset":
		d.bad(n, "is unset, and an item is there as a whole or not at all", "choose keep or delete")
	case m.Filter == "":
		if n != nil {
			d.warn(n, "has no effect without a filter", "add a filter, or remove it")
		}
	case m.Mode == "sync" && m.Kind == "users":
		o.missing("on_leave", "choose keep, unset or delete: what happens to a user whose row no longer matches the filter")
	case m.Mode != "sync" && m.OnLeave == "delete":
		d.bad(n, "is delete, and mode "+m.Mode+" deletes nothing", "choose keep or unset, or mode sync")
	case m.OnLeave == "" && n == nil && !o.has("on_leave"):
		m.OnLeave = "keep"
	}
	d.brake(o, m)
}

func (d *decoder) brake(o object, m *connector.Model) {
	b := d.object(o.section("deletes"), "max share at_least window")
	most, least := int(m.Deletes.Max), int(m.Deletes.AtLeast)
	b.integer("max", &most, 0, 1_000_000_000)
	b.integer("at_least", &least, 0, 1_000_000_000)
	m.Deletes.Max, m.Deletes.AtLeast = int64(most), int64(least)
	b.share("share", &m.Deletes.Share)
	b.duration("window", &m.Deletes.Window, time.Second)
}

// expression reads one; what it means is checked beside the table's columns.
func (d *decoder) expression(o object, key string, dst *string) {
	if n := o.n.child(key); n != nil && n.kind == boolean {
		*dst = n.value // the constants true and false are expressions too
		return
	}
	if n := o.str(key, dst); n != nil && strings.TrimSpace(*dst) == "" && n.raw != "" {
		d.bad(n, "is blank", "write an expression, or remove it")
	}
}

func (d *decoder) users(o object, m *connector.Model, cfg *Config) {
	o.boolean("load_consent", &m.LoadConsent)
	o.boolean("owns_users", &m.OwnsUsers)
	o.enum("on_id_change", &m.OnIDChange, "rename", "create", "stop")
	o.enum("on_delete_groups", &m.OnDeleteGroups, "keep", "unsubscribe")
	d.identify(o, m)
	for _, e := range d.free(o.section("fields"), "write field: column") {
		if f, ok := d.field(e, true); ok {
			m.Fields = append(m.Fields, f)
		}
	}
	for _, e := range d.free(o.section("custom"), "write attribute: column") {
		if f, ok := d.field(e, false); ok {
			m.Custom = append(m.Custom, f)
		}
	}
	m.Groups = d.groups(o, "subscription_groups", cfg)
	m.Audiences = d.audiences(o)
}

// identify reads who a row is about.
func (d *decoder) identify(o object, m *connector.Model) {
	o.missing("identify", "write identify: {external_id: column}")
	n := o.section("identify")
	if n == nil {
		return
	}
	id := d.object(n, "external_id alias email phone")
	if id.n.broken {
		return
	}
	if x := id.get("external_id"); x != nil {
		if x.kind == mapping && x.child("value") != nil {
			d.bad(x, "is a constant, which would make every row the same user", "name a column")
		} else if d.from(x, &m.Identify.ExternalID, "column expr blanks") && x.kind == mapping {
			var blanks string
			(object{d, x}).enum("blanks", &blanks, "trim", "keep")
			m.Identify.KeepBlanks = blanks == "keep"
		}
	}
	if a := id.section("alias"); a != nil {
		alias := d.object(a, "label name")
		alias.missing("label", "write the alias label, such as crm")
		alias.missing("name", "write the column that holds the alias")
		alias.str("label", &m.Identify.AliasLabel)
		alias.str("name", &m.Identify.AliasName)
		if len(m.Identify.AliasLabel) > 236 {
			d.bad(alias.n.child("label"), "is longer than 236 bytes", "Braze takes no longer label")
		}
	}
	if x := id.get("email"); x != nil {
		d.column(x, &m.Identify.Email)
	}
	if x := id.get("phone"); x != nil && x.kind == mapping {
		p := d.object(x, "column country")
		p.missing("column", "name the column of the phone numbers")
		if c := p.get("column"); c != nil {
			d.column(c, &m.Identify.Phone)
		}
		d.country(p, &m.Identify.PhoneCountry)
	} else if x != nil {
		d.column(x, &m.Identify.Phone)
	}
	if n.kind == null || len(n.entries) == 0 {
		d.bad(n, "names no column", "write identify: {external_id: column}")
	}
}

// groups reads subscription_groups of users, or groups of subscriptions.
func (d *decoder) groups(o object, key string, cfg *Config) (out []connector.GroupMap) {
	n := o.get(key)
	if n == nil {
		return nil
	}
	if n.kind != sequence {
		d.bad(n, "is "+n.describe(), "write a list such as [{group: newsletter, subscribed: column}]")
		return nil
	}
	if len(n.items) == 0 {
		d.bad(n, "is empty", "write a list such as [{group: newsletter, subscribed: column}]")
	}
	names := slices.Sorted(maps.Keys(cfg.Braze.SubscriptionGroups))
	for _, item := range n.items {
		g := connector.GroupMap{OnLeave: "keep", Resubscribe: "on_change", Path: item.path}
		x := d.object(item, "group subscribed when resubscribe on_leave")
		x.missing("group", "name one of braze.subscription_groups")
		if name := x.str("group", &g.Group); name != nil {
			g.ID = cfg.Braze.SubscriptionGroups[g.Group]
			if g.ID == "" && d.groupsGood(cfg) {
				fix := "add it to braze.subscription_groups with its id"
				if near := nearest(g.Group, names); near != "" {
					fix = "did you mean " + near + "?"
				}
				d.bad(name, "is "+name.describe()+", which braze.subscription_groups does not have", fix)
			}
		}
		if c := x.get("subscribed"); c != nil {
			d.column(c, &g.Subscribed)
		}
		d.expression(x, "when", &g.When)
		if x.has("subscribed") == x.has("when") {
			d.bad(item, "needs one of subscribed and when", "name a consent column, or write a rule")
		}
		x.enum("resubscribe", &g.Resubscribe, "on_change", "never", "always")
		if leave := x.enum("on_leave", &g.OnLeave, "keep", "unsubscribe"); leave != nil && g.OnLeave == "unsubscribe" && g.When == "" {
			d.bad(leave, "is for a rule", "remove it; a column of consent says unsubscribed itself")
		}
		out = append(out, g)
	}
	return out
}

// groupsGood is false while a group's id is itself at fault, so that one error is not told twice.
func (d *decoder) groupsGood(*Config) bool {
	return !slices.ContainsFunc(d.faults, func(f Fault) bool { return strings.HasPrefix(f.Path, "braze.subscription_groups") && !f.Warn })
}

func (d *decoder) audiences(o object) (out []connector.AudienceMap) {
	n := o.get("audiences")
	if n == nil {
		return nil
	}
	if n.kind != sequence {
		d.bad(n, "is "+n.describe(), "write a list such as [{attribute: is_high_value, when: credits > 1000}]")
		return nil
	}
	for _, item := range n.items {
		a := connector.AudienceMap{Path: item.path}
		x := d.object(item, "attribute when")
		x.missing("attribute", "name the boolean attribute")
		x.missing("when", "write the rule")
		if name := x.str("attribute", &a.Attribute); name != nil {
			d.customName(name.path, a.Attribute, name.place)
		}
		d.expression(x, "when", &a.When)
		out = append(out, a)
	}
	return out
}

// schedule reads when a model is synced again by itself.
func (d *decoder) schedule(o object, m *connector.Model) {
	n := o.section("schedule")
	if n == nil {
		return
	}
	s := d.object(n, "cron time_zone resync")
	s.missing("cron", `write when, such as "0 3 * * *"`)
	out := connector.ScheduleMap{Zone: "UTC", Resync: "differences", Path: n.path}
	if c := s.str("cron", &out.Cron); c != nil {
		if _, err := Cron(out.Cron, time.UTC); err != nil {
			d.bad(c, "is "+c.describe()+": "+err.Error(), `write five fields: minute, hour, day, month, weekday, such as "0 3 * * *"`)
		}
	}
	if z := s.str("time_zone", &out.Zone); z != nil {
		if _, err := time.LoadLocation(out.Zone); err != nil || out.Zone == "" || out.Zone == "Local" {
			d.bad(z, "is "+z.describe()+", not a time zone", "write an IANA name such as Europe/Berlin or UTC")
		}
	}
	s.enum("resync", &out.Resync, "differences", "all")
	m.Schedule = &out
	switch {
	case m.Kind == "events" || m.Kind == "purchases":
		d.bad(n, "syncs rows again that are events, and what happened once is sent once", "remove schedule")
	case (m.Topic != "" || m.TopicPattern != "") && out.Resync == "all":
		d.bad(n, "says resync: all, but the rows of a topic cannot be read again: its schedule sends what rules with now() changed", `remove resync; "brazecdc replay --all-values" brings a topic again`)
	}
}
