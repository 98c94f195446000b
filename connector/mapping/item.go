package mapping

import (
	"errors"
	"fmt"

	"brazecdc/connector"
)

// maxItemID is how long an item's id may be (Braze docs, "Replace catalog items").
const maxItemID = 250

// An item's id may hold letters, digits, hyphens and underscores. What else stands in a key is written so that it can be read back: each other byte as itemEscape
// and two digits of its hexadecimal number, and the parts of a key of several columns with itemJoint between them. An underscore before a hyphen, which would
// look like the beginning of one of the two, is written as such a byte. So "A-1_b" stays as it is, "a/b" is "a_-2Fb", and the key (7, "x y") "7_--x_-20y".
const (
	itemEscape = "_-"
	itemJoint  = "_--"
)

func itemByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_'
}

// appendItemPart appends one part of a key.
func appendItemPart(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		b := s[i]
		if itemByte(b) && (b != '_' || i+1 == len(s) || s[i+1] != '-') {
			dst = append(dst, b)
			continue
		}
		dst = append(append(dst, itemEscape...), digits[b>>4], digits[b&15])
	}
	return dst
}

// itemText makes the id of a catalog's item of the parts of a row's key, in the alphabet that Braze takes. Different parts never give one id.
func itemText(parts []string) string {
	var b []byte
	for i, p := range parts {
		if i > 0 {
			b = append(b, itemJoint...)
		}
		b = appendItemPart(b, p)
	}
	return string(b)
}

// itemID compiles what the id of a catalog's item is made of.
func (c *compiler) itemID(mo *model, path string) {
	from := mo.conf.Identify.ItemID
	if len(from) == 0 {
		c.fault(path, "the model does not say which item a row is", "identify: {item_id: COLUMN}")
		return
	}
	s := idSource{kind: connector.Item, label: mo.conf.Catalog}
	for i, x := range from {
		at := path
		if len(from) > 1 {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		switch {
		case x.Expr != "":
			p := c.expr(mo, x.Expr, at+".expr", useValue)
			if p == nil {
				continue
			}
			c.sentExpr(mo, p, at+".expr")
			if p.volatile {
				c.fault(at+".expr", "the id of an item cannot depend on the clock", "")
			}
			s.parts = append(s.parts, idSource{prog: p})
		case x.Column != "":
			c.namingColumn(mo, x.Column, at)
			s.parts = append(s.parts, idSource{column: x.Column})
		default:
			c.fault(at, "all rows would be one item", "name a column")
		}
	}
	if len(s.parts) == len(from) {
		mo.ids = append(mo.ids, s)
	}
}

// itemIdentity names the item of a row.
func (p *plan) itemIdentity(s *idPlan, r connector.Row) identity {
	at := 0
	texts := make([]string, 0, len(s.parts))
	for i := range s.parts {
		part := &s.parts[i]
		n := len(part.columns())
		v, err := part.read(r, s.cols[at:at+n])
		at += n
		var ae *absentError
		switch {
		case errors.As(err, &ae):
			return identity{state: idAbsent, column: ae.column}
		case err != nil:
			return identity{state: idRefused, reason: err.Error()}
		case v.Kind == connector.KindNull:
			return identity{state: idMissing}
		}
		text, ok := scalarText(v, p.m.zone())
		switch {
		case !ok:
			return identity{state: idRefused, reason: "its kind cannot be an identifier"}
		case text == "":
			return identity{state: idMissing}
		}
		texts = append(texts, text)
	}
	id := itemText(texts)
	if len(id) > maxItemID {
		return identity{state: idRefused, reason: fmt.Sprintf("it is longer than Braze's %d characters, counting what stands for other characters than letters, digits, - and _", maxItemID)}
	}
	return identity{user: connector.User{Kind: connector.Item, ID: id, Label: s.label}}
}
