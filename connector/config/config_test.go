package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"brazecdc/connector"
)

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"BRAZE_API_KEY": "11111111-aaaa-bbbb-cccc-222222222222",
		"DATABASE_URL":  "postgres://app:hunter2@db.example/shop",
		"SG_NEWSLETTER": "0c8f6d7e-1111-4222-8333-944455566677",
		"EMPTY":         "",
		"N":             "12",
	}[name]
	return v, ok
}

func testFiles(path string) ([]byte, error) {
	if path == "/run/secrets/braze" {
		return []byte("key-from-file\n"), nil
	}
	return nil, os.ErrNotExist
}

func parse(t *testing.T, src string) *Config {
	t.Helper()
	cfg, err := Parse("brazecdc.yaml", []byte(src), testEnv, testFiles)
	if err != nil {
		t.Fatalf("unexpected faults:\n%v", err)
	}
	return cfg
}

func faultsOf(t *testing.T, src string) Faults {
	t.Helper()
	_, err := Parse("brazecdc.yaml", []byte(src), testEnv, testFiles)
	var fs Faults
	if !errors.As(err, &fs) {
		t.Fatalf("want faults, got %v", err)
	}
	return fs
}

const head = `version: 1
braze: { workspace: staging, endpoint: https://rest.fra-01.braze.eu, api_key: "${BRAZE_API_KEY}" }
source: { postgres: { url: "${DATABASE_URL}" } }
`

const minimal = head + `models:
  - name: customers
    kind: users
    table: public.users
    mode: sync
    load: all
    identify: { external_id: id }
`

func TestParseDefaults(t *testing.T) {
	cfg := parse(t, minimal)
	want := defaults()
	want.File = "brazecdc.yaml"
	want.Braze.Workspace, want.Braze.Endpoint, want.Braze.APIKey = "staging", "https://rest.fra-01.braze.eu", "11111111-aaaa-bbbb-cccc-222222222222"
	want.Source.Postgres = &Postgres{
		URL: "postgres://app:hunter2@db.example/shop", SnapshotURL: "postgres://app:hunter2@db.example/shop", Slot: "brazecdc", Publication: "brazecdc",
		StartTimeout: time.Minute, Create: true, FailoverSlot: "auto", Heartbeat: 30 * time.Second,
	}
	want.Models = []connector.Model{{
		Name: "customers", Kind: "users", Table: "public.users", Mode: "sync", Load: "all", OwnsUsers: true,
		Identify: connector.Identify{ExternalID: connector.ValueFrom{Column: "id"}}, OnIDChange: "rename", ReplicaIdentity: "auto",
		OnDeleteGroups: "keep", Deletes: connector.Brake{Max: 1000, Share: 0.05, AtLeast: 50, Window: 10 * time.Minute}, Path: "models[0]",
	}}
	got, exp := *cfg, *want
	got.loc, exp.loc = nil, nil
	got.Source.Location, exp.Source.Location = nil, nil
	if diff := cmp.Diff(exp, got, cmp.AllowUnexported(Config{})); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

func TestReference(t *testing.T) {
	cfg := parse(t, Reference())
	if len(cfg.Warnings) > 0 {
		t.Errorf("the reference warns:\n%v", cfg.Warnings)
	}
	// Every default that the reference writes out must be the default that a file without it gets.
	bare := parse(t, minimal)
	got, want := *cfg, *bare
	for _, c := range []*Config{&got, &want} {
		c.loc, c.Models, c.NeverSend, c.Source.Location, c.Warnings = nil, nil, nil, nil, nil
		c.Braze.SubscriptionGroups = nil
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{})); diff != "" {
		t.Errorf("written defaults differ from silent ones (-silent +written):\n%s", diff)
	}
}

func TestModel(t *testing.T) {
	cfg := parse(t, Reference())
	m := cfg.Models[0]
	var names []string
	for _, f := range append(m.Fields, m.Custom...) {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "email first_name last_name dob phone country language current_location email_subscribe plan credits full_name prefs tags shop"; got != want {
		t.Errorf("order of fields is %s, want %s", got, want)
	}
	want := connector.FieldMap{Name: "first_name", ValueFrom: connector.ValueFrom{Column: "first_name"}, OnNull: "keep", Blank: "keep", Nested: "merge",
		Array: "replace", Path: "models[0].fields.first_name"}
	if diff := cmp.Diff(want, m.Fields[1]); diff != "" {
		t.Errorf("first_name (-want +got):\n%s", diff)
	}
	if shop := m.Custom[5]; shop.Value != `"berlin"` || !shop.HasValue {
		t.Errorf("constant is %q, %v", shop.Value, shop.HasValue)
	}
	if m.Filter != `plan != "internal"` || m.OnLeave != "keep" || m.DeleteWhen != "deleted_at != nil" {
		t.Errorf("filter %q, on_leave %q, delete_when %q", m.Filter, m.OnLeave, m.DeleteWhen)
	}
	if !cfg.Models[0].OwnsUsers || cfg.Models[4].OwnsUsers {
		t.Error("customers must own the users, memberships not")
	}
}

func TestConstants(t *testing.T) {
	for in, want := range map[string]string{
		"{value: 5}": "5", "{value: 1.50}": "1.50", "{value: -3e4}": "-3e4", "{value: true}": "true", "{value: True}": "true", `{value: "5"}`: `"5"`,
		"{value: ''}": `""`, "{value: [a, 1]}": `["a",1]`, "{value: {a: <b>}}": `{"a":"<b>"}`, "{value: 2026-01-01}": `"2026-01-01"`,
		"{value: 9007199254740993}": "9007199254740993",
	} {
		cfg := parse(t, minimal+"    custom: { x: "+in+" }\n")
		if got := cfg.Models[0].Custom[0].Value; got != want {
			t.Errorf("%s gives %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{"{value: 012}", "{value: 0x1F}", "{value: .inf}", "{value: ~}", "{value: 1_000}", "{value: +5}"} {
		_ = faultsOf(t, minimal+"    custom: { x: "+in+" }\n")
	}
}

func TestSettings(t *testing.T) {
	cfg := parse(t, `version: 1
braze:
  workspace: prod
  endpoint: http://127.0.0.1:8090/
  api_key: ${file:/run/secrets/braze}
  rate: { share: 12.5%, per_hour: 250000 }
  senders: 4
  attempts: ${N}
  user_gap: 20ms
source:
  time_zone: Europe/Berlin
  postgres: { url: "host=db user=app dbname=shop", failover_slot: true, create: false }
quarantine: { retention: 1d12h }
cache: { max_size: 1.5GiB }
log: { level: debug, format: json }
models:
  - &m { name: a, table: public.a, mode: additive, load: none, identify: { external_id: { expr: '"u" + string(id)' } } }
  - <<: *m
    name: b
    owns_users: true
`)
	b := cfg.Braze
	if b.Endpoint != "http://127.0.0.1:8090" || b.APIKey.Reveal() != "key-from-file" || b.RateShare != 0.125 || b.RatePerHour != 250000 || b.Senders != 4 ||
		b.Attempts != 12 || b.UserGap != 20*time.Millisecond {
		t.Errorf("braze is %+v", b)
	}
	if cfg.Source.Location.String() != "Europe/Berlin" || cfg.Source.Postgres.FailoverSlot != "true" || cfg.Source.Postgres.Create {
		t.Errorf("source is %+v", cfg.Source.Postgres)
	}
	if cfg.Quarantine.Retention != 36*time.Hour || cfg.Cache.MaxSize != 3<<29 || cfg.Log.Level != slog.LevelDebug {
		t.Errorf("retention %v, cache %d, level %v", cfg.Quarantine.Retention, cfg.Cache.MaxSize, cfg.Log.Level)
	}
	if m := cfg.Models[1]; m.Name != "b" || m.Table != "public.a" || m.Identify.ExternalID.Expr != `"u" + string(id)` || m.Kind != "users" {
		t.Errorf("merged model is %+v", m)
	}
	if !cfg.Given("source.time_zone") || cfg.Given("braze.settle") {
		t.Error("Given mistakes what the file sets")
	}
}

func TestCases(t *testing.T) {
	custom := func(name string) string { return minimal + "    custom: { \"" + name + "\": x }\n" }
	want := func(t *testing.T, src, text string) {
		t.Helper()
		if got := faultsOf(t, src).Error(); !strings.Contains(got, text) {
			t.Errorf("faults are\n%s\nwithout %q", got, text)
		}
	}
	t.Run("case 65: too long a name is refused, not cut", func(t *testing.T) {
		want(t, custom(strings.Repeat("名", 160)), "longer than 479 bytes")
		want(t, custom(strings.Repeat("a", 256)), "longer than 255 characters")
		parse(t, custom(strings.Repeat("a", 255)))
		parse(t, custom(strings.Repeat("名", 159)))
	})
	t.Run("case 67: reserved names are refused as custom, time and products are not", func(t *testing.T) {
		want(t, custom("email"), "models[0].custom.email is one of Braze's own profile fields; move it to fields")
		parse(t, custom("time"))
		parse(t, custom("products"))
	})
	t.Run("case 76: a column that must never leave is not mapped", func(t *testing.T) {
		want(t, minimal+"    custom: { tax: ssn }\nnever_send: [ssn]\n", "custom.tax sends the column ssn, which never_send on line 12 forbids")
	})
	t.Run("case 76: a column that must never leave names nobody and nothing", func(t *testing.T) {
		const why = "tells rows apart by the column ssn, which never_send on line 1 forbids"
		named := func(identify string) string {
			return "never_send: [ssn]\n" + strings.Replace(minimal, "identify: { external_id: id }", "identify: "+identify, 1)
		}
		for place, identify := range map[string]string{"external_id": "{ external_id: ssn }", "external_id ": "{ external_id: { column: ssn, blanks: keep } }",
			"alias": "{ alias: { label: crm, name: ssn } }", "email": "{ email: ssn }", "phone": "{ phone: ssn }"} {
			want(t, named(identify), "models[0].identify."+strings.TrimSpace(place)+" "+why)
		}
		want(t, strings.Replace(named("{ external_id: id }"), "[ssn]", "[users.id]", 1), "models[0].identify.external_id tells rows apart by the column id")
		parse(t, strings.Replace(named("{ external_id: id }"), "[ssn]", "[orders.id]", 1))
	})
	t.Run("case 78: a file without mode names line and allowed values", func(t *testing.T) {
		want(t, strings.Replace(minimal, "    mode: sync\n", "", 1), "brazecdc.yaml:5:5: models[0].mode is missing; choose sync, additive or enrich")
	})
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brazecdc.yaml")
	if _, err := Load(path, testEnv); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, testEnv)
	if err != nil || cfg.File != path {
		t.Fatalf("Load gives %v, %v", cfg, err)
	}
}

func TestNothingIsSentToAWebhookThatIsRefused(t *testing.T) {
	secret := func(string) (string, bool) { return "the-secret", true }
	for _, webhook := range []string{"url: https://x.example/${BRAZE_API_KEY}", "url: http://10.0.0.1/x", "url: https://x.example/, pages: https://y.example/${BRAZE_API_KEY}", `url: https://x.example/, pages: "${DATABASE_URL}"`} {
		cfg, faults := Partial("x.yaml", []byte("ops: { webhook: { "+strings.ReplaceAll(webhook, "https://x.example/${BRAZE_API_KEY}", `"https://x.example/${BRAZE_API_KEY}"`)+" } }\n"), secret, nil)
		if faults.Err() == nil {
			t.Errorf("%s: no fault", webhook)
		}
		if cfg == nil {
			continue
		}
		if w := cfg.Ops.Webhook; strings.Contains(w.URL.Reveal()+w.Pages, "the-secret") || strings.HasPrefix(w.URL.Reveal(), "http://") {
			t.Errorf("%s: %s and %s could be asked", webhook, w.URL.Reveal(), w.Pages)
		}
	}
}
