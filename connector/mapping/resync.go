package mapping

import (
	"errors"
	"fmt"
	"sync"

	"brazecdc/connector"
)

var _ connector.RowPicker = (*Mapper)(nil)

// RowFilter implements connector.RowPicker: the rule is an expression as the model's filter is one, over the columns of its table. NULL is no match, as in SQL.
func (m *Mapper) RowFilter(model int, rule string) (func(connector.Row) (bool, error), error) {
	if model < 0 || model >= len(m.models) {
		return nil, fmt.Errorf("there is no model %d", model)
	}
	p, err := compileExpr(rule, m.models[model].table, useRule, m.cfg.TimeZone, m.cfg.Now)
	if err != nil {
		var bad *exprFault
		if errors.As(err, &bad) && bad.fix != "" {
			return nil, fmt.Errorf("at character %d: %s; %s", bad.offset+1, bad.what, bad.fix)
		}
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("at character %d: %s", bad.offset+1, bad.what)
		}
		return nil, err
	}
	var plans sync.Map // of *connector.Table: the program's columns in it
	return func(r connector.Row) (bool, error) {
		cols, ok := plans.Load(r.Table)
		if !ok {
			found := make([]int, len(p.columns))
			for i, name := range p.columns {
				if found[i] = r.Table.Column(name); found[i] < 0 {
					return false, fmt.Errorf("table %s has no column %q any more", r.Table.Name, name)
				}
			}
			cols, _ = plans.LoadOrStore(r.Table, found)
		}
		is, err := p.test(r, cols.([]int))
		if absentColumn(err) != "" {
			return true, nil
		}
		return is == yes, err
	}, nil
}

// RowUser implements connector.RowPicker.
func (m *Mapper) RowUser(model int, r connector.Row) (u connector.User, ok bool) {
	if model < 0 || model >= len(m.models) || r.Table == nil || !fits(r) {
		return u, false
	}
	p := m.planFor(m.models[model], r.Table)
	if p == nil || p.broken != nil {
		return u, false
	}
	id := p.identity(r)
	return id.user, id.state == idKnown
}
