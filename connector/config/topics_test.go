package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func TestTopics(t *testing.T) {
	text, err := os.ReadFile("testdata/topics.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, string(text))
	if got := cfg.Source.Kafka.StartTimeout; got != 5*time.Second {
		t.Errorf("start_timeout %s", got)
	}
	m := &cfg.Models[0]
	if m.Topic != "" || m.TopicPattern != `shop\.shard[0-9]+\.users` || m.Relation() != m.TopicPattern || m.KeyColumn != "id" || m.KeyFormat != "integer" {
		t.Errorf("topic %q, pattern %q, key column %q, key format %q", m.Topic, m.TopicPattern, m.KeyColumn, m.KeyFormat)
	}
	if got, want := cfg.Source.Kafka.Registry.TLS, (TLS{CA: "ca.pem", Cert: "c.pem", Key: "k.pem"}); got != want || !cfg.Given("source.kafka.registry.tls") {
		t.Errorf("the registry's TLS %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"price": "numeric(12,2)", "born": "date", "seen": "timestamp(3) ms"}, m.ColumnTypes); diff != "" {
		t.Error(diff)
	}
	reads := m.Reads()
	for topic, want := range map[string]bool{"shop.shard1.users": true, "shop.shard22.users": true, "shop.shard1.users.old": false, "my.shop.shard1.users": false, "shop_shard1.users": false, "": false} {
		if reads(topic) != want {
			t.Errorf("topic %q is read: %v", topic, !want)
		}
	}
	t.Run("TLS is no matter of a registry without it", func(t *testing.T) {
		_, err := Parse("x.yml", []byte(strings.Replace(string(text), "https://registry", "http://registry", 1)), func(string) (string, bool) { return "x", true }, nil)
		if err == nil || !strings.Contains(err.Error(), "source.kafka.registry.tls is for an address with https") {
			t.Error(err)
		}
	})
	t.Run("a type that the decoder refuses is told at its line", func(t *testing.T) {
		line, column := cfg.Locate("models[0].columns.born", 0)
		if line != 11 || column < 16 {
			t.Errorf("line %d, column %d", line, column)
		}
	})
	t.Run("either of two patterns matches as a whole", func(t *testing.T) {
		reads := (&connector.Model{TopicPattern: "a|b"}).Reads()
		if !reads("a") || !reads("b") || reads("ab") || reads("xb") {
			t.Error("an alternative is not bound to the name's ends")
		}
	})
	t.Run("only a pattern that leaves no topic out is said to match every one", func(t *testing.T) {
		for pattern, want := range map[string]bool{".*": true, ".+": true, `[a-zA-Z0-9._-]+`: true, `\S*`: true, `a|.*`: true,
			"a.*": false, "x*": false, "": false, "[^_].*": false, ".*[^0]": false, `.*\.users`: false, "[a-z0-9.]+": false, ".{2,}": false, ".{1,200}": false} {
			if got := everyTopic((&connector.Model{TopicPattern: pattern}).Reads()); got != want {
				t.Errorf("%q matches every topic: %v", pattern, got)
			}
		}
	})
	t.Run("a pattern that begins with a letter is not warned of", func(t *testing.T) {
		text := strings.Replace(string(text), `pattern: ".*"`, `pattern: "a.*"`, 1)
		for _, w := range parse(t, text).Warnings {
			if strings.Contains(w.Error(), "every topic") {
				t.Error(w)
			}
		}
	})
	t.Run("a topic that brazecdc writes is not one of rows", func(t *testing.T) {
		fs := faultsOf(t, `version: 1
braze: { workspace: staging, endpoint: https://rest.fra-01.braze.eu, api_key: "${BRAZE_API_KEY}" }
source: { kafka: { brokers: ["localhost:9092"], state_topic: shop.state } }
models:
  - { name: m, topic: shop.state, mode: enrich, load: none, identify: { external_id: id } }
`)
		want := "brazecdc.yaml:5:23: models[0].topic is the topic of source.kafka.state_topic; name the topic that holds the rows"
		if fs.Error() != want {
			t.Errorf("got %s\nwant %s", fs.Error(), want)
		}
	})
}
