package throwaway

import (
	"context"
	"os"
	"sync"
	"time"
)

// TB is what of testing.TB is used here; the demo links this package and has no need of the testing package.
type TB interface {
	Helper()
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

const testTimeout = 10 * time.Minute // a first start fetches the jars

// ForTest starts a broker for one test and stops it at the test's end. Where none can be started the test is skipped with the reason, and with the
// environment variable CI=true it fails.
func ForTest(t TB, cfg Config) *Broker {
	t.Helper()
	b := start(t, "a Kafka broker", func(ctx context.Context) (*Broker, error) { return Start(ctx, cfg) })
	if b != nil {
		t.Cleanup(b.Stop)
	}
	return b
}

// ConnectForTest is ForTest for Kafka Connect.
func ConnectForTest(t TB, b *Broker, cfg Config) *Connect {
	t.Helper()
	c := start(t, "Kafka Connect", func(ctx context.Context) (*Connect, error) { return StartConnect(ctx, b, cfg) })
	if c != nil {
		t.Cleanup(c.Stop)
	}
	return c
}

// RegistryForTest is ForTest for the schema registry.
func RegistryForTest(t TB, cfg Config) *Registry {
	t.Helper()
	r := start(t, "a schema registry", func(ctx context.Context) (*Registry, error) { return StartRegistry(ctx, cfg) })
	if r != nil {
		t.Cleanup(r.Stop)
	}
	return r
}

func start[T any](t TB, what string, fn func(context.Context) (*T, error)) *T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	v, err := fn(ctx)
	if err == nil {
		return v
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s: %v", what, err)
	} else {
		t.Skipf("this test needs %s: %v", what, err)
	}
	return nil
}

var shared struct {
	sync.Mutex
	broker *Broker
	err    error
}

// Shared is one broker, with its secure listeners, for all tests of a test binary; it ends with the process, or with StopShared. Tests take topics and
// groups of their own, and do not restart it.
func Shared(t TB) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	return start(t, "a Kafka broker", func(ctx context.Context) (*Broker, error) {
		if shared.broker == nil && shared.err == nil {
			shared.broker, shared.err = Start(ctx, Config{Secure: true})
		}
		return shared.broker, shared.err
	})
}

// StopShared stops the broker of Shared, if there is one. The next Shared starts another one.
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.broker != nil {
		shared.broker.Stop()
	}
	shared.broker, shared.err = nil, nil
}
