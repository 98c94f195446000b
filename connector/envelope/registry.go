package envelope

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// unknownFor is how long an id that the registry does not know is not asked for again.
const unknownFor = 5 * time.Second

// registry keeps the schemas that were asked for, by id.
type registry struct {
	lookup SchemaLookup
	now    func() time.Time
	known  sync.Map // uint32 -> *avroSchema
	mu     sync.Mutex
	bad    map[uint32]badSchema
}

type badSchema struct {
	reason string
	until  time.Time // zero: for ever
}

// maxBad bounds the memory for ids that do not work.
const maxBad = 10000

func (r *registry) get(ctx context.Context, id uint32) (*avroSchema, error) {
	if s, ok := r.known.Load(id); ok {
		return s.(*avroSchema), nil
	}
	r.mu.Lock()
	bad, ok := r.bad[id]
	r.mu.Unlock()
	if ok && (bad.until.IsZero() || r.now().Before(bad.until)) {
		return nil, poison(bad.reason)
	}
	if r.lookup == nil {
		return nil, poisonf("it is Avro with schema %d, and no schema registry is configured", id)
	}
	text, err := r.lookup.Schema(ctx, id)
	var unusable *UnusableSchemaError
	switch {
	case errors.As(err, &unusable):
		return nil, r.refuse(id, badSchema{unusable.Reason, r.now().Add(unknownFor)})
	case errors.Is(err, ErrUnknownSchema):
		return nil, r.refuse(id, badSchema{fmt.Sprintf("the schema registry does not know schema %d", id), r.now().Add(unknownFor)})
	case err != nil:
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Wait{id, err}
	}
	s, err := newAvroSchema(text.Text, text.References...)
	if err != nil {
		return nil, r.refuse(id, badSchema{fmt.Sprintf("schema %d: %v", id, err), time.Time{}})
	}
	got, _ := r.known.LoadOrStore(id, s)
	return got.(*avroSchema), nil
}

func (r *registry) refuse(id uint32, b badSchema) error {
	r.mu.Lock()
	if r.bad == nil || len(r.bad) >= maxBad {
		r.bad = map[uint32]badSchema{}
	}
	r.bad[id] = b
	r.mu.Unlock()
	return poison(b.reason)
}

// idHeaders are the headers by which Apicurio's converter names a schema.
type idHeaders struct{ content, global string }

var (
	keyHeaders   = idHeaders{"apicurio.key.contentId", "apicurio.key.globalId"}
	valueHeaders = idHeaders{"apicurio.value.contentId", "apicurio.value.globalId"}
)

// schemaID tells which schema bytes were written with: by Apicurio's header, else by Confluent's prefix (a zero, four bytes of id). ok is false where neither is there.
// The registry is asked by Confluent's interface, where Apicurio takes a number for a contentId: by a globalId it would give another schema, or none.
func schemaID(rec *Record, b []byte, headers *idHeaders) (id uint32, rest []byte, ok bool, err error) {
	if h, found := rec.header(headers.content); found {
		if len(h) != 8 || binary.BigEndian.Uint64(h) > 1<<32-1 {
			return 0, nil, false, poisonf("the header %s holds no usable id", headers.content)
		}
		return uint32(binary.BigEndian.Uint64(h)), b, true, nil
	}
	if _, found := rec.header(headers.global); found {
		return 0, nil, false, poisonf("the header %s names its schema by Apicurio's globalId, under which Confluent's interface has another; "+
			"set apicurio.registry.use-id to contentId at the producer's converter, or let it write Confluent's wire format", headers.global)
	}
	if len(b) >= 5 && b[0] == 0 {
		return binary.BigEndian.Uint32(b[1:]), b[5:], true, nil
	}
	return 0, nil, false, nil
}
