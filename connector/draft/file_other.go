//go:build !unix

package draft

import (
	"io/fs"
	"os"
)

// lockFile gives no lock where the system has none that can be used: calls of one process still exclude each other.
func lockFile(string) (func(), error) { return func() {}, nil }

func sameOwner(*os.File, fs.FileInfo) error { return nil }

func writable(file string, exists bool) bool {
	if !exists {
		return true
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
