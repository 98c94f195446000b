package braze

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

func TestExport(t *testing.T) {
	alias := connector.User{Kind: connector.Alias, ID: "7", Label: "crm"}
	mail := connector.User{Kind: connector.Email, ID: "a@x.io"}
	tests := []struct {
		name, answer   string
		users          []connector.User
		fields         []string
		asked          string
		found, unknown []string
	}{
		{"gives fields by the names they were sent by, and custom attributes",
			`{"users":[{"external_id":"u1","email":"a@x.io","last_coordinates":[13.4,52.5],"custom_attributes":{"plan":"pro"},"dob":null}],"invalid_user_ids":["u2"]}`,
			[]connector.User{byID("u1"), byID("u2")}, []string{"email", "current_location", "dob", "plan", "credits"},
			`{"external_ids":["u1","u2"],"fields_to_export":["external_id","user_aliases","email","last_coordinates","dob","custom_attributes"]}`,
			[]string{`u1=u1 current_location={"longitude":13.4,"latitude":52.5} email="a@x.io" plan="pro"`}, []string{"u2"}},
		{"a user whom the answer does not name is unknown", `{"users":[{"external_id":"u1"}]}`, []connector.User{byID("u1"), byID("u2")}, nil,
			`{"external_ids":["u1","u2"],"fields_to_export":["external_id","user_aliases"]}`, []string{"u1=u1"}, []string{"u2"}},
		{"a renamed user is found under the present name", `{"users":[{"external_id":"u1"},{"external_id":"n2"}]}`, []connector.User{byID("u1"), byID("u2")}, nil, "",
			[]string{"u1=u1", "u2=n2"}, nil},
		{"two renamed users cannot be told apart", `{"users":[{"external_id":"n1"},{"external_id":"n2"}]}`, []connector.User{byID("u1"), byID("u2")}, nil, "",
			[]string{"n1=n1", "n2=n2"}, nil},
		{"the case of an id counts", `{"users":[{"external_id":"U1"}],"invalid_user_ids":["u1"]}`, []connector.User{byID("u1")}, nil, "", []string{"U1=U1"}, []string{"u1"}},
		{"an alias is found among a profile's aliases", `{"users":[{"user_aliases":[{"alias_name":"8","alias_label":"crm"},{"alias_name":"7","alias_label":"crm"}]}]}`,
			[]connector.User{alias}, nil, `{"user_aliases":[{"alias_name":"7","alias_label":"crm"}],"fields_to_export":["external_id","user_aliases"]}`, []string{"7="}, nil},
		{"every profile of an email comes", `{"users":[{"external_id":"u1"},{"external_id":"u2"}]}`, []connector.User{mail}, nil,
			`{"email_address":"a@x.io","fields_to_export":["external_id","user_aliases"]}`, []string{"a@x.io=u1", "a@x.io=u2"}, nil},
		{"an email without profiles is unknown", `{"users":[]}`, []connector.User{mail}, nil, "", nil, []string{"a@x.io"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, respond(201, tt.answer))
			profiles, unknown, err := newTestClient(t, f.URL, Config{}).Export(t.Context(), tt.users, tt.fields)
			if err != nil {
				t.Fatal(err)
			}
			var found, gone []string
			for _, p := range profiles {
				words := []string{p.User.ID + "=" + p.ExternalID}
				for name, v := range p.Fields {
					words = append(words, name+"="+string(v))
				}
				for name, v := range p.Custom {
					words = append(words, name+"="+string(v))
				}
				slices.Sort(words[1:])
				found = append(found, strings.Join(words, " "))
			}
			for _, u := range unknown {
				gone = append(gone, u.ID)
			}
			if !slices.Equal(found, tt.found) || !slices.Equal(gone, tt.unknown) {
				t.Errorf("found %q, unknown %q; want %q, %q", found, gone, tt.found, tt.unknown)
			}
			if got := string(f.requests()[0].body); tt.asked != "" && got != tt.asked {
				t.Errorf("asked %s, want %s", got, tt.asked)
			}
		})
	}
	t.Run("asks for 50 at a time, and reads answers above a megabyte", func(t *testing.T) {
		long := strings.Repeat("x", 40<<10)
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			respond(201, fmt.Sprintf(`{"users":[%s{"external_id":"u1"}]}`, strings.Repeat(`{"external_id":"u2","custom_attributes":{"a":"`+long+`"}},`, 49)))(w, r)
		})
		var users []connector.User
		for _, e := range batchOf(120) {
			users = append(users, e.User)
		}
		profiles, _, err := newTestClient(t, f.URL, Config{}).Export(t.Context(), users, []string{"a"})
		if err != nil || len(profiles) != 150 || len(f.requests()) != 3 {
			t.Errorf("%d profiles in %d requests, %v", len(profiles), len(f.requests()), err)
		}
	})
	t.Run("a refused question is no refused user, and no answer is none", func(t *testing.T) {
		f := serve(t, respond(400, `{"message":"bad request"}`))
		_, _, err := newTestClient(t, f.URL, Config{}).Export(t.Context(), []connector.User{byID("u1")}, nil)
		var rejected *connector.RejectedError
		if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "export users: POST /users/export/ids: 400") {
			t.Errorf("got %v", err)
		}
		f = serve(t, respond(200, `{"message":"success"}`))
		if _, _, err := newTestClient(t, f.URL, Config{}).Export(t.Context(), []connector.User{byID("u1")}, nil); outcomeOf(err).end != "retry" {
			t.Errorf("got %v", err)
		}
		if _, _, err := newTestClient(t, f.URL, Config{}).Export(t.Context(), []connector.User{{Kind: connector.Item, ID: "1"}}, nil); err == nil {
			t.Error("an item is no user to export")
		}
	})
}
