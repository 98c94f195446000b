package state

import (
	"strconv"
	"strings"

	"go.etcd.io/bbolt"
)

// assignment takes the name of a stream that is one assignment of a partition apart: "TOPIC/PARTITION@N". A later assignment has a higher n and stands for
// the same partition, so that its position replaces those of the earlier ones. Other streams have no such end.
func assignment(stream string) (partition string, n uint64, ok bool) {
	at := strings.LastIndexByte(stream, '@')
	if at < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(stream[at+1:], 10, 64)
	return stream[:at], n, err == nil
}

// superseded lists the streams of known that are earlier assignments of the partitions of streams.
func superseded(streams, known map[string]uint64) (out []string) {
	newest := map[string]uint64{}
	for s := range streams {
		if p, n, ok := assignment(s); ok {
			newest[p] = max(newest[p], n)
		}
	}
	if len(newest) == 0 {
		return nil
	}
	for s := range known { // a late word of an earlier assignment does not outlive a later one
		if p, n, ok := assignment(s); ok && newest[p] > 0 {
			newest[p] = max(newest[p], n)
		}
	}
	for _, m := range []map[string]uint64{known, streams} {
		for s := range m {
			if p, n, ok := assignment(s); ok && n < newest[p] {
				out = append(out, s)
			}
		}
	}
	return out
}

// forgetAssignments takes positions of earlier assignments away. What was done of their partitions is remembered for the later ones.
func forgetAssignments(tx *bbolt.Tx, streams []string) error {
	for _, s := range streams {
		if err := bucketPosition.delete(tx, hash(s)); err != nil {
			return err
		}
	}
	return nil
}
