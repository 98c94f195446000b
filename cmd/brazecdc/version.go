package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=1.2.3); without it the module's own build information speaks.
var version string

// buildVersion gives the version and the revision it was built from, "" where it is not known.
func buildVersion() (v, revision string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, ""
	}
	if v == "" {
		v = info.Main.Version
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if revision != "" && dirty {
		revision += " with changes"
	}
	if v == "" || v == "(devel)" {
		v = "development"
	}
	return v, revision
}

func newVersion(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, revision, Go version and platform",
		Long: `version prints what this program is: version, the revision it was built from where that is known, the Go version and the platform.
It reads no file and asks nobody.`,
		Example: "  brazecdc version\n  brazecdc version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, revision := buildVersion()
			if asJSON {
				return p.printJSON(map[string]string{
					"version": v, "revision": revision, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			p.printf("brazecdc %s\n", v)
			if revision != "" {
				p.printf("revision %s\n", revision)
			}
			p.printf("%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
