package mapping

import (
	"strconv"

	"brazecdc/connector"
)

// dialing is how a country's national numbers become international ones: the trunk prefix is dropped and the code put before the rest, whose number
// of digits must lie between min and max. Only countries where this holds for all numbers are listed.
type dialing struct {
	code     string
	trunk    string
	min, max int
}

var dialings = map[string]dialing{
	"AT": {"43", "0", 7, 13}, "AU": {"61", "0", 9, 9}, "BE": {"32", "0", 8, 9}, "CA": {"1", "1", 10, 10}, "CH": {"41", "0", 9, 9},
	"CZ": {"420", "", 9, 9}, "DE": {"49", "0", 7, 11}, "DK": {"45", "", 8, 8}, "EE": {"372", "", 7, 8}, "ES": {"34", "", 9, 9},
	"FI": {"358", "0", 6, 11}, "FR": {"33", "0", 9, 9}, "GB": {"44", "0", 9, 10}, "GR": {"30", "", 10, 10}, "IE": {"353", "0", 7, 9},
	"IN": {"91", "0", 10, 10}, "JP": {"81", "0", 9, 10}, "KR": {"82", "0", 8, 10}, "LU": {"352", "", 6, 9}, "NL": {"31", "0", 9, 9},
	"NO": {"47", "", 8, 8}, "NZ": {"64", "0", 8, 10}, "PL": {"48", "", 9, 9}, "PT": {"351", "", 9, 9}, "SE": {"46", "0", 7, 9},
	"SG": {"65", "", 8, 8}, "SI": {"386", "0", 8, 8}, "SK": {"421", "0", 9, 9}, "TR": {"90", "0", 10, 10}, "US": {"1", "1", 10, 10},
}

const notePhone = "not a phone number as + and 7 to 15 digits"

// appendPhone appends a phone number in E.164. What people write between digits goes; a number without + is a national one of the field's country,
// or refused where no country is set, because Braze would read ten digits as a number of the United States (Braze docs, "User phone numbers").
func (s *settings) appendPhone(dst []byte, v connector.Value) ([]byte, string, bool) {
	raw := v.Str
	switch v.Kind {
	case connector.KindText:
	case connector.KindInt:
		raw = strconv.FormatInt(v.Int, 10)
	default:
		return dst, "not text", false
	}
	digits, plus, ok := phoneDigits(raw)
	if !ok {
		return dst, notePhone, false
	}
	if !plus {
		if s.country == nil {
			return dst, "a phone number without + and without a country set for the field", false
		}
		if digits, ok = s.country.international(digits); !ok {
			return dst, "not a national phone number of the field's country", false
		}
	}
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' {
		return dst, notePhone, false
	}
	dst = append(append(dst, '"', '+'), digits...)
	return append(dst, '"'), "", true
}

// phoneDigits strips separators; ok is false where letters or other characters show that it is no number.
func phoneDigits(s string) (digits string, plus, ok bool) {
	b := make([]byte, 0, 20)
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b = append(b, byte(r))
		case r >= '０' && r <= '９':
			b = append(b, byte(r-'０'+'0'))
		case (r == '+' || r == '＋') && len(b) == 0 && !plus:
			plus = true
		default:
			switch r {
			case ' ', '-', '(', ')', '.', '/', '\t', '\n', '\r', '\u00a0', '\u2010', '\u2011', '\u2012', '\u2013', 'ー', '　':
			default:
				return "", false, false
			}
		}
		if len(b) > 20 {
			return "", false, false
		}
	}
	return string(b), plus, len(b) > 0
}

func (d *dialing) international(digits string) (string, bool) {
	if len(digits) > 2 && digits[:2] == "00" && d.code != "1" {
		return digits[2:], true
	}
	if d.trunk != "" && digits[:1] == d.trunk && (d.code != "1" || len(digits) == 11) {
		digits = digits[1:]
	} else if d.trunk == "0" {
		return "", false
	}
	if len(digits) < d.min || len(digits) > d.max {
		return "", false
	}
	return d.code + digits, true
}
