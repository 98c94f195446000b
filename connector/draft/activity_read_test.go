package draft

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// writeLog makes a log of so many lines in both its files, a second apart, the last one at a time. Every tenth is of "ada".
func writeLog(t testing.TB, s *Store, lines int, last time.Time) {
	t.Helper()
	pad := strings.Repeat("x", 600)
	var files [2]strings.Builder
	for i := range lines {
		a := Activity{Time: last.Add(time.Duration(i+1-lines) * time.Second), Who: "bob", From: FromPage, What: Sentence{Key: fmt.Sprintf("k.%d", i), Args: []string{pad}}}
		if i%10 == 0 {
			a.Who = "ada"
		}
		b, err := json.Marshal(a)
		must(t, err)
		at := &files[0]
		if i >= lines/2 {
			at = &files[1]
		}
		at.WriteString("\n" + string(b) + "\n")
	}
	must(t, os.WriteFile(s.olderFile(), []byte(files[0].String()), 0o600))
	must(t, os.WriteFile(s.activityFile(), []byte(files[1].String()), 0o600))
}

func TestALongActivityLogIsReadFromItsEnd(t *testing.T) {
	s, _ := open(t, sample)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return now }
	const lines = 20_000 // 14 MB
	writeLog(t, s, lines, now)
	t.Run("page by page, over both files, with no line left out and none twice", func(t *testing.T) {
		next, looks := lines-1, 0
		for f := (Filter{Limit: 999}); ; looks++ {
			list, _, err := s.Activity(f)
			must(t, err)
			for _, a := range list {
				if want := fmt.Sprintf("k.%d", next); a.What.Key != want {
					t.Fatalf("%s came where %s should", a.What.Key, want)
				}
				next--
			}
			if len(list) == 0 {
				break
			}
			f.Before = list[len(list)-1].Time
		}
		if next != -1 {
			t.Errorf("it ended before line %d, after %d looks", next, looks)
		}
	})
	t.Run("also for a filter, of which one look reads no more than its bound", func(t *testing.T) {
		found, looks := 0, 0
		for f := (Filter{Who: "ada", Limit: 10_000}); ; {
			list, rest, err := s.Activity(f)
			must(t, err)
			found += len(list)
			looks++
			if rest.IsZero() {
				break
			}
			f.Before = rest
		}
		if found != lines/10 || looks < 14/2 {
			t.Errorf("%d of them in %d looks", found, looks)
		}
	})
	t.Run("from any time on", func(t *testing.T) {
		for _, i := range []int{1, 57, lines/2 - 1, lines / 2, lines/2 + 1, lines - 1} {
			list, _, err := s.Activity(Filter{Before: now.Add(time.Duration(i+1-lines) * time.Second), Limit: 1})
			if err != nil || len(list) != 1 || list[0].What.Key != fmt.Sprintf("k.%d", i-1) {
				t.Errorf("before line %d comes %v, %v", i, list, err)
			}
		}
	})
}

func BenchmarkActivity(b *testing.B) {
	s, _ := open(b, sample)
	now := time.Now().UTC()
	writeLog(b, s, 90_000, now) // both files full
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"the newest", Filter{Limit: 101}}, {"of somebody who did nothing", Filter{Who: "nobody", Limit: 101}}, {"of long ago", Filter{Before: now.Add(-20 * time.Hour), Limit: 101}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.Activity(c.f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
