package state

import (
	"encoding/binary"
	"errors"
	"time"

	"brazecdc/connector"
)

// errShort is what a value gives that ends before its members do, or has bytes left over.
var errShort = errors.New("its length does not fit its content")

// encoder appends members to a value. Strings keep every byte: keys of rows hold separators and, out of SQL_ASCII databases, bytes that are
// not UTF-8, which JSON would replace.
type encoder []byte

func (e *encoder) uint(v uint64) { *e = binary.AppendUvarint(*e, v) }

func (e *encoder) str(s string) {
	e.uint(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) strs(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

// bytes keeps nil and empty apart.
func (e *encoder) bytes(b []byte) {
	if b == nil {
		e.uint(0)
		return
	}
	e.uint(uint64(len(b)) + 1)
	*e = append(*e, b...)
}

func (e *encoder) bool(v bool) {
	if v {
		*e = append(*e, 1)
	} else {
		*e = append(*e, 0)
	}
}

func (e *encoder) time(t time.Time) {
	e.bool(!t.IsZero())
	if !t.IsZero() {
		*e = binary.AppendVarint(*e, t.Unix())
		e.uint(uint64(t.Nanosecond()))
	}
}

func (e *encoder) user(u connector.User) {
	*e = append(*e, byte(u.Kind))
	e.str(u.ID)
	e.str(u.Label)
}

func (e *encoder) key(k connector.Key) {
	e.str(k.Table)
	e.str(k.ID)
}

func (e *encoder) change(c connector.ChangeID) {
	e.uint(c.Commit)
	e.uint(uint64(c.N))
}

func (e *encoder) effect(s *connector.StoredEffect) {
	e.bool(s != nil)
	if s == nil {
		return
	}
	*e = append(*e, byte(s.Kind))
	e.user(s.User)
	e.user(s.To)
	e.str(s.Model)
	e.uint(uint64(len(s.Rows)))
	for _, r := range s.Rows {
		e.str(r.Model)
		e.key(r.Key)
		e.bool(r.Whole)
	}
	e.uint(uint64(len(s.Fields)))
	for _, f := range s.Fields {
		e.str(f.Model)
		e.str(f.Name)
		e.bytes(f.JSON)
		e.bool(f.Omit)
	}
	e.bool(s.UpdateOnly)
	e.bool(s.Owner)
	e.bool(s.Creates)
	e.bool(s.Event != nil)
	if v := s.Event; v != nil {
		e.bool(v.Purchase)
		e.str(v.Name)
		e.time(v.Time)
		e.bytes(v.JSON)
	}
}

func (e *encoder) original(o *connector.Original) {
	e.bool(o != nil)
	if o == nil {
		return
	}
	e.str(o.Topic)
	e.uint(uint64(o.Partition))
	e.uint(uint64(o.Offset))
	e.time(o.Time)
	e.bytes(o.Key)
	e.bytes(o.Value)
	e.uint(uint64(len(o.Headers)))
	for _, h := range o.Headers {
		e.str(h.Key)
		e.bytes(h.Value)
	}
	e.uint(uint64(o.Size))
	e.bool(o.Cut)
	e.str(o.Kept)
	e.uint(uint64(o.KeptAt))
	e.bool(o.Gone)
}

// decoder reads what an encoder wrote. After its first error all further members are zero; it never panics, whatever the bytes.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b = nil
	d.err = errShort
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bool() bool { return d.byte() != 0 }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// take gives the next n bytes without copying them.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string { return string(d.take(d.uint())) }

func (d *decoder) strs() (list []string) {
	for range d.count() {
		list = append(list, d.str())
	}
	return list
}

// lastStr is a string at a value's end that values of before do not have.
func (d *decoder) lastStr() string {
	if len(d.b) == 0 {
		return ""
	}
	return d.str()
}

// lastUint is lastStr for a number.
func (d *decoder) lastUint() uint64 {
	if len(d.b) == 0 {
		return 0
	}
	return d.uint()
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n == 0 {
		return nil
	}
	return append([]byte{}, d.take(n-1)...)
}

func (d *decoder) time() time.Time {
	if !d.bool() {
		return time.Time{}
	}
	sec, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return time.Time{}
	}
	d.b = d.b[n:]
	return time.Unix(sec, int64(d.uint())).UTC()
}

// count reads the length of a list whose members take at least one byte each, so that damaged bytes cannot ask for unbounded memory.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) user() connector.User {
	return connector.User{Kind: connector.IDKind(d.byte()), ID: d.str(), Label: d.str()}
}

func (d *decoder) key() connector.Key { return connector.Key{Table: d.str(), ID: d.str()} }

func (d *decoder) change() connector.ChangeID {
	return connector.ChangeID{Commit: d.uint(), N: uint32(d.uint())}
}

func (d *decoder) effect() *connector.StoredEffect {
	if !d.bool() {
		return nil
	}
	s := &connector.StoredEffect{Kind: connector.Kind(d.byte()), User: d.user(), To: d.user(), Model: d.str()}
	for range d.count() {
		s.Rows = append(s.Rows, connector.StoredRow{Model: d.str(), Key: d.key(), Whole: d.bool()})
	}
	for range d.count() {
		s.Fields = append(s.Fields, connector.StoredField{Model: d.str(), Name: d.str(), JSON: d.bytes(), Omit: d.bool()})
	}
	s.UpdateOnly, s.Owner, s.Creates = d.bool(), d.bool(), d.bool()
	if d.bool() {
		s.Event = &connector.StoredEvent{Purchase: d.bool(), Name: d.str(), Time: d.time(), JSON: d.bytes()}
	}
	return s
}

// end tells whether the value was read exactly to its end.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.err = errShort
	}
	return d.err
}

func (d *decoder) original() *connector.Original {
	if !d.bool() {
		return nil
	}
	o := &connector.Original{Topic: d.str(), Partition: int32(d.uint()), Offset: int64(d.uint()), Time: d.time(), Key: d.bytes(), Value: d.bytes()}
	for range d.count() {
		o.Headers = append(o.Headers, connector.OriginalHeader{Key: d.str(), Value: d.bytes()})
	}
	o.Size, o.Cut, o.Kept, o.KeptAt, o.Gone = int(d.uint()), d.bool(), d.str(), int64(d.uint()), d.bool()
	return o
}
