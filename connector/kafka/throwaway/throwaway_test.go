package throwaway_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/kafka/throwaway"
	postgres "brazecdc/connector/postgres/throwaway" //nolint:depguard // Debezium needs a database to read, in this test only
)

func progress(t *testing.T) func(string) { return func(l string) { t.Log(l) } }

func TestBroker(t *testing.T) {
	began := time.Now()
	b := throwaway.ForTest(t, throwaway.Config{Progress: progress(t)})
	t.Logf("started within %s", time.Since(began))
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	write := func(v string) {
		t.Helper()
		if err := cl.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	began = time.Now()
	b.Kill()
	if err := b.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted after kill -9 within %s", time.Since(began))
	write("b")
	var got []string
	for len(got) < 2 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("the log holds %q", got)
	}
	b.Stop()
	b.Stop()
	if _, err := os.Stat(b.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory %s was left behind: %v", b.Dir(), err)
	}
}

func TestConnectAndRegistry(t *testing.T) {
	pg := postgres.ForTest(t)
	url := pg.TestDatabase(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{`CREATE TABLE users(id bigint PRIMARY KEY, email text)`, `INSERT INTO users VALUES (1, 'a@example.com')`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	b := throwaway.ForTest(t, throwaway.Config{Progress: progress(t)})
	r := throwaway.RegistryForTest(t, throwaway.Config{Progress: progress(t)})
	began := time.Now()
	c := throwaway.ConnectForTest(t, b, throwaway.Config{Progress: progress(t)})
	t.Logf("Connect served within %s", time.Since(began))
	db := conn.Config()
	for name, more := range map[string]map[string]string{"json": nil, "avro": r.Avro()} {
		if err := c.Put(ctx, name, throwaway.Debezium(name, int(db.Port), db.Database, "public.users", more)); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("json.public.users", "avro.public.users"), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	got := map[string][]byte{}
	for len(got) < 2 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[r.Topic] = r.Value })
	}
	if v := got["json.public.users"]; !bytes.Contains(v, []byte(`"email":"a@example.com"`)) {
		t.Errorf("JSON: %q", v)
	}
	v := got["avro.public.users"]
	if len(v) < 6 || v[0] != 0 || !bytes.Contains(v, []byte("a@example.com")) {
		t.Fatalf("Avro: %q", v)
	}
	resp, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", r.URL(), binary.BigEndian.Uint32(v[1:])))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if schema, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(schema, []byte("io.debezium.connector.postgresql")) {
		t.Errorf("schema: %s %s %v", resp.Status, schema, err)
	}
	for _, name := range []string{"json", "avro"} {
		if err := c.Delete(ctx, name); err != nil {
			t.Error(err)
		}
	}
}
