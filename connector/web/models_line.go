package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

// lineForm is one line of fields, custom or properties as a form has it.
type lineForm struct {
	Section string // fields, custom, properties
	Was     string // its name in the draft; empty of a new one
	Name    string
	From    string // column, expr, value, place; each: an array of objects, which has no form

	Column, Expr, Value, Latitude, Longitude           string
	Type, Null, Default, Blank, Nested, Array, ArrayBy string
	Country, WhenTrue, Resubscribe                     string
	Collect                                            bool
}

// lineOf is a line of the draft as a form.
func lineOf(section string, f *connector.FieldMap) lineForm {
	l := lineForm{
		Section: section, Was: f.Name, Name: f.Name, From: "column", Column: f.Column, Expr: f.Expr, Latitude: f.Latitude, Longitude: f.Longitude, Type: f.Type,
		Null: f.OnNull, Blank: f.Blank, Nested: f.Nested, Array: f.Array, ArrayBy: f.ArrayBy, Country: f.Country, WhenTrue: f.WhenTrue, Resubscribe: f.Resubscribe,
		Collect: f.Collect,
	}
	switch {
	case f.HasValue:
		l.From, l.Value = "value", constantText(f.Value)
	case f.Expr != "":
		l.From = "expr"
	case f.Latitude != "" || f.Longitude != "":
		l.From = "place"
	}
	if f.Type == "geo" && l.From == "place" {
		l.Type = ""
	}
	if f.OnNull == "value" {
		l.Default = constantText(f.Default)
	}
	return l.plain()
}

// plain fills in what a form that was left alone sends.
func (l lineForm) plain() lineForm {
	def := func(v *string, word string) {
		if *v == "" {
			*v = word
		}
	}
	def(&l.From, "column")
	def(&l.Null, "clear")
	def(&l.Blank, "keep")
	def(&l.Nested, "merge")
	def(&l.Array, "replace")
	def(&l.WhenTrue, "subscribed")
	def(&l.Resubscribe, "on_change")
	return l
}

// lineFrom reads the line of a form whose fields begin with a prefix ("3.").
func lineFrom(form url.Values, prefix string) lineForm {
	get := func(name string) string { return strings.TrimSpace(form.Get(prefix + name)) }
	return lineForm{
		Section: get("section"), Was: form.Get(prefix + "was"), Name: get("name"), From: get("from"), Column: form.Get(prefix + "column"), Expr: get("expr"), Value: get("value"),
		Latitude: form.Get(prefix + "latitude"), Longitude: form.Get(prefix + "longitude"), Type: get("type"), Null: get("null"), Default: get("default"),
		Blank: get("blank"), Nested: get("nested"), Array: get("array"), ArrayBy: get("array_by"), Country: strings.ToUpper(get("country")), WhenTrue: get("when_true"),
		Resubscribe: get("resubscribe"), Collect: get("collect") != "",
	}.plain()
}

// value is the line as the file has it: a column alone as a word, else a map of what is not the default.
func (l lineForm) value() any {
	m := yaml.MapSlice{}
	put := func(key string, v any) { m = append(m, yaml.MapItem{Key: key, Value: v}) }
	switch l.From {
	case "expr":
		put("expr", escaped(l.Expr))
	case "value":
		put("value", constantOf(l.Value))
	case "place":
		put("latitude", escaped(l.Latitude))
		put("longitude", escaped(l.Longitude))
	default:
		put("column", escaped(l.Column))
	}
	word := func(key, v, def string) {
		if v != "" && v != def {
			put(key, v)
		}
	}
	word("type", l.Type, "")
	word("country", l.Country, "")
	word("when_true", l.WhenTrue, "subscribed")
	word("resubscribe", l.Resubscribe, "on_change")
	if l.Null == "value" {
		put("on_null", config.Map("value", constantOf(l.Default)))
	} else {
		word("on_null", l.Null, "clear")
	}
	word("blank", l.Blank, "keep")
	word("nested", l.Nested, "merge")
	if l.Array == "by" {
		put("array", config.Map("by", escaped(l.ArrayBy)))
	} else {
		word("array", l.Array, "replace")
	}
	if l.Collect {
		put("collect", true)
	}
	if len(m) == 1 && m[0].Key == "column" {
		return m[0].Value
	}
	return m
}

// path is where the line stands, for an edit.
func (l lineForm) path(model, name string) string {
	return "models[" + model + "]." + l.Section + keyPath(name)
}

// keyPath is a key as part of a path.
func keyPath(key string) string {
	if strings.ContainsAny(key, `.[]"`) || key == "" {
		return "[" + strconv.Quote(key) + "]"
	}
	return "." + key
}

// edits are what takes the line of the draft to the form's. before is nil of a new line.
func (l lineForm) edits(model string, before *lineForm) []config.Edit {
	if before == nil {
		return []config.Edit{{Path: l.path(model, l.Name), Value: l.value()}}
	}
	same := reflect.DeepEqual(before.value(), l.value())
	switch {
	case l.Name != l.Was:
		return []config.Edit{{Path: l.path(model, l.Was), Remove: true}, {Path: l.path(model, l.Name), Value: l.value()}}
	case same:
		return nil
	}
	return []config.Edit{{Path: l.path(model, l.Name), Value: l.value()}}
}

// constantText is a constant for a person: text stands as it is, unless it would be read as something else.
func constantText(js string) string {
	var s string
	if json.Unmarshal([]byte(js), &s) == nil && !json.Valid([]byte(s)) {
		return s
	}
	return js
}

// constantOf reads what a person wrote as a constant: JSON where it is some, else text.
func constantOf(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := orderedJSON(d)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) && v != nil {
			return v
		}
	}
	return escaped(text)
}

// orderedJSON reads one value, the members of objects in their order.
func orderedJSON(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return int(i), nil
		}
		return t.Float64()
	case string:
		return escaped(t), nil
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				v, err := orderedJSON(d)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err = d.Token()
			return list, err
		}
		m := yaml.MapSlice{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := orderedJSON(d)
			if err != nil {
				return nil, err
			}
			m = append(m, yaml.MapItem{Key: k, Value: v})
		}
		_, err = d.Token()
		return m, err
	}
	return t, nil
}

// yamlOf reads a part of a file that was written by hand: maps keep their order.
func yamlOf(text string) (any, error) {
	var v any
	d := yaml.NewDecoder(bytes.NewReader([]byte(text)), yaml.UseOrderedMap())
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// yamlText writes a part of a file for a person to edit.
func yamlText(v any) string {
	if v == nil {
		return ""
	}
	b, err := yaml.MarshalWithOptions(v, yaml.Indent(2), yaml.UseSingleQuote(true))
	if err != nil {
		return ""
	}
	return string(b)
}

// partOf finds a part of a draft as it is written, secrets and variables not filled in: path is below the model of the name.
func partOf(text []byte, model string, path ...string) any {
	v, err := yamlOf(string(text))
	if err != nil {
		return nil
	}
	list, _ := member(v, "models").([]any)
	for _, x := range list {
		if member(x, "name") != model {
			continue
		}
		for _, key := range path {
			x = member(x, key)
		}
		return x
	}
	return nil
}

func member(v any, key string) any {
	m, _ := v.(yaml.MapSlice)
	for _, item := range m {
		if item.Key == key {
			return item.Value
		}
	}
	return nil
}
