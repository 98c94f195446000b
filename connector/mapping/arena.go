package mapping

import "brazecdc/connector"

// The sizes of an arena's pieces: small, since an effect that waits long keeps its piece alive.
const (
	jsonPiece  = 4096
	jsonSpare  = 256 // a field is begun only where this much is free, so that few are copied on growth
	fieldPiece = 64
)

// arena hands out the memory of effects in pieces, so that a row costs a fraction of an allocation. Pieces are never used again: the garbage
// collector takes one when its last effect is done.
type arena struct {
	json   []byte
	fields []connector.Field
	old    []byte // scratch for old values
	cells  []connector.Cell
}

// fieldRun gives an empty slice with room for n fields.
func (a *arena) fieldRun(n int) []connector.Field {
	if cap(a.fields)-len(a.fields) < n {
		a.fields = make([]connector.Field, 0, max(n, fieldPiece))
	}
	return a.fields[len(a.fields):len(a.fields):cap(a.fields)]
}

// keepFields makes a run the effect's own and caps it, so that nothing appended to it later reaches its neighbour.
func (a *arena) keepFields(run []connector.Field) []connector.Field {
	a.fields = a.fields[:len(a.fields)+len(run)]
	return run[:len(run):len(run)]
}

// room gives the buffer to append a value to; kept is called with the result.
func (a *arena) room() []byte {
	if cap(a.json)-len(a.json) < jsonSpare {
		a.json = make([]byte, 0, jsonPiece)
	}
	return a.json
}

// kept stores a buffer that grew from room and gives the value appended to it.
func (a *arena) kept(b []byte) []byte {
	from := len(a.json)
	if cap(b) != cap(a.json) {
		// It outgrew the piece: the value moves out, and the piece is used on.
		return append([]byte(nil), b[from:]...)
	}
	a.json = b
	return b[from:len(b):len(b)]
}

// fill gives after with those absent cells filled that before knows: what an update left untouched is what it was.
func (a *arena) fill(after, before connector.Row, cols []int) connector.Row {
	if before.Table != after.Table {
		return after
	}
	copied := false
	for _, i := range cols {
		if after.Cells[i].State != connector.Absent || before.Cells[i].State == connector.Absent {
			continue
		}
		if !copied {
			a.cells = append(a.cells[:0], after.Cells...)
			after.Cells, copied = a.cells, true
		}
		after.Cells[i] = before.Cells[i]
	}
	return after
}
