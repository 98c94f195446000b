package config

func brazeSchema() dict {
	b := defaults().Braze
	endpoints := make([]any, len(instances))
	for i, instance := range instances {
		endpoints[i] = instance.Endpoint()
	}
	return section("Braze", "Where calls go, and how they are paced.",
		required("workspace", described(str(), "Workspace", "A label of your own for the Braze workspace. What is kept in data/ belongs to it, and every page shows it.", nil, "staging")),
		required("endpoint", described(str(), "REST endpoint", "The REST address of your Braze instance; https, or http on loopback.", nil, endpoints...)),
		required("api_key", described(str(), "REST API key", "Keep the key out of the file: ${NAME} reads a variable, ${file:/path} a file.", nil, "${BRAZE_API_KEY}", "${file:/run/secrets/braze}")),
		optional("rate", section("Rate", "How much of the rate limit is used.",
			optional("share", described(matching(sharePattern), "Share", "Part of the rate limit to use; less leaves calls for your app and other tools.", shortShare(b.RateShare), "50%")),
			optional("per_hour", described(autoInteger(1_000_000_000), "Calls an hour", "What the contract grants; auto goes by what Braze answers.", autoOr(b.RatePerHour), 250000)))),
		optional("objects_per_request", described(either(dict{{"enum", []int{50, 75, 225}}}, variable()), "Objects per request", "How many users one call carries, as your contract says.", b.ObjectsPerRequest)),
		optional("max_body", described(matching(sizePattern), "Largest body", "Bytes of one request; Braze takes 4 MB.", formatSize(b.MaxBody), "1MiB")),
		optional("senders", described(autoInteger(1000), "Calls in flight", "auto grows until the budget or Braze's answers say stop.", autoOr(b.Senders), 8)),
		optional("max_linger", described(matching(durationPattern), "Longest wait to fill a call", "How long a call may wait for more users while calls are scarce.", b.MaxLinger)),
		optional("user_gap", described(matching(durationPattern), "Gap between calls of a user", "Braze may apply two requests of one user in either order; the pause keeps them apart.", b.UserGap)),
		optional("settle", described(matching(durationPattern), "Settling after a delete", "Pause between a delete and a new start of the same user.", b.Settle)),
		optional("timeout", described(matching(durationPattern), "Timeout", "For one request.", b.Timeout)),
		optional("attempts", described(integer(1, 1000), "Attempts", "How often a row is tried before it is held back.", b.Attempts)),
		optional("on_unknown", described(words("retry", "quarantine"), "Events of unknown outcome", "What happens to an event whose request had no answer: sent again, or held back.", b.OnUnknown)),
		optional("subscription_groups", described(dict{{"type", []string{"object", "null"}}, {"additionalProperties", dict{{"type", "string"}, {"minLength", 1}}}},
			"Subscription groups", "Names of your own for the ids that Braze's dashboard shows.", nil, dict{{"newsletter", "${SG_NEWSLETTER}"}})),
	)
}

func sourceSchema() dict {
	s := section("Source", "Where rows come from: either postgres or kafka.",
		optional("time_zone", described(matching(zonePattern), "Time zone", "IANA name of the zone for timestamps without one.", defaults().Source.TimeZone, "Europe/Berlin")),
		optional("postgres", postgresSchema()), optional("kafka", kafkaSchema()))
	return append(s, pair{"oneOf", []dict{{{"required", []string{"postgres"}}}, {{"required", []string{"kafka"}}}}})
}

func postgresSchema() dict {
	p := defaultPostgres()
	return section("Postgres", "Logical replication from one database.",
		required("url", described(str(), "Address", "A postgres:// address or a libpq keyword string; keep the password out of the file.", nil, "${DATABASE_URL}")),
		optional("slot", described(matching(slotName.String()), "Replication slot", "Its name; lower case letters, digits and underscores.", p.Slot)),
		optional("publication", described(dict{{"type", "string"}, {"minLength", 1}, {"maxLength", 63}}, "Publication", "Its name.", p.Publication)),
		optional("start_timeout", described(matching(durationPattern), "Start timeout", "How long a start waits for the server.", p.StartTimeout)),
		optional("create", described(yesNo(), "Create", "Whether slot and publication are created where they are missing.", p.Create)),
		optional("failover_slot", described(either(dict{{"enum", []any{"auto", true, false, "true", "false"}}}, variable()), "Failover slot", "auto: on PostgreSQL 17 and later.", p.FailoverSlot)),
		optional("heartbeat", described(matching(durationPattern), "Heartbeat", "Interval of the messages that move an idle slot on.", p.Heartbeat)),
		optional("snapshot_url", described(str(), "Address for loads", "A read replica spares the primary during loads; empty for the same as url.", "")),
	)
}

func kafkaSchema() dict {
	k := defaultKafka()
	text := func(title, description string, examples ...any) dict {
		return described(str(), title, description, "", examples...)
	}
	files := func(description string) dict {
		return section("TLS", description,
			optional("ca", text("Authorities", "A PEM file.")), optional("cert", text("Certificate", "A PEM file of the client's certificate.")), optional("key", text("Key", "A PEM file of the client's key.")))
	}
	return section("Kafka", "A consumer group over topics.",
		required("brokers", described(dict{{"type", "array"}, {"minItems", 1}, {"items", str()}}, "Brokers", "Addresses, host:port.", nil, []string{"localhost:9092"})),
		optional("group", described(dict{{"type", "string"}, {"minLength", 1}}, "Consumer group", "Processes of one group share the partitions.", k.Group)),
		optional("start", described(either(dict{{"enum", []string{"committed", "earliest", "latest"}}}, variable(),
			section("Since a time", "Reading begins at a time.", required("timestamp", described(str(), "Time", "As RFC 3339 writes it.", nil, "2026-11-01T00:00:00Z")))),
			"Start", "Where a partition begins that nobody has read; committed goes by the models' load.", k.Start)),
		optional("start_timeout", described(matching(durationPattern), "Start timeout", "How long a start waits for the brokers.", k.StartTimeout)),
		optional("state_topic", text("State topic", "A compacted topic for state that several processes share; empty for none.", "brazecdc.state")),
		optional("format", described(words("auto", "debezium-json", "debezium-avro", "rows-json", "rows-avro", "row-change"), "Format", "Of the records.", k.Format)),
		optional("envelope", described(words("changes", "append"), "Envelope", "append: every record is a new row.", k.Envelope)),
		optional("registry", section("Schema registry", "Only for Avro with a registry.",
			optional("url", text("Address", "Of the registry.", "http://localhost:8081")), optional("user", text("User", "For its login.")), optional("password", text("Password", "For its login.", "${REGISTRY_PASSWORD}")),
			optional("tls", files("For an address with https; an empty ca trusts the system's authorities.")))),
		optional("tls", files("Present, it turns TLS on; an empty ca trusts the system's authorities.")),
		optional("sasl", section("Login", "At the brokers.",
			optional("mechanism", described(either(dict{{"enum", []string{"plain", "scram-sha-256", "scram-sha-512", ""}}}, variable()), "Mechanism", "Empty for no login.", "")),
			optional("user", text("User", "Of the login.")), optional("password", text("Password", "Of the login.", "${KAFKA_PASSWORD}")))),
	)
}

type folders struct{ data, cache dict }

func foldersSchema() folders {
	d, path := defaults(), dict{{"type", "string"}, {"minLength", 1}}
	return folders{
		data: section("Data", "The folder that must survive.", optional("path", described(path, "Path", "Relative to the configuration file.", d.Data.Path))),
		cache: section("Cache", "The folder that may be lost; that costs calls.", optional("path", described(path, "Path", "Relative to the configuration file.", d.Cache.Path)),
			optional("max_size", described(matching(sizePattern), "Largest size", "What is known of Braze beyond it is forgotten.", formatSize(d.Cache.MaxSize))),
			optional("memory", described(matching(sizePattern), "In memory", "What is held in memory too, of users that changed last; 96MiB hold a million of ten fields.", formatSize(d.Cache.Memory)))),
	}
}

func limitsSchema() dict {
	l := defaults().Limits
	return section("Limits", "What is in memory at most; reading waits above.",
		optional("open_changes", described(integer(1, 100_000_000), "Open changes", "Changes read and not yet done.", l.OpenChanges)),
		optional("open_bytes", described(matching(sizePattern), "Open bytes", "Their size.", formatSize(l.OpenBytes))),
		optional("drain", described(matching(durationPattern), "Drain", "How long a stop waits for open changes.", l.Drain)),
	)
}

func quarantineSchema() dict {
	q := defaults().Quarantine
	return section("Quarantine", "Keeps what Braze or the mapping refused.",
		optional("to", described(either(dict{{"const", "disk"}}, variable(), section("Topic", "With a Kafka source.", required("topic", described(matching(topicName.String()), "Topic", "Its name.", nil, "brazecdc.quarantine")))),
			"Where", "disk, or a topic.", q.To)),
		optional("retention", described(matching(durationPattern), "Retention", "How long an entry is kept.", q.Retention)),
	)
}

func logSchema() dict {
	l := defaults().Log
	return section("Log", "The process' own log, on standard error.",
		optional("level", described(words("debug", "info", "warn", "error"), "Level", "The lowest level written; debug tells the end of each change.", l.Level)),
		optional("format", described(words("auto", "text", "json"), "Format", "auto: text on a terminal, else json.", l.Format)),
	)
}

func webSchema() dict {
	w := defaults().Web
	user := section("User", "Who may sign in.",
		required("name", described(str(), "Name", "To sign in with.", nil, "ada")),
		required("role", described(words("viewer", "editor"), "Role", "A viewer sees no values of rows and changes nothing.", nil)),
		optional("password", described(str(), "Password", `The argon2id hash that "brazecdc user passwd" writes; not needed where a proxy signs people in.`, nil)))
	proxy := section("Proxy", "A reverse proxy that signs people in.",
		required("header", described(matching(headerName.String()), "Header", "Carries the user's name.", nil, "X-Forwarded-User")),
		optional("role_header", described(matching(headerName.String()), "Header of the role", "Carries viewer or editor; without it the role of the same name in users, else viewer.", nil, "X-Forwarded-Role")),
		required("from", described(dict{{"type", "array"}, {"minItems", 1}, {"items", str()}}, "Addresses", "The proxy speaks from these ranges; headers from elsewhere count for nothing.", nil, []string{"10.0.0.0/8"})))
	return section("Pages", "The listener for the pages and, without ops.listen, for health and metrics.",
		optional("listen", described(str(), "Listen", "host:port; empty for none. An address of other machines needs users or proxy.", w.Listen)),
		optional("hosts", texts("Host names", "Accepted in requests beside loopback.", []string{"brazecdc.example.com"})),
		optional("stay", described(yesNo(), "Stay", "Keeps the pages up after a stop that a person has to mend.", w.Stay)),
		optional("users", described(dict{{"type", "array"}, {"items", user}}, "Users", "Who may sign in; none: loopback needs no sign-in.", nil)),
		optional("proxy", proxy),
		optional("tls", section("TLS", "The listener's own certificate.", optional("cert", described(str(), "Certificate", "A PEM file.", "")), optional("key", described(str(), "Key", "A PEM file.", "")))),
		optional("counts", described(words("auto", "none"), "Counts", "Whether the rule builder counts matching rows.", w.Counts)),
		optional("history", section("History", "The outcomes of changes that are kept for the pages of users.",
			optional("keep", described(matching(durationPattern), "Keep", "How long.", w.History.Keep)),
			optional("max_size", described(matching(sizePattern), "Largest size", "On disk.", formatSize(w.History.MaxSize))),
			optional("values", described(words("memory", "disk"), "Values", "Where values of rows are kept: the newest in memory, or all on disk.", w.History.Values)))),
	)
}

func opsSchema() dict {
	return section("Operations", "What machines and people on call see.",
		optional("listen", described(str(), "Listen", "host:port; empty: on web.listen, beside the pages.", defaults().Ops.Listen, "127.0.0.1:9090")),
		optional("token", described(str(), "Token", "Asked for where /metrics and /status share a web.listen whose pages ask for a sign-in.", "", "${OPS_TOKEN}")),
		optional("webhook", section("Webhook", "Is told when the process begins to need somebody, and when it no longer does.",
			required("url", described(str(), "Address", "https, or http on loopback. Those of chat services are secrets themselves.", nil, "${ALERTS_URL}")),
			optional("secret", described(str(), "Secret", "Signs the messages: HMAC-SHA256 of the body in X-Brazecdc-Signature.", "", "${ALERTS_SECRET}")),
			optional("pages", described(str(), "Address of the pages", "As people reach them, for the links in messages; empty: web.listen.", "", "https://brazecdc.example.com")))),
	)
}
