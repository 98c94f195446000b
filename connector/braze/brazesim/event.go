package brazesim

import (
	"encoding/json"
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
			e.Properties = s.properties(parseNode(raw))
		}
	}
	if e.Time.After(at) {
		e.Time = at // Braze docs, Event object: a time in the future becomes the current one
	}
	x := p.extra()
	if o.array == inEvents {
		x.nEvents++
		x.events = keep(append(x.events, e), s.cfg.KeepEvents)
		return 1
	}
	b.AppID, b.Time, b.Properties = e.AppID, e.Time.UTC(), e.Properties
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
func (s *Server) properties(n *node) json.RawMessage {
	kept := &node{kind: kindObject}
	for i, k := range n.keys {
		if v := n.kids[i]; len(kept.keys) < maxProperties && !(v.kind == kindString && tooLong(v.text)) {
			kept.keys, kept.kids = append(kept.keys, k), append(kept.kids, v)
			continue
		}
		s.ignored[reasonProperty]++
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
}
