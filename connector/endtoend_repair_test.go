package connector_test

import (
	"testing"

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
