//go:build !linux

package postgres

import "syscall"

var dialControl func(network, address string, c syscall.RawConn) error // nil: the system's own patience holds
