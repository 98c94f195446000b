package history

import (
	"encoding/binary"
	"strings"
	"time"

	"brazecdc/connector"
)

// slab is a buffer of entries on their way to the files. In it users and rows still have their names.
type slab struct {
	b []byte
	n int
}

// What an entry in a slab, and in a file, is.
const (
	typeEnd   = 'E' // a step that ended
	typeCount = 'C' // changes of which nothing was sent, counted
	typeUser  = 'U' // what a user's id stands for
	typeRow   = 'R' // what a row's id stands for
	typeGap   = 'G'
	typeValue = 'P' // a payload, sealed
)

const (
	flagUpdateOnly = 1 << iota
	flagLoad
	flagCall
	flagEvent
	flagPurchase
)

// How a mapped field went.
const (
	fieldSent  = iota
	fieldSame  // Braze has it
	fieldEmpty // a NULL that need not be sent
)

// What is known of the columns of a row's change.
const (
	columnsUnknown = iota
	columnsListed
	columnsAll
)

const defaultPerSecond = 10_000

const (
	maxReason = 300
	maxNotes  = 64
	maxRows   = 32
)

// defName remembers a field's name by its number.
type defName struct {
	def *connector.FieldDef
	id  uint32
}

// dictionary gives names numbers. They are few: of models, tables, columns, fields, streams.
type dictionary struct {
	ids  map[string]uint32
	list []string // from 1 on
}

// maxNames bounds what is named; beyond it a name is 0, which is unknown.
const maxNames = 1 << 16

func (d *dictionary) id(name string) uint32 {
	if n, ok := d.ids[name]; ok {
		return n
	}
	if len(d.list) >= maxNames || len(name) > 1<<10 {
		return 0
	}
	if d.ids == nil {
		d.ids = map[string]uint32{}
	}
	name = strings.Clone(name)
	d.list = append(d.list, name)
	d.ids[name] = uint32(len(d.list))
	return uint32(len(d.list))
}

func appendStr(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendUint[T ~int | ~int64 | ~uint32 | ~uint64](b []byte, n T) []byte {
	return binary.AppendUvarint(b, uint64(n))
}

// appendAgo appends how long before at something was, so that 0 stays for what is not known.
func appendAgo(b []byte, at, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return appendUint(b, max(at.Sub(t).Microseconds(), 0)+1)
}

// room gives the slab that has room, nil where an entry has to be dropped. s.mu is held.
func (s *Store) room(now time.Time) *slab {
	if s.slab == nil && len(s.free) > 0 {
		s.slab = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
	}
	if s.slab == nil {
		s.skip(now)
	}
	return s.slab
}

// skip counts an entry that is not kept, and notes the gap. s.mu is held.
func (s *Store) skip(now time.Time) {
	s.dropped.Add(1)
	if s.gap.n == 0 {
		s.gap.from = now
	}
	s.gap.n++
	s.gap.to = now
}

// turn tells whether an entry may be kept: at most cfg.PerSecond, and as many at once, since what is written takes its time from the stream. s.mu is held.
func (s *Store) turn(now time.Time) bool {
	if past := now.Sub(s.turned); past > 0 {
		s.turns = min(s.turns+past.Seconds()*float64(s.cfg.PerSecond), float64(s.cfg.PerSecond))
		s.turned = now
	}
	if s.turns < 1 {
		return false
	}
	s.turns--
	return true
}

// filled hands the slab over once it is full. s.mu is held; the channel has room for all slabs there are.
func (s *Store) filled() {
	if len(s.slab.b) >= slabSize {
		s.full <- s.slab
		s.slab = nil
	}
}

// Ended is a pipeline's Ended.
func (s *Store) Ended(e *connector.Ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.turn(e.At) && !s.payload.watches(e.User) {
		s.skip(e.At)
		return
	}
	sl := s.room(e.At)
	if sl == nil {
		return
	}
	if e.Outcome == "suppressed" && e.User.Kind != connector.Item && len(e.Rows) > 0 {
		s.appendCount(sl, e.At, e.User, e.Rows[0].Model, &e.Rows[0].Key, e.Changes, e.Outcome, e.Reason)
	} else {
		s.appendEnd(sl, e)
	}
	sl.n++
	s.filled()
}

// Passed is a mapping's PassedChange: a change was nothing for a model. It is counted by its row, since nobody knows whose it is.
func (s *Store) Passed(model int, c *connector.Change, why string) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.turn(now) {
		s.skip(now)
		return
	}
	sl := s.room(now)
	if sl == nil {
		return
	}
	s.appendCount(sl, now, connector.User{}, model, &c.Key, 1, "passed", why)
	sl.n++
	s.filled()
}

func (s *Store) model(i int) uint32 {
	if i < 0 || i >= len(s.models) {
		return 0
	}
	return s.models[i]
}

func appendUser(b []byte, u *connector.User) []byte {
	return appendStr(appendStr(append(b, byte(u.Kind)), u.Label), u.ID)
}

func appendKey(b []byte, k *connector.Key) []byte { return appendStr(appendStr(b, k.Table), k.ID) }

// begin leaves room for an entry's length, which end fills in.
func begin(b []byte, kind byte) []byte { return append(b, 0, 0, 0, 0, kind) }

func end(b []byte, at int) { binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4)) }

func (s *Store) appendCount(sl *slab, at time.Time, u connector.User, model int, k *connector.Key, changes int, outcome, why string) {
	from := len(sl.b)
	b := appendUser(begin(sl.b, typeCount), &u)
	b = appendKey(b, k)
	b = appendUint(b, at.UnixMicro())
	b = appendUint(b, max(changes, 1))
	b = appendUint(b, s.model(model))
	b = appendUint(b, s.names.id(outcome))
	b = appendUint(b, s.names.id(why))
	end(b, from)
	sl.b = b
}

func (s *Store) appendEnd(sl *slab, e *connector.Ending) {
	from := len(sl.b)
	rows := e.Rows[:min(len(e.Rows), maxRows)]
	b := appendUser(begin(sl.b, typeEnd), &e.User)
	b = appendUser(b, &e.To)
	b = append(b, byte(len(rows)))
	for i := range rows {
		b = appendKey(b, &rows[i].Key)
	}
	b, number := s.appendBody(b, e, rows)
	end(b, from)
	sl.b = b
	if s.cfg.Values && number != 0 {
		if value := s.payload.ring[s.payload.n%Payloads].b; value != nil {
			from = len(sl.b)
			b = appendUint(appendUser(begin(sl.b, typeValue), &e.User), number)
			sl.b = append(b, value...)
			end(sl.b, from)
		}
	}
}

// appendBody appends what goes to the file as it is, and gives the number of the payload.
func (s *Store) appendBody(b []byte, e *connector.Ending, rows []connector.EndedRow) (_ []byte, number uint64) {
	flags := byte(0)
	set := func(on bool, f byte) {
		if on {
			flags |= f
		}
	}
	set(e.UpdateOnly, flagUpdateOnly)
	set(e.Load, flagLoad)
	set(e.Call != nil, flagCall)
	set(e.Event != nil, flagEvent)
	set(e.Event != nil && e.Event.Purchase, flagPurchase)
	b = appendUint(b, e.At.UnixMicro())
	b = append(b, flags, byte(e.Kind), byte(e.Waited))
	b = appendUint(b, s.names.id(e.Outcome))
	b = appendStr(b, brief(e.Reason, e.Call != nil))
	b = appendUint(b, e.Tries)
	b = appendUint(b, e.Changes)
	b = appendAgo(b, e.At, e.Queued)
	if e.Event != nil {
		name := e.Event.Name
		if e.Event.Purchase {
			name = "" // the product is a value of the row
		}
		b = appendUint(b, s.names.id(name))
	}
	if c := e.Call; c != nil {
		b = appendAgo(b, e.At, c.At)
		b = appendUint(b, c.Took.Microseconds())
		b = appendUint(b, c.Budget.Microseconds())
		b = appendUint(b, c.Objects)
		b = appendUint(b, c.Status)
		b = appendStr(b, c.RequestID)
	}
	number = s.payload.keep(e)
	b = appendUint(b, number)
	for i := range rows {
		b = s.appendRow(b, e.At, &rows[i])
	}
	b = s.appendFields(b, e)
	left := e.Left[:min(len(e.Left), maxNotes)]
	b = append(b, byte(len(left)))
	for i := range left {
		b = appendUint(b, s.names.id(left[i].Field))
		b = appendUint(b, s.names.id(left[i].Reason))
	}
	return b, number
}

func (s *Store) appendRow(b []byte, at time.Time, r *connector.EndedRow) []byte {
	b = appendUint(b, s.model(r.Model))
	b = appendUint(b, s.names.id(r.Stream))
	c := r.Change
	if c == nil {
		return append(b, 0)
	}
	b = append(b, byte(c.Op))
	b = appendUint(b, c.ID.Commit)
	b = appendUint(b, c.ID.N)
	b = appendAgo(b, at, c.Time)
	return s.appendColumns(b, c)
}

// appendColumns lists the columns that a change changed, as far as its before-image tells.
func (s *Store) appendColumns(b []byte, c *connector.Change) []byte {
	before, after := c.Before, c.After
	if c.Op != connector.Update {
		return append(b, columnsAll)
	}
	if !before.Exists() || before.Table != after.Table {
		return append(b, columnsUnknown)
	}
	names := s.columns(after.Table)
	b = append(b, columnsListed)
	count := len(b)
	b = append(b, 0)
	for i := range after.Cells {
		x, y := &before.Cells[i], &after.Cells[i]
		if x.State == connector.Absent || y.State == connector.Absent {
			if x.State != y.State && !after.Table.Columns[i].Key && x.State == connector.Absent && y.State == connector.Set {
				b[count-1] = columnsUnknown // the image has only some of the columns
			}
			continue
		}
		if *x != *y && b[count] < 255 {
			b[count]++
			b = appendUint(b, names[i])
		}
	}
	if b[count-1] == columnsUnknown {
		b = b[:count]
	}
	return b
}

// maxTables bounds how many shapes of tables are remembered at once.
const maxTables = 1000

func (s *Store) columns(t *connector.Table) []uint32 {
	names, ok := s.tables[t]
	if !ok {
		if len(s.tables) >= maxTables {
			clear(s.tables)
		}
		names = make([]uint32, len(t.Columns))
		for i := range t.Columns {
			names[i] = s.names.id(t.Columns[i].Name)
		}
		s.tables[t] = names
	}
	return names
}

func (s *Store) field(d *connector.FieldDef) uint32 {
	if d.Order < 0 || d.Order >= maxNames {
		return s.names.id(d.Name)
	}
	for len(s.defs) <= d.Order {
		s.defs = append(s.defs, defName{})
	}
	if known := &s.defs[d.Order]; known.def != d {
		*known = defName{d, s.names.id(d.Name)}
	}
	return s.defs[d.Order].id
}

// appendFields lists the mapped fields with what became of each. Both lists are sorted by Order.
func (s *Store) appendFields(b []byte, e *connector.Ending) []byte {
	mapped, sent := e.Mapped, e.Sent
	n := 0
	at := len(b)
	b = append(b, 0, 0)
	j := 0
	for i := range mapped {
		f := &mapped[i]
		how := uint32(fieldSame)
		for j < len(sent) && sent[j].Def.Order < f.Def.Order {
			b = appendUint(b, s.field(sent[j].Def)<<2) // fieldSent is 0
			n, j = n+1, j+1
		}
		switch {
		case j < len(sent) && sent[j].Def == f.Def:
			how = fieldSent
			j++
		case f.Omit:
			how = fieldEmpty
		}
		b = appendUint(b, s.field(f.Def)<<2|how)
		n++
	}
	for ; j < len(sent); j++ {
		b = appendUint(b, s.field(sent[j].Def)<<2)
		n++
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(min(n, 1<<16-1)))
	return b
}

// brief shortens a reason. What Braze answered may repeat a value, so of its words none stay that look like an address or a number of a person.
func brief(s string, answered bool) string {
	if s == "" {
		return ""
	}
	if answered {
		words := strings.Fields(s)
		for i, w := range words {
			digits := 0
			for _, r := range w {
				if r >= '0' && r <= '9' {
					digits++
				}
			}
			if strings.Contains(w, "@") || digits > 5 {
				words[i] = "…"
			}
		}
		s = strings.Join(words, " ")
	}
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
