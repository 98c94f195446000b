//go:build !unix

package throwaway

import "syscall"

func procAttr() *syscall.SysProcAttr  { return nil }
func guardAttr() *syscall.SysProcAttr { return nil }
