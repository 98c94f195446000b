package connector

import (
	"context"
	"errors"
	"testing"
)

// endingCensus is closed by the load's end while its notes are about to be made durable.
type endingCensus struct{ before func() }

func (c *endingCensus) Saw(...User) {}

func (c *endingCensus) Sync() (int64, error) {
	c.before()
	return 0, errors.New("the store is closed")
}

func (c *endingCensus) Gone(context.Context, func(User) bool) error { return nil }
func (c *endingCensus) Close() error                                { return nil }
func (c *endingCensus) Remove() error                               { return nil }

// TestSyncLoads: notes of a load that ended meanwhile are nobody's business any more; of one that goes on they must be durable before the record.
func TestSyncLoads(t *testing.T) {
	for name, ends := range map[string]bool{"a load that ends meanwhile": true, "a load that goes on": false} {
		t.Run(name, func(t *testing.T) {
			p := &Pipeline{loads: newLoadRuns(), care: newCare(nil), models: []ModelInfo{{Name: "users"}}}
			p.loads.put(&loadRun{id: "one", census: &endingCensus{before: func() {
				if ends {
					p.loads.drop("one")
				}
			}}})
			if err := p.syncLoads(); (err == nil) != ends {
				t.Errorf("got %v", err)
			}
		})
	}
}
