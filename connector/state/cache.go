package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"brazecdc/connector"
)

// cacheFormat is the version of the files in `cache/`. A cache of any other version is dropped.
const cacheFormat = 5

// What pebble may hold in memory. It takes the tables being written, two as a rule, out of what it was given for blocks: without room for them it keeps no
// block at all.
const (
	cacheTable  = 8 << 20
	cacheBlocks = 2*cacheTable + 12<<20
)

// How pebble orders its tables: so many in the first level before it merges them down, since each merge writes anew what lies below; and few tables that are
// large, since a look-up of users that are far from each other opens one for each.
const (
	firstLevelTables = 16
	tableSize        = 32 << 20
)

// CacheConfig says whose content OpenCache opens.
type CacheConfig struct {
	// MaxSize is the length in bytes of all files at which the cache is dropped and begun anew; 0 is no bound.
	MaxSize int64
	// Memory is how many bytes of what was written last, and at a start of what there is, may be held in memory too; less than 1 MiB is none.
	Memory int64
	// Workspace and Endpoint are what the content is bound to, see DataConfig.
	Workspace, Endpoint string
	// Logger gets warnings; nil drops them.
	Logger *slog.Logger
}

// Cache is the `cache/` folder of one workspace and endpoint. It implements connector.Fingerprints. All methods may be called concurrently.
//
// Once something could not be written, a full disk for one, every method but Covered, Drop and Close gives that error; the process lives on, and Drop("")
// begins anew. Who has no cache goes on without: everything in it is then unknown.
type Cache struct {
	folder string
	disk   vfs.FS // where folder is
	cfg    CacheConfig
	lock   *folderLock
	head   []byte

	mu      sync.RWMutex // held for writing only while db is replaced
	db      *pebble.DB   // nil after Close, and when a new one could not be made
	failure *failure
	warm    *warm
	fills   sync.WaitGroup // of who reads files into warm
	written atomic.Int64   // bytes since the size was last looked at

	outgrown, unread atomic.Uint64 // how often it was begun anew

	names   sync.RWMutex
	pairs   map[pair]uint16
	last    uint16
	parts   parts
	shapes  shapes
	covered map[string]uint64 // offset by stream
}

var _ connector.Fingerprints = (*Cache)(nil)

// OpenCache opens or makes the cache in the folder path that belongs to cfg's workspace and endpoint. One that is damaged, of another version or foreign is
// dropped with a warning. Only a folder in use by another process (*connector.StopError with ExitStoreLocked) and a folder that cannot be
// written are errors.
func OpenCache(path string, cfg CacheConfig) (*Cache, error) {
	return openCacheOn(vfs.Default, path, cfg)
}

// openCacheOn keeps the rows on disk, which a test may take the power from; the folder around them and its lock are always real.
func openCacheOn(disk vfs.FS, path string, cfg CacheConfig) (*Cache, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	own, lock, err := openFolder(path, cfg.Workspace, cfg.Endpoint, false)
	if err != nil {
		return nil, err
	}
	var head encoder
	head.uint(cacheFormat)
	head.str(cfg.Workspace)
	head.str(plainEndpoint(cfg.Endpoint))
	c := &Cache{folder: filepath.Join(own, "rows"), disk: disk, cfg: cfg, lock: lock, head: head}
	if err = c.open(); err != nil && !full(err) {
		c.unread.Add(1)
		c.warn(err)
		err = c.restart()
	}
	if err == nil {
		return c, nil
	}
	return nil, errors.Join(fmt.Errorf("open the cache %s: %w", c.folder, err), c.Close())
}

// open opens what is in the folder. On an error nothing is open.
func (c *Cache) open() (err error) {
	c.failure, c.warm = &failure{}, newWarm(c.cfg.Memory)
	c.pairs, c.last, c.parts, c.shapes, c.covered, c.db = map[pair]uint16{}, 0, noParts(), noShapes(), map[string]uint64{}, nil
	defer func() {
		if failed := c.failure.get(); failed != nil && err == nil {
			err = failed
		}
		if err != nil && c.db != nil {
			_ = closePebble(c.db) // the error above is the one that matters
			c.db = nil
		}
		if err == nil {
			c.refill()
		}
	}()
	if c.db, err = openPebble(c.folder, tolerantFS{c.disk, c.failure}, c.cfg.Logger); err != nil {
		return err
	}
	head, err := read(c.db, cacheHead)
	switch {
	case err != nil:
		return err
	case head == nil:
		if first, err := c.empty(); err != nil || !first {
			return errors.Join(err, errors.New("it does not say what it belongs to"))
		}
		return c.db.Set(cacheHead, c.head, pebble.Sync)
	case string(head) != string(c.head):
		return errors.New("it was written for another workspace or endpoint, or by another version")
	}
	return errors.Join(c.readNames(), c.readParts(), c.readShapes(), c.readCovered())
}

func openPebble(folder string, disk tolerantFS, log *slog.Logger) (db *pebble.DB, err error) {
	defer recoverDamage(&err)()
	blocks := pebble.NewCache(cacheBlocks)
	defer blocks.Unref()
	o := &pebble.Options{
		FS: disk, Cache: blocks, MemTableSize: cacheTable, MemTableStopWritesThreshold: 3, MaxOpenFiles: 256,
		L0CompactionThreshold: firstLevelTables, L0StopWritesThreshold: 3 * firstLevelTables,
		FormatMajorVersion: pebble.FormatNewest, Logger: quietLogger{log, disk.failure},
		// Without a listener damage that is met later would end the process.
		EventListener: &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) {
			disk.failure.absorb(&DamageError{File: i.Path, What: "what it holds does not match its checksums"})
		}},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = tableSize
	}
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(10) // the levels below take it over
	return pebble.Open(folder, o)
}

// closePebble survives what pebble makes of files that vanished under it.
func closePebble(db *pebble.DB) (err error) {
	defer recoverDamage(&err)()
	return db.Close()
}

// quietLogger passes on only what is wrong, and not what follows from a write that did not succeed, which the cache's methods tell. What pebble holds to be
// fatal is then only that its own files contradict each other; it ends the process by a panic that says so.
type quietLogger struct {
	log     *slog.Logger
	failure *failure
}

func (quietLogger) Infof(string, ...any) {}

func (l quietLogger) Errorf(format string, args ...any) {
	if l.failure.get() == nil {
		l.log.Warn("the cache met an error", "err", fmt.Sprintf(format, args...))
	}
}

func (l quietLogger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("cache: "+format, args...))
}

// read gives a copy of a value, or nil.
func read(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, v...), closer.Close()
}

func (c *Cache) empty() (bool, error) {
	it, err := c.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty := !it.First()
	return empty, errors.Join(it.Error(), it.Close())
}

// each calls f with what follows prefix in each key that begins with it, and the value; both are valid until f returns.
func (c *Cache) each(prefix []byte, f func(rest, v []byte) error) error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		err = f(it.Key()[len(prefix):], it.Value())
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (c *Cache) readNames() error {
	last, err := read(c.db, cacheNumber)
	if err == nil && len(last) == prefixSize {
		c.last = binary.BigEndian.Uint16(last)
	}
	return errors.Join(err, c.each(cacheNames, func(name, v []byte) error {
		d := decoder{b: name}
		p := pair{d.str(), d.str()}
		if d.end() != nil || len(v) != prefixSize {
			return errors.New("a name cannot be read")
		}
		n := binary.BigEndian.Uint16(v)
		if n == 0 || n > c.last {
			return errors.New("its numbers do not fit its names")
		}
		c.pairs[p] = n
		return nil
	}))
}

func (c *Cache) readCovered() error {
	return c.each(cacheCovered, func(stream, v []byte) error {
		offset, n := binary.Uvarint(v)
		if n <= 0 {
			return errors.New("a covered position cannot be read")
		}
		c.covered[string(stream)] = offset
		return nil
	})
}

// after is the first key behind all that begin with a prefix.
func after(prefix []byte) []byte {
	b := append([]byte{}, prefix...)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
}

// use gives the open database with c.mu held for reading, which the caller gives back.
func (c *Cache) use() (*pebble.DB, error) {
	c.mu.RLock()
	if c.db != nil && c.failure.get() != nil {
		c.mu.RUnlock()
		c.giveUp(true)
		c.mu.RLock()
	}
	err := c.failure.get()
	if err == nil && c.db == nil {
		err = ErrClosed
	}
	if err == nil {
		return c.db, nil
	}
	c.mu.RUnlock()
	return nil, c.explain(err)
}

// giveUp ends a cache of which a write did not succeed or a read met damage, and removes it: it takes space that others need, and would give old answers
// if opened again. Where damage is the cause, and again is set, an empty one takes its place.
func (c *Cache) giveUp(again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.failure.get()
	if c.db == nil || err == nil {
		return
	}
	if _, damage := errors.AsType[*DamageError](err); damage && again {
		c.warn(err)
		if err = c.restart(); err == nil {
			return
		}
		c.failure.absorb(err)
		return
	}
	_ = closePebble(c.db) // the write that did not succeed is the error that matters
	c.db = nil
	if err := c.remove(); err != nil {
		c.cfg.Logger.Warn("what is left of the cache cannot be removed; it will be at the next start", "folder", c.folder, "err", err)
	}
}

func (c *Cache) warn(err error) {
	c.cfg.Logger.Warn("the cache cannot be used and is begun anew; rows are unknown until they are accepted again", "folder", c.folder, "err", err)
}

// explain prefers the write that did not succeed to what followed from it.
func (c *Cache) explain(err error) error {
	if err == nil {
		return nil
	}
	if failed := c.failure.get(); failed != nil {
		err = failed
	}
	return fmt.Errorf("use the cache %s: %w", c.folder, err)
}

// restart removes all there is and opens an empty cache; c.mu is held for writing, or c not yet shared.
func (c *Cache) restart() error {
	if c.db != nil {
		_ = closePebble(c.db) // what it could not write is removed now
		c.db = nil
	}
	c.written.Store(0)
	if err := c.remove(); err != nil {
		return err
	}
	return c.open()
}

// remove takes all files away so that they stay away: were they there again after a power cut, what was dropped would be known again.
func (c *Cache) remove() error {
	if err := c.disk.RemoveAll(c.folder); err != nil {
		return err
	}
	dir, err := c.disk.OpenDir(filepath.Dir(c.folder))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// size is the length of all files of the cache in bytes.
func (c *Cache) size() (n int64) {
	names, err := c.disk.List(c.folder)
	if err != nil {
		return 0
	}
	for _, name := range names {
		// A file may be gone by now; then it has no length.
		if info, err := c.disk.Stat(c.disk.PathJoin(c.folder, name)); err == nil && !info.IsDir() {
			n += info.Size()
		}
	}
	return n
}

// Close ends the use of the folder. What was written since the last Sync may be lost.
func (c *Cache) Close() error {
	c.giveUp(false)
	defer c.fills.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.db != nil {
		err = closePebble(c.db)
		c.db = nil
		if failed := c.failure.get(); failed != nil {
			err = errors.Join(failed, c.remove())
		}
	}
	c.lock.release()
	c.lock = nil
	if err != nil {
		return fmt.Errorf("close the cache %s: %w", c.folder, err)
	}
	return nil
}
