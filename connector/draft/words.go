package draft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector/config"
)

// Words are the draft's changes as sentences; empty where there is no draft.
func (s *Store) Words() ([]Sentence, error) {
	v, err := s.View()
	if err != nil || !v.Pending {
		return nil, err
	}
	return words(v.File, v.Text)
}

// Between is what changed from one text to another, as sentences.
func Between(before, after []byte) ([]Sentence, error) { return words(before, after) }

// words names each difference. A change of comments, order or quotes alone is one sentence too, since the file changes.
func words(before, after []byte) ([]Sentence, error) {
	differences, err := config.Differences(before, after)
	if err != nil {
		return nil, err
	}
	tree, err := config.ReadTree(after)
	if err != nil {
		return nil, err
	}
	var out []Sentence
	first := len(strings.TrimSpace(string(before))) == 0
	for _, d := range differences {
		if first && len(differences) > 1 && len(d.Path) == 1 && d.Path[0] == "version" {
			continue // of the file, and nothing that anybody chose
		}
		for _, s := range sentences(d) {
			out = append(out, ofKind(s, tree)...)
		}
	}
	if len(out) == 0 && string(before) != string(after) {
		out = append(out, say("comments"))
	}
	return out, nil
}

// ofKind words what deletes and creates are to models of other kinds than users: items, subscriptions, or nothing at all for events.
func ofKind(s Sentence, tree *config.Tree) []Sentence {
	key := strings.TrimPrefix(s.Key, "draft.word.")
	if !strings.HasPrefix(key, "deletes.start") && !strings.HasPrefix(key, "deletes.end") && !strings.HasPrefix(key, "creates.") {
		return []Sentence{s}
	}
	kind := tree.Text("models[" + s.Args[0] + "].kind")
	switch {
	case kind == "" || kind == "users":
	case strings.HasPrefix(key, "creates.") || kind == "events" || kind == "purchases":
		return nil
	case kind == "catalog":
		s.Key += ".items"
	default:
		s.Key += ".subscriptions"
	}
	return []Sentence{s}
}

// say is a sentence of the catalogue.
func say(key string, args ...string) Sentence { return Sentence{Key: "draft.word." + key, Args: args} }

func sentences(d config.Difference) []Sentence {
	if d.Path[0] == "models" && len(d.Path) == 1 && (d.Added || d.Gone) {
		return everyModel(d)
	}
	if d.Path[0] == "models" && len(d.Path) > 1 {
		if len(d.Path) == 2 {
			return wholeModel(d)
		}
		if s := ofModel(d, d.Path[1], d.Path[2:]); s != nil {
			return s
		}
	}
	path := strings.Join(d.Path, ".")
	switch {
	case d.Added && len(spread(d)) > 0:
		return spread(d)
	case d.Secret && d.Added:
		return []Sentence{say("secret.set", path)}
	case d.Secret && d.Gone:
		return []Sentence{say("secret.gone", path)}
	case d.Secret:
		return []Sentence{say("secret.changed", path)}
	case d.Path[0] == "braze" && len(d.Path) == 3 && d.Path[1] == "subscription_groups":
		return []Sentence{change(d, "group_id", d.Path[2])}
	}
	return []Sentence{change(d, "setting", path)}
}

// change is one of three sentences: set, gone, changed. args stand before the values.
func change(d config.Difference, key string, args ...string) Sentence {
	switch {
	case d.Gone:
		return say(key+".gone", append(args, d.Old)...)
	case d.Added:
		return say(key+".set", append(args, d.New)...)
	case d.Old == d.New: // an address whose hidden part changed
		return say("secret.changed", strings.Join(d.Path, "."))
	}
	return say(key+".changed", append(args, d.Old, d.New)...)
}

// spread tells a new section setting by setting, down to those that are no sections themselves.
func spread(d config.Difference) []Sentence {
	values, ok := d.Edit.Value.(yaml.MapSlice)
	if !ok {
		return nil
	}
	var out []Sentence
	for _, v := range values {
		one := d
		one.Path = append(slices.Clone(d.Path), fmt.Sprint(v.Key))
		one.Edit = config.Edit{Path: config.Key(d.Edit.Path, fmt.Sprint(v.Key)), Value: v.Value}
		one.New = config.Shown(one.Edit.Path, v.Value)
		one.Secret = config.IsSecret(one.Edit.Path)
		out = append(out, sentences(one)...)
	}
	return out
}

// everyModel tells the first models of a file, or that its last ones are gone.
func everyModel(d config.Difference) []Sentence {
	values, _ := d.Edit.Value.([]any)
	if d.Gone {
		values, _ = d.Was.([]any)
	}
	var out []Sentence
	for _, v := range values {
		one := d
		one.Path = []string{"models", text(v, "name")}
		one.Edit.Value = v
		out = append(out, wholeModel(one)...)
	}
	return out
}

func wholeModel(d config.Difference) []Sentence {
	name := d.Path[1]
	if d.Gone {
		return []Sentence{say("model.gone", name)}
	}
	from := text(d.Edit.Value, "table")
	if from == "" {
		from = text(d.Edit.Value, "topic")
	}
	out := []Sentence{say("model.set", name, from)}
	values, _ := d.Edit.Value.(yaml.MapSlice)
	for _, v := range values {
		key := fmt.Sprint(v.Key)
		if key == "table" || key == "topic" {
			continue // told already
		}
		one := d
		one.Path, one.Added = []string{"models", name, key}, true
		one.Edit = config.Edit{Path: config.Key(d.Edit.Path, key), Value: v.Value}
		one.Old, one.New = "", config.Shown("", v.Value)
		out = append(out, ofModel(one, name, []string{key})...)
	}
	return out
}

// text is the text under a key of a map.
func text(v any, key string) string {
	m, ok := v.(yaml.MapSlice)
	if !ok {
		return ""
	}
	for _, item := range m {
		if s, isText := item.Value.(string); isText && item.Key == key {
			return s
		}
	}
	return ""
}

// ofModel names the settings of a model that have sentences of their own; nil for the others.
func ofModel(d config.Difference, model string, path []string) []Sentence {
	one := func(s Sentence) []Sentence { return []Sentence{s} }
	switch path[0] {
	case "mode":
		return mode(d, model)
	case "fields", "custom":
		if len(path) == 1 {
			return everyField(d, model, path[0])
		}
		return field(d, model, path[1], path[2:])
	case "subscription_groups", "groups", "audiences":
		if len(path) == 1 && d.Added {
			return everyGroup(d, model)
		}
		return group(d, model, path[1:])
	case "filter", "delete_when", "on_leave", "when", "load", "table", "topic":
		if len(path) == 1 {
			return one(change(d, path[0], model))
		}
	case "schedule":
		if len(path) == 1 {
			return one(change(d, "schedule", model))
		}
		return one(change(d, "schedule_part", model, path[1]))
	case "deletes":
		return one(change(d, "deletes", model, strings.Join(path[1:], ".")))
	}
	return nil
}

// mode says what begins or ends to happen.
func mode(d config.Difference, model string) []Sentence {
	out := []Sentence{change(d, "mode", model)}
	if d.New == "sync" && d.Old != "sync" {
		out = append(out, say("deletes.start", model))
	}
	if d.Old == "sync" && d.New != "sync" {
		out = append(out, say("deletes.end", model))
	}
	if d.New == "enrich" && d.Old != "enrich" {
		out = append(out, say("creates.end", model))
	}
	if d.Old == "enrich" && d.New != "enrich" {
		out = append(out, say("creates.start", model))
	}
	return out
}

// everyField tells a whole block of fields that is new or gone.
func everyField(d config.Difference, model, block string) []Sentence {
	if d.Gone {
		return []Sentence{say("fields.gone", model, block)}
	}
	values, ok := d.Edit.Value.(yaml.MapSlice)
	if !ok {
		return nil
	}
	var out []Sentence
	for _, v := range values {
		out = append(out, say("field.set", model, fmt.Sprint(v.Key), origin(v.Value)))
	}
	return out
}

// field tells a change of one field: where its value comes from, or one of its other settings.
func field(d config.Difference, model, name string, rest []string) []Sentence {
	switch {
	case len(rest) == 0 && d.Added:
		return []Sentence{say("field.set", model, name, origin(d.Edit.Value))}
	case len(rest) == 0 && d.Gone:
		return []Sentence{say("field.gone", model, name)}
	case len(rest) == 0 || len(rest) == 1 && (rest[0] == "column" || rest[0] == "expr" || rest[0] == "value"):
		if d.Gone {
			return nil
		}
		return []Sentence{say("field.from", model, name, origin(d.Edit.Value))}
	}
	return []Sentence{change(d, "field_part", model, name, strings.Join(rest, "."))}
}

// origin is where a field's value comes from: a column, an expression, or a constant.
func origin(v any) string {
	if m, ok := v.(yaml.MapSlice); ok {
		for _, item := range m {
			switch item.Key {
			case "column", "expr":
				return fmt.Sprint(item.Value)
			case "value":
				return "= " + config.Shown("", item.Value)
			}
		}
	}
	return config.Shown("", v)
}

// everyGroup tells a whole list of groups that is new.
func everyGroup(d config.Difference, model string) []Sentence {
	values, ok := d.Edit.Value.([]any)
	if !ok {
		return nil
	}
	var out []Sentence
	for _, v := range values {
		out = append(out, groupAdded(model, v))
	}
	return out
}

func groupAdded(model string, v any) Sentence {
	name, rule := text(v, "group"), text(v, "when")
	if name == "" {
		name = text(v, "attribute")
	}
	if rule == "" {
		rule = text(v, "subscribed")
	}
	return say("group.set", model, name, rule)
}

func group(d config.Difference, model string, path []string) []Sentence {
	switch {
	case len(path) == 0:
		return nil
	case len(path) == 1 && d.Gone:
		return []Sentence{say("group.gone", model, path[0])}
	case len(path) == 1 && d.Added:
		return []Sentence{groupAdded(model, d.Edit.Value)}
	case len(path) == 2 && path[1] == "when":
		return []Sentence{change(d, "group_rule", model, path[0])}
	}
	return []Sentence{change(d, "group_part", model, path[0], strings.Join(path[1:], "."))}
}
