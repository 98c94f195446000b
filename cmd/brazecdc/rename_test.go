package main

import (
	"strings"
	"testing"
)

// TestRenamedColumn renames a column that a rule reads while the process is stopped: changes of both names' shapes lie in the log, and one start reads both.
func TestRenamedColumn(t *testing.T) {
	b := newBench(t, plainModel+"\nfilter: plan != \"internal\"\non_leave: keep")
	b.exec(`INSERT INTO users VALUES ('u1', 'a@example.com', 'A', 'free', 1)`)
	p := b.run()
	b.arrives("u1", "plan", `"free"`)
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	b.exec(`UPDATE users SET credits = 2 WHERE id = 'u1'`)
	b.exec(`ALTER TABLE users RENAME plan TO tier`)
	b.exec(`INSERT INTO users VALUES ('u2', 'b@example.com', 'B', 'pro', 3)`)
	b.write(strings.NewReplacer("plan: plan", "plan: tier", `plan != "internal"`, `tier != "internal"`).Replace(b.text))
	b.run()
	b.arrives("u2", "plan", `"pro"`)
	b.arrives("u1", "credits", `2`)
	if out := b.must("quarantine", "list"); !strings.Contains(out, "Nothing is held back") {
		t.Errorf("held back:\n%s", out)
	}
}
