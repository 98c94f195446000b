package connector_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
)

func TestRememberedRows(t *testing.T) {
	run := func(name string, f func(t *testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	run("a rule that time makes false or true is sent without a record, and nothing else", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1")
		now := time.Now()
		r.put("visitors/0", connector.Insert, visitor("u1", "free", now.Add(-lately+10*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u2", "pro", now.Add(20*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u3", "pro", now.Add(40*time.Hour)))
		r.put("visitors/1", connector.Insert, visitor("u4", "pro", time.Time{})) // NULL: nobody knows
		r.settle()
		r.want(`track u1 plan="free" active=true`, `track u2 plan="pro" active=true`, `track u3 plan="pro" active=true`, `track u4 plan="pro"`)
		time.Sleep(time.Minute) // a start counts before it has read anything, and soon again
		if m := r.p.Status().Models[0].Remembered; m == nil || m.Rows != 4 {
			t.Errorf("status tells %+v of 4 remembered rows", m)
		}
		r.hours(9)
		r.want()
		r.hours(2)
		r.want(`track u1 update-only active=false`)
		r.hours(2)
		r.want()
		r.put("visitors/0", connector.Update, visitor("u1", "free", time.Now()))
		r.settle()
		r.want(`track u1 active=true`)
		r.stop()
		time.Sleep(8 * time.Hour) // what was missed is made up for once
		r.start("visitors/0", "visitors/1")
		time.Sleep(time.Minute)
		r.settle()
		r.want()
		r.hours(24)
		r.want(`track u1 update-only active=false`, `track u2 update-only active=false`)
		r.stop()
	})
	run("what was missed while nothing ran is made up for once the partitions are there", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.settle()
		r.stop()
		r.sink.took()
		time.Sleep(2 * lately)
		r.start()
		time.Sleep(20 * time.Second) // the group takes its time
		r.want()
		r.take("visitors/0", false)
		time.Sleep(20 * time.Second)
		r.settle()
		r.want(`track u1 update-only active=false`)
		r.stop()
	})
	run("a partition that is away is not gone over, and what was known of it goes with a gap", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1", "visitors/2")
		for i := range 3 {
			r.put(fmt.Sprintf("visitors/%d", i), connector.Insert, visitor(fmt.Sprintf("u%d", i), "free", time.Now()))
		}
		r.settle()
		r.sink.took()
		r.away("visitors/1")
		r.away("visitors/2")
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u0 update-only active=false`)
		r.take("visitors/1", false)
		r.take("visitors/2", true)
		time.Sleep(2 * time.Minute) // the run that it missed
		r.settle()
		r.want(`track u1 update-only active=false`)
		r.hours(2)
		r.want()
		r.stop()
	})
	run("deleted, erased and unknown users are left alone", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.only = []string{"u1", "u2", "u3"}
		r.start("visitors/0")
		for _, id := range []string{"u1", "u2", "u3", "u4"} {
			r.put("visitors/0", connector.Insert, visitor(id, "free", time.Now()))
		}
		r.settle()
		r.remove("visitors/0", "u2")
		r.settle()
		if _, err := r.p.Forget(t.Context(), connector.User{ID: "u3"}); err != nil {
			t.Fatal(err)
		}
		r.sink.took()
		if n, err := r.cache.CountRemembered(t.Context(), "visitors"); n != 1 || err != nil {
			t.Errorf("%d rows are remembered (%v), want 1", n, err)
		}
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only active=false`)
		r.stop()
	})
	run("a row that Braze refused is not sent in parts", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.sink.refuse = "u1"
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.put("visitors/0", connector.Insert, visitor("u2", "free", time.Now()))
		r.settle()
		r.sink.refuse = ""
		r.sink.took()
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u2 update-only active=false`)
		if n := r.p.Status().Quarantine; n != 1 {
			t.Errorf("%d entries are open, want the refused row's", n)
		}
		r.stop()
	})
	run("what time changes and Braze refuses is held back, and goes with the row's next change", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.settle()
		r.sink.took()
		r.sink.refuse = "u1"
		time.Sleep(lately)
		r.hours(1)
		r.want()
		r.sink.refuse = ""
		entries, err := r.data.Quarantine().List(connector.EntryFilter{})
		if err != nil || len(entries) != 1 || entries[0].Key.ID != "u1" || entries[0].Effect == nil || len(entries[0].Effect.Fields) != 1 {
			t.Fatalf("%+v, %v", entries, err)
		}
		r.hours(1)
		r.want(`track u1 update-only active=false`)
		r.put("visitors/0", connector.Update, visitor("u1", "pro", time.Now()))
		r.settle()
		r.want(`track u1 plan="pro" active=true`)
		if n := r.p.Status().Quarantine; n != 0 {
			t.Errorf("%d entries are open", n)
		}
		r.stop()
	})
	run("another model's row does not bring a deleted user back", func(t *testing.T) {
		owner := visitorModel(func(m *connector.Model) { m.Audiences, m.Schedule = nil, nil })
		other := visitorModel(func(m *connector.Model) {
			m.Name, m.Topic, m.OwnsUsers, m.Path, m.Custom = "visits", "visits", false, "models[1]", nil
		})
		r := newTopicRig(t, owner, other)
		r.start("visitors/0", "visits/0")
		visit := func(id string) connector.Row {
			row := visitor(id, "free", time.Now())
			row.Table = visits
			return row
		}
		for _, id := range []string{"u1", "u2", "u3"} {
			r.put("visitors/0", connector.Insert, visitor(id, "free", time.Time{}))
			r.put("visits/0", connector.Insert, visit(id))
		}
		r.settle()
		r.remove("visitors/0", "u1")
		r.remove("visitors/0", "u2")
		r.settle()
		r.put("visitors/0", connector.Insert, visitor("u2", "back", time.Time{}))
		r.settle()
		time.Sleep(time.Minute)
		r.sink.took()
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u3 update-only active=false`)
		r.put("visits/0", connector.Update, visit("u2")) // in full at its next change
		r.settle()
		r.want(`track u2 active=true`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u2 update-only active=false`)
		r.stop()
	})
	run("a row that the filter lets in while its user's delete is on its way begins no profile", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) { m.Audiences, m.Schedule = nil, nil }), visitorModel(func(m *connector.Model) {
			m.Name, m.Topic, m.OwnsUsers, m.Path, m.Custom = "visits", "visits", false, "models[1]", nil
			m.Filter, m.OnLeave = `seen < now()`, "keep"
			m.Audiences[0].Path, m.Schedule.Path = "models[1].audiences[0]", "models[1].schedule"
		}))
		r.start("visitors/0", "visits/0")
		soon := hourly(time.Now())
		for _, id := range []string{"u1", "u2"} {
			row := visitor(id, "", soon.Add(-time.Minute))
			row.Table = visits
			r.put("visitors/0", connector.Insert, visitor(id, "free", time.Time{}))
			r.put("visits/0", connector.Insert, row)
		}
		r.settle()
		r.want(`track u1 plan="free"`, `track u2 plan="free"`)
		time.Sleep(time.Until(soon.Add(-5 * time.Second)))
		r.sink.slow(time.Minute)
		r.remove("visitors/0", "u1")
		time.Sleep(30 * time.Second)
		r.sink.slow(0)
		time.Sleep(5 * time.Minute)
		r.settle()
		r.want("delete u1", `track u2 active=true`)
		r.hours(1)
		r.want()
		r.put("visitors/0", connector.Insert, visitor("u1", "back", time.Time{}))
		r.settle()
		r.want(`track u1 plan="back"`)
		r.hours(1) // its other row was never sent
		r.want(`track u1 active=true`)
		r.stop()
	})
	run("a group says subscribed by time only with resubscribe: always", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) {
			m.Audiences = nil
			m.Groups = []connector.GroupMap{
				{Group: "sleepy", ID: "g-1", When: `seen < now() - duration("12h")`, Resubscribe: "always", Path: "models[0].subscription_groups[0]"},
				{Group: "awake", ID: "g-2", When: `seen > now() - duration("12h")`, OnLeave: "unsubscribe", Path: "models[0].subscription_groups[1]"},
				{Group: "asleep", ID: "g-3", When: `seen < now() - duration("12h")`, Path: "models[0].subscription_groups[2]"},
			}
		}))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now()))
		r.settle()
		r.want(`track u1 plan="free" subscription_groups.awake="subscribed"`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only subscription_groups.sleepy="subscribed" subscription_groups.awake="unsubscribed"`)
		r.hours(1)
		r.want()
		r.stop()
	})
	run("a row that the filter lets in by time goes whole, and leaves by nothing but a change", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) {
			m.Filter, m.OnLeave = `seen < now()`, "unset"
		}))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now().Add(90*time.Minute)))
		r.settle()
		r.want()
		r.hours(1)
		r.want()
		r.hours(1)
		r.want(`track u1 plan="free" active=true`)
		time.Sleep(lately)
		r.hours(1)
		r.want(`track u1 update-only active=false`)
		r.put("visitors/0", connector.Update, visitor("u1", "free", time.Now().Add(time.Hour)))
		r.settle()
		r.want(`track u1 update-only plan=null active=null`)
		r.hours(2)
		r.want(`track u1 plan="free" active=true`)
		r.stop()
	})
	run("a partition that goes away in the middle of a run: its rows are done unsent, and come with the run after it is back", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0", "visitors/1")
		const many = 300
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("a%03d", i), "free", time.Now().Add(-time.Minute)))
			r.put("visitors/1", connector.Insert, visitor(fmt.Sprintf("b%03d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Minute)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(time.Second)))
		r.away("visitors/1")
		r.sink.slow(0)
		time.Sleep(10 * time.Minute)
		r.settle()
		sent := r.sink.took()
		if n := r.beginning(sent, "track a"); n != many {
			t.Errorf("%d of the other partition's rows were sent", n)
		}
		gone := r.beginning(sent, "track b") // those that were in a call then
		if gone == many {
			t.Error("all rows of the partition were sent, though it went away")
		}
		for _, l := range r.p.Status().Loads {
			if l.Finished.IsZero() {
				t.Errorf("the run does not end: %+v", l)
			}
		}
		r.take("visitors/1", false) // what was left out is made up for
		time.Sleep(2 * time.Minute)
		r.settle()
		if n := len(r.sink.took()); n != many-gone {
			t.Errorf("%d were sent, want %d", n, many-gone)
		}
		r.stop()
	})
	run("a record that comes while a run's rows wait is what counts, and takes them along", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		const many = 400
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("u%03d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Minute)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(time.Second)))
		r.put("visitors/0", connector.Update, visitor("u399", "pro", time.Now()))
		r.remove("visitors/0", "u398")
		r.sink.slow(0)
		time.Sleep(10 * time.Minute)
		r.settle()
		sent := r.sink.took()
		for _, want := range []string{`track u399 plan="pro"`, "delete u398"} {
			if !slices.Contains(sent, want) {
				t.Errorf("%s is not among %d calls", want, len(sent))
			}
		}
		for _, line := range sent {
			if strings.Contains(line, "u399") && line != `track u399 plan="pro"` || strings.HasPrefix(line, "track u398") {
				t.Errorf("sent %s", line)
			}
		}
		r.stop()
	})
	run("a stop in the middle of a run, and what was not remembered under these settings", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) { m.Audiences, m.Schedule = nil, nil }))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u0", "free", time.Now()))
		r.settle()
		r.stop()
		r.models = []connector.Model{visitorModel(nil)}
		r.start("visitors/0")
		const many = 5000 // more than may be open of a run at once
		for i := range many {
			r.put("visitors/0", connector.Insert, visitor(fmt.Sprintf("v%04d", i), "free", time.Now().Add(-time.Minute)))
		}
		r.settle()
		r.sink.took()
		r.sink.slow(time.Second)
		time.Sleep(lately - time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(4 * time.Second)))
		r.stop()
		first := r.sink.took()
		r.sink.slow(0)
		r.start("visitors/0")
		time.Sleep(time.Minute)
		r.settle()
		all := append(first, r.sink.took()...)
		slices.Sort(all)
		if len(all) != many || len(slices.Compact(all)) != many || len(first) == 0 || len(first) == many {
			t.Errorf("%d sent before the stop, %d in all", len(first), len(all))
		}
		if !strings.Contains(r.log.String(), "count=5000 users=5001") {
			t.Error("nobody was told that one row is not known")
		}
		r.stop()
	})
	run("a run that a stop cut off ends where the schedule is gone by then", func(t *testing.T) {
		r := newTopicRig(t, visitorModel(nil))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Now().Add(-time.Minute)))
		r.settle()
		r.sink.slow(time.Hour)
		time.Sleep(time.Until(hourly(time.Now()).Add(lately - time.Hour + time.Second)))
		r.cancel()
		r.cancel = nil
		if ended := <-r.ended; ended == nil || errors.Join(r.cache.Close(), r.data.Close()) != nil {
			t.Errorf("it ended with %v", ended)
		}
		r.sink.slow(0)
		r.models[0].Schedule = nil
		for range 2 {
			r.start("visitors/0")
			time.Sleep(time.Minute)
			r.settle()
			loads := r.p.Status().Loads
			if n := len(loads); n == 0 || loads[n-1].Running() || !loads[n-1].Cancelled {
				t.Errorf("%+v", loads)
			}
			r.stop()
		}
	})
}
