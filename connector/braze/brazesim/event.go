package brazesim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// maxProperties is how many properties of one event are captured (Braze docs, Custom events).
const maxProperties = 256

// applyEvent records one event or purchase and returns its data points.
func (s *Server) applyEvent(t *track, o *object, at time.Time) int {
	p := s.target(t, o, at)
	if p == nil {
		return 0
	}
	p.updated = at.UnixNano()
	var e Event
	var b Purchase
	b.Quantity = 1
	for i := o.first; i < o.last; i++ {
		m := &t.members[i]
		raw := t.raw(m)
		switch {
		case m.name == nameName && m.kind == kindString:
			e.Name = string(text(raw))
		case m.name == nameProductID && m.kind == kindString:
			b.ProductID = string(text(raw))
		case m.name == nameCurrency && m.kind == kindString:
			b.Currency = string(text(raw))
		case m.name == namePrice:
			b.Price = json.Number(raw)
		case m.name == nameQuantity && m.kind == kindNumber:
			b.Quantity = quantity(raw)
		case m.name == nameAppID && m.kind == kindString:
			e.AppID = string(text(raw))
		case m.name == nameTime:
			e.Time, _ = parseEventTime(text(raw))
		case m.name == nameProperties && m.kind == kindObject:
			e.Properties = s.properties(p, parseNode(raw))
		}
	}
	if e.Time.After(at) {
		e.Time = at // Braze docs, Event object: a time in the future becomes the current one
	}
	x := p.extra()
	s.lastEvent++
	e.seq, b.seq = s.lastEvent, s.lastEvent
	if o.array == inEvents {
		if slices.ContainsFunc(x.events, e.repeats) {
			s.counters.Duplicates++
		}
		x.nEvents++
		x.events = keep(append(x.events, e), s.cfg.KeepEvents)
		return 1
	}
	b.AppID, b.Time, b.Properties = e.AppID, e.Time.UTC(), e.Properties
	if slices.ContainsFunc(x.purchases, b.repeats) {
		s.counters.Duplicates++
	}
	x.nPurchases++
	x.purchases = keep(append(x.purchases, b), s.cfg.KeepEvents)
	return b.Quantity
}

// keep bounds a history, dropping the oldest.
func keep[T any](list []T, n int) []T {
	if over := len(list) - n; over > 0 {
		return append(list[:0], list[over:]...)
	}
	return list
}

// properties keeps what Braze captures: the first 256, without overlong strings.
func (s *Server) properties(p *profile, n *node) json.RawMessage {
	kept := &node{kind: kindObject}
	for i, k := range n.keys {
		if v := n.kids[i]; len(kept.keys) < maxProperties && !(v.kind == kindString && tooLong(v.text)) {
			kept.keys, kept.kids = append(kept.keys, k), append(kept.kids, v)
			continue
		}
		s.ignore(p, nameProperties, reasonProperty)
	}
	return kept.append(nil)
}

// Event is one recorded custom event.
type Event struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"`
	// AppID and Properties are as sent; Properties is compact JSON.
	AppID      string          `json:"app_id,omitempty"`
	Properties json.RawMessage `json:"properties,omitempty"`

	seq uint64 // order of effect over all users
}

// repeats reports whether another event of the user says the same, which Braze does not look at: it counts both.
func (e *Event) repeats(o Event) bool {
	return e.Time.Equal(o.Time) && e.Name == o.Name && e.AppID == o.AppID && bytes.Equal(e.Properties, o.Properties)
}

// Purchase is one recorded purchase; Quantity says how many single ones it stands for.
type Purchase struct {
	ProductID  string          `json:"product_id"`
	Currency   string          `json:"currency"`
	Price      json.Number     `json:"price"`
	Quantity   int             `json:"quantity"`
	Time       time.Time       `json:"time"`
	AppID      string          `json:"app_id,omitempty"`
	Properties json.RawMessage `json:"properties,omitempty"`

	seq uint64
}

func (b *Purchase) repeats(o Purchase) bool {
	return b.Time.Equal(o.Time) && b.ProductID == o.ProductID && b.Currency == o.Currency && b.Price == o.Price && b.Quantity == o.Quantity &&
		b.AppID == o.AppID && bytes.Equal(b.Properties, o.Properties)
}

// Happening is an event or a purchase with the user who has it; the other of the two is nil.
type Happening struct {
	ExternalID string    `json:"external_id,omitempty"` // empty for anonymous profiles
	BrazeID    string    `json:"braze_id"`
	Event      *Event    `json:"event,omitempty"`
	Purchase   *Purchase `json:"purchase,omitempty"`
}

// Happenings returns the events and purchases of all users in the order of their effect, as far as profiles keep them (Config.KeepEvents).
func (s *Server) Happenings() []Happening {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	type placed struct {
		Happening
		seq uint64
	}
	var list []placed
	for p := range s.all {
		if p.more == nil {
			continue
		}
		h := Happening{BrazeID: p.brazeID()}
		if p.rec != nil {
			h.ExternalID = p.rec.id
		}
		for _, e := range p.more.events {
			one := h
			one.Event = &e
			list = append(list, placed{one, e.seq})
		}
		for _, b := range p.more.purchases {
			one := h
			one.Purchase = &b
			list = append(list, placed{one, b.seq})
		}
	}
	slices.SortFunc(list, func(a, b placed) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]Happening, len(list))
	for i := range list {
		out[i] = list[i].Happening
	}
	return out
}
