package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// sessionSettings are forced in all our sessions, so that a value has one text form wherever it comes from. The walsender prints columns
// under its own session's settings, so they decide what the stream carries too.
var sessionSettings = map[string]string{
	"application_name":            "brazecdc",
	"DateStyle":                   "ISO, YMD",
	"IntervalStyle":               "iso_8601",
	"extra_float_digits":          "3",
	"TimeZone":                    "UTC",
	"bytea_output":                "hex",
	"lc_monetary":                 "C",
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
	// A role's own limits must not cut slot creation or an idle stream.
	"statement_timeout":                   "0",
	"idle_in_transaction_session_timeout": "0",
	"idle_session_timeout":                "0",
}

// settings gives the parameters of a connection string with ours forced upon them.
func settings(url string) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err // pgconn redacts the password
	}
	for k, v := range sessionSettings {
		cfg.RuntimeParams[k] = v
	}
	dialer := &net.Dialer{Control: dialControl, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3}}
	cfg.DialFunc = dialer.DialContext
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	return cfg, nil
}

// pool is a few ordinary connections, made when needed and kept.
type pool struct {
	cfg  *pgconn.Config
	free chan *pgconn.PgConn // nil stands for one that may still be made

	once   sync.Once
	closed chan struct{}
}

var errClosed = errors.New("the source is closed")

func newPool(cfg *pgconn.Config, n int) *pool {
	p := &pool{cfg: cfg, free: make(chan *pgconn.PgConn, n), closed: make(chan struct{})}
	for range n {
		p.free <- nil
	}
	return p
}

// with runs fn on a connection. A connection that fn left inside a transaction or broken is closed.
func (p *pool) with(ctx context.Context, fn func(*pgconn.PgConn) error) (err error) {
	var c *pgconn.PgConn
	select {
	case c = <-p.free:
	case <-p.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.free <- c }()
	if c != nil && c.IsClosed() {
		c = nil
	}
	if c == nil {
		if c, err = connect(ctx, p.cfg); err != nil {
			return err
		}
	}
	defer func() {
		if c.TxStatus() != 'I' || c.IsClosed() {
			closeConn(c)
			c = nil
		}
	}()
	return fn(c)
}

// connect opens one session. A database in SQL_ASCII may hold any bytes; the server would have to check them against UTF-8 and fail for ever at
// the first wrong one, so there they come as they are and value.go checks them.
func connect(ctx context.Context, cfg *pgconn.Config) (*pgconn.PgConn, error) {
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if c.ParameterStatus("server_encoding") == "SQL_ASCII" {
		if _, err := query(ctx, c, "SET client_encoding = 'SQL_ASCII'"); err != nil {
			closeConn(c)
			return nil, err
		}
	}
	return c, nil
}

// query runs one statement of the simple protocol, whose results are text; nil is NULL.
func (p *pool) query(ctx context.Context, sql string) (rows [][][]byte, err error) {
	err = p.with(ctx, func(c *pgconn.PgConn) error {
		rows, err = query(ctx, c, sql)
		return err
	})
	return rows, err
}

// close ends the connections once nobody uses them, or when ctx ends.
func (p *pool) close(ctx context.Context) {
	p.once.Do(func() {
		close(p.closed)
		for range cap(p.free) {
			select {
			case c := <-p.free:
				if c != nil {
					closeConn(c)
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = c.Close(ctx) // the session ends either way
}

// query gives the rows of the last statement of sql.
func query(ctx context.Context, c *pgconn.PgConn, sql string) ([][][]byte, error) {
	results, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[len(results)-1].Rows, nil
}

// literal quotes a text for SQL; standard_conforming_strings is on in all our sessions.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident quotes a name for SQL.
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// sqlState gives the SQLSTATE of a server's refusal, or "".
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
