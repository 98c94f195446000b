package envelope

import (
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds the digits that a number with an exponent or a scale is written out to.
const maxDigits = 2000

// unscaled writes the big-endian two's complement b as a decimal with scale digits behind the point.
func unscaled(b string, scale int) (string, bool) {
	if len(b) == 0 || len(b) > maxDigits/2 || scale > maxDigits || scale < -maxDigits {
		return "", false
	}
	var n []byte
	var buf [24]byte
	if len(b) <= 8 {
		var full [8]byte
		if b[0] >= 0x80 {
			for i := range full {
				full[i] = 0xff
			}
		}
		copy(full[8-len(b):], b)
		n = strconv.AppendInt(buf[:0], int64(binary.BigEndian.Uint64(full[:])), 10)
	} else {
		x := new(big.Int).SetBytes([]byte(b))
		if b[0] >= 0x80 {
			x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		n = x.Append(nil, 10)
	}
	return point(string(n), scale), true
}

// point puts the decimal point of an integer scale digits from its end.
func point(n string, scale int) string {
	if scale == 0 {
		return n
	}
	sign := ""
	if n[0] == '-' {
		sign, n = "-", n[1:]
	}
	if scale < 0 {
		if n == "0" {
			return n
		}
		return sign + n + strings.Repeat("0", -scale)
	}
	if len(n) <= scale {
		n = strings.Repeat("0", scale-len(n)+1) + n
	}
	return sign + n[:len(n)-scale] + "." + n[len(n)-scale:]
}

// plainDecimal writes a number's text without exponent, leading plus or needless zeros before the point; digits behind the point stay. ok is false where
// it is no number, or too long written out.
func plainDecimal(s string) (out string, ok bool) {
	mantissa, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(s[i+1:]); err != nil || exp > maxDigits || exp < -maxDigits {
			return "", false
		}
		mantissa = s[:i]
	}
	sign := ""
	switch {
	case strings.HasPrefix(mantissa, "-"):
		sign, mantissa = "-", mantissa[1:]
	case strings.HasPrefix(mantissa, "+"):
		mantissa = mantissa[1:]
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	if whole+frac == "" || len(mantissa) > maxDigits || digits(whole, 0) != len(whole) || digits(frac, 0) != len(frac) {
		return "", false
	}
	if exp == 0 && sign == "" && (whole == "0" || (whole != "" && whole[0] != '0')) && (frac != "" || len(whole) == len(mantissa)) {
		return mantissa, true
	}
	n := strings.TrimLeft(whole+frac, "0")
	zero := n == ""
	if zero {
		n = "0"
	}
	scale := len(frac) - exp
	if exp != 0 && scale > 0 { // an exponent means a double: "1.0E7" is 10000000, "1.0E-4" is 0.0001
		for scale > 0 && len(n) > 1 && n[len(n)-1] == '0' {
			n, scale = n[:len(n)-1], scale-1
		}
		if zero {
			scale = 0
		}
	}
	if zero {
		sign = "" // Postgres' numeric has no negative zero
		if scale < 0 {
			scale = 0
		}
	}
	return point(sign+n, scale), true
}

// rescale gives a plain decimal exactly scale digits behind the point, if it has no others than zeros beyond.
func rescale(s string, scale int) string {
	whole, frac, _ := strings.Cut(s, ".")
	for len(frac) > scale && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(frac) < scale && scale <= maxDigits {
		frac += strings.Repeat("0", scale-len(frac))
	}
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// decimalWord tells whether s is one of the words for what has no digits.
func decimalWord(s string) bool {
	_, ok := decimalText(s, -1)
	return ok && s != "" && s[len(s)-1] > '9'
}

// decimalText reads a decimal's text as Debezium's string and double modes write it.
func decimalText(s string, scale int) (string, bool) {
	switch s {
	case "NAN", "NaN":
		return "NaN", true
	case "POSITIVE_INFINITY", "Infinity":
		return "Infinity", true
	case "NEGATIVE_INFINITY", "-Infinity":
		return "-Infinity", true
	}
	d, ok := plainDecimal(s)
	if ok && scale >= 0 {
		d = rescale(d, scale)
	}
	return d, ok
}
