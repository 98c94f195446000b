package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestBadFlags(t *testing.T) {
	t.Setenv("BRAZESIM_API_KEY", "")
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "--api-key is missing"},
		{"--api-key k --objects 76", "--objects 76"},
		{"--api-key k --rate-style often", `--rate-style "often"`},
		{"--api-key k --apply-delay soon", "apply-delay"},
		{"--api-key k --apply-delay -1s", "must not be negative"},
		{"--api-key k --rate-window 0s", "--rate-window"},
		{"--api-key k --max-body 0", "--max-body"},
		{"--api-key k --listen x", "listen"},
		{"--api-key k serve", `"serve"`},
		{"--api-key k --catalog shops:city", "city=string"},
		{"--api-key k --catalog shops:city=text", "invalid-field-types"},
		{"--api-key k --catalog my.shops:city=string", "invalid-catalog-name"},
		{"--nope", "-nope"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
			t.Errorf("%q: exit %d, %s; want 2 with %q", c.args, code, errs.String(), c.want)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &out, &errs); code != exitOK {
		t.Fatalf("exit %d %s", code, errs.String())
	}
	for _, name := range []string{"listen", "api-key", "apply-delay", "delete-delay", "rate-style", "rate-limit", "rate-window", "objects", "max-body",
		"all-invalid-400", "error-constants", "strict-times", "require-export-fields", "seed", "grace", "version", "catalog"} {
		if !strings.Contains(out.String(), "--"+name) {
			t.Errorf("the manual lacks --%s", name)
		}
	}
	out.Reset()
	if code := run(t.Context(), []string{"--version"}, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), "brazesim ") {
		t.Errorf("--version: exit %d %s", code, out.String())
	}
}

func TestServesUntilStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pr, pw := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--listen", "127.0.0.1:0", "--api-key", "k"}, pw, &errs)
		pw.Close()
	}()
	lines := bufio.NewScanner(pr)
	if !lines.Scan() {
		t.Fatalf("nothing printed: %s", errs.String())
	}
	url := regexp.MustCompile(`http://\S+`).FindString(lines.Text())
	if strings.Contains(lines.Text(), " k ") || url == "" {
		t.Fatalf("first line %q", lines.Text())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/users/track", strings.NewReader(`{"attributes":[{"external_id":"u"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer k")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("X-RateLimit-Limit") != "3000" {
		t.Errorf("answer %d with limit %q", resp.StatusCode, resp.Header.Get("X-RateLimit-Limit"))
	}
	stop()
	if !lines.Scan() || !strings.Contains(lines.Text(), "1 requests, 1 objects") {
		t.Errorf("last line %q", lines.Text())
	}
	if c := <-code; c != exitOK {
		t.Errorf("exit %d %s", c, errs.String())
	}
}

func TestAddressInUse(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--listen", "256.0.0.1:1", "--api-key", "k"}, &out, &errs); code != exitError || !strings.Contains(errs.String(), "256.0.0.1:1") {
		t.Errorf("exit %d %s", code, errs.String())
	}
}
