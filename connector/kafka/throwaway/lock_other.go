//go:build !unix

package throwaway

import "errors"

func lock(string) (func(), error) {
	return nil, errors.New("start a throw-away broker: this needs Linux, macOS or another Unix")
}
