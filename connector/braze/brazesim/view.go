package brazesim

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Alias is a user alias.
type Alias struct {
	Name  string `json:"alias_name"`
	Label string `json:"alias_label"`
}

// Profile is a copy of one user's profile.
type Profile struct {
	// ExternalID is the primary id; empty for anonymous profiles. DeprecatedIDs are those it was renamed from and that still reach it.
	ExternalID    string   `json:"external_id,omitempty"`
	DeprecatedIDs []string `json:"deprecated_external_ids,omitempty"`
	BrazeID       string   `json:"braze_id"`
	Aliases       []Alias  `json:"user_aliases,omitempty"`
	// Attributes are Braze's own fields, Custom the custom attributes. Values are compact JSON, strings with the shortest escapes, numbers
	// with the digits as sent. An unset attribute is absent.
	Attributes map[string]json.RawMessage `json:"attributes"`
	Custom     map[string]json.RawMessage `json:"custom_attributes"`
	// Groups is the state of each subscription group by its id.
	Groups map[string]string `json:"subscription_groups,omitempty"`
	// Events and Purchases are in the order of their effect, the newest Config.KeepEvents of them; the counts are of all.
	Events        []Event    `json:"events,omitempty"`
	Purchases     []Purchase `json:"purchases,omitempty"`
	EventCount    int        `json:"event_count"`
	PurchaseCount int        `json:"purchase_count"`
	Created       time.Time  `json:"created_at"`
	Updated       time.Time  `json:"updated_at"`
}

// view copies a profile; the caller holds mu.
func (s *Server) view(p *profile) Profile {
	out := Profile{BrazeID: p.brazeID(), Attributes: map[string]json.RawMessage{}, Custom: map[string]json.RawMessage{},
		Created: time.Unix(0, p.created).UTC(), Updated: time.Unix(0, p.updated).UTC()}
	if p.rec != nil {
		out.ExternalID = p.rec.id
	}
	for _, f := range p.fields {
		name, to := s.names.text(f.name), out.Custom
		if f.name.preset() || f.name == namePushTokens {
			to = out.Attributes
		}
		to[name] = json.RawMessage(f.val)
	}
	x := p.more
	if x == nil {
		return out
	}
	for _, r := range x.deprecated {
		out.DeprecatedIDs = append(out.DeprecatedIDs, r.id)
	}
	for _, h := range x.aliases {
		out.Aliases = append(out.Aliases, Alias{h.a, h.b})
	}
	if len(x.groups) > 0 {
		out.Groups = make(map[string]string, len(x.groups))
		for _, g := range x.groups {
			out.Groups[g.id] = g.state
		}
	}
	out.Events, out.Purchases = slices.Clone(x.events), slices.Clone(x.purchases)
	out.EventCount, out.PurchaseCount = x.nEvents, x.nPurchases
	return out
}

// Profile returns the profile that an external_id reaches now, a deprecated one included; false if there is none.
func (s *Server) Profile(externalID string) (Profile, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	r := s.recs[externalID]
	if r == nil || r.prof == nil {
		return Profile{}, false
	}
	return s.view(r.prof), true
}

// Profiles returns all profiles, sorted by external_id, anonymous ones first.
func (s *Server) Profiles() []Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	out := make([]Profile, 0, len(s.all))
	for p := range s.all {
		out = append(out, s.view(p))
	}
	slices.SortFunc(out, func(a, b Profile) int {
		if c := strings.Compare(a.ExternalID, b.ExternalID); c != 0 {
			return c
		}
		return strings.Compare(a.BrazeID, b.BrazeID)
	})
	return out
}

// exported shows a profile as /users/export/ids does: absent keys are null or empty (Braze docs, Export user profile by identifier).
func (s *Server) exported(p *profile, fields []string) json.RawMessage {
	v := s.view(p)
	out := map[string]any{"braze_id": v.BrazeID, "created_at": v.Created}
	if v.ExternalID != "" {
		out["external_id"] = v.ExternalID
	}
	for name, val := range v.Attributes {
		switch name {
		case "current_location":
			n := parseNode(val)
			out["last_coordinates"] = []json.RawMessage{n.get("longitude").append(nil), n.get("latitude").append(nil)}
		case "push_tokens", "facebook", "twitter", "image_url", "marked_email_as_spam_at", "email_open_tracking_disabled", "email_click_tracking_disabled",
			"date_of_first_session", "date_of_last_session": // not exported, or in another shape
		default:
			out[name] = val
		}
	}
	if len(v.Custom) > 0 {
		out["custom_attributes"] = v.Custom
	}
	if len(v.Aliases) > 0 {
		out["user_aliases"] = v.Aliases
	}
	counts := map[string]int{}
	for _, e := range v.Events {
		counts[e.Name]++
	}
	var events []map[string]any
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		events = append(events, map[string]any{"name": name, "count": counts[name]})
	}
	if events != nil {
		out["custom_events"] = events
	}
	if len(v.Purchases) > 0 {
		out["purchases"] = v.Purchases
	}
	if len(fields) > 0 {
		maps.DeleteFunc(out, func(k string, _ any) bool { return !slices.Contains(fields, k) })
	}
	body, err := json.Marshal(out)
	if err != nil {
		return json.RawMessage("null")
	}
	return body
}
