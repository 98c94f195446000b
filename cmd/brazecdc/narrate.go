package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
)

const (
	maxShown = 90 // characters of a list of columns or fields
	maxValue = 28 // of one value
)

// narrator words what a pipeline did as "row change -> Braze call", a line each. It is used by one goroutine.
type narrator struct {
	models []connector.ModelInfo
	t      terminal
	last   connector.Seen // the one worded before
}

// line words one call's part for one user; "" where there is nothing to tell.
func (n *narrator) line(s connector.Seen) string {
	if s.Effect == nil {
		return ""
	}
	before := n.last
	n.last = s
	left := n.t.bold(n.model(s.Effect.Model)) + " " + s.Effect.Key.ID + " sent on request"
	if s.Change != nil {
		left = n.change(s.Effect.Model, s.Change)
	}
	switch s.Outcome {
	case "accepted":
		// Rows that went along in one object are seen one after the other, the first with the object's fields.
		if e := before.Effect; e != nil && s.Effect.Fields == nil && e.User == s.Effect.User && before.At.Equal(s.At) {
			return fmt.Sprintf("%s  %s  in the call above", left, n.t.faint("->"))
		}
		return fmt.Sprintf("%s  %s  %s  %s", left, n.t.faint("->"), n.call(s.Effect), n.t.green("201")+"  "+took(s.Latency))
	case "suppressed":
		return fmt.Sprintf("%s  %s  %s", left, n.t.faint("->"), n.t.faint("no call: "+orElse(s.Reason, "nothing that is mapped changed")))
	}
	return fmt.Sprintf("%s  %s  %s %s: %s", left, n.t.faint("->"), s.Effect.User.ID, n.t.yellow(s.Outcome), s.Reason)
}

func (n *narrator) change(model int, c *connector.Change) string {
	id := c.Key.ID
	row := c.After
	if !row.Exists() {
		row = c.Before
	}
	if text, ok := keyText(row); ok {
		id = text
	}
	op := c.Op.String()
	if c.Op == connector.Snapshot {
		op = "load"
	}
	what := fmt.Sprintf("%s %s %s", n.t.bold(n.model(model)), id, op)
	if c.Op != connector.Update {
		return what
	}
	return what + " " + changed(c.Before, c.After)
}

func (n *narrator) model(i int) string {
	if i >= 0 && i < len(n.models) {
		return n.models[i].Name
	}
	return "row"
}

// keyText joins the key columns' values, as a person would name the row.
func keyText(r connector.Row) (string, bool) {
	if !r.Exists() {
		return "", false
	}
	var parts []string
	for i := range r.Table.Columns {
		if r.Table.Columns[i].Key {
			parts = append(parts, cellText(r, i))
		}
	}
	return strings.Join(parts, "/"), len(parts) > 0
}

// changed lists the columns that differ between two images: "plan free→pro".
func changed(before, after connector.Row) string {
	if !before.Exists() || !after.Exists() {
		return ""
	}
	var parts []string
	for i := range after.Table.Columns {
		j := i
		if before.Table != after.Table {
			if j = before.Table.Column(after.Table.Columns[i].Name); j < 0 {
				continue
			}
		}
		a, b := before.Cells[j], after.Cells[i]
		if a.State == connector.Absent || b.State == connector.Absent || a == b {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s→%s", after.Table.Columns[i].Name, shorten(cellText(before, j), maxValue), shorten(cellText(after, i), maxValue)))
	}
	if len(parts) == 0 {
		return "(same values)"
	}
	return listed(parts)
}

func cellText(r connector.Row, i int) string {
	v, ok, err := r.Value(i)
	switch {
	case err != nil:
		return "?"
	case !ok:
		return "(absent)"
	}
	return valueText(v, r.Cells[i].Raw)
}

// valueText shows a value for a person; raw is the source's own text, which is readable for the types that are not handled.
func valueText(v connector.Value, raw string) string {
	switch v.Kind {
	case connector.KindNull:
		return "NULL"
	case connector.KindBool:
		return fmt.Sprint(v.Int == 1)
	case connector.KindInt:
		return fmt.Sprint(v.Int)
	case connector.KindText, connector.KindDecimal, connector.KindJSON, connector.KindTimeTZ, connector.KindInterval:
		return v.Str
	case connector.KindDate:
		if v.Int != connector.PosInfinity && v.Int != connector.NegInfinity {
			return time.Unix(v.Int*24*60*60, 0).UTC().Format(time.DateOnly)
		}
	case connector.KindTimestamp, connector.KindTimestampTZ:
		if v.Int != connector.PosInfinity && v.Int != connector.NegInfinity {
			return time.UnixMicro(v.Int).UTC().Format("2006-01-02 15:04:05.999999")
		}
	case connector.KindArray:
		parts := make([]string, 0, len(v.List))
		for _, e := range v.List {
			parts = append(parts, valueText(e, ""))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return raw
}

func (n *narrator) call(e *connector.Effect) string {
	method, path := braze.Request(e)
	head := method + " " + path + " " + e.User.ID
	switch {
	case e.Kind == connector.Rename:
		return head + "→" + e.To.ID
	case e.Event != nil:
		return head + " {" + e.Event.Name + "}"
	case e.Kind != connector.Track && e.Kind != connector.PutItem:
		return head
	}
	parts, same := make([]string, 0, len(e.Fields)), []string(nil)
	for i := range e.Fields {
		f := &e.Fields[i]
		part := f.Def.Name + ":" + shorten(string(f.JSON), maxValue)
		switch {
		case f.Omit && bytes.Equal(f.JSON, []byte("null")):
		case f.Proof == connector.Unchanged:
			same = append(same, part)
		default:
			parts = append(parts, part)
		}
	}
	parts = append(parts, same...) // what changed stands first
	only := ""
	if e.UpdateOnly {
		only = " (update only)"
	}
	return fmt.Sprintf("%s {%s}%s", head, listed(parts), only)
}

// listed joins as many parts as fit on a line and counts the rest.
func listed(parts []string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 && b.Len()+len(p) > maxShown {
			fmt.Fprintf(&b, ", … %d more", len(parts)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p)
	}
	return b.String()
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func took(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
