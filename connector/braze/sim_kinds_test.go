package braze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

func shops() []brazesim.Catalog {
	c, err := brazesim.ParseCatalog("shops:city=string,rating=number,open=boolean,since=time,tags=array,address=object,place=geo")
	if err != nil {
		panic(err)
	}
	return []brazesim.Catalog{c, {Name: "cars", Fields: []brazesim.CatalogField{{Name: "id", Type: "string"}}}}
}

func settled(t *testing.T, s *brazesim.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Quiet(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestSimulatorKinds sends what is no plain profile to the stand-in, and looks at what it holds then.
func TestSimulatorKinds(t *testing.T) {
	t.Run("case 2: one bad event and one bad user of a mixed call are refused, the others arrive", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		bad := event(byID("u1"), "opened", `,"properties":{"time":1}`)
		batch := []connector.Effect{bad, track("u1"), track("u2", field("email", `"nonsense"`)), event(byID("u1"), "closed", ""), purchase(byID("u3"), "p1")}
		err := send(t, c, connector.Track, batch)
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || rejected.Whole || len(rejected.Items) != 2 || rejected.Items[0].Index != 0 || rejected.Items[1].Index != 2 {
			t.Fatalf("got %v %+v", err, rejected)
		}
		settled(t, s)
		got := s.Happenings()
		if len(got) != 2 || got[0].ExternalID != "u1" || got[0].Event == nil || got[0].Event.Name != "closed" || got[1].Purchase == nil || got[1].Purchase.Price != "9.5" {
			t.Errorf("happened: %+v", got)
		}
		if _, ok := s.Profile("u2"); ok {
			t.Error("the refused user exists")
		}
		if st := s.Stats(); st.DataPoints != 2 || st.Refused != 2 || c.Health().Endpoints[0].Objects != 3 {
			t.Errorf("%+v", st.Counters)
		}
	})
	t.Run("case 13: 75 objects of all arrays together pass, 76 do not", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		var batch []connector.Effect
		for i := range 76 {
			if i < 40 {
				batch = append(batch, track(fmt.Sprint("u", i)))
			} else {
				batch = append(batch, event(byID(fmt.Sprint("u", i-40)), "opened", ""))
			}
		}
		if err := send(t, c, connector.Track, batch[:c.Limits(connector.Track).Objects]); err != nil {
			t.Fatal(err)
		}
		if got := outcomeOf(send(t, c, connector.Track, batch)); got != (outcome{end: "whole"}) {
			t.Errorf("76 objects: %+v", got)
		}
		settled(t, s)
		if st := s.Stats(); len(s.Happenings()) != 35 || st.Profiles != 40 || st.Duplicates != 0 {
			t.Errorf("%d events, %+v", len(s.Happenings()), st.Counters)
		}
	})
	t.Run("an event that is sent twice counts twice, and the simulator says so", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		for range 2 {
			if err := send(t, c, connector.Track, []connector.Effect{event(byID("u1"), "opened", ""), purchase(byID("u1"), "p1"), event(byID("u1"), "opened", `,"properties":{"n":1}`)}); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, s)
		if st := s.Stats(); st.Duplicates != 3 || len(s.Happenings()) != 6 {
			t.Errorf("%d duplicates", st.Duplicates)
		}
	})
	t.Run("an update-only event of an unknown user goes nowhere, one by alias creates", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		only := event(byID("nobody"), "opened", "")
		only.UpdateOnly = true
		if err := send(t, c, connector.Track, []connector.Effect{only, event(connector.User{Kind: connector.Alias, ID: "7", Label: "crm"}, "opened", "")}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		if st := s.Stats(); st.Missed != 1 || st.Profiles != 1 {
			t.Errorf("%+v", st.Counters)
		}
	})
	t.Run("cases 24 and 25: states of 120 users in calls of 50, 50 and 20", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		var batch []connector.Effect
		for i := range 120 {
			batch = append(batch, subscribe(byID(fmt.Sprint("u", i)), state(newsGroup, map[bool]string{true: "subscribed", false: "unsubscribed"}[i%3 > 0])))
		}
		for part := range slices.Chunk(batch, c.Limits(connector.Subscribe).Objects) {
			if err := send(t, c, connector.Subscribe, part); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, s)
		in := 0
		for _, m := range s.Groups()[newsGroup] {
			if m.State == "subscribed" {
				in++
			}
		}
		if n := len(s.Groups()[newsGroup]); n != 120 || in != 80 || s.Stats().Endpoints["/v2/subscription/status/set"].Statuses[201] != 3 {
			t.Errorf("%d states, %d subscribed, %+v", n, in, s.Stats().Endpoints)
		}
		if s.Stats().DataPoints != 0 {
			t.Error("subscriptions cost data points")
		}
	})
	t.Run("case 25: emails and phones go in calls of their own, and wait for their profile", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		mail, phone := connector.User{Kind: connector.Email, ID: "a@x.io"}, connector.User{Kind: connector.Phone, ID: "+819012345678"}
		for _, e := range []connector.Effect{subscribe(mail, state(newsGroup, "subscribed")), subscribe(phone, state(saleGroup, "unsubscribed"))} {
			if err := send(t, c, connector.Subscribe, []connector.Effect{e}); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, s)
		if g := s.Groups(); len(g) != 2 || g[newsGroup][0].Email != "a@x.io" || g[newsGroup][0].BrazeID != "" || g[saleGroup][0].Phone != "+819012345678" {
			t.Errorf("%+v", g)
		}
		if err := send(t, c, connector.Track, []connector.Effect{track("u1", field("email", `"a@x.io"`), field("phone", `"+819012345678"`))}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		if p, _ := s.Profile("u1"); p.Groups[newsGroup] != "subscribed" || p.Groups[saleGroup] != "unsubscribed" {
			t.Errorf("inherited %+v", p.Groups)
		}
	})
	t.Run("case 26: a subscription without a user is refused here, and nothing is sent", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		batch := []connector.Effect{subscribe(byID(""), state(newsGroup, "subscribed")), subscribe(byID("u1"), state(newsGroup, "subscribed"))}
		if got := outcomeOf(send(t, c, connector.Subscribe, batch)); got != (outcome{end: "whole"}) {
			t.Errorf("got %+v", got)
		}
		if got := outcomeOf(send(t, c, connector.Subscribe, batch[1:])); got != (outcome{end: "accepted"}) {
			t.Errorf("the other alone: %+v", got)
		}
		if st := s.Stats(); st.Requests != 1 {
			t.Errorf("%d requests", st.Requests)
		}
	})
	t.Run("case 75: a queued track counts as success", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		if err := s.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Status: 202, Effect: true, Body: `{"message":"queued"}`}); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.Track, []connector.Effect{track("u1"), event(byID("u1"), "opened", "")}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		if len(s.Happenings()) != 1 {
			t.Error("it had no effect, which proves nothing")
		}
	})
}

func TestSimulatorCatalogs(t *testing.T) {
	whole := func(id, city string) connector.Effect {
		return item(connector.PutItem, "shops", id, field("city", city), field("rating", "4.5"), field("open", "true"), field("since", `"2026-11-01T00:00:00Z"`),
			field("tags", `["a"]`), field("address", `{"zip":"1"}`), field("place", `[13.4,52.5]`))
	}
	t.Run("items are put, replaced whole, and deleted", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{Catalogs: shops()})
		if err := send(t, c, connector.PutItem, []connector.Effect{whole("s1", `"Berlin"`), whole("s2", `"Rome"`), whole("s3", "null")}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		if err := send(t, c, connector.PutItem, []connector.Effect{item(connector.PutItem, "shops", "s2", field("city", `"Oslo"`))}); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.DeleteItem, []connector.Effect{item(connector.DeleteItem, "shops", "s1"), item(connector.DeleteItem, "shops", "unknown")}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		got := s.Catalogs()[1].Items
		if len(got) != 2 || len(got["s2"]) != 1 || string(got["s2"]["city"]) != `"Oslo"` || string(got["s3"]["place"]) != "[13.4,52.5]" {
			t.Errorf("items: %s", got)
		}
		if st := s.Stats(); st.DataPoints != 0 || st.Objects != 6 || st.Endpoints["DELETE /catalogs/{catalog}/items"].Statuses[202] != 1 {
			t.Errorf("%+v", st)
		}
	})
	t.Run("a value that does not fit refuses the whole call, and stands alone after splitting", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{Catalogs: shops()})
		batch := []connector.Effect{whole("s1", `"Berlin"`), whole("s2", `7`)}
		if got := outcomeOf(send(t, c, connector.PutItem, batch)); got != (outcome{end: "whole"}) {
			t.Fatalf("got %+v", got)
		}
		if err := send(t, c, connector.PutItem, batch[:1]); err != nil {
			t.Fatal(err)
		}
		err := send(t, c, connector.PutItem, batch[1:])
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || rejected.Whole || len(rejected.Items) != 1 || !strings.Contains(rejected.Items[0].Reason, "unable-to-coerce-value") {
			t.Errorf("got %v %+v", err, rejected)
		}
		settled(t, s)
		if n := len(s.Catalogs()[1].Items); n != 1 {
			t.Errorf("%d items", n)
		}
		if h := c.Health().Endpoints[1]; h.ItemErrs["catalog_value"] != 1 {
			t.Errorf("%+v", h.ItemErrs)
		}
	})
	t.Run("a catalog that is missing stops", func(t *testing.T) {
		_, c := startSim(t, brazesim.Config{})
		if got := outcomeOf(send(t, c, connector.PutItem, []connector.Effect{whole("s1", `"Berlin"`)})); got != (outcome{end: "stop", code: connector.ExitConfig}) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("what is apart by Limits is what the simulator gets in calls of its own", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{Catalogs: shops()})
		batch := []connector.Effect{whole("s1", `"Berlin"`), item(connector.PutItem, "cars", "c1")}
		if !c.Limits(connector.PutItem).Apart(batch[0].User, batch[1].User) {
			t.Fatal("two catalogs may share a call")
		}
		if got := outcomeOf(send(t, c, connector.PutItem, batch)); got != (outcome{end: "whole"}) || s.Stats().Requests != 0 {
			t.Errorf("together: %+v, %d requests", got, s.Stats().Requests)
		}
	})
	t.Run("a fault hits one method of a catalog", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{Catalogs: shops()})
		if err := s.Faults(brazesim.Fault{Endpoint: "DELETE /catalogs/{catalog}/items", Count: 1, Status: 503}); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.PutItem, []connector.Effect{whole("s1", `"Berlin"`)}); err != nil {
			t.Error(err)
		}
		if got := outcomeOf(send(t, c, connector.DeleteItem, []connector.Effect{item(connector.DeleteItem, "shops", "s1")})); got != (outcome{end: "retry", unknown: true}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestSimulatorQuestions(t *testing.T) {
	t.Run("types of attributes, over several pages, and a value of another type", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		e := track("u1")
		for i := range 120 {
			e.Fields = append(e.Fields, field(fmt.Sprintf("n%03d", i), "1"))
		}
		e.Fields = append(e.Fields, field("tags", `["a"]`), field("prefs", `{"a":1}`), field("cards", `[{"id":1}]`), field("since", `"2026-11-01T00:00:00Z"`), field("vip", "true"))
		if err := send(t, c, connector.Track, []connector.Effect{e}); err != nil {
			t.Fatal(err)
		}
		if err := send(t, c, connector.Track, []connector.Effect{track("u1", field("n007", `"seven"`), field("vip", "1"))}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		got, err := c.Attributes(t.Context())
		types := map[string]connector.AttrType{}
		for _, a := range got {
			types[a.Name] = a.Type
		}
		if err != nil || len(got) != 125 || types["n119"] != connector.NumberType || types["tags"] != connector.ArrayType || types["prefs"] != connector.ObjectType ||
			types["cards"] != connector.ObjectsType || types["since"] != connector.TimeType || types["vip"] != connector.BoolType {
			t.Errorf("%d attributes, %v", len(got), err)
		}
		want := []brazesim.IgnoredValue{{ExternalID: "u1", Name: "n007", Reason: "type_mismatch"}, {ExternalID: "u1", Name: "vip", Reason: "type_mismatch"}}
		if !slices.Equal(s.Ignored(), want) || s.Stats().Ignored["type_mismatch"] != 2 {
			t.Errorf("ignored %+v", s.Ignored())
		}
	})
	t.Run("profiles are exported with what was sent", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{RequireFields: true})
		if err := send(t, c, connector.Track, []connector.Effect{
			track("u1", field("email", `"a@x.io"`), field("current_location", `{"longitude":13.4,"latitude":52.5}`), field("plan", `"pro"`)), track("u2"),
			{User: connector.User{Kind: connector.Alias, ID: "7", Label: "crm"}}}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		if err := send(t, c, connector.Rename, []connector.Effect{rename("u2", "n2")}); err != nil {
			t.Fatal(err)
		}
		settled(t, s)
		alias, mail := connector.User{Kind: connector.Alias, ID: "7", Label: "crm"}, connector.User{Kind: connector.Email, ID: "a@x.io"}
		profiles, unknown, err := c.Export(t.Context(), []connector.User{byID("u1"), byID("u2"), byID("u3"), alias, mail, {Kind: connector.Phone, ID: "+819012345678"}},
			[]string{"email", "current_location", "plan"})
		if err != nil || len(profiles) != 4 || len(unknown) != 2 || unknown[0] != byID("u3") || unknown[1].Kind != connector.Phone {
			t.Fatalf("%+v, unknown %+v, %v", profiles, unknown, err)
		}
		p := profiles[0]
		if p.User != byID("u1") || string(p.Fields["current_location"]) != `{"longitude":13.4,"latitude":52.5}` || string(p.Custom["plan"]) != `"pro"` || string(p.Fields["email"]) != `"a@x.io"` {
			t.Errorf("%+v", p)
		}
		if profiles[1].User != byID("u2") || profiles[1].ExternalID != "n2" || profiles[2].User != alias || profiles[3].User != mail || profiles[3].ExternalID != "u1" {
			t.Errorf("%+v", profiles)
		}
	})
}
