package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// options are what every client of the cluster shares: where it is, and how it is reached.
func (c Config) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(logger{c.Logger}),
		kgo.MetadataMaxAge(c.MetadataEvery),
		kgo.MetadataMinAge(min(c.MetadataEvery, 2500*time.Millisecond)),
	}
	switch m, err := c.SASL.mechanism(); {
	case err != nil:
		return nil, err
	case m != nil:
		opts = append(opts, kgo.SASL(m))
	}
	if c.TLS != (TLS{}) {
		d, err := c.TLS.dialer()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(d))
	}
	return opts, nil
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "plain":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("sasl mechanism %q is none of plain, scram-sha-256, scram-sha-512", s.Mechanism)
}

// dialer connects with TLS. The files are read again for every connection, so that renewed certificates are taken without a restart; they are read
// once here, so that a fault is told at the start.
func (t TLS) dialer() (func(context.Context, string, string) (net.Conn, error), error) {
	if _, err := t.Config(); err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		cfg, err := t.Config()
		if err != nil {
			return nil, err
		}
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}, Config: cfg}
		return d.DialContext(ctx, network, host)
	}, nil
}

// Config reads the files.
func (t TLS) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca: %s holds no certificate in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read tls.cert and tls.key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// ClientLine begins the message of every line that the client of Kafka logs by itself. All are warnings at most: what becomes an error of ours is given to the
// caller as well.
const ClientLine = "kafka client: "

// logger hands the client's warnings to slog. What it says at a lower level is its own business.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	if level <= kgo.LogLevelWarn { // errors of the client are not yet errors of ours: it tries again
		at = slog.LevelWarn
	}
	l.log.Log(context.Background(), at, ClientLine+msg, keyvals...)
}
