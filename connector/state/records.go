package state

import (
	"slices"

	"brazecdc/connector"
)

// The values of the journal, one pair of functions each. Go evaluates the calls of a composite literal in order, which the decoders rely on.

func encodeRecorded(r *connector.Recorded) []byte {
	var e encoder
	e.str(r.Position.Stream)
	e.uint(r.Position.Offset)
	e.bytes(r.Memo)
	return e
}

func decodeRecorded(b []byte) (r connector.Recorded, err error) {
	d := decoder{b: b}
	r = connector.Recorded{Position: connector.Position{Stream: d.str(), Offset: d.uint()}, Memo: d.bytes()}
	return r, d.end()
}

func encodeLoad(l *connector.LoadState) []byte {
	var e encoder
	e.str(l.ID)
	e.str(l.Model)
	e.str(l.Table)
	e.bytes(l.Cursor)
	e.uint(uint64(l.Rows))
	e.time(l.Started)
	e.time(l.Finished)
	e.uint(uint64(l.Estimate))
	e.bool(l.Nulls)
	e.strs(l.Keys)
	e.bool(l.Resync != nil)
	if q := l.Resync; q != nil {
		e.str(q.Where)
		e.strs(q.Fields)
		e.bool(q.All)
		e.bool(q.Scheduled)
	}
	e.bool(l.Paused)
	e.bool(l.Cancelled)
	e.bool(l.Closing)
	e.str(l.Mark)
	for _, n := range [...]int64{l.Sent, l.Same, l.Unmarked, l.Met, l.Gone} {
		e.uint(uint64(n))
	}
	e.uint(0) // a count stood here once
	if l.Share != 0 {
		e.uint(uint64(l.Share))
	}
	return e
}

func decodeLoad(b []byte) (l connector.LoadState, err error) {
	d := decoder{b: b}
	l.Load = connector.Load{ID: d.str(), Model: d.str(), Table: d.str(), Cursor: d.bytes(), Rows: int64(d.uint())}
	l.Started, l.Finished, l.Estimate, l.Nulls = d.time(), d.time(), int64(d.uint()), d.bool()
	if len(d.b) == 0 { // values of before end here
		return l, d.end()
	}
	l.Keys = d.strs()
	if d.bool() {
		l.Resync = &connector.Resync{Where: d.str(), Fields: d.strs(), All: d.bool(), Scheduled: d.bool()}
	}
	l.Paused, l.Cancelled, l.Closing, l.Mark = d.bool(), d.bool(), d.bool(), d.str()
	for _, n := range [...]*int64{&l.Sent, &l.Same, &l.Unmarked, &l.Met, &l.Gone} {
		*n = int64(d.uint())
	}
	d.uint()
	l.Share = int(min(d.lastUint(), 100))
	return l, d.end()
}

func encodeDone(i *connector.DoneID) []byte {
	var e encoder
	e.str(i.Stream)
	e.str(i.Table)
	e.change(i.ID)
	e = append(e, byte(i.Kind))
	e.user(i.User)
	e.str(i.Model)
	e.uint(i.Row)
	if i.Refused {
		e.uint(1)
	}
	return e
}

func decodeDone(b []byte) (i connector.DoneID, err error) {
	d := decoder{b: b}
	i = connector.DoneID{Stream: d.str(), Table: d.str(), ID: d.change(), Kind: connector.Kind(d.byte()), User: d.user(), Model: d.lastStr(), Row: d.lastUint(), Refused: d.lastUint() == 1}
	return i, d.end()
}

func encodeSettling(s *connector.Settling) []byte {
	var e encoder
	e.user(s.User)
	e.time(s.Until)
	e.effect(s.Waits)
	e.str(s.Part)
	return e
}

func decodeSettling(b []byte) (s connector.Settling, err error) {
	d := decoder{b: b}
	s = connector.Settling{User: d.user(), Until: d.time(), Waits: d.effect(), Part: d.lastStr()}
	return s, d.end()
}

func encodeHeld(h *connector.HeldDelete) []byte {
	var e encoder
	e.user(h.User)
	e.str(h.Model)
	e.key(h.Key)
	e.str(h.Reason)
	e.time(h.At)
	e.str(h.Part)
	e.str(h.Answer)
	return e
}

func decodeHeld(b []byte) (h connector.HeldDelete, err error) {
	d := decoder{b: b}
	h = connector.HeldDelete{User: d.user(), Model: d.str(), Key: d.key(), Reason: d.str(), At: d.time(), Part: d.lastStr(), Answer: d.lastStr()}
	return h, d.end()
}

func encodePause(p *connector.Pause) []byte {
	var e encoder
	e.str(p.Model)
	e.str(p.Reason)
	e.time(p.At)
	e.uint(p.Stale)
	return e
}

func decodePause(b []byte) (p connector.Pause, err error) {
	d := decoder{b: b}
	p = connector.Pause{Model: d.str(), Reason: d.str(), At: d.time(), Stale: d.uint()}
	return p, d.end()
}

func encodeName(s string) []byte {
	var e encoder
	e.str(s)
	return e
}

func decodeName(b []byte) (string, error) {
	d := decoder{b: b}
	s := d.str()
	return s, d.end()
}

func encodeModel(m *connector.ModelState) []byte {
	var e encoder
	e.str(m.Name)
	e.uint(m.Hash)
	e.bool(m.Proven)
	e.uint(uint64(len(m.Unproven)))
	for _, n := range m.Unproven {
		e.str(n)
	}
	names := make([]string, 0, len(m.Fields))
	for n := range m.Fields {
		names = append(names, n)
	}
	slices.Sort(names)
	e.uint(uint64(len(names)))
	for _, n := range names {
		e.str(n)
		e.uint(m.Fields[n])
	}
	e.time(m.Next)
	e.str(m.Schedule)
	return e
}

func decodeModel(b []byte) (m connector.ModelState, err error) {
	d := decoder{b: b}
	m = connector.ModelState{Name: d.str(), Hash: d.uint(), Proven: d.bool()}
	for range d.count() {
		m.Unproven = append(m.Unproven, d.str())
	}
	if n := d.count(); n > 0 {
		m.Fields = make(map[string]uint64, n)
		for range n {
			name := d.str()
			m.Fields[name] = d.uint()
		}
	}
	if len(d.b) > 0 { // values of before end here
		m.Next, m.Schedule = d.time(), d.str()
	}
	return m, d.end()
}

func encodeEntry(n *connector.Entry) []byte {
	var e encoder
	e.uint(n.ID)
	e.time(n.At)
	e.str(n.Model)
	e.str(n.Class)
	e.key(n.Key)
	e.user(n.User)
	e.str(n.Closed)
	e.time(n.ClosedAt)
	e.str(n.Stream)
	e.uint(n.Offset)
	e.change(n.Change)
	e.str(n.Op)
	e.str(n.Reason)
	e.str(n.Field)
	e.uint(uint64(n.Attempts))
	e.bytes(n.Before)
	e.bytes(n.After)
	e.effect(n.Effect)
	e.bytes(nil) // what could not be decoded, before Original was kept
	e.original(n.Original)
	e.time(n.Time)
	return e
}

func decodeEntry(b []byte) (*connector.Entry, error) {
	d := decoder{b: b}
	n := &connector.Entry{
		ID: d.uint(), At: d.time(), Model: d.str(), Class: d.str(), Key: d.key(), User: d.user(), Closed: d.str(), ClosedAt: d.time(),
		Stream: d.str(), Offset: d.uint(), Change: d.change(), Op: d.str(), Reason: d.str(), Field: d.str(), Attempts: int(d.uint()),
		Before: d.bytes(), After: d.bytes(), Effect: d.effect(),
	}
	if raw := d.bytes(); raw != nil {
		n.Original = &connector.Original{Value: raw, Size: len(raw), Cut: true}
	}
	if len(d.b) > 0 { // values of before end here
		if o := d.original(); o != nil {
			n.Original = o
		}
	}
	if len(d.b) > 0 {
		n.Time = d.time()
	}
	return n, d.end()
}
