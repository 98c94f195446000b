package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// shows makes a page of one status and tells what it must say in English.
func (l *liveSite) shows(t *testing.T, name string, seconds int, change func(s int, st *control.Status), texts ...string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		l.past(seconds, change)
		l.get("/").wants(t, http.StatusOK, texts...)
	})
}

func TestLivePage(t *testing.T) {
	l := newLiveSite(t)
	l.shows(t, "running on time, with nothing to do", 70, nil, "Running, on time.", "Nothing needs you.", "customers", "public.users", "181,204 of 250,000 left", "full again at",
		"83 % of all values did not have to be sent.", "900 MiB", `class="plot"`, "Show as table")
	l.shows(t, "behind", 5, func(_ int, st *control.Status) { st.LagSeconds = 12 }, "Running, 12 s behind.", "Nothing needs you.")
	l.shows(t, "late", 5, func(_ int, st *control.Status) { st.LagSeconds = 420 }, "Running, but 7 min late.", "One thing needs you.", "The oldest change has waited for 7 min; 3 changes are open.",
		"Likely cause", "What to do", `class="need bad"`)
	l.shows(t, "a position that stands still", 5, func(s int, st *control.Status) {
		st.Streams[0].Open, st.Streams[0].Moved = st.Started.Add(-time.Hour), st.Started.Add(-6*time.Minute)
	}, "The position has not moved for 6 min")
	l.shows(t, "the source is lost", 5, func(_ int, st *control.Status) {
		st.State, st.NotReady = "degraded", []string{"source: not connected: reset by peer"}
		st.Source.Connected, st.Source.Err = false, "reset by peer"
	}, "not connected to the source", "The connection to the source is lost.", "reset by peer", "Not connected", `href="/connections"`)
	l.shows(t, "waiting for another process", 5, func(_ int, st *control.Status) {
		st.State, st.Source.Connected, st.Source.Waiting = "starting", false, "the slot is used by process 4711 on db2"
	}, "Another process is working. This one takes over when it ends.", "the slot is used by process 4711 on db2")
	l.shows(t, "stopping", 5, func(_ int, st *control.Status) { st.State = "draining" }, "Stopping: what is open is being delivered.")
	l.shows(t, "braking, which is nothing to do", 5, func(_ int, st *control.Status) {
		st.Sink.Endpoints[0].Remaining, st.OpenChanges = 0, 18204
	}, "Braze allows 250,000 calls in its present window; none are left until", "Nothing is lost; 18,204 changes wait.", "Nothing needs you.")
	l.shows(t, "calls fail", 100, func(s int, st *control.Status) { st.Sink.Endpoints[0].Codes["503"] = uint64(s) }, "calls to Braze failed in the last 10 minutes.")
	l.shows(t, "the key lacks a permission", 5, func(s int, st *control.Status) { st.Sink.Endpoints[1].Codes["403"] = uint64(s) }, "Braze refused 5 calls")
	l.shows(t, "deletes are held", 5, func(_ int, st *control.Status) {
		st.State, st.Models[0].Held = "degraded", 1240
		st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseBrake, Count: 1240, Since: st.Started, Text: "since 1000 came within 10m0s"}}
	}, "1,240 deletes of customers are held, since too many came at once.", "These deletes wait, all else goes on.", "brazecdc confirm customers", `href="/quarantine/decide/customers"`, "Paused deletes: 1,240")
	l.shows(t, "a table was emptied", 5, func(_ int, st *control.Status) {
		st.State, st.Models[0].Paused = "degraded", connector.PauseTruncate
		st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseTruncate, Count: 7, Since: st.Started}}
	}, "public.users was emptied (TRUNCATE)", "Nothing was deleted in Braze. 7 changes", "Paused")
	l.shows(t, "users are gone", 5, func(_ int, st *control.Status) {
		st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseGone, Count: 12, Since: st.Started}}
	}, "12 users of customers are no longer in public.users.")
	l.shows(t, "data was lost", 5, func(_ int, st *control.Status) {
		st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseLost, Count: 3, Since: st.Started}}
	}, "The memory of customers was lost; 3 deletes wait.")
	l.shows(t, "changes are held back", 5, func(_ int, st *control.Status) { st.Quarantine = 20 }, "Changes held back: 20.", `href="/quarantine"`)
	l.shows(t, "more and more are held back", 60, func(s int, st *control.Status) {
		st.Quarantine, st.Figures.Quarantined = int64(s), uint64(s)
	}, "More and more changes are held back: 60 in the last 15 minutes, 60 in all.")
	l.shows(t, "the slot is at risk", 5, func(_ int, st *control.Status) { st.Source.RetainedBytes, st.Source.SafeBytes = 600<<20, 100<<20 },
		"The database keeps 600 MiB of log for us; 100 MiB more, and the slot is lost.", "SELECT slot_name")
	l.shows(t, "the slot is lost soon", 900, func(s int, st *control.Status) { st.Source.SafeBytes = int64(2000-s) << 20 }, "At this speed the slot is lost in 18 min")
	l.shows(t, "the slot is lost", 5, func(_ int, st *control.Status) { st.Source.SlotStatus = "lost" }, "The database has thrown away changes that were not read.")
	l.shows(t, "a field is left out often", 60, func(s int, st *control.Status) {
		st.Models[0].Notes = map[string]uint64{"phone: no phone number": uint64(s), "dob: no date": 1}
	}, "The field phone was left out of 13 % of the profiles of customers within the last hour.", "no phone number")
	l.shows(t, "a consent is not shown to be new", 60, func(s int, st *control.Status) {
		st.Source.SlotStatus = "reserved"
		st.Models[0].Notes = map[string]uint64{"subscription_groups.fans: subscribed or opted_in is not sent, since the change does not show that it was made so just now; REPLICA IDENTITY FULL would": uint64(s)}
	}, "could not subscribe anyone: subscription_groups.fans was left out.", "REPLICA IDENTITY FULL;", "/models/customers?tab=groups")
	l.shows(t, "a re-sync did not begin", 5, func(_ int, st *control.Status) { st.Models[0].NextResync = st.Started.Add(-2 * time.Hour) }, "The re-sync of customers planned for")
	l.shows(t, "a re-sync was passed over", 5, func(_ int, st *control.Status) {
		st.Models[0].NextResync, st.Models[0].MissedResync, st.Models[0].MissedWhy = st.Started.Add(24*time.Hour), st.Started.Add(-time.Hour), "a load of this model is under way"
	}, "The re-sync of customers planned for", "a load of this model is under way", `href="/loads"`)
	l.shows(t, "a re-sync that was passed over came later", 5, func(_ int, st *control.Status) {
		st.Models[0].NextResync, st.Models[0].MissedResync = st.Started.Add(24*time.Hour), st.Started.Add(-time.Hour)
		st.Loads = []connector.LoadState{{Load: connector.Load{Model: "customers"}, Started: st.Started.Add(-time.Minute), Finished: st.Started}}
	}, "Nothing needs you.")
	l.shows(t, "late while a load takes the budget", 5, func(_ int, st *control.Status) {
		st.LagSeconds, st.Loads = 420, []connector.LoadState{{Load: connector.Load{Model: "customers", Rows: 450}, Estimate: 1000}}
	}, "The oldest change has waited for 7 min", `href="/loads">To the loads`)
	l.shows(t, "one process of several", 5, func(_ int, st *control.Status) {
		st.Source.LagBytes, st.Source.RetainedBytes, st.Source.SafeBytes, st.Source.Member, st.Source.Members = -1, -1, -1, 2, 3
		for _, p := range []string{"7", "4", "5", "9"} {
			st.Streams = append(st.Streams, connector.StreamState{Stream: "shop.users/" + p + "@1"})
		}
	}, "Figures of this process, 2 of 3 in the group: shop.users, partitions 4–5, 7, 9")
	l.shows(t, "a load is under way", 5, func(_ int, st *control.Status) {
		st.Loads = []connector.LoadState{{Load: connector.Load{Model: "newsletter", Rows: 450}, Estimate: 1000}}
	}, "Load: 45 %")
	l.shows(t, "the last stop stays readable", 5, func(_ int, st *control.Status) {
		st.LastStop = &control.Stop{At: st.Started, Code: 20, Reason: "Braze refuses the key"}
	}, "The run before this one stopped with a fault", "Braze refuses the key", "Nothing needs you.")
	l.shows(t, "a configuration that could not be applied", 5, func(_ int, st *control.Status) {
		st.LastReload, st.NeedsRestart = &control.Reload{At: st.Started, Error: "models[0].table: there is no such table"}, []string{"web.listen"}
	}, "The changed configuration could not be applied on", "there is no such table", "Changed settings wait for a restart: web.listen.", "2 things need you.")
	l.shows(t, "only the pages stay", 5, func(_ int, st *control.Status) {
		st.State, st.LastStop = "stopped", &control.Stop{At: st.Started, Code: 12, Reason: "the slot is gone"}
	}, "Stopped by a fault.", "the slot is gone")
	l.shows(t, "stopped on request", 1, func(_ int, st *control.Status) {
		st.State, st.PID, st.LastStop = "stopped", 0, &control.Stop{At: st.Started}
	}, "Stopped.", "Nothing is running. It was stopped on request", "brazecdc run", "One thing needs you.")
	l.shows(t, "killed", 1, func(_ int, st *control.Status) { st.State, st.PID, st.Reasons = "stopped", 0, []string{"killed"} }, "The last run was killed")
	l.shows(t, "topics", 5, func(_ int, st *control.Status) {
		st.Source.LagBytes, st.Source.RetainedBytes, st.Source.SafeBytes = -1, -1, -1
		st.Streams = []connector.StreamState{{Stream: "shop.users/4@1", Behind: 12}, {Stream: "shop.users/5@1", Behind: 1}}
	}, "shop.users, partition 4", "12 records behind", "1 record behind")
}

func TestStopsOnLivePage(t *testing.T) {
	l := newLiveSite(t)
	for code := 1; code <= connector.ExitDeadline; code++ {
		l.past(1, func(_ int, st *control.Status) {
			st.State, st.PID, st.LastStop = "stopped", 0, &control.Stop{At: st.Started, Code: code, Reason: "the very words"}
		})
		a := l.get("/")
		a.wants(t, http.StatusOK, "Stopped by a fault.", "It stopped by a fault (exit code", "the very words", "The position is kept")
		a.lacks(t, "live.need.")
	}
}

func TestLivePageUnknown(t *testing.T) {
	t.Run("what is not known is a dash and never 0", func(t *testing.T) {
		s, _, _ := livePast(t, 0, func(_ int, st *control.Status) {
			st.Source.RetainedBytes, st.Source.SafeBytes, st.Sink.Endpoints = -1, -1, nil
		})
		s.get("/").wants(t, http.StatusOK, `data-live="in">–<`, `data-live="calls">–<`, `data-live="kept">–<`, `data-live="late.half">–<`, "Braze has not told a limit yet.")
	})
	t.Run("an old status is greyed and said to be old", func(t *testing.T) {
		s, _, c := livePast(t, 5, nil)
		s.server.live.take(c.add(time.Second), nil, errors.New("no answer within 2 s"))
		c.add(10 * time.Second)
		s.get("/").wants(t, http.StatusOK, "Not known: the process does not answer.", "no answer within 2 s", "live stale")
	})
	t.Run("a process that never answered", func(t *testing.T) {
		f := &fakeLive{err: errors.New("the socket is closed")}
		newSite(t, Config{Live: f}).get("/").wants(t, http.StatusOK, "Not known: the process does not answer.", "the socket is closed")
	})
	t.Run("nothing is set up", func(t *testing.T) {
		dir := t.TempDir()
		store, err := draft.Open(dir+"/brazecdc.yaml", dir+"/pages")
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeLive{err: errors.New("no such file")}
		s := newSite(t, Config{Live: f, Draft: store})
		s.get("/").wants(t, http.StatusOK, "Nothing is set up yet.", `href="/setup"`)
		if err := store.SetText("kim", []byte("version: 1\n")); err != nil {
			t.Fatal(err)
		}
		a := s.get("/")
		a.wants(t, http.StatusOK, "The set-up is not finished.", "Go on with the set-up", `href="/setup"`)
		a.lacks(t, "Nothing is set up yet.")
	})
	t.Run("without a process to ask", func(t *testing.T) {
		newSite(t, Config{}).get("/").wants(t, http.StatusOK, "This page has nothing to show yet.")
	})
	t.Run("no models yet", func(t *testing.T) {
		s, _, _ := livePast(t, 2, func(_ int, st *control.Status) { st.Models = nil })
		s.get("/").wants(t, http.StatusOK, "Add your first table")
	})
}

func TestLivePageInGerman(t *testing.T) {
	s, _, _ := livePast(t, 70, func(_ int, st *control.Status) {
		st.Quarantine = 12400
		st.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseBrake, Count: 1240, Since: st.Started}}
	})
	s.lang = "de"
	a := s.get("/?watch=on&span=day")
	a.wants(t, http.StatusOK, "Läuft, ohne Verzug.", "2 Dinge warten auf Sie.", "1.240 Löschungen von customers sind angehalten", "Zurückgehaltene Änderungen: 12.400.", "181.204 von 250.000 übrig")
	a.lacks(t, ">live.", "live.need.", " live.t")
}

func TestWatch(t *testing.T) {
	s, f, c := livePast(t, 5, nil)
	f.passed = []control.Passed{
		{N: 1, At: c.now(), Model: "customers", Op: "update", Kind: "track", Fields: []string{"email", "plan"}, Result: "accepted", Took: 43 * time.Millisecond},
		{N: 2, At: c.now(), Model: "customers", Op: "delete", Kind: connector.DeleteUser.String(), Result: "held", Reason: "the brake"},
		{N: 3, At: c.now(), Result: "quarantined"},
	}
	t.Run("shows nothing unless somebody wants to watch", func(t *testing.T) { s.get("/").lacks(t, "email, plan") })
	t.Run("names fields and no values", func(t *testing.T) {
		a := s.get("/?watch=on")
		a.wants(t, http.StatusOK, "email, plan", "changed row", "accepted by Braze", "43 ms", "deleted row", "the profile", "delete held", "the brake", "held back")
		if strings.Index(a.Body, "delete held") > strings.Index(a.Body, "email, plan") {
			t.Error("the newest is not on top")
		}
	})
	t.Run("says that nothing passes while no process runs", func(t *testing.T) {
		s, _, _ := livePast(t, 1, func(_ int, st *control.Status) { st.State, st.PID = "stopped", 0 })
		s.get("/?watch=on").wants(t, http.StatusOK, "Nothing passes while no process runs.")
	})
}
