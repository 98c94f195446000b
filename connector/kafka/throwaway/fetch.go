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
	"strconv"
	"strings"
	"time"
)

// The versions that were tried together. Newer ones of Debezium lack a parent pom, newer ones of Apicurio need Java 21.
const (
	kafkaVersion    = "4.3.1"
	debeziumVersion = "3.6.1.Final"
	log4jVersion    = "2.25.4"
	apicurioVersion = "2.6.13.Final"
)

// dep is a Maven coordinate, with exclusions of the form group:artifact.
type dep struct {
	group, artifact, version string
	exclude                  []string
}

var brokerDeps = []dep{
	{group: "org.apache.kafka", artifact: "kafka_2.13", version: kafkaVersion},
	{group: "org.apache.logging.log4j", artifact: "log4j-slf4j-impl", version: log4jVersion},
}

var connectDeps = append(brokerDeps[:2:2],
	dep{group: "org.apache.kafka", artifact: "connect-runtime", version: kafkaVersion},
	dep{group: "org.apache.kafka", artifact: "connect-json", version: kafkaVersion},
	dep{group: "org.apache.kafka", artifact: "connect-transforms", version: kafkaVersion},
)

// The connector and the converter are plugins: Kafka's own jars stay out of their folders.
var debeziumDeps = []dep{{group: "io.debezium", artifact: "debezium-connector-postgres", version: debeziumVersion,
	exclude: []string{"org.apache.kafka:connect-api", "org.apache.kafka:kafka-clients", "org.slf4j:slf4j-api"}}}

var converterDeps = []dep{{group: "io.apicurio", artifact: "apicurio-registry-utils-converter", version: apicurioVersion,
	exclude: []string{"org.apache.kafka:connect-api", "org.apache.kafka:connect-json", "org.apache.kafka:kafka-clients", "org.slf4j:slf4j-api"}}}

func pom(deps []dep) string {
	var b strings.Builder
	b.WriteString("<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>" +
		"<groupId>local.test</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging><dependencies>\n")
	for _, d := range deps {
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><exclusions>", d.group, d.artifact, d.version)
		for _, e := range d.exclude {
			g, a, _ := strings.Cut(e, ":")
			fmt.Fprintf(&b, "<exclusion><groupId>%s</groupId><artifactId>%s</artifactId></exclusion>", g, a)
		}
		b.WriteString("</exclusions></dependency>\n")
	}
	b.WriteString("</dependencies></project>\n")
	return b.String()
}

var javaMajor = regexp.MustCompile(`version "(\d+)`)

// tools says what is missing to start anything.
func tools(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("run java: %w; install a Java runtime of version 17 or later (Debian: openjdk-17-jre-headless)", err)
	}
	m := javaMajor.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("ask java for its version: it said %q", bytes.TrimSpace(out))
	}
	if n, _ := strconv.Atoi(string(m[1])); n < 17 {
		return fmt.Errorf("java is of version %d; Kafka %s needs 17 or later", n, kafkaVersion)
	}
	return nil
}

// jars gives a folder of the cache with everything that deps need, fetched with Maven if it is not there yet.
func jars(ctx context.Context, cfg Config, name string, deps []dep) (string, error) {
	return cached(ctx, cfg, name, func(ctx context.Context, work, to string) error {
		file := filepath.Join(work, "pom.xml")
		if err := os.WriteFile(file, []byte(pom(deps)), 0o600); err != nil {
			return err
		}
		return maven(ctx, work, "-f", file, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+to)
	})
}

// registryDir gives the unpacked registry.
func registryDir(ctx context.Context, cfg Config) (string, error) {
	return cached(ctx, cfg, "registry-"+apicurioVersion, func(ctx context.Context, work, to string) error {
		if err := maven(ctx, work, "dependency:copy", "-Dartifact=io.apicurio:apicurio-registry-app:"+apicurioVersion+":tar.gz:all", "-DoutputDirectory="+work); err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, "tar", "-xzf", filepath.Join(work, "apicurio-registry-app-"+apicurioVersion+"-all.tar.gz"), "-C", to).CombinedOutput()
		if err != nil {
			return fmt.Errorf("unpack the registry: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// cached gives a folder of the cache; fill makes it. It appears under its name in one step, so that half of it is never used.
func cached(ctx context.Context, cfg Config, name string, fill func(ctx context.Context, work, to string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	unlock, err := lock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	began := time.Now()
	cfg.say("fetching %s with Maven", name)
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	to := filepath.Join(work, "content")
	if err := fill(ctx, work, to); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	if err := os.Rename(to, dir); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	cfg.say("fetched %s: %d MB in %s", name, size(dir)>>20, time.Since(began).Round(100*time.Millisecond))
	return dir, nil
}

func maven(ctx context.Context, dir string, args ...string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return errors.New("mvn is not on the PATH; install Maven (Debian: maven)")
	}
	cmd := exec.CommandContext(ctx, "mvn", append([]string{"-B", "-q"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("mvn: %w; it said:\n%s", err, strings.Join(lines[:min(10, len(lines))], "\n"))
	}
	return nil
}

func size(dir string) (n int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Versions are those of the parts started here, by the name of the part.
func Versions() map[string]string {
	return map[string]string{"kafka": kafkaVersion, "debezium": debeziumVersion, "apicurio": apicurioVersion}
}
