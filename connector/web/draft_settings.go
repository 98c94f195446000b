package web

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector/config"
	"brazecdc/connector/draft"
)

// setting is one key of the file that the form of all settings has.
type setting struct {
	Path    string
	Kind    string // text, secret, number, bool, choice, list, pairs, start or held
	Default string // as it is written, "" where there is none
	Choices []string
}

// settingsPart is one card of the form. Where in is set it is shown only when the file has that, or has none of its neighbours.
type settingsPart struct {
	Name string
	In   string
	List []setting
}

var yesNo = []string{"true", "false"}

// settingsParts are all settings outside of the models, in the order of the reference. web.users are not among them: the page of settings has them.
var settingsParts = []settingsPart{
	{"braze", "", []setting{
		{Path: "braze.workspace", Kind: "text"}, {Path: "braze.endpoint", Kind: "text"}, {Path: "braze.api_key", Kind: "secret"},
		{Path: "braze.rate.share", Kind: "text", Default: "100%"}, {Path: "braze.rate.per_hour", Kind: "number", Default: "auto"},
		{Path: "braze.objects_per_request", Kind: "number", Default: "75", Choices: []string{"50", "75", "225"}}, {Path: "braze.max_body", Kind: "text", Default: "3MiB"},
		{Path: "braze.senders", Kind: "number", Default: "auto"}, {Path: "braze.max_linger", Kind: "text", Default: "1s"}, {Path: "braze.user_gap", Kind: "text", Default: "1s"},
		{Path: "braze.settle", Kind: "text", Default: "5m"}, {Path: "braze.timeout", Kind: "text", Default: "30s"}, {Path: "braze.attempts", Kind: "number", Default: "8"},
		{Path: "braze.on_unknown", Kind: "choice", Default: "retry", Choices: []string{"retry", "quarantine"}}, {Path: "braze.subscription_groups", Kind: "pairs"},
	}},
	{"source", "", []setting{{Path: "source.time_zone", Kind: "text", Default: "UTC"}}},
	{"postgres", "source.postgres", []setting{
		{Path: "source.postgres.url", Kind: "text"}, {Path: "source.postgres.slot", Kind: "text", Default: "brazecdc"}, {Path: "source.postgres.publication", Kind: "text", Default: "brazecdc"},
		{Path: "source.postgres.start_timeout", Kind: "text", Default: "60s"}, {Path: "source.postgres.create", Kind: "bool", Default: "true", Choices: yesNo},
		{Path: "source.postgres.failover_slot", Kind: "bool", Default: "auto", Choices: []string{"auto", "true", "false"}}, {Path: "source.postgres.heartbeat", Kind: "text", Default: "30s"},
		{Path: "source.postgres.snapshot_url", Kind: "text"},
	}},
	{"kafka", "source.kafka", []setting{
		{Path: "source.kafka.brokers", Kind: "list"}, {Path: "source.kafka.group", Kind: "text", Default: "brazecdc"}, {Path: "source.kafka.start", Kind: "start", Default: "committed"},
		{Path: "source.kafka.start_timeout", Kind: "text", Default: "60s"}, {Path: "source.kafka.state_topic", Kind: "text"},
		{Path: "source.kafka.format", Kind: "choice", Default: "auto", Choices: []string{"auto", "debezium-json", "debezium-avro", "rows-json", "rows-avro", "row-change"}},
		{Path: "source.kafka.envelope", Kind: "choice", Default: "changes", Choices: []string{"changes", "append"}}, {Path: "source.kafka.registry.url", Kind: "text"},
		{Path: "source.kafka.registry.user", Kind: "text"}, {Path: "source.kafka.registry.password", Kind: "secret"},
		{Path: "source.kafka.registry.tls.ca", Kind: "text"}, {Path: "source.kafka.registry.tls.cert", Kind: "text"}, {Path: "source.kafka.registry.tls.key", Kind: "text"},
		{Path: "source.kafka.tls.ca", Kind: "text"},
		{Path: "source.kafka.tls.cert", Kind: "text"}, {Path: "source.kafka.tls.key", Kind: "text"},
		{Path: "source.kafka.sasl.mechanism", Kind: "choice", Choices: []string{"plain", "scram-sha-256", "scram-sha-512"}}, {Path: "source.kafka.sasl.user", Kind: "text"},
		{Path: "source.kafka.sasl.password", Kind: "secret"},
	}},
	{"folders", "", []setting{
		{Path: "data.path", Kind: "text", Default: "./data"}, {Path: "cache.path", Kind: "text", Default: "./cache"}, {Path: "cache.max_size", Kind: "text", Default: "8GiB"},
		{Path: "cache.memory", Kind: "text", Default: "96MiB"},
	}},
	{"limits", "", []setting{
		{Path: "limits.open_changes", Kind: "number", Default: "50000"}, {Path: "limits.open_bytes", Kind: "text", Default: "64MiB"}, {Path: "limits.drain", Kind: "text", Default: "30s"},
		{Path: "quarantine.to", Kind: "held", Default: "disk"}, {Path: "quarantine.retention", Kind: "text", Default: "30d"},
	}},
	{"scope", "", []setting{{Path: "never_send", Kind: "list"}, {Path: "only_users", Kind: "list"}, {Path: "load_mark", Kind: "text"}}},
	{"web", "", []setting{
		{Path: "web.listen", Kind: "text", Default: "127.0.0.1:8080"}, {Path: "web.hosts", Kind: "list"}, {Path: "web.stay", Kind: "bool", Default: "false", Choices: yesNo},
		{Path: "web.counts", Kind: "choice", Default: "auto", Choices: []string{"auto", "none"}}, {Path: "web.history.keep", Kind: "text", Default: "7d"},
		{Path: "web.history.max_size", Kind: "text", Default: "256MiB"}, {Path: "web.history.values", Kind: "choice", Default: "memory", Choices: []string{"memory", "disk"}},
		{Path: "web.proxy.header", Kind: "text"}, {Path: "web.proxy.role_header", Kind: "text"}, {Path: "web.proxy.from", Kind: "list"},
		{Path: "web.tls.cert", Kind: "text"}, {Path: "web.tls.key", Kind: "text"},
	}},
	{"ops", "", []setting{
		{Path: "ops.listen", Kind: "text"}, {Path: "ops.token", Kind: "secret"},
		{Path: "ops.webhook.url", Kind: "secret"}, {Path: "ops.webhook.secret", Kind: "secret"}, {Path: "ops.webhook.pages", Kind: "text"},
		{Path: "log.level", Kind: "choice", Default: "info", Choices: []string{"debug", "info", "warn", "error"}},
		{Path: "log.format", Kind: "choice", Default: "auto", Choices: []string{"auto", "text", "json"}},
	}},
}

// boundSecrets are secrets that belong to an address: a new address makes them be entered again, so that nobody sends them elsewhere unseen.
var boundSecrets = map[string]string{
	"braze.endpoint": "braze.api_key", "source.kafka.registry.url": "source.kafka.registry.password", "source.kafka.brokers": "source.kafka.sasl.password",
	"ops.webhook.url": "ops.webhook.secret",
}

// settingShown is one field of the form.
type settingShown struct {
	setting
	ID      string
	Value   string // as the form shows it; of a secret nothing but its reference
	Given   bool   // the file has it
	Wrong   []Finding
	Invalid bool // one of them must be fixed
}

type partShown struct {
	Name  string
	Open  bool
	Given int
	List  []settingShown
}

type settingsShown struct {
	Parts    []partShown
	Seen     string
	ReadOnly bool
	File     string
	Other    []Finding // faults of the file that no field here has
}

// fieldID is the id and name of a setting's field.
func fieldID(path string) string { return "s-" + strings.ReplaceAll(path, ".", "-") }

func (s *Server) draftSettings(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	return s.showSettings(r, http.StatusOK, nil)
}

// showSettings answers with the form; sent are the values of a form that was not taken.
func (s *Server) showSettings(r *request, status int, sent map[string]string) error {
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	tree, err := config.ReadTree(v.Text)
	if err != nil {
		r.problem("", r.t("draft.fault.text", draftLine(err), r.saidError(err)))
		return s.showDraft(r, http.StatusConflict, &draftShown{Tab: "hand"})
	}
	faults := s.byPath(v.Text)
	p := &settingsShown{Seen: draft.Hash(v.Text), ReadOnly: v.ReadOnly, File: s.cfg.File}
	for _, part := range partsOf(tree) {
		shown := partShown{Name: part.Name}
		for _, x := range part.List {
			f := settingShown{setting: x, ID: fieldID(x.Path), Value: valueOf(tree, x), Given: tree.Has(x.Path), Wrong: faults[x.Path], Invalid: bad(faults[x.Path])}
			if text, ok := sent[f.ID]; ok && x.Kind != "secret" {
				f.Value = text
			}
			delete(faults, x.Path)
			if f.Given {
				shown.Given++
			}
			shown.Open = shown.Open || len(f.Wrong) > 0 || r.problemAt(f.ID) != ""
			shown.List = append(shown.List, f)
		}
		p.Parts = append(p.Parts, shown)
	}
	for path, list := range faults {
		if !strings.HasPrefix(path, "models") {
			p.Other = append(p.Other, list...)
		}
	}
	return r.render(status, "draft_settings", "draft.settings.title", p)
}

// byPath sorts the faults of reading the text by the setting that they are about.
func (s *Server) byPath(text []byte) map[string][]Finding {
	out := map[string][]Finding{}
	if s.cfg.Parse == nil || len(text) == 0 {
		return out
	}
	for _, f := range s.faultsOf(text) {
		level := "bad"
		if f.Warn {
			level = "warn"
		}
		path := f.Path
		if i := strings.Index(path, "["); i > 0 {
			path = path[:i]
		}
		out[path] = append(out[path], Finding{Level: level, What: strings.TrimPrefix(f.What, f.Path+" "), Fix: f.Fix, Line: f.Line})
	}
	return out
}

// partsOf leaves out the source that the file does not use.
func partsOf(tree *config.Tree) []settingsPart {
	var out []settingsPart
	any := tree.Has("source.postgres") || tree.Has("source.kafka")
	for _, p := range settingsParts {
		if p.In == "" || !any || tree.Has(p.In) {
			out = append(out, p)
		}
	}
	return out
}

// valueOf is a setting as its field shows it.
func valueOf(tree *config.Tree, x setting) string {
	switch x.Kind {
	case "list":
		return strings.Join(tree.Items(x.Path), "\n")
	case "pairs":
		var lines []string
		for _, key := range tree.Keys(x.Path) {
			lines = append(lines, key+" = "+tree.Text(config.Key(x.Path, key)))
		}
		return strings.Join(lines, "\n")
	case "start":
		if at := tree.Text(x.Path + ".timestamp"); at != "" {
			return at
		}
	case "held":
		if topic := tree.Text(x.Path + ".topic"); topic != "" {
			return topic
		}
	}
	return tree.Text(x.Path)
}

func (s *Server) draftSettingsSave(r *request) error {
	if s.cfg.Draft == nil {
		return errUnavailable()
	}
	v, err := s.cfg.Draft.View()
	if err != nil {
		return err
	}
	sent := map[string]string{}
	for key := range r.PostForm {
		sent[key] = strings.ReplaceAll(r.PostFormValue(key), "\r\n", "\n")
	}
	tree, err := config.ReadTree(v.Text)
	if err != nil {
		return s.showSettings(r, http.StatusConflict, sent)
	}
	edits := r.settingsEdits(tree, sent)
	if len(r.problems) > 0 {
		return s.showSettings(r, http.StatusUnprocessableEntity, sent)
	}
	if len(edits) == 0 {
		return r.redirect("/draft/settings", "draft.done.unchanged")
	}
	if err := s.cfg.Draft.Edit(r.User.Name, edits...); err != nil {
		r.problem("", r.saidError(err))
		return s.showSettings(r, http.StatusUnprocessableEntity, sent)
	}
	return r.redirect("/draft/settings", "draft.done.kept", len(edits))
}

// settingsEdits are the edits for what the form has differently from what it showed.
func (r *request) settingsEdits(tree *config.Tree, sent map[string]string) []config.Edit {
	var edits []config.Edit
	changed := map[string]bool{}
	for _, part := range settingsParts {
		for _, x := range part.List {
			text, ok := sent[fieldID(x.Path)]
			if !ok {
				continue
			}
			e, is := r.settingEdit(tree, x, strings.TrimSpace(text), sent)
			if is {
				edits = append(edits, e)
				changed[x.Path] = true
			}
		}
	}
	for address, secret := range boundSecrets {
		if changed[address] && !changed[secret] && tree.Has(address) && tree.Has(secret) {
			r.problem(fieldID(secret), r.t("draft.settings.again"))
		}
	}
	for _, path := range []string{"source.postgres.url", "source.postgres.snapshot_url"} {
		if changed[path] && takesPasswordAlong(tree.Text(path), strings.TrimSpace(sent[fieldID(path)])) {
			r.problem(fieldID(path), r.t("draft.settings.again"))
		}
	}
	return edits
}

// takesPasswordAlong tells whether the new address of a database has the password that was given for another host. The page of the source takes it when it is
// entered there.
func takesPasswordAlong(old, now string) bool {
	a, err := parseAddress(old)
	b, nowErr := parseAddress(now)
	return err == nil && nowErr == nil && a.Password != "" && a.Password == b.Password && !a.sameHost(&b)
}

// settingEdit is the edit that one field asks for; false for none.
func (r *request) settingEdit(tree *config.Tree, x setting, text string, sent map[string]string) (config.Edit, bool) {
	e := config.Edit{Path: x.Path}
	switch {
	case x.Kind == "secret" && text == "":
		e.Remove = sent[fieldID(x.Path)+"-remove"] != "" && tree.Has(x.Path)
		return e, e.Remove
	case x.Kind != "secret" && text == strings.TrimSpace(valueOf(tree, x)):
		return e, false
	case text == "":
		e.Remove = true
		return e, tree.Has(x.Path)
	case strings.Contains(text, config.Hidden):
		r.problem(fieldID(x.Path), r.t("draft.settings.hidden"))
		return e, false
	}
	var ok bool
	if e.Value, ok = settingValue(x, text); !ok {
		r.problem(fieldID(x.Path), r.t("draft.settings.pairs"))
	}
	return e, ok
}

var (
	wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)
	someTime    = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-`)
)

// settingValue is what a field's text means in the file. What does not fit is written as text: reading the file then says what is wrong with it.
func settingValue(x setting, text string) (any, bool) {
	switch x.Kind {
	case "number":
		if wholeNumber.MatchString(text) {
			n, err := strconv.ParseInt(text, 10, 64)
			return n, err == nil
		}
	case "bool":
		if text == "true" || text == "false" {
			return text == "true", true
		}
	case "list":
		var items []any
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				items = append(items, line)
			}
		}
		return items, true
	case "pairs":
		var pairs yaml.MapSlice
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if key, value = strings.TrimSpace(key), strings.TrimSpace(value); !ok || key == "" || value == "" {
				return nil, false
			}
			pairs = append(pairs, yaml.MapItem{Key: key, Value: value})
		}
		return pairs, true
	case "start":
		if someTime.MatchString(text) {
			return config.Map("timestamp", text), true
		}
	case "held":
		if text != "disk" {
			return config.Map("topic", text), true
		}
	}
	return text, true
}
