package draft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxVersions is how many are kept.
const maxVersions = 20

// Version is one file that was in use.
type Version struct {
	N      int        `json:"n"`
	Time   time.Time  `json:"time"`
	Who    string     `json:"who,omitempty"`
	Reason string     `json:"reason,omitempty"`
	OnDisk bool       `json:"on_disk,omitempty"` // found changed in the file, not applied here
	Words  []Sentence `json:"words,omitempty"`   // what changed from the version before
	Hash   string     `json:"hash"`
}

// kept is a version with its text.
type kept struct {
	Version
	Text string `json:"text"`
}

func (s *Store) versionFile(n int) string {
	return filepath.Join(s.dir, fmt.Sprintf("version-%06d.json", n))
}

// numbers of the versions kept, oldest first.
func (s *Store) numbers() ([]int, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the versions: %w", err)
	}
	var out []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".json"), "version-")
		if n, err := strconv.Atoi(digits); ok && err == nil && n > 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Store) version(n int) (kept, error) {
	var k kept
	data, err := os.ReadFile(s.versionFile(n))
	if errors.Is(err, fs.ErrNotExist) {
		return k, fmt.Errorf("version %d is not kept (any more); the newest %d are: %w", n, maxVersions, fs.ErrNotExist)
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		return k, fmt.Errorf("read version %d: %w", n, err)
	}
	return k, nil
}

// last is the newest version, N 0 where there is none.
func (s *Store) last() (kept, error) {
	numbers, err := s.numbers()
	if err != nil || len(numbers) == 0 {
		return kept{}, err
	}
	return s.version(numbers[len(numbers)-1])
}

// record adds a version after before and drops what is too old.
func (s *Store) record(before kept, v Version, text []byte) (int, error) {
	v.N, v.Time, v.Hash = before.N+1, s.now().UTC(), hash(text)
	if before.N > 0 {
		v.Words, _ = words([]byte(before.Text), text) // a text that is no YAML has no words, and is a version all the same
	}
	data, err := json.Marshal(kept{v, string(text)})
	if err != nil {
		return 0, fmt.Errorf("keep the version: %w", err)
	}
	if err := replaceFile(s.versionFile(v.N), data, nil); err != nil {
		return 0, err
	}
	numbers, err := s.numbers()
	if err != nil {
		return 0, err
	}
	for len(numbers) > maxVersions {
		if err := os.Remove(s.versionFile(numbers[0])); err != nil {
			return 0, fmt.Errorf("drop an old version: %w", err)
		}
		numbers = numbers[1:]
	}
	return v.N, nil
}

// notice makes a version of a file that differs from the last one. Where it is the draft's text, a crash came between writing it and saying so.
func (s *Store) notice() error {
	text, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before, err := s.last()
	if err != nil || before.N > 0 && before.Text == string(text) {
		return err
	}
	d, err := s.load()
	if err != nil {
		return err
	}
	v := Version{OnDisk: true}
	if d != nil && d.Text == string(text) {
		v = Version{Who: d.By}
		if err := s.forget(); err != nil {
			return err
		}
	}
	n, err := s.record(before, v, text)
	if err != nil || !v.OnDisk || before.N == 0 {
		return err
	}
	return s.Note(Activity{From: FromFile, What: Sentence{Key: "draft.activity.on_disk", Args: []string{strconv.Itoa(n)}}, Link: "/versions/" + strconv.Itoa(n)})
}

// Versions are those kept, newest first.
func (s *Store) Versions() ([]Version, error) {
	numbers, err := s.numbers()
	if err != nil {
		return nil, err
	}
	var out []Version
	for _, n := range slices.Backward(numbers) {
		k, err := s.version(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since it was listed
		}
		if err != nil {
			return nil, err
		}
		out = append(out, k.Version)
	}
	return out, nil
}

// Version is the text of one.
func (s *Store) Version(n int) ([]byte, error) {
	k, err := s.version(n)
	return []byte(k.Text), err
}

// GoBack makes the text of a version the draft.
func (s *Store) GoBack(who string, n int) error {
	return s.locked(func() error {
		k, err := s.version(n)
		if err != nil {
			return err
		}
		v, err := s.View()
		if err != nil {
			return err
		}
		return s.keep(who, v.File, []byte(k.Text))
	})
}
