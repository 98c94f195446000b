//go:build unix

package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

// fullDisk goes through a disk that gets full and is given space again: fill leaves little space, free gives it back.
func fullDisk(dir string, fill, free func() error) error {
	ctx := context.Background()
	d, err := OpenData(dir, testConfig)
	if err != nil {
		return err
	}
	defer d.Close()
	if err = fill(); err != nil {
		return err
	}
	record := func(n uint64) *connector.Record {
		return &connector.Record{
			Positions: at("slot", n), Held: []connector.HeldDelete{{User: user(int(n)), Reason: strings.Repeat("x", 8000), At: testTime}},
		}
	}
	want := newModel()
	n := uint64(1)
	for ; err == nil && n < 10000; n++ {
		if err = d.Apply(ctx, record(n)); err == nil {
			want.apply(record(n))
		}
	}
	if err = wantFull(err, d.journal.path); err != nil {
		return err
	}
	// What is smaller may fit yet; what does not gives the same error again.
	for err = d.Apply(ctx, record(n)); err == nil; err = d.Apply(ctx, record(n)) {
		want.apply(record(n))
		n++
	}
	if err = wantFull(err, d.journal.path); err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	big := entry(1)
	big.Reason = strings.Repeat("y", maxReason)
	var id uint64
	for put := 0; put < 10000; put++ {
		big.Key.ID = fmt.Sprint(put)
		last, putErr := d.Quarantine().Put(ctx, &big)
		if err = putErr; err != nil {
			break
		}
		id = last
	}
	if err = wantFull(err, d.quarantine.file.path); err != nil {
		return err
	}
	if id != 0 {
		if _, err = d.Quarantine().Entry(id); err != nil {
			return fmt.Errorf("read while the disk is full: %w", err)
		}
	}
	if err = free(); err != nil {
		return err
	}
	want.apply(record(n))
	if err = d.Apply(ctx, record(n)); err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	next, err := d.Quarantine().Put(ctx, &big)
	if err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	if next != id+1 {
		return fmt.Errorf("got entry %d after %d", next, id)
	}
	if err = d.Close(); err != nil {
		return err
	}
	if d, err = OpenData(dir, testConfig); err != nil {
		return err
	}
	defer d.Close()
	if diff := gocmp.Diff(sorted(want.want()), sorted(d.State())); diff != "" {
		return errors.New("the state differs: " + diff)
	}
	es, err := d.Quarantine().List(connector.EntryFilter{})
	if err != nil {
		return fmt.Errorf("list the entries: %w", err)
	}
	if uint64(len(es)) != next {
		return fmt.Errorf("got %d entries, want %d", len(es), next)
	}
	return nil
}

func wantFull(err error, path string) error {
	if err == nil {
		return errors.New("no error, want a StopError about the full disk")
	}
	stop, ok := errors.AsType[*connector.StopError](err)
	if !ok || stop.Code != connector.ExitDiskFull || !strings.Contains(stop.What, path) || stop.Fix == "" {
		return fmt.Errorf("not a StopError about the full disk that names %s: %w", path, err)
	}
	return nil
}

// limitFiles lets no file of this process grow over so many bytes, which gives EFBIG where a disk would give ENOSPC; 0 takes the limit away.
func limitFiles(bytes uint64) func() error {
	return func() error {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			return err
		}
		if l.Cur = l.Max; bytes > 0 {
			l.Cur = bytes
		}
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
	}
}

// fullChild runs under a limit of its own, since the limit is the whole process'.
func fullChild() {
	err := limitFiles(1000)()
	dir := os.Getenv("STATE_TEST_DIR")
	_, openErr := OpenData(filepath.Join(dir, "new"), testConfig)
	err = errors.Join(err, wantFull(openErr, filepath.Join(dir, "new")), limitFiles(0)())
	if err == nil {
		err = fullDisk(filepath.Join(dir, "new"), limitFiles(400_000), limitFiles(0))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// onSmallVolume runs a test on a file system of so many bytes. Where none may be mounted there is nothing to run: "a file that may not grow", in which the
// kernel refuses the writes too, goes through the same steps everywhere.
func onSmallVolume(t *testing.T, name string, bytes int, test func(t *testing.T, dir string)) {
	t.Helper()
	dir := t.TempDir()
	switch err := mountTmpfs(dir, bytes); {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		t.Logf("%s: no file system may be mounted here: %v", name, err)
		return
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run(name, func(t *testing.T) { test(t, dir) })
}

// ballast takes space away until few bytes are left.
func ballast(dir string, left int64) (fill, free func() error) {
	path := filepath.Join(dir, "ballast")
	fill = func() error {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			return err
		}
		return os.WriteFile(path, make([]byte, max(0, int64(fs.Bavail)*int64(fs.Bsize)-left)), 0o600) //nolint:unconvert // Bsize is 32 bits wide on other machines
	}
	return fill, func() error { return os.Remove(path) }
}

func TestDiskFull(t *testing.T) {
	t.Run("a file that may not grow", func(t *testing.T) {
		if out, err := child(t, "full", "STATE_TEST_DIR="+t.TempDir()).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	onSmallVolume(t, "a small volume", 4<<20, func(t *testing.T, dir string) {
		fill, free := ballast(dir, 200_000)
		if err := fullDisk(filepath.Join(dir, "data"), fill, free); err != nil {
			t.Fatal(err)
		}
	})
	onSmallVolume(t, "a volume that is full at the start", 1<<20, func(t *testing.T, dir string) {
		fill, free := ballast(dir, 20_000)
		if err := fill(); err != nil {
			t.Fatal(err)
		}
		_, err := OpenData(filepath.Join(dir, "data"), testConfig)
		if err := wantFull(err, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		if err := free(); err != nil {
			t.Fatal(err)
		}
		d := openData(t, filepath.Join(dir, "data"))
		apply(t, d, connector.Record{Positions: at("slot", 1)})
		d.Close()
	})
}
