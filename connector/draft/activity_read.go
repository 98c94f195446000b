package draft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"
)

const (
	// activityLook bounds how much of the log one look reads, in bytes: a filter that nothing fits must not read all of it.
	activityLook = 2 << 20
	// activityBlock is how much is read at a time, from the end on. What Note writes on one line is shorter.
	activityBlock = 64 << 10
)

// Activity is what the filter chooses, newest first. It reads the log from its end, and a bounded part of it: where that ends before the filter has its fill,
// rest is the time before which more may lie, for Filter.Before of the next look; else it is zero.
func (s *Store) Activity(f Filter) (list []Activity, rest time.Time, err error) {
	if f.Limit <= 0 {
		f.Limit = 200
	}
	if oldest := s.now().Add(-maxActivityAge); f.Since.Before(oldest) {
		f.Since = oldest
	}
	l := activityLooker{filter: f, left: activityLook}
	for _, path := range []string{s.activityFile(), s.olderFile()} {
		if l.over {
			break
		}
		if err := l.file(path); err != nil {
			return nil, time.Time{}, err
		}
	}
	if l.left <= 0 && !l.over {
		rest = l.last
	}
	return l.list, rest, nil
}

// activityLooker reads the files of the log from their ends.
type activityLooker struct {
	filter Filter
	list   []Activity
	last   time.Time // of the line that was read last
	left   int       // bytes that may still be read
	over   bool      // nothing that lies further back is wanted
}

func (l *activityLooker) file(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the activities: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the activities: %w", err)
	}
	end := info.Size()
	if !l.filter.Before.IsZero() {
		if end, err = activityBefore(file, end, l.filter.Before); err != nil {
			return fmt.Errorf("find the activities before %s: %w", l.filter.Before.Format(time.RFC3339), err)
		}
	}
	return l.backwards(file, end)
}

// backwards reads the lines of a file that end before a place, the last one first.
func (l *activityLooker) backwards(file io.ReaderAt, end int64) error {
	var rest []byte // the end of a line whose beginning has not been read yet
	for end > 0 && l.left > 0 {
		n := min(activityBlock, end)
		block := make([]byte, n, int(n)+len(rest))
		if _, err := file.ReadAt(block, end-n); err != nil {
			return fmt.Errorf("read the activities: %w", err)
		}
		end -= n
		l.left -= int(n)
		block = append(block, rest...)
		for {
			at := bytes.LastIndexByte(block, '\n')
			if at < 0 {
				break
			}
			if l.line(block[at+1:]); l.over {
				return nil
			}
			block = block[:at]
		}
		if rest = block; len(rest) > activityBlock {
			rest = nil // no line of ours: what is left of it is no JSON and counts for nothing
		}
	}
	if end == 0 {
		l.line(rest)
	}
	return nil
}

func (l *activityLooker) line(b []byte) {
	var a Activity
	if b = bytes.TrimSpace(b); len(b) == 0 || json.Unmarshal(b, &a) != nil {
		return // half a line of a crash
	}
	l.last = a.Time
	switch {
	case a.Time.Before(l.filter.Since):
		l.over = true
	case l.filter.chooses(a):
		l.list = append(l.list, a)
		l.over = len(l.list) >= l.filter.Limit
	}
}

// activityBefore gives the end of the lines that are older than a time. The log is in the order of its times.
func activityBefore(file io.ReaderAt, size int64, t time.Time) (end int64, err error) {
	blocks := int((size + activityBlock - 1) / activityBlock)
	// The first block that begins with a line as new as that, or newer; the border lies in the one before.
	at := sort.Search(blocks, func(i int) bool {
		if err != nil {
			return true
		}
		var first time.Time
		first, err = firstTime(file, int64(i)*activityBlock, size)
		return !first.Before(t)
	})
	if err != nil {
		return 0, err
	}
	// Within one block the filter itself leaves out what is too new. A line that begins before the border may end behind it.
	return min(size, int64(at+1)*activityBlock), nil
}

// firstTime is the time of the first whole line from a place on. Where none follows it is later than all.
func firstTime(file io.ReaderAt, from, size int64) (time.Time, error) {
	never := time.Unix(1<<40, 0)
	buf := make([]byte, min(activityBlock, size-from))
	if _, err := file.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return never, err
	}
	if from > 0 {
		_, buf, _ = bytes.Cut(buf, []byte("\n")) // the end of a line that began before
	}
	for line := range bytes.Lines(buf) {
		var a struct{ Time time.Time }
		if json.Unmarshal(line, &a) == nil && !a.Time.IsZero() {
			return a.Time, nil
		}
	}
	return never, nil
}
