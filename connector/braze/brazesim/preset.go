package brazesim

import (
	"bytes"
	"strconv"
	"sync"
	"time"
	_ "time/tzdata" // time zones must be known wherever the simulator runs
	"unicode/utf8"
)

// maxImageURL is how many characters an image_url may have (Braze docs, Standard attributes).
const maxImageURL = 1024

// preset validates one of Braze's own fields and decides what becomes of it (Braze docs, User attributes object).
func (m *member) preset(raw []byte) fault {
	points := 1
	switch m.name {
	case nameGroups:
		return m.groups(raw)
	case namePushTokens:
		return m.tokens(raw)
	case nameEmailSubscribe, namePushSubscribe:
		if !subscribeState(m.kind, raw) {
			if m.name == nameEmailSubscribe {
				return faultEmailState
			}
			return faultPushState
		}
		m.set(actSet, typeString, 0)
		return faultNone
	case nameHomeCity, nameFirstName, nameLastName, nameEmail, namePhone, nameDob, nameGender, nameCountry, nameLanguage, nameTimeZone, nameLocation:
	default:
		points = 0
	}
	if m.kind == kindNull {
		m.set(actUnset, typeUnknown, points)
		return faultNone
	}
	ok := false
	switch m.name {
	case nameEmail:
		if m.kind != kindString || !validEmail(text(raw)) {
			return faultEmail
		}
		ok = true
	case nameLocation:
		if !location(m.kind, raw) {
			return faultLocation
		}
		ok = true
	case nameOpenTracking, nameClickTracking:
		ok = m.kind == kindBool
	case nameFacebook:
		ok = m.kind == kindObject && len(raw) <= maxNested && shaped(parseNode(raw), facebookKeys)
	case nameTwitter:
		ok = m.kind == kindObject && len(raw) <= maxNested && shaped(parseNode(raw), twitterKeys)
	default:
		ok = m.kind == kindString && presetText(m.name, text(raw))
	}
	if !ok {
		m.ignore(reasonPreset)
		return faultNone
	}
	if m.name == nameCountry && countryOf(text(raw)) == "" {
		m.set(actUnset, typeUnknown, points) // an unknown country becomes null without an error
		return faultNone
	}
	m.set(actSet, typeString, points)
	return faultNone
}

// The keys of Braze's own objects, and whether each is a string, a whole number or an array of strings (Braze docs, User attributes object).
var (
	facebookKeys = map[string]func(*node) bool{"id": isText, "likes": isTexts, "num_friends": isWhole}
	twitterKeys  = map[string]func(*node) bool{"id": isWhole, "screen_name": isText, "followers_count": isWhole, "friends_count": isWhole, "statuses_count": isWhole}
)

func isText(n *node) bool  { return n.kind == kindString && !tooLong(n.text) }
func isWhole(n *node) bool { return n.kind == kindNumber && !bytes.ContainsAny(n.text, ".eE") }
func isTexts(n *node) bool { _, ok := n.strings(); return ok }

// shaped reports whether an object has at least one of the keys, and nothing else.
func shaped(n *node, keys map[string]func(*node) bool) bool {
	for i, k := range n.keys {
		if fits := keys[k]; fits == nil || !fits(n.kids[i]) {
			return false
		}
	}
	return len(n.keys) > 0
}

// presetText checks the fields that are strings; what fails is not set, and no error tells.
func presetText(name nameID, v []byte) bool {
	if name == nameImageURL { // longer than other strings (Braze docs, Standard attributes)
		return utf8.RuneCount(v) <= maxImageURL
	}
	if len(v) > maxText && tooLong(appendQuoted(nil, v)) {
		return false
	}
	switch name {
	case namePhone:
		return len(v) == 0 || phoneOf(v) != ""
	case nameDob:
		_, err := time.Parse("2006-01-02", string(v))
		return err == nil
	case nameGender:
		return len(v) == 1 && bytes.IndexByte([]byte("MFONP"), v[0]) >= 0
	case nameLanguage:
		return len(v) == 2 && v[0] >= 'a' && v[0] <= 'z' && v[1] >= 'a' && v[1] <= 'z'
	case nameTimeZone:
		return validZone(string(v))
	case nameSpamAt, nameFirstSession, nameLastSession:
		_, ok := parseTime(v)
		return ok
	}
	return true
}

func subscribeState(k kind, raw []byte) bool {
	if k != kindString {
		return false
	}
	switch string(text(raw)) {
	case "opted_in", "subscribed", "unsubscribed":
		return true
	}
	return false
}

func location(k kind, raw []byte) bool {
	if k != kindObject || len(raw) > 1000 {
		return false
	}
	n := parseNode(raw)
	in := func(key string, bound float64) bool {
		v := n.get(key)
		if v == nil || v.kind != kindNumber {
			return false
		}
		f, err := strconv.ParseFloat(string(v.text), 64)
		return err == nil && f >= -bound && f <= bound
	}
	return in("longitude", 180) && in("latitude", 90)
}

// groups validates subscription_groups (Braze docs, User attributes object; Errors and responses).
func (m *member) groups(raw []byte) fault {
	if m.kind != kindArray {
		return faultGroupArray
	}
	for _, item := range parseNode(raw).kids {
		id, state := item.get("subscription_group_id"), item.get("subscription_state")
		if id == nil || state == nil {
			return faultGroupHash
		}
		if v, ok := id.str(); !ok || !isUUID(v) {
			return faultGroupID
		}
		if v, ok := state.str(); !ok || v != "subscribed" && v != "unsubscribed" {
			return faultGroupState
		}
	}
	m.set(actGroups, typeUnknown, 0)
	return faultNone
}

func isUUID(v string) bool {
	if len(v) != 36 {
		return false
	}
	for i := 0; i < len(v); i++ {
		c := v[i] | 0x20
		switch i {
		case 8, 13, 18, 23:
			if v[i] != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// tokens validates push_tokens (Braze docs, User attributes object; Errors and responses).
func (m *member) tokens(raw []byte) fault {
	if m.kind != kindArray { // null is no array of objects either
		return faultTokenValue
	}
	for _, item := range parseNode(raw).kids {
		if item.kind != kindObject {
			return faultTokenValue
		}
		if v, ok := item.get("app_id").str(); !ok || v == "" {
			return faultTokenApp
		}
		if v, ok := item.get("token").str(); !ok || v == "" {
			return faultTokenString
		}
		if d := item.get("device_id"); d != nil {
			if v, ok := d.str(); !ok || len(v) < 8 || len(v) > 255 {
				return faultDeviceID
			}
		}
	}
	m.set(actTokens, typeUnknown, 0)
	return faultNone
}

// validEmail checks an address's syntax (Braze docs, Email validation): a local part without loose dots, a domain in ASCII or Punycode of labels
// of 1 to 63 characters, a top-level domain of letters, no IP addresses, two characters before gmail.com.
func validEmail(v []byte) bool {
	at := bytes.LastIndexByte(v, '@')
	if at < 1 || at > 64 || len(v) > 254 || hasBlank(v) {
		return false
	}
	local, domain := v[:at], v[at+1:]
	if local[0] == '.' || local[at-1] == '.' || bytes.Contains(local, []byte("..")) {
		return false
	}
	for _, c := range local {
		if c < 0x20 || c == 0x7f || bytes.IndexByte([]byte(`@()<>[]:;,"\`), c) >= 0 {
			return false
		}
	}
	labels, from := 0, 0
	for i := 0; i <= len(domain); i++ {
		if i < len(domain) && domain[i] != '.' {
			c := domain[i] | 0x20
			if (c < 'a' || c > 'z') && (domain[i] < '0' || domain[i] > '9') && domain[i] != '-' {
				return false
			}
			continue
		}
		label := domain[from:i]
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		labels, from = labels+1, i+1
	}
	top := domain[bytes.LastIndexByte(domain, '.')+1:]
	if labels < 2 || len(top) < 2 {
		return false
	}
	if !bytes.HasPrefix(bytes.ToLower(top), []byte("xn--")) {
		for _, c := range top {
			if c |= 0x20; c < 'a' || c > 'z' {
				return false
			}
		}
	}
	return len(local) > 1 || !bytes.EqualFold(domain, []byte("gmail.com"))
}

// phoneOf normalises a number: only digits and a leading plus stay, ten digits without plus are read as US; "" if it is no number
// (Braze docs, User phone numbers).
func phoneOf(v []byte) string {
	plus := bytes.HasPrefix(bytes.TrimLeft(v, " ("), []byte("+"))
	out := []byte("+")
	for _, c := range v {
		if c >= '0' && c <= '9' {
			out = append(out, c)
		}
	}
	switch n := len(out) - 1; {
	case plus && n >= 7 && n <= 15 && out[1] != '0':
		return string(out)
	case !plus && n == 10:
		return "+1" + string(out[1:])
	case !plus && n == 11 && out[1] == '1':
		return string(out)
	}
	return ""
}

var zones sync.Map // name -> bool

// validZone accepts IANA names, and the Rails-style ones that Braze's page shows.
func validZone(v string) bool {
	if ok, found := zones.Load(v); found {
		return ok.(bool)
	}
	if v == "" || v == "Local" || len(v) > 64 {
		return false
	}
	if railsZones[v] {
		return true
	}
	_, err := time.LoadLocation(v)
	if err == nil {
		zones.Store(v, true) // only known names: their number is bounded
	}
	return err == nil
}
