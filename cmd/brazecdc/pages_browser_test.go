package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"brazecdc/connector/sourcetest"
)

// browser is a tab of a Chromium of its own, on the pages of one process. It notes what the pages must not do: write an error to the console, ask another
// host for something.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string // http://host:port

	mu     sync.Mutex
	faults []string
}

// newBrowser starts a Chromium that speaks a language (en or de). The test is skipped where there is none, and fails with CI=true.
func newBrowser(t *testing.T, base, lang string) *browser {
	t.Helper()
	needsProgram(t, "chromium", "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.Flag("lang", lang), chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses root otherwise
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx, base: strings.TrimSuffix(base, "/")}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": json.RawMessage(`"` + lang + `"`)}}); err != nil {
		t.Fatal(err)
	}
	b.size(1280, 900)
	b.dark(false)
	return b
}

// note sees every event of the tab, in their order.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		u := e.Request.URL
		if !strings.HasPrefix(u, b.base+"/") && !strings.HasPrefix(u, "data:") && u != "about:blank" {
			b.faults = append(b.faults, "a request to "+u)
		}
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "an exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.faults = append(b.faults, fmt.Sprintf("the console: %v", e.Args))
		}
	}
}

// quiet fails the test where a page did what it must not since the last call.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("the page made %s", f)
	}
	b.faults = nil
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeoutCause(b.ctx, patience, fmt.Errorf("not done after %s", patience))
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed-" + b.t.Name())
		b.t.Fatalf("%s: %v (%v), on the page\n%s", what, err, context.Cause(ctx), b.text())
	}
}

// size sets the window's width and height.
func (b *browser) size(width, height int64) {
	b.t.Helper()
	b.do("set the size", chromedp.EmulateViewport(width, height))
}

// dark makes the browser prefer dark pages, or light ones.
func (b *browser) dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	// Without motion the colours are the new ones at once.
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a page by its path.
func (b *browser) open(path string) {
	b.t.Helper()
	b.steady(func() error { return chromedp.Do(b.ctx, chromedp.Navigate(b.base+path)) })
}

// steady does again what a page that was being left has cut short: the browser answers such calls with an error.
func (b *browser) steady(f func() error) {
	b.t.Helper()
	var err error
	sourcetest.Poll(patience, 20*time.Millisecond, func() bool {
		err = f()
		return err == nil || b.ctx.Err() != nil || !leaving.MatchString(err.Error())
	})
	if err != nil {
		b.shot("failed-" + b.t.Name())
		b.t.Fatalf("%v, on the page\n%s", err, b.text())
	}
}

var leaving = regexp.MustCompile(`navigated or closed|ERR_ABORTED|context was destroyed|Cannot find context|Cannot find default execution context`)

// path is where the browser is.
func (b *browser) path() string {
	b.t.Helper()
	var where string
	b.steady(func() (err error) { where, err = chromedp.Run(b.ctx, chromedp.Location()); return err })
	u, err := url.Parse(where)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}

// click presses the first element of a CSS selector once it is visible.
func (b *browser) click(css string) {
	b.t.Helper()
	b.do("click "+css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

// fill puts a text into a field, in place of what stands there, as keys would.
func (b *browser) fill(css, value string) {
	b.t.Helper()
	b.do("fill "+css, chromedp.WaitVisible(chromedp.CSS(css)))
	// Clear would take away only what the page came with, not what was typed since.
	eval[bool](b, fmt.Sprintf(`(() => { const i = document.querySelector(%q); i.value = ''; i.dispatchEvent(new Event('input', {bubbles: true})); return true; })()`, css))
	b.do("fill "+css, chromedp.SendKeys(chromedp.CSS(css), value))
}

// choose picks an option of a select by its value.
func (b *browser) choose(css, value string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(() => { const s = document.querySelector(%q); s.value = %q; s.dispatchEvent(new Event('input', {bubbles: true}));
		s.dispatchEvent(new Event('change', {bubbles: true})); return true; })()`, css, value))
}

// press sends keys to the element that has the focus.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do("press keys", chromedp.KeyEvent(keys))
}

// see waits until the page shows each text.
func (b *browser) see(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		eventually(b.t, fmt.Sprintf("the page at %s shows %q; it shows\n%s", b.path(), text, b.text()), func() bool { return strings.Contains(b.text(), text) })
	}
}

// gone waits until the page does not show a text any more.
func (b *browser) gone(text string) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("the page no longer shows %q", text), func() bool { return !strings.Contains(b.text(), text) })
}

// text is what the page shows, empty while it changes.
func (b *browser) text() string {
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ''`))
	if err != nil {
		return ""
	}
	return s
}

// eval gives the value of an expression on the page. It may be evaluated twice, where the page was being left.
func eval[T any](b *browser, script string) T {
	b.t.Helper()
	var v T
	b.steady(func() (err error) {
		if v, err = chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise)); err != nil {
			err = fmt.Errorf("evaluate %.200s: %w", script, err)
		}
		return err
	})
	return v
}

// fits fails the test where the page is wider than the window.
func (b *browser) fits() {
	b.t.Helper()
	if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		wide := eval[[]string](b, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
			.slice(0, 5).map(e => e.tagName + '.' + e.className)`)
		b.t.Errorf("%s is %d pixels wider than the window: %v", b.path(), over, wide)
	}
}

// shot writes the whole page as a picture into $BRAZECDC_SCREENSHOTS, where that is set.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("BRAZECDC_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), picture, 0o600))
	}
	if err != nil {
		b.t.Errorf("take a picture of the page: %v", err)
	}
}

// axe fails the test where axe-core finds something serious or critical on the page.
func (b *browser) axe() {
	b.t.Helper()
	script := axeSource(b.t)
	if !eval[bool](b, `typeof window.axe === 'object'`) {
		if err := chromedp.Do(b.ctx, chromedp.Evaluate[chromedp.Void](script)); err != nil {
			b.t.Fatalf("load axe-core: %v", err)
		}
	}
	found := eval[[]struct {
		ID, Impact, Help string
		Nodes            []string
	}](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
		.map(v => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 5).map(n => n.html.slice(0, 200) + ' ' + (n.any[0] ? n.any[0].message : ''))})))`)
	for _, f := range found {
		b.t.Errorf("axe-core on %s: %s (%s): %s\n  %s", b.path(), f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n  "))
	}
}

const axeVersion = "4.14.1"

// axeSource gives axe-core's script, which npm fetches into the cache the first time.
var axeSource = func() func(t *testing.T) string {
	var once sync.Once
	var text string
	var err error
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() { text, err = fetchAxe(t.Context()) })
		if err != nil {
			t.Fatalf("fetch axe-core: %v", err)
		}
		return text
	}
}()

func fetchAxe(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "brazecdc", "axe-core-"+axeVersion)
	script := filepath.Join(dir, "package", "axe.min.js")
	if b, err := os.ReadFile(script); err == nil {
		return string(b), nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for _, args := range [][]string{{"npm", "pack", "--silent", "axe-core@" + axeVersion}, {"tar", "-xzf", "axe-core-" + axeVersion + ".tgz"}} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	b, err := os.ReadFile(filepath.Join(work, "package", "axe.min.js"))
	if err != nil {
		return "", err
	}
	// Another process may have been faster; then its copy stands.
	_ = os.Rename(work, dir)
	return string(b), nil
}
