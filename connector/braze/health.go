package braze

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
)

// bounds are the upper bounds, in seconds, of the histogram of request durations.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// sizes are the upper bounds of the histogram of objects in a request.
var sizes = [...]float64{1, 2, 5, 10, 25, 50, 75, 150, 225}

// counts is what happened at the endpoints since the client was made.
type counts struct {
	mu          sync.Mutex
	lastSuccess time.Time
	lastError   string
	lastErrorAt time.Time
	endpoints   [endpoints]endpointCounts
}

type endpointCounts struct {
	codes     map[string]uint64
	itemErrs  map[string]uint64
	objects   uint64
	durations [len(bounds) + 1]uint64
	sum       float64
	sizes     [len(sizes) + 1]uint64
	carried   uint64
}

func (n *counts) record(ep endpoint, r *reply, objects int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &n.endpoints[ep]
	if c.codes == nil {
		c.codes, c.itemErrs = map[string]uint64{}, map[string]uint64{}
	}
	code := "network"
	if r.status != 0 {
		code = strconv.Itoa(r.status)
	}
	c.codes[code]++
	s := r.took.Seconds()
	c.sum += s
	i := 0
	for i < len(bounds) && s > bounds[i] {
		i++
	}
	c.durations[i]++
	c.carried += uint64(objects)
	i = 0
	for i < len(sizes) && float64(objects) > sizes[i] {
		i++
	}
	c.sizes[i]++
	var rejected *connector.RejectedError
	byItem := errors.As(err, &rejected) && !rejected.Whole
	if classOf(r.status) == accepted {
		n.lastSuccess = time.Now()
		if err == nil {
			c.objects += uint64(objects)
		} else if byItem {
			c.objects += uint64(objects - len(rejected.Items))
		}
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	n.lastError, n.lastErrorAt = err.Error(), time.Now()
	if byItem {
		for _, it := range rejected.Items {
			c.itemErrs[reason(it.Reason)]++
		}
		n.lastError = rejected.Err.Error()
	}
}

// Health gives the counters of all endpoints called so far, with /users/track always among them. Durations counts by bucket, not cumulated; its last
// element is what took longer than the last bound. ItemErrs has a closed list of reasons.
func (c *Client) Health() connector.SinkHealth {
	n := &c.counts
	n.mu.Lock()
	defer n.mu.Unlock()
	h := connector.SinkHealth{LastSuccess: n.lastSuccess, LastError: n.lastError, LastErrorAt: n.lastErrorAt}
	for ep := endpoint(0); ep < endpoints; ep++ {
		e := &n.endpoints[ep]
		if e.codes == nil && ep != trackUsers {
			continue
		}
		out := e.health(ep)
		for k, v := range e.codes {
			out.Codes[k] = v
		}
		for k, v := range e.itemErrs {
			out.ItemErrs[k] = v
		}
		out.Limit, out.Remaining, out.Reset, out.Throttled = c.pools[ep].gauges()
		h.Endpoints = append(h.Endpoints, out)
	}
	return h
}

// health are the counters without what the pool knows. The lock is held.
func (e *endpointCounts) health(ep endpoint) connector.EndpointHealth {
	return connector.EndpointHealth{Endpoint: ep.String(), Codes: map[string]uint64{}, ItemErrs: map[string]uint64{}, Objects: e.objects,
		Buckets: bounds[:], Durations: append([]uint64(nil), e.durations[:]...), Sum: e.sum,
		SizeBuckets: sizes[:], Sizes: append([]uint64(nil), e.sizes[:]...), Carried: e.carried}
}

// Uncalled is what Health tells of the endpoints for which one of these permissions is needed before their first call, so that counters can begin at 0.
func Uncalled(permissions map[string]bool) (all []connector.EndpointHealth) {
	for ep := endpoint(0); ep < endpoints; ep++ {
		if permissions[routes[ep].permission] {
			all = append(all, (&endpointCounts{}).health(ep))
		}
	}
	return all
}

// ItemReasons are the reasons of EndpointHealth.ItemErrs.
func ItemReasons() (all []string) {
	all = []string{otherReason}
	for _, r := range reasons {
		if !slices.Contains(all, r.label) {
			all = append(all, r.label)
		}
	}
	return all
}

// otherReason is of an item's error without any known words.
const otherReason = "other"

// reasons maps words of an item's error to a metric label, first match first. Braze answers constants on some paths and sentences on others.
var reasons = []struct{ words, label string }{
	{"company-size-limit", "catalog_full"}, {"invalid-fields", "catalog_field"}, {"unable-to-coerce", "catalog_value"}, {"-value-object", "catalog_value"},
	{"ids-too-large", "bad_identifier"}, {"items-too-large", "too_large"}, {"invalid-ids", "bad_identifier"},
	{"blacklist", "blocked_user"}, {"blocklist", "blocked_user"},
	{"too_large", "too_large"}, {"too large", "too_large"}, {"too long", "too_large"},
	{"email_subscri", "bad_email_subscribe"}, {"email_subscription", "bad_email_subscribe"},
	{"push_subscri", "bad_push_subscribe"}, {"subscription_group", "bad_subscription_group"}, {"subscription group", "bad_subscription_group"},
	{"push_token", "bad_push_token"}, {"device_id", "bad_push_token"},
	{"location", "bad_location"}, {"email", "bad_email"}, {"phone", "bad_phone"},
	{"already", "id_in_use"}, {"deprecated", "id_deprecated"}, {"primary", "id_primary"},
	{"not exist", "unknown_user"}, {"not found", "unknown_user"},
	{"external_id", "bad_identifier"}, {"alias", "bad_identifier"}, {"identifier", "bad_identifier"},
}

func reason(text string) string {
	text = strings.ToLower(text)
	for _, r := range reasons {
		if strings.Contains(text, r.words) {
			return r.label
		}
	}
	return otherReason
}
