package postgres

import (
	"errors"
	"fmt"
	"time"

	"brazecdc/connector"
)

// errShort is a message that ends before its parts do.
var errShort = errors.New("message is shorter than it says")

// pgEpochMicros is 2000-01-01 00:00 UTC, where Postgres' clock starts, in microseconds since 1970.
const pgEpochMicros = 946684800 * 1000000

// slabCells is how many cells are allocated at once; rows are cut from it.
const slabCells = 1024

// begin is the first message of a transaction. finalLSN is the start of its commit record: unlike the end, it is known from the start.
type begin struct {
	finalLSN uint64
	time     time.Time
	xid      uint32
}

// commit is the last message of a transaction; endLSN is the position behind it.
type commit struct {
	commitLSN, endLSN uint64
}

// message is a logical message written by pg_logical_emit_message.
type message struct {
	transactional   bool
	lsn             uint64
	prefix, content string
}

// scan reads big-endian numbers and strings from a message. After a read beyond the end, bad is set and everything reads as zero.
type scan struct {
	s   string
	bad bool
}

func (c *scan) take(n int) string {
	if n < 0 || n > len(c.s) {
		c.bad = true
		c.s = ""
		return ""
	}
	t := c.s[:n]
	c.s = c.s[n:]
	return t
}

func (c *scan) byte() byte {
	if t := c.take(1); t != "" {
		return t[0]
	}
	return 0
}

func (c *scan) uint16() int {
	t := c.take(2)
	if t == "" {
		return 0
	}
	return int(t[0])<<8 | int(t[1])
}

func (c *scan) uint32() uint32 {
	t := c.take(4)
	if t == "" {
		return 0
	}
	return uint32(t[0])<<24 | uint32(t[1])<<16 | uint32(t[2])<<8 | uint32(t[3])
}

func (c *scan) uint64() uint64 {
	hi := c.uint32()
	return uint64(hi)<<32 | uint64(c.uint32())
}

func (c *scan) cstring() string {
	for i := 0; i < len(c.s); i++ {
		if c.s[i] == 0 {
			t := c.s[:i]
			c.s = c.s[i+1:]
			return t
		}
	}
	c.bad = true
	c.s = ""
	return ""
}

func (c *scan) err() error {
	if c.bad {
		return errShort
	}
	return nil
}

func microTime(us int64) time.Time { return time.UnixMicro(us + pgEpochMicros).UTC() }

func decodeBegin(s string) (begin, error) {
	c := scan{s: s}
	b := begin{finalLSN: c.uint64()}
	b.time = microTime(int64(c.uint64()))
	b.xid = c.uint32()
	return b, c.err()
}

func decodeCommit(s string) (commit, error) {
	c := scan{s: s}
	c.byte()
	m := commit{commitLSN: c.uint64(), endLSN: c.uint64()}
	c.uint64()
	return m, c.err()
}

func decodeMessage(s string) (message, error) {
	c := scan{s: s}
	m := message{transactional: c.byte()&1 != 0, lsn: c.uint64()}
	m.prefix = c.cstring()
	m.content = c.take(int(int32(c.uint32())))
	return m, c.err()
}

// relationColumn is one column of a relation message.
type relationColumn struct {
	name     string
	identity bool
	typeOID  uint32
	typmod   int32
}

// relationMessage is a table's shape at the point of the log where it was sent.
type relationMessage struct {
	oid      uint32
	schema   string
	name     string
	identity byte // d, f, i, n
	columns  []relationColumn
}

func decodeRelation(s string) (relationMessage, error) {
	c := scan{s: s}
	m := relationMessage{oid: c.uint32(), schema: c.cstring(), name: c.cstring(), identity: c.byte()}
	if m.schema == "" {
		m.schema = "pg_catalog"
	}
	n := c.uint16()
	for i := 0; i < n && !c.bad; i++ {
		col := relationColumn{identity: c.byte()&1 != 0, name: c.cstring()}
		col.typeOID = c.uint32()
		col.typmod = int32(c.uint32())
		m.columns = append(m.columns, col)
	}
	return m, c.err()
}

func decodeTruncate(s string) ([]uint32, error) {
	c := scan{s: s}
	n := int(c.uint32())
	c.byte()
	if n < 0 || n > len(c.s)/4 {
		return nil, errShort
	}
	oids := make([]uint32, n)
	for i := range oids {
		oids[i] = c.uint32()
	}
	return oids, c.err()
}

// decoder turns row messages into changes. It holds the slab that rows are cut from and belongs to one goroutine.
type decoder struct {
	slab []connector.Cell
}

func (d *decoder) cells(n int) []connector.Cell {
	if cap(d.slab)-len(d.slab) < n {
		d.slab = make([]connector.Cell, 0, max(slabCells, n))
	}
	l := len(d.slab)
	d.slab = d.slab[:l+n]
	return d.slab[l : l+n : l+n]
}

// tuple reads one row image. keyOnly takes only the columns of the replica identity; the others of such an image are sent as NULL
// without being so.
func (d *decoder) tuple(c *scan, r *relation, keyOnly bool) ([]connector.Cell, error) {
	n := c.uint16()
	if c.bad {
		return nil, errShort
	}
	if n != len(r.table.Columns) {
		return nil, fmt.Errorf("row of %s has %d columns, its relation has %d", r.table.Name, n, len(r.table.Columns))
	}
	cells := d.cells(n)
	for i := range cells {
		cell := &cells[i]
		*cell = connector.Cell{}
		switch kind := c.byte(); kind {
		case 't':
			cell.Raw = c.take(int(int32(c.uint32())))
			cell.State = connector.Set
		case 'n':
			cell.State = connector.Null
		case 'u':
		default:
			if c.bad {
				return nil, errShort
			}
			return nil, fmt.Errorf("column %q of %s has the unknown kind %q", r.table.Columns[i].Name, r.table.Name, kind)
		}
		if keyOnly && !r.identity[i] {
			*cell = connector.Cell{}
		}
	}
	return cells, c.err()
}

// rowOID gives the relation of an insert, update or delete.
func rowOID(body []byte) (uint32, bool) {
	if len(body) < 4 {
		return 0, false
	}
	return uint32(body[0])<<24 | uint32(body[1])<<16 | uint32(body[2])<<8 | uint32(body[3]), true
}

// row fills ch from the body of an insert, update or delete message: s is everything behind the relation's OID. The cells are parts of s.
func (d *decoder) row(ch *connector.Change, kind byte, s string, r *relation) error {
	c := scan{s: s}
	var before, after []connector.Cell
	var err error
	full := false
	switch kind {
	case 'I':
		ch.Op = connector.Insert
	case 'U':
		ch.Op = connector.Update
	case 'D':
		ch.Op = connector.Delete
	}
	part := c.byte()
	if kind != 'I' && (part == 'K' || part == 'O') {
		full = part == 'O' && r.full
		if before, err = d.tuple(&c, r, !full); err != nil {
			return err
		}
		ch.Before = connector.Row{Table: r.table, Cells: before}
		if kind == 'U' {
			part = c.byte()
		}
	}
	if kind != 'D' {
		if part != 'N' {
			return fmt.Errorf("row of %s has an image of the unknown kind %q", r.table.Name, part)
		}
		if after, err = d.tuple(&c, r, false); err != nil {
			return err
		}
		fill(after, before, r, full)
		ch.After = connector.Row{Table: r.table, Cells: after}
	} else if before == nil {
		return fmt.Errorf("delete in %s has an image of the unknown kind %q", r.table.Name, part)
	}
	if len(c.s) != 0 {
		return fmt.Errorf("row of %s is followed by %d bytes that do not belong to it", r.table.Name, len(c.s))
	}
	ch.Key.Table = r.table.Name
	if kind == 'D' {
		ch.Key.ID = r.keyID(before)
		return nil
	}
	ch.Key.ID = r.keyID(after)
	if before != nil {
		if old := r.keyID(before); old != ch.Key.ID {
			ch.OldKey = connector.Key{Table: r.table.Name, ID: old}
		}
	}
	return nil
}

// fill takes what an update left out because it did not change (TOAST) from the old image: every column under REPLICA IDENTITY FULL,
// else only those of the identity, which Postgres logs when they are stored out of line.
func fill(after, before []connector.Cell, r *relation, full bool) {
	if before == nil {
		return
	}
	for i := range after {
		if after[i].State == connector.Absent && (full || r.identity[i]) {
			after[i] = before[i]
		}
	}
}
