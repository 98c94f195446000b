package web

import "slices"

// userReveal is the page of a user with the values that are masked for editors too.
func (s *Server) userReveal(r *request) error {
	v, ok, err := s.usersView(r)
	if !ok {
		return err
	}
	r.revealed = true
	s.noteUser(r, "users.did.revealed", r.PathValue("ref"), r.PathValue("ref"))
	return s.showUser(r, v, nil)
}

// withoutPrivate masks what an editor did not ask for: values whose name looks private, and payloads that hold such a name.
func (data *userData) withoutPrivate(r *request) {
	if data.Revealed = r.revealed; r.revealed || !r.editor() || r.s.cfg.Quarantine == nil {
		return
	}
	mask := func(model, name string, values ...*string) {
		if !r.hides(model, name) {
			return
		}
		for _, v := range values {
			if *v != "" && *v != "null" {
				*v, data.Masked = hiddenValue, true
			}
		}
	}
	data.Rows = slices.Clone(data.Rows)
	for i := range data.Rows {
		row := &data.Rows[i]
		row.Fields = slices.Clone(row.Fields)
		for j := range row.Fields {
			mask(row.Model, row.Fields[j].Name, &row.Fields[j].Value)
		}
	}
	if c := data.Compared; c != nil {
		for i := range c.Fields {
			mask(c.Row.Model, c.Fields[i].Name, &c.Fields[i].Source, &c.Fields[i].Held)
		}
	}
	for i := range data.Events {
		e := &data.Events[i]
		model := ""
		if len(e.Rows) > 0 {
			model = e.Rows[0].Model
		}
		if e.Payload != "" && r.hidesRecord(model, e.Payload) {
			bare := *e.UserEvent
			bare.Payload = ""
			e.UserEvent, e.Hidden, data.Masked = &bare, true, true
		}
	}
}
