package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	cfg := parse(t, strings.Replace(minimal, `"${BRAZE_API_KEY}"`, "literal-key-5678", 1))
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("start", "config", cfg, "key", cfg.Braze.APIKey, "source", cfg.Source.Postgres)
	text := slog.New(slog.NewTextHandler(&out, nil))
	text.Info("start", "config", cfg, "braze", cfg.Braze, "source", cfg.Source)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+verb, cfg, *cfg, cfg.Braze, cfg.Source.Postgres, cfg.Braze.APIKey)
	}
	js, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	out.WriteString(cfg.Warnings.Error())
	for _, secret := range []string{"literal-key-5678", "hunter2", fmt.Sprintf("%x", "literal-key-5678")} {
		if i := bytes.Index(out.Bytes(), []byte(secret)); i >= 0 {
			t.Errorf("%s is printed: …%s", secret, out.Bytes()[max(0, i-80):i+len(secret)])
		}
	}
	if !strings.Contains(out.String(), "workspace staging at rest.fra-01.braze.eu, source postgres slot brazecdc, 1 models") {
		t.Errorf("the config does not describe itself")
	}
}

func TestFaultsDoNotShowWhatVariablesHold(t *testing.T) {
	for _, setting := range []string{"braze.endpoint", "web.listen", "log.level", "source.time_zone", "source.postgres.slot", "load_mark"} {
		src := "version: 1\n"
		parts := strings.Split(setting, ".")
		for i, p := range parts {
			src += strings.Repeat(" ", i) + p + ":"
			if i < len(parts)-1 {
				src += "\n"
			}
		}
		src += " ${LEAK}\n"
		env := func(string) (string, bool) { return " hunter2://x y", true }
		_, err := Parse("f", []byte(src), env, nil)
		var fs Faults
		if !errors.As(err, &fs) {
			t.Fatalf("%s: %v", setting, err)
		}
		if strings.Contains(fs.Error(), "hunter2") {
			t.Errorf("%s shows the variable's value:\n%v", setting, fs)
		}
		if !strings.Contains(fs.Error(), setting) {
			t.Errorf("%s is not named:\n%v", setting, fs)
		}
	}
}

func TestExpand(t *testing.T) {
	x := expander{testEnv, testFiles}
	for in, want := range map[string]string{
		"": "", "a": "a", "$": "$", "a$b": "a$b", "$$": "$", "$${N}": "${N}", "${N}": "12", "a${N}b${EMPTY}c": "a12bc", "$$$": "$$",
		"${file:/run/secrets/braze}": "key-from-file", "^a$": "^a$",
	} {
		got, _, _, problems := x.expand(in)
		if got != want || len(problems) > 0 {
			t.Errorf("%q gives %q %v, want %q", in, got, problems, want)
		}
	}
	for in, want := range map[string]string{
		"${NOPE}": "variable NOPE is not set", "${": "without its }", "${N:-5}": "not a variable", "${file:/nope}": "/nope", "${file:}": "no file", "${}": "not a variable",
	} {
		_, _, _, problems := x.expand(in)
		if len(problems) != 1 || !strings.Contains(problems[0].what, want) {
			t.Errorf("%q gives %v, want %q", in, problems, want)
		}
	}
}

func TestSecretFileIsBounded(t *testing.T) {
	big := expander{readFile: func(string) ([]byte, error) { return make([]byte, maxSecretFile+1), nil }}
	if _, _, _, problems := big.expand("${file:/dev/zero}"); len(problems) != 1 || !strings.Contains(problems[0].what, "larger") {
		t.Errorf("got %v", problems)
	}
	if data, err := readSecret("/dev/zero"); err != nil || len(data) != maxSecretFile+1 {
		t.Errorf("read %d bytes, %v", len(data), err)
	}
	if _, err := readSecret("/no/such/file"); err == nil || strings.Contains(err.Error(), "open") {
		t.Errorf("got %v", err)
	}
}

func TestLiteralPassword(t *testing.T) {
	for raw, want := range map[string]bool{
		"${DATABASE_URL}": false, "postgres://u@h/d": false, "postgres://u:${PW}@h/d": false, "postgres://u:p@h/d": true, "postgres://u:a${X}@h/d": true,
		"host=h password=p": true, "host=h password=${PW}": false, "host=h password='a b'": true, "host=h": false, "postgres://h/d?password=x": true,
	} {
		if literalPassword(raw) != want {
			t.Errorf("%s: want %v", raw, want)
		}
	}
}
