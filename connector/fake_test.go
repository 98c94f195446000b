package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// memJournal is a Journal in memory that remembers what was applied.
type memJournal struct {
	mu      sync.Mutex
	state   State
	applied []Record
	quar    memQuarantine
	fail    error
}

func (j *memJournal) State() *State {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state
	return &s
}

func (j *memJournal) Apply(_ context.Context, r *Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return j.fail
	}
	j.applied = append(j.applied, *r)
	s := &j.state
	s.New = false
	s.Clean = r.Clean
	for _, p := range r.Positions {
		s.Positions = slices.DeleteFunc(s.Positions, func(o Recorded) bool { return o.Position.Stream == p.Position.Stream })
		s.Positions = append(s.Positions, p)
	}
	for _, l := range r.Loads {
		s.Loads = slices.DeleteFunc(s.Loads, func(o LoadState) bool { return o.ID == l.ID })
		s.Loads = append(s.Loads, l)
	}
	s.Done = append(s.Done, r.Done...)
	for _, x := range r.Settling {
		s.Settling = slices.DeleteFunc(s.Settling, func(o Settling) bool { return o.User == x.User })
		s.Settling = append(s.Settling, x)
	}
	for _, u := range r.Settled {
		s.Settling = slices.DeleteFunc(s.Settling, func(o Settling) bool { return o.User == u })
	}
	for _, u := range r.Released {
		s.Held = slices.DeleteFunc(s.Held, func(o HeldDelete) bool { return o.User == u })
	}
	for _, h := range r.Held {
		s.Held = slices.DeleteFunc(s.Held, func(o HeldDelete) bool { return o.User == h.User })
		s.Held = append(s.Held, h)
	}
	for _, b := range r.Brakes {
		s.Brakes = slices.DeleteFunc(s.Brakes, func(o BrakeState) bool { return o.Model == b.Model })
		s.Brakes = append(s.Brakes, b)
	}
	for _, x := range r.Paused {
		s.Paused = slices.DeleteFunc(s.Paused, func(o Pause) bool { return o.Model == x.Model })
		s.Paused = append(s.Paused, x)
	}
	for _, m := range r.Resumed {
		s.Paused = slices.DeleteFunc(s.Paused, func(o Pause) bool { return o.Model == m })
	}
	s.Renamed = append(s.Renamed, r.Renamed...)
	for _, u := range r.Freed {
		s.Renamed = slices.DeleteFunc(s.Renamed, func(o string) bool { return o == u })
	}
	for _, m := range r.Models {
		s.Models = slices.DeleteFunc(s.Models, func(o ModelState) bool { return o.Name == m.Name })
		s.Models = append(s.Models, m)
	}
	return nil
}

func (j *memJournal) Quarantine() Quarantine { return &j.quar }

func (j *memJournal) recorded(stream string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.state.Positions {
		if p.Position.Stream == stream {
			return p.Position.Offset
		}
	}
	return 0
}

type memQuarantine struct {
	mu      sync.Mutex
	entries []Entry
	marks   []User
}

func (q *memQuarantine) Put(_ context.Context, e *Entry) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.entries {
		if o := &q.entries[i]; o.Closed == "" && o.Model == e.Model && o.Key == e.Key {
			o.Closed = "replaced"
		}
	}
	c := *e
	c.ID = uint64(len(q.entries) + 1)
	q.entries = append(q.entries, c)
	return c.ID, nil
}

func (q *memQuarantine) Close(_ context.Context, id uint64, how string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries[id-1].Closed = how
	return nil
}

func (q *memQuarantine) List(f EntryFilter) ([]Entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Entry
	for _, e := range q.entries {
		if e.ID > f.After && (f.Closed || e.Closed == "") {
			out = append(out, e)
		}
	}
	return out, nil
}

func (q *memQuarantine) Entry(id uint64) (*Entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if id == 0 || id > uint64(len(q.entries)) {
		return nil, fmt.Errorf("no entry %d", id)
	}
	e := q.entries[id-1]
	return &e, nil
}

func (q *memQuarantine) Counts() map[[2]string]int64 {
	out := map[[2]string]int64{}
	open, _ := q.List(EntryFilter{})
	for _, e := range open {
		out[[2]string{e.Model, e.Class}]++
	}
	return out
}

func (q *memQuarantine) NoProof() ([]User, error)                       { return q.marks, nil }
func (q *memQuarantine) ClearProof(context.Context, User) error         { return nil }
func (q *memQuarantine) Expire(context.Context, time.Time) (int, error) { return 0, nil }

// script is a Source that hands out what a test feeds it, and remembers what was committed.
type script struct {
	feed      chan Batch
	fresh     bool
	gaps      []string
	mu        sync.Mutex
	committed map[string]uint64
	onCommit  func(Position)
	rows      func(Query) ([]Row, error)
	loads     []Load
	start     Start
}

func newScript() *script {
	return &script{feed: make(chan Batch, 1<<16), fresh: true, committed: map[string]uint64{}}
}

func (s *script) Open(_ context.Context, start Start) (Opened, error) {
	s.start = start
	return Opened{Fresh: s.fresh, Gaps: s.gaps}, nil
}

func (s *script) Next(ctx context.Context) (Batch, error) {
	select {
	case b := <-s.feed:
		return b, nil
	default:
	}
	select {
	case b := <-s.feed:
		return b, nil
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
}

func (s *script) Commit(p Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Offset < s.committed[p.Stream] {
		panic("position went back")
	}
	s.committed[p.Stream] = p.Offset
	if s.onCommit != nil {
		s.onCommit(p)
	}
}

func (s *script) StartLoad(_ context.Context, l Load) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads = append(s.loads, l)
	return nil
}
func (s *script) Health() SourceHealth        { return SourceHealth{Connected: true} }
func (s *script) Close(context.Context) error { return nil }
func (s *script) Rows(_ context.Context, q Query) ([]Row, error) {
	if s.rows == nil {
		return nil, nil
	}
	return s.rows(q)
}
func (s *script) Describe(context.Context, string) (*Table, error) { return shopTable, nil }

// shopTable has a key, an external_id and two fields.
var shopTable = &Table{Name: "public.users", Columns: []Column{
	{Name: "id", Kind: KindText, Key: true, Decode: text}, {Name: "ext", Kind: KindText, Decode: text},
	{Name: "a", Kind: KindText, Decode: text}, {Name: "b", Kind: KindText, Decode: text}}}

func text(raw string) (Value, error) { return Value{Kind: KindText, Str: raw}, nil }

// plainMapper maps shopTable for one owning model in sync mode: fields a and b, user ext.
type plainMapper struct {
	info []ModelInfo
}

func newPlainMapper() *plainMapper {
	defs := []*FieldDef{{Name: "a", JSON: []byte(`"a":`), Order: 1, Hash: 1}, {Name: "b", JSON: []byte(`"b":`), Order: 2, Hash: 2}}
	return &plainMapper{info: []ModelInfo{{Name: "users", Table: shopTable.Name, Owner: true, ProofAllowed: true, IDColumn: "ext", IDUnique: true, Fields: defs}}}
}

func (m *plainMapper) Models() []ModelInfo { return m.info }

func (m *plainMapper) Map(dst []Effect, c *Change, _ IDs) ([]Effect, error) {
	if c.Op == Delete {
		return append(dst, Effect{Kind: DeleteUser, User: User{ID: c.Before.Cells[1].Raw}, Key: c.Key, Owner: true, Ends: true, Change: c}), nil
	}
	if c.After.Cells[1].Raw == "" {
		return dst, &RowError{Reason: "external_id is empty"}
	}
	if c.Before.Exists() && c.Before.Cells[1].Raw != c.After.Cells[1].Raw {
		dst = append(dst, Effect{Kind: Rename, User: User{ID: c.Before.Cells[1].Raw}, To: User{ID: c.After.Cells[1].Raw}, Key: c.Key, Owner: true, Change: c})
	}
	return m.row(dst, c), nil
}

func (m *plainMapper) row(dst []Effect, c *Change) []Effect {
	e := Effect{Kind: Track, User: User{ID: c.After.Cells[1].Raw}, Key: c.Key, Owner: true, Creates: c.Op != Update, Whole: true, Change: c}
	for i, d := range m.info[0].Fields {
		f := Field{Def: d, JSON: quote(c.After.Cells[2+i])}
		f.Omit = c.Op != Update && isNull(f.JSON)
		if c.Before.Exists() {
			old := quote(c.Before.Cells[2+i])
			if string(old) == string(f.JSON) {
				f.Proof = Unchanged
			} else {
				f.Proof, f.Was = Changed, HashJSON(old)
			}
		}
		e.Fields = append(e.Fields, f)
	}
	return append(dst, e)
}

func (m *plainMapper) MapRow(dst []Effect, _ int, r Row, at time.Time) ([]Effect, error) {
	return m.row(dst, &Change{Op: Snapshot, After: r, Key: Key{r.Table.Name, r.Cells[0].Raw}, Time: at}), nil
}

func (m *plainMapper) MapLoad(dst []Effect, model int, r Row, at time.Time) ([]Effect, error) {
	return m.MapRow(dst, model, r, at)
}

func quote(c Cell) []byte {
	if c.State == Null {
		return jsonNull
	}
	return []byte(`"` + c.Raw + `"`)
}

// row makes a row of shopTable; "-" is NULL.
func row(id, ext, a, b string) Row {
	r := Row{Table: shopTable}
	for _, v := range []string{id, ext, a, b} {
		c := Cell{State: Set, Raw: v}
		if v == "-" {
			c = Cell{State: Null}
		}
		r.Cells = append(r.Cells, c)
	}
	return r
}

func insert(r Row) Change {
	return Change{Op: Insert, After: r, Key: Key{shopTable.Name, r.Cells[0].Raw}, Time: time.Now()}
}
func update(before, after Row) Change {
	return Change{Op: Update, Before: before, After: after, Key: Key{shopTable.Name, after.Cells[0].Raw}, Time: time.Now()}
}
func remove(r Row) Change {
	return Change{Op: Delete, Before: r, Key: Key{shopTable.Name, r.Cells[0].Raw}, Time: time.Now()}
}

// memSink is a Braze in memory: it checks that no user has two open requests, and answers as told.
type memSink struct {
	t        *testing.T
	mu       sync.Mutex
	open     map[User]bool
	sent     []sent
	profiles map[string]map[string]string
	answer   func(k Kind, batch []Effect) error
	delay    func() time.Duration
	overlap  int
	gone     func([]User) []User
	objects  int
	later    func() time.Duration // how long after its answer a request is applied
	applying sync.WaitGroup
}

type sent struct {
	kind Kind
	user User
	to   User
	body string
	at   time.Time
}

func newMemSink(t *testing.T) *memSink {
	return &memSink{t: t, open: map[User]bool{}, profiles: map[string]map[string]string{}, objects: 75}
}

func (m *memSink) Limits(Kind) Limits               { return Limits{Objects: m.objects, Bytes: 1 << 20} }
func (m *memSink) Wait(context.Context, Kind) error { return nil }
func (m *memSink) Size(e *Effect) int               { return 100 }
func (m *memSink) Health() SinkHealth               { return SinkHealth{} }
func (m *memSink) Gone(_ context.Context, u []User) ([]User, error) {
	if m.gone == nil {
		return nil, nil
	}
	return m.gone(u), nil
}

func (m *memSink) Send(ctx context.Context, k Kind, batch []Effect) error {
	m.mu.Lock()
	for i := range batch {
		for _, u := range []User{batch[i].User, batch[i].To} {
			if u == (User{}) || batch[i].Event != nil && i > 0 && batch[i-1].User == u { // a user's events ride along
				continue
			}
			if m.open[u] {
				m.overlap++
				m.t.Errorf("two open requests of user %v", u)
			}
			m.open[u] = true
		}
	}
	m.mu.Unlock()
	if m.delay != nil {
		time.Sleep(m.delay()) // the answer's latency is the thing simulated
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		for i := range batch {
			delete(m.open, batch[i].User)
			delete(m.open, batch[i].To)
		}
	}()
	now := time.Now()
	var err error
	if m.answer != nil {
		err = m.answer(k, batch)
	}
	if err == nil && k == Rename {
		var bad []Rejection
		for i := range batch {
			if m.profiles[batch[i].User.ID] == nil {
				bad = append(bad, Rejection{Index: i, Reason: "unknown", CurrentUnknown: true})
			}
		}
		if bad != nil {
			err = &RejectedError{Items: bad}
		}
	}
	var refused *RejectedError
	var retry *RetryableError
	if err != nil && !errors.As(err, &refused) && !(errors.As(err, &retry) && retry.Unknown) || refused != nil && refused.Whole {
		return err
	}
	for i := range batch {
		if refused != nil && slices.ContainsFunc(refused.Items, func(r Rejection) bool { return r.Index == i }) {
			continue
		}
		if m.later == nil {
			m.apply(k, &batch[i])
			continue
		}
		m.sent = append(m.sent, sent{k, batch[i].User, batch[i].To, fmt.Sprint("answered ", err), now})
		e := batch[i]
		e.Fields = slices.Clone(e.Fields)
		m.applying.Add(1)
		time.AfterFunc(m.later(), func() {
			defer m.applying.Done()
			m.mu.Lock()
			defer m.mu.Unlock()
			m.apply(k, &e)
		})
	}
	return err
}

func (m *memSink) apply(k Kind, e *Effect) {
	body := "{"
	for _, f := range e.Fields {
		body += string(f.Def.JSON) + string(f.JSON) + ","
	}
	m.sent = append(m.sent, sent{k, e.User, e.To, body + "}", time.Now()})
	id := e.User.ID
	switch k {
	case Track:
		p := m.profiles[id]
		if p == nil {
			if e.UpdateOnly {
				return
			}
			p = map[string]string{}
			m.profiles[id] = p
		}
		for _, f := range e.Fields {
			if isNull(f.JSON) {
				delete(p, f.Def.Name)
			} else {
				p[f.Def.Name] = string(f.JSON)
			}
		}
	case DeleteUser:
		delete(m.profiles, id)
	case Rename:
		if p := m.profiles[id]; p != nil {
			m.profiles[e.To.ID] = p
			delete(m.profiles, id)
		}
	}
}

func (m *memSink) bodies(id string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, s := range m.sent {
		if s.user.ID == id {
			out = append(out, s.kind.String()+s.body)
		}
	}
	return out
}

// history gives everything that was applied to a user or its renames.
func (m *memSink) history(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := ""
	for _, s := range m.sent {
		if s.user.ID == id || s.to.ID == id {
			out += fmt.Sprintf("\n    %s %s %s->%s %s", s.at.Format("05.000"), s.kind, s.user.ID, s.to.ID, s.body)
		}
	}
	return out
}

// rig is a pipeline over the fakes.
type rig struct {
	t       *testing.T
	src     *script
	sink    *memSink
	journal *memJournal
	p       *Pipeline
	cancel  context.CancelFunc
	ended   chan error
	lsn     uint64
}

func newRig(t *testing.T, tune func(*Config, *rig)) *rig {
	t.Helper()
	r := &rig{t: t, src: newScript(), sink: newMemSink(t), journal: &memJournal{state: State{New: true}}, ended: make(chan error, 1)}
	r.start(tune)
	return r
}

func (r *rig) start(tune func(*Config, *rig)) {
	cfg := Config{Source: r.src, Sink: r.sink, Mapper: newPlainMapper(), Journal: r.journal, UserGap: 5 * time.Millisecond, Settle: 20 * time.Millisecond,
		Drain: 10 * time.Second}
	if tune != nil {
		tune(&cfg, r)
	}
	var err error
	if r.p, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.p.Run(ctx) }()
	r.t.Cleanup(cancel)
}

// commit feeds one transaction.
func (r *rig) commit(changes ...Change) {
	r.lsn += 10
	for i := range changes {
		changes[i].ID = ChangeID{Commit: r.lsn, N: uint32(i)}
	}
	r.src.feed <- Batch{Position: Position{"slot", r.lsn + 5}, Changes: changes}
}

// quiet waits until all that was fed is confirmed.
func (r *rig) quiet() {
	r.t.Helper()
	want := uint64(0)
	if r.lsn > 0 {
		want = r.lsn + 5
	}
	eventually(r.t, "everything is confirmed", func() bool {
		r.src.mu.Lock()
		defer r.src.mu.Unlock()
		return r.src.committed["slot"] == want
	})
}

func (r *rig) stop() error {
	r.cancel()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("the pipeline does not end")
		return nil
	}
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached within 10 s: %s", what)
		}
		<-tick.C
	}
}
