package config

import (
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // images without a zone database must know source.time_zone too
)

const never = time.Duration(0)

// config reads the whole file.
func (d *decoder) config(root *node) *Config {
	cfg := defaults()
	cfg.File = d.file
	o := d.object(root, "version braze source data cache limits quarantine never_send only_users load_mark log web ops models")
	if n := o.get("version"); n != nil && (n.kind != number || n.value != strconv.Itoa(Version)) {
		d.bad(n, "is "+n.describe(), "write version: 1, the only one so far")
	}
	o.missing("version", "write version: 1")
	d.braze(o, &cfg.Braze)
	d.source(o, &cfg.Source)
	d.folders(o, cfg)
	d.scope(o, cfg)
	d.listeners(o, cfg)
	d.models(o, cfg)
	d.acrossModels(root, cfg)
	return cfg
}

func (d *decoder) braze(root object, b *Braze) {
	root.missing("braze", "add braze with workspace, endpoint and api_key")
	o := d.object(root.section("braze"), "workspace endpoint api_key rate objects_per_request max_body senders max_linger user_gap settle "+
		"timeout attempts on_unknown subscription_groups")
	if root.has("braze") {
		o.missing("workspace", "write a label of your own for the Braze workspace, such as staging")
		o.missing("endpoint", "write your instance's REST address, such as https://rest.fra-01.braze.eu")
		o.missing("api_key", "write ${BRAZE_API_KEY} and set that variable")
	}
	if n := o.str("workspace", &b.Workspace); n != nil && strings.TrimSpace(b.Workspace) == "" {
		d.bad(n, "is empty", "write a label of your own, such as staging")
	}
	var endpoint string
	if n := o.str("endpoint", &endpoint); n != nil {
		b.Endpoint = d.endpoint(n)
	}
	if n := o.secret("api_key", &b.APIKey); n != nil {
		d.apiKey(n)
	}
	rate := d.object(o.section("rate"), "share per_hour")
	rate.share("share", &b.RateShare)
	rate.autoInteger("per_hour", &b.RatePerHour, 1_000_000_000)
	if n := o.integer("objects_per_request", &b.ObjectsPerRequest, 50, 225); n != nil {
		if v := b.ObjectsPerRequest; v != 50 && v != 75 && v != 225 {
			d.bad(n, "is "+n.describe(), "choose 50, 75 or 225, as your contract says")
		}
	}
	o.size("max_body", &b.MaxBody, 128<<10, 4_000_000)
	o.autoInteger("senders", &b.Senders, 1000)
	o.duration("max_linger", &b.MaxLinger, never)
	if n := o.duration("user_gap", &b.UserGap, never); n != nil && b.UserGap == 0 {
		d.warn(n, "is 0: Braze may apply two requests of one user in either order", "keep 1s unless order within seconds does not matter")
	}
	o.duration("settle", &b.Settle, never)
	o.duration("timeout", &b.Timeout, time.Millisecond)
	o.integer("attempts", &b.Attempts, 1, 1000)
	o.enum("on_unknown", &b.OnUnknown, "retry", "quarantine")
	d.groupIDs(o.section("subscription_groups"), b)
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (d *decoder) groupIDs(n *node, b *Braze) {
	for _, e := range d.free(n, "write name: id") {
		if e.node.kind != text || e.node.value == "" {
			d.bad(e.node, "is "+e.node.describe(), "write the group's id from Braze's dashboard")
			continue
		}
		b.SubscriptionGroups[e.key] = e.node.value
		if !uuid.MatchString(e.node.value) {
			d.warn(e.node, "does not look like the id of a subscription group", "copy the id from Braze's dashboard")
		}
	}
}

// free is the entries of a mapping whose keys are the operator's own names; entries without a usable value are left out.
func (d *decoder) free(n *node, fix string) []entry {
	if n == nil || n.kind == null {
		return nil
	}
	if n.kind != mapping {
		d.bad(n, "is "+n.describe(), fix)
		return nil
	}
	var out []entry
	for _, e := range n.entries {
		path := join(n.path, e.key)
		switch {
		case !e.quoted && isTrap(e.key):
			d.addAt(e.place, path, path+" has a name that some YAML readers turn into something else", `write "`+e.key+`" in quotes`)
		case e.node.kind == null && !e.node.broken:
			d.bad(e.node, "has no value", "give one, or remove the key")
		case e.node.broken && e.node.kind != mapping && e.node.kind != sequence:
		default:
			out = append(out, e)
		}
	}
	return out
}

func (d *decoder) source(root object, s *Source) {
	root.missing("source", "add source with postgres or kafka")
	n := root.section("source")
	o := d.object(n, "time_zone postgres kafka")
	if z := o.str("time_zone", &s.TimeZone); z != nil {
		loc, err := time.LoadLocation(s.TimeZone)
		if err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
			d.bad(z, "is "+z.describe()+", not a time zone", "write an IANA name such as Europe/Berlin or UTC")
		} else {
			s.Location = loc
		}
	}
	switch {
	case o.has("postgres") && o.has("kafka"):
		d.bad(o.n.child("kafka"), "stands beside source.postgres", "keep one of the two")
	case root.has("source") && !o.has("postgres") && !o.has("kafka") && n != nil && (o.n == nil || !o.n.broken):
		d.bad(n, "names neither postgres nor kafka", "add one of the two")
	}
	if o.has("postgres") {
		s.Postgres = defaultPostgres()
		d.postgres(o.n.child("postgres"), s.Postgres)
	}
	if o.has("kafka") {
		s.Kafka = defaultKafka()
		d.kafka(o.n.child("kafka"), s.Kafka)
	}
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

func (d *decoder) postgres(n *node, p *Postgres) {
	o := d.object(n, "url slot publication start_timeout create failover_slot heartbeat snapshot_url")
	if !o.has("url") && (o.n == nil || !o.n.broken) {
		d.addAt(n.place, n.path+".url", n.path+".url is missing", "write ${DATABASE_URL} and set that variable to postgres://user@host/database")
	}
	if u := o.secret("url", &p.URL); u != nil {
		d.databaseURL(u)
	}
	p.SnapshotURL = p.URL
	if u := o.n.child("snapshot_url"); u != nil && (u.kind != text || u.value != "") {
		if u = o.secret("snapshot_url", &p.SnapshotURL); u != nil {
			d.databaseURL(u)
		}
	}
	if s := o.str("slot", &p.Slot); s != nil && !slotName.MatchString(p.Slot) {
		d.bad(s, "is "+s.describe(), "a slot's name has lower case letters, digits and underscores, 63 at most")
	}
	if s := o.str("publication", &p.Publication); s != nil && (p.Publication == "" || len(p.Publication) > 63) {
		d.bad(s, "is "+s.describe(), "a publication's name has 1 to 63 bytes")
	}
	o.duration("start_timeout", &p.StartTimeout, time.Millisecond)
	o.boolean("create", &p.Create)
	o.enum("failover_slot", &p.FailoverSlot, "auto", "true", "false")
	o.duration("heartbeat", &p.Heartbeat, time.Millisecond)
}

func (d *decoder) kafka(n *node, k *Kafka) {
	o := d.object(n, "brokers group start start_timeout state_topic format envelope registry tls sasl")
	if !o.has("brokers") && (o.n == nil || !o.n.broken) {
		d.addAt(n.place, n.path+".brokers", n.path+".brokers is missing", "write a list such as [localhost:9092]")
	}
	for _, b := range o.texts("brokers", &k.Brokers) {
		d.hostPort(b)
	}
	if b := o.n.child("brokers"); b != nil && b.kind == sequence && len(b.items) == 0 {
		d.bad(b, "is empty", "write a list such as [localhost:9092]")
	}
	if g := o.str("group", &k.Group); g != nil && k.Group == "" {
		d.bad(g, "is empty", "write the consumer group's name")
	}
	if s := o.get("start"); s != nil && s.kind == mapping {
		k.Start = "timestamp"
		at := d.object(s, "timestamp")
		at.missing("timestamp", "write a time such as 2026-11-01T00:00:00Z")
		var raw string
		if t := at.str("timestamp", &raw); t != nil {
			v, err := time.Parse(time.RFC3339, raw)
			if err != nil {
				d.bad(t, "is "+t.describe(), "write a time such as 2026-11-01T00:00:00Z")
			}
			k.StartTime = v
		}
	} else if s != nil && (s.kind != text || s.value != "committed" && s.value != "earliest" && s.value != "latest") {
		d.bad(s, "is "+s.describe(), "write committed, earliest, latest or {timestamp: 2026-11-01T00:00:00Z}")
	} else if s != nil {
		k.Start = s.value
	}
	if s := o.str("state_topic", &k.StateTopic); s != nil && k.StateTopic != "" && !topicName.MatchString(k.StateTopic) {
		d.bad(s, "is "+s.describe()+", which no topic can be called", `write a name of letters, digits, ".", "_" and "-"`)
	}
	o.duration("start_timeout", &k.StartTimeout, time.Millisecond)
	o.enum("format", &k.Format, "auto", "debezium-json", "debezium-avro", "rows-json", "rows-avro", "row-change")
	o.enum("envelope", &k.Envelope, "changes", "append")

	registry := d.object(o.section("registry"), "url user password tls")
	registry.str("url", &k.Registry.URL)
	registry.str("user", &k.Registry.User)
	d.literalSecret(registry.secret("password", &k.Registry.Password))
	d.tls(registry, &k.Registry.TLS)
	if n := registry.n.child("tls"); n != nil && strings.HasPrefix(strings.ToLower(k.Registry.URL), "http:") {
		d.bad(n, "is for an address with https", "write source.kafka.registry.url with https://, or remove tls")
	}
	d.tls(o, &k.TLS)

	sasl := d.object(o.section("sasl"), "mechanism user password")
	if m := sasl.n.child("mechanism"); m == nil || m.kind != text || m.value != "" {
		sasl.enum("mechanism", &k.SASL.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
	}
	sasl.str("user", &k.SASL.User)
	d.literalSecret(sasl.secret("password", &k.SASL.Password))
}

// tls reads the section tls of another one.
func (d *decoder) tls(of object, t *TLS) {
	o := d.object(of.section("tls"), "ca cert key")
	o.str("ca", &t.CA)
	o.str("cert", &t.Cert)
	o.str("key", &t.Key)
	if (t.Cert == "") != (t.Key == "") {
		d.bad(of.n.child("tls"), "has one of cert and key", "give both, or neither")
	}
}

func (d *decoder) literalSecret(n *node) {
	if n != nil && n.value != "" && !n.expanded {
		d.warn(n, "stands in the file as it is", "write ${NAME} and keep the secret in a variable, or ${file:/path}")
	}
}

func (d *decoder) folders(root object, cfg *Config) {
	path := func(o object, dst *string) {
		if n := o.str("path", dst); n != nil && *dst == "" {
			d.bad(n, "is empty", "name a folder")
		}
	}
	path(d.object(root.section("data"), "path"), &cfg.Data.Path)
	cache := d.object(root.section("cache"), "path max_size memory")
	path(cache, &cfg.Cache.Path)
	cache.size("max_size", &cfg.Cache.MaxSize, 1<<20, 1<<50)
	cache.size("memory", &cfg.Cache.Memory, 0, 4<<30)
	if cfg.Data.Path == cfg.Cache.Path {
		n := root.n.child("cache")
		if n == nil {
			n = root.n.child("data")
		}
		d.bad(n, "uses the same folder for data and cache", "give each its own; a cache may be deleted, data may not")
	}
	limits := d.object(root.section("limits"), "open_changes open_bytes drain")
	limits.integer("open_changes", &cfg.Limits.OpenChanges, 1, 100_000_000)
	limits.size("open_bytes", &cfg.Limits.OpenBytes, 1<<20, 1<<40)
	limits.duration("drain", &cfg.Limits.Drain, never)

	q := d.object(root.section("quarantine"), "to retention")
	if n := q.get("to"); n != nil && n.kind == mapping {
		cfg.Quarantine.To = "topic"
		to := d.object(n, "topic")
		to.missing("topic", "write a topic's name, such as brazecdc.quarantine")
		t := to.str("topic", &cfg.Quarantine.Topic)
		switch {
		case t == nil:
		case cfg.Quarantine.Topic == "":
			d.bad(t, "is empty", "write a topic's name, such as brazecdc.quarantine")
		case !topicName.MatchString(cfg.Quarantine.Topic):
			d.bad(t, "is "+t.describe()+", which no topic can be called", `write a name of letters, digits, ".", "_" and "-"`)
		case cfg.Source.Kafka != nil && cfg.Source.Kafka.StateTopic == cfg.Quarantine.Topic:
			d.bad(t, "is the topic of source.kafka.state_topic", "give each a topic of its own")
		case cfg.Source.Kafka == nil && cfg.Source.Postgres != nil:
			d.bad(n, "is a topic, and the source is a database: there are no records to keep, and no brokers to keep them", "write disk; data/ then holds the rows")
		}
	} else if n != nil && (n.kind != text || n.value != "disk") {
		d.bad(n, "is "+n.describe(), "write disk or {topic: brazecdc.quarantine}")
	}
	q.duration("retention", &cfg.Quarantine.Retention, time.Minute)
}

func (d *decoder) scope(root object, cfg *Config) {
	root.texts("never_send", &cfg.NeverSend)
	root.texts("only_users", &cfg.OnlyUsers)
	if n := root.str("load_mark", &cfg.LoadMark); n != nil && cfg.LoadMark != "" {
		d.customName(n.path, cfg.LoadMark, n.place)
		if cfg.Source.Kafka != nil {
			d.warn(n, "marks users while a table is loaded, and a topic is not: those alone are marked whom a model's schedule changes", "")
		}
	}
	log := d.object(root.section("log"), "level format")
	var level string
	if n := log.enum("level", &level, "debug", "info", "warn", "error"); n != nil {
		cfg.Log.Level = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[level]
	}
	log.enum("format", &cfg.Log.Format, "auto", "text", "json")
}

// hostPort checks a listen or broker address.
func (d *decoder) hostPort(n *node) bool {
	_, port, err := net.SplitHostPort(n.value)
	if err == nil {
		if _, err = strconv.ParseUint(port, 10, 16); err == nil {
			return true
		}
	}
	d.bad(n, "is "+n.describe(), "write host:port, such as 127.0.0.1:8080")
	return false
}

func loopbackAddress(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && loopback(host)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
