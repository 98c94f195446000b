package shop

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
)

func (g *Generator) insertAddress(ctx context.Context, tx pgx.Tx, customer int64) error {
	g.nextAddr++
	city, street, postcode := g.residence()
	var wrap any
	if g.rand.IntN(3) > 0 {
		wrap = g.rand.IntN(2) == 0
	}
	_, err := tx.Exec(ctx, `INSERT INTO addresses VALUES ($1, $2, $3, $4, $5, $6)`, g.nextAddr, userID(customer), street, postcode, city, wrap)
	if err != nil {
		return err
	}
	g.addresses[customer] = g.nextAddr
	return nil
}

// residence makes up a place to live; one in ten has no postcode.
func (g *Generator) residence() (city, street string, postcode any) {
	p := pickOf(g.rand, places)
	street = fmt.Sprintf("%s %d", pickOf(g.rand, streets), 1+g.rand.IntN(120))
	if g.rand.IntN(10) > 0 {
		postcode = fmt.Sprintf("%05d", 10000+g.rand.IntN(80000))
	}
	return p.city, street, postcode
}

// housed picks a customer with an address, or 0. The living are walked from a random one on, so that a seed decides it and no map's order does.
func (g *Generator) housed(want bool) int64 {
	n := len(g.living)
	start := g.rand.IntN(n)
	for i := range n {
		id := g.living[(start+i)%n]
		if _, has := g.addresses[id]; has == want {
			return id
		}
	}
	return 0
}

func (g *Generator) moveHouse(ctx context.Context, tx pgx.Tx) (int, error) {
	id := g.housed(true)
	if id == 0 {
		return 0, nil
	}
	city, street, postcode := g.residence()
	_, err := tx.Exec(ctx, "UPDATE addresses SET city = $2, street = $3, postcode = $4 WHERE id = $1", g.addresses[id], city, street, postcode)
	return 1, err
}

func (g *Generator) addAddress(ctx context.Context, tx pgx.Tx) (int, error) {
	id := g.housed(false)
	if id == 0 {
		return g.moveHouse(ctx, tx)
	}
	return 1, g.insertAddress(ctx, tx, id)
}

func (g *Generator) dropAddress(ctx context.Context, tx pgx.Tx) (int, error) {
	id := g.housed(true)
	if id == 0 {
		return 0, nil
	}
	_, err := tx.Exec(ctx, "DELETE FROM addresses WHERE id = $1", g.addresses[id])
	if err == nil {
		delete(g.addresses, id)
	}
	return 1, err
}

// handOver gives an address to another customer: its fields leave one profile and come to another.
func (g *Generator) handOver(ctx context.Context, tx pgx.Tx) (int, error) {
	from, to := g.housed(true), g.housed(false)
	if from == 0 || to == 0 {
		return 0, nil
	}
	_, err := tx.Exec(ctx, "UPDATE addresses SET user_id = $2 WHERE id = $1", g.addresses[from], userID(to))
	if err == nil {
		g.addresses[to] = g.addresses[from]
		delete(g.addresses, from)
	}
	return 1, err
}

func (g *Generator) phone() string { return fmt.Sprintf("+4930%07d", 1000000+g.rand.IntN(8999999)) }

func pickOf[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

type place struct{ city, country, language string }

// Names and places are common ones; addresses of mail use the domains reserved for examples.
var (
	places = []place{
		{"Berlin", "DE", "de"}, {"Hamburg", "DE", "de"}, {"Köln", "DE", "de"}, {"Wien", "AT", "de"}, {"Graz", "AT", "de"},
		{"Paris", "FR", "fr"}, {"Lyon", "FR", "fr"}, {"Madrid", "ES", "es"}, {"Kraków", "PL", "pl"}, {"Utrecht", "NL", "nl"},
	}
	firstNames = []string{"Ada", "Jonas", "Mia", "Émile", "Lena", "Piotr", "Sofía", "Noah", "Clara", "Tim", "Zoë", "Karl", "Nora", "Luís", "Eva", "Finn"}
	lastNames  = []string{"Weber", "Schäfer", "Novak", "Müller", "García", "Petit", "Jansen", "Kowalska", "O'Brien", "Vogel", "Lang", "Fuchs", "Roth", "Krüger"}
	mailNames  = []string{"hello", "post", "info", "me", "mail", "shop", "home", "inbox"}
	streets    = []string{"Lindenstraße", "Hauptstraße", "Am Markt", "Rue Verte", "Calle Mayor", "Gartenweg", "Kastanienallee", "Bergstraße"}
	plans      = []string{"free", "basic", "pro", "team"}
	tags       = []string{"sports", "books", "garden", "kids", "music", "outdoor", "sale", "coffee"}
	colors     = []string{"red", "green", "blue", "black", "sand"}
)
