package connector

import (
	"bytes"
	"slices"
	"time"
)

// step is one thing a user waits for: one or more effects folded into one, or one that never folds. It keeps the shares of all changes behind it.
type step struct {
	user   User
	to     User
	event  *Event // instead of fields
	fields []Field
	rows   []rowRef
	shares []share
	held   []holding
	// entries are quarantine entries whose fields went into this step; they close when it is accepted.
	entries []uint64

	recalls []recall        // what a retry puts under it when it leaves
	retried uint64          // the quarantine entry that it is a retry of, 0 for none
	only    []string        // fields that reread is after, of the rows it reads; empty: whole rows
	waiters []chan<- string // told in a sentence how the step ended; each has room for it

	// from is the load that a row of the step is of, unmark the mark of one that is over.
	from   *loadRun
	unmark *FieldDef
	// known is what prints said of the user when the step last left, by model.
	known []knownPrints

	// For whoever keeps a history: when it came into the queue, the call it went with, fields left out.
	queued moment
	call   *Called
	left   []FieldNote
	// offered is what was sent of it while a refusal is handled.
	offered *Effect

	epoch     uint64
	successes uint64    // of the endpoint when it last failed
	at        time.Time // commit time of the oldest change in it
	row1      [1]rowRef
	share1    [1]share

	attempts int32 // failed ones while others succeeded
	fails    int32 // failed ones in a row, in this epoch of the endpoint
	tries    int32 // failed ones in all, for the history
	kind     Kind
	waited   Waits // what it waited for, for the history

	// Each takes a byte, and there are as many steps as open changes: they stand together, so that none takes eight.
	updateOnly bool
	owner      bool
	creates    bool
	verify     bool
	load       bool // only load rows so far
	initial    bool // only load rows or initial changes so far
	// nulls: the profile may exist, so NULLs of new rows are sent too.
	nulls bool
	// noProof: what Braze holds of this user is not known well enough to leave anything out.
	noProof bool
	// maybeSent: an earlier run, or an attempt with unknown outcome, may have delivered some of it.
	maybeSent bool
	refused   bool // a rename that an earlier run heard Braze refuse
	// stored: it lies in data/ with a settling user; its tickets are done.
	stored bool
	// again: the profile was deleted and starts anew, so the other models' rows of the user are read.
	again bool
	// unsent: a row that starts the profile was folded into this delete, so the profile may never have existed.
	unsent bool
	// existed: this delete met a profile that Braze had, so once Braze does not know the user any more the delete has taken effect.
	existed bool
	// reread: the row is read when the step leaves, while its user is busy, so that nothing newer can slip in between.
	reread bool
	// revived: that was done.
	revived bool
	// release: a held delete that was confirmed, or that this row ends; it leaves data/ when this step ends.
	release bool
	counted bool // the brake has counted this delete
	erase   bool // a person asked that the user be forgotten: this delete is not held, and nothing undoes it
	noted   bool // the list of from has the user
	asked   bool // someone had an entry retried, and its end is still to be counted
	fetched bool // known was asked for by the call it is about to leave with
}

// rowRef is one row behind a step.
type rowRef struct {
	model  int
	key    Key
	oldKey Key
	whole  bool
	proven bool // the model's before-images were proof when the change was read
	known  int8 // what the cache says: 0 not asked, 1 known, -1 not
	ends   bool // the row is no more, for its model
	// partial: only some fields of the row were asked for, so that accepting them makes nothing known of it.
	partial bool
	stream  string
	change  *Change
}

// ended tells whether all rows of a step are no more.
func (s *step) ended() bool {
	return len(s.rows) > 0 && !slices.ContainsFunc(s.rows, func(r rowRef) bool { return !r.ends })
}

// part is the partition that a step belongs to, "" where the source has none.
func (s *step) part() string {
	if len(s.rows) == 0 {
		return ""
	}
	return PartOf(s.rows[0].stream)
}

// fold merges the newer step b into the older a, which keeps its place: last value per field, the shares of both. Both are Track.
func fold(a, b *step) {
	a.fields = foldFields(a.fields, b.fields, a.maybeSent || b.maybeSent)
	a.updateOnly = a.updateOnly && b.updateOnly
	a.owner = a.owner || b.owner
	a.creates = a.creates || b.creates
	a.load, a.initial = a.load && b.load, a.initial && b.initial
	a.nulls = a.nulls || b.nulls
	a.noProof = a.noProof || b.noProof
	a.again = a.again || b.again
	absorb(a, b)
}

// foldOlder merges a row that a load or a look-up read into a waiting change of the same row, which is newer and wins.
func foldOlder(s, read *step) {
	s.fields = foldFields(read.fields, s.fields, s.maybeSent || read.maybeSent)
	s.updateOnly = s.updateOnly && read.updateOnly
	s.creates = s.creates || read.creates
	s.owner = s.owner || read.owner
	s.nulls = s.nulls || read.nulls
	s.noProof = s.noProof || read.noProof
	absorbOlder(s, read)
}

// absorb moves what a newer step answers for to an older one: rows, shares, entries.
func absorb(a, b *step) {
	for _, r := range b.rows {
		a.addRow(r)
	}
	a.answerFor(b)
}

// absorbOlder is absorb for an older step: of a row that both have, a's own change counts.
func absorbOlder(a, b *step) {
	for _, r := range b.rows {
		i := slices.IndexFunc(a.rows, func(o rowRef) bool { return o.model == r.model && o.key == r.key })
		if i < 0 {
			a.rows = append(a.rows, r)
			continue
		}
		o := &a.rows[i]
		if o.oldKey == (Key{}) {
			o.oldKey = r.oldKey
		}
		o.whole = o.whole || r.whole
		o.partial = o.partial && r.partial
	}
	a.answerFor(b)
}

// maxLeft is about how many fields that were left out a folded step remembers.
const maxLeft = 64

// answerFor adds the shares, holdings and entries of another step.
func (s *step) answerFor(b *step) {
	for _, h := range b.shares {
		s.addShare(h)
	}
	for _, h := range b.held {
		s.addHold(h)
	}
	s.entries = append(s.entries, b.entries...)
	s.maybeSent = s.maybeSent || b.maybeSent
	s.release = s.release || b.release
	s.counted = s.counted || b.counted
	if b.erase {
		s.erase, s.verify = true, false
	}
	s.unsent = s.unsent || b.unsent
	s.rereads(b)
	s.recalls = append(s.recalls, b.recalls...)
	if b.retried != 0 {
		s.retried = b.retried
	}
	s.asked = s.asked || b.asked
	s.waiters = append(s.waiters, b.waiters...)
	if b.from != nil && (s.from == nil || s.from.mark == nil) {
		s.from, s.noted = b.from, b.noted
	}
	if s.unmark == nil {
		s.unmark = b.unmark
	}
	s.waited |= b.waited
	if b.queued != 0 && (s.queued == 0 || b.queued < s.queued) {
		s.queued = b.queued
	}
	if len(b.left) > 0 && len(s.left) < maxLeft {
		s.left = append(slices.Clip(s.left), b.left...)
	}
	if !b.at.IsZero() && (s.at.IsZero() || b.at.Before(s.at)) {
		s.at = b.at
	}
}

func (s *step) addRow(r rowRef) {
	for i := range s.rows {
		o := &s.rows[i]
		if o.model == r.model && o.key == r.key {
			if r.partial {
				return // what waits says more of the row than that parts of it were asked for
			}
			if r.oldKey == (Key{}) {
				r.oldKey = o.oldKey
			}
			r.whole = r.whole || o.whole
			r.proven = r.proven && o.proven
			*o = r
			return
		}
	}
	s.rows = append(s.rows, r)
}

func (s *step) addShare(h share) {
	for i := range s.shares {
		if s.shares[i].t == h.t {
			s.shares[i].n += h.n
			return
		}
	}
	s.shares = append(s.shares, h)
}

// foldFields merges two sorted lists of fields, the second being newer. Where nobody can have sent a value in between, a field that came back to
// its first value counts as unchanged.
func foldFields(a, b []Field, maybeSent bool) []Field {
	if len(a) == 0 {
		return b
	}
	if sameDefs(a, b) {
		for i := range a {
			a[i] = foldField(&a[i], &b[i], maybeSent)
		}
		return a
	}
	out := make([]Field, 0, len(a)+len(b))
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch x, y := &a[i], &b[j]; {
		case x.Def.Order < y.Def.Order:
			out = append(out, *x)
			i++
		case x.Def.Order > y.Def.Order:
			out = append(out, *y)
			j++
		default:
			out = append(out, foldField(x, y, maybeSent))
			i, j = i+1, j+1
		}
	}
	out = append(out, a[i:]...)
	return append(out, b[j:]...)
}

func sameDefs(a, b []Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Def != b[i].Def {
			return false
		}
	}
	return true
}

func foldField(old, neu *Field, maybeSent bool) Field {
	f := *neu
	f.Again = old.Again || neu.Again
	f.Varied = old.Varied || neu.Varied || maybeSent && !bytes.Equal(old.JSON, neu.JSON)
	if f.Def.Array == ArrayCollect {
		f.JSON = foldCollections(old.JSON, neu.JSON)
	}
	if neu.Omit && !(old.Omit && isNull(old.JSON)) {
		f.Omit = false // a value may be waiting here or lie in Braze: the null has to go
	}
	switch {
	case old.Proof == NoProof || neu.Proof == NoProof:
		f.Proof, f.Was, f.Old = NoProof, 0, nil
	case neu.Proof == Unchanged:
		f.Proof, f.Was, f.Old = old.Proof, old.Was, old.Old
	case old.Proof == Unchanged:
		// f carries neu's own before-value already
	default:
		f.Proof, f.Was, f.Old = Changed, old.Was, old.Old
		if !maybeSent && HashJSON(f.JSON) == old.Was {
			f.Proof, f.Was, f.Old = Unchanged, 0, nil
		}
	}
	return f
}

func isNull(b []byte) bool { return len(b) == 4 && b[0] == 'n' }

// undelete turns a row that comes again while its delete still waits into a whole row without a delete: every field the model maps and the row
// lacks becomes null, so that nothing of the old row stays.
func undelete(s *step, models []ModelInfo) {
	s.nulls, s.noProof = true, true
	for _, r := range s.rows {
		if m := &models[r.model]; m.Owner {
			s.fields = foldFields(nullFields(m), s.fields, true)
		}
	}
	for i := range s.fields {
		s.fields[i].Omit = false
	}
}

func nullFields(m *ModelInfo) []Field {
	fields := make([]Field, 0, len(m.Fields))
	for _, d := range m.Fields {
		if !d.NoNull {
			fields = append(fields, Field{Def: d, JSON: jsonNull})
		}
	}
	return fields
}

var jsonNull = []byte("null")

// rereads takes over that b is to be read, and which fields: all, unless both are after some.
func (s *step) rereads(b *step) {
	switch {
	case !b.reread:
		return
	case !s.reread:
		s.only = b.only
	case len(s.only) == 0 || len(b.only) == 0:
		s.only = nil
	default:
		s.only = append(slices.Clip(s.only), b.only...)
	}
	s.reread = true
}
