package connector

import "math"

// ValueKind names the type of a Value. Both sources use the same kind for the same column type.
type ValueKind uint8

// The kinds of a Value, and which member of Value carries it.
const (
	KindNull        ValueKind = iota // SQL NULL; no member
	KindBool                         // Int is 0 or 1
	KindInt                          // Int
	KindFloat                        // Float; NaN and infinities are possible
	KindDecimal                      // Str, exact canonical digits with their scale ("12.50"), or "NaN", "Infinity", "-Infinity"
	KindText                         // Str; also char, varchar, citext, enum, uuid, inet and every type without a kind of its own
	KindDate                         // Int, days since 1970-01-01, or PosInfinity, NegInfinity
	KindTime                         // Int, microseconds since midnight; 24:00:00 is possible
	KindTimeTZ                       // Str, as Postgres prints it ("09:30:00+02")
	KindTimestamp                    // Int, microseconds since 1970-01-01 00:00 on a clock without zone, or an infinity
	KindTimestampTZ                  // Int, microseconds since 1970-01-01 00:00 UTC, or an infinity
	KindInterval                     // Str, ISO 8601 duration ("P1Y2M3DT4H5M6.5S")
	KindJSON                         // Str, one valid JSON text as the source stores it
	KindBytes                        // Str, raw bytes
	KindArray                        // List; elements may be KindNull, and KindArray where there are more dimensions
)

// PosInfinity and NegInfinity stand in Value.Int for Postgres' infinity and -infinity of date, timestamp and timestamptz.
const (
	PosInfinity = math.MaxInt64
	NegInfinity = math.MinInt64
)

// Value is one decoded column value: exactly one member holds it, as ValueKind tells. It is plain data and may be copied.
type Value struct {
	Kind  ValueKind
	Int   int64
	Float float64
	Str   string
	List  []Value
}

// DayNumber counts a date's days since 1970-01-01 in the proleptic Gregorian calendar, as KindDate holds them; year 0 is 1 BC. It does not check that the
// date exists.
func DayNumber(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	ofEra := year - era*400
	ofYear := (153*((month+9)%12)+2)/5 + day - 1
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719468
}
