package kafka

import (
	"cmp"
	"errors"
	"strings"
	"testing"

	"brazecdc/connector"
)

func TestDecide(t *testing.T) {
	id, other := [16]byte{1}, [16]byte{2}
	ours := func(offset int64) *known {
		return &known{offset: offset, epoch: 3, noted: true, note: note{topicID: id, parts: 4, load: 30}}
	}
	foreign := func(offset int64) *known {
		return &known{offset: offset, noted: true, note: note{topicID: other, parts: 4, load: 30}}
	}
	tool := func(offset int64) *known { return &known{offset: offset, epoch: -1} }
	for _, c := range []struct {
		name                string
		committed, recorded *known
		start               string
		load, added         bool
		stable              int64
		want                begin
		stop                string
	}{
		{name: "nobody read it, load all", load: true, start: StartCommitted, want: begin{offset: 10, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "nobody read it, load none", start: StartCommitted, want: begin{offset: 100, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "latest, before a transaction that is open", start: StartLatest, stable: 90, want: begin{offset: 90, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 90}}},
		{name: "load all, beside a transaction that is open", load: true, start: StartCommitted, stable: 90, want: begin{offset: 10, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "added later, load none", start: StartCommitted, added: true, want: begin{offset: 10, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 10}}},
		{name: "latest goes before load", load: true, start: StartLatest, want: begin{offset: 100, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "committed", committed: ours(50), start: StartEarliest, want: begin{offset: 50, epoch: 3, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "recorded ahead", committed: ours(50), recorded: ours(60), want: begin{offset: 60, epoch: 3, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "recorded only", recorded: ours(60), want: begin{offset: 60, epoch: 3, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "committed ahead is a gap", committed: ours(60), recorded: ours(50), want: begin{offset: 60, epoch: 3, gap: true, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "a tool went back", committed: tool(20), recorded: ours(50), want: begin{offset: 20, epoch: -1, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "a tool set the first offset", committed: tool(20), want: begin{offset: 20, epoch: -1, first: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "a tool skipped", committed: tool(90), recorded: ours(50), want: begin{offset: 90, epoch: -1, gap: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "the record is of the topic before, a tool decided", committed: tool(10), recorded: foreign(50), want: begin{offset: 10, epoch: -1, gap: true, fresh: true, note: note{topicID: id, parts: 4, load: 100}}},
		{name: "the record is of the topic before, another member went on", committed: ours(40), recorded: foreign(50), want: begin{offset: 40, epoch: 3, gap: true, fresh: true, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "the record is of the topic before", recorded: foreign(50), stop: "created again"},
		{name: "the commit is of the topic before", committed: foreign(50), stop: "created again"},
		{name: "both are of the topic before", committed: foreign(50), recorded: foreign(50), stop: "created again"},
		{name: "below the log", committed: ours(5), stop: "5 records were deleted before they were read"},
		{name: "at the log's start", committed: ours(10), want: begin{offset: 10, epoch: 3, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "behind the log", recorded: ours(101), stop: "truncated"},
		{name: "at the log's end", recorded: ours(100), want: begin{offset: 100, epoch: 3, note: note{topicID: id, parts: 4, load: 30}}},
		{name: "a tool's offset behind the log", committed: tool(101), stop: "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts{topic: "users", topicID: id, parts: 4, first: 10, last: 100, stable: cmp.Or(c.stable, 100), at: 100, committed: c.committed, recorded: c.recorded, start: c.start, load: c.load, added: c.added}
			got, err := f.decide()
			if c.stop != "" {
				if connector.ExitCode(err) != connector.ExitOffsetRange || !strings.Contains(err.Error(), c.stop) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
	t.Run("a broker without topic ids", func(t *testing.T) {
		f := facts{topic: "users", last: 100, committed: ours(50)}
		if _, err := f.decide(); err != nil {
			t.Error(err)
		}
	})
}

// TestFixes reads what a person is told to do: each command can be copied but for N.
func TestFixes(t *testing.T) {
	cfg := Config{Brokers: []string{"k1:9092", "k2:9092"}, Group: "shop's group"}
	f := facts{topic: "users", partition: 3, topicID: [16]byte{1}, first: 10, last: 100, resets: cfg.resets()}
	const tool = `kafka-consumer-groups --bootstrap-server k1:9092,k2:9092 --group 'shop'\''s group' --reset-offsets `
	for _, c := range []struct {
		name string
		at   known
		fix  string
	}{
		{"below the log", known{offset: 5}, "decide at which offset N to go on (10, where the log begins, to 100, where it ends), set it with the group stopped: " +
			tool + "--topic users:3 --to-offset N --execute; then reload what was lost at the source"},
		{"made anew", known{offset: 50, noted: true, note: note{topicID: [16]byte{2}}}, "with the group stopped, set where to begin in the new topic: " + tool + "--topic users --to-earliest --execute"},
	} {
		f.committed = &c.at
		_, err := f.decide()
		var stop *connector.StopError
		if !errors.As(err, &stop) || stop.Fix != c.fix {
			t.Errorf("%s: got %v\nwant the fix %s", c.name, err, c.fix)
		}
	}
	cfg = Config{Brokers: []string{"k1:9092"}, Group: "shop", SASL: SASL{Mechanism: "plain"}}
	if got, want := cfg.resets(), "kafka-consumer-groups --bootstrap-server k1:9092 --command-config client.properties --group shop --reset-offsets"; got != want {
		t.Errorf("with a login: %s", got)
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"users/3@7", "shop.public.users-1_x/0@1"} {
		topic, num, n, ok := ParseStream(s)
		if !ok || StreamOf(topic, num, n) != s {
			t.Errorf("%s reads %q %d %d", s, topic, num, n)
		}
	}
	for _, s := range []string{"", "users", "slot/brazecdc", "/3@7", "users/x@7", "users/-1@7", "users/3@", "load/users-1"} {
		if _, _, _, ok := ParseStream(s); ok {
			t.Errorf("%q passes for a stream", s)
		}
	}
	n := note{topicID: [16]byte{1, 0xff}, parts: 12, load: 1 << 40}
	if got, ok := parseNote(n.String()); !ok || got != n {
		t.Errorf("%s reads %+v", n, got)
	}
	for _, s := range []string{"", "kgo-1234", "brazecdc", "brazecdc id=zz", "brazecdc id=01", "brazecdc parts=99999999999"} {
		if _, ok := parseNote(s); ok {
			t.Errorf("%q passes for a note", s)
		}
	}
}

func TestConfig(t *testing.T) {
	_, err := New(Config{Start: "now", Pattern: "(", SASL: SASL{Mechanism: "gssapi"}, TLS: TLS{Cert: "x"}})
	if connector.ExitCode(err) != connector.ExitConfig {
		t.Fatal(err)
	}
	for _, want := range []string{"brokers", `"now"`, `"("`, `"gssapi"`, "cert and key", "decoder"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the text lacks %s: %v", want, err)
		}
	}
}
