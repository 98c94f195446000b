package main

import (
	"math"
	"sync"
	"time"
)

// lossWindow is how far back the speed is measured at which a slot comes nearer to its loss.
const lossWindow = 10 * time.Minute

// untilLost estimates from scrape to scrape when a slot will be lost. It may be used concurrently.
type untilLost struct {
	mu      sync.Mutex
	samples []safeSample
}

type safeSample struct {
	at   time.Time
	safe int64
}

// seconds notes how many bytes are safe now, negative for unlimited or unknown, and gives the seconds until none are at the speed of the last minutes:
// +Inf where the slot does not come nearer to its loss.
func (u *untilLost) seconds(now time.Time, safe int64) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if safe < 0 {
		u.samples = nil
		return math.Inf(1)
	}
	for len(u.samples) > 1 && now.Sub(u.samples[1].at) >= lossWindow {
		u.samples = u.samples[1:]
	}
	u.samples = append(u.samples, safeSample{now, safe})
	first := u.samples[0]
	elapsed, used := now.Sub(first.at).Seconds(), first.safe-safe
	if used <= 0 || elapsed <= 0 {
		return math.Inf(1)
	}
	return float64(safe) / (float64(used) / elapsed)
}
