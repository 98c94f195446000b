//go:build unix && !linux

package throwaway

import "syscall"

// serverAttr keeps the terminal's Ctrl-C from the server. There is no parent-death signal here; the guard stands in.
func serverAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
