package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"brazecdc/connector"
)

// AlikeQuery asks for rows whose text in a column differs in nothing that counts.
type AlikeQuery struct {
	Table, Column string
	// Fold: small and capital letters are the same, as in an e-mail address. Else rows are alike only if one of them has blanks around the text.
	Fold bool
	// Values are the only texts to look for, without blanks and, with Fold, in small letters; nil: all that more than one row has.
	Values []string
}

const (
	// alikeGroups is how many texts Alike looks for, alikeRows how many rows it gives, alikeBlanks how many texts with blanks it looks at.
	alikeGroups = 20
	alikeRows   = 200
	alikeBlanks = 1000
)

// Alike gives the rows of a table that are alike, those with one text behind each other, and no more than 200. It reads the table once or twice as a whole; where that takes
// longer than a look may, the error is ErrLookTooLong.
func (l *Look) Alike(ctx context.Context, q AlikeQuery) (rows []connector.Row, err error) {
	err = l.With(ctx, func(c *pgconn.PgConn) error {
		rel, sh, err := l.s.tables.find(ctx, c, q.Table)
		if err != nil {
			return err
		}
		if rel.table.Column(q.Column) < 0 {
			return unfit(fmt.Sprintf("table %s has no column %q", q.Table, q.Column), "")
		}
		sql, cols := alikeSQL(rel, sh, &q)
		rows = nil
		return lookRows(ctx, c, rel.table, cols, sql, func(r connector.Row, _ []byte) bool {
			rows = append(rows, r)
			return true
		})
	})
	return rows, err
}

// alikeText is what counts of a column's text.
func alikeText(column string, fold bool) string {
	text := `btrim(` + column + `::text, E' \t\n\x0b\f\r')`
	if fold {
		return "lower(" + text + ")"
	}
	return text
}

// alikeSQL is the statement of a query, and the columns of its result.
func alikeSQL(rel *relation, sh *shape, q *AlikeQuery) (string, []int) {
	column := ident(q.Column) + "::text"
	text := alikeText(ident(q.Column), q.Fold)
	where := func(cond string) string {
		if sh.filter != "" {
			cond = "(" + sh.filter + ") AND " + cond
		}
		return " FROM " + sh.from() + " WHERE " + cond
	}
	var among string
	switch {
	case q.Values != nil:
		quoted := make([]string, len(q.Values))
		for i, v := range q.Values {
			quoted[i] = literal(v)
		}
		among = strings.Join(quoted, ", ")
	case q.Fold:
		among = "SELECT " + text + where(text+" <> ''") + " GROUP BY 1 HAVING count(*) > 1 LIMIT " + strconv.Itoa(alikeGroups)
	default:
		among = "SELECT " + text + where(text+" IN (SELECT "+text+where(column+" <> "+text+" AND "+text+" <> ''")+" LIMIT "+strconv.Itoa(alikeBlanks)+")") +
			" GROUP BY 1 HAVING count(*) > 1 LIMIT " + strconv.Itoa(alikeGroups)
	}
	var names []string
	var cols []int
	for i := range rel.table.Columns {
		names, cols = append(names, ident(rel.table.Columns[i].Name)), append(cols, i)
	}
	order := " ORDER BY " + text
	for _, k := range rel.key {
		order += ", " + ident(rel.table.Columns[k].Name)
	}
	return "SELECT " + strings.Join(names, ", ") + where(text+" IN ("+among+")") + order + " LIMIT " + strconv.Itoa(alikeRows), cols
}
