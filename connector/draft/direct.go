package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"brazecdc/connector/config"
)

// EditFile makes edits in the file itself, past the draft, and notes the activity. A draft that isn't stale takes them along, so that it stays one of this
// file. It refuses a file that can't be written.
func (s *Store) EditFile(a Activity, edits ...config.Edit) error {
	return s.locked(func() error {
		v, err := s.View()
		if err != nil {
			return err
		}
		if v.ReadOnly {
			return ErrReadOnly
		}
		if !v.Exists {
			return fmt.Errorf("edit the configuration %s: %w", s.file, fs.ErrNotExist)
		}
		if err := s.notice(); err != nil {
			return err
		}
		text, err := config.Apply(v.File, edits...)
		if err != nil {
			return err
		}
		like, err := os.Stat(s.file)
		if err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
		if err := s.swap(v.File, text, like); err != nil {
			return err
		}
		before, err := s.last()
		if err != nil {
			return err
		}
		_, err = s.record(before, Version{Who: a.Who}, text)
		return errors.Join(err, s.carry(v, text, edits), s.Note(a))
	})
}

// carry makes the edits in the draft too, which then stands on the new file. Where they don't fit it the draft is stale.
func (s *Store) carry(v View, file []byte, edits []config.Edit) error {
	if !v.Pending || v.Stale {
		return nil
	}
	text, err := config.Apply(v.Text, edits...)
	if err != nil {
		return nil // stale is what the pages then say, and offer to mend
	}
	return s.keep(v.By, file, text)
}
