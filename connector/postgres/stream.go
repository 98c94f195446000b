package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"brazecdc/connector"
)

const (
	// maxChanges and maxBytes bound a batch; a larger transaction is handed over in parts.
	maxChanges = 1000
	maxBytes   = 1 << 20
	// idleGap is how often a position without changes is handed over at most, because each costs the pipeline a durable record.
	idleGap = time.Second
	// manyUnseen is how many delivered transactions may lie in every batch's memo before the server is asked which are visible.
	manyUnseen = 2000
	// exitUnexpected is the exit code for what no operator can mend by a setting.
	exitUnexpected = 1
)

// progress is what was handed over in this run. It outlives connections, so that what the server sends again is told from what is new.
type progress struct {
	pos    uint64 // end of the last transaction handed over whole, or the last idle position
	commit uint64 // finalLSN of that transaction
	part   uint64 // finalLSN of a transaction handed over in part
	count  uint32 // how many of its row messages were handed over
}

// stream reads one replication connection. It belongs to the owner goroutine.
type stream struct {
	s    *Source
	w    *wire
	dec  decoder
	rels map[uint32]*relation
	last *relation
	ask  chan struct{} // to the writer: the server wants a status update

	pend  []connector.Change
	bytes int
	hint  int // size of the last batch, for the next one's allocation

	pos    uint64 // committable behind pend
	commit uint64
	open   bool // inside a transaction
	txn    begin
	count  uint32 // row messages of txn so far
	skip   uint32 // so many of them were handed over by an earlier connection
	marks  []mark
	beat   bool // the transaction carries our heartbeat

	idleSince   time.Time // last position without changes
	memoVersion uint64
	memoSent    bool
}

func newStream(s *Source, w *wire) *stream {
	return &stream{s: s, w: w, rels: map[uint32]*relation{}, ask: make(chan struct{}, 1), pos: s.done.pos, commit: s.done.commit}
}

// run reads until the connection breaks, ctx ends or something is wrong that reading on would hide (*connector.StopError).
func (st *stream) run(ctx context.Context) error {
	for {
		kind, body, err := st.w.next()
		if err != nil {
			return err
		}
		switch kind {
		case 'd':
			if err := st.copyData(ctx, body); err != nil {
				return err
			}
		case 'E':
			return serverError(body)
		case 'c', 'C', 'Z':
			return fmt.Errorf("server ended the stream")
		case 'N', 'S', 'A':
		default:
			return st.undecodable("the server sent the unknown protocol message", kind, body, nil)
		}
		if !st.w.buffered() && !st.open {
			if err := st.drained(ctx, false); err != nil {
				return err
			}
		}
	}
}

func (st *stream) copyData(ctx context.Context, body []byte) error {
	if len(body) == 0 {
		return st.undecodable("the server sent an empty message", 0, body, nil)
	}
	switch body[0] {
	case 'w':
		if len(body) < 26 {
			return st.undecodable("the server sent a truncated message", body[0], body, nil)
		}
		return st.logical(ctx, body[25], body[26:])
	case 'k':
		if len(body) < 18 {
			return st.undecodable("the server sent a truncated keep-alive", body[0], body, nil)
		}
		return st.keepalive(ctx, binary.BigEndian.Uint64(body[1:]), body[17] == 1)
	}
	return st.undecodable("the server sent the unknown replication message", body[0], body, nil)
}

// keepalive may move the position to the server's end of log: only when all that was received is handed over and committed.
func (st *stream) keepalive(ctx context.Context, end uint64, reply bool) error {
	st.receivedUpTo(end)
	if !st.open && len(st.pend) == 0 && end > st.pos && st.s.committed.Load() >= st.s.done.pos {
		st.pos = end
	}
	if reply {
		select {
		case st.ask <- struct{}{}:
		default:
		}
		if !st.open {
			return st.drained(ctx, true)
		}
	}
	return nil
}

func (st *stream) receivedUpTo(lsn uint64) {
	if lsn > st.s.received.Load() {
		st.s.received.Store(lsn)
	}
}

// drained hands over what is there, because nothing more is at hand. now hands over an idle position without waiting for its turn.
func (st *stream) drained(ctx context.Context, now bool) error {
	if len(st.pend) > 0 {
		return st.flush(ctx)
	}
	if st.pos > st.s.done.pos && st.s.done.part != 0 {
		return st.flush(ctx) // the end of a transaction whose rows filled their parts exactly: no next row would take it along
	}
	if st.pos <= st.s.done.pos || st.s.committed.Load() < st.s.done.pos {
		return nil
	}
	if t := time.Now(); now || t.Sub(st.idleSince) >= idleGap {
		st.idleSince = t
		return st.flush(ctx)
	}
	return nil
}

// logical handles one message of pgoutput (PostgreSQL docs, "Logical Replication Message Formats").
func (st *stream) logical(ctx context.Context, kind byte, body []byte) error {
	switch kind {
	case 'I', 'U', 'D':
		return st.row(ctx, kind, body)
	case 'B':
		b, err := decodeBegin(string(body))
		if err != nil {
			return st.undecodable("begin", kind, body, err)
		}
		return st.begin(ctx, b)
	case 'C':
		c, err := decodeCommit(string(body))
		if err != nil {
			return st.undecodable("commit", kind, body, err)
		}
		return st.end(ctx, c)
	case 'R':
		m, err := decodeRelation(string(body))
		if err != nil {
			return st.undecodable("relation", kind, body, err)
		}
		return st.relation(ctx, m)
	case 'T':
		oids, err := decodeTruncate(string(body))
		if err != nil {
			return st.undecodable("truncate", kind, body, err)
		}
		return st.truncate(ctx, oids)
	case 'M':
		m, err := decodeMessage(string(body))
		if err != nil {
			return st.undecodable("logical message", kind, body, err)
		}
		st.message(m)
		return nil
	case 'Y', 'O': // types are looked up by OID; where a change came from first makes no difference
		return nil
	}
	return st.undecodable("a message of a type this version does not know", kind, body, nil)
}

// undecodable stops the source: reading on would lose rows in silence, and reconnecting would read the same again for ever.
func (st *stream) undecodable(what string, kind byte, body []byte, err error) error {
	head := body[:min(len(body), 64)]
	return &connector.StopError{Code: exitUnexpected,
		What: fmt.Sprintf("cannot decode %s (type %q, %d bytes, beginning %s) behind position %s of %s", what, kind, len(body), hex.EncodeToString(head),
			lsn(st.pos), st.s.stream),
		Fix: "report it with the server's version; the position is kept, nothing was passed over", Err: err}
}

func (st *stream) begin(ctx context.Context, b begin) error {
	if st.open {
		return st.undecodable("a transaction inside another", 'B', nil, nil)
	}
	// What an earlier run may have sent must not share a batch with what it cannot have sent.
	if old := st.s.walStart; len(st.pend) > 0 && st.commit <= old && b.finalLSN > old {
		if err := st.flush(ctx); err != nil {
			return err
		}
	}
	st.open, st.txn, st.count, st.skip = true, b, 0, 0
	switch d := &st.s.done; {
	case d.commit != 0 && b.finalLSN <= d.commit:
		st.skip = ^uint32(0)
	case b.finalLSN == d.part:
		st.skip = d.count
	}
	return nil
}

func (st *stream) end(ctx context.Context, c commit) error {
	if !st.open {
		return st.undecodable("the end of a transaction that did not begin", 'C', nil, nil)
	}
	st.open = false
	st.receivedUpTo(c.endLSN)
	st.s.seen.add(st.txn.xid)
	marks := st.marks
	st.marks = st.marks[:0]
	if st.beat {
		st.beat = false
		st.s.health.heartbeat(st.txn.time)
	}
	if st.skip == ^uint32(0) {
		return nil
	}
	st.commit = st.txn.finalLSN
	if c.endLSN > st.pos {
		st.pos = c.endLSN
	}
	for _, m := range marks {
		if err := st.s.loads.mark(ctx, st, m); err != nil {
			return err
		}
	}
	return nil
}

// skipping counts a row message and tells whether an earlier connection handed it over already.
func (st *stream) skipping() bool {
	st.count++
	if st.count <= st.skip {
		st.s.skipped.Add(1)
		return true
	}
	return false
}

func (st *stream) row(ctx context.Context, kind byte, body []byte) error {
	oid, ok := rowOID(body)
	if !ok || !st.open {
		return st.undecodable("a row outside a transaction", kind, body, nil)
	}
	r := st.last
	if r == nil || r.oid != oid {
		if r = st.rels[oid]; r == nil {
			return st.undecodable("a row of a table that was not described", kind, body, nil)
		}
		st.last = r
	}
	n := r.ordinal(st.txn.finalLSN)
	if st.skipping() {
		return nil
	}
	if !r.wanted {
		st.s.others.Add(1)
		return nil
	}
	ch := st.add()
	ch.Time = st.txn.time
	ch.ID = connector.ChangeID{Commit: st.txn.finalLSN, N: n}
	if err := st.dec.row(ch, kind, string(body[4:]), r); err != nil {
		st.pend = st.pend[:len(st.pend)-1]
		return st.undecodable("a row", kind, body, err)
	}
	for _, l := range r.loads {
		l.touch(ch, r)
	}
	if st.bytes += len(body); st.bytes >= maxBytes || len(st.pend) >= maxChanges {
		return st.flush(ctx)
	}
	return nil
}

func (st *stream) truncate(ctx context.Context, oids []uint32) error {
	if !st.open {
		return st.undecodable("a truncate outside a transaction", 'T', nil, nil)
	}
	for _, o := range oids {
		r := st.rels[o]
		if r == nil {
			return st.undecodable("a truncate of a table that was not described", 'T', nil, nil)
		}
		n := r.ordinal(st.txn.finalLSN)
		if st.skipping() || !r.wanted {
			continue
		}
		ch := st.add()
		ch.Op, ch.Key.Table, ch.Time = connector.Truncate, r.table.Name, st.txn.time
		ch.ID = connector.ChangeID{Commit: st.txn.finalLSN, N: n}
		for _, l := range r.loads {
			l.truncated()
		}
		if len(st.pend) >= maxChanges {
			if err := st.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stream) message(m message) {
	if m.prefix != messagePrefix || !m.transactional {
		return
	}
	if k, ok := parseMark(m.content, st.s.cfg.Slot); ok {
		if k.load == "" {
			st.beat = true
			return
		}
		st.marks = append(st.marks, k)
	}
}

func (st *stream) relation(ctx context.Context, m relationMessage) error {
	r, err := st.s.tables.relation(ctx, st.s.main, &m)
	if err != nil {
		return err
	}
	if old := st.rels[m.oid]; old != nil {
		r.txn, r.count = old.txn, old.count
	}
	r.loads = st.s.loads.of(r)
	st.rels[m.oid] = r
	st.last = nil
	return nil
}

// reload gives the relations the loads that run now.
func (st *stream) reload() {
	for _, r := range st.rels {
		r.loads = st.s.loads.of(r)
	}
}

func (st *stream) add() *connector.Change {
	if st.pend == nil {
		st.pend = make([]connector.Change, 0, max(8, min(st.hint, maxChanges)))
	}
	st.pend = append(st.pend, connector.Change{})
	return &st.pend[len(st.pend)-1]
}

// flush hands over what was collected and notes it. It waits while the pipeline takes nothing; the writer goes on meanwhile.
func (st *stream) flush(ctx context.Context) error {
	d := &st.s.done
	if len(st.pend) == 0 && st.pos <= d.pos {
		return nil
	}
	b := connector.Batch{Position: connector.Position{Stream: st.s.stream, Offset: st.pos}, Changes: st.pend}
	if n := len(st.pend); n > 0 {
		b.Replayed = !st.s.fresh && st.pend[0].ID.Commit <= st.s.walStart
	}
	unseen, v := st.s.seen.size()
	if v != st.memoVersion || !st.memoSent {
		b.Memo, st.memoVersion, st.memoSent = st.s.memo.append(nil), v, true
	}
	if unseen > manyUnseen {
		select {
		case st.s.prune <- struct{}{}:
		default:
		}
	}
	select {
	case st.s.out <- b:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.pos, d.commit = st.pos, st.commit
	d.part, d.count = 0, 0
	if st.open {
		d.part, d.count = st.txn.finalLSN, st.count
	}
	if n := len(st.pend); n > 0 {
		st.s.health.change(st.pend[n-1].Time)
		st.hint = n + n/4
	}
	st.pend, st.bytes = nil, 0
	return nil
}

// lsn prints a position as Postgres does.
func lsn(x uint64) string { return fmt.Sprintf("%X/%X", uint32(x>>32), uint32(x)) }
