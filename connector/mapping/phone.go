package mapping

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nyaruka/phonenumbers"

	"brazecdc/connector"
)

const (
	notePhone      = "not a phone number that can be dialled internationally"
	notePhoneBare  = "a phone number without + and without a country set for the field"
	notePhoneHere  = "not a national phone number of the field's country"
	notePhoneExtra = "a phone number's extension is not sent"
)

// appendPhone appends a phone number in E.164 (Braze docs, "User phone numbers"). A number without + is a national one of the field's country, or refused
// where no country is set, because Braze would read ten digits as a number of the United States. Of a number only its length is judged, by its country's
// numbering plan, since new ranges are opened faster than programs learn of them.
func (s *settings) appendPhone(dst []byte, v connector.Value) ([]byte, string, bool) {
	raw := v.Str
	switch v.Kind {
	case connector.KindText:
	case connector.KindInt:
		raw = strconv.FormatInt(v.Int, 10)
	case connector.KindJSON:
		t, ok := jsonText(raw)
		if !ok {
			return dst, "not text", false
		}
		raw = t
	default:
		return dst, "not text", false
	}
	digits, plus, plain := phoneDigits(raw)
	if plus && plain && dialable(digits) {
		return append(append(append(dst, '"', '+'), digits...), '"'), "", true
	}
	raw = strings.TrimSpace(raw)
	if len(raw) == 0 || len(raw) > 60 {
		return dst, notePhone, false
	}
	international := strings.ContainsAny(raw, "+＋")
	if !international && s.country == "" {
		if !plain {
			return dst, notePhone, false
		}
		return dst, notePhoneBare, false
	}
	refusal := notePhone
	if !international {
		refusal = notePhoneHere
	}
	n, err := phonenumbers.Parse(raw, s.country)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return dst, refusal, false
	}
	note := ""
	if n.GetExtension() != "" {
		note = notePhoneExtra
	}
	e164 := phonenumbers.Format(n, phonenumbers.E164)
	if len(e164) < 8 || len(e164) > 16 {
		return dst, refusal, false
	}
	return append(append(append(dst, '"'), e164...), '"'), note, true
}

// knownCountry tells whether national numbers of a country, two capital letters, can be made international.
func knownCountry(code string) bool { return phonenumbers.GetCountryCodeForRegion(code) != 0 }

// phoneDigits drops what people write between the digits of a number; ok is false where it has anything else.
func phoneDigits(s string) (digits string, plus, ok bool) {
	var b [20]byte
	n := 0
	for _, r := range s {
		switch {
		case r >= '０' && r <= '９':
			r += '0' - '０'
			fallthrough
		case r >= '0' && r <= '9':
			if n == len(b) {
				return "", false, false
			}
			b[n] = byte(r)
			n++
		case (r == '+' || r == '＋') && n == 0 && !plus:
			plus = true
		default:
			switch r {
			case ' ', '-', '(', ')', '.', '/', '\t', '\n', '\r', '\u00a0', '\u2010', '\u2011', '\u2012', '\u2013', 'ー', '　':
			default:
				return "", false, false
			}
		}
	}
	return string(b[:n]), plus, n > 0
}

// lengths remembers by calling code how many digits its national numbers may have: bit n for n digits, bit 0 for "looked up". The numbering plans judge
// by length alone, and asking them costs a thousand times as much.
var lengths [1000]atomic.Uint32

// dialable tells whether the digits behind a + are a calling code and a number of a possible length. A number that begins with 0, as a few countries'
// do and as people write by mistake, is left to the parser.
func dialable(digits string) bool {
	if len(digits) < 7 || len(digits) > 15 {
		return false // E.164's bounds
	}
	code := 0
	for i := 1; i <= 3 && i < len(digits); i++ {
		code = code*10 + int(digits[i-1]-'0')
		if mask := possible(code); mask > 1 {
			n := len(digits) - i
			return digits[i] != '0' && mask&(1<<n) != 0
		}
	}
	return false
}

// possible gives a calling code's lengths, 1 where there is no such code.
func possible(code int) uint32 {
	if mask := lengths[code].Load(); mask != 0 {
		return mask
	}
	mask := uint32(1)
	if phonenumbers.GetRegionCodeForCountryCode(code) != phonenumbers.UNKNOWN_REGION {
		country := int32(code)
		for n, number := 1, uint64(1); n < 16; n, number = n+1, number*10+1 {
			p := phonenumbers.PhoneNumber{CountryCode: &country, NationalNumber: &number}
			if phonenumbers.IsPossibleNumberWithReason(&p) == phonenumbers.IS_POSSIBLE {
				mask |= 1 << n
			}
		}
	}
	lengths[code].Store(mask)
	return mask
}
