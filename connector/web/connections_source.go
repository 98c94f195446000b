package web

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"brazecdc/connector/config"
)

// sourceForm is the page of the source. Secrets that were typed are never in it.
type sourceForm struct {
	connectionForm
	Kind string // postgres, kafka or empty

	A        address
	Password secretField
	TimeZone string
	Slot     string
	Pub      string
	Create   bool
	TLSModes []string

	Brokers    string
	Group      string
	Format     string
	StateTopic string
	TLS        bool
	CA         string
	Mechanism  string
	SASLUser   string
	SASLSecret secretField
	Registry   string
	RegUser    string
	RegSecret  secretField
	Formats    []string
	Mechanisms []string

	More  bool // the settings that few need stand open
	Probe *SourceProbe
}

var (
	tlsModes   = []string{"", "require", "verify-full", "disable"}
	formats    = []string{"auto", "debezium-json", "debezium-avro", "rows-json", "rows-avro", "row-change"}
	mechanisms = []string{"", "plain", "scram-sha-256", "scram-sha-512"}
)

func (r *request) sourceForm(w *written) *sourceForm {
	f := &sourceForm{connectionForm: r.connectionForm(), TimeZone: w.Source.TimeZone, Slot: defaultName, Pub: defaultName, Group: defaultName, Format: "auto",
		Create: true, TLSModes: tlsModes, Formats: formats, Mechanisms: mechanisms, Password: secretField{ID: "password"},
		SASLSecret: secretField{ID: "sasl_password"}, RegSecret: secretField{ID: "registry_password"}}
	if f.TimeZone == "" {
		f.TimeZone = "UTC"
	}
	if p := w.Source.Postgres; p != nil {
		f.Kind = "postgres"
		f.A, _ = parseAddress(p.URL) // what is not understood is typed anew
		if f.Password = r.secretOf("password", f.A.Password); f.A.Whole != "" {
			f.Password = r.secretOf("password", f.A.Whole)
		}
		f.Slot, f.Pub, f.Create = orDefault(p.Slot), orDefault(p.Publication), p.Create == nil || *p.Create
		f.More = f.Slot != defaultName || f.Pub != defaultName || !f.Create
	}
	if k := w.Source.Kafka; k != nil {
		f.Kind = "kafka"
		f.Brokers, f.Group, f.StateTopic, f.Registry, f.RegUser = strings.Join(k.Brokers, ", "), orDefault(k.Group), k.StateTopic, k.Registry.URL, k.Registry.User
		if k.Format != "" {
			f.Format = k.Format
		}
		if f.TLS = k.TLS != nil; f.TLS {
			f.CA = k.TLS.CA
		}
		f.Mechanism, f.SASLUser = k.SASL.Mechanism, k.SASL.User
		f.SASLSecret, f.RegSecret = r.secretOf("sasl_password", k.SASL.Password), r.secretOf("registry_password", k.Registry.Password)
	}
	return f
}

func (s *Server) sourcePage(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	w := readWritten(v.Text)
	f := r.sourceForm(&w)
	f.Probe = s.cfg.Connections.LastSource(v.Text)
	return r.render(http.StatusOK, "connections_source", "connections.source.title", f)
}

// sourceSave puts the source into the draft and tries it.
func (s *Server) sourceSave(r *request) error {
	v, err := r.draftView()
	if err != nil || s.cfg.Connections == nil {
		return errUnavailable()
	}
	w := readWritten(v.Text)
	f := r.sourceForm(&w)
	f.Kind = r.text("kind")
	var change edits
	switch f.Kind {
	case "postgres":
		change, err = r.postgresEdits(v.Text, &w, f)
	case "kafka":
		change, err = r.kafkaEdits(v.Text, &w, f)
	default:
		f.Kind = ""
		r.problem("kind-postgres", r.t("connections.wrong.kind"))
	}
	if err != nil {
		r.problem("", r.t("connections.wrong.keep", r.saidError(err)))
	}
	if len(r.problems) > 0 {
		return r.render(http.StatusUnprocessableEntity, "connections_source", "connections.source.title", f)
	}
	if err := r.save(change); err != nil {
		return err
	}
	if v, err = r.draftView(); err != nil {
		return err
	}
	s.cfg.Connections.ProbeSource(r.Context(), v.Text)
	return r.redirect(f.Path+"#source-result", "")
}

// postgresAddress reads the address of the form: the one that was pasted, or the parts.
func (r *request) postgresAddress(old *address) (a address, password string) {
	if pasted := r.text("paste"); pasted != "" {
		var err error
		if a, err = parseAddress(pasted); err != nil {
			r.problem("paste", r.t(err.Error()))
			return a, ""
		}
		password, a.Password = a.Password, ""
		if typed := r.secretInput("password").Typed; password == "" {
			password = typed
		}
		return a, password
	}
	if r.text("host") == "" && old.Whole != "" {
		return *old, ""
	}
	a = address{User: r.text("user"), Host: r.text("host"), Port: r.text("port"), Database: r.text("database"), TLS: r.text("tls"), Params: url.Values{}}
	if old.sameHost(&a) {
		a.Params = old.Params
	}
	return a, r.secretInput("password").Typed
}

func (r *request) postgresEdits(text []byte, w *written, f *sourceForm) (edits, error) {
	var old address
	var had writtenPostgres
	if w.Source.Postgres != nil {
		had = *w.Source.Postgres
		old, _ = parseAddress(had.URL)
	}
	a, password := r.postgresAddress(&old)
	in := r.secretInput("password")
	f.A, f.Slot, f.Pub, f.Create, f.TimeZone = a, r.text("slot"), r.text("publication"), r.PostFormValue("create") != "", r.text("time_zone")
	if len(r.problems) > 0 {
		return nil, nil
	}
	if field, key := a.fault(); key != "" {
		r.problem(field, r.t(key))
	}
	if err := in.judge(); err != nil {
		r.problem("password", r.t(err.Error()))
	}
	switch {
	case a.Whole != "" || in.Remove:
	case password != "":
		a.Password = "x" // on trial
	case old.Password != "" && !old.sameHost(&a):
		r.problem("password", r.t("connections.wrong.again"))
	default:
		a.Password = old.Password
	}
	change := begin(w)
	if w.Source.Kafka != nil {
		change.remove("source.kafka")
	}
	change.keep("source.time_zone", w.Source.TimeZone, f.TimeZone, "")
	at := len(change)
	change.set("source.postgres.url", a.String())
	change.keep("source.postgres.slot", had.Slot, f.Slot, defaultName)
	change.keep("source.postgres.publication", had.Publication, f.Pub, defaultName)
	if create := had.Create == nil || *had.Create; create != f.Create {
		change.set("source.postgres.create", f.Create)
	}
	fields := map[string]string{"source.time_zone": "time_zone", "source.postgres.slot": "slot", "source.postgres.publication": "publication"}
	if a.Whole == "" { // what a reference gives, here or where the stream will run, is for the test to tell
		fields["source.postgres.url"] = "host"
	}
	ok := r.judge(text, change, fields)
	if !ok || len(r.problems) > 0 {
		return nil, nil
	}
	if a.Whole == "" && password != "" && !in.Remove {
		typed := password
		if !secretIsReference(typed) {
			typed = escape(typed) // it becomes a part of an address
		}
		ref, err := r.reference("database-password", typed)
		if err != nil {
			return nil, err
		}
		a.Password = ref
	}
	change[at] = config.Edit{Path: "source.postgres.url", Value: a.String()}
	return change, nil
}

func (r *request) kafkaEdits(text []byte, w *written, f *sourceForm) (edits, error) {
	var had writtenKafka
	if w.Source.Kafka != nil {
		had = *w.Source.Kafka
	}
	f.Brokers, f.Group, f.Format, f.StateTopic, f.CA = r.text("brokers"), r.text("group"), r.text("format"), r.text("state_topic"), r.text("ca")
	f.TLS, f.Mechanism, f.SASLUser, f.Registry, f.RegUser = r.PostFormValue("kafka_tls") != "", r.text("mechanism"), r.text("sasl_user"), r.text("registry"), r.text("registry_user")
	f.TimeZone = r.text("time_zone")
	brokers := splitBrokers(f.Brokers)
	if len(brokers) == 0 {
		r.problem("brokers", r.t("connections.wrong.brokers"))
	}
	if u, err := url.Parse(f.Registry); f.Registry != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil) {
		r.problem("registry", r.t("connections.wrong.registry"))
	}
	change := begin(w)
	if w.Source.Postgres != nil {
		change.remove("source.postgres")
	}
	change.keep("source.time_zone", w.Source.TimeZone, f.TimeZone, "")
	change.set("source.kafka.brokers", anyList(brokers))
	change.keep("source.kafka.group", had.Group, f.Group, defaultName)
	change.keep("source.kafka.format", had.Format, f.Format, "auto")
	change.keep("source.kafka.state_topic", had.StateTopic, f.StateTopic, "")
	switch {
	case f.TLS && (had.TLS == nil || had.TLS.CA != f.CA):
		change.set("source.kafka.tls.ca", f.CA)
	case !f.TLS && had.TLS != nil:
		change.remove("source.kafka.tls")
	}
	change.keep("source.kafka.sasl.mechanism", had.SASL.Mechanism, f.Mechanism, "")
	change.keep("source.kafka.sasl.user", had.SASL.User, f.SASLUser, "")
	change.keep("source.kafka.registry.url", had.Registry.URL, f.Registry, "")
	change.keep("source.kafka.registry.user", had.Registry.User, f.RegUser, "")
	ok := r.judge(text, change, map[string]string{
		"source.time_zone": "time_zone", "source.kafka.brokers": "brokers", "source.kafka.group": "group", "source.kafka.format": "format",
		"source.kafka.state_topic": "state_topic", "source.kafka.sasl.mechanism": "mechanism",
	})
	moved := len(had.Brokers) > 0 && !sameBrokers(had.Brokers, brokers)
	login := r.secretChange("sasl_password", had.SASL.Password, moved)
	reg := r.secretChange("registry_password", had.Registry.Password, had.Registry.URL != "" && had.Registry.URL != f.Registry && f.Registry != "")
	if !ok || len(r.problems) > 0 {
		return nil, nil
	}
	if err := login(&change, "source.kafka.sasl.password", "kafka-password"); err != nil {
		return nil, err
	}
	return change, reg(&change, "source.kafka.registry.password", "registry-password")
}

// secretChange judges what a form says about a secret that stands as raw; moved tells that it would go to another host than it was given for. What it returns
// keeps it.
func (r *request) secretChange(id, raw string, moved bool) func(change *edits, path, name string) error {
	in := r.secretInput(id)
	if err := in.judge(); err != nil {
		r.problem(id, r.t(err.Error()))
	}
	if raw != "" && moved && in.Typed == "" && !in.Remove {
		r.problem(id, r.t("connections.wrong.again"))
	}
	return func(change *edits, path, name string) error {
		switch {
		case in.Remove && raw != "":
			change.remove(path)
		case in.Typed != "":
			ref, err := r.reference(name, in.Typed)
			if err != nil {
				return err
			}
			change.set(path, ref)
		}
		return nil
	}
}

// splitBrokers reads a list of host:port; nil where one is none.
func splitBrokers(text string) []string {
	var out []string
	for _, b := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' || c == ';' }) {
		if _, _, err := net.SplitHostPort(b); err != nil {
			if strings.Contains(b, ":") {
				return nil
			}
			b = net.JoinHostPort(b, strconv.Itoa(kafkaPort))
		}
		out = append(out, b)
	}
	return out
}

// kafkaPort is where brokers listen where nobody says otherwise.
const kafkaPort = 9092

// sameBrokers tells whether no broker is named that was not there before.
func sameBrokers(old, now []string) bool {
	known := map[string]bool{}
	for _, b := range old {
		known[strings.ToLower(b)] = true
	}
	for _, b := range now {
		if !known[strings.ToLower(b)] {
			return false
		}
	}
	return true
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
