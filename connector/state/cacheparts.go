package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// parts numbers the generations of all parts. The tag of its part's present generation stands in each value that was written under the part; a tag that no
// part has any more makes its values unknown. No tag is given twice, so that what was dropped cannot come back.
type parts struct {
	tags map[string]uint32 // by part
	live map[uint32]bool   // those in tags; 0, which values without a part have
	last uint32
}

func noParts() parts { return parts{tags: map[string]uint32{}, live: map[uint32]bool{0: true}} }

func (p *parts) put(part string, tag uint32) {
	p.tags[part], p.live[tag] = tag, true
	p.last = max(p.last, tag)
}

func (p *parts) drop(part string) {
	delete(p.live, p.tags[part])
	delete(p.tags, part)
}

func partKey(part string) []byte {
	return append(cacheParts[:len(cacheParts):len(cacheParts)], part...)
}

func (c *Cache) readParts() error {
	errTag := errors.New("the number of a partition cannot be read")
	v, err := read(c.db, cacheTag)
	if err != nil || v == nil {
		return err
	}
	last, n := binary.Uvarint(v)
	if n <= 0 || last > math.MaxUint32 {
		return errTag
	}
	err = c.each(cacheParts, func(part, v []byte) error {
		tag, n := binary.Uvarint(v)
		if n <= 0 || tag == 0 || tag > last || c.parts.live[uint32(tag)] {
			return errTag
		}
		c.parts.put(string(part), uint32(tag))
		return nil
	})
	c.parts.last = uint32(last)
	return err
}

// alive tells whether what was written under a tag still counts.
func (c *Cache) alive(tag uint32) bool {
	if tag == 0 {
		return true
	}
	c.names.RLock()
	defer c.names.RUnlock()
	return c.parts.live[tag]
}

// tag gives a part's present tag, or begins a generation of it; "" has tag 0.
func (c *Cache) tag(db *pebble.DB, part string) (uint32, error) {
	if part == "" {
		return 0, nil
	}
	c.names.RLock()
	tag := c.parts.tags[part]
	c.names.RUnlock()
	if tag != 0 {
		return tag, nil
	}
	c.names.Lock()
	defer c.names.Unlock()
	if tag = c.parts.tags[part]; tag != 0 {
		return tag, nil
	}
	if c.parts.last == math.MaxUint32 {
		return 0, errors.New("too many partitions came and went; drop the cache")
	}
	tag = c.parts.last + 1
	v := binary.AppendUvarint(nil, uint64(tag))
	// The log is written in order: whatever of it a crash leaves, it has no value under this tag without these two, so that a tag that is lost was never used.
	if err := setBoth(db, partKey(part), cacheTag, v); err != nil {
		return 0, err
	}
	c.parts.put(part, tag)
	return tag, nil
}

// DropPart forgets everything that was written under a part, durably when it returns, in the time of one write whatever there is. What a Write that is
// going on puts under the part meanwhile may be forgotten with it; what is written later counts again. A part that nothing was written under is no error.
func (c *Cache) DropPart(part string) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	c.names.Lock()
	defer c.names.Unlock()
	if _, ok := c.parts.tags[part]; !ok {
		return nil
	}
	if err = db.Delete(partKey(part), pebble.Sync); err == nil {
		err = c.failure.get()
	}
	if err != nil {
		return c.explain(fmt.Errorf("forget partition %s: %w", part, err))
	}
	c.parts.drop(part)
	return nil
}
