package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFirstRunWithKafkaInBrowser walks from nothing to the first user in the simulator, out of a topic that Debezium writes.
func TestFirstRunWithKafkaInBrowser(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			firstRunOfTopic(t, lang)
		})
	}
}

// personRecord is a record as Debezium writes it of a table of users.
func personRecord(op string, i int, plan string) *kgo.Record {
	row := fmt.Sprintf(`{"id":"u-%d","email":"u%[1]d@example.com","vorname":"Ada","plan":%q,"credits":%[1]d}`, i, plan)
	before, after := "null", row
	if op == "d" {
		before, after = row, "null"
	}
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop","ts_ms":1767225600000,"db":"shop","schema":"public","table":"users","txId":1,"lsn":1},"op":%q,"ts_ms":1767225600000}`,
		before, after, op)
	return &kgo.Record{Topic: "shop.users", Key: fmt.Appendf(nil, `{"id":"u-%d"}`, i), Value: []byte(value)}
}

var brokersText = regexp.MustCompile(`brokers: \["([^\]]+)"\]`)

func firstRunOfTopic(t *testing.T, lang string) {
	world, producer := newTopicBench(t, 2, topicModel)
	var recs []*kgo.Record
	for i := 1; i <= 40; i++ {
		recs = append(recs, personRecord("r", i, "free"))
	}
	// The newest message of a row counts: one has changed since, one is gone.
	recs = append(recs, personRecord("d", 40, "free"), personRecord("u", 7, "pro"))
	produce(t, producer, recs...)
	file := filepath.Join(shortDir(t), "brazecdc.yaml")
	p, base := startUI(t, os.Environ(), file)
	b := newBrowser(t, base, lang)
	name := "setup_kafka_" + lang + "_"
	word := func(en, de string) string { return map[string]string{"en": en, "de": de}[lang] }

	// Source.
	b.open("/setup/source")
	b.click("label:has(#kind-kafka)")
	b.fill("#brokers", strings.ReplaceAll(brokersText.FindStringSubmatch(world.text)[1], `", "`, ", "))
	b.fill("#group", "pages-"+lang)
	b.picture(name + "1_source")
	b.submit(".source-form .actions button", "/setup/source")
	b.see("shop.users", "Debezium JSON")
	b.sound()
	b.picture(name + "1_source_good")
	b.submit("#source-result .actions a.button", "/setup/braze")

	// Braze.
	b.choose("#instance", "other")
	b.fill("#endpoint", regexp.MustCompile(`endpoint: (\S+)`).FindStringSubmatch(world.text)[1])
	b.fill("#key", testKey)
	b.fill("#workspace", "staging")
	b.submit("form .actions button", "/setup/braze")
	b.see("users.track")
	b.submit("#braze-result .actions a.button", "/models/-/add")

	// Topic, mode, fields with their samples.
	b.see("shop.users")
	b.sound()
	b.picture(name + "3_topics")
	b.click(`a[href="/models/-/add?table=shop.users"]`)
	b.see("@example.com", "Debezium JSON", word("42 messages", "42 Nachrichten"))
	b.sound()
	b.picture(name + "3_topic")
	b.click("label[for=mode-additive]")
	b.click("label[for=load-none]")
	b.submit(".add-form button.primary", "/models/users")
	b.see("@example.com", "POST /users/track")
	b.click(`button[name="add"][value="=plan"]`)
	b.see(word("Saved in the draft", "Im Entwurf gespeichert"))
	b.sound()
	b.picture(name + "5_fields")

	// A group, counted over the topic's messages.
	b.click(`a[href="/models/users?tab=groups"]`)
	b.click(`details.new-group > summary`)
	b.fill(`#gnew-name`, "pros")
	b.fill(`#gnew-uuid`, "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e")
	b.fill(`#gnew-rule`, `plan == "pro"`)
	b.see(word("newest", "neuesten"))
	b.sound()
	b.picture(name + "6_groups")
	b.click(`details.new-group[open] .actions button.primary`)
	b.see("pros")

	// Preview: the change that a message is, and its row as other operations.
	b.open("/models/users?tab=preview")
	b.sound()
	b.picture(name + "7_preview")
	b.choose("#op", "update")
	b.fill("#key", "u-7")
	b.click("form.ask button.primary")
	b.see("u7@example.com", `"pro"`, word("subscribed", "die Anmeldung wird nicht gesendet"), "brazecdc preview --model users --key u-7 --draft")
	b.choose("#op", "insert")
	b.fill("#key", "u-40")
	b.click("form.ask button.primary")
	b.see(word("There is no row with this key.", "Es gibt keine Zeile mit diesem Schlüssel."))

	// Start: one user first, by page and as the command beside it, then everything.
	b.open("/setup/start")
	b.see("@example.com")
	b.sound()
	b.picture(name + "8_start")
	b.click(`label:has(input[name=key][value="` + eval[string](b, `document.querySelectorAll('input[name=key]')[1].value`) + `"])`)
	twin := eval[string](b, `document.querySelector('.for-one-twin code').textContent`)
	key := eval[string](b, `document.querySelectorAll('input[name=key]')[1].value`)
	if !strings.Contains(twin, "brazecdc send --model users --key "+key+" --draft") {
		t.Errorf("the command beside the rows is %q", twin)
	}
	shown := runCommand(t, world.env, append(strings.Fields(twin)[1:], "--yes")...)
	if shown.code != 0 || !strings.Contains(shown.out, "Braze accepted user "+key) {
		t.Errorf("%s ended with %d\n%s%s", twin, shown.code, shown.out, shown.err)
	}
	world.until("the user of the command is in Braze", func() bool { _, ok := world.sim.Profile(key); return ok })
	b.submit(".for-one-button", "/setup/done")
	b.sound()
	b.picture(name + "9_first")
	b.open("/setup/start")
	b.click("#how-load")
	b.see("39", word("from all 42 messages", "aus allen 42 Nachrichten"), "brazecdc run")
	b.sound()
	b.picture(name + "8_load")
	b.click("#sure")
	b.submit(".for-stream-button", "/setup/done")
	world.arrives("u-7", "plan", `"pro"`)
	world.until("all others are in Braze", func() bool { _, ok := world.sim.Profile("u-39"); return ok })
	b.open("/models/users?tab=preview&op=update")
	b.see(word("Braze has all of this already.", "Braze hat das alles schon."), word("unchanged, not sent", "unverändert, nicht gesendet"))
	b.sound()
	b.picture(name + "9_unchanged")
	late := runCommand(t, world.env, "send", "--model", "users", "--key", "u-1", "--yes", "--config", file)
	if late.code == 0 || !strings.Contains(late.err, "brazecdc replay") {
		t.Errorf("a message is sent alone beside the group: %d\n%s%s", late.code, late.out, late.err)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("brazecdc ui ended with %d", code)
	}
}
