package draft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector/config"
)

// open is a store over a file in a folder of its own.
func open(t testing.TB, text string) (s *Store, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "brazecdc.yaml")
	if text != "" {
		write(t, file, text)
	}
	return reopen(t, file), file
}

func reopen(t testing.TB, file string) *Store {
	t.Helper()
	s, err := Open(file, filepath.Join(filepath.Dir(file), "data", "pages"))
	if err != nil {
		t.Fatal(err)
	}
	s.Check = func([]byte) error { return nil }
	return s
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s *Store) View {
	t.Helper()
	v, err := s.View()
	must(t, err)
	return v
}

func holds(t *testing.T, file, text string) {
	t.Helper()
	got, err := os.ReadFile(file)
	must(t, err)
	if string(got) != text {
		t.Errorf("the file holds\n%s\nnot\n%s", got, text)
	}
}

func setMode(value string) config.Edit {
	return config.Edit{Path: "models[customers].mode", Value: value}
}

func TestADraftIsKeptAndApplied(t *testing.T) {
	s, file := open(t, sample)
	if v := view(t, s); v.Pending || !v.Exists || string(v.Text) != sample {
		t.Fatalf("%+v", v)
	}
	must(t, s.Edit("ada", setMode("sync")))
	s = reopen(t, file)
	v := view(t, s)
	want := strings.Replace(sample, "additive", "sync", 1)
	if !v.Pending || v.Stale || v.ReadOnly || v.By != "ada" || v.Changed.IsZero() || string(v.Text) != want || string(v.File) != sample {
		t.Fatalf("%+v", v)
	}
	holds(t, file, sample)
	var started string
	must(t, s.Apply(t.Context(), "bob", "we want it", func(_ context.Context, text []byte) error {
		holds(t, file, want)
		started = string(text)
		return nil
	}))
	holds(t, file, want)
	if started != want || view(t, s).Pending {
		t.Errorf("started with %q", started)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	versions, err := s.Versions()
	must(t, err)
	if len(versions) != 2 || versions[0].Who != "bob" || versions[0].Reason != "we want it" || versions[0].N != 2 || len(versions[0].Words) != 2 || !versions[1].OnDisk {
		t.Errorf("%+v", versions)
	}
	must(t, s.GoBack("ada", 1))
	if v := view(t, s); string(v.Text) != sample || !v.Pending {
		t.Errorf("%+v", v)
	}
	must(t, s.Drop("ada"))
	if v := view(t, s); v.Pending {
		t.Errorf("%+v", v)
	}
	if err := s.Apply(t.Context(), "", "", nil); !errors.Is(err, ErrNothing) {
		t.Error(err)
	}
}

func TestAnEditBackToTheFileIsNoDraft(t *testing.T) {
	s, _ := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	must(t, s.Edit("ada", setMode("additive")))
	if v := view(t, s); v.Pending {
		t.Errorf("%+v", v)
	}
}

func TestAStartThatFailsPutsTheOldFileBack(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	fault := errors.New("the column is not there")
	if err := s.Apply(t.Context(), "ada", "", func(context.Context, []byte) error { return fault }); !errors.Is(err, fault) {
		t.Fatal(err)
	}
	holds(t, file, sample)
	if v := view(t, s); !v.Pending {
		t.Error("the draft is gone")
	}
	if versions, err := s.Versions(); err != nil || len(versions) != 1 {
		t.Errorf("%v %v", versions, err)
	}

	s, file = open(t, "")
	must(t, s.Edit("ada", config.Edit{Path: "version", Value: 1}))
	if err := s.Apply(t.Context(), "ada", "", func(context.Context, []byte) error { return fault }); !errors.Is(err, fault) {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file that was not there before is there")
	}
}

func TestAFirstFileIsWritten(t *testing.T) {
	s, file := open(t, "")
	if v := view(t, s); v.Exists || v.Pending || v.ReadOnly {
		t.Fatalf("%+v", v)
	}
	must(t, s.Edit("ada", config.Edit{Path: "version", Value: 1}))
	must(t, s.Apply(t.Context(), "ada", "", nil))
	holds(t, file, config.SchemaLine+"version: 1\n")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestAFileEditedMeanwhileIsNeverOverwritten(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	theirs := strings.Replace(sample, "email: email # checked", "email: mail # of the shop", 1)
	write(t, file, theirs)
	v := view(t, s)
	if !v.Stale || string(v.Base) != sample || string(v.File) != theirs {
		t.Fatalf("%+v", v)
	}
	if err := s.Apply(t.Context(), "ada", "", nil); !errors.Is(err, ErrStale) {
		t.Fatal(err)
	}
	holds(t, file, theirs)
	must(t, s.PutOnTop("ada"))
	v = view(t, s)
	if want := strings.Replace(theirs, "additive", "sync", 1); v.Stale || string(v.Text) != want {
		t.Errorf("%s", v.Text)
	}
	must(t, s.Apply(t.Context(), "ada", "", nil))
	versions, err := s.Versions()
	must(t, err)
	if len(versions) != 3 || !versions[1].OnDisk || versions[0].OnDisk {
		t.Errorf("%+v", versions)
	}
}

func TestADraftThatDoesNotFitTheNewFileSaysSo(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	write(t, file, strings.Replace(sample, "name: customers", "name: people", 1))
	if err := s.PutOnTop("ada"); err == nil || !strings.Contains(err.Error(), "customers") {
		t.Error(err)
	}
	if v := view(t, s); !v.Stale || !v.Pending {
		t.Error("the draft is lost")
	}
}

func TestAFileEditedWhileItIsAppliedIsKept(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	err := s.Apply(t.Context(), "ada", "", func(context.Context, []byte) error {
		write(t, file, "theirs: 1\n")
		return errors.New("no")
	})
	if err == nil || !strings.Contains(err.Error(), "could not be put back") {
		t.Error(err)
	}
	holds(t, file, "theirs: 1\n")
}

func TestATextThatCheckRefusesIsNotWritten(t *testing.T) {
	s, file := open(t, sample)
	s.Check = s.parse
	must(t, s.Edit("ada", setMode("sometimes")))
	err := s.Apply(t.Context(), "ada", "", nil)
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	holds(t, file, sample)
}

func TestTheTwentyNewestVersionsAreKept(t *testing.T) {
	s, _ := open(t, sample)
	for i := range 25 {
		must(t, s.Edit("ada", config.Edit{Path: "braze.attempts", Value: i + 1}))
		must(t, s.Apply(t.Context(), "ada", "", nil))
	}
	versions, err := s.Versions()
	must(t, err)
	if len(versions) != 20 || versions[0].N != 26 || versions[19].N != 7 {
		t.Errorf("%d versions, newest %d", len(versions), versions[0].N)
	}
	if _, err := s.Version(6); err == nil || !strings.Contains(err.Error(), "not kept") {
		t.Error(err)
	}
	if text, err := s.Version(26); err != nil || !bytes.Contains(text, []byte("attempts: 25")) {
		t.Errorf("%s %v", text, err)
	}
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestAFileEditedOnDiskIsAVersion(t *testing.T) {
	_, file := open(t, sample)
	write(t, file, sample+"log: { level: debug }\n")
	s := reopen(t, file)
	versions, err := s.Versions()
	must(t, err)
	if len(versions) != 2 || !versions[0].OnDisk || versions[0].Words[0].Key != "draft.word.setting.set" {
		t.Errorf("%+v", versions)
	}
}

func TestACrashLeavesTheOldOrTheNewFile(t *testing.T) {
	t.Run("before the rename", func(t *testing.T) {
		s, file := open(t, sample)
		must(t, s.Edit("ada", setMode("sync")))
		left := filepath.Join(filepath.Dir(file), temporary(file)+"123")
		write(t, left, "half")
		beside := filepath.Join(filepath.Dir(file), "mine.yaml")
		write(t, beside, "mine")
		s = reopen(t, file)
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Error("the temporary file is still there")
		}
		holds(t, beside, "mine")
		holds(t, file, sample)
		if !view(t, s).Pending {
			t.Error("the draft is lost")
		}
	})
	t.Run("after the rename", func(t *testing.T) {
		s, file := open(t, sample)
		must(t, s.Edit("ada", setMode("sync")))
		write(t, file, string(view(t, s).Text)) // as Apply had written it
		s = reopen(t, file)
		versions, err := s.Versions()
		must(t, err)
		if len(versions) != 2 || versions[0].OnDisk || versions[0].Who != "ada" || view(t, s).Pending {
			t.Errorf("%+v", versions)
		}
	})
}

func TestARenameThatFailsChangesNothing(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	must(t, os.Remove(file))
	must(t, os.MkdirAll(filepath.Join(file, "x"), 0o700)) // nothing can be renamed over a folder that is not empty
	if err := replaceFile(file, []byte("x"), nil); err == nil {
		t.Fatal("no error")
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestAReadOnlyFileMakesTheDraftReadOnly(t *testing.T) {
	s, file := open(t, sample)
	must(t, s.Edit("ada", setMode("sync")))
	if os.Geteuid() == 0 { // root may write everywhere
		s.writable = func(string, bool) bool { return false }
	} else {
		must(t, os.Chmod(filepath.Dir(file), 0o500))
		t.Cleanup(func() { _ = os.Chmod(filepath.Dir(file), 0o700) })
	}
	if v := view(t, s); !v.ReadOnly || !v.Pending {
		t.Errorf("%+v", v)
	}
	if err := s.Apply(t.Context(), "ada", "", nil); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	holds(t, file, sample)
}

func TestASymbolicLinkStaysOne(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "brazecdc.yaml")
	write(t, real, sample)
	must(t, os.Symlink(real, link))
	s := reopen(t, link)
	must(t, s.Edit("ada", setMode("sync")))
	must(t, s.Apply(t.Context(), "ada", "", nil))
	holds(t, real, strings.Replace(sample, "additive", "sync", 1))
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
}

func TestEditsAtOnceAreAllMade(t *testing.T) {
	s, file := open(t, sample)
	other := reopen(t, file) // as another process has it
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			store := s
			if i%2 == 0 {
				store = other
			}
			if err := store.Edit("ada", config.Edit{Path: config.Key("models[customers].custom", fmt.Sprintf("c%d", i)), Value: "x"}); err != nil {
				t.Error(err)
			}
			if _, err := store.View(); err != nil {
				t.Error(err)
			}
			if err := store.Note(Activity{Who: "ada", From: FromPage, What: Sentence{Key: "k"}}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	v := view(t, s)
	for i := range 20 {
		if !bytes.Contains(v.Text, fmt.Appendf(nil, "c%d: x\n", i)) {
			t.Errorf("c%d is lost", i)
		}
	}
	if list, _, err := s.Activity(Filter{}); err != nil || len(list) != 20 {
		t.Errorf("%d activities, %v", len(list), err)
	}
}

func TestATextByHandKeepsHiddenSecrets(t *testing.T) {
	text := strings.Replace(sample, "${BRAZE_API_KEY}", "geheim-1 # old", 1)
	s, _ := open(t, text)
	shown := config.HideSecrets([]byte(text))
	if bytes.Contains(shown, []byte("geheim")) || !bytes.Contains(shown, []byte("# old")) {
		t.Fatalf("%s", shown)
	}
	must(t, s.SetText("ada", bytes.Replace(shown, []byte("additive"), []byte("sync"), 1)))
	v := view(t, s)
	if want := strings.Replace(text, "additive", "sync", 1); string(v.Text) != want {
		t.Errorf("%s", v.Text)
	}
	lines, err := s.Diff()
	must(t, err)
	for _, l := range lines {
		if strings.Contains(l.Text, "geheim") {
			t.Errorf("%+v", l)
		}
	}
	if err := s.SetText("ada", []byte("a: {\n")); err == nil {
		t.Error("a text that is no YAML is taken")
	}
	if err := s.SetText("ada", []byte("braze: { api_key: 'x"+config.Hidden+"' }\n")); err == nil {
		t.Error("a mark that stands for nothing is taken")
	}
}

func TestActivityIsFilteredNewestFirst(t *testing.T) {
	s, _ := open(t, sample)
	var out bytes.Buffer
	s.Log = slog.New(slog.NewTextHandler(&out, nil))
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return now }
	must(t, s.Note(Activity{Time: now.Add(-2 * 365 * 24 * time.Hour), Who: "old"}))
	for i := range 5 {
		must(t, s.Note(Activity{Time: now.Add(time.Duration(i-10) * time.Minute), Who: []string{"ada", "bob"}[i%2], From: FromCLI, What: Sentence{Key: fmt.Sprintf("k.%d", i)}}))
	}
	f, err := os.OpenFile(s.activityFile(), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"time":"2026-`) // a crash in the middle of a line
	must(t, err)
	must(t, f.Close())
	must(t, s.Note(Activity{Time: now, Who: "ada", From: FromPage, What: Sentence{Key: "last", Args: []string{strings.Repeat("x", 5000)}}}))
	for _, c := range []struct {
		f    Filter
		keys string
	}{
		{Filter{}, "last k.4 k.3 k.2 k.1 k.0"},
		{Filter{Who: "ada"}, "last k.4 k.2 k.0"},
		{Filter{From: FromCLI, Limit: 2}, "k.4 k.3"},
		{Filter{Key: "k."}, "k.4 k.3 k.2 k.1 k.0"},
		{Filter{Before: now.Add(-7 * time.Minute)}, "k.2 k.1 k.0"},
		{Filter{Since: now.Add(-7 * time.Minute)}, "last k.4 k.3"},
	} {
		list, _, err := s.Activity(c.f)
		must(t, err)
		var keys []string
		for _, a := range list {
			keys = append(keys, a.What.Key)
		}
		if strings.Join(keys, " ") != c.keys {
			t.Errorf("%+v: %v, not %s", c.f, keys, c.keys)
		}
	}
	if !strings.Contains(out.String(), "audit") {
		t.Error(out.String())
	}
	must(t, os.Truncate(s.activityFile(), maxActivityFile))
	must(t, s.Note(Activity{Who: "next"}))
	if info, err := os.Stat(s.olderFile()); err != nil || info.Size() != maxActivityFile {
		t.Errorf("%v %v", info, err)
	}
}

func TestCompareIsAUnifiedDiff(t *testing.T) {
	got := Compare([]byte("a\nb\nc\n"), []byte("a\nB\nc\nd"))
	var s []string
	for _, l := range got {
		s = append(s, fmt.Sprintf("%c%d,%d %s", l.Op, l.Old, l.New, l.Text))
	}
	if want := "@1,1 @@ -1,3 +1,4 @@| 1,1 a|-2,0 b|+0,2 B| 3,3 c|+0,4 d"; strings.Join(s, "|") != want {
		t.Errorf("%s", strings.Join(s, "|"))
	}
	if got := Compare([]byte("a"), []byte("a")); len(got) != 0 {
		t.Error(got)
	}
}

func TestAnApplyGoesOnWithoutWhoeverAsked(t *testing.T) {
	s, file := open(t, "version: 1\n")
	must(t, s.SetText("ada", []byte("version: 1\nlog: { level: debug }\n")))
	ctx, leave := context.WithCancel(t.Context())
	must(t, s.Apply(ctx, "ada", "", func(ctx context.Context, _ []byte) error {
		leave() // the browser is closed while the process changes over, which can't be called back
		return ctx.Err()
	}))
	holds(t, file, "version: 1\nlog: { level: debug }\n")
}

// TestAFirstFileIsCompletedByEditors: a file that begins as a draft has the editors' line, and the schema lies beside it once it is applied.
func TestAFirstFileIsCompletedByEditors(t *testing.T) {
	s, file := open(t, "")
	schema := filepath.Join(filepath.Dir(file), config.SchemaName)
	must(t, s.Edit("ada", config.Edit{Path: "version", Value: 1}))
	must(t, s.Edit("ada", config.Edit{Path: "source.time_zone", Value: "UTC"}))
	if err := s.Apply(t.Context(), "ada", "", func(context.Context, []byte) error { return errors.New("not yet") }); err == nil {
		t.Fatal("it started")
	}
	if _, err := os.Stat(schema); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the schema is there without the file: %v", err)
	}
	must(t, s.Apply(t.Context(), "ada", "", nil))
	text, err := os.ReadFile(file)
	must(t, err)
	if !bytes.HasPrefix(text, []byte(config.SchemaLine+"version: 1\n")) || bytes.Count(text, []byte(config.SchemaLine)) != 1 {
		t.Errorf("the file holds\n%s", text)
	}
	if got, err := os.ReadFile(schema); err != nil || !bytes.Equal(got, config.Schema()) {
		t.Errorf("the schema: %v", err)
	}
	s, file = open(t, "version: 1\n")
	must(t, s.Edit("ada", config.Edit{Path: "source.time_zone", Value: "UTC"}))
	must(t, s.Apply(t.Context(), "ada", "", nil))
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), config.SchemaName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a schema beside a file that does not ask for it: %v", err)
	}
}
