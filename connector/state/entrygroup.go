package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// bucketGroup counts the open entries by model, class, field and kind of reason. It is made of the entries alone: where it does not fit them, since another
// version wrote the file or it is damaged, it is made anew when the file is opened.
const bucketGroup bucket = "group"

// listGroup is the kind of the postings of open entries by group. Their values are when the entries came, so that nobody has to read these to tell.
const listGroup = 'g'

// maxGroups is how many groups there are at most; what comes beyond them is counted in one group for each model, class and field.
const maxGroups = 200

// keyUngrouped holds how many open entries were not counted when the groups were made: those that are damaged.
var keyUngrouped = []byte("ungrouped")

const rest = "\x00rest" // the kind that stands for all that have no group of their own

func groupList(model, class, field, kind string) list {
	return newList(listGroup, model, class, field, kind)
}

func ownGroup(e *connector.Entry) list {
	return groupList(e.Model, e.Class, e.Field, connector.ReasonKind(e.Reason))
}

func restGroup(e *connector.Entry) list { return groupList(e.Model, e.Class, e.Field, rest) }

func (l list) groupID() string { return hex.EncodeToString(l[1:]) }

// groupNamed gives the list of a group's ID; of a text that is none, a list without entries.
func groupNamed(id string) (l list) {
	l[0] = listGroup
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(l)-1 {
		return l
	}
	copy(l[1:], b)
	return l
}

func (l list) groupKey() []byte { return bytes.Clone(l[1:]) }

type groupCount struct {
	model, class, field, kind string
	n                         uint64
}

func (g *groupCount) encode() []byte {
	var e encoder
	for _, s := range []string{g.model, g.class, g.field, g.kind} {
		e.str(s)
	}
	e.uint(g.n)
	return e
}

func decodeGroup(b []byte) (g groupCount, err error) {
	d := decoder{b: b}
	g = groupCount{d.str(), d.str(), d.str(), d.str(), d.uint()}
	return g, d.end()
}

// enterGroup counts an entry that opens.
func enterGroup(tx *bbolt.Tx, e *connector.Entry) error {
	l, kind := ownGroup(e), connector.ReasonKind(e.Reason)
	b, err := bucketGroup.get(tx, l.groupKey())
	if err != nil {
		return err
	}
	if b == nil {
		bk, err := bucketGroup.in(tx)
		if err != nil {
			return err
		}
		if fill(bk, maxGroups) == maxGroups {
			l, kind = restGroup(e), rest
		}
	}
	if err := addGroup(tx, l, groupCount{model: e.Model, class: e.Class, field: e.Field, kind: kind}, 1); err != nil {
		return err
	}
	return tx.Bucket([]byte(bucketPosting)).Put(l.key(e.ID), binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixNano())))
}

// fill counts the keys of a bucket, up to limit.
func fill(bk *bbolt.Bucket, limit int) (n int) {
	c := bk.Cursor()
	for k, _ := c.First(); k != nil && n < limit; k, _ = c.Next() {
		n++
	}
	return n
}

// leaveGroup takes an entry out that ended. One that was never counted changes nothing.
func leaveGroup(tx *bbolt.Tx, e *connector.Entry) error {
	postings := tx.Bucket([]byte(bucketPosting))
	for _, l := range []list{ownGroup(e), restGroup(e)} {
		if postings.Get(l.key(e.ID)) == nil {
			continue
		}
		return firstError(addGroup(tx, l, groupCount{}, -1), postings.Delete(l.key(e.ID)))
	}
	return nil
}

func addGroup(tx *bbolt.Tx, l list, g groupCount, by int64) error {
	key := l.groupKey()
	b, err := bucketGroup.get(tx, key)
	if err != nil {
		return err
	}
	if b != nil {
		if g, err = decodeGroup(b); err != nil {
			return bucketGroup.damage(key, err.Error())
		}
	}
	if by < 0 && g.n <= uint64(-by) {
		return bucketGroup.delete(tx, key)
	}
	g.n += uint64(by)
	return bucketGroup.put(tx, key, g.encode())
}

// openGroups makes sure that the groups fit the entries.
func (q *Quarantine) openGroups() error {
	fits := false
	err := q.file.view(func(tx *bbolt.Tx) error {
		fits = groupsFit(tx)
		return nil
	})
	if err != nil || fits || q.file.db == nil {
		q.grouped = err == nil && fits
		return err
	}
	if q.file.readOnly {
		return nil
	}
	if err := q.makeGroups(); err != nil {
		return err
	}
	q.grouped = true
	return nil
}

// groupsFit tells whether the groups have as many entries as there are.
func groupsFit(tx *bbolt.Tx) bool {
	if tx.Bucket([]byte(bucketGroup)) == nil {
		return false
	}
	var entries, grouped uint64
	err := bucketCount.each(tx, func(_, value []byte) error {
		d := decoder{b: value}
		_, _ = d.str(), d.str()
		entries += d.uint()
		return d.end()
	})
	if err != nil {
		return false
	}
	err = bucketGroup.each(tx, func(key, value []byte) error {
		if bytes.Equal(key, keyUngrouped) {
			d := decoder{b: value}
			grouped += d.uint()
			return d.end()
		}
		g, err := decodeGroup(value)
		grouped += g.n
		return err
	})
	return err == nil && entries == grouped
}

// groupStep is how many entries makeGroups takes in one transaction.
const groupStep = 5000

func (q *Quarantine) makeGroups() error {
	err := q.file.update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte(bucketGroup)); err != nil && tx.Bucket([]byte(bucketGroup)) != nil {
			return err
		}
		_, err := tx.CreateBucket([]byte(bucketGroup))
		return err
	})
	for more := true; more && err == nil; {
		err = q.file.update(func(tx *bbolt.Tx) error {
			more = dropGroupPostings(tx)
			return nil
		})
	}
	var after, damaged uint64
	for more := true; more && err == nil; {
		err = q.file.update(func(tx *bbolt.Tx) error {
			more = false
			var ids []uint64
			walk(tx.Bucket([]byte(bucketPosting)), newList(listOpen), after, false, func(id uint64) bool {
				ids = append(ids, id)
				return len(ids) < groupStep
			})
			for _, id := range ids {
				e, err := readEntry(tx, id)
				if _, ok := errors.AsType[*DamageError](err); ok || err == nil && e == nil {
					damaged++
					continue
				}
				if err := firstError(err, enterGroup(tx, e)); err != nil {
					return err
				}
			}
			if len(ids) > 0 {
				after, more = ids[len(ids)-1], true
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	return q.file.update(func(tx *bbolt.Tx) error {
		var v encoder
		v.uint(damaged)
		return bucketGroup.put(tx, keyUngrouped, v)
	})
}

// dropGroupPostings takes away some of the postings by group and tells whether there may be more.
func dropGroupPostings(tx *bbolt.Tx) (more bool) {
	bk := tx.Bucket([]byte(bucketPosting))
	var keys [][]byte
	c := bk.Cursor()
	for k, _ := c.Seek([]byte{listGroup}); k != nil && k[0] == listGroup && len(keys) < groupStep; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if bk.Delete(k) != nil {
			return false
		}
	}
	return len(keys) == groupStep
}

var _ connector.GroupedQuarantine = (*Quarantine)(nil)

// Groups implements connector.GroupedQuarantine.
func (q *Quarantine) Groups(since time.Time) (out []connector.EntryGroup, err error) {
	if !q.grouped {
		out, err = q.readGroups(since)
	} else {
		out, err = q.keptGroups(since)
	}
	slices.SortFunc(out, func(a, b connector.EntryGroup) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Kind, b.Kind))
	})
	return out, err
}

// readGroups makes the groups of the entries themselves, for a file that can't be written and whose groups do not fit.
func (q *Quarantine) readGroups(since time.Time) (out []connector.EntryGroup, err error) {
	at := map[string]int{}
	err = q.each(&connector.EntryFilter{}, func(e *connector.Entry) bool {
		id := ownGroup(e).groupID()
		i, ok := at[id]
		if !ok {
			i = len(out)
			at[id] = i
			out = append(out, connector.EntryGroup{ID: id, Model: e.Model, Class: e.Class, Field: e.Field, Kind: connector.ReasonKind(e.Reason), Oldest: e.At})
		}
		x := &out[i]
		x.Count++
		x.Newest, x.Sample = e.At, e.ID
		if !e.At.Before(since) && x.Recent < connector.RecentLimit {
			x.Recent++
		}
		return true
	})
	return out, err
}

// keptGroups gives the groups as they are counted.
func (q *Quarantine) keptGroups(since time.Time) (out []connector.EntryGroup, err error) {
	err = q.file.view(func(tx *bbolt.Tx) error {
		out = nil
		postings := tx.Bucket([]byte(bucketPosting))
		return bucketGroup.each(tx, func(key, value []byte) error {
			if bytes.Equal(key, keyUngrouped) {
				return nil
			}
			g, err := decodeGroup(value)
			if err != nil {
				return err
			}
			x := connector.EntryGroup{ID: hex.EncodeToString(key), Model: g.model, Class: g.class, Field: g.field, Kind: g.kind, Count: int64(g.n)}
			if g.kind == rest {
				x.Kind = ""
			}
			ends(postings, groupNamed(x.ID), since, &x)
			out = append(out, x)
			return nil
		})
	})
	return out, err
}

// ends looks at the first and the last entries of a group.
func ends(bk *bbolt.Bucket, l list, since time.Time, x *connector.EntryGroup) {
	c := bk.Cursor()
	if k, v := c.Seek(l.key(0)); k != nil && bytes.HasPrefix(k, l[:]) {
		x.Oldest = cameAt(v)
	}
	var k, v []byte
	if behind, _ := c.Seek(l.key(^uint64(0))); behind == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for ; k != nil && bytes.HasPrefix(k, l[:]); k, v = c.Prev() {
		at := cameAt(v)
		if x.Sample == 0 {
			x.Newest, x.Sample = at, postingID(k)
		}
		if at.Before(since) || x.Recent == connector.RecentLimit {
			return
		}
		x.Recent++
	}
}

func cameAt(v []byte) time.Time {
	if len(v) != 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(v)))
}

// Count implements connector.GroupedQuarantine. It reads no entries where the filter is of groups, models, classes and times alone.
func (q *Quarantine) Count(f connector.EntryFilter) (n int64, err error) {
	f.After, f.Limit = 0, 0
	if !q.grouped || f.Closed || f.User != (connector.User{}) || f.Row != (connector.Key{}) {
		err := q.each(&f, func(*connector.Entry) bool { n++; return true })
		return n, err
	}
	groups, err := q.keptGroups(q.now())
	if err != nil {
		return 0, err
	}
	for _, g := range groups {
		if f.Group != "" && f.Group != g.ID || f.Model != "" && f.Model != g.Model || f.Class != "" && f.Class != g.Class {
			continue
		}
		if f.Since.IsZero() && f.Until.IsZero() && f.UpTo == 0 {
			n += g.Count
			continue
		}
		err := q.file.view(func(tx *bbolt.Tx) error {
			walkGroup(tx.Bucket([]byte(bucketPosting)), groupNamed(g.ID), &f, func(uint64) bool { n++; return true })
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// walkGroup calls fn with the entries of a group that a filter's times and numbers allow, oldest first, until it gives false.
func walkGroup(bk *bbolt.Bucket, l list, f *connector.EntryFilter, fn func(id uint64) bool) {
	c := bk.Cursor()
	for k, v := c.Seek(l.key(f.After)); k != nil && bytes.HasPrefix(k, l[:]); k, v = c.Next() {
		id := postingID(k)
		if f.UpTo != 0 && id > f.UpTo {
			return
		}
		if id > f.After && inTime(cameAt(v), f) && !fn(id) {
			return
		}
	}
}

func inTime(at time.Time, f *connector.EntryFilter) bool {
	return (f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until))
}
