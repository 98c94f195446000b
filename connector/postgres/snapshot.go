package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

const (
	// chunksAhead is how many chunks of a load may be read and not yet taken by the pipeline.
	chunksAhead = 3
	// chunkBytes ends a chunk before its number of rows is reached.
	chunkBytes = 4 << 20
	// fetchRows is how many rows are taken from the cursor at once at most; firstFetch, before their size is known.
	fetchRows  = 2000
	firstFetch = 50
	// maxTouched bounds the keys noted in one window; past it the chunk is taken again.
	maxTouched = 200_000
	// maxAgain bounds the keys that are to be read once more; past it the load begins anew.
	maxAgain = 100_000
	// againRows is how many of them are read in one chunk.
	againRows = 500
	// visibleWait is how long a transaction that was streamed may stay invisible before it is said why a load or look-up waits.
	visibleWait = 5 * time.Second
)

// loads are the running loads. Methods may be called concurrently.
type loads struct {
	s  *Source
	mu sync.Mutex
	by map[string]*load
}

func newLoads(s *Source) *loads { return &loads{s: s, by: map[string]*load{}} }

// of gives the loads of a relation's table, and tells them of a new shape.
func (ls *loads) of(r *relation) []*load {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var out []*load
	for _, l := range ls.by {
		if r.wanted && l.table == r.table.Name {
			out = append(out, l)
			l.shapeIs(r)
		}
	}
	return out
}

// restart makes every load take its open chunks again: their windows broke with the replication connection.
func (ls *loads) restart() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.by {
		l.mu.Lock()
		l.again_()
		l.mu.Unlock()
	}
}

func (ls *loads) remove(id string) {
	ls.mu.Lock()
	delete(ls.by, id)
	ls.mu.Unlock()
}

// mark handles one of our marks after its transaction's commit. It runs in the owner's goroutine.
func (ls *loads) mark(ctx context.Context, st *stream, m mark) error {
	ls.mu.Lock()
	l := ls.by[m.load]
	ls.mu.Unlock()
	if l == nil {
		return nil
	}
	if !m.high {
		st.reload()
		l.open(m.id, st.pos)
		return nil
	}
	b, ok := l.close(m.id)
	if !ok {
		return nil
	}
	// Changes before the mark are older than the chunk's end and must be handed over before it; those behind it come later.
	if err := st.flush(ctx); err != nil {
		return err
	}
	select {
	case ls.s.out <- b:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.Load.Done {
		ls.remove(m.load)
		st.reload()
	}
	return nil
}

// place is how far a load has come: the content of its cursor.
type place struct {
	chunk uint64     // number of the last chunk handed over
	after []string   // key of the last row; nil before the first
	ended bool       // the end of the table was reached
	again [][]string // keys to read once more
}

const placeVersion = 1

func (p *place) encode() []byte {
	b := []byte{placeVersion}
	b = binary.AppendUvarint(b, p.chunk)
	ended := byte(0)
	if p.ended {
		ended = 1
	}
	b = append(b, ended)
	key := func(k []string) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		for _, s := range k {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	key(p.after)
	b = binary.AppendUvarint(b, uint64(len(p.again)))
	for _, k := range p.again {
		key(k)
	}
	return b
}

var errNotOpen = errors.New("the source is not open")

var errCursor = errors.New("the recorded cursor of the load is malformed")

func parsePlace(b []byte) (p place, err error) {
	if len(b) == 0 {
		return p, nil
	}
	if len(b) < 3 || b[0] != placeVersion {
		return p, errCursor
	}
	b = b[1:]
	uv := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<62 {
			err = errCursor
			return 0
		}
		b = b[n:]
		return v
	}
	count := func() uint64 {
		n := uv()
		if n > uint64(len(b)) { // each takes a byte at least
			err = errCursor
			return 0
		}
		return n
	}
	key := func() (k []string) {
		for range count() {
			n := uv()
			if n > uint64(len(b)) {
				err = errCursor
				return nil
			}
			k = append(k, string(b[:n]))
			b = b[n:]
		}
		return k
	}
	p.chunk = uv()
	if len(b) == 0 {
		return p, errCursor
	}
	p.ended, b = b[0] == 1, b[1:]
	p.after = key()
	for range count() {
		p.again = append(p.again, key())
	}
	if err != nil {
		return place{}, err
	}
	return p, nil
}

// load reads one table beside the stream. Its goroutine reads chunks; the owner of the stream opens and closes their windows.
type load struct {
	s         *Source
	id, table string
	oid       uint32

	mu      sync.Mutex
	place   place
	rows    int64
	gen     int // grows when the open chunks have to be taken again
	windows []*window
	nextID  uint64
	stale   bool // the shape changed
	rel     *relation
	sh      *shape
	changed chan struct{} // closed and replaced when gen, windows or place change
}

// window is a chunk between its two marks.
type window struct {
	id     uint64
	gen    int
	opened bool
	low    chan struct{} // closed when the stream passed the low mark
	need   *delivered    // what must be visible in the chunk's snapshot
	upTo   uint64        // and its position, for a replica

	touched   map[string]*touched
	overflow  bool
	truncated bool

	changes []connector.Change
	after   []string
	last    bool
	again   [][]string
}

// touched is what the window's changes of one key leave to the chunk's row: the columns that all of them left absent.
type touched struct {
	absent []string
	gone   bool
}

// StartLoad implements connector.Source.
func (s *Source) StartLoad(ctx context.Context, l connector.Load) error {
	p, err := parsePlace(l.Cursor)
	if err != nil {
		return &connector.StopError{Code: connector.ExitSlotMismatch, What: fmt.Sprintf("load %s of %s", l.ID, l.Table), Err: err, Fix: "start the load again with brazecdc resync"}
	}
	if s.spawn == nil {
		return errNotOpen
	}
	ld := &load{s: s, id: l.ID, table: l.Table, place: p, rows: l.Rows, nextID: rand.Uint64() >> 1, changed: make(chan struct{})}
	err = s.main.with(ctx, func(c *pgconn.PgConn) error {
		sh, err := findTable(ctx, c, l.Table)
		if err != nil {
			return err
		}
		ld.oid = sh.oid
		return ld.describe(ctx, c)
	})
	if err != nil {
		return fmt.Errorf("start the load of %s: %w", l.Table, err)
	}
	if n := len(p.after); n != 0 && n != len(ld.rel.key) {
		return unfit(fmt.Sprintf("the key of %s changed since its load began", l.Table), "start the load again with brazecdc resync")
	}
	s.loads.mu.Lock()
	defer s.loads.mu.Unlock()
	if s.loads.by[l.ID] != nil {
		return fmt.Errorf("load %s runs already", l.ID)
	}
	s.loads.by[l.ID] = ld
	s.spawn(ld.run)
	return nil
}

// describe reads the table's present shape, and refuses one that has no key to read by.
func (l *load) describe(ctx context.Context, c *pgconn.PgConn) error {
	rel, sh, err := l.s.tables.describe(ctx, c, l.oid)
	if err != nil {
		return err
	}
	if sh == nil {
		return unfit(fmt.Sprintf("table %s is gone", l.table), "remove its models, or create it and start the load again")
	}
	if !slices.ContainsFunc(rel.table.Unique, func(u []int) bool { return sameSet(u, rel.key) }) {
		return unfit(fmt.Sprintf("table %s has no key to read it by in chunks", l.table), "ALTER TABLE "+sh.sql()+" ADD PRIMARY KEY (…); or a unique index over columns that are NOT NULL; or load: none")
	}
	l.mu.Lock()
	l.rel, l.sh, l.stale = rel, sh, false
	l.mu.Unlock()
	return nil
}

func (l *load) shapeIs(r *relation) {
	l.mu.Lock()
	l.stale = l.stale || l.rel != nil && l.rel.table != r.table
	l.mu.Unlock()
}

// signal tells the load's goroutine that something moved. The caller holds mu.
func (l *load) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// again_ drops the open windows; the chunks are read again from place. The caller holds mu.
func (l *load) again_() {
	l.gen++
	l.windows = nil
	l.signal()
}

// touch notes a change of the stream. It runs in the owner's goroutine.
func (l *load) touch(ch *connector.Change, r *relation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var absent []string
	if ch.Op != connector.Delete {
		for i, c := range ch.After.Cells {
			if c.State == connector.Absent {
				absent = append(absent, r.table.Columns[i].Name)
			}
		}
	}
	moved := ch.OldKey.Table != ""
	if moved && len(absent) > 0 {
		// The row now stands where a chunk may have passed already, and its old key's row will be gone: read it by its new key.
		l.place.again = append(l.place.again, keyTexts(r.key, ch.After.Cells))
		if len(l.place.again) > maxAgain {
			l.s.log.Warn("too many keys changed during the load; it begins anew", "table", l.table)
			l.place = place{chunk: l.place.chunk}
			l.again_()
		}
		l.signal()
	}
	for _, w := range l.windows {
		if !w.opened || w.overflow {
			continue
		}
		if moved {
			w.touch(ch.OldKey.ID, nil, true)
		}
		w.touch(ch.Key.ID, absent, ch.Op == connector.Delete)
		if len(w.touched) > maxTouched {
			w.overflow, w.touched = true, nil
		}
	}
}

func (w *window) touch(key string, absent []string, gone bool) {
	t := w.touched[key]
	if t == nil {
		if w.touched == nil {
			w.touched = map[string]*touched{}
		}
		w.touched[key] = &touched{absent: absent, gone: gone}
		return
	}
	t.gone = t.gone || gone
	t.absent = slices.DeleteFunc(slices.Clone(t.absent), func(n string) bool { return !slices.Contains(absent, n) })
}

func (l *load) truncated() {
	l.mu.Lock()
	for _, w := range l.windows {
		w.truncated = w.truncated || w.opened
	}
	l.mu.Unlock()
}

func keyTexts(key []int, cells []connector.Cell) []string {
	out := make([]string, len(key))
	for i, k := range key {
		out[i] = cells[k].Raw
	}
	return out
}

// open is the low mark: from here on the stream's changes of the table are noted, and what was delivered so far must be visible to the chunk.
func (l *load) open(id, pos uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.windows {
		if w.id == id && !w.opened {
			w.opened, w.need, w.upTo = true, l.s.seen.copy(), pos
			close(w.low)
		}
	}
}

// close is the high mark: it gives the chunk without what the window's changes replaced.
func (l *load) close(id uint64) (connector.Batch, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.windows) == 0 || l.windows[0].id != id {
		return connector.Batch{}, false // a mark of chunks that are taken again
	}
	w := l.windows[0]
	if w.overflow {
		l.s.log.Warn("too many changes during a chunk; it is taken again", "table", l.table)
		l.again_()
		return connector.Batch{}, false
	}
	l.windows = l.windows[1:]
	changes := w.changes
	if w.truncated {
		changes = nil
	} else if len(w.touched) > 0 {
		changes = w.untouched()
	}
	p := &l.place
	p.chunk++
	if w.again != nil {
		p.again = slices.Clone(p.again[len(w.again):])
	} else {
		if w.after != nil {
			p.after = w.after
		}
		p.ended = w.last
	}
	l.rows += int64(len(w.changes))
	for i := range changes {
		changes[i].ID = connector.ChangeID{Commit: p.chunk, N: uint32(i)}
	}
	l.signal()
	return connector.Batch{Position: connector.Position{Stream: "load/" + l.id, Offset: p.chunk}, Changes: changes,
		Load: &connector.LoadProgress{Load: l.id, Cursor: p.encode(), Rows: l.rows, Done: l.done()}}, true
}

// done tells whether nothing is left to read. The caller holds mu.
func (l *load) done() bool { return l.place.ended && len(l.place.again) == 0 }

// untouched drops the rows whose key changed in the window; of a row that is still there, the columns that no change carried remain.
func (w *window) untouched() []connector.Change {
	out := w.changes[:0]
	for _, ch := range w.changes {
		t := w.touched[ch.Key.ID]
		switch {
		case t == nil:
			out = append(out, ch)
		case !t.gone && len(t.absent) > 0:
			cells := make([]connector.Cell, len(ch.After.Cells))
			any := false
			for i, col := range ch.After.Table.Columns {
				supplied := slices.Contains(t.absent, col.Name)
				if supplied || col.Key { // the key is the change's own, so it cannot be stale
					cells[i] = ch.After.Cells[i]
				}
				any = any || supplied
			}
			if any {
				ch.After.Cells = cells
				out = append(out, ch)
			}
		}
	}
	return out
}

// job is one chunk to read.
type job struct {
	after []string
	again [][]string
}

// run reads chunk after chunk until the end of the table was handed over.
func (l *load) run(ctx context.Context) {
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		done, err := l.pass(ctx)
		if done || ctx.Err() != nil {
			return
		}
		if err == nil {
			wait = 100 * time.Millisecond
			continue
		}
		var stop *connector.StopError
		if errors.As(err, &stop) && !passing(stop) {
			l.s.fail(fmt.Errorf("load %s: %w", l.table, err))
			return
		}
		l.s.log.Warn("a chunk could not be read; trying again", "table", l.table, "err", err)
		l.mu.Lock()
		l.again_()
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// pass reads chunks from place on until the load is done (true) or its open chunks have to be taken again.
func (l *load) pass(ctx context.Context) (done bool, err error) {
	l.mu.Lock()
	gen := l.gen
	next := job{after: l.place.after}
	ended := l.place.ended
	l.mu.Unlock()
	for {
		w, fin, err := l.room(ctx, gen, ended)
		if w == nil {
			return fin, err
		}
		j := next
		j.again = w.again
		if err := l.chunk(ctx, w, j); err != nil || l.genIsnt(gen) {
			return false, err
		}
		if w.again == nil {
			next.after, ended = w.after, w.last
		}
	}
}

func (l *load) genIsnt(gen int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gen != gen
}

// room waits until another chunk may be read ahead and registers its window. No window means that the pass is over.
func (l *load) room(ctx context.Context, gen int, ended bool) (*window, bool, error) {
	for {
		l.mu.Lock()
		if l.gen != gen {
			l.mu.Unlock()
			return nil, false, nil
		}
		if len(l.windows) == 0 && l.done() {
			l.mu.Unlock()
			return nil, true, nil
		}
		inFlight := 0
		for _, w := range l.windows {
			inFlight += len(w.again)
		}
		var again [][]string
		if ended {
			// Keys to read once more come last: until then more may be added.
			left := l.place.again[inFlight:]
			again = left[:min(len(left), againRows)]
		}
		if len(l.windows) < chunksAhead && (!ended || len(again) > 0) {
			l.nextID++
			w := &window{id: l.nextID, gen: gen, low: make(chan struct{}), again: slices.Clone(again)}
			if len(again) == 0 {
				w.again = nil
			}
			l.windows = append(l.windows, w)
			l.mu.Unlock()
			return w, false, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// chunk reads one chunk between its marks.
func (l *load) chunk(ctx context.Context, w *window, j job) error {
	if err := l.s.emit(ctx, mark{load: l.id, id: w.id}); err != nil {
		return err
	}
	for waiting := true; waiting; {
		l.mu.Lock()
		changed, gen := l.changed, l.gen
		l.mu.Unlock()
		if gen != w.gen {
			return nil
		}
		select {
		case <-w.low:
			waiting = false
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := l.s.read.with(ctx, func(c *pgconn.PgConn) error { return l.readChunk(ctx, c, w, j) }); err != nil {
		return err
	}
	return l.s.emit(ctx, mark{load: l.id, id: w.id, high: true})
}

func (l *load) readChunk(ctx context.Context, c *pgconn.PgConn, w *window, j job) error {
	l.mu.Lock()
	stale := l.stale
	l.mu.Unlock()
	if stale {
		if err := l.describe(ctx, c); err != nil {
			return err
		}
	}
	if err := l.s.beginVisible(ctx, c, w.need, w.upTo); err != nil {
		return err
	}
	err := l.fetch(ctx, c, w, j)
	if _, end := query(ctx, c, "COMMIT"); err == nil {
		err = end
	}
	switch sqlState(err) {
	case "42703", "42P01": // the shape changed between
		l.mu.Lock()
		l.stale = true
		l.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("read a chunk of %s: %w", l.table, err)
	}
	return nil
}

// fetch reads the chunk's rows through a cursor, so that a chunk of wide rows can end early.
func (l *load) fetch(ctx context.Context, c *pgconn.PgConn, w *window, j job) error {
	limit := l.s.cfg.ChunkRows
	if _, err := query(ctx, c, "DECLARE chunk NO SCROLL CURSOR FOR "+chunkSQL(l.sh, l.rel, j, limit)); err != nil {
		return err
	}
	r := rowReader{rel: l.rel, now: time.Now().UTC()}
	for fetch := firstFetch; r.bytes < chunkBytes; {
		n, err := r.read(ctx, c, "FETCH "+strconv.Itoa(fetch)+" FROM chunk")
		if err != nil {
			return err
		}
		if n < fetch {
			w.last = len(r.changes) < limit
			break
		}
		fit := (chunkBytes - r.bytes) / (r.bytes/len(r.changes) + 1)
		fetch = max(1, min(fit, fetchRows))
	}
	w.changes = r.changes
	if n := len(r.changes); n > 0 && j.again == nil {
		w.after = keyTexts(l.rel.key, r.changes[n-1].After.Cells)
	}
	return nil
}

// chunkSQL reads the rows behind a key in the key's order. Comparisons use the column's own collation, as its index does: the order is the
// server's alone, and each cursor goes back to it.
func chunkSQL(sh *shape, rel *relation, j job, limit int) string {
	var cols, keys []string
	for _, c := range rel.table.Columns {
		cols = append(cols, ident(c.Name))
	}
	for _, k := range rel.key {
		keys = append(keys, ident(rel.table.Columns[k].Name))
	}
	var where []string
	if sh.filter != "" {
		where = append(where, "("+sh.filter+")")
	}
	switch {
	case j.again != nil:
		var tuples []string
		for _, k := range j.again {
			tuples = append(tuples, tuple(k))
		}
		where = append(where, "("+strings.Join(keys, ", ")+") IN ("+strings.Join(tuples, ", ")+")")
	case j.after != nil:
		where = append(where, "("+strings.Join(keys, ", ")+") > "+tuple(j.after))
	}
	sql := "SELECT " + strings.Join(cols, ", ") + " FROM " + sh.from()
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	return sql + " ORDER BY " + strings.Join(keys, ", ") + " LIMIT " + strconv.Itoa(max(limit, len(j.again)))
}

func tuple(texts []string) string {
	q := make([]string, len(texts))
	for i, t := range texts {
		q[i] = literal(t)
	}
	return "(" + strings.Join(q, ", ") + ")"
}
