package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// Recorded gives the position that the processes recorded together of a partition, if it is in the store. It fits kafka.Config.Recorded.
func (s *Shared) Recorded(ctx context.Context, part string) (r connector.Recorded, ok bool, err error) {
	key := "part/" + part + "/pos"
	values, err := s.store.Read(ctx, key)
	if err != nil || values[key] == nil {
		return r, false, err
	}
	r, err = decodeRecorded(values[key])
	return r, err == nil, err
}

// Adopt implements connector.SharedJournal.
func (s *Shared) Adopt(ctx context.Context, part string, from uint64, fresh bool) (*connector.State, error) {
	values, err := s.store.Read(ctx, "part/"+part+"/")
	if err != nil {
		return nil, err
	}
	renamed, err := s.store.Read(ctx, "renamed/")
	if err != nil {
		return nil, err
	}
	st := &connector.State{}
	var ends []connector.SharedEntry
	for _, v := range renamed {
		id, err := decodeName(v)
		if err != nil {
			return nil, err
		}
		st.Renamed = append(st.Renamed, id)
	}
	s.mu.Lock()
	for key, v := range values {
		end, aerr := s.adoptOne(st, part, key, v, from, fresh)
		if aerr != nil {
			err = errors.Join(err, fmt.Errorf("%s of the state topic: %w", key, aerr))
		}
		if end {
			ends = append(ends, connector.SharedEntry{Key: key})
		}
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.q.adopt(ctx, part, st); err != nil {
		return nil, err
	}
	// What is adopted lies in data/ too: should the topic get lost, it is put into the next one.
	mirror := connector.Record{Done: st.Done, Settling: st.Settling, Held: st.Held, Undone: []string{part}}
	if err := s.forgetUsers([]string{part}, &mirror); err != nil {
		return nil, err
	}
	if err := s.Data.Apply(ctx, &mirror); err != nil {
		return nil, err
	}
	if len(ends) > 0 {
		if err := s.store.Put(ctx, ends...); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// adoptOne adds one value of the store to what a partition's new owner knows. end: it has no meaning any more. The lock is held.
func (s *Shared) adoptOne(st *connector.State, part, key string, v []byte, from uint64, fresh bool) (end bool, err error) {
	kind, id, _ := strings.Cut(key[len("part/"+part+"/"):], "/")
	raw, _ := hex.DecodeString(id)
	switch kind {
	case "pos":
		r, err := decodeRecorded(v)
		return fresh || r.Position.Offset > from, err // an operator set the group back
	case "done":
		d, err := decodeDone(v)
		if err != nil || fresh || d.ID.Commit < from {
			return err == nil, err
		}
		st.Done = append(st.Done, d)
		s.done[part] = append(s.done[part], doneKeyAt{key, d.ID.Commit})
	case "settling":
		x, err := decodeSettling(v)
		if err != nil {
			return false, err
		}
		st.Settling = append(st.Settling, x)
		s.note(part, kind+string(raw), key)
	case "held":
		x, err := decodeHeld(v)
		if err != nil {
			return false, err
		}
		st.Held = append(st.Held, x)
		s.note(part, kind+string(raw), key)
	case "entry":
		e, err := decodeEntry(v)
		if err != nil {
			return false, err
		}
		st.Entries = append(st.Entries, *e)
	}
	return false, nil
}

// Leave implements connector.SharedJournal.
func (s *Shared) Leave(ctx context.Context, parts []string) error {
	var forget connector.Record
	s.mu.Lock()
	for _, part := range parts {
		delete(s.done, part)
		for _, key := range s.items[part] {
			delete(s.names, key)
		}
		delete(s.items, part)
	}
	s.mu.Unlock()
	forget.Undone = append(forget.Undone, parts...)
	if err := s.forgetUsers(parts, &forget); err != nil {
		return err
	}
	return errors.Join(s.Data.Apply(ctx, &forget), s.q.leave(parts))
}

// forgetUsers adds the users of partitions whose settling or held delete lies in data/.
func (s *Shared) forgetUsers(parts []string, r *connector.Record) error {
	of := map[string]bool{}
	for _, p := range parts {
		of[p] = true
	}
	return s.journal.view(func(tx *bbolt.Tx) error {
		var settling []connector.Settling
		var held []connector.HeldDelete
		if err := firstError(collect(tx, bucketSettling, decodeSettling, &settling), collect(tx, bucketHeld, decodeHeld, &held)); err != nil {
			return err
		}
		for i := range settling {
			if of[settling[i].Part] {
				r.Settled = append(r.Settled, settling[i].User)
			}
		}
		for i := range held {
			if of[held[i].Part] {
				r.Released = append(r.Released, held[i].User)
			}
		}
		return nil
	})
}
