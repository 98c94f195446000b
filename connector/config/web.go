package config

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Web is the listener for the pages and, without Ops, for health and metrics.
type Web struct {
	// Listen is host:port; empty for none. Default 127.0.0.1:8080.
	Listen string
	// Hosts are names accepted in the Host header beside loopback. Default: none.
	Hosts []string
	// Stay keeps the listener up after a stop that a person has to mend. Default false.
	Stay bool
	// Users may sign in to the pages. Default: none; then loopback needs no sign-in and any other address is refused.
	Users []WebUser
	// Proxy is a reverse proxy that signs people in. Default: none.
	Proxy WebProxy
	// TLS is the listener's own certificate. Default: none.
	TLS WebTLS
	// Counts says whether the rule builder counts matching rows: auto or none. Default auto.
	Counts string
	// History says how long the outcomes of changes are kept.
	History WebHistory
	// SignIn tells that the file asks for a sign-in, by users or a proxy, also where what it says of them is at fault.
	SignIn bool
}

// WebUser is one person who may sign in.
type WebUser struct {
	Name string
	// Role is viewer or editor.
	Role string
	// Password is the hash in argon2id's own form, empty where a proxy signs this person in.
	Password Secret
}

// WebProxy is a reverse proxy in front of the pages.
type WebProxy struct {
	// Header is the request header with the name of who signed in; empty for no proxy.
	Header string
	// RoleHeader is the one with viewer or editor. Default empty: the role of the same name in Users, else viewer.
	RoleHeader string
	// From are the addresses the proxy speaks from; headers from elsewhere count for nothing.
	From []netip.Prefix
}

// WebTLS names PEM files; both empty for plain HTTP.
type WebTLS struct{ Cert, Key string }

// WebHistory bounds the outcomes that are kept for the pages of users.
type WebHistory struct {
	// Keep is how long. Default 7 days.
	Keep time.Duration
	// MaxSize in bytes. Default 256 MiB.
	MaxSize int64
	// Values says where values of rows are kept: memory (the newest) or disk. Default memory.
	Values string
}

// Ops is what machines and on-call people see: a listener of its own for health and metrics, and messages when something needs somebody.
type Ops struct {
	// Listen is host:port; empty for none. Default empty.
	Listen string
	// Token is asked for where they share a web.listen whose pages ask for a sign-in. Default empty.
	Token Secret
	// Webhook is told when the process begins to need somebody, and when it no longer does. Default: none.
	Webhook Webhook
}

// Webhook takes messages of the process' state as JSON.
type Webhook struct {
	// URL is https, or http on loopback; empty for none. Those of chat services are secrets themselves.
	URL Secret
	// Secret signs the messages (HMAC-SHA256 in X-Brazecdc-Signature). Default: none, they are not signed.
	Secret Secret
	// Pages is the address under which people reach the pages, for the links in messages. Default: web.listen.
	Pages string
}

func defaultWeb() Web {
	return Web{Listen: "127.0.0.1:8080", Counts: "auto", History: WebHistory{Keep: 7 * 24 * time.Hour, MaxSize: 256 << 20, Values: "memory"}}
}

func (d *decoder) listeners(root object, cfg *Config) {
	o := d.object(root.section("web"), "listen hosts stay users proxy tls counts history")
	d.webUsers(o, &cfg.Web)
	d.webProxy(o, &cfg.Web)
	d.webListen(o, &cfg.Web)
	for _, n := range o.texts("hosts", &cfg.Web.Hosts) {
		if strings.ContainsAny(n.value, "/: ") && !strings.Contains(n.value, "::") {
			d.bad(n, "is "+n.describe()+", not a host's name", "write the name alone, such as brazecdc.example.com")
		}
	}
	o.boolean("stay", &cfg.Web.Stay)
	o.enum("counts", &cfg.Web.Counts, "auto", "none")
	history := d.object(o.section("history"), "keep max_size values")
	history.duration("keep", &cfg.Web.History.Keep, time.Hour)
	history.size("max_size", &cfg.Web.History.MaxSize, 1<<20, 1<<40)
	history.enum("values", &cfg.Web.History.Values, "memory", "disk")
	ops := d.object(root.section("ops"), "listen token webhook")
	if n := ops.str("listen", &cfg.Ops.Listen); n != nil && cfg.Ops.Listen != "" {
		d.hostPort(n)
	}
	if n := ops.secret("token", &cfg.Ops.Token); n != nil && cfg.Ops.Token != "" {
		d.literalSecret(n)
		if len(cfg.Ops.Token) < 16 {
			d.warn(n, "is short enough to be guessed", "use 16 characters or more")
		}
	}
	if ops.has("webhook") {
		d.webhook(d.object(ops.section("webhook"), "url secret pages"), &cfg.Ops.Webhook)
	}
}

// webhook reads where messages go. Its address is not shown: that of a chat service is a secret.
func (d *decoder) webhook(o object, w *Webhook) {
	o.missing("url", "write the address that takes the messages, such as ${ALERTS_URL}")
	if n := o.secret("url", &w.URL); n != nil {
		before := len(d.faults)
		switch u, err := url.Parse(n.value); {
		case reference.MatchString(n.raw) && reference.FindString(n.raw) != strings.TrimSpace(n.raw):
			// A secret of something else could be sent along so.
			d.bad(n, "is an address with a reference in it", "write the whole address, or one reference that stands for all of it")
		case err != nil || u.Hostname() == "":
			d.bad(n, "is not a well-formed address", "write https://, the host and the path that takes the messages")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			d.bad(n, "would send messages in clear", "use https; http is for loopback only")
		case u.Scheme != "https" && u.Scheme != "http":
			d.bad(n, "is not an address of the web", "use https")
		}
		if len(d.faults) > before {
			w.URL = "" // a test of a draft with faults would go there all the same
		} else {
			d.literalSecret(n)
		}
	}
	if n := o.secret("secret", &w.Secret); n != nil && w.Secret != "" {
		d.literalSecret(n)
		if len(w.Secret) < 16 {
			d.warn(n, "is short enough to be guessed", "use 16 characters or more")
		}
	}
	if n := o.str("pages", &w.Pages); n != nil {
		if reference.MatchString(n.raw) {
			// It is sent along with each message, and what the reference stands for may be a secret of something else.
			d.bad(n, "is an address with a reference in it", "write the whole address; it is no secret")
			w.Pages = ""
		} else if u, err := url.Parse(w.Pages); err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			d.bad(n, "is "+n.describe()+", not an address", "write it as people type it, such as https://brazecdc.example.com")
		}
	}
}

// webListen reads the address and the certificate, and sees that nobody else's machine reaches the pages without a sign-in.
func (d *decoder) webListen(o object, w *Web) {
	listen := o.str("listen", &w.Listen)
	tls := d.object(o.section("tls"), "cert key")
	tls.str("cert", &w.TLS.Cert)
	tls.str("key", &w.TLS.Key)
	if (w.TLS.Cert == "") != (w.TLS.Key == "") {
		d.bad(o.n.child("tls"), "has one of cert and key", "give both, or neither")
	}
	if listen == nil || w.Listen == "" || !d.hostPort(listen) || loopbackAddress(w.Listen) {
		return
	}
	switch {
	case !w.SignIn:
		d.bad(listen, "is open to other machines without a sign-in", `listen on 127.0.0.1, or add people with "brazecdc user add NAME", or name the proxy that signs them in by web.proxy`)
	case w.TLS.Cert == "" && w.Proxy.Header == "" && len(w.Users) > 0:
		d.warn(listen, "is open to other machines without TLS: passwords can be read on the way", "set web.tls, or put a proxy with TLS in front")
	}
}

func (d *decoder) webUsers(o object, w *Web) {
	list := o.get("users")
	if list == nil {
		return
	}
	if list.kind != sequence {
		w.SignIn = true
		d.bad(list, "is "+list.describe(), `write a list; "brazecdc user add NAME" makes the first entry`)
		return
	}
	w.SignIn = len(list.items) > 0
	seen := map[string]bool{}
	for _, item := range list.items {
		if u, ok := d.webUser(item, o.has("proxy")); ok {
			if seen[u.Name] {
				d.bad(item, "has the name of another user", "give each user a name of their own")
				continue
			}
			seen[u.Name] = true
			w.Users = append(w.Users, u)
		}
	}
}

var userName = regexp.MustCompile(`^[^\s\pC/\\"']([^\pC/\\"']{0,62}[^\s\pC/\\"'])?$`)

// ValidUserName tells whether a name can be one of web.users.
func ValidUserName(name string) bool { return userName.MatchString(name) }

func (d *decoder) webUser(item *node, proxied bool) (u WebUser, ok bool) {
	faults := len(d.faults)
	o := d.object(item, "name role password")
	o.missing("name", "write the name to sign in with")
	o.missing("role", "write viewer or editor")
	if !proxied {
		o.missing("password", `let "brazecdc user passwd" write its hash`)
	}
	if n := o.str("name", &u.Name); n != nil && !userName.MatchString(u.Name) {
		d.bad(n, "is "+n.describe()+", not a name to sign in with", "write up to 64 characters without quotes, slashes and spaces around it")
	}
	o.enum("role", &u.Role, "viewer", "editor")
	if n := o.secret("password", &u.Password); n != nil {
		d.passwordHash(n)
	}
	return u, len(d.faults) == faults && u.Name != "" && u.Role != ""
}

var argon2id = regexp.MustCompile(`^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)

// passwordHash checks the form of a hash, and that trying a password costs neither too little nor what a process can't spare. The value is never shown.
func (d *decoder) passwordHash(n *node) {
	const fix = `let "brazecdc user passwd NAME" write it`
	m := argon2id.FindStringSubmatch(n.value)
	if m == nil {
		d.bad(n, "is not an argon2id hash", fix)
		return
	}
	memory, _ := strconv.Atoi(m[1]) // the pattern has digits only
	times, _ := strconv.Atoi(m[2])
	lanes, _ := strconv.Atoi(m[3])
	if memory < 8*lanes || memory > 256<<10 || times < 1 || times > 20 || lanes < 1 || lanes > 16 {
		d.bad(n, "is an argon2id hash whose cost is out of bounds", fix)
	}
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (d *decoder) webProxy(o object, w *Web) {
	if !o.has("proxy") {
		return
	}
	w.SignIn = true
	p := d.object(o.section("proxy"), "header role_header from")
	p.missing("header", "name the header that carries the user's name, such as X-Forwarded-User")
	p.missing("from", "list the proxy's addresses, such as [10.0.0.0/8]")
	for key, dst := range map[string]*string{"header": &w.Proxy.Header, "role_header": &w.Proxy.RoleHeader} {
		n := p.str(key, dst)
		if n == nil {
			continue
		}
		if !headerName.MatchString(*dst) {
			d.bad(n, "is "+n.describe()+", not the name of a header", "write a name such as X-Forwarded-User")
		}
		switch *dst = http.CanonicalHeaderKey(*dst); *dst {
		case "Authorization", "Cookie", "Host":
			d.bad(n, "is a header that browsers set themselves", "let the proxy set one of its own, such as X-Forwarded-User")
		}
	}
	var from []string
	nodes := p.texts("from", &from)
	for i, n := range nodes {
		prefix, err := netip.ParsePrefix(from[i])
		if addr, aerr := netip.ParseAddr(from[i]); err != nil && aerr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		switch {
		case err != nil:
			d.bad(n, "is "+n.describe()+", not a range of addresses", "write a range such as 10.0.0.0/8, or one address")
		case prefix.Bits() == 0:
			d.bad(n, "trusts everybody's headers", "list the proxy's own addresses")
		default:
			w.Proxy.From = append(w.Proxy.From, prefix.Masked())
		}
	}
	if f := p.n.child("from"); f != nil && f.kind == sequence && len(f.items) == 0 {
		d.bad(f, "is empty", "list the proxy's addresses, such as [10.0.0.0/8]")
	}
}
