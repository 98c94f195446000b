package web

import "testing"

func TestAFixIsTakenApart(t *testing.T) {
	s := newSite(t, Config{})
	for _, c := range []struct{ name, said, text, sql string }{
		{"a statement", "ALTER ROLE shop WITH REPLICATION", "", "ALTER ROLE shop WITH REPLICATION"},
		{"a statement with a comment", `ALTER PUBLICATION b ADD TABLE "public"."t";  -- as its owner`, "", `ALTER PUBLICATION b ADD TABLE "public"."t";  -- als Eigentümer`},
		{"words before statements", "a role of its own with less: CREATE ROLE brazecdc LOGIN REPLICATION PASSWORD '…'; GRANT SELECT ON … TO brazecdc;", "eine eigene Rolle mit weniger",
			"CREATE ROLE brazecdc LOGIN REPLICATION PASSWORD '…'; GRANT SELECT ON … TO brazecdc;"},
		{"words behind one", "stop the other brazecdc, or end a dead connection: SELECT pg_terminate_backend(4711);", "das andere brazecdc beenden, oder eine tote Verbindung", "SELECT pg_terminate_backend(4711);"},
		{"one in brackets", "end an unused one (SELECT * FROM pg_stat_replication;) or raise max_wal_senders and restart",
			"einen unbenutzten beenden (SELECT * FROM pg_stat_replication;), oder max_wal_senders erhöhen und neu starten", "SELECT * FROM pg_stat_replication;"},
		{"words alone", "wait for it", "darauf warten", ""},
		{"nothing", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &request{s: s.server, Lang: "de"}
			if got := r.fix(c.said); got != (fixShown{c.text, c.sql}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
