package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// option is one setting of a model on the tab of the options.
type option struct {
	Key     string // its path below the model, "deletes.max"
	Type    string // choice, bool, text, number, expr, yaml
	Choices []string
	Default string // what a missing one means; a choice of "" has none
	Value   string
	ID      string
	Faults  []config.Fault
}

// optionGroup is a heading with settings.
type optionGroup struct {
	Name     string
	Settings []option
}

// optionGroups are the settings that a model's kind knows, beside what the other tabs have.
func optionGroups(m *connector.Model) []optionGroup {
	topic := m.Table == ""
	source := optionGroup{Name: "source"}
	if topic {
		source.Settings = append(source.Settings, option{Key: "topic", Type: "yaml"}, option{Key: "columns", Type: "yaml"}, option{Key: "key_column", Type: "text"},
			option{Key: "key_format", Type: "choice", Choices: []string{"auto", "text", "integer"}, Default: "auto"})
	} else {
		source.Settings = append(source.Settings, option{Key: "table", Type: "text"})
	}
	source.Settings = append(source.Settings, option{Key: "replica_identity", Type: "choice", Choices: []string{"auto", "full"}, Default: "auto"})
	rows := optionGroup{Name: "rows", Settings: []option{{Key: "load", Type: "choice", Choices: []string{"all", "none"}}, {Key: "filter", Type: "expr"}}}
	gone := optionGroup{Name: "gone", Settings: []option{{Key: "on_leave", Type: "choice", Choices: leaveChoices(m)}, {Key: "delete_when", Type: "expr"}}}
	brake := []option{
		{Key: "deletes.max", Type: "number", Default: "1000"}, {Key: "deletes.share", Type: "text", Default: "5%"},
		{Key: "deletes.at_least", Type: "number", Default: "50"}, {Key: "deletes.window", Type: "text", Default: "10m"},
	}
	consent := option{Key: "load_consent", Type: "bool", Default: "false"}
	out := []optionGroup{source}
	switch m.Kind {
	case "events", "purchases":
		what := optionGroup{Name: "event", Settings: []option{{Key: "ops", Type: "yaml"}, {Key: "when", Type: "expr"}, {Key: "drop_unknown", Type: "bool", Default: "false"}}}
		if m.Kind == "events" {
			what.Settings = append([]option{{Key: "event.name", Type: "yaml"}, {Key: "event.time", Type: "yaml"}, {Key: "event.max_age", Type: "text", Default: "24h"}}, what.Settings...)
		} else {
			var keys []option
			for _, key := range []string{"product_id", "currency", "price", "quantity", "time"} {
				keys = append(keys, option{Key: "purchase." + key, Type: "yaml"})
			}
			what.Settings = slices.Concat(keys, []option{{Key: "purchase.max_age", Type: "text", Default: "24h"}}, what.Settings)
		}
		what.Settings = append(what.Settings, option{Key: "properties", Type: "yaml"})
		return append(out, what, rows)
	case "subscriptions":
		rows.Settings = append(rows.Settings, consent)
	case "catalog":
		out = append(out, optionGroup{Name: "catalog", Settings: []option{{Key: "catalog", Type: "text"}}})
	default:
		rows.Settings = append(rows.Settings, consent)
		gone.Settings = append(gone.Settings, option{Key: "on_id_change", Type: "choice", Choices: []string{"rename", "create", "stop"}, Default: "rename"},
			option{Key: "on_delete_groups", Type: "choice", Choices: []string{"keep", "unsubscribe"}, Default: "keep"}, option{Key: "owns_users", Type: "choice", Choices: []string{"true", "false"}})
	}
	gone.Settings = append(gone.Settings, brake...)
	return append(out, rows, gone)
}

func leaveChoices(m *connector.Model) []string {
	switch m.Kind {
	case "subscriptions":
		return []string{"keep", "unset"}
	case "catalog":
		return []string{"keep", "delete"}
	}
	return []string{"keep", "unset", "delete"}
}

// optionsData is the tab of the options.
type optionsData struct {
	modelHead
	Groups     []optionGroup
	Mode       string
	Limit      int64
	Window     time.Duration
	Was        string // the mode in the file, where it is another
	Cron       string
	Preset     string
	Presets    []string
	Zone       string
	Resync     string
	Next       []time.Time
	Schedules  bool // the kind knows them
	Topic      bool // its rows come from a topic
	SchedFault []config.Fault
	Text       string // the model as it stands in the file
	ModeFaults []config.Fault
}

// schedulePresets are the schedules that have words.
var schedulePresets = []string{"0 3 * * *", "0 * * * *", "0 */6 * * *", "0 3 * * 0", "0 3 1 * *"}

// optionsTab shows what is neither a field nor a group.
func (r *request) optionsTab(status int, d *drafted, m *connector.Model) error {
	data := optionsData{modelHead: r.head(m, "options"), Groups: optionGroups(m), Mode: m.Mode, Limit: m.Deletes.Max, Window: m.Deletes.Window, Presets: schedulePresets,
		Zone: "UTC", Resync: "differences", Topic: m.Table == "", Schedules: m.Kind != "events" && m.Kind != "purchases"}
	plan := r.plan(d.text, m, &data.modelHead)
	if src := plan.Source; src != nil && !data.Topic {
		data.Limit = m.Deletes.Limit(src.Rows)
	}
	for i := range data.Groups {
		for j := range data.Groups[i].Settings {
			x := &data.Groups[i].Settings[j]
			x.Value, x.ID = x.shown(d.text, m.Name), idOf(m, m.Path+"."+x.Key)
			x.Faults = faultsOf(plan.Faults, m.Path+"."+x.Key)
			if r.Method == http.MethodPost && r.PostForm.Has("set."+x.Key) {
				x.Value = r.PostForm.Get("set." + x.Key)
			}
		}
	}
	data.ModeFaults = faultsOf(plan.Faults, m.Path+".mode")
	data.SchedFault = faultsOf(plan.Faults, m.Path+".schedule")
	if s := m.Schedule; s != nil {
		data.Cron, data.Zone, data.Resync, data.Preset = s.Cron, s.Zone, s.Resync, "custom"
		if slices.Contains(schedulePresets, s.Cron) {
			data.Preset = s.Cron
		}
		data.Next, _ = comingTimes(s.Cron, s.Zone, r.s.now()) // none where it can't be read, which is told as a fault
	}
	if v, err := r.s.cfg.Draft.View(); err == nil && v.Pending {
		if file := r.s.read(v.File).model(m.Name); file != nil && file.Mode != m.Mode {
			data.Was = file.Mode
		}
	}
	data.Text = yamlText(partOf(d.text, m.Name))
	if r.Method == http.MethodPost && r.PostForm.Has("text") {
		data.Text = r.PostForm.Get("text")
	}
	return r.render(status, "models_options", m.Name, data)
}

// shown is a setting as the form has it: as it is written in the text, else its default.
func (x *option) shown(text []byte, model string) string {
	v := partOf(text, model, strings.Split(x.Key, ".")...)
	switch v := v.(type) {
	case nil:
		return x.Default
	case string:
		return v
	case yaml.MapSlice, []any:
		return strings.TrimSuffix(yamlText(v), "\n")
	}
	return fmt.Sprint(v)
}

// edit is what a setting of the form changes; nil where it is as it was. wrong says why it cannot be.
func (x *option) edit(text []byte, model, value string) (e *config.Edit, wrong string) {
	value = strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n"))
	if value == strings.TrimSpace(x.shown(text, model)) {
		return nil, ""
	}
	e = &config.Edit{Path: "models[" + model + "]." + x.Key, Value: value}
	given := partOf(text, model, strings.Split(x.Key, ".")...) != nil
	switch {
	case value == "" || value == x.Default:
		if e.Remove = true; !given {
			return nil, ""
		}
		e.Value = nil
	case x.Type == "bool" || value == "true" || value == "false":
		e.Value = value == "true"
	case x.Type == "number":
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, "models.opt.number"
		}
		e.Value = n
	case x.Type == "yaml":
		v, err := yamlOf(value)
		if err != nil || v == nil {
			return nil, "models.opt.yaml"
		}
		e.Value = v
	}
	return e, ""
}

func (s *Server) optionsSave(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	form := r.PostForm
	var edits []config.Edit
	if mode := form.Get("mode"); slices.Contains([]string{"sync", "additive", "enrich"}, mode) && mode != m.Mode {
		edits = append(edits, config.Edit{Path: "models[" + m.Name + "].mode", Value: mode})
	}
	for _, g := range optionGroups(m) {
		for _, x := range g.Settings {
			if !form.Has("set." + x.Key) {
				continue
			}
			e, wrong := x.edit(d.text, m.Name, form.Get("set."+x.Key))
			if wrong != "" {
				r.problem(idOf(m, m.Path+"."+x.Key), r.t("models.opt."+x.Key)+": "+r.t(wrong))
			} else if e != nil {
				edits = append(edits, *e)
			}
		}
	}
	if form.Has("cron_preset") {
		edits = append(edits, scheduleEdits(m, form)...)
	}
	if len(r.problems) > 0 || !r.edit(edits...) {
		return r.optionsTab(http.StatusUnprocessableEntity, d, m)
	}
	key := "models.saved"
	if len(edits) == 0 {
		key = "models.same"
	}
	return r.redirect("/models/"+m.Name+"?tab=options", key)
}

// scheduleEdits are what the form of the schedule changes.
func scheduleEdits(m *connector.Model, form url.Values) []config.Edit {
	path := "models[" + m.Name + "].schedule"
	cron := form.Get("cron_preset")
	if cron == "custom" {
		cron = strings.TrimSpace(form.Get("cron"))
	}
	if cron == "" {
		if m.Schedule == nil {
			return nil
		}
		return []config.Edit{{Path: path, Remove: true}}
	}
	zone, resync := strings.TrimSpace(form.Get("zone")), cmp.Or(form.Get("resync"), "differences")
	if m.Schedule != nil && m.Schedule.Cron == cron && (zone == m.Schedule.Zone || zone == "") && resync == m.Schedule.Resync {
		return nil
	}
	v := config.Map("cron", escaped(cron))
	if zone != "" && zone != "UTC" {
		v = append(v, yaml.MapItem{Key: "time_zone", Value: escaped(zone)})
	}
	if resync == "all" {
		v = append(v, yaml.MapItem{Key: "resync", Value: resync})
	}
	return []config.Edit{{Path: path, Value: v}}
}

// modelTextSave takes a whole model as it was written by hand.
func (s *Server) modelTextSave(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	v, err := yamlOf(r.PostFormValue("text"))
	name, _ := member(v, "name").(string)
	switch {
	case err != nil:
		r.problem("text", r.t("models.text.unread", r.saidError(err)))
	case member(v, "name") == nil || !modelNameText.MatchString(name):
		r.problem("text", r.t("models.add.name.wrong"))
	case name != m.Name && d.model(name) != nil:
		r.problem("text", r.t("models.add.name.taken", name))
	}
	if len(r.problems) > 0 || !r.edit(config.Edit{Path: "models[" + m.Name + "]", Value: v}) {
		return r.optionsTab(http.StatusUnprocessableEntity, d, m)
	}
	return r.redirect("/models/"+name+"?tab=options", "models.saved")
}
