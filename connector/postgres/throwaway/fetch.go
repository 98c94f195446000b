package throwaway

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

func haveApt() bool {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return false
	}
	_, err := exec.LookPath("apt-get")
	return err == nil
}

// noCluster is read by pg_createcluster's callers in the package's install script: without it the package creates and
// starts a cluster of its own. It lies there only while apt-get runs.
const (
	noClusterDir  = "/etc/postgresql-common/createcluster.d"
	noClusterText = "create_main_cluster = false\n"
)

var aptSize = regexp.MustCompile(`Need to get ([^\n]*?) of archives`)

// aptInstall installs the distribution's server. Only one process does it at a time; done tells that another one has.
func aptInstall(ctx context.Context, cfg Config, done func() bool) error {
	unlock, err := lockCache("apt")
	if err != nil {
		return err
	}
	defer unlock()
	if done() {
		return nil
	}
	remove, err := dropIn()
	if err != nil {
		return fmt.Errorf("keep the package postgresql from starting a cluster: %w", err)
	}
	defer remove()
	size := aptNeeds(ctx)
	if size == "" { // no package lists yet
		cfg.say("apt-get update: fetching the package lists (about 10 to 50 MB)")
		if out, err := runToEnd(ctx, apt("update")); err != nil {
			return fmt.Errorf("apt-get update: %w: %s", err, lastLines(out))
		}
		if size = aptNeeds(ctx); size == "" {
			size = "about 50 MB"
		}
	}
	cfg.say(fmt.Sprintf("apt-get install postgresql: fetching %s; no cluster is created", size))
	out, err := runToEnd(ctx, apt("install", "-y", "--no-install-recommends", "postgresql"))
	if err != nil {
		// The lists may be older than the archive.
		if out, err := runToEnd(ctx, apt("update")); err != nil {
			return fmt.Errorf("apt-get update: %w: %s", err, lastLines(out))
		}
		out, err = runToEnd(ctx, apt("install", "-y", "--no-install-recommends", "postgresql"))
	}
	if err != nil {
		return fmt.Errorf("apt-get install postgresql: %w: %s", err, lastLines(out))
	}
	return nil
}

func apt(args ...string) *exec.Cmd {
	cmd := exec.Command("apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return cmd
}

// aptNeeds is apt-get's own word for how much an install fetches, "" where it knows no such package.
func aptNeeds(ctx context.Context) string {
	out, _ := runToEnd(ctx, apt("install", "--assume-no", "--no-install-recommends", "postgresql")) // "no" ends with 1
	if m := aptSize.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return ""
}

func dropIn() (remove func(), err error) {
	if err := os.MkdirAll(noClusterDir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(noClusterDir, "brazecdc.conf")
	if err := os.WriteFile(file, []byte(noClusterText), 0o644); err != nil {
		return nil, err
	}
	return func() {
		_ = os.Remove(file)
		_ = os.Remove(noClusterDir) // fails, as it should, when something else lies there
	}, nil
}

// mavenVersions are the releases of the jar that is fetched for each major version.
var mavenVersions = map[int]string{14: "14.19.0", 15: "15.14.0", 16: "16.10.0", 17: "17.6.0", 18: "18.0.0"}

const (
	mavenDefault = 17
	mavenSize    = "about 15 MB"
)

func haveMaven() bool {
	_, err := exec.LookPath("mvn")
	return err == nil && runtime.GOOS == "linux"
}

// mavenBinaries takes the programs from the jar of a major version, unpacked once into the cache folder.
func mavenBinaries(ctx context.Context, cfg Config, major int, who account) (binaries, error) {
	version := mavenVersions[major]
	cache, err := cacheDir()
	if err != nil {
		return binaries{}, err
	}
	dir := filepath.Join(cache, "server-"+version)
	unlock, err := lockCache("server-" + version)
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	if _, err := os.Stat(dir); err != nil {
		if err := fetchJar(ctx, cfg, version, dir); err != nil {
			return binaries{}, fmt.Errorf("fetch PostgreSQL %s with Maven: %w", version, err)
		}
	}
	return inspect(ctx, filepath.Join(dir, "bin"), who)
}

// fetchJar fetches the jar and leaves its unpacked programs at dir, complete or not at all.
func fetchJar(ctx context.Context, cfg Config, version, dir string) error {
	if !haveMaven() {
		return errors.New("there is no mvn on the PATH; install the package maven")
	}
	arch := map[string]string{"amd64": "amd64", "arm64": "arm64v8"}[runtime.GOARCH]
	if arch == "" {
		return fmt.Errorf("there is no jar for %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath("xz"); err != nil {
		return errors.New("the jar holds an .xz archive and there is no xz on the PATH; install the package xz-utils")
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-server-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	artifact := "io.zonky.test.postgres:embedded-postgres-binaries-linux-" + arch + ":" + version
	cfg.say("mvn dependency:copy " + artifact + ": fetching " + mavenSize)
	mvn := exec.Command("mvn", "-B", "-q", "dependency:copy", "-Dartifact="+artifact, "-DoutputDirectory="+tmp)
	mvn.Dir = tmp // a pom.xml of the caller's folder is none of its business
	if out, err := runToEnd(ctx, mvn); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(out))
	}
	jars, _ := filepath.Glob(filepath.Join(tmp, "*.jar"))
	if len(jars) != 1 {
		return fmt.Errorf("mvn left %d jars where one was expected", len(jars))
	}
	root := filepath.Join(tmp, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unpackJar(ctx, jars[0], root); err != nil {
		return err
	}
	// Under a strict umask the account that runs the server could not enter.
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

// unpackJar unpacks the one .txz of the jar into root.
func unpackJar(ctx context.Context, jar, root string) error {
	z, err := zip.OpenReader(jar)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(jar), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".txz") {
			continue
		}
		archive := jar + ".txz"
		if err := extract(f, archive); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
		tar := exec.Command("tar", "-xJf", archive, "-C", root, "--no-same-owner")
		if out, err := runToEnd(ctx, tar); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", f.Name, err, lastLines(out))
		}
		return nil
	}
	return fmt.Errorf("%s holds no .txz", filepath.Base(jar))
}

func extract(f *zip.File, to string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if errClose := w.Close(); err == nil {
		err = errClose
	}
	return err
}

// lockCache lets one process at a time fetch a thing; the others wait and find it there.
func lockCache(what string) (unlock func(), err error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	f, err := lockFile(filepath.Join(cache, what+".lock"), true)
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

func lastLines(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
