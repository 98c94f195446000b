package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

const (
	webhookTries   = 8
	webhookTimeout = 10 * time.Second // of one try
	webhookFirst   = 2 * time.Second  // between the first two tries; then twice as long each time
	webhookMost    = 2 * time.Minute  // between two tries
)

// webhook tells ops.webhook each new state of the process. One message is on its way at a time: a newer state takes its place. It may be used concurrently.
type webhook struct {
	to        func() (config.Webhook, bool) // where to, and whether this process is the one that tells
	workspace func() string
	pages     string // the address of the pages, where the configuration names none; empty: there are none
	file      string // keeps what was told last over a restart
	log       *slog.Logger
	client    *http.Client
	first     time.Duration // webhookFirst, shorter in tests
	text      func([]byte) (*config.Config, error)

	mu     sync.Mutex
	cancel context.CancelFunc // gives up what is on its way
	done   chan struct{}      // closed when that has arrived, or was given up
	last   web.AlertSent
}

var _ web.AlertViews = (*webhook)(nil)

// webhook is what tells ops.webhook, for the pages that are made from x.
func (p *program) webhook(x *pageParts, log *slog.Logger) *webhook {
	w := &webhook{file: filepath.Join(p.draftFolder(), "alert.json"), log: log, first: webhookFirst}
	w.client = &http.Client{Timeout: webhookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.to = func() (config.Webhook, bool) {
		if f := x.inside(); f != nil {
			return f.config().Ops.Webhook, true
		}
		return config.Webhook{}, false
	}
	w.workspace = func() string { return p.glance().Braze.Workspace }
	w.text = func(text []byte) (*config.Config, error) {
		cfg, _ := config.Partial(p.config, text, p.env, config.SecretFiles(p.config))
		if cfg == nil {
			return nil, errors.New("the settings can't be read")
		}
		return cfg, nil
	}
	return w
}

// pagesAt is the address of pages behind a listener. One that takes every address is named by the machine.
func pagesAt(addr net.Addr, secure bool) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return map[bool]string{false: "http", true: "https"}[secure] + "://" + net.JoinHostPort(host, port)
}

// Told implements web.AlertViews.
func (w *webhook) Told() *web.Alert {
	b, err := os.ReadFile(w.file)
	if err != nil {
		return nil
	}
	a := &web.Alert{}
	if json.Unmarshal(b, a) != nil {
		return nil
	}
	return a
}

// Changed implements web.AlertViews.
func (w *webhook) Changed(a *web.Alert) {
	to, here := w.to()
	if !here || to.URL == "" {
		return
	}
	if b, err := json.Marshal(a); err == nil {
		if err := errors.Join(os.MkdirAll(filepath.Dir(w.file), 0o700), os.WriteFile(w.file, b, 0o600)); err != nil {
			w.log.Warn("after a restart a state may be told twice", "component", "ops", "err", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.cancel, w.done = cancel, done
	go func() {
		defer close(done)
		defer cancel()
		w.tell(ctx, to, a)
	}()
}

// Flush implements web.AlertViews.
func (w *webhook) Flush(ctx context.Context) {
	w.mu.Lock()
	done := w.done
	w.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// close gives up what is on its way.
func (w *webhook) close() {
	w.mu.Lock()
	cancel := w.cancel
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		w.Flush(context.Background())
	}
}

// Last implements web.AlertViews.
func (w *webhook) Last() web.AlertSent {
	to, here := w.to()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.last
	s.On, s.Host = here && to.URL != "", hostOf(to.URL.Reveal())
	return s
}

// hostOf is the host of an address, which alone is no secret.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// Test implements web.AlertViews.
func (w *webhook) Test(ctx context.Context, text []byte, a *web.Alert) error {
	cfg, err := w.text(text)
	if err != nil {
		return err
	}
	if cfg.Ops.Webhook.URL == "" {
		return errors.New("no address is set, or its reference stands for nothing")
	}
	_, err = w.send(ctx, cfg.Ops.Webhook, a, true)
	return err
}

// tell sends a state until it arrives, is refused, or has been tried often enough.
func (w *webhook) tell(ctx context.Context, to config.Webhook, a *web.Alert) {
	wait := w.first
	for try := 1; ; try++ {
		again, err := w.send(ctx, to, a, false)
		if err == nil {
			w.ended(nil)
			return
		}
		if ctx.Err() != nil {
			return // a newer state goes in its place
		}
		if !again || try == webhookTries {
			w.ended(err)
			w.log.Warn("a state could not be told", "component", "ops", "state", a.State, "host", hostOf(to.URL.Reveal()), "attempt", try, "err", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			wait = min(2*wait, webhookMost)
		}
	}
}

// ended notes how a message ended.
func (w *webhook) ended(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.last.Sent = time.Now()
		w.last.Accepted++
		return
	}
	w.last.Failed, w.last.Why = time.Now(), err.Error()
	w.last.GivenUp++
}

// message is what is sent; the README describes it.
type message struct {
	Program   string          `json:"program"`
	Version   string          `json:"version"`
	Workspace string          `json:"workspace"`
	Instance  string          `json:"instance"` // the machine's name
	Test      bool            `json:"test"`
	Text      string          `json:"text"` // the rest in one line, which chat services show
	State     string          `json:"state"`
	Was       string          `json:"was"`
	Since     time.Time       `json:"since"`
	Reasons   []messageReason `json:"reasons"`
	Over      []string        `json:"over"`
	Link      string          `json:"link"`
}

type messageReason struct {
	web.AlertReason
	Link string `json:"link"`
	Page string `json:"page,omitempty"` // told as Link
}

// message makes what is sent of a state.
func (w *webhook) message(to config.Webhook, a *web.Alert, test bool) message {
	pages := strings.TrimSuffix(orElse(to.Pages, w.pages), "/")
	link := func(path string) string {
		if pages == "" {
			return ""
		}
		return pages + path
	}
	m := message{Program: "brazecdc", Workspace: w.workspace(), Test: test, State: a.State, Was: a.Was, Since: a.Since.UTC(), Reasons: []messageReason{}, Over: a.Over, Link: link("/")}
	m.Version, _ = buildVersion()
	m.Instance, _ = os.Hostname() // a machine without a name is told as none
	for _, r := range a.Reasons {
		r.Since = r.Since.UTC()
		m.Reasons = append(m.Reasons, messageReason{AlertReason: r, Link: link(r.Page)})
	}
	m.Text = strings.TrimSpace(fmt.Sprintf("brazecdc %s: %s. %s %s", m.Workspace, a.State, a.Sentence(), m.Link))
	if test {
		m.Text = "This is a test. " + m.Text
	}
	return m
}

// send tries once. again tells whether it is worth another try.
func (w *webhook) send(ctx context.Context, to config.Webhook, a *web.Alert, test bool) (again bool, err error) {
	body, err := json.Marshal(w.message(to, a, test))
	if err != nil {
		return false, fmt.Errorf("write the message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the address is not well-formed") // the error itself would show it
	}
	v, _ := buildVersion()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "brazecdc/"+v)
	if to.Secret != "" {
		mac := hmac.New(sha256.New, []byte(to.Secret.Reveal()))
		_, _ = mac.Write(body) // a hash takes everything
		req.Header.Set("X-Brazecdc-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which may be a secret
		}
		return true, fmt.Errorf("%s does not answer: %w", req.URL.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return false, nil
	case code/100 == 5, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return true, fmt.Errorf("%s answered %d", req.URL.Host, code)
	default:
		return false, fmt.Errorf("%s refused the message: it answered %d", req.URL.Host, code)
	}
}
