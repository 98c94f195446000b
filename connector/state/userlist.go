package state

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"brazecdc/connector"
)

const (
	userListPrefix = "load-"
	userListSuffix = ".users"
	// maxListed bounds the length of one user's record, so that damaged bytes cannot ask for unbounded memory.
	maxListed = 1 << 16
)

// userList is a file of users, each behind its length and its checksum.
type userList struct {
	path string
	mu   sync.Mutex
	file *os.File
	size int64 // up to the end of the last whole record
	torn bool  // the file may be longer: an append did not succeed
	dirt bool  // something was appended since the last Sync
	buf  encoder
	one  encoder
}

var (
	_ connector.UserList   = (*userList)(nil)
	_ connector.ListKeeper = (*Data)(nil)
)

var listSums = crc32.MakeTable(crc32.Castagnoli)

// UserList opens the list of a name in `data/`, or makes it. A list that ends in the middle of a record, as a power cut leaves it, is cut there.
func (d *Data) UserList(name string) (connector.UserList, error) {
	sum := hash(name)
	l := &userList{path: filepath.Join(d.folder, userListPrefix+hex.EncodeToString(sum[:8])+userListSuffix)}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, l.explain(err)
	}
	l.file = f
	if l.size, err = wholeRecords(f); err == nil {
		err = f.Truncate(l.size)
	}
	if err == nil {
		err = syncFolder(d.folder)
	}
	if err != nil {
		return nil, l.explain(errors.Join(err, f.Close()))
	}
	return l, nil
}

// SweepLists removes the lists that have none of these names.
func (d *Data) SweepLists(keep []string) error {
	stay := map[string]bool{}
	for _, name := range keep {
		sum := hash(name)
		stay[userListPrefix+hex.EncodeToString(sum[:8])+userListSuffix] = true
	}
	found, err := os.ReadDir(d.folder)
	if err != nil {
		return fmt.Errorf("look for lists of users: %w", err)
	}
	var errs []error
	for _, e := range found {
		if n := e.Name(); strings.HasPrefix(n, userListPrefix) && strings.HasSuffix(n, userListSuffix) && !stay[n] {
			errs = append(errs, os.Remove(filepath.Join(d.folder, n)))
		}
	}
	return errors.Join(errs...)
}

// wholeRecords gives up to where a list can be read.
func wholeRecords(f *os.File) (size int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10)
	for {
		_, n, err := readListed(r)
		if errors.Is(err, errListEnd) {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
		size += n
	}
}

// errListEnd: no whole record follows.
var errListEnd = errors.New("the list ends here")

// readListed reads one user and gives the length of its record.
func readListed(r *bufio.Reader) (u connector.User, n int64, err error) {
	head, err := r.Peek(8)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errListEnd
		}
		return u, 0, err
	}
	size, sum := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if size == 0 || size > maxListed {
		return u, 0, errListEnd
	}
	b := make([]byte, 8+size)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errListEnd
		}
		return u, 0, err
	}
	if crc32.Checksum(b[8:], listSums) != sum {
		return u, 0, errListEnd
	}
	d := decoder{b: b[8:]}
	u = d.user()
	if d.end() != nil {
		return u, 0, errListEnd
	}
	return u, int64(len(b)), nil
}

func (l *userList) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return diskFull(l.path, err)
	}
	return fmt.Errorf("use the list of users %s: %w", l.path, err)
}

// Append implements connector.UserList.
func (l *userList) Append(users []connector.User) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.explain(ErrClosed)
	}
	if l.torn {
		if err := l.file.Truncate(l.size); err != nil {
			return l.explain(err)
		}
		l.torn = false
	}
	l.buf = l.buf[:0]
	for i := range users {
		l.one = l.one[:0]
		l.one.user(users[i])
		l.buf = binary.BigEndian.AppendUint32(l.buf, uint32(len(l.one)))
		l.buf = binary.BigEndian.AppendUint32(l.buf, crc32.Checksum(l.one, listSums))
		l.buf = append(l.buf, l.one...)
	}
	if _, err := l.file.WriteAt(l.buf, l.size); err != nil {
		l.torn = true
		return l.explain(err)
	}
	l.size += int64(len(l.buf))
	l.dirt = true
	return nil
}

// Sync implements connector.UserList.
func (l *userList) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirt || l.file == nil {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return l.explain(err)
	}
	l.dirt = false
	return nil
}

// Users implements connector.UserList.
func (l *userList) Users(from int64, n int) (users []connector.User, next int64, err error) {
	l.mu.Lock()
	f, size := l.file, l.size
	l.mu.Unlock()
	if f == nil {
		return nil, from, l.explain(ErrClosed)
	}
	if from < 0 || from > size {
		return nil, from, nil // the end of it was lost in a power cut
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), 64<<10)
	for next = from; len(users) < n; {
		u, took, err := readListed(r)
		if errors.Is(err, errListEnd) {
			break
		}
		if err != nil {
			return nil, from, l.explain(err)
		}
		next += took
		if u.Kind != connector.Item { // one that was blanked is none
			users = append(users, u)
		}
	}
	return users, next, nil
}

// Close implements connector.UserList.
func (l *userList) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return l.explain(err)
}

// Remove implements connector.UserList.
func (l *userList) Remove() error {
	return errors.Join(l.Close(), l.explain(os.Remove(l.path)))
}
