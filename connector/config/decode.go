package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder gathers faults while it fills the structs; it goes on after each.
type decoder struct {
	file   string
	faults Faults
	saw    func(n *node, keys []string) // of tests: told each mapping and the keys it may have
}

func (d *decoder) addAt(p place, path, what, fix string) {
	if p.line == 0 {
		p = place{1, 1}
	}
	d.faults = append(d.faults, Fault{File: d.file, Line: p.line, Column: p.column, Path: path, What: what, Fix: fix})
}

// bad records "PATH what; fix" at n.
func (d *decoder) bad(n *node, what, fix string) {
	d.addAt(n.place, n.path, n.path+" "+what, fix)
}

func (d *decoder) warn(n *node, what, fix string) {
	d.bad(n, what, fix)
	d.faults[len(d.faults)-1].Warn = true
}

// object reads the keys of one mapping. A nil or empty node reads as a mapping without keys.
type object struct {
	d *decoder
	n *node
}

// object checks that n is a mapping with no other keys than those named in known, a list with spaces between.
func (d *decoder) object(n *node, known string) object {
	o := object{d, n}
	if n == nil || n.kind == null {
		return o
	}
	if n.kind != mapping {
		if !n.broken {
			d.bad(n, "is "+n.describe(), "write its settings below it")
		}
		o.n = &node{kind: mapping, path: n.path, place: n.place, broken: true}
		return o
	}
	keys := strings.Fields(known)
	if d.saw != nil {
		d.saw(n, keys)
	}
	for _, e := range n.entries {
		if slices.Contains(keys, e.key) {
			continue
		}
		fix := "known here: " + strings.Join(keys, ", ")
		if near := nearest(e.key, keys); near != "" {
			fix = "did you mean " + near + "?"
		}
		path := join(n.path, e.key)
		d.addAt(e.place, path, path+" is not a setting", fix)
	}
	return o
}

// get is the key's value, nil where the key is missing. A key without value is a fault: whether the default was meant nobody can tell.
func (o object) get(key string) *node {
	n := o.n.child(key)
	if n == nil || n.broken && n.kind != mapping && n.kind != sequence {
		return nil
	}
	if n.kind == null {
		o.d.bad(n, "has no value", "give one, or remove the key")
		return nil
	}
	return n
}

// section is like get for mappings, which may be left empty.
func (o object) section(key string) *node {
	n := o.n.child(key)
	if n == nil || n.broken {
		return nil
	}
	return n
}

// has tells whether the key stands in the file, good or bad.
func (o object) has(key string) bool { return o.n.child(key) != nil }

// missing records that a required key is not there, at the mapping that should hold it.
func (o object) missing(key, fix string) {
	if o.n != nil && o.n.broken || o.has(key) {
		return
	}
	p, path := place{1, 1}, key
	if o.n != nil {
		p, path = o.n.place, join(o.n.path, key)
	}
	o.d.addAt(p, path, path+" is missing", fix)
}

// str reads text. Numbers and booleans are refused, since what YAML made of them may not be what was written.
func (o object) str(key string, dst *string) *node {
	n := o.get(key)
	if n == nil || !o.d.isText(n) {
		return nil
	}
	*dst = n.value
	return n
}

func (d *decoder) isText(n *node) bool {
	switch n.kind {
	case text:
		return !n.broken
	case number, boolean:
		d.bad(n, "is "+n.describe()+", not text", `put quotes around it`)
	default:
		d.bad(n, "is "+n.describe(), "write text")
	}
	return false
}

func (o object) secret(key string, dst *Secret) *node {
	var s string
	n := o.str(key, &s)
	if n != nil {
		*dst = Secret(s)
	}
	return n
}

func (o object) enum(key string, dst *string, allowed ...string) *node {
	n := o.get(key)
	if n == nil {
		return nil
	}
	return o.d.oneOf(n, dst, allowed)
}

func (d *decoder) oneOf(n *node, dst *string, allowed []string) *node {
	if n.kind != sequence && n.kind != mapping && slices.Contains(allowed, n.value) {
		*dst = n.value
		return n
	}
	fix := "choose " + choice(allowed)
	d.bad(n, "is "+n.describe(), fix)
	return nil
}

func (o object) boolean(key string, dst *bool) *node {
	n := o.get(key)
	if n == nil {
		return nil
	}
	if n.kind == boolean || n.expanded && n.style == 0 {
		switch n.value {
		case "true", "false":
			*dst = n.value == "true"
			return n
		}
	}
	o.d.bad(n, "is "+n.describe(), "write true or false")
	return nil
}

// integer reads a whole number within bounds.
func (o object) integer(key string, dst *int, low, high int) *node {
	n := o.get(key)
	if n == nil {
		return nil
	}
	if n.kind == number || n.expanded && n.style == 0 {
		if i, err := strconv.Atoi(n.value); err == nil && i >= low && i <= high && n.value == strconv.Itoa(i) {
			*dst = i
			return n
		}
	}
	o.d.bad(n, "is "+n.describe(), fmt.Sprintf("write a whole number from %d to %d", low, high))
	return nil
}

// autoInteger is integer where the word auto stands for 0.
func (o object) autoInteger(key string, dst *int, high int) {
	if n := o.n.child(key); n != nil && n.kind == text && n.value == "auto" {
		*dst = 0
		return
	}
	n := o.get(key)
	if n == nil {
		return
	}
	if n.kind == number || n.expanded && n.style == 0 {
		if i, err := strconv.Atoi(n.value); err == nil && i >= 1 && i <= high {
			*dst = i
			return
		}
	}
	o.d.bad(n, "is "+n.describe(), fmt.Sprintf("write auto or a whole number from 1 to %d", high))
}

// duration reads a duration of at least low.
func (o object) duration(key string, dst *time.Duration, low time.Duration) *node {
	n := o.get(key)
	if n == nil {
		return nil
	}
	if n.kind == text {
		v, err := parseDuration(n.value)
		switch {
		case err == nil && v >= low:
			*dst = v
			return n
		case err == nil:
			o.d.bad(n, "is "+n.describe(), "write at least "+low.String())
			return nil
		}
	}
	o.d.bad(n, "is "+n.describe(), "write a number with its unit, such as 500ms, 30s, 5m, 24h or 30d")
	return nil
}

// size reads bytes within bounds.
func (o object) size(key string, dst *int64, low, high int64) {
	n := o.get(key)
	if n == nil {
		return
	}
	if n.kind == text {
		v, err := parseSize(n.value)
		switch {
		case err == nil && v >= low && v <= high:
			*dst = v
			return
		case err == nil:
			o.d.bad(n, "is "+n.describe(), fmt.Sprintf("write a size from %s to %s", formatSize(low), formatSize(high)))
			return
		}
	}
	o.d.bad(n, "is "+n.describe(), "write a number with its unit, such as 512KiB, 64MiB or 8GiB")
}

// share reads a percentage above 0 and at most 100.
func (o object) share(key string, dst *float64) {
	n := o.get(key)
	if n == nil {
		return
	}
	if digits, ok := strings.CutSuffix(n.value, "%"); ok && n.kind == text {
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err == nil && v > 0 && v <= 100 {
			*dst = v / 100
			return
		}
	}
	o.d.bad(n, "is "+n.describe(), "write a percentage above 0% and up to 100%")
}

// texts reads a list of texts.
func (o object) texts(key string, dst *[]string) []*node {
	n := o.get(key)
	if n == nil {
		return nil
	}
	if n.kind != sequence {
		o.d.bad(n, "is "+n.describe(), "write a list, such as [a, b]")
		return nil
	}
	var nodes []*node
	var out []string
	for _, item := range n.items {
		switch {
		case item.broken:
		case item.kind == text && item.value != "":
			out = append(out, item.value)
			nodes = append(nodes, item)
		case item.kind == number:
			o.d.bad(item, "is "+item.describe()+", not text", "put quotes around it")
		default:
			o.d.bad(item, "is "+item.describe(), "write text")
		}
	}
	*dst = out
	return nodes
}
