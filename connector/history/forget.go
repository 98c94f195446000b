package history

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"brazecdc/connector"
)

// Forget takes a user and its rows out: their entries, what their ids stand for, and payloads. Files that held any are written anew.
func (s *Store) Forget(u connector.User, rows []connector.ModelRow) error {
	s.mu.Lock()
	s.payload.forget(u)
	s.mu.Unlock()
	l := s.lookup()
	s.disk.Lock()
	defer s.disk.Unlock()
	s.sealLive()
	keys := make([]connector.Key, 0, len(rows))
	for i := range rows {
		keys = append(keys, rows[i].Key)
	}
	gone := map[id]bool{l.h.user(&u): true}
	for _, k := range l.rowsOf(u, keys) {
		gone[l.h.row(&k)] = true
	}
	for k := range s.counts {
		if row := k.row; k.user == u || gone[l.h.row(&row)] {
			delete(s.counts, k)
		}
	}
	var err error
	kept := s.sealed[:0]
	for _, g := range s.sealed {
		var now *segment
		var e error
		if now, e = s.without(g, gone); e != nil {
			err = errors.Join(err, e)
		}
		if now != nil {
			kept = append(kept, now)
		}
	}
	s.sealed = kept
	if err != nil {
		return fmt.Errorf("take a user out of the history: %w", err)
	}
	return nil
}

// without gives a segment without the entries of ids; nil where nothing is left. One that cannot be written anew is dropped as a whole: it may be lost, and
// what was to be forgotten must not stay.
func (s *Store) without(g *segment, gone map[id]bool) (*segment, error) {
	has := false
	for of := range gone {
		places, err := g.find(keyOf(&of), keyOf(&of))
		has = has || err != nil || len(places) > 0
	}
	if !has {
		return g, nil
	}
	number := s.next
	s.next++
	fresh, err := createSegment(s.path(number, ".new"), g.number, g.names)
	if err == nil {
		err = g.each(func(body []byte) error {
			if !slices.ContainsFunc(idsOf(nil, body), func(of id) bool { return gone[of] }) {
				fresh.put(body)
			}
			return nil
		})
	}
	empty := err == nil && len(fresh.entries) == 0
	if err == nil && !empty {
		err = fresh.seal()
	}
	s.drop(g)
	if err == nil && !empty {
		if err = os.Rename(s.path(number, ".new"), s.path(g.number, segmentSuffix)); err == nil {
			return fresh, nil
		}
	}
	if fresh != nil {
		_ = fresh.close()
		_ = os.Remove(s.path(number, ".new"))
	}
	return nil, err
}
