package state

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
)

// crashWindow is how many names the record of step n leaves: those of the steps n-crashWindow+1 to n.
const crashWindow = 10

func crashRecord(n uint64) *connector.Record {
	r := &connector.Record{
		Positions: at("slot", n),
		Renamed:   []string{fmt.Sprint("r", n)},
		Held:      []connector.HeldDelete{{User: user(int(n % 7)), Reason: fmt.Sprint(n), At: testTime}},
		Done:      []connector.DoneID{{Stream: "slot", ID: connector.ChangeID{Commit: n + 3}, Kind: connector.Rename, User: user(1)}},
	}
	if n > crashWindow {
		r.Freed = []string{fmt.Sprint("r", n-crashWindow)}
	}
	return r
}

// crashChild applies records and puts quarantine entries for ever, and prints each one once it is acknowledged.
func crashChild() {
	d, err := OpenData(os.Getenv("STATE_TEST_DIR"), testConfig)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(args...)
	}
	ctx := context.Background()
	for w := range 3 {
		go func() {
			for i := 0; ; i++ {
				e := entry(w*1000 + i%50)
				e.Reason = fmt.Sprint("entry ", i)
				id, err := d.Quarantine().Put(ctx, &e)
				if err != nil {
					say("error", err)
					return
				}
				say("put", w*1000+i%50, id)
			}
		}()
	}
	for n := d.positions["slot"] + 1; ; n++ {
		if err := d.Apply(ctx, crashRecord(n)); err != nil {
			say("error", err)
			os.Exit(1)
		}
		say("applied", n)
	}
}

func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	applied := uint64(0)
	entries := map[int]uint64{} // acknowledged, by row
	for range rounds {
		cmd := child(t, "crash", "STATE_TEST_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err = cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acks := rand.IntN(120)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var row int
			var id uint64
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatal(lines.Text())
			}
			if _, err := fmt.Sscanf(lines.Text(), "put %d %d", &row, &id); err == nil {
				entries[row] = max(id, entries[row])
			} else if _, err = fmt.Sscanf(lines.Text(), "applied %d", &id); err == nil {
				applied = id
			} else if cmd.ProcessState == nil && n < acks {
				t.Fatalf("the child said %q", lines.Text())
			}
			if n == acks {
				// The moment inside the next write is left to chance.
				time.Sleep(rand.N(2 * time.Millisecond))
				if err = cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		checkAfterKill(t, dir, &applied, entries)
	}
	if applied == 0 || len(entries) == 0 {
		t.Fatalf("applied %d records and put %d rows", applied, len(entries))
	}
}

// checkAfterKill compares with what was acknowledged: the journal is that of the last acknowledged record, or of the one after it.
func checkAfterKill(t *testing.T, dir string, applied *uint64, entries map[int]uint64) {
	t.Helper()
	d := openData(t, dir)
	got := d.positions["slot"]
	if got != *applied && got != *applied+1 {
		t.Fatalf("the position is %d after %d was acknowledged", got, *applied)
	}
	*applied = got
	want := newModel()
	for n := uint64(1); n <= got; n++ {
		want.apply(crashRecord(n))
	}
	if got == 0 {
		want.state.New = true
	}
	wantState(t, d.State(), want.want())

	q := d.Quarantine()
	open := listed(t, q, connector.EntryFilter{})
	if n := q.Counts()[[2]string{"customers", "rejected"}]; n != int64(len(open)) {
		t.Errorf("counted %d of %d entries", n, len(open))
	}
	for row, id := range entries {
		of := listed(t, q, connector.EntryFilter{Row: entry(row).Key})
		if len(of) != 1 || of[0].ID < id {
			t.Fatalf("row %d has entries %v after %d was acknowledged", row, ids(of), id)
		}
		if !slices.ContainsFunc(open, func(e connector.Entry) bool { return e.ID == of[0].ID }) {
			t.Fatalf("entry %d is not among the open ones", of[0].ID)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
