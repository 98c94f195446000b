package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"brazecdc/connector"
)

// The longest names Braze takes, in bytes (Braze docs, "Create and update users").
const (
	maxExternalID = 987
	maxAlias      = 236
)

// idSource is one way to name the user of a row.
type idSource struct {
	kind    connector.IDKind
	label   string
	column  string
	prog    *program
	parts   []idSource // of an item's id
	blanks  bool       // those around an external_id are part of it
	country string     // of phone numbers without +
}

func (s *idSource) columns() []string {
	switch {
	case s.parts != nil:
		var all []string
		for i := range s.parts {
			all = append(all, s.parts[i].columns()...)
		}
		return all
	case s.prog != nil:
		return s.prog.columns
	}
	return []string{s.column}
}

// identify compiles the ways a model names its users, in order of preference.
func (c *compiler) identify(mo *model) {
	id, path := mo.conf.Identify, mo.conf.Path+".identify"
	if mo.kind == catalogs {
		c.itemID(mo, path+".item_id")
		return
	}
	switch x := id.ExternalID; {
	case x.HasValue:
		c.fault(path+".external_id", "all rows would be one user", "name a column")
	case x.Expr != "":
		if p := c.expr(mo, x.Expr, path+".external_id.expr", useValue); p != nil {
			mo.ids = append(mo.ids, idSource{prog: p, blanks: id.KeepBlanks})
			c.sentExpr(mo, p, path+".external_id.expr")
			if p.volatile {
				c.fault(path+".external_id.expr", "the user of a row cannot depend on the clock", "")
			}
		}
	case x.Column != "":
		c.namingColumn(mo, x.Column, path+".external_id")
		mo.ids = append(mo.ids, idSource{column: x.Column, blanks: id.KeepBlanks})
	}
	if id.AliasName != "" {
		c.namingColumn(mo, id.AliasName, path+".alias.name")
		if id.AliasLabel == "" || len(id.AliasLabel) > maxAlias {
			c.fault(path+".alias.label", fmt.Sprintf("an alias needs a label of 1 to %d bytes", maxAlias), "")
		}
		mo.ids = append(mo.ids, idSource{kind: connector.Alias, label: id.AliasLabel, column: id.AliasName})
	}
	if id.Email != "" {
		c.namingColumn(mo, id.Email, path+".email")
		mo.ids = append(mo.ids, idSource{kind: connector.Email, column: id.Email})
	}
	if id.Phone != "" {
		c.namingColumn(mo, id.Phone, path+".phone")
		country := strings.ToUpper(id.PhoneCountry)
		if country != "" && (countryCode(country) != country || !knownCountry(country)) {
			c.fault(path+".phone.country", fmt.Sprintf("%q is no country whose phone numbers can be made international", id.PhoneCountry), `use two letters, "DE"`)
		}
		mo.ids = append(mo.ids, idSource{kind: connector.Phone, column: id.Phone, country: country})
	}
	if len(mo.ids) == 0 && id.ExternalID == (connector.ValueFrom{}) {
		c.fault(path, "the model does not say which user a row belongs to", "identify: {external_id: COLUMN}")
	}
}

// namingColumn checks a column that says whom or what a row is about. Its values are in the calls, in data/ and on the pages, whatever never_send says.
func (c *compiler) namingColumn(mo *model, name, path string) {
	c.column(mo, name, path)
	if whole, below := c.neverSent(mo, name); whole || below != nil {
		c.fault(path, fmt.Sprintf("column %q, which tells rows apart, is in never_send: its values name them for Braze, in data/, in the log and on the pages", name),
			"take it out of never_send, or name another column")
	}
}

// keys refuses a table whose key may not leave: by it rows are told apart, so it is in data/, in the log and on the pages too.
func (c *compiler) keys(mo *model) {
	if mo.table == nil {
		return
	}
	for _, t := range append([]*connector.Table{mo.table}, mo.others...) {
		for i := range t.Columns {
			name := t.Columns[i].Name
			if whole, below := c.neverSent(mo, name); !t.Columns[i].Key || !whole && below == nil || slices.Contains(mo.idColumns(), name) {
				continue
			}
			c.fault(mo.conf.Path+"."+relationKey(&mo.conf), fmt.Sprintf("column %q is in never_send and part of the key of %s: a row's key is kept in data/ and shown in the log, in quarantine and on the pages",
				name, t.Name), "take it out of never_send, or give the rows another key")
		}
	}
}

// idColumns are the columns that name a model's users or items.
func (mo *model) idColumns() []string {
	var all []string
	for i := range mo.ids {
		all = append(all, mo.ids[i].columns()...)
	}
	return all
}

// relationKey is the setting that says where a model's rows come from.
func relationKey(m *connector.Model) string {
	if m.Table != "" {
		return "table"
	}
	return "topic"
}

// lookedUpBy finds a field that would name the user in the place of the identifier: of an object without a primary one Braze looks the user up by email
// first, then by phone (Braze docs, "Create and update users").
func (c *compiler) lookedUpBy(mo *model) {
	byEmail, byPhone := false, false
	for i := range mo.ids {
		byEmail = byEmail || mo.ids[i].kind == connector.Email
		byPhone = byPhone || mo.ids[i].kind == connector.Phone
	}
	if byPhone && !byEmail && mo.email != nil && mo.kind == users {
		c.fault(mo.conf.Path+".identify.phone", "the model also maps the field email, by which Braze would look the users up in the place of their phone number",
			"add email to identify, which goes before phone, or remove the field email")
	}
}

// idState is what a row image says about its user.
type idState uint8

const (
	idKnown   idState = iota
	idMissing         // no source has a value
	idRefused         // a value that cannot be an identifier
	idAbsent          // the image does not carry the columns
)

// identity is the user that a row image names.
type identity struct {
	user   connector.User
	state  idState
	reason string // of idRefused
	column string // that is absent
	note   string
	by     int // index of the source that said so; of idMissing none did
}

// idPlan is an idSource with the columns' indexes in one table version.
type idPlan struct {
	*idSource
	cols []int
}

// identity names the user of a row by the first source that has a value.
func (p *plan) identity(r connector.Row) identity {
	for i := range p.ids {
		s := &p.ids[i]
		id := p.identityBy(s, r)
		if id.state != idMissing {
			id.by = i
			return id
		}
	}
	return identity{state: idMissing}
}

func (p *plan) identityBy(s *idPlan, r connector.Row) identity {
	if s.kind == connector.Item {
		return p.itemIdentity(s, r)
	}
	v, err := s.value(r)
	if err != nil {
		var ae *absentError
		if errors.As(err, &ae) {
			return identity{state: idAbsent, column: ae.column}
		}
		return identity{state: idRefused, reason: err.Error()}
	}
	if v.Kind == connector.KindNull {
		return identity{state: idMissing}
	}
	text := v.Str
	if v.Kind != connector.KindText {
		var ok bool
		if text, ok = scalarText(v, p.m.zone()); !ok {
			return identity{state: idRefused, reason: "its kind cannot be an identifier"}
		}
	}
	id := identity{user: connector.User{Kind: s.kind, Label: s.label}}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return identity{state: idMissing}
	}
	switch {
	case len(trimmed) == len(text):
	case s.blanks:
		trimmed = text
	default:
		id.note = "blanks around the identifier are dropped"
	}
	id.user.ID = trimmed
	if why := p.refuse(s.kind, trimmed); why != "" {
		return identity{state: idRefused, reason: why}
	}
	switch s.kind {
	case connector.Email:
		b, why, ok := appendEmail(nil, trimmed)
		if !ok {
			return identity{state: idRefused, reason: why}
		}
		id.user.ID = string(b[1 : len(b)-1])
	case connector.Phone:
		set := settings{zone: p.m.zone(), country: s.country}
		b, why, ok := set.appendPhone(nil, connector.Value{Kind: connector.KindText, Str: trimmed})
		if !ok {
			return identity{state: idRefused, reason: why}
		}
		id.user.ID = string(b[1 : len(b)-1])
	}
	return id
}

// value reads the source of a row.
func (s *idPlan) value(r connector.Row) (connector.Value, error) { return s.read(r, s.cols) }

// read reads a source whose columns have these indexes.
func (s *idSource) read(r connector.Row, cols []int) (connector.Value, error) {
	if s.prog != nil {
		g, err := s.prog.run(r, cols)
		if err != nil {
			return connector.Value{}, err
		}
		return fromGo(g)
	}
	v, ok, err := r.Value(cols[0])
	if !ok {
		return v, &absentError{column: s.column}
	}
	if err != nil {
		return v, errors.New("its column cannot be decoded")
	}
	return v, nil
}

// placeholders are texts that programs write where they have no identifier. Braze would gather all such rows in one profile.
var placeholders = map[string]bool{
	"null": true, "nil": true, "none": true, "undefined": true, "nan": true, "n/a": true, "(null)": true, "<null>": true, "<nil>": true,
	"[object object]": true,
}

// refuse says why a text cannot be an identifier, "" where it can.
func (p *plan) refuse(kind connector.IDKind, s string) string {
	limit := maxExternalID
	if kind == connector.Alias {
		limit = maxAlias
	}
	switch {
	case len(s) > limit:
		return fmt.Sprintf("it is longer than Braze's %d bytes", limit)
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return "it is not valid UTF-8"
	case len(s) <= 16 && placeholders[strings.ToLower(s)]:
		return "it is a placeholder, not an identifier"
	case s == "0" && !p.m.info.IDUnique:
		return "it is 0, a placeholder, and no unique key says that one row only has it"
	}
	return ""
}
