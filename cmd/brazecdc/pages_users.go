package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/history"
	"brazecdc/connector/web"
)

// userViews answers the pages of users from the process' own parts: its history, its queue, its cache, and a Look at the source.
type userViews struct {
	p      *program
	x      *pageParts
	models *modelViews

	mu    sync.Mutex
	known map[string]connector.User // by reference: whom pages named since the start
}

var _ web.UsersViews = (*userViews)(nil)

// usersPages hands what the pages of the users ask and do over.
func (p *program) usersPages(x *pageParts, c *web.Config) {
	models, ok := c.Models.(*modelViews)
	if !ok {
		models = newModelsViews(p)
	}
	v := &userViews{p: p, x: x, models: models, known: map[string]connector.User{}}
	c.Users = v
	c.Ref = v.ref
}

// ref is how a user is called everywhere: in addresses, in the log and in the activities, whichever process writes them. It is empty where no configuration
// can be read.
func (v *userViews) ref(id string) string {
	u := connector.User{ID: id}
	if f := v.x.inside(); f != nil {
		return v.remember(f, u)
	}
	cfg, err := v.p.load()
	if err != nil {
		return ""
	}
	return history.Ref([]byte(cfg.Braze.APIKey.Reveal()), u)
}

// mostKnown bounds whom references are remembered of; the history knows most of them anyway.
const mostKnown = 20_000

// remember gives a user's reference, and keeps what it stands for.
func (v *userViews) remember(f *face, u connector.User) string {
	ref := history.Ref([]byte(f.config().Braze.APIKey.Reveal()), u)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= mostKnown {
		clear(v.known)
	}
	v.known[ref] = u
	return ref
}

// Elsewhere implements web.UsersViews: in ui the running process has the history.
func (v *userViews) Elsewhere(ctx context.Context) string {
	if v.x.inside() != nil {
		return ""
	}
	const nobody = "none"
	client, err := control.Dial(ctx, v.p.beside(v.p.glance().Data.Path))
	if err != nil {
		return nobody
	}
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		return nobody
	}
	address := s.Listen
	if g := v.p.glance(); g.Ops.Listen != "" && g.Web.Listen != nil {
		address = *g.Web.Listen
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return nobody
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http://"
	if v.p.glance().Web.TLS.Cert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// lend gives the app for one question.
func (v *userViews) lend() (*app, func(), error) {
	f := v.x.inside()
	if f == nil {
		return nil, nil, errors.New("the running process has to be asked")
	}
	a, done, why := f.seat.lend()
	if a == nil {
		done()
		return nil, nil, errors.New(why.reason)
	}
	return a, done, nil
}

// Ways implements web.UsersViews.
func (v *userViews) Ways(context.Context) (*web.UserWays, error) {
	a, done, err := v.lend()
	if err != nil {
		return nil, err
	}
	defer done()
	w := &web.UserWays{}
	for i := range a.cfg.Models {
		m := &a.cfg.Models[i]
		one := web.UserModel{Name: m.Name}
		if t := a.tables[m.Relation()]; t != nil {
			for _, c := range t.Columns {
				if c.Key {
					one.Keys = append(one.Keys, c.Name)
				}
			}
		}
		w.Models = append(w.Models, one)
		if l := m.Identify.AliasLabel; l != "" && !slices.Contains(w.Labels, l) {
			w.Labels = append(w.Labels, l)
		}
		w.Email = w.Email || columnFor(m, web.ByEmail) != ""
		w.Phone = w.Phone || columnFor(m, web.ByPhone) != ""
	}
	return w, nil
}

// columnFor is the column of a model that users are looked for in, "" where none is mapped so.
func columnFor(m *connector.Model, by string) string {
	id := &m.Identify
	switch by {
	case web.ByExternalID:
		return id.ExternalID.Column
	case web.ByAlias:
		return id.AliasName
	case web.ByEmail:
		if id.Email != "" {
			return id.Email
		}
	case web.ByPhone:
		if id.Phone != "" {
			return id.Phone
		}
	}
	for i := range m.Fields {
		if m.Fields[i].Name == by {
			return m.Fields[i].Column
		}
	}
	return ""
}

// resolve gives the user of a reference.
func (v *userViews) resolve(a *app, ref string) (connector.User, error) {
	v.mu.Lock()
	u, ok := v.known[ref]
	v.mu.Unlock()
	if !ok && a.history != nil {
		u, ok = a.history.Find(ref)
	}
	if !ok || a.userErased(u) {
		return connector.User{}, web.ErrNoUser
	}
	return u, nil
}

// userErased tells whether a user was erased and has not come back.
func (a *app) userErased(u connector.User) bool {
	mark, ok := a.eraser().Erased(u)
	return ok && !mark.Back
}

// Watch implements web.UsersViews.
func (v *userViews) Watch(_ context.Context, ref string, on bool) error {
	a, done, err := v.lend()
	if err != nil {
		return err
	}
	defer done()
	u, err := v.resolve(a, ref)
	if err != nil || a.history == nil {
		return err
	}
	if !on {
		a.history.Unwatch(u)
		return nil
	}
	if err = a.history.Watch(u); errors.Is(err, history.ErrWatched) {
		return web.ErrWatchFull
	}
	return err
}

// Find implements web.UsersViews.
func (v *userViews) Find(ctx context.Context, ask web.UserAsk) (*web.UserFound, error) {
	a, done, err := v.lend()
	if err != nil {
		return nil, err
	}
	defer done()
	s := &userSearch{v: v, a: a, ask: ask, out: &web.UserFound{}}
	u, ok, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	if ok && !a.userErased(u) {
		if f := v.x.inside(); f != nil {
			s.out.Ref = v.remember(f, u)
		}
	}
	return s.out, nil
}

// userSearch is one search.
type userSearch struct {
	v   *userViews
	a   *app
	ask web.UserAsk
	out *web.UserFound
}

func (s *userSearch) looked(where, name string, err error) {
	place := web.UserPlace{Where: where, Name: name}
	if err != nil {
		place.Fault = err.Error()
	}
	s.out.Looked = append(s.out.Looked, place)
}

func (s *userSearch) run(ctx context.Context) (connector.User, bool, error) {
	switch s.ask.By {
	case web.ByRow:
		return s.byRow(ctx)
	case web.ByExternalID, web.ByAlias:
		u := connector.User{ID: s.ask.Value}
		if s.ask.By == web.ByAlias {
			u.Kind, u.Label = connector.Alias, s.ask.Label
		}
		if s.inStore(u) {
			return u, true, nil
		}
	}
	return s.inSource(ctx)
}

// inStore looks in everything that is kept here.
func (s *userSearch) inStore(u connector.User) bool {
	a := s.a
	if a.history != nil {
		s.looked("history", "", nil)
		if a.history.Knows(u) {
			return true
		}
	}
	s.looked("accepted", "", nil)
	for i := range a.cfg.Models {
		if _, ok, err := a.cache.Prints(nil, u, a.cfg.Models[i].Name); err == nil && ok {
			return true
		}
	}
	s.looked("queue", "", nil)
	if w := a.pipeline.Waiting(u); w.Busy || len(w.Steps) > 0 || !w.Settling.IsZero() {
		return true
	}
	list, err := a.journal.Quarantine().List(connector.EntryFilter{User: u, Limit: 1, Closed: true})
	s.looked("held", "", err)
	return len(list) > 0
}

// byRow looks for whose a row is.
func (s *userSearch) byRow(ctx context.Context) (u connector.User, ok bool, err error) {
	a := s.a
	at := slices.IndexFunc(a.cfg.Models, func(m connector.Model) bool { return m.Name == s.ask.Model })
	if at < 0 {
		return u, false, unknownModel(a.cfg.Models, s.ask.Model)
	}
	table := a.tables[a.cfg.Models[at].Relation()]
	key := connector.Key{ID: s.ask.Value, Table: a.cfg.Models[at].Relation()}
	if table != nil {
		key.Table = table.Name
		if key.ID, err = keyOf(table, s.ask.Value); err != nil {
			return u, false, fmt.Errorf("the key has several columns; write it as column=value,column=value")
		}
	}
	if a.history != nil {
		s.looked("history", "", nil)
		if u, ok = a.history.UserOf(key); ok {
			return u, true, nil
		}
	}
	s.looked("accepted", "", nil)
	if u, ok, err = a.cache.RowUser(a.cfg.Models[at].Name, key); err == nil && ok {
		return u, true, nil
	}
	if a.topics != nil || table == nil {
		return u, false, nil
	}
	live, err := s.v.living(a)
	if err != nil {
		return u, false, err
	}
	where, err := connector.SplitKey(table, key.ID)
	if err != nil {
		return u, false, nil // no key of the table is written so
	}
	rows, err := live.rows(ctx, table.Name, where)
	s.looked("source", table.Name, err)
	for _, row := range rows {
		if u, ok = live.userOf(at, row); ok {
			return u, true, nil
		}
	}
	return u, false, nil
}

// inSource looks for a value in the columns that are mapped to it.
func (s *userSearch) inSource(ctx context.Context) (u connector.User, ok bool, err error) {
	a := s.a
	if a.topics != nil {
		return u, false, nil
	}
	live, err := s.v.living(a)
	if err != nil {
		return u, false, err
	}
	asked := false
	for i := range a.cfg.Models {
		m := &a.cfg.Models[i]
		column, table := columnFor(m, s.ask.By), a.tables[m.Relation()]
		if column == "" || table == nil || table.Column(column) < 0 || s.ask.By == web.ByAlias && m.Identify.AliasLabel != s.ask.Label {
			continue
		}
		asked = true
		rows, err := live.rows(ctx, table.Name, []connector.Equal{{Column: column, Text: s.ask.Value}})
		s.looked("source", table.Name+"."+column, err)
		for _, row := range rows {
			if u, ok = live.userOf(i, row); ok {
				return u, true, nil
			}
		}
	}
	if !asked {
		s.looked("nowhere", "", nil)
	}
	return u, false, nil
}
