package main

import (
	"sync"

	"brazecdc/connector"
)

// maxNotes bounds the kinds of notes kept of one model: fields and reasons come from closed lists, so more of them would be a fault of ours.
const maxNotes = 1000

// noteKey is a field of a model and why it was left out.
type noteKey struct{ field, reason string }

// tally counts what a mapping passed over and left out. It may be used concurrently.
type tally struct {
	mu     sync.Mutex
	notes  []map[noteKey]uint64
	passes []map[string]uint64
}

func newTally(models []connector.Model) *tally {
	t := &tally{notes: make([]map[noteKey]uint64, len(models)), passes: make([]map[string]uint64, len(models))}
	for i := range models {
		t.notes[i], t.passes[i] = map[noteKey]uint64{}, map[string]uint64{}
	}
	return t
}

// note is a mapping's Note.
func (t *tally) note(model int, field, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := noteKey{field, reason}
	if _, ok := t.notes[model][k]; !ok && len(t.notes[model]) >= maxNotes {
		k = noteKey{"", "other"}
	}
	t.notes[model][k]++
}

// passed is a mapping's Passed.
func (t *tally) passed(model int, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passes[model][why]++
}

// noted gives a copy of one model's notes.
func (t *tally) noted(model int) map[noteKey]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[noteKey]uint64, len(t.notes[model]))
	for k, n := range t.notes[model] {
		out[k] = n
	}
	return out
}

// filtered is how many changes were nothing for a model, for whichever reason.
func (t *tally) filtered(model int) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n uint64
	for _, k := range t.passes[model] {
		n += k
	}
	return n
}
