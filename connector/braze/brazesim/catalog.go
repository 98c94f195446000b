package brazesim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of catalogs (Braze docs, Create catalog; Create multiple catalog items).
const (
	maxItems     = 50   // of a call
	maxItemID    = 250  // characters; also of names and descriptions
	maxItemValue = 5000 // characters
	maxItemDepth = 50
	maxFields    = 500
)

// catalogTypes are the types of fields.
var catalogTypes = []string{"string", "number", "boolean", "time", "object", "array", "geo"}

// CatalogField is a column of a catalog.
type CatalogField struct {
	Name string `json:"name"`
	Type string `json:"type"` // string, number, boolean, time, object, array, geo
}

// Catalog is a copy of a catalog.
type Catalog struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Fields      []CatalogField `json:"fields"` // id first
	// Items are by id. Values are compact JSON; the id is not among them.
	Items   map[string]map[string]json.RawMessage `json:"items"`
	Updated time.Time                             `json:"updated_at"`
}

// catalog is guarded by Server.mu; what of it is read outside (fields) is never changed.
type catalog struct {
	name, description string
	fields            []CatalogField
	types             map[string]string
	items             map[string]*node
	updated           time.Time
}

// ParseCatalog reads "NAME:FIELD=TYPE,FIELD=TYPE"; the field id comes by itself.
func ParseCatalog(text string) (Catalog, error) {
	name, rest, _ := strings.Cut(text, ":")
	c := Catalog{Name: name, Fields: []CatalogField{{Name: "id", Type: "string"}}}
	for part := range strings.SplitSeq(rest, ",") {
		field, typ, given := strings.Cut(part, "=")
		switch {
		case part == "":
		case !given:
			return c, fmt.Errorf("read catalog %q: field %q has no type, write %s=string", text, part, part)
		case field != "id":
			c.Fields = append(c.Fields, CatalogField{Name: field, Type: typ})
		}
	}
	if f := c.check(); f != nil {
		return c, fmt.Errorf("read catalog %q: %s: %s", text, f.code, f.text)
	}
	return c, nil
}

// catalogFault is one entry of errors of a catalog's answer (Braze docs, Replace catalog items; Create catalog).
type catalogFault struct {
	code, text, parameter string
	values                []string
}

func (f *catalogFault) reply(status int) *reply {
	entry := map[string]any{"id": f.code, "message": f.text, "parameters": []string{f.parameter}, "parameter_values": append([]string{}, f.values...)}
	body, err := json.Marshal(map[string]any{"message": "Invalid Request", "errors": []any{entry}})
	if err != nil {
		return refusal(500, err.Error())
	}
	return &reply{status: status, body: body}
}

// check validates the definition of a catalog.
func (c *Catalog) check() *catalogFault {
	fault := func(code, text string) *catalogFault { return &catalogFault{code, text, "name", []string{c.Name}} }
	switch {
	case !plainName(c.Name):
		return fault("invalid-catalog-name", "The name takes letters, digits, hyphens and underscores, up to 250")
	case utf8.RuneCountInString(c.Description) > maxItemID:
		return fault("description-too-long", "The description is longer than 250 characters")
	case len(c.Fields) == 0 || c.Fields[0].Name != "id":
		return fault("id-not-first-column", "The first field must be id")
	case c.Fields[0].Type != "string":
		return fault("invalid-field-types", "The field id must be of type string")
	case len(c.Fields) > maxFields:
		return fault("too-many-fields", "A catalog has up to 500 fields")
	}
	seen := map[string]bool{}
	for _, f := range c.Fields {
		switch {
		case seen[f.Name]:
			return fault("field-names-not-unique", "A field is given twice: "+f.Name)
		case !plainName(f.Name):
			return fault("invalid-field-names", "A field's name takes letters, digits, hyphens and underscores, up to 250: "+f.Name)
		case !slices.Contains(catalogTypes, f.Type):
			return fault("invalid-field-types", "A field's type is one of "+strings.Join(catalogTypes, ", ")+": "+f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func plainName(s string) bool {
	return s != "" && len(s) <= maxItemID && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// addCatalog makes a catalog that was checked; the caller holds mu or is alone.
func (s *Server) addCatalog(c Catalog) {
	made := &catalog{name: c.Name, description: c.Description, fields: slices.Clone(c.Fields), types: map[string]string{}, items: map[string]*node{},
		updated: s.cfg.Now()}
	for _, f := range c.Fields {
		made.types[f.Name] = f.Type
	}
	s.catalogs[c.Name] = made
}

func (s *Server) catalogOf(name string) *catalog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalogs[name]
}

// Catalogs returns all catalogs with their items, by name.
func (s *Server) Catalogs() []Catalog {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	out := make([]Catalog, 0, len(s.catalogs))
	for _, name := range slices.Sorted(maps.Keys(s.catalogs)) {
		c := s.catalogs[name]
		v := Catalog{Name: name, Description: c.description, Fields: slices.Clone(c.fields), Items: map[string]map[string]json.RawMessage{}, Updated: c.updated.UTC()}
		for id, n := range c.items {
			item := make(map[string]json.RawMessage, len(n.keys))
			for i, k := range n.keys {
				if k != "id" {
					item[k] = n.kids[i].append(nil)
				}
			}
			v.Items[id] = item
		}
		out = append(out, v)
	}
	return out
}

// items is a parsed PUT or DELETE of a catalog's items. The answer says nothing of single ones (Braze docs, Replace catalog items).
type items struct {
	catalog string
	remove  bool
	list    []*node
	ids     []string
}

func (u *items) class() class { return classWrite }

func (u *items) register(s *Server, c *call) {
	for _, id := range u.ids {
		s.open(c, s.handle(handle{idItem, id, u.catalog}))
	}
}

func (u *items) answer(_ *Server, c *call) *reply {
	c.objects = len(u.ids)
	return &reply{status: 202, body: []byte(`{"message":"success"}`)}
}

func (u *items) apply(s *Server, at time.Time) int {
	c := s.catalogs[u.catalog]
	if c == nil { // deleted meanwhile
		return 0
	}
	c.updated = at
	for i, id := range u.ids {
		if u.remove {
			delete(c.items, id)
		} else {
			c.items[id] = u.list[i]
		}
	}
	return 0
}

// parsePutItems reads a PUT of items, parseDeleteItems a DELETE.
func parsePutItems(s *Server, catalog string, body []byte) (effect, *reply) {
	return parseItems(s, catalog, body, false)
}

func parseDeleteItems(s *Server, catalog string, body []byte) (effect, *reply) {
	return parseItems(s, catalog, body, true)
}

func parseItems(s *Server, name string, body []byte, remove bool) (effect, *reply) {
	c := s.catalogOf(name)
	if c == nil {
		return nil, (&catalogFault{"catalog-not-found", "Could not find catalog", "catalog_name", []string{name}}).reply(404)
	}
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	list := n.get("items")
	if list == nil || list.kind != kindArray || len(list.kids) == 0 || slices.ContainsFunc(list.kids, func(k *node) bool { return k.kind != kindObject }) {
		return nil, (&catalogFault{"item-array-invalid", "items must be an array of objects", "items", nil}).reply(400)
	}
	if len(list.kids) > maxItems {
		return nil, (&catalogFault{"request-includes-too-many-items", "A request takes up to 50 items", "items", nil}).reply(400)
	}
	u := &items{catalog: name, remove: remove, list: list.kids}
	seen := map[string]bool{}
	for _, item := range list.kids {
		f := c.check(item, remove, seen)
		if f != nil {
			return nil, f.reply(400)
		}
		id, _ := item.get("id").str()
		seen[id] = true
		u.ids = append(u.ids, id)
	}
	return u, nil
}

// check validates one item: an id, and values that fit the catalog's fields. A number in a string is not taken for a number: whether Braze would make one
// of it is not documented.
func (c *catalog) check(item *node, remove bool, seen map[string]bool) *catalogFault {
	given := item.get("id")
	id, isText := given.str()
	fault := func(code, text string) *catalogFault { return &catalogFault{code, text, "id", []string{id}} }
	switch {
	case given == nil:
		return &catalogFault{"items-missing-ids", "There are items that do not have an id", "id", nil}
	case !isText && remove:
		return fault("ids-not-strings", "An id is not a string")
	case !isText:
		return fault("ids-not-string", "An id is not a string")
	case seen[id]:
		return fault("ids-not-unique", "An id is given twice")
	case utf8.RuneCountInString(id) > maxItemID:
		return fault("ids-too-large", "An id is longer than 250 characters")
	case !plainName(id):
		return fault("invalid-ids", "An id takes letters, digits, hyphens and underscores")
	}
	for i, key := range item.keys {
		typ, known := c.types[key]
		v := item.kids[i]
		switch {
		case key == "id":
		case !known || remove:
			return fault("invalid-fields", "Some of the fields given do not exist in the catalog")
		case !fits(v, typ):
			return fault("unable-to-coerce-value", "A value cannot be made one of type "+typ)
		case utf8.RuneCount(v.append(nil)) > maxItemValue:
			return fault("items-too-large", "A value is longer than 5,000 characters")
		case v.depth() > maxItemDepth:
			return fault("too-deep-nesting-in-value-object", "A value is nested deeper than 50")
		case !v.plainKeys():
			return fault("invalid-keys-in-value-object", "A key of an object contains . or $")
		}
	}
	return nil
}

// fits tells whether a value is of a field's type; null fits each.
func fits(v *node, typ string) bool {
	switch {
	case v.kind == kindNull:
		return true
	case typ == "string":
		return v.kind == kindString
	case typ == "number":
		return v.kind == kindNumber
	case typ == "boolean":
		return v.kind == kindBool
	case typ == "time":
		if v.kind != kindString {
			return false
		}
		_, ok := parseTime(text(v.text))
		return ok
	case typ == "object":
		return v.kind == kindObject
	case typ == "array":
		return v.kind == kindArray
	}
	return v.kind == kindArray && len(v.kids) == 2 && v.kids[0].kind == kindNumber && v.kids[1].kind == kindNumber // [longitude, latitude]
}

func (n *node) depth() int {
	deepest := 0
	for _, k := range n.kids {
		deepest = max(deepest, k.depth()+1)
	}
	return deepest
}

func (n *node) plainKeys() bool {
	for _, k := range n.keys {
		if strings.ContainsAny(k, ".$") {
			return false
		}
	}
	return !slices.ContainsFunc(n.kids, func(k *node) bool { return !k.plainKeys() })
}

// creation is a parsed POST /catalogs, which takes effect at once.
type creation struct{ made Catalog }

func (u *creation) class() class                 { return classWrite }
func (u *creation) register(*Server, *call)      {}
func (u *creation) apply(*Server, time.Time) int { return 0 }

func (u *creation) answer(s *Server, c *call) *reply {
	if s.catalogs[u.made.Name] != nil {
		return (&catalogFault{"catalog-name-already-exists", "A catalog of that name exists", "name", []string{u.made.Name}}).reply(400)
	}
	c.objects = 1
	s.addCatalog(u.made)
	return &reply{status: 201, body: []byte(`{"message":"success"}`)}
}

// parseCatalogs reads POST /catalogs (Braze docs, Create catalog).
func parseCatalogs(_ *Server, body []byte) (effect, *reply) {
	if !validJSON(body) {
		return nil, invalidJSON
	}
	var raw struct {
		Catalogs []Catalog `json:"catalogs"`
	}
	if err := json.Unmarshal(body, &raw); err != nil || len(raw.Catalogs) == 0 {
		return nil, (&catalogFault{"catalog-array-invalid", "catalogs must be an array of objects", "catalogs", nil}).reply(400)
	}
	if len(raw.Catalogs) > 1 {
		return nil, (&catalogFault{"too-many-catalog-atoms", "A request creates one catalog", "catalogs", nil}).reply(400)
	}
	if f := raw.Catalogs[0].check(); f != nil {
		return nil, f.reply(400)
	}
	return &creation{made: raw.Catalogs[0]}, nil
}

// queryCatalogs reads GET /catalogs (Braze docs, List catalogs).
func queryCatalogs(*Server, url.Values) (effect, *reply) { return listing{}, nil }

// listing is a GET /catalogs.
type listing struct{}

func (listing) class() class                 { return classRead }
func (listing) register(*Server, *call)      {}
func (listing) apply(*Server, time.Time) int { return 0 }

func (listing) answer(s *Server, _ *call) *reply {
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.catalogs)) {
		c := s.catalogs[name]
		list = append(list, map[string]any{"name": name, "description": c.description, "fields": c.fields, "num_items": len(c.items), "updated_at": c.updated.UTC()})
	}
	body, err := json.Marshal(map[string]any{"message": "success", "catalogs": list})
	if err != nil {
		return refusal(500, err.Error())
	}
	return &reply{status: 200, body: body}
}
