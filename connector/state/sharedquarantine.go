package state

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"brazecdc/connector"
)

// sharedQuarantine keeps open entries of partitions in the store too.
type sharedQuarantine struct {
	*Quarantine
	s *Shared
}

// entryShared is an entry's key in the store: entries of one row replace each other.
func entryShared(e *connector.Entry) string {
	part := connector.PartOf(e.Stream)
	if part == "" {
		return ""
	}
	return sharedKey(part, "entry", hash(e.Model, e.Key.Table, e.Key.ID))
}

// boundedEntry encodes an entry without the original record, which lies in its topic: every process holds what is in the store in memory.
func boundedEntry(e *connector.Entry) []byte {
	n := *Bound(e)
	n.ID, n.Original = 0, n.Original.WithoutBytes()
	b := encodeEntry(&n)
	if len(b) > maxShared {
		n.Before, n.After = nil, nil
		b = encodeEntry(&n)
	}
	return b
}

const entryPrefix = "entry/"

func entryName(id uint64) string { return entryPrefix + strconv.FormatUint(id, 10) }

// Put implements connector.Quarantine: the entry is in the store and in `data/` when it returns.
func (q *sharedQuarantine) Put(ctx context.Context, e *connector.Entry) (uint64, error) {
	id, err := q.Quarantine.Put(ctx, e)
	key := entryShared(e)
	if err != nil || key == "" {
		return id, err
	}
	stored, err := q.Entry(id) // with the time that Put gave it
	if err != nil {
		return 0, err
	}
	if err := q.s.store.Put(ctx, connector.SharedEntry{Key: key, Value: boundedEntry(stored)}); err != nil {
		return 0, err
	}
	q.s.mu.Lock()
	q.s.note(connector.PartOf(e.Stream), entryName(id), key)
	q.s.mu.Unlock()
	return id, nil
}

// Close implements connector.Quarantine.
func (q *sharedQuarantine) Close(ctx context.Context, id uint64, how string) error {
	if err := q.Quarantine.Close(ctx, id, how); err != nil {
		return err
	}
	return q.ended(ctx, id)
}

// Expire implements connector.Quarantine.
func (q *sharedQuarantine) Expire(ctx context.Context, before time.Time) (int, error) {
	n, err := q.Quarantine.Expire(ctx, before)
	if err != nil || n == 0 {
		return n, err
	}
	var ids []uint64
	q.s.mu.Lock()
	for _, items := range q.s.items {
		for name := range items {
			if id, ok := strings.CutPrefix(name, entryPrefix); ok {
				if number, err := strconv.ParseUint(id, 10, 64); err == nil {
					ids = append(ids, number)
				}
			}
		}
	}
	q.s.mu.Unlock()
	ids = slices.DeleteFunc(ids, func(id uint64) bool {
		e, err := q.Entry(id)
		return err == nil && e.Closed == ""
	})
	return n, q.ended(ctx, ids...)
}

// ended takes entries out of the store. One that was replaced takes nothing out.
func (q *sharedQuarantine) ended(ctx context.Context, ids ...uint64) error {
	var ends []connector.SharedEntry
	q.s.mu.Lock()
	for _, id := range ids {
		ends = q.s.endNamed(ends, entryName(id))
	}
	q.s.mu.Unlock()
	if len(ends) == 0 {
		return nil
	}
	return q.s.store.Put(ctx, ends...)
}

// adoptAtOnce is how many entries are put into data/ side by side, so that they share the writes to disk.
const adoptAtOnce = 128

// adopt brings the entries of a partition into `data/`: those that are there already keep their numbers, those that ended elsewhere end.
func (q *sharedQuarantine) adopt(ctx context.Context, part string, st *connector.State) error {
	here, err := q.ofPart(part)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	turns := make(chan struct{}, adoptAtOnce)
	errs := make([]error, len(st.Entries))
	for i := range st.Entries {
		e := &st.Entries[i]
		key := entryShared(e)
		if old := here[key]; old != nil && old.At.Equal(e.At) {
			e.ID = old.ID
			delete(here, key)
			continue
		}
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			e.ID, errs[i] = q.Quarantine.Put(ctx, e)
		})
		delete(here, key)
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	q.s.mu.Lock()
	for i := range st.Entries {
		q.s.note(part, entryName(st.Entries[i].ID), entryShared(&st.Entries[i]))
	}
	q.s.mu.Unlock()
	return q.endAll(here, Delivered+", or ended, by another process")
}

func (q *sharedQuarantine) leave(parts []string) error {
	for _, part := range parts {
		here, err := q.ofPart(part)
		if err != nil {
			return err
		}
		if err := q.endAll(here, Delivered+" to another process of the group, which has the partition now"); err != nil {
			return err
		}
	}
	return nil
}

// endAll ends entries in `data/` alone, many in one write.
func (q *sharedQuarantine) endAll(entries map[string]*connector.Entry, how string) error {
	ids := make([]uint64, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	for some := range slices.Chunk(ids, expireStep) {
		if _, err := q.end(some, how); err != nil {
			return err
		}
	}
	return nil
}

// ofPart gives the open entries of a partition by their key in the store.
func (q *sharedQuarantine) ofPart(part string) (map[string]*connector.Entry, error) {
	out := map[string]*connector.Entry{}
	f := connector.EntryFilter{Limit: 500}
	for {
		list, err := q.List(f)
		if err != nil || len(list) == 0 {
			return out, err
		}
		for i := range list {
			f.After = list[i].ID
			if connector.PartOf(list[i].Stream) == part {
				out[entryShared(&list[i])] = &list[i]
			}
		}
	}
}
