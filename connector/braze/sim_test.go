package braze

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/braze/brazesim"
)

func startSim(t *testing.T, cfg brazesim.Config) (*brazesim.Server, *Client) {
	t.Helper()
	cfg.APIKey = testKey
	s := brazesim.New(cfg)
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, newTestClient(t, url, Config{})
}

// TestSimulator sends each kind of call to the stand-in that enforces what Braze documents, and looks at the profiles.
func TestSimulator(t *testing.T) {
	quiet := func(t *testing.T, s *brazesim.Server) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Quiet(ctx); err != nil {
			t.Fatal(err)
		}
	}
	custom := func(s *brazesim.Server, id, name string) string {
		p, _ := s.Profile(id)
		return string(p.Custom[name])
	}
	t.Run("tracks, renames, removes and deletes a user", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		if err := send(t, c, connector.Track, []connector.Effect{track("u1", field("plan", `"pro"`), field("email", `"a@x.io"`)), track("u2")}); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if got := custom(s, "u1", "plan"); got != `"pro"` {
			t.Errorf("plan is %s", got)
		}
		if err := send(t, c, connector.Rename, []connector.Effect{rename("u1", "u9")}); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if p, ok := s.Profile("u9"); !ok || p.ExternalID != "u9" || len(p.DeprecatedIDs) != 1 {
			t.Errorf("after the rename: %+v", p)
		}
		if err := send(t, c, connector.Free, batchOf(1)); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if gone, err := c.Gone(t.Context(), []connector.User{byID("u1"), byID("u9"), byID("u2")}); err != nil || len(gone) != 1 || gone[0] != byID("u1") {
			t.Errorf("gone: %v, %v", gone, err)
		}
		if err := send(t, c, connector.DeleteUser, []connector.Effect{track("u9"), track("u2")}); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if p := s.Profiles(); len(p) != 0 {
			t.Errorf("left: %+v", p)
		}
	})
	t.Run("case 84: an update-only object creates nothing", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		e := track("User_A1", field("plan", `"pro"`))
		e.UpdateOnly = true
		if err := send(t, c, connector.Track, []connector.Effect{e}); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if _, ok := s.Profile("User_A1"); ok {
			t.Error("a profile was created")
		}
	})
	t.Run("aliases, emails and phones are created and deleted", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		users := []connector.User{{Kind: connector.Alias, ID: "7", Label: "crm"}, {Kind: connector.Email, ID: "a@x.io"}, {Kind: connector.Phone, ID: "+819012345678"}}
		var batch []connector.Effect
		for _, u := range users {
			batch = append(batch, connector.Effect{User: u, Fields: []connector.Field{field("plan", `"pro"`)}})
		}
		if err := send(t, c, connector.Track, batch); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		if n := len(s.Profiles()); n != 3 {
			t.Fatalf("%d profiles", n)
		}
		for _, e := range batch {
			if err := send(t, c, connector.DeleteUser, []connector.Effect{e}); err != nil {
				t.Fatalf("delete %+v: %v", e.User, err)
			}
		}
		quiet(t, s)
		if p := s.Profiles(); len(p) != 0 {
			t.Errorf("left: %+v", p)
		}
	})
	t.Run("case 1: the object with a bad email is refused, with Braze's words", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		err := send(t, c, connector.Track, []connector.Effect{track("u1"), track("u2", field("email", `"nonsense"`)), track("u3")})
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || rejected.Whole || len(rejected.Items) != 1 || rejected.Items[0].Index != 1 {
			t.Fatalf("got %v", err)
		}
		quiet(t, s)
		if n := len(s.Profiles()); n != 2 {
			t.Errorf("%d profiles", n)
		}
		if h := c.Health().Endpoints[0]; h.Objects != 2 || h.ItemErrs["bad_email"] != 1 {
			t.Errorf("health: %+v", h)
		}
	})
	t.Run("a rename of an unknown id is told from one onto a used id", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		if err := send(t, c, connector.Track, batchOf(2)); err != nil {
			t.Fatal(err)
		}
		quiet(t, s)
		err := send(t, c, connector.Rename, []connector.Effect{rename("nobody", "n1"), rename("u1", "u2")})
		var rejected *connector.RejectedError
		if !errors.As(err, &rejected) || len(rejected.Items) != 2 || !rejected.Items[0].CurrentUnknown || rejected.Items[1].CurrentUnknown {
			t.Errorf("got %+v", rejected)
		}
	})
	t.Run("case 6: a wrong key stops, without the key in the words", func(t *testing.T) {
		_, c := startSim(t, brazesim.Config{})
		other := newTestClient(t, c.cfg.Endpoint, Config{APIKey: "99999999-aaaa-bbbb-cccc-dddddddddddd"})
		err := send(t, other, connector.Track, batchOf(1))
		if got := outcomeOf(err); got != (outcome{end: "stop", code: connector.ExitKeyRefused}) || !strings.Contains(err.Error(), "Invalid API key: [key]") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("case 74: a call cut after it took effect may have been accepted", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		if err := s.Faults(brazesim.Fault{Endpoint: "/users/track", Count: 1, Cut: brazesim.CutAfter}); err != nil {
			t.Fatal(err)
		}
		if got := outcomeOf(send(t, c, connector.Track, batchOf(1))); got != (outcome{end: "retry", unknown: true}) {
			t.Errorf("got %+v", got)
		}
		quiet(t, s)
		if _, ok := s.Profile("u1"); !ok {
			t.Error("it had no effect, which proves nothing")
		}
	})
	for _, style := range brazesim.RateStyles {
		t.Run("case 12: keeps to a limit told in the style "+string(style), func(t *testing.T) {
			t.Parallel()
			_, c := startSim(t, brazesim.Config{RateStyle: style, Limit: brazesim.Limit{Requests: 20, Window: time.Second}})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			throttled := 0
			for done := 0; done < 30; {
				if err := c.Wait(ctx, connector.Track); err != nil {
					t.Fatal(err)
				}
				switch got := outcomeOf(c.Send(ctx, connector.Track, batchOf(1))); {
				case got.end == "accepted":
					done++
				case got.slowed:
					throttled++
				default:
					t.Fatalf("got %+v", got)
				}
			}
			// One 429 is how a client without headers learns that the limit is not the documented one.
			if throttled > 3 {
				t.Errorf("%d calls were throttled", throttled)
			}
		})
	}
	t.Run("check: all permissions granted, then one refused", func(t *testing.T) {
		s, c := startSim(t, brazesim.Config{})
		for _, r := range c.Check(t.Context()) {
			if r.Grant != Granted {
				t.Errorf("%+v", r)
			}
		}
		if err := s.Faults(brazesim.Fault{Endpoint: "/users/delete", Status: 403, Body: `{"message":"no permission"}`}); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Check(t.Context()) {
			if want := map[bool]Grant{true: Refused, false: Granted}[r.Permission == "users.delete"]; r.Grant != want {
				t.Errorf("%+v", r)
			}
		}
		if n := len(s.Profiles()); n != 0 {
			t.Errorf("the check left %d profiles", n)
		}
	})
}
