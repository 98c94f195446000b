package config

import (
	"strings"
	"testing"
)

func TestWrittenTellsNoValueOfAVariableOrFile(t *testing.T) {
	const text = `version: 1
braze:
  workspace: shop
  endpoint: https://rest.fra-01.braze.eu
  api_key: ${KEY}
  subscription_groups: { news: "${NEWS}" }
source: { postgres: { url: "${URL}" } }
models:
  - name: customers
    table: public.customers
    mode: ${MODE}
    load: none
    filter: plan == "${KEY}"
    on_leave: keep
    identify: { external_id: id }
    fields: { email: email, country: { value: "${KEY}" } }
    custom: { plan: { column: plan, on_null: { value: "${KEY}" } }, key: { value: "a ${file:key} b" }, expr: { expr: '"${KEY}"' } }
    subscription_groups: [{ group: news, when: 'plan == "${KEY}"' }]
`
	const group = "5d0f6f8c-0c9b-4a44-8a0e-6e0f3f0f9f1e"
	env := func(name string) (string, bool) {
		return map[string]string{"KEY": "s3cr3t", "NEWS": group, "URL": "postgres://me:s3cr3t@db/shop", "MODE": "sync"}[name], true
	}
	cfg, faults := Written("brazecdc.yaml", []byte(text), env, func(string) ([]byte, error) { return []byte("s3cr3t"), nil })
	if cfg == nil || faults.Err() != nil {
		t.Fatal(faults)
	}
	if len(cfg.Models) != 1 {
		t.Fatalf("%d models", len(cfg.Models))
	}
	m := &cfg.Models[0]
	texts := []string{m.Filter, m.Groups[0].When}
	for _, f := range append(m.Fields, m.Custom...) {
		texts = append(texts, f.Value, f.Default, f.Expr)
	}
	shown := strings.Join(texts, "\n")
	if strings.Contains(shown, "s3cr3t") || strings.Count(shown, "${KEY}") != 5 || !strings.Contains(shown, "a ${file:key} b") {
		t.Errorf("shown:\n%s", shown)
	}
	if m.Mode != "sync" || m.Groups[0].ID != group || cfg.Source.Postgres.URL.Reveal() != "postgres://me:s3cr3t@db/shop" || cfg.Braze.APIKey.Reveal() != "s3cr3t" {
		t.Errorf("what a page has to know is not there: %q %q %q", m.Mode, m.Groups[0].ID, cfg.Source.Postgres.URL.Reveal())
	}
}
