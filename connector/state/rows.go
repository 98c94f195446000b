package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

// scratch is what a call builds keys and values in; pebble copies both.
type scratch struct {
	key, value []byte
	records    []warmRecord
	ends       []int // in value
}

// release gives it back for another call.
func (s *scratch) release() {
	clear(s.records)
	s.records, s.ends = s.records[:0], s.ends[:0]
	scratches.Put(s)
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// lookUpOptions: DB.Get leaves the filters of the last level out, which holds nearly all; then a key that is nowhere costs as much as one that is there.
var lookUpOptions = pebble.IterOptions{UseL6Filters: true}

// lookUp gives the value of a key, which stays valid until at is closed; at is nil where there is none.
func lookUp(db *pebble.DB, key []byte) (v []byte, at *pebble.Iterator, err error) {
	if at, err = db.NewIter(&lookUpOptions); err != nil {
		return nil, nil, err
	}
	if !at.SeekPrefixGE(key) {
		return nil, nil, at.Close()
	}
	if v, err = at.ValueAndErr(); err != nil {
		return nil, nil, errors.Join(err, at.Close())
	}
	return v, at, nil
}

// unreadable says that a value is not what was written, and has the cache begun anew: the next one may look right and be wrong.
func (c *Cache) unreadable(what string) error {
	err := &DamageError{File: c.folder, Bucket: what, What: errValue.Error()}
	c.failure.absorb(err)
	return err
}

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
	s := scratches.Get().(*scratch)
	defer s.release()
	s.key = appendRowKey(s.key[:0], n, key.ID)
	v, at, err := lookUp(db, s.key)
	if err != nil {
		return u, false, c.explain(err)
	}
	if at == nil {
		return u, false, nil
	}
	u, tag, err := readUser(v, key.ID)
	if err != nil {
		err = c.unreadable("rows")
	}
	if err = errors.Join(err, at.Close()); err != nil || !c.alive(tag) {
		return connector.User{}, false, c.explain(err)
	}
	return u, true, nil
}

// Prints appends the fingerprints of what Braze last accepted of a user by one model, sorted by Leaf; where nothing is known, ok is false and dst comes back
// as it was. It allocates nothing where dst has room.
func (c *Cache) Prints(dst []connector.Print, u connector.User, model string) (prints []connector.Print, ok bool, err error) {
	db, err := c.use()
	if err != nil {
		return dst, false, err
	}
	defer c.mu.RUnlock()
	n, ok := c.number(pair{model: model})
	if !ok {
		return dst, false, nil
	}
	l := look{c: c, db: db, s: scratches.Get().(*scratch), room: dst}
	defer l.s.release()
	l.s.key = appendPrintKey(l.s.key[:0], n, &u)
	l.s.records = append(l.s.records, warmRecord{key: l.s.key})
	l.inMemory()
	ok, err = l.prints(0)
	if err = errors.Join(err, l.close()); err != nil || !ok {
		return dst, false, c.explain(err)
	}
	return l.room, true, nil
}

// PrintsOf is Prints for several users: it opens the store at most once, which costs as much as looking one of them up.
func (c *Cache) PrintsOf(model string, users []connector.User, found func(i int, prints []connector.Print)) (err error) {
	db, err := c.use()
	if err != nil {
		return err
	}
	defer c.mu.RUnlock()
	n, ok := c.number(pair{model: model})
	if !ok {
		return nil
	}
	l := look{c: c, db: db, s: scratches.Get().(*scratch)}
	defer l.s.release()
	l.s.key = l.s.key[:0]
	for i := range users {
		l.s.records = append(l.s.records, warmRecord{at: uint32(len(l.s.key))})
		l.s.key = appendPrintKey(l.s.key, n, &users[i])
	}
	to := len(l.s.key)
	for i := len(users) - 1; i >= 0; i-- {
		r := &l.s.records[i]
		r.key, to = l.s.key[r.at:to], int(r.at)
	}
	l.inMemory()
	for i := range users {
		from := len(l.room)
		ok, lerr := l.prints(i)
		if lerr != nil {
			err = lerr
			break
		}
		if !ok {
			continue
		}
		if from == 0 { // those of one model are about as many for each user
			l.room = slices.Grow(l.room, len(l.room)*(len(users)-i-1))
		}
		found(i, l.room[from:len(l.room):len(l.room)])
	}
	return c.explain(errors.Join(err, l.close()))
}

// look is a look-up of one user or several, in memory and in the files: the keys are in s.records.
type look struct {
	c    *Cache
	db   *pebble.DB
	s    *scratch
	at   *pebble.Iterator // nil until the memory lacked one
	room []connector.Print
}

// inMemory gives the records the values that are kept in memory.
func (l *look) inMemory() { l.s.value = l.c.warm.get(l.s.value[:0], l.s.records) }

// prints appends the fingerprints of the user of a record to l.room; ok is false, and room as it was, where nothing is known.
func (l *look) prints(i int) (ok bool, err error) {
	v, ok, err := l.value(&l.s.records[i])
	if err != nil || !ok {
		return false, err
	}
	all, tag, err := readPrints(l.room, v, l.c.leavesOf)
	if err != nil {
		return false, l.c.unreadable("fingerprints")
	}
	if !l.c.alive(tag) {
		return false, nil
	}
	l.room = all
	return true, nil
}

// value gives what stands under a record's key, valid until the next one is asked for.
func (l *look) value(r *warmRecord) (v []byte, ok bool, err error) {
	if r.value != nil {
		return r.value, true, nil
	}
	if l.at == nil {
		if l.at, err = l.db.NewIter(&lookUpOptions); err != nil {
			return nil, false, err
		}
	}
	if !l.at.SeekPrefixGE(r.key) {
		return nil, false, l.at.Error()
	}
	v, err = l.at.ValueAndErr()
	return v, err == nil, err
}

func (l *look) close() error {
	if l.at == nil {
		return nil
	}
	return l.at.Close()
}

// Write stores what was accepted, all of rows and prints or nothing; of two puts of one row, or of one user's fingerprints, the later counts. It is durable
// only after Sync.
func (c *Cache) Write(rows []connector.RowPut, prints []connector.PrintPut) error {
	return c.store(func(b *filling) (err error) {
		for i := 0; i < len(rows) && err == nil; i++ {
			err = b.row(&rows[i])
		}
		for i := 0; i < len(prints) && err == nil; i++ {
			err = b.prints(&prints[i])
		}
		return err
	})
}

// filling is a batch that is being filled.
type filling struct {
	*scratch
	c    *Cache
	db   *pebble.DB
	b    *pebble.Batch
	warm bool // it has fingerprints
}

// store commits what fill puts into a batch, all of it or nothing.
func (c *Cache) store(fill func(*filling) error) error {
	db, err := c.use()
	if err != nil {
		return err
	}
	n, err := c.commit(db, fill)
	c.mu.RUnlock()
	if err != nil {
		return c.explain(err)
	}
	if c.cfg.MaxSize > 0 && c.written.Add(int64(n)) >= sizeStep {
		return c.trim()
	}
	return nil
}

// commit gives the batch's length in bytes.
func (c *Cache) commit(db *pebble.DB, fill func(*filling) error) (size int, err error) {
	b := filling{c: c, db: db, b: db.NewBatch(), scratch: scratches.Get().(*scratch)}
	defer b.b.Close()
	defer b.release()
	if err = fill(&b); err != nil {
		return 0, err
	}
	if b.warm {
		defer func() {
			if err != nil {
				c.warm.clear() // it may have what the files do not
			}
		}()
		if err = b.keepWarm(); err != nil {
			return 0, err
		}
	}
	size = b.b.Len()
	if err = b.b.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	return size, c.failure.get()
}

// put stores the value in scratch under the key in it, or deletes the key.
func (b *filling) put(gone bool) error {
	if gone {
		return b.b.Delete(b.key, nil)
	}
	return b.b.Set(b.key, b.value, nil)
}

func (b *filling) row(p *connector.RowPut) error {
	n, tag, err := b.c.numbers(b.db, pair{p.Model, p.Key.Table}, p.Part, p.Gone)
	if err != nil || n == 0 {
		return err
	}
	b.key = appendRowKey(b.key[:0], n, p.Key.ID)
	b.value = appendUser(b.value[:0], &p.User, p.Key.ID, tag)
	return b.put(p.Gone)
}

func (b *filling) prints(p *connector.PrintPut) error {
	n, tag, err := b.c.numbers(b.db, pair{model: p.Model}, p.Part, p.Prints == nil)
	if err != nil || n == 0 {
		return err
	}
	b.warm = true
	b.key = appendPrintKey(b.key[:0], n, &p.User)
	if p.Prints == nil {
		return b.put(true)
	}
	if err = ascending(p); err != nil {
		return err
	}
	var shape uint16
	if shape, b.value, err = b.c.shape(b.db, p.Prints, b.value); err != nil {
		return err
	}
	b.value = appendPrints(b.value[:0], &p.User, p.Prints, tag, shape)
	return b.put(false)
}

func (b *filling) remembered(p *connector.RememberPut) error {
	n, tag, err := b.c.numbers(b.db, pair{p.Model, p.Key.Table}, p.Part, p.Gone)
	if err != nil || n == 0 {
		return err
	}
	b.key = appendRememberedKey(b.key[:0], n, p.Key.ID)
	b.value = appendRemembered(b.value[:0], &p.RememberedRow, tag)
	return b.put(p.Gone)
}

// keepWarm puts the fingerprints of the batch into memory.
func (b *filling) keepWarm() error {
	if b.c.warm == nil {
		return nil
	}
	for r := b.b.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			b.c.warm.apply(b.records)
			return err
		}
		if key[prefixSize] == keyPrints || key[prefixSize] == keyLongPrints {
			b.records = append(b.records, warmRecord{key: key, value: value, gone: kind == pebble.InternalKeyKindDelete})
		}
	}
}

// ascending refuses fingerprints that would not be read again.
func ascending(p *connector.PrintPut) error {
	for i := 1; i < len(p.Prints); i++ {
		if p.Prints[i].Leaf <= p.Prints[i-1].Leaf {
			return fmt.Errorf("store the fingerprints of model %s: leaf %d follows %d, they have to be sorted and without doubles", p.Model,
				p.Prints[i].Leaf, p.Prints[i-1].Leaf)
		}
	}
	return nil
}

// numbers gives the number of a model and table and the tag of a part, new ones where they have none yet; number 0 where what is to end was never there.
func (c *Cache) numbers(db *pebble.DB, at pair, part string, end bool) (n uint16, tag uint32, err error) {
	n, ok := c.number(at)
	if end {
		return n, 0, nil
	}
	if !ok {
		if n, err = c.name(db, at); err != nil {
			return 0, 0, err
		}
	}
	tag, err = c.tag(db, part)
	return n, tag, err
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
	if err := setBoth(db, p.key(), cacheNumber, v); err != nil {
		return 0, err
	}
	c.pairs[p], c.last = n, n
	return n, nil
}

// setBoth gives two keys one value, in one step.
func setBoth(db *pebble.DB, one, other, v []byte) error {
	b := db.NewBatch()
	defer b.Close()
	return errors.Join(b.Set(one, v, nil), b.Set(other, v, nil), b.Commit(pebble.NoSync))
}
