package state

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tolerantFS stands between pebble and the disk. pebble ends the process when a log or manifest cannot be written, which a cache must never do. So after the
// first write that did not succeed this file system pretends that all further ones did and drops them: pebble stays calm until it is closed, the
// cache is useless from then on and says so, and its folder is removed.
type tolerantFS struct {
	vfs.FS
	failure *failure
}

// failure is the first write that did not succeed.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// absorb notes err and tells whether it is to be passed over.
func (f *failure) absorb(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.err == nil {
		f.err = err
	}
	return f.err != nil
}

// do runs a write unless one did not succeed before.
func (f *failure) do(write func() error) error {
	if f.get() == nil {
		f.absorb(write())
	}
	return nil
}

// file gives what open opens, or, once a write did not succeed, a file that drops everything.
func (f *failure) file(open func() (vfs.File, error)) (vfs.File, error) {
	if f.get() == nil {
		file, err := open()
		if !f.absorb(err) {
			return tolerantFile{file, f}, nil
		}
		if file != nil {
			_ = file.Close() // its error adds nothing to the one that is noted
		}
	}
	return tolerantFile{droppedFile{}, f}, nil
}

func (t tolerantFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return t.failure.file(func() (vfs.File, error) {
		f, err := t.FS.Create(name, c)
		if err != nil || !strings.HasSuffix(name, ".sst") {
			return f, err
		}
		return &gatheredFile{File: f}, nil
	})
}

func (t tolerantFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return t.failure.file(func() (vfs.File, error) { return t.FS.OpenReadWrite(name, c, opts...) })
}

func (t tolerantFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return t.failure.file(func() (vfs.File, error) { return t.FS.ReuseForWrite(from, to, c) })
}

func (t tolerantFS) OpenDir(name string) (vfs.File, error) {
	f, err := t.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return tolerantFile{f, t.failure}, nil
}

func (t tolerantFS) Link(from, to string) error {
	return t.failure.do(func() error { return t.FS.Link(from, to) })
}

func (t tolerantFS) Rename(from, to string) error {
	return t.failure.do(func() error { return t.FS.Rename(from, to) })
}

func (t tolerantFS) MkdirAll(dir string, perm os.FileMode) error {
	return t.failure.do(func() error { return t.FS.MkdirAll(dir, perm) })
}

// Remove tells of a file that is not there, which pebble asks about; all other errors are those of a disk.
func (t tolerantFS) Remove(name string) error {
	err := t.FS.Remove(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && t.failure.absorb(err) {
		return nil
	}
	return err
}

func (t tolerantFS) Unwrap() vfs.FS { return t.FS }

// tolerantFile is a file of a tolerantFS.
type tolerantFile struct {
	vfs.File
	failure *failure
}

func (t tolerantFile) Write(b []byte) (int, error) {
	return len(b), t.failure.do(func() error { _, err := t.File.Write(b); return err })
}

func (t tolerantFile) WriteAt(b []byte, at int64) (int, error) {
	return len(b), t.failure.do(func() error { _, err := t.File.WriteAt(b, at); return err })
}

func (t tolerantFile) Preallocate(at, length int64) error {
	return t.failure.do(func() error { return t.File.Preallocate(at, length) })
}

func (t tolerantFile) Sync() error     { return t.failure.do(t.File.Sync) }
func (t tolerantFile) SyncData() error { return t.failure.do(t.File.SyncData) }

func (t tolerantFile) SyncTo(length int64) (whole bool, err error) {
	err = t.failure.do(func() error { whole, err = t.File.SyncTo(length); return err })
	return whole, err
}

func (t tolerantFile) Close() error {
	t.failure.absorb(t.File.Close())
	return nil
}

// gatherSize is how much of a table is written at once.
const gatherSize = 128 << 10

// gatheredFile is a table that is being written, which pebble does by small blocks, each of them a call of the system's. Who writes a table reads it only after
// Close, through another file.
type gatheredFile struct {
	vfs.File
	b []byte
}

func (g *gatheredFile) Write(b []byte) (int, error) {
	if len(g.b)+len(b) > gatherSize {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) >= gatherSize {
		return g.File.Write(b)
	}
	if g.b == nil {
		g.b = make([]byte, 0, gatherSize)
	}
	g.b = append(g.b, b...)
	return len(b), nil
}

func (g *gatheredFile) flush() error {
	if len(g.b) == 0 {
		return nil
	}
	_, err := g.File.Write(g.b)
	g.b = g.b[:0]
	return err
}

func (g *gatheredFile) Sync() error     { return errors.Join(g.flush(), g.File.Sync()) }
func (g *gatheredFile) SyncData() error { return errors.Join(g.flush(), g.File.SyncData()) }
func (g *gatheredFile) Close() error    { return errors.Join(g.flush(), g.File.Close()) }

func (g *gatheredFile) SyncTo(length int64) (whole bool, err error) {
	if err = g.flush(); err != nil {
		return false, err
	}
	return g.File.SyncTo(length)
}

// droppedFile takes every write and keeps none.
type droppedFile struct{}

var errDropped = errors.New("the cache could not be written and is given up")

func (droppedFile) Read([]byte) (int, error)               { return 0, errDropped }
func (droppedFile) ReadAt([]byte, int64) (int, error)      { return 0, errDropped }
func (droppedFile) Write(b []byte) (int, error)            { return len(b), nil }
func (droppedFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (droppedFile) Preallocate(int64, int64) error         { return nil }
func (droppedFile) Sync() error                            { return nil }
func (droppedFile) SyncTo(int64) (bool, error)             { return false, nil }
func (droppedFile) SyncData() error                        { return nil }
func (droppedFile) Prefetch(int64, int64) error            { return nil }
func (droppedFile) Fd() uintptr                            { return vfs.InvalidFd }
func (droppedFile) Close() error                           { return nil }

// Stat says that the file is empty: pebble asks how long a log is that it writes over, and ends the process where it is not told.
func (droppedFile) Stat() (vfs.FileInfo, error) {
	f, err := vfs.NewMem().Create("dropped", vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}
