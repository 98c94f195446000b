package brazesim_test

import (
	"strings"
	"testing"

	"brazecdc/connector/braze/brazesim"
)

func TestUpdateOnly(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a","_update_existing_only":true,"x":1},
		{"user_alias":{"alias_name":"n","alias_label":"l"},"x":1}],
		"events":[{"external_id":"a","_update_existing_only":true,"name":"e","time":"2026-01-01T00:00:00Z"}]}`)
	if st := s.Stats(); st.Profiles != 0 || st.Missed != 3 || st.DataPoints != 0 {
		t.Fatalf("%d profiles, %d missed, %d data points; want 0, 3, 0", st.Profiles, st.Missed, st.DataPoints)
	}
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a","x":1},{"user_alias":{"alias_name":"n","alias_label":"l"},"_update_existing_only":false,"x":2}]}`)
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a","_update_existing_only":true,"x":3},{"user_alias":{"alias_name":"n","alias_label":"l"},"x":4}]}`)
	if got := flat(profile(t, s, "a").Custom); got != `{"x":3}` {
		t.Errorf("a has %s", got)
	}
	list := s.Profiles()
	if len(list) != 2 || len(list[0].Aliases) != 1 || flat(list[0].Custom) != `{"x":4}` {
		t.Errorf("profiles %+v, want an alias-only one with x 4 first", list)
	}
}

func TestEmailLookup(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"attributes":[{"email":"a@x.io","x":1}]}`)
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"u","email":"a@x.io"}]}`)
	if n := s.Stats().Profiles; n != 2 {
		t.Fatalf("%d profiles, an unknown external_id must make a second one", n)
	}
	accept(t, s, "/users/track", `{"attributes":[{"email":"a@x.io","y":1}]}`)
	if got := flat(profile(t, s, "u").Custom); got != `{"y":1}` {
		t.Errorf("u has %s, want y: a profile with external_id goes first", got)
	}
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"u","email":"b@x.io"}]}`)
	accept(t, s, "/users/track", `{"attributes":[{"email":"a@x.io","z":1}],"events":[{"email":"new@x.io","name":"n","time":"2026-01-01T00:00:00Z"}]}`)
	if got := flat(profile(t, s, "u").Custom); got != `{"y":1}` {
		t.Errorf("u has %s after it changed its address", got)
	}
	if n := s.Stats().Profiles; n != 3 {
		t.Errorf("%d profiles, want one more for the new address", n)
	}
}

func TestDelete(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	attributes(t, s, `"email":"a@x.io","x":1`)
	if got := accept(t, s, "/users/delete", `{"external_ids":["u","nobody"]}`); got != `{"deleted":2,"message":"success"}` {
		t.Errorf("answer %s; an unknown id is accepted too", got)
	}
	if _, ok := s.Profile("u"); ok {
		t.Error("u is still there")
	}
	attributes(t, s, `"y":1`)
	if got := flat(profile(t, s, "u").Custom); got != `{"y":1}` {
		t.Errorf("after delete and track u has %s, want only y", got)
	}
	ids := `["` + strings.Repeat(`a","`, 50) + `b"]`
	for body, want := range map[string]string{
		`{"external_ids":` + ids + `}`:             "The max number of ids per request was exceeded",
		`{"external_ids":["a"],"braze_ids":["b"]}`: "Only one kind",
		`{}`:                             "At least one",
		`{"external_ids":"a"}`:           "must be an array",
		`{"external_ids":[""]}`:          "invalid identifier",
		`{"email_addresses":["a@x.io"]}`: "invalid identifier",
		`{"email_addresses":[{"email":"a@x.io"}]}`:                    "invalid identifier",
		`{"email_addresses":[{"email":"a@x.io","prioritization":3}]}`: "invalid identifier",
	} {
		if w := post(s, "/users/delete", []byte(body)); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want 400 with %q", body, w.Code, w.Body, want)
		}
	}
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"v","email":"s@x.io"},{"external_id":"w","email":"s@x.io"}]}`)
	accept(t, s, "/users/delete", `{"email_addresses":[{"email":"s@x.io","prioritization":["identified"]}]}`)
	if n := s.Stats().Profiles; n != 3 {
		t.Errorf("%d profiles, want 3: two users match, so none is deleted", n)
	}
	accept(t, s, "/users/delete", `{"email_addresses":[{"email":"s@x.io","prioritization":["most_recently_updated"]}]}`)
	if n := s.Stats().Profiles; n != 2 {
		t.Errorf("%d profiles, want 2", n)
	}
}

func TestRename(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a","x":1},{"external_id":"taken"}]}`)
	got := accept(t, s, "/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"a","new_external_id":"b"},
		{"current_external_id":"nobody","new_external_id":"c"},{"current_external_id":"taken","new_external_id":"taken"},{"current_external_id":"taken","new_external_id":""}]}`)
	want := `{"external_ids":["b"],"message":"success","rename_errors":[{"index":1,"external_id":"nobody","message":"current_external_id is unknown"},` +
		`{"index":2,"external_id":"taken","message":"current_external_id and new_external_id must differ"},` +
		`{"index":3,"external_id":"taken","message":"current_external_id and new_external_id must be non-empty strings"}]}`
	if got != want {
		t.Errorf("answer %s\nwant   %s", got, want)
	}
	attributes := `{"attributes":[{"external_id":"a","y":2}]}`
	accept(t, s, "/users/track", attributes)
	p := profile(t, s, "a")
	if p.ExternalID != "b" || flat(p.Custom) != `{"x":1,"y":2}` || len(p.DeprecatedIDs) != 1 || s.Stats().Profiles != 2 {
		t.Errorf("through the deprecated id: %+v, want the profile of b with x and y", p)
	}
	for pair, want := range map[[2]string]string{
		{"a", "z"}:     "current_external_id is deprecated",
		{"taken", "a"}: "already in use as a deprecated",
		{"taken", "b"}: "already in use",
	} {
		body := `{"external_id_renames":[{"current_external_id":"` + pair[0] + `","new_external_id":"` + pair[1] + `"}]}`
		if got := accept(t, s, "/users/external_ids/rename", body); !strings.Contains(got, want) {
			t.Errorf("%v: %s, want %q", pair, got, want)
		}
	}
	got = accept(t, s, "/users/export/ids", `{"external_ids":["a","ghost"],"fields_to_export":["external_id","custom_attributes"]}`)
	if want := `{"invalid_user_ids":["ghost"],"message":"success","users":[{"custom_attributes":{"x":1,"y":2},"external_id":"b"}]}`; got != want {
		t.Errorf("export %s\nwant   %s", got, want)
	}
	got = accept(t, s, "/users/external_ids/remove", `{"external_ids":["a","b","ghost"]}`)
	if !strings.Contains(got, `"removed_ids":["a"]`) || !strings.Contains(got, `"index":1,"external_id":"b","message":"external_id is primary`) || !strings.Contains(got, `"index":2`) {
		t.Errorf("remove %s", got)
	}
	accept(t, s, "/users/track", attributes)
	if got := flat(profile(t, s, "a").Custom); got != `{"y":2}` {
		t.Errorf("a freed id has %s, want a new profile with y only", got)
	}
}

func TestDeleteThroughADeprecatedID(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a"}]}`)
	accept(t, s, "/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"a","new_external_id":"b"}]}`)
	accept(t, s, "/users/delete", `{"external_ids":["a"]}`)
	if n := s.Stats().Profiles; n != 0 {
		t.Fatalf("%d profiles left, the living one had to go", n)
	}
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a"},{"external_id":"b"}]}`)
	if n := s.Stats().Profiles; n != 2 {
		t.Errorf("%d profiles, both ids had to be free again", n)
	}
}

func TestSwapIsRefused(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"attributes":[{"external_id":"a"},{"external_id":"b"}]}`)
	got := accept(t, s, "/users/external_ids/rename", `{"external_id_renames":[{"current_external_id":"a","new_external_id":"c"},{"current_external_id":"c","new_external_id":"d"}]}`)
	if !strings.Contains(got, `"external_ids":["c"]`) || !strings.Contains(got, `"index":1`) {
		t.Errorf("answer %s, want the second pair refused", got)
	}
}

func TestSubscriptions(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	attributes(t, s, `"email":"a@x.io","subscription_groups":[{"subscription_group_id":"`+groupID+`","subscription_state":"subscribed"}]`)
	state := func(want string) {
		t.Helper()
		if got := profile(t, s, "u").Groups[groupID]; got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
	state("subscribed")
	accept(t, s, "/v2/subscription/status/set", `{"subscription_groups":[{"subscription_group_id":"`+groupID+`","subscription_state":"unsubscribed","external_ids":["u"]}]}`)
	state("unsubscribed")
	accept(t, s, "/subscription/status/set", `{"subscription_group_id":"`+groupID+`","subscription_state":"subscribed","email":["a@x.io"]}`)
	state("subscribed")
	if n := s.Stats().DataPoints; n != 1 {
		t.Errorf("%d data points, want 1 for the address and none for states", n)
	}
	for body, want := range map[string]string{
		`{"subscription_groups":[{"subscription_group_id":"x","subscription_state":"subscribed","external_ids":["u"]}]}`:                                        "valid subscription group",
		`{"subscription_groups":[{"subscription_group_id":"` + groupID + `","subscription_state":"opted_in","external_ids":["u"]}]}`:                            "'subscribed' or",
		`{"subscription_groups":[{"subscription_group_id":"` + groupID + `","subscription_state":"subscribed","external_id":["u"]}]}`:                           "is required",
		`{"subscription_groups":[{"subscription_group_id":"` + groupID + `","subscription_state":"subscribed","external_ids":[null]}]}`:                         "array of strings",
		`{"subscription_groups":[{"subscription_group_id":"` + groupID + `","subscription_state":"subscribed","emails":["a@x.io"],"phones":["+15555550100"]}]}`: "together",
		`{"subscription_groups":{}}`: "non-empty array",
	} {
		if w := post(s, "/v2/subscription/status/set", []byte(body)); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want 400 with %q", body, w.Code, w.Body, want)
		}
	}
}

func TestAliases(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	attributes(t, s, `"x":1`)
	accept(t, s, "/users/alias/new", `{"user_aliases":[{"external_id":"u","alias_name":"n","alias_label":"l"},{"external_id":"ghost","alias_name":"g","alias_label":"l"},{"alias_name":"anon","alias_label":"m"}]}`)
	accept(t, s, "/users/track", `{"attributes":[{"user_alias":{"alias_name":"n","alias_label":"l"},"y":2},{"user_alias":{"alias_name":"anon","alias_label":"m"},"x":9,"z":3}]}`)
	if p := profile(t, s, "u"); flat(p.Custom) != `{"x":1,"y":2}` || s.Stats().Profiles != 2 {
		t.Fatalf("u has %s, %d profiles", flat(p.Custom), s.Stats().Profiles)
	}
	accept(t, s, "/users/identify", `{"aliases_to_identify":[{"external_id":"u","user_alias":{"alias_name":"anon","alias_label":"m"}}]}`)
	if p := profile(t, s, "u"); flat(p.Custom) != `{"x":1,"y":2,"z":3}` || len(p.Aliases) != 2 || s.Stats().Profiles != 1 {
		t.Errorf("after identify u has %s, aliases %v, %d profiles", flat(p.Custom), p.Aliases, s.Stats().Profiles)
	}
}

func TestDataPoints(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"free fields", `{"attributes":[{"external_id":"u","email_subscribe":"subscribed","push_subscribe":"subscribed","date_of_first_session":"2026-01-01T00:00:00Z"}]}`, 0},
		{"one per field", `{"attributes":[{"external_id":"u","email":"a@x.io","first_name":"A","plan":"x","gone":null}]}`, 4},
		{"a whole array is one", `{"attributes":[{"external_id":"u","a":["x","y","z"]}]}`, 1},
		{"added values count singly", `{"attributes":[{"external_id":"u","a":{"add":["x","y"],"remove":["z"]}}]}`, 3},
		{"nested keys count singly", `{"attributes":[{"external_id":"u","a":{"x":1,"y":{"z":1,"q":[1,2]}}}]}`, 3},
		{"events and purchases", `{"events":[{"external_id":"u","name":"n","time":"2026-01-01T00:00:00Z","properties":{"a":1,"b":2}}],
			"purchases":[{"external_id":"u","product_id":"p","currency":"EUR","price":1,"quantity":3,"time":"2026-01-01T00:00:00Z"}]}`, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := brazesim.New(brazesim.Config{})
			accept(t, s, "/users/track", c.body)
			if got := s.Stats().DataPoints; got != c.want {
				t.Errorf("%d data points, want %d", got, c.want)
			}
		})
	}
}

func TestAttributesBeforeEventsBeforePurchases(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	accept(t, s, "/users/track", `{"purchases":[{"external_id":"u","_update_existing_only":true,"product_id":"p","currency":"EUR","price":1.50,"time":"2026-01-01T00:00:00Z"}],
		"events":[{"external_id":"u","_update_existing_only":true,"name":"n","time":"2026-01-01T09:00:00+09:00","properties":{"a":1}}],"attributes":[{"external_id":"u","x":1}]}`)
	p := profile(t, s, "u")
	if p.EventCount != 1 || p.PurchaseCount != 1 || p.Events[0].Time.Format("15:04") != "00:00" || string(p.Events[0].Properties) != `{"a":1}` || p.Purchases[0].Price != "1.50" {
		t.Errorf("profile %+v", p)
	}
}
