package state

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// readEntry gives an entry, or nil where there is none of that number.
func readEntry(tx *bbolt.Tx, id uint64) (*connector.Entry, error) {
	b, err := bucketEntry.get(tx, entryKey(id))
	if b == nil || err != nil {
		return nil, err
	}
	e, err := decodeEntry(b)
	if err != nil || e.ID != id {
		return nil, bucketEntry.damage(entryKey(id), errShort.Error())
	}
	return e, nil
}

// Entry gives one entry, open or ended. One that was replaced, purged or never there is an fs.ErrNotExist.
func (q *Quarantine) Entry(id uint64) (e *connector.Entry, err error) {
	err = q.file.view(func(tx *bbolt.Tx) error {
		e, err = readEntry(tx, id)
		return err
	})
	if err == nil && e == nil {
		err = noEntry(id)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// List gives the entries that match f, oldest first. It reads only the entries of f's row, else of its user, else of its model and class, so that it is
// quick among millions. Damaged entries are left out and named by the error, which then comes together with the others.
func (q *Quarantine) List(f connector.EntryFilter) ([]connector.Entry, error) {
	var out []connector.Entry
	err := q.each(&f, func(e *connector.Entry) bool {
		out = append(out, *e)
		return f.Limit <= 0 || len(out) < f.Limit
	})
	return out, err
}

// each calls fn with the entries that match f, oldest first, until it gives false. Damaged ones are left out and named by the error, which comes at the end.
func (q *Quarantine) each(f *connector.EntryFilter, fn func(*connector.Entry) bool) error {
	var bad []error
	err := q.file.view(func(tx *bbolt.Tx) error {
		take := func(id uint64) bool {
			if f.UpTo != 0 && id > f.UpTo {
				return false
			}
			e, err := readEntry(tx, id)
			switch {
			case err != nil:
				bad = append(bad, q.file.explain(err))
			case e != nil && matches(e, f):
				return fn(e)
			}
			return true
		}
		if f.Group != "" && q.grouped {
			walkGroup(tx.Bucket([]byte(bucketPosting)), groupNamed(f.Group), f, take)
			return nil
		}
		if l, ok := listFor(f); ok {
			walk(tx.Bucket([]byte(bucketPosting)), l, f.After, f.Closed, take)
			return nil
		}
		bk, err := bucketEntry.in(tx)
		if err != nil {
			return err
		}
		c := bk.Cursor()
		for k, _ := c.Seek(entryKey(f.After + 1)); k != nil; k, _ = c.Next() {
			if len(k) != 8 {
				return bucketEntry.damage(k, "the key is no number")
			}
			if !take(binary.BigEndian.Uint64(k)) {
				break
			}
		}
		return nil
	})
	return errors.Join(append([]error{err}, bad...)...)
}

// listFor picks the shortest list that holds all that f asks for; there is none for all entries, ended ones included.
func listFor(f *connector.EntryFilter) (list, bool) {
	switch {
	case f.Row.ID != "":
		return rowOf(f.Row), true
	case f.User != connector.User{}:
		return userOf(f.User), true
	case f.Model != "" && f.Class != "":
		return newList(listBoth, f.Model, f.Class), true
	case f.Model != "":
		return newList(listModel, f.Model), true
	case f.Class != "":
		return newList(listClass, f.Class), true
	case !f.Closed:
		return newList(listOpen), true
	}
	return list{}, false
}

func matches(e *connector.Entry, f *connector.EntryFilter) bool {
	return (f.Model == "" || f.Model == e.Model) &&
		(f.Class == "" || f.Class == e.Class) &&
		(f.User == connector.User{} || f.User == e.User) &&
		(f.Row == connector.Key{} || f.Row == e.Key) &&
		(f.Closed || e.Closed == "") &&
		inTime(e.At, f) &&
		(f.Group == "" || e.Closed == "" && (f.Group == ownGroup(e).groupID() || f.Group == restGroup(e).groupID()))
}

// dumpPage is how many entries Dump reads at a time.
const dumpPage = 200

// Dump writes the entries that match f to w, one JSON object a line, oldest first, and tells how many. It holds few of them in memory. The lines carry
// values of rows: they are for the operator's eyes and pipes, never for a log.
func Dump(ctx context.Context, w io.Writer, q connector.Quarantine, f connector.EntryFilter) (int, error) {
	total, limit := 0, f.Limit
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	var bad error
	for {
		if err := ctx.Err(); err != nil {
			return total, fmt.Errorf("list the quarantine: %w", err)
		}
		f.Limit = dumpPage
		if limit > 0 {
			f.Limit = min(dumpPage, limit-total)
		}
		page, err := q.List(f)
		bad = errors.Join(bad, err)
		for i := range page {
			if err := out.Encode(&page[i]); err != nil {
				return total, fmt.Errorf("write quarantine entry %d: %w", page[i].ID, err)
			}
			total++
		}
		if len(page) < f.Limit || total == limit {
			return total, bad
		}
		f.After = page[len(page)-1].ID
	}
}

// markNoProof notes that an entry ended without delivery: for its user, or for its table where the user is not known.
func markNoProof(tx *bbolt.Tx, e *connector.Entry) error {
	var v encoder
	if e.User == (connector.User{}) {
		v.bool(false)
		v.str(e.Key.Table)
		return bucketNoProof.put(tx, hash("table", e.Key.Table), v)
	}
	v.bool(true)
	v.user(e.User)
	return bucketNoProof.put(tx, hash("user", string(userKey(e.User))), v)
}

// NoProof gives the users whose entry ended without delivery: what Braze holds of them is not known until a whole row was accepted.
func (q *Quarantine) NoProof() ([]connector.User, error) {
	users, _, err := q.noProof()
	return users, err
}

// NoProofTables gives the tables of which an entry without a known user ended without delivery: no user's row of theirs is known until a re-sync.
func (q *Quarantine) NoProofTables() ([]string, error) {
	_, tables, err := q.noProof()
	return tables, err
}

func (q *Quarantine) noProof() (users []connector.User, tables []string, err error) {
	err = q.file.view(func(tx *bbolt.Tx) error {
		users, tables = nil, nil
		return bucketNoProof.each(tx, func(_, value []byte) error {
			d := decoder{b: value}
			if d.bool() {
				users = append(users, d.user())
			} else {
				tables = append(tables, d.str())
			}
			return d.end()
		})
	})
	return users, tables, err
}

// ClearProof forgets the mark of a user after a whole row was accepted. It is durable when it returns; one that is not there is no error.
func (q *Quarantine) ClearProof(ctx context.Context, u connector.User) error {
	return q.clear(ctx, hash("user", string(userKey(u))))
}

// ClearTable forgets the mark of a table after a re-sync of it.
func (q *Quarantine) ClearTable(ctx context.Context, table string) error {
	return q.clear(ctx, hash("table", table))
}

func (q *Quarantine) clear(ctx context.Context, key []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("clear a mark of the quarantine: %w", err)
	}
	return q.group.do(&operation{bytes: 64, write: func(tx *bbolt.Tx) error { return bucketNoProof.delete(tx, key) }})
}
