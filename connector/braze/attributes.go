package braze

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"brazecdc/connector"
)

// mostPages bounds a walk through pages that never end; Braze allows 1,000 requests an hour.
const mostPages = 1000

// AttributeType is what Braze knows of one custom attribute.
type AttributeType struct {
	Name string
	// Type is what values it takes; AnyType where the answer's word for it is not known.
	Type connector.AttrType
	// Status is Braze's word, "Active" or "Blocklisted" for example. Values of a blocklisted one are dropped without an error.
	Status string
}

// Attributes lists the workspace's custom attributes, sorted by name (Braze docs, "Export custom attributes": 50 a page, the next one in the Link header).
// It waits for the rate budget of that endpoint itself, 1,000 requests an hour. Errors are those of Send.
func (c *Client) Attributes(ctx context.Context) ([]AttributeType, error) {
	var out []AttributeType
	to := c.urls[listAttributes]
	for range mostPages {
		page, next, err := c.attributesPage(ctx, to)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		cursor, err := cursorOf(next)
		if err != nil {
			return nil, err
		}
		// Only the cursor is taken of the link: a whole address could lead the key elsewhere.
		if cursor == "" || cursor == to.Query().Get("cursor") {
			slices.SortStableFunc(out, func(a, b AttributeType) int { return cmp.Compare(a.Name, b.Name) })
			return out, nil
		}
		following := *c.urls[listAttributes]
		following.RawQuery = url.Values{"cursor": {cursor}}.Encode()
		to = &following
	}
	return nil, fmt.Errorf("list custom attributes: no end after %d pages", mostPages)
}

func (c *Client) attributesPage(ctx context.Context, to *url.URL) (page []AttributeType, next string, err error) {
	if err := c.pools[listAttributes].wait(ctx); err != nil {
		return nil, "", err
	}
	r := c.exchange(ctx, listAttributes, to, newBuffer())
	err = c.judgeQuestion(listAttributes, &r, "list custom attributes")
	if err == nil {
		page, err = parseAttributes(r.body)
		if err != nil {
			err = c.notBraze(listAttributes, &r)
		}
	}
	c.finish(listAttributes, &r, len(page), 0, err)
	return page, r.next, err
}

func parseAttributes(body []byte) ([]AttributeType, error) {
	var raw struct {
		Attributes *[]struct {
			Name   string `json:"name"`
			Type   string `json:"data_type"`
			Status string `json:"status"`
		} `json:"attributes"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	if raw.Attributes == nil {
		return nil, errors.New("no attributes in it")
	}
	out := make([]AttributeType, 0, len(*raw.Attributes))
	for _, a := range *raw.Attributes {
		if a.Name != "" {
			out = append(out, AttributeType{Name: a.Name, Type: typeOf(a.Type), Status: a.Status})
		}
	}
	return out, nil
}

var (
	remark     = regexp.MustCompile(`\(.*?\)`)
	otherWords = map[string]string{"time": "date", "datetime": "date", "bool": "boolean", "integer": "number", "float": "number", "array_of_objects": "object_array",
		"nested_object": "object", "array_of_strings": "array", "string_array": "array"}
)

// typeOf reads a data_type. The page shows "Number" and names no others, so case, blanks and a remark in parentheses ("automatically detected") do not count.
func typeOf(word string) connector.AttrType {
	word = strings.Join(strings.FieldsFunc(strings.ToLower(remark.ReplaceAllString(word, " ")), func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), "_")
	return connector.AttrTypeOf(cmp.Or(otherWords[word], word))
}

var nextLink = regexp.MustCompile(`(?i)<([^>]*)>\s*(?:;[^,<]*)*;\s*rel\s*=\s*"?next\b`)

// cursorOf gives the cursor of the next page out of a Link header, "" where there is none.
func cursorOf(link string) (string, error) {
	m := nextLink.FindStringSubmatch(link)
	if m == nil {
		return "", nil
	}
	u, err := url.Parse(m[1])
	if err != nil || u.Query().Get("cursor") == "" {
		return "", errors.New("list custom attributes: the link to the next page has no cursor")
	}
	return u.Query().Get("cursor"), nil
}
