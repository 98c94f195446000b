package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"brazecdc/connector"
	kafkas "brazecdc/connector/kafka/throwaway"
)

// kafkaBench is a bench whose source.kafka has the given settings.
func kafkaBench(t *testing.T, kafka string) *bench {
	t.Helper()
	b, _ := newTopicBench(t, 1, topicModel)
	at := strings.Index(b.text, "kafka: {")
	b.edit(b.text[at:at+strings.Index(b.text[at:], "}")+1], "kafka: { "+kafka+" }")
	return b
}

// TestKafkaUnreached reads what check and run say of brokers that do not let them in.
func TestKafkaUnreached(t *testing.T) {
	t.Parallel()
	broker := kafkas.Shared(t)
	ca, _, _ := broker.TLSFiles()
	down := `start_timeout: 1s, brokers: ["127.0.0.1:1"]`
	for _, c := range []struct {
		name, kafka string
		code        int
		words       []string
	}{
		{"down", down, connector.ExitUnreachable, []string{"no broker of 127.0.0.1:1 answered within", "see that the brokers run"}},
		{"no login", fmt.Sprintf("start_timeout: 1s, brokers: [%q]", broker.SASLAddr()), connector.ExitRights, []string{"closed every connection at once", "source.kafka.sasl"}},
		{"wrong password", fmt.Sprintf("brokers: [%q], sasl: { mechanism: plain, user: alice, password: guess }", broker.SASLAddr()), connector.ExitRights,
			[]string{"the broker refused the login", "correct source.kafka.sasl"}},
		{"wrong password by scram", fmt.Sprintf("brokers: [%q], sasl: { mechanism: scram-sha-256, user: bob, password: guess }", broker.SASLAddr()), connector.ExitRights,
			[]string{"the broker refused the login", "correct source.kafka.sasl"}},
		{"no TLS", fmt.Sprintf("start_timeout: 1s, brokers: [%q]", broker.TLSAddr()), connector.ExitRights, []string{"the listener wants TLS", "set source.kafka.tls"}},
		{"an authority that is not known", fmt.Sprintf("brokers: [%q], tls: {}", broker.TLSAddr()), connector.ExitRights, []string{"certificate is not trusted", "source.kafka.tls.ca"}},
		{"no client certificate", fmt.Sprintf("brokers: [%q], tls: { ca: %s }", broker.TLSAddr(), ca), connector.ExitRights, []string{"source.kafka.tls.cert"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := kafkaBench(t, c.kafka)
			run := b.brazecdc("run")
			if run.code != c.code {
				t.Errorf("run: exit code %d, want %d", run.code, c.code)
			}
			wantIn(t, run.err, c.words...)
			began := time.Now()
			check := b.brazecdc("check")
			took := time.Since(began)
			if check.code != connector.ExitFaults || check.err != "" {
				t.Errorf("check: exit code %d, beside the report: %s", check.code, check.err)
			}
			wantIn(t, check.out, append([]string{"must fix"}, c.words...)...)
			if c.kafka == down && (!strings.Contains(check.out, "within 10s") || took < 10*time.Second) {
				t.Errorf("took %s: %s", took, check.out)
			}
			if strings.Contains(run.err+check.out, "guess") {
				t.Error("the password is in the text")
			}
		})
	}
}

// TestReplayWaits: a replay alone that finds no broker says so long before it gives up.
func TestReplayWaits(t *testing.T) {
	t.Parallel()
	b := kafkaBench(t, `brokers: ["127.0.0.1:1"], start_timeout: 10m`)
	p := start(t, b.env, "replay", "--topic", "shop.users", "--dry-run", "--config", b.config())
	b.until("it says what it waits for", func() bool { return strings.Contains(p.err.String(), "no broker answers yet") })
	p.stop()
	wantIn(t, p.err.String(), "127.0.0.1:1", "at_most=10m0s", "connection refused")
	if n := strings.Count(p.err.String(), "no broker answers yet"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// TestKafkaForeseen checks what a start would refuse: check says it in the same words.
func TestKafkaForeseen(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, topicModel)
	adm := kadm.NewClient(cl)
	produce(t, cl, debezium("c", "u-1", "free", 1), debezium("c", "u-2", "free", 1))
	b.must("check")
	p := b.run()
	b.arrives("u-2", "plan", `"free"`)
	wantIn(t, b.must("check"), "group shop goes on in 1 partition") // beside the process, which keeps data/ to itself
	p.stop()
	wantIn(t, b.must("check"), "group shop goes on in 1 partition, and the topics hold all that it has not read")
	refused := func(words ...string) {
		t.Helper()
		check, run := b.brazecdc("check"), b.brazecdc("run")
		if check.code != connector.ExitFaults || run.code != connector.ExitOffsetRange {
			t.Errorf("check: exit code %d, run: %d", check.code, run.code)
		}
		wantIn(t, check.out, words...)
		wantIn(t, run.err, words...)
	}
	produce(t, cl, debezium("c", "u-3", "free", 1), debezium("c", "u-4", "free", 1))
	if _, err := adm.DeleteRecords(t.Context(), kadm.Offsets{"shop.users": {0: {Topic: "shop.users", Partition: 0, At: 3}}}); err != nil {
		t.Fatal(err)
	}
	refused("begins at offset 3, behind the group's position 2: 1 records were deleted", "--group shop --reset-offsets --topic shop.users:0 --to-offset N --execute")
	if _, err := adm.DeleteTopic(t.Context(), "shop.users"); err != nil {
		t.Fatal(err)
	}
	b.until("the topic is gone", func() bool { d, err := adm.ListTopics(t.Context()); return err == nil && !d.Has("shop.users") })
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, "shop.users"); err != nil {
		t.Fatal(err)
	}
	refused("topic shop.users was deleted and created again", "--group shop --reset-offsets --topic shop.users --to-earliest --execute")
}

// TestKafkaMade reads what the first start says of what it makes at the brokers.
func TestKafkaMade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, state, quarantine, want string }{
		{"nothing", "", "", "At the brokers it creates nothing but the group's committed offsets."},
		{"both topics", ", state_topic: made.state", "quarantine: { to: { topic: made.quarantine } }\n",
			"At the brokers it creates where missing the state topic made.state, compacted, which the processes of the group share, and the quarantine topic made.quarantine, for records that can't be delivered; beside them only the group's committed offsets."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, cl := newTopicBench(t, 1, topicModel)
			b.edit("group: shop", "group: shop"+c.state)
			b.edit("web: {", c.quarantine+"web: {")
			p := b.run()
			wantIn(t, p.out.String(), c.want)
			p.stop()
			d, err := kadm.NewClient(cl).ListTopics(t.Context())
			if err != nil || d.Has("made.state") != (c.state != "") || d.Has("made.quarantine") != (c.quarantine != "") {
				t.Errorf("topics %v, %v", d.Names(), err)
			}
			wantIn(t, b.must("teardown"), "nothing to drop", strings.TrimSuffix(strings.TrimPrefix(c.want, "At the brokers it creates "), "."))
		})
	}
}

// TestKafkaStateLost deletes the state topic under a running process that has something to put into it.
func TestKafkaStateLost(t *testing.T) {
	t.Parallel()
	b, cl := newTopicBench(t, 1, topicModel+"\nowns_users: true")
	b.edit("group: shop", "group: shop, state_topic: made.state")
	produce(t, cl, debezium("c", "u-1", "free", 1))
	p := b.run()
	b.arrives("u-1", "plan", `"free"`)
	if _, err := kadm.NewClient(cl).DeleteTopic(t.Context(), "made.state"); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, debezium("d", "u-1", "free", 1))
	if code := p.wait(); code != connector.ExitOffsetRange {
		t.Errorf("exit code %d", code)
	}
	wantIn(t, p.err.String(), "the state topic made.state was deleted while it was in use", "start them again")
	if code := b.run().stop(); code != 0 { // which makes it anew
		t.Errorf("the next run ends with exit code %d", code)
	}
}
