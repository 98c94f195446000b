package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
	"brazecdc/connector/postgres/throwaway"
)

// mirror is what a sink would hold that applies everything in the order it comes: row key to one column's text.
type mirror map[string]string

func (m mirror) apply(changes []connector.Change, column string) {
	for _, c := range changes {
		if c.OldKey.Table != "" {
			delete(m, c.OldKey.ID)
		}
		if c.Op == connector.Delete {
			delete(m, c.Key.ID)
			continue
		}
		m[c.Key.ID] = cell(c.After, column).Raw
	}
}

// mirror is the same read by a query of key and value.
func (d *db) mirror(sql string) mirror {
	d.t.Helper()
	rows, err := d.c.Query(testContext(d.t), sql)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	out := mirror{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			d.t.Fatal(err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return out
}

// writer runs statements until it is stopped.
func writer(t *testing.T, url string, sql func(n int) string) (stop func()) {
	t.Helper()
	c := openDB(t, url)
	ctx, cancel := context.WithCancel(testContext(t))
	var done sync.WaitGroup
	done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := c.c.Exec(context.WithoutCancel(ctx), sql(n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); done.Wait() }) }
	t.Cleanup(stop)
	return stop
}

func TestHandOff(t *testing.T) {
	t.Run("cdc 42: units moved between rows while they are loaded are neither lost nor doubled", func(t *testing.T) {
		d := newDB(t, `CREATE TABLE accounts(id int PRIMARY KEY, units int NOT NULL)`, `INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, 400) i`)
		r := start(t, d.config(func(c *Config) { c.ChunkRows = 20 }), connector.Start{Tables: []string{"public.accounts"}})
		stop := writer(t, d.url, func(int) string {
			from, to := 1+rand.IntN(400), 1+rand.IntN(400)
			return fmt.Sprintf(`UPDATE accounts SET units = units + CASE id WHEN %[2]d THEN 100 ELSE -100 END WHERE id IN (%[1]d, %[2]d) AND %[1]d <> %[2]d`, from, to)
		})
		got := mirror{}
		r.got = nil
		if err := r.s.StartLoad(testContext(t), connector.Load{ID: "l", Table: "public.accounts"}); err != nil {
			t.Fatal(err)
		}
		for done := false; !done; {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatal(err)
			}
			got.apply(b.Changes, "units")
			done = b.Load != nil && b.Load.Done
		}
		stop()
		d.exec(`INSERT INTO accounts VALUES (-1, 0)`)
		for got["-1"] == "" {
			b, err := r.next(testTime)
			if err != nil {
				t.Fatal(err)
			}
			got.apply(b.Changes, "units")
		}
		if diff := cmp.Diff(d.mirror(`SELECT id::text, units::text FROM accounts`), got); diff != "" {
			t.Errorf("rows and what came differ: %s", diff)
		}
		sum := 0
		for _, v := range got {
			sum += mustAtoi(t, v)
		}
		if sum != 400*1000 {
			t.Errorf("%d units in all, want %d", sum, 400*1000)
		}
	})
	// The process is not killed here but given up with nothing more recorded, which leaves the same behind; TestKill kills the built program.
	for point := range 8 {
		t.Run(fmt.Sprintf("cdc 45: a stop after %d batches of the hand-off from load to stream loses nothing", 2*point), func(t *testing.T) {
			d := newDB(t, usersSQL, `INSERT INTO users SELECT i, 'u' || i, 'e0' FROM generate_series(1, 300) i`)
			small := func(c *Config) { c.ChunkRows = 40 }
			r := start(t, d.config(small), users())
			load := connector.Load{ID: "l", Table: "public.users"}
			stop := writer(t, d.url, func(n int) string {
				id := 1 + rand.IntN(330)
				return fmt.Sprintf([]string{`UPDATE users SET email = 'e%[2]d' WHERE id = %[1]d`, `DELETE FROM users WHERE id = %[1]d`,
					`INSERT INTO users VALUES (%[1]d, 'n', 'n%[2]d') ON CONFLICT DO NOTHING`}[rand.IntN(3)], id, n)
			})
			if err := r.s.StartLoad(testContext(t), load); err != nil {
				t.Fatal(err)
			}
			got := mirror{}
			done := false
			take := func() {
				b, err := r.next(testTime)
				if err != nil {
					t.Fatal(err)
				}
				got.apply(b.Changes, "email")
				if b.Load != nil {
					load.Cursor, load.Rows, done = b.Load.Cursor, b.Load.Rows, b.Load.Done
				}
			}
			for n := 0; n < 2*point && !done; n++ {
				take()
			}
			r.close()
			st := r.start("public.users")
			if !done {
				st.Loads = []connector.Load{load}
			}
			r = start(t, d.config(small), st)
			for !done {
				take()
			}
			stop()
			d.exec(`INSERT INTO users VALUES (-1, 'end', 'end')`)
			for got["-1"] == "" {
				take()
			}
			if diff := cmp.Diff(d.mirror(`SELECT id::text, email FROM users`), got); diff != "" {
				t.Errorf("rows and what came differ: %s", diff)
			}
		})
	}
}

func TestBigTransaction(t *testing.T) {
	// Ten million rows are shrunk to three hundred thousand, at a tenth of the case's memory; make bench measures the process with a million.
	t.Run("cdc 71: a transaction far larger than memory's bound comes in parts, with status updates, and leaves no spill", func(t *testing.T) {
		srv := throwaway.ForTest(t, map[string]string{"logical_decoding_work_mem": "64kB"})
		d := openDB(t, srv.TestDatabase(t), usersSQL)
		r := start(t, d.config(), users())
		const rows = 300_000
		d.exec(`INSERT INTO users SELECT i, 'u' || i, 'a@x.io', repeat('x', 100) FROM generate_series(1, $1::int) i`, rows)
		replies := func() string {
			return d.text(`SELECT coalesce(max(reply_time)::text, '') FROM pg_stat_replication WHERE application_name = 'brazecdc'`)
		}
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		n, most, updates, last := 0, uint64(0), 0, replies()
		at := r.recorded.Position.Offset
		for next := rows / 10; n < rows; {
			b, err := r.s.Next(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if n += len(b.Changes); len(b.Changes) > 0 && n < rows && b.Position.Offset > b.Changes[0].ID.Commit {
				t.Fatalf("after %d rows the position %s is behind the commit", n, lsn(b.Position.Offset))
			}
			if n < next {
				continue
			}
			next += rows / 10
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
			if updates == 0 && n >= rows/2 { // on a fast machine the transaction is read before the next one is due
				eventually(t, "a status update comes during the transaction", func() bool { return replies() > last })
				updates++
			}
			r.recorded.Position = b.Position
		}
		if grown := int64(most) - int64(before.HeapInuse); grown > 13<<20 {
			t.Errorf("the heap grew by %d MB while %d rows of one transaction came", grown>>20, rows)
		}
		r.s.Commit(connector.Position{Stream: r.s.stream, Offset: r.recorded.Position.Offset})
		r.until("the position passes the transaction", func() bool { return r.recorded.Position.Offset > at && d.confirmed(r) >= r.recorded.Position.Offset })
		eventually(t, "the spill is gone", func() bool {
			return d.text(`SELECT count(*) FROM pg_ls_dir('pg_replslot/' || $1::text) f WHERE f LIKE '%.spill'`, r.s.cfg.Slot) == "0"
		})
	})
}

// drain sends n rows through a fake walsender, fifty of them a transaction and large pieces at once, and gives how long it took until all were handed over.
func drain(t *testing.T, s *Source, f *fakeSender, from uint64, n int) (took time.Duration, mallocs uint64) {
	t.Helper()
	var all []byte
	f.later = &all
	for at := from; at < from+uint64(n); at += 50 {
		f.begin(at)
		for i := range uint64(50) {
			f.wal(at, insertMessage(f.oid, fmt.Sprint(at+i)))
		}
		f.commit(at, at+49)
	}
	f.later = nil
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	go func() { _, _ = f.conn.Write(all) }() // what is not taken shows as rows that do not come
	for got := 0; got < n; {
		b := nextBatch(t, s)
		got += len(b.Changes)
		s.Commit(b.Position)
	}
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs
}

func TestStreamCost(t *testing.T) {
	// The rate is measured by BenchmarkStream and BenchmarkBareLoop against a real server, and by make bench. Here stands a gate that holds on a
	// busy machine too: how much is allocated for a row, and a rate far below what one core does.
	t.Run("cdc 75: a row costs few allocations and no switch of its own", func(t *testing.T) {
		s, f, _ := fakeSource(t, time.Second)
		f.begin(200)
		f.relation()
		f.commit(200, 201)
		drain(t, s, f, 1000, 5000)
		const rows = 50_000
		took, mallocs := drain(t, s, f, 100_000, rows)
		perRow := float64(mallocs) / rows
		t.Logf("%.1f allocations a row, %.0f rows/s", perRow, rows/took.Seconds())
		if perRow > 1.5 {
			t.Errorf("%.1f allocations a row, want at most 1.5", perRow)
		}
		if rate := rows / took.Seconds(); rate < 10_000 {
			t.Errorf("%.0f rows/s, want at least 10,000", rate)
		}
	})
}
