package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"brazecdc/connector"
	"brazecdc/connector/config"
	"brazecdc/connector/control"
	"brazecdc/connector/draft"
)

// held is a process with held back changes and loads, in memory.
type held struct {
	control.API // what is not asked

	mu        sync.Mutex
	entries   []connector.Entry
	bulk      int64 // that many entries more are counted, without being there
	pending   []connector.Confirmation
	deletes   []connector.HeldDelete
	status    control.Status
	cannot    map[uint64]string // why an entry can't be retried
	refuse    func(id uint64) error
	hold      chan struct{} // closed when retries may go on; nil: at once
	asked     []string
	plan      connector.ResyncPlan
	planError error
}

func (h *held) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, fmt.Sprintf(format, args...))
}

func (h *held) done(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if strings.HasPrefix(a, what) {
			n++
		}
	}
	return n
}

func (h *held) Status(context.Context) (*control.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	return &s, nil
}

func (h *held) Pending(context.Context) ([]connector.Confirmation, error) { return h.pending, nil }

func (h *held) Confirm(_ context.Context, model string, drop bool) (string, error) {
	h.note("confirm %s %v", model, drop)
	return "done", nil
}

func (h *held) Resume(_ context.Context, model string, resync bool) (string, error) {
	h.note("resume %s %v", model, resync)
	return "done", nil
}

func groupID(e *connector.Entry) string {
	return fmt.Sprintf("%x", e.Model+e.Class+e.Field)
}

func (h *held) Groups(_ context.Context, since time.Time) (out []connector.EntryGroup, _ error) {
	for i := range h.entries {
		e := &h.entries[i]
		at := slices.IndexFunc(out, func(g connector.EntryGroup) bool { return g.ID == groupID(e) })
		if at < 0 {
			at = len(out)
			out = append(out, connector.EntryGroup{ID: groupID(e), Model: e.Model, Class: e.Class, Field: e.Field, Kind: connector.ReasonKind(e.Reason), Oldest: e.At, Count: h.bulk})
		}
		g := &out[at]
		g.Count++
		g.Newest, g.Sample = e.At, e.ID
		if !e.At.Before(since) {
			g.Recent++
		}
	}
	return out, nil
}

func (h *held) matches(e *connector.Entry, f *connector.EntryFilter) bool {
	return e.Closed == "" && (f.Group == "" || f.Group == groupID(e)) && (f.Model == "" || f.Model == e.Model) && (f.Class == "" || f.Class == e.Class) &&
		(f.User == connector.User{} || f.User == e.User) && (f.Since.IsZero() || !e.At.Before(f.Since)) && (f.UpTo == 0 || e.ID <= f.UpTo)
}

func (h *held) CountEntries(_ context.Context, f connector.EntryFilter) (n int64, _ error) {
	for i := range h.entries {
		if h.matches(&h.entries[i], &f) {
			n++
		}
	}
	return n + h.bulk, nil
}

func (h *held) Entries(_ context.Context, f connector.EntryFilter) (out []connector.Entry, _ error) {
	for i := range h.entries {
		if e := &h.entries[i]; e.ID > f.After && h.matches(e, &f) && (f.Limit == 0 || len(out) < f.Limit) {
			short := *e
			short.Before, short.After = nil, nil
			out = append(out, short)
		}
	}
	return out, nil
}

func (h *held) Entry(_ context.Context, id uint64) (*connector.Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.entries {
		if h.entries[i].ID == id {
			e := h.entries[i]
			return &e, nil
		}
	}
	return nil, fmt.Errorf("there is no quarantine entry %d: %w", id, fs.ErrNotExist)
}

func (h *held) Retry(ctx context.Context, id uint64) (string, error) {
	if h.hold != nil {
		select {
		case <-h.hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if h.refuse != nil {
		if err := h.refuse(id); err != nil {
			return "", err
		}
	}
	h.note("retry %d", id)
	return "accepted", nil
}

// close ends an entry.
func (h *held) close(id uint64, how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries[id-1].Closed = how
}

func (h *held) PlanRetry(_ context.Context, ids []uint64) (*connector.RetryPlan, error) {
	plan := &connector.RetryPlan{Looked: len(ids), Cannot: map[string][]uint64{}}
	for _, id := range ids {
		if why := h.cannot[id]; why != "" {
			plan.Cannot[why] = append(plan.Cannot[why], id)
		}
	}
	return plan, nil
}

func (h *held) Discard(_ context.Context, id uint64, why string) error {
	h.note("discard %d %s", id, why)
	return nil
}

func (h *held) HeldDeletes(_ context.Context, q control.HeldQuery) ([]connector.HeldDelete, error) {
	return control.PickHeld(slices.Clone(h.deletes), q), nil
}

// redacting takes the column ssn out.
type redacting struct{}

func (redacting) Redact(_ context.Context, e *connector.Entry) error {
	for _, image := range []*json.RawMessage{&e.Before, &e.After} {
		*image = json.RawMessage(strings.ReplaceAll(string(*image), `"ssn":"078-05-1120",`, ""))
	}
	return nil
}

// Private implements QuarantineViews.
func (redacting) Private(context.Context) func(model, name string) bool {
	return func(_, name string) bool { return strings.Contains(name, "iban") }
}

const heldConfig = `version: 1
braze: { workspace: test, endpoint: "https://rest.fra-01.braze.eu", api_key: "key", rate: { per_hour: 60000 } }
source: { postgres: { url: "postgres://localhost/shop", slot: s, publication: p } }
models:
  - name: customers # who buys
    kind: users
    table: public.customers
    mode: sync
    load: all
    identify: { external_id: id }
    fields: { email: email }
    custom: { plan: plan }
    deletes: { max: 1000, window: 10m }
`

// newHeldSite serves the pages over a process with five changes held back.
func newHeldSite(t *testing.T, role Role) (*site, *held) {
	t.Helper()
	return newHeldSiteOf(t, role, heldConfig)
}

// newHeldSiteOf is newHeldSite with another configuration.
func newHeldSiteOf(t *testing.T, role Role, text string) (*site, *held) {
	t.Helper()
	at := time.Now().Add(-3 * time.Hour)
	h := &held{}
	for i := range 5 {
		e := connector.Entry{ID: uint64(i + 1), At: at.Add(time.Duration(i) * 40 * time.Minute), Stream: "slot/s", Offset: 0x1_0000_00AB, Model: "customers", Op: "update", Attempts: 2,
			Key: connector.Key{Table: "public.customers", ID: fmt.Sprint(1040 + i)}, User: connector.User{ID: fmt.Sprintf("u-%d@x.example", i/2)}, Class: "rejected", Field: "email",
			Reason: fmt.Sprintf(`"anna%d@example.com" is not liked`, i), Before: json.RawMessage(`{"id":"1","plan":"free"}`),
			After: json.RawMessage(`{"id":"1","ssn":"078-05-1120","plan":"pro <b>","note":null}`)}
		if i == 4 {
			e.Class, e.Field, e.Reason = "mapping", "", "=HYPERLINK(1)"
		}
		h.entries = append(h.entries, e)
	}
	h.status.State, h.status.PID, h.status.Quarantine, h.status.Source.Connected = "running", 7, 5, true
	h.status.Models = []connector.ModelStatus{{Name: "customers", Table: "public.customers"}}
	dir := t.TempDir()
	file := filepath.Join(dir, "brazecdc.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := draft.Open(file, filepath.Join(dir, "pages"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		API: func(context.Context) (control.API, func(), error) { return h, func() {}, nil }, Quarantine: redacting{}, Draft: store,
		Access: func() Access { return Access{SignIn: true, Users: twoUsers()} },
		Parse:  func(text []byte) (*config.Config, error) { return config.ParseText(file, text, os.LookupEnv) },
	}
	name := map[Role]string{Viewer: "jo", Editor: "kim"}[role]
	return signIn(t, newSite(t, cfg), name), h
}

var jobLink = regexp.MustCompile(`^/quarantine/job/\d+$`)

// finish waits for the end of a job.
func (s *site) finish(link string) {
	s.t.Helper()
	if !jobLink.MatchString(link) {
		s.t.Fatalf("%q is no job", link)
	}
	id, _ := strconv.Atoi(link[len("/quarantine/job/"):])
	j := s.server.jobs.get(id)
	for deadline := time.Now().Add(20 * time.Second); !j.over(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the job does not end")
		}
	}
	s.server.jobs.runs.Wait()
}

func TestHeldBack(t *testing.T) {
	t.Run("stands by reason with how many, and a viewer sees no value", func(t *testing.T) {
		for _, role := range []Role{Viewer, Editor} {
			s, h := newHeldSite(t, role)
			h.status.Quarantine = 5
			s.get("/quarantine").wants(t, http.StatusOK, "5 changes are held back", "Braze did not accept it", "The row does not fit the model", "customers", "is not liked", "in the last hour")
			group := "/quarantine/" + groupID(&h.entries[0])
			a := s.get(group)
			a.wants(t, http.StatusOK, "What to do")
			e := s.get("/quarantine/e/1")
			e.wants(t, http.StatusOK, "1/AB", "nothing older overwrites", "customers")
			if role == Viewer {
				a.lacks(t, "anna0", "u-0@", "1040", `value="retry"`)
				e.lacks(t, "anna0", "u-0@", "078-05", "free", `value="retry"`, `name="do"`)
			} else {
				a.wants(t, http.StatusOK, "anna0", "u-0@", "1040", `value="retry"`)
				e.wants(t, http.StatusOK, "anna0", "u-0@", "pro &lt;b&gt;", "empty (NULL)", `value="retry"`, "changed")
				e.lacks(t, "078-05", "ssn")
			}
		}
	})
	t.Run("is narrowed by model, reason and time", func(t *testing.T) {
		s, h := newHeldSite(t, Viewer)
		s.get("/quarantine?class=mapping").wants(t, http.StatusOK, groupID(&h.entries[4]))
		s.get("/quarantine?class=mapping").lacks(t, groupID(&h.entries[0]))
		s.get("/quarantine?model=nobody").wants(t, http.StatusOK, "Nothing matches")
		s.get("/quarantine?since=1h").wants(t, http.StatusOK, groupID(&h.entries[4]))
		s.get("/quarantine?since=1h").lacks(t, groupID(&h.entries[0]))
		s.get("/quarantine/ffff").wants(t, http.StatusNotFound, "any more")
		s.get("/quarantine/e/99").wants(t, http.StatusNotFound, "gone")
		s.get("/quarantine/e/x").wants(t, http.StatusNotFound)
		s.get("/quarantine/job/9").wants(t, http.StatusNotFound)
	})
	t.Run("of one profile stands under a reference, not under its id", func(t *testing.T) {
		s, _ := newHeldSite(t, Editor)
		a := s.post("/quarantine/user", url.Values{"id": {" u-0@x.example "}})
		to := a.Header.Get("Location")
		if a.Code != http.StatusSeeOther || strings.Contains(to, "u-0") || !strings.HasPrefix(to, "/quarantine?user=") {
			t.Fatalf("%d to %q", a.Code, to)
		}
		s.get(to).wants(t, http.StatusOK, "2 changes of this profile", "/quarantine/e/1", "/quarantine/e/2")
		s.get(to).lacks(t, "/quarantine/e/3")
		s.get("/quarantine?user=abc").wants(t, http.StatusOK, "Search for it again")
		s.post("/quarantine/act", url.Values{"do": {"discard"}, "all": {"yes"}, "user": {"abc"}}).wants(t, http.StatusGone)
	})
	t.Run("retries one at once and tells what Braze said", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		one := func(id string) answer {
			return s.post("/quarantine/act", url.Values{"do": {"retry"}, "id": {id}, "one": {"yes"}})
		}
		if a := one("1"); a.Code != http.StatusSeeOther || a.Header.Get("Location") != "/quarantine/e/1" || h.done("retry 1") != 1 {
			t.Errorf("%d to %q", a.Code, a.Header.Get("Location"))
		}
		s.get("/quarantine/e/1").wants(t, http.StatusOK, "Braze accepted it.")
		h.refuse = func(uint64) error { return errors.New("still not liked") }
		one("2").wants(t, http.StatusConflict, "still not liked", "It stays held back")
	})
	t.Run("asks with the count before it does many, and does them in the background", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.refuse = func(id uint64) error {
			if id == 3 {
				return fmt.Errorf("entry %d is refused", id)
			}
			return nil
		}
		f := url.Values{"do": {"retry"}, "all": {"yes"}, "group": {groupID(&h.entries[0])}}
		a := s.post("/quarantine/act", f)
		a.wants(t, http.StatusOK, "4 changes", "Retry 4 changes", `name="upto" value="5"`)
		if h.done("retry") != 0 {
			t.Fatal("it did not wait for a yes")
		}
		f.Set("upto", "5")
		f.Set("sure", "yes")
		a = s.post("/quarantine/act", f)
		link := a.Header.Get("Location")
		s.finish(link)
		if h.done("retry") != 3 {
			t.Errorf("it did %v", h.asked)
		}
		s.get(link).wants(t, http.StatusOK, "Accepted by Braze", ">3<", "Again held back", ">1<", "entry … is refused", "not all went through")
		s.get(link+"/part").wants(t, http.StatusOK, `id="job"`)
		acts, _, err := s.server.cfg.Draft.Activity(draft.Filter{})
		if err != nil || len(acts) != 2 || acts[0].Who != "kim" || acts[0].What.Key != "quarantine.note.retry.ended" || strings.Join(acts[0].What.Args, " ") != "3 1" || acts[0].Link != link {
			t.Errorf("%+v, %v", acts, err)
		}
	})
	t.Run("tells before a retry of many how many can't be retried, and why", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		f := url.Values{"do": {"retry"}, "all": {"yes"}}
		s.post("/quarantine/act", f).wants(t, http.StatusOK, "today’s mapping", "5 can be retried.")
		h.cannot = map[uint64]string{2: connector.RetryNotRowGone, 3: connector.RetryNotRowGone, 5: connector.RetryNotRowLives}
		a := s.post("/quarantine/act", f)
		a.wants(t, http.StatusOK, "2 can be retried. These can’t:", "whose row is gone at the source", `href="/quarantine/e/3"`, "deletes of a row that is there again", "They stay held back")
		h.bulk = 1000
		s.post("/quarantine/act", f).wants(t, http.StatusOK, "Of the first 5 that were looked at: 2 can be retried.")
		s.lang = "de"
		s.post("/quarantine/act", f).wants(t, http.StatusOK, "Von den ersten 5", "heutigen Zuordnung")
		s.get("/quarantine/e/1").wants(t, http.StatusOK, "Vorschau mit der heutigen Zuordnung", `action="/models/customers/preview"`)
	})
	t.Run("more than a hundred are typed", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.bulk = 1175
		f := url.Values{"do": {"discard"}, "all": {"yes"}, "upto": {"5"}}
		s.post("/quarantine/act", f).wants(t, http.StatusOK, "Type 1,180 to confirm", "Discard 1,180 changes")
		f.Set("sure", "yes")
		s.post("/quarantine/act", f).wants(t, http.StatusUnprocessableEntity, "Say why", "This needs the number 1,180")
		f.Set("why", "a test")
		f.Set("typed", "118")
		s.post("/quarantine/act", f).wants(t, http.StatusUnprocessableEntity, "This needs the number 1,180")
		f.Set("typed", "1,180")
		s.finish(s.post("/quarantine/act", f).Header.Get("Location"))
		if h.done("discard") != 5 || h.done("discard 1 a test") != 1 {
			t.Errorf("it did %v", h.asked)
		}
	})
	t.Run("does one job at a time, which can be stopped", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.hold = make(chan struct{})
		f := url.Values{"do": {"retry"}, "id": {"1", "2", "3"}, "sure": {"yes"}}
		link := s.post("/quarantine/act", f).Header.Get("Location")
		s.get(link).wants(t, http.StatusOK, "Under way", `data-poll="`+link+`/part"`, "Stop")
		s.get("/quarantine").wants(t, http.StatusOK, "A job is under way")
		s.post("/quarantine/act", f).wants(t, http.StatusConflict, "Another job is under way")
		s.post(link+"/stop", nil)
		s.finish(link)
		s.get(link).wants(t, http.StatusOK, "Stopped")
		close(h.hold)
		if h.done("retry") != 0 {
			t.Errorf("it did %v", h.asked)
		}
	})
	t.Run("a reload in the middle counts what was done as done, and does the rest after it", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		var mu sync.Mutex
		met := map[uint64]bool{}
		h.refuse = func(id uint64) error {
			mu.Lock()
			defer mu.Unlock()
			if met[id] || id > 4 {
				return nil
			}
			met[id] = true
			switch id {
			case 1: // it arrived, and the pipeline that knew that was gone
				h.close(id, "delivered")
			case 2: // it was refused meanwhile
				h.close(id, "replaced by a newer change")
			case 3:
				return control.ErrAway
			}
			return fmt.Errorf("row 1 of public.customers: %w", connector.ErrEnding)
		}
		f := url.Values{"do": {"retry"}, "id": {"1", "2", "3", "4", "5"}, "sure": {"yes"}}
		link := s.post("/quarantine/act", f).Header.Get("Location")
		s.finish(link)
		if h.done("retry") != 3 || h.done("retry 1") != 0 {
			t.Errorf("it did %v", h.asked)
		}
		s.get(link).wants(t, http.StatusOK, ">4<", ">1<", "replaced by a newer change")
	})
	t.Run("downloads what an editor may see, safe for spreadsheets", func(t *testing.T) {
		s, _ := newHeldSite(t, Editor)
		f := url.Values{"do": {"download"}, "all": {"yes"}, "format": {"csv"}}
		a := s.post("/quarantine/act", f)
		rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
		if err != nil || len(rows) != 6 || rows[5][10] != "'=HYPERLINK(1)" || rows[1][7] != "u-0@x.example" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%v, %v, %v", rows, err, a.Header)
		}
		f.Set("format", "jsonl")
		b := s.post("/quarantine/act", f)
		var e connector.Entry
		line, _, _ := strings.Cut(b.Body, "\n")
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID != 1 || strings.Count(b.Body, "\n") != 5 {
			t.Errorf("%v: %s", err, b.Body)
		}
		for _, body := range []string{a.Body, b.Body} {
			if strings.Contains(body, "078-05") {
				t.Error("what must not be shown is in the download")
			}
		}
		for text, want := range map[string]string{"": "", "a": "a", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx"} {
			if got := plainCell(text); got != want {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
	t.Run("masks what looks private for editors too, until they ask, which is written down", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		e := &h.entries[0]
		e.Field, e.Reason = "iban", `"DE89 3704" is no bank account`
		e.After = json.RawMessage(`{"id":"1","iban":"DE89 3704","plan":"pro"}`)
		e.Effect = &connector.StoredEffect{Kind: connector.Track, Fields: []connector.StoredField{{Model: "customers", Name: "iban", JSON: []byte(`"DE89 3704"`)}, {Model: "customers", Name: "plan", JSON: []byte(`"pro"`)}}}
		e.Original = &connector.Original{Topic: "t", Value: []byte(`{"my_iban": "DE89 3704"}`)}
		for _, path := range []string{"/quarantine/e/1", "/quarantine/" + groupID(e)} {
			s.get(path).lacks(t, "DE89")
		}
		s.get("/quarantine/e/1").wants(t, http.StatusOK, "pro", "•••", "Show them", "looks private")
		a := s.post("/quarantine/e/1", nil)
		a.wants(t, http.StatusOK, "DE89 3704", "my_iban", "is no bank account", "Hide them", `name="private" value="yes"`)
		s.get("/quarantine/e/1").lacks(t, "DE89")
		f := url.Values{"do": {"download"}, "id": {"1"}}
		for _, format := range []string{"csv", "jsonl"} {
			f.Set("format", format)
			f.Del("private")
			s.post("/quarantine/act", f).lacks(t, "DE89")
			s.post("/quarantine/act", f).wants(t, http.StatusOK, "•••", "pro")
			f.Set("private", "yes")
			s.post("/quarantine/act", f).wants(t, http.StatusOK, "DE89 3704")
		}
		acts, _, err := s.server.cfg.Draft.Activity(draft.Filter{Key: "quarantine.note."})
		var keys []string
		for _, a := range acts {
			keys = append(keys, strings.TrimPrefix(a.What.Key, "quarantine.note."))
		}
		if want := "download.private download download download.private download download revealed"; err != nil || strings.Join(keys, " ") != want {
			t.Errorf("%v, %v", keys, err)
		}
	})
	t.Run("a viewer can't change anything", func(t *testing.T) {
		s, h := newHeldSite(t, Viewer)
		for _, do := range []string{"retry", "discard", "download"} {
			s.post("/quarantine/act", url.Values{"do": {do}, "id": {"1"}}).wants(t, http.StatusForbidden)
		}
		s.post("/quarantine/decide/customers", url.Values{"do": {"send"}}).wants(t, http.StatusForbidden)
		if len(h.asked) > 0 {
			t.Errorf("it did %v", h.asked)
		}
	})
	t.Run("bad forms are told, not fallen over", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		for _, f := range []url.Values{
			{}, {"do": {"retry"}, "id": {"x"}}, {"do": {"burn"}, "id": {"1"}}, {"do": {"retry"}, "all": {"yes"}, "upto": {"-1"}}, {"do": {"retry"}, "all": {"yes"}, "from": {"99999999999999999999"}},
			{"do": {"discard"}, "id": {"1"}, "sure": {"yes"}, "why": {strings.Repeat("x", 600)}},
		} {
			if a := s.post("/quarantine/act", f); a.Code != http.StatusBadRequest {
				t.Errorf("%v: %d", f, a.Code)
			}
		}
		if a := s.post("/quarantine/act", url.Values{"do": {"retry"}}); a.Code != http.StatusSeeOther {
			t.Errorf("nothing ticked: %d", a.Code)
		}
		if len(h.asked) > 0 {
			t.Errorf("it did %v", h.asked)
		}
	})
}

func TestDecisions(t *testing.T) {
	waits := func(kind string, n int) connector.Confirmation {
		return connector.Confirmation{Model: "customers", Kind: kind, Count: n, Since: time.Date(2026, 11, 5, 10, 31, 4, 0, time.UTC), Text: "x"}
	}
	deletes := func(h *held, n int) {
		for i := range n {
			h.deletes = append(h.deletes, connector.HeldDelete{User: connector.User{ID: fmt.Sprintf("gone-%d", i)}, Model: "customers", Reason: connector.PauseBrake, At: time.Unix(int64(i), 0)})
		}
	}
	const path = "/quarantine/decide/customers"
	t.Run("of paused deletes has the limit, the list and typed numbers", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.pending = []connector.Confirmation{waits(connector.PauseBrake, 1240)}
		h.pending[0].Limit, h.pending[0].Window = 1000, 10*time.Minute
		deletes(h, 1240)
		s.get("/quarantine?model=customers").wants(t, http.StatusOK, "1,240 users of customers would be deleted within 10 min; your limit is 1,000. These deletes wait, all else goes on.",
			"Show them", "Send the deletes…", "Drop the deletes…")
		s.get(path).wants(t, http.StatusOK, "gone-0 ", "gone-99 ", "?skip=100")
		s.get(path+"?skip=1200").wants(t, http.StatusOK, "gone-1239 ")
		s.get(path+"?do=send").wants(t, http.StatusOK, "1,240 profiles are deleted in Braze", "Type 1,240 to confirm", "for good")
		s.get(path+"?do=drop").wants(t, http.StatusOK, "gone at the source", "Drop 1,240 deletes")
		f := url.Values{"do": {"send"}, "count": {"1240"}}
		s.post(path, f).wants(t, http.StatusUnprocessableEntity, "This needs the number 1,240")
		f.Set("count", "1000")
		f.Set("typed", "1240")
		s.post(path, f).wants(t, http.StatusUnprocessableEntity, "It was 1,000 a moment ago")
		s.post(path, url.Values{"do": {"continue"}}).wants(t, http.StatusBadRequest)
		s.post(path, url.Values{"do": {"send"}}).wants(t, http.StatusBadRequest)
		if len(h.asked) > 0 {
			t.Fatalf("it did %v", h.asked)
		}
		f.Set("count", "1240")
		if a := s.post(path, f); a.Code != http.StatusSeeOther || h.done("confirm customers false") != 1 {
			t.Errorf("%d, %v", a.Code, h.asked)
		}
		s.post(path, url.Values{"do": {"drop"}, "count": {"1240"}})
		if h.done("confirm customers true") != 1 {
			t.Errorf("it did %v", h.asked)
		}
	})
	t.Run("of an emptied table never sends deletes that wait too", func(t *testing.T) {
		s, h := newHeldSite(t, Editor)
		h.pending = []connector.Confirmation{waits(connector.PauseTruncate, 3), waits(connector.PauseGone, 2)}
		deletes(h, 2)
		s.get(path).wants(t, http.StatusOK, "public.customers was emptied (TRUNCATE) at", "Nothing was deleted in Braze. The model is paused.", "Continue without deleting", "Re-sync", "2 deletes of this model wait too")
		s.post(path, url.Values{"do": {"send"}, "count": {"2"}}).wants(t, http.StatusBadRequest)
		s.post(path, url.Values{"do": {"continue"}})
		s.post(path, url.Values{"do": {"resync"}})
		if got := strings.Join(h.asked, "; "); got != "resume customers false; resume customers true" {
			t.Errorf("it did %s", got)
		}
	})
	t.Run("of users gone at the source hides them from viewers", func(t *testing.T) {
		s, h := newHeldSite(t, Viewer)
		s.lang = "de"
		h.pending = []connector.Confirmation{waits(connector.PauseGone, 2)}
		deletes(h, 2)
		a := s.get(path)
		a.wants(t, http.StatusOK, "2 Profile, die an Braze gesendet wurden", "•••")
		a.lacks(t, "gone-0", "Löschungen senden")
		s.get("/quarantine/decide/other").wants(t, http.StatusNotFound)
	})
}
