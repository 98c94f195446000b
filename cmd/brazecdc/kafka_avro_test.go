package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// registryServer answers as a schema registry for the recorded schemas of a folder, for one login, while up is set.
type registryServer struct {
	mu      sync.RWMutex
	schemas map[string]string
	up      atomic.Bool
	lost    atomic.Bool // what answers is a proxy that does not find the registry
	asked   atomic.Int64
}

func newRegistryServer(t *testing.T, folder string) (*registryServer, string) {
	t.Helper()
	r := &registryServer{schemas: map[string]string{}}
	f, err := os.Open(filepath.Join("../../connector/envelope/testdata/debezium", folder, "schemas.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var s struct {
			ID     json.Number
			Schema json.RawMessage
		}
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		r.schemas[s.ID.String()] = string(s.Schema)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return r, srv.URL
}

// learn makes the registry know the schema of one id under another one too.
func (r *registryServer) learn(as, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schemas[as] = r.schemas[id]
}

func (r *registryServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked.Add(1)
	if r.lost.Load() {
		http.Error(w, "default backend - 404", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	user, password, _ := req.BasicAuth()
	id, one := strings.CutPrefix(req.URL.Path, "/schemas/ids/")
	r.mu.RLock()
	schema, known := r.schemas[id]
	r.mu.RUnlock()
	answer, status := any([]string{"AVRO"}), http.StatusOK
	switch {
	case user != "reader" || password != testKey:
		answer, status = map[string]any{"error_code": 401, "message": "who are you"}, http.StatusUnauthorized
	case !r.up.Load():
		answer, status = map[string]any{"error_code": 50001, "message": "later"}, http.StatusServiceUnavailable
	case one && !known:
		answer, status = map[string]any{"error_code": 40403, "message": "Schema not found"}, http.StatusNotFound
	case one:
		answer = map[string]string{"schema": schema}
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that went away needs no answer
}

func TestKafkaAvro(t *testing.T) {
	t.Parallel()
	recs := recordedTopic(t, "avro_confluent", "public.users")
	b, cl := newTopicBench(t, 1, `mode: sync
load: all
identify: { external_id: id }
custom: { name: name, age: age }`)
	reg, url := newRegistryServer(t, "avro_confluent")
	b.edit("group: shop }", `group: shop, registry: { url: "`+url+`", user: reader, password: "${BRAZE_API_KEY}" } }`)
	produce(t, cl, recs...)
	r := b.brazecdc("check")
	wantIn(t, r.out, "does not answer", "must fix")

	probes := b.sim.Stats().Endpoints["/users/track"].Requests
	p := b.run()
	b.until("the partition waits for the registry", func() bool { return strings.Contains(b.must("status"), "waits: partition 0") })
	if n := b.status().Quarantine; n != 0 || b.sim.Stats().Endpoints["/users/track"].Requests > probes {
		t.Errorf("%d records are held back, %d requests were made while the registry was away", n, b.sim.Stats().Endpoints["/users/track"].Requests-probes)
	}
	reg.lost.Store(true)
	reg.up.Store(true)
	asked := reg.asked.Load()
	b.until("a proxy in front of the registry is asked as well", func() bool { return reg.asked.Load() > asked+1 })
	if n := b.status().Quarantine; n != 0 {
		t.Errorf("%d records are held back for a proxy's word", n)
	}
	reg.lost.Store(false)
	left := finalRows(t, recordedTopic(t, "json", "public.users"), "name") // the same rows
	for id, name := range left {
		b.until("the name of "+id+" is "+name, func() bool {
			var got string
			return json.Unmarshal([]byte(b.profile(id, "name")), &got) == nil && got == name
		})
	}
	asked = reg.asked.Load()
	// A schema that the registry does not have makes the record undecodable, and its neighbours arrive.
	unknown := append([]byte{0, 0, 0, 0x7f, 0x7f}, recs[0].Value[5:]...)
	produce(t, cl, &kgo.Record{Topic: "shop.users", Key: recs[0].Key, Value: unknown}, recs[0])
	b.until("it is held back", func() bool { return b.status().Quarantine == 1 })
	b.until("the one behind it is delivered", func() bool {
		s := b.status()
		return s.OpenChanges == 0 && s.Streams[0].Confirmed == uint64(len(recs)+2)
	})
	if n := reg.asked.Load() - asked; n > 2 {
		t.Errorf("the registry was asked %d times for one new id", n)
	}
	wantIn(t, b.must("check"), "the schema registry "+url+" answers", "as Avro with a schema id")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
