package brazesim

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// handle names a user other than by external_id.
type handle struct {
	who  idKind
	a, b string
}

// record is what the simulator knows of one identifier, whether or not a profile has it. All fields are guarded by Server.mu.
type record struct {
	id         string
	prof       *profile
	deprecated bool   // renamed away: points at the living profile
	open       int32  // requests that hold it and are not answered
	openedBy   uint64 // the newest of them
	closedAt   uint64 // stamp of the last answer
	applied    uint64 // the newest request that was applied
}

// field is one stored value as canonical JSON.
type field struct {
	name nameID
	val  string
}

// profile is small on purpose: load tests keep hundreds of thousands.
type profile struct {
	rec     *record // of the primary external_id; nil for anonymous profiles
	seq     uint64
	fields  []field
	more    *extras
	created int64
	updated int64
}

// extras are what most profiles lack.
type extras struct {
	aliases    []handle
	deprecated []*record
	groups     []group
	events     []Event
	purchases  []Purchase
	nEvents    int
	nPurchases int
}

type group struct{ id, state string }

// address is an email or phone as it is stored.
type address struct {
	name nameID
	val  string
}

func (p *profile) extra() *extras {
	if p.more == nil {
		p.more = new(extras)
	}
	return p.more
}

// find tells where a field is, trying hint first, or -1.
func (p *profile) find(name nameID, hint int) int {
	if hint < len(p.fields) && p.fields[hint].name == name {
		return hint
	}
	for i := range p.fields {
		if p.fields[i].name == name {
			return i
		}
	}
	return -1
}

func (p *profile) value(name nameID) string {
	if i := p.find(name, 0); i >= 0 {
		return p.fields[i].val
	}
	return ""
}

func (p *profile) brazeID() string { return fmt.Sprintf("%024x", p.seq) }

// external returns the record of an external_id, made on first sight.
func (s *Server) external(id []byte) *record {
	if r := s.recs[string(id)]; r != nil {
		return r
	}
	r := &record{id: string(id)}
	s.recs[r.id] = r
	return r
}

func (s *Server) handle(h handle) *record {
	if r := s.handles[h]; r != nil {
		return r
	}
	r := &record{id: h.a}
	s.handles[h] = r
	return r
}

// recordOf returns the record of the identifier that an object carries.
func (s *Server) recordOf(body []byte, o *object) *record {
	switch o.who {
	case idExternal:
		return s.external(text(body[o.idFrom:o.idTo]))
	case idAlias:
		return s.handle(o.alias)
	case idToken:
		return nil
	}
	return s.handle(handle{who: o.who, a: string(text(body[o.idFrom:o.idTo]))})
}

// lookup finds the profile behind a record at this moment.
func (s *Server) lookup(who idKind, r *record) *profile {
	switch who {
	case idExternal, idAlias:
		return r.prof
	case idBraze:
		return s.byBrazeID(r.id)
	case idEmail:
		return best(s.byAddress(nameEmail, r.id))
	case idPhone:
		return best(s.byAddress(namePhone, r.id))
	}
	return nil
}

func (s *Server) byBrazeID(id string) *profile {
	seq, err := strconv.ParseUint(id, 16, 64)
	if err != nil || len(id) != 24 {
		return nil
	}
	for p := range s.all {
		if p.seq == seq {
			return p
		}
	}
	return nil
}

// byAddress lists the profiles with an email or phone. The index is built at its first use, since most workloads have none.
func (s *Server) byAddress(name nameID, v string) []*profile {
	if s.addresses == nil {
		s.addresses = make(map[address][]*profile)
		for p := range s.all {
			s.index(p, nameEmail, "", p.value(nameEmail))
			s.index(p, namePhone, "", p.value(namePhone))
		}
	}
	return s.addresses[addressOf(name, v)]
}

// addressOf gives an email or phone as it is stored.
func addressOf(name nameID, v string) address {
	if name == namePhone {
		if n := phoneOf([]byte(v)); n != "" {
			v = n
		}
	}
	return address{name, string(appendQuoted(nil, []byte(v)))}
}

// index notes that an email or phone changed.
func (s *Server) index(p *profile, name nameID, was, is string) {
	if s.addresses == nil || was == is {
		return
	}
	if was != "" {
		a := address{name, was}
		if list := slices.DeleteFunc(s.addresses[a], func(q *profile) bool { return q == p }); len(list) > 0 {
			s.addresses[a] = list
		} else {
			delete(s.addresses, a)
		}
	}
	if is != "" {
		a := address{name, is}
		s.addresses[a] = append(s.addresses[a], p)
		s.inherit(p, a)
	}
}

// best picks among profiles that share an address: with an external_id before without, then the most recently updated (Braze docs, Create
// and update users).
func best(found []*profile) *profile {
	var out *profile
	for _, p := range found {
		if out == nil || (p.rec != nil) != (out.rec != nil) && p.rec != nil ||
			(p.rec != nil) == (out.rec != nil) && (p.updated > out.updated || p.updated == out.updated && p.seq > out.seq) {
			out = p
		}
	}
	return out
}

// create makes the profile that an identifier asks for.
func (s *Server) create(who idKind, r *record, h handle, at time.Time) *profile {
	s.lastProfile++
	s.counters.Created++
	p := &profile{seq: s.lastProfile, created: at.UnixNano(), updated: at.UnixNano()}
	s.all[p] = struct{}{}
	switch who {
	case idExternal:
		p.rec, r.prof, r.deprecated = r, p, false
	case idAlias:
		r.prof = p
		p.extra().aliases = append(p.extra().aliases, h)
	}
	return p
}

// remove deletes a profile with all its identifiers; they are free again (Braze docs, Delete users).
func (s *Server) remove(p *profile) {
	if p.rec != nil {
		p.rec.prof = nil
	}
	if p.more != nil {
		for _, r := range p.more.deprecated {
			r.prof, r.deprecated = nil, false
		}
		for _, h := range p.more.aliases {
			s.handle(h).prof = nil
		}
	}
	if s.addresses != nil { // with the last profile of an address its states go too (Braze docs, Update user's subscription group status)
		s.index(p, nameEmail, p.value(nameEmail), "")
		s.index(p, namePhone, p.value(namePhone), "")
	}
	delete(s.all, p)
	s.counters.Deleted++
}
