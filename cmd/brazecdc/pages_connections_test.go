package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector/braze/brazesim"
	"brazecdc/connector/config"
	"brazecdc/connector/sourcetest"
	"brazecdc/connector/web"
)

// pagesProgram is a program whose configuration lies in a folder of its own, and what the pages of the connections ask of it.
func pagesProgram(t *testing.T) (*program, *connectionsViews) {
	t.Helper()
	p := &program{terminal: terminal{in: strings.NewReader(""), out: new(output), err: new(output)}, config: filepath.Join(shortDir(t), "shop.yaml"), exit: func(int) {}}
	return p, &connectionsViews{p: p, x: &pageParts{log: p.quietLog()}}
}

func TestPagesSecrets(t *testing.T) {
	p, v := pagesProgram(t)
	ref, err := v.KeepSecret("braze-api-key", "geheim")
	if err != nil {
		t.Fatal(err)
	}
	if ref != "${file:shop.secrets/braze-api-key-1}" {
		t.Errorf("the reference is %s", ref)
	}
	t.Run("only this account reads them", func(t *testing.T) {
		folder := filepath.Join(filepath.Dir(p.config), "shop.secrets")
		for path, want := range map[string]os.FileMode{folder: 0o700, filepath.Join(folder, "braze-api-key-1"): 0o600, filepath.Join(folder, ".gitignore"): 0o600} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
				t.Errorf("%s has mode %o, want %o", path, got, want)
			}
		}
	})
	t.Run("the configuration reads them beside itself", func(t *testing.T) {
		cfg, _ := v.Look([]byte("braze: {endpoint: https://rest.fra-01.braze.eu, api_key: \"" + ref + "\"}\n"))
		if cfg == nil || cfg.Braze.APIKey.Reveal() != "geheim" {
			t.Errorf("the key is not read from %s", ref)
		}
	})
	t.Run("a new one does not change what an older file names", func(t *testing.T) {
		next, err := v.KeepSecret("braze-api-key", "neu")
		if err != nil || next == ref {
			t.Errorf("%s, %v", next, err)
		}
	})
	t.Run("their state is told, never their content", func(t *testing.T) {
		t.Setenv("SET_HERE", "x")
		if s := v.Secret(ref); !s.Set || s.Missing || s.At.IsZero() {
			t.Errorf("%+v", s)
		}
		if s := v.Secret("${file:shop.secrets/gone}"); !s.Missing {
			t.Errorf("%+v", s)
		}
		if s := v.Secret("${SET_HERE}"); s.Variable != "SET_HERE" || s.Missing {
			t.Errorf("%+v", s)
		}
		if s := v.Secret("${NOT_SET_HERE}"); !s.Missing {
			t.Errorf("%+v", s)
		}
		if s := v.Secret("geheim"); !s.Literal {
			t.Errorf("%+v", s)
		}
	})
	t.Run("one that nothing names any more goes, and nothing else", func(t *testing.T) {
		other := filepath.Join(filepath.Dir(p.config), "shop.secrets", "mine.txt")
		if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		next, err := v.KeepSecret("database-password", "y")
		if err != nil {
			t.Fatal(err)
		}
		v.ForgetSecrets([][]byte{[]byte("api_key: " + ref), nil})
		if v.Secret(next).Missing {
			t.Error("one that was just written is gone")
		}
		old := time.Now().Add(-time.Hour)
		for _, name := range []string{"database-password-1", "braze-api-key-1", "mine.txt"} {
			if err := os.Chtimes(filepath.Join(filepath.Dir(other), name), old, old); err != nil {
				t.Fatal(err)
			}
		}
		v.ForgetSecrets([][]byte{[]byte("api_key: " + ref), nil})
		if _, err := os.Stat(other); err != nil || v.Secret(ref).Missing || !v.Secret(next).Missing {
			t.Errorf("%v, %+v, %+v", err, v.Secret(ref), v.Secret(next))
		}
	})
	t.Run("names do not lead elsewhere", func(t *testing.T) {
		for _, name := range []string{"../x", "", "a/b", "A"} {
			if ref, err := v.KeepSecret(name, "x"); err == nil {
				t.Errorf("%q gave %s", name, ref)
			}
		}
	})
	t.Run("a folder that can't be written is said, without the secret", func(t *testing.T) {
		if os.Geteuid() == 0 {
			p, v := pagesProgram(t)
			if err := os.WriteFile(filepath.Join(filepath.Dir(p.config), "shop.secrets"), nil, 0o600); err != nil { // root writes into any folder
				t.Fatal(err)
			}
			if _, err := v.KeepSecret("braze-api-key", "geheim"); err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%v", err)
			}
			return
		}
		p, v := pagesProgram(t)
		if err := os.Chmod(filepath.Dir(p.config), 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := v.KeepSecret("braze-api-key", "geheim"); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v", err)
		}
	})
}

func TestPagesProbeSource(t *testing.T) {
	t.Parallel()
	text := func(url string) []byte {
		return []byte("version: 1\nsource: {time_zone: UTC, postgres: {url: \"" + url + "\", slot: s, publication: p}}\n")
	}
	t.Run("each check by itself, and what will be created", func(t *testing.T) {
		b := newBench(t, plainModel)
		_, v := pagesProgram(t)
		probe := v.ProbeSource(t.Context(), text(b.url))
		var seen []string
		for _, c := range probe.Checks {
			seen = append(seen, c.About)
			if c.Level == web.CheckFail {
				t.Errorf("%+v", c)
			}
		}
		for _, want := range []string{"version", "wal_level", "replication", "slots", "senders", "slot", "publication", "stream"} {
			if !slices.Contains(seen, want) {
				t.Errorf("%s was not looked at; there are %v", want, seen)
			}
		}
		if len(probe.Creates) != 2 || probe.Creates[0].Exists || probe.Creates[1].Name != "s" {
			t.Errorf("creates %+v", probe.Creates)
		}
		if v.LastSource(text(b.url)) != probe || v.LastSource(text(b.url+"?application_name=x")) != nil {
			t.Error("the result is remembered for other settings, or not at all")
		}
	})
	t.Run("a role without rights gets the SQL to copy", func(t *testing.T) {
		b := newBench(t, plainModel)
		b.exec(`CREATE ROLE probe_reader LOGIN PASSWORD 'geheim'`)
		t.Cleanup(func() { _, _ = b.db.Exec(context.Background(), `DROP ROLE probe_reader`) })
		_, v := pagesProgram(t)
		at := strings.Index(b.url, "@")
		probe := v.ProbeSource(t.Context(), text("postgres://probe_reader:geheim"+b.url[at:]))
		i := slices.IndexFunc(probe.Checks, func(c web.Check) bool { return c.About == "replication" })
		if i < 0 || probe.Checks[i].Level != web.CheckFail || !strings.Contains(probe.Checks[i].Fix, "WITH REPLICATION") {
			t.Errorf("%+v", probe.Checks)
		}
		for _, c := range probe.Checks {
			if strings.Contains(c.Text+c.Fix, "geheim") {
				t.Errorf("the password stands in %+v", c)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		_, v := pagesProgram(t)
		probe := v.ProbeSource(t.Context(), text("postgres://shop:geheim@127.0.0.1:1/shop"))
		if len(probe.Checks) != 1 || probe.Checks[0].About != "reachable" || probe.Worst() != web.CheckFail || strings.Contains(probe.Checks[0].Text, "geheim") {
			t.Errorf("%+v", probe.Checks)
		}
	})
	t.Run("faults of the settings come first", func(t *testing.T) {
		_, v := pagesProgram(t)
		if probe := v.ProbeSource(t.Context(), text("mysql://x")); probe.Worst() != web.CheckFail || probe.Checks[0].About != "settings" {
			t.Errorf("%+v", probe.Checks)
		}
		if probe := v.ProbeSource(t.Context(), []byte("- no\n- settings")); probe.Worst() != web.CheckFail {
			t.Errorf("%+v", probe.Checks)
		}
	})
	t.Run("brokers and topics", func(t *testing.T) {
		_, v := pagesProgram(t)
		if probe := v.ProbeSource(t.Context(), []byte("version: 1\nsource: {time_zone: UTC, kafka: {brokers: [\"127.0.0.1:1\"]}}\n")); probe.Worst() != web.CheckFail || probe.Checks[0].About != "brokers" {
			t.Errorf("%+v", probe.Checks)
		}
	})
}

func TestPagesProbeTopics(t *testing.T) {
	t.Parallel()
	b, producer := newTopicBench(t, 2, topicModel)
	produce(t, producer, debezium("c", "u-1", "free", 1))
	_, v := pagesProgram(t)
	brokers := strings.Join(producer.OptValue("SeedBrokers").([]string), `", "`)
	probe := v.ProbeSource(t.Context(), []byte("version: 1\nsource: {time_zone: UTC, kafka: {brokers: [\""+brokers+"\"], group: g}}\n"))
	i := slices.IndexFunc(probe.Topics, func(topic web.SourceTopic) bool { return topic.Name == "shop.users" })
	if i < 0 || probe.Topics[i].Format != "Debezium JSON" || probe.Topics[i].Partitions != 2 || probe.Topics[i].Records != 1 || probe.Worst() == web.CheckFail {
		t.Errorf("%s: %+v", b.dir, probe)
	}
}

func TestPagesProbeBraze(t *testing.T) {
	t.Parallel()
	sim := brazesim.New(brazesim.Config{APIKey: testKey})
	endpoint, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	t.Cleanup(func() { sourcetest.NothingRefused(t, sim.Unasked(), checkProbes...) })
	text := func(endpoint, key string) []byte {
		return []byte("version: 1\nbraze: {workspace: w, endpoint: \"" + endpoint + "\", api_key: \"" + key + "\"}\n")
	}
	_, v := pagesProgram(t)
	t.Run("permissions by mode", func(t *testing.T) {
		probe := v.ProbeBraze(t.Context(), text(endpoint, testKey))
		if probe.Fault != "" || !probe.Grants("sync") || len(probe.Permissions) < 8 {
			t.Errorf("%+v", probe)
		}
	})
	t.Run("a wrong key", func(t *testing.T) {
		probe := v.ProbeBraze(t.Context(), text(endpoint, "not-the-key"))
		if !probe.Refused || probe.Grants("enrich") {
			t.Errorf("%+v", probe)
		}
		for _, p := range probe.Permissions {
			if strings.Contains(p.Detail, "not-the-key") {
				t.Errorf("the key stands in %+v", p)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		if probe := v.ProbeBraze(t.Context(), text("http://127.0.0.1:1", "k")); probe.Fault == "" || probe.Refused {
			t.Errorf("%+v", probe)
		}
	})
	t.Run("plain http elsewhere is not even tried", func(t *testing.T) {
		if probe := v.ProbeBraze(t.Context(), text("http://rest.fra-01.braze.eu", "k")); probe.Fault == "" || len(probe.Permissions) > 0 {
			t.Errorf("%+v", probe)
		}
	})
}

func TestPagesInstances(t *testing.T) {
	for _, i := range config.Instances() {
		if !strings.HasPrefix(i.Dashboard, "https://dashboard") || !strings.HasPrefix(i.Host, "rest.") || strings.HasSuffix(i.Dashboard, ".eu") != strings.HasSuffix(i.Host, ".eu") {
			t.Errorf("%+v", i)
		}
	}
}
