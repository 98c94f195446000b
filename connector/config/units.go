package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var errUnit = errors.New("no number with a unit")

// parseDuration reads Go's durations, and d for days of 24 hours in front of them ("30d", "1d12h").
func parseDuration(s string) (time.Duration, error) {
	if s == "" || strings.ContainsAny(s, "+- ") {
		return 0, errUnit
	}
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil || n > math.MaxInt64/int64(24*time.Hour) {
		return 0, errUnit
	}
	whole := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return whole, nil
	}
	part, err := time.ParseDuration(rest)
	if err != nil || whole > math.MaxInt64-part {
		return 0, errUnit
	}
	return whole + part, nil
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"kB", 1e3},
	{"B", 1},
}

// parseSize reads bytes: KiB and its like count by 1,024, KB and its like by 1,000.
func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(v >= 0) || v*float64(u.bytes) >= math.MaxInt64 {
			return 0, errUnit
		}
		return int64(v * float64(u.bytes)), nil
	}
	return 0, errUnit
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
