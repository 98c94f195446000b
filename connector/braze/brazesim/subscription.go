package brazesim

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// status is a parsed call of either subscription endpoint.
type status struct{ sets []statusSet }

type statusSet struct {
	group, state string
	targets      []target
}

func (u *status) class() class { return classWrite }

func (u *status) register(s *Server, c *call) {
	for i := range u.sets {
		for j := range u.sets[i].targets {
			u.sets[i].targets[j].resolve(s, c)
		}
	}
}

func (u *status) answer(_ *Server, c *call) *reply {
	for _, set := range u.sets {
		c.objects += len(set.targets)
	}
	return &reply{status: 201, body: []byte(`{"message":"success"}`)}
}

// apply sets the state. An unknown external_id gets a profile, since these calls cannot be update-only; an unknown address gets none, but its state waits
// for one, and all profiles that share an address change together (Braze docs, Update user's subscription group status).
func (u *status) apply(s *Server, at time.Time) int {
	for _, set := range u.sets {
		for _, t := range set.targets {
			var found []*profile
			switch t.who {
			case idEmail:
				found = s.byAddress(nameEmail, t.h.a)
			case idPhone:
				found = s.byAddress(namePhone, t.h.a)
			default:
				if t.rec.prof == nil {
					s.create(idExternal, t.rec, handle{}, at)
				}
				found = []*profile{t.rec.prof}
			}
			if len(found) == 0 {
				s.await(t, set, at)
			}
			for _, p := range found {
				p.updated = at.UnixNano()
				s.setGroup(p, set.group, set.state)
			}
		}
	}
	return 0
}

// waits is how long the state of an address without a profile is kept (Braze docs, Update user's subscription group status).
const waits = 30 * 24 * time.Hour

// waitingState is a state for an address that no profile has.
type waitingState struct {
	group
	until time.Time
}

func (s *Server) await(t target, set statusSet, at time.Time) {
	name := nameEmail
	if t.who == idPhone {
		name = namePhone
	}
	a := addressOf(name, t.h.a)
	list := slices.DeleteFunc(s.waiting[a], func(w waitingState) bool { return w.id == set.group })
	s.waiting[a] = append(list, waitingState{group{set.group, set.state}, at.Add(waits)})
}

// inherit gives a profile what waited for its address.
func (s *Server) inherit(p *profile, a address) {
	for _, w := range s.waiting[a] {
		if s.cfg.Now().Before(w.until) {
			s.setGroup(p, w.id, w.state)
		}
	}
	delete(s.waiting, a)
}

// Member is one user's state in a subscription group.
type Member struct {
	ExternalID string `json:"external_id,omitempty"`
	BrazeID    string `json:"braze_id,omitempty"` // empty where no profile has the address yet
	Email      string `json:"email,omitempty"`
	Phone      string `json:"phone,omitempty"`
	State      string `json:"state"` // subscribed or unsubscribed
}

// Groups returns all states of subscription groups by the group's id, sorted by external_id, email and phone; among them those of addresses that no
// profile has yet.
func (s *Server) Groups() map[string][]Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	out := map[string][]Member{}
	for p := range s.all {
		if p.more == nil {
			continue
		}
		m := Member{BrazeID: p.brazeID(), Email: p.string(nameEmail), Phone: p.string(namePhone)}
		if p.rec != nil {
			m.ExternalID = p.rec.id
		}
		for _, g := range p.more.groups {
			m.State = g.state
			out[g.id] = append(out[g.id], m)
		}
	}
	for a, list := range s.waiting {
		var m Member
		if v := string(text([]byte(a.val))); a.name == nameEmail {
			m.Email = v
		} else {
			m.Phone = v
		}
		for _, w := range list {
			m.State = w.state
			out[w.id] = append(out[w.id], m)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b Member) int {
			return cmp.Or(strings.Compare(a.ExternalID, b.ExternalID), strings.Compare(a.Email, b.Email), strings.Compare(a.Phone, b.Phone), strings.Compare(a.BrazeID, b.BrazeID))
		})
	}
	return out
}

// string gives the text of a field that is a string, or "".
func (p *profile) string(name nameID) string {
	if v := p.value(name); v != "" {
		return string(text([]byte(v)))
	}
	return ""
}

// parseSet reads one group with its users; the keys differ between the versions.
func parseSet(n *node, external, email, phone string) (statusSet, *reply) {
	var set statusSet
	set.group, _ = n.get("subscription_group_id").str()
	set.state, _ = n.get("subscription_state").str()
	switch {
	case !isUUID(set.group):
		return set, refusal(400, "'subscription_group_id' must be a valid subscription group")
	case set.state != "subscribed" && set.state != "unsubscribed":
		return set, refusal(400, "'subscription_state' must be 'subscribed' or 'unsubscribed'")
	}
	kinds := map[idKind]int{}
	for _, k := range []struct {
		key string
		who idKind
	}{{external, idExternal}, {email, idEmail}, {phone, idPhone}} {
		v := n.get(k.key)
		if v == nil {
			continue
		}
		ids, ok := v.strings()
		if one, isText := v.str(); isText && external == "external_id" {
			ids, ok = []string{one}, true
		}
		if !ok {
			return set, refusal(400, "'"+k.key+"' must be an array of strings")
		}
		for _, id := range ids {
			if id == "" || k.who == idEmail && !validEmail([]byte(id)) || k.who == idPhone && (id[0] != '+' || phoneOf([]byte(id)) == "") {
				return set, refusal(400, "'"+k.key+"' holds an invalid value")
			}
			kinds[k.who]++
			set.targets = append(set.targets, target{who: k.who, h: handle{who: k.who, a: id}})
		}
	}
	switch {
	case len(set.targets) == 0:
		return set, refusal(400, "'"+external+"', '"+email+"' or '"+phone+"' is required")
	case kinds[idEmail] > 0 && kinds[idPhone] > 0:
		return set, refusal(400, "Emails and phones cannot be given together")
	case len(set.targets) > maxIDs:
		return set, refusal(400, "The max number of external_ids and aliases per request was exceeded")
	}
	return set, nil
}

// parseStatus reads /subscription/status/set: one group (Braze docs, Update user's subscription group status).
func parseStatus(_ *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	set, bad := parseSet(n, "external_id", "email", "phone")
	if bad != nil {
		return nil, bad
	}
	return &status{sets: []statusSet{set}}, nil
}

// parseStatusV2 reads /v2/subscription/status/set. Whether the 50 users count per group or per call is not documented; they count per call
// here.
func parseStatusV2(_ *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	list := n.get("subscription_groups")
	if list == nil || list.kind != kindArray || len(list.kids) == 0 {
		return nil, refusal(400, "'subscription_groups' must be a non-empty array")
	}
	u, users := new(status), 0
	for _, item := range list.kids {
		set, bad := parseSet(item, "external_ids", "emails", "phones")
		if bad != nil {
			return nil, bad
		}
		u.sets = append(u.sets, set)
		users += len(set.targets)
	}
	if users > maxIDs {
		return nil, refusal(400, "The max number of external_ids and aliases per request was exceeded")
	}
	return u, nil
}
