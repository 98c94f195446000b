package throwaway

import "syscall"

// serverAttr makes the server end with its starter: SIGQUIT is the immediate shutdown, which no client can hold up.
// The Go runtime sets the signal after it changed the account, which would have cleared it.
func serverAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}
