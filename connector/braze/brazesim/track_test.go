package brazesim_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"brazecdc/connector/braze/brazesim"
)

// track sends one body and returns status and answer.
func track(t *testing.T, s *brazesim.Server, body string) (int, string) {
	t.Helper()
	w := post(s, "/users/track", []byte(body))
	return w.Code, w.Body.String()
}

func accept(t *testing.T, s *brazesim.Server, path, body string) string {
	t.Helper()
	w := post(s, path, []byte(body))
	if w.Code != 201 {
		t.Fatalf("%s answered %d %s for %.300s", path, w.Code, w.Body, body)
	}
	if strings.Contains(w.Body.String(), `"errors"`) {
		t.Fatalf("%s refused objects: %s", path, w.Body)
	}
	return w.Body.String()
}

// attributes tracks one object of user u after the other.
func attributes(t *testing.T, s *brazesim.Server, objects ...string) {
	t.Helper()
	for _, o := range objects {
		accept(t, s, "/users/track", `{"attributes":[{"external_id":"u",`+o+`}]}`)
	}
}

func profile(t *testing.T, s *brazesim.Server, id string) brazesim.Profile {
	t.Helper()
	p, ok := s.Profile(id)
	if !ok {
		t.Fatalf("no profile %q", id)
	}
	return p
}

func flat(m map[string]json.RawMessage) string {
	b, _ := json.Marshal(m)
	return string(b)
}

func TestTrackAnswers(t *testing.T) {
	objects := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"external_id":"u%d"}`, i)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	event := `{"external_id":"u","name":"n","time":"2026-01-01T00:00:00Z"}`
	for _, c := range []struct {
		name   string
		cfg    brazesim.Config
		body   string
		status int
		want   string
	}{
		{"all accepted", brazesim.Config{}, `{"attributes":[{"external_id":"a"},{"external_id":"b"}],"events":[` + event + `]}`, 201,
			`{"message":"success","attributes_processed":2,"events_processed":1}`},
		{"some refused, by array and index", brazesim.Config{}, `{"events":[{"external_id":"x","name":"n"}],"attributes":[{"external_id":"a"},{"external_id":"b","email_subscribe":"yes"}]}`, 201,
			`{"message":"success","attributes_processed":1,"events_processed":0,"errors":[` +
				`{"type":"'time' is required and must be an ISO 8601 date and time","input_array":"events","index":0},` +
				`{"type":"The value provided for the 'email_subscribe' field must be one of 'opted_in', 'subscribed', 'unsubscribed'.","input_array":"attributes","index":1}]}`},
		{"constants as types", brazesim.Config{ErrorConstants: true}, `{"attributes":[{"external_id":"a","email":"nobody"}]}`, 201,
			`{"message":"success","attributes_processed":0,"errors":[{"type":"EMAIL_BAD_FORMAT","input_array":"attributes","index":0}]}`},
		{"all refused, when set to 400", brazesim.Config{RefuseAllInvalid: true, ErrorConstants: true}, `{"attributes":[{"external_id":"a","email":"nobody"}]}`, 400,
			`{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.","errors":[{"type":"EMAIL_BAD_FORMAT","input_array":"attributes","index":0}]}`},
		{"no objects", brazesim.Config{}, `{}`, 400, `{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."}`},
		{"75 objects", brazesim.Config{}, `{"attributes":` + objects(75) + `}`, 201, `{"message":"success","attributes_processed":75}`},
		{"76 objects over two arrays", brazesim.Config{}, `{"attributes":` + objects(75) + `,"events":[` + event + `]}`, 400, `{"message":"Max Input Length Exceeded"}`},
		{"51 objects where 50 are allowed", brazesim.Config{Objects: 50}, `{"attributes":` + objects(51) + `}`, 400, `{"message":"Max Input Length Exceeded"}`},
		{"legacy: 75 in each array", brazesim.Config{Objects: 225}, `{"attributes":` + objects(75) + `,"events":[` + event + `]}`, 201, `{"message":"success","attributes_processed":75,"events_processed":1}`},
		{"legacy: 76 in one array", brazesim.Config{Objects: 225}, `{"attributes":` + objects(76) + `}`, 400, `{"message":"Max Input Length Exceeded"}`},
		{"broken JSON", brazesim.Config{}, `{"attributes":[{"external_id":"a"}`, 400, `{"message":"Invalid JSON: the request body could not be parsed"}`},
		{"an array that is none", brazesim.Config{}, `{"attributes":{"external_id":"a"}}`, 400, `{"message":"'attributes' must be an array of objects"}`},
		{"a body that is no object", brazesim.Config{}, `[1]`, 400, `{"message":"The request body must be a JSON object"}`},
		{"white space in an address", brazesim.Config{}, `{"attributes":[{"external_id":"a","email":"a b@x.io"}]}`, 400, `{"message":"The value provided for the 'email' field must not contain white space."}`},
		{"not UTF-8", brazesim.Config{}, "{\"attributes\":[{\"external_id\":\"a\xff\"}]}", 400, `{"message":"Invalid JSON: the request body could not be parsed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := track(t, brazesim.New(c.cfg), c.body)
			if status != c.status || got != c.want {
				t.Errorf("answer %d %s\nwant   %d %s", status, got, c.status, c.want)
			}
		})
	}
}

func TestTrackRefusesObjects(t *testing.T) {
	long := strings.Repeat("x", 988)
	for _, c := range []struct{ name, array, object, want string }{
		{"no identifier", "attributes", `"plan":"a"`, "is required"},
		{"two identifiers", "attributes", `"external_id":"a","braze_id":"b"`, "Only one of"},
		{"empty id", "attributes", `"external_id":""`, "non-empty"},
		{"numeric id", "attributes", `"external_id":5`, "non-empty"},
		{"null id", "attributes", `"external_id":null`, "non-empty"},
		{"id of 988 bytes", "attributes", `"external_id":"` + long + `"`, "EXTERNAL_USER_ID_TOO_LARGE"},
		{"id of 330 three-byte characters", "attributes", `"external_id":"` + strings.Repeat("\u20ac", 330) + `"`, "EXTERNAL_USER_ID_TOO_LARGE"},
		{"alias without label", "attributes", `"user_alias":{"alias_name":"a"}`, "'user_alias' needs"},
		{"alias of 237 bytes", "attributes", `"user_alias":{"alias_name":"` + long[:237] + `","alias_label":"b"}`, "'user_alias' needs"},
		{"control key as text", "attributes", `"external_id":"a","_update_existing_only":"true"`, "must be true or false"},
		{"bad address", "attributes", `"external_id":"a","email":"a@x"`, "EMAIL_BAD_FORMAT"},
		{"empty address", "attributes", `"external_id":"a","email":""`, "EMAIL_BAD_FORMAT"},
		{"address as number", "attributes", `"external_id":"a","email":42`, "EMAIL_BAD_FORMAT"},
		{"bad address as identifier", "attributes", `"email":"foo@"`, "EMAIL_BAD_FORMAT"},
		{"push state", "attributes", `"external_id":"a","push_subscribe":true`, "BAD_PUSH_SUBSCRIPTION_STATE"},
		{"email state null", "attributes", `"external_id":"a","email_subscribe":null`, "BAD_EMAIL_SUBSCRIPTION_STATE"},
		{"location without latitude", "attributes", `"external_id":"a","current_location":{"longitude":1}`, "BAD_LOCATION_UPDATE"},
		{"location as array", "attributes", `"external_id":"a","current_location":[1,2]`, "BAD_LOCATION_UPDATE"},
		{"groups as object", "attributes", `"external_id":"a","subscription_groups":{}`, "BAD_SUBSCRIPTION_GROUP_ARRAY"},
		{"group without state", "attributes", `"external_id":"a","subscription_groups":[{"subscription_group_id":"x"}]`, "BAD_SUBSCRIPTION_GROUP_HASH"},
		{"group id", "attributes", `"external_id":"a","subscription_groups":[{"subscription_group_id":"SG","subscription_state":"subscribed"}]`, "BAD_SUBSCRIPTION_GROUP_ID"},
		{"group state", "attributes", `"external_id":"a","subscription_groups":[{"subscription_group_id":"` + groupID + `","subscription_state":"opted_in"}]`, "BAD_SUBSCRIPTION_GROUP_STATE"},
		{"tokens as object", "attributes", `"external_id":"a","push_tokens":{}`, "BAD_PUSH_TOKEN_VALUE"},
		{"token as number", "attributes", `"external_id":"a","push_tokens":[{"app_id":"a","token":1}]`, "BAD_PUSH_TOKEN_STRING"},
		{"token without app", "attributes", `"external_id":"a","push_tokens":[{"token":"x"}]`, "BAD_PUSH_TOKEN_APP_ID"},
		{"short device id", "attributes", `"external_id":"a","push_tokens":[{"app_id":"a","token":"x","device_id":"1234567"}]`, "BAD_DEVICE_ID"},
		{"token import with id", "attributes", `"external_id":"a","push_token_import":true,"push_tokens":[{"app_id":"a","token":"x"}]`, "BAD_PUSH_TOKEN_IMPORT"},
		{"subscription info", "attributes", `"external_id":"a","email_subscription_info":{}`, "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"},
		{"event without name", "events", `"external_id":"a","time":"2026-01-01T00:00:00Z"`, "'name' is required"},
		{"event without time", "events", `"external_id":"a","name":"n"`, "'time' is required"},
		{"event with a bare date", "events", `"external_id":"a","name":"n","time":"2026-01-01"`, "'time' is required"},
		{"reserved property", "events", `"external_id":"a","name":"n","time":"2026-01-01T00:00:00Z","properties":{"event_name":1}`, "reserved"},
		{"dollar property", "events", `"external_id":"a","name":"n","time":"2026-01-01T00:00:00Z","properties":{"$x":1}`, "Property names"},
		{"properties as array", "events", `"external_id":"a","name":"n","time":"2026-01-01T00:00:00Z","properties":[]`, "'properties' must"},
		{"purchase without product", "purchases", `"external_id":"a","currency":"EUR","price":1,"time":"2026-01-01T00:00:00Z"`, "'product_id' is required"},
		{"unknown currency", "purchases", `"external_id":"a","product_id":"p","currency":"EURO","price":1,"time":"2026-01-01T00:00:00Z"`, "ISO 4217"},
		{"price as text", "purchases", `"external_id":"a","product_id":"p","currency":"EUR","price":"1","time":"2026-01-01T00:00:00Z"`, "'price' is required"},
		{"quantity of 101", "purchases", `"external_id":"a","product_id":"p","currency":"EUR","price":1,"quantity":101,"time":"2026-01-01T00:00:00Z"`, "1 to 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := brazesim.New(brazesim.Config{ErrorConstants: true})
			status, got := track(t, s, `{"`+c.array+`":[{`+c.object+`}]}`)
			if status != 201 || !strings.Contains(got, c.want) || !strings.Contains(got, `"index":0`) {
				t.Errorf("answer %d %s, want an item error with %q", status, got, c.want)
			}
			if n := len(s.Profiles()); n != 0 {
				t.Errorf("a refused object left %d profiles", n)
			}
		})
	}
}

const groupID = "0a1b2c3d-0000-4000-8000-00000000000f"

func TestTrackFields(t *testing.T) {
	text256 := strings.Repeat("é", 256)
	for _, c := range []struct {
		name    string
		objects []string
		want    string // preset and custom fields together
		ignored map[string]int
	}{
		{"values keep their digits", []string{`"a":1.50,"b":9007199254740993,"c":true,"d":"x\u00e9\/"`}, `{"a":1.50,"b":9007199254740993,"c":true,"d":"xé/"}`, nil},
		{"null unsets, empty text stays", []string{`"a":"x","b":"y"`, `"a":null,"b":""`}, `{"b":""}`, nil},
		{"the last of two equal keys counts", []string{`"a":2`, `"a":1,"a":2`}, `{"a":2}`, nil},
		{"unset and set in one object", []string{`"a":1,"b":2`, `"a":null,"c":3,"a":4`}, `{"a":4,"b":2,"c":3}`, nil},
		{"names are trimmed, case counts", []string{`" plan ":"a","Email":"no address"`}, `{"Email":"no address","plan":"a"}`, nil},
		{"255 characters pass, 256 do not", []string{`"a":"` + text256[:510] + `","b":"` + text256 + `","` + text256 + `":1`}, `{"a":"` + text256[:510] + `"}`, map[string]int{"string_too_long": 1, "attribute_name": 1}},
		{"the first value fixes the type", []string{`"a":1`, `"a":"x","b":1`, `"a":null`, `"a":true`}, `{"b":1}`, map[string]int{"type_mismatch": 2}},
		{"dates and other text mix", []string{`"a":"2026-09-15"`, `"a":"soon"`}, `{"a":"soon"}`, nil},
		{"inc", []string{`"a":{"inc":5}`, `"a":{"inc":-2}`, `"b":9007199254740993`, `"b":{"inc":1},"c":{"inc":1.5}`}, `{"a":3,"b":9007199254740994}`, map[string]int{"inc_value": 1}},
		{"inc on a fraction", []string{`"a":1.5,"b":1e999`, `"a":{"inc":2},"b":{"inc":1}`}, `{"a":3.5,"b":1e999}`, map[string]int{"inc_value": 1}},
		{"arrays hold each value once", []string{`"a":["x","y","x",1,true]`}, `{"a":["x","y",1,true]}`, nil},
		{"add moves to the end, remove removes", []string{`"a":["x","y"]`, `"a":{"add":["x","z"]}`, `"a":{"remove":["y","q"]}`}, `{"a":["x","z"]}`, nil},
		{"an empty array fixes no type", []string{`"a":[]`, `"a":[{"id":1}]`}, `{"a":[{"id":1}]}`, nil},
		{"null or nesting in an array of scalars", []string{`"a":["x",null],"b":[["x"]],"c":1`}, `{"c":1}`, map[string]int{"array_value": 2}},
		{"an object replaces", []string{`"a":{"x":1,"y":{"z":1}}`, `"a":{"y":{"q":2}}`}, `{"a":{"y":{"q":2}}}`, nil},
		{"_merge_objects merges deep", []string{`"a":{"x":1,"y":{"z":1}}`, `"_merge_objects":true,"a":{"y":{"q":2}}`}, `{"a":{"x":1,"y":{"z":1,"q":2}}}`, nil},
		{"a null inside discards all nested updates", []string{`"a":{"x":1}`, `"a":{"x":null},"b":{"y":1},"c":5`}, `{"a":{"x":1},"c":5}`, map[string]int{"nested_discarded": 2}},
		{"bad keys inside too", []string{`"a":{"x.y":1}`, `"b":{"$x":1}`, `"c":{"x y":1}`}, `{}`, map[string]int{"nested_discarded": 3}},
		{"dates inside", []string{`"a":{"d":{"$time":"2026-01-01T00:00:00Z"}},"b":1`, `"b":2,"c":{"d":{"$time":"never"}}`}, `{"a":{"d":{"$time":"2026-01-01T00:00:00Z"}},"b":2}`, map[string]int{"nested_discarded": 1}},
		{"objects above 100 KB", []string{`"a":{"x":1}`, `"a":{"x":[` + strings.Repeat(`"0123456789",`, 9000) + `"x"]}`}, `{"a":{"x":1}}`, map[string]int{"too_large": 1}},
		{"add, then remove, then update", []string{`"a":[{"id":1,"v":1},{"id":2,"v":2}]`,
			`"a":{"$update":[{"$identifier_key":"id","$identifier_value":1,"$new_object":{"id":1,"w":9}}],"$remove":[{"$identifier_key":"id","$identifier_value":2}],"$add":[{"id":2,"v":3},{"id":4}]}`},
			`{"a":[{"id":1,"w":9},{"id":4}]}`, nil},
		{"update merges when told", []string{`"a":[{"id":1,"v":1}]`, `"_merge_objects":true,"a":{"$update":[{"$identifier_key":"id","$identifier_value":1,"$new_object":{"w":9}}]}`}, `{"a":[{"id":1,"v":1,"w":9}]}`, nil},
		{"phone", []string{`"phone":"(555) 555-0100"`}, `{"phone":"+15555550100"}`, nil},
		{"phone with plus", []string{`"phone":"+81 90-1234-5678"`}, `{"phone":"+819012345678"}`, nil},
		{"phone without country", []string{`"phone":"0049123"`}, `{}`, map[string]int{"preset_value": 1}},
		{"country by code and by name", []string{`"country":"Germany"`, `"language":"de"`}, `{"country":"DE","language":"de"}`, nil},
		{"an unknown country becomes null", []string{`"country":"FR"`, `"country":"Atlantis"`}, `{}`, nil},
		{"gender, dob, zone", []string{`"gender":"F","dob":"1990-05-04","time_zone":"Asia/Tokyo"`, `"gender":"X","dob":"04.05.1990","time_zone":"Moon/Base"`}, `{"dob":"1990-05-04","gender":"F","time_zone":"Asia/Tokyo"}`, map[string]int{"preset_value": 3}},
		{"location", []string{`"current_location":{ "longitude": 8.5, "latitude": 47 }`}, `{"current_location":{"longitude":8.5,"latitude":47}}`, nil},
		{"a new address resets the state", []string{`"email":"a@x.io","email_subscribe":"unsubscribed"`, `"email":"b@x.io"`}, `{"email":"b@x.io","email_subscribe":"subscribed"}`, nil},
		{"unless the state goes along", []string{`"email":"a@x.io","email_subscribe":"unsubscribed"`, `"email":"b@x.io","email_subscribe":"unsubscribed"`}, `{"email":"b@x.io","email_subscribe":"unsubscribed"}`, nil},
		{"the same address resets nothing", []string{`"email":"a@x.io","email_subscribe":"opted_in"`, `"email":"a@x.io"`}, `{"email":"a@x.io","email_subscribe":"opted_in"}`, nil},
		{"name and time are custom attributes", []string{`"name":"x","time":"2026-01-01","price":1`}, `{"name":"x","price":1,"time":"2026-01-01"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := brazesim.New(brazesim.Config{})
			attributes(t, s, c.objects...)
			p := profile(t, s, "u")
			all := p.Attributes
			for k, v := range p.Custom {
				all[k] = v
			}
			var b strings.Builder
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(all); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(b.String()); got != c.want {
				t.Errorf("profile %.300s\nwant    %.300s", got, c.want)
			}
			want := c.ignored
			if want == nil {
				want = map[string]int{}
			}
			if got := s.Stats().Ignored; !reflect.DeepEqual(got, want) {
				t.Errorf("ignored %v, want %v", got, want)
			}
		})
	}
}

func TestArrayLength(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	list := make([]string, 500)
	for i := range list {
		list[i] = fmt.Sprintf(`"v%d"`, i)
	}
	attributes(t, s, `"a":[`+strings.Join(list, ",")+`]`, `"a":{"add":["new"]}`)
	var got []string
	if err := json.Unmarshal(profile(t, s, "u").Custom["a"], &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 500 || got[0] != "v1" || got[499] != "new" {
		t.Errorf("%d items from %s to %s, want 500 from v1 to new", len(got), got[0], got[len(got)-1])
	}
}

func TestUnasked(t *testing.T) {
	s := brazesim.New(brazesim.Config{})
	if err := s.Faults(brazesim.Fault{Items: []brazesim.ItemFault{{ExternalIDs: []string{"f"}, Type: "asked for"}}}); err != nil {
		t.Fatal(err)
	}
	track(t, s, `{"attributes":[{"external_id":"f","plan":"a"},{"external_id":"nobody","_update_existing_only":true,"plan":"a"},{"external_id":"ok","plan":"a"}]}`)
	if got := s.Unasked(); len(got) != 0 {
		t.Errorf("a fault's refusal, an unknown user or an accepted object counts as unasked: %q", got)
	}
	track(t, s, `{"attributes":[{"external_id":"","plan":"a"}]}`)
	track(t, s, `{"attributes":[{"external_id":"ok","plan":7}]}`)
	track(t, s, `{"attributes":[`)
	got := s.Unasked()
	if len(got) != 3 {
		t.Fatalf("%d of 3 are listed: %q", len(got), got)
	}
	for i, part := range []string{"attributes of", `plan of "ok" has no effect: type_mismatch`, "POST /users/track: 400"} {
		if !strings.Contains(got[i], part) {
			t.Errorf("%q does not tell %q", got[i], part)
		}
	}
}
