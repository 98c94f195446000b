package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/control"
)

func (h *held) PlanResync(_ context.Context, q control.ResyncRequest) (*connector.ResyncPlan, error) {
	h.note("plan %+v", q)
	p := h.plan
	return &p, h.planError
}

func (h *held) StartResync(_ context.Context, q control.ResyncRequest) (*connector.LoadState, error) {
	h.note("start %+v", q)
	return &connector.LoadState{Load: connector.Load{ID: "x", Model: q.Model}}, h.planError
}

func (h *held) Load(context.Context, string) (*connector.LoadState, error) {
	return nil, errors.New("none")
}

func (h *held) SteerLoad(_ context.Context, model string, do control.LoadAction) (*connector.LoadState, error) {
	h.note("%s %s", do, model)
	return &connector.LoadState{}, h.planError
}

func TestLoads(t *testing.T) {
	load := func(h *held, change func(*connector.LoadState)) {
		l := connector.LoadState{Load: connector.Load{ID: "x", Model: "customers", Table: "public.customers", Rows: 1500}, Started: time.Now().Add(-time.Minute), Estimate: 6000,
			Sent: 1200, Same: 290, Held: 10, Rate: 25, ETA: 3 * time.Minute}
		if change != nil {
			change(&l)
		}
		h.status.Loads = append(h.status.Loads, l)
	}
	t.Run("stand with phase, figures and time left", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		load(h, nil)
		s.get("/loads").wants(t, http.StatusOK, "Load of customers", "Reading", "1,500", "of about 6,000 (25 %)", "1,200", "290", `data-poll="/loads/part"`, "3 min", "Pause", "Give up")
		s.get("/loads").wants(t, http.StatusOK, `value="slower"`)
		s.get("/loads").lacks(t, `value="faster"`, "slowed")
		s.get("/loads/part").wants(t, http.StatusOK, `id="loads"`, "Reading")
		h.status.Loads = nil
		load(h, func(l *connector.LoadState) { l.Share = 10 })
		s.get("/loads").wants(t, http.StatusOK, `value="faster"`, "slowed: works 10 % of the time")
		s.get("/loads").lacks(t, `value="slower"`)
	})
	t.Run("name every phase in both languages", func(t *testing.T) {
		s, h := newHeldSite(t, Viewer)
		for want, change := range map[string]func(*connector.LoadState){
			"Waiting for the first rows|Wartet auf die ersten Zeilen": func(l *connector.LoadState) { l.Rows, l.Sent, l.Same = 0, 0, 0 },
			"Sending|Sendet":                             func(l *connector.LoadState) { l.Rows = 6000 },
			"Paused|Angehalten":                          func(l *connector.LoadState) { l.Paused = true },
			"Checking who is gone|Prüft, wer fehlt":      func(l *connector.LoadState) { l.Finished, l.Closing = time.Now(), true },
			"Done|Fertig":                                func(l *connector.LoadState) { l.Finished = time.Now() },
			"Given up|Abgebrochen":                       func(l *connector.LoadState) { l.Finished, l.Cancelled = time.Now(), true },
			"Back-fill of customers|Nachtrag: customers": func(l *connector.LoadState) { l.Resync = &connector.Resync{Fields: []string{"plan"}} },
			"2 users were gone|2 Profile fehlten":        func(l *connector.LoadState) { l.Finished, l.Gone = time.Now(), 2 },
		} {
			en, de, _ := strings.Cut(want, "|")
			h.status.Loads, s.lang = nil, "en"
			load(h, change)
			a := s.get("/loads")
			a.wants(t, http.StatusOK, en)
			a.lacks(t, ">loads.", `action="/loads/steer"`)
			s.lang = "de"
			s.get("/loads").wants(t, http.StatusOK, de)
		}
		h.status.Loads, s.lang = nil, "en"
		load(h, nil)
		h.status.Source.Connected = false
		s.get("/loads").wants(t, http.StatusOK, "Source not reachable", "goes on from where it is")
		h.status.PID = 0
		s.server.forgetStatus()
		s.get("/loads").wants(t, http.StatusOK, "No process works on it", "brazecdc is not running")
	})
	t.Run("lead to who is gone at the source while that waits for an answer", func(t *testing.T) {
		s, h := newHeldSite(t, Viewer)
		load(h, func(l *connector.LoadState) { l.Finished, l.Gone = time.Now(), 2 })
		s.get("/loads").wants(t, http.StatusOK, "2 users were gone at the source")
		s.get("/loads").lacks(t, "/quarantine/decide/customers")
		h.status.Pending = []connector.Confirmation{{Model: "customers", Kind: connector.PauseGone, Count: 2}}
		s.get("/loads").wants(t, http.StatusOK, "2 users are gone at the source", "/quarantine/decide/customers")
	})
	t.Run("are paused, resumed and given up", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		for _, do := range []string{"pause", "resume", "cancel", "slower", "faster"} {
			if a := s.post("/loads/steer", url.Values{"model": {"customers"}, "do": {do}}); a.Code != http.StatusSeeOther || h.done(do+" customers") != 1 {
				t.Errorf("%s: %d, %v", do, a.Code, h.asked)
			}
		}
		s.post("/loads/steer", url.Values{"model": {"customers"}, "do": {"burn"}}).wants(t, http.StatusBadRequest)
		h.planError = errors.New("no load of this model is under way")
		s.post("/loads/steer", url.Values{"model": {"customers"}, "do": {"pause"}}).wants(t, http.StatusConflict, "no load of this model")
	})
	t.Run("begin after the estimate was seen", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.plan = connector.ResyncPlan{Rows: 90_000, Calls: 1200, Counts: true}
		s.get("/loads/new").wants(t, http.StatusOK, "public.customers", `value="plan"`, `value="email"`)
		f := url.Values{"model": {"customers"}, "what": {"field"}, "field": {"plan"}, "all_values": {"yes"}}
		s.post("/loads/new", f).wants(t, http.StatusOK, "90,000", "1,200", "2 min", "can start campaigns in Braze", "Only plan.", "All values are sent", "brazecdc resync --model customers --field plan --all-values")
		if h.done("start") != 0 {
			t.Fatal("it did not wait for a yes")
		}
		f.Set("sure", "yes")
		want := fmt.Sprintf("start %+v", control.ResyncRequest{Model: "customers", Fields: []string{"plan"}, AllValues: true})
		if a := s.post("/loads/new", f); a.Code != http.StatusSeeOther || h.done(want) != 1 {
			t.Errorf("%d, %v", a.Code, h.asked)
		}
		f = url.Values{"model": {"customers"}, "what": {"keys"}, "keys": {"1\n\n 2 \n"}, "clear_nulls": {"yes"}}
		s.post("/loads/new", f).wants(t, http.StatusOK, "--key 1 --key 2 --clear-nulls")
		f = url.Values{"model": {"customers"}, "what": {"where"}, "where": {`plan == "it's"`}}
		s.post("/loads/new", f).wants(t, http.StatusOK, "plan == &#34;it&#39;s&#34;")
		for _, c := range []struct {
			f    url.Values
			want string
		}{
			{url.Values{}, "Re-sync of the whole model customers"}, // the only one
			{url.Values{"model": {"nobody"}}, "Choose a model"},
			{url.Values{"model": {"customers"}, "what": {"where"}}, "Write the rule"},
			{url.Values{"model": {"customers"}, "what": {"field"}}, "Choose at least one field"},
			{url.Values{"model": {"customers"}, "what": {"keys"}, "keys": {" \n"}}, "Name at least one row"},
			{url.Values{"model": {"customers"}, "what": {"keys"}, "keys": {strings.Repeat("1\n", 1001)}}, "1,001 rows are too many"},
		} {
			if a := s.post("/loads/new", c.f); !strings.Contains(a.Body, c.want) {
				t.Errorf("%v: %d, %q is missing", c.f, a.Code, c.want)
			}
		}
		h.planError = errors.New("the expression is wrong")
		s.post("/loads/new", url.Values{"model": {"customers"}, "what": {"where"}, "where": {"plam"}}).wants(t, http.StatusUnprocessableEntity, "the expression is wrong")
		h.planError, h.status.PID = nil, 0
		s.post("/loads/new", url.Values{"model": {"customers"}}).wants(t, http.StatusConflict, "brazecdc run")
	})
}

func TestSchedules(t *testing.T) {
	const path = "/loads/schedule/customers"
	t.Run("go into the draft in words and cron", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		s.get("/loads").wants(t, http.StatusOK, "never by itself", path)
		f := url.Values{"preset": {"daily"}, "time": {"03:00"}, "zone": {"Europe/Berlin"}, "resync": {"differences"}}
		f.Set("show", "yes")
		if a := s.post(path, f); strings.Count(a.Body, "T03:00:00") < 3 && strings.Count(a.Body, "<time") < 3 {
			t.Errorf("the next times are missing in\n%s", a.Body)
		} else if n := strings.Count(a.Body, "03:00:00 Europe/Berlin</time>"); n != 3 {
			t.Errorf("%d of 3 times are told by the clock of the schedule in\n%s", n, a.Body)
		}
		f.Del("show")
		if a := s.post(path, f); a.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		v, err := s.server.cfg.Draft.View()
		if err != nil || !strings.Contains(string(v.Text), "0 3 * * *") || !strings.Contains(string(v.Text), "Europe/Berlin") || !strings.Contains(string(v.Text), "# who buys") {
			t.Errorf("%v: %s", err, v.Text)
		}
		s.get("/loads").wants(t, http.StatusOK, "changed in the draft")
		s.get(path).wants(t, http.StatusOK, `value="03:00"`, `value="Europe/Berlin"`, `value="daily" checked`)
		h.status.Models[0].MissedResync, h.status.Models[0].MissedWhy = time.Now(), "the model is paused"
		s.server.forgetStatus()
		s.get("/loads").wants(t, http.StatusOK, "Skipped", "the model is paused")
		if a := s.post(path, url.Values{"preset": {"none"}}); a.Code != http.StatusSeeOther {
			t.Errorf("%d %s", a.Code, a.Body)
		}
		if v, err := s.server.cfg.Draft.View(); err != nil || strings.Contains(string(v.Text), "schedule") {
			t.Errorf("%v: %s", err, v.Text)
		}
	})
	t.Run("of a topic send what time alone changed, and say of how many rows that is known", func(t *testing.T) {
		config := strings.NewReplacer(`postgres: { url: "postgres://localhost/shop", slot: s, publication: p }`, `kafka: { brokers: ["localhost:9092"] }`, "table: public.customers", "topic: customers").Replace(heldConfig)
		s, _ := newHeldSiteOf(t, Editor, config)
		s.get("/loads").wants(t, http.StatusOK, "never by itself", path, "can&#39;t be read again", "brazecdc replay")
		s.get(path).wants(t, http.StatusOK, "what changed by time alone")
		s.get(path).lacks(t, `name="resync"`)
		if a := s.post(path, url.Values{"preset": {"daily"}, "time": {"03:00"}, "zone": {"UTC"}, "resync": {"all"}}); a.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		v, err := s.server.cfg.Draft.View()
		if err != nil || !strings.Contains(string(v.Text), "0 3 * * *") || strings.Contains(string(v.Text), "all\n      ") || strings.Contains(string(v.Text), "resync: all") {
			t.Errorf("%v: %s", err, v.Text)
		}
		with := strings.Replace(config, "    deletes:", "    schedule: { cron: \"0 3 * * *\" }\n    deletes:", 1)
		s, h := newHeldSiteOf(t, Editor, with)
		h.status.Models[0].Remembered = &connector.Recalled{Rows: 1200, Users: 3400}
		s.get("/loads").wants(t, http.StatusOK, "every night at 03:00", "Only what rules", "remembered: 1,200", "not all users", "3,400")
		h.status.Models[0].Remembered.Rows = 3400
		s.server.forgetStatus()
		s.get("/loads").lacks(t, "not all users")
	})
	t.Run("tell what is wrong", func(t *testing.T) {
		s, _ := newHeldSite(t, Editor)
		for _, c := range []struct {
			f    url.Values
			code int
			want string
		}{
			{url.Values{}, 400, ""},
			{url.Values{"preset": {"daily"}, "time": {"25:00"}}, 422, "Write a time"},
			{url.Values{"preset": {"hourly"}, "minute": {"60"}}, 422, "Write a minute"},
			{url.Values{"preset": {"weekly"}, "time": {"03:00"}, "day": {"9"}}, 422, "Choose a day"},
			{url.Values{"preset": {"cron"}, "cron": {"every day"}}, 422, "no cron expression"},
			{url.Values{"preset": {"daily"}, "time": {"03:00"}, "zone": {"Moon/Base"}}, 422, "Moon/Base is no time zone"},
		} {
			a := s.post(path, c.f)
			a.wants(t, c.code, c.want)
		}
		s.get("/loads/schedule/nobody").wants(t, http.StatusNotFound)
	})
	t.Run("are read back as the words they were made of", func(t *testing.T) {
		for cron, want := range map[string]schedule{
			"5 * * * *":    {Preset: presetHourly, Minute: "5", Time: "03:00", Day: "1"},
			"30 4 * * *":   {Preset: presetDaily, Minute: "0", Time: "04:30", Day: "1"},
			"0 22 * * 1-5": {Preset: presetWeekdays, Minute: "0", Time: "22:00", Day: "1"},
			"0 6 * * 0":    {Preset: presetWeekly, Minute: "0", Time: "06:00", Day: "0"},
			"0 6 1 * *":    {Preset: presetMonthly, Minute: "0", Time: "06:00", Day: "1"},
			"0 6 1 * 1":    {Preset: presetCron, Minute: "0", Time: "06:00", Day: "1"},
			"*/5 * * * *":  {Preset: presetCron, Minute: "0", Time: "03:00", Day: "1"},
		} {
			want.Cron, want.Zone = cron, "UTC"
			got := scheduleOf(&connector.ScheduleMap{Cron: cron, Zone: "UTC"})
			if got != want {
				t.Errorf("%s: got %+v, want %+v", cron, got, want)
			}
			if back, _ := got.expression(); back != cron {
				t.Errorf("%s became %s", cron, back)
			}
		}
	})
}

func TestALoadThatSendsDoesNotWaitForItsFirstRows(t *testing.T) {
	st := &control.Status{PID: 1}
	st.Source.Connected = true
	for want, l := range map[string]connector.LoadState{"waits": {}, "reads": {Sent: 225}} {
		if got := shownLoad(l, st, time.Now()).Phase; got != want {
			t.Errorf("%q instead of %q for %+v", got, want, l)
		}
	}
}
