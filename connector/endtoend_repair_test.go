package connector_test

import (
	"testing"
	"testing/synctest"
	"time"

	"brazecdc/connector"
)

// TestSendFields: fields that are sent again by themselves leave what is known of the others as it was.
func TestSendFields(t *testing.T) {
	t.Parallel()
	// Without before-images only the store tells what has changed.
	c := newCase(t, rigConfig{models: []connector.Model{baseModel(loadAll)}}, row(1), row(2))
	c.calls()
	for _, field := range []string{"plan", "is_vip"} {
		if _, err := c.run.p.SendRow(t.Context(), "users", "1", []string{field}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.calls(); len(got) != 2 || string(got[0].Body) != `{"external_id":"u1","plan":"free"}` || string(got[1].Body) != `{"external_id":"u1","is_vip":true}` {
		t.Errorf("calls %s", got)
	}
	c.update("plan = 'pro'")
	if got := c.calls(); len(got) != 1 || string(got[0].Body) != `{"external_id":"u1","plan":"pro"}` {
		t.Errorf("calls %s, want the plan alone", got)
	}
	c.counts(c.resynced(connector.ResyncRequest{}), 2, 0, 2)
}

// TestUnsetAfterRefusal: what an update-only step took away is not known any more, also where the refusal before it leaves nothing proven.
func TestUnsetAfterRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newTopicRig(t, visitorModel(func(m *connector.Model) {
			m.Audiences, m.Schedule, m.Filter, m.OnLeave = nil, nil, `plan != "none"`, "unset"
		}))
		r.start("visitors/0")
		r.put("visitors/0", connector.Insert, visitor("u1", "free", time.Time{}))
		r.settle()
		r.sink.refuse = "u1"
		r.put("visitors/0", connector.Update, visitor("u1", "pro", time.Time{}))
		r.settle()
		r.sink.refuse = ""
		r.put("visitors/0", connector.Update, visitor("u1", "none", time.Time{}))
		r.settle()
		r.want(`track u1 plan="free"`, `track u1 update-only plan=null`)
		r.put("visitors/0", connector.Update, visitor("u1", "free", time.Time{}))
		r.settle()
		r.want(`track u1 plan="free"`)
		r.stop()
	})
}
