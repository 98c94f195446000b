//go:build !unix

package control

import "net"

// listen opens the socket; the folder's own access rights guard it.
func listen(path string) (net.Listener, error) { return net.Listen("unix", path) }
