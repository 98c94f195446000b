package braze

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keepOfBody  = 1 << 20   // bytes read of an answer
	drainOfBody = 256 << 10 // bytes more that are read away to keep the connection
	idleConns   = 256       // kept open, as many as there may be senders
	keepBuffer  = 8 << 20   // a larger buffer is not kept for reuse
)

// newTransport makes a transport whose connections are reused by all senders. Answers are short, so their compression is not asked for; compressed
// request bodies are not documented by Braze.
func newTransport(timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   min(timeout, 10*time.Second),
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       32 << 10,
		DisableCompression:    true,
	}
}

// reply is what came back of one request.
type reply struct {
	status    int // 0 where no answer came
	body      []byte
	requestID string
	location  string        // of a redirect
	hold      time.Duration // of the endpoint after a 429; what a 5xx asks for
	sent      bool          // the request may have reached Braze
	timedOut  bool          // by the client's own timeout
	err       error         // of the network; with a status it cut the answer's body
	took      time.Duration
}

// exchange posts a body and reads the answer. It gives the buffer back.
func (c *Client) exchange(ctx context.Context, ep endpoint, buf *buffer) reply {
	defer buf.release()
	inner, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req := (&http.Request{
		Method: http.MethodPost, URL: c.urls[ep], Host: c.urls[ep].Host, Header: c.header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(buf.b)), Body: buf.reader(),
		GetBody: func() (io.ReadCloser, error) { return buf.reader(), nil },
	}).WithContext(inner)

	open := &c.pools[ep].open
	open.Add(1)
	defer open.Add(-1)
	start := time.Now()
	res, err := c.cfg.Transport.RoundTrip(req) //nolint:bodyclose // readBody closes it
	if err != nil {
		return reply{err: err, sent: buf.read.Load(), timedOut: inner.Err() != nil && ctx.Err() == nil, took: time.Since(start)}
	}
	r := reply{status: res.StatusCode, sent: true, location: res.Header.Get("Location"), requestID: c.clean(res.Header.Get("X-Request-Id"))}
	r.body, r.err = readBody(res.Body, res.ContentLength)
	r.took = time.Since(start)
	hold, added := c.pools[ep].observe(res.StatusCode, res.Header)
	switch classOf(res.StatusCode) {
	case throttled:
		r.hold = hold
	case retry:
		r.hold = max(readRate(res.Header, time.Now()).after, 0)
	}
	if added > 0 {
		c.cfg.Logger.Info("Braze asks to wait", "endpoint", ep.String(), "status", res.StatusCode, "hold", hold.Round(time.Millisecond))
	}
	return r
}

// readBody reads a bounded part of an answer and some of the rest, so that the connection can be used again.
func readBody(body io.ReadCloser, length int64) ([]byte, error) {
	b := make([]byte, 0, min(max(length+1, 512), keepOfBody))
	var err error
	for len(b) < keepOfBody && err == nil {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		var n int
		n, err = body.Read(b[len(b):min(cap(b), keepOfBody)])
		b = b[:len(b)+n]
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, body, drainOfBody)
	}
	closed := body.Close()
	if err == io.EOF { //nolint:errorlint // a reader ends with io.EOF itself; one that is wrapped is a fault
		err = nil
	}
	if err == nil {
		err = closed
	}
	return b, err
}

// buffer is a request body that is reused once nobody reads it any more. A transport may go on reading after it has returned, so each reader counts.
type buffer struct {
	b    []byte
	refs atomic.Int32
	read atomic.Bool // by a transport: the request may be under way
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer {
	buf := buffers.Get().(*buffer)
	buf.b = buf.b[:0]
	buf.read.Store(false)
	buf.refs.Store(1)
	return buf
}

func (buf *buffer) release() {
	if buf.refs.Add(-1) == 0 && cap(buf.b) <= keepBuffer {
		buffers.Put(buf)
	}
}

func (buf *buffer) reader() *bodyReader {
	buf.refs.Add(1)
	return &bodyReader{buf: buf}
}

// bodyReader reads a buffer. Close may be called while a Read is running, and more than once.
type bodyReader struct {
	mu  sync.Mutex
	buf *buffer // nil when closed
	off int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	r.buf.read.Store(true)
	if r.off == len(r.buf.b) {
		return 0, io.EOF
	}
	n := copy(p, r.buf.b[r.off:])
	r.off += n
	return n, nil
}

// Close lets go of the buffer.
func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf != nil {
		r.buf.release()
		r.buf = nil
	}
	return nil
}
