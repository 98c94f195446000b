package mapping_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones are there on every machine

	"brazecdc/connector"
)

type conversion struct {
	kind connector.ValueKind
	raw  string
	want string
	note string
}

func convertAll(t *testing.T, f connector.FieldMap, preset bool, zone *time.Location, cs []conversion) {
	t.Helper()
	for _, c := range cs {
		got, notes := one(t, c.kind, c.raw, f, preset, zone)
		if got != c.want {
			t.Errorf("%.60q: got %.300s, want %s", c.raw, got, c.want)
		}
		if all := strings.Join(notes, "|"); !strings.Contains(all, c.note) || (c.note == "" && all != "") {
			t.Errorf("%.60q: notes %q, want %q", c.raw, all, c.note)
		}
	}
}

const (
	kInt, kText, kDec, kFloat = connector.KindInt, connector.KindText, connector.KindDecimal, connector.KindFloat
	kJSON, kArr, kBytes       = connector.KindJSON, connector.KindArray, connector.KindBytes
	kDate, kTS, kTSTZ         = connector.KindDate, connector.KindTimestamp, connector.KindTimestampTZ
	out                       = "left out"
)

func custom(typ string) connector.FieldMap {
	return connector.FieldMap{Name: "a", Type: typ, Path: "p"}
}

func preset(name string) connector.FieldMap { return connector.FieldMap{Name: name, Path: "p"} }

func berlin(t *testing.T) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestCasesValues(t *testing.T) {
	long := strings.Repeat("9", 400)
	t.Run("case 29: numerics", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kDec, "12.50", "12.5", ""}, {kDec, "0.10", "0.1", ""}, {kDec, "100", "100", ""}, {kDec, "-0.00", "0", ""}, {kDec, "-12.00", "-12", ""},
			{kDec, "0", "0", ""}, {kDec, "007.50", "7.5", ""},
			{kDec, "12345678901234567890.12", `"12345678901234567890.12"`, "more digits than a double"},
			{kDec, "9007199254740993", `"9007199254740993"`, "more digits than a double"}, {kDec, "9007199254740992", "9007199254740992", ""},
			{kDec, "0.1234567890123456", "0.1234567890123456", ""}, {kDec, "0.123456789012345678901", `"0.123456789012345678901"`, "more digits"},
			{kDec, long, out, "longer than 255"},
			{kInt, "9007199254740992", "9007199254740992", ""}, {kInt, "9007199254740993", `"9007199254740993"`, "beyond 2^53"},
			{kInt, "-9223372036854775808", `"-9223372036854775808"`, "beyond 2^53"},
		})
		convertAll(t, custom("number"), false, nil, []conversion{
			{kDec, "12345678901234567890.12", "12345678901234567890.12", "may round"}, {kText, " 12.50 ", "12.5", ""}, {kText, "1e3", "1000", ""},
			{kText, "12,5", out, "not a number"}, {kText, "NaN", out, "not a number"}, {kText, "0x10", out, "not a number"}, {kDec, long, out, "beyond the range"},
			{kJSON, `"12.50"`, "12.5", ""}, {kJSON, "3", "3", ""}, {kJSON, "[3]", out, "not a number"},
		})
		convertAll(t, custom("string"), false, nil, []conversion{
			{kDec, "12.50", `"12.5"`, ""}, {kInt, "42", `"42"`, ""}, {kDec, "12345678901234567890.12", `"12345678901234567890.12"`, ""},
			{connector.KindBool, "t", `"true"`, ""}, {kDate, "1990-05-04", `"1990-05-04"`, ""}, {kFloat, "NaN", out, "infinity"}, {kJSON, `{"a": 1}`, `"{\"a\":1}"`, ""},
			{kArr, "{a,b}", `"[\"a\",\"b\"]"`, ""}, {kBytes, "\x00\xff", `"AP8="`, ""},
		})
	})
	t.Run("case 32: JSON stays JSON, text stays text unless parsing is declared", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"lang": "ja"}`, `{"lang":"ja"}`, ""}, {kText, `{"lang":"ja"}`, `"{\"lang\":\"ja\"}"`, ""}, {kJSON, `[1, 2.50]`, `[1,2.50]`, ""},
			{kJSON, `"x"`, `"x"`, ""}, {kJSON, `null`, `null`, ""}, {kJSON, `{"a":`, out, "not valid JSON"}, {kJSON, `{"a":1}x`, out, "not valid JSON"},
			{kJSON, `01`, out, "not valid JSON"}, {kJSON, ``, out, "not valid JSON"},
		})
		convertAll(t, custom("object"), false, nil, []conversion{
			{kText, ` {"lang": "ja"}`, `{"lang":"ja"}`, ""}, {kText, "[1]", out, "not an object"}, {kText, "", out, "not an object"}, {kJSON, `"{\"a\":1}"`, `{"a":1}`, ""},
			{kArr, "{a}", out, "not an object"},
		})
		convertAll(t, custom("array"), false, nil, []conversion{
			{kText, "[1,null,2]", "[1,2]", ""}, {kArr, "{a}", `["a"]`, ""}, {kJSON, "[]", "[]", ""}, {kInt, "1", out, "not an array"},
		})
	})
	t.Run("case 33: bytes are left out with one warning a column, other columns are sent", func(t *testing.T) {
		tab := table("public.users", "id", col{"id", kInt}, col{"external_id", kText}, col{"photo", kBytes}, col{"ip", kText}, col{"span", connector.KindInterval},
			col{"clock", connector.KindTime}, col{"ids", kArr})
		m := m0("sync")
		m.Fields, m.Custom = nil, []connector.FieldMap{column("photo", "photo"), column("ip", "ip"), column("span", "span"), column("clock", "clock"), column("ids", "ids")}
		b := newBench(t, tab, configOf(m))
		for range 3 {
			want(t, b.do(connector.Insert, connector.Row{}, row(tab, []string{"1", "u1", "\x00\xff", "10.0.0.1/32", "P1DT2H", "09:30:00.5", "{a,NULL}"})),
				`track u1 creates whole {"ip":"10.0.0.1/32","span":"P1DT2H","clock":"09:30:00.500000","ids":["a"]}`)
		}
		if len(b.notes) != 1 || !strings.HasPrefix(b.notes[0], "photo: bytes") {
			t.Errorf("notes: %q", b.notes)
		}
	})
	t.Run("case 35: NaN, infinities and far years are left out", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kDec, "NaN", out, "NaN"}, {kDec, "Infinity", out, "infinity"}, {kFloat, "Infinity", out, "infinity"}, {kFloat, "NaN", out, "NaN"},
			{kFloat, "0.1", "0.1", ""}, {kFloat, "1e300", "1e+300", ""}, {kDate, "infinity", out, "infinite date"}, {kTSTZ, "-infinity", out, "infinite time"},
			{kTS, "infinity", out, "infinite"}, {kDate, "10000-01-01 BC", out, "infinite date"}, {kDate, "0001-01-01", `"0001-01-01"`, ""}, {kDate, "9999-12-31", `"9999-12-31"`, ""},
		})
		convertAll(t, preset("dob"), true, nil, []conversion{{kDate, "infinity", out, "infinite date"}, {kTSTZ, "-infinity", out, "infinite date"}})
	})
	t.Run("case 36: leading zeros stay", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{{kText, "0130", `"0130"`, ""}})
	})
	t.Run("case 37: booleans as text", func(t *testing.T) {
		convertAll(t, custom("bool"), false, nil, []conversion{
			{kText, "t", "true", ""}, {kText, "TRUE", "true", ""}, {kText, "yes", "true", ""}, {kText, "1", "true", ""}, {kInt, "1", "true", ""},
			{kText, "0", "false", ""}, {kText, "maybe", out, "not a boolean"}, {kInt, "2", out, "not a boolean"}, {kDec, "1.00", "true", ""}, {kJSON, "true", "true", ""},
		})
		convertAll(t, custom(""), false, nil, []conversion{{kText, "t", `"t"`, ""}})
	})
	t.Run("case 38: dates and zones", func(t *testing.T) {
		for _, zone := range []string{"Asia/Tokyo", "America/New_York", "UTC"} {
			z, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			convertAll(t, preset("dob"), true, z, []conversion{
				{kDate, "1990-05-04", `"1990-05-04"`, ""}, {kText, "1990-05-04", `"1990-05-04"`, ""}, {kTS, "1990-05-04 23:30:00", `"1990-05-04"`, ""},
				{kText, "1990-05-04T23:30:00Z", `"1990-05-04"`, ""}, {kText, "04.05.1990", out, "not a date"}, {kInt, "5", out, "not a date"}, {kInt, "19900504", `"1990-05-04"`, ""},
				{kText, "1990/05/04", `"1990-05-04"`, ""}, {kJSON, `"1990-05-04"`, `"1990-05-04"`, ""}, {kText, "1990-02-30", out, "not a date"}, {kJSON, "{}", out, "not a date"}, {kDate, "0044-03-15", `"0044-03-15"`, ""},
			})
		}
		convertAll(t, custom(""), false, berlin(t), []conversion{
			{kTS, "2026-03-29 02:30:00", `"2026-03-29T01:30:00Z"`, ""}, // the gap: read as 02:30+01
			{kTS, "2026-03-29 01:59:59", `"2026-03-29T00:59:59Z"`, ""}, {kTS, "2026-03-29 03:00:00", `"2026-03-29T01:00:00Z"`, ""},
			{kTS, "2026-10-25 02:30:00", `"2026-10-25T00:30:00Z"`, ""}, // twice: the first, +02
			{kTS, "2026-10-25 03:00:00", `"2026-10-25T02:00:00Z"`, ""}, {kTS, "2026-07-01 12:00:00", `"2026-07-01T10:00:00Z"`, ""},
			{kTSTZ, "2026-11-01 09:00:00.123456+09", `"2026-11-01T00:00:00.123456Z"`, ""}, {kTSTZ, "1969-12-31 23:59:59.999999Z", `"1969-12-31T23:59:59.999999Z"`, ""},
		})
		convertAll(t, custom("time"), false, berlin(t), []conversion{
			{kText, "2026-11-01T09:00:00+09:00", `"2026-11-01T00:00:00Z"`, ""}, {kText, "2026-11-01 09:00:00+09", `"2026-11-01T00:00:00Z"`, ""},
			{kText, "2026-07-01 12:00:00", `"2026-07-01T10:00:00Z"`, ""}, {kText, "2026-07-01", `"2026-07-01T00:00:00Z"`, ""}, {kDate, "2026-07-01", `"2026-07-01T00:00:00Z"`, ""},
			{kText, "soon", out, "not a time"}, {kInt, "1700000000", out, "not a time"}, {kJSON, `"2026-07-01"`, `"2026-07-01T00:00:00Z"`, ""},
		})
	})
	t.Run("case 56: e-mail and phone formats", func(t *testing.T) {
		convertAll(t, preset("email"), true, nil, []conversion{
			{kInt, "42", out, "not text"}, {kText, "foo@", out, "not an e-mail"}, {kText, " A@X.io\n", `"a@x.io"`, ""}, {kText, "a b@x.io", out, "not an e-mail"},
			{kText, "ä@x.io", `"ä@x.io"`, ""}, {kText, "a@ü.de", out, "not an e-mail"}, {kText, "a@b", out, "not an e-mail"}, {kText, "a@1.2.3.4", out, "not an e-mail"},
			{kText, "a..b@x.io", out, "not an e-mail"}, {kText, "@x.io", out, "not an e-mail"}, {kText, "a@-x.io", out, "not an e-mail"}, {kText, "a@x..io", out, "not an e-mail"},
			{kText, "a+b@xn--bcher-kva.example", `"a+b@xn--bcher-kva.example"`, ""}, {kText, "", out, "not an e-mail"}, {kText, "a@x.xn--p1ai", `"a@x.xn--p1ai"`, ""},
			{kText, "x@gmail.com", out, "not an e-mail"}, {kText, "xy@GMail.com", `"xy@gmail.com"`, ""}, {kText, "a\u00a0b@x.io", out, "not an e-mail"}, {kText, "a@x.c0m", out, "not an e-mail"},
			{kText, "a\u200bb@x.io", out, "not an e-mail"}, {kText, strings.Repeat("a", 65) + "@x.io", out, "not an e-mail"}, {kJSON, `"A@X.io"`, `"a@x.io"`, ""}, {kText, "\"a b\"@x.io", out, "not an e-mail"},
		})
		jp, de, us := preset("phone"), preset("phone"), preset("phone")
		jp.Country, de.Country, us.Country = "JP", "de", "US"
		convertAll(t, jp, true, nil, []conversion{{kText, "090-1234-5678", `"+819012345678"`, ""}, {kText, "12", out, "not a national"}, {kText, "+49 171 1234567", `"+491711234567"`, ""}})
		convertAll(t, de, true, nil, []conversion{{kText, "(0171) 123 45 67", `"+491711234567"`, ""}, {kText, "0043 660 1234567", `"+436601234567"`, ""}, {kText, "171 1234567", `"+491711234567"`, ""}, {kInt, "1711234567", `"+491711234567"`, ""}, {kText, "110", out, "not a national"}})
		convertAll(t, us, true, nil, []conversion{{kText, "212-555-0100", `"+12125550100"`, ""}, {kText, "1 212 555 0100", `"+12125550100"`, ""}, {kText, "555-0100", out, "not a national"}})
		convertAll(t, preset("phone"), true, nil, []conversion{
			{kText, "+81 90-1234-5678", `"+819012345678"`, ""}, {kText, "2125550100", out, "without +"}, {kText, "+12", out, "not a phone"}, {kText, "call me", out, "not a phone"},
			{kText, "+1234567890123456", out, "not a phone"}, {kText, "", out, "not a phone"}, {kText, "+0123456789", out, "not a phone"},
			{kText, "+999 123456789", out, "not a phone"}, {kText, "+49 (0)171 1234567", `"+491711234567"`, ""}, {kText, "＋４９ 171 1234567", `"+491711234567"`, ""},
			{kText, "+1 212 555 0100 ext. 5", `"+12125550100"`, "extension"}, {kText, "+39 06 698 12345", `"+390669812345"`, ""}, {kText, "+1 800 FLOWERS", `"+18003569377"`, ""},
			{kJSON, `"+81 90-1234-5678"`, `"+819012345678"`, ""}, {kJSON, "{}", out, "not text"}, {kText, "+4", out, "not a phone"}, {kText, strings.Repeat("+1", 99), out, "not a phone"},
		})
	})
	t.Run("case 71: sizes", func(t *testing.T) {
		big := `{"a":["` + strings.Repeat("x", 200) + strings.Repeat(`","`+strings.Repeat("x", 200), 510) + `"]}`
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, big, out, "larger than 100 KB"}, {kText, strings.Repeat("x", 256), out, "longer than 255"}, {kText, strings.Repeat("語", 255), `"` + strings.Repeat("語", 255) + `"`, ""},
			{kJSON, `{"a":"` + strings.Repeat("x", 256) + `","b":1}`, `{"b":1}`, "nested string"}, {kJSON, strings.Repeat("[", 500) + strings.Repeat("]", 500), out, "too deeply"},
			{kArr, "{" + strings.Repeat("x", 256) + ",b}", `["b"]`, "in an element: longer"},
		})
	})
	t.Run("case 83: country and language", func(t *testing.T) {
		convertAll(t, preset("country"), true, nil, []conversion{
			{kText, "Japan", `"JP"`, ""}, {kText, "jp", `"JP"`, ""}, {kText, "JPN", `"JP"`, ""}, {kText, " de ", `"DE"`, ""}, {kText, "united kingdom", `"GB"`, ""}, {kText, "UK", `"GB"`, ""},
			{kText, "Deutschland", `"DE"`, ""}, {kText, "ALLEMAGNE", `"DE"`, ""}, {kText, "日本", `"JP"`, ""}, {kText, "España", `"ES"`, ""}, {kText, "South Korea", `"KR"`, ""},
			{kText, "The Netherlands", `"NL"`, ""}, {kText, "Türkiye", `"TR"`, ""}, {kText, "Österreich", `"AT"`, ""}, {kText, "XK", out, "not a country"}, {kJSON, `"Japan"`, `"JP"`, ""},
			{kText, "Niger", `"NE"`, ""}, {kText, "Guinea", `"GN"`, ""}, {kText, "Georgia", `"GE"`, ""}, {kInt, "81", out, "not text"}, {kText, "USA", `"US"`, ""}, {kText, "Hong Kong", `"HK"`, ""},
			{kText, "Narnia", out, "not a country"}, {kText, "EU", out, "not a country"}, {kText, "XX", out, "not a country"}, {kText, "392", out, "not a country"}, {kText, "", out, "not a country"},
		})
		convertAll(t, preset("language"), true, nil, []conversion{
			{kText, "DE", `"de"`, ""}, {kText, "de-AT", `"de"`, ""}, {kText, "de_AT.UTF-8", `"de"`, ""}, {kText, "deu", `"de"`, ""}, {kText, "ja", `"ja"`, ""},
			{kText, "German", `"de"`, ""}, {kText, "Deutsch", `"de"`, ""}, {kText, "日本語", `"ja"`, ""}, {kText, "français", `"fr"`, ""}, {kText, "zh-Hant-TW", `"zh"`, ""}, {kText, "iw", `"he"`, ""},
			{kText, "klingon", out, "not a language"}, {kText, "xq", out, "not a language"},
		})
	})
	t.Run("cdc 67: a numeric goes out by its digits, as number or text by choice, never with an exponent", func(t *testing.T) {
		digits := "12345678901234567890.12345678901234567890"
		convertAll(t, custom(""), false, nil, []conversion{{kDec, "7000", "7000", ""}, {kDec, "1" + strings.Repeat("0", 21), "1" + strings.Repeat("0", 21), ""}, {kDec, "-0", "0", ""},
			{kDec, digits, `"` + strings.TrimSuffix(digits, "0") + `"`, "more digits than a double"}, {kDec, "1" + strings.Repeat("0", 131071), out, "longer than 255"}})
		convertAll(t, custom("number"), false, nil, []conversion{{kDec, "7000", "7000", ""}, {kDec, digits, strings.TrimSuffix(digits, "0"), "may round"},
			{kDec, "1" + strings.Repeat("0", 131071), out, "beyond the range"}})
		convertAll(t, custom("string"), false, nil, []conversion{{kDec, "7000", `"7000"`, ""}, {kDec, digits, `"` + strings.TrimSuffix(digits, "0") + `"`, ""}})
	})
	t.Run("cdc 68: infinities cannot be JSON", func(t *testing.T) {
		convertAll(t, custom("number"), false, nil, []conversion{{kFloat, "-Infinity", out, "infinity"}, {kDec, "-Infinity", out, "infinity"}})
	})
	t.Run("cdc 69: the years 0 to 9999 are sent as they are, others and what no source could read are left out", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kTS, "0001-01-01 00:00:00", `"0001-01-01T00:00:00Z"`, ""}, {kTSTZ, "0001-01-01 00:00:00Z", `"0001-01-01T00:00:00Z"`, ""},
			{kTS, "9999-12-31 23:59:59.999999", `"9999-12-31T23:59:59.999999Z"`, ""}, {kTSTZ, "9999-12-31 23:59:59.999999Z", `"9999-12-31T23:59:59.999999Z"`, ""},
			{kTS, "294276-12-31 23:59:59", out, "cannot be decoded"},
		})
		for _, kind := range []connector.ValueKind{kDate, kTS, kTSTZ} {
			convertAll(t, custom(""), false, nil, []conversion{{kind, "0044-03-15 BC", out, "outside the years 0 to 9999"}, {kind, "12345-01-01", out, "outside the years 0 to 9999"},
				{kind, "infinity", out, "infinite"}, {kind, "-infinity", out, "infinite"}})
		}
	})
	t.Run("cdc 106: unpaired surrogates and NUL become U+FFFD", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"a":"\ud800","b":"x\u0000y"}`, "{\"a\":\"\uFFFD\",\"b\":\"x\uFFFDy\"}", ""}, {kJSON, `"\ud83d\ude00"`, `"😀"`, ""}, {kJSON, `"\ude00\ud83d"`, "\"\uFFFD\uFFFD\"", ""},
			{kJSON, `"\u00e9\/\b\f\u0007"`, `"é/\u0008\u000c\u0007"`, ""}, {kText, "a\xffb\x00c\x01\"\\\n", "\"a\uFFFDb\uFFFDc\\u0001\\\"\\\\\\n\"", ""}, {kJSON, `"\ud800A"`, "\"\uFFFDA\"", ""},
			{kJSON, `"\u12"`, out, "not valid"}, {kJSON, `"\x"`, out, "not valid"}, {kJSON, "\"a\xff\"", "\"a\uFFFD\"", ""},
		})
	})
	t.Run("cdc 107: empty text, JSON's null and NULL are three things", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{{kText, "", `""`, ""}, {kJSON, "null", "null", ""}, {kText, "<null>", "null", ""}})
	})
}

func TestNested(t *testing.T) {
	t.Run("nulls inside go, since one makes Braze drop the update", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"a":null,"b":{"c":null},"d":[null,1,null]}`, `{"b":{},"d":[1]}`, ""}, {kJSON, `[null]`, `[]`, ""},
		})
	})
	t.Run("keys that Braze does not take are left out, since one of them costs all nested updates of a call", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"a.b":1,"$c":2,"d":{"e f":1,"":2,"g":3}}`, `{"d":{"g":3}}`, "a nested key"}, {kJSON, `[{"a.b":1,"id":2}]`, `[{"id":2}]`, "a nested key"},
		})
		convertAll(t, custom("string"), false, nil, []conversion{{kJSON, `{"a.b": [1,{"x":[2]}]}`, `"{\"a.b\":[1,{\"x\":[2]}]}"`, ""}, {kJSON, `[1,{"a":2}]`, `"[1,{\"a\":2}]"`, ""}})
	})
	t.Run("a time inside stays in Braze's form", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"at":{"$time": "2026-11-01T00:00:00Z"}}`, `{"at":{"$time":"2026-11-01T00:00:00Z"}}`, ""}, {kJSON, `{"at":{"$time":"soon"}}`, `{"at":{}}`, "a nested key"},
			{kJSON, `{"at":{"$time":"2026-11-01","x":1}}`, `{"at":{"x":1}}`, "a nested key"}, {kJSON, `{"at":{"x":1,"$time":"2026-11-01"}}`, `{"at":{"x":1}}`, "a nested key"},
		})
	})
	t.Run("an array holds scalars or objects", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `[1,{"a":2}]`, out, "mixes"}, {kJSON, `[{"a":2},"x"]`, out, "mixes"}, {kJSON, `[[1],[2]]`, out, "mixes"}, {kJSON, `[{"a":[[1],{"b":2},3]}]`, `[{"a":[[1],{"b":2},3]}]`, ""},
			{kJSON, `[null,{"a":2},null]`, `[{"a":2}]`, ""}, {kJSON, "[1" + strings.Repeat(",1", 500) + "]", "[1" + strings.Repeat(",1", 500) + "]", "more than 500"},
			{kArr, "{a" + strings.Repeat(",a", 500) + "}", `["a"` + strings.Repeat(`,"a"`, 500) + "]", "more than 500"},
		})
	})
	t.Run("an object that Braze would run is left out", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"inc": 1}`, out, "operation"}, {kJSON, `{"add":["a"]}`, out, "operation"}, {kJSON, `{"remove":["a"],"add":[]}`, out, "operation"},
			{kJSON, `{"add":"a"}`, `{"add":"a"}`, ""}, {kJSON, `{"inc":1,"of":2}`, `{"inc":1,"of":2}`, ""}, {kJSON, `{"add":[1],"x":1}`, `{"add":[1],"x":1}`, ""}, {kJSON, `{"a":{"inc":1}}`, `{"a":{"inc":1}}`, ""},
		})
	})
	t.Run("numbers that no double holds go as text", func(t *testing.T) {
		convertAll(t, custom(""), false, nil, []conversion{
			{kJSON, `{"n":9007199254740993,"m":1e400,"k":1.5e3}`, `{"n":"9007199254740993","m":"1e400","k":1500}`, "nested number"},
		})
	})
}

func TestOtherPresets(t *testing.T) {
	convertAll(t, preset("gender"), true, nil, []conversion{{kText, "m", `"M"`, ""}, {kText, " Female", `"F"`, ""}, {kText, "x", out, "not one of"}, {kText, "<null>", "null", ""}})
	convertAll(t, preset("time_zone"), true, nil, []conversion{{kText, "Mars/Base", out, "not a time zone"}, {kText, "Local", out, "not a time zone"}, {kText, "UTC", `"UTC"`, ""}, {kText, "../x", out, "not a time zone"}})
	convertAll(t, preset("home_city"), true, nil, []conversion{{kText, "Köln", `"Köln"`, ""}, {kText, strings.Repeat("x", 300), out, "longer"}})
	convertAll(t, preset("first_name"), true, nil, []conversion{{kText, "Aya", `"Aya"`, ""}, {kInt, "1", `"1"`, ""}})
	convertAll(t, preset("current_location"), true, nil, []conversion{{kJSON, `{"longitude":1,"latitude":2}`, `{"longitude":1,"latitude":2}`, ""}, {kText, "x", out, "not a location"}})
}
