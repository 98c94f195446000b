package state

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

// The leaves of a model's users are the same as a rule: all leaves of one user are a shape, which is stored once and has a number that stands in the values.
const (
	maxShapes = 1 << 12 // of all models; users of any other one have their leaves in their values
	maxLeaves = 1 << 8  // of a shape; who has more is not like many others
	shapeSize = 2       // bytes of a number, which begins with 1
)

// shapes are known by their leaves and by their number.
type shapes struct {
	numbers map[string]uint16
	leaves  [][]uint32 // by number - 1
}

func noShapes() shapes { return shapes{numbers: map[string]uint16{}} }

func shapeKey(number uint16) []byte {
	return binary.BigEndian.AppendUint16(cacheShapes[:len(cacheShapes):len(cacheShapes)], number)
}

func (s *shapes) put(key []byte) {
	leaves := make([]uint32, len(key)/leafSize)
	for i := range leaves {
		leaves[i] = binary.BigEndian.Uint32(key[i*leafSize:])
	}
	s.leaves = append(s.leaves, leaves)
	s.numbers[string(key)] = uint16(len(s.leaves))
}

func (c *Cache) readShapes() error {
	return c.each(cacheShapes, func(number, v []byte) error {
		if len(number) != shapeSize || int(binary.BigEndian.Uint16(number)) != len(c.shapes.leaves)+1 || len(v)%leafSize != 0 || len(v) > maxLeaves*leafSize {
			return errors.New("the leaves of a shape cannot be read")
		}
		c.shapes.put(v)
		return nil
	})
}

// shape gives the number of the shape of fingerprints, a new one where it has none yet; 0 where they have to name their leaves. Room is for the call to use.
func (c *Cache) shape(db *pebble.DB, prints []connector.Print, room []byte) (number uint16, used []byte, err error) {
	if len(prints) == 0 || len(prints) > maxLeaves {
		return 0, room, nil
	}
	room = appendLeaves(room[:0], prints)
	c.names.RLock()
	number, ok := c.shapes.numbers[string(room)]
	full := len(c.shapes.leaves) == maxShapes
	c.names.RUnlock()
	if ok || full {
		return number, room, nil
	}
	c.names.Lock()
	defer c.names.Unlock()
	if number, ok = c.shapes.numbers[string(room)]; ok || len(c.shapes.leaves) == maxShapes {
		return number, room, nil
	}
	number = uint16(len(c.shapes.leaves) + 1)
	// The log is written in order: no value with this number is ever there without the shape.
	if err = db.Set(shapeKey(number), room, pebble.NoSync); err != nil {
		return 0, room, err
	}
	c.shapes.put(room)
	return number, room, nil
}

// leavesOf gives the leaves of a shape, nil where there is no such number.
func (c *Cache) leavesOf(number uint16) []uint32 {
	c.names.RLock()
	defer c.names.RUnlock()
	if number == 0 || int(number) > len(c.shapes.leaves) {
		return nil
	}
	return c.shapes.leaves[number-1]
}

func appendLeaves(b []byte, prints []connector.Print) []byte {
	for i := range prints {
		b = binary.BigEndian.AppendUint32(b, prints[i].Leaf)
	}
	return b
}
