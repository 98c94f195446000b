package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// UsersViews is what the pages of the users ask. All methods may be called concurrently; they look at the source for at most a few seconds and never slow the
// stream.
type UsersViews interface {
	// Elsewhere is the address of the process whose pages can tell of users, where this one can't; empty where it can.
	Elsewhere(ctx context.Context) string
	// Ways tells by what users can be looked for.
	Ways(ctx context.Context) (*UserWays, error)
	// Find looks for a user.
	Find(ctx context.Context, ask UserAsk) (*UserFound, error)
	// User shows one user, with the part of its timeline that ends before a place of UserView.More.
	User(ctx context.Context, ref, before string) (*UserView, error)
	// Watch keeps all payloads of a user for an hour, or ends that.
	Watch(ctx context.Context, ref string, on bool) error
	// Compare asks Braze for the user and compares it with one of its rows, by its place in UserView.Rows.
	Compare(ctx context.Context, ref string, row int) (*UserCompared, error)
}

// ErrNoUser says that nobody knows what a reference stands for any more; ErrWatchFull that no other user can be watched.
var (
	ErrNoUser    = errors.New("nothing is known of this user here any more")
	ErrWatchFull = errors.New("no other user can be watched now")
)

// What a user can be looked for by.
const (
	ByExternalID = "external_id"
	ByRow        = "row"
	ByAlias      = "alias"
	ByEmail      = "email"
	ByPhone      = "phone"
)

// UserWays is by what users can be looked for, beside the external_id.
type UserWays struct {
	Models []UserModel
	Labels []string // of aliases
	Email  bool
	Phone  bool
}

// UserModel is a model whose rows can be named.
type UserModel struct {
	Name string
	Keys []string // columns of the key
}

// UserAsk is what somebody looks for.
type UserAsk struct {
	By, Value    string
	Model, Label string
}

// UserFound is who was found, or where was looked. A place is a key of the catalogue below users.where. with its argument.
type UserFound struct {
	Ref    string // empty: nobody
	Looked []UserPlace
}

// UserPlace is where was looked.
type UserPlace struct {
	Where string // history, accepted, queue, held, source
	Name  string // of the table and column
	Fault string // why it could not be looked at
}

// UserView is one user.
type UserView struct {
	Ref     string
	User    connector.User
	Since   time.Time // the oldest that anything is kept of anybody
	Kept    time.Duration
	Watched time.Time // until when, zero where not
	Topics  bool      // the source has no rows that can be looked at
	Rows    []UserRow
	Waiting connector.Waiting
	Held    []connector.Entry
	// Past is the timeline, newest first. More is where the next page begins, empty where there is none.
	Past []UserEvent
	More string
}

// UserRow is a living row of a user and what would be sent of it now.
type UserRow struct {
	Model, Table string
	Key          string // as a person writes it
	Gone         bool   // there is no such row any more
	Fault        string // why it could not be looked at, or would be held back
	Nothing      string // why nothing would be sent: filter, delete_when, mode, only_users, no user, no fields
	Why          string // the same in words; the page fills it in
	Other        bool   // the row is another user's now
	Fields       []UserField
	Left         []connector.FieldNote
	Groups       []UserField // states of subscription groups that a change of the row would send
}

// The ways in which what would be sent compares with what Braze accepted last.
const (
	FieldAgrees  = "same"
	FieldDiffers = "differs"
	FieldNever   = "never"
	FieldUnknown = "unknown"
)

// UserField is one field of a row.
type UserField struct {
	Name  string
	Value string // JSON
	Label string // of a subscription group: a name of one's own
	State string // FieldAgrees and its like
}

// UserEvent is one entry of a timeline.
type UserEvent struct {
	At, First time.Time
	Gap       bool
	Counted   bool
	Count     uint64

	Outcome    string
	Reason     string
	Kind       connector.Kind
	To         string // a rename's new name
	UpdateOnly bool
	Load       bool
	Event      string
	Purchase   bool
	Changes    int
	Tries      int
	Queued     time.Time
	Waited     []string
	Call       *connector.Called
	Method     string
	Path       string
	Rows       []UserChange
	Sent       []string
	Same       []string
	Empty      []string
	Left       []connector.FieldNote
	Payload    string // JSON; empty: not kept
	HadPayload bool
}

// UserChange is one row behind an entry.
type UserChange struct {
	Model, Table, Key string
	Op                string // empty: it was sent on request, or read again
	Position          string
	Committed         time.Time
	Columns           []string
	Known             bool
	Confirmed         string // yes, no, or empty where nobody knows
}

// UserCompared is what Braze holds of a user beside what a row says.
type UserCompared struct {
	Row     UserRow
	Missing bool // Braze does not know the user
	Fields  []UserDiff
	Left    []string // fields that can't be compared
}

// UserDiff is one field here and in Braze.
type UserDiff struct {
	Name         string
	Source, Held string // JSON; empty: none
	Equal        bool
}

// usersRoutes are the pages of this family.
func (s *Server) usersRoutes() []route {
	return []route{
		{http.MethodGet, "/users", Viewer, s.usersPage, ""},
		{http.MethodPost, "/users/find", Viewer, s.usersFind, ""},
		{http.MethodGet, "/users/{ref}", Viewer, s.userPage, ""},
		{http.MethodPost, "/users/{ref}/reveal", Editor, s.userReveal, ""},
		{http.MethodPost, "/users/{ref}/watch", Editor, s.userWatch, ""},
		{http.MethodPost, "/users/{ref}/send", Editor, s.userSend, ""},
		{http.MethodPost, "/users/{ref}/compare", Editor, s.userCompare, ""},
	}
}

// usersData is the page with the search.
type usersData struct {
	Ways    *UserWays
	Ask     UserAsk
	Found   *UserFound
	Command string
}

// usersView gives the views, or answers that another process has them. ok is false where the request was answered.
func (s *Server) usersView(r *request) (v UsersViews, ok bool, err error) {
	if s.cfg.Users == nil {
		return nil, false, r.render(http.StatusServiceUnavailable, "users_away", "users.title", "")
	}
	if url := s.cfg.Users.Elsewhere(r.Context()); url != "" {
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			url = ""
		}
		if url == "" && s.unset() {
			return nil, false, r.render(http.StatusOK, "unset", "users.title", nil)
		}
		return nil, false, r.render(http.StatusServiceUnavailable, "users_away", "users.title", url)
	}
	return s.cfg.Users, true, nil
}

// rowRef is the reference of the user that a row of a model is, as far as that can be told; else that of its key.
func (r *request) rowRef(model, key string) string {
	if v := r.s.cfg.Users; v != nil {
		ctx, cancel := context.WithTimeout(r.Context(), sinceWait)
		defer cancel()
		if v.Elsewhere(ctx) == "" {
			if found, err := v.Find(ctx, UserAsk{By: ByRow, Value: key, Model: model}); err == nil && found != nil && found.Ref != "" {
				return found.Ref
			}
		}
	}
	return r.ref(key)
}

// usersFault says why nothing can be told at this moment, as while the process starts.
func usersFault(err error) error {
	return errPage(http.StatusServiceUnavailable, "users.error.now", err.Error())
}

func (s *Server) usersPage(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	ways, err := v.Ways(r.Context())
	if err != nil {
		return usersFault(err)
	}
	return r.render(http.StatusOK, "users", "users.title", usersData{Ways: ways, Ask: UserAsk{By: ByExternalID}})
}

// maxAsked bounds what somebody looks for: Braze's identifiers are shorter.
const maxAsked = 1024

func (s *Server) usersFind(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	ways, err := v.Ways(r.Context())
	if err != nil {
		return usersFault(err)
	}
	ask := UserAsk{By: r.PostFormValue("by"), Value: strings.TrimSpace(r.PostFormValue("value")), Model: r.PostFormValue("model"), Label: strings.TrimSpace(r.PostFormValue("label"))}
	switch ask.By {
	case ByExternalID, ByRow, ByAlias, ByEmail, ByPhone:
	default:
		ask.By = ByExternalID
	}
	data := usersData{Ways: ways, Ask: ask}
	switch {
	case ask.Value == "":
		r.problem("value", r.t("users.find.empty"))
	case len(ask.Value) > maxAsked || len(ask.Label) > maxAsked:
		r.problem("value", r.t("users.find.long"))
	case ask.By == ByRow && !ways.has(ask.Model):
		r.problem("model", r.t("users.find.nomodel"))
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "users", "users.title", data)
	}
	found, err := v.Find(r.Context(), ask)
	if err != nil {
		r.problem("value", err.Error())
		return r.render(http.StatusUnprocessableEntity, "users", "users.title", data)
	}
	if found.Ref == "" {
		s.noteUser(r, "users.did.sought", "", ask.By)
		data.Found = found
		return r.render(http.StatusNotFound, "users", "users.title", data)
	}
	s.noteUser(r, "users.did.found", found.Ref, ask.By, found.Ref)
	return r.redirect("/users/"+found.Ref, "")
}

func (w *UserWays) has(model string) bool {
	for i := range w.Models {
		if w.Models[i].Name == model {
			return true
		}
	}
	return false
}

// noteUser puts down who looked at or did something for a user. The user stands there by its reference alone.
func (s *Server) noteUser(r *request, key, ref string, args ...string) {
	if s.cfg.Draft == nil {
		return
	}
	a := draft.Activity{Who: r.User.Name, From: draft.FromPage, What: draft.Sentence{Key: key, Args: args}}
	if ref != "" {
		a.Link = "/users/" + ref
	}
	if err := s.cfg.Draft.Note(a); err != nil {
		s.log.Warn("an activity could not be noted", "component", "web", "err", err)
	}
}

// userData is the page of one user.
type userData struct {
	*UserView
	Events   []userEvent
	Groups   []userGroup
	Older    bool // not the newest part of the timeline
	Compared *UserCompared
	Command  string
	Wait     []string // what its queue waits for, in words
	Masked   bool     // some values are masked for editors too
	Revealed bool     // an editor asked for them
}

// userGroup is a subscription group and the user's state in it.
type userGroup struct {
	UserField
	Subscribed bool
}

func (s *Server) userPage(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	return s.showUser(r, v, nil)
}

// showUser renders one user. Whose reference is not known is told so.
func (s *Server) showUser(r *request, v UsersViews, compared *UserCompared) error {
	before := r.URL.Query().Get("before")
	u, err := v.User(r.Context(), r.PathValue("ref"), before)
	if errors.Is(err, ErrNoUser) {
		return errPage(http.StatusNotFound, "users.error.gone")
	}
	if err != nil {
		return usersFault(err)
	}
	view := *u // its rows are masked below, and it may be another page's too
	compared = r.hideReferences(&view, compared)
	data := userData{UserView: &view, Events: r.userEvents(&view), Older: before != "", Compared: compared, Wait: r.waitWords(&u.Waiting)}
	for i := range view.Rows {
		row := &view.Rows[i]
		row.Why = r.orText(passKeys, row.Nothing)
		for _, f := range row.Groups {
			data.Groups = append(data.Groups, userGroup{UserField: f, Subscribed: f.Value == `"subscribed"`})
		}
		if data.Command == "" && !row.Gone && row.Key != "" {
			data.Command = "brazecdc preview --model " + shellWord(row.Model) + " --key " + shellWord(r.mask(row.Key))
		}
	}
	data.withoutPrivate(r)
	return r.render(http.StatusOK, "users_one", "users.one.title", data)
}

// hideReferences takes out what variables and files hold, in copies: what it is given may be another page's too.
func (r *request) hideReferences(u *UserView, compared *UserCompared) *UserCompared {
	h := r.references()
	if len(h) == 0 {
		return compared
	}
	u.Rows, u.Past = slices.Clone(u.Rows), slices.Clone(u.Past)
	for i := range u.Rows {
		u.Rows[i].Fields = slices.Clone(u.Rows[i].Fields)
		for j := range u.Rows[i].Fields {
			f := &u.Rows[i].Fields[j]
			f.Value = h.value(f.Name, f.Value)
		}
	}
	for i := range u.Past {
		u.Past[i].Payload = h.body(u.Past[i].Payload)
	}
	if compared == nil {
		return nil
	}
	shown := *compared
	shown.Fields = slices.Clone(compared.Fields)
	for i := range shown.Fields {
		f := &shown.Fields[i]
		f.Source, f.Held = h.value(f.Name, f.Source), h.value(f.Name, f.Held)
	}
	return &shown
}

// shellWord quotes a word for a shell where it has to be.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-.=:/@,+%", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (s *Server) userWatch(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	ref, on := r.PathValue("ref"), r.PostFormValue("on") == "yes"
	switch err := v.Watch(r.Context(), ref, on); {
	case errors.Is(err, ErrNoUser):
		return errPage(http.StatusNotFound, "users.error.gone")
	case errors.Is(err, ErrWatchFull):
		return errPage(http.StatusConflict, "users.error.watched")
	case err != nil:
		return err
	}
	if !on {
		s.noteUser(r, "users.did.unwatched", ref, ref)
		return r.redirect("/users/"+ref, "users.watch.off")
	}
	s.noteUser(r, "users.did.watched", ref, ref)
	return r.redirect("/users/"+ref, "users.watch.on")
}

// rowOf gives the row of a form, by its number on the page.
func (s *Server) rowOf(r *request, v UsersViews) (*UserRow, int, error) {
	u, err := v.User(r.Context(), r.PathValue("ref"), "")
	if errors.Is(err, ErrNoUser) {
		return nil, 0, errPage(http.StatusNotFound, "users.error.gone")
	}
	if err != nil {
		return nil, 0, usersFault(err)
	}
	n := 0
	for _, c := range r.PostFormValue("row") {
		if c < '0' || c > '9' || n > len(u.Rows) {
			return nil, 0, errPage(http.StatusUnprocessableEntity, "users.error.row")
		}
		n = n*10 + int(c-'0')
	}
	if n >= len(u.Rows) || u.Rows[n].Key == "" {
		return nil, 0, errPage(http.StatusUnprocessableEntity, "users.error.row")
	}
	return &u.Rows[n], n, nil
}

// userSend sends a row again: in full, or one field of it.
func (s *Server) userSend(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	row, _, err := s.rowOf(r, v)
	if err != nil {
		return err
	}
	api, done, err := r.api()
	if err != nil {
		return err
	}
	defer done()
	ref, field := r.PathValue("ref"), r.PostFormValue("field")
	if field == "" {
		if _, err := api.Send(r.Context(), row.Model, row.Key); err != nil {
			s.noteUser(r, "users.did.sendfailed", ref, ref, row.Model)
			return errPage(http.StatusBadGateway, "users.error.send", err.Error())
		}
		s.noteUser(r, "users.did.sent", ref, ref, row.Model)
		return r.redirect("/users/"+ref, "users.send.done")
	}
	one, ok := api.(control.Resyncs)
	if !ok || !row.has(field) {
		return errPage(http.StatusUnprocessableEntity, "users.error.field")
	}
	if _, err := one.StartResync(r.Context(), control.ResyncRequest{Model: row.Model, Keys: []string{row.Key}, Fields: []string{field}, AllValues: true}); err != nil {
		s.noteUser(r, "users.did.sendfailed", ref, ref, row.Model)
		return errPage(http.StatusBadGateway, "users.error.send", err.Error())
	}
	s.noteUser(r, "users.did.sentfield", ref, ref, row.Model, field)
	return r.redirect("/users/"+ref, "users.send.field.done", field)
}

func (w *UserRow) has(field string) bool {
	for _, f := range w.Fields {
		if f.Name == field {
			return true
		}
	}
	return false
}

func (s *Server) userCompare(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	_, n, err := s.rowOf(r, v)
	if err != nil {
		return err
	}
	compared, err := v.Compare(r.Context(), r.PathValue("ref"), n)
	if err != nil {
		return errPage(http.StatusBadGateway, "users.error.compare", err.Error())
	}
	s.noteUser(r, "users.did.compared", r.PathValue("ref"), r.PathValue("ref"), compared.Row.Model)
	return s.showUser(r, v, compared)
}
