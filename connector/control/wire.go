package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"brazecdc/connector"
)

// The socket speaks HTTP/1.1 with JSON bodies under /v1/. An answer other than 200 carries a fault.
const (
	pathStatus  = "/v1/status"
	pathPending = "/v1/pending"
	pathConfirm = "/v1/confirm"
	pathEntries = "/v1/quarantine"
	pathSend    = "/v1/send"

	maxRequest = 1 << 20
	maxAnswer  = 256 << 20
)

type fault struct {
	Error string `json:"error"`
	Fix   string `json:"fix,omitempty"`
	Code  int    `json:"code,omitempty"` // exit code of a StopError, else 0
}

type sentence struct {
	Result string `json:"result"`
}

type confirmRequest struct {
	Model string `json:"model"`
	Drop  bool   `json:"drop"`
}

type discardRequest struct {
	Why string `json:"why"`
}

type sendRequest struct {
	Model string   `json:"model"`
	Key   string   `json:"key"`
	Only  []string `json:"only,omitempty"`
}

func faultOf(err error) fault {
	var stop *connector.StopError
	if errors.As(err, &stop) {
		what := stop.What
		if stop.Err != nil {
			what += ": " + stop.Err.Error()
		}
		return fault{Error: what, Fix: stop.Fix, Code: stop.Code}
	}
	return fault{Error: err.Error()}
}

func (f fault) err() error {
	if f == faultOf(ErrAway) { // who asks may wait for it
		return ErrAway
	}
	if f.Code != 0 {
		return &connector.StopError{Code: f.Code, What: f.Error, Fix: f.Fix}
	}
	return errors.New(f.Error)
}

func filterQuery(f connector.EntryFilter) url.Values {
	q := url.Values{}
	set := func(name, v string) {
		if v != "" {
			q.Set(name, v)
		}
	}
	set("model", f.Model)
	set("class", f.Class)
	set("user", f.User.ID)
	set("user_label", f.User.Label)
	if f.User.Kind != 0 {
		q.Set("user_kind", strconv.Itoa(int(f.User.Kind)))
	}
	set("table", f.Row.Table)
	set("row", f.Row.ID)
	if f.After != 0 {
		q.Set("after", strconv.FormatUint(f.After, 10))
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.Closed {
		q.Set("closed", "true")
	}
	set("group", f.Group)
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	if f.UpTo != 0 {
		q.Set("up_to", strconv.FormatUint(f.UpTo, 10))
	}
	return q
}

func parseFilter(q url.Values) (connector.EntryFilter, error) {
	f := connector.EntryFilter{
		Model: q.Get("model"), Class: q.Get("class"), Closed: q.Get("closed") == "true",
		User: connector.User{ID: q.Get("user"), Label: q.Get("user_label")},
		Row:  connector.Key{Table: q.Get("table"), ID: q.Get("row")}, Group: q.Get("group"),
	}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		var err error
		if s := q.Get(name); s != "" {
			if *t, err = time.Parse(time.RFC3339Nano, s); err != nil {
				return f, fmt.Errorf("read %s %q: not a time", name, s)
			}
		}
	}
	if s := q.Get("up_to"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return f, fmt.Errorf("read up_to %q: not an entry's number", s)
		}
		f.UpTo = n
	}
	if s := q.Get("user_kind"); s != "" {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return f, fmt.Errorf("read user_kind %q: not a number", s)
		}
		f.User.Kind = connector.IDKind(n)
	}
	if s := q.Get("after"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return f, fmt.Errorf("read after %q: not an entry's number", s)
		}
		f.After = n
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return f, fmt.Errorf("read limit %q: not a number of entries", s)
		}
		f.Limit = n
	}
	return f, nil
}

func readRequest(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	return nil
}

func readAnswer(resp *http.Response, into any) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the process' answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var f fault
		if json.Unmarshal(body, &f) != nil || f.Error == "" {
			return fmt.Errorf("read the process' answer: status %d without a reason", resp.StatusCode)
		}
		return f.err()
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the process' answer: %w", err)
	}
	return nil
}
