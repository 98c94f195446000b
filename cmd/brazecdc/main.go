// Command brazecdc moves row changes from Postgres or Kafka topics into Braze: one file per subcommand, which reads flags and config, wires the parts, and maps the
// end to an exit code.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Exit))
}
