package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const peopleTable = `
CREATE EXTENSION hstore;
CREATE TABLE people (
  id text PRIMARY KEY, email text, first_name text, born date, seen timestamptz, credits numeric(12,2), visits bigint, vip boolean,
  prefs jsonb, tags text[], ref uuid, attrs hstore, doc jsonb);
ALTER TABLE people ALTER doc SET STORAGE EXTERNAL;
CREATE PUBLICATION people FOR TABLE people`

// crowd changes the rows of people at random.
type crowd struct {
	t     *testing.T
	db    *pgx.Conn
	rnd   *rand.Rand
	ids   []string // by user, the id of its row, or that of its last one
	alive []bool
	level bool // the column is there
	made  int
	fresh int
}

func (c *crowd) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.db.Exec(c.t.Context(), sql, args...); err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// begin writes the rows that the first snapshot finds.
func (c *crowd) begin() {
	for u := range c.ids {
		if c.ids[u] = fmt.Sprintf("p-%03d", u); u%4 != 3 {
			c.insert(u)
		}
	}
}

func (c *crowd) insert(u int) {
	columns, args := []string{"id"}, []any{c.ids[u]}
	for _, col := range c.columns() {
		columns, args = append(columns, col), append(args, c.value(col))
	}
	c.exec(fmt.Sprintf(`INSERT INTO people (%s) VALUES (%s)`, strings.Join(columns, ", "), placeholders(columns)), args...)
	c.alive[u] = true
}

func (c *crowd) columns() []string {
	all := []string{"email", "first_name", "born", "seen", "credits", "visits", "vip", "prefs", "tags", "ref", "attrs", "doc"}
	if c.level {
		all = append(all, "level")
	}
	return all
}

// placeholders casts each text to its column's type.
func placeholders(columns []string) string {
	types := map[string]string{"born": "date", "seen": "timestamptz", "credits": "numeric", "visits": "bigint", "vip": "boolean", "prefs": "jsonb", "tags": "text[]",
		"ref": "uuid", "attrs": "hstore", "doc": "jsonb", "level": "int"}
	var out []string
	for i, col := range columns {
		out = append(out, fmt.Sprintf("$%d::text", i+1))
		if t := types[col]; t != "" {
			out[i] += "::" + t
		}
	}
	return strings.Join(out, ", ")
}

// value is a random one for a column, as text; nil is NULL.
func (c *crowd) value(column string) any {
	r := c.rnd
	if r.IntN(6) == 0 {
		return nil
	}
	n := r.IntN(100_000)
	switch column {
	case "email":
		return fmt.Sprintf("m%d@example.com", n)
	case "first_name":
		return []string{"Ada", "Zoë", "Łukasz", "李", "O'Neil", `Quo"te`, "", "🚀"}[n%8]
	case "born":
		return fmt.Sprintf("%d-%02d-%02d", 1920+n%100, 1+n%12, 1+n%28)
	case "seen":
		return []string{fmt.Sprintf("2024-02-29 12:34:%02d.%06d+05:30", n%60, n), fmt.Sprintf("2026-01-01 00:00:%02d+00", n%60)}[n%2]
	case "credits":
		return fmt.Sprintf("%d.%02d", n-50_000, n%100)
	case "visits", "level":
		return strconv.Itoa(n)
	case "vip":
		return strconv.FormatBool(n%2 == 0)
	case "prefs":
		return fmt.Sprintf(`{"news": %t, "n": %d, "in": {"a": [1, 2.5, "x%d"]}}`, n%2 == 0, n, n)
	case "tags":
		return []string{`{}`, fmt.Sprintf(`{"t%d"}`, n), fmt.Sprintf(`{"t%d","a, b","qu\"ote"}`, n)}[n%3]
	case "ref":
		return fmt.Sprintf("5d0f6f8c-0c9b-4a44-8a0e-%012x", n)
	case "attrs":
		return fmt.Sprintf(`"n"=>"%d","a_b"=>"x=>y, \"z\"","mod"=>"%d"`, n, n%7)
	}
	var b strings.Builder // doc: large enough to be stored out of line
	for i := range 20 {
		fmt.Fprintf(&b, `%s"k%02d": "%0120d"`, map[bool]string{true: "{", false: ", "}[i == 0], i, n)
	}
	return b.String() + "}"
}

// changes makes n row changes, several of them to a transaction now and then.
func (c *crowd) changes(n int) {
	c.t.Helper()
	for end := c.made + n; c.made < end; {
		together := 1 + c.rnd.IntN(4)/3*5
		c.exec("BEGIN")
		for range together {
			c.change()
		}
		c.exec("COMMIT")
	}
}

// change makes one.
func (c *crowd) change() {
	u := c.rnd.IntN(len(c.ids))
	c.made++
	what := c.rnd.IntN(20)
	switch {
	case !c.alive[u]:
		c.insert(u)
	case what == 0:
		c.exec(`DELETE FROM people WHERE id = $1`, c.ids[u])
		c.alive[u] = false
	case what == 1:
		c.fresh++
		id := fmt.Sprintf("p-%03d-%d", u, c.fresh)
		c.exec(`UPDATE people SET id = $1 WHERE id = $2`, id, c.ids[u])
		c.ids[u] = id
	default:
		columns := c.columns()
		c.rnd.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
		columns = columns[:1+c.rnd.IntN(3)]
		args := make([]any, 0, len(columns)+1)
		for _, col := range columns {
			args = append(args, c.value(col))
		}
		c.exec(fmt.Sprintf(`UPDATE people SET (%s) = ROW(%s) WHERE id = $%d`, strings.Join(columns, ", "), placeholders(columns), len(columns)+1), append(args, c.ids[u])...)
	}
}

// wanted maps the rows by hand: by external_id, the fields that a profile has to have.
func (c *crowd) wanted() map[string]map[string]any {
	c.t.Helper()
	level := "NULL::int"
	if c.level {
		level = "level"
	}
	rows, err := c.db.Query(c.t.Context(), `SELECT id, json_build_object('email', email, 'first_name', first_name, 'dob', born::text,
		'seen', replace(to_char(seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z'), 'credits', credits, 'visits', visits, 'vip', vip,
		'prefs', prefs, 'tags', tags, 'ref', ref, 'attrs', hstore_to_json(attrs), 'doc', doc, 'level', `+level+`)::text FROM people`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]map[string]any{}
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			c.t.Fatal(err)
		}
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			c.t.Fatal(err)
		}
		maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
		out[id] = fields
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	return out
}
