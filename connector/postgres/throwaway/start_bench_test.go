package throwaway_test

import (
	"testing"

	"brazecdc/connector/postgres/throwaway"
)

// BenchmarkStart is a start from the cached cluster and a stop.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := throwaway.Start(b.Context(), throwaway.Config{})
		if err != nil {
			b.Fatal(err)
		}
		s.Stop()
	}
}
