package envelope

import (
	"math"
	"strconv"
	"strings"
)

// durationText writes microseconds as an ISO 8601 duration in hours, minutes and seconds. Debezium's numeric mode counts a month as 30.4375 days, so years,
// months and days cannot be had back.
func durationText(us int64) string {
	if us == 0 {
		return "PT0S"
	}
	sign := ""
	u := uint64(us)
	if us < 0 {
		sign, u = "-", -u
	}
	b := []byte("PT")
	part := func(n uint64, letter byte) {
		if n != 0 {
			b = append(b, sign...)
			b = append(strconv.AppendUint(b, n, 10), letter)
		}
	}
	part(u/3600000000, 'H')
	part(u/60000000%60, 'M')
	if rest := u % 60000000; rest != 0 {
		b = append(b, sign...)
		b = strconv.AppendUint(b, rest/1000000, 10)
		b = append(appendFraction(b, int64(rest%1000000)), 'S')
	}
	return string(b)
}

// intervalText rewrites an ISO 8601 duration as Postgres prints it with IntervalStyle iso_8601: no parts that are zero, no zeros at a fraction's end, and
// whole years taken out of the months.
func intervalText(s string) (string, bool) {
	if len(s) < 3 || s[0] != 'P' || len(s) > 200 {
		return "", false
	}
	var months, days, us int64
	var seen bool
	clock := false
	for t := s[1:]; t != ""; {
		if t[0] == 'T' && !clock {
			clock, t = true, t[1:]
			continue
		}
		i := strings.IndexAny(t, "YMWDHS")
		if i < 1 {
			return "", false
		}
		n, ok := scaledMicros(t[:i])
		if !ok {
			return "", false
		}
		whole := n / 1000000
		switch letter := t[i]; {
		case letter == 'S' && clock:
			us += n
		case n%1000000 != 0:
			return "", false
		case letter == 'Y' && !clock:
			months += 12 * whole
		case letter == 'M' && !clock:
			months += whole
		case letter == 'W' && !clock:
			days += 7 * whole
		case letter == 'D' && !clock:
			days += whole
		case letter == 'H' && clock:
			us += 3600 * n
		case letter == 'M' && clock:
			us += 60 * n
		default:
			return "", false
		}
		seen, t = true, t[i+1:]
	}
	if !seen {
		return "", false
	}
	b := []byte("P")
	part := func(n int64, letter byte) {
		if n != 0 {
			b = append(strconv.AppendInt(b, n, 10), letter)
		}
	}
	part(months/12, 'Y')
	part(months%12, 'M')
	part(days, 'D')
	if us != 0 || len(b) == 1 {
		b = append(b, durationText(us)[1:]...)
	}
	return string(b), true
}

// scaledMicros reads a decimal as millionths.
func scaledMicros(s string) (int64, bool) {
	sign := int64(1)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" && frac == "" || digits(whole, 0) != len(whole) || digits(frac, 0) != len(frac) || len(whole) > 9 {
		return 0, false
	}
	if len(frac) > 6 {
		frac = frac[:6]
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 6-len(frac)), 10, 64)
	if err != nil || n > math.MaxInt64/3600 {
		return 0, false
	}
	return sign * n, true
}
