package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
	"brazecdc/connector/postgres"
)

// The two ways in which rows of an owner look like one person and are not kept apart, or are kept apart and look like one person.
const (
	sameUser  = "external_id" // one identifier once blanks are dropped
	sameEmail = "email"       // several users, one e-mail address
)

// rowOwner is what a row says of whom it is of.
type rowOwner struct {
	key   string // of the row, as people read it
	text  string // the identifier as it stands in the row
	user  connector.User
	email string // as it is sent, JSON; empty where none is
}

// rowOwnerOf maps a row; ok is false where nothing of it would be sent.
func rowOwnerOf(m *mapping.Mapper, model int, id string, row connector.Row) (x rowOwner, ok bool) {
	effects, err := m.MapLoad(nil, model, row, time.Now())
	if err != nil || len(effects) == 0 {
		return x, false // told when it is sent
	}
	x.key, _ = keyText(row)
	if i := row.Table.Column(id); i >= 0 {
		x.text = row.Cells[i].Raw
	}
	x.user = effects[0].User
	for _, f := range effects[0].Fields {
		if f.Def.Name == "email" && !bytes.Equal(f.JSON, []byte("null")) {
			x.email = string(f.JSON)
		}
	}
	return x, true
}

// alike tells whether two rows are so.
func (x *rowOwner) alike(y *rowOwner, how string) bool {
	if how == sameUser {
		return x.user == y.user && x.text != y.text
	}
	return x.user != y.user && x.email != "" && x.email == y.email
}

// alikeColumn is the column that is compared for a way of being alike, "" where that cannot be asked: identifiers with blanks are texts, and only those of the owner
// have to differ.
func alikeColumn(m *connector.Model, t *connector.Table, how string) string {
	if m.Kind != "users" || !m.OwnsUsers || t == nil {
		return ""
	}
	name := ""
	if how == sameUser && !m.Identify.KeepBlanks {
		name = m.Identify.ExternalID.Column
	}
	for i := range m.Fields {
		if how == sameEmail && m.Fields[i].Name == "email" {
			name = m.Fields[i].Column
		}
	}
	if i := t.Column(name); i < 0 || t.Columns[i].Kind != connector.KindText {
		return ""
	}
	return name
}

// groupAlike puts rows that are alike together, in the order of the rows.
func groupAlike(people []rowOwner, how string) (groups [][]rowOwner) {
	in := map[string]int{}
	for _, x := range people {
		name := x.email
		if how == sameUser {
			name = x.user.ID
		}
		if name == "" {
			continue
		}
		i, ok := in[name]
		if !ok {
			i = len(groups)
			in[name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], x)
	}
	return slices.DeleteFunc(groups, func(g []rowOwner) bool {
		return !slices.ContainsFunc(g, func(x rowOwner) bool { return x.alike(&g[0], how) })
	})
}

// people maps rows; each row counts once, as it came last.
func people(m *mapping.Mapper, model int, conf *connector.Model, rows []connector.Row) (out []rowOwner) {
	at := map[string]int{}
	for _, row := range rows {
		x, ok := rowOwnerOf(m, model, conf.Identify.ExternalID.Column, row)
		if !ok {
			continue
		}
		if i, had := at[x.key]; had {
			out[i] = x
			continue
		}
		at[x.key] = len(out)
		out = append(out, x)
	}
	return out
}

// alikeRows tells of rows that look like one person: rows are those of a model that may be alike.
func (c *checker) alikeRows(m *mapping.Mapper, model int, conf *connector.Model, how string, rows []connector.Row) {
	groups := groupAlike(people(m, model, conf, rows), how)
	if len(groups) == 0 {
		return
	}
	g, more := groups[0], ""
	if n := len(groups) - 1; n > 0 {
		more = fmt.Sprintf("; this is so %s more", plural(n, "time"))
	}
	keys := make([]string, 0, 3)
	for i := range g[:min(len(g), 3)] {
		keys = append(keys, g[i].key)
	}
	these := strings.Join(keys, " and ")
	if how == sameUser {
		c.add(mayHurt, "mapping", fmt.Sprintf("model %s: rows %s have the same external_id once the blanks around it are dropped, and overwrite each other in Braze%s", conf.Name, these, more),
			fmt.Sprintf("mend the rows, or keep the blanks: external_id: {column: %s, blanks: keep}", conf.Identify.ExternalID.Column))
		return
	}
	users := map[connector.User]bool{}
	for i := range g {
		users[g[i].user] = true
	}
	c.add(mayHurt, "mapping", fmt.Sprintf("model %s: %s share an email (rows %s): each is a profile of its own in Braze%s", conf.Name, plural(len(users), "external_id"), these, more),
		"mend the rows if they are one person; profiles that exist twice already can be merged in Braze")
}

// alike looks in the tables of users for rows that look like one person.
func (c *checker) alike(ctx context.Context, cfg *config.Config, m *mapping.Mapper, tables map[string]*connector.Table) {
	if m == nil {
		return
	}
	look, err := postgres.NewLook(postgresConfig(cfg.Source.Postgres, c.p.quietLog()))
	if err != nil {
		return // told by the source's own check
	}
	defer look.Close(context.WithoutCancel(ctx))
	for i := range cfg.Models {
		conf := &cfg.Models[i]
		for _, how := range []string{sameUser, sameEmail} {
			column := alikeColumn(conf, tables[conf.Table], how)
			if column == "" {
				continue
			}
			rows, err := look.Alike(ctx, postgres.AlikeQuery{Table: conf.Table, Column: column, Fold: how == sameEmail})
			switch {
			case errors.Is(err, postgres.ErrLookTooLong):
				c.add(fine, "mapping", fmt.Sprintf("model %s: whether rows share an %s was not looked at, since the table is large (%v)", conf.Name, how, err), "")
			case err != nil:
				c.add(mayHurt, "mapping", fmt.Sprintf("model %s: whether rows share an %s could not be looked at: %v", conf.Name, how, err), "see that the role may read the table")
			default:
				c.alikeRows(m, i, conf, how, rows)
			}
		}
	}
}

// remarkAlike adds to previewed rows which other rows of the table look like the same person. Where the database takes too long it says nothing: check does.
func (r *reader) remarkAlike(ctx context.Context, p *program, model int, rows []connector.Row, all []previewed) {
	conf := &r.cfg.Models[model]
	table := r.tables[conf.Relation()]
	shown := people(r.mapper, model, conf, rows)
	look, err := postgres.NewLook(postgresConfig(r.cfg.Source.Postgres, p.quietLog()))
	if err != nil {
		return
	}
	defer look.Close(context.WithoutCancel(ctx))
	for _, how := range []string{sameUser, sameEmail} {
		column := alikeColumn(conf, table, how)
		if column == "" || len(shown) == 0 {
			continue
		}
		q := postgres.AlikeQuery{Table: conf.Table, Column: column, Fold: how == sameEmail, Values: []string{}}
		for i := range shown {
			switch {
			case how == sameUser:
				q.Values = append(q.Values, shown[i].user.ID)
			case shown[i].email != "":
				q.Values = append(q.Values, strings.Trim(shown[i].email, `"`))
			}
		}
		if len(q.Values) == 0 {
			continue
		}
		found, err := look.Alike(ctx, q)
		if err != nil {
			continue
		}
		others := people(r.mapper, model, conf, found)
		for i := range all {
			for _, x := range shown {
				if j := slices.IndexFunc(others, func(y rowOwner) bool { return y.key != x.key && x.alike(&y, how) }); j >= 0 && x.key == all[i].Key {
					all[i].Notes = append(all[i].Notes, remark{how, alikeReason(how, others[j].key)})
				}
			}
		}
	}
}

func alikeReason(how, key string) string {
	if how == sameUser {
		return "row " + key + " has the same external_id once blanks are dropped, and both change one user"
	}
	return "2 external_ids share an email: row " + key + " has it too"
}
