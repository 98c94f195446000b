package postgres

import (
	"errors"
	"syscall"
	"time"
)

// unansweredFor is how long sent bytes may stay without an acknowledgement. Keep-alives do not run while some are, and the kernel's own patience is a
// quarter of an hour.
const unansweredFor = time.Minute

// tcpUserTimeout is TCP_USER_TIMEOUT (Linux, tcp(7)), which package syscall does not name.
const tcpUserTimeout = 0x12

func dialControl(network, _ string, c syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return nil
	}
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unansweredFor.Milliseconds()))
	})
	return errors.Join(cerr, err)
}
