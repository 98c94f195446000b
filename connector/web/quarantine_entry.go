package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"brazecdc/connector"
)

// entryPage is one held back change as this reader may see it.
type entryPage struct {
	heldEntry
	ClosedAt time.Time
	Ending   string // how, in words
	Stream   string // where it came from, in words of the source
	Position string
	Columns  []entryColumn
	Before   bool // there is a row before
	After    bool
	Effect   string // kind of what would be sent
	Fields   []entryField
	UserName string
	UserKind string
	UserLink string
	Source   *entrySource
	NoValues bool // what must not be shown can't be told, so no value is
	CanRetry bool
	Modelled bool            // the configuration has the model
	Masked   bool            // some values are masked for editors too
	Revealed bool            // an editor asked for them
	Since    *deliveredSince // nil: not known
}

// deliveredSince is what Braze accepted for a user since a change was held back.
type deliveredSince struct {
	Calls int
	More  bool // there may be more
	Last  time.Time
}

// entryColumn is a column of the row, before and after.
type entryColumn struct {
	Name                  string
	Before, After         string
	NoBefore, NoAfter     bool // not in the image
	NullBefore, NullAfter bool
	Changed               bool
}

// entryField is a field of what would be sent to Braze.
type entryField struct {
	Name, Value string
	Left        bool // not sent
}

// entrySource is the record of a topic.
type entrySource struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Size      int
	Gone, Cut bool
	Text      string // empty: not shown
	Encoded   bool   // Text is base64
}

func (s *Server) quarantineEntryPage(r *request) error {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return errNoPage()
	}
	api, done, err := r.heldAPI()
	if err != nil {
		return err
	}
	defer done()
	e, err := api.Entry(r.Context(), id)
	if err != nil {
		return notThere(err)
	}
	page := entryPage{heldEntry: r.shortEntry(e), ClosedAt: e.ClosedAt, CanRetry: e.Closed == "", Ending: r.heldEnding(e.Closed)}
	if s.cfg.Quarantine == nil {
		page.NoValues = true
	} else if err := s.cfg.Quarantine.Redact(r.Context(), e); err != nil {
		s.log.Warn("what must not be shown of an entry can't be told", "component", "web", "entry", id, "err", err)
		page.NoValues = true
	}
	page.Stream, page.Position = place(e)
	page.Modelled = modelOf(r.settings(), e.Model) != nil
	page.UserName = r.mask(e.User.ID)
	if e.User.ID != "" {
		page.UserKind = kindOfUser(e.User.Kind)
		s.heldUsers.put(r.ref(e.User.ID), e.User)
		page.Since, page.UserLink = r.deliveredSince(e)
	}
	if !page.NoValues {
		r.entryValues(&page, e)
	}
	page.Masked = page.Masked && r.editor()
	if page.Revealed = r.revealed && !page.NoValues; page.Revealed {
		r.record("/quarantine/e/"+strconv.FormatUint(id, 10), "quarantine.note.revealed", strconv.FormatUint(id, 10))
	}
	return r.render(http.StatusOK, "quarantine_entry", "quarantine.entry.title", page)
}

// sinceWait is how long a page waits for what is known of a user.
const sinceWait = 1500 * time.Millisecond

// deliveredSince looks at the user's timeline, and gives the address of its page.
func (r *request) deliveredSince(e *connector.Entry) (since *deliveredSince, page string) {
	users := r.s.cfg.Users
	if users == nil || e.User.Kind != connector.ExternalID {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(r.Context(), sinceWait)
	defer cancel()
	if users.Elsewhere(ctx) != "" {
		return nil, ""
	}
	found, err := users.Find(ctx, UserAsk{By: ByExternalID, Value: e.User.ID})
	if err != nil || found == nil || found.Ref == "" {
		return nil, ""
	}
	page = "/users/" + urlPart(found.Ref)
	u, err := users.User(ctx, found.Ref, "")
	if err != nil || u == nil || u.Since.After(e.At) && len(u.Past) == 0 {
		return nil, page
	}
	out := &deliveredSince{More: u.More != ""}
	for i := range u.Past {
		p := &u.Past[i]
		if p.Outcome != acceptedOutcome || !p.At.After(e.At) {
			continue
		}
		out.Calls++
		if p.At.After(out.Last) {
			out.Last = p.At
		}
	}
	return out, page
}

// acceptedOutcome is how a timeline names what Braze took.
const acceptedOutcome = "accepted"

// kindOfUser names a kind of identifier as the catalogue does.
func kindOfUser(k connector.IDKind) string {
	switch k {
	case connector.Alias:
		return "alias"
	case connector.Email:
		return "email"
	case connector.Phone:
		return "phone"
	case connector.Item:
		return "item"
	}
	return "external_id"
}

// place words where a change came from: a slot's position as Postgres prints it.
func place(e *connector.Entry) (stream, position string) {
	if strings.HasPrefix(e.Stream, "slot/") || strings.HasPrefix(e.Stream, "load/") {
		stream, _, _ = strings.Cut(e.Stream, "/")
		return stream, strings.ToUpper(strconv.FormatUint(e.Offset>>32, 16) + "/" + strconv.FormatUint(e.Offset&0xffffffff, 16))
	}
	if part := connector.PartOf(e.Stream); part != "" {
		return "topic", part + " @ " + strconv.FormatUint(e.Offset, 10)
	}
	return "source", strconv.FormatUint(e.Offset, 10)
}

// entryValues fills in what the row held and what would be sent.
func (r *request) entryValues(page *entryPage, e *connector.Entry) {
	before, after := columnsOf(e.Before), columnsOf(e.After)
	page.Before, page.After = before != nil, after != nil
	names := map[string]bool{}
	for n := range before {
		names[n] = true
	}
	for n := range after {
		names[n] = true
	}
	for n := range names {
		b, inBefore := before[n]
		a, inAfter := after[n]
		c := entryColumn{Name: n, NoBefore: !inBefore, NoAfter: !inAfter, NullBefore: inBefore && b == nil, NullAfter: inAfter && a == nil}
		hide := r.hides(e.Model, n)
		for _, side := range []struct {
			from *string
			to   *string
		}{{b, &c.Before}, {a, &c.After}} {
			switch {
			case side.from == nil:
			case hide:
				*side.to, page.Masked = hiddenValue, true
			default:
				*side.to = r.mask(bounded(*side.from))
			}
		}
		c.Changed = inBefore && inAfter && (a == nil) != (b == nil) || a != nil && b != nil && *a != *b
		page.Columns = append(page.Columns, c)
	}
	slices.SortFunc(page.Columns, func(a, b entryColumn) int { return cmp.Compare(a.Name, b.Name) })
	if e.Effect != nil {
		page.Effect = e.Effect.Kind.String()
		named := r.references()
		for _, f := range e.Effect.Fields {
			x := entryField{Name: f.Name, Value: r.maskJSON([]byte(named.value(f.Name, string(f.JSON)))), Left: f.Omit}
			if string(f.JSON) != "null" && r.hides(e.Model, f.Name) {
				x.Value, page.Masked = hiddenValue, true
			}
			page.Fields = append(page.Fields, x)
		}
		if v := e.Effect.Event; v != nil {
			page.Fields = append(page.Fields, entryField{Name: v.Name, Value: r.maskJSON([]byte(named.body(string(v.JSON))))})
		}
	}
	page.Source = r.entrySource(e.Original)
	if e.Field != "" && r.hides(e.Model, e.Field) {
		page.Masked = true
	}
	if s := page.Source; s != nil && s.Text != "" && r.hidesRecord(e.Model, string(e.Original.Value)) {
		s.Text, page.Masked = "", true
	}
}

func (r *request) maskJSON(b []byte) string {
	if string(b) == "null" || r.editor() {
		return bounded(string(b))
	}
	return r.mask(strings.Trim(string(b), `"`))
}

// columnsOf reads an image: column to text or null. nil: there is none, or it is none.
func columnsOf(image json.RawMessage) map[string]*string {
	if len(image) == 0 {
		return nil
	}
	var out map[string]*string
	if json.Unmarshal(image, &out) != nil {
		return nil
	}
	return out
}

// imageOf writes an image that columnsOf reads.
func imageOf(columns map[string]*string) json.RawMessage {
	b, err := json.Marshal(columns)
	if err != nil {
		return nil // texts always can be written
	}
	return b
}

// maxShown bounds a value on a page, in bytes.
const maxShown = 4000

func bounded(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// entrySource is the record that an entry came of. Its bytes are values of a row: editors alone see them.
func (r *request) entrySource(o *connector.Original) *entrySource {
	if o == nil || o.Topic == "" && o.Value == nil {
		return nil
	}
	out := &entrySource{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Time: o.Time, Size: o.Size, Gone: o.Gone, Cut: o.Cut}
	if !r.editor() || o.Value == nil {
		return out
	}
	if utf8.Valid(o.Value) && !bytes.ContainsFunc(o.Value, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' && c != '\r' }) {
		out.Text = bounded(string(o.Value))
		return out
	}
	out.Text, out.Encoded = bounded(base64.StdEncoding.EncodeToString(o.Value)), true
	return out
}

// heldEnding words how an entry ended: the pipeline's own words are English.
func (r *request) heldEnding(how string) string {
	switch word, rest, _ := strings.Cut(how, ":"); {
	case strings.HasPrefix(how, "delivered"):
		return r.t("quarantine.ended.delivered")
	case strings.HasPrefix(how, "retried"):
		return r.t("quarantine.ended.retried")
	case word == "expired":
		return r.t("quarantine.ended.expired")
	case word == "discarded":
		return r.t("quarantine.ended.discarded", strings.TrimSpace(rest))
	}
	return how
}
