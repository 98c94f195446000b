package mapping

import (
	"hash/maphash"
	"sync/atomic"

	"brazecdc/connector"
)

// recentRows is how many of a model's latest new rows are remembered to find those that share an identifier.
const recentRows = 8192

// twinNote is the note of a row whose identifier another row has too, if blanks are dropped.
const twinNote = "another row has the same identifier once blanks are dropped, and both change one user; brazecdc check names them"

// twins finds rows that have one identifier only because the blanks around it are dropped: the table's own keys do not keep them apart, and each overwrites
// what the other brought. It remembers new rows by hashes, in one word each: 32 bits of the identifier's, 31 of the row key's, and whether blanks were dropped. A
// later row takes the place of one whose identifier falls on the same word. Its methods may be called concurrently.
type twins struct {
	rows [recentRows]atomic.Uint64
}

var twinSeed = maphash.MakeSeed()

func twinWord(id, key string, trimmed bool) (place int, word uint64) {
	h := maphash.String(twinSeed, id)
	word = h&^(1<<32-1) | maphash.String(twinSeed, key)&(1<<32-2)
	if trimmed {
		word |= 1
	}
	return int(h % recentRows), word
}

// see notes a row, and tells whether another one has its identifier, one of the two with blanks.
func (t *twins) see(id, key string, trimmed bool) bool {
	place, word := twinWord(id, key, trimmed)
	old := t.rows[place].Swap(word)
	return old>>32 == word>>32 && (old^word)&(1<<32-2) != 0 && (old|word)&1 != 0
}

// drop forgets a row that does not have the identifier any more.
func (t *twins) drop(id, key string) {
	place, word := twinWord(id, key, false)
	t.rows[place].CompareAndSwap(word, 0)
	t.rows[place].CompareAndSwap(word|1, 0)
}

// otherRows is what more than connector.IDs a pipeline knows of its rows.
type otherRows interface {
	// Other tells whether a user is known to have been sent as another row of the model than that of the key.
	Other(model int, key connector.Key, u connector.User) bool
}

// named notes what is to be said of a row's identifier. starts: the row is new to the model, or has another identifier than before.
func (j *job) named(id identity, row connector.Row, starts bool) {
	mo := j.p.m
	if id.note != "" {
		j.m.cfg.Note(mo.index, "external_id", id.note)
	}
	if mo.twins == nil || !starts && id.note == "" {
		return
	}
	key := j.key
	if key.ID == "" {
		key = connector.KeyOf(row) // of a row that was read
	}
	if mo.twins.see(id.user.ID, key.ID, id.note != "") {
		j.m.cfg.Note(mo.index, "external_id", twinNote)
		return
	}
	// Where a user's profile lives as long as its row does, the store tells of those that came before.
	if id.note == "" || j.c == nil || j.c.Op != connector.Insert || !mo.sync || mo.info.Filter {
		return
	}
	if o, ok := j.ids.(otherRows); ok && o.Other(mo.index, key, id.user) {
		j.m.cfg.Note(mo.index, "external_id", twinNote)
	}
}

// unnamed forgets the identifier of a row that is gone or has another one now.
func (j *job) unnamed(u connector.User) {
	if mo := j.p.m; mo.twins != nil && j.c != nil {
		mo.twins.drop(u.ID, j.c.Key.ID)
		if j.c.OldKey != (connector.Key{}) {
			mo.twins.drop(u.ID, j.c.OldKey.ID)
		}
	}
}
