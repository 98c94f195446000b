package brazesim

import (
	"encoding/json"
	"time"
)

// idError is one entry of rename_errors or removal_errors. The documentation promises the index; the other keys help to read it.
type idError struct {
	Index      int    `json:"index"`
	ExternalID string `json:"external_id"`
	Message    string `json:"message"`
}

// rename is a parsed /users/external_ids/rename call. Which pairs go is decided at the answer; they take effect later, like everything, and a
// pair whose ids changed meanwhile does nothing.
type rename struct {
	pairs []renamePair
}

type renamePair struct {
	from, to string
	bad      string
	old, new *record
}

func (r *rename) class() class { return classWrite }

func (r *rename) register(s *Server, c *call) {
	for i := range r.pairs {
		if p := &r.pairs[i]; p.bad == "" {
			p.old, p.new = s.external([]byte(p.from)), s.external([]byte(p.to))
			s.open(c, p.old)
			s.open(c, p.new)
		}
	}
}

// refused says why a pair cannot be renamed now: the current id must be primary, the new one neither primary nor deprecated.
func (p *renamePair) refused() string {
	switch {
	case p.bad != "":
		return p.bad
	case p.old.prof == nil:
		return "current_external_id is unknown"
	case p.old.deprecated:
		return "current_external_id is deprecated, only a primary external_id can be renamed"
	case p.new.prof != nil && p.new.deprecated:
		return "new_external_id is already in use as a deprecated external_id"
	case p.new.prof != nil:
		return "new_external_id is already in use"
	}
	return ""
}

// touches tells whether a pair that was not refused has the user: a refused one takes no effect, so nothing can come before or after it.
func (r *rename) touches(rec *record) bool {
	for i := range r.pairs {
		if p := &r.pairs[i]; p.bad == "" && (p.old == rec || p.new == rec) {
			return true
		}
	}
	return false
}

func (r *rename) answer(s *Server, c *call) *reply {
	done, failed := []string{}, []idError{}
	taken := map[string]bool{} // within this call
	for i := range r.pairs {
		p := &r.pairs[i]
		p.bad = p.refused()
		if p.bad == "" && (taken[p.from] || taken[p.to]) {
			p.bad = "an external_id of this pair is used by another pair of the request"
		}
		if p.bad != "" {
			failed = append(failed, idError{i, p.from, p.bad})
			continue
		}
		taken[p.from], taken[p.to] = true, true
		done = append(done, p.to)
	}
	c.objects, c.refused = len(done), len(failed)
	return idReply("external_ids", done, "rename_errors", failed)
}

func idReply(doneKey string, done []string, failedKey string, failed []idError) *reply {
	body, err := json.Marshal(map[string]any{"message": "success", doneKey: done, failedKey: failed})
	if err != nil {
		return refusal(500, err.Error())
	}
	return &reply{status: 201, body: body}
}

func (r *rename) apply(s *Server, at time.Time) int {
	for i := range r.pairs {
		p := &r.pairs[i]
		if p.refused() != "" {
			continue
		}
		prof := p.old.prof
		prof.rec, prof.updated = p.new, at.UnixNano()
		p.new.prof, p.new.deprecated = prof, false
		p.old.deprecated = true
		prof.extra().deprecated = append(prof.extra().deprecated, p.old)
		s.counters.Renamed++
	}
	return 0
}

// parseRename reads /users/external_ids/rename (Braze docs, Rename external ID).
func parseRename(_ *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	list := n.get("external_id_renames")
	switch {
	case list == nil || list.kind != kindArray || len(list.kids) == 0:
		return nil, refusal(400, "'external_id_renames' must be a non-empty array")
	case len(list.kids) > maxIDs:
		return nil, refusal(400, tooManyIDs)
	}
	r := new(rename)
	for _, item := range list.kids {
		var p renamePair
		var ok1, ok2 bool
		p.from, ok1 = item.get("current_external_id").str()
		p.to, ok2 = item.get("new_external_id").str()
		switch {
		case !ok1 || !ok2 || p.from == "" || p.to == "":
			p.bad = "current_external_id and new_external_id must be non-empty strings"
		case len(p.to) > maxExternalID:
			p.bad = "new_external_id is longer than 987 bytes"
		case p.from == p.to:
			p.bad = "current_external_id and new_external_id must differ"
		}
		r.pairs = append(r.pairs, p)
	}
	return r, nil
}

// removal is a parsed /users/external_ids/remove call.
type removal struct {
	ids  []string
	recs []*record
	ok   []bool
}

func (r *removal) class() class { return classWrite }

func (r *removal) register(s *Server, c *call) {
	for i, id := range r.ids {
		r.recs[i] = s.external([]byte(id))
		s.open(c, r.recs[i])
	}
}

func (r *removal) answer(s *Server, c *call) *reply {
	done, failed := []string{}, []idError{}
	for i, rec := range r.recs {
		switch {
		case rec.prof == nil:
			failed = append(failed, idError{i, rec.id, "external_id is unknown"})
		case !rec.deprecated:
			failed = append(failed, idError{i, rec.id, "external_id is primary, only a deprecated external_id can be removed"})
		default:
			r.ok[i] = true
			done = append(done, rec.id)
		}
	}
	c.objects, c.refused = len(done), len(failed)
	return idReply("removed_ids", done, "removal_errors", failed)
}

func (r *removal) apply(_ *Server, _ time.Time) int {
	for i, rec := range r.recs {
		if !r.ok[i] || rec.prof == nil || !rec.deprecated {
			continue
		}
		list := rec.prof.more.deprecated
		for j := range list {
			if list[j] == rec {
				rec.prof.more.deprecated = append(list[:j], list[j+1:]...)
				break
			}
		}
		rec.prof, rec.deprecated = nil, false
	}
	return 0
}

// parseRemove reads /users/external_ids/remove (Braze docs, Remove external ID).
func parseRemove(_ *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	ids, ok := n.get("external_ids").strings()
	switch {
	case !ok || len(ids) == 0:
		return nil, refusal(400, "'external_ids' must be a non-empty array of strings")
	case len(ids) > maxIDs:
		return nil, refusal(400, tooManyIDs)
	}
	return &removal{ids: ids, recs: make([]*record, len(ids)), ok: make([]bool, len(ids))}, nil
}
