package envelope

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"brazecdc/connector"
)

// placeholder recognises what Debezium writes for a value that the log did not carry (unchanged TOAST), in every form a column's type gives it: text, bytes, hex, a
// list or map of these, a list of its bytes as numbers, a list of the UUID made from them, a point far off the map.
type placeholder struct {
	word   string
	texts  []string  // the word as it may stand in a string
	raws   []string  // JSON texts of all forms but the geometries
	sizes  [512]bool // lengths that one of raws has, up to the array's
	avro   string    // the word as a string or bytes in Avro
	values []string  // what a decoded geometry or the only element of a list may be
}

// The geometry and geography that stand for a value which is not there (Debezium docs, unavailable.value.placeholder), in well-known binary.
const (
	farGeometry  = "0101000020E6100000000000FC83D797C1000000FC83D797C1"
	farGeography = "0101000020E61000000C21E7FDFF7F66401842CEFBFF7F5640"
)

func newPlaceholder(word string) (*placeholder, error) {
	if h, ok := strings.CutPrefix(word, "hex:"); ok {
		b, err := hex.DecodeString(h)
		if err != nil {
			return nil, fmt.Errorf("placeholder %q: what follows hex: is not hexadecimal", word)
		}
		word = string(b)
	}
	b64 := base64.StdEncoding.EncodeToString([]byte(word))
	url := base64.URLEncoding.EncodeToString([]byte(word))
	hx := hex.EncodeToString([]byte(word))
	sum := md5.Sum([]byte(word)) // a version 3 UUID of the word's bytes
	sum[6], sum[8] = sum[6]&0x0f|0x30, sum[8]&0x3f|0x80
	uuid := fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:])
	numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte(word)), " ", ","), "[]") //nolint:staticcheck // the bytes' numbers are meant
	p := &placeholder{word: word, texts: []string{word, b64, hx}, values: []string{word, uuid, farGeometry, farGeography}}
	if url != b64 {
		p.texts = append(p.texts, url)
	}
	for _, s := range p.texts {
		q := string(appendText(nil, s))
		p.raws = append(p.raws, q, "["+q+"]")
	}
	q := string(appendText(nil, word))
	p.raws = append(p.raws, "{"+q+":"+q+"}", "["+numbers+"]", `["`+uuid+`"]`)
	for _, r := range p.raws {
		p.sizes[min(len(r), len(p.sizes)-1)] = true
	}
	p.avro = string(binary.AppendVarint(nil, int64(len(word)))) + word
	return p, nil
}

// json tells whether a JSON value is the placeholder.
func (p *placeholder) json(raw string) bool {
	switch raw[0] {
	case '{':
		if len(raw) < 200 && strings.Contains(raw, `"wkb"`) {
			t := typ{kind: connector.KindText, shape: geometry}
			v, err := t.structure(raw)
			return err == nil && slices.Contains(p.values, v.Str)
		}
	case '"', '[':
	default:
		return false
	}
	return p.sizes[min(len(raw), len(p.sizes)-1)] && slices.Contains(p.raws, raw)
}

// binary tells whether a value in Avro is the placeholder.
func (p *placeholder) binary(n *node, raw string) bool {
	switch n.kind {
	case aString, aBytes:
		if raw == p.avro {
			return true
		}
		from, to := sized(raw, 0)
		return n.kind == aString && to > 0 && slices.Contains(p.texts[1:], raw[from:to])
	case aArray, aMap, aRecord:
		// Decoded only where its length could be that of the placeholder.
		if len(raw) < min(len(p.word), 36) || len(raw) > 4*len(p.word)+120 {
			return false
		}
		if n.kind == aRecord {
			if n.typ.shape != geometry {
				return false
			}
			v, err := n.decode(raw)
			return err == nil && slices.Contains(p.values, v.Str)
		}
		v, err := n.decode(raw)
		return err == nil && p.composed(v)
	}
	return false
}

func (p *placeholder) composed(v connector.Value) bool {
	switch {
	case v.Kind == connector.KindJSON:
		return slices.Contains(p.raws, v.Str)
	case len(v.List) == 1:
		return slices.Contains(p.values, v.List[0].Str) || v.List[0].Kind == connector.KindBytes && v.List[0].Str == p.word
	case len(v.List) != len(p.word):
		return false
	}
	for i := range v.List {
		if v.List[i].Kind != connector.KindInt || v.List[i].Int != int64(p.word[i]) {
			return false
		}
	}
	return true
}
