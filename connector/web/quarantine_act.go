package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/draft"
)

// What can be done to held back changes.
const (
	actRetry    = "retry"
	actDiscard  = "discard"
	actDownload = "download"
)

// maxWhy bounds the reason of a discard, in bytes; typeAbove is above how many of something their number has to be typed.
const (
	maxWhy    = 500
	typeAbove = 100
)

// heldScope is which entries an action is about: ticked ones, or, with IDs nil, all that match a filter up to one.
type heldScope struct {
	IDs    []uint64
	Filter heldFilter
	Group  string
	UpTo   uint64
	Since  time.Time // the filter's, kept while somebody thinks
}

// heldAct is an action that is asked for, and its confirmation.
type heldAct struct {
	Do, Why, Format string
	Scope           heldScope
	Count           int64
	Type            bool   // the count has to be typed
	Back            string // where the question came from
	Topics          bool   // the source is Kafka: there a retry sends what the entry holds
	Plan            *retryPlan
}

var errBadForm = &pageError{status: http.StatusBadRequest, key: "core.error.form"}

// heldAct reads the form of an action.
func (r *request) heldAct() (*heldAct, error) {
	f := r.PostForm
	a := &heldAct{Do: f.Get("do"), Why: strings.TrimSpace(f.Get("why")), Format: f.Get("format")}
	if !slices.Contains([]string{actRetry, actDiscard, actDownload}, a.Do) || len(a.Why) > maxWhy {
		return nil, errBadForm
	}
	number := func(name string) (uint64, error) {
		if f.Get(name) == "" {
			return 0, nil
		}
		return strconv.ParseUint(f.Get(name), 10, 64)
	}
	if f.Get("all") == "" {
		a.Scope.IDs = []uint64{} // without a tick nothing is meant, not all
		for _, s := range f["id"] {
			id, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				return nil, errBadForm
			}
			a.Scope.IDs = append(a.Scope.IDs, id)
		}
		slices.Sort(a.Scope.IDs)
		a.Scope.IDs = slices.Compact(a.Scope.IDs)
		return a, nil
	}
	sc := &a.Scope
	sc.Filter, sc.Group = r.heldFilter(), f.Get("group")
	if sc.Filter.Ref != "" && !sc.Filter.known {
		return nil, errPage(http.StatusGone, "quarantine.user.lost")
	}
	upTo, err := number("upto")
	from, ferr := number("from")
	if err != nil || ferr != nil || from > 1<<62 {
		return nil, errBadForm
	}
	sc.UpTo, sc.Since = upTo, sc.Filter.since(r.s.now())
	if from > 0 {
		sc.Since = time.Unix(0, int64(from))
	}
	return a, nil
}

// entryFilter is what the quarantine is asked for.
func (sc *heldScope) entryFilter() connector.EntryFilter {
	return connector.EntryFilter{Model: sc.Filter.Model, Class: sc.Filter.Class, User: sc.Filter.user, Group: sc.Group, Since: sc.Since, UpTo: sc.UpTo}
}

// From is the beginning of the time for the form that confirms.
func (sc *heldScope) From() string {
	if sc.Since.IsZero() {
		return ""
	}
	return strconv.FormatInt(sc.Since.UnixNano(), 10)
}

// back is the page from which an action was asked.
func (a *heldAct) back() string {
	if a.Scope.Group != "" {
		return "/quarantine/" + a.Scope.Group
	}
	return "/quarantine" + a.Scope.Filter.Query()
}

// settle counts what an action is about, and fixes where it ends: what comes later is not meant.
func (r *request) settle(api heldAPI, a *heldAct) error {
	sc := &a.Scope
	if sc.IDs != nil {
		a.Count = int64(len(sc.IDs))
		return nil
	}
	if sc.UpTo == 0 {
		groups, err := api.Groups(r.Context(), r.s.now())
		if err != nil {
			return err
		}
		for _, g := range groups {
			sc.UpTo = max(sc.UpTo, g.Sample)
		}
	}
	n, err := api.CountEntries(r.Context(), sc.entryFilter())
	a.Count = n
	return err
}

// quarantineAct does something to one entry, to those ticked, or to all that match. More than one is asked for again, with the count.
func (s *Server) quarantineAct(r *request) error {
	a, err := r.heldAct()
	if err != nil {
		return err
	}
	api, done, err := r.heldAPI()
	if err != nil {
		return err
	}
	defer done()
	a.Back = a.back()
	if err := r.settle(api, a); err != nil {
		return err
	}
	if a.Count == 0 {
		return r.redirect(a.Back, "quarantine.act.none")
	}
	if a.Do == actDownload {
		return r.downloadHeld(api, a)
	}
	if a.Do == actRetry && len(a.Scope.IDs) == 1 && r.PostFormValue("one") != "" {
		return r.retryOne(api, a.Scope.IDs[0])
	}
	a.Type = a.Count > typeAbove
	if a.Do == actRetry {
		cfg := r.settings()
		a.Topics = cfg != nil && cfg.Source.Kafka != nil
		if a.Plan, err = r.retryPlan(api, a); err != nil {
			r.s.log.Warn("what a retry would meet can't be told", "component", "web", "err", err)
		}
	}
	if r.PostFormValue("sure") == "" {
		return r.render(http.StatusOK, "quarantine_confirm", "quarantine.confirm."+a.Do+".title", a)
	}
	if a.Do == actDiscard && a.Why == "" {
		r.problem("why", r.t("quarantine.confirm.why.missing"))
	}
	if typed := strings.TrimSpace(r.PostFormValue("typed")); a.Type && digits(typed) != strconv.FormatInt(a.Count, 10) {
		r.problem("typed", r.t("quarantine.confirm.typed.wrong", a.Count))
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "quarantine_confirm", "quarantine.confirm."+a.Do+".title", a)
	}
	job, err := s.startHeldJob(r, a)
	if err != nil {
		return err
	}
	return r.redirect(job.Link(), "")
}

// digits takes what separates thousands out of a number that a person typed.
func digits(s string) string {
	return strings.NewReplacer(",", "", ".", "", " ", "", "\u00a0", "", "\u202f", "", "'", "", "’", "").Replace(s)
}

// retryWait is how long a page waits for Braze's answer to one retried change.
const retryWait = 20 * time.Second

// retryOne sends one entry again and waits for the answer.
func (r *request) retryOne(api heldAPI, id uint64) error {
	link := "/quarantine/e/" + strconv.FormatUint(id, 10)
	ctx, cancel := context.WithTimeout(r.Context(), retryWait)
	defer cancel()
	_, err := api.Retry(ctx, id)
	switch {
	case err == nil:
		r.record(link, "quarantine.note.retried", strconv.FormatUint(id, 10))
		return r.redirect(link, "quarantine.retry.accepted")
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		r.record(link, "quarantine.note.retrying", strconv.FormatUint(id, 10))
		return r.redirect(link, "quarantine.retry.waits")
	}
	r.record(link, "quarantine.note.refused", strconv.FormatUint(id, 10))
	r.problem("", r.reasonText(refusal(err)))
	return r.render(http.StatusConflict, "quarantine_refused", "quarantine.retry.refused", link)
}

// record writes down in the activity log what somebody did on these pages.
func (r *request) record(link, key string, args ...string) {
	if r.s.cfg.Draft == nil {
		return
	}
	err := r.s.cfg.Draft.Note(draft.Activity{Who: r.User.Name, From: draft.FromPage, What: draft.Sentence{Key: key, Args: args}, Link: link})
	if err != nil {
		r.s.log.Error("what was done could not be written down", "component", "web", "key", key, "err", err)
	}
}
