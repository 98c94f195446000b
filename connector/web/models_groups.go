package web

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// groupForm is one subscription group or audience as a form has it.
type groupForm struct {
	At        string // its place in the list, or "new"
	Audience  bool   // a yes-or-no attribute, and no subscription group
	Name      string // of the group, or the attribute
	UUID      string // of the group in Braze
	From      string // column or rule
	Column    string
	Rule      string
	OnLeave   string
	Resub     string
	builder   Rule
	byBuilder bool // the builder was used, and not the text
}

// groupView is a group with what is known of it.
type groupView struct {
	groupForm
	ID      string // of its element
	Prefix  string // of the ids of its inputs
	Builder builderView
	Faults  []config.Fault
	Before  string // the rule in the file
	Clock   bool
	Open    bool
	Columns []RelationColumn
	Names   []string // groups that have an id already
	Consent []RelationColumn
	Subs    bool // of a model of subscriptions
}

// builderView is the rule as rows of inputs.
type builderView struct {
	Prefix string
	Any    bool
	Rows   []builderRow
	Rich   bool // the rule is richer than the builder
	Block  *builderView
	All    []RelationColumn
}

// builderRow is one row of inputs.
type builderRow struct {
	RuleRow
	Index string
	Kind  string
	Ops   []string
	// Values are the column's most frequent values, to complete what is written.
	Values []string
}

// groupsData is the tab of the groups.
type groupsData struct {
	modelHead
	Groups    []groupView
	Audiences []groupView
	New       groupView
	NewAud    groupView
	Counts    bool // matching rows are counted
	Schedule  bool
}

// groupsKey is where the groups of a model stand.
func groupsKey(m *connector.Model) string {
	if m.Kind == "subscriptions" {
		return "groups"
	}
	return "subscription_groups"
}

// groupsTab shows the groups and audiences.
func (r *request) groupsTab(status int, d *drafted, m *connector.Model) error {
	return r.groupsWith(status, d, m, nil)
}

// groupsWith is groupsTab with a form that was refused in the place of what the draft has.
func (r *request) groupsWith(status int, d *drafted, m *connector.Model, kept *groupForm) error {
	data := groupsData{modelHead: r.head(m, "groups"), Counts: d.cfg.Web.Counts != "none", Schedule: m.Schedule != nil}
	plan := r.plan(d.text, m, &data.modelHead)
	var file *connector.Model
	if v, err := r.s.cfg.Draft.View(); err == nil {
		file = r.s.read(v.File).model(m.Name)
	}
	view := func(f groupForm, path, before string) groupView {
		if kept != nil && kept.At == f.At && kept.Audience == f.Audience {
			f = *kept
		}
		return groupViewOf(f, d, m, plan, path, before)
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		data.Groups = append(data.Groups, view(groupOfMap(i, g), g.Path, fileRule(file, g.Group, "")))
	}
	for i := range m.Audiences {
		a := &m.Audiences[i]
		data.Audiences = append(data.Audiences, view(groupForm{At: strconv.Itoa(i), Audience: true, Name: a.Attribute, From: "rule", Rule: a.When}, a.Path, fileRule(file, "", a.Attribute)))
	}
	data.New = view(groupForm{At: "new", From: "rule", OnLeave: "unsubscribe", Resub: "on_change"}, "", "")
	data.NewAud = view(groupForm{At: "new", Audience: true, From: "rule"}, "", "")
	return r.render(status, "models_groups", m.Name, data)
}

func groupOfMap(i int, g *connector.GroupMap) groupForm {
	f := groupForm{At: strconv.Itoa(i), Name: g.Group, UUID: g.ID, From: "rule", Column: g.Subscribed, Rule: g.When, OnLeave: g.OnLeave, Resub: g.Resubscribe}
	if g.Subscribed != "" {
		f.From = "column"
	}
	return f
}

// fileRule is the rule of a group or audience as the file has it.
func fileRule(m *connector.Model, group, attribute string) string {
	if m == nil {
		return ""
	}
	for _, g := range m.Groups {
		if group != "" && g.Group == group {
			return g.When
		}
	}
	for _, a := range m.Audiences {
		if attribute != "" && a.Attribute == attribute {
			return a.When
		}
	}
	return ""
}

// groupViewOf gathers what is known of a group.
func groupViewOf(f groupForm, d *drafted, m *connector.Model, plan *ModelPlan, path, before string) groupView {
	v := groupView{groupForm: f, Before: before, Subs: m.Kind == "subscriptions", Prefix: "g" + f.At, Open: f.At == "new" && (f.Name != "" || f.Rule != "")}
	if f.Audience {
		v.Prefix = "a" + f.At
	}
	v.ID = "at-" + v.Prefix
	if path != "" {
		v.ID = idOf(m, path)
		v.Faults = faultsOf(plan.Faults, path)
	}
	if plan.Source != nil {
		for _, c := range plan.Source.Columns {
			if !c.Never {
				v.Columns = append(v.Columns, c)
			}
			if !c.Never && (c.Kind == "bool" || c.Kind == "text" || c.Kind == "number") {
				v.Consent = append(v.Consent, c)
			}
		}
	}
	slices.SortStableFunc(v.Consent, func(a, b RelationColumn) int { return btoi(b.Consent) - btoi(a.Consent) })
	for name := range d.cfg.Braze.SubscriptionGroups {
		v.Names = append(v.Names, name)
	}
	slices.Sort(v.Names)
	if v.Builder = builderOf(f.Rule, v.Prefix, v.Columns); f.byBuilder { // its rows were refused, and wait to be finished
		v.Builder = builderOfRule(f.builder, v.Prefix, v.Columns)
	}
	v.Clock = strings.Contains(f.Rule, "now()")
	return v
}

// builderOf makes the rows of inputs for a rule, with empty ones to fill.
func builderOf(expr, prefix string, columns []RelationColumn) builderView {
	rule, ok := ParseRule(expr)
	if !ok {
		return builderView{Prefix: prefix, Rich: true, All: columns}
	}
	return builderOfRule(rule, prefix, columns)
}

// builderOfRule makes the rows of inputs for the rows of a rule, which may not be finished.
func builderOfRule(rule Rule, prefix string, columns []RelationColumn) builderView {
	v := builderView{Prefix: prefix, Any: rule.Any, Rows: builderRows(rule.Rows, prefix+".r", columns), All: columns}
	block := Rule{Any: !rule.Any}
	if rule.Block != nil {
		block = *rule.Block
	}
	v.Block = &builderView{Prefix: prefix, Any: block.Any, Rows: builderRows(block.Rows, prefix+".b", columns), All: columns}
	return v
}

func builderRows(rows []RuleRow, prefix string, columns []RelationColumn) []builderRow {
	var out []builderRow
	for i, row := range append(slices.Clone(rows), RuleRow{}) {
		b := builderRow{RuleRow: row, Index: prefix + strconv.Itoa(i), Kind: kindOf(columns, row.Column)}
		if b.Ops = ruleOps[b.Kind]; row.Op != "" && !slices.Contains(b.Ops, row.Op) {
			b.Ops = append([]string{row.Op}, b.Ops...)
		}
		out = append(out, b)
	}
	return out
}

// kindOf is a column's kind; text where the columns are not known.
func kindOf(columns []RelationColumn, name string) string {
	for _, c := range columns {
		if c.Name == name && ruleOps[c.Kind] != nil {
			return c.Kind
		}
	}
	return "text"
}

// builderFrom reads the rows of a form. A row whose operator does not fit its column's kind takes the kind's first.
func builderFrom(form url.Values, prefix string, columns []RelationColumn) Rule {
	rows := func(part string) (out []RuleRow) {
		for i := range 50 {
			at := prefix + part + strconv.Itoa(i)
			if !form.Has(at + ".column") {
				break
			}
			w := RuleRow{Column: form.Get(at + ".column"), Op: form.Get(at + ".op"), Value: form.Get(at + ".value"), Value2: form.Get(at + ".value2"), IgnoreCase: form.Get(at+".case") != ""}
			if w.Column == "" {
				continue
			}
			if ops := ruleOps[kindOf(columns, w.Column)]; !slices.Contains(ops, w.Op) {
				w.Op = ops[0]
			}
			out = append(out, w)
		}
		return out
	}
	r := Rule{Any: form.Get(prefix+".any") == "any", Rows: rows(".r")}
	if block := rows(".b"); len(block) > 0 {
		r.Block = &Rule{Any: form.Get(prefix+".bany") == "any", Rows: block}
	}
	return r
}

var (
	groupUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	groupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// groupFrom reads a form of one group.
func groupFrom(form url.Values, columns []RelationColumn) groupForm {
	f := groupForm{
		At: form.Get("at"), Audience: form.Get("what") == "audience", Name: strings.TrimSpace(form.Get("name")), UUID: strings.TrimSpace(form.Get("uuid")), From: form.Get("from"),
		Column: form.Get("column"), Rule: strings.TrimSpace(form.Get("rule")), OnLeave: form.Get("on_leave"), Resub: form.Get("resubscribe"),
	}
	if f.Audience || f.From != "column" {
		f.From = "rule"
	}
	prefix := "g" + f.At
	if f.Audience {
		prefix = "a" + f.At
	}
	f.builder = builderFrom(form, prefix, columns)
	// Without a module the builder counts where the text was left as it came.
	f.byBuilder = form.Get("source") == "builder" || form.Get("source") == "" && f.Rule == strings.TrimSpace(form.Get("rule_was")) && len(f.builder.Rows) > 0
	return f
}

func (s *Server) groupSave(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	f := groupFrom(r.PostForm, r.columnsOf(d, m))
	edits := r.groupEdits(d, m, &f)
	if len(r.problems) > 0 || !r.edit(edits...) {
		return r.groupsWith(http.StatusUnprocessableEntity, d, m, &f)
	}
	return r.redirect("/models/"+m.Name+"?tab=groups", "models.saved")
}

// columnsOf are the columns of a model's source, none where it does not answer.
func (r *request) columnsOf(d *drafted, m *connector.Model) []RelationColumn {
	v, ctx, cancel, err := r.views()
	if err != nil {
		return nil
	}
	defer cancel()
	rel, err := v.Relation(ctx, d.text, m.Relation())
	if err != nil || rel == nil {
		return nil
	}
	return slices.DeleteFunc(rel.Columns, func(c RelationColumn) bool { return c.Never })
}

// groupEdits are what a form of one group changes. What is wrong with it becomes problems.
func (r *request) groupEdits(d *drafted, m *connector.Model, f *groupForm) []config.Edit {
	at := "g" + f.At
	if f.Audience {
		at = "a" + f.At
	}
	if f.From == "rule" && f.byBuilder {
		text, err := f.builder.Expression()
		var bad *ruleError
		if errors.As(err, &bad) {
			r.problem(at+"-rule", bad.Column+": "+r.t(bad.Key))
		} else {
			f.Rule = text
		}
	}
	switch {
	case r.problemAt(at+"-rule") != "":
	case f.From == "rule" && f.Rule == "":
		r.problem(at+"-rule", r.t("models.groups.no_rule"))
	case f.From == "column" && f.Column == "":
		r.problem(at+"-column", r.t("models.groups.no_column"))
	}
	if f.Audience {
		return r.audienceEdits(m, f)
	}
	var edits []config.Edit
	known := d.cfg.Braze.SubscriptionGroups[f.Name]
	if !groupName.MatchString(f.Name) {
		r.problem(at+"-name", r.t("models.groups.name.wrong"))
	}
	switch {
	case f.UUID == "" && known == "":
		r.problem(at+"-uuid", r.t("models.groups.uuid.missing"))
	case f.UUID != "" && !groupUUID.MatchString(f.UUID):
		r.problem(at+"-uuid", r.t("models.groups.uuid.wrong"))
	case f.UUID != "" && f.UUID != known:
		edits = append(edits, config.Edit{Path: "braze.subscription_groups" + keyPath(f.Name), Value: strings.ToLower(f.UUID)})
	}
	value := f.value()
	i, err := strconv.Atoi(f.At)
	if err != nil || i < 0 || i >= len(m.Groups) {
		return append(edits, config.Edit{Path: "models[" + m.Name + "]." + groupsKey(m) + "[+]", Value: value})
	}
	if !reflect.DeepEqual(groupOfMap(i, &m.Groups[i]).value(), value) {
		edits = append(edits, config.Edit{Path: "models[" + m.Name + "]." + groupsKey(m) + "[" + f.At + "]", Value: value})
	}
	return edits
}

// value is the group as the file has it.
func (f groupForm) value() yaml.MapSlice {
	v := config.Map("group", f.Name)
	put := func(key string, x any) { v = append(v, yaml.MapItem{Key: key, Value: x}) }
	if f.From == "column" {
		put("subscribed", escaped(f.Column))
	} else {
		put("when", escaped(f.Rule))
		if f.OnLeave == "unsubscribe" {
			put("on_leave", f.OnLeave)
		}
	}
	if f.Resub == "never" || f.Resub == "always" {
		put("resubscribe", f.Resub)
	}
	return v
}

func (r *request) audienceEdits(m *connector.Model, f *groupForm) []config.Edit {
	if f.Name == "" {
		r.problem("a"+f.At+"-name", r.t("models.groups.attribute.missing"))
		return nil
	}
	value := config.Map("attribute", escaped(f.Name), "when", escaped(f.Rule))
	i, err := strconv.Atoi(f.At)
	if err != nil || i < 0 || i >= len(m.Audiences) {
		return []config.Edit{{Path: "models[" + m.Name + "].audiences[+]", Value: value}}
	}
	if m.Audiences[i].Attribute == f.Name && m.Audiences[i].When == f.Rule {
		return nil
	}
	return []config.Edit{{Path: "models[" + m.Name + "].audiences[" + f.At + "]", Value: value}}
}

func (s *Server) groupRemove(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	key, n := groupsKey(m), len(m.Groups)
	if r.PostFormValue("what") == "audience" {
		key, n = "audiences", len(m.Audiences)
	}
	i, err := strconv.Atoi(r.PostFormValue("at"))
	if err != nil || i < 0 || i >= n {
		return errPage(http.StatusNotFound, "models.groups.gone")
	}
	if !r.edit(config.Edit{Path: "models[" + m.Name + "]." + key + "[" + strconv.Itoa(i) + "]", Remove: true}) {
		return r.groupsTab(http.StatusUnprocessableEntity, d, m)
	}
	return r.redirect("/models/"+m.Name+"?tab=groups", "models.saved")
}

// ruleAnswer is what the module of the rule builder gets.
type ruleAnswer struct {
	Expr    string `json:"expr"`
	Builder string `json:"builder,omitempty"` // HTML, where it has to change
	Count   string `json:"count"`             // HTML
	// Rows are how many rows match each row of the builder alone, as words, by its index.
	Rows map[string]string `json:"rows"`
}

// ruleCheck keeps builder and text in step, and counts the rows that match.
func (s *Server) ruleCheck(r *request) error {
	d, m, err := r.modelAt()
	if err != nil {
		return err
	}
	columns := r.columnsOf(d, m)
	f := groupFrom(r.PostForm, columns)
	prefix := "g" + f.At
	if f.Audience {
		prefix = "a" + f.At
	}
	var out ruleAnswer
	data := countData{Off: d.cfg.Web.Counts == "none"}
	if f.byBuilder {
		text, err := f.builder.Expression()
		var bad *ruleError
		switch {
		case errors.As(err, &bad) && bad.Empty:
			data.Unfilled = true // nobody has written anything yet that could be wrong
			text = f.Rule
		case errors.As(err, &bad):
			data.Wrong = bad.Column + ": " + r.t(bad.Key)
			text = f.Rule
		case r.PostFormValue("redraw") != "":
			if out.Builder, err = r.builderText(d, m, builderOf(text, prefix, columns)); err != nil {
				return err
			}
		}
		f.Rule = text
		if bad != nil && r.PostFormValue("redraw") != "" {
			if out.Builder, err = r.builderText(d, m, builderOfRule(f.builder, prefix, columns)); err != nil {
				return err
			}
		}
	} else if out.Builder, err = r.partialText("models_builder", builderOf(f.Rule, prefix, columns)); err != nil {
		return err
	}
	out.Expr = f.Rule
	if f.Rule != "" && data.Wrong == "" && !data.Unfilled && !data.Off {
		ask := CountAsk{Model: m.Name, Rule: f.Rule, Before: r.PostFormValue("before")}
		var at []string
		ask.Parts, at = ruleParts(f.Rule, prefix)
		data.RuleCount, data.Gone = r.count(d, m, ask)
		out.Rows = r.rowCounts(data.RuleCount, at)
	}
	data.Schedule = m.Schedule != nil
	if out.Count, err = r.partialText("models_count", data); err != nil {
		return err
	}
	return r.json(http.StatusOK, out)
}
