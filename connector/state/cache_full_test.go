//go:build unix

package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"brazecdc/connector"
)

// fullCache writes until the disk is full and goes on after it has space again.
func fullCache(dir string, fill, free func() error) error {
	c, err := OpenCache(dir, testCache)
	if err != nil {
		return err
	}
	defer c.Close()
	if err = fill(); err != nil {
		return err
	}
	puts := make([]connector.RowPut, 200)
	for i := 0; err == nil && i < 20_000; i++ {
		for j := range puts {
			id := fmt.Sprint(rand.Uint64())
			puts[j] = connector.RowPut{Model: "m", Key: row(id), User: connector.User{ID: "u" + id + strings.Repeat("x", 80)}}
		}
		if err = c.Write(puts, nil); err == nil && i%50 == 0 {
			err = c.Sync([]connector.Position{{Stream: "slot", Offset: uint64(i)}})
		}
	}
	if err == nil {
		return errors.New("the disk did not fill")
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("not for the full disk: %w", err)
	}
	if _, _, err = c.RowUser("m", puts[0].Key); err == nil {
		return errors.New("a cache that lost writes still answers")
	}
	if err = c.Sync(nil); err == nil {
		return errors.New("a cache that lost writes says that it is durable")
	}
	if _, err = os.Stat(c.folder); err == nil {
		return errors.New("the cache still takes space")
	}
	if !os.IsNotExist(err) {
		return fmt.Errorf("look whether the cache still takes space: %w", err)
	}
	if err = free(); err != nil {
		return err
	}
	if err = c.Drop(""); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	if err = errors.Join(c.Write(puts, nil), c.Sync([]connector.Position{{Stream: "slot", Offset: 7}}), c.Close()); err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	if c, err = OpenCache(dir, testCache); err != nil {
		return err
	}
	defer c.Close()
	u, ok, err := c.RowUser("m", puts[0].Key)
	if err != nil {
		return fmt.Errorf("read what was written after the full disk: %w", err)
	}
	if !ok || u != puts[0].User {
		return fmt.Errorf("got %v, %v", u, ok)
	}
	return nil
}

func cacheFullChild() {
	// Each limit is met at another age of the cache. It is a log that meets it first; TestTableNotWritten has tables refused.
	for i, limit := range []uint64{100_000, 1_000_000, 3_900_000} {
		dir := filepath.Join(os.Getenv("STATE_TEST_DIR"), fmt.Sprint(i))
		if err := fullCache(dir, limitFiles(limit), limitFiles(0)); err != nil {
			fmt.Printf("limit %d: %v\n", limit, err)
			os.Exit(1)
		}
	}
}

func TestCacheDiskFull(t *testing.T) {
	t.Run("pebble begins logs anew after a write that did not succeed", func(t *testing.T) {
		c := openCache(t, t.TempDir())
		turn := func(n int) { // each fills a table, so that the next log is begun
			for i := range n {
				if err := c.db.Set([]byte{0xff, byte(i)}, make([]byte, cacheTable*2/3), pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
		}
		turn(8) // now there are logs that are written over
		c.failure.absorb(syscall.ENOSPC)
		turn(8)
	})
	t.Run("files that may not grow", func(t *testing.T) {
		if out, err := child(t, "cachefull", "STATE_TEST_DIR="+t.TempDir()).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
	for _, left := range []int64{100_000, 3_000_000, 9_000_000, 14_000_000} {
		onSmallVolume(t, fmt.Sprintf("a volume with %d bytes left", left), 32<<20, func(t *testing.T, dir string) {
			fill, free := ballast(dir, left)
			if err := fullCache(filepath.Join(dir, "cache"), fill, free); err != nil {
				t.Fatal(err)
			}
		})
	}
	onSmallVolume(t, "a volume that is full at the start", 1<<20, func(t *testing.T, dir string) {
		fill, free := ballast(dir, 4096)
		if err := fill(); err != nil {
			t.Fatal(err)
		}
		_, err := OpenCache(filepath.Join(dir, "cache"), testCache)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
		if err := free(); err != nil {
			t.Fatal(err)
		}
		c := openCache(t, filepath.Join(dir, "cache"))
		write(t, c, connector.RowPut{Model: "m", Key: row("1"), User: user(1)})
		c.Close()
	})
}
