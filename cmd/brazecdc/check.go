package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/mapping"
)

// checkTimeout bounds what check waits for one server.
const checkTimeout = 20 * time.Second

// The groups of check, worst first.
const (
	mustFix = "must fix"
	mayHurt = "may hurt"
	fine    = "fine"
)

// finding is one line of check.
type finding struct {
	Group string `json:"group"`           // must fix | may hurt | fine
	Area  string `json:"area"`            // config | source | mapping | braze | host
	About string `json:"about,omitempty"` // of the source: reachable, wal_level, slot, publication, brokers, …
	What  string `json:"what"`
	Fix   string `json:"fix,omitempty"`
	Line  int    `json:"line,omitempty"` // of the configuration file
	made  bool   // it is not there, and run creates it
}

func newCheck(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find everything that is wrong, at once: configuration, database, mapping, Braze key",
		Long: `check looks at everything a start needs and prints all it finds, in three groups:

  must fix   a start would fail, or rows would be lost or held back
  may hurt   a start works; look at it first
  fine       what was looked at and is well

It reads the configuration, asks the database for its settings, rights, slot, publication and the tables' shape (with Kafka the brokers for the topics and
their newest records, and the schema registry), compiles the mapping against the real columns, and asks each Braze endpoint with an empty request whether
the key may use it. It compares the types of custom attributes with those that Braze has, since Braze ignores values of another type without an error, and
counts the data points that a load can cost. It looks for rows that have one external_id but for blanks, and for several with one e-mail address, in tables by
statements that end after two seconds. It creates nothing, sends no user, and works while "brazecdc run" does; it also looks at data/ and web.listen.
Exit code 0 if nothing must be fixed, else 4.`,
		Example: "  brazecdc check\n  brazecdc check --draft\n  brazecdc check --json | jq '.[] | select(.group == \"must fix\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			c := &checker{p: p}
			c.run(ctx)
			return c.print(asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	p.draftFlag(cmd)
	return cmd
}

// checker collects findings.
type checker struct {
	p     *program
	text  []byte // is judged in place of the file, which does not hold it yet; nil for the file
	found []finding
	about string                        // what of the source is looked at
	types map[string]connector.AttrType // of Braze's custom attributes, nil where it does not tell
	// images are the newest rows of topics, by model.
	images map[int][]connector.Row
}

func (c *checker) add(group, area, what, fix string) {
	c.found = append(c.found, finding{Group: group, Area: area, About: c.about, What: what, Fix: fix})
}

// fault adds an error, a StopError with its fix.
func (c *checker) fault(area string, err error) {
	var stop *connector.StopError
	if !errors.As(err, &stop) {
		c.add(mustFix, area, err.Error(), "")
		return
	}
	what := stop.What
	if stop.Err != nil {
		what += ": " + stop.Err.Error()
	}
	c.add(mustFix, area, what, stop.Fix)
}

func (c *checker) run(ctx context.Context) {
	cfg := c.config()
	if cfg == nil {
		return
	}
	c.braze(ctx, cfg)
	c.source(ctx, cfg)
	c.host(ctx, cfg)
}

// config checks the file. What could be read of a faulty one is checked further.
func (c *checker) config() *config.Config {
	text, err := c.text, error(nil)
	if text == nil {
		text, err = c.p.written()
	}
	var cfg *config.Config
	if err == nil {
		cfg, err = config.ParseText(c.p.config, text, c.p.env)
	}
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		c.withFixes("config", faults)
	case err != nil:
		c.fault("config", c.p.loadError(err))
	default:
		c.add(fine, "config", fmt.Sprintf("%s can be read: workspace %s, %s", c.p.config, cfg.Braze.Workspace, plural(len(cfg.Models), "model")), "")
		c.withFixes("config", cfg.Warnings)
		c.withFixes("config", columnFaults(cfg))
	}
	return cfg
}

// withFixes adds faults of the file, each at its line, with its fix apart.
func (c *checker) withFixes(area string, faults config.Faults) {
	for _, f := range faults {
		group := mustFix
		if f.Warn {
			group = mayHurt
		}
		fix := f.Fix
		f.Fix, f.Warn = "", false
		c.found = append(c.found, finding{Group: group, Area: area, What: f.Error(), Fix: fix, Line: f.Line})
	}
}

// mapping compiles the models against the real tables; all of them were found. It gives nil where they have faults.
func (c *checker) mapping(cfg *config.Config, tables map[string]*connector.Table, all bool) *mapping.Mapper {
	a := &app{cfg: cfg, tables: tables, types: c.types, log: c.p.quietLog()}
	m, faults := mapping.New(a.mappingConfig())
	resolved := cfg.Resolve(faults)
	c.withFixes("mapping", resolved)
	if resolved.Err() == nil && len(cfg.Models) > 0 && all {
		c.add(fine, "mapping", fmt.Sprintf("%s fit the tables", plural(len(cfg.Models), "model")), "")
	}
	c.quiet(cfg, m)
	return m
}

// quiet finds what is right by itself, and leaves out rows or moments without a word until somebody misses them.
func (c *checker) quiet(cfg *config.Config, m *mapping.Mapper) {
	var faults []connector.Fault
	for i := range cfg.Models {
		mo := &cfg.Models[i]
		if mo.Identify.Phone != "" && mo.Identify.PhoneCountry == "" {
			faults = append(faults, connector.Fault{Path: mo.Path + ".identify.phone", Warn: true, What: "no country is named: a row whose number begins without + is held back",
				Fix: "write phone: {column: " + mo.Identify.Phone + ", country: DE}, or leave it where all numbers begin with +"})
		}
		if m == nil || mo.Schedule != nil {
			continue
		}
		if what, _ := m.ByTime(i); len(what) > 0 {
			faults = append(faults, connector.Fault{Path: mo.Path, Warn: true, What: "there is no schedule, and " + strings.Join(what, ", ") + " reads the clock: what time alone makes true or false waits for the row's next change",
				Fix: `add schedule: { cron: "0 3 * * *" }, which looks again`})
		}
	}
	c.withFixes("mapping", cfg.Resolve(faults))
}

// braze asks whether the key has the permissions that the models need.
func (c *checker) braze(ctx context.Context, cfg *config.Config) {
	if cfg.Braze.Endpoint == "" || cfg.Braze.APIKey == "" {
		return // told as faults of the configuration
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	sink, err := newSink(cfg, c.p.quietLog())
	if err != nil {
		c.fault("braze", err)
		return
	}
	defer sink.Close()
	needed, used := neededPermissions(cfg), usedPermissions(cfg)
	for _, r := range sink.Check(ctx) {
		text := fmt.Sprintf("permission %s is %s", r.Permission, r.Grant)
		switch {
		case r.Grant == braze.Granted && r.Permission == "custom_attributes.get":
			c.add(fine, "braze", text, "")
			c.attributes(ctx, cfg, sink)
			continue
		case r.Grant == braze.Granted:
			c.add(fine, "braze", text, "")
			continue
		case !used[r.Permission] && !needed[r.Permission]:
			c.add(fine, "braze", text+", and no model uses it", "")
			continue
		case r.Detail != "":
			text += ": " + r.Detail
		}
		group := mustFix
		if !needed[r.Permission] {
			group = mayHurt
			text += "; it is needed for " + r.Needed
		}
		c.add(group, "braze", text, r.Fix)
	}
}

// attributes compares the custom attributes with those of Braze.
func (c *checker) attributes(ctx context.Context, cfg *config.Config, sink *braze.Client) {
	list, err := sink.Attributes(ctx)
	if err != nil {
		c.add(mayHurt, "braze", fmt.Sprintf("the types of custom attributes could not be compared: %v", err),
			"run check again; without them, a value of another type is noticed only if the attribute was sent before")
		return
	}
	c.drift(cfg, list)
}

// usedPermissions are those that a model may use, beside those that are good to have for all of them.
func usedPermissions(cfg *config.Config) map[string]bool {
	used := map[string]bool{"users.delete": true, "users.external_ids.rename": true, "users.external_ids.remove": true, "users.export.ids": true}
	if len(attributeNames(cfg)) > 0 {
		used["custom_attributes.get"] = true
	}
	return used
}

// neededPermissions are those without which some change of the models could not be delivered.
func neededPermissions(cfg *config.Config) map[string]bool {
	needed := map[string]bool{}
	for i := range cfg.Models {
		m := &cfg.Models[i]
		switch m.Kind {
		case "subscriptions":
			needed["subscription.status.set"] = true
			continue
		case "catalog":
			needed["catalogs.replace_items"] = true
			if m.Mode == "sync" {
				needed["catalogs.delete_items"] = true
			}
			continue
		}
		needed["users.track"] = true
		if m.Mode != "sync" || !m.OwnsUsers {
			continue
		}
		needed["users.delete"] = true
		if m.OnIDChange == "rename" {
			needed["users.external_ids.rename"], needed["users.external_ids.remove"] = true, true
		}
	}
	return needed
}

func (c *checker) print(asJSON bool) error {
	bad := false
	sorted := []finding{}
	for _, group := range []string{mustFix, mayHurt, fine} {
		for _, f := range c.found {
			if f.Group == group {
				sorted = append(sorted, f)
				bad = bad || group == mustFix
			}
		}
	}
	if asJSON {
		if err := c.p.printJSON(sorted); err != nil {
			return err
		}
	} else {
		c.printGroups(sorted)
	}
	if bad {
		return &silentError{code: connector.ExitFaults}
	}
	return nil
}

func (c *checker) printGroups(sorted []finding) {
	p := c.p
	marks := map[string]string{mustFix: p.fail("fail"), mayHurt: p.yellow("warn"), fine: p.green("ok  ")}
	last := ""
	for _, f := range sorted {
		if f.Group != last {
			if last != "" {
				p.printf("\n")
			}
			p.printf("%s\n", p.bold(f.Group))
			last = f.Group
		}
		p.printf("  %s  %s\n", marks[f.Group], f.What)
		if f.Fix != "" {
			p.printf("        fix: %s\n", f.Fix)
		}
	}
}
