package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Where an activity came from.
const (
	FromPage   = "page"
	FromCLI    = "cli"
	FromFile   = "file"
	FromSystem = "system"
)

// The log of activities is two files at most, each of half of the bytes; what is older than a year is not told any more and goes with its file.
const (
	maxActivityFile = 32 << 20
	maxActivityAge  = 365 * 24 * time.Hour
)

// Sentence is a text of the catalogue with what stands in it.
type Sentence struct {
	Key  string   `json:"key"`
	Args []string `json:"args,omitempty"`
}

// Activity is one thing that somebody did.
type Activity struct {
	Time time.Time `json:"time"` // Note fills it in where it is zero
	Who  string    `json:"who"`
	From string    `json:"from"` // page | cli | file | system
	What Sentence  `json:"what"`
	Link string    `json:"link,omitempty"` // path of the page that shows more
}

// Filter chooses activities; what is zero chooses all.
type Filter struct {
	Who    string
	From   string
	Key    string // what the key of the sentence begins with
	Since  time.Time
	Before time.Time
	Limit  int // default 200
}

func (s *Store) activityFile() string { return filepath.Join(s.dir, "activity.jsonl") }
func (s *Store) olderFile() string    { return filepath.Join(s.dir, "activity.1.jsonl") }

// Note adds an activity to the log, which only grows.
func (s *Store) Note(a Activity) error {
	a.What.Args = slices.Clone(a.What.Args)
	for i, arg := range a.What.Args {
		a.What.Args[i] = shorten(arg)
	}
	a.Who = shorten(a.Who)
	if s.Log != nil {
		s.Log.Info("audit", slog.String("component", "audit"), slog.String("who", a.Who), slog.String("from", a.From), slog.String("what", a.What.Key), slog.Any("args", a.What.Args))
	}
	return s.holding(&s.logs, "activity.lock", func() error {
		if a.Time.IsZero() {
			a.Time = s.now().UTC() // under the lock, so that the log is in the order of its times
		}
		line, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("note the activity: %w", err)
		}
		return s.append(line)
	})
}

func (s *Store) append(line []byte) error {
	if info, err := os.Stat(s.activityFile()); err == nil && info.Size()+int64(len(line)) >= maxActivityFile {
		if err := os.Rename(s.activityFile(), s.olderFile()); err != nil {
			return fmt.Errorf("note the activity: %w", err)
		}
	}
	f, err := os.OpenFile(s.activityFile(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("note the activity: %w", err)
	}
	// After a crash in the middle of a line the next one begins on a line of its own; empty lines are skipped.
	_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note the activity: %w", err)
	}
	return nil
}

// shorten bounds what a line of the log holds of one text.
func shorten(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func (f Filter) chooses(a Activity) bool {
	return (f.Who == "" || a.Who == f.Who) && (f.From == "" || a.From == f.From) && strings.HasPrefix(a.What.Key, f.Key) &&
		!a.Time.Before(f.Since) && (f.Before.IsZero() || a.Time.Before(f.Before))
}
