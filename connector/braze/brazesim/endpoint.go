package brazesim

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// endpoint is one call of the API.
type endpoint struct {
	method string
	path   string
	key    string // what statistics call it: its path, with the method before it where the path has several
	pool   string // endpoints of one pool share a rate limit
	limit  Limit
	parse  func(s *Server, body []byte) (effect, *reply)
	query  func(s *Server, q url.Values) (effect, *reply)
	items  func(s *Server, catalog string, body []byte) (effect, *reply)
}

const itemsPath = "/catalogs/{catalog}/items"

// endpoints lists what the simulator serves, with the limits of Braze docs, Rate limits.
var endpoints = sync.OnceValue(func() map[string][]*endpoint {
	lifecycle := Limit{20000, time.Minute}
	list := []*endpoint{
		{path: "/users/track", pool: "track", limit: Limit{3000, 3 * time.Second}, parse: parseTrack},
		{path: "/users/delete", pool: "lifecycle", limit: lifecycle, parse: parseDelete},
		{path: "/users/alias/new", pool: "lifecycle", limit: lifecycle, parse: parseAlias},
		{path: "/users/identify", pool: "lifecycle", limit: lifecycle, parse: parseIdentify},
		{path: "/users/external_ids/rename", pool: "rename", limit: Limit{1000, time.Minute}, parse: parseRename},
		{path: "/users/external_ids/remove", pool: "remove", limit: Limit{1000, time.Minute}, parse: parseRemove},
		{path: "/users/export/ids", pool: "export", limit: Limit{2500, time.Minute}, parse: parseExport},
		{path: "/subscription/status/set", pool: "subscription", limit: Limit{5000, time.Minute}, parse: parseStatus},
		{path: "/v2/subscription/status/set", pool: "subscription", limit: Limit{5000, time.Minute}, parse: parseStatusV2},
		{method: http.MethodGet, path: "/custom_attributes", pool: "schema", limit: Limit{1000, time.Hour}, query: querySchema},
		{path: "/catalogs", pool: "catalogs", limit: Limit{50, time.Minute}, parse: parseCatalogs},
		{method: http.MethodGet, path: "/catalogs", pool: "catalogs", limit: Limit{50, time.Minute}, query: queryCatalogs},
		{method: http.MethodPut, path: itemsPath, pool: "items", limit: Limit{16000, time.Minute}, items: parsePutItems},
		{method: http.MethodDelete, path: itemsPath, pool: "items", limit: Limit{16000, time.Minute}, items: parseDeleteItems},
	}
	out := make(map[string][]*endpoint, len(list))
	for _, e := range list {
		if e.method == "" {
			e.method = http.MethodPost
		}
		out[e.path] = append(out[e.path], e)
	}
	for path, all := range out {
		for _, e := range all {
			if e.key = path; len(all) > 1 {
				e.key = e.method + " " + path
			}
		}
	}
	return out
})

// endpointsAt returns what is served at a path, by whatever method; nothing for paths that Braze does not have, a trailing slash being one of them.
func endpointsAt(path string) []*endpoint {
	if catalogIn(path) != "" {
		path = itemsPath
	}
	return endpoints()[path]
}

// endpointOf returns nil for what Braze does not have.
func endpointOf(method, path string) *endpoint {
	for _, e := range endpointsAt(path) {
		if e.method == method {
			return e
		}
	}
	return nil
}

// catalogIn gives the catalog's name in a path of its items, else "".
func catalogIn(path string) string {
	rest, ok := strings.CutPrefix(path, "/catalogs/")
	name, isItems := strings.CutSuffix(rest, "/items")
	if !ok || !isItems || strings.Contains(name, "/") {
		return ""
	}
	return name
}
