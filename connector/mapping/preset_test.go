package mapping_test

import (
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/mapping"
)

func TestPresetGender(t *testing.T) {
	convertAll(t, preset("gender"), true, nil, []conversion{
		{kText, "weiblich", `"F"`, ""}, {kText, "Non-binary", `"O"`, ""}, {kText, "prefer not to say", `"P"`, ""}, {kText, "N/A", `"N"`, ""}, {kText, "unknown", "null", ""},
		{kJSON, `"male"`, `"M"`, ""}, {kInt, "1", out, "not text"}, {kText, "", out, "not one of"},
	})
}

func TestPresetTimeZone(t *testing.T) {
	convertAll(t, preset("time_zone"), true, nil, []conversion{
		{kText, "europe/berlin", `"Europe/Berlin"`, ""}, {kText, " America/New_York ", `"America/New_York"`, ""}, {kText, "america/port_of_spain", `"America/Port_of_Spain"`, ""},
		{kText, "us/eastern", `"US/Eastern"`, ""}, {kText, "utc", `"UTC"`, ""}, {kText, "America/New York", `"America/New_York"`, ""},
		{kText, "Eastern Time (US & Canada)", `"America/New_York"`, ""}, {kText, "Berlin", `"Europe/Berlin"`, ""}, {kText, "posixrules", out, "not a time zone"},
		{kText, "right/Europe/Berlin", out, "not a time zone"}, {kText, "+02:00", out, "not a time zone"}, {kText, "", out, "not a time zone"},
	})
}

func TestPresetImageURL(t *testing.T) {
	long := "https://x.io/" + strings.Repeat("a", 1011)
	convertAll(t, preset("image_url"), true, nil, []conversion{
		{kText, " https://x.io/a.png ", `"https://x.io/a.png"`, ""}, {kText, long, `"` + long + `"`, ""}, {kText, long + "a", out, "1,024"}, {kText, "ftp://x.io/a", out, "not an http"},
		{kText, "a.png", out, "not an http"}, {kText, "https://u:p@x.io/", out, "password"}, {kText, "https://x.io/a b", out, "not an http"},
	})
}

func TestPresetLocation(t *testing.T) {
	at := `{"longitude":-73.991443,"latitude":40.753824}`
	convertAll(t, preset("current_location"), true, nil, []conversion{
		{kText, "(-73.991443,40.753824)", at, ""},
		{kText, "POINT(-73.991443 40.753824)", at, ""}, {kText, "SRID=4326;POINT (-73.991443 40.753824)", at, ""}, {kText, "SRID=3857;POINT(1 2)", out, "not a location"},
		{kJSON, `{"lat": 40.753824, "lng": "-73.991443"}`, at, ""}, {kJSON, `{"type":"Point","coordinates":[-73.991443,40.753824]}`, at, ""},
		{kText, `{"latitude":40.753824,"longitude":-73.991443,"accuracy":5}`, at, ""}, {kJSON, `"(-73.991443,40.753824)"`, at, ""}, {kJSON, "null", "null", ""},
		{kText, "0101000020E6100000483657CD737F52C04F78094E7D604440", at, ""}, {kText, "0000000001c0527f73cd5736484044607d4e09784f", at, ""}, {kText, "0101000020110f0000000000000000f03f0000000000000040", out, "not a location"}, {kText, "0102000000000000000000f03f0000000000000040", out, "not a location"},
		{kJSON, `{"latitude":91,"longitude":0}`, out, "outside"}, {kText, "(40,-100)", out, "outside"}, {kText, "(181,0)", out, "outside"}, {kText, "(NaN,0)", out, "outside"},
		{kJSON, `{"latitude":1}`, out, "not a location"}, {kJSON, `[1,2]`, out, "not a location"}, {kText, "40.7,-73.9", out, "not a location"}, {kText, "", out, "not a location"},
		{kText, `{"latitude":1,"longitude":2}x`, out, "not valid JSON"}, {kInt, "5", out, "not a location"}, {kText, "POINT", out, "not a location"}, {kText, "(1)", out, "not a location"},
		{kJSON, `{"type":"Point","coordinates":["a",2]}`, out, "not a location"},
	})
}

func TestPresetObjects(t *testing.T) {
	convertAll(t, preset("facebook"), true, nil, []conversion{
		{kJSON, `{"id": 123, "likes": ["a","b"], "num_friends": "7"}`, `{"id":"123","likes":["a","b"],"num_friends":7}`, ""},
		{kText, `{"id":"x"}`, `{"id":"x"}`, ""}, {kJSON, `{"id":"x","likes":[1],"foo":2}`, `{"id":"x"}`, "left out"}, {kJSON, `{"foo":2}`, out, "without a member"}, {kJSON, "[]", out, "not an object"},
		{kJSON, `{"id":null,"num_friends":1}`, `{"num_friends":1}`, ""}, {kText, "x", out, "not valid JSON"}, {kInt, "1", out, "not JSON"}, {kJSON, "null", "null", ""},
	})
	convertAll(t, preset("twitter"), true, nil, []conversion{
		{kJSON, `{"screen_name":"a","id":"12","followers_count":3,"friends_count":1.5}`, `{"id":12,"screen_name":"a","followers_count":3}`, "left out"},
		{kJSON, `{"id":"abc"}`, out, "without a member"},
	})
	convertAll(t, preset("push_tokens"), true, nil, []conversion{
		{kJSON, `[{"app_id":"A","token":"t","device_id":"12345678","x":1},{"app_id":"A"}]`, `[{"app_id":"A","token":"t","device_id":"12345678"}]`, "push tokens"},
		{kJSON, `{"app_id":"A","token":"t"}`, `[{"app_id":"A","token":"t"}]`, ""}, {kJSON, `[{"app_id":"A","token":"t","device_id":"1234567"}]`, out, "not an array"},
		{kJSON, `[]`, `[]`, ""}, {kJSON, `"t"`, out, "not valid JSON"}, {kJSON, `[1]`, out, "not an array"}, {kText, "<null>", out, ""}, {kJSON, `[{"app_id":"A","token":"t","device_id":7}]`, out, "not an array"},
	})
}

func TestCasesSubscriptionStates(t *testing.T) {
	t.Run("case 36: states in any case, with blanks around; another word is left out", func(t *testing.T) {
		for _, name := range []string{"email_subscribe", "push_subscribe"} {
			optIn := preset(name)
			optIn.WhenTrue = "opted_in"
			convertAll(t, preset(name), true, nil, []conversion{
				{kText, " Opted_In ", `"opted_in"`, ""}, {kText, "SUBSCRIBED", `"subscribed"`, ""}, {kText, "opted-in", `"opted_in"`, ""}, {kText, "maybe", out, "not one of"}, {kText, "", out, "not one of"},
				{connector.KindBool, "t", `"subscribed"`, ""}, {connector.KindBool, "f", `"unsubscribed"`, ""}, {kText, "<null>", out, ""}, {kInt, "0", `"unsubscribed"`, ""}, {kInt, "2", out, "not one of"},
				{kText, "no", `"unsubscribed"`, ""}, {kJSON, `"unsubscribed"`, `"unsubscribed"`, ""},
			})
			convertAll(t, optIn, true, nil, []conversion{{connector.KindBool, "t", `"opted_in"`, ""}, {connector.KindBool, "f", `"unsubscribed"`, ""}, {kText, "subscribed", `"subscribed"`, ""}})
		}
	})
}

// consenting is the base mapping with a column of consent and an address.
func consenting(t *testing.T, mode string, change func(*connector.FieldMap)) *bench {
	t.Helper()
	return base(t, mode, func(m *connector.Model) {
		state := column("email_subscribe", "newsletter")
		if change != nil {
			change(&state)
		}
		m.Fields, m.Custom = []connector.FieldMap{column("email", "email"), state}, nil
	})
}

func TestConsent(t *testing.T) {
	none := connector.Row{}
	t.Run("a new row may subscribe, a row that is loaded or read may not", func(t *testing.T) {
		b := consenting(t, "sync", nil)
		want(t, b.insert(), `track u1 creates whole {"email":"a@x.io","email_subscribe":"subscribed"}`)
		want(t, b.do(connector.Snapshot, none, row(b.table, r1)), `track u1 creates whole {"email":"a@x.io"}`)
		hasNote(t, b.notes, "not for rows that are read")
		want(t, b.do(connector.Snapshot, none, row(b.table, r1, "newsletter=f")), `track u1 creates whole {"email":"a@x.io","email_subscribe":"unsubscribed"}`)
		out, err := b.m.MapRow(nil, 0, row(b.table, r1), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want(t, show(out), `track u1 creates whole {"email":"a@x.io"}`)
	})
	t.Run("a live change subscribes where it shows that the column became true", func(t *testing.T) {
		b := consenting(t, "sync", nil)
		for _, was := range []string{"f", "<null>"} {
			got := b.changed(row(b.table, r1, "newsletter="+was), row(b.table, r1))
			if !strings.Contains(got, `"email_subscribe":"subscribed"`) {
				t.Errorf("from %s: %s", was, got)
			}
		}
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "email=b@x.io")), `track u1 whole {~"email":"b@x.io"}`)
		if len(b.notes) > 0 {
			t.Errorf("notes: %q", b.notes)
		}
		want(t, b.update(keyOnly(row(b.table, r1)), row(b.table, r1)), `track u1 whole {"email":"a@x.io"}`)
		hasNote(t, b.notes, "REPLICA IDENTITY FULL would")
	})
	t.Run("in enrich as well", func(t *testing.T) {
		b := consenting(t, "enrich", nil)
		want(t, b.update(row(b.table, r1), row(b.table, r1)), `track u1 only whole {"email":"a@x.io"}`)
		want(t, b.update(row(b.table, r1, "newsletter=f"), row(b.table, r1)), `track u1 only whole {"email":"a@x.io","email_subscribe":"subscribed"}`)
	})
	t.Run("unsubscribed always goes, NULL never does", func(t *testing.T) {
		b := consenting(t, "sync", nil)
		want(t, b.update(keyOnly(row(b.table, r1)), row(b.table, r1, "newsletter=f")), `track u1 whole {"email":"a@x.io","email_subscribe":"unsubscribed"}`)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "newsletter=f")), `track u1 whole {~"email_subscribe":"unsubscribed"}`)
		want(t, b.changed(row(b.table, r1), row(b.table, r1, "newsletter=<null>")), `track u1 whole {}`)
		if d := b.m.Models()[0].Fields[1]; !d.NoNull || !d.Free {
			t.Errorf("%+v", d)
		}
	})
	t.Run("resubscribe never and always", func(t *testing.T) {
		b := consenting(t, "sync", func(f *connector.FieldMap) { f.Resubscribe = "never" })
		want(t, b.changed(row(b.table, r1, "newsletter=f"), row(b.table, r1)), `track u1 whole {}`)
		want(t, b.insert(), `track u1 creates whole {"email":"a@x.io","email_subscribe":"subscribed"}`)
		b = consenting(t, "sync", func(f *connector.FieldMap) { f.Resubscribe = "always" })
		want(t, b.do(connector.Snapshot, none, row(b.table, r1)), `track u1 creates whole {"email":"a@x.io","email_subscribe":"subscribed"}`)
	})
	t.Run("case 56: the address names the state that Braze forgets with it", func(t *testing.T) {
		b := consenting(t, "sync", nil)
		if f := b.m.Models()[0].Fields; f[0].Resets != f[1] || f[1].Resets != nil {
			t.Errorf("%+v", f)
		}
	})
	t.Run("a deleted row of another model takes back what can be taken back", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.OwnsUsers, m.Custom, m.Fields = false, nil, []connector.FieldMap{column("home_city", "plan"), column("push_subscribe", "newsletter")}
		})
		want(t, b.do(connector.Delete, row(b.table, r1), none), `track u1 only {"home_city":null}`)
	})
}

// placesTable has the two columns of a location.
func placesTable() *connector.Table {
	return table("public.users", "id", col{"id", kInt}, col{"external_id", kText}, col{"lat", kFloat}, col{"lon", kDec})
}

func TestLocationOfTwoColumns(t *testing.T) {
	m := m0("sync")
	m.Custom, m.Fields = nil, []connector.FieldMap{{Name: "current_location", Latitude: "lat", Longitude: "lon", Path: "p"}}
	b := newBench(t, placesTable(), configOf(m))
	at := func(lat, lon string) connector.Row { return row(b.table, []string{"1", "u1", lat, lon}) }
	insert := func(lat, lon string) string { return b.do(connector.Insert, connector.Row{}, at(lat, lon)) }
	want(t, insert("40.753824", "-73.991443"), `track u1 creates whole {"current_location":{"longitude":-73.991443,"latitude":40.753824}}`)
	want(t, insert("<null>", "<null>"), `track u1 creates whole {}`)
	want(t, b.changed(at("1", "2"), at("<null>", "<null>")), `track u1 whole {~"current_location":null}`)
	want(t, b.changed(at("1", "2"), at("1", "3.50")), `track u1 whole {~"current_location":{"longitude":3.5,"latitude":1}}`)
	want(t, b.changed(at("1", "2"), at("1", "2.0")), `track u1 whole {}`)
	want(t, b.changed(at("<absent>", "2"), at("1", "3")), `track u1 whole {"current_location":{"longitude":3,"latitude":1}}`)
	want(t, b.update(connector.Row{}, at("<absent>", "3")), ``)
	for _, c := range [][3]string{{"1", "<null>", "only one"}, {"91", "0", "outside"}, {"NaN", "0", "outside"}, {"1", "NaN", "outside"}} {
		b.notes = nil
		want(t, insert(c[0], c[1]), `track u1 creates whole {}`)
		hasNote(t, b.notes, c[2])
	}
	if got := faultsOf(t, mapping.Config{Tables: map[string]*connector.Table{"public.users": placesTable()}, Models: []connector.Model{func() connector.Model {
		m := m
		m.Fields = []connector.FieldMap{{Name: "current_location", Latitude: "lat", Path: "a"}, {Name: "home_city", Latitude: "lat", Longitude: "lon", Path: "b"},
			{Name: "current_location", Latitude: "lat", Longitude: "lat", Path: "c"}, {Name: "current_location", Latitude: "latt", Longitude: "lon", Path: "d"}}
		return m
	}()}}); !strings.Contains(got, "a@0 a location needs both") || !strings.Contains(got, "b@0 latitude and longitude belong") || !strings.Contains(got, "c@0 latitude and longitude are one") ||
		!strings.Contains(got, `d.latitude@0 there is no column "latt"`) {
		t.Error(got)
	}
}

func TestTypesOfBraze(t *testing.T) {
	known := map[string]connector.AttrType{"plan": connector.StringType, "credits": connector.NumberType, "last_seen": connector.TimeType, "prefs": connector.ObjectType, "tags": connector.ArrayType}
	b := newBench(t, usersTable(), mapping.Config{Models: []connector.Model{m0("sync")}, Types: known})
	if got := b.insert(); got != `track u1 creates whole {`+r1JSON+`}` {
		t.Errorf("values of Braze's types: %s, notes %q", got, b.notes)
	}
	if got := b.insert("credits=12345678901234567890.12", `prefs=[1]`, "plan=2026-01-01", "tags={}"); strings.Contains(got, "credits") || strings.Contains(got, "prefs") ||
		!strings.Contains(got, `"plan":"2026-01-01"`) || !strings.Contains(got, `"tags":[]`) {
		t.Error(got)
	}
	hasNote(t, b.notes, "credits: Braze has the attribute as number and would ignore a value of the type string")
	hasNote(t, b.notes, "prefs: Braze has the attribute as object")
	var types []string
	for _, d := range b.m.Models()[0].Fields {
		types = append(types, d.Type.String())
	}
	if got := strings.Join(types, " "); got != "any any any any string number boolean array any date" {
		t.Error(got)
	}
	m := m0("sync")
	got := faultsOf(t, mapping.Config{Models: []connector.Model{m}, Types: map[string]connector.AttrType{"plan": connector.NumberType, "is_vip": connector.BoolType, "credits": connector.StringType}})
	if !strings.Contains(got, `warn models[0].x.plan@0 "plan" has the type number in Braze, and the values here are of the type string`) || !strings.Contains(got, "x.credits@0") || strings.Contains(got, "is_vip") {
		t.Error(got)
	}
	for typ := connector.AnyType; typ <= connector.ObjectsType; typ++ {
		if connector.AttrTypeOf(typ.String()) != typ {
			t.Errorf("%s is not read back", typ)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	t.Run("case 52: blanks around an external_id stay where the setting says so", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) { m.Identify.KeepBlanks = true })
		if got := b.insert("external_id= u1 "); !strings.HasPrefix(got, "track  u1  creates") || len(b.notes) > 0 {
			t.Errorf("%s %q", got, b.notes)
		}
		_ = b.rowError(connector.Insert, connector.Row{}, row(b.table, r1, "external_id=  "))
	})
	t.Run("case 55: a national phone number names a user by its country", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Identify = connector.Identify{Phone: "phone", PhoneCountry: "JP"}
			m.Fields = m.Fields[1:2]
		})
		out, err := b.try(connector.Insert, connector.Row{}, row(b.table, r1, "phone=090-1234-5678"))
		if err != nil || out[0].User != (connector.User{Kind: connector.Phone, ID: "+819012345678"}) {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("case 55: every kind in its order", func(t *testing.T) {
		b := base(t, "sync", func(m *connector.Model) {
			m.Identify.AliasLabel, m.Identify.AliasName, m.Identify.Email, m.Identify.Phone = "crm", "plan", "email", "phone"
			m.Custom = nil
		})
		for _, c := range []struct {
			changes []string
			kind    connector.IDKind
		}{{nil, connector.ExternalID}, {[]string{"external_id="}, connector.Alias}, {[]string{"external_id=", "plan=<null>"}, connector.Email},
			{[]string{"external_id=", "plan= ", "email="}, connector.Phone}} {
			out, err := b.try(connector.Insert, connector.Row{}, row(b.table, r1, c.changes...))
			if err != nil || out[0].User.Kind != c.kind {
				t.Errorf("%v: %+v, %v", c.changes, out, err)
			}
		}
	})
	t.Run("a mapped email would take the place of the phone number", func(t *testing.T) {
		m := m0("sync")
		m.Identify = connector.Identify{Phone: "phone", PhoneCountry: "XX"}
		got := faultsOf(t, configOf(m))
		if !strings.Contains(got, "identify.phone@0 the model also maps the field email") || !strings.Contains(got, `identify.phone.country@0 "XX" is no country`) {
			t.Error(got)
		}
	})
}

func TestDataPoints(t *testing.T) {
	m := m0("sync")
	m.Fields = []connector.FieldMap{column("email", "email"), column("push_tokens", "prefs"), column("image_url", "plan"), column("country", "plan")}
	b := newBench(t, usersTable(), configOf(m))
	free := map[string]bool{"push_tokens": true, "image_url": true}
	for _, d := range b.m.Models()[0].Fields {
		if d.Free != free[d.Name] {
			t.Errorf("%s is free: %v", d.Name, d.Free)
		}
	}
}
