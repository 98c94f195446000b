package web

import (
	"net/url"
	"sync"

	"brazecdc/connector"
)

// userRefs remembers, for a bounded number of opaque references in URLs, which users they stand for. It may be used concurrently.
type userRefs struct {
	mu    sync.Mutex
	of    map[string]connector.User
	order []string // oldest first
}

const maxUserRefs = 5000

func (u *userRefs) put(ref string, user connector.User) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]connector.User{}
	}
	if _, ok := u.of[ref]; !ok {
		u.order = append(u.order, ref)
		if len(u.order) > maxUserRefs {
			delete(u.of, u.order[0])
			u.order = u.order[1:]
		}
	}
	u.of[ref] = user
}

func (u *userRefs) get(ref string) (connector.User, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	user, ok := u.of[ref]
	return user, ok
}

// urlPart writes a text, such as a model's name, as one part of a path.
func urlPart(s string) string { return url.PathEscape(s) }
