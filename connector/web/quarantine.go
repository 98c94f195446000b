package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

// QuarantineViews is what the pages of the held back changes ask beside control.API.
type QuarantineViews interface {
	// Redact takes out of an entry what must not be shown: what never_send names now.
	Redact(ctx context.Context, e *connector.Entry) error
	// Private gives what tells whether a column, or a field of a model, looks as if it held what few should read: passwords, bank accounts, health.
	Private(ctx context.Context) func(model, name string) bool
}

// quarantineRoutes are the pages of this family.
func (s *Server) quarantineRoutes() []route {
	return []route{
		{http.MethodGet, "/quarantine", Viewer, s.quarantinePage, ""},
		{http.MethodPost, "/quarantine/user", Viewer, s.quarantineUser, ""},
		{http.MethodGet, "/quarantine/{group}", Viewer, s.quarantineGroupPage, ""},
		{http.MethodGet, "/quarantine/e/{id}", Viewer, s.quarantineEntryPage, ""},
		{http.MethodPost, "/quarantine/e/{id}", Editor, s.quarantineReveal, ""},
		{http.MethodPost, "/quarantine/act", Editor, s.quarantineAct, ""},
		{http.MethodGet, "/quarantine/job/{id}", Viewer, s.quarantineJobPage, ""},
		{http.MethodGet, "/quarantine/job/{id}/part", Viewer, s.quarantineJobPart, ""},
		{http.MethodPost, "/quarantine/job/{id}/stop", Editor, s.quarantineJobStop, ""},
		{http.MethodGet, "/quarantine/decide/{model}", Viewer, s.decidePage, ""},
		{http.MethodPost, "/quarantine/decide/{model}", Editor, s.decide, ""},
	}
}

const (
	heldPageSize = 50        // entries on a page
	growing      = time.Hour // over which it is told whether a group grows
)

// heldSpans are the times that a page can be narrowed to, by their name in the URL; "" is all.
var heldSpans = []struct {
	Name string
	Span time.Duration
}{{"", 0}, {"1h", time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

// heldClasses are why a change is held back, in the order in which a page offers them.
var heldClasses = []string{"rejected", "attempts", "mapping", "identity", "rename", "undecodable", "unknown"}

// heldFilter is what stands in the URL of the pages. A user stands there as an opaque reference.
type heldFilter struct {
	Model, Class, Span, Ref string
	user                    connector.User // of Ref
	known                   bool           // Ref was looked up by this process
}

func (r *request) heldFilter() heldFilter {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		q = r.PostForm
	}
	f := heldFilter{Model: q.Get("model"), Class: q.Get("class"), Span: q.Get("since"), Ref: q.Get("user")}
	if span(f.Span) == 0 {
		f.Span = ""
	}
	if f.Ref != "" {
		f.user, f.known = r.s.heldUsers.get(f.Ref)
	}
	return f
}

func span(name string) time.Duration {
	for _, s := range heldSpans {
		if s.Name == name {
			return s.Span
		}
	}
	return 0
}

// since is the beginning of the filter's time, zero for all.
func (f *heldFilter) since(now time.Time) time.Time {
	if d := span(f.Span); d > 0 {
		return now.Add(-d)
	}
	return time.Time{}
}

// Query is the filter as a URL has it, with more pairs behind it.
func (f heldFilter) Query(more ...string) string {
	v := url.Values{}
	for i, x := range []string{f.Model, f.Class, f.Span, f.Ref} {
		if x != "" {
			v.Set([]string{"model", "class", "since", "user"}[i], x)
		}
	}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			v.Set(more[i], more[i+1])
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// Any tells whether the filter leaves something out.
func (f heldFilter) Any() bool { return f.Query() != "" }

// heldGroup is a line of the overview.
type heldGroup struct {
	connector.EntryGroup
	Reason string // as this reader may see it
	Shown  int64  // how many match the filter
	More   bool   // there may be more than Shown
	Grows  int64  // came in the last hour
	Link   string
}

type heldPage struct {
	Filter  heldFilter
	Groups  []heldGroup
	Decide  []decision
	Models  []string
	Classes []string
	Spans   []string
	Total   int64 // of everything held back
	Match   int64 // of what the filter shows
	Entries *heldEntries
	Lost    bool // the user's reference is not known any more
	Job     *heldJob
}

// heldAPI is what the pages need of the process.
type heldAPI interface {
	control.API
	control.Repairs
}

func (r *request) heldAPI() (heldAPI, func(), error) {
	api, done, err := r.api()
	if err != nil {
		return nil, nil, err
	}
	h, ok := api.(heldAPI)
	if !ok {
		done()
		return nil, nil, errPage(http.StatusServiceUnavailable, "quarantine.starting")
	}
	return h, done, nil
}

func (s *Server) quarantinePage(r *request) error {
	api, done, err := r.heldAPI()
	if err != nil {
		return r.orUnset("core.nav.held", err)
	}
	defer done()
	page := heldPage{Filter: r.heldFilter(), Classes: heldClasses, Job: s.jobs.running()}
	for _, x := range heldSpans {
		page.Spans = append(page.Spans, x.Name)
	}
	if page.Decide, err = r.decisions(api, page.Filter.Model); err != nil {
		return err
	}
	groups, err := r.heldGroups(api, &page)
	if err != nil {
		return err
	}
	switch {
	case page.Filter.Ref != "" && !page.Filter.known:
		page.Lost = true
	case page.Filter.known:
		page.Entries, err = r.heldEntries(api, &page.Filter, "")
	default:
		page.Groups = groups
	}
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "quarantine", "core.nav.held", page)
}

// heldGroups gives the groups that match the page's filter, and fills in what the page says of all.
func (r *request) heldGroups(api heldAPI, page *heldPage) ([]heldGroup, error) {
	now := r.s.now()
	since := page.Filter.since(now)
	recent, err := api.Groups(r.Context(), now.Add(-growing))
	if err != nil {
		return nil, err
	}
	in := map[string]int64{}
	if !since.IsZero() {
		list, err := api.Groups(r.Context(), since)
		if err != nil {
			return nil, err
		}
		for _, g := range list {
			in[g.ID] = g.Recent
		}
	}
	var out []heldGroup
	for _, g := range recent {
		page.Total += g.Count
		if !slices.Contains(page.Models, g.Model) {
			page.Models = append(page.Models, g.Model)
		}
		if page.Filter.Model != "" && page.Filter.Model != g.Model || page.Filter.Class != "" && page.Filter.Class != g.Class || !since.IsZero() && in[g.ID] == 0 {
			continue
		}
		x := heldGroup{EntryGroup: g, Reason: r.kindText(&g), Shown: g.Count, Grows: g.Recent}
		if !since.IsZero() {
			x.Shown, x.More = in[g.ID], in[g.ID] == connector.RecentLimit && g.Count > connector.RecentLimit
		}
		only := heldFilter{Span: page.Filter.Span}
		x.Link = "/quarantine/" + g.ID + only.Query()
		page.Match += x.Shown
		out = append(out, x)
	}
	slices.Sort(page.Models)
	return out, nil
}

// kindText words the reason of a group without values of rows.
func (r *request) kindText(g *connector.EntryGroup) string {
	if g.Kind == "" {
		return r.t("quarantine.others")
	}
	return r.said(g.Kind)
}

// reasonText is an entry's reason as this reader may see it: a reason can hold values of the row.
func (r *request) reasonText(reason string) string {
	if !r.editor() {
		reason = connector.ReasonKind(reason)
	}
	return r.said(reason)
}

// heldEntry is a line of a list of entries.
type heldEntry struct {
	ID                    uint64
	At                    time.Time
	Model, Op, Class      string
	Table, Row, User      string // as this reader may see them
	Field, Reason, Closed string
	Attempts              int
}

type heldEntries struct {
	Filter heldFilter
	Group  *heldGroup // nil: of a user
	List   []heldEntry
	Match  int64
	From   bool   // not the first page
	Next   string // link to the next page
	First  string
	UpTo   uint64
}

func (r *request) shortEntry(e *connector.Entry) heldEntry {
	return heldEntry{ID: e.ID, At: e.At, Model: e.Model, Op: e.Op, Class: e.Class, Table: e.Key.Table, Row: r.mask(e.Key.ID), User: r.mask(e.User.ID), Field: e.Field,
		Reason: r.heldReason(e), Closed: e.Closed, Attempts: e.Attempts}
}

// entryFilter is the filter as the quarantine takes it.
func (f *heldFilter) entryFilter(now time.Time, group string) connector.EntryFilter {
	return connector.EntryFilter{Model: f.Model, Class: f.Class, User: f.user, Group: group, Since: f.since(now)}
}

// heldEntries is one page of the entries of a group or of a user.
func (r *request) heldEntries(api heldAPI, f *heldFilter, group string) (*heldEntries, error) {
	ef := f.entryFilter(r.s.now(), group)
	out := &heldEntries{Filter: *f}
	var err error
	if out.Match, err = api.CountEntries(r.Context(), ef); err != nil {
		return nil, err
	}
	ef.After, _ = strconv.ParseUint(r.URL.Query().Get("after"), 10, 64) // anything else is the beginning
	ef.Limit = heldPageSize + 1
	list, err := api.Entries(r.Context(), ef)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	path := "/quarantine"
	if group != "" {
		path += "/" + group
	}
	out.From, out.First = ef.After > 0, path+f.Query()
	if len(list) > heldPageSize {
		list = list[:heldPageSize]
		out.Next = path + f.Query("after", strconv.FormatUint(list[len(list)-1].ID, 10))
	}
	for i := range list {
		out.List = append(out.List, r.shortEntry(&list[i]))
	}
	return out, nil
}

func (s *Server) quarantineGroupPage(r *request) error {
	api, done, err := r.heldAPI()
	if err != nil {
		return err
	}
	defer done()
	id := r.PathValue("group")
	page := heldPage{}
	groups, err := r.heldGroups(api, &page)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(groups, func(g heldGroup) bool { return g.ID == id })
	if i < 0 {
		return errPage(http.StatusNotFound, "quarantine.group.gone")
	}
	f := r.heldFilter()
	f.Model, f.Class, f.Ref, f.user = "", "", "", connector.User{}
	list, err := r.heldEntries(api, &f, id)
	if err != nil {
		return err
	}
	list.Group = &groups[i]
	for _, g := range groups {
		list.UpTo = max(list.UpTo, g.Sample)
	}
	return r.render(http.StatusOK, "quarantine_group", "quarantine.group.title", list)
}

// quarantineUser looks for the changes of one user, whose id must not stand in a URL.
func (s *Server) quarantineUser(r *request) error {
	id := strings.TrimSpace(r.PostFormValue("id"))
	if id == "" || len(id) > 1000 {
		return r.redirect("/quarantine", "quarantine.user.none")
	}
	ref := r.ref(id)
	s.heldUsers.put(ref, connector.User{ID: id})
	f := heldFilter{Ref: ref}
	return r.redirect("/quarantine"+f.Query(), "")
}

// notThere makes a page of an entry that is gone.
func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "there is no quarantine entry") { // the socket keeps the words alone
		return errPage(http.StatusNotFound, "quarantine.entry.gone")
	}
	return err
}
