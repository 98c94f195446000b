//go:build unix

package throwaway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who the server runs as. switched is true when that is not who we are.
type account struct {
	name     string
	uid, gid int
	switched bool
}

// serverAccount is ourselves, or for root an account without rights, since PostgreSQL refuses to run as root.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, switched: true}, nil
		}
	}
	return account{}, errors.New("start PostgreSQL: it refuses to run as root, and there is neither an account postgres nor nobody to run it under; " +
		"create one (useradd --system postgres) or run this as another user")
}

// command is a command that runs under the account, in its own process group and with a plain environment: what a
// user's PG* or locale variables say must not change the server.
func (a account) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + filepath.Dir(path) + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = serverAttr()
	if a.switched {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

func (a account) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return a.own(dir)
}

func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// reaches reports whether the account may pass through path and all folders above it.
func (a account) reaches(path string) bool {
	if !a.switched {
		return true
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(path)
		if err != nil || !a.mayEnter(info) {
			return false
		}
		up := filepath.Dir(path)
		if up == path {
			return true
		}
		path = up
	}
}

func (a account) mayEnter(info fs.FileInfo) bool {
	perm := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case int(st.Uid) == a.uid:
			return perm&0o100 != 0
		case int(st.Gid) == a.gid:
			return perm&0o010 != 0
		}
	}
	return perm&0o001 != 0
}

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// lockOwner marks dir as in use for as long as this process lives and the file is open.
func lockOwner(dir string) (*os.File, error) {
	return lockFile(filepath.Join(dir, "owner"), true)
}

func hasLivingOwner(dir string) bool {
	f, err := lockFile(filepath.Join(dir, "owner"), false)
	if err != nil {
		return errors.Is(err, syscall.EWOULDBLOCK)
	}
	_ = f.Close()
	return false
}

// lockFile takes an exclusive lock on a file, waiting for it or not. Closing the file releases it.
func lockFile(path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
