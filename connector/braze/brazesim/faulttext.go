package brazesim

// fault is why Braze refuses one object of a track call; 0 is none.
type fault uint8

const (
	faultNone fault = iota
	faultNotObject
	faultNoID
	faultTwoIDs
	faultIDEmpty
	faultIDTooLarge
	faultAlias
	faultBrazeID
	faultEmail
	faultEmailState
	faultPushState
	faultLocation
	faultGroupArray
	faultGroupHash
	faultGroupID
	faultGroupState
	faultDeviceID
	faultTokenApp
	faultTokenImport
	faultTokenString
	faultTokenValue
	faultSubscriptionInfo
	faultControlKey
	faultEventName
	faultEventTime
	faultProperties
	faultPropertyName
	faultReservedProperty
	faultProduct
	faultCurrency
	faultPrice
	faultQuantity
	faultInjected // the text is the object's own
)

// faultTexts holds for each fault the constant of the table in Braze docs, Errors and responses (where it has one) and a sentence, which
// is what real answers were seen to carry as type.
var faultTexts = [...][2]string{
	faultNone:             {"", ""},
	faultNotObject:        {"", "Each element must be an object"},
	faultNoID:             {"", "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"},
	faultTwoIDs:           {"", "Only one of 'external_id', 'braze_id' or 'user_alias' may be given"},
	faultIDEmpty:          {"", "The value provided for the 'external_id' field must be a non-empty string"},
	faultIDTooLarge:       {"EXTERNAL_USER_ID_TOO_LARGE", "The value provided for the 'external_id' field is longer than 987 bytes"},
	faultAlias:            {"", "'user_alias' needs 'alias_name' and 'alias_label', each a non-empty string of up to 236 bytes"},
	faultBrazeID:          {"", "The value provided for the 'braze_id' field is not a known id"},
	faultEmail:            {"EMAIL_BAD_FORMAT", "The value provided for the 'email' field is not a valid email."},
	faultEmailState:       {"BAD_EMAIL_SUBSCRIPTION_STATE", "The value provided for the 'email_subscribe' field must be one of 'opted_in', 'subscribed', 'unsubscribed'."},
	faultPushState:        {"BAD_PUSH_SUBSCRIPTION_STATE", "The value provided for the 'push_subscribe' field must be one of 'opted_in', 'subscribed', 'unsubscribed'."},
	faultLocation:         {"BAD_LOCATION_UPDATE", "The value provided for the 'current_location' field must be an object with 'longitude' and 'latitude'."},
	faultGroupArray:       {"BAD_SUBSCRIPTION_GROUP_ARRAY", "The value provided for the 'subscription_groups' field must be an array."},
	faultGroupHash:        {"BAD_SUBSCRIPTION_GROUP_HASH", "Each subscription group needs 'subscription_group_id' and 'subscription_state'."},
	faultGroupID:          {"BAD_SUBSCRIPTION_GROUP_ID", "The value provided for the 'subscription_group_id' field is not a valid subscription group."},
	faultGroupState:       {"BAD_SUBSCRIPTION_GROUP_STATE", "The value provided for the 'subscription_state' field must be 'subscribed' or 'unsubscribed'."},
	faultDeviceID:         {"BAD_DEVICE_ID", "The value provided for the 'device_id' field must have 8 to 255 bytes."},
	faultTokenApp:         {"BAD_PUSH_TOKEN_APP_ID", "The 'app_id' of a push token is not valid."},
	faultTokenImport:      {"BAD_PUSH_TOKEN_IMPORT", "'push_token_import' needs 'push_tokens' and neither 'external_id' nor 'braze_id'."},
	faultTokenString:      {"BAD_PUSH_TOKEN_STRING", "The 'token' of a push token must be a string."},
	faultTokenValue:       {"BAD_PUSH_TOKEN_VALUE", "The value provided for the 'push_tokens' field must be an array of objects."},
	faultSubscriptionInfo: {"INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO", "The 'email_subscription_info' field cannot be set."},
	faultControlKey:       {"", "'_update_existing_only', '_merge_objects' and 'push_token_import' must be true or false"},
	faultEventName:        {"", "'name' is required and must be a non-empty string of up to 255 characters"},
	faultEventTime:        {"", "'time' is required and must be an ISO 8601 date and time"},
	faultProperties:       {"", "'properties' must be an object within its size limit"},
	faultPropertyName:     {"", "Property names must be non-empty, at most 255 characters long and not begin with '$'"},
	faultReservedProperty: {"", "'time' and 'event_name' are reserved and cannot be property names"},
	faultProduct:          {"", "'product_id' is required and must be a non-empty string of up to 255 characters"},
	faultCurrency:         {"", "'currency' is required and must be an ISO 4217 code"},
	faultPrice:            {"", "'price' is required and must be a number"},
	faultQuantity:         {"", "'quantity' must be an integer from 1 to 100"},
	faultInjected:         {"", ""},
}

func (f fault) text(constants bool) string {
	if t := faultTexts[f]; constants && t[0] != "" {
		return t[0]
	}
	return faultTexts[f][1]
}
