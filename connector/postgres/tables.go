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
	oids   map[uint32]string    // tables behind them
	recent map[string]*recent   // descriptions that look-ups may use
	shapes map[string]*relation // newest shape by name
}

func newTables(publication string) *tables {
	return &tables{publication: publication, types: newTypeCache(), names: map[[2]string]string{}, wanted: map[string]bool{}, oids: map[uint32]string{}, recent: map[string]*recent{}, shapes: map[string]*relation{}}
}

// want adds a table that Start names.
func (t *tables) want(s *shape, name string) {
	t.mu.Lock()
	t.names[[2]string{s.schema, s.name}] = name
	t.wanted[name] = true
	t.oids[s.oid] = name
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

// recent is a description of a table that was read a moment ago. A relation message of the stream ends it early.
type recent struct {
	rel *relation
	sh  *shape
	at  time.Time
}

// recentFor is how long look-ups use a description.
const recentFor = 5 * time.Second

func (t *tables) forget(name string) {
	t.mu.Lock()
	delete(t.recent, name)
	t.mu.Unlock()
}

// find gives a table's description by its configured name, for a look-up.
func (t *tables) find(ctx context.Context, c *pgconn.PgConn, name string) (*relation, *shape, error) {
	t.mu.Lock()
	r := t.recent[name]
	t.mu.Unlock()
	if r != nil && time.Since(r.at) < recentFor {
		return r.rel, r.sh, nil
	}
	sh, err := findTable(ctx, c, name)
	if err != nil {
		return nil, nil, err
	}
	if err := fitTable(sh, name); err != nil {
		return nil, nil, err
	}
	t.alias(sh, name)
	rel, sh, err := t.describe(ctx, c, sh.oid)
	if err != nil {
		return nil, nil, err
	}
	if sh == nil {
		return nil, nil, unfit(fmt.Sprintf("table %s is gone", name), "")
	}
	t.mu.Lock()
	t.recent[name] = &recent{rel: rel, sh: sh, at: time.Now()}
	t.mu.Unlock()
	return rel, sh, nil
}

// renamed gives the configured name of a table by its OID, or "".
func (t *tables) renamed(oid uint32) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.oids[oid]
}

// missing gives the wanted tables that are not among listed.
func (t *tables) missing(listed map[[2]string]bool) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for k, name := range t.names {
		if t.wanted[name] && !listed[k] {
			out = append(out, name)
		}
	}
	return out
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

// describeTimeout bounds one look at the catalog for a row that waits in the stream.
const describeTimeout = 10 * time.Second

// relation turns a relation message into what rows are read with. The catalog adds what the message lacks; it is asked until it answers,
// because the rows behind the message cannot be read without it.
func (t *tables) relation(ctx context.Context, p *pool, m *relationMessage) (*relation, error) {
	name, wanted := t.name(m.schema, m.name)
	t.forget(name)
	if old := t.renamed(m.oid); !wanted && old != "" {
		// The same table under another name. It goes on under the configured one, unless another table has that now.
		err := p.with(ctx, func(c *pgconn.PgConn) error {
			o, err := regclass(ctx, c, old)
			if wanted = err == nil && (o == 0 || o == m.oid); wanted {
				name = old
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look up the renamed table %s: %w", old, err)
		}
	}
	if !wanted {
		r := &relation{oid: m.oid, table: &connector.Table{Name: name}}
		return r, nil
	}
	var s *shape
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(time.Minute))
	err := backoff.Retry(func() error {
		ctx, cancel := context.WithTimeout(ctx, describeTimeout) // the stream stands still meanwhile
		defer cancel()
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
