package draft

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector/config"
)

const sample = `# of the shop
version: 1
braze:
  workspace: staging # not production
  endpoint: https://rest.fra-01.braze.eu
  api_key: ${BRAZE_API_KEY}
source:
  postgres:
    url: ${DATABASE_URL}

models:
  # people
  - name: customers
    table: public.users
    mode: additive
    load: all
    identify: { external_id: id }
    fields:
      email: email # checked
      first_name: { column: first, on_null: keep }
    custom:
      plan: plan
`

func TestWordsSayWhatChanges(t *testing.T) {
	for _, c := range []struct {
		edits []config.Edit
		says  string
	}{
		{[]config.Edit{{Path: "models[customers].fields.email", Value: "mail"}}, "field.from customers email mail"},
		{[]config.Edit{{Path: "models[customers].fields.first_name.column", Value: "given"}}, "field.from customers first_name given"},
		{[]config.Edit{{Path: "models[customers].fields.first_name.on_null", Value: "clear"}}, "field_part.changed customers first_name on_null keep clear"},
		{[]config.Edit{{Path: "models[customers].custom.shop", Value: config.Map("value", "berlin")}}, "field.set customers shop = berlin"},
		{[]config.Edit{{Path: "models[customers].custom", Remove: true}}, "fields.gone customers custom"},
		{[]config.Edit{{Path: "models[customers].mode", Value: "sync"}}, "mode.changed customers additive sync; deletes.start customers"},
		{[]config.Edit{{Path: "models[customers].mode", Value: "enrich"}}, "mode.changed customers additive enrich; creates.end customers"},
		{[]config.Edit{{Path: "models[customers].filter", Value: "plan != nil"}}, "filter.set customers plan != nil"},
		{[]config.Edit{{Path: "models[customers].schedule", Value: config.Map("cron", "0 3 * * *")}}, "schedule.set customers { cron: 0 3 * * * }"},
		{[]config.Edit{{Path: "models[customers].audiences", Value: []any{config.Map("attribute", "vip", "when", "credits > 1")}}}, "group.set customers vip credits > 1"},
		{[]config.Edit{{Path: "models[customers]", Remove: true}}, "model.gone customers"},
		{[]config.Edit{{Path: "models[+]", Value: config.Map("name", "orders", "table", "public.orders", "mode", "sync")}}, "model.set orders public.orders; mode.set orders sync; deletes.start orders"},
		{[]config.Edit{{Path: "models[+]", Value: config.Map("name", "items", "kind", "catalog", "table", "public.items", "mode", "sync")}}, "model.set items public.items; mode.set items sync; deletes.start.items items"},
		{[]config.Edit{{Path: "models[+]", Value: config.Map("name", "orders", "kind", "events", "table", "public.orders", "mode", "sync")}}, "model.set orders public.orders; mode.set orders sync"},
		{[]config.Edit{{Path: "braze.api_key", Value: "${OTHER}"}}, "secret.changed braze.api_key"},
		{[]config.Edit{{Path: "ops.token", Value: "geheim"}, {Path: "ops.listen", Value: "127.0.0.1:9"}}, "secret.set ops.token; setting.set ops.listen 127.0.0.1:9"},
		{[]config.Edit{{Path: "ops.webhook", Value: config.Map("url", "https://hooks.example.com/geheim", "secret", "geheim", "pages", "https://cdc.example.com")}},
			"secret.set ops.webhook.url; secret.set ops.webhook.secret; setting.set ops.webhook.pages https://cdc.example.com"},
		{[]config.Edit{{Path: "limits.drain", Value: "10s"}}, "setting.set limits.drain 10s"},
		{[]config.Edit{{Path: "braze.endpoint", Value: "https://rest.fra-02.braze.eu"}}, "setting.changed braze.endpoint https://rest.fra-01.braze.eu https://rest.fra-02.braze.eu"},
		{[]config.Edit{{Path: "source.postgres.url", Value: "postgres://me:geheim@db/shop"}}, "setting.changed source.postgres.url ${DATABASE_URL} postgres://me:(hidden)@db/shop"},
		{[]config.Edit{{Path: "braze.subscription_groups.news", Value: "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"}}, "group_id.set news 5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"},
	} {
		after, err := config.Apply([]byte(sample), c.edits...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Between([]byte(sample), after)
		if err != nil {
			t.Fatal(err)
		}
		var says []string
		for _, s := range got {
			says = append(says, strings.TrimPrefix(strings.Join(append([]string{s.Key}, s.Args...), " "), "draft.word."))
		}
		if diff := cmp.Diff(c.says, strings.Join(says, "; ")); diff != "" {
			t.Errorf("%+v\n%s", c.edits, diff)
		}
		if strings.Contains(strings.Join(says, ""), "geheim") {
			t.Errorf("%+v: a secret is told", c.edits)
		}
	}
}

func TestWordsOfAChangeThatIsNoneSaySo(t *testing.T) {
	got, err := Between([]byte(sample), []byte("# more\n"+sample))
	if err != nil || len(got) != 1 || got[0].Key != "draft.word.comments" {
		t.Errorf("%v %v", got, err)
	}
}

func TestWordsOfAFirstFileNameEachSettingAndNoSection(t *testing.T) {
	got, err := Between(nil, []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	var says []string
	for _, s := range got {
		says = append(says, strings.TrimSpace(strings.TrimPrefix(s.Key, "draft.word.")+" "+strings.Join(s.Args, " ")))
	}
	want := []string{
		"setting.set braze.workspace staging", "setting.set braze.endpoint https://rest.fra-01.braze.eu", "secret.set braze.api_key", "setting.set source.postgres.url ${DATABASE_URL}",
		"model.set customers public.users", "mode.set customers additive", "load.set customers all", "field.set customers email email", "field.set customers first_name first",
		"field.set customers plan plan",
	}
	if d := cmp.Diff(want, says); d != "" {
		t.Error(d)
	}
}
