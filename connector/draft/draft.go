// Package draft keeps the one shared draft of the configuration file, the versions that were applied, and the log of who changed what.
//
// A draft is a text that begins as the file's and collects edits. It is stale once somebody else changes the file: then it is dropped, or its changes
// are put on top of the new file, and nothing is overwritten unseen. Everything is kept in one folder with mode 0700, files 0600: a file that holds a
// literal secret has it in its versions too.
package draft

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"brazecdc/connector/config"
)

// Errors that a page answers in words of its own.
var (
	ErrMoved    = errors.New("the draft was changed since it was looked at; look at it again")
	ErrNothing  = errors.New("there is no draft to apply")
	ErrStale    = errors.New("the file was changed since the draft began; compare the two, then take theirs or put the draft on top")
	ErrReadOnly = errors.New("the file can't be written here; download the draft and change the file where it is managed")
)

// maxText bounds the file, as config does.
const maxText = 1 << 20

// View is the draft and the file as they are now.
type View struct {
	Text     []byte // the draft's text, the file's where there is no draft
	File     []byte // the file's text now
	Base     []byte // the file's text when the draft began; the same as File unless Stale
	Pending  bool   // the draft differs from the file
	Stale    bool   // the file was changed since the draft began
	ReadOnly bool   // the file can't be written here
	Exists   bool   // there is a file
	Changed  time.Time
	By       string
}

// Store is safe for concurrent use, also by several processes over one folder.
type Store struct {
	// Check judges a text before Apply writes it. Default: config.ParseText with the process' environment must accept it.
	Check func(text []byte) error
	// Log gets each activity as a line audit. Default: none.
	Log *slog.Logger

	file string // without symbolic links where there are any, so that a rename replaces what they point at
	dir  string
	now  func() time.Time
	// writable is asked for whether the file, which exists or not, can be replaced.
	writable func(file string, exists bool) bool
	mu       sync.Mutex
	logs     sync.Mutex // of the log of activities alone, so that what start does can be noted during an Apply
}

// Open is the store of the configuration file, kept in dir, which is made where it is missing. A file that differs from the last version is noted as
// edited on disk.
func Open(file, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the pages: %w", err)
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	s := &Store{file: file, dir: dir, now: time.Now, writable: writable}
	s.Check = s.parse
	return s, s.locked(func() error {
		s.sweep()
		return s.notice()
	})
}

// parse is the default of Check.
func (s *Store) parse(text []byte) error {
	_, err := config.ParseText(s.file, text, os.LookupEnv)
	return err
}

// locked runs do while no other call, here or in another process, changes the draft or the versions. Reading waits for none of it: every file is replaced as
// a whole, and an Apply may take as long as a start.
func (s *Store) locked(do func() error) error { return s.holding(&s.mu, "lock", do) }

// holding runs do with a lock of this process and, by its file, of all.
func (s *Store) holding(mu *sync.Mutex, name string, do func() error) error {
	mu.Lock()
	defer mu.Unlock()
	unlock, err := lockFile(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// View reads the draft and the file.
func (s *Store) View() (View, error) {
	var v View
	text, err := s.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return v, err
	default:
		v.Exists = true
	}
	v.File, v.Base, v.Text = text, text, text
	v.ReadOnly = !s.writable(s.file, v.Exists)
	d, err := s.load()
	if err != nil || d == nil || d.Text == string(text) {
		return v, err
	}
	v.Pending, v.Text, v.Base = true, []byte(d.Text), []byte(d.Base)
	v.Stale = d.Base != string(text)
	v.Changed, v.By = d.Changed, d.By
	return v, nil
}

// Hash names a text: a page that shows it sends that back, so that nothing is applied that was not looked at.
func Hash(text []byte) string { return hash(text)[:16] }

// read is the file's text.
func (s *Store) read() ([]byte, error) {
	info, err := os.Stat(s.file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxText {
		return nil, fmt.Errorf("read configuration: %s is larger than 1 MiB", s.file)
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return text, nil
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
