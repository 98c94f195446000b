package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// readBuffer is how much is read from the socket at once. What one read brings is handed over together.
	readBuffer = 256 << 10
	// maxMessage is above the largest row Postgres can send (1 GiB) and bounds what a broken server can make us allocate.
	maxMessage = 1<<30 + 1<<26
	// While the server sends a little at a time without a pause, as it does with many small transactions, a rest before the next read lets more come
	// together: else each transaction costs both sides a system call and a switch. What was read before is handed over already, and a change
	// that comes after a pause is read at once.
	littleRead = 32 << 10
	noPause    = 2 * time.Millisecond
	rest       = time.Millisecond
	// writeTimeout bounds one status update; a server that takes none for so long is gone.
	writeTimeout = 20 * time.Second
)

// wire is a replication connection in copy mode. One goroutine reads; writes are serialised.
type wire struct {
	conn net.Conn
	pid  uint32

	buf  []byte
	r, w int
	read func(n int) // counts bytes

	little bool      // the last read brought little
	swift  bool      // and hardly any time passed since the one before
	last   time.Time // when it returned

	// reading is set to the time of a read that waits, so that a silent link is told from a reader that is held back.
	mu      sync.Mutex
	reading time.Time
	gaveUp  atomic.Bool // it was closed for its silence

	out sync.Mutex
}

// newWire takes over an established replication connection.
func newWire(c *pgconn.PgConn, count func(int)) (*wire, error) {
	h, err := c.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the replication connection: %w", err)
	}
	return &wire{conn: h.Conn, pid: h.PID, buf: make([]byte, readBuffer), read: count}, nil
}

// next gives the next message. Its body is valid until the following call. Buffered tells beforehand whether it can be had without waiting.
func (w *wire) next() (kind byte, body []byte, err error) {
	for {
		if n := w.r + 5; n <= w.w {
			size := int(binary.BigEndian.Uint32(w.buf[w.r+1:]))
			if size < 4 || size > maxMessage {
				return 0, nil, fmt.Errorf("server sent a message of %d bytes", size)
			}
			if end := w.r + 1 + size; end <= w.w {
				kind, body = w.buf[w.r], w.buf[n:end:end]
				w.r = end
				return kind, body, nil
			}
			w.room(1 + size)
		} else {
			w.room(5)
		}
		if err := w.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// buffered tells whether a whole message is at hand.
func (w *wire) buffered() bool {
	if w.r+5 > w.w {
		return false
	}
	size := int(binary.BigEndian.Uint32(w.buf[w.r+1:]))
	return size >= 4 && w.r+1+size <= w.w
}

// room makes place for a message of n bytes that begins at r.
func (w *wire) room(n int) {
	switch {
	case w.r == w.w && len(w.buf) > readBuffer && n <= readBuffer:
		w.buf, w.r, w.w = make([]byte, readBuffer), 0, 0 // after a giant row
	case w.r == w.w:
		w.r, w.w = 0, 0
	}
	if len(w.buf)-w.r >= n && w.w < len(w.buf) {
		return
	}
	to := w.buf
	if n > len(w.buf) {
		to = make([]byte, n+readBuffer/4)
	}
	w.w = copy(to, w.buf[w.r:w.w])
	w.buf, w.r = to, 0
}

func (w *wire) fill() error {
	w.setReading(time.Now())
	if w.little && w.swift {
		time.Sleep(rest)
	}
	n, err := w.conn.Read(w.buf[w.w:])
	end := time.Now()
	w.setReading(time.Time{})
	w.little, w.swift = n < littleRead, end.Sub(w.last) < noPause+rest
	w.last = end
	w.w += n
	if w.read != nil {
		w.read(n)
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		err = errors.New("empty read")
	}
	return fmt.Errorf("read from the server: %w", err)
}

func (w *wire) setReading(t time.Time) {
	w.mu.Lock()
	w.reading = t
	w.mu.Unlock()
}

// silent is for how long a read has been waiting.
func (w *wire) silent(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading.IsZero() {
		return 0
	}
	return now.Sub(w.reading)
}

// send writes one frontend message.
func (w *wire) send(msg []byte) error {
	w.out.Lock()
	defer w.out.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(msg)
	return err
}

func (w *wire) close() { _ = w.conn.Close() }

// start sends START_REPLICATION and waits for the stream to begin.
func (w *wire) start(ctx context.Context, sql string) error {
	msg, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	if err := w.send(msg); err != nil {
		return fmt.Errorf("send START_REPLICATION: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetReadDeadline(time.Now()) })
	defer stop()
	for {
		kind, body, err := w.next()
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		switch kind {
		case 'W':
			return nil
		case 'E':
			return serverError(body)
		case 'N', 'S':
		default:
			return fmt.Errorf("server answered START_REPLICATION with the unexpected message %q", kind)
		}
	}
}

func serverError(body []byte) error {
	var e pgproto3.ErrorResponse
	if err := e.Decode(body); err != nil {
		return fmt.Errorf("read the server's error: %w", err)
	}
	return pgconn.ErrorResponseToPgError(&e)
}

// copyDone ends the stream in good order.
func copyDone() []byte {
	return []byte{'c', 0, 0, 0, 4}
}

var errZeroStatus = errors.New("status update without a position")

// statusUpdate is the only place that builds a standby status update. All three positions are always filled: the server takes a zero flush
// for "nothing", and other clients copied the received position into it. written is what was received, flushed what the pipeline recorded
// and committed.
func statusUpdate(written, flushed uint64, now time.Time, reply bool) ([]byte, error) {
	if written == 0 || flushed == 0 {
		return nil, errZeroStatus
	}
	if written < flushed {
		written = flushed
	}
	b := make([]byte, 0, 39)
	b = append(b, 'd')
	b = binary.BigEndian.AppendUint32(b, 38)
	b = append(b, 'r')
	b = binary.BigEndian.AppendUint64(b, written)
	b = binary.BigEndian.AppendUint64(b, flushed)
	b = binary.BigEndian.AppendUint64(b, flushed)
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMicro()-pgEpochMicros))
	if reply {
		return append(b, 1), nil
	}
	return append(b, 0), nil
}
