package braze

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

func TestAttributes(t *testing.T) {
	t.Run("follows the cursor, and sends the key nowhere else", func(t *testing.T) {
		elsewhere := serve(t, respond(200, `{}`))
		pages := map[string]string{"": "b2", "b2": "c3", "c3": ""}
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			cursor := r.URL.Query().Get("cursor")
			if next := pages[cursor]; next != "" {
				w.Header().Set("Link", `<`+elsewhere.URL+`/custom_attributes?cursor=x>; rel="prev",<`+elsewhere.URL+`/custom_attributes?cursor=`+next+`>; rel="next"`)
			}
			respond(200, fmt.Sprintf(`{"message":"success","attributes":[{"name":"z%s","data_type":"Number","status":"Active","array_length":null,"tag_names":[]},{"name":"a%s","data_type":"String","status":"Blocklisted"}]}`, cursor, cursor))(w, r)
		})
		got, err := newTestClient(t, f.URL, Config{}).Attributes(t.Context())
		want := []AttributeType{{"a", connector.StringType, "Blocklisted"}, {"ab2", connector.StringType, "Blocklisted"}, {"ac3", connector.StringType, "Blocklisted"},
			{"z", connector.NumberType, "Active"}, {"zb2", connector.NumberType, "Active"}, {"zc3", connector.NumberType, "Active"}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		if seen := f.requests(); len(seen) != 3 || seen[0].method != "GET" || seen[0].path != "/custom_attributes" || seen[2].path != "/custom_attributes?cursor=c3" || len(seen[2].body) > 0 {
			t.Errorf("requests %+v", seen)
		}
		if n := len(elsewhere.requests()); n != 0 {
			t.Errorf("%d requests went elsewhere", n)
		}
	})
	t.Run("a cursor that leads to itself ends", func(t *testing.T) {
		f := serve(t, respond(200, `{"attributes":[]}`, `Link: </custom_attributes?cursor=x>; rel="next"`))
		if got, err := newTestClient(t, f.URL, Config{}).Attributes(t.Context()); err != nil || len(got) != 0 || len(f.requests()) != 2 {
			t.Errorf("%v, %v, %d requests", got, err, len(f.requests()))
		}
	})
	for _, c := range []struct {
		name, body, link string
		status           int
		want             outcome
	}{
		{"a link without a cursor", `{"attributes":[]}`, `Link: </custom_attributes>; rel=next`, 200, outcome{end: "other: list custom attributes: the link to the next page has no cursor"}},
		{"an answer that is none", `<html>`, "", 200, outcome{end: "retry", unknown: true}},
		{"an answer without attributes", `{"message":"success"}`, "", 200, outcome{end: "retry"}},
		{"a key without the permission", `{"message":"no"}`, "", 403, outcome{end: "stop", code: connector.ExitKeyRefused}},
		{"a refused question", `{"message":"no"}`, "", 400, outcome{end: "other: list custom attributes: GET /custom_attributes: 400 Bad Request: no"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := []string{}
			if c.link != "" {
				headers = append(headers, c.link)
			}
			f := serve(t, respond(c.status, c.body, headers...))
			if _, err := newTestClient(t, f.URL, Config{}).Attributes(t.Context()); outcomeOf(err) != c.want {
				t.Errorf("got %v, want %+v", err, c.want)
			}
		})
	}
	t.Run("types in many words", func(t *testing.T) {
		for word, want := range map[string]connector.AttrType{"Number": connector.NumberType, "string": connector.StringType, "Boolean": connector.BoolType,
			"Date": connector.TimeType, "Time": connector.TimeType, "Array": connector.ArrayType, "Object": connector.ObjectType, "Object Array": connector.ObjectsType,
			"object_array": connector.ObjectsType, "String (Automatically Detected)": connector.StringType, "": connector.AnyType, "hologram": connector.AnyType} {
			if got := typeOf(word); got != want {
				t.Errorf("%q is %v, want %v", word, got, want)
			}
		}
	})
}

// FuzzQuestions reads answers of what is only asked: anything but a fault or a sound result would be wrong.
func FuzzQuestions(f *testing.F) {
	for _, s := range []string{
		`{"attributes":[{"name":"a","data_type":"Number"},{"data_type":3},null]}`, `{"attributes":{}}`, `{"users":[{"external_id":"u1","custom_attributes":{"a":1}}],"invalid_user_ids":["u2"]}`,
		`{"users":[{"external_id":"n","last_coordinates":[1,2],"user_aliases":[{"alias_name":"1","alias_label":"l"}]},null,{}]}`, `{"users":null}`, `[]`, `{"users":[{"last_coordinates":["]"]}]}`,
	} {
		f.Add([]byte(s), `<https://rest.fra-01.braze.eu/custom_attributes?cursor=c2>; rel="next"`)
	}
	asked := []connector.User{byID("u1"), byID("u2")}
	f.Fuzz(func(t *testing.T, body []byte, link string) {
		if list, err := parseAttributes(body); err == nil {
			for _, a := range list {
				if a.Name == "" {
					t.Error("an attribute without a name")
				}
			}
		}
		if cursor, err := cursorOf(link); err == nil && cursor != "" && !strings.Contains(strings.ToLower(link), "next") {
			t.Errorf("a next page out of %q", link)
		}
		found, gone, err := parseExport(body, connector.ExternalID, asked)
		if err != nil {
			return
		}
		for _, u := range gone {
			if !slices.Contains(asked, u) || slices.ContainsFunc(found, func(p Profile) bool { return p.User == u && p.ExternalID == u.ID }) && !strings.Contains(string(body), "invalid_user_ids") {
				t.Errorf("%v is unknown and found", u)
			}
		}
		for _, p := range found {
			if p.Fields == nil || p.Custom == nil {
				t.Errorf("%+v", p)
			}
		}
	})
}
