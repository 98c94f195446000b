package config

import (
	"maps"
	"slices"
	"strings"

	"brazecdc/connector"
)

func modelsSchema() dict {
	kindOf := func(kind string, shape dict) dict {
		if kind == "users" { // also where the file is silent
			return dict{{"if", dict{{"properties", dict{{"kind", dict{{"const", kind}}}}}}}, {"then", shape}}
		}
		return dict{{"if", dict{{"properties", dict{{"kind", dict{{"const", kind}}}}}, {"required", []string{"kind"}}}}, {"then", shape}}
	}
	chosen := make([]dict, 0, len(kinds))
	for _, kind := range kinds {
		chosen = append(chosen, kindOf(kind, kindSchema(kind)))
	}
	item := dict{{"title", "Model"}, {"description", "What becomes of the rows of one table or topic."}, {"type", "object"},
		{"properties", dict{{"kind", kindWords()}}}, {"allOf", chosen}}
	return described(dict{{"type", "array"}, {"minItems", 1}, {"items", item}}, "Models", "One entry a table or topic.", nil)
}

func kindWords() dict {
	return described(dict{{"enum", kinds}}, "Kind", "What a row is: a profile, an event, a purchase, subscriptions of a user, an item of a catalog.", "users")
}

// kindSchema is a model of one kind; its keys are those of keysOf.
func kindSchema(kind string) dict {
	s := []setting{
		required("name", described(matching(modelName.String()), "Name", "Of your own; letters, digits, _ and -.", nil, "customers")),
		optional("kind", kindWords()),
		optional("table", described(str(), "Table", "With its schema; with a Postgres source.", nil, "public.users")),
		optional("topic", described(either(matching(topicName.String()), section("Topics", "All whose names match.", required("pattern", described(str(), "Pattern", "A regular expression of whole names (RE2).", nil, `shop\.shard[0-9]+\.users`)))),
			"Topic", "With a Kafka source.", nil, "shop.public.users")),
		required("mode", described(words(modes...), "Mode", "sync: create, change and delete. additive: create and change, never delete. enrich: only change profiles that exist.", nil)),
		required("load", described(words("all", "none"), "Load", "all: the rows that are there already are sent once, which can start campaigns. none: only what changes from now on.", nil)),
		optional("replica_identity", described(words("auto", "full"), "Replica identity", "full: a Debezium before-image is complete.", "auto")),
		optional("columns", described(dict{{"type", []string{"object", "null"}}, {"additionalProperties", dict{{"type", "string"}, {"minLength", 1}}}}, "Columns",
			"Types that the records of a topic do not tell, as Postgres writes them.", nil, dict{{"price", "numeric(12,2)"}})),
		optional("key_column", described(dict{{"type", "string"}, {"minLength", 1}}, "Key column", "The column that the record key of a topic stands for.", nil, "id")),
		optional("key_format", described(words("auto", "text", "integer"), "Key format", "How a topic's record key without a name is written: auto is Avro with a schema's number, JSON or text; text is taken as it is; integer is big-endian in 2, 4 or 8 bytes.", "auto")),
		optional("filter", described(expression(), "Filter", "A rule over the row; other rows are nothing for the model.", nil, `plan != "internal"`)),
		optional("schedule", scheduleSchema()),
	}
	switch kind {
	case "users":
		s = append(s, usersSettings()...)
	case "events", "purchases":
		s = append(s, eventSettings(kind)...)
	case "subscriptions":
		s = append(s, required("identify", identifySchema(false)), loadConsent(), required("groups", groupsSchema("Groups")))
		s = append(s, leaveSettings("keep", "unset")...)
	case "catalog":
		s = append(s, required("catalog", described(matching(catalogName.String()), "Catalog", "Its name in Braze.", nil, "products")),
			required("identify", section("Identify", "What names the item.", required("item_id", described(either(fromSchema("Item id", "column expr"), dict{{"type", "array"}, {"minItems", 1}, {"items", fromSchema("Part of the id", "column expr")}}),
				"Item id", "One column or expression, or a list of them.", nil, "sku")))),
			optional("fields", described(dict{{"type", []string{"object", "null"}}, {"additionalProperties", ref("item")}}, "Fields", "Of the catalog, each from a column, an expression or a constant.", nil, dict{{"name", "title"}})))
		s = append(s, leaveSettings("keep", "delete")...)
	}
	return section("Model of kind "+kind, "What becomes of the rows of one table or topic.", s...)
}

func scheduleSchema() dict {
	return section("Schedule", "When the model's table is synced again by itself; of a topic, when its rules with now() are looked at again.",
		required("cron", described(str(), "When", "Five fields: minute, hour, day, month, weekday.", nil, "0 3 * * *")),
		optional("time_zone", described(matching(zonePattern), "Time zone", "IANA name of the clock's zone.", "UTC", "Europe/Berlin")),
		optional("resync", described(words("differences", "all"), "What is sent", "differences: what Braze is not known to have. all: whole rows, of a table only.", "differences")))
}

func loadConsent() setting {
	return optional("load_consent", described(yesNo(), "Load consent", "A load may send subscribed states.", false))
}

// leaveSettings are what holds of rows that leave the filter or are deleted.
func leaveSettings(leave ...string) []setting {
	b := DefaultBrake()
	return []setting{
		optional("on_leave", described(words(leave...), "When a row leaves the filter", "What happens to what was sent.", nil)),
		optional("delete_when", described(expression(), "Deleted when", "A row that matches counts as deleted.", nil, "deleted_at != nil")),
		optional("deletes", section("Brake for deletes", "More deletes than these wait for a yes.",
			optional("max", described(integer(0, 1_000_000_000), "Most", "Deletes within the window.", b.Max)),
			optional("share", described(matching(sharePattern), "Share", "Of the known rows.", shortShare(b.Share))),
			optional("at_least", described(integer(0, 1_000_000_000), "At least", "Fewer deletes never wait for their share.", b.AtLeast)),
			optional("window", described(matching(durationPattern), "Window", "Within which they are counted.", b.Window)))),
	}
}

func usersSettings() []setting {
	preset := dict{}
	for _, name := range presets {
		preset = append(preset, pair{name, ref("field" + strings.ReplaceAll(keysOfPreset[name], " ", "_"))})
	}
	s := []setting{
		required("identify", identifySchema(true)),
		loadConsent(),
		optional("owns_users", described(yesNo(), "Owns the users", "Its deletes and renames are those of profiles. The only users model does.", nil)),
		optional("on_id_change", described(words("rename", "create", "stop"), "When the id changes", "The profile is renamed, another is created, or the process stops.", "rename")),
		optional("on_delete_groups", described(words("keep", "unsubscribe"), "Groups of deleted users", "What becomes of their subscriptions.", "keep")),
		optional("fields", dict{{"title", "Profile fields"}, {"description", "Braze's own profile fields, each from a column, an expression or a constant."}, {"type", []string{"object", "null"}},
			{"properties", preset}, {"additionalProperties", false}}),
		optional("custom", dict{{"title", "Custom attributes"}, {"description", "Attributes of any name, each from a column, an expression or a constant."}, {"type", []string{"object", "null"}},
			{"additionalProperties", ref("field")}}),
		optional("subscription_groups", groupsSchema("Subscription groups")),
		optional("audiences", described(dict{{"type", "array"}, {"items", section("Audience", "A rule as a boolean attribute.",
			required("attribute", described(dict{{"type", "string"}, {"minLength", 1}}, "Attribute", "Its name.", nil, "is_high_value")), required("when", described(expression(), "Rule", "Over the row.", nil, "credits > 1000")))}},
			"Audiences", "Rules that become boolean attributes.", nil)),
	}
	return append(s, leaveSettings("keep", "unset", "delete")...)
}

func identifySchema(alias bool) dict {
	column := dict{{"type", "string"}, {"minLength", 1}}
	s := []setting{
		optional("external_id", described(either(column, section("External id", "From one of them.", optional("column", column), optional("expr", expression()), optional("blanks", described(words("trim", "keep"), "Blanks", "Around the id.", "trim")))),
			"External id", "The column that names the user.", nil, "id")),
		optional("email", described(column, "E-mail", "The column of the address that names the user.", nil, "email")),
		optional("phone", described(either(column, section("Phone", "A column of phone numbers.", required("column", column), optional("country", countrySchema()))), "Phone", "The column of the number that names the user.", nil, "phone")),
	}
	a := section("Alias", "A label and the column with the name.", required("label", described(dict{{"type", "string"}, {"maxLength", 236}}, "Label", "Of the alias.", nil, "crm")), required("name", described(str(), "Name", "The column with the alias.", nil, "crm_id")))
	if !alias {
		a = dict{{"not", dict{}}, {"description", "Braze's call for subscriptions takes no alias."}}
	}
	s = slices.Insert(s, 1, optional("alias", a))
	return append(section("Identify", "Who a row is about, in order of preference.", s...), pair{"minProperties", 1})
}

func countrySchema() dict {
	return described(matching(countryCode.String()), "Country", "Of numbers without +, in two capital letters.", nil, "DE")
}

func groupsSchema(title string) dict {
	item := section("Group", "From a consent column, or from a rule.",
		required("group", described(str(), "Group", "A name in braze.subscription_groups.", nil, "newsletter")),
		optional("subscribed", described(dict{{"type", "string"}, {"minLength", 1}}, "Consent column", "Tells whether the user is subscribed.", nil, "newsletter")),
		optional("when", described(expression(), "Rule", "Who matches is subscribed.", nil, "credits > 1000")),
		optional("resubscribe", described(words("on_change", "never", "always"), "Subscribing again", "Whether someone who unsubscribed in Braze is subscribed again.", "on_change")),
		optional("on_leave", described(words("keep", "unsubscribe"), "When the rule ends", "What happens to who matches no longer.", "keep")))
	item = append(item, pair{"oneOf", []dict{{{"required", []string{"subscribed"}}}, {{"required", []string{"when"}}}}})
	return described(dict{{"type", "array"}, {"minItems", 1}, {"items", item}}, title, "Subscription groups that rows set.", nil)
}

func eventSettings(kind string) []setting {
	max := optional("max_age", described(matching(durationPattern), "Greatest age", "Events older than this are held back.", connector.DefaultMaxAge))
	when := optional("time", described(ref("from"), "Time", "When it happened; without it, when the row was committed.", nil, "paid_at"))
	name := either(dict{{"type", "string"}, {"minLength", 1}}, nameSchema())
	s := []setting{
		required("identify", identifySchema(true)),
		optional("ops", described(dict{{"type", "array"}, {"minItems", 1}, {"items", words("insert", "update")}}, "Operations", "Changes that make one.", []string{"insert"}, []string{"insert", "update"})),
		optional("when", described(expression(), "When", "Only changes that match make one.", nil, `becomes(status, "paid")`)),
		optional("properties", described(ref("properties"), "Properties", "Each from a column, an expression, a constant, or the objects of a JSON column.", nil, dict{{"order_id", "id"}})),
		optional("drop_unknown", described(yesNo(), "Drop unknown users", "With mode enrich: what belongs to users that Braze does not know is lost.", false)),
	}
	if kind == "events" {
		return append(s, required("event", section("Event", "What the row is in Braze.", required("name", described(name, "Name", "Of the event.", nil, "ecommerce.order_placed")), when, max)))
	}
	return append(s, required("purchase", section("Purchase", "What the row is in Braze.",
		required("product_id", described(nameSchema(), "Product", "A constant, or a column with a closed list.", nil, dict{{"value", "car"}})),
		required("currency", described(ref("from"), "Currency", "Three letters.", nil, "currency")), required("price", described(ref("from"), "Price", "Of one.", nil, "price")),
		optional("quantity", described(ref("from"), "Quantity", "How many.", nil, "quantity")), when, max)))
}

// nameSchema is a name that is a constant, or one of a closed list in a column.
func nameSchema() dict {
	return section("Name", "A constant, or a column with a closed list.",
		optional("value", described(dict{{"type", "string"}, {"minLength", 1}}, "Constant", "The name.", nil)),
		optional("column", described(dict{{"type", "string"}, {"minLength", 1}}, "Column", "Holds the name.", nil)),
		optional("one_of", described(dict{{"type", "array"}, {"items", dict{{"type", "string"}, {"minLength", 1}}}}, "One of", "The names that the column may hold.", nil)))
}

func ref(name string) dict { return dict{{"allOf", []dict{{{"$ref", "#/definitions/" + name}}}}} }

// fromSchema is a column, or a mapping with these keys, separated by spaces.
func fromSchema(title, keys string) dict {
	return either(dict{{"type", "string"}, {"minLength", 1}}, section(title, "One of column, expr and value, and what holds of it.", valueSettings(keys)...))
}

func propertySchema() dict {
	each := section("Array of objects", "Made of those of a JSON column.",
		required("each", described(dict{{"type", "string"}, {"minLength", 1}}, "Each", "The JSON column, or inside of another each the member.", nil, "items")),
		required("fields", dict{{"title", "Fields"}, {"description", "Of each object."}, {"type", "object"}, {"minProperties", 1}, {"additionalProperties", dict{{"$ref", "#/definitions/properties/additionalProperties"}}}}))
	return either(fromSchema("Property", propertyKeys), each)
}

func itemSchema() dict {
	return either(dict{{"type", "string"}, {"minLength", 1}}, section("Field", "One of column, expr and value, or a place.", valueSettings(propertyKeys+" latitude longitude geo")...))
}

// fieldSchemas are the lines under fields and custom, by the settings that only some profile fields have.
func fieldSchemas() dict {
	out := dict{}
	for _, more := range append([]string{""}, slices.Sorted(maps.Values(keysOfPreset))...) {
		name := "field" + strings.ReplaceAll(more, " ", "_")
		if !slices.ContainsFunc(out, func(p pair) bool { return p.key == name }) {
			out = append(out, pair{name, fromSchema("Field", fieldKeys+more)})
		}
	}
	return out
}

// valueSettings are what a line may say of its value.
func valueSettings(keys string) []setting {
	column := dict{{"type", "string"}, {"minLength", 1}}
	types := valueTypes
	if strings.HasSuffix(keys, " geo") {
		keys, types = strings.TrimSuffix(keys, " geo"), itemTypes
	}
	all := map[string]dict{
		"column":      described(column, "Column", "The value as it is.", nil, "email"),
		"expr":        described(expression(), "Expression", "Computed from the row.", nil, `first_name + " " + last_name`),
		"value":       described(dict{{"not", dict{{"type", "null"}}}}, "Constant", "The same for each row.", nil, "berlin"),
		"type":        described(words(types...), "Type", "In Braze; without it, from the column.", nil),
		"on_null":     described(either(words("clear", "keep"), section("Value in place of NULL", "A constant.", required("value", dict{{"not", dict{{"type", "null"}}}}))), "On NULL", "clear takes the field away, keep leaves what Braze has.", "clear"),
		"blank":       described(words("keep", "null_like"), "Empty text", `null_like treats "" as NULL.`, "keep"),
		"nested":      described(words("merge", "replace"), "Nested object", "Keys that are gone stay with merge.", "merge"),
		"array":       described(either(words("replace", "add_remove"), section("Objects", "Told apart by a key.", required("by", described(column, "By", "The key.", nil, "id")))), "Array", "How a changed array is sent.", "replace"),
		"collect":     described(yesNo(), "Collect", "The rows of a user make up an array together, a row a value.", false),
		"country":     countrySchema(),
		"when_true":   described(words("subscribed", "opted_in"), "When true", "What true stands for.", nil),
		"resubscribe": described(words("on_change", "never", "always"), "Subscribing again", "Whether someone who unsubscribed in Braze is subscribed again.", nil),
		"latitude":    described(column, "Latitude", "The column of it.", nil, "lat"),
		"longitude":   described(column, "Longitude", "The column of it.", nil, "lon"),
	}
	var out []setting
	for _, key := range strings.Fields(keys) {
		out = append(out, optional(key, all[key]))
	}
	return out
}
