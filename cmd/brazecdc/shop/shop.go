// Package shop is a small example shop in Postgres: its tables, the configuration that maps them, a generator of believable changes, and a
// comparison of its rows with the profiles that came of them.
package shop

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Schema creates the shop's two tables. Both have replica identity FULL: an update then carries the old row too, so that only what changed has to
// be sent, and a delete carries the user it belonged to.
const Schema = `
CREATE TABLE customers (
	id          bigint PRIMARY KEY,
	user_id     text NOT NULL UNIQUE,
	email       text,
	first_name  text,
	last_name   text,
	born        date,
	phone       text,
	country     text NOT NULL,
	language    text NOT NULL,
	plan        text NOT NULL,
	credits     numeric(10,2) NOT NULL,
	tags        text[] NOT NULL,
	prefs       jsonb,
	newsletter  boolean NOT NULL,
	last_seen   timestamptz
);
ALTER TABLE customers REPLICA IDENTITY FULL;
CREATE TABLE addresses (
	id          bigint PRIMARY KEY,
	user_id     text NOT NULL UNIQUE REFERENCES customers (user_id) ON DELETE CASCADE,
	street      text NOT NULL,
	postcode    text,
	city        text NOT NULL,
	gift_wrap   boolean
);
ALTER TABLE addresses REPLICA IDENTITY FULL;
`

// Settings fill the shop's configuration file.
type Settings struct {
	Endpoint string        // of Braze or its stand-in
	UserGap  time.Duration // between two calls of one user
	Settle   time.Duration // between a delete and a new start of one user
	Listen   string        // of /metrics and its neighbours
	Brokers  []string      // of topics named shop.public.TABLE to read in the place of the database; empty: the database
}

// Config is the shop's configuration. The database's URL and the API key are read from DATABASE_URL and BRAZE_API_KEY.
func Config(s Settings) string {
	text := configText
	if len(s.Brokers) > 0 {
		text = strings.Replace(text, postgresText, "  kafka: { brokers: [\""+strings.Join(s.Brokers, `", "`)+"\"], group: demo, format: debezium-json }\n", 1)
		text = strings.ReplaceAll(text, "table: public.", "topic: shop.public.")
	}
	return strings.NewReplacer(
		"@endpoint", s.Endpoint, "@gap", s.UserGap.String(), "@settle", s.Settle.String(), "@listen", s.Listen,
	).Replace(text)
}

const postgresText = `  postgres:
    url: ${DATABASE_URL}
    heartbeat: 5s
`

const configText = `# The example shop of "brazecdc demo".
version: 1

braze:
  workspace: demo
  endpoint: @endpoint
  api_key: ${BRAZE_API_KEY}
  user_gap: @gap       # short, so that there is something to see; the default is 1s
  settle: @settle         # short as well; the default is 5m

source:
  time_zone: UTC
` + postgresText + `
web: { listen: "@listen" }

models:
  # The profiles. This model owns them: only its deletes delete a profile.
  - name: customers
    kind: users
    table: public.customers
    mode: sync
    load: all
    owns_users: true
    identify: { external_id: user_id }
    fields:
      email: email
      first_name: first_name
      last_name: last_name
      dob: born
      phone: phone
      country: country
      language: language
    custom:
      plan: plan
      credits: { column: credits, type: number }
      full_name: { expr: 'first_name + " " + last_name' }
      tags: tags
      prefs: { column: prefs, nested: replace }
      last_seen: last_seen
      shop: { value: berlin }

  # A second table of the same users. A deleted address takes its own fields away and leaves the profile.
  - name: addresses
    kind: users
    table: public.addresses
    mode: sync
    load: all
    owns_users: false
    identify: { external_id: user_id }
    fields:
      home_city: city
    custom:
      street: street
      postcode: postcode
      gift_wrap: gift_wrap
`

// Create makes the tables and fills them with n customers, about three in four with an address.
func (g *Generator) Create(ctx context.Context, n int) error {
	if _, err := g.db.Exec(ctx, Schema); err != nil {
		return fmt.Errorf("create the shop's tables: %w", err)
	}
	for range n {
		if err := pgx.BeginFunc(ctx, g.db, func(tx pgx.Tx) error { return g.register(ctx, tx, g.newID()) }); err != nil {
			return fmt.Errorf("fill the shop: %w", err)
		}
	}
	return nil
}

// Counts tells how many customers and addresses there are.
func (g *Generator) Counts() (customers, addresses int) {
	return len(g.living), len(g.addresses)
}
