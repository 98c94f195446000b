package main

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"brazecdc/connector"
	"brazecdc/connector/state"
)

func TestPagesChangeTheFilesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	p, _ := pagesProgram(t)
	dir := filepath.Dir(p.config)
	text := `version: 1
braze: { workspace: shop, endpoint: "https://rest.fra-01.braze.eu", api_key: a-key }
source: { postgres: { url: "postgres://me@127.0.0.1:9/shop" } }
models: [{ name: users, table: public.users, mode: additive, load: none, identify: { external_id: id }, fields: { email: email } }]
`
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := state.OpenData(filepath.Join(dir, "data"), state.DataConfig{Workspace: "shop", Endpoint: "https://rest.fra-01.braze.eu"})
	if err != nil {
		t.Fatal(err)
	}
	const entries = 20
	var ids []uint64
	for i := range entries {
		id, err := d.Quarantine().Put(t.Context(), &connector.Entry{Model: "users", Key: connector.Key{Table: "public.users", ID: strconv.Itoa(i)}, Class: "rejected", Reason: "no"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x := &pageParts{log: p.quietLog()}
	_, looked, err := p.pagesAPI(t.Context(), x, forReading) // of a page that is made meanwhile
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var changes sync.WaitGroup
	for _, id := range ids {
		changes.Go(func() {
			api, done, err := p.pagesAPI(ctx, x, forWriting)
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if err := api.Discard(ctx, id, "a test"); err != nil {
				t.Error(err)
			}
		})
	}
	looked()
	changes.Wait()
}
