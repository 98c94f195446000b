package brazesim

import (
	"strconv"
	"time"
)

// aliasing is a parsed call of /users/alias/new or /users/identify: aliases, each with an external_id or none.
type aliasing struct {
	identify bool
	pairs    []aliasPair
}

type aliasPair struct {
	alias, user target // user.h.a is empty for an alias without external_id
}

func (a *aliasing) class() class { return classWrite }

func (a *aliasing) register(s *Server, c *call) {
	for i := range a.pairs {
		a.pairs[i].alias.resolve(s, c)
		if a.pairs[i].user.h.a != "" {
			a.pairs[i].user.resolve(s, c)
		}
	}
}

func (a *aliasing) answer(_ *Server, c *call) *reply {
	c.objects = len(a.pairs)
	body := `{"aliases_processed":` + strconv.Itoa(len(a.pairs)) + `,"message":"success"}`
	return &reply{status: 201, body: []byte(body)}
}

func (a *aliasing) apply(s *Server, at time.Time) int {
	for _, p := range a.pairs {
		switch {
		case a.identify:
			s.identifyAlias(p, at)
		case p.user.rec == nil:
			if p.alias.rec.prof == nil {
				s.create(idAlias, p.alias.rec, p.alias.h, at)
			}
		default:
			s.addAlias(p.user.rec.prof, p.alias)
		}
	}
	return 0
}

// addAlias gives a profile an alias; an unknown user, a used name or a used label changes nothing (Braze docs, User alias object).
func (s *Server) addAlias(p *profile, t target) {
	if p == nil || t.rec.prof != nil || p.hasLabel(t.h.b) {
		s.ignored[reasonUnknownUser]++
		return
	}
	t.rec.prof = p
	p.extra().aliases = append(p.extra().aliases, t.h)
}

func (p *profile) hasLabel(label string) bool {
	if p.more == nil {
		return false
	}
	for _, h := range p.more.aliases {
		if h.b == label {
			return true
		}
	}
	return false
}

// identifyAlias gives an alias-only profile an external_id, or merges it into the profile that has it: fields found only on the anonymous
// profile move, then that profile goes (Braze docs, Identify users).
func (s *Server) identifyAlias(pair aliasPair, at time.Time) {
	anon, to := pair.alias.rec.prof, pair.user.rec
	if anon == nil || anon.rec != nil {
		s.ignored[reasonUnknownUser]++
		return
	}
	if to.prof == nil {
		anon.rec, to.prof, to.deprecated, anon.updated = to, anon, false, at.UnixNano()
		return
	}
	keep := to.prof
	if keep.hasLabel(pair.alias.h.b) {
		return
	}
	for _, f := range anon.fields {
		if keep.find(f.name, 0) < 0 {
			keep.fields = append(keep.fields, f)
			if f.name == nameEmail || f.name == namePhone {
				s.index(keep, f.name, "", f.val)
			}
		}
	}
	moved := anon.more.aliases
	x := keep.extra()
	x.events, x.purchases = append(x.events, anon.more.events...), append(x.purchases, anon.more.purchases...)
	x.nEvents, x.nPurchases = x.nEvents+anon.more.nEvents, x.nPurchases+anon.more.nPurchases
	anon.more.aliases = nil
	for _, h := range moved {
		s.handle(h).prof = keep
	}
	x.aliases = append(x.aliases, moved...)
	keep.updated = at.UnixNano()
	s.remove(anon)
}

func parseAliases(body []byte, key string, identify bool) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	list := n.get(key)
	switch {
	case list == nil || list.kind != kindArray || len(list.kids) == 0:
		return nil, refusal(400, "'"+key+"' must be a non-empty array")
	case len(list.kids) > maxIDs:
		return nil, refusal(400, "The max number of external_ids and aliases per request was exceeded")
	}
	a := &aliasing{identify: identify}
	for _, item := range list.kids {
		source := item
		if identify {
			source = item.get("user_alias")
		}
		h, ok := aliasOf(source)
		id, hasID := item.get("external_id").str()
		if !ok || identify && !hasID || hasID && (id == "" || len(id) > maxExternalID) {
			return nil, refusal(400, "'"+key+"' holds an invalid entry")
		}
		a.pairs = append(a.pairs, aliasPair{target{who: idAlias, h: h}, target{who: idExternal, h: handle{who: idExternal, a: id}}})
	}
	return a, nil
}

// parseAlias reads /users/alias/new (Braze docs, Create new aliases).
func parseAlias(_ *Server, body []byte) (effect, *reply) {
	return parseAliases(body, "user_aliases", false)
}

// parseIdentify reads /users/identify; of its three forms the one by alias is served (Braze docs, Identify users).
func parseIdentify(_ *Server, body []byte) (effect, *reply) {
	return parseAliases(body, "aliases_to_identify", true)
}
