package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze"
	"brazecdc/connector/config"
	"brazecdc/connector/history"
)

// otherWords are keys that would say what another key of the log says already.
var otherWords = map[string]string{
	"error": "err", "fix": "hint", "took": "duration_ms", "duration": "duration_ms", "elapsed": "duration_ms", "hold": "duration_ms", "silent": "duration_ms",
	"attempts": "attempt", "tries": "attempt", "size": "bytes", "requestID": "request_id", "status_code": "status", "user_id": "user", "external_id": "user",
	"lsn": "offset", "position": "offset", "slot": "stream", "n": "count", "rows": "count",
}

// TestLogKeys reads the program's own source: a line's keys are part of what operators build on.
func TestLogKeys(t *testing.T) {
	t.Parallel()
	lines := 0
	walkLogCalls(t, func(where string, method string, args []ast.Expr) {
		lines++
		if method != "With" {
			args = args[1:]
		}
		for i := 0; i+1 < len(args); i += 2 {
			key, ok := literal(args[i])
			if !ok {
				return // an attribute, or a list that goes on elsewhere
			}
			if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(key) {
				t.Errorf("%s: the key %q is not made of small letters and _", where, key)
			}
			if better := otherWords[key]; better != "" {
				t.Errorf("%s: the key is %s here, and %s elsewhere", where, key, better)
			}
			if component, ok := literal(args[i+1]); ok && key == "component" && !slices.Contains(logComponents, component) {
				t.Errorf("%s: component %s can't be given a level of its own", where, component)
			}
		}
	})
	if lines < 100 {
		t.Fatalf("%d lines were found: the test looks past them", lines)
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// walkLogCalls calls see for each call of a logger's method in the sources of the program.
func walkLogCalls(t *testing.T, see func(where, method string, args []ast.Expr)) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "With"}, sel.Sel.Name) || len(call.Args) == 0 {
				return true
			}
			of := ""
			switch x := sel.X.(type) {
			case *ast.Ident:
				of = x.Name
			case *ast.SelectorExpr:
				of = x.Sel.Name
			}
			if strings.EqualFold(of, "log") || strings.EqualFold(of, "logger") {
				see(files.Position(call.Pos()).String(), sel.Sel.Name, call.Args)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogComponent(t *testing.T) {
	t.Parallel()
	log, _, out := testLog(slog.LevelInfo)
	log.Info("one")
	log.With("component", "braze").Info("two")
	log.Info("three", "component", "web")
	for line, want := range map[string]string{"one": "component=process", "two": "component=braze", "three": "component=web"} {
		for said := range strings.Lines(out.String()) {
			if strings.Contains(said, "msg="+line) && (!strings.Contains(said, want) || strings.Count(said, "component=") != 1) {
				t.Errorf("%s", said)
			}
		}
	}
}

func TestLogFoldsByTime(t *testing.T) {
	t.Parallel()
	log, l, out := testLog(slog.LevelInfo)
	now, due := time.Now(), func() {}
	l.fold.now = func() time.Time { return now }
	l.fold.after = func(d time.Duration, f func()) {
		if d <= 0 || d > foldWithin {
			t.Errorf("it is told after %s", d)
		}
		due = f
	}
	for i := range 413 {
		log.Warn("call failed", "endpoint", "/users/track", "request_id", fmt.Sprint("r-", i), "err", errors.New("POST /users/track: 503 (request id r-"+strconv.Itoa(i)+")"))
	}
	if n := strings.Count(out.String(), "call failed"); n != 1 {
		t.Fatalf("%d lines, since each has another request id:\n%s", n, out)
	}
	now = now.Add(foldWithin)
	due()
	if !strings.Contains(out.String(), `repeated="and 412 more in 60 s"`) {
		t.Errorf("nothing is told while nothing else is logged:\n%s", out)
	}
}

func TestLogCalls(t *testing.T) {
	t.Parallel()
	log, l, out := testLog(slog.LevelInfo)
	see := calls(log.With("component", "braze"))
	info := braze.CallInfo{Endpoint: "/users/track", Objects: 3, Bytes: 210, Status: 201, Took: 12 * time.Millisecond, RequestID: "r-1"}
	see(info)
	info.Err = &connector.RetryableError{Throttled: true, Why: connector.RetryThrottled, Err: errors.New("429")}
	see(info)
	if out.String() != "" {
		t.Errorf("calls that went well are told:\n%s", out)
	}
	info.Status, info.Err = 503, &connector.RetryableError{Why: connector.RetryServer, Err: errors.New("down")}
	see(info)
	for _, part := range []string{"level=WARN", "component=braze", "endpoint=/users/track", "status=503", "count=3", "bytes=210", "duration_ms=12", "request_id=r-1", "reason=server", "err=down"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it lacks %s:\n%s", part, out)
		}
	}
	l.set("braze", slog.LevelDebug, time.Now().Add(time.Minute))
	info.Status, info.Err = 201, nil
	see(info)
	if !strings.Contains(out.String(), "level=DEBUG") {
		t.Errorf("with debug each call is told:\n%s", out)
	}
}

func TestLogUser(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Models: []connector.Model{{Name: "users"}}}
	cfg.Braze.APIKey = testKey
	log, l, out := testLog(slog.LevelInfo)
	l.set("outcome", slog.LevelDebug, time.Now().Add(time.Minute))
	u := connector.User{ID: "someone@example.com"}
	w := outcomes(cfg, log)
	w.see(connector.Seen{Change: &connector.Change{Key: connector.Key{Table: "public.users"}, Op: connector.Update, ID: connector.ChangeID{Commit: 42}}, Stream: "slot/x", Outcome: "accepted",
		Effect: &connector.Effect{User: u}})
	if !w.now() || strings.Contains(out.String(), u.ID) {
		t.Errorf("the user is told:\n%s", out)
	}
	for _, part := range []string{"user=" + history.Ref([]byte(cfg.Braze.APIKey.Reveal()), u), "stream=slot/x", "offset=0/2A", "table=public.users", "op=update"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it lacks %s:\n%s", part, out)
		}
	}
}
