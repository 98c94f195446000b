package config

import (
	"net/url"
	"slices"
	"strings"
)

// Instance is one of Braze's data centres. A key works on the one it was made on.
type Instance struct {
	Name      string // as Braze calls it, "EU-01"
	Dashboard string // address of the dashboard that belongs to it
	Host      string // of its REST API
}

// Endpoint is the instance's REST address, as braze.endpoint wants it.
func (i Instance) Endpoint() string { return "https://" + i.Host }

// Instances are Braze's data centres (Braze docs, "API overview").
func Instances() []Instance { return slices.Clone(instances) }

var instances = []Instance{
	{"US-01", "https://dashboard-01.braze.com", "rest.iad-01.braze.com"},
	{"US-02", "https://dashboard-02.braze.com", "rest.iad-02.braze.com"},
	{"US-03", "https://dashboard-03.braze.com", "rest.iad-03.braze.com"},
	{"US-04", "https://dashboard-04.braze.com", "rest.iad-04.braze.com"},
	{"US-05", "https://dashboard-05.braze.com", "rest.iad-05.braze.com"},
	{"US-06", "https://dashboard-06.braze.com", "rest.iad-06.braze.com"},
	{"US-07", "https://dashboard-07.braze.com", "rest.iad-07.braze.com"},
	{"US-08", "https://dashboard-08.braze.com", "rest.iad-08.braze.com"},
	{"US-10", "https://dashboard.us-10.braze.com", "rest.us-10.braze.com"},
	{"EU-01", "https://dashboard-01.braze.eu", "rest.fra-01.braze.eu"},
	{"EU-02", "https://dashboard-02.braze.eu", "rest.fra-02.braze.eu"},
	{"AU-01", "https://dashboard.au-01.braze.com", "rest.au-01.braze.com"},
	{"ID-01", "https://dashboard.id-01.braze.com", "rest.id-01.braze.com"},
	{"JP-01", "https://dashboard.jp-01.braze.com", "rest.jp-01.braze.com"},
	{"KR-01", "https://dashboard.kr-01.braze.com", "rest.kr-01.braze.com"},
}

// hosts are the hosts of all instances.
func hosts() []string {
	out := make([]string, len(instances))
	for i := range instances {
		out[i] = instances[i].Host
	}
	return out
}

// endpoint checks Braze's address and gives it without a trailing slash.
func (d *decoder) endpoint(n *node) string {
	const fix = "write scheme and host alone, such as https://rest.fra-01.braze.eu"
	u, err := url.Parse(n.value)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		d.bad(n, "is "+n.describe()+", not an address", fix)
		return ""
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.User != nil:
		d.addAt(n.place, n.path, n.path+" holds a name or password", fix)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		d.bad(n, "is "+n.describe()+", more than a host", fix)
	case u.Scheme == "http" && !loopback(host):
		d.bad(n, "is "+n.describe()+", which would send the key in clear", "use https; http is for loopback only")
	case u.Scheme != "https" && u.Scheme != "http":
		d.bad(n, "is "+n.describe(), "use https")
	case strings.HasPrefix(host, "sdk."):
		d.warn(n, "is the address for apps, not for REST calls", "write rest. in place of sdk.")
	case !loopback(host) && !slices.Contains(hosts(), host):
		fix := "look it up in Braze under Settings, APIs and identifiers"
		if near := nearest(host, hosts()); near != "" {
			fix = "did you mean https://" + near + "?"
		}
		d.warn(n, "is "+n.describe()+", none of Braze's known instances", fix)
	}
	return u.Scheme + "://" + u.Host
}

func (d *decoder) apiKey(n *node) {
	switch {
	case n.value == "":
		d.bad(n, "is empty", "write ${BRAZE_API_KEY} and set that variable")
	case strings.ContainsFunc(n.value, func(r rune) bool { return r <= ' ' || r > '~' }):
		// What the key holds is not shown.
		d.bad(n, "holds white space or characters that no key has", "copy the key again")
	default:
		d.literalSecret(n)
	}
}

// databaseURL checks the form of a database address without showing it.
func (d *decoder) databaseURL(n *node) {
	const fix = "write postgres://user@host:5432/database, or host=... user=... dbname=..."
	scheme, _, isURL := strings.Cut(n.value, "://")
	switch {
	case n.value == "":
		d.bad(n, "is empty", fix)
		return
	case isURL && !strings.Contains(scheme, "="):
		if scheme != "postgres" && scheme != "postgresql" {
			d.bad(n, "is not the address of a Postgres database", fix)
			return
		}
		if _, err := url.Parse(n.value); err != nil && !strings.Contains(n.value, ",") {
			d.bad(n, "is not a well-formed address", "percent-encode special characters of the password")
			return
		}
	case !strings.Contains(n.value, "="):
		d.bad(n, "is not the address of a Postgres database", fix)
		return
	}
	if literalPassword(n.raw) {
		d.warn(n, "holds a password as it is", "write ${DATABASE_URL}, or keep the password in PGPASSWORD or a password file")
	}
}
