package state

import (
	"sync"

	"go.etcd.io/bbolt"
)

// A commit takes up to groupOps operations, and stops taking more after groupBytes.
const (
	groupOps   = 2000
	groupBytes = 8 << 20
)

// group gathers the operations of many goroutines into few transactions: while one is being synced to disk, the next ones gather. One that comes alone
// waits for nothing.
type group struct {
	file *file

	mu      sync.Mutex
	waiting []*operation
	running bool
	runs    sync.WaitGroup
}

// operation is one caller's part of a transaction. write may run more than once, each time in another transaction of which only the last commits;
// committed runs once, after that, one operation at a time.
type operation struct {
	write     func(tx *bbolt.Tx) error
	committed func()
	bytes     int
	done      chan error
}

// do gives nil once the operation is durable.
func (g *group) do(o *operation) error {
	o.done = make(chan error, 1)
	g.mu.Lock()
	g.waiting = append(g.waiting, o)
	if !g.running {
		g.running = true
		g.runs.Go(g.run)
	}
	g.mu.Unlock()
	return <-o.done
}

// run commits what waits until nothing does.
func (g *group) run() {
	for {
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.waiting, g.running = nil, false
			g.mu.Unlock()
			return
		}
		n, size := 0, 0
		for n < len(g.waiting) && n < groupOps && size < groupBytes {
			size += g.waiting[n].bytes
			n++
		}
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		g.mu.Unlock()
		g.commit(batch)
	}
}

// commit writes a batch in one transaction. If one of its operations refuses, each is written on its own, so that only the refusing one ends in an error.
func (g *group) commit(batch []*operation) {
	refused := false
	err := g.file.update(func(tx *bbolt.Tx) error {
		refused = false
		for _, o := range batch {
			if err := o.write(tx); err != nil {
				refused = true
				return err
			}
		}
		return nil
	})
	if refused && len(batch) > 1 {
		for _, o := range batch {
			g.commit([]*operation{o})
		}
		return
	}
	for _, o := range batch {
		if err == nil && o.committed != nil {
			o.committed()
		}
		o.done <- err
	}
}

// wait returns when nothing is being written any more.
func (g *group) wait() { g.runs.Wait() }
