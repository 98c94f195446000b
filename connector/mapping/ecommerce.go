package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/currency"

	"brazecdc/connector"
)

// ecommerceRequired are the properties without which Braze takes none of its recommended e-commerce events (Braze docs, "eCommerce recommended events").
var ecommerceRequired = map[string][]string{
	"ecommerce.product_viewed":   {"product_id", "product_name", "variant_id", "price", "currency", "source"},
	"ecommerce.cart_updated":     {"cart_id", "total_value", "currency", "products", "source"},
	"ecommerce.checkout_started": {"checkout_id", "total_value", "currency", "products", "source"},
	"ecommerce.order_placed":     {"order_id", "total_value", "currency", "products", "source"},
	"ecommerce.order_refunded":   {"order_id", "total_value", "currency", "products", "source"},
	"ecommerce.order_cancelled":  {"order_id", "cancel_reason", "total_value", "currency", "products", "source"},
}

// productRequired are those of each of the products.
var productRequired = []string{"product_id", "product_name", "variant_id", "quantity", "price"}

// ecommerceTypes are the types of the properties that these events know; one of another type costs the event.
var ecommerceTypes = map[string]string{
	"product_id": "string", "product_name": "string", "variant_id": "string", "image_url": "string", "product_url": "string", "cart_id": "string", "checkout_id": "string",
	"order_id": "string", "cancel_reason": "string", "source": "string", "currency": typeCurrency, "price": "number", "quantity": "number", "total_value": "number",
	"subtotal_value": "number", "tax": "number", "shipping": "number", "total_discounts": "number", "products": "array", "discounts": "array", "metadata": "object",
}

// typeCurrency is no type of the configuration: a text of three capital letters.
const typeCurrency = "currency"

const ecommercePrefix = "ecommerce."

// ecommerce gives the properties of recommended events their types, and finds what a model lacks of them.
func (c *compiler) ecommerce(mo *model, e *event) {
	names := slices.Sorted(maps.Keys(e.oneOf))
	if e.name != "" {
		names = []string{e.name}
	}
	var known []string
	for _, name := range names {
		if !strings.HasPrefix(name, ecommercePrefix) {
			continue
		}
		if ecommerceRequired[name] == nil {
			c.warn(mo.conf.Event.Path+".name", fmt.Sprintf("%q begins like Braze's recommended events and is none of them", name), meant(name, slices.Collect(maps.Keys(ecommerceRequired))))
			continue
		}
		known = append(known, name)
	}
	if len(known) == 0 {
		return
	}
	path := mo.conf.Path + ".properties"
	for _, name := range known {
		c.hasAll(mo.conf.Event.Properties, ecommerceRequired[name], path, name)
	}
	if len(known) < len(names) {
		return // other events may have properties of the same names
	}
	c.typed(e.properties)
	for i, p := range e.properties {
		if p.each != nil && string(p.key) == `"products":` {
			c.hasAll(mo.conf.Event.Properties[i].Fields, productRequired, mo.conf.Event.Properties[i].Path+".fields", known[0])
			c.typed(p.each.properties)
		}
	}
}

// hasAll finds the required properties that a model does not map.
func (c *compiler) hasAll(list []connector.PropertyMap, required []string, path, name string) {
	for _, r := range required {
		if !slices.ContainsFunc(list, func(p connector.PropertyMap) bool { return p.Name == r }) {
			c.fault(path, fmt.Sprintf("the event %q needs the property %q", name, r), "map it, or Braze does not take the event")
		}
	}
}

// typed sends known properties in the type that the events ask for, and refuses another.
func (c *compiler) typed(list []*prop) {
	for _, p := range list {
		f := p.field
		if f == nil {
			continue
		}
		want := ecommerceTypes[f.label]
		switch {
		case want == "" || f.declared == want:
		case f.declared != "" && (want != typeCurrency || f.declared != "string"):
			c.fault(f.path+".type", fmt.Sprintf("%q is of the type %s in Braze's recommended events", f.label, want), "remove type")
		case want == typeCurrency:
			f.convert = onText(appendCurrency)
		default:
			f.convert = withoutTimes(converters[want])
		}
		if f.constant != nil && !fitsType(f.label, f.constant) {
			c.fault(f.path, fmt.Sprintf("%q is of the type %s in Braze's recommended events", f.label, want), "write such a value")
		}
	}
}

// lacking tells what an event's properties lack of what Braze asks of its recommended events, "" where nothing. It holds no value.
func lacking(name string, props []byte) string {
	required := ecommerceRequired[name]
	if required == nil {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(props, &members) != nil {
		return "its properties are no object"
	}
	if why := lackingOf(members, required); why != "" {
		return why
	}
	if !slices.Contains(required, "products") {
		return ""
	}
	var products []map[string]json.RawMessage
	if json.Unmarshal(members["products"], &products) != nil {
		return "products is not an array of objects"
	}
	if len(products) == 0 {
		return "it has no products"
	}
	for i, p := range products {
		if why := lackingOf(p, productRequired); why != "" {
			return fmt.Sprintf("of products[%d], %s", i, why)
		}
	}
	return ""
}

func lackingOf(members map[string]json.RawMessage, required []string) string {
	for _, r := range required {
		v, ok := members[r]
		switch {
		case !ok:
			return fmt.Sprintf("the property %q has no value", r)
		case !fitsType(r, v):
			return fmt.Sprintf("the property %q is not of the type %s", r, ecommerceTypes[r])
		}
	}
	return ""
}

// fitsType tells whether an encoded property is of the type that the recommended events give it.
func fitsType(name string, v []byte) bool {
	switch ecommerceTypes[name] {
	case "string":
		return v[0] == '"' && !isBlank(string(v[1:len(v)-1]))
	case typeCurrency:
		var s string
		if json.Unmarshal(v, &s) != nil {
			return false
		}
		code, ok := currencyCode(s)
		return ok && code == s
	case "number":
		if name == "quantity" {
			n, whole := wholeNumber(v)
			return whole && n > 0
		}
		return v[0] == '-' || v[0] >= '0' && v[0] <= '9'
	case "array":
		return v[0] == '['
	case "object":
		return v[0] == '{'
	}
	return true
}

// wholeNumber reads an encoded number that has no fraction.
func wholeNumber(v []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
	return n, err == nil
}

// currencyCode gives the ISO 4217 code that a text means.
func currencyCode(s string) (string, bool) {
	unit, err := currency.ParseISO(strings.TrimSpace(s))
	if err != nil {
		return "", false
	}
	return unit.String(), true
}
