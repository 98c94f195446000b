//go:build unix

package control

import (
	"context"
	"net"
	"os"
	"syscall"
)

// listen opens a socket that only the process' own user may connect to. On Linux the mode of the descriptor before bind becomes the file's mode, so
// that there is no moment in which it is open wider; elsewhere that call is refused and the mode is set right after.
func listen(path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
