package brazesim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector/braze/brazesim"
)

// ask sends one request to a simulator without a listener.
func ask(s *brazesim.Server, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer key")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func catalogs(t *testing.T, texts ...string) brazesim.Config {
	t.Helper()
	var cfg brazesim.Config
	for _, text := range texts {
		c, err := brazesim.ParseCatalog(text)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Catalogs = append(cfg.Catalogs, c)
	}
	return cfg
}

func TestItems(t *testing.T) {
	const path = "/catalogs/shops/items"
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"id":"i%d"}`, i)
		}
		return `{"items":[` + b.String()[1:] + `]}`
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"a whole item", "PUT", path, `{"items":[{"id":"s-1_A","city":"Berlin","rating":4.5,"open":true,"since":"2026-11-01","tags":[1],"address":{"a":{"b":1}},"place":[1,2]}]}`, 202, `{"message":"success"}`},
		{"nulls", "PUT", path, `{"items":[{"id":"s1","city":null,"place":null}]}`, 202, "success"},
		{"50 items", "PUT", path, many(50), 202, "success"},
		{"51 items", "DELETE", path, many(51), 400, "request-includes-too-many-items"},
		{"no catalog of that name", "PUT", "/catalogs/cars/items", many(1), 404, `"catalog-not-found"`},
		{"a path of one item", "PUT", "/catalogs/shops/items/s1", many(1), 404, "Not found"},
		{"another method", "POST", path, many(1), 404, "Not found"},
		{"no items", "PUT", path, `{"items":[]}`, 400, "item-array-invalid"},
		{"items that are none", "PUT", path, `{"items":["s1"]}`, 400, "item-array-invalid"},
		{"no JSON", "DELETE", path, `{`, 400, "Invalid JSON"},
		{"an item without id", "PUT", path, `{"items":[{"city":"Berlin"}]}`, 400, "items-missing-ids"},
		{"a number as id", "PUT", path, `{"items":[{"id":1}]}`, 400, `"ids-not-string"`},
		{"a number as id of a delete", "DELETE", path, `{"items":[{"id":1}]}`, 400, `"ids-not-strings"`},
		{"an id twice", "PUT", path, `{"items":[{"id":"a"},{"id":"a"}]}`, 400, "ids-not-unique"},
		{"a long id", "PUT", path, `{"items":[{"id":"` + strings.Repeat("x", 251) + `"}]}`, 400, "ids-too-large"},
		{"an id with a dot", "PUT", path, `{"items":[{"id":"a.b"}]}`, 400, "invalid-ids"},
		{"an unknown field", "PUT", path, `{"items":[{"id":"ok"},{"id":"bad","town":"x"}]}`, 400, `"parameter_values":["bad"]`},
		{"a delete with more than ids", "DELETE", path, `{"items":[{"id":"s1","city":"Berlin"}]}`, 400, "invalid-fields"},
		{"a number for a string", "PUT", path, `{"items":[{"id":"s1","city":1}]}`, 400, "unable-to-coerce-value"},
		{"a string for a number", "PUT", path, `{"items":[{"id":"s1","rating":"4"}]}`, 400, "unable-to-coerce-value"},
		{"a time that is none", "PUT", path, `{"items":[{"id":"s1","since":"yesterday"}]}`, 400, "unable-to-coerce-value"},
		{"a place of three", "PUT", path, `{"items":[{"id":"s1","place":[1,2,3]}]}`, 400, "unable-to-coerce-value"},
		{"a long value", "PUT", path, `{"items":[{"id":"s1","city":"` + strings.Repeat("x", 5001) + `"}]}`, 400, "items-too-large"},
		{"a deep value", "PUT", path, `{"items":[{"id":"s1","address":` + strings.Repeat(`{"a":`, 51) + "1" + strings.Repeat("}", 51) + `}]}`, 400, "too-deep-nesting"},
		{"a key with a dollar", "PUT", path, `{"items":[{"id":"s1","tags":[{"$a":1}]}]}`, 400, "invalid-keys-in-value-object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := brazesim.New(catalogs(t, "shops:city=string,rating=number,open=boolean,since=time,tags=array,address=object,place=geo"))
			w := ask(s, c.method, c.path, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || !json.Valid(w.Body.Bytes()) {
				t.Errorf("answer %d %s, want %d with %q", w.Code, w.Body, c.status, c.want)
			}
			if n := len(s.Catalogs()[0].Items); c.status != 202 && n != 0 {
				t.Errorf("a refused call left %d items", n)
			}
		})
	}
}

func TestCreateCatalog(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	create := func(name, fields string) *httptest.ResponseRecorder {
		return ask(s, "POST", "/catalogs", `{"catalogs":[{"name":"`+name+`","fields":[`+fields+`]}]}`)
	}
	const id = `{"name":"id","type":"string"}`
	for _, c := range []struct{ name, fields, want string }{
		{"shops", id + `,{"name":"city","type":"string"}`, `{"message":"success"}`},
		{"shops", id, "catalog-name-already-exists"},
		{"my shops", id, "invalid-catalog-name"},
		{"a", `{"name":"city","type":"string"}`, "id-not-first-column"},
		{"a", `{"name":"id","type":"number"}`, "invalid-field-types"},
		{"a", id + `,{"name":"x","type":"float"}`, "invalid-field-types"},
		{"a", id + `,{"name":"x.y","type":"string"}`, "invalid-field-names"},
		{"a", id + `,` + id, "field-names-not-unique"},
		{"a", id + strings.Repeat(`,{"name":"x","type":"string"}`, 500), "too-many-fields"},
	} {
		if w := create(c.name, c.fields); !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s with %.60s: %d %s, want %s", c.name, c.fields, w.Code, w.Body, c.want)
		}
	}
	if w := ask(s, "PUT", "/catalogs/shops/items", `{"items":[{"id":"s1","city":"Berlin"}]}`); w.Code != 202 {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/catalogs", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"num_items":1`) {
		t.Errorf("list: %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/_sim/catalogs", ""); !strings.Contains(w.Body.String(), `"items":{"s1":{"city":"Berlin"}}`) {
		t.Errorf("view: %s", w.Body)
	}
	s.Reset()
	if n := len(s.Catalogs()); n != 0 {
		t.Errorf("%d catalogs after a reset", n)
	}
}

// TestItemsSwap shows that a put and a delete sent too close may take effect in either order, and that this is told.
func TestItemsSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := catalogs(t, "shops:city=string")
		cfg.ApplyDelay, cfg.Seed = time.Second, 7
		s := brazesim.New(cfg)
		left := 0
		for range 40 {
			ask(s, "PUT", "/catalogs/shops/items", `{"items":[{"id":"s1","city":"Berlin"}]}`)
			ask(s, "DELETE", "/catalogs/shops/items", `{"items":[{"id":"s1"}]}`)
			time.Sleep(2 * time.Second)
			left += len(s.Catalogs()[0].Items)
			ask(s, "DELETE", "/catalogs/shops/items", `{"items":[{"id":"s1"}]}`)
			time.Sleep(2 * time.Second)
		}
		st := s.Stats()
		if left == 0 || left == 40 || st.Reordered != left || st.Overlaps != 0 {
			t.Errorf("%d of 40 swapped, %+v", left, st.Counters)
		}
	})
}

func TestAddressStates(t *testing.T) {
	const group = "aaaaaaaa-0000-4000-8000-000000000001"
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s := brazesim.New(brazesim.Config{Now: func() time.Time { return now }})
	set := func(emails string) {
		t.Helper()
		if w := ask(s, "POST", "/v2/subscription/status/set", `{"subscription_groups":[{"subscription_group_id":"`+group+`","subscription_state":"unsubscribed","emails":[`+emails+`]}]}`); w.Code != 201 {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
	}
	user := func(id, email string) string {
		t.Helper()
		ask(s, "POST", "/users/track", `{"attributes":[{"external_id":"`+id+`","email":"`+email+`"}]}`)
		p, _ := s.Profile(id)
		return p.Groups[group]
	}
	set(`"a@x.io","b@x.io"`)
	if got := user("u1", "a@x.io"); got != "unsubscribed" {
		t.Errorf("inherited %q", got)
	}
	now = now.Add(31 * 24 * time.Hour)
	if got := user("u2", "b@x.io"); got != "" {
		t.Errorf("inherited %q after 31 days", got)
	}
	ask(s, "POST", "/users/delete", `{"external_ids":["u1"]}`)
	if got := user("u3", "a@x.io"); got != "" {
		t.Errorf("the state outlived the last profile of its address: %q", got)
	}
	if w := ask(s, "GET", "/_sim/groups", ""); strings.TrimSpace(w.Body.String()) != "{}" {
		t.Errorf("groups: %s", w.Body)
	}
}

func TestViews(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	ask(s, "POST", "/users/track", `{"events":[{"external_id":"b","name":"x","time":"2026-11-01T00:00:00Z"},{"external_id":"a","name":"y","time":"2026-11-01T00:00:00Z"}],"attributes":[{"external_id":"a","n":1}]}`)
	ask(s, "POST", "/users/track", `{"attributes":[{"external_id":"a","n":"one","bad":[[1]]}]}`)
	for path, want := range map[string]string{
		"events":  `"name":"x"`,
		"ignored": `[{"external_id":"a","name":"n","reason":"type_mismatch"},{"external_id":"a","name":"bad","reason":"array_value"}]`,
		"groups":  "{}", "catalogs": "[]",
	} {
		if w := ask(s, "GET", "/_sim/"+path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
	if got := s.Happenings(); len(got) != 2 || got[0].ExternalID != "b" || got[1].ExternalID != "a" {
		t.Errorf("%+v", got)
	}
	if w := ask(s, "POST", "/_sim/events", ""); w.Code != 405 {
		t.Errorf("answer %d", w.Code)
	}
}
