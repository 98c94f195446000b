package state

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"brazecdc/connector"
)

// erasedPrefix begins the names of marks in a store that processes share.
const erasedPrefix = "erased/"

// MarkErased implements connector.Eraser: all processes of the group know of it.
func (s *Shared) MarkErased(ctx context.Context, u connector.User, rows []connector.ModelRow, at time.Time) error {
	marks, err := s.markErased(u, rows, at)
	if err != nil {
		return err
	}
	return s.shareErased(ctx, marks)
}

// CameBack implements connector.Eraser.
func (s *Shared) CameBack(ctx context.Context, u connector.User, r connector.ModelRow) error {
	marks, err := s.cameBack(u, r)
	if err != nil || len(marks) == 0 {
		return err
	}
	return s.shareErased(ctx, marks)
}

// Purge implements connector.Eraser.
func (s *Shared) Purge(ctx context.Context, u connector.User, rows []connector.ModelRow) (*connector.Purged, error) {
	out, err := s.Data.Purge(ctx, u, rows)
	if err != nil {
		return nil, err
	}
	if err := s.q.ended(ctx, out.Entries...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	ends := s.endOne(s.endOne(nil, "settling", userKey(u)), "held", userKey(u))
	s.mu.Unlock()
	out.Shared = true
	if len(ends) == 0 {
		return out, nil
	}
	return out, s.store.Put(ctx, ends...)
}

func (s *Shared) shareErased(ctx context.Context, marks []erasedMark) error {
	var put []connector.SharedEntry
	for i := range marks {
		put = append(put, connector.SharedEntry{Key: erasedPrefix + hex.EncodeToString(marks[i].id()), Value: marks[i].encode()})
	}
	return s.store.Put(ctx, put...)
}

// beginErased takes in whom the group has erased, and tells it of whom this process has.
func (s *Shared) beginErased(ctx context.Context) error {
	known, err := s.store.Read(ctx, erasedPrefix)
	if err != nil {
		return err
	}
	var theirs []erasedMark
	for key, v := range known {
		m, err := decodeErased(v)
		if err != nil {
			return fmt.Errorf("%s of the state topic: %w", key, err)
		}
		theirs = append(theirs, m)
	}
	var ours []erasedMark
	s.erased.mu.RLock()
	for _, m := range s.erased.marks {
		if _, ok := known[erasedPrefix+hex.EncodeToString(m.id())]; !ok {
			ours = append(ours, m)
		}
	}
	for _, key := range s.erased.keys {
		ours = append(ours, erasedMark{kind: erasedKey, key: key})
	}
	s.erased.mu.RUnlock()
	slices.SortFunc(theirs, func(a, b erasedMark) int { return strings.Compare(string(a.id()), string(b.id())) })
	if len(theirs) > 0 {
		if err := s.putErased(theirs); err != nil {
			return err
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return s.shareErased(ctx, ours)
}

// heardErased takes in a mark that another process made.
func (s *Shared) heardErased(value []byte) {
	m, err := decodeErased(value)
	if err == nil && !s.erased.has(m) {
		err = s.putErased([]erasedMark{m})
	}
	if err != nil {
		s.log.Warn("read whom another process erased", "err", err)
	}
}
