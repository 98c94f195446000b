package braze

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"brazecdc/connector"
)

// Error is what came back of one request that was not plainly accepted. Its texts never hold the API key.
type Error struct {
	Method    string // "" is POST
	Endpoint  string // path
	Status    int    // 0 where no answer came
	Text      string // Braze's own words, or the first 500 characters of what answered
	RequestID string // from the answer, where it has one
	Err       error  // of the network, else nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.Method, http.MethodPost))
	b.WriteByte(' ')
	b.WriteString(e.Endpoint)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d", e.Status)
		if t := http.StatusText(e.Status); t != "" {
			b.WriteByte(' ')
			b.WriteString(t)
		}
	}
	if e.Text != "" {
		b.WriteString(": ")
		b.WriteString(e.Text)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request id %s)", e.RequestID)
	}
	return b.String()
}

// Unwrap gives the network's error. Its own text is not redacted; print the Error instead.
func (e *Error) Unwrap() error { return e.Err }

// errorOf begins the error of a reply.
func errorOf(ep endpoint, r *reply) *Error {
	return &Error{Method: routes[ep].method, Endpoint: cmp.Or(r.path, routes[ep].path), Status: r.status, RequestID: r.requestID, Err: r.err}
}

// class is what an answer means for the effects of its call.
type class uint8

const (
	bug       class = iota // nothing the connector should ever be told: stop
	accepted               // all but the listed items
	retry                  // send again later; may have been accepted
	throttled              // send again when told; was not accepted
	refused                // the call as a whole, because of something in it
	keyWrong               // stop: key or permission
	pathWrong              // stop: the endpoint is no Braze REST endpoint
)

// statuses is the one table that says what a status means (Braze docs, "Errors and responses"). What it does not list is a bug.
var statuses = []struct {
	from, to int
	class    class
}{
	{200, 299, accepted},  // 201; 202 is "queued"
	{300, 399, pathWrong}, // a redirect is not followed: it could carry the key elsewhere
	{400, 400, refused},   // invalid JSON, too many objects, a size limit, perhaps each object invalid
	{401, 401, keyWrong},  // bad key, wrong instance, sometimes a missing permission
	{403, 403, keyWrong},  // missing permission, plan without it, inactive account
	{404, 405, pathWrong},
	{408, 408, retry},
	{413, 413, refused}, // body too large
	{429, 429, throttled},
	{500, 599, retry},
}

func classOf(status int) class {
	for _, s := range statuses {
		if s.from <= status && status <= s.to {
			return s.class
		}
	}
	return bug
}

// judge turns a reply to a call of n effects into the error that Send returns; nil for accepted.
func (c *Client) judge(ep endpoint, batch []connector.Effect, r *reply) error {
	if r.status == 0 {
		return c.judgeNetwork(ep, r)
	}
	e := errorOf(ep, r)
	switch classOf(r.status) {
	case accepted:
		if r.err != nil {
			e.Text = "the answer was cut: " + c.clean(r.err.Error())
			return &connector.RetryableError{Unknown: true, Why: connector.RetryNetwork, Err: e}
		}
		return c.judgeItems(ep, batch, r, e)
	case retry:
		e.Text = c.text(r.body)
		return &connector.RetryableError{After: r.hold, Unknown: true, Why: connector.RetryServer, Err: e}
	case throttled:
		e.Text = c.text(r.body)
		return &connector.RetryableError{After: r.hold, Throttled: true, Why: connector.RetryThrottled, Err: e}
	case refused:
		e.Text = c.text(r.body)
		if ep.ofCatalog() {
			return c.judgeCatalog(batch, r, e)
		}
		return c.judgeRefused(ep, batch, r, e)
	case keyWrong:
		e.Text = c.text(r.body)
		return c.keyRefused(ep, e)
	case pathWrong:
		e.Text = c.text(r.body)
		if ep.ofCatalog() && isMissingCatalog(r.body) {
			return catalogMissing(batch, e)
		}
		return c.endpointWrong(e, r.location)
	default:
		e.Text = c.text(r.body)
		return &connector.StopError{Code: 1, What: "Braze gave an answer that no request of this program should get",
			Fix: "nothing was lost, the position is kept; please report this answer, and look whether a proxy changes the requests", Err: e}
	}
}

// judgeItems reads the refused objects out of a 2xx answer.
//
// An entry that cannot be placed leaves open which effect it means. Where the counts say that all or none were accepted, or the call had one effect,
// there is nothing open. Else the outcome of the call is unknown: effects that were accepted must not be taken as refused, nor the reverse.
func (c *Client) judgeItems(ep endpoint, batch []connector.Effect, r *reply, e *Error) error {
	a, err := parseAnswer(r.body)
	if err != nil {
		e.Text = "the answer is not Braze's: " + c.text(r.body)
		return &connector.RetryableError{Unknown: true, Why: connector.RetryUnclear, Err: e}
	}
	v := a.place(ep, batch)
	for i := range v.items {
		v.items[i].Reason = c.clean(v.items[i].Reason)
	}
	processed := a.accepted(ep, batch)
	if v.open != "" && processed == len(batch) {
		c.cfg.Logger.Warn("Braze accepted all objects of a call and also reported an error", "endpoint", ep.String(), "request_id", r.requestID,
			"err", c.clean(v.open))
		v.open = ""
	}
	if v.open == "" && processed >= 0 && processed+len(v.items) < len(batch) {
		// Not taken as a refusal: Braze documents neither that the counts add up nor what it leaves out of them.
		c.uncounted.Do(func() {
			c.cfg.Logger.Warn("Braze counted fewer objects of a call than it was sent, without naming an error; this is said once",
				"endpoint", ep.String(), "request_id", r.requestID, "sent", len(batch), "processed", processed, "refused", len(v.items))
		})
	}
	switch {
	case v.open != "":
		e.Text = "accepted with errors that name no object of the call: " + c.clean(v.open)
		return &connector.RetryableError{Unknown: true, Why: connector.RetryUnclear, Err: e}
	case len(v.items) > 0:
		e.Text = v.items[0].Reason
		return &connector.RejectedError{Items: v.items, Err: e}
	}
	return nil
}

// judgeRefused handles 400 and 413. A 400 may list the faults of its objects like a 2xx does; only where it lists all of them nothing is open,
// as nothing says that the others were accepted.
func (c *Client) judgeRefused(ep endpoint, batch []connector.Effect, r *reply, e *Error) error {
	if a, err := parseAnswer(r.body); err == nil && r.status == http.StatusBadRequest {
		if v := a.place(ep, batch); v.open == "" && len(v.items) == len(batch) && len(batch) > 0 {
			for i := range v.items {
				v.items[i].Reason = c.clean(v.items[i].Reason)
			}
			return &connector.RejectedError{Items: v.items, Err: e}
		}
	}
	return &connector.RejectedError{Whole: true, Err: e}
}

func (c *Client) keyRefused(ep endpoint, e *Error) error {
	return &connector.StopError{
		Code: connector.ExitKeyRefused,
		What: fmt.Sprintf("Braze refuses the API key for %s: the key lacks %s, or is no key of the instance at %s", ep, routes[ep].permission, c.host),
		Fix: fmt.Sprintf("make a key with the permission %s in the workspace and set braze.api_key, or correct braze.endpoint: a key works on one instance only; "+
			"an allowlist of addresses on the key also refuses", routes[ep].permission),
		Err: e,
	}
}

func (c *Client) endpointWrong(e *Error, location string) error {
	what := fmt.Sprintf("%s is not a Braze REST endpoint", c.cfg.Endpoint)
	if location != "" {
		what += fmt.Sprintf(" (it redirects to %s)", brief(c.clean(location), keepOfError))
	}
	return &connector.StopError{Code: connector.ExitEndpointWrong, What: what,
		Fix: "set braze.endpoint to the REST endpoint of your instance, such as https://rest.fra-01.braze.eu, without a path", Err: e}
}

// judgeNetwork handles what ended without an answer. Only a certificate for another name proves that the endpoint is wrong; an unknown host or
// authority may be a passing fault of this network.
func (c *Client) judgeNetwork(ep endpoint, r *reply) error {
	e := errorOf(ep, r)
	e.Text = c.clean(r.err.Error())
	var name x509.HostnameError
	if errors.As(r.err, &name) {
		return c.endpointWrong(e, "")
	}
	if errors.Is(r.err, context.DeadlineExceeded) && r.timedOut {
		e.Text = fmt.Sprintf("no answer within %s", c.cfg.Timeout)
	}
	return &connector.RetryableError{Unknown: r.sent, Why: connector.RetryNetwork, Err: e}
}

// heldError is the end of a call that was not made, since Braze said to wait after the caller had passed Wait.
func heldError(ep endpoint, left time.Duration) error {
	return &connector.RetryableError{After: left, Throttled: true, Why: connector.RetryThrottled, Err: &Error{Method: routes[ep].method, Endpoint: routes[ep].path, Text: "not sent, Braze asked to wait"}}
}

// text gives the words of an answer's body: Braze's message where it is Braze's JSON, else its beginning.
func (c *Client) text(body []byte) string {
	if a, err := parseAnswer(body); err == nil {
		words := a.message
		for _, en := range a.errors {
			if en.text != "" && en.text != words {
				words = strings.TrimPrefix(words+"; "+en.text, "; ")
			}
			if len(words) > 4*keepOfError {
				break
			}
		}
		if words != "" {
			return c.clean(words)
		}
	}
	return c.clean(string(body))
}

// clean redacts the key, then shortens: the other way round half a key could stay at the end.
func (c *Client) clean(s string) string {
	return brief(redact(s, c.cfg.APIKey), keepOfError)
}
