package brazesim

import (
	"encoding/json"
	"strconv"
	"time"
)

// maxIDs is how many identifiers a call of the lifecycle endpoints may hold (Braze docs, Delete users; Rename external ID; Export user profile).
const maxIDs = 50

var tooManyIDs = "The max number of ids per request was exceeded"

// parseBody reads a request other than a track call.
func parseBody(body []byte) (*node, *reply) {
	if !validJSON(body) {
		return nil, invalidJSON
	}
	n := parseNode(body)
	if n.kind != kindObject {
		return nil, refusal(400, "The request body must be a JSON object")
	}
	return n, nil
}

// target is one user named by a call.
type target struct {
	who   idKind
	h     handle
	order []string // prioritization of emails and phones
	rec   *record
}

func (t *target) resolve(s *Server, c *call) {
	if t.who == idExternal {
		t.rec = s.external([]byte(t.h.a))
	} else {
		t.rec = s.handle(t.h)
	}
	s.open(c, t.rec)
}

// deletion is a parsed /users/delete call.
type deletion struct{ targets []target }

func (d *deletion) class() class { return classDelete }

func (d *deletion) register(s *Server, c *call) {
	for i := range d.targets {
		d.targets[i].resolve(s, c)
	}
}

func (d *deletion) answer(s *Server, c *call) *reply {
	c.objects = len(d.targets)
	return &reply{status: 201, body: []byte(`{"deleted":` + strconv.Itoa(len(d.targets)) + `,"message":"success"}`)}
}

func (d *deletion) apply(s *Server, _ time.Time) int {
	for _, t := range d.targets {
		var p *profile
		switch t.who {
		case idEmail:
			p = prioritized(s.byAddress(nameEmail, t.h.a), t.order)
		case idPhone:
			p = prioritized(s.byAddress(namePhone, t.h.a), t.order)
		default:
			p = s.lookup(t.who, t.rec) // through a deprecated id the living profile goes
		}
		if p != nil {
			s.remove(p)
		}
	}
	return 0
}

// parseDelete reads /users/delete: one kind of identifier, up to 50 (Braze docs, Delete users).
func parseDelete(_ *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	d := new(deletion)
	kinds := 0
	for _, key := range []string{"external_ids", "user_aliases", "braze_ids", "email_addresses", "phone_numbers"} {
		list := n.get(key)
		if list == nil {
			continue
		}
		kinds++
		if list.kind != kindArray {
			return nil, refusal(400, "'"+key+"' must be an array")
		}
		for _, item := range list.kids {
			t, ok := deleteTarget(key, item)
			if !ok {
				return nil, refusal(400, "'"+key+"' holds an invalid identifier")
			}
			d.targets = append(d.targets, t)
		}
	}
	switch {
	case kinds > 1:
		return nil, refusal(400, "Only one kind of identifier may be given per request")
	case len(d.targets) == 0:
		return nil, refusal(400, "At least one identifier must be given")
	case len(d.targets) > maxIDs:
		return nil, refusal(400, tooManyIDs)
	}
	return d, nil
}

func deleteTarget(key string, item *node) (t target, ok bool) {
	switch key {
	case "user_aliases":
		t.who = idAlias
		t.h, ok = aliasOf(item)
		return t, ok
	case "email_addresses", "phone_numbers":
		t.who, key = idEmail, "email"
		if key2 := "phone"; item.get(key2) != nil {
			t.who, key = idPhone, key2
		}
		var list bool
		t.h.a, ok = item.get(key).str()
		t.order, list = item.get("prioritization").strings()
		t.h.who = t.who
		return t, ok && list && soundOrder(t.order)
	}
	t.who = idExternal
	if key == "braze_ids" {
		t.who = idBraze
	}
	t.h.who = t.who
	t.h.a, ok = item.str()
	return t, ok && t.h.a != "" && len(t.h.a) <= maxExternalID
}

// soundOrder checks a prioritization (Braze docs, Delete users).
func soundOrder(order []string) bool {
	seen := map[string]bool{}
	for _, o := range order {
		if o != "identified" && o != "unidentified" && o != "most_recently_updated" && o != "least_recently_updated" || seen[o] {
			return false
		}
		seen[o] = true
	}
	return len(order) > 0 && !(seen["identified"] && seen["unidentified"]) && !(seen["most_recently_updated"] && seen["least_recently_updated"])
}

// prioritized narrows matches down; nil if not exactly one is left.
func prioritized(found []*profile, order []string) *profile {
	left := append([]*profile(nil), found...)
	for _, o := range order {
		var next []*profile
		for _, p := range left {
			switch {
			case o == "identified" && p.rec == nil, o == "unidentified" && p.rec != nil:
			case len(next) > 0 && o == "most_recently_updated" && p.updated <= next[0].updated:
			case len(next) > 0 && o == "least_recently_updated" && p.updated >= next[0].updated:
			case o == "most_recently_updated" || o == "least_recently_updated":
				next = []*profile{p}
			default:
				next = append(next, p)
			}
		}
		left = next
	}
	if len(left) != 1 {
		return nil
	}
	return left[0]
}

// export is a parsed /users/export/ids call.
type export struct {
	targets []target
	fields  []string
}

func (e *export) class() class { return classRead }

func (e *export) register(*Server, *call) {}

func (e *export) apply(*Server, time.Time) int { return 0 }

func (e *export) answer(s *Server, c *call) *reply {
	c.objects = len(e.targets)
	users, invalid := []json.RawMessage{}, []any{}
	for _, t := range e.targets {
		var list []*profile
		switch t.who {
		case idEmail:
			list = s.byAddress(nameEmail, t.h.a)
		case idPhone:
			list = s.byAddress(namePhone, t.h.a)
		case idExternal:
			if r := s.recs[t.h.a]; r != nil && r.prof != nil {
				list = []*profile{r.prof}
			}
		case idAlias:
			if r := s.handles[t.h]; r != nil && r.prof != nil {
				list = []*profile{r.prof}
			}
		case idBraze:
			if p := s.byBrazeID(t.h.a); p != nil {
				list = []*profile{p}
			}
		}
		if len(list) == 0 {
			if t.who == idAlias {
				invalid = append(invalid, Alias{t.h.a, t.h.b})
			} else {
				invalid = append(invalid, t.h.a)
			}
		}
		for _, p := range list {
			users = append(users, s.exported(p, e.fields))
		}
	}
	answer := map[string]any{"message": "success", "users": users}
	if len(invalid) > 0 {
		answer["invalid_user_ids"] = invalid
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return refusal(500, "export: "+err.Error())
	}
	return &reply{status: 201, body: body}
}

// parseExport reads /users/export/ids (Braze docs, Export user profile by identifier).
func parseExport(s *Server, body []byte) (effect, *reply) {
	n, bad := parseBody(body)
	if bad != nil {
		return nil, bad
	}
	e := new(export)
	if f := n.get("fields_to_export"); f != nil {
		fields, ok := f.strings()
		if !ok {
			return nil, refusal(400, "'fields_to_export' must be an array of strings")
		}
		e.fields = fields
	}
	if s.cfg.RequireFields && len(e.fields) == 0 {
		return nil, refusal(400, "'fields_to_export' is required")
	}
	if list := n.get("external_ids"); list != nil {
		ids, ok := list.strings()
		if !ok {
			return nil, refusal(400, "'external_ids' must be an array of strings")
		}
		for _, id := range ids {
			e.targets = append(e.targets, target{who: idExternal, h: handle{who: idExternal, a: id}})
		}
	}
	if list := n.get("user_aliases"); list != nil {
		for _, item := range list.kids {
			h, ok := aliasOf(item)
			if !ok {
				return nil, refusal(400, "'user_aliases' holds an invalid alias")
			}
			e.targets = append(e.targets, target{who: idAlias, h: h})
		}
	}
	single := 0
	for key, who := range map[string]idKind{"email_address": idEmail, "phone": idPhone, "device_id": idToken, "braze_id": idBraze} {
		if v, ok := n.get(key).str(); ok {
			e.targets = append(e.targets, target{who: who, h: handle{who: who, a: v}})
			if who != idBraze {
				single++
			}
		}
	}
	switch {
	case single > 1:
		return nil, refusal(400, "Only one of 'device_id', 'email_address' and 'phone' may be given")
	case len(e.targets) == 0:
		return nil, refusal(400, "At least one identifier must be given")
	case len(e.targets) > maxIDs:
		return nil, refusal(400, tooManyIDs)
	}
	return e, nil
}
