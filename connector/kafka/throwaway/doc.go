// Package throwaway starts a real Kafka broker, Kafka Connect with Debezium, and a schema registry that are gone, with their files, when their starter ends.
//
// Tests, the demo and the figures run against them. They need Java 17 or later and Maven; the jars are fetched from the repository that Maven is set
// up for, once, into the user's cache folder: 45 MB for the broker, 61 MB with Connect and Debezium, 8 MB for the Avro converter, 142 MB for the registry. A
// broker takes about 3 s to start and 170 MB of memory, Connect 5 s and 440 MB, the registry 3 s and 250 MB. All listen on 127.0.0.1 only.
//
// Nothing stays behind: Stop at the normal end; on Linux a signal that the kernel sends to a process when its starter dies; and a guard, a small shell
// that waits for its end of a pipe to close, ends the process and removes its directory. The last two also work when the starter is killed.
package throwaway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Config says how a part is started. The zero value is what tests need.
type Config struct {
	// HeapMB is Java's largest heap; 0 takes 256 for the broker and the registry, 512 for Connect.
	HeapMB int
	// Secure adds two listeners to a broker: one with SASL (PLAIN: alice, alice-secret; SCRAM-SHA-256 and -512: bob, bob-secret) and one with TLS that asks
	// for a client certificate.
	Secure bool
	// Partitions is how many a topic gets that is created by the way; 0 takes 1.
	Partitions int
	// Progress is told in one line each what takes time. It is called by the goroutine that called Start. Nil: silence.
	Progress func(string)
}

func (c Config) say(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}

const (
	readyTimeout = 2 * time.Minute // a loaded machine takes long to start a JVM
	stopTimeout  = 20 * time.Second
	pollEvery    = 20 * time.Millisecond
	dirPrefix    = "brazecdc-kafka-"
)

// freePorts gives ports that are free now. They are held until all are found, so that none comes twice.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// clusterID is an id as Kafka writes one: 16 random bytes in URL-safe base64, not beginning with a dash.
func clusterID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[0] &= 0x3f        // no dash
	return base64.RawURLEncoding.EncodeToString(b)
}

// answers waits until a URL answers with 200.
func answers(ctx context.Context, p *process, url string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	return p.wait(ctx, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// cacheDir is where fetched jars lie.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	dir := filepath.Join(base, "brazecdc", "kafka")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	return dir, nil
}
