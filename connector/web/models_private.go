package web

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"brazecdc/connector"
)

// withoutPrivate masks what an editor did not ask for: values of fields that look private, where they stand among the fields and in the calls.
func (data *previewData) withoutPrivate(r *request) {
	p := *data.ModelPreview // the views may keep theirs
	if r.revealed || len(p.Private) == 0 {
		data.Shown = r.revealed && len(p.Private) > 0
		return
	}
	hidden := hiddenFields(p.Private)
	p.Fields = slices.Clone(p.Fields)
	for i := range p.Fields {
		f := &p.Fields[i]
		if hidden[f.Name] == "" || f.Value == "" && f.Reason == "" || f.Value == "null" {
			continue
		}
		if f.Value != "" {
			f.Value = hiddenValue
		}
		f.Reason, data.Masked = connector.ReasonKind(f.Reason), true
	}
	p.Calls = slices.Clone(p.Calls)
	for i := range p.Calls {
		c := &p.Calls[i]
		body := hidden.body(c.Body)
		if !strings.Contains(body, hiddenValue) {
			continue
		}
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, []byte(body), "", "  ") // it was just encoded
		c.Body, c.Pretty, c.Curl, data.Masked = body, pretty.String(), "", true
	}
	data.ModelPreview = &p
}

// hiddenFields has a mark in the place of what these fields hold.
func hiddenFields(names []string) references {
	out := references{}
	for _, name := range names {
		out[name] = hiddenValue
	}
	return out
}
