package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"brazecdc/cmd/brazecdc/shop"
	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/config"
	"brazecdc/connector/postgres/throwaway"
)

// The demo's pauses are short so that there is something to see. The simulator applies each request up to applyDelay after its answer and a delete up
// to deleteDelay after, which the two pauses must cover.
const (
	demoGap         = 300 * time.Millisecond
	demoSettle      = 1500 * time.Millisecond
	demoApplyDelay  = 200 * time.Millisecond
	demoDeleteDelay = time.Second
	demoCustomers   = 60
	demoKey         = "demo-key"

	quietTimeout = 2 * time.Minute
)

type demoOptions struct {
	changes int
	exit    bool
	kafka   bool
	memory  bool // brokers in this process
	seed    uint64
	rate    float64
}

func newDemo(p *program) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a Postgres, a stand-in for Braze, and a small shop whose changes go from one to the other",
		Long: `demo starts a throw-away Postgres server, a simulator of Braze's API, and the connector between them, on the tables of a small shop: customers, and their
addresses as a second model of the same users. Then customers sign up, spend, move house and leave, and each line shows a row change and the call
that came of it. The pages show all of it in a browser, at the address that is
printed; what is changed there is applied to the demo's own file. Nothing leaves this machine, except that the server may have to be
fetched first; demo says what and how large it is.

The server comes from the PATH, the distribution's folder, apt-get (as root), or Maven; else demo names the package to install. Postgres
refuses to run as root, so then it runs under another account. Everything is gone when demo ends, whichever way it ends.

The pauses that keep Braze's order are short here (user_gap ` + demoGap.String() + `, settle ` + demoSettle.String() + `), since the simulator is quick; the defaults
for Braze are 1s and 5m.

With --kafka the changes take the way over Kafka: Debezium, in Kafka Connect, writes them to the topics of a broker, and the connector reads those. These need
Java 17, and Maven once to fetch 106 MB of them. Where they can't be had, or with --memory, the brokers are in this process, and a part of demo plays
Debezium.

With --changes N and --exit it makes N changes, waits until all is delivered, compares every profile with the tables, and ends: with exit code 0 if all are
equal, with 4 after printing the first difference.`,
		Example: "  brazecdc demo\n  brazecdc demo --kafka\n  brazecdc demo --rate 20\n  brazecdc demo --changes 2000 --exit --seed 7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.changes < 0 || o.rate < 0 {
				return usagef("--changes and --rate can't be negative")
			}
			if o.exit && o.changes == 0 {
				return usagef("--exit needs --changes N")
			}
			if o.memory && !o.kafka {
				return usagef("--memory goes with --kafka")
			}
			if !cmd.Flags().Changed("rate") && o.changes > 0 {
				o.rate = 200
			}
			return p.demo(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.changes, "changes", 0, "make `N` row changes, then no more; 0 goes on")
	cmd.Flags().BoolVar(&o.exit, "exit", false, "end when the changes are delivered and compared")
	cmd.Flags().BoolVar(&o.kafka, "kafka", false, "read the changes from Kafka topics that Debezium writes")
	cmd.Flags().BoolVar(&o.memory, "memory", false, "with --kafka: brokers in this process, even where there is Java")
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "`number` that decides the changes")
	cmd.Flags().Float64Var(&o.rate, "rate", 3, "transactions a `second`; 0 as fast as it goes. With --changes the default is 200")
	return cmd
}

// demo is a running example: the parts it started, to be ended in turn.
type demo struct {
	p      *program
	o      demoOptions
	server *throwaway.Server
	sim    *brazesim.Server
	url    string // of the shop's database
	gen    *shop.Generator
	db     *pgx.Conn // the generator's
	dir    string
	cfg    *config.Config
	text   []byte // of the configuration that it begins with
	face   *face
	show   *stage
	feed   feed // with --kafka
}

func (p *program) demo(ctx context.Context, o demoOptions) error {
	dir, err := os.MkdirTemp("", "brazecdc-demo-")
	if err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d := &demo{p: p, o: o, dir: dir}
	ctx, stop := stoppable(ctx,
		func(os.Signal) { p.printf("\nStopping; everything the demo started goes away.\n") },
		func(os.Signal) {
			// The server goes with its starter.
			_ = os.RemoveAll(dir)
			p.exit(connector.ExitDeadline)
		})
	defer stop()
	defer d.end()
	err = d.setUp(ctx)
	if err == nil {
		err = d.run(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// end stops what setUp started, in reverse.
func (d *demo) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if d.feed != nil {
		d.feed.stop(ctx)
	}
	if d.db != nil {
		_ = d.db.Close(ctx)
	}
	if d.sim != nil {
		_ = d.sim.Close()
	}
	if d.server != nil {
		d.server.Stop()
	}
}

func (d *demo) setUp(ctx context.Context) (err error) {
	p := d.p
	d.server, err = throwaway.Start(ctx, throwaway.Config{Progress: func(line string) { p.printf("%s\n", line) }})
	if err != nil {
		return err
	}
	if err := d.server.CreateDatabase(ctx, "shop"); err != nil {
		return err
	}
	d.url = d.server.URL("shop")
	if d.db, err = pgx.Connect(ctx, d.url); err != nil {
		return fmt.Errorf("connect to the demo's database: %w", err)
	}
	d.gen = shop.NewGenerator(d.db, d.o.seed)
	if err := d.gen.Create(ctx, demoCustomers); err != nil {
		return err
	}
	d.sim = brazesim.New(brazesim.Config{APIKey: demoKey, ApplyDelay: demoApplyDelay, DeleteDelay: demoDeleteDelay})
	endpoint, err := d.sim.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	source := "Postgres " + d.server.Version() + "  " + d.url
	var brokers []string
	if d.o.kafka {
		if d.feed, err = d.startFeed(ctx, "public.customers", "public.addresses"); err != nil {
			return err
		}
		brokers = d.feed.brokers()
		source += fmt.Sprintf("\n%s  %s  topics shop.public.customers, shop.public.addresses", d.feed, strings.Join(brokers, ", "))
	}
	if err := d.writeConfig(endpoint, brokers); err != nil {
		return err
	}
	customers, addresses := d.gen.Counts()
	p.printf("%s\nBraze's stand-in  %s  (one user: %s/_sim/users/u-1001)\nconfiguration  %s\n", source, endpoint, endpoint, p.config)
	p.printf("The shop has %d customers with %d addresses. Loading them, then following what changes.\n\n", customers, addresses)
	return nil
}

func (d *demo) writeConfig(endpoint string, brokers []string) error {
	d.p.config = filepath.Join(d.dir, "brazecdc.yaml")
	d.p.vars = map[string]string{"DATABASE_URL": d.url, "BRAZE_API_KEY": demoKey}
	text := shop.Config(shop.Settings{Endpoint: endpoint, UserGap: demoGap, Settle: demoSettle, Listen: "127.0.0.1:0", Brokers: brokers})
	if err := os.WriteFile(d.p.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	cfg, err := config.Load(d.p.config, d.p.env)
	if err != nil {
		return err
	}
	d.cfg, d.text = cfg, []byte(text)
	return nil
}

// play makes the changes and, where asked, waits for their delivery and compares.
func (d *demo) play(ctx context.Context) error {
	if err := d.with(ctx, func(ctx context.Context, a *app) error { return a.loaded(ctx) }); err != nil {
		return err
	}
	if d.feed != nil { // its load is what the topics hold at first
		if err := d.with(ctx, func(ctx context.Context, a *app) error { return d.feed.caughtUp(ctx, a, 0) }); err != nil {
			return err
		}
	}
	begin := time.Now()
	made, err := d.makeChanges(ctx)
	if err != nil {
		return err
	}
	if !d.o.exit {
		d.p.printf("%d row changes were made; Ctrl-C ends the demo.\n", made)
		<-ctx.Done()
		return ctx.Err()
	}
	if err := d.quiet(ctx); err != nil {
		return err
	}
	d.show.flush()
	return d.compare(ctx, made, time.Since(begin))
}

func (d *demo) makeChanges(ctx context.Context) (made int, err error) {
	var tick <-chan time.Time
	if d.o.rate > 0 {
		t := time.NewTicker(time.Duration(float64(time.Second) / d.o.rate))
		defer t.Stop()
		tick = t.C
	}
	for d.o.changes == 0 || made < d.o.changes {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
				return made, ctx.Err()
			}
		}
		n, err := d.gen.Step(ctx)
		if err != nil {
			return made, err
		}
		made += n
	}
	return made, nil
}

// quiet waits until everything committed so far was delivered, nobody waits to be sent, and the simulator has applied what it accepted.
func (d *demo) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, quietTimeout, fmt.Errorf("wait for the changes' delivery: not done after %s", quietTimeout))
	defer cancel()
	var target int64
	if err := d.db.QueryRow(ctx, "SELECT (pg_current_wal_lsn() - '0/0')::bigint").Scan(&target); err != nil {
		return fmt.Errorf("ask for the log's end: %w", err)
	}
	// A transaction of its own, so that the stream passes the target soon.
	if _, err := d.db.Exec(ctx, "SELECT pg_logical_emit_message(true, 'demo', 'end')"); err != nil {
		return fmt.Errorf("mark the log's end: %w", err)
	}
	delivered := func(ctx context.Context, a *app) error {
		if d.feed != nil {
			return d.feed.caughtUp(ctx, a, uint64(target))
		}
		return a.delivered(ctx, uint64(target))
	}
	if err := d.with(ctx, delivered); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if err := d.sim.Quiet(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}
