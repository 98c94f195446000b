package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const stopName = "last_stop.json"

// WriteStop keeps how a run ended in the folder data. It replaces the note of the run before in one step.
func WriteStop(data string, s Stop) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode how the run ended: %w", err)
	}
	tmp, err := os.CreateTemp(data, stopName+".*")
	if err != nil {
		return fmt.Errorf("note how the run ended: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(data, stopName))
	}
	if err != nil {
		return fmt.Errorf("note how the run ended: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// ClearStop forgets the note, as a run does when it starts: what is found without one later was killed.
func ClearStop(data string) error {
	if err := os.Remove(filepath.Join(data, stopName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget how the last run ended: %w", err)
	}
	return nil
}

// ReadStop gives how the last run ended, nil where no note is: none ended yet, one runs, or it was killed. A note that can't be read is no reason to
// refuse a status, so it counts as none.
func ReadStop(data string) *Stop {
	b, err := os.ReadFile(filepath.Join(data, stopName))
	if err != nil {
		return nil
	}
	var s Stop
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	return &s
}
