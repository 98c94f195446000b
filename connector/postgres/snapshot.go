package postgres

import (
	"context"
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
	// chunksOpen is how many chunks of all loads together may be handed over and not yet done, so that loads leave room for the stream in the pipeline.
	chunksOpen = 4
	// chunkBytes ends a chunk before its number of rows is reached.
	chunkBytes = 4 << 20
	// fetchRows is how many rows are taken from the cursor at once at most; firstFetch, before their size is known.
	fetchRows  = 2000
	firstFetch = 50
	// maxTouched bounds the keys noted in one window; past it the chunk is taken again.
	maxTouched = 200_000
	// maxAgain bounds the keys that are to be read once more; past it the load begins anew.
	maxAgain = 100_000
	// againRows is how many of them are read in one chunk. All of them are, however wide their rows: what is not read there is never read again.
	againRows = 50
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
		l.retake()
		l.mu.Unlock()
	}
}

// committed notes that a chunk is done. Its stream is "load/ID".
func (ls *loads) committed(p connector.Position) {
	ls.mu.Lock()
	l := ls.by[strings.TrimPrefix(p.Stream, "load/")]
	ls.mu.Unlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	l.committed = max(l.committed, p.Offset)
	if l.openChunks() == 0 {
		l.pace.rests(time.Now())
	}
	l.signal()
	l.mu.Unlock()
}

// share is how many chunks of one load may be open.
func (ls *loads) share() uint64 {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return uint64(max(1, chunksOpen/max(1, len(ls.by))))
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

var errNotOpen = errors.New("the source is not open: it starts, or reconnects; ask again when \"brazecdc status\" says that it is connected")

// load reads one table beside the stream. Its goroutine reads chunks; the owner of the stream opens and closes their windows.
type load struct {
	s         *Source
	id, table string
	oid       uint32

	mu        sync.Mutex
	place     place
	committed uint64 // number of the last chunk that is done
	rows      int64
	gen       int  // grows when the open chunks have to be taken again
	held      bool // no further chunks are read
	pace      pace
	windows   []*window
	nextID    uint64
	stale     bool // the shape changed
	rel       *relation
	sh        *shape
	changed   chan struct{} // closed and replaced when gen, windows, place or held change

	halt context.Context // ends when the load is given up
	stop context.CancelFunc
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
	ld := &load{s: s, id: l.ID, table: l.Table, pace: pace{share: l.Share}, place: p, committed: p.chunk, rows: l.Rows, nextID: rand.Uint64() >> 1, changed: make(chan struct{})}
	err = s.main.with(ctx, func(c *pgconn.PgConn) error {
		sh, err := findTable(ctx, c, l.Table)
		if err != nil {
			return err
		}
		if _, wanted := s.tables.name(sh.schema, sh.name); !wanted {
			return unfit(fmt.Sprintf("table %s is not among those whose changes are read, and a load needs them", l.Table), "add a model for it and start again")
		}
		ld.oid = sh.oid
		if err := ld.describe(ctx, c); err != nil {
			return err
		}
		if len(l.Keys) > 0 && len(l.Cursor) == 0 {
			ld.place, err = placeOf(ld.rel, l.Keys)
		}
		return err
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
	ld.halt, ld.stop = context.WithCancel(context.Background())
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

// retake drops the open windows; the chunks are read again from place. The caller holds mu.
func (l *load) retake() {
	l.gen++
	l.windows = nil
	l.signal()
}

// job is one chunk to read.
type job struct {
	after []string
	again [][]string
}

// run reads chunk after chunk until the end of the table was handed over, or the load was given up.
func (l *load) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.halt, cancel)()
	defer l.stop()
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
		l.retake()
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
		share := l.s.loads.share()
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
		room := !l.held && len(l.windows) < chunksAhead && l.openChunks() < share
		rest, timer := l.pace.before(time.Now(), l.openChunks()), (<-chan time.Time)(nil)
		if rest > 0 {
			timer = time.After(rest)
		}
		if rest != 0 {
			room = false
		}
		if room && (!ended || len(again) > 0) {
			l.nextID++
			w := &window{id: l.nextID, gen: gen, low: make(chan struct{}), again: slices.Clone(again)}
			if len(again) == 0 {
				w.again = nil
			}
			l.windows = append(l.windows, w)
			l.pace.works(time.Now())
			l.mu.Unlock()
			return w, false, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// openChunks is how many chunks were begun and are not done yet. The caller holds mu.
func (l *load) openChunks() uint64 { return uint64(len(l.windows)) + l.place.chunk - l.committed }

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
	limit := l.limit()
	if _, err := query(ctx, c, "DECLARE chunk NO SCROLL CURSOR FOR "+chunkSQL(l.sh, l.rel, j, limit)); err != nil {
		return err
	}
	r := rowReader{rel: l.rel, now: time.Now().UTC()}
	for fetch := firstFetch; j.again != nil || r.bytes < chunkBytes; {
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
