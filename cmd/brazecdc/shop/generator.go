package shop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Generator makes changes in the shop as its customers would. The same seed makes the same changes. It is used by one goroutine.
type Generator struct {
	db   *pgx.Conn
	rand *rand.Rand

	next      int64
	nextAddr  int64
	living    []int64         // customers
	gone      []int64         // deleted customers, who may come back
	addresses map[int64]int64 // customer -> address
	clock     time.Time
}

// NewGenerator makes a Generator that writes through db, which nobody else may use meanwhile.
func NewGenerator(db *pgx.Conn, seed uint64) *Generator {
	return &Generator{
		db: db, rand: rand.New(rand.NewPCG(seed, 0x5eed)), next: 1000, nextAddr: 500, addresses: map[int64]int64{},
		clock: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
	}
}

// action is one thing that happens in the shop; it tells how many rows it changed.
type action struct {
	weight int
	do     func(*Generator, context.Context, pgx.Tx) (int, error)
}

var actions = []action{
	{22, (*Generator).spend},
	{14, (*Generator).changePlan},
	{10, (*Generator).visit},
	{10, (*Generator).retag},
	{10, (*Generator).prefer},
	{6, (*Generator).changeEmail},
	{5, (*Generator).changePhone},
	{3, (*Generator).marry},
	{4, (*Generator).newsletter},
	{4, (*Generator).touch},
	{9, (*Generator).signUp},
	{9, (*Generator).moveHouse},
	{3, (*Generator).addAddress},
	{2, (*Generator).dropAddress},
	{2, (*Generator).handOver},
	{3, (*Generator).leave},
	{2, (*Generator).comeBack},
	{2, (*Generator).bonus},
}

// Step makes one transaction of one or a few changes and tells how many rows changed, those of cascades included. It may be 0.
func (g *Generator) Step(ctx context.Context) (int, error) {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	pick := g.rand.IntN(total)
	var do func(*Generator, context.Context, pgx.Tx) (int, error)
	for _, a := range actions {
		if pick < a.weight {
			do = a.do
			break
		}
		pick -= a.weight
	}
	g.clock = g.clock.Add(time.Duration(1+g.rand.IntN(90_000)) * time.Millisecond)
	var rows int
	err := pgx.BeginFunc(ctx, g.db, func(tx pgx.Tx) (err error) {
		rows, err = do(g, ctx, tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("change the shop: %w", err)
	}
	return rows, nil
}

func (g *Generator) newID() int64 {
	g.next++
	return g.next
}

func userID(id int64) string { return fmt.Sprintf("u-%d", id) }

// someone picks a living customer; the newer half is picked twice as often, as people who just signed up do more.
func (g *Generator) someone() int64 {
	n := len(g.living)
	if g.rand.IntN(3) == 0 {
		return g.living[g.rand.IntN(n)]
	}
	return g.living[n/2+g.rand.IntN(n-n/2)]
}

// update changes one customer; the assignment may use $2 and on.
func (g *Generator) update(ctx context.Context, tx pgx.Tx, id int64, set string, args ...any) (int, error) {
	tag, err := tx.Exec(ctx, "UPDATE customers SET "+set+" WHERE id = $1", append([]any{id}, args...)...)
	return int(tag.RowsAffected()), err
}

func (g *Generator) spend(ctx context.Context, tx pgx.Tx) (int, error) {
	cents := 100 + g.rand.IntN(9900)
	if g.rand.IntN(2) == 0 {
		cents = -cents
	}
	return g.update(ctx, tx, g.someone(), "credits = GREATEST(0, credits + $2::int / 100.0)", cents)
}

func (g *Generator) changePlan(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.update(ctx, tx, g.someone(), "plan = $2", pickOf(g.rand, plans))
}

func (g *Generator) visit(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.update(ctx, tx, g.someone(), "last_seen = $2", g.clock)
}

func (g *Generator) retag(ctx context.Context, tx pgx.Tx) (int, error) {
	tag := pickOf(g.rand, tags)
	if g.rand.IntN(3) == 0 {
		return g.update(ctx, tx, g.someone(), "tags = array_remove(tags, $2)", tag)
	}
	return g.update(ctx, tx, g.someone(), "tags = array_append(array_remove(tags, $2), $2)", tag)
}

func (g *Generator) prefer(ctx context.Context, tx pgx.Tx) (int, error) {
	switch id := g.someone(); g.rand.IntN(4) {
	case 0:
		return g.update(ctx, tx, id, "prefs = prefs - 'size'")
	case 1:
		return g.update(ctx, tx, id, "prefs = COALESCE(prefs, '{}') || jsonb_build_object('size', $2::int)", 36+g.rand.IntN(12))
	case 2:
		return g.update(ctx, tx, id, "prefs = COALESCE(prefs, '{}') || jsonb_build_object('mail', jsonb_build_object('weekly', $2::bool, 'hour', $3::int))",
			g.rand.IntN(2) == 0, g.rand.IntN(24))
	default:
		return g.update(ctx, tx, id, "prefs = COALESCE(prefs, '{}') || jsonb_build_object('color', $2::text)", pickOf(g.rand, colors))
	}
}

func (g *Generator) changeEmail(ctx context.Context, tx pgx.Tx) (int, error) {
	if g.rand.IntN(4) == 0 {
		return g.update(ctx, tx, g.someone(), "email = NULL")
	}
	id := g.someone()
	return g.update(ctx, tx, id, "email = $2", fmt.Sprintf("%s.%d@example.org", pickOf(g.rand, mailNames), id))
}

func (g *Generator) changePhone(ctx context.Context, tx pgx.Tx) (int, error) {
	if g.rand.IntN(3) == 0 {
		return g.update(ctx, tx, g.someone(), "phone = NULL")
	}
	return g.update(ctx, tx, g.someone(), "phone = $2", g.phone())
}

func (g *Generator) marry(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.update(ctx, tx, g.someone(), "last_name = $2", pickOf(g.rand, lastNames))
}

// newsletter changes a column that is not mapped, so no call comes of it.
func (g *Generator) newsletter(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.update(ctx, tx, g.someone(), "newsletter = NOT newsletter")
}

// touch is the write of an application that saves a record it did not change.
func (g *Generator) touch(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.update(ctx, tx, g.someone(), "last_name = last_name")
}

// bonus changes several rows in one transaction.
func (g *Generator) bonus(ctx context.Context, tx pgx.Tx) (int, error) {
	ids := make([]int64, 0, 5)
	for range 5 {
		ids = append(ids, g.someone())
	}
	tag, err := tx.Exec(ctx, "UPDATE customers SET credits = credits + 10 WHERE id = ANY($1)", ids)
	return int(tag.RowsAffected()), err
}

func (g *Generator) signUp(ctx context.Context, tx pgx.Tx) (int, error) {
	return g.registerRows(ctx, tx, g.newID())
}

// comeBack registers a deleted customer again under the same user_id.
func (g *Generator) comeBack(ctx context.Context, tx pgx.Tx) (int, error) {
	if len(g.gone) == 0 {
		return g.signUp(ctx, tx)
	}
	i := g.rand.IntN(len(g.gone))
	id := g.gone[i]
	g.gone = slices.Delete(g.gone, i, i+1)
	return g.registerRows(ctx, tx, id)
}

// leave deletes a customer; a cascade takes the address.
func (g *Generator) leave(ctx context.Context, tx pgx.Tx) (int, error) {
	if len(g.living) < 20 {
		return g.signUp(ctx, tx)
	}
	i := g.rand.IntN(len(g.living))
	id := g.living[i]
	if _, err := tx.Exec(ctx, "DELETE FROM customers WHERE id = $1", id); err != nil {
		return 0, err
	}
	g.living = slices.Delete(g.living, i, i+1)
	g.gone = append(g.gone, id)
	rows := 1
	if _, ok := g.addresses[id]; ok {
		delete(g.addresses, id)
		rows++
	}
	return rows, nil
}

func (g *Generator) register(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := g.registerRows(ctx, tx, id)
	return err
}

func (g *Generator) registerRows(ctx context.Context, tx pgx.Tx, id int64) (int, error) {
	first, last := pickOf(g.rand, firstNames), pickOf(g.rand, lastNames)
	place := pickOf(g.rand, places)
	var email, phone, born, prefs, seen any
	if g.rand.IntN(12) > 0 {
		email = fmt.Sprintf("%s.%d@example.com", pickOf(g.rand, mailNames), id)
	}
	if g.rand.IntN(3) > 0 {
		phone = g.phone()
	}
	if g.rand.IntN(5) > 0 {
		born = time.Date(1950+g.rand.IntN(55), time.Month(1+g.rand.IntN(12)), 1+g.rand.IntN(28), 0, 0, 0, 0, time.UTC)
	}
	if g.rand.IntN(4) > 0 {
		prefs = fmt.Sprintf(`{"color": %q, "size": %d}`, pickOf(g.rand, colors), 36+g.rand.IntN(12))
	}
	if g.rand.IntN(2) > 0 {
		seen = g.clock
	}
	_, err := tx.Exec(ctx, `INSERT INTO customers VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::int / 100.0, $12, $13, $14, $15)`,
		id, userID(id), email, first, last, born, phone, place.country, place.language, "free", g.rand.IntN(5000),
		[]string{"new", pickOf(g.rand, tags)}, prefs, g.rand.IntN(2) == 0, seen)
	if err != nil {
		return 0, err
	}
	g.living = append(g.living, id)
	if g.rand.IntN(4) == 0 {
		return 1, nil
	}
	return 2, g.insertAddress(ctx, tx, id)
}
