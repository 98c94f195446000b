package braze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
			if size < len(got)-len(`{"external_id_renames":[]}`)-16 { // 16: escapes
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
			for _, k := range []connector.Kind{connector.DeleteUser, connector.Rename, connector.Free} {
				if got := c.Limits(k).Objects; got != 50 {
					t.Errorf("%v: %d objects, want 50", k, got)
				}
			}
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
