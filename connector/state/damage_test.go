package state

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// replaceIn changes bytes of a file on disk, which must be there.
func replaceIn(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%q is not in the file", from)
	}
	if err = os.WriteFile(path, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	t.Run("a flipped byte of the journal is named, and neither used nor shown", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Renamed: []string{"customer-4711"}})
		d.Close()
		replaceIn(t, d.journal.path, "customer-4711", "customer-4712")
		_, err := OpenData(dir, testConfig)
		stop := wantExit(t, err, connector.ExitStoreLocked)
		damage, ok := errors.AsType[*DamageError](err)
		if !ok || damage.File != d.journal.path || damage.Bucket != "renamed" {
			t.Errorf("got %+v", damage)
		}
		if strings.Contains(stop.Error(), "customer-47") {
			t.Errorf("the message shows a value: %v", stop)
		}
	})
	t.Run("a value at another's place is noticed", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		apply(t, d, connector.Record{Renamed: []string{"a", "b"}})
		err := d.journal.update(func(tx *bbolt.Tx) error {
			bk, err := bucketRenamed.in(tx)
			if err != nil {
				return err
			}
			return bk.Put(hash("a"), bytes.Clone(bk.Get(hash("b"))))
		})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		_, err = OpenData(dir, testConfig)
		_ = wantExit(t, err, connector.ExitStoreLocked)
	})
	t.Run("a damaged entry is named; the others are listed, kept and expired", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		for i := range 3 {
			e := entry(i)
			e.At = testTime
			if e.Reason = "fine"; i == 1 {
				e.Reason = "to be damaged"
			}
			put(t, d.Quarantine(), e)
		}
		d.Close()
		replaceIn(t, d.quarantine.file.path, "to be damaged", "to be Damaged")
		q := openData(t, dir).Quarantine()
		es, err := q.List(connector.EntryFilter{})
		damage, ok := errors.AsType[*DamageError](err)
		if !ok || damage.Bucket != "entry" || damage.Key != "0000000000000002" {
			t.Errorf("got %v", err)
		}
		if len(es) != 2 {
			t.Errorf("got entries %v", ids(es))
		}
		if _, err = q.Entry(2); err == nil {
			t.Error("the damaged entry was given out")
		}
		put(t, q, entry(1)) // the same row's newer change is not kept out
		ctx := context.Background()
		n, err := q.Expire(ctx, testTime.AddDate(0, 0, 1))
		if _, ok = errors.AsType[*DamageError](err); n != 2 || !ok {
			t.Errorf("expired %d, %v", n, err)
		}
		if n, err = q.Expire(ctx, testTime.AddDate(0, 0, 1)); n != 0 || err != nil {
			t.Errorf("the second time expired %d, %v", n, err)
		}
	})
	t.Run("files that are cut, empty or something else are refused", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		r := fullRecord()
		for i := range 200 {
			r.Held = append(r.Held, connector.HeldDelete{User: user(i), Reason: strings.Repeat("x", 500)})
		}
		apply(t, d, r)
		d.Close()
		whole, err := os.ReadFile(d.journal.path)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			"cut": whole[:len(whole)/2], "one page": whole[:4096], "text": bytes.Repeat([]byte("nothing of ours\n"), 2000), "zeros": make([]byte, 1<<16),
		} {
			if err = os.WriteFile(d.journal.path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = OpenData(dir, testConfig)
			if stop := wantExit(t, err, connector.ExitStoreLocked); !strings.Contains(stop.Error(), d.journal.path) {
				t.Errorf("%s: %v", name, stop)
			}
		}
	})
	t.Run("random damage never gives a wrong value, and never a panic", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		r := fullRecord()
		apply(t, d, r)
		d.Close()
		whole, err := os.ReadFile(d.journal.path)
		if err != nil {
			t.Fatal(err)
		}
		want := newModel()
		want.apply(&r)
		// The file holds the folder as it was made and the one record; damage of a head lets bbolt take the other one.
		for range 300 {
			b := bytes.Clone(whole)
			for range 1 + rand.IntN(20) {
				b[rand.IntN(len(b))] ^= byte(1 << rand.IntN(8))
			}
			if err = os.WriteFile(filepath.Join(d.Folder(), "journal.db"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := OpenData(dir, testConfig)
			if err != nil {
				continue
			}
			if s := d.State(); !s.New {
				wantState(t, s, want.want())
			}
			d.Close()
		}
	})
	t.Run("a name that was begun and not finished is made anew", func(t *testing.T) {
		dir := t.TempDir()
		d := openData(t, dir)
		d.Close()
		if err := errors.Join(os.Remove(d.journal.path), os.WriteFile(d.journal.path+".new", []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if !openData(t, dir).State().New {
			t.Error("not new")
		}
	})
}
