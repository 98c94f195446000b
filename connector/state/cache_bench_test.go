//go:build unix

package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"brazecdc/connector"
)

// crowd makes users and their rows out of numbers, without keeping any: IDs of 8 to 36 random letters, and ten leaves, the same of all, with random sums.
type crowd struct{ seed uint64 }

const crowdLeaves = 10

// of draws what belongs to number i; row and user have IDs of their own.
func (c crowd) of(i int, prints []connector.Print) (connector.RowPut, connector.PrintPut) {
	r := rand.New(rand.NewPCG(c.seed, uint64(i)))
	id := func() string {
		b := make([]byte, 8+r.IntN(29))
		for j := range b {
			b[j] = "0123456789abcdefghijklmnopqrstuvwxyz"[r.IntN(36)]
		}
		return string(b)
	}
	row := connector.RowPut{Model: "customers", Key: connector.Key{Table: "public.customers", ID: id()}, User: connector.User{ID: id()}}
	leaves := rand.New(rand.NewPCG(c.seed, 0))
	leaf := uint32(0)
	for range crowdLeaves {
		leaf += 1 + leaves.Uint32N(1<<32/crowdLeaves-1)
		prints = append(prints, connector.Print{Leaf: leaf, Sum: r.Uint64()})
	}
	return row, connector.PrintPut{Model: row.Model, User: row.User, Prints: prints}
}

// residentMB is the process's memory as the kernel counts it, 0 where it does not say.
func residentMB() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, b, _ = bytes.Cut(b, []byte("VmRSS:"))
	b, _, _ = bytes.Cut(bytes.TrimSpace(b), []byte(" "))
	kb, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0
	}
	return kb / 1024
}

// worked is the processor time of the process so far: other than the clock's, it says what a read costs while others use the machine.
func worked(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settle waits until pebble has put its tables in order.
func settle(c *Cache) {
	for m := c.db.Metrics(); m.Flush.NumInProgress > 0 || m.Compact.NumInProgress > 0; m = c.db.Metrics() {
		time.Sleep(10 * time.Millisecond)
	}
}

// BenchmarkCache fills a million users (fewer with -short), each with a row and ten fingerprints, by batches of 1000 with a Sync every 20,000, and reads
// at random.
func BenchmarkCache(b *testing.B) {
	total := 1_000_000
	if testing.Short() {
		total = 100_000
	}
	who := crowd{rand.Uint64()}
	c := openCache(b, b.TempDir())
	const batch = 1000
	rows, prints := make([]connector.RowPut, batch), make([]connector.PrintPut, batch)
	took := time.Duration(0)
	for i := 0; i < total; i += batch {
		for j := range batch {
			rows[j], prints[j] = who.of(i+j, prints[j].Prints[:0])
		}
		start := time.Now()
		if err := c.Write(rows, prints); err != nil {
			b.Fatal(err)
		}
		if i%20_000 == 0 {
			if err := c.Sync([]connector.Position{{Stream: "slot", Offset: uint64(i)}}); err != nil {
				b.Fatal(err)
			}
		}
		took += time.Since(start)
	}
	filled := residentMB()
	settle(c)
	size := c.size()
	ids := make([]connector.RowPut, 1<<14)
	for i := range ids {
		ids[i], _ = who.of(rand.IntN(total), nil)
	}
	measure := func(b *testing.B, read func(i int)) {
		b.ReportAllocs()
		before := worked(b)
		for i := 0; b.Loop(); i++ {
			read(i % len(ids))
		}
		b.ReportMetric(float64(worked(b)-before)/float64(b.N), "cpu-ns/op")
		runtime.GC()
		b.ReportMetric(residentMB(), "RSS_MB")
	}
	dst := make([]connector.Print, 0, crowdLeaves)
	b.Run("prints", func(b *testing.B) {
		measure(b, func(i int) {
			if got, ok, err := c.Prints(dst, ids[i].User, "customers"); !ok || err != nil || len(got) != crowdLeaves {
				b.Fatal(got, ok, err)
			}
		})
		b.ReportMetric(float64(total)/took.Seconds(), "written_users/s")
		b.ReportMetric(float64(size)/float64(total), "B/user")
		b.ReportMetric(filled, "filled_RSS_MB")
	})
	b.Run("prints of nobody", func(b *testing.B) {
		measure(b, func(i int) {
			u := ids[i].User
			u.Kind = connector.Email
			if _, ok, err := c.Prints(dst, u, "customers"); ok || err != nil {
				b.Fatal(ok, err)
			}
		})
	})
	b.Run("user of a row", func(b *testing.B) {
		measure(b, func(i int) {
			if _, ok, err := c.RowUser("customers", ids[i].Key); !ok || err != nil {
				b.Fatal(ok, err)
			}
		})
	})
}

// BenchmarkCacheChanges is what a stream of changes without before-images asks of the cache: of a million users with serial IDs (fewer with -short), each call
// looks up 75 at random, and writes them.
func BenchmarkCacheChanges(b *testing.B) {
	total := 1_000_000
	if testing.Short() {
		total = 100_000
	}
	for _, memory := range []int64{0, 96 << 20} {
		b.Run(fmt.Sprintf("%d MB in memory", memory>>20), func(b *testing.B) { benchChanges(b, total, memory) })
	}
}

func benchChanges(b *testing.B, total int, memory int64) {
	const batch = 75
	who := crowd{rand.Uint64()}
	c := openCache(b, b.TempDir(), func(c *CacheConfig) { c.Memory = memory })
	prints, users := make([]connector.PrintPut, batch), make([]connector.User, batch)
	put := func(j, i int) {
		_, prints[j] = who.of(i, prints[j].Prints[:0])
		prints[j].User.ID = strconv.Itoa(i)
		users[j] = prints[j].User
	}
	for i := 0; i < total; i += batch {
		for j := range batch {
			put(j, i+j)
		}
		if err := c.Write(nil, prints); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Sync([]connector.Position{{Stream: "slot", Offset: 1}}); err != nil {
		b.Fatal(err)
	}
	settle(c)
	b.Run("read and write", func(b *testing.B) {
		b.ReportAllocs()
		var making, reading, writing time.Duration
		at := worked(b)
		lap := func(d *time.Duration) {
			now := worked(b)
			*d += now - at
			at = now
		}
		for i := 0; b.Loop(); i++ {
			for j := range batch {
				put(j, rand.IntN(total))
			}
			lap(&making)
			found := 0
			if err := c.PrintsOf("customers", users, func(int, []connector.Print) { found++ }); err != nil || found != batch {
				b.Fatal(found, err)
			}
			lap(&reading)
			if err := c.Write(nil, prints); err != nil {
				b.Fatal(err)
			}
			lap(&writing)
		}
		settle(c)
		lap(&writing)
		per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N*batch) }
		b.ReportMetric(per(reading), "cpu-ns/read")
		b.ReportMetric(per(writing), "cpu-ns/write")
		b.ReportMetric(float64(c.size())/float64(total), "B/user")
	})
}
