package mapping

import (
	"sort"
	"strings"

	"brazecdc/connector"
)

// preset describes one of Braze's own profile fields (Braze docs, "User attributes object" and "Standard attributes").
type preset struct {
	convert converter
	free    bool // costs no data point (Braze docs, "Data points")
	noNull  bool // has no empty state: null is refused, or would take away what no column stands for
	consent bool // its values say what a person agreed to
}

var presets = map[string]preset{
	"email":                         {convert: onText(appendEmail)},
	"phone":                         {convert: (*settings).appendPhone},
	"first_name":                    {convert: (*settings).appendAsText},
	"last_name":                     {convert: (*settings).appendAsText},
	"home_city":                     {convert: (*settings).appendAsText},
	"image_url":                     {convert: onText(appendImageURL), free: true},
	"dob":                           {convert: (*settings).appendDOB},
	"gender":                        {convert: onText(appendGender)},
	"country":                       {convert: onText(appendCountry)},
	"language":                      {convert: onText(appendLanguage)},
	"time_zone":                     {convert: onText(appendTimeZone)},
	"current_location":              {convert: appendLocation},
	"email_subscribe":               {convert: (*settings).appendConsent, free: true, noNull: true, consent: true},
	"push_subscribe":                {convert: (*settings).appendConsent, free: true, noNull: true, consent: true},
	"email_open_tracking_disabled":  {convert: converters["bool"], free: true},
	"email_click_tracking_disabled": {convert: converters["bool"], free: true},
	"marked_email_as_spam_at":       {convert: converters["time"], free: true},
	"date_of_first_session":         {convert: converters["time"], free: true},
	"date_of_last_session":          {convert: converters["time"], free: true},
	"push_tokens":                   {convert: onJSON(appendPushTokens), free: true, noNull: true},
	"facebook":                      {convert: onJSON(facebook.append), free: true},
	"twitter":                       {convert: onJSON(twitter.append), free: true},
}

// The names of a user object that are no attributes, with the setting that says what they do.
var reserved = map[string]string{
	"external_id": "identify", "user_alias": "identify", "alias_name": "identify", "alias_label": "identify", "braze_id": "identify",
	"subscription_groups": "subscription_groups", "_update_existing_only": "mode", "_merge_objects": "nested", "push_token_import": "",
}

// Preset tells whether a name is one of Braze's own profile fields, and no custom attribute.
func Preset(name string) bool {
	_, ok := presets[name]
	return ok
}

func presetNames() []string {
	names := make([]string, 0, len(presets))
	for n := range presets {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// onText makes a converter of one that works on text; other scalars are refused, since none of these fields is one.
func onText(f func(dst []byte, s string) ([]byte, string, bool)) converter {
	return func(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		if s, ok := textOf(v); ok {
			return f(dst, s)
		}
		return dst, "not text", false
	}
}

// textOf is the text of a text column or of a JSON string.
func textOf(v connector.Value) (string, bool) {
	switch v.Kind {
	case connector.KindText:
		return v.Str, true
	case connector.KindJSON:
		return jsonText(v.Str)
	}
	return "", false
}

// onJSON makes a converter of one that works on decoded JSON, out of a JSON column or out of text that holds JSON. Paths that must never leave are cut
// before it sees them.
func onJSON(f func(dst []byte, x any) ([]byte, string, bool)) converter {
	return func(s *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
		src := v.Str
		if t, ok := textOf(v); ok {
			src = t
		} else if v.Kind != connector.KindJSON {
			return dst, "not JSON", false
		}
		src = strings.TrimSpace(src)
		if src == "null" {
			return append(dst, src...), "", true
		}
		x, err := decodeJSON(src)
		if err != nil {
			return dst, noteBadJSON, false
		}
		for _, path := range s.never {
			x = without(x, path)
		}
		return f(dst, x)
	}
}

// without cuts a path out of a decoded value, in every element of arrays.
func without(x any, path []string) any {
	switch x := x.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(x, path[0])
		} else if below, ok := x[path[0]]; ok {
			x[path[0]] = without(below, path[1:])
		}
	case []any:
		for i := range x {
			x[i] = without(x[i], path)
		}
	}
	return x
}
