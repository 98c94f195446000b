package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

// Users implements connector.UserCounter.
func (c *Cache) Users(model string, limit int64) (n int64, err error) {
	db, err := c.use()
	if err != nil {
		return 0, err
	}
	defer c.mu.RUnlock()
	number, ok := c.number(pair{model: model})
	if !ok {
		return 0, nil
	}
	from, end := printKeys(number)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
	if err != nil {
		return 0, c.explain(err)
	}
	for it.First(); it.Valid() && n < limit; it.Next() {
		if _, tag, _, err := readHead(it.Value()); err == nil && c.alive(tag) {
			n++
		}
	}
	return n, c.explain(errors.Join(it.Error(), it.Close()))
}

// RowsOf gives the rows that were last accepted under a user. It reads all rows, so it takes seconds where there are millions.
func (c *Cache) RowsOf(ctx context.Context, u connector.User) (rows []connector.ModelRow, err error) {
	keys, err := c.keysOf(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.plain && !slices.Contains(rows, k.row) { // a row that is remembered stands twice
			rows = append(rows, k.row)
		}
	}
	return rows, nil
}

// cacheRow is a stored row of a user.
type cacheRow struct {
	key   []byte
	row   connector.ModelRow
	plain bool // the row's ID is known, and not only its hash
}

func (c *Cache) keysOf(ctx context.Context, u connector.User) (out []cacheRow, err error) {
	db, err := c.use()
	if err != nil {
		return nil, err
	}
	defer c.mu.RUnlock()
	names := map[uint16]pair{}
	long := sha256.Sum256([]byte(u.ID))
	c.names.RLock()
	for p, n := range c.pairs {
		names[n] = p
	}
	c.names.RUnlock()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{0, 1}})
	if err != nil {
		return nil, c.explain(err)
	}
	for n := 0; err == nil; n++ {
		if n == 0 && !it.First() || n > 0 && !it.Next() {
			break
		}
		if n%10_000 == 0 {
			err = ctx.Err()
		}
		key := it.Key()
		if len(key) <= prefixSize || key[prefixSize] == keyPrints || key[prefixSize] == keyLongPrints {
			continue
		}
		p := names[binary.BigEndian.Uint16(key)]
		if key[prefixSize] >= keyRemembered {
			if r, _, err := readRemembered(key, it.Value()); err == nil && r.User == u {
				out = append(out, cacheRow{bytes.Clone(key), connector.ModelRow{Model: p.model, Key: connector.Key{Table: p.table, ID: r.Key.ID}}, true})
			}
			continue
		}
		id, plain := string(key[prefixSize+1:]), true
		if key[prefixSize] == keyHashed {
			id, plain = "", bytes.Equal(key[prefixSize+1:], long[:])
			if plain {
				id = u.ID
			}
		}
		if of, _, err := readUser(it.Value(), id); err != nil || of != u {
			continue
		}
		out = append(out, cacheRow{bytes.Clone(key), connector.ModelRow{Model: p.model, Key: connector.Key{Table: p.table, ID: id}}, plain})
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, c.explain(err)
	}
	return out, nil
}

// Forget removes what is known of a user and of rows that were accepted under it, and writes the files anew, so that none holds its identifier any more. It
// gives how many rows there were. Looking and compacting go on beside other calls, which wait only while the files are closed and opened.
func (c *Cache) Forget(ctx context.Context, u connector.User) (rows int, err error) {
	keys, err := c.keysOf(ctx, u)
	if err != nil {
		return 0, err
	}
	if err := c.forgetKeys(ctx, u, keys); err != nil {
		return 0, fmt.Errorf("take an erased user out of the cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refreshFiles(); err != nil {
		return 0, c.explain(err)
	}
	distinct := map[connector.ModelRow]bool{}
	for _, k := range keys {
		if k.plain {
			distinct[k.row] = true
		} else {
			rows++
		}
	}
	return rows + len(distinct), nil
}

// refreshFiles makes pebble give up its logs, which it keeps to write over, and its lists of tables, which name the first and last key of tables that are
// gone: it keeps the list before the present one, and begins a new one with the first change after a start. c.mu is held for writing.
func (c *Cache) refreshFiles() error {
	for range 2 {
		if c.db == nil {
			return ErrClosed
		}
		err := errors.Join(c.db.Set(cacheHead, c.head, pebble.Sync), c.db.Flush(), closePebble(c.db))
		c.db = nil
		if err != nil {
			return err
		}
		if err := c.open(); err != nil {
			return err
		}
	}
	return errors.Join(c.db.Set(cacheHead, c.head, pebble.Sync), c.db.Flush())
}

// forgetKeys deletes rows and the fingerprints of a user from all tables. A mark of a deletion holds its key too, and goes only where it is merged with what it
// deletes: so that is in a table before, and nothing is deleted that is not there.
func (c *Cache) forgetKeys(ctx context.Context, u connector.User, keys []cacheRow) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	if err := db.Flush(); err != nil {
		return c.explain(err)
	}
	c.warm.clear()
	b := db.NewBatch()
	defer b.Close()
	for _, k := range keys {
		err = errors.Join(err, b.Delete(k.key, nil))
	}
	c.names.RLock()
	for p, n := range c.pairs {
		if p.table != "" {
			continue
		}
		key := appendPrintKey(nil, n, &u)
		v, rerr := read(db, key)
		if err = errors.Join(err, rerr); v != nil {
			err = errors.Join(err, b.Delete(key, nil))
		}
	}
	c.names.RUnlock()
	if err = errors.Join(err, b.Commit(pebble.Sync), db.Flush()); err == nil {
		err = db.Compact(ctx, []byte{0}, []byte{0xff, 0xff, 0xff, 0xff}, false)
	}
	return c.explain(err)
}
