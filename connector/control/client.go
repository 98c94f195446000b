package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"brazecdc/connector"
)

// ErrNotRunning: nobody answers on the socket, so no process runs on this data folder.
var ErrNotRunning = errors.New("no process answers on the control socket")

// Client speaks with the process that serves a data folder.
type Client struct {
	http *http.Client
	path string
}

var _ API = (*Client)(nil)

// Dial finds the socket of the folder data and makes sure that a process answers on it; else the error is ErrNotRunning, or says why the socket
// can't be used.
func Dial(ctx context.Context, data string) (*Client, error) {
	path, err := findSocket(data)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("connect to the control socket %s: it belongs to another user; run this as the user that runs brazecdc", path)
	case err != nil:
		return nil, fmt.Errorf("connect to %s: %w", path, ErrNotRunning)
	}
	_ = c.Close()
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}, nil
}

func findSocket(data string) (string, error) {
	note, err := os.ReadFile(filepath.Join(data, PathName))
	switch {
	case err == nil:
		return string(trimLine(note)), nil
	case errors.Is(err, os.ErrNotExist):
		return filepath.Join(data, SocketName), nil
	}
	return "", fmt.Errorf("read where the control socket is: %w", err)
}

func trimLine(b []byte) []byte { return bytes.TrimSpace(b) }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://brazecdc"+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running process on %s: %w", c.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	return readAnswer(resp, into)
}

// Status implements API.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.call(ctx, http.MethodGet, pathStatus, nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Pending implements API.
func (c *Client) Pending(ctx context.Context) ([]connector.Confirmation, error) {
	var out []connector.Confirmation
	err := c.call(ctx, http.MethodGet, pathPending, nil, &out)
	return out, err
}

// Confirm implements API.
func (c *Client) Confirm(ctx context.Context, model string, drop bool) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, pathConfirm, confirmRequest{model, drop}, &s)
	return s.Result, err
}

// Entries implements API.
func (c *Client) Entries(ctx context.Context, f connector.EntryFilter) ([]connector.Entry, error) {
	var out []connector.Entry
	err := c.call(ctx, http.MethodGet, pathEntries+"?"+filterQuery(f).Encode(), nil, &out)
	return out, err
}

// Entry implements API.
func (c *Client) Entry(ctx context.Context, id uint64) (*connector.Entry, error) {
	var e connector.Entry
	if err := c.call(ctx, http.MethodGet, entryPath(id), nil, &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// Retry implements API.
func (c *Client) Retry(ctx context.Context, id uint64) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, entryPath(id)+"/retry", nil, &s)
	return s.Result, err
}

// RetryLate implements API.
func (c *Client) RetryLate(ctx context.Context, id uint64) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, entryPath(id)+"/retry?late", nil, &s)
	return s.Result, err
}

// Discard implements API.
func (c *Client) Discard(ctx context.Context, id uint64, why string) error {
	return c.call(ctx, http.MethodPost, entryPath(id)+"/discard", discardRequest{why}, nil)
}

// Send implements API.
func (c *Client) Send(ctx context.Context, model, key string, only ...string) (string, error) {
	var s sentence
	err := c.call(ctx, http.MethodPost, pathSend, sendRequest{model, key, only}, &s)
	return s.Result, err
}

func entryPath(id uint64) string { return pathEntries + "/" + strconv.FormatUint(id, 10) }
