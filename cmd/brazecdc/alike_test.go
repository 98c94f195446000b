package main

import (
	"strings"
	"testing"
)

// TestAlike: rows that look like one person are named by check and preview, and the stream counts those that overwrite each other.
func TestAlike(t *testing.T) {
	t.Parallel()
	b := newBench(t, strings.Replace(plainModel, "external_id: id", "external_id: ref", 1))
	b.exec(`ALTER TABLE users ADD ref text; ALTER TABLE users REPLICA IDENTITY FULL;
		INSERT INTO users (id, ref, email, plan) VALUES ('1', 'u1', 'A@X.io ', 'a'), ('2', ' u1 ', 'b@x.io', 'b'), ('3', 'u3', 'a@x.io', 'c'), ('4', 'u4 ', 'd@x.io', 'd'), ('5', 'u5', NULL, NULL)`)
	t.Run("case 52: check names both rows that are equal after trimming", func(t *testing.T) {
		b.t = t
		wantFinding(t, b.check(), mayHurt, "model users: rows 1 and 2 have the same external_id", "blanks: keep")
	})
	t.Run("case 53: check says that 2 external_ids share an email", func(t *testing.T) {
		b.t = t
		wantFinding(t, b.check(), mayHurt, "model users: 2 external_ids share an email (rows 1 and 3)")
	})
	t.Run("case 52: preview names the other row", func(t *testing.T) {
		b.t = t
		wantIn(t, b.must("preview", "--model", "users", "--key", "1"), "note: external_id: row 2 has the same external_id", "note: email: 2 external_ids share an email: row 3")
		if out := b.must("preview", "--model", "users", "--key", "4"); strings.Contains(out, "note:") {
			t.Errorf("row 4 is like none: %s", out)
		}
	})
	t.Run("case 52: the stream notes the second of two rows, case 53: an e-mail address in lower case without blanks", func(t *testing.T) {
		b.t = t
		b.run()
		b.arrives("u4", "plan", `"d"`)
		b.exec(`INSERT INTO users (id, ref, email) VALUES ('6', 'u6', 'Six@X.io '), ('7', 'u6 ', 'seven@x.io'), ('8', 'u8 ', 'eight@x.io')`)
		b.arrives("u8", "email", `"eight@x.io"`)
		wantIn(t, b.must("status"), "left out in users: external_id: "+"another row has the same identifier once blanks are dropped, and both change one user; brazecdc check names them, 2 times")
	})
}
