package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
)

// verdict is what became of one row.
type verdict struct {
	row     *sourceRow
	missing bool // Braze does not know the user
	living  bool // Braze knows it, and should not
	drifts  []fieldDrift
}

func (v *verdict) equal() bool { return !v.missing && !v.living && len(v.drifts) == 0 }

// fieldDrift is one field that differs.
type fieldDrift struct {
	def       *connector.FieldDef
	how       string
	want, got json.RawMessage
}

// look compares, twice where something differs.
func (v *verifier) look(ctx context.Context) (*verifyReport, error) {
	rows, err := v.rows(ctx)
	if err != nil {
		return nil, err
	}
	r := newVerifyReport(v, rows)
	first, err := v.compare(ctx, rows)
	if err != nil {
		return nil, err
	}
	var suspects []sourceRow
	var before []verdict
	for i := range first {
		r.compared(&first[i])
		if first[i].equal() {
			r.Equal++
			continue
		}
		suspects, before = append(suspects, *first[i].row), append(before, first[i])
	}
	if len(suspects) == 0 {
		r.finish(v)
		return r, nil
	}
	if err := pause(ctx, v.cfg.Braze.UserGap+v.q.wait); err != nil {
		return nil, err
	}
	if suspects, err = v.again(ctx, suspects); err != nil {
		return nil, err
	}
	second, err := v.compare(ctx, suspects)
	if err != nil {
		return nil, err
	}
	for i := range before {
		j := slices.IndexFunc(second, func(s verdict) bool { return s.row.id == before[i].row.id })
		if j < 0 { // the row is nothing for Braze any more
			r.Moving++
			continue
		}
		r.settle(&before[i], &second[j])
	}
	r.finish(v)
	return r, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the second look: %w", ctx.Err())
	}
}

// compare asks Braze for the users of rows and compares. Rows that are nothing for Braze have no verdict.
func (v *verifier) compare(ctx context.Context, rows []sourceRow) ([]verdict, error) {
	var users []connector.User
	seen := map[connector.User]bool{}
	for i := range rows {
		if w := &rows[i]; w.held == "" && !w.none && !seen[w.user] {
			seen[w.user] = true
			users = append(users, w.user)
		}
	}
	profiles, err := v.profiles(ctx, users)
	if err != nil {
		return nil, err
	}
	var out []verdict
	for i := range rows {
		w := &rows[i]
		if w.held != "" || w.none {
			continue
		}
		d := verdict{row: w}
		found := profiles[w.user]
		switch {
		case w.gone:
			d.living = len(found) > 0
		case len(found) == 0:
			d.missing = w.creates
		default:
			d.drifts = leastDrift(w.fields, found)
		}
		out = append(out, d)
	}
	return out, nil
}

// leastDrift compares with each profile that has an email or phone, and gives what differs from the one that is nearest: Braze chooses one of them itself.
func leastDrift(fields []connector.Field, found []braze.Profile) (least []fieldDrift) {
	for i := range found {
		var drifts []fieldDrift
		for j := range fields {
			f := &fields[j]
			if incomparable(f.Def) != "" {
				continue
			}
			got := held(&found[i], f.Def)
			if how := compareField(f, got); how != "" {
				drifts = append(drifts, fieldDrift{f.Def, how, f.JSON, got})
			}
		}
		if i == 0 || len(drifts) < len(least) {
			least = drifts
		}
	}
	return least
}

// exportBatch is how many users one request takes (Braze docs, "Export user profile by identifier").
const exportBatch = 50

// profiles asks Braze for users; one that it does not know has none.
func (v *verifier) profiles(ctx context.Context, users []connector.User) (map[connector.User][]braze.Profile, error) {
	var fields []string
	for _, d := range v.mapper.Models()[v.at].Fields {
		if incomparable(d) == "" {
			fields = append(fields, d.Name)
		}
	}
	out := map[connector.User][]braze.Profile{}
	var kinds [connector.Phone + 1][]connector.User
	for _, u := range users {
		kinds[u.Kind] = append(kinds[u.Kind], u)
	}
	for kind, list := range kinds {
		size := exportBatch
		if connector.IDKind(kind) >= connector.Email {
			size = 1
		}
		for part := range slices.Chunk(list, size) {
			known, err := v.export(ctx, part, fields, out)
			if err != nil {
				return nil, err
			}
			for _, u := range part {
				if known[u] || size == 1 {
					continue
				}
				// Neither a profile nor a word about it: an id that was renamed, which only tells by itself whose profile came.
				if _, err := v.export(ctx, []connector.User{u}, fields, out); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// export makes one request and tells which users it was clear about.
func (v *verifier) export(ctx context.Context, users []connector.User, fields []string, out map[connector.User][]braze.Profile) (map[connector.User]bool, error) {
	if err := v.pace.wait(ctx); err != nil {
		return nil, err
	}
	v.asked++
	found, unknown, err := v.sink.Export(ctx, users, fields)
	if err != nil {
		return nil, fmt.Errorf("ask Braze for %s: %w", plural(len(users), "profile"), err)
	}
	told := map[connector.User]bool{}
	for _, u := range unknown {
		told[u] = true
	}
	for i := range found {
		u := found[i].User
		if slices.Contains(users, u) {
			told[u] = true
			out[u] = append(out[u], found[i])
		}
	}
	return told, nil
}

// settle counts what is there at both looks.
func (r *verifyReport) settle(first, second *verdict) {
	w := second.row
	switch {
	case second.equal():
		r.Equal++
		r.Moving++
	case second.missing && first.missing:
		r.Missing++
		r.MissingUsers = example(r.MissingUsers, w)
		r.repairs = append(r.repairs, verifyRepair{key: w.key})
	case second.living && first.living:
		r.Living++
		r.LivingUsers = example(r.LivingUsers, w)
	default:
		differ := r.settleFields(first, second)
		if len(differ) == 0 {
			r.Moving++
			return
		}
		r.Drifting++
		if slices.Contains(differ, "email") {
			differ = nil // with a new address Braze forgets who unsubscribed, so that goes along
		}
		r.repairs = append(r.repairs, verifyRepair{w.key, differ})
	}
}

// settleFields counts the fields that differ at both looks while the source says the same, and names them.
func (r *verifyReport) settleFields(first, second *verdict) (names []string) {
	for i := range second.drifts {
		d := &second.drifts[i]
		if !slices.ContainsFunc(first.drifts, func(o fieldDrift) bool { return o.def == d.def && bytes.Equal(o.want, d.want) }) {
			continue
		}
		names = append(names, d.def.Name)
		f := &r.Fields[r.byDef[d.def]]
		switch d.how {
		case driftMissing:
			f.Missing++
		case driftExtra:
			f.Extra++
		default:
			f.Differs++
		}
		if len(f.Examples) < mostExamples {
			e := verifyExample{Key: second.row.key, User: second.row.user.ID, How: d.how}
			if r.values {
				e.Source, e.Braze = d.want, d.got
			}
			f.Examples = append(f.Examples, e)
		}
	}
	return names
}
