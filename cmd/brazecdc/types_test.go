package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brazecdc/connector/braze/brazesim"
)

func TestTypeDrift(t *testing.T) {
	t.Parallel()
	b := newBench(t, plainModel)
	model := b.text
	b.exec(`INSERT INTO users VALUES ('u-1', 'a@example.com', NULL, 'pro', 5)`)

	t.Run("check names the attributes that have another type in Braze", func(t *testing.T) {
		b.t = t
		b.post("/users/track", `{"attributes":[{"external_id":"other","plan":5,"credits":1}]}`)
		list := b.check()
		wantFinding(t, list, mayHurt, "brazecdc.yaml:", `"plan" has the type number`, "string")
		if found(list, mayHurt, `"credits"`) {
			t.Error("credits has Braze's type")
		}
		wantFinding(t, list, fine, "2 custom attributes", "2 known to Braze")
		wantFinding(t, list, fine, "the load of users: 3 data points a row")
	})
	t.Run("run leaves such values out with a note, and the rest goes on", func(t *testing.T) {
		b.t = t
		p := b.run()
		b.arrives("u-1", "credits", "5")
		if got := b.profile("u-1", "plan"); got != "" {
			t.Errorf("plan is %s", got)
		}
		wantIn(t, p.err.String(), "has the type number in Braze")
		b.until("the note is counted", func() bool {
			return strings.Contains(b.must("status"), "left out in users: plan: Braze has the attribute as number and would ignore a value of the type string")
		})
		s := b.status().Models[0].Points
		if s.Start.Spent != 2 || s.Today != s.Start || s.Fields["credits"].Spent != 1 || s.Fields["email"].Spent != 1 || len(s.Days) != 1 {
			t.Errorf("data points: %+v", s)
		}
		wantIn(t, b.must("status"), "data points of users: 2 spent, 0 saved since the start")
		if n := len(b.sim.Ignored()); n != 0 {
			t.Errorf("Braze ignored %d values", n)
		}
		p.stop()
	})
	t.Run("a type that was sent before counts where Braze does not tell", func(t *testing.T) {
		b.t = t
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/custom_attributes", Status: 401}); err != nil {
			t.Fatal(err)
		}
		defer b.sim.ClearFaults("")
		b.edit("custom: { plan: plan, credits: { column: credits, type: number } }", "custom: { level: plan }")
		p := b.run()
		b.exec(`UPDATE users SET plan = 'gold'`)
		b.arrives("u-1", "level", `"gold"`)
		wantIn(t, p.err.String(), "custom_attributes.get")
		p.stop()
		files, err := filepath.Glob(filepath.Join(b.dir, "data", "*", "types.json"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), `"level": "string"`) {
			t.Errorf("%s, %v", text, err)
		}
		b.edit("custom: { level: plan }", "custom: { level: credits, note: note }")
		p = b.run()
		b.exec(`UPDATE users SET credits = 7, note = 'n'`)
		b.arrives("u-1", "note", `"n"`)
		if got := b.profile("u-1", "level"); got != `"gold"` {
			t.Errorf("level is %s", got)
		}
		wantIn(t, b.must("status"), "left out in users: level: the attribute was sent as string before")
		p.stop()
		b.edit("level: credits", "level: { column: credits, type: string }")
		p = b.run()
		b.exec(`UPDATE users SET credits = 8`)
		b.arrives("u-1", "level", `"8"`)
		p.stop()
	})
	t.Run("check tells a key that may not ask", func(t *testing.T) {
		b.t = t
		b.write(model)
		if err := b.sim.Faults(brazesim.Fault{Endpoint: "/custom_attributes", Status: 401}); err != nil {
			t.Fatal(err)
		}
		defer b.sim.ClearFaults("")
		wantFinding(t, b.check(), mayHurt, "custom_attributes.get is refused", "another type")
	})
}
