package brazesim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cut says when a fault closes the connection instead of answering.
type Cut string

const (
	// CutNone answers.
	CutNone Cut = ""
	// CutBefore closes the connection and the request has no effect.
	CutBefore Cut = "before"
	// CutAfter lets the request take effect, then closes the connection: the client cannot know.
	CutAfter Cut = "after"
)

// ItemFault refuses objects of a track call as Braze would, by an entry in errors.
type ItemFault struct {
	// ExternalIDs names the users whose objects are refused; empty means every object.
	ExternalIDs []string `json:"external_ids"`
	// Type is the text of the entry.
	Type string `json:"type"`
}

func (f ItemFault) hits(externalID string) bool {
	return len(f.ExternalIDs) == 0 || slices.Contains(f.ExternalIDs, externalID)
}

// Fault makes the next calls of an endpoint fail. Calls that are refused for their key, URL, size or rate do not use it up.
type Fault struct {
	// Endpoint is the path, or method and path ("PUT /catalogs/shops/items"), {catalog} standing for any; empty means every endpoint.
	Endpoint string
	// Count is how many calls it hits; 0 means until Reset or ClearFaults.
	Count int
	// Status answers with this code instead of the real answer; 0 leaves the answer alone. The request has no effect unless Effect is set.
	Status int
	// Effect lets the request take effect although Status says otherwise, as a 502 or 504 of a proxy may.
	Effect bool
	// Headers are added to the answer.
	Headers map[string]string
	// Body replaces the answer's body when Status is set.
	Body string
	// Delay holds the request open before anything happens to it; it ends early when the client leaves, and then has no effect.
	Delay time.Duration
	// Cut closes the connection instead of answering.
	Cut Cut
	// Items refuse objects of /users/track.
	Items []ItemFault
	// ExternalIDs limits the fault to calls whose body contains one of these texts as a JSON string; empty means every call.
	ExternalIDs []string
}

// faultJSON is a Fault on the wire.
type faultJSON struct {
	Endpoint    string            `json:"endpoint"`
	Count       int               `json:"count"`
	Status      int               `json:"status"`
	Effect      bool              `json:"effect"`
	Headers     map[string]string `json:"headers"`
	Body        json.RawMessage   `json:"body"`
	Delay       string            `json:"delay"`
	Cut         Cut               `json:"cut"`
	Items       []ItemFault       `json:"items"`
	ExternalIDs []string          `json:"external_ids"`
	Clear       bool              `json:"clear"`
}

func (j faultJSON) fault() (Fault, error) {
	f := Fault{Endpoint: j.Endpoint, Count: j.Count, Status: j.Status, Effect: j.Effect, Headers: j.Headers, Cut: j.Cut, Items: j.Items,
		ExternalIDs: j.ExternalIDs, Body: string(j.Body)}
	if len(j.Body) > 0 && j.Body[0] == '"' {
		f.Body = string(text(j.Body))
	}
	if j.Delay != "" {
		d, err := time.ParseDuration(j.Delay)
		if err != nil {
			return f, fmt.Errorf("read fault: delay %q is no duration such as \"2s\" or \"150ms\"", j.Delay)
		}
		f.Delay = d
	}
	return f, f.validate()
}

func (f Fault) validate() error {
	switch {
	case f.Endpoint != "" && endpointsAt(f.Endpoint[strings.IndexByte(f.Endpoint, ' ')+1:]) == nil:
		return fmt.Errorf("read fault: endpoint %q is not served here", f.Endpoint)
	case f.Count < 0 || f.Delay < 0:
		return fmt.Errorf("read fault: count %d and delay %v must not be negative", f.Count, f.Delay)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("read fault: status %d is not between 200 and 599", f.Status)
	case f.Cut != CutNone && f.Cut != CutBefore && f.Cut != CutAfter:
		return fmt.Errorf("read fault: cut %q, want \"before\" or \"after\"", f.Cut)
	}
	return nil
}

// armed is a fault with the calls it has left.
type armed struct {
	Fault
	left int
}

// Faults adds faults; of several that match a call the oldest is used. It returns an error, and adds none, if one makes no sense.
func (s *Server) Faults(faults ...Fault) error {
	for _, f := range faults {
		if err := f.validate(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &armed{f, f.Count})
	}
	return nil
}

// ClearFaults removes the faults of one endpoint, or all with an empty path.
func (s *Server) ClearFaults(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(a *armed) bool { return path == "" || a.Endpoint == path })
}

// takeFault returns the fault for a call; one without any content if there is none.
func (s *Server) takeFault(c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.faults {
		if a.Endpoint != "" && !c.is(a.Endpoint) || len(a.ExternalIDs) > 0 && !mentions(c.body, a.ExternalIDs) {
			continue
		}
		if a.Count > 0 {
			if a.left--; a.left == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		f := a.Fault
		return &f
	}
	return &Fault{}
}

// mentions reports whether a body has one of the texts among its strings.
func mentions(body []byte, texts []string) bool {
	for sc := (scanner{buf: body}); sc.pos < len(body); {
		if body[sc.pos] != '"' {
			sc.pos++
			continue
		}
		sc.pos++
		from := sc.pos
		if _, ok := sc.str(); !ok {
			return false
		}
		if slices.Contains(texts, string(unquote(body[from:sc.pos-1]))) {
			return true
		}
	}
	return false
}

// wait holds a request open; false means the client left.
func (f *Fault) wait(ctx context.Context) bool {
	if f.Delay == 0 {
		return true
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *Fault) reply() *reply {
	r := &reply{status: f.Status, body: []byte(f.Body), header: f.Headers}
	if f.Body == "" {
		r.body = refusal(f.Status, "Injected fault").body
	}
	return r
}
