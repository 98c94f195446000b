package web

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// pastHead begins the file of the charts' past. The number is that of its format; the metrics are counted beside it, since each version has its own.
const pastHead = "brazecdc charts 1\n"

// pastMost bounds the file: a day of minutes, and the marks behind them.
const pastMost = minutesKept*int64(metrics)*4 + marksKept*512 + 4096

// past keeps the minutes of the charts in a file, so that they are there after a restart, and in the pages that run beside the process.
type past struct {
	file string    // empty: nowhere
	own  time.Time // when this feed wrote it last
}

// keep writes the minutes and the marks, where nobody else does: of several feeds on one file, as of a process and of the pages beside it, one writes.
func (p *past) keep(now time.Time, r *ring, marks []mark) error {
	if p.file == "" || r.filled == 0 {
		return nil
	}
	if info, err := os.Stat(p.file); err == nil && info.ModTime().After(p.own) && now.Sub(info.ModTime()) < 3*time.Minute && !p.own.IsZero() {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(pastHead)
	for _, n := range []int64{int64(metrics), int64(r.step), r.newest, int64(r.filled)} {
		_ = binary.Write(&b, binary.LittleEndian, n) // a buffer takes everything
	}
	for slot := r.newest - int64(r.filled) + 1; slot <= r.newest; slot++ {
		_ = binary.Write(&b, binary.LittleEndian, r.at(slot)[:])
	}
	if err := json.NewEncoder(&b).Encode(marks); err != nil {
		return fmt.Errorf("keep the charts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o700); err != nil {
		return fmt.Errorf("keep the charts: %w", err)
	}
	next := p.file + ".new"
	err := os.WriteFile(next, b.Bytes(), 0o600)
	if err == nil {
		err = os.Rename(next, p.file)
	}
	if err != nil {
		return fmt.Errorf("keep the charts: %w", err)
	}
	if info, err := os.Stat(p.file); err == nil {
		p.own = info.ModTime()
	}
	return nil
}

// read puts what the file has of the minutes into a ring, and gives the marks. A file of another version is as none.
func (p *past) read(now time.Time, r *ring) ([]mark, error) {
	if p.file == "" {
		return nil, nil
	}
	info, err := os.Stat(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the charts: %w", err)
	}
	if info.Size() > pastMost {
		return nil, fmt.Errorf("read the charts: %s is larger than such a file can be; remove it", p.file)
	}
	text, err := os.ReadFile(p.file)
	if err != nil {
		return nil, fmt.Errorf("read the charts: %w", err)
	}
	var head struct{ Metrics, Step, Newest, Filled int64 }
	in := bytes.NewReader(text)
	begins := make([]byte, len(pastHead))
	if _, err := in.Read(begins); err != nil || string(begins) != pastHead || binary.Read(in, binary.LittleEndian, &head) != nil {
		return nil, nil
	}
	if head.Metrics != int64(metrics) || head.Step != int64(r.step) || head.Newest > r.slot(now) || head.Filled < 0 || head.Filled > int64(len(r.points)) {
		return nil, nil
	}
	for slot := head.Newest - head.Filled + 1; slot <= head.Newest; slot++ {
		var one point
		if binary.Read(in, binary.LittleEndian, one[:]) != nil {
			return nil, nil // cut short: what came is right
		}
		r.put(time.Unix(0, slot*int64(r.step)), one)
	}
	var marks []mark
	if json.NewDecoder(in).Decode(&marks) != nil {
		return nil, nil // of a version that kept none, or cut short
	}
	return slices.DeleteFunc(marks, func(m mark) bool {
		return m.At.After(now) || now.Sub(m.At) > minutesKept*time.Minute || !slices.Contains(markKinds, m.Kind)
	}), nil
}

// spread fills a ring of seconds with minutes: coarser than what was there, and better than nothing.
func spread(minutes, seconds *ring, now time.Time) {
	perMinute := int64(minutes.step / seconds.step)
	for slot := max(minutes.newest-int64(minutes.filled)+1, minutes.slot(now.Add(-time.Duration(len(seconds.points))*seconds.step))); slot <= minutes.newest; slot++ {
		for i := range perMinute {
			seconds.put(time.Unix(0, slot*int64(minutes.step)+i*int64(seconds.step)), *minutes.at(slot))
		}
	}
}
