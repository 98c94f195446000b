package throwaway

import "syscall"

// procAttr makes a process end with its starter, and keeps the terminal's Ctrl-C from it.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func guardAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
