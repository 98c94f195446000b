package brazesim

import (
	"bytes"
	"sync"
	"unicode/utf8"
)

// nameID stands for one attribute name; members and profiles carry it instead of the text.
type nameID uint32

// The names with a meaning of their own. Their order is that of fixedNames.
const (
	nameBad nameID = iota // empty, or longer than 255 characters or 479 bytes
	nameExternalID
	nameUserAlias
	nameBrazeID
	nameUpdateOnly
	nameMerge
	nameTokenImport
	nameSubscriptionInfo
	nameGroups
	namePushTokens
	nameEmail
	namePhone
	nameEmailSubscribe
	namePushSubscribe
	nameOpenTracking
	nameClickTracking
	nameSpamAt
	nameFirstName
	nameLastName
	nameHomeCity
	nameImageURL
	nameDob
	nameGender
	nameCountry
	nameLanguage
	nameTimeZone
	nameLocation
	nameFirstSession
	nameLastSession
	nameFacebook
	nameTwitter
	// Below here the names are special in events and purchases only.
	nameName
	nameTime
	nameAppID
	nameProperties
	nameProductID
	nameCurrency
	namePrice
	nameQuantity
	nameDynamic
)

var fixedNames = [nameDynamic]string{
	"", "external_id", "user_alias", "braze_id", "_update_existing_only", "_merge_objects", "push_token_import", "email_subscription_info",
	"subscription_groups", "push_tokens", "email", "phone", "email_subscribe", "push_subscribe", "email_open_tracking_disabled",
	"email_click_tracking_disabled", "marked_email_as_spam_at", "first_name", "last_name", "home_city", "image_url", "dob", "gender", "country", "language",
	"time_zone", "current_location", "date_of_first_session", "date_of_last_session", "facebook", "twitter",
	"name", "time", "app_id", "properties", "product_id", "currency", "price", "quantity",
}

// preset reports whether the name is a field that Braze itself defines (Braze docs, User attributes object).
func (n nameID) preset() bool { return n >= nameEmail && n < nameName }

// names gives each attribute name a number. It may be called concurrently.
type names struct {
	mu   sync.RWMutex
	ids  map[string]nameID
	list []string
}

func newNames() *names {
	n := &names{ids: make(map[string]nameID, 256), list: fixedNames[:]}
	for id := nameExternalID; id < nameDynamic; id++ {
		n.ids[fixedNames[id]] = id
	}
	return n
}

// id numbers a decoded key. Blanks around a name do not count (Braze docs, Custom attributes), its case does.
func (n *names) id(key []byte) nameID {
	key = bytes.Trim(key, " ")
	if len(key) == 0 || len(key) > maxText && (len(key) > maxKey || utf8.RuneCount(key) > maxText) {
		return nameBad
	}
	n.mu.RLock()
	id, ok := n.ids[string(key)]
	n.mu.RUnlock()
	if ok {
		return id
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[string(key)]; ok {
		return id
	}
	id = nameID(len(n.list))
	n.ids[string(key)] = id
	n.list = append(n.list, string(key))
	return id
}

func (n *names) text(id nameID) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.list[id]
}
