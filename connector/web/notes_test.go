package web

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// converted finds the reasons with which a conversion of the mapping refuses a value.
var converted = regexp.MustCompile(`return \w+, ("not [^"]+"), false`)

func TestNotesAreThoseOfTheMapping(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "mapping", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for reason := range noteKeys {
		if !strings.Contains(all.String(), strconv.Quote(reason)) {
			t.Errorf("the mapping no longer says %q", reason)
		}
	}
	found := converted.FindAllStringSubmatch(all.String(), -1)
	for _, m := range found {
		if reason, _ := strconv.Unquote(m[1]); noteKeys[reason] == "" {
			t.Errorf("the pages have no text for %q", reason)
		}
	}
	if len(found) < 10 {
		t.Errorf("only %d reasons were found", len(found))
	}
}
