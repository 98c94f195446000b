package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// replaceFile writes a file so that a crash leaves the old or the new one whole: a temporary file beside it, synced, renamed. like gives the new file its
// mode and owner; nil means 0600.
func replaceFile(path string, data []byte, like fs.FileInfo) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary(path)+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if like != nil {
		if err := f.Chmod(like.Mode().Perm()); err != nil {
			return err
		}
		if err := sameOwner(f, like); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

func temporary(path string) string { return "." + filepath.Base(path) + ".new-" }

// sweep removes temporary files that a crash left behind. The folder is locked, so nobody is writing one.
func (s *Store) sweep() {
	for _, path := range []string{s.file, s.draftFile()} {
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			continue // what can't be read is told when it is needed
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), temporary(path)) && e.Type().IsRegular() {
				_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
			}
		}
	}
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}
