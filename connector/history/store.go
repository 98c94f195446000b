// Package history keeps for some days what became of each user's changes, without values of rows: when, which columns by name, what the mapping made of them,
// what they waited for, the call and Braze's answer.
//
// The stream never waits for it. Ended copies names and figures into a buffer (record.go) and returns; one goroutine takes full buffers and writes them
// (write.go) to files that are only ever appended to, each with an index at its end (segment.go). What is more than it keeps of a second, or than it can keep
// up with, is dropped, counted, and leaves a gap that a timeline shows. Users and rows are found by keyed hashes (hash.go), read back by timeline.go and
// reading.go, and taken out by forget.go. Payloads are kept in memory only (payload.go). All of it may be lost: damaged files are dropped.
package history

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"brazecdc/connector"
)

// What a history is kept to where the configuration says nothing.
const (
	DefaultKeep    = 7 * 24 * time.Hour
	DefaultMaxSize = 256 << 20
)

const (
	segments = 32 // at least, that the space is divided into: so much is dropped at once
	slabSize = 64 << 10
	slabs    = 64
	tick     = 250 * time.Millisecond
)

// Config says where a history lies and how much of it is kept.
type Config struct {
	// Path is the folder, which is made where it is missing.
	Path string
	// Keep is how long entries are kept; default 7 days.
	Keep time.Duration
	// MaxSize is the length of all files at which the oldest are dropped; default 256 MB.
	MaxSize int64
	// Values keeps payloads in the files too, sealed, as long as their entries; else the newest are in memory alone.
	Values bool
	// Key is what users and rows are hashed with. The same key gives the same references as the log has.
	Key []byte
	// Models are the models that Ended and Passed speak of by number.
	Models []connector.ModelInfo
	// PerSecond is how many entries are kept of each second, so that a load or a backlog is not slower for it; the rest is a gap. Default 10,000, more than
	// Braze takes in an ordinary contract.
	PerSecond int
	// Logger gets warnings; nil drops them.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Store is a history. All methods may be called concurrently.
type Store struct {
	cfg     Config
	size    int64 // of a segment
	dropped atomic.Uint64

	mu      sync.Mutex // the hot side: never held over anything slow
	slab    *slab
	free    []*slab
	gap     gap
	turns   float64 // entries that may be kept now
	turned  time.Time
	names   dictionary
	saved   int // of them, in the file
	defs    []defName
	tables  map[*connector.Table][]uint32
	models  []uint32
	payload payloads

	full    chan *slab
	ask     chan chan struct{} // flushes
	closing chan struct{}
	closed  sync.Once
	done    chan struct{}
	// What the writing goroutine alone uses.
	writer   hasher
	rowsRoom []connector.Key
	bodyRoom []byte
	nameRoom []byte

	disk       sync.Mutex // the files, and what is counted for them
	live       *segment
	sealed     []*segment          // oldest first
	next       uint64              // number of the next segment
	generation uint64              // number of the names of this start
	old        map[uint64][]string // names of earlier starts

	counts map[countKey]*count
	blind  time.Time // until when nothing is written, after a write that did not succeed
}

// gap is what was dropped since it was last told.
type gap struct {
	n        uint64
	from, to time.Time
}

// Open opens or makes a history. Files that cannot be read are dropped with a warning; an error means that the folder cannot be used at all.
func Open(cfg Config) (*Store, error) {
	if cfg.PerSecond <= 0 {
		cfg.PerSecond = defaultPerSecond
	}
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.Key) == 0 {
		return nil, errors.New("open the history: it needs a key for its hashes")
	}
	s := &Store{
		cfg: cfg, size: min(max(cfg.MaxSize/segments, 16<<10), 8<<20), tables: map[*connector.Table][]uint32{}, full: make(chan *slab, slabs),
		ask: make(chan chan struct{}), closing: make(chan struct{}), done: make(chan struct{}), writer: newHasher(cfg.Key), counts: map[countKey]*count{},
	}
	s.payload.begin(cfg.Now())
	for range slabs {
		s.free = append(s.free, &slab{})
	}
	if err := os.MkdirAll(cfg.Path, 0o700); err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open the history %s: %w", cfg.Path, err)
	}
	s.SetModels(cfg.Models)
	go s.write()
	return s, nil
}

// SetModels says which models Ended and Passed speak of from now on.
func (s *Store) SetModels(models []connector.ModelInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models = s.models[:0]
	for i := range models {
		s.models = append(s.models, s.names.id(models[i].Name))
	}
}

// Dropped is how many entries were not kept: more came in a second than are, or writing did not keep up, or did not succeed.
func (s *Store) Dropped() uint64 { return s.dropped.Load() }

// Size is the length of all files in bytes.
func (s *Store) Size() int64 {
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.total()
}

// Since is the time of the oldest entry, zero where there is none.
func (s *Store) Since() time.Time {
	s.disk.Lock()
	defer s.disk.Unlock()
	for _, g := range s.sealed {
		if g.first != 0 {
			return time.UnixMicro(g.first)
		}
	}
	if s.live != nil && s.live.first != 0 {
		return time.UnixMicro(s.live.first)
	}
	return time.Time{}
}

// Flush waits until all that was told before is in the files.
func (s *Store) Flush() {
	ack := make(chan struct{})
	select {
	case s.ask <- ack:
		<-ack
	case <-s.done:
	}
}

// Close writes what was told and ends. Ended and Passed may still be called, and keep nothing.
func (s *Store) Close() error {
	s.closed.Do(func() { close(s.closing) })
	<-s.done
	s.disk.Lock()
	defer s.disk.Unlock()
	var err error
	for _, g := range append(s.sealed, s.live) {
		if g != nil {
			err = errors.Join(err, g.close())
		}
	}
	s.sealed, s.live = nil, nil
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("close the history: %w", err)
	}
	return nil
}
