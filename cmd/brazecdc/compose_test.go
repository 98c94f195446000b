package main

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"brazecdc/connector/config"
	"brazecdc/connector/kafka/throwaway"
)

var pinnedImage = regexp.MustCompile(`:[0-9]+\.[0-9]+[^:]*$|@sha256:[0-9a-f]{64}$`)

func stackProject(t *testing.T) *types.Project {
	t.Helper()
	details := types.ConfigDetails{WorkingDir: "../..", ConfigFiles: []types.ConfigFile{{Filename: "../../docker-compose.yml"}}, Environment: types.Mapping{}}
	project, err := loader.LoadWithContext(t.Context(), details, loader.WithProfiles([]string{"direct"}))
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func stackConfig(t *testing.T, file string) *config.Config {
	t.Helper()
	env := map[string]string{"BRAZE_API_KEY": "k", "DATABASE_URL": "postgres://brazecdc@postgres/shop"}
	cfg, err := config.Load(file, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func stackConnector(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("compose/connector.json")
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]string
	if err := json.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestCompose(t *testing.T) {
	for _, file := range []string{"compose/kafka.yaml", "compose/postgres.yaml"} {
		t.Run(file+" loads without faults, warnings or settings for later", func(t *testing.T) {
			cfg := stackConfig(t, file)
			for _, f := range cfg.Warnings {
				t.Error(f.Error())
			}
		})
	}
	project := stackProject(t)
	if want := []string{"brazecdc", "brazesim", "connect", "direct", "kafka", "postgres", "register", "registry"}; !slices.Equal(project.ServiceNames(), want) {
		t.Errorf("services %v, want %v", project.ServiceNames(), want)
	}
	for name, s := range project.Services {
		t.Run(name, func(t *testing.T) { wellDefined(t, project, name, s) })
	}
	t.Run("images are built from pinned ones", func(t *testing.T) {
		for _, file := range []string{"../../Dockerfile", "compose/connect/Dockerfile"} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				image, ok := strings.CutPrefix(line, "FROM ")
				if image, _, _ = strings.Cut(strings.TrimSpace(image), " "); ok && image != "scratch" && !pinnedImage.MatchString(image) {
					t.Errorf("%s: image %q names no version", file, image)
				}
			}
		}
	})
}

// wellDefined checks one service.
func wellDefined(t *testing.T, project *types.Project, name string, s types.ServiceConfig) {
	const oneShot = "register"
	if s.Build == nil && !pinnedImage.MatchString(s.Image) {
		t.Errorf("image %q names no version", s.Image)
	}
	if (s.HealthCheck == nil) != (name == oneShot) {
		t.Error("it needs a health check, unless it is there to end")
	}
	for dep, d := range s.DependsOn {
		want := types.ServiceConditionHealthy
		if dep == oneShot {
			want = types.ServiceConditionCompletedSuccessfully
		}
		if d.Condition != want {
			t.Errorf("it waits until %s is %s, want %s", dep, d.Condition, want)
		}
		if other := project.Services[dep]; len(other.Profiles) > 0 {
			t.Errorf("it needs %s, which starts only when asked for", dep)
		}
	}
	for _, p := range s.Ports {
		if p.HostIP != "127.0.0.1" {
			t.Errorf("port %s is open to the network", p.Published)
		}
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			if _, err := os.Stat(v.Source); err != nil {
				t.Error(err)
			}
		}
	}
	if s.Build != nil {
		if _, err := os.Stat(s.Build.Context + "/Dockerfile"); err != nil {
			t.Error(err)
		}
	}
}

// TestComposeSettings holds what the stack's parts are told against what TestRealParts runs: the same versions and settings, places aside.
func TestComposeSettings(t *testing.T) {
	project := stackProject(t)
	versions := throwaway.Versions()
	t.Run("versions", func(t *testing.T) {
		for service, image := range map[string]string{"kafka": "apache/kafka:" + versions["kafka"], "registry": "apicurio/apicurio-registry-mem:" + versions["apicurio"]} {
			if got := project.Services[service].Image; got != image {
				t.Errorf("%s is %s, want %s", service, got, image)
			}
		}
		text, err := os.ReadFile("compose/connect/Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, string(text), "\nFROM apache/kafka:"+versions["kafka"]+"\n")
		for file, version := range map[string]string{"debezium.xml": versions["debezium"], "converter.xml": versions["apicurio"]} {
			if got := pomVersions(t, "compose/connect/"+file); !slices.Equal(got, []string{version}) {
				t.Errorf("%s has %v, want %s", file, got, version)
			}
		}
	})
	t.Run("broker", func(t *testing.T) {
		got := map[string]string{}
		for k, v := range project.Services["kafka"].Environment {
			if name, ok := strings.CutPrefix(k, "KAFKA_"); ok && k != "KAFKA_HEAP_OPTS" {
				got[strings.ToLower(strings.ReplaceAll(name, "_", "."))] = *v
			}
		}
		places := []string{"controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs"}
		sameSettings(t, got, throwaway.BrokerSettings(), places)
	})
	t.Run("worker", func(t *testing.T) {
		text, err := os.ReadFile("compose/connect/worker.properties")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for line := range strings.Lines(string(text)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			got[k] = v
		}
		places := []string{"bootstrap.servers", "listeners", "rest.advertised.host.name", "rest.advertised.port", "plugin.path"}
		sameSettings(t, got, throwaway.WorkerSettings(), places)
	})
	t.Run("database", func(t *testing.T) {
		if !slices.Contains(project.Services["postgres"].Command, "wal_level=logical") {
			t.Error("Postgres is not told wal_level=logical")
		}
	})
	t.Run("what one part writes the next one reads", func(t *testing.T) {
		c := stackConnector(t)
		var topics []string
		for table := range strings.SplitSeq(c["table.include.list"], ",") {
			topics = append(topics, c["topic.prefix"]+"."+table)
		}
		cfg := stackConfig(t, "compose/kafka.yaml")
		if got := topicNames(cfg); !slices.Equal(got, topics) {
			t.Errorf("brazecdc reads %v, Debezium writes %v", got, topics)
		}
		if got := []string(project.Services["register"].Command); !slices.Equal(got, topics) {
			t.Errorf("register waits for %v, Debezium writes %v", got, topics)
		}
		advertised := project.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"]
		if got := cfg.Source.Kafka.Brokers; len(got) != 1 || advertised == nil || *advertised != "PLAINTEXT://"+got[0] {
			t.Errorf("brazecdc asks %v, the broker says %v", got, advertised)
		}
	})
}

// sameSettings compares settings, those of places aside, which must be set.
func sameSettings(t *testing.T, got, want map[string]string, places []string) {
	t.Helper()
	for _, k := range places {
		if got[k] == "" {
			t.Errorf("%s is not set", k)
		}
		delete(got, k)
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Errorf("%s is %q in the stack and %q in the tests", k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			t.Errorf("%s is set in the stack only", k)
		}
	}
}

// pomVersions are the versions of a POM's dependencies.
func pomVersions(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pom struct {
		Versions []string `xml:"dependencies>dependency>version"`
	}
	if err := xml.Unmarshal(text, &pom); err != nil {
		t.Fatal(err)
	}
	return pom.Versions
}
