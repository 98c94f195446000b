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
			k.SASL.Mechanism, k.SASL.User, k.Registry.URL, k.Registry.User, k.Registry.TLS, k.StateTopic)
	}
	return fingerprint(nil)
}

func ofBraze(cfg *config.Config) [sha256.Size]byte {
	return fingerprint([]string{cfg.Braze.APIKey.Reveal()}, cfg.Braze.Endpoint)
}

// keep remembers the result of a probe with the settings that it was made with, and gives it.
func keep[T any](v *connectionsViews, at *remembered[T], cfg *config.Config, of func(*config.Config) [sha256.Size]byte, result *T) *T {
	if cfg != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		*at = remembered[T]{of(cfg), result}
	}
	return result
}

// last gives the result that is remembered for these settings, nil where there is none.
func last[T any](v *connectionsViews, at *remembered[T], cfg *config.Config, of func(*config.Config) [sha256.Size]byte) *T {
	v.mu.Lock()
	defer v.mu.Unlock()
	if cfg == nil || at.settings != of(cfg) {
		return nil
	}
	return at.result
}

// ProbeSource implements web.ConnectionsViews.
func (v *connectionsViews) ProbeSource(ctx context.Context, text []byte) *web.SourceProbe {
	cfg, faults := v.Look(text)
	probe := v.p.probeSource(ctx, cfg, faults)
	named := v.p.named(text)
	for i := range probe.Checks {
		probe.Checks[i].Text, probe.Checks[i].Fix = named(probe.Checks[i].Text), named(probe.Checks[i].Fix)
	}
	for i := range probe.Creates {
		probe.Creates[i].Name = named(probe.Creates[i].Name)
	}
	return keep(v, &v.source, cfg, ofSource, probe)
}

// LastSource implements web.ConnectionsViews.
func (v *connectionsViews) LastSource(text []byte) *web.SourceProbe {
	cfg, _ := v.Look(text)
	return last(v, &v.source, cfg, ofSource)
}

// ProbeBraze implements web.ConnectionsViews.
func (v *connectionsViews) ProbeBraze(ctx context.Context, text []byte) *web.BrazeProbe {
	cfg, faults := v.Look(text)
	return keep(v, &v.braze, cfg, ofBraze, v.p.probeBraze(ctx, cfg, faults))
}

// LastBraze implements web.ConnectionsViews.
func (v *connectionsViews) LastBraze(text []byte) *web.BrazeProbe {
	cfg, _ := v.Look(text)
	return last(v, &v.braze, cfg, ofBraze)
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
