package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"brazecdc/connector/braze/brazesim"
	kafkas "brazecdc/connector/kafka/throwaway"
	"brazecdc/connector/postgres/throwaway"
	"brazecdc/connector/sourcetest"
)

// parts are the real ones between a table and a profile, as docker-compose.yml has them.
type parts struct {
	server   *throwaway.Server
	broker   *kafkas.Broker
	registry *kafkas.Registry
	connect  *kafkas.Connect
	admin    *kadm.Client
}

func newParts(t *testing.T) *parts {
	t.Helper()
	p := &parts{server: throwaway.ForTest(t)} // its own: roles and slots have the names that the stack gives them
	p.broker = kafkas.Shared(t)
	p.registry = kafkas.RegistryForTest(t, kafkas.Config{})
	p.connect = kafkas.ConnectForTest(t, p.broker, kafkas.Config{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.broker.Addr()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	p.admin = kadm.NewClient(cl)
	return p
}

func (p *parts) database(t *testing.T, name string) (*pgx.Conn, string) {
	t.Helper()
	if err := p.server.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	url := p.server.URL(name)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db, url
}

// connector is compose/connector.json with the places of this machine; more goes over it, and an empty value takes a setting away.
func (p *parts) connector(t *testing.T, db *pgx.Conn, more map[string]string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("compose/connector.json")
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(p.registry.URL(), "/apis/ccompat/v7")
	text = bytes.ReplaceAll(text, []byte("http://registry:8080"), []byte(base))
	var config map[string]string
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config["database.hostname"], config["database.port"] = "127.0.0.1", fmt.Sprint(db.Config().Port)
	for k, v := range more {
		if config[k] = v; v == "" {
			delete(config, k)
		}
	}
	return config
}

// put starts a connector, and takes it away at the test's end, before its database goes.
func (p *parts) put(t *testing.T, name string, config map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := p.connect.Put(ctx, name, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.connect.Delete(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the connector has made its topics", func() bool {
		topics, err := p.admin.ListTopics(t.Context())
		return err == nil && len(wanting(topics, config)) == 0
	})
}

// wanting are the topics of a connector's tables that are not there yet.
func wanting(have kadm.TopicDetails, config map[string]string) (out []string) {
	for table := range strings.SplitSeq(config["table.include.list"], ",") {
		if name := config["topic.prefix"] + "." + table; !have.Has(name) {
			out = append(out, name)
		}
	}
	return out
}

// lateSim is a simulator that applies what it accepted late, and in either order.
func lateSim(t *testing.T, seed uint64) (*brazesim.Server, string) {
	t.Helper()
	sim := brazesim.New(brazesim.Config{APIKey: testKey, ApplyDelay: 15 * time.Millisecond, DeleteDelay: 60 * time.Millisecond, Seed: seed})
	endpoint, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	t.Cleanup(func() { sourcetest.NothingRefused(t, sim.Unasked()) })
	return sim, endpoint
}

// TestRealParts runs everything that lies between a table and a profile as it is in use: Postgres, Debezium in Kafka Connect, a broker, a schema registry,
// and the program.
func TestRealParts(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	t.Run("the stack of docker-compose.yml", p.stack)
	t.Run("JSON, Avro and the database's own stream end in the same profiles", p.agree)
}

// stack runs what docker-compose.yml runs, part by part.
func (p *parts) stack(t *testing.T) {
	db, _ := p.database(t, "shop")
	schema, err := os.ReadFile("compose/shop.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), string(schema)); err != nil {
		t.Fatal(err)
	}
	p.put(t, "shop", p.connector(t, db, nil))
	p.registered(t, db)

	sim, endpoint := lateSim(t, 1)
	text, err := os.ReadFile("compose/kafka.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: shortDir(t), sim: sim, env: append(os.Environ(), "BRAZE_API_KEY="+testKey, "NO_COLOR=1")}
	b.write(strings.NewReplacer("kafka:9092", p.broker.Addr(), "http://registry:8080/apis/ccompat/v7", p.registry.URL(), "http://127.0.0.1:8090", endpoint,
		"/var/lib/brazecdc", b.dir).Replace(string(text)) + "web: { listen: \"127.0.0.1:0\" }\n")
	run := b.run()
	b.arrives("1", "plan", `"pro"`)
	b.arrives("2", "home_city", `"Porto"`)
	b.arrives("3", "credits", `12`)
	for _, line := range []string{"UPDATE customers SET plan = 'pro' WHERE id = 2", "DELETE FROM customers WHERE id = 3"} {
		stackSays(t, line)
		if _, err := db.Exec(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	b.arrives("2", "plan", `"pro"`)
	b.until("3 is deleted", func() bool { _, there := sim.Profile("3"); return !there })
	if code := run.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// registered runs the script of the stack's one-shot service, on a connector that is there: it changes nothing and finds the topics.
func (p *parts) registered(t *testing.T, db *pgx.Conn) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") != "true" {
		t.Logf("compose/register.sh is not run: %v", err)
		return
	}
	config, err := json.Marshal(p.connector(t, db, nil))
	if err != nil {
		t.Fatal(err)
	}
	file := shortDir(t) + "/connector.json"
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "compose/register.sh", p.connect.URL(), "shop", file, "shop.public.customers", "shop.public.addresses").CombinedOutput()
	if err != nil {
		t.Fatalf("register.sh: %v\n%s", err, out)
	}
	wantIn(t, string(out), "shop runs", "shop.public.customers", "shop.public.addresses")
}

// stackSays checks that the head comment of docker-compose.yml tells people a line.
func stackSays(t *testing.T, line string) {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\nname:")
	wantIn(t, head, line)
}

const peopleModel = `mode: sync
load: all
deletes: { max: 1000000, share: 100% }
identify: { external_id: id }
fields: { email: email, first_name: first_name, dob: born }
custom:
  seen: { column: seen, type: time }
  credits: { column: credits, type: number }
  visits: visits
  vip: vip
  prefs: { column: prefs, type: object }
  tags: tags
  ref: ref
  attrs: { column: attrs, type: object }
  doc: { column: doc, type: object }`

const vipLine, levelLine = "\n      vip: vip", "\n      level: level" // as they stand in a way's file

// jsonForm is Debezium's JSON without schema.
var jsonForm = map[string]string{
	"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
	"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
}

// jsonColumns tells what such records do not: that a column is a decimal (they have its unscaled digits), a date (they have its days), a time or JSON (text).
const jsonColumns = "columns: { born: date, seen: timestamptz, credits: \"numeric(12,2)\", prefs: jsonb, attrs: hstore, doc: jsonb }\n"

// way is one of the ways from the table to profiles, with a simulator of its own at its end.
type way struct {
	*bench
	name  string
	topic string // "" for the database's own stream
	run   *process
}

// way sets up one of them. Its configuration has the model lines of peopleModel.
func (p *parts) way(t *testing.T, name, url string, seed uint64) *way {
	t.Helper()
	w := &way{bench: &bench{t: t, dir: shortDir(t)}, name: name}
	var endpoint string
	w.sim, endpoint = lateSim(t, seed)
	w.env = append(os.Environ(), "BRAZE_API_KEY="+testKey, "DATABASE_URL="+url, "NO_COLOR=1")
	model := peopleModel
	source, from := `postgres: { url: "${DATABASE_URL}", slot: people, publication: people, heartbeat: 1s }`, "table: public.people"
	if name != "postgres" {
		w.topic = name + ".public.people"
		source = fmt.Sprintf(`kafka: { brokers: [%q], group: people-%s, registry: { url: %q } }`, p.broker.Addr(), name, p.registry.URL())
		from = "topic: " + w.topic
	}
	if name == "json" {
		model = jsonColumns + model
	}
	text := fmt.Sprintf(`version: 1
braze: { workspace: %s, endpoint: %q, api_key: "${BRAZE_API_KEY}", user_gap: 20ms, settle: 100ms }
source:
  time_zone: UTC
  %s
web: { listen: "127.0.0.1:0" }
limits: { drain: 20s }
models:
  - name: people
    kind: users
    %s
%s
`, name, endpoint, source, from, indent(model))
	if w.topic != "" {
		text = strings.Replace(text, vipLine, vipLine+levelLine, 1)
	}
	w.write(text)
	return w
}

// agree drives one table, and reads it in three ways.
func (p *parts) agree(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	db, url := p.database(t, "people")
	if _, err := db.Exec(t.Context(), peopleTable); err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, db: db, rnd: rand.New(rand.NewPCG(seed, 3)), ids: make([]string, 200), alive: make([]bool, 200)}
	c.begin()
	for name, form := range map[string]map[string]string{"json": jsonForm, "avro": nil} {
		config := p.connector(t, db, map[string]string{"database.dbname": "people", "topic.prefix": name, "slot.name": name, "publication.name": "people",
			"table.include.list": "public.people", "database.user": "postgres"})
		if form != nil { // the other converters and their settings go
			maps.DeleteFunc(config, func(k, _ string) bool { return strings.Contains(k, ".converter") })
			maps.Copy(config, form)
		}
		p.put(t, name, config)
	}
	ways := []*way{p.way(t, "postgres", url, seed), p.way(t, "json", url, seed), p.way(t, "avro", url, seed)}
	for _, w := range ways {
		w.run = w.bench.run()
	}
	c.changes(1000)
	p.same(t, c, ways)

	// A column that comes later. The topics' readers have it in their file from the beginning; the database's reader refuses what its table lacks, so it is
	// told now.
	c.exec(`ALTER TABLE people ADD COLUMN level int`)
	c.level = true
	direct := ways[0]
	if code := direct.run.stop(); code != 0 {
		t.Errorf("%s: exit code %d", direct.name, code)
	}
	direct.edit(vipLine, vipLine+levelLine)
	direct.listen = ""
	direct.run = direct.bench.run()
	c.changes(1000)
	p.same(t, c, ways)
	for _, w := range ways {
		end := w.status()
		if n := end.Quarantine; n != 0 {
			t.Errorf("%s: %d changes are held back:\n%s", w.name, n, w.must("quarantine", "list"))
		}
		if code := w.run.stop(); code != 0 {
			t.Errorf("%s: exit code %d", w.name, code)
		}
		if w.topic == "" {
			continue
		}
		if sent := end.Models[0].Sent; sent["delete"] == 0 || sent["rename"] == 0 {
			t.Errorf("%s: nothing was deleted or renamed: %v", w.name, sent)
		}
		p.telling(t, w.topic)
		lags, err := p.admin.Lag(t.Context(), "people-"+w.name)
		if err != nil || lags.Error() != nil {
			t.Fatal(err, lags.Error())
		}
		if n := lags["people-"+w.name].Lag.Total(); n != 0 {
			t.Errorf("%s: the group is %d records behind", w.name, n)
		}
	}
	t.Logf("%d rows live after %d changes", len(c.wanted()), c.made)
}

// telling sees that a topic holds what makes reading it hard: values that records lack, key changes in two halves, tombstones.
func (p *parts) telling(t *testing.T, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.broker.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lacking, halves, tombstones := 0, 0, 0
	for lacking == 0 || halves == 0 || tombstones == 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Errorf("%s: %d records lack a value, %d are halves of key changes, %d are tombstones", topic, lacking, halves, tombstones)
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if bytes.Contains(r.Value, []byte("__debezium_unavailable_value")) {
				lacking++
			}
			if slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "__debezium.newkey" }) {
				halves++
			}
			if r.Value == nil {
				tombstones++
			}
		})
	}
}

// same waits until all ways have the profiles that the table demands, byte by byte the same.
func (p *parts) same(t *testing.T, c *crowd, ways []*way) {
	t.Helper()
	want := c.wanted()
	for _, w := range ways {
		var differ string
		sourcetest.Poll(2*patience, 20*time.Millisecond, func() bool {
			differ = w.differs(want)
			return differ == "" || w.run.ended()
		})
		if differ != "" {
			t.Fatalf("%s: profiles and rows differ: %s\n%s", w.name, differ, w.must("status"))
		}
		w.until("nothing is open", func() bool { return w.status().OpenChanges == 0 })
	}
	first := profileBytes(ways[0])
	for _, w := range ways[1:] {
		other := profileBytes(w)
		for id, text := range first {
			if other[id] != text {
				t.Errorf("%s of %s:\n%.2000s\nof %s:\n%.2000s", id, ways[0].name, text, w.name, other[id])
			}
		}
		if len(other) != len(first) {
			t.Errorf("%s has %d profiles, %s has %d", ways[0].name, len(first), w.name, len(other))
		}
	}
}

// profileBytes are the fields of the profiles, as Braze holds them. Only the keys of attrs are put in order: Debezium writes those of an hstore in one of its
// own, and tells of Avro's text only that it is JSON.
func profileBytes(w *way) map[string]string {
	out := map[string]string{}
	for _, p := range w.sim.Profiles() {
		var b strings.Builder
		for _, set := range []map[string]json.RawMessage{p.Attributes, p.Custom} {
			for _, k := range slices.Sorted(maps.Keys(set)) {
				raw := set[k]
				if k == "attrs" {
					var object map[string]any
					if err := json.Unmarshal(raw, &object); err != nil {
						w.t.Fatal(err)
					}
					raw, _ = json.Marshal(object) // of what was JSON
				}
				fmt.Fprintf(&b, "%s=%s ", k, raw)
			}
		}
		out[p.ExternalID] = b.String()
	}
	return out
}

// differs compares the profiles with what is wanted and tells the first difference.
func (w *way) differs(want map[string]map[string]any) string {
	have := map[string]brazesim.Profile{}
	for _, p := range w.sim.Profiles() {
		have[p.ExternalID] = p
	}
	for id, fields := range want {
		p, ok := have[id]
		if !ok {
			return id + " has no profile"
		}
		got := map[string]any{}
		for _, set := range []map[string]json.RawMessage{p.Attributes, p.Custom} {
			for k, raw := range set {
				var v any
				if err := json.Unmarshal(raw, &v); err != nil {
					w.t.Fatal(err)
				}
				got[k] = v
			}
		}
		for _, k := range slices.Sorted(maps.Keys(merged(fields, got))) {
			a, b := fields[k], got[k]
			if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
				return fmt.Sprintf("%s of %s is %.300s, want %.300s", k, id, y, x)
			}
		}
	}
	for id := range have {
		if want[id] == nil {
			return id + " has a profile and no row"
		}
	}
	return ""
}

func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
