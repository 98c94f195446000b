package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

//go:generate go test . -run TestSchemaFile -update

// SchemaName is the schema's name beside a configuration file, as the editors' line at the file's head has it.
const SchemaName = "brazecdc.schema.json"

// SchemaLine is the line at a configuration file's head that makes editors complete and check it.
const SchemaLine = "# yaml-language-server: $schema=./" + SchemaName + "\n"

// Schema is the JSON Schema (draft-07) of the file: every setting with its title, description, default and examples, for editors. It accepts what Parse accepts, and
// some of what only Parse can judge, such as a model that names an unknown group.
func Schema() []byte {
	root := section("brazecdc.yaml", "The settings of brazecdc: where rows come from, where they go, and what becomes of each column.",
		required("version", dict{{"title", "Version of the file"}, {"description", "Always 1."}, {"const", Version}}),
		required("braze", brazeSchema()), required("source", sourceSchema()),
		optional("data", foldersSchema().data), optional("cache", foldersSchema().cache), optional("limits", limitsSchema()), optional("quarantine", quarantineSchema()),
		optional("never_send", texts("Never send", "Columns, table.column, or paths into JSON columns, that never leave, are never logged and never sampled. Not those that name users or rows.", []string{"ssn", "users.password_hash"})),
		optional("only_users", texts("Only these users", "A pilot: only these external_ids are sent. Empty means all users.", []string{"u-1", "u-2"})),
		optional("load_mark", described(str(), "Load mark", "A boolean custom attribute that users have while a load sends them; empty for none.", defaults().LoadMark, "loading")),
		optional("log", logSchema()), optional("web", webSchema()), optional("ops", opsSchema()), required("models", modelsSchema()),
	)
	out := append(dict{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"$id", SchemaName}}, root...)
	definitions := dict{
		{"variable", dict{{"type", "string"}, {"pattern", variablePattern}, {"description", "${NAME} from the environment, or ${file:/path} from a file."}}},
		{"from", fromSchema("Where the value comes from", fromKeys)},
		{"properties", dict{{"type", []string{"object", "null"}}, {"additionalProperties", propertySchema()}}},
		{"item", itemSchema()},
	}
	out = append(out, pair{"definitions", append(definitions, fieldSchemas()...)})
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return nil // texts and numbers always encode
	}
	return b.Bytes()
}

// dict is a JSON object that keeps its order, so that editors offer settings as the reference lists them.
type dict []pair

type pair struct {
	key   string
	value any
}

// MarshalJSON implements json.Marshaler.
func (d dict) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range d {
		if i > 0 {
			b.WriteByte(',')
		}
		var v bytes.Buffer
		enc := json.NewEncoder(&v)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(p.value); err != nil {
			return nil, fmt.Errorf("encode %s: %w", p.key, err)
		}
		fmt.Fprintf(&b, "%s:%s", encode(p.key), bytes.TrimSpace(v.Bytes()))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// setting is one key of a section.
type setting struct {
	key      string
	shape    dict
	required bool
}

func required(key string, shape dict) setting { return setting{key, shape, true} }
func optional(key string, shape dict) setting { return setting{key, shape, false} }

// section is a mapping with these keys and no others. It may be left empty where nothing in it is required.
func section(title, description string, settings ...setting) dict {
	properties, needed := dict{}, []string{}
	for _, s := range settings {
		properties = append(properties, pair{s.key, s.shape})
		if s.required {
			needed = append(needed, s.key)
		}
	}
	out := dict{{"title", title}, {"description", description}}
	if len(needed) == 0 {
		out = append(out, pair{"type", []string{"object", "null"}})
	} else {
		out = append(out, pair{"type", "object"}, pair{"required", needed})
	}
	return append(out, pair{"properties", properties}, pair{"additionalProperties", false})
}

const (
	variablePattern = `\$\{[^}]+\}`
	durationPattern = `^(\d+d)?(\d*\.?\d+(ns|us|µs|ms|s|m|h))*$`
	sizePattern     = `^\d*\.?\d+ ?(TiB|GiB|MiB|KiB|TB|GB|MB|KB|kB|B)$`
	sharePattern    = `^\d*\.?\d+ ?%$`
	zonePattern     = `^[A-Za-z0-9_+/-]+$`
)

func str() dict { return dict{{"type", "string"}} }

// matching is text of a form, or one that a variable gives.
func matching(pattern string) dict {
	return dict{{"type", "string"}, {"pattern", pattern + "|" + variablePattern}}
}

// either is one of several shapes.
func either(shapes ...dict) dict { return dict{{"anyOf", shapes}} }

func variable() dict { return dict{{"$ref", "#/definitions/variable"}} }

func words(list ...string) dict { return either(dict{{"enum", list}}, variable()) }

func yesNo() dict { return either(dict{{"type", "boolean"}}, variable()) }

func integer(low, high int) dict {
	return either(dict{{"type", "integer"}, {"minimum", low}, {"maximum", high}}, variable())
}

func autoInteger(high int) dict {
	return either(dict{{"const", "auto"}}, dict{{"type", "integer"}, {"minimum", 1}, {"maximum", high}}, variable())
}

func expression() dict { return dict{{"type", []string{"string", "boolean"}}} }

// described adds what a person reads. def is the value where the file is silent, nil for none.
func described(shape dict, title, description string, def any, examples ...any) dict {
	out := append(dict{{"title", title}, {"description", description}}, shape...)
	switch v := def.(type) {
	case nil:
	case time.Duration:
		out = append(out, pair{"default", shortDuration(v)})
	case slog.Level:
		out = append(out, pair{"default", strings.ToLower(v.String())})
	default:
		out = append(out, pair{"default", v})
	}
	if len(examples) > 0 {
		out = append(out, pair{"examples", examples})
	}
	return out
}

func texts(title, description string, example any) dict {
	return described(dict{{"type", "array"}, {"items", dict{{"type", "string"}, {"minLength", 1}}}}, title, description, []string{}, example)
}

// shortDuration writes a duration as people do: 30d, 5m, 30s.
func shortDuration(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0 && d != time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

func shortShare(v float64) string { return fmt.Sprintf("%g%%", v*100) }

func autoOr(n int) any {
	if n == 0 {
		return "auto"
	}
	return n
}
