package brazesim

import "strings"

// countryCodes are the ISO 3166-1 alpha-2 codes.
var countryCodes = set(`AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK
CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR
HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS
MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO
SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW`)

// countryNames are the commonest names that Braze maps to a code.
var countryNames = map[string]string{
	"australia": "AU", "austria": "AT", "belgium": "BE", "brazil": "BR", "canada": "CA", "china": "CN", "denmark": "DK", "finland": "FI",
	"france": "FR", "germany": "DE", "india": "IN", "indonesia": "ID", "ireland": "IE", "italy": "IT", "japan": "JP", "mexico": "MX",
	"netherlands": "NL", "new zealand": "NZ", "norway": "NO", "poland": "PL", "portugal": "PT", "singapore": "SG", "south africa": "ZA",
	"south korea": "KR", "spain": "ES", "sweden": "SE", "switzerland": "CH", "turkey": "TR", "ukraine": "UA", "united kingdom": "GB",
	"united states": "US", "united states of america": "US",
}

// countryOf maps a value to a code, or to "" if it is unknown.
func countryOf(v []byte) string {
	if code := strings.ToUpper(string(v)); countryCodes[code] {
		return code
	}
	return countryNames[strings.ToLower(string(v))]
}

// currencies are the ISO 4217 codes in use.
var currencies = set(`AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP CRC
CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VES VND VUV WST XAF XAG
XAU XCD XDR XOF XPD XPF XPT YER ZAR ZMW ZWL`)

// railsZones are the American names of the style that Braze's page shows beside IANA's.
var railsZones = map[string]bool{"Eastern Time (US & Canada)": true, "Central Time (US & Canada)": true, "Mountain Time (US & Canada)": true,
	"Pacific Time (US & Canada)": true, "Hawaii": true, "Alaska": true, "London": true, "Berlin": true, "Tokyo": true}

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
