package braze

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// outcome is an error of Send in a form that compares.
type outcome struct {
	end     string // accepted, retry, items, whole, stop
	unknown bool
	slowed  bool
	code    int
}

func outcomeOf(err error) outcome {
	var retry *connector.RetryableError
	var rejected *connector.RejectedError
	var stop *connector.StopError
	switch {
	case err == nil:
		return outcome{end: "accepted"}
	case errors.As(err, &retry):
		return outcome{end: "retry", unknown: retry.Unknown, slowed: retry.Throttled}
	case errors.As(err, &rejected) && rejected.Whole:
		return outcome{end: "whole"}
	case errors.As(err, &rejected):
		return outcome{end: "items"}
	case errors.As(err, &stop):
		return outcome{end: "stop", code: stop.Code}
	}
	return outcome{end: "other: " + err.Error()}
}

func TestStatuses(t *testing.T) {
	again := outcome{end: "retry", unknown: true}
	slow := outcome{end: "retry", slowed: true}
	whole := outcome{end: "whole"}
	key := outcome{end: "stop", code: connector.ExitKeyRefused}
	path := outcome{end: "stop", code: connector.ExitEndpointWrong}
	fault := outcome{end: "stop", code: 1}
	want := map[int]outcome{
		200: {end: "accepted"}, 201: {end: "accepted"}, 202: {end: "accepted"}, 204: {end: "accepted"},
		301: path, 302: path, 307: path, 308: path,
		400: whole, 401: key, 402: fault, 403: key, 404: path, 405: path, 406: fault, 408: again, 409: fault, 410: fault, 411: fault,
		413: whole, 414: fault, 415: fault, 422: fault, 429: slow, 431: fault,
		500: again, 501: again, 502: again, 503: again, 504: again, 520: again, 599: again,
	}
	for status, w := range want {
		t.Run(fmt.Sprintf("cdc 97: %d", status), func(t *testing.T) {
			f := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				body := `{"message":"some words"}`
				if status == 204 {
					body = ""
				}
				respond(status, body, "X-Request-Id: r-1", "Location: http://127.0.0.1:1/elsewhere")(rw, r)
			})
			c := newTestClient(t, f.URL, Config{})
			for _, n := range []int{1, 3} {
				err := send(t, c, connector.Track, batchOf(n))
				if got := outcomeOf(err); got != w {
					t.Errorf("%d objects: %+v, want %+v", n, got, w)
				}
				if err != nil {
					for _, part := range []string{"/users/track", fmt.Sprint(status), "some words", "r-1"} {
						if !strings.Contains(err.Error(), part) {
							t.Errorf("error %q does not tell %q", err, part)
						}
					}
				}
				if status == 429 { // the second call would not be made
					break
				}
			}
			if n := len(f.requests()); n > 2 {
				t.Errorf("%d requests for two calls", n)
			}
		})
	}
}

func TestCauses(t *testing.T) {
	t.Run("case 6: key, rate and network give three different causes, with the next step", func(t *testing.T) {
		f := serve(t, respond(401, `{"message":"Invalid API key: `+testKey+`"}`, "X-Request-Id: r-1"))
		err := send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(1))
		for _, part := range []string{"/users/track", "401", "r-1", "the key lacks users.track", "one instance only", "Invalid API key: [key]"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("401 gives %v, without %q", err, part)
			}
		}
		f = serve(t, respond(429, `{"message":"Rate limit"}`, "X-Ratelimit-Retry-After: 7"))
		err = send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(1))
		var retry *connector.RetryableError
		if !errors.As(err, &retry) || !retry.Throttled || retry.Unknown || retry.After < 6*time.Second || retry.After > 7*time.Second {
			t.Errorf("429 gives %+v", err)
		}
		l, lerr := net.Listen("tcp", "127.0.0.1:0")
		if lerr != nil {
			t.Fatal(lerr)
		}
		addr := l.Addr().String()
		l.Close()
		err = send(t, newTestClient(t, "http://"+addr, Config{}), connector.Track, batchOf(1))
		if !errors.As(err, &retry) || retry.Unknown || retry.Throttled || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a closed port gives %v", err)
		}
	})
	t.Run("case 10: an HTML page is retried and its first 500 characters are kept", func(t *testing.T) {
		page := "<html>\n<h1>Bad Gateway</h1>" + strings.Repeat("ü", 900) + "</html>"
		f := serve(t, respond(502, page))
		err := send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(2))
		var e *Error
		if outcomeOf(err) != (outcome{end: "retry", unknown: true}) || !errors.As(err, &e) {
			t.Fatalf("got %v", err)
		}
		if n := len([]rune(e.Text)); n != 500 || !strings.HasPrefix(e.Text, "<html> <h1>Bad Gateway</h1>ü") {
			t.Errorf("%d characters kept: %q", n, e.Text)
		}
	})
	t.Run("a 503 that says when to come back is believed", func(t *testing.T) {
		f := serve(t, respond(503, "", "Retry-After: 3"))
		c := newTestClient(t, f.URL, Config{})
		var retry *connector.RetryableError
		if err := send(t, c, connector.Track, batchOf(1)); !errors.As(err, &retry) || retry.After != 3*time.Second || retry.Throttled {
			t.Errorf("got %+v", err)
		}
		if held := c.pools[trackUsers].held(); held != 0 {
			t.Errorf("the endpoint is held for %s", held)
		}
	})
	t.Run("a 2xx that is not Braze's is no acceptance", func(t *testing.T) {
		for _, body := range []string{"<html>please sign in</html>", `{"message":"succ`, `["success"]`} {
			f := serve(t, respond(200, body))
			if got := outcomeOf(send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(2))); got != (outcome{end: "retry", unknown: true}) {
				t.Errorf("%q gives %+v", body, got)
			}
		}
	})
	t.Run("case 74: no answer in time leaves the outcome unknown", func(t *testing.T) {
		release := make(chan struct{})
		f := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
		defer close(release)
		err := send(t, newTestClient(t, f.URL, Config{Timeout: 50 * time.Millisecond}), connector.Track, batchOf(1))
		if outcomeOf(err) != (outcome{end: "retry", unknown: true}) || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cdc 98: the end of the caller's context after sending leaves the outcome unknown", func(t *testing.T) {
		arrived, release := make(chan struct{}), make(chan struct{})
		f := serve(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
		defer close(release)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		err := newTestClient(t, f.URL, Config{}).Send(ctx, connector.Track, batchOf(1))
		if outcomeOf(err) != (outcome{end: "retry", unknown: true}) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cdc 97: a connection cut before or inside the answer leaves the outcome unknown", func(t *testing.T) {
		for _, part := range []string{"", "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"message\":"} {
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.WriteString(conn, part); err != nil {
					t.Error(err)
				}
				conn.Close()
			})
			if got := outcomeOf(send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(1))); got != (outcome{end: "retry", unknown: true}) {
				t.Errorf("cut after %q gives %+v", part, got)
			}
		}
	})
	t.Run("cdc 97: only a certificate for another name stops; an unknown authority is retried", func(t *testing.T) {
		s := httptest.NewUnstartedServer(respond(201, `{}`))
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		defer s.Close()
		pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		for name, want := range map[string]outcome{"rest.fra-01.braze.eu": {end: "stop", code: connector.ExitEndpointWrong}, "": {end: "retry"}} {
			tr := &http.Transport{TLSClientConfig: &tls.Config{ServerName: name}}
			if name != "" {
				tr.TLSClientConfig.RootCAs = pool
			}
			err := send(t, newTestClient(t, s.URL, Config{Transport: tr}), connector.Track, batchOf(1))
			if got := outcomeOf(err); got != want {
				t.Errorf("server name %q: %+v (%v), want %+v", name, got, err, want)
			}
		}
	})
	t.Run("an unknown host is retried and was not sent", func(t *testing.T) {
		tr := roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "rest.invalid", IsNotFound: true}}
		})
		err := send(t, newTestClient(t, "https://rest.invalid", Config{Transport: tr}), connector.Track, batchOf(1))
		if got := outcomeOf(err); got != (outcome{end: "retry"}) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("case 82: a 400 is one try, and of one effect it is still refused as a whole", func(t *testing.T) {
		f := serve(t, respond(400, `{"message":"Max Input Length Exceeded"}`))
		err := send(t, newTestClient(t, f.URL, Config{}), connector.Track, batchOf(1))
		if got := outcomeOf(err); got != (outcome{end: "whole"}) || !strings.Contains(err.Error(), "Max Input Length Exceeded") {
			t.Errorf("got %v", err)
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("cdc 95: 500 twice, then 201: each attempt is the same bytes", func(t *testing.T) {
		n := 0
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n <= 2 {
				respond(500, "")(w, r)
				return
			}
			respond(201, `{"message":"success"}`)(w, r)
		})
		c := newTestClient(t, f.URL, Config{})
		for i, want := range []string{"retry", "retry", "accepted"} {
			if got := outcomeOf(send(t, c, connector.Track, batchOf(5))); got.end != want {
				t.Errorf("attempt %d: %+v, want %s", i, got, want)
			}
		}
		r := f.requests()
		if string(r[0].body) != string(r[2].body) {
			t.Errorf("attempts differ")
		}
	})
	t.Run("cdc 99: a 503 is never taken as delivered", func(t *testing.T) {
		n, delivered := 0, 0
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n%10 == 0 {
				respond(503, "")(w, r)
				return
			}
			delivered++
			respond(201, `{"message":"success"}`)(w, r)
		})
		c := newTestClient(t, f.URL, Config{})
		accepted := 0
		for range 100 {
			if send(t, c, connector.Track, batchOf(1)) == nil {
				accepted++
			}
		}
		if accepted != delivered || accepted != 90 {
			t.Errorf("%d taken as accepted, %d delivered", accepted, delivered)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRedact(t *testing.T) {
	texts := map[string]string{
		"":                              "",
		"nothing to hide":               "nothing to hide",
		"Invalid API key: " + testKey:   "Invalid API key: [key]",
		testKey + testKey:               "[key][key]",
		strings.ToUpper(testKey) + "!":  "[key]!",
		"key 3fa9c1d2-77... is unknown": "key [key]... is unknown",
		"ends in 0d8e12ab34cd.":         "ends in [key].",
		"user 77b0":                     "user 77b0",
		"ü" + testKey + "ü":             "ü[key]ü",
	}
	for in, want := range texts {
		if got := redact(in, testKey); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := redact("a key named kk is no key kkk", "kkk"); got != "a key named kk is no key [key]" {
		t.Errorf("short key: %q", got)
	}
	t.Run("the key is in no error, counter or observation, whatever repeats it", func(t *testing.T) {
		echo := testKey[:30]
		bodies := []http.HandlerFunc{
			respond(401, `{"message":"Invalid API key: `+testKey+`"}`, "X-Request-Id: "+testKey),
			respond(400, `{"message":"bad","errors":["for key `+echo+`"]}`),
			respond(500, strings.Repeat("x", 490)+testKey),
			respond(302, "", "Location: https://elsewhere/?key="+testKey),
			respond(201, `{"message":"success","errors":[{"index":0,"input_array":"attributes","type":"for `+testKey+`"}]}`),
			respond(201, "no JSON "+testKey),
			respond(418, testKey),
		}
		for i, answer := range bodies {
			var seen []CallInfo
			f := serve(t, answer)
			c := newTestClient(t, f.URL, Config{OnCall: func(i CallInfo) { seen = append(seen, i) }})
			err := send(t, c, connector.Track, batchOf(2))
			var rejected *connector.RejectedError
			errors.As(err, &rejected)
			all := fmt.Sprintf("%v %+v %+v %+v", err, c.Health(), seen, rejected)
			if strings.Contains(all, "12ab34") || strings.Contains(all, "77b0-4e") {
				t.Errorf("answer %d: the key is in %s", i, all)
			}
		}
	})
}
