// Package braze delivers effects over Braze's REST API: it builds request bodies, keeps to limits and rate budgets, and says what an answer means.
//
// One request is one attempt; who retries is the caller. call.go lists the endpoints, track.go, subscribe.go, catalog.go and testdata show what goes over the
// wire, errors.go has the table of what each status means, answer.go reads an answer and place.go finds the refused objects of a call, gone.go, profile.go
// and attributes.go ask, pace.go keeps to the budget, pace_share.go shares it with other processes.
package braze

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
)

// Config is what a Client needs. Endpoint and APIKey are required.
type Config struct {
	// Endpoint is the REST endpoint of the workspace's instance, "https://rest.fra-01.braze.eu"; http only on loopback.
	Endpoint string
	// APIKey is sent with each request and appears nowhere else.
	APIKey string
	// ObjectsPerRequest is how many objects one /users/track may carry, 1 to 225; default 75.
	ObjectsPerRequest int
	// MaxBody bounds a request body in bytes, 64 KiB to 4 MiB; default 3 MiB.
	MaxBody int
	// Timeout is for one request with its answer; default 30 s.
	Timeout time.Duration
	// RateShare is the part of Braze's rate limits to use, above 0 and up to 1; default 1.
	RateShare float64
	// PerHour is the hourly limit of /users/track by contract; 0 means what the headers tell, 3,000 in 3 s before they do.
	PerHour int64
	// Logger gets what is odd but changes no outcome; default discards.
	Logger *slog.Logger
	// Transport makes the requests; default is a transport of its own that keeps connections open for many senders.
	Transport http.RoundTripper
	// UserAgent names the program and its version; default "brazecdc".
	UserAgent string
	// OnCall is told of each request after its answer, before Send returns. It is called concurrently.
	OnCall func(CallInfo)
}

// CallInfo is one request and how it ended.
type CallInfo struct {
	Endpoint  string
	Objects   int
	Bytes     int  // of the request body
	Status    int  // 0 where no answer came
	Queued    bool // 202 where 201 is usual: Braze takes it in, but processes nothing for now
	Refused   int  // objects refused by item
	Took      time.Duration
	RequestID string
	Err       error // what Send returns
}

// Client is a connector.Sink for one workspace. All its methods may be called concurrently.
type Client struct {
	cfg    Config
	host   string
	base   *url.URL
	urls   [endpoints]*url.URL
	header http.Header
	pools  [endpoints]*pool
	counts counts

	uncounted sync.Once // the warning about answers whose counts do not add up
}

var _ connector.Sink = (*Client)(nil)

// New checks the configuration and makes a client. It sends nothing.
func New(cfg Config) (*Client, error) {
	u, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	u.Path = strings.TrimRight(u.Path, "/") + "/"
	cfg.Endpoint = strings.TrimRight(u.String(), "/")
	c := &Client{cfg: cfg, host: u.Host, base: u, header: http.Header{
		"Content-Type":  {"application/json"},
		"Authorization": {"Bearer " + cfg.APIKey},
		"User-Agent":    {cfg.UserAgent},
	}}
	for ep := range endpoints {
		c.urls[ep] = u.JoinPath(routes[ep].path)
		perHour := int64(0)
		if ep == trackUsers {
			perHour = cfg.PerHour
		}
		if of := routes[ep].pool; of == ep {
			c.pools[ep] = newPool(defaults[ep], cfg.RateShare, perHour)
		} else {
			c.pools[ep] = c.pools[of] // of a smaller number
		}
	}
	return c, nil
}

func (cfg *Config) complete() error {
	if strings.TrimSpace(cfg.APIKey) == "" {
		return errors.New("braze.api_key is empty: set it to a REST API key of the workspace")
	}
	if strings.ContainsFunc(cfg.APIKey, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
		return errors.New("braze.api_key contains blanks, quotes or other characters that no key has")
	}
	if cfg.ObjectsPerRequest == 0 {
		cfg.ObjectsPerRequest = trackObjects
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = defaultBody
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.RateShare == 0 {
		cfg.RateShare = 1
	}
	switch {
	case cfg.ObjectsPerRequest < 1 || cfg.ObjectsPerRequest > maxObjects:
		return fmt.Errorf("braze.objects_per_request is %d: it must be 1 to %d", cfg.ObjectsPerRequest, maxObjects)
	case cfg.MaxBody < minBody || cfg.MaxBody > bodyLimit:
		return fmt.Errorf("braze.max_body is %d bytes: it must be 64 KiB to 4 MiB", cfg.MaxBody)
	case cfg.Timeout < 0:
		return fmt.Errorf("braze.timeout is %s: it must be positive", cfg.Timeout)
	case !(cfg.RateShare > 0 && cfg.RateShare <= 1):
		return fmt.Errorf("braze.rate.share is %g: it must be above 0 and at most 1", cfg.RateShare)
	case cfg.PerHour < 0:
		return fmt.Errorf("braze.rate.per_hour is %d: it must be a number of requests, or auto", cfg.PerHour)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport(cfg.Timeout)
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "brazecdc"
	}
	return nil
}

// parseEndpoint refuses what cannot be a REST endpoint, in words that tell what to write instead.
func parseEndpoint(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("braze.endpoint is empty: set it to the REST endpoint of your instance, such as https://rest.fra-01.braze.eu")
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("braze.endpoint is no address: write it like https://rest.fra-01.braze.eu")
	}
	host := u.Hostname()
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("braze.endpoint has more than a host: write it like https://rest.fra-01.braze.eu")
	case u.Scheme == "http" && !loopback(host):
		return nil, fmt.Errorf("braze.endpoint http://%s would send the key in the open: use https; http is for loopback only", u.Host)
	case strings.HasPrefix(host, "sdk.") && strings.Contains(host, ".braze."):
		return nil, fmt.Errorf("braze.endpoint %s is for the SDKs: use the REST endpoint, which begins with \"rest.\"", host)
	case strings.HasPrefix(host, "dashboard") && strings.Contains(host, ".braze."):
		return nil, fmt.Errorf("braze.endpoint %s is the dashboard: use the REST endpoint, which begins with \"rest.\"", host)
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Wait blocks until a call of that kind may leave by the rate budget, and reserves it. It ends with ctx, and then gives the context's error.
func (c *Client) Wait(ctx context.Context, k connector.Kind) error {
	if k >= connector.Kinds {
		return fmt.Errorf("wait for a call of kind %d: there is no such kind", k)
	}
	return c.pools[k].wait(ctx)
}

// Send makes one request, see connector.Sink. A batch that cannot be put into one valid request is refused as a whole without sending anything, so
// that splitting it finds what is at fault. Where Braze said to wait after the caller passed Wait, nothing is sent and the error is Throttled.
func (c *Client) Send(ctx context.Context, k connector.Kind, batch []connector.Effect) error {
	if k >= connector.Kinds {
		return fmt.Errorf("send a call of kind %d: there is no such kind", k)
	}
	if len(batch) == 0 {
		return nil
	}
	ep := endpoint(k)
	if err := unfit(k, batch); err != nil {
		return &connector.RejectedError{Whole: true, Err: fmt.Errorf("build a call of %s: %w", ep, err)}
	}
	if left := c.pools[ep].held(); left > 0 {
		return heldError(ep, left)
	}
	buf := newBuffer()
	buf.b = appendBody(buf.b, k, batch)
	size := len(buf.b)
	to := c.urls[ep]
	if ep.ofCatalog() {
		to = c.itemsURL(batch[0].User.Label)
	}
	r := c.exchange(ctx, ep, to, buf)
	if note := connector.CallNote(ctx); note != nil {
		note.Status, note.RequestID = r.status, r.requestID
	}
	err := c.judge(ep, batch, &r)
	c.finish(ep, &r, len(batch), size, err)
	return err
}

// Close closes idle connections. The client may still be used.
func (c *Client) Close() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// finish counts a request and tells the observer.
func (c *Client) finish(ep endpoint, r *reply, objects, size int, err error) {
	c.counts.record(ep, r, objects, err)
	if c.cfg.OnCall == nil {
		return
	}
	info := CallInfo{Endpoint: ep.String(), Objects: objects, Bytes: size, Status: r.status, Queued: r.status == http.StatusAccepted && !ep.ofCatalog(), Took: r.took,
		RequestID: r.requestID, Err: err}
	var rejected *connector.RejectedError
	if errors.As(err, &rejected) {
		info.Refused = len(rejected.Items)
	}
	c.cfg.OnCall(info)
}
