package brazesim

import (
	"bytes"
	"strings"
	"time"
)

var zonedLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999 Z0700", "2006-01-02 15:04:05.999999999 MST"}

var bareLayouts = []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04"}

// parseEventTime reads the time of an event or purchase: ISO 8601, or yyyy-MM-dd'T'HH:mm:ss:SSSZ (Braze docs, Event object). A missing offset
// means UTC.
func parseEventTime(v []byte) (time.Time, bool) {
	if len(v) < 16 || v[4] != '-' || v[7] != '-' {
		return time.Time{}, false
	}
	s := string(v)
	if len(s) > 19 && s[19] == ':' {
		s = s[:19] + "." + s[20:]
	}
	for _, layouts := range [][]string{zonedLayouts, bareLayouts} {
		for _, layout := range layouts {
			if t, err := time.Parse(layout, s); err == nil {
				return t.UTC(), true
			}
		}
	}
	return time.Time{}, false
}

// parseTime reads a time as attributes accept it: also bare dates and a weekday form (Braze docs, Custom attribute data types).
func parseTime(v []byte) (time.Time, bool) {
	if t, ok := parseEventTime(v); ok {
		return t, true
	}
	if len(v) < 8 || len(v) > 40 {
		return time.Time{}, false
	}
	for _, layout := range []string{"2006-01-02", "01/02/2006", "Mon 01 02 15:04:05.MST 2006"} {
		if t, err := time.Parse(layout, strings.TrimSpace(string(v))); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// timeLike reports whether Braze would take a string for a time (measured, see StrictTimes). Years outside 0 to 3000 stay strings.
func timeLike(raw []byte) bool {
	v := raw[1 : len(raw)-1]
	if len(v) < 10 || len(v) > 40 || (v[4] != '-' || v[7] != '-') && (v[2] != '/' || v[5] != '/') && v[3] != ' ' {
		return false
	}
	if bytes.IndexByte(v, '\\') >= 0 {
		return false
	}
	t, ok := parseTime(v)
	return ok && t.Year() <= 3000
}
