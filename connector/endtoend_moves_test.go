package connector_test

import (
	"context"
	"fmt"
	"slices"
)

// step makes one random operation inside the transaction. early: a load is still running, so only what has one right outcome whether the load has come by
// the row or not.
func (w *world) step(ctx context.Context, early bool) error {
	t := w.tables[w.IntN(len(w.tables))]
	uids := t.uids()
	if early && w.enriches() {
		return nil // whether the user was there depends on the load
	}
	if len(uids) == 0 || w.IntN(5) == 0 {
		return w.appear(ctx, t)
	}
	uid := uids[w.IntN(len(uids))]
	now := *t.rows[uid]
	if early && !w.early(t) {
		return nil
	}
	if w.reread[refKey{t.model, uid}] {
		return w.plain(ctx, t, uid, early)
	}
	switch known := w.identKnown(t, uid); {
	case early:
		switch w.IntN(6) {
		case 0:
			return w.cascadeDelete(ctx, t, uid)
		case 1:
			return w.rename(ctx, t, uid, true, true)
		}
		return w.plain(ctx, t, uid, true)
	case !known:
		return w.plain(ctx, t, uid, true)
	case w.outside(t, uid):
		if w.IntN(4) == 0 && t.m.full {
			return w.delete(ctx, t, uid)
		}
		return w.plain(ctx, t, uid, false)
	}
	switch w.IntN(14) {
	case 0, 1:
		return w.delete(ctx, t, uid)
	case 2:
		return w.cascadeDelete(ctx, t, uid)
	case 3:
		return w.deleteInsert(ctx, t, uid)
	case 4:
		return w.rename(ctx, t, uid, w.IntN(2) == 0, false)
	case 5:
		return w.move(ctx, t, uid)
	case 6:
		w.ids++
		now.id = w.ids
		return w.update(ctx, t, uid, &now)
	case 7:
		if t.m.dead {
			now.gone = !now.gone
			return w.update(ctx, t, uid, &now)
		}
	case 8:
		return w.replace(ctx, t, uid)
	}
	return w.plain(ctx, t, uid, false)
}

// early tells whether a table's rows may be changed while loads run: only then is it the same whether the load has come by. A value that a later NULL keeps
// is there only if the load saw it.
func (w *world) early(t *tableSpec) bool {
	if slices.ContainsFunc(t.m.fields, func(f refField) bool { return f.onNull == "keep" }) {
		return false
	}
	return w.tables[0].m.mode == "sync" && t.m.filter == "" && !t.m.dead && (t.m.full || t.idKind == "key")
}

func (w *world) enriches() bool {
	for _, t := range w.tables {
		if t.m.mode == "enrich" {
			return true
		}
	}
	return false
}

// identKnown tells whether a delete or a changed id of the row can name its user.
func (w *world) identKnown(t *tableSpec, uid int) bool {
	l := w.ref.rows[refKey{t.model, uid}]
	if l == nil {
		return true // inserted in this transaction
	}
	return t.m.full || l.known || (t.idKind == "key" && t.m.filter == "" && !t.m.dead)
}

// outside tells whether the row does not count for its model, before or in this transaction: then its id does not change.
func (w *world) outside(t *tableSpec, uid int) bool {
	r := t.rows[uid]
	if l := w.ref.rows[refKey{t.model, uid}]; l != nil && !l.in {
		return true
	}
	for _, c := range w.tx.changes {
		if c.model == t.model && c.uid == uid && c.now != nil && (t.m.matches(c.now) != refTrue || (t.m.dead && c.now.gone)) {
			return true
		}
	}
	return t.m.matches(r) != refTrue || (t.m.dead && r.gone)
}

// appear inserts a row for a user that has none in the table.
func (w *world) appear(ctx context.Context, t *tableSpec) error {
	user := w.user()
	if _, ok := t.of(user); ok || t.owner && t.idKind == "plain" && w.left[user] {
		return nil // where nothing keeps two rows from having one id, a row that takes an old one holds the rename off
	}
	return w.insert(ctx, t, user)
}

// plain changes values; inside keeps the row in the filter.
func (w *world) plain(ctx context.Context, t *tableSpec, uid int, inside bool) error {
	now := *t.rows[uid]
	was := w.outside(t, uid)
	if now.gone && !t.m.full { // nobody knows that it was gone before
		now.gone = false
		return w.update(ctx, t, uid, &now)
	}
	w.shuffle(&now, false)
	if t.m.dead && w.IntN(6) == 0 {
		now.gone = !now.gone
	}
	if inside && (t.m.matches(&now) != refTrue || (t.m.dead && now.gone)) {
		keep := *t.rows[uid]
		keep.junk++
		if was {
			return nil
		}
		now = keep
	}
	return w.update(ctx, t, uid, &now)
}

// children are the rows of other tables that belong to a user.
func (w *world) children(user string, do func(t *tableSpec, uid int) error) error {
	for _, t := range w.tables[1:] {
		if uid, ok := t.of(user); ok {
			if err := do(t, uid); err != nil {
				return err
			}
		}
	}
	return nil
}

// cascadeDelete deletes an owner's row and what belongs to it, in either order.
func (w *world) cascadeDelete(ctx context.Context, t *tableSpec, uid int) error {
	if !t.owner || w.unsureChild(t.rows[uid].user) {
		return nil
	}
	user, first := t.rows[uid].user, w.IntN(2) == 0
	if first {
		if err := w.delete(ctx, t, uid); err != nil {
			return err
		}
	}
	err := w.children(user, func(c *tableSpec, cuid int) error { return w.delete(ctx, c, cuid) })
	if err != nil || first {
		return err
	}
	return w.delete(ctx, t, uid)
}

// unsureChild tells whether a user has a row whose user nobody knows.
func (w *world) unsureChild(user string) bool {
	for _, t := range w.tables[1:] {
		if uid, ok := t.of(user); ok && (!w.identKnown(t, uid) || w.outside(t, uid) || w.reread[refKey{t.model, uid}]) {
			return true
		}
	}
	return false
}

// deleteInsert deletes a row and inserts another one for the same user, with the same key or not.
func (w *world) deleteInsert(ctx context.Context, t *tableSpec, uid int) error {
	old := *t.rows[uid]
	if err := w.delete(ctx, t, uid); err != nil {
		return err
	}
	r := &refRow{id: old.id, user: old.user}
	if w.IntN(2) == 0 {
		w.ids++
		r.id = w.ids
	}
	w.shuffle(r, true)
	return w.insertRow(ctx, t, r)
}

// replace inserts the row that takes over a user before the old one is deleted, where no unique key forbids it.
func (w *world) replace(ctx context.Context, t *tableSpec, uid int) error {
	if t.idKind != "plain" || !t.owner || t.m.filter != "" || t.m.dead {
		return nil
	}
	if err := w.insert(ctx, t, t.rows[uid].user); err != nil {
		return err
	}
	w.replaced[t.rows[uid].user] = true
	return w.delete(ctx, t, uid)
}

// rename gives an owner's row an external_id that nobody has: a fresh one, or one that it had before.
func (w *world) rename(ctx context.Context, t *tableSpec, uid int, cascade, early bool) error {
	if early && t.m.change == "create" {
		return nil // whether the old profile is there depends on the load
	}
	if !t.owner || w.others(t, uid) || w.replaced[t.rows[uid].user] || (cascade && w.unsureChild(t.rows[uid].user)) {
		return nil
	}
	now := *t.rows[uid]
	from := now.user
	w.fresh++
	now.user = fmt.Sprintf("r%d", w.fresh)
	w.left[from] = true
	if err := w.update(ctx, t, uid, &now); err != nil || !cascade {
		return err
	}
	return w.children(from, func(c *tableSpec, cuid int) error {
		child := *c.rows[cuid]
		child.user = now.user
		return w.update(ctx, c, cuid, &child)
	})
}

// others tells whether another row of the table has the row's user.
func (w *world) others(t *tableSpec, uid int) bool {
	for k, r := range t.rows {
		if k != uid && r.user == t.rows[uid].user {
			return true
		}
	}
	return false
}

// move gives another model's row to another user.
func (w *world) move(ctx context.Context, t *tableSpec, uid int) error {
	to := w.user()
	if _, taken := t.of(to); t.owner || taken {
		return nil
	}
	now := *t.rows[uid]
	now.user = to
	return w.update(ctx, t, uid, &now)
}

// big is one transaction of thousands of rows: inserted, changed, some deleted.
func (w *world) big(ctx context.Context, rows int) error {
	t := w.tables[0]
	if t.m.filter != "" || t.m.dead {
		return nil
	}
	first := w.ids + 1
	w.ids += int64(rows)
	w.say("  %d rows of %s", rows, t.name)
	plan, pro := "bulk", "pro"
	at := map[int64]int{}
	for i := range rows {
		r := &refRow{id: first + int64(i), user: fmt.Sprintf("big%d", first+int64(i)), plan: &plan}
		w.uids++
		at[r.id] = w.uids
		t.rows[w.uids] = r
		w.tx.changes = append(w.tx.changes, refChange{t.model, w.uids, nil, r})
	}
	if err := w.do(ctx, fmt.Sprintf(`INSERT INTO %s(id, %s, plan, gone, junk) SELECT i, 'big' || i, 'bulk', false, 0 FROM generate_series($1::bigint, $2::bigint) i`, t.name, t.userCol), first, w.ids); err != nil {
		return err
	}
	for id := first; id <= w.ids; id++ {
		old := t.rows[at[id]]
		if id%2 == 0 {
			now := *old
			now.plan = &pro
			t.rows[at[id]] = &now
			w.tx.changes = append(w.tx.changes, refChange{t.model, at[id], old, &now})
		}
	}
	if err := w.do(ctx, fmt.Sprintf(`UPDATE %s SET plan = 'pro' WHERE id BETWEEN $1 AND $2 AND id %% 2 = 0`, t.name), first, w.ids); err != nil {
		return err
	}
	for id := first; id <= w.ids; id++ {
		if id%7 == 0 {
			w.tx.changes = append(w.tx.changes, refChange{t.model, at[id], t.rows[at[id]], nil})
			delete(t.rows, at[id])
		}
	}
	return w.do(ctx, fmt.Sprintf(`DELETE FROM %s WHERE id BETWEEN $1 AND $2 AND id %% 7 = 0`, t.name), first, w.ids)
}
