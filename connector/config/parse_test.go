package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHostileFiles(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	for name, src := range map[string]string{
		"10 MB":             strings.Repeat("version: 1 # padding\n", 500_000),
		"brackets":          strings.Repeat("[", 1<<19),
		"braces":            strings.Repeat("{a: ", 1<<18),
		"dashes":            strings.Repeat("- ", 1<<19),
		"question marks":    strings.Repeat("? ", 1<<19),
		"anchors":           strings.Repeat("&a ", 1<<18),
		"tags":              strings.Repeat("!a ", 1<<18),
		"aliases multiply":  bomb,
		"many keys":         strings.Repeat("a: b\n", 200_000),
		"quotes":            strings.Repeat("'", 1<<20),
		"nested by lines":   deep(300),
		"anchor in itself":  "version: 1\nmodels: &a [*a]\n",
		"merge of itself":   "version: 1\nmodels: [&a { <<: *a }]\n",
		"only a bom":        "\xef\xbb\xbf",
		"control character": "version: \x1b[31m\n",
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := Parse("f", []byte(src), testEnv, nil)
			var fs Faults
			if !errors.As(err, &fs) || len(fs) == 0 {
				t.Fatalf("want faults, got %v", err)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("%v, %d faults: %.200s", took.Round(time.Millisecond), len(fs), fs[0].Error())
			}
		})
	}
}

func deep(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"emial": "email", "firstName": "first_name", "time-zone": "time_zone", "shoe_size": "", "Email": "email", "": ""} {
		if got := nearest(word, presets); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for in, want := range map[string]time.Duration{"1s": time.Second, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1.5h": 90 * time.Minute} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%s is %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1", "d", "1d1", "-1s", "+1s", "1 s", "106752d", "99999999999999999999d", "1d9999999h"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q is %v, want an error", in, got)
		}
	}
	for in, want := range map[string]int64{"3MiB": 3 << 20, "4MB": 4_000_000, "1.5GiB": 3 << 29, "10B": 10, "1 KiB": 1024} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("%s is %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "MiB", "-1MiB", "NaNMiB", "1e30TiB", "5mib"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%q is %d, want an error", in, got)
		}
	}
}

// FuzzParse holds that no file panics, and that what parses gives faults and places within the file.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.y*ml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal + "    filter: |2\n       a\n    custom: {a: {expr: \"\\x41\\\n b\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		watchdog := time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("parsing hangs on %q", data)) })
		defer watchdog.Stop()
		cfg, err := Parse("f", data, testEnv, testFiles)
		lines := strings.Count(string(data), "\n") + 2
		var fs Faults
		if err != nil && (!errors.As(err, &fs) || fs.Err() == nil) {
			t.Fatalf("an error that is no fault: %v", err)
		}
		for _, x := range fs {
			if x.What == "" || x.Line < 1 || x.Line > lines || x.Column < 1 {
				t.Fatalf("fault without a place: %+v", x)
			}
		}
		if cfg == nil {
			return
		}
		for _, m := range cfg.Models {
			for offset := range len(m.Filter) + 2 {
				if line, column := cfg.Locate(m.Path+".filter", offset); line < 1 || line > lines || column < 1 {
					t.Fatalf("place %d:%d of offset %d", line, column, offset)
				}
			}
		}
	})
}
