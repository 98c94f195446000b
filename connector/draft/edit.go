package draft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"brazecdc/connector/config"
)

// stored is the draft as it is kept: one file, so that a crash leaves the old or the new one whole.
type stored struct {
	Base    string    `json:"base"` // the file's text when the draft began
	Text    string    `json:"text"`
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`
}

func (s *Store) draftFile() string { return filepath.Join(s.dir, "draft.json") }

// load is the draft, nil where there is none.
func (s *Store) load() (*stored, error) {
	data, err := os.ReadFile(s.draftFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the draft: %w", err)
	}
	var d stored
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("read the draft %s: %w; remove that file to begin a new draft", s.draftFile(), err)
	}
	return &d, nil
}

// keep writes the draft; one that equals the file it began with is none.
func (s *Store) keep(who string, base, text []byte) error {
	if bytes.Equal(base, text) {
		return s.forget()
	}
	data, err := json.Marshal(stored{Base: string(base), Text: string(text), Changed: s.now().UTC(), By: who})
	if err != nil {
		return fmt.Errorf("keep the draft: %w", err)
	}
	return replaceFile(s.draftFile(), data, nil)
}

func (s *Store) forget() error {
	if err := os.Remove(s.draftFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop the draft: %w", err)
	}
	return nil
}

// Edit makes the edits in the draft. Where one can't be made none is. A draft that begins without a file begins with the line for editors.
func (s *Store) Edit(who string, edits ...config.Edit) error {
	return s.change(who, func(v View) ([]byte, error) {
		text, err := config.Apply(v.Text, edits...)
		if err == nil && !v.Exists && len(v.Text) == 0 && len(text) > 0 {
			text = append([]byte(config.SchemaLine), text...)
		}
		return text, err
	})
}

// SetText puts a text that was edited by hand in the draft's place. Secrets that config.HideSecrets hid in it are put back.
func (s *Store) SetText(who string, text []byte) error {
	if len(text) > maxText {
		return errors.New("the text is larger than 1 MiB; shorten it")
	}
	return s.change(who, func(v View) ([]byte, error) { return config.KeepSecrets(text, v.Text) })
}

func (s *Store) change(who string, make func(View) ([]byte, error)) error {
	return s.locked(func() error {
		v, err := s.View()
		if err != nil {
			return err
		}
		text, err := make(v)
		if err != nil {
			return err
		}
		return s.keep(who, v.Base, text)
	})
}

// Drop ends the draft without applying it; of a stale draft that takes the file as the other left it.
func (s *Store) Drop(string) error { return s.locked(s.forget) }

// PutOnTop makes what the draft changed again, on the file as it is now. Comments that were edited by hand are not taken along.
func (s *Store) PutOnTop(who string) error {
	return s.locked(func() error {
		v, err := s.View()
		if err != nil || !v.Stale {
			return err
		}
		edits, err := config.Changes(v.Base, v.Text)
		if err != nil {
			return err
		}
		text, err := config.Apply(v.File, edits...)
		if err != nil {
			return fmt.Errorf("the draft doesn't fit the new file: %w", err)
		}
		return s.keep(who, v.File, text)
	})
}
