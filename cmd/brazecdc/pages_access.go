package main

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

// accessFresh is how old what is known of the file may be: a user who is removed, or whose password changes, is out within this time.
const accessFresh = time.Second

// pageAccess reads from the configuration's file who may use the pages, again where it changed: also beside a process that goes on with the file as it
// was, and from a file with faults elsewhere. It may be used concurrently.
type pageAccess struct {
	file string
	log  *slog.Logger

	mu     sync.Mutex
	looked time.Time
	read   fs.FileInfo // of the content that is known
	known  web.Access
	own    string // the host that the listener is on, where it is one address
}

// now gives who may use the pages.
func (a *pageAccess) now() web.Access {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.looked) >= accessFresh {
		a.looked = time.Now()
		a.look()
	}
	return a.known
}

// look reads the file where it changed. A file that can't be read or understood changes nothing, except that it can't open what is closed.
func (a *pageAccess) look() {
	info, err := os.Stat(a.file)
	if err != nil || a.read != nil && info.ModTime().Equal(a.read.ModTime()) && info.Size() == a.read.Size() && os.SameFile(info, a.read) {
		return
	}
	text, err := config.ReadFile(a.file)
	if err != nil {
		return
	}
	a.read = info
	cfg, _ := config.Partial(a.file, text, os.LookupEnv, config.SecretFiles(a.file))
	if cfg == nil {
		if !a.known.SignIn && bytes.Contains(text, []byte("argon2id")) {
			a.log.Warn("the configuration is no YAML and names users: nobody can sign in to the pages until it is mended", "component", "web")
			a.known.SignIn = true
		}
		return
	}
	a.known = web.Access{SignIn: cfg.Web.SignIn, Users: cfg.Web.Users, Proxy: cfg.Web.Proxy, Hosts: cfg.Web.Hosts}
	if a.own != "" {
		a.known.Hosts = append([]string{a.own}, a.known.Hosts...)
	}
}

// newPageAccess looks at the file for the pages on an address.
func newPageAccess(file, addr string, log *slog.Logger) *pageAccess {
	a := &pageAccess{file: file, log: log}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
			a.own = host
		}
	}
	return a
}

// guardOps asks for a sign-in or the token before what tells how the process is doing, where other machines reach the listener, or somebody has to sign in to the
// pages: then a proxy on this machine may stand before a loopback listener, and nothing in a request tells one that it made of somebody else's. /livez and
// /readyz stay open.
func guardOps(addr net.Addr, pages *web.Server, token config.Secret, next http.Handler) http.Handler {
	local := isLoopback(addr.String())
	unsigned := guardHost(addr, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !pages.AsksSignIn() {
			unsigned.ServeHTTP(w, r)
			return
		}
		if local && !pages.HostAllowed(r) {
			http.Error(w, "this listener answers requests to localhost and to the names in web.hosts only", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		open := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
		if !open && !hasToken(r, token) && !pages.SignedIn(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "sign in to the pages first, or send ops.token as a bearer token; on an ops.listen of its own this is open", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hasToken(r *http.Request, token config.Secret) bool {
	sent, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && token != "" && subtle.ConstantTimeCompare([]byte(sent), []byte(token.Reveal())) == 1
}

// certificate is a listener's own, read again where its files changed, so that a renewed one needs no restart.
type certificate struct {
	files config.WebTLS
	log   *slog.Logger

	mu   sync.Mutex
	at   time.Time // of the newer file
	pair *tls.Certificate
}

// serverTLS gives the settings of a listener with web.tls, nil without.
func (p *program) serverTLS(files config.WebTLS, log *slog.Logger) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil
	}
	c := &certificate{files: config.WebTLS{Cert: p.beside(files.Cert), Key: p.beside(files.Key)}, log: log}
	if err := c.load(); err != nil {
		return nil, &connector.StopError{Code: connector.ExitConfig, What: "read the certificate of web.tls", Err: err, Fix: "name PEM files with a certificate and its key"}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get}, nil
}

func (c *certificate) changed() time.Time {
	var at time.Time
	for _, name := range []string{c.files.Cert, c.files.Key} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at
}

func (c *certificate) load() error {
	at := c.changed()
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("web.tls: %w", err)
	}
	c.pair, c.at = &pair, at
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.changed(); at.After(c.at) {
		if err := c.load(); err != nil {
			c.at = at // half written, or wrong: the old one goes on
			c.log.Warn("the new certificate can't be used; the old one stays", "component", "web", "err", err)
		}
	}
	return c.pair, nil
}
