package sourcetest

import "time"

// Poll looks every so often at what nobody announces, such as the state of another process, until it holds; false when it did not within that time.
func Poll(within, every time.Duration, holds func() bool) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.After(within)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			return holds()
		}
	}
	return true
}
