package mapping

import (
	"sort"
	"strings"
)

// nearest gives the name among those known that a mistyped one most likely meant, and how many letters away it is; "" where none is near.
func nearest(name string, known []string) (best string, at int) {
	at = max(2, len(name)*2/5) + 1
	sorted := append([]string(nil), known...)
	sort.Strings(sorted)
	for _, k := range sorted {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < at && d < len(name) {
			best, at = k, d
		}
	}
	return best, at
}

// meant is the words for a fault's Fix: the nearest name of all sets, that of an earlier set where two are equally near.
func meant(name string, sets ...[]string) string {
	best, at := "", len(name)+1
	for _, known := range sets {
		if n, d := nearest(name, known); n != "" && d < at {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return `did you mean "` + best + `"?`
}

// distance counts the letters to insert, drop, replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	before := make([]int, len(rb)+1)
	last := make([]int, len(rb)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(ra); i++ {
		row := make([]int, len(rb)+1)
		row[0] = i
		for j := 1; j <= len(rb); j++ {
			cost := 1
			if ra[i-1] == rb[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && ra[i-1] == rb[j-2] && ra[i-2] == rb[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(rb)]
}
