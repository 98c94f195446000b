package web

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector/config"
)

// addData is the page on which a table becomes a model.
type addData struct {
	Query     string
	Relations []Relation
	More      int // tables that are not shown
	Gone      string
	Used      map[string]string // tables that are models already, by the model's name
	// Of the chosen table.
	Chosen    *Relation
	Name      string
	Mode      string
	Load      string
	ID        string
	Suggested []Suggestion
	Limit     int64
	Window    any
	Owner     bool // another model owns the users already
	Rows      [][]SampleValue
	Shown     []RelationColumn
}

// mostRelations is how many tables the page shows at once.
const mostRelations = 40

func (s *Server) modelAddPage(r *request) error {
	q := r.URL.Query()
	return r.addPage(http.StatusOK, addData{Query: strings.TrimSpace(q.Get("q"))}, q.Get("table"))
}

// addPage shows the tables, and of a chosen one what is to be decided.
func (r *request) addPage(status int, data addData, table string) error {
	d, err := r.drafted()
	if err != nil {
		return err
	}
	v, ctx, cancel, err := r.views()
	if err != nil {
		return err
	}
	defer cancel()
	data.Used = map[string]string{}
	for i := range d.cfg.Models {
		m := &d.cfg.Models[i]
		data.Used[m.Relation()] = m.Name
		data.Owner = data.Owner || m.Kind == "users"
	}
	brake := config.DefaultBrake()
	data.Limit, data.Window = brake.Max, brake.Window
	if table != "" {
		rel, err := v.Relation(ctx, d.text, table)
		if err != nil {
			data.Gone = err.Error()
			return r.render(status, "models_add", "models.add.title", data)
		}
		if !rel.Topic { // how many rows a topic has is not known beforehand
			data.Limit = brake.Limit(rel.Rows)
		}
		data.choose(rel, d)
		return r.render(status, "models_add", "models.add.title", data)
	}
	all, err := v.Relations(ctx, d.text)
	if err != nil {
		data.Gone = err.Error()
	}
	for _, rel := range all {
		switch {
		case data.Query != "" && !strings.Contains(strings.ToLower(rel.Name), strings.ToLower(data.Query)):
		case len(data.Relations) == mostRelations:
			data.More++
		default:
			data.Relations = append(data.Relations, rel)
		}
	}
	return r.render(status, "models_add", "models.add.title", data)
}

// choose fills in what is offered for a table.
func (data *addData) choose(rel *Relation, d *drafted) {
	data.Chosen = rel
	if data.Name == "" {
		data.Name = freeName(rel.Name, d)
	}
	if data.ID == "" {
		data.ID = rel.ExternalID
	}
	for _, s := range rel.Suggestions {
		if s.Column != data.ID {
			data.Suggested = append(data.Suggested, s)
		}
	}
	n := 0
	for _, c := range rel.Columns {
		if !c.Never && !c.Private && len(data.Shown) < 8 {
			data.Shown = append(data.Shown, c)
			n = max(n, len(c.Samples))
		}
	}
	for i := range n {
		var row []SampleValue
		for _, c := range data.Shown {
			v := SampleValue{Null: true}
			if i < len(c.Samples) {
				v = c.Samples[i]
			}
			row = append(row, v)
		}
		data.Rows = append(data.Rows, row)
	}
}

var (
	modelNameText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	notInName     = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// freeName is a model's name after its table that no other model has.
func freeName(table string, d *drafted) string {
	name := strings.Trim(notInName.ReplaceAllString(table[strings.LastIndexByte(table, '.')+1:], "_"), "_-")
	if name == "" {
		name = "model"
	}
	name = name[:min(len(name), 60)]
	free := name
	for n := 2; d.model(free) != nil; n++ {
		free = name + "_" + string(rune('0'+n%10))
		if n > 9 {
			break
		}
	}
	return free
}

func (s *Server) modelAdd(r *request) error {
	if err := r.ParseForm(); err != nil {
		return errPage(http.StatusBadRequest, "core.error.form")
	}
	d, err := r.drafted()
	if err != nil {
		return err
	}
	table := r.PostFormValue("table")
	data := addData{Name: strings.TrimSpace(r.PostFormValue("name")), Mode: r.PostFormValue("mode"), Load: r.PostFormValue("load"), ID: r.PostFormValue("id")}
	switch {
	case !modelNameText.MatchString(data.Name):
		r.problem("name", r.t("models.add.name.wrong"))
	case d.model(data.Name) != nil:
		r.problem("name", r.t("models.add.name.taken", data.Name))
	}
	if !slices.Contains([]string{"sync", "additive", "enrich"}, data.Mode) {
		r.problem("mode-sync", r.t("models.add.mode.missing"))
	}
	if data.Load != "all" && data.Load != "none" {
		r.problem("load-all", r.t("models.add.load.missing"))
	}
	if data.ID == "" {
		r.problem("id", r.t("models.add.id.missing"))
	}
	if table == "" {
		return r.redirect("/models/-/add", "")
	}
	if len(r.problems) > 0 {
		return r.addPage(http.StatusUnprocessableEntity, data, table)
	}
	v, ctx, cancel, err := r.views()
	if err != nil {
		return err
	}
	defer cancel()
	rel, err := v.Relation(ctx, d.text, table)
	if err != nil {
		r.problem("", r.saidError(err))
		return r.addPage(http.StatusUnprocessableEntity, data, table)
	}
	edits := newModel(rel, &data, r.PostForm["field"], d)
	if !r.edit(edits...) {
		return r.addPage(http.StatusUnprocessableEntity, data, table)
	}
	return r.redirect("/models/"+data.Name, "models.add.done", data.Name)
}

// newModel are the edits that add a model to the draft. fields are the suggestions that were ticked, by column.
func newModel(rel *Relation, data *addData, ticked []string, d *drafted) []config.Edit {
	where := "table"
	if rel.Topic {
		where = "topic"
	}
	m := config.Map("name", data.Name, "kind", "users", where, rel.Name, "mode", data.Mode, "load", data.Load)
	owners := 0
	var edits []config.Edit
	for i := range d.cfg.Models {
		x := &d.cfg.Models[i]
		if x.Kind != "users" {
			continue
		}
		owners++
		if x.OwnsUsers && !d.cfg.Given(x.Path+".owns_users") { // it owned them as the only model of users
			edits = append(edits, config.Edit{Path: x.Path + ".owns_users", Value: true})
		}
	}
	if owners > 0 {
		m = append(m, yaml.MapItem{Key: "owns_users", Value: false})
	}
	m = append(m, yaml.MapItem{Key: "identify", Value: config.Map("external_id", escaped(data.ID))})
	fields := yaml.MapSlice{}
	for _, s := range rel.Suggestions {
		if slices.Contains(ticked, s.Column) && !writes(d, s.Field) {
			fields = append(fields, yaml.MapItem{Key: s.Field, Value: escaped(s.Column)})
		}
	}
	if len(fields) > 0 {
		m = append(m, yaml.MapItem{Key: "fields", Value: fields})
	}
	return append(edits, config.Edit{Path: "models[+]", Value: m})
}

// writes tells whether a model of the draft writes a profile field already.
func writes(d *drafted, field string) bool {
	for i := range d.cfg.Models {
		for _, f := range d.cfg.Models[i].Fields {
			if d.cfg.Models[i].Kind == "users" && f.Name == field {
				return true
			}
		}
	}
	return false
}

// escaped keeps a text from being read as one with variables.
func escaped(s string) string {
	s = strings.ReplaceAll(s, "$$", "$$$$")
	return strings.ReplaceAll(s, "${", "$${")
}
