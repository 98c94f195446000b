package state

import (
	"bytes"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// bucketPosting finds entries without reading them all. Its keys are a kind, 8 bytes of what is looked for, and the entry's number, all in byte order, so
// that the entries of one list stand together, oldest first. It holds no values: what it points to is checked against the filter, and damage of
// bbolt's own pages is noticed by bbolt.
const bucketPosting = "posting"

// list is one kind of posting together with what is looked for.
type list [9]byte

const (
	listOpen   = 'o' // all open entries
	listModel  = 'm'
	listClass  = 'k'
	listBoth   = 'c' // model and class
	listUser   = 'u'
	listRow    = 'r'
	listAge    = 't' // open entries by At
	listClosed = 'z' // closed entries by ClosedAt
)

// The values of a posting: an entry that has ended stays in the lists of its model, class, user and row until it is purged.
var (
	postingOpen   = []byte{0}
	postingClosed = []byte{1}
)

func newList(kind byte, parts ...string) (l list) {
	l[0] = kind
	copy(l[1:], hash(parts...))
	return l
}

func listAt(kind byte, t time.Time) (l list) {
	l[0] = kind
	// The offset puts times before 1970 in front of later ones.
	binary.BigEndian.PutUint64(l[1:], uint64(t.UnixNano())+1<<63)
	return l
}

func (l list) key(id uint64) []byte { return binary.BigEndian.AppendUint64(l[:], id) }

// rowList is the list in which entries that replace each other stand: those of one row. What could not be decoded has no row; there it is the change
// itself, so that the same one read again after a restart is not kept twice.
func rowList(e *connector.Entry) list {
	if e.Key.ID != "" {
		return rowOf(e.Key)
	}
	var c encoder
	c.uint(e.Offset)
	c.change(e.Change)
	return newList(listRow, "change", e.Key.Table, e.Stream, string(c))
}

func rowOf(k connector.Key) list { return newList(listRow, "row", k.Table, k.ID) }

func userOf(u connector.User) list { return newList(listUser, string(userKey(u))) }

// lists are those an entry stands in until it is purged.
func lists(e *connector.Entry) []list {
	ls := []list{
		newList(listModel, e.Model), newList(listClass, e.Class), newList(listBoth, e.Model, e.Class), rowList(e),
	}
	if e.User != (connector.User{}) {
		ls = append(ls, userOf(e.User))
	}
	return ls
}

// addPostings enters an open entry.
func addPostings(bk *bbolt.Bucket, e *connector.Entry) error {
	for _, l := range append(lists(e), newList(listOpen), listAt(listAge, e.At)) {
		if err := bk.Put(l.key(e.ID), postingOpen); err != nil {
			return err
		}
	}
	return nil
}

// closePostings marks an entry's postings as those of one that has ended.
func closePostings(bk *bbolt.Bucket, e *connector.Entry) error {
	for _, l := range append(lists(e), listAt(listClosed, e.ClosedAt)) {
		if err := bk.Put(l.key(e.ID), postingClosed); err != nil {
			return err
		}
	}
	return firstError(bk.Delete(newList(listOpen).key(e.ID)), bk.Delete(listAt(listAge, e.At).key(e.ID)))
}

// dropPostings takes an entry out of all lists.
func dropPostings(bk *bbolt.Bucket, e *connector.Entry) error {
	for _, l := range append(lists(e), newList(listOpen), listAt(listAge, e.At), listAt(listClosed, e.ClosedAt)) {
		if err := bk.Delete(l.key(e.ID)); err != nil {
			return err
		}
	}
	return nil
}

// walk calls fn with the entries of a list behind one, oldest first, until it gives false.
func walk(bk *bbolt.Bucket, l list, after uint64, closed bool, fn func(id uint64) bool) {
	c := bk.Cursor()
	for k, v := c.Seek(l.key(after)); k != nil && bytes.HasPrefix(k, l[:]); k, v = c.Next() {
		if len(k) != len(l)+8 || !closed && !bytes.Equal(v, postingOpen) {
			continue
		}
		if id := postingID(k); id > after && !fn(id) {
			return
		}
	}
}

// walkOlder gives the postings of up to limit entries of a list by time that are older than before.
func walkOlder(bk *bbolt.Bucket, kind byte, before time.Time, limit int) (keys [][]byte) {
	end := listAt(kind, before)
	c := bk.Cursor()
	for k, _ := c.Seek([]byte{kind}); k != nil && len(k) == len(end)+8 && bytes.Compare(k[:len(end)], end[:]) < 0; k, _ = c.Next() {
		if keys = append(keys, bytes.Clone(k)); len(keys) == limit {
			break
		}
	}
	return keys
}

// postingID is the number of the entry that a posting points to.
func postingID(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }
