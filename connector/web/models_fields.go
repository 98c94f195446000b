package web

import (
	"cmp"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// presetGroup is a heading of Braze's own profile fields with those below it.
type presetGroup struct {
	Name   string
	Fields []string
}

// presetGroups are Braze's own profile fields as a marketer looks for them.
var presetGroups = []presetGroup{
	{"person", []string{"first_name", "last_name", "gender", "dob", "image_url"}},
	{"contact", []string{"email", "phone", "push_tokens", "facebook", "twitter"}},
	{"consent", []string{"email_subscribe", "push_subscribe", "email_open_tracking_disabled", "email_click_tracking_disabled", "marked_email_as_spam_at"}},
	{"place", []string{"country", "home_city", "current_location"}},
	{"time", []string{"language", "time_zone", "date_of_first_session", "date_of_last_session"}},
}

// lineView is a line with what is known of it.
type lineView struct {
	lineForm
	Index   string // of its inputs
	ID      string // of its element
	Preset  bool   // one of Braze's own fields
	Each    bool   // an array of objects, which has no form
	Source  *RelationColumn
	Plan    *LinePlan
	Rows    int
	Faults  []config.Fault
	Convert string   // in words
	More    bool     // has settings beyond its origin
	Types   []string // that it may have
}

// fieldsData is the tab of the fields.
type fieldsData struct {
	modelHead
	Identity  identityForm
	IDPlan    *LinePlan
	IDFaults  []config.Fault
	NoID      int64
	Doubles   int64
	Checked   int64
	Groups    []presetView
	Lines     []lineView // custom attributes, properties, or a catalog's fields
	Section   string     // of Lines
	Columns   []RelationColumn
	Unused    []unusedColumn
	Free      []presetGroup // preset fields that no line writes
	Addable   int           // unused columns that could be custom attributes
	Preview   *previewData
	Estimate  *modelEstimate
	Rows      int
	Rich      bool // some lines have no form
	Suggested int
}

// presetView is a heading with its lines.
type presetView struct {
	Name  string
	Lines []lineView
}

// unusedColumn is a column that no line reads.
type unusedColumn struct {
	RelationColumn
	Suggested *Suggestion
}

// identityForm is who a row is about.
type identityForm struct {
	External, ExternalExpr     string
	KeepBlanks                 bool
	AliasLabel, AliasName      string
	Email, Phone, PhoneCountry string
	Items                      string // an item's id: columns with commas between
	ItemRich                   bool   // made of an expression
}

// identityOf is the identity of a model as a form.
func identityOf(id *connector.Identify) identityForm {
	f := identityForm{
		External: id.ExternalID.Column, ExternalExpr: id.ExternalID.Expr, KeepBlanks: id.KeepBlanks, AliasLabel: id.AliasLabel, AliasName: id.AliasName,
		Email: id.Email, Phone: id.Phone, PhoneCountry: id.PhoneCountry,
	}
	var items []string
	for _, x := range id.ItemID {
		items = append(items, x.Column)
		f.ItemRich = f.ItemRich || x.Expr != ""
	}
	f.Items = strings.Join(items, ", ")
	return f
}

// value is the identity as the file has it.
func (f identityForm) value() yaml.MapSlice {
	m := yaml.MapSlice{}
	put := func(key string, v any) { m = append(m, yaml.MapItem{Key: key, Value: v}) }
	if f.Items != "" {
		list := []any{}
		for part := range strings.SplitSeq(f.Items, ",") {
			list = append(list, escaped(strings.TrimSpace(part)))
		}
		if len(list) == 1 {
			put("item_id", list[0])
		} else {
			put("item_id", list)
		}
		return m
	}
	switch {
	case f.ExternalExpr != "" && f.KeepBlanks:
		put("external_id", config.Map("expr", escaped(f.ExternalExpr), "blanks", "keep"))
	case f.ExternalExpr != "":
		put("external_id", config.Map("expr", escaped(f.ExternalExpr)))
	case f.External != "" && f.KeepBlanks:
		put("external_id", config.Map("column", escaped(f.External), "blanks", "keep"))
	case f.External != "":
		put("external_id", escaped(f.External))
	}
	if f.AliasLabel != "" || f.AliasName != "" {
		put("alias", config.Map("label", escaped(f.AliasLabel), "name", escaped(f.AliasName)))
	}
	if f.Email != "" {
		put("email", escaped(f.Email))
	}
	switch {
	case f.Phone != "" && f.PhoneCountry != "":
		put("phone", config.Map("column", escaped(f.Phone), "country", f.PhoneCountry))
	case f.Phone != "":
		put("phone", escaped(f.Phone))
	}
	return m
}

// identityFrom reads the identity of a form.
func identityFrom(form url.Values) identityForm {
	get := func(name string) string { return strings.TrimSpace(form.Get("id." + name)) }
	return identityForm{
		External: form.Get("id.external"), ExternalExpr: get("expr"), KeepBlanks: get("blanks") != "", AliasLabel: get("alias_label"), AliasName: form.Get("id.alias_name"),
		Email: form.Get("id.email"), Phone: form.Get("id.phone"), PhoneCountry: strings.ToUpper(get("phone_country")), Items: get("items"),
	}
}

// section is where the lines of a kind stand that are not Braze's own fields.
func section(m *connector.Model) string {
	switch m.Kind {
	case "catalog":
		return "fields"
	case "events", "purchases":
		return "properties"
	case "subscriptions":
		return ""
	}
	return "custom"
}

// linesIn are the lines of a model, as forms, Braze's own fields first.
func linesIn(m *connector.Model) (out []lineForm, paths []string) {
	add := func(section string, f *connector.FieldMap) {
		out = append(out, lineOf(section, f))
		paths = append(paths, f.Path)
	}
	for i := range m.Fields {
		add("fields", &m.Fields[i])
	}
	for i := range m.Custom {
		add("custom", &m.Custom[i])
	}
	for i := range m.Event.Properties {
		p := &m.Event.Properties[i]
		add("properties", &p.FieldMap)
		if p.Each != "" {
			out[len(out)-1].From = "each"
		}
	}
	return out, paths
}

// fieldsTab shows the mapping.
func (r *request) fieldsTab(status int, d *drafted, m *connector.Model) error {
	data := r.fieldsData(d, m)
	return r.render(status, "models_fields", m.Name, data)
}

// fieldsData gathers what the tab of the fields shows of a draft.
func (r *request) fieldsData(d *drafted, m *connector.Model) *fieldsData {
	data := &fieldsData{modelHead: r.head(m, "fields"), Identity: identityOf(&m.Identify), Section: section(m)}
	plan := r.plan(d.text, m, &data.modelHead)
	data.NoID, data.Doubles, data.Checked, data.Rows = plan.NoID, plan.Doubles, plan.Checked, plan.Rows
	data.IDFaults = faultsOf(plan.Faults, m.Path+".identify")
	for path, l := range plan.Lines {
		if under(path, m.Path+".identify") {
			data.IDPlan = l
		}
	}
	if plan.Source != nil {
		data.Columns = plan.Source.Columns
	}
	forms, paths := linesIn(m)
	written := map[string]bool{}
	byGroup := map[string][]lineView{}
	for i, f := range forms {
		v := r.lineView(m, f, strconv.Itoa(i), paths[i], plan)
		data.Rich = data.Rich || v.Each
		written[f.Section+"."+f.Name] = true
		if v.Preset {
			g := groupOf(f.Name)
			byGroup[g] = append(byGroup[g], v)
		} else {
			data.Lines = append(data.Lines, v)
		}
	}
	for _, g := range presetGroups {
		if len(byGroup[g.Name]) > 0 {
			data.Groups = append(data.Groups, presetView{g.Name, byGroup[g.Name]})
		}
		if m.Kind != "users" {
			continue
		}
		free := presetGroup{Name: g.Name}
		for _, name := range g.Fields {
			if !written["fields."+name] && !writes(d, name) {
				free.Fields = append(free.Fields, name)
			}
		}
		if len(free.Fields) > 0 {
			data.Free = append(data.Free, free)
		}
	}
	data.unused(m, plan, written)
	data.Estimate = r.estimate(d, m, plan)
	if p, err := r.preview(d, m, PreviewAsk{Row: "newest"}); err == nil {
		data.Preview = p
	}
	return data
}

func groupOf(preset string) string {
	for _, g := range presetGroups {
		if slices.Contains(g.Fields, preset) {
			return g.Name
		}
	}
	return "person"
}

// lineView gathers what is known of a line.
func (r *request) lineView(m *connector.Model, f lineForm, index, path string, plan *ModelPlan) lineView {
	v := lineView{lineForm: f, Index: index, ID: idOf(m, path), Preset: f.Section == "fields" && m.Kind == "users", Each: f.From == "each", Plan: plan.Lines[path],
		Source: plan.Source.Column(f.Column), Rows: plan.Rows, Faults: faultsOf(plan.Faults, path)}
	if !v.Preset {
		v.Types = []string{"string", "number", "bool", "time", "array", "object"}
		if m.Kind == "catalog" {
			v.Types = append(v.Types, "geo")
		}
	}
	fresh := lineForm{Section: f.Section, Was: f.Was, Name: f.Name, From: f.From, Column: f.Column, Expr: f.Expr, Value: f.Value, Latitude: f.Latitude, Longitude: f.Longitude}.plain()
	v.More = !reflect.DeepEqual(fresh, f)
	v.Convert = r.conversion(&v)
	return v
}

// conversion says in words what becomes of a value on its way.
func (r *request) conversion(v *lineView) string {
	switch {
	case v.From == "value":
		return r.t("models.conv.constant")
	case v.Each:
		return r.t("models.conv.each")
	case v.Preset && v.Name == "phone" && v.Country != "":
		return r.t("models.conv.phone_country", v.Country)
	case v.Preset:
		return r.t("models.help." + v.Name)
	case v.Collect:
		return r.t("models.conv.collect")
	case v.Type != "" && v.Type != "geo":
		return r.t("models.conv.declared", r.t("models.type."+brazeType(v.Type)))
	}
	return r.t("models.conv.custom")
}

// brazeType is a declared type as the pages word it.
func brazeType(declared string) string {
	switch declared {
	case "string":
		return "text"
	case "array":
		return "list"
	}
	return declared
}

// unused are the columns that no line reads, those that a profile field is suggested for first.
func (data *fieldsData) unused(m *connector.Model, plan *ModelPlan, written map[string]bool) {
	if plan.Source == nil || data.Section == "" {
		return
	}
	used := map[string]bool{m.Identify.ExternalID.Column: true}
	forms, _ := linesIn(m)
	for _, f := range forms {
		used[f.Column], used[f.Latitude], used[f.Longitude] = true, true, true
	}
	for _, g := range m.Groups {
		used[g.Subscribed] = true
	}
	for _, c := range plan.Source.Columns {
		if used[c.Name] {
			continue
		}
		u := unusedColumn{RelationColumn: c}
		for i := range plan.Source.Suggestions {
			s := &plan.Source.Suggestions[i]
			if s.Column == c.Name && !written["fields."+s.Field] && m.Kind == "users" {
				u.Suggested = s
				data.Suggested++
			}
		}
		if !c.Never && !c.Private {
			data.Addable++
		}
		data.Unused = append(data.Unused, u)
	}
	slices.SortStableFunc(data.Unused, func(a, b unusedColumn) int {
		return cmp.Compare(btoi(a.Suggested == nil)+2*btoi(a.Private || a.Never), btoi(b.Suggested == nil)+2*btoi(b.Private || b.Never))
	})
}
