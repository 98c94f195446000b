package kafka

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// note is what is written beside a committed offset, and into Batch.Memo, so that whoever reads the partition next knows what the offset stands for.
type note struct {
	topicID [16]byte
	// parts is how many partitions the topic had when this one was first assigned: one with a higher number was added later.
	parts int32
	// load is the end of the load rows: what lay in the log at the first assignment.
	load int64
	// match marks the pattern by which the group read topics, 0 without one: a topic that has no offset yet came later.
	match uint64
}

const noteMark = "brazecdc"

func (n note) String() string {
	s := fmt.Sprintf("%s id=%s parts=%d load=%d", noteMark, hex.EncodeToString(n.topicID[:]), n.parts, n.load)
	if n.match != 0 {
		s += " match=" + strconv.FormatUint(n.match, 16)
	}
	return s
}

// parseNote reads a note; ok is false for a text that is not ours, such as that of an offset set by another tool.
func parseNote(s string) (n note, ok bool) {
	rest, ok := strings.CutPrefix(s, noteMark+" ")
	if !ok {
		return note{}, false
	}
	for _, part := range strings.Fields(rest) {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "id":
			var b []byte
			if b, err = hex.DecodeString(value); err == nil && len(b) != len(n.topicID) {
				return note{}, false
			}
			copy(n.topicID[:], b)
		case "parts":
			var v int64
			v, err = strconv.ParseInt(value, 10, 32)
			n.parts = int32(v)
		case "load":
			n.load, err = strconv.ParseInt(value, 10, 64)
		case "match":
			n.match, err = strconv.ParseUint(value, 16, 64)
		}
		if err != nil {
			return note{}, false
		}
	}
	return n, true
}

// StreamOf names the n-th assignment of a partition.
func StreamOf(topic string, partition int32, n uint64) string {
	return fmt.Sprintf("%s/%d@%d", topic, partition, n)
}

// ParseStream takes a Stream apart. All streams of one partition share its topic and number, and a later one has a higher n.
func ParseStream(stream string) (topic string, partition int32, n uint64, ok bool) {
	head, count, found := strings.Cut(stream, "@")
	slash := strings.LastIndexByte(head, '/')
	if !found || slash < 1 {
		return "", 0, 0, false
	}
	p, err := strconv.ParseInt(head[slash+1:], 10, 32)
	n, err2 := strconv.ParseUint(count, 10, 64)
	if err != nil || err2 != nil || p < 0 {
		return "", 0, 0, false
	}
	return head[:slash], int32(p), n, true
}

// known is a position that somebody holds of a partition.
type known struct {
	offset int64
	epoch  int32
	note   note
	noted  bool // note was written by us
}

// facts are all that decides where a partition starts.
type facts struct {
	topic       string
	partition   int32
	topicID     [16]byte
	parts       int32 // that the topic has now
	first, last int64 // the log's start and end
	// stable is where the first transaction begins that is still open, else last: what it wrote can be read only when it ends.
	stable    int64
	committed *known
	recorded  *known
	// shared is what the processes of the group keep together, and committed is behind of by a moment after a kill.
	shared *known
	// added: the partition or its topic was created after the group began to read, so that nothing in it is old.
	added bool
	start string
	load  bool
	// at is the offset of StartTime, used with StartTimestamp.
	at int64
	// resets begins the command that sets the group's offsets.
	resets string
}

// begin is where a partition starts and what its records are.
type begin struct {
	offset int64
	epoch  int32
	note   note
	first  bool
	gap    bool
	fresh  bool // what was known belongs to an earlier topic of this name
}

// decide tells where reading starts, or why it must not. It never moves a known position to where the log begins or ends.
func (f facts) decide() (begin, error) {
	committed, recorded := f.latest(), f.recorded
	if committed != nil && committed.noted && f.foreign(committed.note.topicID) {
		return begin{}, f.recreated(committed.note.topicID)
	}
	gap, fresh := false, f.shared != nil && f.foreign(f.shared.note.topicID)
	if recorded != nil && f.foreign(recorded.note.topicID) {
		if committed == nil { // the broker takes a deleted topic's offsets away, so their absence is nobody's decision
			return begin{}, f.recreated(recorded.note.topicID)
		}
		recorded, gap, fresh = nil, true, true // an operator set new offsets, or another member goes on in the new topic
	}
	switch {
	case committed == nil && recorded == nil:
		b := f.unknown()
		b.fresh = fresh
		return b, nil
	case committed == nil:
		return f.inside(*recorded, begin{note: recorded.note, fresh: fresh})
	case !committed.noted:
		// Set by another tool while the group was empty: the operator wants to begin there, whatever was recorded. What lies in the log is old.
		return f.inside(*committed, begin{note: note{topicID: f.topicID, parts: f.parts, load: f.last}, first: recorded == nil && !gap, fresh: fresh,
			gap: gap || recorded != nil && committed.offset > recorded.offset})
	case recorded == nil:
		return f.inside(*committed, begin{note: committed.note, gap: gap, fresh: fresh})
	case committed.offset > recorded.offset:
		return f.inside(*committed, begin{note: committed.note, gap: true})
	}
	return f.inside(*recorded, begin{note: committed.note})
}

// latest is the group's position: what is committed, or what the processes recorded together where that is newer. An offset that another tool set counts as it
// is.
func (f facts) latest() *known {
	c, s := f.committed, f.shared
	switch {
	case s == nil || !s.noted || f.foreign(s.note.topicID):
		return c
	case c == nil:
		return s
	case c.noted && !f.foreign(c.note.topicID) && s.offset > c.offset:
		return s
	}
	return c
}

// foreign tells whether an id is that of another topic. Brokers before 2.8 have none.
func (f facts) foreign(id [16]byte) bool {
	return id != f.topicID && id != [16]byte{} && f.topicID != [16]byte{}
}

// unknown is the start of a partition that nobody has read.
func (f facts) unknown() begin {
	b := begin{first: true, epoch: -1, note: note{topicID: f.topicID, parts: f.parts, load: f.last}}
	switch {
	case f.added:
		b.offset, b.note.load = f.first, f.first
	case f.start == StartEarliest, f.start == StartCommitted && f.load:
		b.offset = f.first
	case f.start == StartTimestamp:
		b.offset = f.at
	default: // behind what can be read now; what open transactions hold comes later, and is new then
		b.offset, b.note.load = f.stable, f.stable
	}
	return b
}

// inside checks that a known position is in the log.
func (f facts) inside(k known, b begin) (begin, error) {
	b.offset, b.epoch = k.offset, k.epoch
	name := fmt.Sprintf("partition %d of topic %s", f.partition, f.topic)
	fix := moveOffset(f.resets, f.topic, f.partition, fmt.Sprintf("%d, where the log begins, to %d, where it ends", f.first, f.last))
	switch {
	case k.offset < f.first:
		return b, &connector.StopError{Code: connector.ExitOffsetRange, Fix: fix,
			What: fmt.Sprintf("%s begins at offset %d, behind the group's position %d: %d records were deleted before they were read", name, f.first, k.offset, f.first-k.offset)}
	case k.offset > f.last:
		return b, &connector.StopError{Code: connector.ExitOffsetRange, Fix: fix,
			What: fmt.Sprintf("%s ends at offset %d, before the group's position %d: its log was truncated, and offsets were given anew", name, f.last, k.offset)}
	}
	return b, nil
}

// recreated is the stop for a topic whose name was given to another.
func (f facts) recreated(old [16]byte) error {
	return recreatedError(f.resets, f.topic, old, f.topicID)
}

func recreatedError(resets, topic string, old, now [16]byte) error {
	return &connector.StopError{Code: connector.ExitOffsetRange,
		What: fmt.Sprintf("topic %s was deleted and created again (its id was %s and is %s): the recorded offsets belong to the old one, and nothing of the new one was read",
			topic, hex.EncodeToString(old[:]), hex.EncodeToString(now[:])),
		Fix: fmt.Sprintf("with the group stopped, set where to begin in the new topic: %s --topic %s --to-earliest --execute", resets, topic)}
}
