package envelope

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// connectSchema is a Kafka Connect schema as JsonConverter writes it beside each value (schemas.enable=true).
type connectSchema struct {
	Type       string            `json:"type"`
	Optional   bool              `json:"optional"`
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Parameters map[string]string `json:"parameters"`
	Fields     []connectSchema   `json:"fields"`
	Items      *connectSchema    `json:"items"`
}

// member is a named part of a record's schema.
type member struct {
	name    string
	typ     *typ
	notNull bool
}

func parseConnect(raw string) (*connectSchema, error) {
	s := new(connectSchema)
	if err := json.Unmarshal([]byte(raw), s); err != nil {
		return nil, fmt.Errorf("the record's schema is no Connect schema: %w", err)
	}
	return s, nil
}

// row gives the members of a row: of the schema itself, or, in an envelope, of its after and before.
func (s *connectSchema) row(envelope bool) ([]member, error) {
	if envelope {
		var inner *connectSchema
		for i := range s.Fields {
			if f := &s.Fields[i]; f.Type == "struct" && (f.Field == "after" || f.Field == "before" && inner == nil) {
				inner = f
			}
		}
		if inner == nil {
			return nil, fmt.Errorf("the record's schema %q describes no after and no before", s.Name)
		}
		s = inner
	}
	out := make([]member, 0, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		out = append(out, member{f.Field, f.typ(0), !f.Optional})
	}
	return out, nil
}

// typ gives what a schema describes. In JSON, bytes are base64.
func (s *connectSchema) typ(depth int) *typ {
	if t := named(s.Name, s.Parameters); t != nil {
		if s.Type == "bytes" {
			t.form = asBase64
		}
		return t
	}
	switch s.Type {
	case "array":
		t := &typ{kind: connector.KindArray, name: "array", scale: -1, unit: micros, elem: simple(connector.KindJSON, "json")}
		if s.Items != nil && depth < maxDepth {
			t.elem = s.Items.typ(depth + 1)
			t.name = t.elem.name + "[]"
		}
		return t
	case "bytes":
		t := simple(connector.KindBytes, "bytes")
		t.form = asBase64
		return t
	}
	return primitive(s.Type, s.Parameters)
}

// primitive gives a type without a meaning of its own, by its name in Connect. The parameters are there with column.propagate.source.type and tell what a decimal
// was before it became a string or a double.
func primitive(name string, params map[string]string) *typ {
	switch strings.ToUpper(params["__debezium.source.column.type"]) {
	case "NUMERIC", "DECIMAL", "MONEY":
		if name == "string" || name == "double" {
			t := simple(connector.KindDecimal, name)
			if n, err := strconv.Atoi(params["__debezium.source.column.scale"]); err == nil && n > 0 && n <= maxDigits {
				t.scale = n
			}
			return t
		}
	}
	switch name {
	case "boolean":
		return simple(connector.KindBool, name)
	case "int8", "int16", "int32", "int64", "int", "long":
		return simple(connector.KindInt, name)
	case "float32", "float":
		t := simple(connector.KindFloat, name)
		t.short = true
		return t
	case "float64", "double":
		return simple(connector.KindFloat, name)
	case "string", "enum":
		return simple(connector.KindText, name)
	case "bytes", "fixed":
		return simple(connector.KindBytes, name)
	}
	return simple(connector.KindJSON, name) // map, struct
}

// named gives the types that Connect and Debezium name (Debezium docs, "Data type mappings" of the PostgreSQL connector), or nil.
func named(name string, params map[string]string) *typ {
	var t *typ
	short := name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		short = name[i+1:]
	}
	switch name {
	case "org.apache.kafka.connect.data.Decimal":
		t = simple(connector.KindDecimal, "decimal")
		t.scale = 0
		if n, err := strconv.Atoi(params["scale"]); err == nil {
			t.scale = n
		}
		t.name = fmt.Sprintf("numeric(%s,%d)", params["connect.decimal.precision"], t.scale)
		if params["connect.decimal.precision"] == "" {
			t.name = fmt.Sprintf("numeric with scale %d", t.scale)
		}
		return t
	case "org.apache.kafka.connect.data.Date", "io.debezium.time.Date", "io.debezium.time.IsoDate":
		t = simple(connector.KindDate, "date")
	case "org.apache.kafka.connect.data.Time", "io.debezium.time.Time", "io.debezium.time.MicroTime", "io.debezium.time.NanoTime", "io.debezium.time.IsoTime":
		t = simple(connector.KindTime, "time")
	case "org.apache.kafka.connect.data.Timestamp", "io.debezium.time.Timestamp", "io.debezium.time.MicroTimestamp", "io.debezium.time.NanoTimestamp",
		"io.debezium.time.IsoTimestamp":
		t = simple(connector.KindTimestamp, "timestamp")
	case "io.debezium.time.ZonedTimestamp":
		t = simple(connector.KindTimestampTZ, "timestamptz")
	case "io.debezium.time.ZonedTime":
		t = simple(connector.KindTimeTZ, "timetz")
	case "io.debezium.time.MicroDuration", "io.debezium.time.NanoDuration", "io.debezium.time.Interval":
		t = simple(connector.KindInterval, "interval")
	case "io.debezium.time.Year":
		return simple(connector.KindInt, "year")
	case "io.debezium.data.Json":
		return simple(connector.KindJSON, "json")
	case "io.debezium.data.Uuid", "io.debezium.data.Enum", "io.debezium.data.EnumSet", "io.debezium.data.Xml", "io.debezium.data.Ltree", "io.debezium.data.Tsvector",
		"io.debezium.data.TsVector":
		return simple(connector.KindText, strings.ToLower(short))
	case "io.debezium.data.Bits":
		t = simple(connector.KindText, "bit")
		t.bit = true
		t.bits, _ = strconv.Atoi(params["length"])
		return t
	case "io.debezium.data.VariableScaleDecimal":
		t = simple(connector.KindDecimal, "numeric")
		t.shape = varDecimal
		return t
	case "io.debezium.data.geometry.Point":
		t = simple(connector.KindText, "point")
		t.shape = pointXY
		return t
	case "io.debezium.data.geometry.Geometry", "io.debezium.data.geometry.Geography":
		t = simple(connector.KindText, strings.ToLower(short))
		t.shape = geometry
		return t
	default:
		return nil
	}
	switch {
	case strings.HasPrefix(short, "Nano"):
		t.unit = nanos
	case strings.HasPrefix(short, "Micro"):
		t.unit = micros
	default:
		t.unit = millis
	}
	return t
}
