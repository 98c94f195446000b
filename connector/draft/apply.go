package draft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"

	"brazecdc/connector/config"
)

// Apply writes the draft into the file and calls start with it, which makes the process use it; nil where no process is to. When start fails, the old file is
// put back, the draft stays, and the fault is returned. It refuses a draft that is stale, and one that Check refuses.
func (s *Store) Apply(ctx context.Context, who, reason string, start func(ctx context.Context, text []byte) error) error {
	return s.apply(ctx, who, reason, nil, start)
}

// ApplySeen is Apply where the draft is still the text that somebody looked at, else ErrMoved.
func (s *Store) ApplySeen(ctx context.Context, who, reason string, seen []byte, start func(ctx context.Context, text []byte) error) error {
	return s.apply(ctx, who, reason, &seen, start)
}

func (s *Store) apply(ctx context.Context, who, reason string, seen *[]byte, start func(ctx context.Context, text []byte) error) error {
	return s.locked(func() error {
		v, err := s.View()
		switch {
		case err != nil:
			return err
		case !v.Pending:
			return ErrNothing
		case seen != nil && !bytes.Equal(*seen, v.Text):
			return ErrMoved
		case v.Stale:
			return ErrStale
		case v.ReadOnly:
			return ErrReadOnly
		}
		if err := s.Check(v.Text); err != nil {
			return err
		}
		if err := s.notice(); err != nil { // so that there is a version to go back to
			return err
		}
		var like fs.FileInfo
		if v.Exists {
			if like, err = os.Stat(s.file); err != nil {
				return fmt.Errorf("write the configuration: %w", err)
			}
		}
		if err := s.swap(v.File, v.Text, like); err != nil {
			return err
		}
		if start != nil {
			// From here on file and process must agree, also where whoever asked goes away: what has begun to start can't be called back.
			if err := start(context.WithoutCancel(ctx), v.Text); err != nil {
				return s.putBack(v, like, err)
			}
		}
		if !v.Exists && bytes.HasPrefix(v.Text, []byte(config.SchemaLine)) {
			if err := config.WriteSchemaBeside(s.file); err != nil && s.Log != nil {
				s.Log.Warn("editors will not complete the configuration file", slog.String("component", "audit"), slog.Any("err", err)) // which works without
			}
		}
		return s.applied(who, reason, v)
	})
}

// swap replaces the file where it still holds old.
func (s *Store) swap(old, text []byte, like fs.FileInfo) error {
	now, err := s.read()
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || like != nil) {
		return err
	}
	if !bytes.Equal(now, old) {
		return ErrStale
	}
	return replaceFile(s.file, text, like)
}

func (s *Store) putBack(v View, like fs.FileInfo, fault error) error {
	var err error
	if v.Exists {
		err = s.swap(v.Text, v.File, like)
	} else {
		err = os.Remove(s.file)
	}
	if err != nil {
		return errors.Join(fault, fmt.Errorf("and the old file could not be put back: %w", err))
	}
	return fault
}

func (s *Store) applied(who, reason string, v View) error {
	before, err := s.last()
	if err != nil {
		return err
	}
	n, err := s.record(before, Version{Who: who, Reason: reason}, v.Text)
	if err != nil {
		return err
	}
	if err := s.forget(); err != nil {
		return err
	}
	what := Sentence{Key: "draft.activity.applied", Args: []string{strconv.Itoa(n)}}
	if reason != "" {
		what = Sentence{Key: "draft.activity.applied_reason", Args: []string{strconv.Itoa(n), reason}}
	}
	return s.Note(Activity{Who: who, From: FromPage, What: what, Link: "/versions/" + strconv.Itoa(n)})
}
