package history

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

// reading collects entries for one timeline.
type reading struct {
	*lookup
	q    *Query
	user id
	rows map[id]bool
	out  *Timeline
}

func (r *reading) run() error {
	before, offset := uint64(1<<63), int64(1<<40)
	if r.q.Before != "" {
		a, b, ok := strings.Cut(r.q.Before, "-")
		n, err := strconv.ParseUint(a, 10, 63)
		m, err2 := strconv.ParseInt(b, 10, 40)
		if !ok || err != nil || err2 != nil {
			r.q.Before = ""
		} else {
			before, offset = n, m
		}
	}
	if r.q.Before == "" {
		r.pending()
	}
	for _, g := range r.s.segmentsNow() {
		if g.number > before {
			continue
		}
		places, err := r.places(g)
		if err != nil {
			return err
		}
		for _, at := range slices.Backward(places) {
			if g.number == before && int64(at) >= offset {
				continue
			}
			e, ok := r.entry(g, at)
			if !ok || r.merged(&e) {
				continue
			}
			if len(r.out.Entries) >= r.q.Limit {
				r.out.More = fmt.Sprintf("%d-%d", g.number, int64(at)+1)
				return nil
			}
			r.out.Entries = append(r.out.Entries, e)
		}
	}
	r.trimGaps()
	return nil
}

// order puts what was counted, whose last change may be long before it was written, where it belongs.
func (r *reading) order() {
	es := r.out.Entries
	slices.SortStableFunc(es, func(a, b Entry) int { return b.At.Compare(a.At) })
	r.out.Entries = es[:0]
	for i := range es {
		if e := es[i]; !r.merged(&e) {
			r.out.Entries = append(r.out.Entries, e)
		}
	}
}

// trimGaps takes gaps away behind which nothing of the user is.
func (r *reading) trimGaps() {
	es := r.out.Entries
	for len(es) > 0 && es[len(es)-1].Gap {
		es = es[:len(es)-1]
	}
	r.out.Entries = es
}

// places are where the user, its rows and gaps are in a segment.
func (r *reading) places(g *segment) ([]uint32, error) {
	keys := []id{gapID}
	if r.q.User != (connector.User{}) {
		keys = append(keys, r.user)
	}
	for of := range r.rows {
		keys = append(keys, of)
	}
	var all []uint32
	for i := range keys {
		places, err := g.find(keyOf(&keys[i]), keyOf(&keys[i]))
		if err != nil {
			return nil, err
		}
		all = append(all, places...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// pending adds what is counted and not in a file yet.
func (r *reading) pending() {
	for k, c := range r.s.counts {
		row := k.row
		if k.user != (connector.User{}) && k.user != r.q.User || k.user == (connector.User{}) && !r.rows[r.h.row(&row)] || k.user == (connector.User{}) && row == (connector.Key{}) {
			continue
		}
		e := Entry{At: time.UnixMicro(c.last), First: time.UnixMicro(c.first), Counted: true, Count: c.n, User: k.user,
			Outcome: r.name(nil, uint64(k.outcome)), Reason: r.name(nil, uint64(k.why)), Rows: []Row{{Model: r.name(nil, uint64(k.model)), Key: row}}}
		r.out.Entries = append(r.out.Entries, e)
	}
	slices.SortFunc(r.out.Entries, func(a, b Entry) int { return b.At.Compare(a.At) })
}

// merged adds what was counted to the entry before, where that is the same.
func (r *reading) merged(e *Entry) bool {
	n := len(r.out.Entries)
	if n == 0 || !e.Counted && !e.Gap {
		return false
	}
	last := &r.out.Entries[n-1]
	if last.Gap != e.Gap || last.Counted != e.Counted || last.Outcome != e.Outcome || last.Reason != e.Reason || e.Counted && last.Rows[0].Model != e.Rows[0].Model {
		return false
	}
	last.Count += e.Count
	if e.First.Before(last.First) {
		last.First = e.First
	}
	if last.At.Before(e.At) {
		last.At = e.At
	}
	return true
}

// entry reads an entry; false where it is none of the timeline, or damaged.
func (r *reading) entry(g *segment, at uint32) (e Entry, ok bool) {
	body, err := g.read(at)
	if err != nil {
		return e, false
	}
	d := decoder{b: body[1:]}
	switch body[0] {
	case typeGap:
		e = Entry{Gap: true, First: d.time(), At: d.time(), Count: d.uint()}
		return e, !d.bad
	case typeCount:
		user, row := d.id(), d.id()
		if user != (id{}) && user != r.user || user == (id{}) && !r.rows[row] {
			return e, false
		}
		e = Entry{Counted: true, At: d.time(), First: d.time(), Count: d.uint(), User: r.lookup.user(g, user)}
		e.Rows = []Row{{Model: r.name(g, d.uint()), Key: r.row(g, row)}}
		e.Outcome, e.Reason = r.name(g, d.uint()), r.name(g, d.uint())
		return e, !d.bad
	case typeEnd:
		user, to := d.id(), d.id()
		rows := make([]id, d.byte())
		mine := user == (id{})
		for i := range rows {
			rows[i] = d.id()
		}
		if mine {
			mine = slices.ContainsFunc(rows, func(of id) bool { return r.rows[of] })
		} else {
			mine = user == r.user || to == r.user && r.q.User != (connector.User{})
		}
		if !mine {
			return e, false
		}
		e.User, e.To = r.lookup.user(g, user), r.lookup.user(g, to)
		r.end(g, &d, &e, rows)
		return e, !d.bad
	}
	return e, false
}

func (d *decoder) time() time.Time { return time.UnixMicro(int64(d.uint())) }

// ago reads what appendAgo wrote.
func (d *decoder) ago(at time.Time) time.Time {
	n := d.uint()
	if n == 0 {
		return time.Time{}
	}
	return at.Add(-time.Duration(n-1) * time.Microsecond)
}

// end reads the body of a step's end.
func (r *reading) end(g *segment, d *decoder, e *Entry, rows []id) {
	e.At = d.time()
	e.First = e.At
	flags := d.byte()
	e.Kind, e.Waited = connector.Kind(d.byte()), connector.Waits(d.byte())
	e.UpdateOnly, e.Load, e.IsEvent, e.Purchase = flags&flagUpdateOnly != 0, flags&flagLoad != 0, flags&flagEvent != 0, flags&flagPurchase != 0
	e.Outcome, e.Reason = r.name(g, d.uint()), d.str()
	e.Tries, e.Changes, e.Queued = int(d.uint()), int(d.uint()), d.ago(e.At)
	if e.IsEvent {
		e.Event = r.name(g, d.uint())
	}
	if flags&flagCall != 0 {
		e.Call = &connector.Called{At: d.ago(e.At), Took: time.Duration(d.uint()) * time.Microsecond, Budget: time.Duration(d.uint()) * time.Microsecond,
			Objects: int(d.uint()), Status: int(d.uint()), RequestID: d.str()}
	}
	if n := d.uint(); n != 0 {
		e.HadPayload, e.Payload = true, binary.BigEndian.AppendUint64(nil, n)
	}
	for i := range rows {
		w := Row{Key: r.row(g, rows[i]), Model: r.name(g, d.uint()), Stream: r.name(g, d.uint()), Op: connector.Op(d.byte())}
		if w.Op != 0 {
			w.ID.Commit, w.ID.N, w.Committed = d.uint(), uint32(d.uint()), d.ago(e.At)
			switch d.byte() {
			case columnsListed:
				w.Known = true
				for range d.byte() {
					w.Columns = append(w.Columns, r.name(g, d.uint()))
				}
			case columnsAll:
				w.Known = w.Op != connector.Update
			}
		}
		e.Rows = append(e.Rows, w)
	}
	if b := d.bytes(2); len(b) == 2 {
		for range binary.LittleEndian.Uint16(b) {
			n := d.uint()
			e.Fields = append(e.Fields, Field{Name: r.name(g, n>>2), How: How(n & 3)})
			if d.bad {
				return
			}
		}
	}
	for range d.byte() {
		e.Left = append(e.Left, connector.FieldNote{Field: r.name(g, d.uint()), Reason: r.name(g, d.uint())})
	}
}
