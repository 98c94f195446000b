package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// tables knows which tables are read, under which names, and keeps one *connector.Table per shape. Methods may be called concurrently.
type tables struct {
	publication string
	types       *typeCache

	mu     sync.Mutex
	names  map[[2]string]string // schema and name to the name in the configuration
	wanted map[string]bool      // names that Start gave
	shapes map[string]*relation // newest shape by name
}

func newTables(publication string) *tables {
	return &tables{publication: publication, types: newTypeCache(), names: map[[2]string]string{}, wanted: map[string]bool{}, shapes: map[string]*relation{}}
}

// want adds a table that Start names.
func (t *tables) want(s *shape, name string) {
	t.mu.Lock()
	t.names[[2]string{s.schema, s.name}] = name
	t.wanted[name] = true
	t.mu.Unlock()
}

// alias remembers how a table is called without asking for its changes.
func (t *tables) alias(s *shape, name string) {
	t.mu.Lock()
	if _, ok := t.names[[2]string{s.schema, s.name}]; !ok {
		t.names[[2]string{s.schema, s.name}] = name
	}
	t.mu.Unlock()
}

// name gives the configuration's name of a table, or schema.name, and whether its changes are wanted.
func (t *tables) name(schema, name string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.names[[2]string{schema, name}]; ok {
		return n, t.wanted[n]
	}
	return schema + "." + name, false
}

// intern gives r the pointer of an equal shape, so that a Table can key caches.
func (t *tables) intern(r *relation) *relation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.shapes[r.table.Name]; old != nil && sameShape(old.table, r.table) {
		r.table = old.table
		return r
	}
	t.shapes[r.table.Name] = r
	return r
}

// relation turns a relation message into what rows are read with. The catalog adds what the message lacks; it is asked until it answers,
// because the rows behind the message cannot be read without it.
func (t *tables) relation(ctx context.Context, p *pool, m *relationMessage) (*relation, error) {
	name, wanted := t.name(m.schema, m.name)
	if !wanted {
		r := &relation{oid: m.oid, table: &connector.Table{Name: name}}
		return r, nil
	}
	var s *shape
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(time.Minute))
	err := backoff.Retry(func() error {
		return p.with(ctx, func(c *pgconn.PgConn) (err error) {
			if s, err = readShape(ctx, c, m.oid); err != nil {
				return err
			}
			oids := make([]uint32, len(m.columns))
			for i, col := range m.columns {
				oids[i] = col.typeOID
			}
			return t.types.learn(ctx, c, oids)
		})
	}, backoff.WithContext(b, ctx))
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", name, err)
	}
	r := build(m, s, name, t.types)
	r.wanted = true
	return t.intern(r), nil
}

// describe gives the present shape of a table as the stream would name it.
func (t *tables) describe(ctx context.Context, c *pgconn.PgConn, o uint32) (*relation, *shape, error) {
	s, err := readShape(ctx, c, o)
	if err != nil || s == nil {
		return nil, nil, err
	}
	if _, err := readPublished(ctx, c, s, t.publication); err != nil {
		return nil, nil, err
	}
	m := s.message()
	oids := make([]uint32, len(m.columns))
	for i, col := range m.columns {
		oids[i] = col.typeOID
	}
	if err := t.types.learn(ctx, c, oids); err != nil {
		return nil, nil, err
	}
	name, _ := t.name(s.schema, s.name)
	return t.intern(build(&m, s, name, t.types)), s, nil
}
