package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	bigint "math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
)

// certificate writes a self-signed certificate for 127.0.0.1, which is its own authority.
func certificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, bigint.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	srv := throwaway.ForTest(t)
	d := openDB(t, srv.TestDatabase(t), usersSQL)
	cert, key := filepath.Join(srv.Dir(), "server.crt"), filepath.Join(srv.Dir(), "server.key")
	ca, other := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "other.pem")
	certificate(t, cert, key)
	certificate(t, other, other+".key")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	giveTo(t, srv.Dir(), cert)
	giveTo(t, srv.Dir(), key)

	with := func(host, mode, root string) func(*Config) {
		return func(c *Config) {
			u, err := url.Parse(c.URL)
			if err != nil {
				t.Fatal(err)
			}
			u.Host = net.JoinHostPort(host, u.Port())
			q := url.Values{"sslmode": {mode}}
			if root != "" {
				q.Set("sslrootcert", root)
			}
			u.RawQuery = q.Encode()
			c.URL, c.StartTimeout = u.String(), 100*time.Millisecond
		}
	}
	// encrypted tells whether a session came about, and whether it was encrypted.
	encrypted := func(t *testing.T, change func(*Config)) string {
		t.Helper()
		s, err := New(d.config(change))
		if err != nil {
			return "refused"
		}
		defer func() { _ = s.Close(testContext(t)) }()
		rows, err := s.main.query(testContext(t), `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
		switch {
		case err != nil:
			if stop := s.explain(err, nil); connector.ExitCode(stop) != connector.ExitUnreachable {
				t.Errorf("exit code %d: %v", connector.ExitCode(stop), stop)
			}
			return "refused"
		case string(rows[0][0]) == "t":
			return "encrypted"
		}
		return "plain"
	}
	const ip = "127.0.0.1"
	for _, c := range []struct{ name, host, mode, root, off, on string }{
		{"disable", ip, "disable", "", "plain", "plain"},
		{"allow", ip, "allow", "", "plain", "plain"},
		{"prefer", ip, "prefer", "", "plain", "encrypted"},
		{"require", ip, "require", "", "refused", "encrypted"},
		{"require with an authority is verify-ca, as in libpq", ip, "require", other, "refused", "refused"},
		{"verify-ca", ip, "verify-ca", ca, "refused", "encrypted"},
		{"verify-ca, wrong authority", ip, "verify-ca", other, "refused", "refused"},
		{"verify-ca, wrong host", "localhost", "verify-ca", ca, "refused", "encrypted"},
		{"verify-full", ip, "verify-full", ca, "refused", "encrypted"},
		{"verify-full, wrong authority", ip, "verify-full", other, "refused", "refused"},
		{"verify-full, wrong host", "localhost", "verify-full", ca, "refused", "refused"},
	} {
		for _, server := range []struct{ ssl, want string }{{"off", c.off}, {"on", c.on}} {
			t.Run("cdc 40: sslmode "+c.name+", TLS of the server "+server.ssl, func(t *testing.T) {
				d.exec(`ALTER SYSTEM SET ssl = '` + server.ssl + `'`)
				d.exec(`SELECT pg_reload_conf()`)
				eventually(t, "reload", func() bool { return d.text(`current_setting('ssl')`) == server.ssl })
				if got := encrypted(t, with(c.host, c.mode, c.root)); got != server.want {
					t.Errorf("got %s, want %s", got, server.want)
				}
			})
		}
	}
	t.Run("cdc 40: the stream keeps to sslmode too, and a wrong host stops the start with the reason", func(t *testing.T) {
		d := openDB(t, d.url)
		full := with(ip, "verify-full", ca)
		r := start(t, d.config(full, func(c *Config) { c.StartTimeout = 5 * time.Second }), users())
		d.exec(`INSERT INTO users VALUES (1, 'u')`)
		r.changes(1)
		if plain := d.text(`SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'brazecdc' AND NOT s.ssl`); plain != "0" {
			t.Errorf("%s sessions are not encrypted", plain)
		}
		_, err := tryStart(t, d.config(with("localhost", "verify-full", ca)), users())
		wantStop(t, err, connector.ExitUnreachable, "localhost")
	})
}
