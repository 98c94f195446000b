package main

import (
	"math"
	"testing"
	"time"
)

func TestUntilLost(t *testing.T) {
	var u untilLost
	begin := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		after time.Duration
		safe  int64
		want  float64
	}{
		{"is far away at first", 0, 1000, math.Inf(1)},
		{"goes by the speed since then", 10 * time.Second, 900, 90},
		{"takes the whole window into account", 20 * time.Second, 900, 180},
		{"forgets what is older than the window", 11 * time.Minute, 900, math.Inf(1)},
		{"goes by the window and a little more", 12 * time.Minute, 840, 9800},
		{"is far away when the slot moves on", 13 * time.Minute, 2000, math.Inf(1)},
		{"is far away where nothing limits it", 14 * time.Minute, -1, math.Inf(1)},
		{"begins anew after that", 15 * time.Minute, 100, math.Inf(1)},
		{"is now when nothing is left", 16 * time.Minute, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := u.seconds(begin.Add(c.after), c.safe); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
