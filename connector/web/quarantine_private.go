package web

import (
	"encoding/json"
	"regexp"

	"brazecdc/connector"
)

// hides tells whether the values of a column, or of a field, are masked for editors too, since the name looks as if few should read them. They see such values
// when they ask for them, which is written down.
func (r *request) hides(model, name string) bool {
	if r.revealed {
		return false
	}
	if r.private == nil {
		if r.s.cfg.Quarantine == nil {
			return true
		}
		r.private = r.s.cfg.Quarantine.Private(r.Context())
	}
	return r.private(model, name)
}

// hiddenValue stands for a value that is masked.
const hiddenValue = "•••"

// heldReason is why an entry is held back, as this reader may see it: a reason can hold the value of its field.
func (r *request) heldReason(e *connector.Entry) string {
	if e.Field != "" && r.hides(e.Model, e.Field) {
		return r.said(connector.ReasonKind(e.Reason))
	}
	return r.reasonText(e.Reason)
}

var recordNames = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]{2,63}`)

// hidesRecord tells whether a record has a name in it whose value is masked: which part of its bytes that value is can't be told.
func (r *request) hidesRecord(model, text string) bool {
	for _, name := range recordNames.FindAllString(text, -1) {
		if r.hides(model, name) {
			return true
		}
	}
	return false
}

// quarantineReveal is the page of an entry with the values that are masked for editors too.
func (s *Server) quarantineReveal(r *request) error {
	r.revealed = true
	return s.quarantineEntryPage(r)
}

// withoutPrivate masks what an editor did not ask for.
func (r *request) withoutPrivate(e *connector.Entry) {
	e.Reason = r.heldReason(e)
	for _, image := range []*json.RawMessage{&e.Before, &e.After} {
		columns := columnsOf(*image)
		masked := false
		for name, text := range columns {
			if text != nil && r.hides(e.Model, name) {
				hidden := hiddenValue
				columns[name], masked = &hidden, true
			}
		}
		if masked {
			*image = imageOf(columns)
		}
	}
	if e.Effect != nil {
		effect := *e.Effect
		effect.Fields = append([]connector.StoredField(nil), effect.Fields...)
		for i := range effect.Fields {
			if f := &effect.Fields[i]; r.hides(e.Model, f.Name) && string(f.JSON) != "null" {
				f.JSON = []byte(`"` + hiddenValue + `"`)
			}
		}
		e.Effect = &effect
	}
	if o := e.Original; o != nil && r.hidesRecord(e.Model, string(o.Value)) {
		e.Original = o.WithoutBytes()
	}
}
