package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"strconv"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// The parts of the journal. Keys are hashes of what the value is put by, except in bucketDone.
const (
	bucketPosition bucket = "position"
	bucketLoad     bucket = "load"
	bucketDone     bucket = "done" // by stream, then commit, so that pruning takes a range
	bucketSettling bucket = "settling"
	bucketHeld     bucket = "held"
	bucketPaused   bucket = "paused"
	bucketRenamed  bucket = "renamed"
	bucketModel    bucket = "model"
)

var journalBuckets = []bucket{
	bucketPosition, bucketLoad, bucketDone, bucketSettling, bucketHeld, bucketPaused, bucketRenamed, bucketModel,
	bucketBrake, bucketErased,
}

func userKey(u connector.User) []byte { return hash(string(rune(u.Kind)), u.ID, u.Label) }

func doneKey(i *connector.DoneID) []byte {
	k := binary.BigEndian.AppendUint64(hash(i.Stream), i.ID.Commit)
	k = binary.BigEndian.AppendUint32(k, i.ID.N)
	return append(k, hash(i.Table, i.Kind.String(), string(userKey(i.User)), i.Model, strconv.FormatUint(i.Row, 16))...)
}

// loadStream is the name of the stream that carries a load's chunks, see connector.Load.
func loadStream(id string) string { return "load/" + id }

// Apply makes all of r durable, or nothing of it: after an error the folder holds what it held before, and the same or another record may be applied once
// the cause is gone. Where members of r name one user, model or load both as ended and as put, it is put: what ends is written first. Memory of changes
// whose position is passed by what is then recorded is pruned; the end of a load takes the positions of its stream along, and the position of an assignment of a
// partition those of the partition's earlier ones.
//
// A position below the recorded one, a folder opened for reading and a context that has ended are errors; a full disk and damage give a
// *connector.StopError. One Apply runs at a time, others wait.
func (d *Data) Apply(ctx context.Context, r *connector.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	positions := make(map[string]uint64, len(r.Positions))
	for i := range r.Positions {
		p := r.Positions[i].Position
		had, ok := positions[p.Stream]
		if !ok {
			had, ok = d.positions[p.Stream]
		}
		if ok && p.Offset < had {
			return fmt.Errorf("record position %d of stream %q: %d is recorded already, and positions never go back", p.Offset, p.Stream, had)
		}
		positions[p.Stream] = p.Offset
	}
	old := superseded(positions, d.positions)
	err := d.journal.update(func(tx *bbolt.Tx) error {
		current := maps.Clone(positions) // a late word of an earlier assignment ends no memory
		for _, s := range old {
			delete(current, s)
		}
		if err := applyRecord(tx, r, d.positions, current); err != nil {
			return err
		}
		return forgetAssignments(tx, old)
	})
	if err != nil {
		return err
	}
	for _, id := range r.DropLoads {
		delete(d.positions, loadStream(id))
	}
	maps.Copy(d.positions, positions)
	for _, s := range old {
		delete(d.positions, s)
	}
	return nil
}

func applyRecord(tx *bbolt.Tx, r *connector.Record, recorded, positions map[string]uint64) error {
	if err := applyEnds(tx, r); err != nil {
		return err
	}
	if err := applyPuts(tx, r); err != nil {
		return err
	}
	dropped := make(map[string]bool, len(r.DropLoads))
	for _, id := range r.DropLoads {
		dropped[loadStream(id)] = true
	}
	lasting := map[string]uint64{}
	for _, m := range []map[string]uint64{recorded, positions} {
		for stream, offset := range m {
			if !dropped[stream] {
				lasting[connector.Lasting(stream)] = offset
			}
		}
	}
	for i := range r.Done {
		id := &r.Done[i]
		if offset, ok := lasting[id.Stream]; ok && id.ID.Commit < offset {
			continue
		}
		if err := bucketDone.put(tx, doneKey(id), encodeDone(id)); err != nil {
			return err
		}
	}
	for stream, offset := range positions {
		if err := prune(tx, connector.Lasting(stream), offset); err != nil {
			return err
		}
	}
	sequence, err := number(tx, keySequence)
	if err != nil {
		return err
	}
	var clean uint64
	if r.Clean {
		clean = 1
	}
	if err = putNumber(tx, keyClean, clean); err != nil {
		return err
	}
	return putNumber(tx, keySequence, sequence+1)
}

func applyEnds(tx *bbolt.Tx, r *connector.Record) error {
	for _, id := range r.DropLoads {
		if err := bucketLoad.delete(tx, hash(id)); err != nil {
			return err
		}
		if err := bucketPosition.delete(tx, hash(loadStream(id))); err != nil {
			return err
		}
		if err := prune(tx, loadStream(id), math.MaxUint64); err != nil {
			return err
		}
	}
	for _, name := range r.Undone {
		if err := prune(tx, name, math.MaxUint64); err != nil {
			return err
		}
	}
	for _, u := range r.Settled {
		if err := bucketSettling.delete(tx, userKey(u)); err != nil {
			return err
		}
	}
	for _, u := range r.Released {
		if err := bucketHeld.delete(tx, userKey(u)); err != nil {
			return err
		}
	}
	for _, m := range r.Resumed {
		if err := bucketPaused.delete(tx, hash(m)); err != nil {
			return err
		}
	}
	for _, id := range r.Freed {
		if err := bucketRenamed.delete(tx, hash(id)); err != nil {
			return err
		}
	}
	return nil
}

func applyPuts(tx *bbolt.Tx, r *connector.Record) error {
	if err := putPositions(tx, r.Positions); err != nil {
		return err
	}
	for i := range r.Loads {
		if err := bucketLoad.put(tx, hash(r.Loads[i].ID), encodeLoad(&r.Loads[i])); err != nil {
			return err
		}
	}
	for i := range r.Settling {
		if err := bucketSettling.put(tx, userKey(r.Settling[i].User), encodeSettling(&r.Settling[i])); err != nil {
			return err
		}
	}
	for i := range r.Held {
		if err := bucketHeld.put(tx, userKey(r.Held[i].User), encodeHeld(&r.Held[i])); err != nil {
			return err
		}
	}
	for i := range r.Paused {
		if err := bucketPaused.put(tx, hash(r.Paused[i].Model), encodePause(&r.Paused[i])); err != nil {
			return err
		}
	}
	for _, id := range r.Renamed {
		if err := bucketRenamed.put(tx, hash(id), encodeName(id)); err != nil {
			return err
		}
	}
	for i := range r.Models {
		if err := bucketModel.put(tx, hash(r.Models[i].Name), encodeModel(&r.Models[i])); err != nil {
			return err
		}
	}
	return putBrakes(tx, r.Brakes)
}

// putPositions keeps the memo of a stream whose new position carries none.
func putPositions(tx *bbolt.Tx, positions []connector.Recorded) error {
	for i := range positions {
		r := positions[i]
		key := hash(r.Position.Stream)
		if r.Memo == nil {
			b, err := bucketPosition.get(tx, key)
			if err != nil {
				return err
			}
			if b != nil {
				last, err := decodeRecorded(b)
				if err != nil {
					return bucketPosition.damage(key, err.Error())
				}
				r.Memo = last.Memo
			}
		}
		if err := bucketPosition.put(tx, key, encodeRecorded(&r)); err != nil {
			return err
		}
	}
	return nil
}

// prune forgets the changes of a stream that its recorded position has passed: those whose commit is below it. For a slot the position is a commit's end
// and the change carries the commit's beginning; for a topic the position is one behind the change's offset.
func prune(tx *bbolt.Tx, stream string, offset uint64) error {
	bk, err := bucketDone.in(tx)
	if err != nil {
		return err
	}
	prefix := hash(stream)
	end := binary.BigEndian.AppendUint64(bytes.Clone(prefix), offset)
	var passed [][]byte
	c := bk.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
		passed = append(passed, bytes.Clone(k))
	}
	for _, k := range passed {
		if err := bucketDone.delete(tx, k); err != nil {
			return err
		}
	}
	return nil
}

// readState reads and checks all of a journal.
func readState(f *file) (*connector.State, error) {
	s := &connector.State{New: true}
	err := f.view(func(tx *bbolt.Tx) error {
		sequence, err := number(tx, keySequence)
		if err != nil {
			return err
		}
		clean, err := number(tx, keyClean)
		if err != nil {
			return err
		}
		s.New, s.Clean = sequence == 0, clean == 1
		return firstError(
			collect(tx, bucketPosition, decodeRecorded, &s.Positions),
			collect(tx, bucketLoad, decodeLoad, &s.Loads),
			collect(tx, bucketDone, decodeDone, &s.Done),
			collect(tx, bucketSettling, decodeSettling, &s.Settling),
			collect(tx, bucketHeld, decodeHeld, &s.Held),
			collect(tx, bucketBrake, decodeBrake, &s.Brakes),
			collect(tx, bucketPaused, decodePause, &s.Paused),
			collect(tx, bucketRenamed, decodeName, &s.Renamed),
			collect(tx, bucketModel, decodeModel, &s.Models),
		)
	})
	return s, err
}

func collect[T any](tx *bbolt.Tx, b bucket, decode func([]byte) (T, error), into *[]T) error {
	return b.each(tx, func(_, value []byte) error {
		v, err := decode(value)
		if err == nil {
			*into = append(*into, v)
		}
		return err
	})
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
