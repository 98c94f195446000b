package sourcetest

import (
	"strings"
	"testing"
)

// NothingRefused fails the test where Braze refused or dropped what no test asked it to refuse. unasked are the simulator's words; those that contain one of
// the asked texts were asked for.
func NothingRefused(t testing.TB, unasked []string, asked ...string) {
	t.Helper()
	seen := map[string]int{}
next:
	for _, u := range unasked {
		for _, a := range asked {
			if strings.Contains(u, a) {
				continue next
			}
		}
		seen[u]++
	}
	for u, n := range seen {
		t.Errorf("Braze refused what it should never have got (%d times): %s", n, u)
	}
}
