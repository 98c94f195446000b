package config

import (
	"strings"
	"testing"
	"time"
)

func TestCron(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("tells the next time by the zone's clock", func(t *testing.T) {
		for _, c := range []struct{ cron, after, want string }{
			{"0 3 * * *", "2026-11-25T01:59:59Z", "2026-11-25T02:00:00Z"},
			{"0 3 * * *", "2026-11-25T02:00:00Z", "2026-11-26T02:00:00Z"},
			{"0 3 * * *", "2026-07-01T02:00:00Z", "2026-07-02T01:00:00Z"},
			{"30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"}, // on the 29th the clock leaps from 2 to 3
			{"*/15 8-9 * * 1-5", "2026-11-27T08:50:00Z", "2026-11-30T07:00:00Z"},
			{"0 0 29 2 *", "2026-11-25T00:00:00Z", "2028-02-28T23:00:00Z"},
		} {
			next, err := Cron(c.cron, berlin)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := next(after).Format(time.RFC3339); got != c.want {
				t.Errorf("%s after %s: %s, want %s", c.cron, c.after, got, c.want)
			}
		}
	})
	t.Run("refuses what names no time", func(t *testing.T) {
		for _, text := range []string{"", "0 3 * *", "0 3 * * * *", "60 3 * * *", "0 3 31 2 *", "@daily", "CRON_TZ=UTC 0 3 * *", "a b c d e"} {
			if _, err := Cron(text, time.UTC); err == nil {
				t.Errorf("%q was taken", text)
			}
		}
	})
}

func TestSchedule(t *testing.T) {
	model := func(more string) string { return strings.Replace(minimal, "load: all", "load: all\n"+more, 1) }
	cfg := parse(t, model("    schedule: { cron: \"0 3 * * *\", time_zone: Europe/Berlin, resync: all }"))
	if s := cfg.Models[0].Schedule; s == nil || s.Cron != "0 3 * * *" || s.Zone != "Europe/Berlin" || s.Resync != "all" {
		t.Errorf("%+v", s)
	}
	cfg = parse(t, model("    schedule: { cron: \"0 3 * * *\" }"))
	if s := cfg.Models[0].Schedule; s == nil || s.Zone != "UTC" || s.Resync != "differences" {
		t.Errorf("%+v", s)
	}
	if cfg = parse(t, minimal); cfg.Models[0].Schedule != nil {
		t.Error("there is a schedule without one in the file")
	}
}
