// Package state keeps on disk what must survive a restart: the journal of positions and the quarantine in the `data/` folder, which are durable
// and checksummed, and in the `cache/` folder the user each row was last accepted under, fingerprints of what was, and the columns of a topic's rows that a
// schedule looks at again, all of which may be lost at any time.
//
// A folder belongs to one process at a time. Inside it each pair of workspace and endpoint has a sub-folder of its own, so that another label
// starts empty and the first one finds its own content again.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// format is the version of the files in `data/`. It is raised with every change that another program would misread.
const format = 2

// DataConfig says whose content OpenData opens.
type DataConfig struct {
	// Workspace and Endpoint are what the content is bound to: `braze.workspace` and `braze.endpoint` of the configuration.
	Workspace, Endpoint string
	// Logger gets warnings; nil drops them.
	Logger *slog.Logger
	// Now is the clock of entries that carry no time; nil is time.Now.
	Now func() time.Time
	// ReadOnly opens the content for looking at it while no process runs: nothing is made or changed, and every write gives ErrReadOnly. It
	// works on a folder without write permission, and for a folder that does not exist gives an empty content.
	ReadOnly bool
}

// Data is the `data/` folder of one workspace and endpoint. It implements connector.Journal.
type Data struct {
	folder     string
	lock       *folderLock
	journal    *file
	quarantine *Quarantine
	state      *connector.State
	erased     *erasures

	mu        sync.Mutex
	positions map[string]uint64 // recorded, by stream
}

var _ connector.Journal = (*Data)(nil)

// OpenData opens or makes the content of the folder path that belongs to cfg's workspace and endpoint. A folder in use by another process, a store that a newer
// version wrote and a damaged one give a *connector.StopError with ExitStoreLocked; a full disk one with ExitDiskFull.
func OpenData(path string, cfg DataConfig) (*Data, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	own, lock, err := openFolder(path, cfg.Workspace, cfg.Endpoint, cfg.ReadOnly)
	if err != nil {
		return nil, err
	}
	d := &Data{folder: own, lock: lock}
	if err = d.open(cfg); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Data) open(cfg DataConfig) (err error) {
	head := header{workspace: cfg.Workspace, endpoint: plainEndpoint(cfg.Endpoint)}
	if d.journal, err = head.open(filepath.Join(d.folder, "journal.db"), cfg.ReadOnly, journalBuckets); err != nil {
		return err
	}
	q, err := head.open(filepath.Join(d.folder, "quarantine.db"), cfg.ReadOnly, quarantineBuckets)
	if err != nil {
		return err
	}
	if d.quarantine, err = newQuarantine(q, cfg.Now); err != nil {
		return errors.Join(err, q.close())
	}
	if d.state, err = readState(d.journal); err != nil {
		return err
	}
	if d.erased, err = readErased(d.journal); err != nil {
		return err
	}
	d.positions = make(map[string]uint64, len(d.state.Positions))
	for _, p := range d.state.Positions {
		d.positions[p.Position.Stream] = p.Position.Offset
	}
	return nil
}

// State is what was recorded when the folder was opened. It is the same value at each call and belongs to the caller.
func (d *Data) State() *connector.State { return d.state }

// Quarantine is the quarantine of the same workspace and endpoint; it ends with Close.
func (d *Data) Quarantine() connector.Quarantine { return d.quarantine }

// Folder is where the content of this workspace and endpoint lies.
func (d *Data) Folder() string { return d.folder }

// Size is the length of all files of this content, in bytes. It may be called concurrently.
func (d *Data) Size() int64 { return d.journal.size() + d.quarantine.file.size() }

// Close ends the use of the folder after waiting for what is being written. It does not mark the run as clean; that is a Record's work.
func (d *Data) Close() error {
	var err error
	if d.quarantine != nil {
		err = d.quarantine.close()
	}
	if d.journal != nil {
		err = errors.Join(err, d.journal.close())
	}
	d.lock.release()
	d.lock = nil
	return err
}

// openFolder locks path and names the sub-folder of a workspace and endpoint, after making both unless readOnly.
func openFolder(path, workspace, endpoint string, readOnly bool) (own string, lock *folderLock, err error) {
	if workspace == "" || endpoint == "" {
		return "", nil, fmt.Errorf("open the store %s: it needs a workspace and an endpoint to be bound to", path)
	}
	own = filepath.Join(path, folderName(workspace, plainEndpoint(endpoint)))
	if !readOnly {
		if err = os.MkdirAll(path, 0o700); err == nil {
			lock, err = lockFolder(filepath.Join(path, "lock"), false)
		}
		if err == nil {
			if err = os.Mkdir(own, 0o700); errors.Is(err, fs.ErrExist) {
				err = nil
			} else if err == nil {
				err = syncFolder(path)
			}
		}
	} else {
		lock, err = lockFolder(filepath.Join(path, "lock"), true)
	}
	if err == nil {
		return own, lock, nil
	}
	lock.release()
	if _, stop := errors.AsType[*connector.StopError](err); stop {
		return "", nil, err
	}
	if full(err) {
		return "", nil, diskFull(path, err)
	}
	return "", nil, fmt.Errorf("open the store: %w", err)
}

// plainEndpoint removes what makes no other endpoint of a URL: the case of scheme and host, and a slash at the end.
func plainEndpoint(s string) string {
	if u, err := url.Parse(s); err == nil {
		u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
		s = u.String()
	}
	return strings.TrimRight(s, "/")
}

// folderName begins with the label, so that a person finds it, and ends in a hash, which tells labels apart that look alike as file names.
func folderName(workspace, endpoint string) string {
	label := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, workspace)
	sum := hash(workspace, endpoint)
	return label[:min(len(label), 40)] + "-" + hex.EncodeToString(sum[:6])
}

// hash gives 16 bytes that stand for a list of strings: collisions do not happen.
func hash(parts ...string) []byte {
	var e encoder
	for _, p := range parts {
		e.str(p)
	}
	sum := sha256.Sum256(e)
	return sum[:16]
}

// bucketHead holds what a file says of itself.
const bucketHead bucket = "head"

var (
	keyFormat   = []byte("format")
	keyBound    = []byte("bound")
	keySequence = []byte("sequence")
	keyClean    = []byte("clean")
)

// OnlyBinding tells which workspace and endpoint the content of a folder is bound to, where it is of one pair alone: for who has to look at it and does not
// know them. ok is false where there is none, or several.
func OnlyBinding(path string) (workspace, endpoint string, ok bool, err error) {
	dirs, err := os.ReadDir(path)
	if err != nil {
		return "", "", false, fmt.Errorf("look into %s: %w", path, err)
	}
	var found []string
	for _, d := range dirs {
		file := filepath.Join(path, d.Name(), "journal.db")
		if _, err := os.Stat(file); err == nil {
			found = append(found, file)
		}
	}
	if len(found) != 1 {
		return "", "", false, nil
	}
	f, _, err := openFile(found[0], true, []bucket{bucketHead}, nil)
	if err != nil {
		return "", "", false, err
	}
	err = f.view(func(tx *bbolt.Tx) error {
		b, err := bucketHead.get(tx, keyBound)
		if err != nil {
			return err
		}
		d := decoder{b: b}
		if workspace, endpoint = d.str(), d.str(); d.end() != nil {
			return bucketHead.damage(keyBound, "the binding cannot be read")
		}
		return nil
	})
	return workspace, endpoint, err == nil, errors.Join(err, f.close())
}

// header is what a file in `data/` says of itself.
type header struct{ workspace, endpoint string }

// open opens or makes a file, and refuses one of a newer format or of another workspace.
func (h header) open(path string, readOnly bool, buckets []bucket) (*file, error) {
	var bound encoder
	bound.str(h.workspace)
	bound.str(h.endpoint)
	f, _, err := openFile(path, readOnly, append([]bucket{bucketHead}, buckets...), func(tx *bbolt.Tx) error {
		return firstError(putNumber(tx, keyFormat, format), putNumber(tx, keySequence, 0), putNumber(tx, keyClean, 0), bucketHead.put(tx, keyBound, bound))
	})
	if err != nil {
		return nil, err
	}
	err = f.view(func(tx *bbolt.Tx) error {
		version, err := number(tx, keyFormat)
		if err != nil {
			return err
		}
		if version > format {
			return &connector.StopError{
				Code: connector.ExitStoreLocked,
				What: fmt.Sprintf("%s was written by a newer version of brazecdc (format %d, this version knows up to %d)", path, version, format),
				Fix:  "run that newer version, or one after it; an older one would misread the recorded positions",
			}
		}
		if version < format {
			return &connector.StopError{
				Code: connector.ExitStoreLocked,
				What: fmt.Sprintf("%s was written by an earlier version of brazecdc (format %d, this version reads %d)", path, version, format),
				Fix:  "stop that version with SIGTERM when nothing waits (brazecdc status), move the folder away, and start: the slot or the group is streamed on from where it stands",
			}
		}
		b, err := bucketHead.get(tx, keyBound)
		if err != nil {
			return err
		}
		d := decoder{b: b}
		if w, e := d.str(), d.str(); d.end() != nil {
			return bucketHead.damage(keyBound, "the binding cannot be read")
		} else if w != h.workspace || e != h.endpoint {
			return &connector.StopError{
				Code: connector.ExitStoreLocked,
				What: fmt.Sprintf("%s belongs to workspace %q at %s, not to workspace %q at %s", path, w, e, h.workspace, h.endpoint),
				Fix:  "its folder was renamed or copied; give it its name back, or set braze.workspace and braze.endpoint to what it belongs to",
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func putNumber(tx *bbolt.Tx, key []byte, v uint64) error {
	var e encoder
	e.uint(v)
	return bucketHead.put(tx, key, e)
}

// number reads a number of the head.
func number(tx *bbolt.Tx, key []byte) (uint64, error) {
	b, err := bucketHead.get(tx, key)
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, bucketHead.damage(key, "it is missing")
	}
	d := decoder{b: b}
	v := d.uint()
	if d.end() != nil {
		return 0, bucketHead.damage(key, d.err.Error())
	}
	return v, nil
}
