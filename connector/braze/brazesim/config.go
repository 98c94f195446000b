package brazesim

import (
	"fmt"
	"time"
)

// RateStyle says how an answer tells the client about its rate limit. Braze's pages describe more than one way.
type RateStyle string

const (
	// RateNone sends no headers; nothing is limited unless Config.Limit or Config.Limits says so.
	RateNone RateStyle = "none"
	// RateEpoch sends X-RateLimit-Limit, -Remaining and -Reset, the last as UTC epoch seconds (Braze docs, Rate limits).
	RateEpoch RateStyle = "epoch"
	// RateSeconds sends the same headers with the seconds left in -Reset (Braze docs, Rate limits, section on MAU pricing).
	RateSeconds RateStyle = "seconds"
	// RateMAU is RateSeconds, and a 429 carries X-Ratelimit-Retry-After in whole seconds instead (Braze docs, Rate limits, MAU pricing).
	RateMAU RateStyle = "mau"
	// RateDate is RateEpoch, and a 429 carries the standard Retry-After as an HTTP date instead, as a proxy in between may send it.
	RateDate RateStyle = "http-date"
)

// RateStyles lists the accepted styles.
var RateStyles = []RateStyle{RateNone, RateEpoch, RateSeconds, RateMAU, RateDate}

// Limit allows Requests calls in each Window. Windows start at multiples of their length on the clock, as Braze's hourly ones do.
type Limit struct {
	Requests int
	Window   time.Duration
}

// Config sets up a Server. The zero value accepts every key, applies before it answers, and limits nothing by rate.
type Config struct {
	// APIKey is the key that requests must carry as a bearer token; empty accepts any.
	APIKey string
	// ApplyDelay is the longest time between an answer and its effect; each request draws its own. 0 applies before the answer.
	ApplyDelay time.Duration
	// DeleteDelay is the longest time until /users/delete takes effect; Braze names up to five minutes. At least ApplyDelay.
	DeleteDelay time.Duration
	// RateStyle is the form of the rate headers; default RateEpoch when Limit is set, else RateNone. With a style, Braze's documented
	// limits hold for every endpoint (Braze docs, Rate limits).
	RateStyle RateStyle
	// Limit replaces the documented limit of /users/track (3,000 requests in 3 s); Window defaults to 3 s.
	Limit Limit
	// Limits replaces the limit of other endpoints, by path. Endpoints that share a pool at Braze share it here; the entry of any
	// one of them sets the pool's limit.
	Limits map[string]Limit
	// Objects is how many objects a track call may hold: 50 or 75 in all, or 225 for customers on legacy limits, where it means 75 in each
	// array. Default 75.
	Objects int
	// MaxBody is the largest body in bytes, above it the answer is 413. Default 4 MB.
	MaxBody int64
	// RefuseAllInvalid answers 400 instead of 201 when every object of a track call is refused. Published recordings show it, the
	// documentation does not.
	RefuseAllInvalid bool
	// ErrorConstants gives item errors the constants of Braze's table (EMAIL_BAD_FORMAT) as type; default is the sentences that
	// were seen in real answers.
	ErrorConstants bool
	// StrictTimes makes an attribute whose first value looked like a time refuse other strings from then on.
	StrictTimes bool
	// RequireFields demands fields_to_export in /users/export/ids, as Braze does for customers since August 2024.
	RequireFields bool
	// Types fixes the type of custom attributes beforehand: string, number, boolean, date, array, object, object_array.
	Types map[string]string
	// Catalogs exist from the start, without items; their Items and Updated do not count.
	Catalogs []Catalog
	// Seed makes the random delays repeatable; 0 draws one.
	Seed uint64
	// Now gives the wall clock for rate windows, profiles and the request log; default time.Now. Delays run on the process's own timers.
	Now func() time.Time
	// LogRequests and LogBytes bound the request log. Defaults 1,000 requests and 16 MiB of bodies and answers; the oldest go first.
	LogRequests int
	LogBytes    int
	// KeepEvents is how many events, and how many purchases, a profile keeps; the counts go on. Default 1,000.
	KeepEvents int
}

// Validate names every setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.ApplyDelay < 0 || c.DeleteDelay < 0:
		return fmt.Errorf("check brazesim settings: ApplyDelay %v and DeleteDelay %v must not be negative", c.ApplyDelay, c.DeleteDelay)
	case c.Objects != 0 && c.Objects != 50 && c.Objects != 75 && c.Objects != 225:
		return fmt.Errorf("check brazesim settings: Objects is %d, Braze has 50, 75 and 225", c.Objects)
	case c.MaxBody < 0 || c.LogRequests < 0 || c.LogBytes < 0 || c.KeepEvents < 0:
		return fmt.Errorf("check brazesim settings: MaxBody, LogRequests, LogBytes and KeepEvents must not be negative")
	case c.Limit.Requests < 0 || c.Limit.Window < 0:
		return fmt.Errorf("check brazesim settings: Limit %d in %v must not be negative", c.Limit.Requests, c.Limit.Window)
	}
	for path, l := range c.Limits {
		if endpointsAt(path) == nil {
			return fmt.Errorf("check brazesim settings: Limits names %q, which is no endpoint of the simulator", path)
		}
		if l.Requests <= 0 || l.Window <= 0 {
			return fmt.Errorf("check brazesim settings: Limits[%q] needs Requests and Window above 0", path)
		}
	}
	for name, typ := range c.Types {
		if _, ok := typeNames[typ]; !ok {
			return fmt.Errorf("check brazesim settings: Types[%q] is %q, want string, number, boolean, date, array, object or object_array", name, typ)
		}
	}
	for _, d := range c.Catalogs {
		if f := d.check(); f != nil {
			return fmt.Errorf("check brazesim settings: catalog %q: %s: %s", d.Name, f.code, f.text)
		}
	}
	if c.RateStyle == "" {
		return nil
	}
	for _, s := range RateStyles {
		if s == c.RateStyle {
			return nil
		}
	}
	return fmt.Errorf("check brazesim settings: RateStyle is %q, want one of %v", c.RateStyle, RateStyles)
}

func (c Config) withDefaults() Config {
	if c.RateStyle == "" {
		c.RateStyle = RateNone
		if c.Limit.Requests > 0 {
			c.RateStyle = RateEpoch
		}
	}
	if c.Limit.Window == 0 {
		c.Limit.Window = 3 * time.Second
	}
	if c.Objects == 0 {
		c.Objects = 75
	}
	if c.MaxBody == 0 {
		c.MaxBody = 4 << 20
	}
	if c.LogRequests == 0 {
		c.LogRequests = 1000
	}
	if c.LogBytes == 0 {
		c.LogBytes = 16 << 20
	}
	if c.KeepEvents == 0 {
		c.KeepEvents = 1000
	}
	c.DeleteDelay = max(c.DeleteDelay, c.ApplyDelay)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
