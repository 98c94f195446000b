package mapping

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"brazecdc/connector"
)

const (
	noteLocation = "not a location: a point, GeoJSON, or JSON with latitude and longitude"
	noteRange    = "a location outside of the earth's degrees, or latitude and longitude are swapped"
	noteHalf     = "only one of latitude and longitude has a value"
)

// place is a point of the earth in degrees.
type place struct{ lon, lat float64 }

// appendLocation appends a current_location (Braze docs, "User attributes object") out of one column.
func appendLocation(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
	return appendPlace(dst, v, place.appendObject)
}

// appendGeo appends a place as a catalog takes it, [longitude, latitude] (Braze docs, "Create catalog").
func appendGeo(_ *settings, dst []byte, v connector.Value) ([]byte, string, bool) {
	return appendPlace(dst, v, place.appendPair)
}

func appendPlace(dst []byte, v connector.Value, form func(p place, dst []byte) ([]byte, string, bool)) ([]byte, string, bool) {
	p, note, null := placeOf(v)
	switch {
	case null:
		return append(dst, jsonNull...), "", true
	case note != "":
		return dst, note, false
	}
	return form(p, dst)
}

// placeOf reads Postgres' point and what Debezium makes of it, where x is the longitude; a PostGIS point as it is printed or as WKT; JSON with the two numbers
// under any of their usual names, or GeoJSON.
func placeOf(v connector.Value) (p place, note string, null bool) {
	if v.Kind == connector.KindJSON {
		if t, ok := jsonText(v.Str); ok {
			return placeOf(connector.Value{Kind: connector.KindText, Str: t})
		}
		return placeInJSON(v.Str)
	}
	if v.Kind != connector.KindText {
		return p, noteLocation, false
	}
	s := strings.TrimSpace(v.Str)
	if strings.HasPrefix(s, "{") {
		return placeInJSON(s)
	}
	lon, lat, ok := pointText(s)
	if !ok {
		lon, lat, ok = pointBinary(s)
	}
	if !ok {
		return p, noteLocation, false
	}
	return place{lon, lat}, "", false
}

func (p place) valid() bool { return p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90 } // NaN is outside too

// appendObject appends the object of a profile field, with as many digits as the numbers have.
func (p place) appendObject(dst []byte) ([]byte, string, bool) {
	if !p.valid() {
		return dst, noteRange, false
	}
	dst = appendFloat(append(dst, `{"longitude":`...), p.lon)
	dst = appendFloat(append(dst, `,"latitude":`...), p.lat)
	return append(dst, '}'), "", true
}

// appendPair appends the array of a catalog's field.
func (p place) appendPair(dst []byte) ([]byte, string, bool) {
	if !p.valid() {
		return dst, noteRange, false
	}
	dst = appendFloat(append(dst, '['), p.lon)
	dst = appendFloat(append(dst, ','), p.lat)
	return append(dst, ']'), "", true
}

func placeInJSON(src string) (p place, note string, null bool) {
	x, err := decodeJSON(src)
	if err != nil {
		return p, noteBadJSON, false
	}
	if x == nil {
		return p, "", true
	}
	m, ok := x.(map[string]any)
	if !ok {
		return p, noteLocation, false
	}
	var lon, lat float64
	var ok1, ok2 bool
	if list, is := m["coordinates"].([]any); is && m["type"] == "Point" && len(list) >= 2 {
		lon, ok1 = degrees(list[0])
		lat, ok2 = degrees(list[1])
	} else {
		lon, ok1 = firstOf(m, "longitude", "lon", "lng", "long", "x")
		lat, ok2 = firstOf(m, "latitude", "lat", "y")
	}
	if !ok1 || !ok2 {
		return p, noteLocation, false
	}
	return place{lon, lat}, "", false
}

func firstOf(m map[string]any, names ...string) (float64, bool) {
	for _, n := range names {
		if x, ok := m[n]; ok {
			return degrees(x)
		}
	}
	return 0, false
}

// degrees reads a number, or text that is one.
func degrees(x any) (float64, bool) {
	if s, ok := x.(string); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return f, err == nil
	}
	return floatOf(x)
}

// degreesOf reads a column's value.
func degreesOf(v connector.Value) (float64, bool) {
	switch v.Kind {
	case connector.KindFloat:
		return v.Float, true
	case connector.KindInt:
		return float64(v.Int), true
	case connector.KindDecimal, connector.KindText:
		return degrees(v.Str)
	case connector.KindJSON:
		x, err := decodeJSON(v.Str)
		if err != nil {
			return 0, false
		}
		return degrees(x)
	}
	return 0, false
}

// pointText reads "(x,y)", as Postgres prints a point, and well-known text with or without an SRID.
func pointText(s string) (lon, lat float64, ok bool) {
	between := ","
	if !strings.HasPrefix(s, "(") {
		if srid, rest, found := strings.Cut(s, ";"); found && strings.HasPrefix(strings.ToUpper(srid), "SRID=") {
			if strings.ToUpper(srid) != "SRID=4326" {
				return 0, 0, false
			}
			s = rest
		}
		if len(s) < 5 || !strings.EqualFold(s[:5], "POINT") {
			return 0, 0, false
		}
		s, between = strings.TrimSpace(s[5:]), " "
	}
	if !strings.HasPrefix(s, "(") || !strings.HasSuffix(s, ")") {
		return 0, 0, false
	}
	x, y, found := strings.Cut(strings.TrimSpace(s[1:len(s)-1]), between)
	if !found {
		return 0, 0, false
	}
	lon, ok1 := degrees(x)
	lat, ok2 := degrees(y)
	return lon, lat, ok1 && ok2
}

// pointBinary reads extended well-known binary in hexadecimal, as PostGIS prints a geometry: byte order, type 1 with flags, an SRID where its flag is set,
// x, y. Only degrees of WGS 84 (SRID 4326, or none said) are a longitude and a latitude.
func pointBinary(s string) (lon, lat float64, ok bool) {
	if len(s) < 42 || len(s) > 74 {
		return 0, 0, false
	}
	b, err := hex.DecodeString(s)
	if err != nil || b[0] > 1 {
		return 0, 0, false
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 1 {
		order = binary.LittleEndian
	}
	const hasSRID = 0x20000000
	kind, at := order.Uint32(b[1:]), 5
	if kind&hasSRID != 0 {
		if srid := order.Uint32(b[at:]); srid != 4326 && srid != 0 {
			return 0, 0, false
		}
		at += 4
	}
	if kind&0xff != 1 || len(b) < at+16 {
		return 0, 0, false
	}
	lon, lat = math.Float64frombits(order.Uint64(b[at:])), math.Float64frombits(order.Uint64(b[at+8:]))
	return lon, lat, true
}
