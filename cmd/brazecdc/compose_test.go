package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"brazecdc/connector/config"
)

func TestCompose(t *testing.T) {
	t.Run("its configuration loads without faults, warnings or settings for later", func(t *testing.T) {
		env := map[string]string{"BRAZE_API_KEY": "k", "DATABASE_URL": "postgres://brazecdc@postgres/shop"}
		cfg, err := config.Load("compose/brazecdc.yaml", func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range append(config.Unsupported(cfg), cfg.Warnings...) {
			t.Error(f.Error())
		}
	})
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: "../..", ConfigFiles: []types.ConfigFile{{Filename: "../../docker-compose.yml"}}, Environment: types.Mapping{}})
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`:[0-9]+\.[0-9]+[^:]*$|@sha256:[0-9a-f]{64}$`)
	needed := map[string]bool{}
	for _, s := range project.Services {
		for name := range s.DependsOn {
			needed[name] = true
		}
	}
	if len(project.Services) < 3 {
		t.Errorf("%d services", len(project.Services))
	}
	for name, s := range project.Services {
		t.Run(name, func(t *testing.T) {
			if s.Build == nil && !pinned.MatchString(s.Image) {
				t.Errorf("image %q names no version", s.Image)
			}
			if s.HealthCheck == nil && !needed[name] {
				t.Error("it has no health check, and nobody waits for it")
			}
			for dep, d := range s.DependsOn {
				if want := map[bool]string{true: types.ServiceConditionHealthy, false: types.ServiceConditionStarted}[project.Services[dep].HealthCheck != nil]; d.Condition != want {
					t.Errorf("it waits until %s is %s, want %s", dep, d.Condition, want)
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
		})
	}
	t.Run("the image is built from pinned ones", func(t *testing.T) {
		text, err := os.ReadFile("../../Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			image, ok := strings.CutPrefix(line, "FROM ")
			if image, _, _ = strings.Cut(strings.TrimSpace(image), " "); ok && image != "scratch" && !pinned.MatchString(image) {
				t.Errorf("image %q names no version", image)
			}
		}
	})
}
