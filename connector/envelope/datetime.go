package envelope

import (
	"math"
	"strconv"
	"strings"

	"brazecdc/connector"
)

const microsPerDay = 24 * 60 * 60 * 1000000

// What the Postgres driver inside Debezium makes of infinity, in microseconds, and what overflow makes of it in the other units (Debezium 2.7 and 3.6;
// the days are as recorded from a real connector, with the greater number for -infinity).
const (
	infMicros    = 9223372036825200000
	negInfMicros = -9223372036832400000
	infDays      = -2147472692
	negInfDays   = -2147472691
)

// unit is what one step of an encoded time is; the value is its length in nanoseconds.
type unit int64

const (
	nanos  unit = 1
	micros unit = 1000
	millis unit = 1000000
)

// microsOf turns a count of u into microseconds, downwards; ok is false on overflow.
func (u unit) microsOf(n int64) (int64, bool) {
	switch u {
	case nanos:
		q := n / 1000
		if n%1000 < 0 {
			q--
		}
		return q, true
	case micros:
		return n, true
	}
	f := int64(u / micros)
	if n > math.MaxInt64/f || n < math.MinInt64/f {
		return 0, false
	}
	return n * f, true
}

// timestampOf reads an encoded timestamp, the extreme numbers as infinity.
func (u unit) timestampOf(n int64) (int64, bool) {
	pos, neg := int64(infMicros), int64(negInfMicros)
	switch u {
	case millis:
		pos, neg = pos/1000, neg/1000
	case nanos:
		pos, neg = overflow(pos), overflow(neg)
	}
	switch n {
	case pos, math.MaxInt64:
		return connector.PosInfinity, true
	case neg, math.MinInt64:
		return connector.NegInfinity, true
	}
	return u.microsOf(n)
}

// overflow is n times 1000 as a 64-bit multiplication leaves it.
func overflow(n int64) int64 { return int64(uint64(n) * 1000) }

func dateOf(n int64) int64 {
	switch n {
	case infDays, math.MaxInt32:
		return connector.PosInfinity
	case negInfDays, math.MinInt32:
		return connector.NegInfinity
	}
	return n
}

// num reads leading digits of s and gives what follows.
func num(s string) (n int64, count int, rest string) {
	for count < len(s) && count < 10 && s[count] >= '0' && s[count] <= '9' {
		n = n*10 + int64(s[count]-'0')
		count++
	}
	return n, count, s[count:]
}

// parseDay reads an ISO 8601 day at the start of s: "2024-02-29", "-0043-03-15" (44 BC), "+12345-01-01".
func parseDay(s string) (day int64, rest string, ok bool) {
	t, sign := s, int64(1)
	if t != "" && (t[0] == '-' || t[0] == '+') {
		if t[0] == '-' {
			sign = -1
		}
		t = t[1:]
	}
	y, ny, t := num(t)
	if ny < 4 || ny > 7 || !strings.HasPrefix(t, "-") {
		return 0, "", false
	}
	m, nm, t := num(t[1:])
	if nm != 2 || m < 1 || m > 12 || !strings.HasPrefix(t, "-") {
		return 0, "", false
	}
	d, nd, t := num(t[1:])
	if nd != 2 || d < 1 || d > 31 {
		return 0, "", false
	}
	return connector.DayNumber(sign*y, m, d), t, true
}

// parseClock reads "07:30", "07:30:15" or "07:30:15.123456789" at the start of s; digits beyond microseconds are cut.
func parseClock(s string) (us int64, rest string, ok bool) {
	h, nh, t := num(s)
	if nh != 2 || h > 24 || !strings.HasPrefix(t, ":") {
		return 0, "", false
	}
	m, nm, t := num(t[1:])
	if nm != 2 || m > 59 {
		return 0, "", false
	}
	us = (h*60 + m) * 60 * 1000000
	if !strings.HasPrefix(t, ":") {
		return us, t, us <= microsPerDay
	}
	sec, ns, t := num(t[1:])
	if ns != 2 || sec > 60 {
		return 0, "", false
	}
	us += sec * 1000000
	if strings.HasPrefix(t, ".") {
		f, nf, r := num(t[1:])
		if nf < 1 || nf > 9 {
			return 0, "", false
		}
		for ; nf < 9; nf++ {
			f *= 10
		}
		us, t = us+f/1000, r
	}
	return us, t, us <= microsPerDay
}

// parseZone reads "Z", "+02", "+02:00" or "+0200" up to the end of s, in microseconds east of UTC. Nothing at all is "no zone": ok with has false.
func parseZone(s string) (east int64, has, ok bool) {
	if s == "" {
		return 0, false, true
	}
	if s == "Z" || s == "z" {
		return 0, true, true
	}
	sign := int64(1)
	switch s[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false, false
	}
	t := strings.ReplaceAll(s[1:], ":", "")
	if digits(t, 0) != len(t) || (len(t) != 2 && len(t) != 4 && len(t) != 6) {
		return 0, false, false
	}
	for len(t) < 6 {
		t += "00"
	}
	n, _, _ := num(t)
	if n/10000 > 18 || n/100%100 > 59 || n%100 > 59 {
		return 0, false, false
	}
	return sign * (n/10000*3600 + n/100%100*60 + n%100) * 1000000, true, true
}

func parseDate(s string) (int64, bool) {
	switch s {
	case "infinity":
		return connector.PosInfinity, true
	case "-infinity":
		return connector.NegInfinity, true
	}
	day, rest, ok := parseDay(s)
	if _, _, zone := parseZone(rest); !ok || !zone {
		return 0, false
	}
	// The isostring mode runs the extreme numbers through a 32-bit day.
	return dateOf(day), true
}

// parseTimestamp reads an ISO 8601 timestamp. With zoned, a zone is wanted and taken off; else one that is there must be UTC, which Debezium adds to
// clocks without zone.
func parseTimestamp(s string, zoned bool) (int64, bool) {
	switch s {
	case "infinity":
		return connector.PosInfinity, true
	case "-infinity":
		return connector.NegInfinity, true
	}
	day, rest, ok := parseDay(s)
	if !ok || rest == "" || (rest[0] != 'T' && rest[0] != ' ' && rest[0] != 't') {
		return 0, false
	}
	us, rest, ok := parseClock(rest[1:])
	if !ok {
		return 0, false
	}
	rest, _, _ = strings.Cut(rest, "[") // a region's name, as in 2024-02-29T12:00:00+01:00[Europe/Berlin]
	east, has, ok := parseZone(rest)
	if !ok || has != zoned && zoned || !zoned && east != 0 {
		return 0, false
	}
	// The product may overflow and the sum come back. What is beyond 64 bits of microseconds shows in the sign.
	t := day*microsPerDay + us - east
	if day > math.MaxInt64/microsPerDay+1 || day < math.MinInt64/microsPerDay-1 || (day > 1 && t < 0) || (day < -1 && t > 0) {
		return 0, false
	}
	if !zoned {
		t, ok = micros.timestampOf(t)
	}
	return t, ok
}

// parseTimeTZ writes a time with zone as Postgres prints it: "05:30:15.123456+00". Debezium turns it to UTC, so the zone it had is lost.
func parseTimeTZ(s string) (string, bool) {
	us, rest, ok := parseClock(s)
	east, has, zone := parseZone(rest)
	if !ok || !zone || !has {
		return "", false
	}
	b := make([]byte, 0, 24)
	sec := us / 1000000
	b = appendTwo(b, sec/3600)
	b = appendTwo(append(b, ':'), sec/60%60)
	b = appendTwo(append(b, ':'), sec%60)
	b = appendFraction(b, us%1000000)
	sign := byte('+')
	if east < 0 {
		sign, east = '-', -east
	}
	b = appendTwo(append(b, sign), east/3600000000)
	if m := east / 60000000 % 60; m != 0 || east/1000000%60 != 0 {
		b = appendTwo(append(b, ':'), m)
	}
	if s := east / 1000000 % 60; s != 0 {
		b = appendTwo(append(b, ':'), s)
	}
	return string(b), true
}

func appendTwo(b []byte, n int64) []byte {
	if n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, n, 10)
}

// appendFraction appends microseconds behind a point without trailing zeros, nothing for none.
func appendFraction(b []byte, us int64) []byte {
	if us == 0 {
		return b
	}
	t := strconv.FormatInt(us+1000000, 10)[1:]
	return append(append(b, '.'), strings.TrimRight(t, "0")...)
}
