package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

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
		url = pagesAt(url)
		if url == "" && s.unset() {
			return nil, false, r.render(http.StatusOK, "unset", "users.title", nil)
		}
		return nil, false, r.render(http.StatusServiceUnavailable, "users_away", "users.title", url)
	}
	return s.cfg.Users, true, nil
}

// pagesAt is an address of pages, "" where it is none.
func pagesAt(url string) string {
	if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
		return url
	}
	return ""
}

// elsewhere is the address of the pages of the process that runs the stream, where it is another one and has pages.
func (s *Server) elsewhere(r *request) string {
	if s.cfg.Users == nil {
		return ""
	}
	return pagesAt(s.cfg.Users.Elsewhere(r.Context()))
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
func (r *request) usersFault(err error) error {
	return errPage(http.StatusServiceUnavailable, "users.error.now", r.saidError(err))
}

func (s *Server) usersPage(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	ways, err := v.Ways(r.Context())
	if err != nil {
		return r.usersFault(err)
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
		return r.usersFault(err)
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
		r.problem("value", r.saidError(err))
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
		return r.usersFault(err)
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
		return nil, 0, r.usersFault(err)
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
			return errPage(http.StatusBadGateway, "users.error.send", r.saidError(err))
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
		return errPage(http.StatusBadGateway, "users.error.send", r.saidError(err))
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
		return errPage(http.StatusBadGateway, "users.error.compare", r.saidError(err))
	}
	s.noteUser(r, "users.did.compared", r.PathValue("ref"), r.PathValue("ref"), compared.Row.Model)
	return s.showUser(r, v, compared)
}
