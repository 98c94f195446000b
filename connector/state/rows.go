package state

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

// sizeStep is how many bytes are written between two looks at the size of the cache.
const sizeStep = 16 << 20

// RowUser gives the user a row of a model was last accepted under; ok is false where nothing is known.
func (c *Cache) RowUser(model string, key connector.Key) (u connector.User, ok bool, err error) {
	db, err := c.use()
	if err != nil {
		return u, false, err
	}
	defer c.mu.RUnlock()
	n, ok := c.number(pair{model, key.Table})
	if !ok {
		return u, false, nil
	}
	var buf [prefixSize + 1 + maxPlainID]byte
	v, closer, err := db.Get(appendRowKey(buf[:0], n, key.ID))
	if errors.Is(err, pebble.ErrNotFound) {
		return u, false, nil
	}
	if err != nil {
		return u, false, c.explain(err)
	}
	u, err = readUser(v, key.ID)
	if err = errors.Join(err, closer.Close()); err != nil {
		return connector.User{}, false, c.explain(err)
	}
	return u, true, nil
}

// Prints gives ok false for every user: fingerprints of fields are not stored, so that nothing is known of any.
func (c *Cache) Prints(connector.User, string) (map[string]uint64, bool, error) {
	return nil, false, nil
}

// Write stores what was accepted, all of puts or nothing; of two puts of one row the later counts. It survives the end of the process, and that of the machine
// only after Sync.
func (c *Cache) Write(puts []connector.RowPut) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	n, err := c.write(db, puts)
	c.mu.RUnlock()
	if err != nil {
		return c.explain(err)
	}
	if c.cfg.MaxSize > 0 && c.written.Add(int64(n)) >= sizeStep {
		return c.trim()
	}
	return nil
}

func (c *Cache) write(db *pebble.DB, puts []connector.RowPut) (int, error) {
	b := db.NewBatch()
	defer b.Close()
	var key, value []byte
	for i := range puts {
		p := &puts[i]
		at := pair{p.Model, p.Key.Table}
		n, ok := c.number(at)
		if !ok && p.Gone {
			continue
		}
		if !ok {
			var err error
			if n, err = c.name(db, at); err != nil {
				return 0, err
			}
		}
		key = appendRowKey(key[:0], n, p.Key.ID)
		var err error
		if p.Gone {
			err = b.Delete(key, nil)
		} else {
			value = appendUser(value[:0], p.User, p.Key.ID)
			err = b.Set(key, value, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	size := b.Len()
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	return size, c.failure.get()
}

// number gives the number of a model and table, if they have one.
func (c *Cache) number(p pair) (uint16, bool) {
	c.names.RLock()
	defer c.names.RUnlock()
	n, ok := c.pairs[p]
	return n, ok
}

// name gives a model and table their number, written before any row is.
func (c *Cache) name(db *pebble.DB, p pair) (uint16, error) {
	c.names.Lock()
	defer c.names.Unlock()
	if n, ok := c.pairs[p]; ok {
		return n, nil
	}
	if c.last == maxPairs {
		return 0, errors.New("too many models came and went; drop the cache")
	}
	n := c.last + 1
	v := binary.BigEndian.AppendUint16(nil, n)
	b := db.NewBatch()
	defer b.Close()
	if err := errors.Join(b.Set(p.key(), v, nil), b.Set(cacheNumber, v, nil), b.Commit(pebble.NoSync)); err != nil {
		return 0, err
	}
	c.pairs[p], c.last = n, n
	return n, nil
}

// trim drops the cache when it is larger than it may be.
func (c *Cache) trim() error {
	c.written.Store(0)
	if c.size() <= c.cfg.MaxSize {
		return nil
	}
	c.cfg.Logger.Warn("the cache has reached its size and is begun anew; rows are unknown until they are accepted again",
		"folder", c.folder, "max_size", c.cfg.MaxSize)
	return c.Drop("")
}

func coveredKey(stream string) []byte {
	return append(cacheCovered[:len(cacheCovered):len(cacheCovered)], stream...)
}

// Sync makes everything written so far durable, together with the note that it covers these positions. Streams that covers does not name keep theirs: what
// was written for them is durable too.
func (c *Cache) Sync(covers []connector.Position) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	b := db.NewBatch()
	defer b.Close()
	// The log is written in order, so that these values are never there without all that was written before them.
	streams := make(map[string]uint64, len(covers))
	for _, p := range covers {
		streams[p.Stream] = p.Offset
		err = errors.Join(err, b.Set(coveredKey(p.Stream), binary.AppendUvarint(nil, p.Offset), nil))
	}
	c.names.RLock()
	old := superseded(streams, c.covered)
	c.names.RUnlock()
	for _, s := range old {
		err = errors.Join(err, b.Delete(coveredKey(s), nil))
	}
	err = errors.Join(err, b.LogData(nil, nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err == nil {
		err = c.failure.get()
	}
	if err != nil {
		return c.explain(err)
	}
	c.names.Lock()
	defer c.names.Unlock()
	for _, p := range covers {
		c.covered[p.Stream] = p.Offset
	}
	for _, s := range old {
		delete(c.covered, s)
	}
	return nil
}

// Covered gives the position that each stream's last Sync covers, of this run or one before, by name of the stream; none after Drop("").
func (c *Cache) Covered() []connector.Position {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.names.RLock()
	defer c.names.RUnlock()
	var out []connector.Position
	for _, stream := range slices.Sorted(maps.Keys(c.covered)) {
		out = append(out, connector.Position{Stream: stream, Offset: c.covered[stream]})
	}
	return out
}

// Drop forgets all rows of a model; "" forgets everything by removing the files, which also makes a cache usable again that could not be written.
func (c *Cache) Drop(model string) error {
	if model == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.lock == nil {
			return c.explain(ErrClosed)
		}
		if err := c.restart(); err != nil {
			return c.explain(err)
		}
		return nil
	}
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	c.names.Lock()
	defer c.names.Unlock()
	b := db.NewBatch()
	defer b.Close()
	var gone []pair
	for p, n := range c.pairs {
		if p.model != model {
			continue
		}
		gone = append(gone, p)
		prefix := binary.BigEndian.AppendUint16(nil, n)
		if err = errors.Join(b.Delete(p.key(), nil), b.DeleteRange(prefix, after(prefix), nil)); err != nil {
			return c.explain(err)
		}
	}
	if err = b.Commit(pebble.Sync); err == nil {
		err = c.failure.get()
	}
	if err != nil {
		return c.explain(err)
	}
	for _, p := range gone {
		delete(c.pairs, p)
	}
	return nil
}
