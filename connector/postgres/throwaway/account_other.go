//go:build !unix

package throwaway

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

type account struct {
	name     string
	switched bool
}

var errNoUnix = errors.New("start a throw-away PostgreSQL: this needs Linux, macOS or another Unix")

func serverAccount() (account, error) { return account{}, errNoUnix }

func (account) command(path string, args ...string) *exec.Cmd { return exec.Command(path, args...) }
func (account) mkdir(dir string) error                        { return os.Mkdir(dir, 0o700) }
func (account) own(string) error                              { return nil }
func (account) reaches(string) bool                           { return true }

func ownGroup() *syscall.SysProcAttr          { return nil }
func ownedByUs(fs.FileInfo) bool              { return false }
func lockOwner(string) (*os.File, error)      { return nil, errNoUnix }
func hasLivingOwner(string) bool              { return true }
func lockFile(string, bool) (*os.File, error) { return nil, errNoUnix }
