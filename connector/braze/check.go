package braze

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"brazecdc/connector"
)

// Grant says whether a key has a permission.
type Grant uint8

// Untested: the answer did not tell, or none came.
const (
	Untested Grant = iota
	Granted
	Refused
)

// String gives the word that `brazecdc check` prints.
func (g Grant) String() string {
	switch g {
	case Granted:
		return "granted"
	case Refused:
		return "refused"
	}
	return "not tested"
}

// CheckResult is what is known about one permission of the key.
type CheckResult struct {
	Permission string // as Braze names it, "users.track"
	Endpoint   string
	Needed     string // what the connector needs it for
	Grant      Grant
	Status     int    // 0 where no answer came
	Detail     string // redacted
	Fix        string // empty where nothing is to be done
}

// probes are requests without any effect. Braze looks at the key before the body, so a request that is refused for its empty list was permitted.
var probes = []struct {
	ep           endpoint
	body, needed string
}{
	{trackUsers, `{}`, "creating and updating users"},
	{deleteUsers, `{"external_ids":[]}`, "deletes, in mode sync"},
	{renameIDs, `{"external_id_renames":[]}`, "a changed external_id, with on_id_change: rename"},
	{removeIDs, `{"external_ids":[]}`, "using an external_id again that was renamed away"},
	{exportUsers, `{"external_ids":["brazecdc check: no user has this id"],"fields_to_export":["external_id"]}`, "seeing that a delete took effect before its settle time is over, and verify"},
	{subscribeUsers, `{"subscription_groups":[]}`, "models of kind subscriptions"},
	{putItems, `{"items":[]}`, "models of kind catalog"},
	{deleteItems, `{"items":[]}`, "models of kind catalog, in mode sync"},
	{listAttributes, ``, "seeing which custom attributes have another type than their field"},
}

// noCatalog is a catalog that nobody has: a key that may change items is told so.
const noCatalog = "brazecdc-check-no-such-catalog"

// Check asks each endpoint with a request that changes nothing whether the key may use it. It goes on after a refusal, and ends early only with ctx.
func (c *Client) Check(ctx context.Context) []CheckResult {
	out := make([]CheckResult, 0, len(probes))
	granted := false
	for _, p := range probes {
		res := c.probe(ctx, p.ep, p.body)
		res.Needed = p.needed
		granted = granted || res.Grant == Granted
		out = append(out, res)
	}
	for i := range out {
		r := &out[i]
		if r.Grant != Refused {
			continue
		}
		if granted {
			r.Fix = fmt.Sprintf("make a key that has %s too: permissions of a key cannot be widened", r.Permission)
		} else {
			r.Fix = fmt.Sprintf("the key is refused everywhere: correct braze.api_key, or braze.endpoint (%s), since a key works on one instance only; "+
				"or take this host's address into the key's allowlist", c.cfg.Endpoint)
		}
	}
	return out
}

func (c *Client) probe(ctx context.Context, ep endpoint, body string) CheckResult {
	res := CheckResult{Permission: routes[ep].permission, Endpoint: ep.String()}
	if err := c.pools[ep].wait(ctx); err != nil {
		res.Detail = err.Error()
		return res
	}
	to := c.urls[ep]
	if ep.ofCatalog() {
		to = c.itemsURL(noCatalog)
	}
	buf := newBuffer()
	buf.b = append(buf.b, body...)
	r := c.exchange(ctx, ep, to, buf)
	res.Status = r.status
	err := c.judge(ep, nil, &r)
	if err != nil {
		res.Detail = err.Error()
	}
	var stop *connector.StopError
	switch class := classOf(r.status); {
	case r.status == 0:
	case class == accepted || r.status == http.StatusBadRequest || ep.ofCatalog() && isMissingCatalog(r.body):
		res.Grant, res.Detail = Granted, ""
	case class == keyWrong:
		res.Grant = Refused
	}
	if errors.As(err, &stop) && res.Grant != Granted {
		res.Detail, res.Fix = stop.What, stop.Fix
		if stop.Err != nil {
			res.Detail += ": " + stop.Err.Error()
		}
	}
	return res
}
