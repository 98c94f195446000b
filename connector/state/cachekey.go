package state

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"brazecdc/connector"
)

// The keys of the cache. A row's key begins with the number that its model and table were given, so that neither name is repeated a million times; number 0
// holds what the cache says of itself.
const (
	prefixSize = 2
	maxPairs   = 1<<16 - 1
	// maxPlainID is up to where a row's ID stands in the key as it is; a longer one is stood for by its SHA-256.
	maxPlainID = 64
)

var (
	cacheHead    = []byte{0, 0, 'h'}
	cacheCovered = []byte{0, 0, 'c'} // followed by the stream; the value is the offset
	cacheNames   = []byte{0, 0, 'n'} // followed by model and table; the value is the number
	cacheNumber  = []byte{0, 0, 'l'} // the last number given
)

// pair is a model and a table.
type pair struct{ model, table string }

func (p pair) key() []byte {
	e := encoder(append([]byte{}, cacheNames...))
	e.str(p.model)
	e.str(p.table)
	return e
}

// appendRowKey appends the key of a row; its third byte tells an ID from a hash.
func appendRowKey(b []byte, number uint16, id string) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	if len(id) <= maxPlainID {
		return append(append(b, 0), id...)
	}
	sum := sha256.Sum256([]byte(id))
	return append(append(b, 1), sum[:]...)
}

// sameID marks a user whose ID is the row's own, which needs no second copy.
const sameID = 1 << 7

func appendUser(b []byte, u connector.User, rowID string) []byte {
	kind := byte(u.Kind)
	same := u.ID == rowID
	if same {
		kind |= sameID
	}
	b = append(b, kind)
	if u.Kind == connector.Alias {
		b = binary.AppendUvarint(b, uint64(len(u.Label)))
		b = append(b, u.Label...)
	}
	if same {
		return b
	}
	return append(b, u.ID...)
}

var errCachedUser = errors.New("a cached user cannot be read")

func readUser(b []byte, rowID string) (u connector.User, err error) {
	if len(b) == 0 {
		return u, errCachedUser
	}
	u.Kind = connector.IDKind(b[0] &^ sameID)
	same := b[0]&sameID != 0
	b = b[1:]
	if u.Kind == connector.Alias {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return connector.User{}, errCachedUser
		}
		u.Label = string(b[size : size+int(n)])
		b = b[size+int(n):]
	}
	if same {
		u.ID = rowID
	} else {
		u.ID = string(b)
	}
	return u, nil
}
