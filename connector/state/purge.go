package state

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// Purge implements connector.Eraser. Both files are written anew, since bbolt leaves what was deleted in pages that it has not used again.
func (d *Data) Purge(ctx context.Context, u connector.User, rows []connector.ModelRow) (*connector.Purged, error) {
	out := &connector.Purged{}
	d.mu.Lock()
	err := d.journal.update(func(tx *bbolt.Tx) error { return purgeJournal(tx, u, out) })
	d.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("take an erased user out of the journal: %w", err)
	}
	if err := d.quarantine.purgeUser(ctx, u, rows, out); err != nil {
		return nil, fmt.Errorf("take an erased user out of the quarantine: %w", err)
	}
	if err := d.journal.rewrite(); err != nil {
		return nil, fmt.Errorf("write the journal anew: %w", err)
	}
	if err := d.quarantine.rewrite(); err != nil {
		return nil, fmt.Errorf("write the quarantine anew: %w", err)
	}
	if err := d.blankLists(u); err != nil {
		return nil, fmt.Errorf("take an erased user out of the lists of loads: %w", err)
	}
	return out, nil
}

// purgeJournal takes a user out of what waits and what was done.
func purgeJournal(tx *bbolt.Tx, u connector.User, out *connector.Purged) error {
	for _, b := range []bucket{bucketSettling, bucketHeld} {
		v, err := b.get(tx, userKey(u))
		if err != nil {
			return err
		}
		if v == nil {
			continue
		}
		out.Waiting++
		if err := b.delete(tx, userKey(u)); err != nil {
			return err
		}
	}
	var done [][]byte
	err := bucketDone.each(tx, func(key, value []byte) error {
		i, err := decodeDone(value)
		if err == nil && i.User == u {
			done = append(done, bytes.Clone(key))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range done {
		if err := bucketDone.delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// blankLists writes over a user in the lists of users whom loads marked: places in a list are kept, so its length stays.
func (d *Data) blankLists(u connector.User) error {
	lists, err := filepath.Glob(filepath.Join(d.folder, userListPrefix+"*"+userListSuffix))
	if err != nil {
		return err
	}
	for _, path := range lists {
		if err := blankList(path, u); err != nil {
			return err
		}
	}
	return nil
}

func blankList(path string, u connector.User) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its load has just ended
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10)
	for at := int64(0); ; {
		of, n, err := readListed(r)
		if errors.Is(err, errListEnd) {
			return f.Sync()
		}
		if err != nil {
			return err
		}
		if of == u {
			var blank encoder
			blank.user(connector.User{Kind: connector.Item, ID: strings.Repeat("\x00", len(u.ID)), Label: strings.Repeat("\x00", len(u.Label))})
			b := binary.BigEndian.AppendUint32(nil, uint32(len(blank)))
			b = binary.BigEndian.AppendUint32(b, crc32.Checksum(blank, listSums))
			if _, err := f.WriteAt(append(b, blank...), at); err != nil {
				return err
			}
		}
		at += n
	}
}

// purgeUser removes all entries of a user, those that have ended too, and tells which others may hold the identifier in a record that could not be decoded.
func (q *Quarantine) purgeUser(ctx context.Context, u connector.User, rows []connector.ModelRow, out *connector.Purged) error {
	of := map[connector.ModelRow]bool{}
	for _, r := range rows {
		of[r] = true
	}
	f := connector.EntryFilter{Limit: dumpPage, Closed: true}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := q.List(f)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for i := range list {
			e := &list[i]
			f.After = e.ID
			switch {
			case entryOf(e, u) || of[connector.ModelRow{Model: e.Model, Key: e.Row()}]:
				if err := q.erase(e); err != nil {
					return err
				}
				out.Entries = append(out.Entries, e.ID)
				if o := e.Original; o != nil && o.Kept != "" {
					out.Kept = append(out.Kept, connector.KeptRecord{Topic: o.Kept, Offset: o.KeptAt})
				}
			case e.Original != nil && (holds(e.Original.Key, u.ID) || holds(e.Original.Value, u.ID)):
				out.Doubtful = append(out.Doubtful, e.ID)
			}
		}
	}
	return q.clear(ctx, hash("user", string(userKey(u))))
}

// erase removes one entry, open or not, without a mark.
func (q *Quarantine) erase(e *connector.Entry) error {
	return q.group.do(&operation{
		bytes: 512,
		write: func(tx *bbolt.Tx) error {
			err := firstError(dropPostings(tx.Bucket([]byte(bucketPosting)), e), bucketEntry.delete(tx, entryKey(e.ID)))
			if err == nil && e.Closed == "" {
				err = addCount(tx, e, -1)
			}
			return err
		},
		committed: func() {
			if e.Closed == "" {
				q.count(e, -1)
			}
		},
	})
}

// entryOf tells whether an entry is of a user: by what was mapped, or by a column that holds just the identifier, as mapping would read it.
func entryOf(e *connector.Entry, u connector.User) bool {
	if e.User == u || e.Effect != nil && (e.Effect.User == u || e.Effect.To == u) {
		return true
	}
	return columnIs(e.Before, u.ID) || columnIs(e.After, u.ID)
}

func columnIs(image json.RawMessage, id string) bool {
	text, _, err := Columns(image)
	if err != nil {
		return false
	}
	for _, v := range text {
		if v != nil && strings.EqualFold(strings.TrimSpace(*v), id) {
			return true
		}
	}
	return false
}

// holds tells whether a record's bytes hold an identifier as a word of its own.
func holds(b []byte, id string) bool {
	if id == "" {
		return false
	}
	for {
		i := bytes.Index(b, []byte(id))
		if i < 0 {
			return false
		}
		if (i == 0 || !wordByte(b[i-1])) && (i+len(id) == len(b) || !wordByte(b[i+len(id)])) {
			return true
		}
		b = b[i+1:]
	}
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// rewrite waits for what is being written, so that the group does not write into a file that is gone.
func (q *Quarantine) rewrite() error { return q.file.rewrite() }
