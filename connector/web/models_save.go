package web

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// fieldEdits are what the form of the fields changes in the draft.
func (r *request) fieldEdits(m *connector.Model) []config.Edit {
	form := r.PostForm
	var edits []config.Edit
	if form.Has("id.external") || form.Has("id.items") {
		id, before := identityFrom(form), identityOf(&m.Identify)
		if before.ItemRich {
			id = before
		}
		if !reflect.DeepEqual(id.value(), before.value()) {
			edits = append(edits, config.Edit{Path: "models[" + m.Name + "].identify", Value: id.value()})
		}
	}
	before := map[string]*lineForm{}
	forms, _ := linesIn(m)
	names := map[string]bool{}
	for i := range forms {
		before[forms[i].Section+"."+forms[i].Name] = &forms[i]
		names[forms[i].Section+"."+forms[i].Name] = true
	}
	for _, index := range form["line"] {
		l := lineFrom(form, index+".")
		was := before[l.Section+"."+l.Was]
		switch {
		case was == nil || was.From == "each":
		case form.Get("remove") == index:
			edits = append(edits, config.Edit{Path: l.path(m.Name, l.Was), Remove: true})
		case l.Name != l.Was && names[l.Section+"."+l.Name]:
			r.problem("line-"+index+"-name", r.t("models.fields.twice", l.Name))
		default:
			edits = append(edits, l.edits(m.Name, was)...)
		}
		names[l.Section+"."+l.Name] = true
	}
	return append(edits, r.addedLines(m, names)...)
}

// addedLines are the lines that a button of the form adds.
func (r *request) addedLines(m *connector.Model, names map[string]bool) []config.Edit {
	form := r.PostForm
	var edits []config.Edit
	add := func(l lineForm) {
		l = l.plain()
		if l.Name == "" {
			r.problem("new-name", r.t("models.fields.unnamed"))
			return
		}
		if names[l.Section+"."+l.Name] {
			r.problem("new-name", r.t("models.fields.twice", l.Name))
			return
		}
		names[l.Section+"."+l.Name] = true
		edits = append(edits, l.edits(m.Name, nil)...)
	}
	switch what := form.Get("add"); what {
	case "":
	case "preset":
		add(lineForm{Section: "fields", Name: form.Get("new.preset"), Column: form.Get("new.preset_column")})
	case "custom":
		l := lineForm{Section: section(m), Name: strings.TrimSpace(form.Get("new.name")), From: form.Get("new.from"), Column: form.Get("new.column")}
		l.Expr, l.Value = strings.TrimSpace(form.Get("new.text")), strings.TrimSpace(form.Get("new.text"))
		add(l)
	case "all":
		for _, column := range form["unused"] {
			if !names[section(m)+"."+column] {
				add(lineForm{Section: section(m), Name: column, Column: column})
			}
		}
	default: // "column" adds a custom attribute, "field=column" a profile field
		if field, column, ok := strings.Cut(what, "="); ok && field != "" {
			add(lineForm{Section: "fields", Name: field, Column: column})
		} else if ok {
			add(lineForm{Section: section(m), Name: column, Column: column})
		}
	}
	return edits
}

func (s *Server) fieldsSave(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	edits := r.fieldEdits(m)
	if len(r.problems) > 0 || !r.edit(edits...) {
		if text, err := config.Apply(d.text, edits...); err == nil { // what was typed stays in the form
			if next := s.read(text); next.model(m.Name) != nil {
				d, m = next, next.model(m.Name)
			}
		}
		return r.fieldsTab(http.StatusUnprocessableEntity, d, m)
	}
	key := "models.saved"
	if len(edits) == 0 {
		key = "models.same"
	}
	return r.redirect("/models/"+m.Name, key)
}

// fieldsCheck judges the form as it stands, without keeping it: a module puts the answer into the page.
func (s *Server) fieldsCheck(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	edits := r.fieldEdits(m)
	text, err := config.Apply(d.text, edits...)
	if err != nil {
		return r.partial("models_refused", err.Error())
	}
	next, before := s.read(text), m
	if x := next.model(m.Name); x != nil {
		m = x
	}
	data := r.fieldsData(next, m)
	data.keepIDs(before, r.PostForm)
	data.refuse(r.problems)
	if p, err := r.preview(next, m, previewFrom(r.PostForm)); err == nil {
		data.Preview = p
	}
	return r.partial("models_checked", data)
}

// refuse puts what keeps the form from being saved on top of what check finds.
func (data *fieldsData) refuse(problems []problem) {
	var list []faultLine
	for _, p := range problems {
		list = append(list, faultLine{Fault: config.Fault{What: p.Text}, Href: "#" + p.Field})
	}
	data.Faults = append(list, data.Faults...)
}

// keepIDs gives the lines of a form the ids of the elements that it came from: a name that is being typed is not that of its element.
func (data *fieldsData) keepIDs(m *connector.Model, form url.Values) {
	ids := map[string]string{}
	forms, paths := linesIn(m)
	for _, index := range form["line"] {
		l := lineFrom(form, index+".")
		for i := range forms {
			if forms[i].Section == l.Section && forms[i].Name == l.Was {
				ids[l.Section+"."+l.Name] = idOf(m, paths[i])
			}
		}
	}
	keep := func(lines []lineView) {
		for i := range lines {
			if id := ids[lines[i].Section+"."+lines[i].Name]; id != "" {
				lines[i].ID = id
			}
		}
	}
	keep(data.Lines)
	for i := range data.Groups {
		keep(data.Groups[i].Lines)
	}
}

// exprTry shows what an expression gives for some rows.
func (s *Server) exprTry(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	v, ctx, cancel, err := r.views()
	if err != nil {
		return err
	}
	defer cancel()
	tried, err := v.Try(ctx, d.text, m.Name, r.PostFormValue("expr"), false)
	if err != nil {
		return r.partial("models_refused", err.Error())
	}
	return r.partial("models_tried", tried)
}
