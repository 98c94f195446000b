package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
)

// Query asks for a timeline: of a user, of rows, or of both together.
type Query struct {
	User   connector.User
	Rows   []connector.Key // rows known to be the user's; those that its entries name come by themselves
	Before string          // Timeline.More of the page before, "" for the newest
	Limit  int             // entries; 50
}

// Timeline is what is known of a user, newest first.
type Timeline struct {
	Entries []Entry
	More    string          // Query.Before of the next page, "" where there is none
	Rows    []connector.Key // that the entries name
	Since   time.Time       // the oldest that any user's history goes back to
}

// Entry is one thing that happened: a step of a user that ended, changes that were counted since nothing of them was sent, or a gap.
type Entry struct {
	At      time.Time
	First   time.Time // of what was counted, or the gap's begin; else At
	Gap     bool
	Counted bool
	Count   uint64 // changes, or entries that the gap lacks

	Outcome    string // as connector.Ending has it, or passed
	Reason     string
	User, To   connector.User
	Kind       connector.Kind
	UpdateOnly bool
	Load       bool
	Event      string // its name, where IsEvent
	IsEvent    bool
	Purchase   bool
	Changes    int
	Tries      int
	Queued     time.Time
	Waited     connector.Waits
	Call       *connector.Called
	Rows       []Row
	Fields     []Field
	Left       []connector.FieldNote
	Payload    []byte // JSON of what was sent; nil: not kept
	HadPayload bool
}

// Row is one row behind an entry.
type Row struct {
	Model     string
	Key       connector.Key // zero where it is not known any more
	Op        connector.Op  // 0: it was no change, but sent on request or read again
	Stream    string
	ID        connector.ChangeID
	Committed time.Time
	// Columns are those that changed; Known is false where the change did not tell.
	Columns []string
	Known   bool
}

// Field is one mapped field and what became of it.
type Field struct {
	Name string
	How  How
}

// How is what became of a mapped field.
type How int

// The ends of a mapped field.
const (
	Sent  How = fieldSent
	Same  How = fieldSame  // Braze has it
	Empty How = fieldEmpty // a NULL that need not be sent
)

// lookup is what one question needs.
type lookup struct {
	s     *Store
	h     hasher
	names []string // of this start
	rows  map[id]connector.Key
	users map[id]connector.User
}

func (s *Store) lookup() *lookup {
	s.Flush()
	s.mu.Lock()
	names := slices.Clone(s.names.list)
	s.mu.Unlock()
	return &lookup{s: s, h: newHasher(s.cfg.Key), names: names, rows: map[id]connector.Key{}, users: map[id]connector.User{}}
}

// segmentsNow lists the segments, newest first. s.disk is held.
func (s *Store) segmentsNow() []*segment {
	var out []*segment
	if s.live != nil {
		out = append(out, s.live)
	}
	for i := len(s.sealed) - 1; i >= 0; i-- {
		out = append(out, s.sealed[i])
	}
	return out
}

func (l *lookup) name(g *segment, n uint64) string {
	list := l.names
	if g != nil && g.names != l.s.generation {
		list = l.s.old[g.names]
	}
	if n == 0 || n > uint64(len(list)) {
		return ""
	}
	return list[n-1]
}

// standsFor finds what an id stands for in a segment.
func (l *lookup) standsFor(g *segment, kind byte, of id) []byte {
	places, err := g.find(keyOf(&of), keyOf(&of))
	if err != nil {
		return nil
	}
	for _, at := range places {
		body, err := g.read(at)
		if err != nil || body[0] != kind || len(body) < 1+hashSize || !bytes.Equal(body[1:1+hashSize], of[:]) {
			continue
		}
		what := slices.Clone(body[1+hashSize:])
		l.h.seal(of, what)
		return what
	}
	return nil
}

func (l *lookup) user(g *segment, of id) connector.User {
	u, ok := l.users[of]
	if !ok && of != (id{}) {
		d := decoder{b: l.standsFor(g, typeUser, of)}
		if u = d.user(); d.bad || l.h.user(&u) != of {
			return connector.User{}
		}
		l.users[of] = u
	}
	return u
}

func (l *lookup) row(g *segment, of id) connector.Key {
	k, ok := l.rows[of]
	if !ok {
		d := decoder{b: l.standsFor(g, typeRow, of)}
		if k = d.key(); d.bad || l.h.row(&k) != of {
			return connector.Key{}
		}
		l.rows[of] = k
	}
	return k
}

// Find gives the user that a reference stands for; ok is false where nothing of it is known any more.
func (s *Store) Find(ref string) (u connector.User, ok bool) {
	prefix := parseRef(ref)
	if prefix == nil {
		return u, false
	}
	var lo, hi [8]byte
	copy(lo[:], prefix)
	copy(hi[:], prefix)
	for i := len(prefix); i < len(hi); i++ {
		hi[i] = 0xff
	}
	l := s.lookup()
	s.disk.Lock()
	defer s.disk.Unlock()
	for _, g := range s.segmentsNow() {
		places, err := g.find(binary.BigEndian.Uint64(lo[:]), binary.BigEndian.Uint64(hi[:]))
		if err != nil {
			continue
		}
		for _, at := range places {
			body, err := g.read(at)
			if err != nil || body[0] != typeUser || !bytes.HasPrefix(body[1:], prefix) {
				continue
			}
			var of id
			copy(of[:], body[1:])
			if found := l.user(g, of); found != (connector.User{}) && (!ok || found.Kind < u.Kind) {
				u, ok = found, true
			}
		}
		if ok {
			return u, true
		}
	}
	return u, false
}

// UserOf gives the user that a row was last seen with.
func (s *Store) UserOf(k connector.Key) (connector.User, bool) {
	l := s.lookup()
	of := l.h.row(&k)
	s.disk.Lock()
	defer s.disk.Unlock()
	for _, g := range s.segmentsNow() {
		places, err := g.find(keyOf(&of), keyOf(&of))
		if err != nil {
			continue
		}
		for _, at := range slices.Backward(places) {
			if body, err := g.read(at); err == nil && (body[0] == typeEnd || body[0] == typeCount) {
				d := decoder{b: body[1:]}
				if u := l.user(g, d.id()); u != (connector.User{}) {
					return u, true
				}
			}
		}
	}
	return connector.User{}, false
}

// Knows tells whether the history has anything of a user.
func (s *Store) Knows(u connector.User) bool {
	l := s.lookup()
	of := l.h.user(&u)
	s.disk.Lock()
	defer s.disk.Unlock()
	for k := range s.counts {
		if k.user == u {
			return true
		}
	}
	for _, g := range s.segmentsNow() {
		if l.standsFor(g, typeUser, of) != nil {
			return true
		}
	}
	return false
}

// Timeline reads what is known of a user, newest first.
func (s *Store) Timeline(q Query) (*Timeline, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	l := s.lookup()
	out := &Timeline{Since: s.Since()}
	s.disk.Lock()
	rows := slices.Clone(q.Rows)
	if q.User != (connector.User{}) {
		rows = l.rowsOf(q.User, rows)
	}
	r := reading{lookup: l, q: &q, user: l.h.user(&q.User), rows: map[id]bool{}, out: out}
	for i := range rows {
		of := l.h.row(&rows[i])
		r.rows[of] = true
		l.rows[of] = rows[i]
	}
	err := r.run()
	r.order()
	s.disk.Unlock()
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	out.Rows = rows
	for i := range out.Entries {
		if e := &out.Entries[i]; e.HadPayload {
			e.Payload = l.payload(e.User, binary.BigEndian.Uint64(e.Payload))
		}
	}
	return out, nil
}

// payload finds a payload in memory, else in the files.
func (l *lookup) payload(u connector.User, number uint64) []byte {
	s := l.s
	s.mu.Lock()
	b := s.payload.find(u, number)
	s.mu.Unlock()
	if b != nil || !s.cfg.Values {
		return b
	}
	of := valueID(number)
	s.disk.Lock()
	defer s.disk.Unlock()
	for _, g := range s.segmentsNow() {
		places, err := g.find(keyOf(&of), keyOf(&of))
		if err != nil {
			continue
		}
		for _, at := range places {
			body, err := g.read(at)
			if err != nil || body[0] != typeValue || len(body) < 1+2*hashSize || !bytes.Equal(body[1+hashSize:1+2*hashSize], of[:]) {
				continue
			}
			value := slices.Clone(body[1+2*hashSize:])
			l.h.seal(of, value)
			return value
		}
	}
	return nil
}

// mostRows bounds how many rows of a user are followed.
const mostRows = 50

// rowsOf adds the rows that a user's newest entries name. s.disk is held.
func (l *lookup) rowsOf(u connector.User, rows []connector.Key) []connector.Key {
	of := l.h.user(&u)
	looked := 0
	for _, g := range l.s.segmentsNow() {
		places, err := g.find(keyOf(&of), keyOf(&of))
		if err != nil {
			continue
		}
		for _, at := range slices.Backward(places) {
			if looked++; looked > 500 || len(rows) >= mostRows {
				return rows
			}
			body, err := g.read(at)
			if err != nil || body[0] != typeEnd && body[0] != typeCount {
				continue
			}
			for _, row := range rowsIn(body) {
				if k := l.row(g, row); k != (connector.Key{}) && !slices.Contains(rows, k) {
					rows = append(rows, k)
				}
			}
		}
	}
	for k := range l.s.counts {
		if k.user == u && len(rows) < mostRows && !slices.Contains(rows, k.row) {
			rows = append(rows, k.row)
		}
	}
	return rows
}

func rowsIn(body []byte) (out []id) {
	d := decoder{b: body[1:]}
	d.id()
	if body[0] == typeCount {
		return append(out, d.id())
	}
	d.id()
	for range d.byte() {
		out = append(out, d.id())
	}
	return out
}
