//go:build unix

package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile takes the lock at path, waiting for whoever has it, and gives the way to release it.
func lockFile(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the pages: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the folder of the pages: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// sameOwner gives the file the owner of another, where the process may.
func sameOwner(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if is, ok := now.Sys().(*syscall.Stat_t); ok && is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// writable tells whether the file may be replaced: itself and its folder. A file that nobody may write is not replaced by root either, who could.
func writable(file string, exists bool) bool {
	const write = 2
	if exists {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o222 == 0 || syscall.Access(file, write) != nil {
			return false
		}
	}
	return syscall.Access(filepath.Dir(file), write) == nil
}
