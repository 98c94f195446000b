package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"brazecdc/connector"
)

// acrossModels checks what no model can tell alone: names, owners, and that a field has one writer.
func (d *decoder) acrossModels(root *node, cfg *Config) {
	item := func(i int) *node { return root.child("models").items[i] }
	d.uniqueNames(cfg, item)
	d.owners(cfg, item)
	d.writers(root, cfg, item)
	d.neverSent(root, cfg, item)
	d.topics(cfg, item)
}

// topics refuses what several models say differently of one topic, and a model that reads a topic which brazecdc writes.
func (d *decoder) topics(cfg *Config, item func(int) *node) {
	own := map[string]string{}
	if cfg.Source.Kafka != nil {
		own[cfg.Source.Kafka.StateTopic] = "source.kafka.state_topic"
	}
	own[cfg.Quarantine.Topic] = "quarantine.to.topic"
	delete(own, "")
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if by := own[m.Topic]; by != "" {
			d.bad(item(i).child("topic"), "is the topic of "+by, "name the topic that holds the rows")
		}
		for j := range cfg.Models[:i] {
			before := &cfg.Models[j]
			if m.Relation() == "" || m.Relation() != before.Relation() {
				continue
			}
			for _, column := range slices.Sorted(maps.Keys(m.ColumnTypes)) {
				if other, ok := before.ColumnTypes[column]; ok && other != m.ColumnTypes[column] {
					n := item(i).child("columns").child(column)
					d.bad(n, fmt.Sprintf("is %q, and %s.columns.%s is %q of the same topic", m.ColumnTypes[column], before.Path, column, other), "keep one of the two")
				}
			}
			if m.KeyColumn != "" && before.KeyColumn != "" && m.KeyColumn != before.KeyColumn {
				d.bad(item(i).child("key_column"), fmt.Sprintf("is %q, and %s.key_column is %q of the same topic", m.KeyColumn, before.Path, before.KeyColumn), "keep one of the two")
			}
			if m.KeyFormat != "" && before.KeyFormat != "" && m.KeyFormat != before.KeyFormat {
				d.bad(item(i).child("key_format"), fmt.Sprintf("is %q, and %s.key_format is %q of the same topic", m.KeyFormat, before.Path, before.KeyFormat), "keep one of the two")
			}
		}
	}
}

func (d *decoder) uniqueNames(cfg *Config, item func(int) *node) {
	first := map[string]*node{}
	for i, m := range cfg.Models {
		n := item(i).child("name")
		if m.Name == "" || n == nil {
			continue
		}
		if before := first[m.Name]; before != nil {
			d.bad(n, fmt.Sprintf("is %q, as on line %d", m.Name, before.line), "give each model a name of its own")
			continue
		}
		first[m.Name] = n
	}
}

// owners makes the only users model the owner, and refuses two: with two, each would delete or rename what the other keeps.
func (d *decoder) owners(cfg *Config, item func(int) *node) {
	var users, owners []int
	for i, m := range cfg.Models {
		if m.Kind != "users" {
			continue
		}
		users = append(users, i)
		if m.OwnsUsers {
			owners = append(owners, i)
		}
	}
	collects := func(f connector.FieldMap) bool { return f.Collect }
	if len(users) == 1 && item(users[0]).child("owns_users") == nil && !slices.ContainsFunc(cfg.Models[users[0]].Custom, collects) {
		cfg.Models[users[0]].OwnsUsers = true
		owners = users
	}
	for _, i := range owners[min(1, len(owners)):] {
		first := item(owners[0]).child("owns_users")
		d.bad(item(i).child("owns_users"), fmt.Sprintf("is true, and so is %s on line %d", first.path, first.line),
			"one model owns the users; set owns_users: false here or there")
	}
	if len(users) > 1 && len(owners) == 0 && slices.ContainsFunc(users, func(i int) bool { return cfg.Models[i].Mode == "sync" }) {
		d.warn(item(users[0]), "and the other models of users own no user, so nothing deletes or renames profiles",
			"set owns_users: true on the model whose rows are the users")
	}
	for _, i := range users {
		m := cfg.Models[i]
		if n := item(i).child("on_leave"); n != nil && m.OnLeave == "delete" && m.Mode == "sync" && !m.OwnsUsers {
			d.bad(n, "is delete, and only the model that owns the users deletes", "choose keep or unset, or set owns_users: true")
		}
	}
}

// writers refuses a field that two lines would fill.
func (d *decoder) writers(root *node, cfg *Config, item func(int) *node) {
	first := map[string]place{}
	claim := func(key, name, path string, at place) {
		if before, ok := first[key]; ok && before != at {
			d.addAt(at, path, fmt.Sprintf("%s writes %s, as line %d does", path, name, before.line), "keep one of the two")
			return
		}
		first[key] = at
	}
	if n := root.child("load_mark"); n != nil && cfg.LoadMark != "" {
		claim(cfg.LoadMark, cfg.LoadMark, n.path, n.place)
	}
	for i, m := range cfg.Models {
		d.groupWriters(item(i), &m, claim)
		if m.Kind == "catalog" {
			for _, f := range m.Fields {
				if n := item(i).child("fields").child(f.Name); n != nil {
					claim("catalog "+m.Catalog+" "+f.Name, f.Name+" of the catalog "+m.Catalog, n.path, n.place)
				}
			}
		}
		if m.Kind != "users" {
			continue
		}
		for _, group := range []string{"fields", "custom"} {
			n := item(i).child(group)
			if n == nil || n.kind != mapping {
				continue
			}
			for _, e := range n.entries {
				claim(e.key, e.key, e.node.path, e.place)
			}
		}
		if a := item(i).child("audiences"); a != nil {
			for _, x := range a.items {
				if name := x.child("attribute"); name != nil && name.value != "" {
					claim(name.value, name.value, name.path, name.place)
				}
			}
		}
	}
}

// groupWriters claims the groups of a model. One of users and one of subscriptions may set the same; beside the tables that is a warning.
func (d *decoder) groupWriters(n *node, m *connector.Model, claim func(key, name, path string, at place)) {
	key := "subscription_groups"
	if m.Kind == "subscriptions" {
		key = "groups"
	}
	list := n.child(key)
	if list == nil || len(list.items) != len(m.Groups) {
		return
	}
	for i, g := range m.Groups {
		if x := list.items[i].child("group"); x != nil && g.ID != "" {
			claim(m.Kind+" group "+g.ID, "the subscription group "+g.Group, x.path, x.place)
		}
	}
}

// neverSent refuses a mapping of a column that must not leave, and one by which rows are told apart. Expressions, and the keys of tables, are checked where
// they are compiled.
func (d *decoder) neverSent(root *node, cfg *Config, item func(int) *node) {
	for i := range cfg.Models {
		m := &cfg.Models[i]
		for _, banned := range cfg.NeverSend {
			for _, f := range append(slices.Clone(m.Fields), m.Custom...) {
				if f.Column == "" || !bans(banned, m, f.Column) {
					continue
				}
				n := item(i).child("fields").child(f.Name)
				if n == nil || n.path != f.Path {
					n = item(i).child("custom").child(f.Name)
				}
				d.bad(n, fmt.Sprintf("sends the column %s, which never_send on line %d forbids", f.Column, root.child("never_send").line),
					"remove one of the two")
			}
			for column, n := range namers(item(i), m) {
				if bans(banned, m, column) {
					d.bad(n, fmt.Sprintf("tells rows apart by the column %s, which never_send on line %d forbids: its values name them for Braze, in data/, in the log and on the pages",
						column, root.child("never_send").line), "take it out of never_send, or name another column")
				}
			}
		}
	}
}

// namers are the columns that say whom or what a row is about, with the place of each.
func namers(n *node, m *connector.Model) iter.Seq2[string, *node] {
	id := n.child("identify")
	return func(yield func(string, *node) bool) {
		say := func(column string, n *node) bool { return column == "" || n == nil || yield(column, n) }
		ok := say(m.Identify.ExternalID.Column, id.child("external_id")) && say(m.Identify.AliasName, id.child("alias")) && say(m.Identify.Email, id.child("email")) &&
			say(m.Identify.Phone, id.child("phone")) && say(m.KeyColumn, n.child("key_column"))
		for _, part := range m.Identify.ItemID {
			ok = ok && say(part.Column, id.child("item_id"))
		}
	}
}

// bans tells whether a never_send entry, a column or table.column, covers the column of a model.
func bans(banned string, m *connector.Model, column string) bool {
	_, table, _ := strings.Cut(m.Table, ".")
	return banned == column || table != "" && banned == table+"."+column || m.Table != "" && banned == m.Table+"."+column
}
