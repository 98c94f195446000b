//go:build unix && !linux

package state

import "errors"

func mountTmpfs(string, int) error { return errors.ErrUnsupported }
