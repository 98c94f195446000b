package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// rewriteStep is how many bytes of a file are copied in one transaction.
const rewriteStep = 4 << 20

// rewrite copies what the file holds into a new one that takes its place, so that nothing of what was deleted is left in it. Others wait meanwhile. After an
// error the file is as it was.
func (f *file) rewrite() (err error) {
	if f.readOnly {
		return fmt.Errorf("write %s: %w", f.path, ErrReadOnly)
	}
	defer func() { err = f.explain(err) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return ErrClosed
	case f.broken != nil:
		return f.broken
	}
	if f.stale || f.db == nil {
		if err := f.reopen(); err != nil {
			return err
		}
	}
	tmp := f.path + ".new"
	if err = os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = f.copyTo(tmp); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err = os.Rename(tmp, f.path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	f.stale = true // what is open is the old file
	if err = syncFolder(filepath.Dir(f.path)); err != nil {
		return err
	}
	return f.reopen()
}

func (f *file) copyTo(path string) (err error) {
	defer recoverDamage(&err)()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = bbolt.Compact(db, f.db, rewriteStep)
	return errors.Join(err, db.Close())
}
