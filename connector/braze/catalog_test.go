package braze

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

func TestCatalogAnswers(t *testing.T) {
	batch := []connector.Effect{item(connector.PutItem, "shops", "s1"), item(connector.PutItem, "shops", "s2")}
	bad := func(code, values string) string {
		return `{"message":"Invalid Request","errors":[{"id":"` + code + `","message":"Words about it","parameters":["id"],"parameter_values":[` + values + `]}]}`
	}
	tests := []struct {
		name   string
		status int
		body   string
		want   outcome
		items  []string
	}{
		{"202 is success", 202, `{"message":"success"}`, outcome{end: "accepted"}, nil},
		{"200 is success", 200, `{"message":"success"}`, outcome{end: "accepted"}, nil},
		{"a 400 that names one item refuses the whole, since nothing was accepted", 400, bad("invalid-fields", `"s2"`), outcome{end: "whole"}, nil},
		{"a 400 that names another item", 400, bad("invalid-fields", `"s9"`), outcome{end: "whole"}, nil},
		{"a 400 that names all items refuses each", 400, bad("unable-to-coerce-value", `"s2","s1"`), outcome{end: "items"},
			[]string{"0 unable-to-coerce-value: Words about it", "1 unable-to-coerce-value: Words about it"}},
		{"full storage refuses each, and no part of the call would fare better", 400, bad("company-size-limit-already-reached", ``), outcome{end: "items"},
			[]string{"0 company-size-limit-already-reached: Words about it", "1 company-size-limit-already-reached: Words about it"}},
		{"a 400 of another shape", 400, `{"errors":["x",{"id":7}]}`, outcome{end: "whole"}, nil},
		{"a missing catalog stops", 404, bad("catalog-not-found", `"shops"`), outcome{end: "stop", code: connector.ExitConfig}, nil},
		{"another 404 is no Braze endpoint", 404, `not here`, outcome{end: "stop", code: connector.ExitEndpointWrong}, nil},
		{"429 waits", 429, `{"message":"slow down"}`, outcome{end: "retry", slowed: true}, nil},
		{"503 may have been accepted", 503, `busy`, outcome{end: "retry", unknown: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, respond(tt.status, tt.body))
			err := send(t, newTestClient(t, f.URL, Config{}), connector.PutItem, batch)
			if got := outcomeOf(err); got != tt.want {
				t.Fatalf("got %+v (%v), want %+v", got, err, tt.want)
			}
			var rejected *connector.RejectedError
			if errors.As(err, &rejected) && !rejected.Whole && !slices.Equal(items(rejected.Items), tt.items) {
				t.Errorf("items %q, want %q", items(rejected.Items), tt.items)
			}
			if err != nil && tt.want.end == "whole" && !strings.Contains(err.Error(), "PUT /catalogs/shops/items: 400") {
				t.Errorf("words: %v", err)
			}
		})
	}
	t.Run("the words of a stop name the catalog and what to do", func(t *testing.T) {
		f := serve(t, respond(404, bad("catalog-not-found", `"shops"`)))
		err := send(t, newTestClient(t, f.URL, Config{}), connector.DeleteItem, []connector.Effect{item(connector.DeleteItem, "shops", "s1")})
		if err == nil || !strings.Contains(err.Error(), `catalog "shops" does not exist`) || !strings.Contains(err.Error(), "create it") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("puts and deletes of items share a rate limit, and are counted apart", func(t *testing.T) {
		f := serve(t, respond(202, `{"message":"success"}`, "X-RateLimit-Limit: 16000", "X-RateLimit-Remaining: 15000", "X-RateLimit-Reset: 30"))
		var calls []CallInfo
		c := newTestClient(t, f.URL, Config{OnCall: func(i CallInfo) { calls = append(calls, i) }})
		for _, k := range []connector.Kind{connector.PutItem, connector.DeleteItem} {
			if err := send(t, c, k, batch); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for _, e := range c.Health().Endpoints[1:] {
			names = append(names, e.Endpoint)
			if e.Limit != 16000 || e.Remaining < 14990 || e.Remaining != c.Health().Endpoints[1].Remaining || e.Objects != 2 {
				t.Errorf("%s: %+v", e.Endpoint, e)
			}
		}
		if !slices.Equal(names, []string{"PUT /catalogs/{catalog}/items", "DELETE /catalogs/{catalog}/items"}) {
			t.Errorf("endpoints %q", names)
		}
		if len(calls) != 2 || calls[0].Queued {
			t.Errorf("case 75 is about tracks; a catalog's 202 is its plain success: %+v", calls)
		}
	})
}
