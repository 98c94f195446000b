package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
)

// fakeSource is a Source whose stream is one end of a pipe; the test plays the walsender on the other. The catalog is a real one.
func fakeSource(t *testing.T, interval time.Duration) (*Source, *fakeSender, *db) {
	t.Helper()
	d := newDB(t, usersSQL)
	s, err := New(d.config(func(c *Config) { c.StatusInterval = interval }))
	if err != nil {
		t.Fatal(err)
	}
	err = s.main.with(testContext(t), func(c *pgconnConn) error {
		sh, err := findTable(testContext(t), c, "public.users")
		if err == nil {
			s.tables.want(sh, "public.users")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.memo = memo{system: "1", unseen: s.seen}
	s.done.pos = 100
	s.committed.Store(100)
	s.received.Store(100)
	client, server := net.Pipe()
	w := &wire{conn: client, buf: make([]byte, readBuffer)}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fakeSender{t: t, conn: server, oid: uint32(mustAtoi(t, d.text("'users'::regclass::oid"))), status: make(chan status, 1000)}
	go f.read()
	s.cancel = cancel
	s.wg.Go(func() {
		if err := s.readStream(ctx, w); ctx.Err() == nil {
			s.fail(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		_ = s.Close(testContext(t))
	})
	return s, f, d
}

type status struct{ write, flush, apply uint64 }

type fakeSender struct {
	t      *testing.T
	conn   net.Conn
	oid    uint32
	status chan status
	err    error   // of the sending goroutine
	later  *[]byte // not nil: messages are collected here instead of sent
}

func (f *fakeSender) read() {
	for {
		var head [5]byte
		if _, err := io.ReadFull(f.conn, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(f.conn, body); err != nil {
			return
		}
		if head[0] == 'd' && len(body) == 34 && body[0] == 'r' {
			select {
			case f.status <- status{binary.BigEndian.Uint64(body[1:]), binary.BigEndian.Uint64(body[9:]), binary.BigEndian.Uint64(body[17:])}:
			default:
			}
		}
	}
}

func (f *fakeSender) send(payload []byte) {
	msg := binary.BigEndian.AppendUint32([]byte{'d'}, uint32(len(payload)+4))
	if f.later != nil {
		*f.later = append(append(*f.later, msg...), payload...)
		return
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(testTime))
	if _, err := f.conn.Write(append(msg, payload...)); err != nil {
		f.err = err // the connection is gone; the test sees what follows from it
	}
}

func (f *fakeSender) wal(end uint64, payload []byte) {
	b := []byte{'w'}
	b = binary.BigEndian.AppendUint64(b, end)
	b = binary.BigEndian.AppendUint64(b, end)
	b = binary.BigEndian.AppendUint64(b, 0)
	f.send(append(b, payload...))
}

func (f *fakeSender) keepalive(end uint64, reply bool) {
	b := binary.BigEndian.AppendUint64([]byte{'k'}, end)
	b = binary.BigEndian.AppendUint64(b, 0)
	f.send(append(b, map[bool]byte{true: 1}[reply]))
}

func (f *fakeSender) insert(at, end uint64, id string) {
	f.begin(at)
	f.relation()
	f.wal(at, insertMessage(f.oid, id))
	f.commit(at, end)
}

func (f *fakeSender) begin(at uint64) {
	b := binary.BigEndian.AppendUint64([]byte{'B'}, at)
	b = binary.BigEndian.AppendUint64(b, 0)
	f.wal(at, binary.BigEndian.AppendUint32(b, 7))
}

func (f *fakeSender) commit(at, end uint64) {
	b := binary.BigEndian.AppendUint64([]byte{'C', 0}, at)
	b = binary.BigEndian.AppendUint64(b, end)
	f.wal(end, binary.BigEndian.AppendUint64(b, 0))
}

func (f *fakeSender) relation() {
	b := binary.BigEndian.AppendUint32([]byte{'R'}, f.oid)
	b = append(b, "public\x00users\x00d\x00\x02\x01id\x00"...)
	b = binary.BigEndian.AppendUint32(b, oidInt8)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0)
	b = append(b, "email\x00"...)
	b = binary.BigEndian.AppendUint32(b, 25)
	f.wal(0, append(b, 0xff, 0xff, 0xff, 0xff))
}

func insertMessage(oid uint32, id string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'I'}, oid)
	b = append(b, 'N', 0, 2, 't')
	b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
	return append(append(b, id...), 'n')
}

func nextBatch(t *testing.T, s *Source) connector.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return b
}

func TestFakeWalsender(t *testing.T) {
	t.Run("cdc 1: every status has three positions, and flush stays before what is open", func(t *testing.T) {
		s, f, _ := fakeSource(t, 10*time.Millisecond)
		f.insert(500, 600, "1")
		b := nextBatch(t, s)
		f.keepalive(9000, true)
		f.keepalive(9500, true)
		for range 20 {
			st := <-f.status
			if st.write == 0 || st.flush == 0 || st.apply == 0 || st.flush >= 600 || st.apply >= 600 {
				t.Fatalf("status %+v while the change that commits at 600 is open", st)
			}
		}
		s.Commit(b.Position)
		for st := range f.status {
			if st.flush == 600 {
				break
			}
		}
		f.keepalive(10000, true)
		if b := nextBatch(t, s); b.Position.Offset != 10000 || len(b.Changes) != 0 {
			t.Errorf("idle position %+v, want 10000 without changes", b.Position)
		}
		for range 5 {
			if st := <-f.status; st.flush != 600 {
				t.Fatalf("status %+v before the idle position was committed", st)
			}
		}
		s.Commit(connector.Position{Stream: s.stream, Offset: 10000})
		for st := range f.status {
			if st.flush == 10000 {
				break
			}
		}
		if _, err := statusUpdate(5, 0, time.Now(), false); !errors.Is(err, errZeroStatus) {
			t.Errorf("a status update without flush was built: %v", err)
		}
		if _, err := statusUpdate(0, 5, time.Now(), false); !errors.Is(err, errZeroStatus) {
			t.Errorf("a status update without write was built: %v", err)
		}
	})
	t.Run("cdc 17: lower positions after a high keep-alive neither stop the stream nor lower the flush", func(t *testing.T) {
		s, f, _ := fakeSource(t, 10*time.Millisecond)
		f.keepalive(5000, true)
		b := nextBatch(t, s)
		s.Commit(b.Position)
		f.insert(3000, 3100, "1") // its begin lies before, as with overlapping transactions
		b = nextBatch(t, s)
		if len(b.Changes) != 1 || b.Position.Offset < 5000 {
			t.Errorf("got %d changes at %d", len(b.Changes), b.Position.Offset)
		}
		s.Commit(connector.Position{Stream: s.stream, Offset: 3100})
		for range 10 {
			if st := <-f.status; st.flush > 5000 || st.flush == 3100 {
				t.Fatalf("status %+v", st)
			}
		}
	})
	t.Run("cdc 5: the end of a transaction whose rows fill their part exactly follows at once", func(t *testing.T) {
		s, f, _ := fakeSource(t, time.Minute)
		f.keepalive(5000, true) // an idle position now, so that the next one would have to wait for its turn
		s.Commit(nextBatch(t, s).Position)
		var all []byte
		f.later = &all
		f.begin(6000)
		f.relation()
		for i := range maxChanges {
			f.wal(6000, insertMessage(f.oid, fmt.Sprint(i)))
		}
		f.commit(6000, 6100)
		f.later = nil
		if _, err := f.conn.Write(all); err != nil {
			t.Fatal(err)
		}
		if b := nextBatch(t, s); len(b.Changes) != maxChanges || b.Position.Offset != 5000 {
			t.Errorf("%d changes at %d", len(b.Changes), b.Position.Offset)
		}
		if b := nextBatch(t, s); len(b.Changes) != 0 || b.Position.Offset != 6100 {
			t.Errorf("%d changes at %d, want none at 6100", len(b.Changes), b.Position.Offset)
		}
	})
	for name, payload := range map[string][]byte{"an unknown message": {'~', 1, 2, 3}, "a row of an unknown table": insertMessage(1, "x"), "a truncated begin": {'B', 0}, "an empty relation": {'R'}} {
		t.Run("cdc 38: "+name+" stops with its bytes", func(t *testing.T) {
			s, f, _ := fakeSource(t, time.Second)
			f.begin(500)
			f.wal(500, payload)
			ctx, cancel := context.WithTimeout(context.Background(), testTime)
			defer cancel()
			_, err := s.Next(ctx)
			wantStop(t, err, exitUnexpected, fmt.Sprintf("%x", payload[1:]))
			if h := s.Health(); h.Connected || !strings.Contains(h.Err, "decode") {
				t.Errorf("health %+v", h)
			}
		})
	}
	t.Run("cdc 37: a link that went silent is given up, one that is held back is not", func(t *testing.T) {
		s, f, _ := fakeSource(t, 100*time.Millisecond)
		go func() { // fills the pipe while nobody calls Next
			for i := 0; i < 50 && f.err == nil; i++ {
				f.insert(uint64(5000+i*100), uint64(5050+i*100), fmt.Sprint(i))
			}
		}()
		held := time.After(3500 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case <-held:
				waiting = false
			case <-s.failed:
				t.Fatalf("a held-back reader was taken for a silent link: %v", s.err)
			case <-f.status: // status goes on
			}
		}
		began := time.Now()
		for {
			ctx, cancel := context.WithTimeout(context.Background(), testTime)
			_, err := s.Next(ctx)
			cancel()
			if err != nil {
				if !strings.Contains(err.Error(), "closed") {
					t.Errorf("ended with %v", err)
				}
				break
			}
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("noticed after %s", took)
		}
	})
}
