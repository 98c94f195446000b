package postgres

import (
	"math"
	"strings"

	"brazecdc/connector"
)

const microsPerDay = 24 * 60 * 60 * 1000000

// number reads leading digits of s and gives what follows; ok is false without a digit or beyond nine.
func number(s string) (n int64, digits int, rest string) {
	for digits < len(s) && digits < 10 && s[digits] >= '0' && s[digits] <= '9' {
		n = n*10 + int64(s[digits]-'0')
		digits++
	}
	return n, digits, s[digits:]
}

// parseDay reads "2026-11-01" at the start of s.
func parseDay(s string, bc bool) (day int64, rest string, ok bool) {
	y, ny, rest := number(s)
	if ny < 4 || ny > 7 || !strings.HasPrefix(rest, "-") {
		return 0, "", false
	}
	m, nm, rest := number(rest[1:])
	if nm != 2 || m < 1 || m > 12 || !strings.HasPrefix(rest, "-") {
		return 0, "", false
	}
	d, nd, rest := number(rest[1:])
	if nd != 2 || d < 1 || d > 31 {
		return 0, "", false
	}
	if bc {
		y = 1 - y
	}
	return connector.DayNumber(y, m, d), rest, true
}

// parseClock reads "09:00:00.25" at the start of s, in microseconds.
func parseClock(s string) (us int64, rest string, ok bool) {
	h, nh, rest := number(s)
	if nh != 2 || !strings.HasPrefix(rest, ":") {
		return 0, "", false
	}
	m, nm, rest := number(rest[1:])
	if nm != 2 || m > 59 || !strings.HasPrefix(rest, ":") {
		return 0, "", false
	}
	sec, ns, rest := number(rest[1:])
	if ns != 2 || sec > 60 {
		return 0, "", false
	}
	us = ((h*60+m)*60 + sec) * 1000000
	if strings.HasPrefix(rest, ".") {
		f, nf, r := number(rest[1:])
		if nf < 1 || nf > 6 {
			return 0, "", false
		}
		for ; nf < 6; nf++ {
			f *= 10
		}
		us, rest = us+f, r
	}
	return us, rest, true
}

// parseZone reads "+02", "-03:30", "+00:19:32" at the start of s, in microseconds east of UTC.
func parseZone(s string) (us int64, rest string, ok bool) {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, s, false
	}
	sign := int64(1)
	if s[0] == '-' {
		sign = -1
	}
	n, digits, rest := number(s[1:])
	if digits != 2 {
		return 0, s, false
	}
	sec := n * 3600
	for unit := int64(60); unit >= 1 && strings.HasPrefix(rest, ":"); unit /= 60 {
		n, digits, r := number(rest[1:])
		if digits != 2 {
			return 0, s, false
		}
		sec, rest = sec+n*unit, r
	}
	return sign * sec * 1000000, rest, true
}

func infinite(k connector.ValueKind, s string) (connector.Value, bool) {
	switch s {
	case "infinity":
		return connector.Value{Kind: k, Int: connector.PosInfinity}, true
	case "-infinity":
		return connector.Value{Kind: k, Int: connector.NegInfinity}, true
	}
	return connector.Value{}, false
}

func decodeDate(s string) (connector.Value, error) {
	if v, ok := infinite(connector.KindDate, s); ok {
		return v, nil
	}
	t, bc := strings.CutSuffix(s, " BC")
	day, rest, ok := parseDay(t, bc)
	if !ok || rest != "" {
		return wrong("date", s)
	}
	return connector.Value{Kind: connector.KindDate, Int: day}, nil
}

func decodeTime(s string) (connector.Value, error) {
	us, rest, ok := parseClock(s)
	if !ok || rest != "" || us > microsPerDay {
		return wrong("time", s)
	}
	return connector.Value{Kind: connector.KindTime, Int: us}, nil
}

// decodeTimestamp reads both timestamp types. Postgres' range ends in 294276, some 30 years behind what fits into microseconds since 1970.
func decodeTimestamp(k connector.ValueKind, s string) (connector.Value, error) {
	if v, ok := infinite(k, s); ok {
		return v, nil
	}
	t, bc := strings.CutSuffix(s, " BC")
	day, rest, ok := parseDay(t, bc)
	if !ok || rest == "" || rest[0] != ' ' {
		return wrong("timestamp", s)
	}
	us, rest, ok := parseClock(rest[1:])
	if !ok {
		return wrong("timestamp", s)
	}
	if k == connector.KindTimestampTZ {
		var zone int64
		if zone, rest, ok = parseZone(rest); !ok {
			return wrong("timestamp with time zone", s)
		}
		us -= zone
	}
	if rest != "" {
		return wrong("timestamp", s)
	}
	if day >= math.MaxInt64/microsPerDay || day <= math.MinInt64/microsPerDay {
		return wrong("timestamp within microseconds since 1970", s)
	}
	return connector.Value{Kind: k, Int: day*microsPerDay + us}, nil
}
