package braze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brazecdc/connector"
)

var defs = map[string]*connector.FieldDef{}

// field makes a mapped field; equal names share their definition, as a mapping's fields do.
func field(name, value string) connector.Field {
	d := defs[name]
	if d == nil {
		d = &connector.FieldDef{Name: name, JSON: append(appendString(nil, name), ':'), Order: len(defs)}
		defs[name] = d
	}
	return connector.Field{Def: d, JSON: []byte(value)}
}

func byID(id string) connector.User { return connector.User{ID: id} }

func track(id string, fields ...connector.Field) connector.Effect {
	return connector.Effect{User: byID(id), Fields: fields}
}

func rename(from, to string) connector.Effect {
	return connector.Effect{Kind: connector.Rename, User: byID(from), To: byID(to)}
}

// event makes an event of a user, purchase a purchase.
func event(u connector.User, name, rest string) connector.Effect {
	return connector.Effect{User: u, Event: &connector.Event{Name: name, JSON: []byte(`"name":"` + name + `","time":"2026-11-01T00:00:00Z"` + rest)}}
}

func purchase(u connector.User, product string) connector.Effect {
	return connector.Effect{User: u, Event: &connector.Event{Name: product, Purchase: true,
		JSON: []byte(`"product_id":"` + product + `","currency":"EUR","price":9.5,"time":"2026-11-01T00:00:00Z"`)}}
}

// state makes a field that sets a user's state in a group.
func state(group, value string) connector.Field {
	f := field("group "+group, `"`+value+`"`)
	f.Def.Group = group
	return f
}

func subscribe(u connector.User, states ...connector.Field) connector.Effect {
	return connector.Effect{Kind: connector.Subscribe, User: u, Fields: states}
}

func item(k connector.Kind, catalog, id string, fields ...connector.Field) connector.Effect {
	return connector.Effect{Kind: k, User: connector.User{Kind: connector.Item, ID: id, Label: catalog}, Fields: fields}
}

const (
	newsGroup = "aaaaaaaa-0000-4000-8000-000000000001"
	saleGroup = "aaaaaaaa-0000-4000-8000-000000000002"
)

// wholeRow is the row of the base of the cases: eleven fields.
func wholeRow(id string) connector.Effect {
	return track(id,
		field("email", `"a@x.io"`), field("phone", `"+819012345678"`), field("first_name", `"Aya"`), field("dob", `"1990-05-04"`),
		field("plan", `"free"`), field("credits", `12.5`), field("is_vip", `true`), field("tags", `["a","b"]`),
		field("prefs", `{"lang":"ja","mail":{"freq":2}}`), field("last_seen", `"2026-11-01T00:00:00Z"`),
		field("subscription_groups", `[{"subscription_group_id":"SG-NEWS","subscription_state":"subscribed"}]`))
}

func TestBody(t *testing.T) {
	update := wholeRow("User_A1")
	update.UpdateOnly = true
	changed := track("User_A1", field("plan", `"pro"`))
	changed.UpdateOnly = true
	alias := connector.User{Kind: connector.Alias, ID: "4711", Label: "crm"}
	mail := connector.User{Kind: connector.Email, ID: "a@x.io"}
	phone := connector.User{Kind: connector.Phone, ID: "+819012345678"}
	plan := field("plan", `"pro"`)
	tests := []struct {
		name, file string
		kind       connector.Kind
		batch      []connector.Effect
	}{
		{"whole rows in sync and additive have no control key", "track", connector.Track, []connector.Effect{wholeRow("u1"), wholeRow("u2")}},
		{"case 84: enrich sets _update_existing_only, keeps the case of an id, and is a plain track", "track_enrich", connector.Track,
			[]connector.Effect{update, changed}},
		{"a row with only an external_id, a null, and characters that need escaping", "track_odd", connector.Track,
			[]connector.Effect{track("u1"), track("u2", field("first_name", "null")), track("a\"b\\c\n\x01é\u2028日<>&")}},
		{"an alias says false so that it creates", "track_alias", connector.Track,
			[]connector.Effect{{User: alias, Fields: []connector.Field{plan}}, {User: alias, UpdateOnly: true, Fields: []connector.Field{plan}}}},
		{"email and phone name a user, and their own fields are not repeated", "track_email_phone", connector.Track, []connector.Effect{
			{User: mail, Fields: []connector.Field{field("email", `"a@x.io"`), plan}},
			{User: phone, UpdateOnly: true, Fields: []connector.Field{field("email", `"a@x.io"`), field("phone", `"+819012345678"`), plan}}}},
		{"deletes by external_id", "delete", connector.DeleteUser, []connector.Effect{track("u1"), track("u\"2")}},
		{"deletes by alias", "delete_alias", connector.DeleteUser, []connector.Effect{{User: alias}}},
		{"deletes by email say which of several profiles", "delete_email", connector.DeleteUser, []connector.Effect{{User: mail}}},
		{"deletes by phone", "delete_phone", connector.DeleteUser, []connector.Effect{{User: phone}}},
		{"renames", "rename", connector.Rename, []connector.Effect{rename("u1", "u9"), rename("u2", "u8")}},
		{"removes deprecated ids", "free", connector.Free, []connector.Effect{track("u1"), track("u2")}},
		{"attributes, events and purchases go into an array each, in order", "track_events", connector.Track, []connector.Effect{
			event(byID("u1"), "opened", ""), track("u1", plan), purchase(byID("u2"), "p1"), event(byID("u1"), "closed", `,"properties":{"n":1}`), track("u2")}},
		{"events alone have no empty array beside them, and keys that say whether they create", "track_events_alias", connector.Track, []connector.Effect{
			event(alias, "opened", ""), {User: mail, UpdateOnly: true, Event: event(mail, "opened", "").Event}, event(phone, "opened", "")}},
		{"objects are merged, and groups go into their list", "track_merge", connector.Track, []connector.Effect{
			{User: byID("u1"), Merge: true, Fields: []connector.Field{field("prefs", `{"mail":{"freq":3}}`), state(newsGroup, "subscribed"), plan, state(saleGroup, "unsubscribed")}}}},
		{"case 24: an entry for each group and state, with external_ids as a list", "subscribe", connector.Subscribe, []connector.Effect{
			subscribe(byID("u1"), state(newsGroup, "subscribed")), subscribe(byID("u2"), state(newsGroup, "subscribed"), state(saleGroup, "subscribed")),
			subscribe(byID("u3"), state(newsGroup, "unsubscribed"))}},
		{"states by email", "subscribe_email", connector.Subscribe, []connector.Effect{subscribe(mail, state(newsGroup, "subscribed"))}},
		{"states by phone", "subscribe_phone", connector.Subscribe, []connector.Effect{subscribe(phone, state(newsGroup, "unsubscribed"))}},
		{"items are put whole, with one id", "put_items", connector.PutItem, []connector.Effect{
			item(connector.PutItem, "shops", "s-1", field("id", `"s-1"`), field("city", `"Berlin"`), field("rating", "4.5")), item(connector.PutItem, "shops", "s_2")}},
		{"items are deleted by id alone", "delete_items", connector.DeleteItem, []connector.Effect{
			item(connector.DeleteItem, "shops", "s-1", field("city", `"Berlin"`)), item(connector.DeleteItem, "shops", "s_2")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Body(tt.kind, tt.batch)
			if !json.Valid(got) {
				t.Fatalf("not valid JSON: %s", got)
			}
			compareGolden(t, tt.file, got)
			size := 0
			c := newTestClient(t, "http://127.0.0.1:1", Config{})
			for i := range tt.batch {
				size += c.Size(&tt.batch[i])
			}
			if size < len(got)-len(`{"attributes":[],"events":[],"purchases":[]}`)-16 { // 16: escapes
				t.Errorf("Size says %d bytes, the body has %d", size, len(got))
			}
		})
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	got = append(got, '\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("body differs from %s\n got: %s\nwant: %s", path, got, want)
	}
}

func TestSubscriptionEntries(t *testing.T) {
	t.Run("case 25: 120 users make entries of 50, 50 and 20", func(t *testing.T) {
		var batch []connector.Effect
		for i := range 120 {
			batch = append(batch, subscribe(byID(fmt.Sprint("u", i)), state(newsGroup, "subscribed")))
		}
		var body struct {
			Groups []struct {
				ID    string   `json:"subscription_group_id"`
				State string   `json:"subscription_state"`
				Users []string `json:"external_ids"`
			} `json:"subscription_groups"`
		}
		if err := json.Unmarshal(Body(connector.Subscribe, batch), &body); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		seen := map[string]bool{}
		for _, g := range body.Groups {
			sizes = append(sizes, len(g.Users))
			for _, u := range g.Users {
				seen[u] = true
			}
			if g.ID != newsGroup || g.State != "subscribed" {
				t.Errorf("entry %+v", g)
			}
		}
		if !slices.Equal(sizes, []int{50, 50, 20}) || len(seen) != 120 {
			t.Errorf("entries of %v, %d users", sizes, len(seen))
		}
	})
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		e    connector.Effect
		want string
	}{
		{track("u1"), "POST /users/track"},
		{subscribe(byID("u1")), "POST /v2/subscription/status/set"},
		{item(connector.PutItem, "shops", "1"), "PUT /catalogs/shops/items"},
		{item(connector.DeleteItem, "shops", "1"), "DELETE /catalogs/shops/items"},
		{connector.Effect{Kind: connector.Kinds}, " "},
	} {
		if method, path := Request(&c.e); method+" "+path != c.want {
			t.Errorf("%v: %s %s, want %s", c.e.Kind, method, path, c.want)
		}
	}
}

func TestUnfit(t *testing.T) {
	alias := connector.Effect{User: connector.User{Kind: connector.Alias, ID: "1", Label: "crm"}}
	tests := []struct {
		name  string
		kind  connector.Kind
		batch []connector.Effect
		want  string // "" is fit
	}{
		{"external_ids", connector.DeleteUser, []connector.Effect{track("u1"), track("u2")}, ""},
		{"tracks of several kinds of identifiers", connector.Track, []connector.Effect{track("u1"), alias}, ""},
		{"deletes of several kinds of identifiers", connector.DeleteUser, []connector.Effect{track("u1"), alias}, "one kind"},
		{"an empty id", connector.Track, []connector.Effect{track("u1"), track("")}, "empty"},
		{"an alias without label", connector.Track, []connector.Effect{{User: connector.User{Kind: connector.Alias, ID: "1"}}}, "label"},
		{"broken UTF-8", connector.Track, []connector.Effect{track("a\xff")}, "UTF-8"},
		{"a rename to nothing", connector.Rename, []connector.Effect{rename("u1", "")}, "empty"},
		{"a rename to itself", connector.Rename, []connector.Effect{rename("u1", "u1")}, "equals"},
		{"a rename of an alias", connector.Rename, []connector.Effect{alias}, "external_id"},
		{"removing an alias", connector.Free, []connector.Effect{alias}, "external_id"},
		{"an event that says nothing", connector.Track, []connector.Effect{{User: byID("u1"), Event: &connector.Event{}}}, "neither name nor time"},
		{"an item among users", connector.Track, []connector.Effect{item(connector.Track, "shops", "s1")}, "unknown"},
		{"case 25: emails and phones in one subscription call", connector.Subscribe, []connector.Effect{
			subscribe(connector.User{Kind: connector.Email, ID: "a@x.io"}, state(newsGroup, "subscribed")),
			subscribe(connector.User{Kind: connector.Phone, ID: "+819012345678"}, state(newsGroup, "subscribed"))}, "one kind"},
		{"case 26: no user to subscribe", connector.Subscribe, []connector.Effect{subscribe(byID(""), state(newsGroup, "subscribed"))}, "empty"},
		{"a subscription by alias", connector.Subscribe, []connector.Effect{subscribe(alias.User, state(newsGroup, "subscribed"))}, "not by alias"},
		{"a subscription without a state", connector.Subscribe, []connector.Effect{subscribe(byID("u1"), field("plan", `"pro"`))}, "no state"},
		{"a state that is none", connector.Subscribe, []connector.Effect{subscribe(byID("u1"), state(newsGroup, "opted_in"))}, "neither subscribed"},
		{"a null as state", connector.Subscribe, []connector.Effect{subscribe(byID("u1"), connector.Field{Def: state(newsGroup, "").Def, JSON: []byte("null")})}, "neither"},
		{"case 25: more users than a subscription call takes", connector.Subscribe, slices.Repeat([]connector.Effect{
			subscribe(byID("u1"), state(newsGroup, "subscribed"), state(saleGroup, "subscribed"))}, 26), "at most 50"},
		{"items of one catalog", connector.PutItem, []connector.Effect{item(connector.PutItem, "shops", "a-B_9"), item(connector.PutItem, "shops", "2")}, ""},
		{"items of two catalogs", connector.DeleteItem, []connector.Effect{item(connector.DeleteItem, "shops", "1"), item(connector.DeleteItem, "cars", "1")}, "one catalog"},
		{"an item without a catalog", connector.PutItem, []connector.Effect{item(connector.PutItem, "", "1")}, "no catalog"},
		{"a catalog that would lead elsewhere", connector.PutItem, []connector.Effect{item(connector.PutItem, "../users", "1")}, "name of catalog"},
		{"an item with a dot", connector.PutItem, []connector.Effect{item(connector.PutItem, "shops", "a.b")}, "other characters"},
		{"an item with a long id", connector.PutItem, []connector.Effect{item(connector.PutItem, "shops", strings.Repeat("x", 251))}, "more than 250"},
		{"a user among items", connector.PutItem, []connector.Effect{track("u1")}, "not an item"},
		{"a kind from the future", connector.Track, []connector.Effect{{User: connector.User{Kind: 9, ID: "1"}}}, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := unfit(tt.kind, tt.batch)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Run("case 13: 75 objects by default, 50 by setting, and never more than the array takes", func(t *testing.T) {
		for setting, want := range map[int]int{0: 75, 50: 50, 75: 75, 225: 75} {
			c := newTestClient(t, "http://127.0.0.1:1", Config{ObjectsPerRequest: setting})
			if got := c.Limits(connector.Track).Objects; got != want {
				t.Errorf("objects_per_request %d: %d objects, want %d", setting, got, want)
			}
			for k := connector.DeleteUser; k < connector.Kinds; k++ {
				if got := c.Limits(k).Objects; got != 50 {
					t.Errorf("%v: %d objects, want 50", k, got)
				}
			}
		}
	})
	t.Run("what cannot share a call is apart, and what is not apart can", func(t *testing.T) {
		c := newTestClient(t, "http://127.0.0.1:1", Config{})
		users := []connector.User{byID("u1"), {Kind: connector.Alias, ID: "1", Label: "crm"}, {Kind: connector.Email, ID: "a@x.io"}, {Kind: connector.Phone, ID: "+1"}}
		for k := connector.Track; k < connector.PutItem; k++ {
			limits := c.Limits(k)
			for _, a := range users {
				for _, b := range users {
					want := (k == connector.DeleteUser || k == connector.Subscribe) && a.Kind != b.Kind
					if got := limits.Apart != nil && limits.Apart(a, b); got != want {
						t.Errorf("%v of %v and %v: apart %v, want %v", k, a.Kind, b.Kind, got, want)
					}
				}
			}
		}
		shop, car := item(0, "shops", "1").User, item(0, "cars", "1").User
		if apart := c.Limits(connector.PutItem).Apart; !apart(shop, car) || apart(shop, shop) {
			t.Error("items of two catalogs share a call")
		}
	})
	t.Run("case 71: effects that fit by Size and Limits give a body below 4 MB", func(t *testing.T) {
		c := newTestClient(t, "http://127.0.0.1:1", Config{MaxBody: 4 << 20})
		big := field("bio", `"`+strings.Repeat("x", 80<<10)+`"`)
		lim := c.Limits(connector.Track)
		var batch []connector.Effect
		for size := 0; ; {
			e := track(fmt.Sprint("u", len(batch)), big)
			if size += c.Size(&e); size > lim.Bytes || len(batch) == lim.Objects {
				break
			}
			batch = append(batch, e)
		}
		if n := len(Body(connector.Track, batch)); n > 4<<20 || len(batch) < 50 || len(batch) >= 75 {
			t.Errorf("%d objects in %d bytes", len(batch), n)
		}
	})
}

// FuzzString compares the encoding of identifiers with encoding/json.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "u1", "a\"b\\c", "\x00\x1f\x7f", "日本\u2028", "a\xff\xfeb", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		b := appendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q gives %s: %v", s, b, err)
		}
		j, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(j, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q reads back as %q, want %q", s, got, want)
		}
	})
}
