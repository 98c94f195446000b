package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"brazecdc/connector"
)

// place is how far a load has come: the content of its cursor.
type place struct {
	chunk uint64     // number of the last chunk handed over
	after []string   // key of the last row; nil before the first
	ended bool       // the end of the table was reached
	again [][]string // keys to read once more
}

// placeOf is the place from which a load reads the rows of these keys alone.
func placeOf(rel *relation, ids []string) (p place, err error) {
	p.ended = true
	for _, id := range ids {
		where, err := connector.SplitKey(rel.table, id)
		if err != nil {
			return place{}, err
		}
		texts := make([]string, len(rel.key))
		for i, k := range rel.key {
			at := slices.IndexFunc(where, func(e connector.Equal) bool { return e.Column == rel.table.Columns[k].Name })
			if at < 0 {
				return place{}, fmt.Errorf("the key %q of %s has no value of column %q", id, rel.table.Name, rel.table.Columns[k].Name)
			}
			texts[i] = where[at].Text
		}
		p.again = append(p.again, texts)
	}
	return p, nil
}

const placeVersion = 1

func (p *place) encode() []byte {
	b := []byte{placeVersion}
	b = binary.AppendUvarint(b, p.chunk)
	ended := byte(0)
	if p.ended {
		ended = 1
	}
	b = append(b, ended)
	key := func(k []string) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		for _, s := range k {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	key(p.after)
	b = binary.AppendUvarint(b, uint64(len(p.again)))
	for _, k := range p.again {
		key(k)
	}
	return b
}

var errCursor = errors.New("the recorded cursor of the load is malformed")

func parsePlace(b []byte) (p place, err error) {
	if len(b) == 0 {
		return p, nil
	}
	if len(b) < 3 || b[0] != placeVersion {
		return p, errCursor
	}
	b = b[1:]
	uv := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<62 {
			err = errCursor
			return 0
		}
		b = b[n:]
		return v
	}
	count := func() uint64 {
		n := uv()
		if n > uint64(len(b)) { // each takes a byte at least
			err = errCursor
			return 0
		}
		return n
	}
	key := func() (k []string) {
		for range count() {
			n := uv()
			if n > uint64(len(b)) {
				err = errCursor
				return nil
			}
			k = append(k, string(b[:n]))
			b = b[n:]
		}
		return k
	}
	p.chunk = uv()
	if len(b) == 0 {
		return p, errCursor
	}
	p.ended, b = b[0] == 1, b[1:]
	p.after = key()
	for range count() {
		p.again = append(p.again, key())
	}
	if err != nil {
		return place{}, err
	}
	return p, nil
}
