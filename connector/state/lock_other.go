//go:build !unix

package state

import (
	"errors"
	"os"
)

// folderLock stands for a lock that this system cannot give: without one a second process could confirm what the first has not sent.
type folderLock struct{}

func lockFolder(string, bool) (*folderLock, error) {
	return nil, errors.New("this operating system has no advisory file locks that the store can use; run it on Linux, macOS or a BSD")
}

func (l *folderLock) release() {}

func unlock(*os.File) {}
