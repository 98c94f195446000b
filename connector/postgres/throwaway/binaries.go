package throwaway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// binaries is a folder with postgres and initdb of one version.
type binaries struct {
	dir     string
	version string // "15.14"
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

func (b binaries) major() int { return majorOf(b.version) }

func majorOf(version string) int {
	head, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(head)
	return n
}

// oldest is the oldest version whose logical replication the connector supports.
const oldest = 14

// distributionFolders is where packages put the programs without putting them on the PATH.
var distributionFolders = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // PGDG on Fedora, RHEL
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/usr/lib/postgresql*/bin",          // SUSE, Alpine
	"/Library/PostgreSQL/*/bin",         // the macOS installer
}

// findBinaries looks in the places that Start names, in their order.
func findBinaries(ctx context.Context, cfg Config, who account) (binaries, error) {
	if cfg.Version != "" {
		return findVersion(ctx, cfg, who)
	}
	if dir := os.Getenv(binEnv); dir != "" {
		b, err := inspect(ctx, dir, who)
		if err != nil {
			return binaries{}, fmt.Errorf("use the PostgreSQL programs that %s names: %w", binEnv, err)
		}
		return b, nil
	}
	if b, ok := installed(ctx, who); ok {
		return b, nil
	}
	if err := ctx.Err(); err != nil { // else a caller who gave up would be taken for a machine without a server
		return binaries{}, fmt.Errorf("find a PostgreSQL server: %w", err)
	}
	var problems []error
	if haveApt() {
		err := aptInstall(ctx, cfg, func() bool { _, ok := installed(ctx, who); return ok })
		if err == nil {
			if b, ok := installed(ctx, who); ok {
				return b, nil
			}
			err = errors.New("apt-get installed postgresql, but its programs are in none of the folders looked at")
		}
		problems = append(problems, err)
	}
	if haveMaven() {
		b, err := mavenBinaries(ctx, cfg, mavenDefault, who)
		if err == nil {
			return b, nil
		}
		problems = append(problems, err)
	}
	return binaries{}, errors.Join(append([]error{fmt.Errorf("find a PostgreSQL server of version %d or later: none on the PATH or in the distribution's folder; "+
		"%s, or set %s to the folder of postgres and initdb", oldest, installHint, binEnv)}, problems...)...)
}

// findVersion takes a version that was asked for: an installed one, else the jar.
func findVersion(ctx context.Context, cfg Config, who account) (binaries, error) {
	want, err := strconv.Atoi(cfg.Version)
	if err != nil || mavenVersions[want] == "" {
		return binaries{}, fmt.Errorf("find PostgreSQL %q: the version is one of 14, 15, 16, 17, 18", cfg.Version)
	}
	for _, b := range candidates(ctx, who) {
		if b.major() == want {
			return b, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return binaries{}, fmt.Errorf("find PostgreSQL %s: %w", cfg.Version, err)
	}
	return mavenBinaries(ctx, cfg, want, who)
}

func installed(ctx context.Context, who account) (binaries, bool) {
	for _, b := range candidates(ctx, who) {
		if b.major() >= oldest {
			return b, true
		}
	}
	return binaries{}, false
}

// candidates are the usable folders: the PATH's first, then the distribution's, newest version first.
func candidates(ctx context.Context, who account) []binaries {
	var found []binaries
	for _, pattern := range distributionFolders {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		for _, dir := range dirs {
			if b, err := inspect(ctx, dir, who); err == nil {
				found = append(found, b)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return compareVersions(b.version, a.version) })
	if path, err := exec.LookPath("postgres"); err == nil {
		if b, err := inspect(ctx, filepath.Dir(path), who); err == nil {
			found = slices.Insert(found, 0, b)
		}
	}
	return found
}

func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(as, bs, func(x, y string) int {
		xn, _ := strconv.Atoi(x)
		yn, _ := strconv.Atoi(y)
		return xn - yn
	})
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+(?:\.[0-9]+)*)`)

// inspect checks that a folder has both programs, that the account may run them, and asks for their version.
func inspect(ctx context.Context, dir string, who account) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, err
	}
	// The server finds its share folder from where its program really lies.
	if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(real), "initdb")); err == nil {
			dir = filepath.Dir(real)
		}
	}
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return binaries{}, fmt.Errorf("look for %s in %s: %w", program, dir, err)
		}
	}
	if !who.reaches(dir) {
		return binaries{}, fmt.Errorf("run the programs in %s: the account %s may not enter that folder", dir, who.name)
	}
	out, err := runToEnd(ctx, who.command(filepath.Join(dir, "postgres"), "--version"))
	if err != nil {
		return binaries{}, fmt.Errorf("ask %s for its version: %w: %s", filepath.Join(dir, "postgres"), err, strings.TrimSpace(out))
	}
	m := versionText.FindStringSubmatch(out)
	if m == nil {
		return binaries{}, fmt.Errorf("ask %s for its version: it answered %q", filepath.Join(dir, "postgres"), strings.TrimSpace(out))
	}
	return binaries{dir: dir, version: m[1]}, nil
}

// runToEnd runs a short command and gives all it printed. A context that ends kills it.
func runToEnd(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}
