package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files anew")

// call runs a command line inside the test's process.
func call(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	code = run(context.Background(), args, terminal{in: strings.NewReader(""), out: &b, err: &b}, func(int) { t.Error("the process was ended") })
	return b.String(), code
}

func commands(c *cobra.Command, path []string) [][]string {
	all := [][]string{path}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			all = append(all, commands(sub, append(append([]string(nil), path...), sub.Name()))...)
		}
	}
	return all
}

func TestHelp(t *testing.T) {
	var text strings.Builder
	for _, path := range commands(newRoot(&program{}), nil) {
		out, code := call(t, append(path, "--help")...)
		if code != 0 {
			t.Errorf("%v --help: exit code %d", path, code)
		}
		if len(path) > 0 && (!strings.Contains(out, "Examples:") || len(strings.Split(out, "\n")) < 10) {
			t.Errorf("%v --help is no manual:\n%s", path, out)
		}
		for _, line := range strings.Split(out, "\n") {
			if len([]rune(line)) > 165 {
				t.Errorf("%v --help has a line of %d characters: %s", path, len([]rune(line)), line)
			}
		}
		text.WriteString("$ brazecdc " + strings.Join(append(path, "--help"), " ") + "\n" + out + "\n")
	}
	golden := filepath.Join("testdata", "help.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text.String()); d != "" {
		t.Errorf("help changed (run go test ./cmd/brazecdc -run TestHelp -update and look at the difference; -want +got):\n%s", d)
	}
}

func TestVersion(t *testing.T) {
	if out, code := call(t, "version"); code != 0 || !strings.HasPrefix(out, "brazecdc ") || !strings.Contains(out, "go1.") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, code := call(t, "version", "--json"); code != 0 || !strings.Contains(out, `"platform"`) {
		t.Errorf("exit code %d, %s", code, out)
	}
}
