package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/web"
)

// listenOn takes the address that a setting names.
func listenOn(setting, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &connector.StopError{
			Code: 1, What: fmt.Sprintf("listen on %s %s: another process uses this port", setting, addr),
			Fix: "end that process, or give " + setting + " another port",
		}
	}
	if err != nil {
		return nil, &connector.StopError{Code: 1, What: fmt.Sprintf("listen on %s %s", setting, addr), Err: err, Fix: "give " + setting + " an address of this machine, host:port"}
	}
	return l, nil
}

// opsRoutes answers /livez, /readyz, /metrics and /status on mux.
func opsRoutes(mux *http.ServeMux, f *face) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		ok, reasons := f.Live()
		answerLive(w, ok, reasons)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		answerReady(w, f.Checks(), q["exclude"], q.Has("verbose"))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := f.Status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		// A client that went away can't be told.
		_ = enc.Encode(withoutRules(s))
	})
	mux.Handle("GET /metrics", f)
}

// withoutRules takes the rules of resyncs out of a status, since a rule may name a row: id == "u-1".
func withoutRules(s *control.Status) *control.Status {
	out := *s
	out.Loads = slices.Clone(s.Loads)
	for i := range out.Loads {
		if r := out.Loads[i].Resync; r != nil && r.Where != "" {
			shown := *r
			shown.Where = "a rule"
			out.Loads[i].Resync = &shown
		}
	}
	return &out
}

// serveOps answers /livez and its neighbours alone on l until stop is called.
func serveOps(l net.Listener, f *face, log *slog.Logger) (stop func(context.Context)) {
	mux := http.NewServeMux()
	opsRoutes(mux, f)
	return serveHTTP(l, nil, guardHost(l.Addr(), mux), nil, log)
}

// servePages answers with the pages on l, and with /livez and its neighbours where f is given, until stop is called.
func servePages(l net.Listener, own *tls.Config, pages *web.Server, token config.Secret, f *face, log *slog.Logger) (stop func(context.Context)) {
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	go pages.Sample()
	if f != nil {
		ops := http.NewServeMux()
		opsRoutes(ops, f)
		for _, path := range []string{"/livez", "/readyz", "/status", "/metrics"} {
			mux.Handle(path, guardOps(l.Addr(), pages, token, ops))
		}
	}
	return serveHTTP(l, own, mux, pages.Stop, log)
}

// serveHTTP serves a handler, over TLS where own is given, until stop is called; stopping is told first, to end what would never end by itself.
func serveHTTP(l net.Listener, own *tls.Config, handler http.Handler, stopping func(), log *slog.Logger) (stop func(context.Context)) {
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), TLSConfig: own,
	}
	serve := srv.Serve
	if own != nil {
		serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	if stopping != nil {
		srv.RegisterOnShutdown(stopping)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the web listener ended", "component", "web", "err", err)
		}
	}()
	return func(ctx context.Context) {
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		<-done
	}
}

// guardHost answers only requests that name this machine where the listener is on loopback: else any page in a browser could read it through a name
// of its own that resolves to 127.0.0.1.
func guardHost(addr net.Addr, next http.Handler) http.Handler {
	if !isLoopback(addr.String()) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "this listener answers requests to localhost only", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// answerLive answers /livez.
func answerLive(w http.ResponseWriter, ok bool, reasons []string) {
	var b strings.Builder
	for _, r := range reasons {
		b.WriteString("[-] " + r + "\n")
	}
	answerHealth(w, ok, &b, "ok")
}

// answerReady answers /readyz: 200, or 503 with a line for each check that fails. exclude leaves checks out by name; verbose also tells what is well. A process
// that waits because another one works is ready, and says standby.
func answerReady(w http.ResponseWriter, checks []connector.Check, exclude []string, verbose bool) {
	var b strings.Builder
	ready, word := true, "ok"
	for _, c := range checks {
		switch {
		case slices.Contains(exclude, c.Name):
			if verbose {
				b.WriteString("[ ] " + c.Name + ": left out on request\n")
			}
		case !c.OK:
			ready = false
			b.WriteString("[-] " + c.Name + ": " + c.Text + "\n")
		case verbose:
			b.WriteString("[+] " + c.Name + ": " + c.Text + "\n")
		}
		if c.Name == "process" && c.OK && c.Text == "standby" {
			word = c.Text
		}
	}
	answerHealth(w, ready, &b, word)
}

func answerHealth(w http.ResponseWriter, ok bool, b *strings.Builder, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		word = "not ok"
	}
	// A client that went away can't be told.
	_, _ = w.Write([]byte(b.String() + word + "\n"))
}
