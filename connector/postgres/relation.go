package postgres

import (
	"slices"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// relation is a table's shape as the stream last named it, and what the owner of the stream counts for it.
type relation struct {
	oid      uint32
	table    *connector.Table // Name is as the configuration writes it
	wanted   bool             // one of Start.Tables
	key      []int            // columns of the row key
	identity []bool           // columns that key-only images carry
	full     bool             // old images are whole

	txn   uint64  // finalLSN of the transaction that count belongs to
	count uint32  // changes of this table in that transaction so far
	loads []*load // running loads of this table
}

// ordinal gives the next N of a ChangeID.
func (r *relation) ordinal(txn uint64) uint32 {
	if r.txn != txn {
		r.txn, r.count = txn, 0
	}
	n := r.count
	r.count++
	return n
}

// keyID joins the key columns of a row image. A single column is its text; several are length-prefixed, so that different keys give
// different IDs. NULL (possible only where the whole row is the key) is a NUL byte, which no text of Postgres contains.
func (r *relation) keyID(cells []connector.Cell) string { return keyID(r.key, cells) }

func keyID(key []int, cells []connector.Cell) string {
	if len(key) == 1 {
		return part(cells[key[0]])
	}
	n := 0
	for _, i := range key {
		n += len(cells[i].Raw) + 8
	}
	b := make([]byte, 0, n)
	for _, i := range key {
		p := part(cells[i])
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, ':')
		b = append(b, p...)
	}
	return string(b)
}

func part(c connector.Cell) string {
	switch c.State {
	case connector.Set:
		return c.Raw
	case connector.Null:
		return "\x00"
	}
	return "\x00\x00"
}

// shape is a table as the catalog describes it now.
type shape struct {
	oid       uint32
	schema    string
	name      string
	kind      byte // r, p, v, m, f
	partition bool // is a partition of another table
	children  bool // has inheritance children that are not partitions
	mixed     bool // is partitioned, and a partition has another replica identity
	replident byte
	rows      int64
	columns   []shapeColumn
	indexes   []shapeIndex
	published map[string]bool // columns the publication sends; nil: all that are not generated
	filter    string          // the publication's row filter
}

type shapeColumn struct {
	num       int
	name      string
	typeOID   uint32
	typmod    int32
	typeName  string
	notNull   bool
	generated bool
}

type shapeIndex struct {
	primary, identity bool
	columns           []string
	notNull           bool
}

func (s *shape) full() string { return s.schema + "." + s.name }

// sql gives the table's quoted name.
func (s *shape) sql() string { return ident(s.schema) + "." + ident(s.name) }

// from gives what to read its own rows from: without inheritance children, whose changes are not its own either.
func (s *shape) from() string {
	if s.kind == 'r' {
		return "ONLY " + s.sql()
	}
	return s.sql()
}

// primary gives the primary key's columns, or nil.
func (s *shape) primary() []string {
	for _, i := range s.indexes {
		if i.primary {
			return i.columns
		}
	}
	return nil
}

// unique gives the keys without NULLs, the primary key first.
func (s *shape) unique() [][]string {
	var keys [][]string
	for _, i := range s.indexes {
		if i.primary || i.notNull {
			keys = append(keys, i.columns)
		}
	}
	return keys
}

// streamed gives the columns that the stream carries.
func (s *shape) streamed() []shapeColumn {
	var out []shapeColumn
	for _, c := range s.columns {
		if s.published == nil && !c.generated || s.published[c.name] {
			out = append(out, c)
		}
	}
	return out
}

// identityColumns gives the columns that old images carry: nil for FULL.
func (s *shape) identityColumns() []string {
	switch s.replident {
	case 'd':
		return s.primary()
	case 'i':
		for _, i := range s.indexes {
			if i.identity {
				return i.columns
			}
		}
	}
	return nil
}

// message is the relation message the stream would send for the shape.
func (s *shape) message() relationMessage {
	m := relationMessage{oid: s.oid, schema: s.schema, name: s.name, identity: s.replident}
	ids := s.identityColumns()
	for _, c := range s.streamed() {
		m.columns = append(m.columns, relationColumn{name: c.name, typeOID: c.typeOID, typmod: c.typmod,
			identity: s.replident == 'f' || slices.Contains(ids, c.name)})
	}
	return m
}

func (s *shape) column(name string) *shapeColumn {
	for i := range s.columns {
		if s.columns[i].name == name {
			return &s.columns[i]
		}
	}
	return nil
}

// indexesOf gives the places of names among the message's columns, or nil if one is missing.
func indexesOf(m *relationMessage, names []string) []int {
	var out []int
	for _, n := range names {
		i := slices.IndexFunc(m.columns, func(c relationColumn) bool { return c.name == n })
		if i < 0 {
			return nil
		}
		out = append(out, i)
	}
	return out
}

// keyColumns decides what a row's key is made of: what every image carries. That is the primary key, but under REPLICA IDENTITY USING
// INDEX the index' columns where old images lack the primary key. Under FULL the message marks all columns, so the catalog is asked. A table
// without any key is told apart by the whole row.
func keyColumns(m *relationMessage, s *shape) []int {
	var marked, all []int
	for i, c := range m.columns {
		all = append(all, i)
		if c.identity {
			marked = append(marked, i)
		}
	}
	var primary []int
	var unique [][]int
	if s != nil {
		primary = indexesOf(m, s.primary())
		for _, u := range s.unique() {
			if idx := indexesOf(m, u); idx != nil {
				unique = append(unique, idx)
			}
		}
	}
	switch m.identity {
	case 'd':
		if len(marked) > 0 {
			if sameSet(marked, primary) {
				return primary
			}
			return marked // the key as it was when the row was written
		}
	case 'i':
		if len(primary) > 0 && subset(primary, marked) {
			return primary
		}
		if len(marked) > 0 {
			return marked
		}
	}
	if len(primary) > 0 {
		return primary
	}
	if len(unique) > 0 {
		return unique[0]
	}
	return all
}

func subset(a, b []int) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

func sameSet(a, b []int) bool { return len(a) == len(b) && subset(a, b) }

// build makes a Table and the relation around it. types resolves the columns' types; s may be nil when the table is gone by now.
func build(m *relationMessage, s *shape, name string, types *typeCache) *relation {
	t := &connector.Table{Name: name, Columns: make([]connector.Column, len(m.columns)), Rows: -1}
	switch m.identity {
	case 'f':
		t.Identity = connector.IdentityFull
	case 'i':
		t.Identity = connector.IdentityIndex
	case 'n':
		t.Identity = connector.IdentityNothing
	}
	r := &relation{oid: m.oid, table: t, key: keyColumns(m, s), identity: make([]bool, len(m.columns))}
	for i, c := range m.columns {
		col := connector.Column{Name: c.name, Key: slices.Contains(r.key, i)}
		col.Kind, col.Decode = types.decoder(c.typeOID)
		col.TypeName = types.name(c.typeOID)
		if s != nil {
			if sc := s.column(c.name); sc != nil && sc.typeOID == c.typeOID {
				col.TypeName, col.NotNull = sc.typeName, sc.notNull
			}
		}
		t.Columns[i] = col
		r.identity[i] = c.identity
	}
	if r.full = m.identity == 'f'; r.full && s != nil && s.mixed {
		// The server announces whole old rows by the root's identity, but a partition logs by its own: columns beyond its key are sent
		// as NULL without being so. Only the key can be believed.
		r.full, t.Identity = false, connector.IdentityDefault
		for i := range r.identity {
			r.identity[i] = slices.Contains(r.key, i)
		}
	}
	if s != nil {
		t.Rows = s.rows
		for _, u := range s.unique() {
			if idx := indexesOf(m, u); idx != nil {
				t.Unique = append(t.Unique, idx)
			}
		}
	}
	return r
}

// sameShape tells whether two tables differ in nothing a mapping could see, so that the older pointer can go on being used.
func sameShape(a, b *connector.Table) bool {
	return a.Name == b.Name && a.Identity == b.Identity &&
		slices.EqualFunc(a.Unique, b.Unique, func(x, y []int) bool { return slices.Equal(x, y) }) &&
		slices.EqualFunc(a.Columns, b.Columns, func(x, y connector.Column) bool {
			return x.Name == y.Name && x.TypeName == y.TypeName && x.Kind == y.Kind && x.Key == y.Key && x.NotNull == y.NotNull
		})
}

// nearest gives the candidate with the smallest edit distance to name, or "" if none is near.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/2+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
