package web

import (
	"regexp"
	"strings"
)

// fixShown is what to do about a fault: in words, and the statements for the database, to copy.
type fixShown struct{ Text, SQL string }

var (
	statementStart = `\b(?:ALTER|CREATE|DROP|GRANT|REVOKE|SELECT)(?:_\w+)? `
	// statements are some in a row, with the comment behind them.
	statements = regexp.MustCompile(statementStart + `[^;]+;(?:\s+` + statementStart + `[^;]+;)*(?:\s+--[^\n]*)?`)
	// oneStatement is a fix that is nothing else.
	oneStatement = regexp.MustCompile(`^` + statementStart + `[^;]+$`)
)

// fix takes what to do apart, in the reader's language. Statements in brackets stay in their sentence too.
func (r *request) fix(said string) fixShown {
	text := r.said(said)
	if oneStatement.MatchString(text) {
		return fixShown{SQL: text}
	}
	at := statements.FindStringIndex(text)
	if at == nil {
		return fixShown{Text: text}
	}
	sql := text[at[0]:at[1]]
	if strings.HasSuffix(text[:at[0]], "(") {
		return fixShown{Text: text, SQL: sql}
	}
	before, after := strings.TrimRight(text[:at[0]], ": "), strings.TrimLeft(text[at[1]:], ";, ")
	if before != "" && after != "" {
		before += "; "
	}
	return fixShown{Text: before + after, SQL: sql}
}
