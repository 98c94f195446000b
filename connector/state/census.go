package state

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

const (
	censusPrefix = "census-"
	// censusPart is how many users are held against the cache at once, so that memory is bounded whatever their number.
	censusPart = 1 << 20
	// censusKeys is how many of the cache's keys are looked at under one lock.
	censusKeys = 5000
)

// userID stands for a user in the notes, which nobody has to erase then.
type userID [userHash]byte

// census is a file of users in the order in which they were noted, some of them more than once.
type census struct {
	c     *Cache
	model string
	path  string

	mu   sync.Mutex
	file *os.File
	size int64
	next []byte // not yet written
}

var (
	_ connector.Census      = (*census)(nil)
	_ connector.CensusTaker = (*Cache)(nil)
)

func (c *Cache) censusPath(name string) string {
	sum := hash(name)
	return filepath.Join(filepath.Dir(c.folder), censusPrefix+hex.EncodeToString(sum[:8]))
}

// Census opens the notes of which of a model's users were met under a name, or begins them; noted is how much of them there is.
func (c *Cache) Census(name, model string) (_ connector.Census, noted int64, err error) {
	n := &census{c: c, model: model, path: c.censusPath(name)}
	if n.file, err = os.OpenFile(n.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, 0, n.explain(err)
	}
	info, err := n.file.Stat()
	if err == nil {
		n.size = info.Size() / userHash * userHash
		err = n.file.Truncate(n.size)
	}
	if err != nil {
		return nil, 0, n.explain(errors.Join(err, n.file.Close()))
	}
	return n, n.size, nil
}

// SweepCensuses removes the notes of all other names.
func (c *Cache) SweepCensuses(keep []string) error {
	found, err := filepath.Glob(filepath.Join(filepath.Dir(c.folder), censusPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range found {
		if !slices.ContainsFunc(keep, func(name string) bool { return c.censusPath(name) == path }) {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

func (n *census) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return diskFull(n.path, err)
	}
	return fmt.Errorf("use the notes of users %s: %w", n.path, err)
}

// Saw implements connector.Census.
func (n *census) Saw(users ...connector.User) {
	n.mu.Lock()
	for i := range users {
		n.next = appendUserHash(n.next, &users[i])
	}
	n.mu.Unlock()
}

// Sync implements connector.Census.
func (n *census) Sync() (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return n.size, n.explain(ErrClosed)
	}
	if len(n.next) == 0 {
		return n.size, nil
	}
	if _, err := n.file.WriteAt(n.next, n.size); err != nil {
		return n.size, n.explain(err)
	}
	if err := n.file.Sync(); err != nil {
		return n.size, n.explain(err)
	}
	n.size += int64(len(n.next))
	n.next = n.next[:0]
	return n.size, nil
}

// Gone implements connector.Census. It reads the notes and the cache's keys once for every so many users: those whose hashes lie in one range.
func (n *census) Gone(ctx context.Context, fn func(connector.User) bool) error {
	if _, err := n.Sync(); err != nil {
		return err
	}
	n.mu.Lock()
	parts := uint64(n.size/userHash/censusPart) + 1
	n.mu.Unlock()
	width := ^uint64(0)/parts + 1 // 0: all there are
	if parts == 1 {
		width = 0
	}
	for i := range parts {
		low, high := i*width, (i+1)*width-1
		if i == parts-1 {
			high = ^uint64(0)
		}
		met, err := n.met(ctx, low, high)
		if err != nil {
			return err
		}
		if goOn, err := n.compare(ctx, low, high, met, fn); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// met gives the users whose hash begins with a number from low to high, sorted.
func (n *census) met(ctx context.Context, low, high uint64) (ids []userID, err error) {
	n.mu.Lock()
	r := bufio.NewReaderSize(io.NewSectionReader(n.file, 0, n.size), 1<<20)
	late := bytes.Clone(n.next)
	n.mu.Unlock()
	add := func(id userID) {
		if at := binary.BigEndian.Uint64(id[:]); at >= low && at <= high {
			ids = append(ids, id)
		}
	}
	for count := 0; ; count++ {
		var id userID
		if _, err := io.ReadFull(r, id[:]); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, n.explain(err)
		}
		add(id)
		if count%100_000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for ; len(late) >= userHash; late = late[userHash:] {
		add(userID(late[:userHash]))
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), nil
}

func compareIDs(a, b userID) int { return bytes.Compare(a[:], b[:]) }

// compare calls fn for the users in the cache whose hash begins with a number from low to high and who are not among those that were met.
func (n *census) compare(ctx context.Context, low, high uint64, met []userID, fn func(connector.User) bool) (goOn bool, err error) {
	number, ok := n.c.number(pair{model: n.model})
	if !ok {
		return true, nil
	}
	from, end := printKeys(number)
	for from != nil {
		var known []connector.User
		if known, from, err = n.c.usersFrom(from, end); err != nil {
			return false, err
		}
		for i := range known {
			id := userID(appendUserHash(nil, &known[i]))
			if at := binary.BigEndian.Uint64(id[:]); at < low || at > high {
				continue
			}
			if _, ok := slices.BinarySearchFunc(met, id, compareIDs); ok || n.saw(id) {
				continue
			}
			if !fn(known[i]) {
				return false, nil
			}
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return true, nil
}

// saw tells whether a user was noted since the last Sync.
func (n *census) saw(id userID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for b := n.next; len(b) >= userHash; b = b[userHash:] {
		if userID(b[:userHash]) == id {
			return true
		}
	}
	return false
}

// usersFrom gives the users of a range of fingerprints' keys, so many at a time; next is where the others begin, nil where there are none.
func (c *Cache) usersFrom(from, end []byte) (known []connector.User, next []byte, err error) {
	db, err := c.use()
	if err != nil {
		return nil, nil, err
	}
	defer c.mu.RUnlock()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
	if err != nil {
		return nil, nil, c.explain(err)
	}
	looked := 0
	for it.First(); it.Valid(); it.Next() {
		if looked++; looked > censusKeys {
			next = bytes.Clone(it.Key())
			break
		}
		u, tag, uerr := printUser(it.Key(), it.Value())
		if uerr != nil {
			err = c.unreadable("fingerprints")
			break
		}
		if c.alive(tag) {
			known = append(known, u)
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return nil, nil, c.explain(err)
	}
	return known, next, nil
}

// Close implements connector.Census.
func (n *census) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file = nil
	return n.explain(err)
}

// Remove implements connector.Census.
func (n *census) Remove() error {
	return errors.Join(n.Close(), n.explain(os.Remove(n.path)))
}
