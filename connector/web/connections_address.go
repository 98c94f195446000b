package web

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// address is a Postgres address taken apart. What stands for a secret stays a reference.
type address struct {
	Whole    string // a reference to the whole address: the rest is not known
	User     string
	Password string // a reference, or the password itself as it was typed
	Host     string
	Port     string
	Database string
	TLS      string // sslmode
	Params   url.Values
}

var (
	anyReference   = regexp.MustCompile(`\$\{[^{}]*\}`)
	wholeReference = regexp.MustCompile(`^\$\{(file:[^{}]+|[A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// Reasons why an address is not understood; texts of the catalogue.
var (
	errAddressForm = errors.New("connections.wrong.address")
	errAddressPort = errors.New("connections.wrong.port")
)

// parseAddress takes an address apart: a URL, a string of keywords as libpq takes it, or a reference to one.
func parseAddress(raw string) (address, error) {
	raw = strings.TrimSpace(raw)
	if wholeReference.MatchString(raw) {
		return address{Whole: raw}, nil
	}
	var refs []string
	plain := anyReference.ReplaceAllStringFunc(raw, func(ref string) string {
		refs = append(refs, ref)
		return placeholder(len(refs) - 1)
	})
	back := func(s string) string {
		for i, ref := range refs {
			s = strings.ReplaceAll(s, placeholder(i), ref)
		}
		return s
	}
	u, err := url.Parse(plain)
	switch {
	case err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql"):
	case err == nil && u.Scheme == "" && strings.Contains(plain, "="):
		u, err = keywords(plain)
		if err != nil {
			return address{}, err
		}
	default:
		return address{}, errAddressForm
	}
	a := address{Host: back(u.Hostname()), Port: back(u.Port()), Database: back(strings.TrimPrefix(u.Path, "/")), Params: u.Query()}
	if u.User != nil {
		pw, _ := u.User.Password()
		a.User, a.Password = back(u.User.Username()), back(pw)
	}
	for key, into := range map[string]*string{"user": &a.User, "password": &a.Password, "host": &a.Host, "port": &a.Port, "dbname": &a.Database, "sslmode": &a.TLS} {
		if v := a.Params.Get(key); v != "" {
			*into = back(v)
		}
		a.Params.Del(key)
	}
	if a.Host == "" || strings.Contains(a.Host, ",") {
		return a, errAddressForm
	}
	return a, nil
}

func placeholder(i int) string { return "brazecdc-reference-" + strconv.Itoa(i) + "-" }

var keyword = regexp.MustCompile(`(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']\S*)`)

// keywords reads "host=… user=… password=…".
func keywords(text string) (*url.URL, error) {
	if strings.TrimSpace(keyword.ReplaceAllString(text, "")) != "" {
		return nil, errAddressForm
	}
	q := url.Values{}
	for _, m := range keyword.FindAllStringSubmatch(text, -1) {
		v := m[2]
		if strings.HasPrefix(v, "'") {
			v = strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(v[1 : len(v)-1])
		}
		q.Set(m[1], v)
	}
	return &url.URL{RawQuery: q.Encode()}, nil
}

// escape writes a part of an address; a $ could be read as the start of a reference.
func escape(s string) string {
	return strings.NewReplacer("$", "%24", "+", "%20").Replace(url.QueryEscape(s))
}

// String is the address as the configuration takes it. The password must be a reference, or empty.
func (a *address) String() string {
	if a.Whole != "" {
		return a.Whole
	}
	host := a.Host
	switch {
	case a.Port != "":
		host = net.JoinHostPort(a.Host, a.Port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	s := "postgres://" + escape(a.User)
	if a.Password != "" {
		s += ":" + a.Password
	}
	s += "@" + host + "/" + escape(a.Database)
	params := url.Values{}
	for k, v := range a.Params {
		params[k] = v
	}
	if a.TLS != "" {
		params.Set("sslmode", a.TLS)
	}
	if len(params) > 0 {
		s += "?" + strings.ReplaceAll(params.Encode(), "$", "%24")
	}
	return s
}

// sameHost tells whether a secret for a may go to b.
func (a *address) sameHost(b *address) bool {
	port := func(p string) string {
		if p == "" {
			return "5432"
		}
		return p
	}
	return a.Whole == b.Whole && strings.EqualFold(a.Host, b.Host) && port(a.Port) == port(b.Port)
}

// fault is the key of what is wrong with an address that was put together from parts, and the part.
func (a *address) fault() (field, key string) {
	if a.Whole != "" {
		return "", ""
	}
	switch {
	case a.Host == "" || strings.ContainsAny(a.Host, "/@?# \t\r\n$,"):
		return "host", "connections.wrong.host"
	case a.Database == "":
		return "database", "connections.wrong.database"
	case a.User == "":
		return "user", "connections.wrong.user"
	}
	if a.Port != "" {
		if n, err := strconv.ParseUint(a.Port, 10, 16); err != nil || n == 0 {
			return "port", errAddressPort.Error()
		}
	}
	return "", ""
}
