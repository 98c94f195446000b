package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"brazecdc/connector/config"
)

// Access says who may use the pages. It may change while they are served.
type Access struct {
	// SignIn tells that somebody has to sign in. Once it was true it stays so until the server ends, whatever a file that is being edited says.
	SignIn bool
	// Users may sign in with a password.
	Users []config.WebUser
	// Proxy signs people in by a header, where its Header is set.
	Proxy config.WebProxy
	// Hosts are accepted in the Host header beside loopback.
	Hosts []string
}

// access is what holds now.
func (s *Server) access() Access {
	var a Access
	if s.cfg.Access != nil {
		a = s.cfg.Access()
	}
	if a.SignIn {
		s.locked.Store(true)
	}
	a.SignIn = s.locked.Load()
	return a
}

// user finds a name among those who may sign in.
func (a *Access) user(name string) (config.WebUser, bool) {
	i := slices.IndexFunc(a.Users, func(u config.WebUser) bool { return u.Name == name })
	if i < 0 {
		return config.WebUser{}, false
	}
	return a.Users[i], true
}

// roleNamed gives the role that a configuration or a proxy names: viewer where it names none that there is.
func roleNamed(name string) Role {
	if name == "editor" {
		return Editor
	}
	return Viewer
}

// hostAllowed tells whether a Host header names this listener: else any page in a browser could read it through a name of its own that resolves to an
// address here.
func (a *Access) hostAllowed(hostport string) bool {
	host := hostOf(hostport)
	if loopbackHost(host) {
		return true
	}
	return slices.ContainsFunc(a.Hosts, func(h string) bool { return strings.EqualFold(strings.Trim(h, "[]"), host) })
}

// hostOf is a Host header without port and brackets.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return strings.Trim(hostport, "[]")
	}
	return host
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// peer is the address a request came from.
func peer(hr *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(hr.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func within(ip netip.Addr, ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// client is the address of who asks: behind the proxy the last one that the proxy itself did not add.
func (a *Access) client(hr *http.Request) netip.Addr {
	ip := peer(hr)
	if !within(ip, a.Proxy.From) {
		return ip
	}
	hops := strings.Split(strings.Join(hr.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		at, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return ip
		}
		if ip = at.Unmap().WithZone(""); !within(ip, a.Proxy.From) {
			return ip
		}
	}
	return ip
}

// secure tells whether the browser speaks TLS, with this listener or with the proxy.
func (a *Access) secure(hr *http.Request) bool {
	return hr.TLS != nil || within(peer(hr), a.Proxy.From) && hr.Header.Get("X-Forwarded-Proto") == "https"
}

// maxName bounds the name that a proxy gives.
const maxName = 256

// proxied gives who the proxy signed in. A header that stands twice counts for nothing: one of them is the browser's own.
func (a *Access) proxied(hr *http.Request) (User, bool) {
	if a.Proxy.Header == "" || !within(peer(hr), a.Proxy.From) {
		return User{}, false
	}
	names := hr.Header.Values(a.Proxy.Header)
	if len(names) != 1 || names[0] == "" || len(names[0]) > maxName {
		return User{}, false
	}
	u := User{Name: names[0], Role: Viewer}
	if a.Proxy.RoleHeader != "" {
		if roles := hr.Header.Values(a.Proxy.RoleHeader); len(roles) == 1 {
			u.Role = roleNamed(roles[0])
		}
	} else if known, ok := a.user(u.Name); ok {
		u.Role = roleNamed(known.Role)
	}
	return u, true
}
