package state

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"brazecdc/connector"
)

// ErrReadOnly is what a write to a store gives that was opened with ReadOnly.
var ErrReadOnly = errors.New("the store was opened for reading only")

// ErrClosed is what a store gives after Close.
var ErrClosed = errors.New("the store is closed")

// DamageError names a value on disk that is not what was written. It never carries the value. The store gives it instead of the value, always.
type DamageError struct {
	File   string // the file
	Bucket string // the part of it, may be empty
	Key    string // in hexadecimal, may be empty
	What   string // how it shows
}

func (e *DamageError) Error() string {
	s := "the file " + e.File + " is damaged"
	if e.Bucket != "" {
		s += fmt.Sprintf(" in %q", e.Bucket)
	}
	if e.Key != "" {
		s += " at key " + e.Key
	}
	return s + ": " + e.What
}

// full tells whether an error says that a disk, a quota or a file's permitted size is exhausted. bbolt passes the errors of growing a file on as
// text only, so that the text is looked at too.
func full(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) {
			return true
		}
		if s := err.Error(); strings.HasPrefix(s, "file ") && strings.HasSuffix(s, ": "+no.Error()) {
			return true
		}
	}
	return false
}

func diskFull(path string, err error) error {
	return &connector.StopError{
		Code: connector.ExitDiskFull,
		What: "no space left to write " + path,
		Fix:  "free space on that volume or raise its quota, then start again; nothing was written by halves, and nothing is confirmed that is not recorded",
		Err:  err,
	}
}

func damaged(err error) error {
	return &connector.StopError{
		Code: connector.ExitStoreLocked,
		What: "the store cannot be used",
		Fix: "put the folder back from a backup, or move it away: without it the stream goes on from the slot's own position, " +
			"and deletes wait until they are confirmed",
		Err: err,
	}
}
