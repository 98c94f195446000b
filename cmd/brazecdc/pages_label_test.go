package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestShownWorkspace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "brazecdc.yaml")
	p := &program{config: file, vars: map[string]string{"BRAZE_WORKSPACE": "production", "BRAZE_API_KEY": "s3cr3t"}}
	for _, c := range []struct{ written, works, want string }{
		{"staging", "", "staging"},
		{"staging", "production", "production"}, // the file was changed since the start
		{"${BRAZE_WORKSPACE}", "", "production"},
		{"${BRAZE_WORKSPACE}", "production", "production"},
		{"${NO_WORKSPACE}", "", "${NO_WORKSPACE}"},
		{"${BRAZE_API_KEY}", "", "${BRAZE_API_KEY}"},
		{"${BRAZE_API_KEY}", "s3cr3t", "${BRAZE_API_KEY}"},
		{"${BRAZE_WORKSPACE} ${BRAZE_API_KEY}", "production s3cr3t", "${BRAZE_WORKSPACE} ${BRAZE_API_KEY}"},
		{"${file:workspace}", "s3cr3t", "${file:workspace}"},
	} {
		if err := os.WriteFile(file, []byte("braze: { workspace: \""+c.written+"\" }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.shownWorkspace(c.works); got != c.want {
			t.Errorf("%q, which works as %q, is shown as %q, not %q", c.written, c.works, got, c.want)
		}
	}
}
