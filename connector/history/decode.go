package history

import (
	"encoding/binary"

	"brazecdc/connector"
)

// decoder reads what record.go wrote. After the first thing that cannot be read all else is zero, and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) str() string { return string(d.bytes(d.uint())) }

func (d *decoder) user() connector.User {
	k := d.byte()
	label := d.str()
	return connector.User{Kind: connector.IDKind(k), Label: label, ID: d.str()}
}

func (d *decoder) key() connector.Key {
	table := d.str()
	return connector.Key{Table: table, ID: d.str()}
}

func (d *decoder) id() (of id) {
	copy(of[:], d.bytes(hashSize))
	return of
}

// idsOf appends what an entry of a file is found by.
func idsOf(out []id, body []byte) []id {
	d := decoder{b: body[1:]}
	add := func(of id) {
		if of != (id{}) {
			out = append(out, of)
		}
	}
	switch body[0] {
	case typeEnd:
		add(d.id())
		add(d.id())
		for range d.byte() {
			add(d.id())
		}
	case typeCount, typeValue:
		add(d.id())
		add(d.id())
	case typeUser, typeRow:
		add(d.id())
	case typeGap:
		add(gapID)
	}
	return out
}

// timeOf is an entry's time in microseconds, 0 where it has none.
func timeOf(body []byte) int64 {
	d := decoder{b: body[1:]}
	switch body[0] {
	case typeEnd:
		d.bytes(2 * hashSize)
		d.bytes(uint64(d.byte()) * hashSize)
	case typeCount:
		d.bytes(2 * hashSize)
	case typeGap:
	default:
		return 0
	}
	return int64(d.uint())
}
