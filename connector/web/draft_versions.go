package web

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"brazecdc/connector/draft"
)

// versionShown is a version with its words in the page's language.
type versionShown struct {
	draft.Version
	Said []sentenceShown
	More int  // sentences that are left out
	Now  bool // the file holds it
}

// wordsInList is how many sentences a line of the list shows.
const wordsInList = 3

func (r *request) versions(most int) ([]versionShown, error) {
	list, err := r.s.cfg.Draft.Versions()
	if err != nil {
		return nil, err
	}
	out := make([]versionShown, 0, len(list))
	for i, v := range list {
		shown := versionShown{Version: v, Now: i == 0}
		words := v.Words
		if most > 0 && len(words) > most {
			shown.More = len(words) - most
			words = words[:most]
		}
		shown.Said = r.sentences(words)
		out = append(out, shown)
	}
	return out, nil
}

func (s *Server) versionsPage(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	list, err := r.versions(wordsInList)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "draft_versions", "draft.versions.title", list)
}

// versionPageShown is one version beside another.
type versionPageShown struct {
	versionShown
	With    int // compared with; 0 for none
	All     []versionShown
	Lines   []draft.Line
	Changes []sentenceShown
	Pending bool // a draft would be replaced
}

func (s *Server) versionPage(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	all, err := r.versions(0)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		return errNoPage()
	}
	p := &versionPageShown{All: all}
	for i, v := range all {
		if v.N != n {
			continue
		}
		p.versionShown = v
		if i+1 < len(all) {
			p.With = all[i+1].N
		}
	}
	if p.N == 0 {
		return errNoPage()
	}
	if with, err := strconv.Atoi(r.FormValue("with")); err == nil && with != n {
		for _, v := range all {
			if v.N == with {
				p.With = with
			}
		}
	}
	if err := s.compareVersions(r, p); err != nil {
		return err
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	p.Pending = v.Pending
	return r.render(http.StatusOK, "draft_version", r.t("draft.version.title", n), p)
}

func (s *Server) compareVersions(r *request, p *versionPageShown) error {
	if p.With == 0 {
		return nil
	}
	text, err := s.cfg.Draft.Version(p.N)
	if err != nil {
		return gone(err)
	}
	other, err := s.cfg.Draft.Version(p.With)
	if err != nil {
		return gone(err)
	}
	p.Lines = draft.Compare(other, text)
	words, err := draft.Between(other, text)
	if err != nil {
		words = []draft.Sentence{{Key: "draft.word.unreadable"}}
	}
	p.Changes = r.sentences(words)
	return nil
}

// gone makes a page of a version that was dropped since.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNoPage()
	}
	return err
}

func (s *Server) versionBack(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		return errNoPage()
	}
	if err := s.cfg.Draft.GoBack(r.User.Name, n); err != nil {
		return gone(err)
	}
	r.note("draft.activity.back", "/versions/"+strconv.Itoa(n), strconv.Itoa(n))
	return r.redirect("/draft", "draft.done.back", n)
}

// activityShown is the page of activities.
type activityShown struct {
	List   []activityLine
	Who    string
	From   string
	About  string
	Before string    // of the next page, "" for none
	Until  time.Time // how far back was looked, where more may lie beyond; else zero
	Older  bool      // this is not the first page
	Froms  []string
	Abouts []string
}

type activityLine struct {
	draft.Activity
	Text string
}

// activityPerPage is how many lines a page has.
const activityPerPage = 100

func (s *Server) activityPage(r *request) error {
	if s.cfg.Draft == nil {
		return r.render(http.StatusServiceUnavailable, "draft_activity", "core.nav.activity", (*activityShown)(nil))
	}
	p := &activityShown{
		Who: clip(r.FormValue("who"), 100), From: oneOf(r.FormValue("from"), "", draft.FromPage, draft.FromCLI, draft.FromFile, draft.FromSystem),
		Froms: []string{draft.FromPage, draft.FromCLI, draft.FromFile, draft.FromSystem}, Abouts: activityAbouts[1:],
	}
	p.About = oneOf(r.FormValue("about"), activityAbouts...)
	f := draft.Filter{Who: p.Who, From: p.From, Limit: activityPerPage + 1}
	if p.About != "" {
		f.Key = p.About + "."
	}
	if at, err := time.Parse(time.RFC3339Nano, r.FormValue("before")); err == nil {
		f.Before, p.Older = at, true
	}
	list, rest, err := s.cfg.Draft.Activity(f)
	if err != nil {
		return err
	}
	if !rest.IsZero() {
		p.Before, p.Until = rest.Format(time.RFC3339Nano), rest
	}
	if len(list) > activityPerPage {
		list = list[:activityPerPage]
		p.Before = list[len(list)-1].Time.Format(time.RFC3339Nano)
	}
	for _, a := range list {
		p.List = append(p.List, activityLine{a, r.sentence(a.What)})
	}
	return r.render(http.StatusOK, "draft_activity", "core.nav.activity", p)
}

// activityAbouts are what activities are about: the families whose sentences they are.
var activityAbouts = []string{"", "draft", "models", "connections", "quarantine", "loads", "users", "live", "core"}
