//go:build unix && !linux

package throwaway

import "syscall"

// procAttr keeps the terminal's Ctrl-C from a process. There is no parent-death signal here; the guard stands in.
func procAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func guardAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
