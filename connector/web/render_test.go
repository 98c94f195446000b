package web

import (
	"io/fs"
	"path"
	"strings"
	"testing"
)

// Pages are parsed when they are first shown, so that a fault in one would show only then.
func TestEveryTemplateParses(t *testing.T) {
	sets, err := newPageSets(&Server{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := sets.take(&request{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates: %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(path.Base(f), ".html")
		if name == "layout" || strings.HasSuffix(name, "_parts") {
			continue
		}
		if _, err := set.page(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := set.page("nowhere"); err == nil {
		t.Error("a page without a template is no error")
	}
}
