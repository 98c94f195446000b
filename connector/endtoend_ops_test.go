package connector_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"brazecdc/connector"
)

// world is random tables with their models, their living rows, and operations on them.
type world struct {
	*rand.Rand
	more   *rand.Rand // for what came to the worlds later, so that a seed's older choices stay
	later  *rand.Rand // and later still
	old    *copied    // what may be put back; nil: no copy yet
	tables []*tableSpec
	ref    *reference
	tx     *worldTx
	uids   int
	ids    int64
	fresh  int             // for external_ids never used
	left   map[string]bool // external_ids that were renamed
	// replaced are external_ids whose row gave way to another one: a delete that waits is judged by who has the id when it leaves, so these are not renamed.
	replaced map[string]bool
	// reread are rows of which a change may need the living row: they keep their key until all is quiet, since a change whose row is gone falls away.
	reread   map[refKey]bool
	log      []string // what was done, for a failure's report
	restored []string // the old copies that were put back
	behind   int      // how often a crash left the slot with an older position
}

// tableSpec is one table and its model.
type tableSpec struct {
	model   int
	name    string
	owner   bool
	idKind  string // key: external_id is the primary key; unique: a unique key covers it; plain
	rows    map[int]*refRow
	m       *refModel
	userCol string
}

// worldTx is a transaction under way: what it has done so far, and how to forget it.
type worldTx struct {
	pgx.Tx
	changes []refChange
	rows    []map[int]*refRow // of the tables at its start, or at the savepoint
}

const userPool = 12

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), more: rand.New(rand.NewPCG(seed, 8)), later: rand.New(rand.NewPCG(seed, 9)), left: map[string]bool{}, replaced: map[string]bool{}, reread: map[refKey]bool{}}
	var models []*refModel
	for i := range 1 + w.IntN(3) {
		t := &tableSpec{model: i, name: []string{"customers", "addresses", "scores"}[i], owner: i == 0, rows: map[int]*refRow{}, userCol: "user_id"}
		t.m = w.model(t)
		if t.owner {
			t.userCol = "external_id"
			t.idKind = pick(w, "key", "unique", "plain")
			for i := range t.m.fields { // who keeps a NULL depends on when a dropped delete looks for the living row
				if t.idKind == "plain" && t.m.fields[i].onNull == "keep" {
					t.m.fields[i].onNull = "clear"
				}
			}
		} else {
			t.idKind = pick(w, "unique", "plain")
		}
		w.deeper(t)
		w.tables = append(w.tables, t)
		models = append(models, t.m)
	}
	w.ref = newReference(models)
	return w
}

func pick[T any](w *world, of ...T) T { return of[w.IntN(len(of))] }

func (w *world) model(t *tableSpec) *refModel {
	m := &refModel{name: t.name, owner: t.owner, mode: pick(w, "sync", "sync", "additive", "enrich"), full: w.IntN(2) == 0, load: w.IntN(3) > 0, change: "rename"}
	if w.IntN(4) == 0 && t.owner {
		m.change = "create"
	}
	if w.IntN(3) == 0 {
		m.filter, m.onLeave = pick(w, "plan", "n"), pick(w, "keep", "unset")
		if t.owner && m.mode == "sync" {
			m.onLeave = pick(w, "keep", "unset", "delete", "delete")
		}
	}
	m.dead = w.IntN(4) == 0
	prefix := ""
	if !t.owner {
		prefix = t.name + "_"
	}
	m.fields = append(m.fields, refField{name: prefix + "shop", from: "const", onNull: "clear"})
	sources := []string{"plan", "n", "flag", "amount", "note", "upper(plan)", "n + 1", `flag ? "y" : "n"`, `plan ?? "none"`, `note + "!"`}
	w.Shuffle(len(sources), func(i, j int) { sources[i], sources[j] = sources[j], sources[i] })
	for i, s := range sources[:2+w.IntN(5)] {
		f := refField{name: fmt.Sprintf("%sf%d", prefix, i), from: s, onNull: pick(w, "clear", "clear", "clear", "keep")}
		if (s == "plan" || s == "upper(plan)") && w.IntN(3) == 0 {
			f.onNull = "standard"
		}
		m.fields = append(m.fields, f)
	}
	for i := range m.fields {
		if !m.full && strings.HasPrefix(m.fields[i].from, "note +") { // such a change needs the living row, and falls away when that is gone
			for j := range m.fields {
				if m.fields[j].onNull == "keep" {
					m.fields[j].onNull = "clear"
				}
			}
			if m.mode != "sync" { // where its delete follows and does nothing, the last values stay unsent
				m.fields[i].from = "note"
			}
		}
	}
	if t.owner {
		m.fields = append(m.fields, refField{name: "first_name", preset: true, from: "plan", onNull: "clear"})
	}
	return m
}

// expands tells whether an expression reads the note.
func (m *refModel) expands() bool {
	return slices.ContainsFunc(m.fields, func(f refField) bool { return strings.HasPrefix(f.from, "note +") })
}

// models gives the configuration.
func (w *world) models() []connector.Model {
	var out []connector.Model
	for i, t := range w.tables {
		m := t.m
		c := connector.Model{Name: m.name, Kind: "users", Table: "public." + t.name, Mode: m.mode, OwnsUsers: m.owner, Path: fmt.Sprintf("models[%d]", i),
			Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: t.userCol}}, OnIDChange: m.change, ReplicaIdentity: "auto", OnLeave: m.onLeave, Load: "none"}
		if m.load {
			c.Load = "all"
		}
		switch m.filter {
		case "plan":
			c.Filter = `plan != "internal"`
		case "n":
			c.Filter = "n > 50"
		}
		if m.dead {
			c.DeleteWhen = "gone"
		}
		for _, f := range m.fields {
			x := connector.FieldMap{Name: f.name, OnNull: f.onNull, Path: c.Path + ".custom." + f.name}
			switch {
			case f.from == "const":
				x.Value, x.HasValue = f.value(nil), true
			case strings.ContainsAny(f.from, " ("):
				x.Expr = f.from
			default:
				x.Column = f.from
			}
			if f.onNull != "clear" && f.onNull != "keep" {
				x.OnNull, x.Default = "value", asJSON(f.onNull)
			}
			switch f.from {
			case "prefs":
				x.Nested = f.how
			case "tags":
				x.Array = f.how
			}
			if f.how == "audience" {
				c.Audiences = append(c.Audiences, connector.AudienceMap{Attribute: f.name, When: f.from, Path: c.Path + ".audiences." + f.name})
				continue
			}
			if f.preset {
				x.Path = c.Path + ".fields." + f.name
				c.Fields = append(c.Fields, x)
			} else {
				c.Custom = append(c.Custom, x)
			}
		}
		out = append(out, c)
	}
	return out
}

func (w *world) ddl() []string {
	var out []string
	for _, t := range w.tables {
		id := "id bigint PRIMARY KEY, " + t.userCol + " text NOT NULL"
		switch t.idKind {
		case "key":
			id = "id bigint NOT NULL, " + t.userCol + " text PRIMARY KEY"
		case "unique":
			id += " UNIQUE"
		}
		out = append(out, fmt.Sprintf(`CREATE TABLE %s(%s, plan text, n int, flag bool, amount numeric(10,2), note text, gone bool NOT NULL, junk int NOT NULL, pad text, prefs jsonb, tags text[]) WITH (toast_tuple_target = 128)`, t.name, id),
			// With the pad in its place a row is long enough for the server to store even a short note apart, and to leave it out of an update that does not touch it.
			fmt.Sprintf(`ALTER TABLE %s ALTER COLUMN pad SET STORAGE PLAIN`, t.name),
			fmt.Sprintf(`ALTER TABLE %s ALTER COLUMN note SET STORAGE EXTERNAL`, t.name),
			fmt.Sprintf(`ALTER TABLE %s ALTER COLUMN prefs SET STORAGE PLAIN, ALTER COLUMN tags SET STORAGE PLAIN`, t.name))
		if t.m.full {
			out = append(out, fmt.Sprintf(`ALTER TABLE %s REPLICA IDENTITY FULL`, t.name))
		}
	}
	return out
}

func (w *world) describe() string {
	var b strings.Builder
	for _, t := range w.tables {
		fmt.Fprintf(&b, "%s (%s): %+v\n", t.name, t.idKind, *t.m)
	}
	return b.String()
}

// random column values.
func (w *world) shuffle(r *refRow, all bool) {
	some := func() bool { return all || w.IntN(3) == 0 }
	if some() {
		r.plan = maybe(w, 4, pick(w, "free", "pro", "team", "internal"))
	}
	if some() {
		r.n = maybe(w, 4, w.IntN(120))
	}
	if some() {
		r.flag = maybe(w, 4, w.IntN(2) == 0)
	}
	if some() {
		r.amount = maybe(w, 4, fmt.Sprintf("%d.%02d", w.IntN(1000), w.IntN(100)))
	}
	if some() && (all || w.IntN(2) == 0) {
		r.note = maybe(w, 6, w.text(pick(w, 3, 30, 60)))
	}
	if some() {
		r.junk = w.IntN(1000)
	}
	w.shuffleDeeper(r, all)
}

func maybe[T any](w *world, nulls int, v T) *T {
	if w.IntN(nulls) == 0 {
		return nil
	}
	return &v
}

func (w *world) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32())
	}
	return hex.EncodeToString(b)
}

func (w *world) user() string { return fmt.Sprintf("u%d", w.IntN(userPool)) }

// say notes what was done.
func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (r *refRow) String() string {
	s := func(p *string) string {
		if p == nil {
			return "NULL"
		}
		return (*p)[:min(len(*p), 8)]
	}
	n, flag := "NULL", "NULL"
	if r.n != nil {
		n = fmt.Sprint(*r.n)
	}
	if r.flag != nil {
		flag = fmt.Sprint(*r.flag)
	}
	return fmt.Sprintf("id=%d user=%s plan=%s n=%s flag=%s amount=%s note=%s gone=%v", r.id, r.user, s(r.plan), n, flag, s(r.amount), s(r.note), r.gone)
}

// begin, commit and rollback frame a transaction. The reference learns of it at its commit.
func (w *world) begin(ctx context.Context, db *pgx.Conn) error {
	tx, err := db.Begin(ctx)
	w.tx = &worldTx{Tx: tx, rows: w.snapshot()}
	return err
}

func (w *world) snapshot() []map[int]*refRow {
	var out []map[int]*refRow
	for _, t := range w.tables {
		rows := map[int]*refRow{}
		for k, r := range t.rows {
			rows[k] = r // rows are replaced, not changed
		}
		out = append(out, rows)
	}
	return out
}

func (w *world) restore(rows []map[int]*refRow) {
	for i, t := range w.tables {
		t.rows = rows[i]
	}
}

func (w *world) commit(ctx context.Context) error {
	w.say("commit")
	tx := w.tx
	w.tx = nil
	for _, c := range tx.changes {
		w.ref.apply(c)
	}
	return tx.Commit(ctx)
}

func (w *world) rollback(ctx context.Context) error {
	w.say("rollback")
	tx := w.tx
	w.tx = nil
	w.restore(tx.rows)
	return tx.Rollback(ctx)
}

func (w *world) do(ctx context.Context, sql string, args ...any) error {
	if _, err := w.tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (w *world) changed(t *tableSpec, uid int, old, now *refRow) {
	w.tx.changes = append(w.tx.changes, refChange{t.model, uid, old, now})
	if now == nil {
		delete(t.rows, uid)
		w.say("  delete %s #%d %v", t.name, uid, old)
		return
	}
	t.rows[uid] = now
	if old == nil {
		w.say("  insert %s #%d %v", t.name, uid, now)
	} else {
		w.say("  update %s #%d %v", t.name, uid, now)
	}
}

func (w *world) insert(ctx context.Context, t *tableSpec, user string) error {
	r := &refRow{user: user, gone: t.m.dead && w.IntN(8) == 0}
	w.ids++
	r.id = w.ids
	w.shuffle(r, true)
	return w.insertRow(ctx, t, r)
}

func (w *world) insertRow(ctx context.Context, t *tableSpec, r *refRow) error {
	w.uids++
	w.changed(t, w.uids, nil, r)
	return w.do(ctx, fmt.Sprintf(`INSERT INTO %s(id, %s, plan, n, flag, amount, note, gone, junk, pad, prefs, tags)
		VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9, repeat('x', 2200), $10::text::jsonb, %s)`, t.name, t.userCol, fmt.Sprintf(asTextArray, 11)),
		r.id, r.user, r.plan, r.n, r.flag, r.amount, r.note, r.gone, r.junk, r.prefs, r.tags)
}

// update writes only the columns that differ, so that a large text stays where it is.
func (w *world) update(ctx context.Context, t *tableSpec, uid int, now *refRow) error {
	old := t.rows[uid]
	if !t.m.full && (old.user != now.user || w.outside(t, uid) || t.m.expands()) {
		w.reread[refKey{t.model, uid}] = true
	}
	w.changed(t, uid, old, now)
	set, args := []string{"junk = $1"}, []any{now.junk}
	add := func(differs bool, column, cast string, v any) {
		if differs {
			args = append(args, v)
			set = append(set, fmt.Sprintf("%s = $%d%s", column, len(args), cast))
		}
	}
	add(old.id != now.id, "id", "", now.id)
	add(old.user != now.user, t.userCol, "", now.user)
	add(old.plan != now.plan, "plan", "", now.plan)
	add(old.n != now.n, "n", "", now.n)
	add(old.flag != now.flag, "flag", "", now.flag)
	add(old.amount != now.amount, "amount", "::text::numeric", now.amount)
	add(old.note != now.note, "note", "", now.note)
	add(old.prefs != now.prefs, "prefs", "::text::jsonb", now.prefs)
	if old.tags != now.tags {
		args = append(args, now.tags)
		set = append(set, "tags = "+fmt.Sprintf(asTextArray, len(args)))
	}
	add(old.gone != now.gone, "gone", "", now.gone)
	where, key := t.where(old)
	args = append(args, key)
	return w.do(ctx, fmt.Sprintf("UPDATE %s SET %s WHERE %s = $%d", t.name, strings.Join(set, ", "), where, len(args)), args...)
}

func (w *world) delete(ctx context.Context, t *tableSpec, uid int) error {
	old := t.rows[uid]
	w.changed(t, uid, old, nil)
	where, key := t.where(old)
	return w.do(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s = $1", t.name, where), key)
}

func (t *tableSpec) where(r *refRow) (column string, key any) {
	if t.idKind == "key" {
		return t.userCol, r.user
	}
	return "id", r.id
}

func (t *tableSpec) of(user string) (uid int, ok bool) {
	for _, k := range t.uids() {
		if t.rows[k].user == user {
			return k, true
		}
	}
	return 0, false
}

func (t *tableSpec) uids() []int {
	out := make([]int, 0, len(t.rows))
	for k, r := range t.rows {
		if !strings.HasPrefix(r.user, "big") {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
