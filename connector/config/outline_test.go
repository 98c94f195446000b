package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestOutlineHoldsNoSecretsAndNoValues(t *testing.T) {
	const file = `version: 1 # for Kim
braze: { workspace: shop, endpoint: https://rest.fra-01.braze.eu, api_key: abc-def-4711 }
source: { postgres: { url: "postgres://kim:hunter2@db.example.com/shop" } }
only_users: [u-1, u-2]
web: { users: [{ name: kim, role: editor, password: "$argon2id$v=19$m=1,t=1,p=1$a$b" }] }
ops: { webhook: { url: https://hooks.example.com/services/T0/topsecret, secret: "${ALERTS_SECRET}" } }
models:
  - name: customers
    table: public.users
    filter: plan != "internal" && credits > 4711 && note != 'x y'
    identify: { external_id: id }
    fields: { email: email, country: { value: DE } }
    custom: { level: { value: 7 }, sizes: { value: [inhouse-1] }, box: { column: b, on_null: { value: { a: inhouse-2 } } } }
    event: { name: { column: what, one_of: [secretly, bought] } }
`
	out := Outline([]byte(file))
	for _, hidden := range []string{"abc-def", "hunter2", "u-1", "name: kim", "Kim", "argon2id", "topsecret", "internal", "4711", "x y", "DE", "7\n", "inhouse", "bought", "secretly"} {
		if strings.Contains(out, hidden) {
			t.Errorf("%q is in\n%s", hidden, out)
		}
	}
	for _, shown := range []string{"workspace: shop", "table: public.users", `filter: plan != … && credits > … && note != …`, "only_users: 2 (hidden)", "email: email", "${ALERTS_SECRET}"} {
		if !strings.Contains(out, shown) {
			t.Errorf("%q is not in\n%s", shown, out)
		}
	}
	bomb := "l0: &l0 [x, x, x, x, x, x, x, x, x]\n" // which is a gigabyte of aliases
	for i := range 9 {
		bomb += fmt.Sprintf("l%d: &l%d [*l%d%s]\n", i+1, i+1, i, strings.Repeat(fmt.Sprintf(", *l%d", i), 8))
	}
	for _, odd := range []string{"", "a: [", "- a\n- b", "\x00", "a: &a [*a]", "a: !!float x", bomb} {
		if Outline([]byte(odd)) == "" {
			t.Errorf("of %q nothing is told", odd)
		}
	}
}
