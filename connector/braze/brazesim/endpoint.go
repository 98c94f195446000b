package brazesim

import (
	"net/http"
	"net/url"
	"sync"
	"time"
)

// endpoint is one path of the API.
type endpoint struct {
	method string
	path   string
	pool   string // endpoints of one pool share a rate limit
	limit  Limit
	parse  func(s *Server, body []byte) (effect, *reply)
	query  func(s *Server, q url.Values) (effect, *reply)
}

// endpoints lists what the simulator serves, with the limits of Braze docs, Rate limits.
var endpoints = sync.OnceValue(func() map[string]*endpoint {
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
	}
	out := make(map[string]*endpoint, len(list))
	for _, e := range list {
		if e.method == "" {
			e.method = http.MethodPost
		}
		out[e.path] = e
	}
	return out
})

// endpointOf returns nil for paths that Braze does not have; a trailing slash is one of them.
func endpointOf(path string) *endpoint { return endpoints()[path] }
