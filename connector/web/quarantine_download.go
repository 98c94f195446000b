package web

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

// downloadTime is how long a download may take.
const downloadTime = time.Hour

// downloadHeld answers with entries as JSON lines or CSV, row values included, what must not be shown left out, and what looks private masked unless it was asked for.
func (r *request) downloadHeld(api heldAPI, a *heldAct) error {
	if r.s.cfg.Quarantine == nil {
		return errUnavailable()
	}
	key := "quarantine.note.download"
	if r.revealed = r.PostFormValue("private") != ""; r.revealed {
		key = "quarantine.note.download.private"
	}
	r.record(a.Back, key, strconv.FormatInt(a.Count, 10))
	_ = http.NewResponseController(r.W).SetWriteDeadline(time.Now().Add(downloadTime)) // a server without deadlines needs none
	h := r.W.Header()
	name := "held-back-" + r.s.now().In(r.Zone).Format("2006-01-02-1504")
	var out entryWriter = &entryLines{w: bufio.NewWriter(r.W)}
	if a.Format == "csv" {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		name += ".csv"
		out = &entryTable{w: csv.NewWriter(r.W)}
	} else {
		h.Set("Content-Type", "application/x-ndjson")
		name += ".jsonl"
	}
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	err := r.eachEntry(api, a, out.entry)
	if err == nil {
		err = out.end()
	}
	if err != nil { // the answer is under way, so that its end can only be missing
		r.s.log.Warn("a download broke off", "component", "web", "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// eachEntry reads the entries that an action is about, one at a time.
func (r *request) eachEntry(api heldAPI, a *heldAct, fn func(*connector.Entry) error) error {
	ctx, named := r.Context(), r.references()
	one := func(id uint64) error {
		e, err := api.Entry(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return nil //nolint:nilerr // it was replaced or purged meanwhile
		}
		if err := r.s.cfg.Quarantine.Redact(ctx, e); err != nil {
			return err
		}
		r.withoutPrivate(e)
		if e.Effect != nil {
			for i := range e.Effect.Fields {
				f := &e.Effect.Fields[i]
				f.JSON = json.RawMessage(named.value(f.Name, string(f.JSON)))
			}
			if v := e.Effect.Event; v != nil {
				v.JSON = json.RawMessage(named.body(string(v.JSON)))
			}
		}
		return fn(e)
	}
	for _, id := range a.Scope.IDs {
		if err := one(id); err != nil {
			return err
		}
	}
	if a.Scope.IDs != nil {
		return nil
	}
	f := a.Scope.entryFilter()
	f.Limit = jobPage
	for {
		list, err := api.Entries(ctx, f)
		if err != nil && len(list) == 0 {
			return err
		}
		for i := range list {
			if err := one(list[i].ID); err != nil {
				return err
			}
		}
		if len(list) < jobPage {
			return nil
		}
		f.After = list[len(list)-1].ID
	}
}

type entryWriter interface {
	entry(e *connector.Entry) error
	end() error
}

// entryLines writes an object a line, as "brazecdc quarantine show --json" names its members.
type entryLines struct{ w *bufio.Writer }

func (l *entryLines) entry(e *connector.Entry) error {
	enc := json.NewEncoder(l.w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return fmt.Errorf("write entry %d: %w", e.ID, err)
	}
	return nil
}

func (l *entryLines) end() error { return l.w.Flush() }

// entryTable writes CSV.
type entryTable struct {
	w     *csv.Writer
	begun bool
}

var entryHead = []string{"number", "at", "model", "change", "table", "row", "user_kind", "user", "class", "field", "reason", "tries", "before", "after"}

func (t *entryTable) entry(e *connector.Entry) error {
	if !t.begun {
		t.begun = true
		if err := t.w.Write(entryHead); err != nil {
			return err
		}
	}
	row := []string{strconv.FormatUint(e.ID, 10), e.At.UTC().Format(time.RFC3339), e.Model, e.Op, e.Key.Table, e.Key.ID, kindOfUser(e.User.Kind), e.User.ID, e.Class, e.Field,
		e.Reason, strconv.Itoa(e.Attempts), string(e.Before), string(e.After)}
	for i := range row {
		row[i] = plainCell(row[i])
	}
	return t.w.Write(row)
}

func (t *entryTable) end() error {
	t.w.Flush()
	return t.w.Error()
}

// plainCell makes a text safe for spreadsheets: what they would take for a formula gets an apostrophe in front.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
