package state

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"brazecdc/connector"
)

// TestTableNotWritten: a table that could not be written whole, whichever step of it, ends the cache. What a disk refuses first is a log as a rule.
func TestTableNotWritten(t *testing.T) {
	for name, refused := range map[string]errorfs.OpKind{"create": errorfs.OpCreate, "write": errorfs.OpFileWrite, "sync": errorfs.OpFileSyncData} {
		t.Run(name, func(t *testing.T) {
			tables := 0
			disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == refused && strings.HasSuffix(op.Path, ".sst") {
					tables++
					return syscall.ENOSPC
				}
				return nil
			}))
			c, err := openCacheOn(disk, t.TempDir(), testCache)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			write(t, c, connector.RowPut{Model: "m", Key: row("1"), User: user(1)})
			_ = c.db.Flush() // pebble takes it for written
			if tables == 0 {
				t.Fatal("no table was refused")
			}
			if _, _, err = c.RowUser("m", row("1")); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("a row of a table that was not written: %v", err)
			}
			if err = c.Sync(nil); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("it says that it is durable: %v", err)
			}
			if _, err = os.Stat(c.folder); !os.IsNotExist(err) {
				t.Fatalf("the files are still there: %v", err)
			}
		})
	}
}
