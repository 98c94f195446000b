package state

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"

	"brazecdc/connector"
)

// The keys of the cache. The key of a row or of a user's fingerprints begins with the number that its model and table were given, so that neither name is
// repeated a million times; number 0 holds what the cache says of itself.
const (
	prefixSize = 2
	maxPairs   = 1<<16 - 1
	// maxPlainID is up to where a row's or a user's ID stands in the key as it is; a longer one is stood for by its SHA-256. An ID as it is keeps those
	// that follow each other together, as the users of a table with a serial key do: they fall into the same blocks, and a table of them is written once.
	maxPlainID = 64
	// userHash is how many bytes of its SHA-256 stand for a user: nobody who may choose an ID finds two that share them.
	userHash = 16
)

// What the byte behind the number says of a key.
const (
	keyPlain      = iota // a row by its ID
	keyHashed            // a row by the SHA-256 of its ID
	keyPrints            // a user's fingerprints by kind, label and ID, under the number of the model with no table
	keyLongPrints        // the same by the SHA-256 of these
	// What is remembered of a row, by its ID and by the SHA-256 of it.
	keyRemembered
	keyLongRemembered
)

var (
	cacheHead    = []byte{0, 0, 'h'}
	cacheCovered = []byte{0, 0, 'c'} // followed by the stream; the value is the offset
	cacheNames   = []byte{0, 0, 'n'} // followed by model and table; the value is the number
	cacheNumber  = []byte{0, 0, 'l'} // the last number given
	cacheShapes  = []byte{0, 0, 's'} // followed by the number; the value is the leaves
	cacheParts   = []byte{0, 0, 'p'} // followed by the part; the value is its tag
	cacheTag     = []byte{0, 0, 't'} // the last tag given
)

// pair is a model and a table.
type pair struct{ model, table string }

func (p pair) key() []byte {
	e := encoder(append([]byte{}, cacheNames...))
	e.str(p.model)
	e.str(p.table)
	return e
}

// appendRowKey appends the key of a row.
func appendRowKey(b []byte, number uint16, id string) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	if len(id) <= maxPlainID {
		return append(append(b, keyPlain), id...)
	}
	sum := sha256.Sum256([]byte(id))
	return append(append(b, keyHashed), sum[:]...)
}

// appendPrintKey appends the key of a user's fingerprints. Users that differ in kind or label are two.
func appendPrintKey(b []byte, number uint16, u *connector.User) []byte {
	b = binary.BigEndian.AppendUint16(b, number)
	if longUser(u) {
		return appendUserHash(append(b, keyLongPrints), u)
	}
	b = append(b, keyPrints, byte(u.Kind))
	b = binary.AppendUvarint(b, uint64(len(u.Label)))
	return append(append(b, u.Label...), u.ID...)
}

// longUser tells whether the key of a user's fingerprints does not name the user, so that the value has to.
func longUser(u *connector.User) bool { return len(u.Label)+len(u.ID) > maxPlainID }

// printKeys are the ranges of keys that hold the fingerprints of a model: from each first one to before the second.
func printKeys(number uint16) (from, end []byte) {
	from = append(binary.BigEndian.AppendUint16(nil, number), keyPrints)
	return from, after(append(binary.BigEndian.AppendUint16(nil, number), keyLongPrints))
}

// printUser gives the user whose fingerprints stand under a key with a value.
func printUser(key, value []byte) (u connector.User, tag uint32, err error) {
	first, tag, rest, err := readPrintHead(value, &u)
	if err != nil || !wholePrints(first, rest) || len(key) <= prefixSize || first&named != 0 != (key[prefixSize] == keyLongPrints) {
		return connector.User{}, 0, errValue
	}
	if first&named != 0 {
		return u, tag, nil
	}
	key = key[prefixSize+1:]
	if len(key) == 0 || connector.IDKind(key[0]) > connector.Item {
		return connector.User{}, 0, errValue
	}
	n, size := binary.Uvarint(key[1:])
	if size <= 0 || n > uint64(len(key)-1-size) {
		return connector.User{}, 0, errValue
	}
	label := key[1+size:]
	return connector.User{Kind: connector.IDKind(key[0]), Label: string(label[:n]), ID: string(label[n:])}, tag, nil
}

// wholePrints tells whether what follows the head of a value has the length of fingerprints.
func wholePrints(first byte, rest []byte) bool {
	if first&shaped != 0 {
		return len(rest) > shapeSize && (len(rest)-shapeSize)%sumSize == 0
	}
	return len(rest)%printSize == 0
}

// appendUserHash appends what stands for a user.
func appendUserHash(b []byte, u *connector.User) []byte {
	start := len(b)
	b = append(b, byte(u.Kind))
	b = binary.AppendUvarint(b, uint64(len(u.Label)))
	b = append(append(b, u.Label...), u.ID...)
	sum := sha256.Sum256(b[start:])
	return append(b[:start], sum[:userHash]...)
}

// The first byte of a value: flags, and in a row's the kind of its user.
const (
	sameID = 1 << 7 // the user's ID is the row's own, which needs no second copy
	tagged = 1 << 6 // a tag follows
	named  = 1      // in the value of fingerprints: the user follows, whom the key cannot name
	shaped = 1 << 1 // likewise: the number of a shape stands for the leaves
)

// appendHead begins a value with its first byte and, unless it is 0, the tag of its part.
func appendHead(b []byte, first byte, tag uint32) []byte {
	if tag == 0 {
		return append(b, first)
	}
	return binary.AppendUvarint(append(b, first|tagged), uint64(tag))
}

var errValue = errors.New("a value cannot be read")

// readHead takes the first byte, without tagged, and the tag off a value.
func readHead(v []byte) (first byte, tag uint32, rest []byte, err error) {
	if len(v) == 0 {
		return 0, 0, nil, errValue
	}
	first, rest = v[0], v[1:]
	if first&tagged == 0 {
		return first, 0, rest, nil
	}
	n, size := binary.Uvarint(rest)
	if size <= 0 || n == 0 || n > math.MaxUint32 {
		return 0, 0, nil, errValue
	}
	return first &^ tagged, uint32(n), rest[size:], nil
}

func appendUser(b []byte, u *connector.User, rowID string, tag uint32) []byte {
	first := byte(u.Kind)
	same := u.ID == rowID
	if same {
		first |= sameID
	}
	b = appendHead(b, first, tag)
	if u.Kind == connector.Alias {
		b = binary.AppendUvarint(b, uint64(len(u.Label)))
		b = append(b, u.Label...)
	}
	if same {
		return b
	}
	return append(b, u.ID...)
}

// readUser reads what appendUser wrote for the row of that ID.
func readUser(v []byte, rowID string) (u connector.User, tag uint32, err error) {
	first, tag, rest, err := readHead(v)
	if err != nil {
		return u, 0, err
	}
	same := first&sameID != 0
	if u.Kind = connector.IDKind(first &^ sameID); u.Kind > connector.Phone {
		return connector.User{}, 0, errValue
	}
	if u.Kind == connector.Alias {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return connector.User{}, 0, errValue
		}
		u.Label = string(rest[size : size+int(n)])
		rest = rest[size+int(n):]
	}
	switch {
	case !same:
		u.ID = string(rest)
	case len(rest) != 0:
		return connector.User{}, 0, errValue
	default:
		u.ID = rowID
	}
	return u, tag, nil
}

// The bytes of a fingerprint in a value: all leaves come first, or the number of their shape, then all sums.
const (
	leafSize  = 4
	sumSize   = 8
	printSize = leafSize + sumSize
)

// appendPrints appends the value of a user's fingerprints, which are sorted by Leaf, without doubles, and of that shape, or of none where it is 0.
func appendPrints(b []byte, u *connector.User, prints []connector.Print, tag uint32, shape uint16) []byte {
	first := byte(0)
	if shape != 0 {
		first = shaped
	}
	if !longUser(u) {
		b = appendHead(b, first, tag)
	} else {
		b = append(appendHead(b, first|named, tag), byte(u.Kind))
		b = binary.AppendUvarint(b, uint64(len(u.Label)))
		b = append(b, u.Label...)
		b = binary.AppendUvarint(b, uint64(len(u.ID)))
		b = append(b, u.ID...)
	}
	if shape != 0 {
		b = binary.BigEndian.AppendUint16(b, shape)
	} else {
		b = appendLeaves(b, prints)
	}
	for i := range prints {
		b = binary.BigEndian.AppendUint64(b, prints[i].Sum)
	}
	return b
}

// readPrintHead takes the head off a value of appendPrints, the user included, whom it puts into u where that is not nil. First is named and shaped.
func readPrintHead(v []byte, u *connector.User) (first byte, tag uint32, rest []byte, err error) {
	first, tag, rest, err = readHead(v)
	if err != nil || first > named|shaped {
		return 0, 0, nil, errValue
	}
	if first&named == 0 {
		return first, tag, rest, nil
	}
	if len(rest) == 0 || connector.IDKind(rest[0]) > connector.Item {
		return 0, 0, nil, errValue
	}
	kind := connector.IDKind(rest[0])
	rest = rest[1:]
	var text [2][]byte // label, ID
	for i := range text {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return 0, 0, nil, errValue
		}
		text[i], rest = rest[size:size+int(n)], rest[size+int(n):]
	}
	if u != nil {
		*u = connector.User{Kind: kind, Label: string(text[0]), ID: string(text[1])}
	}
	return first, tag, rest, nil
}

// readPrints appends what a value of appendPrints holds; on an error dst comes back as it was. LeavesOf gives the leaves of a shape, nil of one that there is not.
func readPrints(dst []connector.Print, v []byte, leavesOf func(uint16) []uint32) (prints []connector.Print, tag uint32, err error) {
	first, tag, rest, err := readPrintHead(v, nil)
	if err != nil {
		return dst, 0, errValue
	}
	if first&shaped != 0 {
		return readShaped(dst, rest, tag, leavesOf)
	}
	if len(rest)%printSize != 0 {
		return dst, 0, errValue
	}
	n := len(rest) / printSize
	leaves, sums := rest[:n*leafSize], rest[n*leafSize:]
	prints = dst
	for i := range n {
		p := connector.Print{Leaf: binary.BigEndian.Uint32(leaves[i*leafSize:]), Sum: binary.BigEndian.Uint64(sums[i*sumSize:])}
		if i > 0 && p.Leaf <= prints[len(prints)-1].Leaf {
			return dst, 0, errValue
		}
		prints = append(prints, p)
	}
	return prints, tag, nil
}

func readShaped(dst []connector.Print, rest []byte, tag uint32, leavesOf func(uint16) []uint32) (prints []connector.Print, sameTag uint32, err error) {
	if len(rest) < shapeSize {
		return dst, 0, errValue
	}
	leaves, sums := leavesOf(binary.BigEndian.Uint16(rest)), rest[shapeSize:]
	if leaves == nil || len(sums) != len(leaves)*sumSize {
		return dst, 0, errValue
	}
	prints = dst
	for i, leaf := range leaves {
		prints = append(prints, connector.Print{Leaf: leaf, Sum: binary.BigEndian.Uint64(sums[i*sumSize:])})
	}
	return prints, tag, nil
}
