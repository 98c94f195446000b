// Command brazesim serves a strict stand-in for Braze's REST API on a local address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"brazecdc/connector/braze/brazesim"
)

// Exit codes, as the manual lists them.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags.
type settings struct {
	listen  string
	grace   time.Duration
	version bool
	sim     brazesim.Config
}

// run serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, manual)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "brazesim: %v\nRun brazesim --help for all settings.\n", err)
		return exitUsage
	case cfg.version:
		fmt.Fprintln(stdout, "brazesim", version())
		return exitOK
	}
	s := brazesim.New(cfg.sim)
	url, err := s.Start(cfg.listen)
	if err != nil {
		fmt.Fprintf(stderr, "brazesim: %v\n", err)
		return exitError
	}
	fmt.Fprintf(stdout, "brazesim listens on %s (objects per call %d, apply delay up to %v, delete delay up to %v, rate headers %s)\n",
		url, cfg.sim.Objects, cfg.sim.ApplyDelay, max(cfg.sim.ApplyDelay, cfg.sim.DeleteDelay), cfg.sim.RateStyle)
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.Background(), cfg.grace)
	defer cancel()
	err = s.Shutdown(stopping)
	st := s.Stats()
	fmt.Fprintf(stdout, "brazesim stopped: %d requests, %d objects, %d profiles, %d overlaps\n", st.Requests, st.Objects, st.Profiles, st.Overlaps)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(stderr, "brazesim: stop: %v\n", err)
		return exitError
	}
	return exitOK
}

func parse(args []string) (settings, error) {
	var c settings
	var style string
	fs := flag.NewFlagSet("brazesim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // the manual answers --help only; a wrong flag gets one line
	fs.StringVar(&c.listen, "listen", "127.0.0.1:8090", "")
	fs.StringVar(&c.sim.APIKey, "api-key", os.Getenv("BRAZESIM_API_KEY"), "")
	fs.DurationVar(&c.sim.ApplyDelay, "apply-delay", 0, "")
	fs.DurationVar(&c.sim.DeleteDelay, "delete-delay", 0, "")
	fs.StringVar(&style, "rate-style", string(brazesim.RateEpoch), "")
	fs.IntVar(&c.sim.Limit.Requests, "rate-limit", 0, "")
	fs.DurationVar(&c.sim.Limit.Window, "rate-window", 3*time.Second, "")
	fs.IntVar(&c.sim.Objects, "objects", 75, "")
	fs.Int64Var(&c.sim.MaxBody, "max-body", 4<<20, "")
	fs.BoolVar(&c.sim.RefuseAllInvalid, "all-invalid-400", false, "")
	fs.BoolVar(&c.sim.ErrorConstants, "error-constants", false, "")
	fs.BoolVar(&c.sim.StrictTimes, "strict-times", false, "")
	fs.BoolVar(&c.sim.RequireFields, "require-export-fields", false, "")
	fs.Func("catalog", "", func(text string) error {
		made, err := brazesim.ParseCatalog(text)
		c.sim.Catalogs = append(c.sim.Catalogs, made)
		return err
	})
	fs.Uint64Var(&c.sim.Seed, "seed", 0, "")
	fs.DurationVar(&c.grace, "grace", 5*time.Second, "")
	fs.BoolVar(&c.version, "version", false, "")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	c.sim.RateStyle = brazesim.RateStyle(style)
	return c, c.check(fs)
}

// check says in terms of the flags what cannot work.
func (c settings) check(fs *flag.FlagSet) error {
	_, _, listenErr := net.SplitHostPort(c.listen)
	switch {
	case c.version:
		return nil
	case listenErr != nil:
		return fmt.Errorf("--listen %q is no address such as 127.0.0.1:8090", c.listen)
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: all settings are flags", fs.Arg(0))
	case c.sim.APIKey == "":
		return errors.New("--api-key is missing: name the key that clients will send, or set BRAZESIM_API_KEY")
	case strings.ContainsAny(c.sim.APIKey, " \t\r\n"):
		return errors.New("--api-key must not contain blanks")
	case !slices.Contains(brazesim.RateStyles, c.sim.RateStyle):
		return fmt.Errorf("--rate-style %q is unknown, want one of %v", c.sim.RateStyle, brazesim.RateStyles)
	case c.sim.Objects != 50 && c.sim.Objects != 75 && c.sim.Objects != 225:
		return fmt.Errorf("--objects %d is not one of 50, 75 and 225", c.sim.Objects)
	case c.sim.ApplyDelay < 0 || c.sim.DeleteDelay < 0 || c.grace < 0:
		return errors.New("--apply-delay, --delete-delay and --grace must not be negative")
	case c.sim.Limit.Requests < 0 || c.sim.Limit.Window <= 0:
		return errors.New("--rate-limit must not be negative, --rate-window must be above 0")
	case c.sim.MaxBody <= 0:
		return errors.New("--max-body must be above 0")
	}
	return c.sim.Validate()
}

// version is the module's version, or the commit that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}
