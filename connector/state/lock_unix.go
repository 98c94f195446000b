//go:build unix

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"brazecdc/connector"
)

// folderLock is held on the file `lock` of a folder for as long as a store of it is open. It ends with the process, however that ends.
type folderLock struct{ f *os.File }

// lockFolder takes the folder for writing, or for reading beside other readers. Reading a folder that was never written needs no lock: it gives nil.
func lockFolder(path string, shared bool) (*folderLock, error) {
	flag, how := os.O_RDWR|os.O_CREATE, syscall.LOCK_EX
	if shared {
		flag, how = os.O_RDONLY, syscall.LOCK_SH
	}
	f, err := os.OpenFile(path, flag, 0o600)
	if shared && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		if full(err) {
			return nil, diskFull(path, err)
		}
		return nil, fmt.Errorf("open the lock of the store: %w", err)
	}
	if err = flock(f, how|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 64)
		n, _ := f.ReadAt(holder, 0)
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		what := "the store is in use: " + path + " is locked by another process"
		if pid := strings.TrimSpace(string(holder[:n])); pid != "" {
			what += " (process " + pid + ", unless it only reads)"
		}
		return nil, &connector.StopError{
			Code: connector.ExitStoreLocked, What: what,
			Fix: "stop that process, or let this one ask it over the control socket; two jobs need a folder each",
		}
	}
	if !shared {
		// Only the message of the next one refused reads this, so that a full disk is no reason to stop here.
		if f.Truncate(0) == nil {
			_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
		}
	}
	return &folderLock{f}, nil
}

// flock repeats the call where a signal interrupted it.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (l *folderLock) release() {
	if l != nil {
		l.f.Close()
	}
}

// unlock gives up whatever lock a file has, also where a mapping keeps it open.
func unlock(f *os.File) { _ = flock(f, syscall.LOCK_UN) }
