package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

var _ connector.RowKeeper = (*Cache)(nil)

// scanRemembered is how many rows RememberedRows looks at: those of partitions that are not asked for take time too.
const scanRemembered = 5000

// appendRememberedKey appends the key of a remembered row, which begins as its row's.
func appendRememberedKey(b []byte, number uint16, id string) []byte {
	from := len(b)
	b = appendRowKey(b, number, id)
	b[from+prefixSize] += keyRemembered
	return b
}

// rememberedKeys are the ranges of keys that hold the remembered rows of a model's table.
func rememberedKeys(number uint16) (from, end []byte) {
	from = append(binary.BigEndian.AppendUint16(nil, number), keyRemembered)
	return from, after(append(binary.BigEndian.AppendUint16(nil, number), keyLongRemembered))
}

// appendRemembered appends the value of a remembered row: its user, its own ID where the key does not name it, and its columns.
func appendRemembered(b []byte, r *connector.RememberedRow, tag uint32) []byte {
	same := r.User.ID == r.Key.ID
	first := byte(r.User.Kind)
	if same {
		first |= sameID
	}
	b = appendHead(b, first, tag)
	if len(r.Key.ID) > maxPlainID {
		b = appendSized(b, r.Key.ID)
	}
	b = appendSized(b, r.User.Label)
	if !same {
		b = appendSized(b, r.User.ID)
	}
	return append(b, r.Columns...)
}

func appendSized(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutSized(b []byte) (s string, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, errValue
	}
	return string(b[size : size+int(n)]), b[size+int(n):], nil
}

// readRemembered reads what appendRemembered wrote under a key. Its columns are the value's own memory.
func readRemembered(key, v []byte) (r connector.RememberedRow, tag uint32, err error) {
	first, tag, rest, err := readHead(v)
	if err != nil || len(key) <= prefixSize {
		return r, 0, errValue
	}
	same := first&sameID != 0
	if r.User.Kind = connector.IDKind(first &^ sameID); r.User.Kind > connector.Item {
		return r, 0, errValue
	}
	r.Key.ID = string(key[prefixSize+1:])
	if key[prefixSize] == keyLongRemembered {
		if r.Key.ID, rest, err = cutSized(rest); err != nil {
			return r, 0, err
		}
	}
	if r.User.Label, rest, err = cutSized(rest); err != nil {
		return r, 0, err
	}
	r.User.ID = r.Key.ID
	if !same {
		if r.User.ID, rest, err = cutSized(rest); err != nil {
			return r, 0, err
		}
	}
	r.Columns = rest
	return r, tag, nil
}

// Remember implements connector.RowKeeper: all of puts or nothing is stored.
func (c *Cache) Remember(puts []connector.RememberPut) error {
	return c.store(func(b *filling) (err error) {
		for i := 0; i < len(puts) && err == nil; i++ {
			err = b.remembered(&puts[i])
		}
		return err
	})
}

// Remembered implements connector.RowKeeper.
func (c *Cache) Remembered(model string, key connector.Key) (r connector.RememberedRow, ok bool, err error) {
	db, err := c.use()
	if err != nil {
		return r, false, err
	}
	defer c.mu.RUnlock()
	n, ok := c.number(pair{model, key.Table})
	if !ok {
		return r, false, nil
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	s.key = appendRememberedKey(s.key[:0], n, key.ID)
	v, at, err := lookUp(db, s.key)
	if err != nil || at == nil {
		return r, false, c.explain(err)
	}
	r, tag, err := readRemembered(s.key, v)
	if err != nil {
		err = c.unreadable("remembered rows")
	}
	r.Columns, r.Key = bytes.Clone(r.Columns), key
	if err = errors.Join(err, at.Close()); err != nil {
		return connector.RememberedRow{}, false, c.explain(err)
	}
	part, ok := c.partOf(tag)
	if !ok {
		return connector.RememberedRow{}, false, nil
	}
	r.Part = part
	return r, true, nil
}

// partOf gives the part that has a tag now; ok is false where none has.
func (c *Cache) partOf(tag uint32) (part string, ok bool) {
	if tag == 0 {
		return "", true
	}
	c.names.RLock()
	defer c.names.RUnlock()
	for p, t := range c.parts.tags {
		if t == tag {
			return p, true
		}
	}
	return "", false
}

// numbersOf gives the numbers of all tables of a model, in their order.
func (c *Cache) numbersOf(model string) (numbers []uint16, tables map[uint16]string) {
	c.names.RLock()
	defer c.names.RUnlock()
	tables = map[uint16]string{}
	for p, n := range c.pairs {
		if p.model == model && p.table != "" {
			numbers, tables[n] = append(numbers, n), p.table
		}
	}
	slices.Sort(numbers)
	return numbers, tables
}

// RememberedRows implements connector.RowKeeper.
func (c *Cache) RememberedRows(model string, from []byte, parts map[string]bool, n int) (rows []connector.RememberedRow, next []byte, err error) {
	db, err := c.use()
	if err != nil {
		return nil, nil, err
	}
	defer c.mu.RUnlock()
	numbers, tables := c.numbersOf(model)
	names := map[uint32]string{}
	c.names.RLock()
	for p, tag := range c.parts.tags {
		if parts[p] {
			names[tag] = p
		}
	}
	c.names.RUnlock()
	if parts[""] {
		names[0] = ""
	}
	seen := 0
	for _, number := range numbers {
		first, end := rememberedKeys(number)
		if bytes.Compare(from, first) > 0 {
			first = from
		}
		if bytes.Compare(first, end) >= 0 {
			continue
		}
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
		if err != nil {
			return nil, nil, c.explain(err)
		}
		for it.First(); it.Valid() && next == nil; it.Next() {
			if len(rows) == n || seen == scanRemembered {
				next = bytes.Clone(it.Key())
				break
			}
			seen++
			r, tag, rerr := readRemembered(it.Key(), it.Value())
			if rerr != nil {
				err = c.unreadable("remembered rows")
				break
			}
			part, ok := names[tag]
			if !ok {
				continue
			}
			r.Key.Table, r.Part, r.Columns = tables[number], part, bytes.Clone(r.Columns)
			rows = append(rows, r)
		}
		if err = errors.Join(err, it.Error(), it.Close()); err != nil {
			return nil, nil, c.explain(err)
		}
		if next != nil {
			return rows, next, nil
		}
	}
	return rows, nil, nil
}

// CountRemembered implements connector.RowKeeper. It reads all of them, which takes a second or so for each ten million.
func (c *Cache) CountRemembered(ctx context.Context, model string) (total int64, err error) {
	db, err := c.use()
	if err != nil {
		return 0, err
	}
	defer c.mu.RUnlock()
	numbers, _ := c.numbersOf(model)
	for _, number := range numbers {
		from, end := rememberedKeys(number)
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
		if err != nil {
			return 0, c.explain(err)
		}
		for it.First(); it.Valid() && err == nil; it.Next() {
			if _, tag, _, rerr := readHead(it.Value()); rerr == nil && c.alive(tag) {
				total++
			}
			if total%10_000 == 0 {
				err = ctx.Err()
			}
		}
		if err = errors.Join(err, it.Error(), it.Close()); err != nil {
			return 0, c.explain(err)
		}
	}
	return total, nil
}

// ForgetRows implements connector.RowKeeper.
func (c *Cache) ForgetRows(model, table string) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	numbers, tables := c.numbersOf(model)
	for _, n := range numbers {
		if table != "" && tables[n] != table {
			continue
		}
		from, end := rememberedKeys(n)
		err = errors.Join(err, db.DeleteRange(from, end, pebble.NoSync))
	}
	return c.explain(cmp.Or(err, c.failure.get()))
}
