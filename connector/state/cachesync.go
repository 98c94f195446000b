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

// trim drops the cache when it is larger than it may be.
func (c *Cache) trim() error {
	c.written.Store(0)
	if c.size() <= c.cfg.MaxSize {
		return nil
	}
	c.cfg.Logger.Warn("the cache has reached its size and is begun anew; rows are unknown until they are accepted again",
		"folder", c.folder, "bytes", c.cfg.MaxSize)
	c.outgrown.Add(1)
	return c.Drop("")
}

// Begun is how often the cache was begun anew because it had reached its size, and because what was in its folder could not be used.
func (c *Cache) Begun() (outgrown, unread uint64) { return c.outgrown.Load(), c.unread.Load() }

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
