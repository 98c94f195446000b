package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
	"brazecdc/connector/postgres"
)

// initTable is a table as init sees it.
type initTable struct {
	schema, name string
	columns      []initColumn
	rows         int64 // the server's estimate, negative when unknown
	identity     string
	chosen       bool
	readable     bool
	samples      map[string][]string
}

type initColumn struct {
	name, typ    string
	key, unique  bool // alone the primary key; alone a unique key that is NOT NULL
	partOfKey    bool
	generatedCol bool
	notNull      bool
}

func (t *initTable) full() string { return t.schema + "." + t.name }

func (t *initTable) names() []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = c.name
	}
	return out
}

const tablesQuery = `
SELECT n.nspname, c.relname, c.reltuples::bigint, c.relreplident::text, has_table_privilege(c.oid, 'SELECT'),
       a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
       COALESCE(bool_or(i.indisprimary AND i.indnkeyatts = 1), false),
       COALESCE(bool_or(i.indisunique AND i.indnkeyatts = 1 AND a.attnotnull AND i.indpred IS NULL AND i.indimmediate), false),
       COALESCE(bool_or(i.indisprimary), false), a.attnotnull
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) AND i.indisvalid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
GROUP BY n.nspname, c.relname, c.reltuples, c.relreplident, c.oid, a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attnotnull, a.attnum
ORDER BY n.nspname, c.relname, a.attnum`

// textRows runs one statement whose result is text; a NULL is empty.
func textRows(ctx context.Context, c *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	last := results[len(results)-1].Rows
	out := make([][]string, len(last))
	for i, row := range last {
		for _, v := range row {
			out[i] = append(out[i], string(v))
		}
	}
	return out, nil
}

// readTables lists the tables that the login may see, with their columns.
func readTables(ctx context.Context, c *pgconn.PgConn) ([]initTable, error) {
	rows, err := textRows(ctx, c, tablesQuery)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	var out []initTable
	for _, r := range rows {
		t := initTable{schema: r[0], name: r[1], rows: -1, identity: r[3], readable: r[4] == "t"}
		if n, err := strconv.ParseInt(r[2], 10, 64); err == nil {
			t.rows = n
		}
		if n := len(out); n == 0 || out[n-1].full() != t.full() {
			out = append(out, t)
		}
		last := &out[len(out)-1]
		last.columns = append(last.columns, initColumn{
			name: r[5], typ: r[6], generatedCol: r[7] == "t", key: r[8] == "t", unique: r[9] == "t", partOfKey: r[10] == "t", notNull: r[11] == "t",
		})
	}
	return out, nil
}

// chooseTables marks the tables to map: those named, else the one that looks most like users. The chosen come first.
func chooseTables(tables []initTable, only []string) ([]initTable, error) {
	if len(tables) == 0 {
		return nil, errors.New("look for tables: the database has none that this login may see; connect to another database, or grant USAGE on the schema")
	}
	for _, want := range only {
		full := want
		if !strings.Contains(full, ".") {
			full = "public." + want
		}
		i := slices.IndexFunc(tables, func(t initTable) bool { return t.full() == full })
		if i < 0 {
			return nil, usagef("--table %s: there is no such table; there are %s", want, tableNames(tables, 12))
		}
		tables[i].chosen = true
	}
	sort.SliceStable(tables, func(i, j int) bool { return userScore(&tables[i]) > userScore(&tables[j]) })
	if len(only) == 0 {
		tables[0].chosen = true
	}
	sort.SliceStable(tables, func(i, j int) bool { return tables[i].chosen && !tables[j].chosen })
	for _, t := range tables {
		if t.chosen && !t.readable {
			return nil, &connector.StopError{
				Code: connector.ExitRights, What: fmt.Sprintf("look at %s: this login may not read it", t.full()),
				Fix: fmt.Sprintf("GRANT SELECT ON %s TO the login", pgx.Identifier{t.schema, t.name}.Sanitize()),
			}
		}
	}
	return tables, nil
}

// userScore tells how much a table looks like one of users: by its columns first, then by its name.
func userScore(t *initTable) int {
	score := 10 * len(suggest(t.names(), nil))
	for _, s := range suggest(t.names(), nil) {
		if s.field == "email" {
			score += 50
		}
	}
	name := strings.ToLower(t.name)
	for _, w := range []string{"user", "customer", "kunde", "member", "account", "contact", "person", "profile", "subscriber"} {
		if strings.HasPrefix(name, w) {
			score += 30
		}
	}
	if externalID(t) == "" {
		score -= 40
	}
	return score
}

// externalID picks the column that names a user: one called so, else the primary key, else any unique key; "" where there is none.
func externalID(t *initTable) string {
	for _, want := range []string{"externalid", "userid", "customerid", "useruuid", "customeruuid"} {
		for _, c := range t.columns {
			if plainName(c.name) == want && (c.key || c.unique) {
				return c.name
			}
		}
	}
	for _, c := range t.columns {
		if c.key {
			return c.name
		}
	}
	for _, c := range t.columns {
		if c.unique && !looksPrivate(c.name) {
			return c.name
		}
	}
	return ""
}

func tableNames(tables []initTable, most int) string {
	var names []string
	for i, t := range tables {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(tables)-most))
			break
		}
		names = append(names, t.full())
	}
	return strings.Join(names, ", ")
}

// wanted are the columns that a profile field is suggested for by their names.
func (t *initTable) wanted() []string {
	var out []string
	for _, x := range suggest(t.names(), nil) {
		out = append(out, x.column)
	}
	return out
}

// take keeps the values that rows have of the columns that a profile field is suggested for.
func (t *initTable) take(rows []connector.Row) {
	t.samples = map[string][]string{}
	for _, column := range t.wanted() {
		for _, r := range rows {
			if i := r.Table.Column(column); i >= 0 && r.Cells[i].State == connector.Set {
				t.samples[column] = append(t.samples[column], plainCell(r, i))
			}
		}
	}
}

// sample takes the values of rows from all over the table, of the columns that a profile field is suggested for and of no other. rows were read so before; nil
// reads them. A column that has few values in them is looked at once more, for its values alone.
func (t *initTable) sample(ctx context.Context, look *postgres.Look, rows []connector.Row) error {
	if len(t.wanted()) == 0 {
		return nil
	}
	t.take(rows)
	read := func(q postgres.LookQuery) (found []connector.Row, err error) {
		q.Table, q.Order, q.Limit = t.full(), postgres.Across, looked
		err = look.Rows(ctx, q, func(r connector.Row) bool {
			found = append(found, r)
			return true
		})
		if err != nil {
			err = fmt.Errorf("look at values of %s: %w", t.full(), err)
		}
		return found, err
	}
	if rows == nil {
		found, err := read(postgres.LookQuery{Columns: t.wanted()})
		if err != nil {
			return err
		}
		t.take(found)
		rows = found
	}
	if len(rows) < looked { // that is all of them
		return nil
	}
	for _, column := range t.wanted() {
		if len(t.samples[column]) >= fewValues {
			continue
		}
		found, err := read(postgres.LookQuery{Columns: []string{column}, NotNull: column})
		if err != nil {
			return err
		}
		one := initTable{columns: []initColumn{{name: column}}}
		one.take(found)
		if len(one.samples[column]) > len(t.samples[column]) {
			t.samples[column] = one.samples[column]
		}
	}
	return nil
}
