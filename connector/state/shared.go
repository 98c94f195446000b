package state

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// Shared is the journal of a process that shares partitions with others: what belongs to a partition is kept in a store of the group beside `data/`, where
// the partition's next owner finds it. It implements connector.SharedJournal.
//
// Keys of the store: "part/PARTITION/pos", ".../done/ID", ".../settling/ID", ".../held/ID", ".../entry/ID"; "renamed/ID" and "pause/MODEL" for all.
// The position is there only for partitions on which something was done that may not happen twice: it is newer than the group's offset then.
type Shared struct {
	*Data
	store connector.SharedStore // set by Begin
	log   *slog.Logger
	on    func(model string, p *connector.Pause)
	q     *sharedQuarantine
	state *connector.State

	mu     sync.Mutex
	paused map[string]bool              // models whose pause is in the store
	done   map[string][]doneKeyAt       // by partition
	items  map[string]map[string]string // what of this process is in the store, by partition: its local name and its key
	names  map[string]string            // the local name of a key
}

// doneKeyAt is a done change in the store.
type doneKeyAt struct {
	key    string
	commit uint64
}

var _ connector.SharedJournal = (*Shared)(nil)

// maxShared is how large an entry of the store may be: brokers take records of about 1 MB (Kafka docs, message.max.bytes).
const maxShared = 900 << 10

// NewShared makes a journal of d that shares what belongs to partitions, once Begin was called. on is told of pauses that other processes begin and, with nil,
// end; nil asks for none. The journal ends with d.
func NewShared(d *Data, log *slog.Logger, on func(model string, p *connector.Pause)) *Shared {
	s := &Shared{Data: d, log: log, on: on, paused: map[string]bool{}, done: map[string][]doneKeyAt{}, items: map[string]map[string]string{}, names: map[string]string{}}
	s.q = &sharedQuarantine{Quarantine: d.quarantine, s: s}
	_, s.state = split(d.state)
	return s
}

// Begin begins to share through store, which topic names; what other processes put there goes to Heard from before. What d held by itself until now is put into
// the store once. Nothing else may be called before it returned.
func (s *Shared) Begin(ctx context.Context, store connector.SharedStore, topic string) error {
	d := s.Data
	s.store = store
	own, _ := split(d.state)
	was, err := d.sharedIn()
	if err != nil {
		return err
	}
	if was != topic {
		if err := s.publish(ctx, own); err != nil {
			return err
		}
		clear(s.paused) // what is ours of it will be adopted
		clear(s.done)
		clear(s.items)
		clear(s.names)
		if err := d.shareIn(topic); err != nil {
			return err
		}
	}
	paused, err := store.Read(ctx, "pause/")
	if err != nil {
		return err
	}
	for key, v := range paused {
		s.Heard(key, v)
	}
	return s.beginErased(ctx)
}

// split tells what of a state belongs to partitions or to the group from what is the process' own.
func split(st *connector.State) (own, rest *connector.State) {
	r, o := *st, connector.State{Renamed: st.Renamed, Paused: st.Paused}
	r.Done, r.Settling, r.Held, r.Renamed, r.Paused = nil, nil, nil, nil, nil
	o.Done = append(o.Done, st.Done...)
	for _, x := range st.Settling {
		if x.Part == "" {
			r.Settling = append(r.Settling, x)
		} else {
			o.Settling = append(o.Settling, x)
		}
	}
	for _, x := range st.Held {
		if x.Part == "" {
			r.Held = append(r.Held, x)
		} else {
			o.Held = append(o.Held, x)
		}
	}
	for _, p := range st.Paused {
		if p.Reason != connector.PauseTruncate {
			r.Paused = append(r.Paused, p)
		}
	}
	return &o, &r
}

// publish puts what this process held by itself into the store, unless the store knows it.
func (s *Shared) publish(ctx context.Context, own *connector.State) error {
	known, err := s.store.Read(ctx, "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	entries := s.entries(&connector.Record{Done: own.Done, Settling: own.Settling, Held: own.Held, Renamed: own.Renamed, Paused: own.Paused})
	s.mu.Unlock()
	f := connector.EntryFilter{Limit: 500}
	for {
		list, err := s.quarantine.List(f)
		if err != nil {
			return err
		}
		for i := range list {
			f.After = list[i].ID
			if key := entryShared(&list[i]); key != "" {
				entries = append(entries, connector.SharedEntry{Key: key, Value: boundedEntry(&list[i])})
			}
		}
		if len(list) == 0 {
			break
		}
	}
	var put []connector.SharedEntry
	for _, e := range entries {
		if _, ok := known[e.Key]; !ok && e.Value != nil {
			put = append(put, e)
		}
	}
	if len(put) == 0 {
		return nil
	}
	return s.store.Put(ctx, put...)
}

// State implements connector.Journal: without what belongs to partitions.
func (s *Shared) State() *connector.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := *s.state
	st.Paused = slices.Clone(st.Paused)
	return &st
}

// Quarantine implements connector.Journal.
func (s *Shared) Quarantine() connector.Quarantine { return s.q }

// Apply implements connector.Journal: what others must know is in the store before the record is in `data/`.
func (s *Shared) Apply(ctx context.Context, r *connector.Record) error {
	s.mu.Lock()
	entries := s.entries(r)
	s.mu.Unlock()
	if len(entries) > 0 {
		if err := s.store.Put(ctx, entries...); err != nil {
			return err
		}
	}
	return s.Data.Apply(ctx, r)
}

func sharedKey(part, kind string, id []byte) string {
	return "part/" + part + "/" + kind + "/" + hex.EncodeToString(id)
}

// entries gives what the store has to learn of a record, what must not be lost first and what ends last. The lock is held.
func (s *Shared) entries(r *connector.Record) (put []connector.SharedEntry) {
	positions := map[string]connector.Recorded{}
	for _, p := range r.Positions {
		part := connector.PartOf(p.Position.Stream)
		if old, ok := positions[part]; part != "" && (!ok || laterStream(p.Position.Stream, old.Position.Stream)) {
			positions[part] = p
		}
	}
	moved := map[string]bool{}
	for i := range r.Done {
		d := &r.Done[i]
		if p, ok := positions[d.Stream]; ok && d.ID.Commit < p.Position.Offset {
			moved[d.Stream] = true
			continue
		}
		key := sharedKey(d.Stream, "done", doneKey(d))
		s.done[d.Stream] = append(s.done[d.Stream], doneKeyAt{key, d.ID.Commit})
		put = append(put, connector.SharedEntry{Key: key, Value: encodeDone(d)})
	}
	for i := range r.Settling {
		x := &r.Settling[i]
		put = s.putOne(put, x.Part, "settling", userKey(x.User), encodeSettling(x))
	}
	for i := range r.Held {
		x := &r.Held[i]
		put = s.putOne(put, x.Part, "held", userKey(x.User), encodeHeld(x))
	}
	for _, id := range r.Renamed {
		put = append(put, connector.SharedEntry{Key: "renamed/" + hex.EncodeToString(hash(id)), Value: encodeName(id)})
	}
	for i := range r.Paused {
		if p := &r.Paused[i]; p.Reason == connector.PauseTruncate && !s.paused[p.Model] {
			s.paused[p.Model] = true
			put = append(put, connector.SharedEntry{Key: "pause/" + p.Model, Value: encodePause(p)})
		}
	}
	var ends []connector.SharedEntry
	for part, p := range positions {
		kept := s.done[part][:0]
		for _, d := range s.done[part] {
			if d.commit >= p.Position.Offset {
				kept = append(kept, d)
				continue
			}
			moved[part] = true
			ends = append(ends, connector.SharedEntry{Key: d.key})
		}
		if s.done[part] = kept; len(kept) == 0 {
			delete(s.done, part)
		}
		if moved[part] {
			put = append(put, connector.SharedEntry{Key: "part/" + part + "/pos", Value: encodeRecorded(&p)})
		}
	}
	put = append(put, ends...)
	for _, part := range r.Undone {
		for _, d := range s.done[part] {
			put = append(put, connector.SharedEntry{Key: d.key})
		}
		delete(s.done, part)
	}
	for _, u := range r.Settled {
		put = s.endOne(put, "settling", userKey(u))
	}
	for _, u := range r.Released {
		put = s.endOne(put, "held", userKey(u))
	}
	for _, id := range r.Freed {
		put = append(put, connector.SharedEntry{Key: "renamed/" + hex.EncodeToString(hash(id))})
	}
	for _, m := range r.Resumed {
		delete(s.paused, m)
		put = append(put, connector.SharedEntry{Key: "pause/" + m})
	}
	return put
}

// laterStream tells whether a is a later assignment than b of the same partition.
func laterStream(a, b string) bool {
	_, n, _ := assignment(a)
	_, m, _ := assignment(b)
	return n > m
}

func (s *Shared) putOne(put []connector.SharedEntry, part, kind string, id, value []byte) []connector.SharedEntry {
	if part == "" {
		return put
	}
	key := sharedKey(part, kind, id)
	s.note(part, kind+string(id), key)
	return append(put, connector.SharedEntry{Key: key, Value: value})
}

// note keeps in mind that something of this process is in the store. What was there under the same key is replaced. The lock is held.
func (s *Shared) note(part, name, key string) {
	if s.items[part] == nil {
		s.items[part] = map[string]string{}
	}
	if old, ok := s.names[key]; ok && old != name {
		delete(s.items[part], old)
	}
	s.items[part][name] = key
	s.names[key] = name
}

// endOne ends what a user has in the store, of whichever partitions. The lock is held.
func (s *Shared) endOne(put []connector.SharedEntry, kind string, id []byte) []connector.SharedEntry {
	return s.endNamed(put, kind+string(id))
}

func (s *Shared) endNamed(put []connector.SharedEntry, name string) []connector.SharedEntry {
	for part, items := range s.items {
		key, ok := items[name]
		if !ok {
			continue
		}
		delete(items, name)
		delete(s.names, key)
		put = append(put, connector.SharedEntry{Key: key})
		if len(items) == 0 {
			delete(s.items, part)
		}
	}
	return put
}

// Heard takes in what another process put, of pauses and of erased users alone: they hold for all.
func (s *Shared) Heard(key string, value []byte) {
	if strings.HasPrefix(key, erasedPrefix) && value != nil {
		s.heardErased(value)
		return
	}
	model, ok := strings.CutPrefix(key, "pause/")
	if !ok {
		return
	}
	var pause *connector.Pause
	if value != nil {
		p, err := decodePause(value)
		if err != nil {
			s.log.Warn("read a pause that another process put", "model", model, "err", err)
			return
		}
		pause = &p
	}
	s.mu.Lock()
	s.state.Paused = slices.DeleteFunc(s.state.Paused, func(p connector.Pause) bool { return p.Model == model && p.Reason == connector.PauseTruncate })
	if pause == nil {
		delete(s.paused, model)
	} else {
		s.paused[model] = true
		s.state.Paused = append(s.state.Paused, *pause)
	}
	s.mu.Unlock()
	if s.on != nil {
		s.on(model, pause)
	}
}

var keyShared = []byte("shared")

// sharedIn is the name of the store that what belongs to partitions was put into, "" for none.
func (d *Data) sharedIn() (topic string, err error) {
	err = d.journal.view(func(tx *bbolt.Tx) error {
		b, err := bucketHead.get(tx, keyShared)
		topic = string(bytes.Clone(b))
		return err
	})
	return topic, err
}

func (d *Data) shareIn(topic string) error {
	return d.journal.update(func(tx *bbolt.Tx) error { return bucketHead.put(tx, keyShared, []byte(topic)) })
}
