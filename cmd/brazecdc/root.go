package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"brazecdc/connector"
)

const exitUsage = 2

// usageError is a fault of the command line itself.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// silentError ends with a code after everything has been said already.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// program is what all subcommands share.
type program struct {
	terminal
	config  string            // path of the configuration file
	tracer  connector.Tracer  // of run, where the environment asks for traces
	noWait  bool              // run ends where another process works
	draft   bool              // the pages' draft counts in place of the file
	exit    func(code int)    // ends the process at once
	started bool              // a subcommand's own work began: later faults are not the command line's
	vars    map[string]string // variables of the configuration that do not come from the environment: the demo's
}

// env looks a variable of the configuration up.
func (p *program) env(name string) (string, bool) {
	if v, ok := p.vars[name]; ok {
		return v, true
	}
	return os.LookupEnv(name)
}

// run executes one command line and gives the exit code. exit ends the process at once, for who asks a second time.
func run(ctx context.Context, args []string, t terminal, exit func(int)) int {
	p := &program{terminal: t, exit: exit}
	root := newRoot(p)
	root.SetArgs(args)
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	cmd, err := root.ExecuteContextC(ctx)
	return p.report(cmd, err)
}

// report prints err where that is still to be done, and gives its exit code.
func (p *program) report(cmd *cobra.Command, err error) int {
	var silent *silentError
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &usage) || !p.started:
		p.warnf("%s: %v\n  fix: see \"%s --help\"\n", p.red("brazecdc"), err, cmd.CommandPath())
		return exitUsage
	}
	p.warnf("%s: %v\n", p.red("brazecdc"), err)
	return connector.ExitCode(err)
}

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "brazecdc",
		Short: "Move row changes from Postgres or Kafka into Braze",
		Long: `brazecdc reads the row changes of a Postgres database (logical replication), or of Kafka topics that hold them, and brings them to Braze within a
second of the commit: in order for each user, in the mode you choose, and without losing one silently.

First steps:
  brazecdc demo                        see it work, with a database of its own and a stand-in for Braze
  brazecdc ui                          set it up in a browser, from the database's address to the first user in Braze
  brazecdc init --database URL         write brazecdc.yaml from your tables
  brazecdc check                       find everything that is wrong with it, at once
  brazecdc preview --model users       see the exact calls for real rows; nothing is sent
  brazecdc send --model users --key 1  send one user
  brazecdc run                         start

Exit codes:
   0  stopped on request, everything confirmed
   1  unexpected fault                             2  wrong flags
   3  configuration invalid                       4  check, verify, preview or demo found faults
  10  source not reachable within start_timeout  11  login or rights refused
  12  slot missing, lost or invalidated          13  slot recreated, or its position does not fit the record
  14  slot or group in use, with --no-wait       15  offset out of range, or a topic made anew
  16  publication, table or identity unfit       17  slot of another plugin or database
  18  another server                             19  another timeline, or the server is behind the position
  20  Braze refuses the key                      21  Braze's endpoint is wrong
  30  store locked or from a newer version       31  disk full
  40  stopped before all was delivered; the rest repeats at the next start`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			p.started = true
		},
	}
	root.PersistentFlags().StringVarP(&p.config, "config", "c", "brazecdc.yaml", "configuration `file`; the folders data and cache are relative to it")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRun(p), newUI(p), newCheck(p), newPreview(p), newVerify(p), newSend(p), newInit(p), newDemo(p), newQuarantine(p), newConfirm(p), newForget(p), newReplay(p), newResync(p),
		newUser(p), newStatus(p), newTeardown(p), newHealthcheck(p), newLogLevel(p), newSchema(p), newOps(p), newVersion(p),
	)
	return root
}

// beside gives a path of the configuration as seen from the working folder: relative ones are relative to the file.
func (p *program) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(p.config), path)
}
