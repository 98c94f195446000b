package envelope

import (
	"strings"
	"sync"
	"sync/atomic"

	"brazecdc/connector"
)

// tombstone makes of a null what it means: nothing behind the delete of its key, else the delete itself (of a compacted topic, or of plain rows).
func (d *Decoder) tombstone(w *worker, dst []connector.Change, t *topic, rec *Record, key []keyPart) ([]connector.Change, Skip, error) {
	if t.append {
		return dst, SkipAppend, nil
	}
	if _, moved := rec.header("__debezium.newkey"); moved {
		return dst, SkipKeyChange, nil
	}
	switch {
	case len(key) > 0:
	case t.deleted.followed(rec, ""):
		return dst, SkipTombstone, nil
	case rec.Key == nil: // such as Debezium's tombstone behind the delete of a table without a key, read after a restart: the delete itself named the row
		return dst, SkipEmpty, nil
	default:
		return dst, NoSkip, poison("its key is empty, and it has no value")
	}
	var source any = foundJSON
	if last := t.current.Load(); last != nil {
		source = last.source
	}
	v, err := t.version(source, key)
	if err != nil {
		return dst, NoSkip, err
	}
	id, cells, err := v.keyRow(w, key)
	if err != nil {
		return dst, NoSkip, err
	}
	if t.deleted.followed(rec, id) {
		return dst, SkipTombstone, nil
	}
	return append(dst, connector.Change{Key: connector.Key{Table: t.name, ID: id}, Op: connector.Delete, Before: connector.Row{Table: v.table, Cells: cells},
		Time: rec.Timestamp, ID: connector.ChangeID{Commit: uint64(rec.Offset)}}), NoSkip, nil
}

// deletions remembers the last deletes of each partition, to know the tombstones that follow them.
type deletions struct {
	any  atomic.Bool // false: there never was one
	mu   sync.Mutex
	last map[int32]*[remembered]deletion
}

type deletion struct {
	id     string
	offset int64
	set    bool
}

// remembered is how many deletes of a partition are kept. Debezium writes the tombstone right behind the delete; between them stand at most the records of other
// writers.
const remembered = 16

func (d *deletions) remember(rec *Record, id string) {
	if rec.Key == nil {
		id = ""
	}
	d.any.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = map[int32]*[remembered]deletion{}
	}
	ring := d.last[rec.Partition]
	if ring == nil {
		ring = new([remembered]deletion)
		d.last[rec.Partition] = ring
	}
	copy(ring[1:], ring[:])
	ring[0] = deletion{strings.Clone(id), rec.Offset, true}
}

// followed tells whether a tombstone follows the delete of its row.
func (d *deletions) followed(rec *Record, id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	ring := d.last[rec.Partition]
	if ring == nil {
		return false
	}
	for i := range ring {
		if ring[i].set && ring[i].id == id && rec.Offset > ring[i].offset && rec.Offset-ring[i].offset < 1000 {
			ring[i] = deletion{}
			return true
		}
	}
	return false
}

// forget is for a row that is there again: a tombstone after it is a delete of its own.
func (d *deletions) forget(rec *Record, id string) {
	if !d.any.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ring := d.last[rec.Partition]
	if ring == nil {
		return
	}
	for i := range ring {
		if ring[i].set && ring[i].id == id {
			ring[i] = deletion{}
		}
	}
}
