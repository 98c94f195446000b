package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/web"
)

// probeTimeout bounds what a person waits for a test on a page.
const probeTimeout = 15 * time.Second

// probeSource tries the source with the checks of "brazecdc check".
func (p *program) probeSource(ctx context.Context, cfg *config.Config, faults config.Faults) *web.SourceProbe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := &web.SourceProbe{At: time.Now()}
	c := &checker{p: p}
	c.sectionFaults(cfg, faults, "source")
	switch {
	case len(c.found) > 0 || cfg == nil: // what is wrong in the settings comes first
	case cfg.Source.Kafka != nil:
		p.probeTopics(ctx, cfg, c, out)
	case cfg.Source.Postgres != nil:
		tables, _, _ := c.tables(ctx, cfg)
		c.database(ctx, cfg, tables)
	}
	for i := range c.found {
		out.Checks = append(out.Checks, c.found[i].onPage())
	}
	out.Creates = append(out.Creates, creations(cfg, c.found)...)
	return out
}

// sectionFaults adds the faults of one section of a file.
func (c *checker) sectionFaults(cfg *config.Config, faults config.Faults, section string) {
	c.about = "settings"
	defer func() { c.about = "" }()
	for _, f := range faults {
		if cfg == nil || !f.Warn && (f.Path == section || strings.HasPrefix(f.Path, section+".")) {
			c.add(mustFix, section, f.What, f.Fix)
		}
	}
}

// dialed is what the driver says of each address and each way it tried; the last one's reason is enough for a person.
var dialed = regexp.MustCompile("(?s)failed to connect to `[^`]*`:\\s.*?dial error: (?:.*dial error: )?")

func (f *finding) onPage() web.Check {
	out := web.Check{About: orElse(f.About, "other"), Text: dialed.ReplaceAllString(f.What, ""), Fix: f.Fix}
	out.Level = map[string]string{mustFix: web.CheckFail, mayHurt: web.CheckWarn, fine: web.CheckOK}[f.Group]
	return out
}

// creations lists what a start makes at the source.
func creations(cfg *config.Config, found []finding) []web.Creation {
	if cfg == nil {
		return nil
	}
	if k := cfg.Source.Kafka; k != nil {
		out := []web.Creation{{Kind: "group", Name: k.Group}}
		if k.StateTopic != "" {
			out = append(out, web.Creation{Kind: "state_topic", Name: k.StateTopic})
		}
		if cfg.Quarantine.To == "topic" {
			out = append(out, web.Creation{Kind: "quarantine_topic", Name: cfg.Quarantine.Topic})
		}
		return out
	}
	pg := cfg.Source.Postgres
	if pg == nil {
		return nil
	}
	var out []web.Creation
	for _, kind := range []struct{ about, name string }{{"publication", pg.Publication}, {"slot", pg.Slot}} {
		looked, missing := false, false
		for i := range found {
			f := &found[i]
			looked = looked || f.About == kind.about
			missing = missing || f.About == kind.about && f.made
		}
		if looked {
			out = append(out, web.Creation{Kind: kind.about, Name: kind.name, Exists: !missing})
		}
	}
	return out
}

// maxTopicsShown bounds how many topics a test looks into.
const maxTopicsShown = 20

// probeTopics asks brokers and registry, and looks at what the first topics hold.
func (p *program) probeTopics(ctx context.Context, cfg *config.Config, c *checker, out *web.SourceProbe) {
	look := *cfg
	look.Models = nil // the topics are not chosen yet, or may not exist any more
	src, err := newTopics(&look, p.quietLog(), hooks{})
	if err != nil {
		c.fault("source", err)
		return
	}
	defer func() { _ = src.Close(context.WithoutCancel(ctx)) }()
	seen, ok := c.brokers(ctx, cfg, src)
	c.registry(ctx, cfg, src)
	if !ok {
		return
	}
	own := ownTopics(cfg)
	seen = slices.DeleteFunc(seen, func(name string) bool { return slices.Contains(own, name) || strings.HasPrefix(name, "_") })
	out.Seen = len(seen)
	infos, err := src.find(ctx, topicsAtLook, seen[:min(len(seen), maxTopicsShown)]...)
	if err != nil {
		c.fault("source", err)
		return
	}
	for i := range infos {
		t := web.SourceTopic{Name: infos[i].Name, Partitions: infos[i].Partitions, Records: infos[i].Offsets}
		if recs, err := src.Sample(ctx, t.Name, 1); err == nil && len(recs) > 0 && len(recs[0].Value) > 0 {
			t.Format = formatOf(recs[0].Value)
		}
		out.Topics = append(out.Topics, t)
	}
}

// modesOf says which modes can't work without a permission; kindsOf which kinds of models.
var (
	modesOf = map[string][]string{
		"users.track": {"sync", "additive", "enrich"}, "users.delete": {"sync"}, "users.external_ids.rename": {"sync"}, "users.external_ids.remove": {"sync"},
	}
	kindsOf = map[string][]string{
		"subscription.status.set": {"subscriptions"}, "catalogs.replace_items": {"catalog"}, "catalogs.delete_items": {"catalog"},
	}
)

// probeBraze asks Braze what the key may do.
func (p *program) probeBraze(ctx context.Context, cfg *config.Config, faults config.Faults) *web.BrazeProbe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := &web.BrazeProbe{At: time.Now()}
	c := &checker{p: p}
	for _, path := range []string{"braze.endpoint", "braze.api_key"} {
		c.sectionFaults(cfg, faults, path)
	}
	if len(c.found) > 0 || cfg == nil || cfg.Braze.Endpoint == "" || cfg.Braze.APIKey == "" {
		out.Fault = "the settings under braze are not complete"
		if len(c.found) > 0 {
			out.Fault, out.Fix = c.found[0].What, c.found[0].Fix
		}
		return out
	}
	out.Endpoint = cfg.Braze.Endpoint
	sink, err := newSink(cfg, p.quietLog())
	if err != nil {
		out.Fault = err.Error()
		return out
	}
	defer sink.Close()
	granted, refused, answered := 0, 0, 0
	for _, r := range sink.Check(ctx) {
		perm := web.Permission{Name: r.Permission, Detail: r.Detail, Modes: modesOf[r.Permission], Kinds: kindsOf[r.Permission], Grant: web.GrantUntested}
		switch r.Grant {
		case braze.Granted:
			perm.Grant = web.GrantOK
			granted++
		case braze.Refused:
			perm.Grant = web.GrantRefused
			refused++
		}
		if r.Status != 0 {
			answered++
		}
		if out.Fault == "" {
			out.Fault, out.Fix = r.Detail, r.Fix
		}
		out.Permissions = append(out.Permissions, perm)
	}
	if granted+refused > 0 {
		out.Fault, out.Fix = "", "" // Braze answered, whatever else failed
	}
	out.Refused = refused > 0 && refused == answered
	return out
}
