package braze

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"brazecdc/connector"
)

// maxItemID is how many characters the id of an item has at most (Braze docs, "Create multiple catalog items", ids-too-large).
const maxItemID = 250

// appendItems appends the body of a call on the items of one catalog: whole items, or their ids alone for a delete.
func appendItems(b []byte, k connector.Kind, batch []connector.Effect) []byte {
	b = append(b, `{"items":[`...)
	for i := range batch {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendString(b, batch[i].User.ID)
		if k == connector.PutItem {
			for j := range batch[i].Fields {
				f := &batch[i].Fields[j]
				if f.Def.Name == "id" { // an object must not have a key twice
					continue
				}
				b = append(b, ',')
				b = append(b, f.Def.JSON...)
				b = append(b, f.JSON...)
			}
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// unfitItem refuses here what Braze refuses with the whole call (Braze docs, "Replace catalog items", invalid-ids, ids-too-large).
func unfitItem(u *connector.User) error {
	switch {
	case u.Kind != connector.Item:
		return fmt.Errorf("%s names a user, not an item of a catalog", u.Kind)
	case u.Label == "":
		return errors.New("the item has no catalog")
	case !plainName(u.Label):
		return fmt.Errorf("the name of catalog %q has other characters than letters, digits, hyphens and underscores, or more than %d", u.Label, maxItemID)
	case !plainName(u.ID):
		return fmt.Errorf("the item's id is empty, has other characters than letters, digits, hyphens and underscores, or more than %d", maxItemID)
	}
	return nil
}

func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxItemID
}

// catalogFault is one entry of errors of a catalog's answer: a code of the page's table, a sentence, and the ids of the items it is about.
type catalogFault struct {
	code, text string
	values     []string
}

// catalogFaults reads the entries leniently, as {id, message, parameters, parameter_values} or what is left of it.
func catalogFaults(body []byte) []catalogFault {
	var raw struct {
		Errors json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return nil
	}
	var out []catalogFault
	for _, item := range elements(raw.Errors) {
		var o map[string]json.RawMessage
		if json.Unmarshal(item, &o) != nil {
			continue
		}
		f := catalogFault{code: plain(o["id"]), text: plain(o["message"])}
		for _, v := range elements(o["parameter_values"]) {
			f.values = append(f.values, plain(v))
		}
		out = append(out, f)
	}
	return out
}

func (f *catalogFault) String() string { return strings.Trim(f.code+": "+f.text, ": ") }

// storageFull are the codes that no other items of the workspace would fare better with.
var storageFull = []string{"company-size-limit-already-reached", "company-size-limit-surge"}

// judgeCatalog says what a 400 or 404 means for items. A 400 refuses the call as a whole although it names items, so only where it names all of them, or
// where no item can be at fault, are they refused each; else splitting the batch finds them, and the others get through.
func (c *Client) judgeCatalog(batch []connector.Effect, r *reply, e *Error) error {
	faults := catalogFaults(r.body)
	refused := make([]connector.Rejection, 0, len(batch))
	for _, f := range faults {
		if f.code == "catalog-not-found" {
			return catalogMissing(batch, e)
		}
		for i := range batch {
			if !slices.Contains(f.values, batch[i].User.ID) && !slices.Contains(storageFull, f.code) {
				continue
			}
			if !slices.ContainsFunc(refused, func(r connector.Rejection) bool { return r.Index == i }) {
				refused = append(refused, connector.Rejection{Index: i, Reason: c.clean(f.String())})
			}
		}
	}
	if len(faults) > 0 {
		e.Text = c.clean(faults[0].String())
	}
	if len(refused) > 0 && len(refused) == len(batch) {
		slices.SortFunc(refused, func(a, b connector.Rejection) int { return a.Index - b.Index })
		return &connector.RejectedError{Items: refused, Err: e}
	}
	return &connector.RejectedError{Whole: true, Err: e}
}

func isMissingCatalog(body []byte) bool {
	return slices.ContainsFunc(catalogFaults(body), func(f catalogFault) bool { return f.code == "catalog-not-found" })
}

func catalogMissing(batch []connector.Effect, e *Error) error {
	name := "the catalog"
	if len(batch) > 0 {
		name = fmt.Sprintf("catalog %q", batch[0].User.Label)
	}
	return &connector.StopError{Code: connector.ExitConfig, What: name + " does not exist in the workspace",
		Fix: "create it there, with the model's fields and a field id of type string first, or correct the model's catalog: items never create their catalog", Err: e}
}

// itemsURL is where the items of a catalog are.
func (c *Client) itemsURL(catalog string) *url.URL {
	return c.base.JoinPath("catalogs", catalog, "items")
}
