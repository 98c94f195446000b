package brazesim

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// control serves /_sim/..., which needs no key and is not counted:
//
//	GET  /_sim/users/{external_id}   one Profile; 404 if there is none (escape the id as for a URL path)
//	GET  /_sim/users                 all profiles, as an array
//	GET  /_sim/events                events and purchases of all users, in the order of their effect
//	GET  /_sim/groups                the states of subscription groups, by group
//	GET  /_sim/catalogs              catalogs with their items
//	GET  /_sim/ignored               the newest values that were dropped without a word
//	GET  /_sim/stats                 Stats
//	GET  /_sim/violations            the list of Violation
//	GET  /_sim/requests?limit=N      the newest N requests (default 100), newest last
//	POST /_sim/faults                one fault or an array of them; {"clear": true} removes all, with "endpoint" those of one
//	POST /_sim/reset                 as Server.Reset
//	GET  /_sim/quiet?timeout=30s     answers 200 when all is applied, 504 when the time is over
//	GET  /_sim/livez                 answers 200
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/_sim/")
	method := http.MethodGet
	if path == "faults" || path == "reset" {
		method = http.MethodPost
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		respond(w, http.StatusMethodNotAllowed, problem("use "+method))
		return
	}
	switch path {
	case "stats":
		respond(w, http.StatusOK, s.Stats())
	case "users":
		respond(w, http.StatusOK, s.Profiles())
	case "events":
		respond(w, http.StatusOK, s.Happenings())
	case "groups":
		respond(w, http.StatusOK, s.Groups())
	case "catalogs":
		respond(w, http.StatusOK, s.Catalogs())
	case "ignored":
		respond(w, http.StatusOK, s.Ignored())
	case "violations":
		respond(w, http.StatusOK, append([]Violation{}, s.Violations()...))
	case "requests":
		limit := 100
		if v := r.URL.Query().Get("limit"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				respond(w, http.StatusBadRequest, problem("limit must be a whole number, 0 or above"))
				return
			}
			limit = n
		}
		respond(w, http.StatusOK, s.Requests(limit))
	case "faults":
		s.controlFaults(w, r)
	case "reset":
		s.Reset()
		respond(w, http.StatusOK, map[string]string{"message": "success"})
	case "quiet":
		s.controlQuiet(w, r)
	case "livez":
		respond(w, http.StatusOK, map[string]string{"message": "success"})
	default:
		id, isUser := strings.CutPrefix(path, "users/")
		id, err := url.PathUnescape(id)
		p, found := s.Profile(id)
		if !isUser || err != nil || !found {
			respond(w, http.StatusNotFound, problem("not found"))
			return
		}
		respond(w, http.StatusOK, p)
	}
}

func problem(text string) map[string]string { return map[string]string{"message": text} }

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// The client may have left; there is nobody else to tell.
	_ = enc.Encode(v)
}

func (s *Server) controlFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		respond(w, http.StatusBadRequest, problem("read faults: "+err.Error()))
		return
	}
	var list []faultJSON
	if trimmed := strings.TrimSpace(string(body)); strings.HasPrefix(trimmed, "[") {
		err = strictDecode(body, &list)
	} else {
		list = make([]faultJSON, 1)
		err = strictDecode(body, &list[0])
	}
	if err != nil {
		respond(w, http.StatusBadRequest, problem("read faults: "+err.Error()))
		return
	}
	var faults []Fault
	for _, j := range list {
		f, err := j.fault()
		if err != nil {
			respond(w, http.StatusBadRequest, problem(err.Error()))
			return
		}
		if !j.Clear {
			faults = append(faults, f)
		}
	}
	for _, j := range list {
		if j.Clear {
			s.ClearFaults(j.Endpoint)
		}
	}
	if err := s.Faults(faults...); err != nil {
		respond(w, http.StatusBadRequest, problem(err.Error()))
		return
	}
	respond(w, http.StatusOK, map[string]any{"message": "success", "faults": len(faults)})
}

func strictDecode(body []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (s *Server) controlQuiet(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if v := r.URL.Query().Get("timeout"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			respond(w, http.StatusBadRequest, problem("timeout must be a duration such as 30s"))
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if err := s.Quiet(ctx); err != nil {
		respond(w, http.StatusGatewayTimeout, problem("not quiet yet"))
		return
	}
	respond(w, http.StatusOK, map[string]string{"message": "success"})
}
