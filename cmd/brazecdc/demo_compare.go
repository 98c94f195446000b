package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"brazecdc/cmd/brazecdc/shop"
	"brazecdc/connector"
)

// compare ends a bounded demo: every profile of the simulator against the tables.
func (d *demo) compare(ctx context.Context, made int, took time.Duration) error {
	profiles := map[string]shop.Profile{}
	for _, sp := range d.sim.Profiles() {
		fields := shop.Profile{}
		for _, from := range []map[string]json.RawMessage{sp.Attributes, sp.Custom} {
			for name, raw := range from {
				var v any
				if err := json.Unmarshal(raw, &v); err != nil {
					return fmt.Errorf("read the profile of %s: %w", sp.ExternalID, err)
				}
				fields[name] = v
			}
		}
		profiles[sp.ExternalID] = fields
	}
	p := d.p
	var diffs []shop.Difference
	if d.asItBegan() {
		var err error
		if diffs, err = shop.Compare(ctx, d.db, profiles); err != nil {
			return err
		}
	}
	stats := d.sim.Stats()
	p.printf("\n%d row changes in %.1f s.\n", made, took.Seconds())
	for _, path := range slices.Sorted(maps.Keys(stats.Endpoints)) {
		e := stats.Endpoints[path]
		p.printf("  %-28s %6d requests, %6d objects\n", path, e.Requests, e.Objects)
	}
	a, done, v := d.face.seat.await(ctx)
	defer done()
	if a == nil {
		return &stoppedError{v.reason}
	}
	s := a.pipeline.Status()
	if s.Quarantine > 0 {
		list, err := a.journal.Quarantine().List(connector.EntryFilter{Limit: 1})
		if err == nil && len(list) > 0 {
			p.printf("%s the first of %d: %s %s, %s: %s\n", p.red("held back"), s.Quarantine, list[0].Model, list[0].Op, list[0].Field, list[0].Reason)
		}
		return &silentError{code: connector.ExitFaults}
	}
	if len(diffs) > 0 {
		p.printf("%s %s\n", p.red("difference:"), diffs[0])
		if len(diffs) > 1 {
			p.printf("and %d more\n", len(diffs)-1)
		}
		return &silentError{code: connector.ExitFaults}
	}
	if !d.asItBegan() {
		p.printf("The configuration was changed meanwhile, so the profiles are not compared with the tables.\n")
		return nil
	}
	p.printf("%s %d profiles, all equal to the tables.\n", p.green("ok:"), len(profiles))
	return nil
}
