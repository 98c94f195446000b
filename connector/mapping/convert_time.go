package mapping

import (
	"strconv"
	"strings"
	"time"

	"brazecdc/connector"
)

const (
	secondMicros = int64(1_000_000)
	dayMicros    = 86_400 * secondMicros
)

// civil is the Gregorian date of a day counted from 1970-01-01.
func civil(days int64) (year int64, month, day int) {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy-(153*mp+2)/5) + 1
	month = int(mp) + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// The years that ISO 8601 writes with four digits; others, and the infinities, have no form that Braze reads.
const minYear, maxYear = 0, 9999

// appendDate appends YYYY-MM-DD; ok is false for infinities and years outside 0 to 9999.
func appendDate(dst []byte, days int64) (out []byte, ok bool) {
	if days < -800_000 || days > 3_000_000 {
		return dst, false
	}
	y, m, d := civil(days)
	if y < minYear || y > maxYear {
		return dst, false
	}
	dst = append(dst, byte('0'+y/1000), byte('0'+y/100%10))
	dst = append2(dst, int(y%100))
	dst = append2(append(dst, '-'), m)
	return append2(append(dst, '-'), d), true
}

// appendClock appends HH:MM:SS, with six digits of a second where they are not zero.
func appendClock(dst []byte, us int64) []byte {
	s := us / secondMicros
	dst = append2(dst, int(s/3600%100))
	dst = append2(append(dst, ':'), int(s/60%60))
	dst = append2(append(dst, ':'), int(s%60))
	if f := us % secondMicros; f > 0 {
		dst = append(dst, '.')
		for div := int64(100_000); div > 0; div /= 10 {
			dst = append(dst, byte('0'+f/div%10))
		}
	}
	return dst
}

// appendInstant appends microseconds since 1970 UTC as RFC 3339 with Z.
func appendInstant(dst []byte, us int64) (out []byte, ok bool) {
	days := floorDiv(us, dayMicros)
	from := len(dst)
	if dst, ok = appendDate(dst, days); !ok {
		return dst[:from], false
	}
	return append(appendClock(append(dst, 'T'), us-days*dayMicros), 'Z'), true
}

// localMicros is the instant, in microseconds UTC, at which clocks in zone show the given one. A time that a change of clocks skips is read with
// the offset before the change (02:30 becomes 03:30 summer time); one that occurs twice is its first occurrence. Java reads both the same way.
func localMicros(us int64, zone *time.Location) int64 {
	if zone == time.UTC || us == connector.PosInfinity || us == connector.NegInfinity {
		return us
	}
	if us > 1<<61 || us < -1<<61 {
		return us
	}
	offset := func(at int64) int64 {
		_, o := time.UnixMicro(at).In(zone).Zone()
		return int64(o) * secondMicros
	}
	before, after := offset(us-dayMicros), offset(us+dayMicros)
	first := us - before
	if offset(first) == before {
		return first
	}
	if second := us - after; offset(second) == after {
		return second
	}
	return first
}

// timeLayouts are the forms of text that a field of type time reads, the ones Braze reads for attributes among them (Braze docs, "Custom
// attribute data types").
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05-07", "2006-01-02 15:04:05Z0700",
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "01/02/2006",
}

// parseTime reads text as a time; without an offset it is read in zone, as timestamps without zone are.
func parseTime(s string, zone *time.Location) (us int64, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) < 10 || len(s) > 40 {
		return 0, false
	}
	for i, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if i >= 5 && i < 9 {
			return localMicros(t.UnixMicro(), zone), true
		}
		return t.UnixMicro(), true
	}
	return 0, false
}

// appendTime appends a value as a time for a field declared as one.
func (s *settings) appendTime(dst []byte, v connector.Value) ([]byte, string, bool) {
	us, ok := int64(0), false
	switch v.Kind {
	case connector.KindTimestampTZ:
		us, ok = v.Int, true
	case connector.KindTimestamp:
		us, ok = localMicros(v.Int, s.zone), true
	case connector.KindDate:
		if v.Int > -1<<30 && v.Int < 1<<30 {
			us, ok = v.Int*dayMicros, true
		}
	case connector.KindText:
		us, ok = parseTime(v.Str, s.zone)
		if !ok {
			return dst, "not a time", false
		}
	case connector.KindJSON:
		if t, is := jsonText(v.Str); is {
			return s.appendTime(dst, connector.Value{Kind: connector.KindText, Str: t})
		}
		return dst, "not a time", false
	default:
		return dst, "not a time", false
	}
	if ok {
		dst = append(dst, '"')
		if dst, ok = appendInstant(dst, us); ok {
			return append(dst, '"'), "", true
		}
	}
	return dst, "an infinite time, or one outside the years 0 to 9999", false
}

// birthday reads a date that begins with its year; where day and month stand before it, which is which is a guess.
func birthday(s string) (days int64, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 10 && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	for _, layout := range []string{time.DateOnly, "2006/01/02", "2006.01.02", "20060102"} {
		if d, err := time.Parse(layout, s); err == nil {
			return floorDiv(d.Unix(), 86_400), true
		}
	}
	return 0, false
}

// appendDOB appends a date of birth as YYYY-MM-DD: a date and a timestamp as they stand, an instant by the calendar of the configured zone, text
// or a number that begins with the year.
func (s *settings) appendDOB(dst []byte, v connector.Value) ([]byte, string, bool) {
	var days int64
	switch v.Kind {
	case connector.KindDate:
		days = v.Int
	case connector.KindTimestamp:
		days = floorDiv(v.Int, dayMicros)
	case connector.KindTimestampTZ:
		t := microTime(v.Int).In(s.zone)
		y, m, d := t.Date()
		days = floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86_400)
	case connector.KindText, connector.KindJSON, connector.KindInt:
		text, _ := textOf(v)
		if v.Kind == connector.KindInt {
			text = strconv.FormatInt(v.Int, 10)
		}
		var ok bool
		if days, ok = birthday(text); !ok {
			return dst, "not a date as YYYY-MM-DD", false
		}
	default:
		return dst, "not a date", false
	}
	dst = append(dst, '"')
	dst, ok := appendDate(dst, days)
	if !ok {
		return dst, "an infinite date, or one outside the years " + strconv.Itoa(minYear) + " to " + strconv.Itoa(maxYear), false
	}
	return append(dst, '"'), "", true
}
