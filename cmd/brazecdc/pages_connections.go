package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

// connectionsPages hands what the pages of the connections and of the first run ask and do over.
func (p *program) connectionsPages(x *pageParts, c *web.Config) {
	c.Connections = &connectionsViews{p: p, x: x}
}

// connectionsViews implements web.ConnectionsViews. It remembers the last probes, so that a page can be loaded again without making them again.
type connectionsViews struct {
	p *program
	x *pageParts

	mu     sync.Mutex
	source remembered[web.SourceProbe]
	braze  remembered[web.BrazeProbe]
	first  *web.FirstSent
}

var _ web.ConnectionsViews = (*connectionsViews)(nil)

// remembered is the last result of a probe and the settings that it was made with.
type remembered[T any] struct {
	settings [sha256.Size]byte
	result   *T
}

// Look implements web.ConnectionsViews.
func (v *connectionsViews) Look(text []byte) (*config.Config, config.Faults) {
	return config.Partial(v.p.config, text, v.p.env, config.SecretFiles(v.p.config))
}

// fingerprint tells whether settings are the same, secrets included, without keeping them.
func fingerprint(secrets []string, settings ...any) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q", secrets, fmt.Sprintf("%+v", settings)))
}

func ofSource(cfg *config.Config) [sha256.Size]byte {
	s := &cfg.Source
	switch {
	case s.Postgres != nil:
		pg := *s.Postgres
		secrets := []string{pg.URL.Reveal(), pg.SnapshotURL.Reveal()}
		return fingerprint(secrets, "postgres", pg.Slot, pg.Publication, pg.Create)
	case s.Kafka != nil:
		k := *s.Kafka
		return fingerprint([]string{k.SASL.Password.Reveal(), k.Registry.Password.Reveal()}, "kafka", k.Brokers, k.Group, k.TLS, cfg.Given("source.kafka.tls"),
			k.SASL.Mechanism, k.SASL.User, k.Registry.URL, k.Registry.User, k.StateTopic)
	}
	return fingerprint(nil)
}

func ofBraze(cfg *config.Config) [sha256.Size]byte {
	return fingerprint([]string{cfg.Braze.APIKey.Reveal()}, cfg.Braze.Endpoint)
}

// ProbeSource implements web.ConnectionsViews.
func (v *connectionsViews) ProbeSource(ctx context.Context, text []byte) *web.SourceProbe {
	cfg, faults := v.Look(text)
	out := v.p.probeSource(ctx, cfg, faults)
	if cfg != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.source = remembered[web.SourceProbe]{ofSource(cfg), out}
	}
	return out
}

// LastSource implements web.ConnectionsViews.
func (v *connectionsViews) LastSource(text []byte) *web.SourceProbe {
	cfg, _ := v.Look(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	if cfg == nil || v.source.settings != ofSource(cfg) {
		return nil
	}
	return v.source.result
}

// ProbeBraze implements web.ConnectionsViews.
func (v *connectionsViews) ProbeBraze(ctx context.Context, text []byte) *web.BrazeProbe {
	cfg, faults := v.Look(text)
	out := v.p.probeBraze(ctx, cfg, faults)
	if cfg != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.braze = remembered[web.BrazeProbe]{ofBraze(cfg), out}
	}
	return out
}

// LastBraze implements web.ConnectionsViews.
func (v *connectionsViews) LastBraze(text []byte) *web.BrazeProbe {
	cfg, _ := v.Look(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	if cfg == nil || v.braze.settings != ofBraze(cfg) {
		return nil
	}
	return v.braze.result
}

// KeepSecret implements web.ConnectionsViews.
func (v *connectionsViews) KeepSecret(name, value string) (string, error) {
	return v.p.keepSecret(name, value)
}

// ForgetSecrets implements web.ConnectionsViews.
func (v *connectionsViews) ForgetSecrets(texts [][]byte) { v.p.forgetSecrets(texts) }

// Secret implements web.ConnectionsViews.
func (v *connectionsViews) Secret(reference string) web.SecretState {
	return v.p.secretState(reference)
}

// pageTimeout bounds what a page waits for the source.
const pageTimeout = 20 * time.Second
