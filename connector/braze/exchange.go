package braze

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keepOfBody   = 1 << 20   // bytes read of an answer
	keepOfExport = 32 << 20  // of 50 whole profiles
	drainOfBody  = 256 << 10 // bytes more that are read away to keep the connection
	idleConns    = 256       // kept open, as many as there may be senders
	keepBuffer   = 8 << 20   // a larger buffer is not kept for reuse
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
		WriteBufferSize:       64 << 10,
		DisableCompression:    true,
	}
}

// reply is what came back of one request.
type reply struct {
	status    int    // 0 where no answer came
	path      string // that was asked
	body      []byte
	next      string // the Link header
	requestID string
	location  string        // of a redirect
	hold      time.Duration // of the endpoint after a 429; what a 5xx asks for
	sent      bool          // the request may have reached Braze
	timedOut  bool          // by the client's own timeout
	err       error         // of the network; with a status it cut the answer's body
	took      time.Duration
}

// exchange makes a request and reads the answer. It gives the buffer back, which is empty for a GET.
func (c *Client) exchange(ctx context.Context, ep endpoint, to *url.URL, buf *buffer) reply {
	defer buf.release()
	inner, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req := (&http.Request{
		Method: routes[ep].method, URL: to, Host: to.Host, Header: c.header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(inner)
	if len(buf.b) > 0 {
		req.ContentLength, req.Body = int64(len(buf.b)), buf.reader()
		req.GetBody = func() (io.ReadCloser, error) { return buf.reader(), nil }
	}

	open := &c.pools[ep].open
	open.Add(1)
	defer open.Add(-1)
	start := time.Now()
	res, err := c.cfg.Transport.RoundTrip(req) //nolint:bodyclose // readBody closes it
	if err != nil {
		return reply{path: to.Path, err: err, sent: buf.read.Load(), timedOut: inner.Err() != nil && ctx.Err() == nil, took: time.Since(start)}
	}
	r := reply{status: res.StatusCode, path: to.Path, sent: true, location: res.Header.Get("Location"), next: res.Header.Get("Link"),
		requestID: c.clean(res.Header.Get("X-Request-Id"))}
	r.body, r.err = readBody(res.Body, res.ContentLength, routes[ep].keep)
	r.took = time.Since(start)
	hold, added := c.pools[ep].observe(res.StatusCode, res.Header, start)
	switch classOf(res.StatusCode) {
	case throttled:
		r.hold = hold
	case retry:
		r.hold = max(readRate(res.Header, time.Now()).after, 0)
	}
	if added > 0 {
		c.cfg.Logger.Info("Braze asks to wait", "endpoint", ep.String(), "status", res.StatusCode, "duration_ms", hold.Milliseconds())
	}
	return r
}

// readBody reads at most keep bytes of an answer and some of the rest, so that the connection can be used again.
func readBody(body io.ReadCloser, length int64, keep int) ([]byte, error) {
	b := make([]byte, 0, min(max(length+1, 512), int64(keep)))
	var err error
	for len(b) < keep && err == nil {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		var n int
		n, err = body.Read(b[len(b):min(cap(b), keep)])
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
