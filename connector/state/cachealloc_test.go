//go:build !race

package state

import (
	"testing"

	"brazecdc/connector"
)

// Under the race detector a sync.Pool drops what it is given at random, so that this cannot be measured there.
func TestCachePrintsAllocates(t *testing.T) {
	c := openCache(t, t.TempDir())
	u := connector.User{ID: "a-user-with-an-id-of-36-letters-12345"}
	writePrints(t, c, connector.PrintPut{Model: "m", User: u, Prints: some(10), Part: "t/1"})
	if err := c.db.Flush(); err != nil {
		t.Fatal(err)
	}
	dst := make([]connector.Print, 0, 10)
	for name, model := range map[string]string{"known": "m", "unknown": "other"} {
		n := testing.AllocsPerRun(1000, func() {
			if got, ok, err := c.Prints(dst, u, model); err != nil || ok != (model == "m") || len(got) > 10 {
				t.Fatal(got, ok, err)
			}
		})
		if n > 0 {
			t.Errorf("a read of what is %s allocates %v times", name, n)
		}
	}
}
