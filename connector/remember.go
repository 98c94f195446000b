package connector

import (
	"context"
	"errors"
	"slices"
)

// RememberedRow is what is remembered of a row of a source that cannot read rows again, so that the rules that read the clock can be looked at as time passes.
type RememberedRow struct {
	Key  Key
	User User   // that it was last mapped to
	Part string // the partition that the row came from, as in RowPut
	// Columns are those that the rules read, as a RowRememberer wrote them.
	Columns []byte
}

// RowRememberer is a Mapper that tells what of its models' rows changes by time alone. Its methods may be called concurrently.
type RowRememberer interface {
	// Remembers tells whether anything of a model reads the clock.
	Remembers(model int) bool
	// Remember appends what is to be remembered of the row as a change left it. ok is false where nothing is: the row is none for the model, or names no user.
	// older gives what is remembered of it so far, nil for nothing; it is asked for columns that the change does not carry.
	Remember(dst []byte, model int, c *Change, older func() []byte) (columns []byte, u User, ok bool)
	// MapRemembered appends what the rules that read the clock say of a row by now. enters: the row was never sent, so that it goes whole where the filter
	// lets it in; else only what changes by time goes, and creates nothing. ErrNotRemembered: the row lacks columns that the model reads.
	MapRemembered(dst []Effect, model int, r *RememberedRow, enters bool) ([]Effect, error)
}

// ErrNotRemembered: a row was remembered under other settings, or in parts, and does not hold what the rules read now.
var ErrNotRemembered = errors.New("columns that the model reads are not remembered of this row")

// RowKeeper is a Fingerprints that also remembers rows, under the same rules: it is durable after Sync, and what came of a Part is dropped with it.
type RowKeeper interface {
	// Remember stores rows; a later put of a row counts. maxRemembered bounds one.
	Remember(puts []RememberPut) error
	// Remembered gives one row.
	Remembered(model string, key Key) (r RememberedRow, ok bool, err error)
	// RememberedRows gives up to n rows of a model that came of one of the parts, from a place on (nil: the first). next is the place behind them, nil at the
	// end; rows may be fewer than n before that.
	RememberedRows(model string, from []byte, parts map[string]bool, n int) (rows []RememberedRow, next []byte, err error)
	// CountRemembered counts the rows of a model.
	CountRemembered(ctx context.Context, model string) (int64, error)
	// ForgetRows forgets the rows of a model's table or topic, "" all of the model's.
	ForgetRows(model, table string) error
}

// RememberPut is a row to be remembered, or with Gone no longer.
type RememberPut struct {
	Model string
	RememberedRow
	Gone bool
}

// maxRemembered bounds the columns of one row. A larger one is not remembered: what it would change by time comes with its next change.
const maxRemembered = 64 << 10

// memory remembers rows for the models whose schedule goes over them. It belongs to the reader but for its models. A nil memory remembers nothing.
type memory struct {
	p      *Pipeline
	mapper RowRememberer
	models []int
	puts   []RememberPut
	buf    []byte
}

// newMemory gives nil where no model asks for it, or the parts cannot.
func newMemory(p *Pipeline) *memory {
	mapper, ok := p.cfg.Mapper.(RowRememberer)
	if _, keeps := p.cfg.Prints.(RowKeeper); !ok || !keeps {
		return nil
	}
	m := &memory{p: p, mapper: mapper}
	for _, name := range p.cfg.Remember {
		if i, ok := p.modelAt[name]; ok && mapper.Remembers(i) {
			m.models = append(m.models, i)
		}
	}
	if len(m.models) == 0 {
		return nil
	}
	return m
}

// keeper is the store of remembered rows, nil where it failed.
func (p *Pipeline) keeper() RowKeeper {
	k, _ := p.cache().(RowKeeper)
	return k
}

// has tells whether rows of a model are remembered.
func (m *memory) has(model int) bool { return m != nil && slices.Contains(m.models, model) }

// note takes in what a change of the stream leaves of its row, after its effects were made. What cannot be mapped is forgotten: an older state of the row says
// nothing of the user any more.
func (m *memory) note(c *Change, stream string, failed error) {
	for _, i := range m.models {
		info := &m.p.models[i]
		if c.Key.ID == "" || !info.On(c.Key.Table) {
			continue
		}
		at := RememberPut{Model: info.Name, Gone: true, RememberedRow: RememberedRow{Key: c.Key, Part: PartOf(stream)}}
		if c.OldKey != (Key{}) {
			old := at
			old.Key = c.OldKey
			m.puts = append(m.puts, old)
		}
		if c.Op != Delete && !refusedBy(failed, i) {
			from := len(m.buf)
			columns, u, ok := m.mapper.Remember(m.buf, i, c, func() []byte { return m.before(info.Name, c) })
			if ok && len(columns)-from <= maxRemembered && !m.p.erasedBefore(u, c) {
				m.buf = columns
				at.Gone, at.User, at.Columns = false, u, columns[from:len(columns):len(columns)]
			}
		}
		m.puts = append(m.puts, at)
	}
}

// before gives what is remembered of a row before a change of it.
func (m *memory) before(model string, c *Change) []byte {
	key := c.Key
	if c.OldKey != (Key{}) {
		key = c.OldKey
	}
	for i := len(m.puts) - 1; i >= 0; i-- {
		if p := &m.puts[i]; p.Model == model && p.Key == key && !(p.Gone && key == c.OldKey) {
			return p.Columns
		}
	}
	k := m.p.keeper()
	if k == nil {
		return nil
	}
	r, ok, err := k.Remembered(model, key)
	if err != nil {
		m.p.cacheFailed(err)
	}
	if !ok {
		return nil
	}
	return r.Columns
}

// refusedBy tells whether an error of Map is one of a model's own.
func refusedBy(err error, model int) bool {
	if err == nil {
		return false
	}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	return slices.ContainsFunc(errs, func(e error) bool {
		var bad *RowError
		return !errors.As(e, &bad) || bad.Model == model
	})
}

// emptied forgets the rows of a table that was emptied.
func (m *memory) emptied(table string) {
	m.flush()
	k := m.p.keeper()
	for _, i := range m.models {
		if info := &m.p.models[i]; k != nil && info.On(table) {
			if err := k.ForgetRows(info.Name, table); err != nil {
				m.p.cacheFailed(err)
				return
			}
		}
	}
}

// forget forgets the rows of a model: another process met that its table was emptied.
func (m *memory) forget(model int) {
	if !m.has(model) {
		return
	}
	if k := m.p.keeper(); k != nil {
		if err := k.ForgetRows(m.p.models[model].Name, ""); err != nil {
			m.p.cacheFailed(err)
		}
	}
}

// flush stores what was noted of a batch, before its position can be confirmed.
func (m *memory) flush() {
	if len(m.puts) == 0 {
		return
	}
	for i := range m.puts {
		if at := &m.puts[i]; !at.Gone && m.p.erased(at.User) != "" { // since it was noted
			at.Gone, at.Columns = true, nil
		}
	}
	if k := m.p.keeper(); k != nil {
		if err := k.Remember(m.puts); err != nil {
			m.p.cacheFailed(err)
		}
	}
	clear(m.puts)
	m.puts, m.buf = m.puts[:0], m.buf[:0]
}

// rememberedRow maps a remembered row of a scheduled run. What another model's row would begin of a profile that was deleted stays away, as with a replay.
func (p *Pipeline) rememberedRow(dst []Effect, run *loadRun, c *Change) ([]Effect, error) {
	k := p.keeper()
	if k == nil {
		return dst, nil
	}
	m := &p.models[run.model]
	r, ok, err := k.Remembered(m.Name, c.Key)
	if err != nil {
		p.cacheFailed(err)
	}
	if err != nil || !ok || p.deletedBefore(run.model, r.User) {
		return dst, nil
	}
	enters := false
	if m.Filter {
		_, sent := p.ids.User(run.model, c.Key)
		enters = !sent
	}
	from := len(dst)
	dst, err = p.memory.mapper.MapRemembered(dst, run.model, &r, enters)
	switch {
	case errors.Is(err, ErrNotRemembered):
		run.unsure.Add(1)
		return dst[:from], nil
	case err != nil:
		return dst[:from], err
	}
	for i := from; i < len(dst); i++ {
		dst[i].Change, dst[i].Key = c, c.Key
	}
	return dst, nil
}

// remembered tells whether a step is nothing but what a scheduled run made of remembered rows that were sent before. It changes a profile that Braze is known
// to have, and begins none.
func (s *step) remembered() bool { return s.load && s.updateOnly && s.from != nil && s.from.remembered }

// byTime tells whether a step is nothing but what a scheduled run made of remembered rows of models that do not own their users: of a user who is deleted or
// renamed it begins no profile.
func (s *step) byTime() bool { return s.load && !s.owner && s.from != nil && s.from.remembered }

// overtaken tells whether what a scheduled run made of remembered rows may not leave any more.
func (p *Pipeline) overtaken(s *step) bool {
	return s.remembered() && !p.stillKnown(s) || s.byTime() && !s.updateOnly && p.deletedBefore(s.rows[0].model, s.user)
}

// stillKnown tells whether it is known of a step's user what was sent by its model. It is not where the profile was deleted, or its user erased; in enrich
// nobody ever knows, and nothing is begun.
func (p *Pipeline) stillKnown(s *step) bool {
	for i := range s.rows {
		if m := s.rows[i].model; p.models[m].PrintsAllowed {
			if _, ok := p.prints(s, m); !ok {
				return false
			}
		}
	}
	return true
}
