package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"brazecdc/connector"
)

// file is one bbolt file. Its methods may be called concurrently; updates run one after the other.
type file struct {
	path     string
	readOnly bool

	mu     sync.RWMutex // held for writing only while db is replaced
	db     *bbolt.DB    // nil in a read-only file that does not exist, and after close
	stale  bool         // a commit did not succeed: what is in memory may differ from the disk, so open again
	broken error        // damage was met that bbolt cannot go on from
	closed bool
}

// openFile opens or makes a file with these buckets; made tells that it was not there before. A new file is filled under another name first, so that a
// full disk or a kill leaves none that cannot be opened.
func openFile(path string, readOnly bool, buckets []bucket, fill func(*bbolt.Tx) error) (f *file, made bool, err error) {
	f = &file{path: path, readOnly: readOnly}
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if readOnly {
			return f, true, nil
		}
		made = true
		err = f.make(buckets, fill)
	}
	if err != nil {
		return nil, false, f.explain(err)
	}
	if err = f.reopen(); err != nil {
		return nil, false, f.explain(err)
	}
	return f, made, nil
}

func (f *file) make(buckets []bucket, fill func(*bbolt.Tx) error) (err error) {
	tmp := f.path + ".new"
	if err = os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucket([]byte(b)); err != nil {
				return err
			}
		}
		return fill(tx)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err = os.Rename(tmp, f.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// reopen opens the file anew and compares its length with what it says of itself: pages are mapped into memory, where a missing one ends the process.
func (f *file) reopen() (err error) {
	var opened *os.File
	// Where bbolt panics over a damaged file it leaves it open, mapped and therefore locked even when closed.
	defer func() {
		if opened != nil {
			unlock(opened)
			opened.Close()
		}
	}()
	defer recoverDamage(&err)()
	if f.db != nil {
		db := f.db
		f.db = nil
		if err = db.Close(); err != nil {
			return err
		}
	}
	if err = f.check(); err != nil {
		return err
	}
	// Other processes are kept out by the folder's lock, so that a short wait is enough.
	db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{
		Timeout: time.Second, ReadOnly: f.readOnly, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err := os.OpenFile(name, flag, mode)
			opened = file
			return file, err
		},
	})
	if err != nil {
		return openError(f.path, err)
	}
	opened = nil
	var need int64
	if err = db.View(func(tx *bbolt.Tx) error { need = tx.Size(); return nil }); err != nil {
		return errors.Join(err, db.Close())
	}
	if info, err := os.Stat(f.path); err != nil {
		return errors.Join(err, db.Close())
	} else if info.Size() < need {
		return errors.Join(&DamageError{What: fmt.Sprintf("it has %d bytes of %d", info.Size(), need)}, db.Close())
	}
	f.db, f.stale = db, false
	return nil
}

// check goes through the file's pages before bbolt does.
func (f *file) check() error {
	raw, err := os.Open(f.path)
	if err != nil {
		return err
	}
	info, err := raw.Stat()
	if err == nil {
		err = checkPages(raw, info.Size())
	}
	return errors.Join(err, raw.Close())
}

// openError tells apart why bbolt does not open a file.
func openError(path string, err error) error {
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return &connector.StopError{
			Code: connector.ExitStoreLocked, What: "the store is in use: " + path + " is locked by another process",
			Fix: "end what has that file open, a database browser perhaps",
		}
	}
	if _, system := errors.AsType[syscall.Errno](err); system || full(err) {
		return err
	}
	// All else is what bbolt says of a file that is none of its own.
	return &DamageError{What: "it is no store, or its head is gone (" + err.Error() + ")"}
}

// recoverDamage turns bbolt's panics on impossible pages, and the fault of reading behind a file's end, into an error.
func recoverDamage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			*err = &DamageError{What: fmt.Sprint(r)}
		}
	}
}

// explain puts the file's name into errors and picks their exit code.
func (f *file) explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*connector.StopError](err); ok {
		return err
	}
	if d, ok := errors.AsType[*DamageError](err); ok {
		if d.File == "" {
			d.File = f.path
		}
		return damaged(err)
	}
	if full(err) {
		return diskFull(f.path, err)
	}
	return fmt.Errorf("use the store %s: %w", f.path, err)
}

// acquire gives the open database with f.mu held for reading, after opening it again where that is due.
func (f *file) acquire() (*bbolt.DB, error) {
	f.mu.RLock()
	if f.stale && !f.closed {
		f.mu.RUnlock()
		f.mu.Lock()
		var err error
		if f.stale && !f.closed {
			err = f.reopen()
		}
		f.mu.Unlock()
		if err != nil {
			return nil, err
		}
		f.mu.RLock()
	}
	switch {
	case f.closed:
		f.mu.RUnlock()
		return nil, ErrClosed
	case f.broken != nil:
		f.mu.RUnlock()
		return nil, f.broken
	}
	return f.db, nil
}

// view runs fn on what was last committed. In a read-only file that does not exist fn is not called.
func (f *file) view(fn func(*bbolt.Tx) error) (err error) {
	defer func() { err = f.explain(err) }()
	db, err := f.acquire()
	if err != nil {
		return err
	}
	defer f.mu.RUnlock()
	if db == nil {
		return nil
	}
	defer recoverDamage(&err)()
	return db.View(fn)
}

// update runs fn and makes all it wrote durable, or nothing of it.
func (f *file) update(fn func(*bbolt.Tx) error) error {
	if f.readOnly {
		return fmt.Errorf("write %s: %w", f.path, ErrReadOnly)
	}
	db, err := f.acquire()
	if err != nil {
		return f.explain(err)
	}
	committing, err := commit(db, fn)
	f.mu.RUnlock()
	_, isDamage := errors.AsType[*DamageError](err)
	if err != nil && (committing || isDamage) {
		f.mu.Lock()
		if isDamage && committing {
			f.broken = err
		} else {
			f.stale = committing
		}
		f.mu.Unlock()
	}
	return f.explain(err)
}

// commit runs one transaction; committing tells that fn itself had succeeded, or panicked inside bbolt.
func commit(db *bbolt.DB, fn func(*bbolt.Tx) error) (committing bool, err error) {
	defer recoverDamage(&err)()
	tx, err := db.Begin(true)
	if err != nil {
		return false, err
	}
	// Nothing to do after a commit; after a panic the writer's lock must be given back, else closing the file hangs.
	defer func() { _ = tx.Rollback() }()
	committing = true
	if err = fn(tx); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

func (f *file) close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.db == nil || f.broken != nil {
		return nil
	}
	defer recoverDamage(&err)()
	return f.db.Close()
}

// size is the file's length in bytes, 0 where there is none.
func (f *file) size() int64 {
	info, err := os.Stat(f.path)
	if err != nil {
		return 0
	}
	return info.Size()
}
