package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// pgType is what is needed of a row of pg_type.
type pgType struct {
	kind     byte // b, c, d, e, p, r, m
	base     uint32
	elem     uint32
	category byte
	length   int
	delim    byte
	name     string
	hstore   bool // the type of the extension hstore, whose OID differs from database to database
}

// typeCache remembers types by OID: neither a type's base nor its elements ever change. Methods may be called concurrently.
type typeCache struct {
	mu    sync.RWMutex
	types map[uint32]pgType
}

func newTypeCache() *typeCache { return &typeCache{types: map[uint32]pgType{}} }

// learn reads the types that are not known yet, with what they are made of.
func (t *typeCache) learn(ctx context.Context, c *pgconn.PgConn, oids []uint32) error {
	var missing []string
	t.mu.RLock()
	for _, o := range oids {
		if _, ok := t.types[o]; !ok {
			missing = append(missing, strconv.FormatUint(uint64(o), 10))
		}
	}
	t.mu.RUnlock()
	if len(missing) == 0 {
		return nil
	}
	rows, err := query(ctx, c, `WITH RECURSIVE t AS (
  SELECT oid, typtype, typbasetype, typelem, typcategory, typlen, typdelim, typname FROM pg_catalog.pg_type WHERE oid IN (`+strings.Join(missing, ",")+`)
  UNION SELECT p.oid, p.typtype, p.typbasetype, p.typelem, p.typcategory, p.typlen, p.typdelim, p.typname
  FROM pg_catalog.pg_type p JOIN t ON p.oid IN (t.typbasetype, t.typelem))
SELECT oid, typtype, typbasetype, typelem, typcategory, typlen, typdelim, pg_catalog.format_type(oid, NULL), typtype = 'b' AND typname = 'hstore' FROM t`)
	if err != nil {
		return fmt.Errorf("read the types of columns: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rows {
		length, _ := strconv.Atoi(string(r[5])) // a number of the catalog
		t.types[oid(r[0])] = pgType{kind: char(r[1]), base: oid(r[2]), elem: oid(r[3]), category: char(r[4]), length: length, delim: char(r[6]),
			name: string(r[7]), hstore: char(r[8]) == 't'}
	}
	return nil
}

// resolve follows domains to their base type.
func (t *typeCache) resolve(o uint32) (uint32, pgType) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p := t.types[o]
	for range 64 { // domains over domains end; a broken catalog must not hang us
		if p.kind != 'd' || p.base == 0 {
			break
		}
		o = p.base
		p = t.types[o]
	}
	return o, p
}

// decoder gives a column type's kind and decoder. A type that is not known is text.
func (t *typeCache) decoder(o uint32) (connector.ValueKind, decodeFunc) {
	base, p := t.resolve(o)
	if p.category == 'A' && p.elem != 0 && p.length == -1 && base != oidInt2Vector && base != oidOIDVector {
		_, elem := t.decoder(p.elem)
		_, e := t.resolve(p.elem)
		delim := e.delim
		if delim == 0 {
			delim = ','
		}
		return connector.KindArray, decodeArray(elem, delim)
	}
	if p.hstore {
		return connector.KindJSON, decodeHstore
	}
	return scalar(base)
}

func (t *typeCache) name(o uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p, ok := t.types[o]; ok {
		return p.name
	}
	return "type " + strconv.FormatUint(uint64(o), 10)
}

func oid(b []byte) uint32 {
	n, _ := strconv.ParseUint(string(b), 10, 32) // a number of the catalog
	return uint32(n)
}

func char(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// regclass finds a table by the name a person wrote: as SQL would read it, else letter by letter. It gives 0 where there is none.
func regclass(ctx context.Context, c *pgconn.PgConn, name string) (uint32, error) {
	rows, err := query(ctx, c, "SELECT pg_catalog.to_regclass("+literal(name)+")::pg_catalog.oid")
	if err == nil && len(rows) == 1 && rows[0][0] != nil {
		return oid(rows[0][0]), nil
	}
	if err != nil && sqlState(err) == "" {
		return 0, err
	}
	schema, rel, ok := strings.Cut(name, ".")
	if !ok {
		schema, rel = "public", name
	}
	rows, err = query(ctx, c, "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "+
		literal(schema)+" AND c.relname = "+literal(rel)+" AND c.relkind IN ('r','p','v','m','f')")
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return oid(rows[0][0]), nil
}

// readShape reads a table's shape; nil means that there is no such table.
func readShape(ctx context.Context, c *pgconn.PgConn, o uint32) (*shape, error) {
	where := strconv.FormatUint(uint64(o), 10)
	rows, err := query(ctx, c, `SELECT n.nspname, c.relname, c.relkind, c.relispartition, c.relreplident,
  CASE c.relkind WHEN 'p' THEN (SELECT sum(greatest(l.reltuples, 0)) FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid WHERE t.isleaf)
  ELSE c.reltuples END::numeric(30,0),
  EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind = 'r',
  c.relkind = 'p' AND EXISTS (SELECT 1 FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid WHERE t.isleaf AND l.relreplident <> c.relreplident)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = `+where)
	if err != nil {
		return nil, fmt.Errorf("read the shape of table %d: %w", o, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := rows[0]
	s := &shape{oid: o, schema: string(r[0]), name: string(r[1]), kind: char(r[2]), partition: char(r[3]) == 't', replident: char(r[4]), children: char(r[6]) == 't', mixed: char(r[7]) == 't'}
	if s.rows, err = strconv.ParseInt(string(r[5]), 10, 64); err != nil {
		s.rows = -1
	}
	if err := readColumns(ctx, c, s, where); err != nil {
		return nil, err
	}
	return s, readIndexes(ctx, c, s, where)
}

func readColumns(ctx context.Context, c *pgconn.PgConn, s *shape, where string) error {
	// to_jsonb of the row gives columns of later versions where they exist: attgenerated is new in 12.
	rows, err := query(ctx, c, `SELECT attnum, attname, atttypid, atttypmod, pg_catalog.format_type(atttypid, atttypmod), attnotnull,
  coalesce(pg_catalog.to_jsonb(a)->>'attgenerated', '') FROM pg_catalog.pg_attribute a WHERE attrelid = `+where+` AND attnum > 0 AND NOT attisdropped ORDER BY attnum`)
	if err != nil {
		return fmt.Errorf("read the columns of %s: %w", s.full(), err)
	}
	for _, r := range rows {
		num, _ := strconv.Atoi(string(r[0])) // numbers of the catalog
		mod, _ := strconv.ParseInt(string(r[3]), 10, 32)
		s.columns = append(s.columns, shapeColumn{num: num, name: string(r[1]), typeOID: oid(r[2]), typmod: int32(mod), typeName: string(r[4]),
			notNull: char(r[5]) == 't', generated: len(r[6]) > 0})
	}
	return nil
}

func readIndexes(ctx context.Context, c *pgconn.PgConn, s *shape, where string) error {
	rows, err := query(ctx, c, `SELECT indisprimary, indisreplident, indnkeyatts, indkey::text FROM pg_catalog.pg_index
WHERE indrelid = `+where+` AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL AND indexprs IS NULL ORDER BY indisprimary DESC, indexrelid`)
	if err != nil {
		return fmt.Errorf("read the keys of %s: %w", s.full(), err)
	}
	byNum := map[string]shapeColumn{}
	for _, col := range s.columns {
		byNum[strconv.Itoa(col.num)] = col
	}
	for _, r := range rows {
		n, _ := strconv.Atoi(string(r[2])) // a number of the catalog
		nums := strings.Fields(string(r[3]))
		index := shapeIndex{primary: char(r[0]) == 't', identity: char(r[1]) == 't', notNull: true}
		for _, num := range nums[:min(n, len(nums))] {
			col := byNum[num]
			index.columns = append(index.columns, col.name)
			index.notNull = index.notNull && col.notNull
		}
		s.indexes = append(s.indexes, index)
	}
	return nil
}

// readPublished adds to a shape what a publication sends of it: columns and row filter, which exist from version 15 on. listed is false
// where the publication lacks the table.
func readPublished(ctx context.Context, c *pgconn.PgConn, s *shape, publication string) (listed bool, err error) {
	rows, err := query(ctx, c, `SELECT pg_catalog.to_jsonb(p)->'attnames', pg_catalog.to_jsonb(p)->>'rowfilter' FROM pg_catalog.pg_publication_tables p
WHERE pubname = `+literal(publication)+` AND schemaname = `+literal(s.schema)+` AND tablename = `+literal(s.name))
	if err != nil {
		return false, fmt.Errorf("read what publication %q sends of %s: %w", publication, s.full(), err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	s.filter = string(rows[0][1])
	var names []string
	if rows[0][0] == nil || json.Unmarshal(rows[0][0], &names) != nil || names == nil {
		return true, nil
	}
	version, _ := strconv.Atoi(c.ParameterStatus("server_version_num"))
	if version == 0 {
		version = majorVersion(c.ParameterStatus("server_version")) * 10000
	}
	s.published = map[string]bool{}
	for _, n := range names {
		// Before 18 generated columns are listed here by some minor versions, but never sent.
		if col := s.column(n); col != nil && (!col.generated || version >= 180000) {
			s.published[n] = true
		}
	}
	return true, nil
}

func majorVersion(s string) int {
	n, _, _ := number(s)
	return int(n)
}
